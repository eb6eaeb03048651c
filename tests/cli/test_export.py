"""`synthaug export`: a run in, a folder out, and refusals in words."""

import dataclasses
import json

import pytest
import torch
from omegaconf import OmegaConf

from synthaug.avatars.anny import AnnyPerson
from synthaug.avatars.pack.about import About, Consent, Licence, Provenance
from synthaug.avatars.pack.format import SUFFIX, Pack, write_pack
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.cli.configs import load_config, prepare_data
from synthaug.cli.main import main
from synthaug.exports.parts.walk import check_whole
from synthaug.runs.stores import Bucket
from synthaug.structures import Motion, Recipe

PEOPLE = {
    "anna": Consent(training=True, redistribution=True),
    "bert": Consent(training=True, redistribution=False),
    "carl": Consent(display=False),
    "dora": Consent(),
}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Packs of one body with four people's papers."""
    root = tmp_path_factory.mktemp("people")
    person = AnnyPerson("studio", 7, gaussians=1000)
    rest = person.pose(Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0))
    pack = Pack(About("anna", Provenance("anny")), AvatarRig(person.skeleton.joints, torch.zeros(55, 3)), (rest,))
    for name, consent in PEOPLE.items():
        about = dataclasses.replace(pack.about, name=name, consent=consent, licence=Licence(f"{name}'s terms"))
        write_pack(root / f"{name}{SUFFIX}", dataclasses.replace(pack, about=about))
    return root


@pytest.fixture(scope="module")
def run(people, tmp_path_factory):
    """What a training on two films leaves, as far as an export reads it: two clips of each person."""
    folder = tmp_path_factory.mktemp("run")
    synth = {
        "_target_": "synthaug.synthesis.Synthesis", "motion": {"_target_": "fakes.Waves"},
        "variation": {"_target_": "fakes.Slower"}, "camera": {"_target_": "synthaug.cameras.original.Original"},
        "avatar": {"_target_": "synthaug.avatars.packs.Packs", "root": str(people)}, "identities": 4, "backgrounds": 1,
        "background": {"_target_": "synthaug.backgrounds.plain.Plain"}, "cache": None,
        "renderer": {"_target_": "synthaug.renderers.cpu.CpuRenderer"}, "min_shown": 0.0, "min_shown_half_second": 0.0,
    }  # fmt: skip
    tree = {
        "dataset": {"_target_": "fakes.Films", "root": str(folder / "films"), "subjects": 2},
        "protocol": {"_target_": "fakes.BySubject", "test": ["s1"]}, "synth": synth, "augmentation": None, "seed": 0,
        "clip": {"_target_": "synthaug.structures.ClipFormat", "num_frames": 3, "size": 48},
        "loading": {"_target_": "synthaug.datamodule.Loading", "num_workers": 0},
        "mixture": {"_target_": "synthaug.datamodule.BatchMixture"},
    }  # fmt: skip
    OmegaConf.save(OmegaConf.create(tree), folder / "config.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHAUG_TARGETS", "fakes")
        lines = [recipe.to_json() for recipe in prepare_data(load_config(folder / "config.yaml")).recipes()]
    (folder / "recipes.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.fixture(autouse=True)
def foreign(monkeypatch):
    """The data set and the motions are the tests' own."""
    monkeypatch.setenv("SYNTHAUG_TARGETS", "fakes")


def export(run, *words):
    return main(["export", str(run), "--workers", "0", *words])


def rows_of(folder):
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def test_people_who_do_not_agree_to_be_handed_on_are_refused_in_words(run, capsys):
    assert export(run, "--to", "videofolder") == 2
    said = capsys.readouterr().err
    assert "bert: redistribution was not consented to (2 clips)" in said and "carl: display was not" in said
    assert "--forbidden leave-out" in said and not (run / "exports").exists()


def test_the_folder_holds_those_who_agree_with_their_papers(run, capsys):
    words = ("--to", "videofolder", "--forbidden", "leave-out")
    assert export(run, *words, "--shard", "0/2") == 0
    folder = run / "exports" / "videofolder"
    first = capsys.readouterr().out
    assert export(run, *words, "--shard", "1/2") == 0
    second = capsys.readouterr().out
    assert "is whole, with 4 clips" in second and ("other shards render them" in first or "4 clips rendered" in second)
    rows = rows_of(folder)
    assert sorted(name for row in rows for name in row["identities"]) == ["anna", "anna", "dora", "dora"]
    assert {(row["licence_people"], row["consent"]) for row in rows} == {
        ("anna's terms", "training, redistribution"), ("dora's terms", "not stated")
    }  # fmt: skip
    assert {row["licence_film"] for row in rows} == {"not stated"}
    assert check_whole(folder)["left_out"] == {
        "bert: redistribution was not consented to": 2, "carl: display was not consented to": 2
    }  # fmt: skip
    assert "Left out: 2 clips (carl: display was not consented to)." in second
    assert export(run, *words) == 0 and "0 clips rendered." in capsys.readouterr().out


def test_for_own_use_everybody_is_kept_who_may_be_trained_on(run, tmp_path, capsys):
    words = ("--to", "webdataset", "--folder", str(tmp_path / "own"), "--forbidden", "own-use", "--mb", "1")
    assert export(run, *words) == 0
    assert len(rows_of(tmp_path / "own")) == 8
    assert "Do not pass it on" in (tmp_path / "own" / "README.md").read_text()


def test_somebody_who_withdrew_since_is_in_no_export(run, people, tmp_path, capsys):
    path = people / f"anna{SUFFIX}"
    kept = path.read_bytes()
    (tmp_path / "papers.json").write_text('{"consent": {"withdrawn": true}}')
    assert main(["avatar", "label", str(path), "--papers", str(tmp_path / "papers.json")]) == 0
    words = ("--to", "videofolder", "--folder", str(tmp_path / "less"), "--forbidden")
    try:
        assert export(run, *words, "own-use") == 0
        assert {name for row in rows_of(tmp_path / "less") for name in row["identities"]} == {"bert", "carl", "dora"}
        assert "anna: consent was withdrawn" in capsys.readouterr().out
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "videofolder", "--mb", "5"], "Expected --mb to be above 0, with --to webdataset or --to litdata"),
        (["--to", "litdata", "--mb", "0"], "got --mb 0 with --to litdata"),
        (["--to", "webdataset", "--shard", "2/2"], "Expected --shard to be i/n"),
    ],
)
def test_words_that_cannot_be_are_refused_before_anything_is_read(run, words, said, capsys):
    assert export(run, *words) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(run, tmp_path, capsys):
    assert export(tmp_path, "--to", "litdata") == 2
    assert "Expected the folder of a run with recipes.jsonl and config.yaml" in capsys.readouterr().err
    config = OmegaConf.load(run / "config.yaml")
    (tmp_path / "recipes.jsonl").write_text("\n")
    OmegaConf.save(config, tmp_path / "config.yaml")
    assert export(tmp_path, "--to", "litdata") == 2
    assert "got filmed clips alone" in capsys.readouterr().err
    (tmp_path / "recipes.jsonl").write_text((run / "recipes.jsonl").read_text())
    OmegaConf.save(OmegaConf.merge(config, {"pack": {"root": "there"}}), tmp_path / "config.yaml")
    assert export(tmp_path, "--to", "litdata") == 2
    assert "which read them from there" in capsys.readouterr().err
    OmegaConf.save(OmegaConf.merge(config, {"synth": None}), tmp_path / "config.yaml")
    assert export(tmp_path, "--to", "litdata") == 2
    assert "with synth=null" in capsys.readouterr().err


