"""Commands do the same with an engine as without."""

import json
from pathlib import Path

import pytest
from fakes import Films, camera, square, wave
from omegaconf import OmegaConf

from synthaug.cli.configs import build_data, compose_config, load_config, prepare_data
from synthaug.cli.main import main
from synthaug.cli.render import RenderRecipes
from synthaug.engines import read_outcomes
from synthaug.files import write_reference
from synthaug.runs.stores import Bucket
from synthaug.structures import Recipe, Reference
from synthaug.video import read_frames, write_video

SYNTH = {
    "_target_": "synthaug.synthesis.Synthesis", "motion": {"_target_": "fakes.Waves"},
    "camera": {"_target_": "synthaug.cameras.original.Original"}, "identities": 2, "backgrounds": 1,
    "avatar": {"_target_": "fakes.BeadPeople"}, "variation": {"_target_": "fakes.Slower"},
    "background": {"_target_": "synthaug.backgrounds.plain.Plain"}, "cache": None,
    "renderer": {"_target_": "synthaug.renderers.cpu.CpuRenderer"}, "min_shown": 0.0, "min_shown_half_second": 0.0,
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch, tests_importable):
    """The folder of a run with a few recipes."""
    monkeypatch.setenv("SYNTHAUG_TARGETS", "fakes")
    folder = tmp_path / "run"
    tree = {
        "dataset": {"_target_": "fakes.Films", "root": str(tmp_path / "films"), "subjects": 2},
        "protocol": {"_target_": "fakes.BySubject", "test": ["s1"]}, "synth": SYNTH, "augmentation": None, "seed": 0,
        "clip": {"_target_": "synthaug.structures.ClipFormat", "num_frames": 3, "size": 48},
        "loading": {"_target_": "synthaug.datamodule.Loading", "num_workers": 0},
        "mixture": {"_target_": "synthaug.datamodule.BatchMixture"},
    }  # fmt: skip
    folder.mkdir()
    OmegaConf.save(OmegaConf.create(tree), folder / "config.yaml")
    recipes = prepare_data(load_config(folder / "config.yaml")).recipes()
    (folder / "recipes.jsonl").write_text("".join(f"{recipe.to_json()}\n" for recipe in recipes))
    return folder


@pytest.fixture
def on(engine, tmp_path, request):
    """Words of a command line that ask for an engine."""
    log = ["--outcomes", str(tmp_path / "outcomes.jsonl")]
    if hasattr(engine, "address"):
        return ["--engine", "ray", "--address", engine.address, *log]
    return ["--engine", "slurm", "--cluster", "local", "--machines", "2", "--logs", str(engine.logs), *log]


def read_films(folder):
    return {film.relative_to(folder): read_frames(film, range(3)) for film in folder.glob("*/*.mp4")}


def test_clips_rendered_elsewhere_are_those_rendered_here(run, on, tmp_path, capsys):
    assert main(["render", str(run / "recipes.jsonl"), "--to", str(tmp_path / "here"), "--workers", "0"]) == 0
    command = ["render", str(run / "recipes.jsonl"), "--to", str(tmp_path / "there"), *on]
    assert main(command) == 0
    here, there = read_films(tmp_path / "here"), read_films(tmp_path / "there")
    recipes = [Recipe.from_json(line) for line in (run / "recipes.jsonl").read_text().splitlines()]
    assert here.keys() == there.keys() and len(here) == len(recipes) > 1
    for name, frames in here.items():
        # The encoder chooses otherwise with another number of threads: within its own loss, not to the bit.
        assert (frames.float() - there[name].float()).abs().mean() < 1.0
    outcomes = read_outcomes(tmp_path / "outcomes.jsonl")
    assert sorted(one.item for one in outcomes) == sorted(recipe.digest for recipe in recipes)
    capsys.readouterr()
    next((tmp_path / "there").glob("*/*.mp4")).unlink()
    assert main(command) == 0 and capsys.readouterr().out.startswith("1 of 1 done now, 0 failed")
    assert main(command) == 0 and capsys.readouterr().out == "Nothing was missing.\n"


