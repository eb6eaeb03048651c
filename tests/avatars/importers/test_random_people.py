import functools
import json

from synthaug.avatars.importers import random_people
from synthaug.avatars.importers.exavatar import ExAvatarImporter
from synthaug.avatars.pack.format import SUFFIX, read_pack
from synthaug.cli.main import main
from synthaug.testing.exavatar import write_checkpoint

LIPS = tuple(range(8, 88, 10))


def test_a_tree_is_imported_once_and_failures_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(random_people, "ExAvatarImporter", functools.partial(ExAvatarImporter, lips=LIPS))
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
