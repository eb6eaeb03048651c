import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.avatars.anny import AnnyPerson
from synthaug.avatars.importers.exavatar import Importing
from synthaug.avatars.importers.importing import (
    Wanted,
    affected,
    betas_of,
    detailed,
    exported,
    imported,
    performing,
    problems,
    with_papers,
)
from synthaug.avatars.importers.ply import read_ply
from synthaug.avatars.pack.about import About, Consent, Provenance
from synthaug.avatars.pack.format import SUFFIX, Extras, Pack, read_pack, write_pack
from synthaug.avatars.pack.rig import Rig
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skinning import pose_frame
from synthaug.cli.main import main
from synthaug.reports.licences import TABLE, markdown, select_terms
from synthaug.structures import Actor, Motion, Recipe
from synthaug.testing.exavatar import write_checkpoint

ROOT = Path(__file__).resolve().parents[2]
LIPS = tuple(range(8, 88, 10))


def wave(frames=3):
    pose = 0.2 * torch.randn(frames, 55, 3, generator=torch.Generator().manual_seed(0))
    return Motion.from_pose(pose, torch.randn(frames, 3), fps=30.0)


@pytest.fixture(scope="module")
def pack():
    person = AnnyPerson("studio", 7, gaussians=2500)
    rest = person.pose(Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0))
    return Pack(About("anna", Provenance("anny")), Rig(person.skeleton.joints, torch.zeros(55, 3)), (rest,))


@pytest.fixture
def path(tmp_path, pack):
    write_pack(tmp_path / f"anna{SUFFIX}", pack)
    return tmp_path / f"anna{SUFFIX}"


def test_levels_are_added_after_the_finest(pack):
    counts = [len(level.means) for level in detailed(pack).levels]
    assert counts[0] == 2500 and counts == sorted(counts, reverse=True) and not detailed(pack).levels[0].levels


def test_the_canonical_export_is_the_pack(tmp_path, path, pack):
    exported(path, tmp_path / "x.ply")
    splats, level = read_ply(tmp_path / "x.ply"), pack.levels[0]
    np.testing.assert_allclose(splats.means, level.means, atol=1e-6)
    np.testing.assert_allclose(splats.scales, level.scales, rtol=1e-4)
    np.testing.assert_allclose(splats.colors, level.colors, atol=1e-5)


def test_the_posed_exports_are_the_posed_person(tmp_path, path, pack):
    motion = wave()
    truth = dataclasses.replace(pack.levels[0], T_world_rest=pack.rig.transforms(motion))
    exported(path, tmp_path / "x.npz", motion=motion)
    exported(path, tmp_path / "x.ply", motion=motion, frame=1)
    splats, arrays = read_ply(tmp_path / "x.ply"), np.load(tmp_path / "x.npz", allow_pickle=False)
    for frame in range(3):
        np.testing.assert_allclose(arrays["means"][frame], pose_frame(truth, frame).means, atol=1e-6)
        np.testing.assert_allclose(arrays["covariances"][frame], pose_frame(truth, frame).covars, atol=1e-7)
    np.testing.assert_allclose(splats.means, pose_frame(truth, 1).means, atol=1e-5)
    again = dataclasses.replace(
        pack.levels[0], quats=torch.from_numpy(splats.quats), scales=torch.from_numpy(splats.scales)
    )
    identity = torch.eye(4).expand(1, 55, 4, 4)
    covars = pose_frame(dataclasses.replace(again, T_world_rest=identity), 0).covars
    torch.testing.assert_close(covars, pose_frame(truth, 1).covars, rtol=0, atol=2e-6)