def test_nobody_left_is_refused(run, tmp_path, capsys):
    recipes = [Recipe.from_json(line) for line in (run / "recipes.jsonl").read_text().splitlines()]
    barred = [recipe for recipe in recipes if recipe.actors[0].identity in ("bert", "carl")]
    (tmp_path / "recipes.jsonl").write_text("".join(f"{recipe.to_json()}\n" for recipe in barred))
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    assert export(tmp_path, "--to", "litdata", "--forbidden", "leave-out") == 2
    assert "got none that is left" in capsys.readouterr().err


def test_a_whole_export_is_sent_to_an_object_store(run, tmp_path, bucket, capsys):
    words = ("--to", "videofolder", "--forbidden", "leave-out", "--folder", str(tmp_path / "x"), "--send", bucket)
    recipes = [json.loads(line) for line in (run / "recipes.jsonl").read_text().splitlines()]
    assert len(recipes) == 8
    assert export(run, *words, "--shard", "0/1") == 0
    assert "files sent to " + bucket in capsys.readouterr().out
    sent = Bucket(bucket).list_sizes()
    assert sent == {
        file.relative_to(tmp_path / "x").as_posix(): file.stat().st_size
        for file in (tmp_path / "x").rglob("*") if file.is_file()
    }  # fmt: skip
    assert export(run, *words[:-1], "no-address") == 2 and "such as s3://bucket/folder" in capsys.readouterr().err
    assert export(run, *words[:-1], "s3://nobody-has-this") == 2
    assert "Expected to read and write s3://nobody-has-this" in capsys.readouterr().err
