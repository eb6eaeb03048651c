import dataclasses

import pytest
import torch

from synthaug.avatars.anny import AnnyPerson
from synthaug.avatars.pack.about import About, Consent, Provenance
from synthaug.avatars.pack.format import SUFFIX, Pack, write_pack
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.cli.main import main
from synthaug.runs.withdrawals import find_withdrawn
from synthaug.structures import Actor, Motion, Recipe


@pytest.fixture(scope="module")
def pack():
    person = AnnyPerson("studio", 7, gaussians=2500)
    rest = person.pose(Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0))
    return Pack(About("anna", Provenance("anny")), AvatarRig(person.skeleton.joints, torch.zeros(55, 3)), (rest,))


def recipe(identity):
    return Recipe(0, (Actor("clip", identity),), {}, {}, {}, 0.0, 8.0, 4, (8, 8))


def test_clips_of_people_who_withdrew_are_listed(tmp_path, pack, capsys):
    for name, consent in (("anna", Consent()), ("bert", Consent(withdrawn=True))):
        about = dataclasses.replace(pack.about, consent=consent)
        write_pack(tmp_path / f"{name}{SUFFIX}", dataclasses.replace(pack, about=about))
    recipes = [recipe(name) for name in ("anna", "bert", "carl")]
    assert [one.actors[0].identity for one, _ in find_withdrawn(tmp_path, recipes)] == ["bert", "carl"]
    (tmp_path / "recipes.jsonl").write_text("".join(f"{one.to_json()}\n" for one in recipes))
    assert main(["avatar", "affected", str(tmp_path), str(tmp_path / "recipes.jsonl")]) == 1
    said = capsys.readouterr()
    assert recipes[1].key in said.out and "2 of 3 clips" in said.err
    for content in (b"\x80\x91", b"{}"):
        (tmp_path / "other").write_bytes(content)
        assert main(["avatar", "affected", str(tmp_path), str(tmp_path / "other")]) == 2
        assert "to be the recipes.jsonl of a run, but reading it failed" in capsys.readouterr().err