def test_impossible_exports_are_refused(tmp_path, path):
    for to, motion, frame, reason in (
        ("x.obj", None, 0, "was wanted"), ("x.npz", None, 0, "with --motion"), ("x.ply", wave(), 7, "has 3"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=reason):
            exported(path, tmp_path / to, motion=motion, frame=frame)


def test_expressions_and_correctives_move_what_they_name(tmp_path, pack):
    count, motion = len(pack.levels[0].means), wave()
    motion = dataclasses.replace(motion, expression=torch.ones(3, 10))
    dirs, features = torch.randn(count, 3, 2), 0.01 * torch.randn(2, 486)
    extras = Extras(
        expression_rows=torch.tensor([4, 9], dtype=torch.int32), expression_dirs=0.01 * torch.ones(2, 3, 5),
        corrective_dirs=dirs, corrective_features=features,
    )  # fmt: skip
    feature = (axis_angle_to_matrix(motion.pose[1, 1:]) - torch.eye(3)).flatten()
    expected = pack.levels[0].means + dirs @ (features @ feature)
    expected[[4, 9]] += 0.05
    moved = dataclasses.replace(pack, extras=extras)
    torch.testing.assert_close(performing(moved, motion, 1).means, expected)
    write_pack(tmp_path / f"p{SUFFIX}", moved)
    still, means = dataclasses.replace(motion, expression=torch.zeros(3, 10)), []
    for one, said in ((motion, "coefficients of the pack's own basis"), (still, "Gaussians")):
        assert exported(tmp_path / f"p{SUFFIX}", tmp_path / "p.npz", motion=one).endswith(said)
        means.append(np.load(tmp_path / "p.npz", allow_pickle=False)["means"])
    assert np.flatnonzero((np.abs(means[0] - means[1]) > 1e-3).any((0, 2))).tolist() == [4, 9]


def test_papers_are_written_and_withdrawn_consent_is_found(tmp_path, path, capsys):
    papers = tmp_path / "papers.json"
    papers.write_text(json.dumps({"licence": {"name": "mine"}, "consent": {"withdrawn": True}, "subject": "s1"}))
    assert problems(path) == ["licence is not stated"]
    assert main(["avatar", "label", str(path), "--papers", str(papers)]) == 0
    assert read_pack(path).about.subject == "s1"
    assert problems(path) == ["may not be used: consent was withdrawn"]
    assert main(["avatar", "validate", str(path.parent)]) == 1
    assert "consent was withdrawn" in capsys.readouterr().out
    papers.write_text('{"consent": {"training": "perhaps"}}')
    assert main(["avatar", "label", str(path), "--papers", str(papers)]) == 2
    assert "consent.training is 'perhaps'" in capsys.readouterr().err


def test_two_thousand_mutated_json_files_are_read_or_refused(tmp_path):
    """Papers and shapes: both are typed by hand or come from elsewhere."""
    papers = {"licence": {"name": "mine", "terms": "none"}, "consent": {"training": True, "expires": "2030-01-31"},
              "subject": "s1", "attributes": {"gender": "woman"}, "height": 1.7, "name": "anna"}  # fmt: skip
    about, rng = About("x", Provenance("ply")), np.random.default_rng(0)
    file, refused = tmp_path / "mutant.json", 0
    pieces = [b"9", b"-", b"1e999", b"NaN", b'"', b"[" * 3000, b"{", b"null", b"true", b",", b"\xff"]
    for turn in range(2000):
        plain, read = ((papers, lambda path: with_papers(about, path)), ([0.5, -1.0, 2.0], betas_of))[turn % 2]
        mutant = bytearray(json.dumps(plain).encode())
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(len(mutant)))
            if rng.integers(2):
                mutant[place] = int(rng.integers(256))
            else:
                mutant[place : place + int(rng.integers(0, 5))] = pieces[int(rng.integers(len(pieces)))]
        file.write_bytes(mutant)
        try:
            assert read(file) is not None
        except ValueError:
            refused += 1
    assert 1000 < refused < 2000


def recipe(identity):
    return Recipe(0, (Actor("clip", identity),), {}, {}, {}, 0.0, 8.0, 4, (8, 8))