def test_clips_may_go_to_an_object_store(run, tmp_path, bucket):
    store = Bucket(f"{bucket}/clips")
    command = ["render", str(run / "recipes.jsonl"), "--to", store.url, "--workers", "2"]
    assert main(command) == 0
    recipes = [Recipe.from_json(line) for line in (run / "recipes.jsonl").read_text().splitlines()]
    assert sorted(Path(name).stem for name in store.list_sizes()) == sorted(recipe.digest for recipe in recipes)
    assert RenderRecipes(run / "recipes.jsonl", store).list_missing() == []
    assert main(command) == 0


def test_films_read_elsewhere_are_found_here(tmp_path, capsys, tests_importable):
    pytest.importorskip("submitit", reason="submitit (the extra launchers) is not installed")
    films = Films(tmp_path / "films" / "wave", subjects=1)
    films.prepare()
    (tmp_path / "films" / "wave" / "broken.mp4").write_bytes(b"no film")
    on = ["--engine", "slurm", "--cluster", "local", "--machines", "2", "--logs", str(tmp_path / "logs")]
    log = tmp_path / "outcomes.jsonl"
    command = ["data", "scan", "dataset=folder", f"dataset.root={tmp_path / 'films'}", *on, "--outcomes", str(log)]
    assert main(command) == 0
    said = capsys.readouterr().out
    count = len(list((tmp_path / "films").rglob("*.mp4")))
    assert f"{count} of {count} done now, 0 failed" in said and "broken" in said
    found = [json.loads(one.said) for one in read_outcomes(log)]
    assert sorted(one[0]["fault"] == "" for one in found) == [False] + [True] * (count - 1)
    assert main(command) == 0 and "Nothing was missing." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--machines", "3"], "Expected --machines with --engine slurm alone, got it with none"),
        (["--engine", "ray", "--partition", "gpu"], "--partition with --engine slurm alone, got it with --engine ray"),
        (["--engine", "spark"], "Expected one of ray, slurm, or the dotted path of your own Engine, got 'spark'"),
    ],
)
def test_options_that_do_not_fit_are_told(words, reason, run, capsys):
    assert main(["render", str(run / "recipes.jsonl"), "--to", str(run / "clips"), *words]) == 2
    assert reason in capsys.readouterr().err


def test_motions_extracted_elsewhere_are_found_here(tmp_path, monkeypatch, tests_importable, capsys):
    pytest.importorskip("submitit", reason="submitit (the extra launchers) is not installed")
    monkeypatch.setenv("SYNTHAUG_CACHE", str(tmp_path / "cache"))
    for label in range(2):
        (tmp_path / "films" / f"class{label}").mkdir(parents=True)
        for take in range(3):
            write_video(tmp_path / "films" / f"class{label}" / f"{take}.mp4", square(label, take, 20), fps=10.0)
    data = ["dataset=folder", f"dataset.root={tmp_path / 'films'}", "protocol=holdout", "protocol.by=path"]
    words = [*data, "synth/motion=sidecar", "synth/background=plain", "synth.identities=1",
             "synth.avatar.gaussians=2000", "synth/renderer=cpu"]  # fmt: skip
    records = build_data(compose_config(words)).open_extraction().records
    without, *others = records.values()
    for record in others:
        write_reference(record.path.with_suffix(".npz"), Reference(wave(record), camera(20)))
    log = tmp_path / "outcomes.jsonl"
    on = ["--engine", "slurm", "--cluster", "local", "--machines", "2", "--logs", str(tmp_path / "logs")]
    command = ["motion", "extract", *words, *on, "--outcomes", str(log)]
    assert main(command) == 0
    said, count = capsys.readouterr(), len(records)
    assert said.out.startswith(f"{count - 1} of {count} done now, 1 failed") and without.key in said.err
    assert f"{count - 1} motions, 1 clips without" in said.out
    assert main(command) == 0 and len(read_outcomes(log)) == count + 1  # what had failed is tried again


def test_an_engine_takes_no_shard(capsys):
    words = ["motion", "extract", "--shard", "1/2", "--engine", "ray"]
    assert main(words) == 2 and "Expected --engine or --shard, got both" in capsys.readouterr().err
