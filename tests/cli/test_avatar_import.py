import argparse
import json

import pytest
import torch

from synthaug.avatars.anny import AnnyPerson
from synthaug.avatars.pack.format import SUFFIX, read_pack
from synthaug.cli.flags import add_flags
from synthaug.cli.main import main
from synthaug.testing.avatars import check_importer

IMPORTER_OF_ANOTHER_PACKAGE = '''
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import torch

from synthaug.avatars.anny import AnnyPerson
from synthaug.avatars.importers import Importer
from synthaug.avatars.importers.files.checkpoints import content_digest
from synthaug.avatars.pack.about import About, Provenance
from synthaug.avatars.pack.format import Pack
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.structures import Motion


@final
@dataclass(frozen=True)
class SeedImporter(Importer):
    """Imports the procedural person of a seed in a text file.

    Attributes:
        count: Number of Gaussians,
            100 % of which are kept.
        family: Whose clothes the person wears.
        shrink: Factor on all sizes.
        tags: Not for the command line.
        note: A file whose text is noted.
        upper: Write the name in capitals.
        checked: Compare with the seed.
    """

    count: int
    family: Literal["studio", "street"] = "studio"
    shrink: float | None = None
    tags: tuple[str, ...] = ()
    note: Path | None = None
    upper: bool = False
    checked: bool = True

    def find_people(self, source):
        return {path.stem: path for path in sorted(source.glob("*.txt"))} if source.is_dir() else None

    def import_person(self, source, name):
        person = AnnyPerson(self.family, int(source.read_text()), gaussians=self.count)
        level = person.pose(Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0))
        notes = (*(() if self.note is None else (self.note.read_text(),)), f"{self.shrink} {self.checked}")
        provenance = Provenance("seed", source.name, content_digest(source), "mylab", notes)
        rig = AvatarRig(person.skeleton.joints, torch.zeros(55, 3))
        return Pack(About(name.upper() if self.upper else name, provenance), rig, (level,))
'''
FORMAT = "mylab_people.importer_seed.SeedImporter"


@pytest.fixture
def mylab(tmp_path, monkeypatch):
    package = tmp_path / "site" / "mylab_people"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "importer_seed.py").write_text(IMPORTER_OF_ANOTHER_PACKAGE)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("SYNTHAUG_TARGETS", "mylab_people")


def run(*words):
    return main(["avatar", "import", *map(str, words)])


def test_formats_are_listed_without_a_format(mylab, capsys):
    with pytest.raises(SystemExit, match="0"):
        run("--help")
    said = capsys.readouterr().out
    for name in ("exavatar", "lhm", "ply", "random_people", FORMAT):
        assert f"  {name} " in said
    assert "Imports the procedural person of a seed in a text file." in said and "--height" not in said


def test_an_importer_of_another_package_is_offered_with_its_flags(mylab, capsys):
    with pytest.raises(SystemExit, match="0"):
        run(FORMAT, "--help")
    said = " ".join(capsys.readouterr().out.split())
    assert "--count NUMBER Number of Gaussians, 100 % of which are kept." in said
    assert "--family {studio,street} Whose clothes the person wears. (studio)" in said
    assert "--shrink NUMBER" in said and "--note PATH" in said and "--upper" in said and "--no-checked" in said
    assert "--tags" not in said and "--height" not in said
    with pytest.raises(SystemExit, match="2"):
        run(FORMAT, "x", "--out", "y")
    assert "required: --count" in capsys.readouterr().err


def test_an_importer_of_another_package_imports(tmp_path, mylab, capsys):
    (tmp_path / "one.txt").write_text("7")
    (tmp_path / "note.txt").write_text("by hand")
    options = ["--count", 1500, "--shrink", 0.5, "--note", tmp_path / "note.txt", "--upper", "--no-checked"]
    assert run("--out", tmp_path / "out" / "one", *options, FORMAT, tmp_path / "one.txt", "--no-levels") == 0
    said = capsys.readouterr()
    assert "1,500 Gaussians, 1 level" in said.out and "note: by hand" in said.err
    pack = read_pack(tmp_path / "out" / f"one{SUFFIX}")
    assert pack.about.name == "ONE" and pack.about.provenance.notes == ("by hand", "0.5 False")
    joints = AnnyPerson("studio", 7, gaussians=1500).skeleton.joints
    torch.testing.assert_close(pack.rig.joints, joints)


def test_a_collection_is_resumed_and_takes_papers(tmp_path, mylab, capsys):
    (tmp_path / "people").mkdir()
    for name, content in (("anna", "1"), ("bert", "2"), ("carl", "nobody")):
        (tmp_path / "people" / f"{name}.txt").write_text(content)
    (tmp_path / "papers.json").write_text('{"licence": {"name": "mine"}}')
    command = [FORMAT, tmp_path / "people", "--out", tmp_path / "packs", "--count", 1500, "--no-levels"]
    assert run(*command, "--papers", tmp_path / "papers.json") == 1
    outcomes = json.loads((tmp_path / "packs" / "outcomes.json").read_text())
    assert outcomes["anna"] is None and outcomes["bert"] is None and "invalid literal" in outcomes["carl"]
    assert read_pack(tmp_path / "packs" / f"bert{SUFFIX}").about.licence.name == "mine"
    (tmp_path / "people" / "carl.txt").write_text("3")
    capsys.readouterr()
    assert run(*command) == 0
    assert capsys.readouterr().out.count("there already") == 2
    assert run(*command, "--name", "x") == 2
    assert "Expected no --name for a collection" in capsys.readouterr().err


def test_the_contract_holds_for_an_importer_of_another_package(tmp_path, mylab):
    from importlib import import_module

    importer = import_module("mylab_people.importer_seed").SeedImporter(1500)
    (tmp_path / "one.txt").write_text("7")
    check_importer(importer, tmp_path / "one.txt")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["ply", "x", "--out", "y"], "required: --height"),
        (["lhm", "x", "--out", "y"], "required: --body"),
        (["fbx", "x", "--out", "y"], "Expected one of exavatar, lhm, ply, random_people"),
        (["lhm", "x", "--out", "y", "--body", "b", "--height", "1.7"], "unrecognized arguments: --height"),
        (["exavatar", "x", "--out", "y", "--hands", "open"], "invalid choice: 'open'"),
    ],
)
def test_what_an_import_lacks_is_said(capsys, words, reason):
    with pytest.raises(SystemExit, match="2"):
        run(*words)
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["ply", "SCAN.ply", "--height", "1.75", "--out", "people/anna"],
        ["exavatar", "snapshot_4.pth", "--identity", "smplx_optimized", "--out", "people/anna"],
        ["lhm", "CANONICAL.ply", "--body", "SMPLX_NEUTRAL.npz", "--out", "people/anna"],
        ["random_people", "TREE", "--out", "people"],
        ["--out", "people", "--hands", "composed", "--ignore-unknown", "exavatar", "TREE", "--name", "x"],
    ],
)
def test_documented_commands_are_understood(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert "No such file" in said or "No snapshot_" in said


class Strange:
    """A class with parameters that no flag can set."""

    def __init__(self, out: str = "", *, pair: tuple[int, int] = (0, 0)) -> None: ...


class Stranger:
    """A class whose needed parameter no flag can set."""

    def __init__(self, pair: tuple[int, int]) -> None: ...


@pytest.mark.parametrize(
    ("importer", "reason"), [(Strange, "no parameter 'out'"), (Stranger, "Stranger.pair to be a Path")]
)
def test_parameters_that_make_no_flag_are_refused(importer, reason):
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    with pytest.raises(ValueError, match=reason):
        add_flags(parser, importer, title="options")