def test_clips_of_people_who_withdrew_are_listed(tmp_path, pack, capsys):
    for name, consent in (("anna", Consent()), ("bert", Consent(withdrawn=True))):
        about = dataclasses.replace(pack.about, consent=consent)
        write_pack(tmp_path / f"{name}{SUFFIX}", dataclasses.replace(pack, about=about))
    recipes = [recipe(name) for name in ("anna", "bert", "carl")]
    assert [one.actors[0].identity for one, _ in affected(tmp_path, recipes)] == ["bert", "carl"]
    (tmp_path / "recipes.jsonl").write_text("".join(f"{one.to_json()}\n" for one in recipes))
    assert main(["avatar", "affected", str(tmp_path), str(tmp_path / "recipes.jsonl")]) == 1
    said = capsys.readouterr()
    assert recipes[1].key in said.out and "2 of 3 clips" in said.err
    for content in (b"\x80\x91", b"{}"):
        (tmp_path / "other").write_bytes(content)
        assert main(["avatar", "affected", str(tmp_path), str(tmp_path / "other")]) == 2
        assert "cannot be read as recipes" in capsys.readouterr().err


def test_inspect_and_preview_say_and_show_who_it_is(tmp_path, path, capsys):
    assert main(["avatar", "inspect", str(path)]) == 0
    said = capsys.readouterr().out
    assert "anna" in said and "2,500" in said and "not stated" in said
    assert main(["avatar", "preview", str(path), "--to", str(tmp_path / "seen")]) == 0
    assert {file.name for file in (tmp_path / "seen").iterdir()} == {"turntable.mp4", "contact_sheet.png"}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Wanted("ply"), "--height"), (Wanted("lhm"), "--body"), (Wanted("fbx"), "kind 'fbx'"),
    ],
)  # fmt: skip
def test_what_an_import_lacks_is_said(tmp_path, wanted, reason):
    with pytest.raises(ValueError, match=reason):
        imported(tmp_path / "x", wanted)


def test_a_tree_is_imported_once_and_failures_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("synthaug.avatars.importers.importing.Importing", functools.partial(Importing, lips=LIPS))
    tree = tmp_path / "tree"
    for name in ("p01", "p02"):
        folder = tree / "avatars_checkpoints" / name
        write_checkpoint(folder, vertices=300, lips=LIPS, seed=int(name[1:]))
        (tree / "avatars" / name / "smplx_optimized").mkdir(parents=True)
        (folder / "face_offset.json").rename(tree / "avatars" / name / "smplx_optimized" / "face_offset.json")
    (tree / "avatars_checkpoints" / "p03").mkdir()
    (tree / "avatars_checkpoints" / "p03" / "snapshot_4.pth").write_bytes(b"nothing")
    command = ["avatar", "import", "random_people", str(tree), "--out", str(tmp_path / "packs"), "--no-levels"]
    assert main(command) == 1
    outcomes = json.loads((tmp_path / "packs" / "outcomes.json").read_text())
    assert outcomes["p01"] is None and outcomes["p02"] is None and "cannot be read as a checkpoint" in outcomes["p03"]
    pack = read_pack(tmp_path / "packs" / f"p01{SUFFIX}")
    assert "RANDOM People" in pack.about.licence.name and pack.about.provenance.notes == ()
    capsys.readouterr()
    assert main(command) == 1
    assert capsys.readouterr().out.count("there already") == 2


def test_the_document_has_the_table_that_the_command_prints():
    assert markdown() in (ROOT / "docs" / "licences.md").read_text()


def test_licences_of_a_configuration_are_those_it_touches(path, capsys):
    names = {
        terms.name
        for terms in select_terms({"a": {"_target_": "synthaug.datasets.toyota.X"}, "b": [{"_target_": "y"}]})
    }
    assert names == {"synthaug", "Toyota Smarthome"}
    assert main(["licenses", "synth/avatar=packs", f"synth.avatar.root={path.parent}"]) == 0
    said = capsys.readouterr().out
    assert "anna" in said and "CC0" in said
    assert len({terms.name for terms in TABLE}) == len(TABLE)
