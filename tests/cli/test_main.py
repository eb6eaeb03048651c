"""The command as users start it: from any folder, and told mistakes in words."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from synthaug.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "lightning", "hydra", "omegaconf", "numpy", "rich", "cv2", "numba")


def test_help_imports_nothing_heavy(tmp_path):
    script = (
        "import sys\nfrom synthaug.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert all(f"    {name} " in done.stdout for name in ("train", "evaluate", "episodes", "preview", "doctor"))


def test_train_hands_every_word_to_hydra_from_any_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "extra" / "clip").mkdir(parents=True)
    (tmp_path / "extra" / "clip" / "tiny.yaml").write_text("{_target_: synthaug.structures.ClipFormat, num_frames: 3}")
    searched = [f"hydra.searchpath=[file://{tmp_path}/extra]"]
    for words in (["--config-dir", "extra"], searched):
        assert main(["train", *words, "clip=tiny", "--cfg", "job", "-p", "clip"]) == 0
        assert "num_frames: 3" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["extra"]


def test_train_py_is_the_command(tmp_path, capsys):
    words = ["--cfg", "job", "-p", "clip", "dataset=toyota", "dataset.root=x"]
    script = [sys.executable, str(ROOT / "train.py"), *words]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert main(["train", *words]) == 0
    assert done.returncode == 0 and done.stdout == capsys.readouterr().out and "size:" in done.stdout


def test_a_run_that_cannot_start_leaves_its_reason(tmp_path):
    command = [sys.executable, "-m", "synthaug.cli.main", "train", "dataset=folder", "hydra.run.dir=gap"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    reason = (tmp_path / "gap" / "failure.txt").read_text()
    assert "dataset.root=VALUE" in reason and reason.strip() in done.stderr


@pytest.mark.parametrize("command", ["evaluate", "episodes"])
def test_a_run_has_to_be_named(command, tmp_path, capsys):
    assert main([command]) == 2
    assert "Expected run=FOLDER once, got nothing" in capsys.readouterr().err
    assert main([command, f"run={tmp_path}"]) == 2
    assert "Expected run= to be a folder with a config.yaml" in capsys.readouterr().err
    assert main([command, "run=a", "run=b"]) == 2
    assert "Expected run=FOLDER once, got run=a run=b" in capsys.readouterr().err


def test_episodes_refuse_other_words(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("seed: 0")
    assert main(["episodes", f"run={tmp_path}", "per_class=many"]) == 2
    assert "Expected per_class to be a number of synthetic clips, got many" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "meant"),
    [("nway=2", "n_way=2"), ("shots=5", "n_shot=5"), ("tasks=9", "n_tasks=9"), ("perclass=3", "per_class=3"),
     ("rn=x", "run=x"), ("n_way", "n_way=VALUE")],
)  # fmt: skip
def test_episodes_name_the_nearest_option_before_they_look_for_the_run(word, meant, capsys):
    assert main(["episodes", word]) == 2
    said = capsys.readouterr().err
    assert f"got {word}. Did you mean {meant}?" in said and "per_class" in said


def test_a_wheel_holds_the_whole_package_and_its_configurations(tmp_path):
    from zipfile import ZipFile

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path))
    inside = set(ZipFile(wheel).namelist())
    package = [path for path in (ROOT / "synthaug").rglob("*") if path.suffix in (".py", ".css", ".npz")]
    configurations = [path for path in (ROOT / "conf").rglob("*.yaml")]
    assert len(package) > 200 and len(configurations) > 80
    missing = {path.relative_to(ROOT).as_posix() for path in package} - inside
    missing |= {f"synthaug/{path.relative_to(ROOT).as_posix()}" for path in configurations} - inside
    assert missing == set()


def test_a_package_in_the_working_folder_is_found(tmp_path):
    """As `python train.py` would: a console script does not put the working folder on the path."""
    (tmp_path / "mylab").mkdir()
    for name in ("__init__.py", "stations.py"):
        (tmp_path / "mylab" / name).touch()
    command = ["avatar", "import", "--help"]
    code = "import sys; sys.path.pop(0); from synthaug.cli.main import main; sys.exit(main(sys.argv[1:]))"
    for targets, status in (("mylab", 0), ("nowhere_to_be_found", 2)):
        where = {**os.environ, "SYNTHAUG_TARGETS": targets, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(
            [sys.executable, "-c", code, *command], cwd=tmp_path, env=where, capture_output=True, text=True, timeout=120
        )
        assert run.returncode == status and "Traceback" not in run.stderr
    assert "Expected SYNTHAUG_TARGETS to name installed packages, found no 'nowhere_to_be_found'" in run.stderr


@pytest.mark.parametrize("words", [["--shard", "half"], ["--shard", "2/"], ["--shard", "1/2", "--to", "here"]])
def test_a_shard_that_cannot_be_is_refused_before_anything_is_read(words, capsys):
    assert main(["motion", "extract", "dataset=demo", *words]) == 2
    assert "Expected --shard" in capsys.readouterr().err
