from pathlib import Path

import pytest
import torch

from synthaug.avatars.anny import AnnyPerson
from synthaug.avatars.pack.about import About, Provenance
from synthaug.avatars.pack.format import SUFFIX, Pack, write_pack
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.cli.main import main
from synthaug.reports.licences import TABLE, markdown, select_terms
from synthaug.structures import Motion

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path):
    person = AnnyPerson("studio", 7, gaussians=2500)
    rest = person.pose(Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0))
    pack = Pack(About("anna", Provenance("anny")), AvatarRig(person.skeleton.joints, torch.zeros(55, 3)), (rest,))
    write_pack(tmp_path / f"anna{SUFFIX}", pack)
    return tmp_path / f"anna{SUFFIX}"


def test_inspect_and_preview_say_and_show_who_it_is(tmp_path, path, capsys):
    assert main(["avatar", "inspect", str(path)]) == 0
    said = capsys.readouterr().out
    assert "anna" in said and "2,500" in said and "not stated" in said
    assert main(["avatar", "preview", str(path), "--to", str(tmp_path / "seen")]) == 0
    assert {file.name for file in (tmp_path / "seen").iterdir()} == {"turntable.mp4", "contact_sheet.png"}


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
