"""The README's commands run: the first is shortened to two steps inside one process, the second is what runs this."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.cli.configs import load_config

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = [block.strip().splitlines() for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)]
COMMANDS = [line.split("  #")[0].strip() for line in BLOCKS[2]]
WITHOUT_CONFIGURATION = ("python evaluate.py", "synthaug evaluate", "synthaug episodes", "synthaug render",
                         "synthaug export", "synthaug report", "synthaug avatar", "synthaug doctor")  # fmt: skip
"""Commands that read a run or a file instead of composing a configuration."""
EXAMPLES = [command for command in COMMANDS if not command.startswith(WITHOUT_CONFIGURATION)]


def test_there_are_exactly_two_commands_to_start_with_and_each_sets_itself_up():
    section = README.split("## Two commands")[1].split("## ")[0]
    commands = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    assert len(commands) == 2
    assert all(command.startswith("pip install -q uv && uv run ") for command in commands)


def test_ci_calls_the_second_command():
    second = BLOCKS[1][0].split("&& ")[1]
    assert second in (ROOT / ".ci" / "run").read_text()


def test_every_example_is_a_command_of_ours():
    known = {path.stem for path in (ROOT / "synthaug" / "cli").glob("*.py")}
    for program, first, *_ in map(str.split, COMMANDS):
        assert (ROOT / first).is_file() if program == "python" else program == "synthaug" and first in known


@pytest.mark.parametrize("command", EXAMPLES)
def test_every_example_composes(command):
    from synthaug.cli.configs import compose_config

    words = command.replace("'", "").split()
    overrides = [word for word in words if "=" in word]
    single = [re.sub(r"=([^\[,]*),.*", r"=\1", word) for word in overrides]  # the first value of each sweep
    assert compose_config(single).seed == 0


def test_the_first_command_trains_and_evaluates(tmp_path):
    """Two steps, on fewer and smaller films; everything else is the command's own."""
    small = [
        "trainer.max_steps=2", "trainer.val_check_interval=1", "trainer.enable_progress_bar=false",
        "loading.num_workers=0",
        "loading.batch_size=2", "dataset.films.performers=3", "dataset.films.classes=[hand waving,bow]",
        "dataset.films.footage.size=64", "dataset.films.footage.seconds=1.0", "dataset.films.num_workers=0",
        "dataset.films.stage.avatar.gaussians=2000", "synth.avatar.gaussians=2000", "synth.identities=1",
        "synth.backgrounds=1", "protocol.test_subjects=[p02]", "protocol.val_subjects=[p01]", "protocol.n_shot=1",
        "clip.num_frames=4", "clip.size=64", f"hydra.run.dir={tmp_path}/run",
    ]  # fmt: skip
    words = BLOCKS[0][0].split("uv run python ")[1].split()
    run = subprocess.run([sys.executable, *words, *small], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stderr[-3000:]
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left >= {"config.yaml", "metrics.json", "recipes.jsonl", "motions.json", "contact_sheet.png", "best.ckpt"}
    assert "mean class accuracy" in run.stdout
    assert len((tmp_path / "run" / "recipes.jsonl").read_text().splitlines()) == 2
    again = subprocess.run(
        [sys.executable, "evaluate.py", f"run={tmp_path}/run"], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert again.returncode == 0, again.stderr[-3000:]
    first, second = ((tmp_path / "run" / place / "predictions.json").read_text() for place in (".", "evaluation"))
    assert first == second


@pytest.fixture
def trained(tmp_path):
    (tmp_path / "config.yaml").write_text("{loading: {test_clips: 1, batch_size: 4}, dataset: {root: a}, seed: 3}")
    return tmp_path / "config.yaml"


@pytest.mark.parametrize("words", ["protocol.test_subjects=[p00]", "seed=1", "dataset.roots=b", "loading.test_clips"])
def test_a_run_is_tested_as_it_was_trained(trained, words):
    with pytest.raises(ValueError, match=r"Expected loading\.NAME=VALUE, .* got .*\. Train again"):
        load_config(trained, [words])


def test_how_a_run_is_tested_can_be_set_anew(trained):
    wanted = {"loading": {"test_clips": 5, "batch_size": 4}, "dataset": {"root": "b"}, "seed": 3}
    assert load_config(trained, ["loading.test_clips=5", "dataset.root=b"]) == wanted
    assert load_config(trained).loading.test_clips == 1


def test_what_lies_beside_the_films_moves_with_them(tmp_path):
    """A resolved configuration names lists and skeletons below the data set's folder; a person may bear its name."""
    old = {
        "dataset": {"root": "/old/ucf", "classes": ["ucf"]},
        "protocol": {"folder": "/old/ucf/lists", "test_subjects": ["ucf", "/old/ucfx"]},
        "synth": {"motion": {"root": ["/old/ucf/skeleton", "/old/ucf"]}, "cache": "/old/other"},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(old))
    moved = load_config(tmp_path / "config.yaml", ["dataset.root=/new"])
    assert {name: moved[name] for name in old} == {
        "dataset": {"root": "/new", "classes": ["ucf"]},
        "protocol": {"folder": "/new/lists", "test_subjects": ["ucf", "/old/ucfx"]},
        "synth": {"motion": {"root": ["/new/skeleton", "/new"]}, "cache": "/old/other"},
    }
    (tmp_path / "config.yaml").write_text(json.dumps({**old, "dataset": {"root": "ucf", "classes": ["ucf"]}}))
    assert load_config(tmp_path / "config.yaml", ["dataset.root=/new"]).dataset == {"root": "/new", "classes": ["ucf"]}


@pytest.mark.parametrize(
    ("words", "meant"),
    [("loading.test_clip=10", "loading.test_clips"), ("trainer.precison=bf16-mixed", "trainer.precision")],
)
def test_a_slip_in_a_name_is_told(trained, words, meant):
    with pytest.raises(ValueError, match=rf"Did you mean {re.escape(meant)}\?"):
        load_config(trained, [words])


def test_a_run_without_a_checkpoint_says_so(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0")
    (tmp_path / "failure.txt").write_text("No film. Bring it.")
    command = [sys.executable, "evaluate.py", f"run={tmp_path}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 2 and "Traceback" not in run.stderr
    assert "Expected best.ckpt or last.ckpt in" in run.stderr and "The run failed: No film. Bring it." in run.stderr
