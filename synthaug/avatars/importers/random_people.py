"""Import the ExAvatar subjects of the RANDOM People data set.

The expected folders follow the authors' instructions; the data set itself could not be opened when this was written.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

from synthaug.avatars.importers import Importer
from synthaug.avatars.importers.exavatar import ExAvatarImporter
from synthaug.avatars.pack.about import Licence
from synthaug.avatars.pack.format import Pack
from synthaug.files import walk_files

LICENCE = Licence(
    name="RANDOM People: not stated; derived from SMPL-X and FLAME (MPI, non-commercial)",
    terms="For your own non-commercial research. Do not redistribute.",
    source="https://huggingface.co/datasets/matybohacek/RANDOM-People",
)


@final
@dataclass(frozen=True)
class RandomPeopleImporter(Importer):
    """Imports every ExAvatar subject below a folder, as RANDOM People is published.

    A subject is a folder with snapshot_4.pth (or the latest snapshot), such as `avatars_checkpoints/<id>/`. Its
    `smplx_optimized` folder is looked for there and in `avatars/<id>/` of the same tree.

    Attributes:
        body: Your own SMPLX_MALE.npz, for checkpoints that lack the body's buffers.
        hands: How fingers turn: "exavatar" copies ExAvatar's animation, "composed" composes rotations as SMPL-X does.
        ignore_unknown: Leave out tensors that ExAvatar's classes do not have, instead of refusing the checkpoint.
    """

    body: Path | None = None
    hands: Literal["exavatar", "composed"] = "exavatar"
    ignore_unknown: bool = False

    def find_people(self, source: Path) -> dict[str, Path]:
        """The latest checkpoint of every subject, by the name of the subject's folder.

        Raises:
            FileNotFoundError: If there is no checkpoint below the folder.
        """
        latest: dict[str, Path] = {}
        found = (path for path in walk_files(source) if path.match("snapshot_*.pth"))
        for path in sorted(found, key=lambda path: (path.parent, _epoch(path))):
            latest[path.parent.name] = path
        if not latest:
            raise FileNotFoundError(
                f"No snapshot_*.pth below '{source}'. Give a tree such as avatars_checkpoints/<id>/snapshot_4.pth, and "
                "check that its archives are unpacked."
            )
        return dict(sorted(latest.items()))

    def import_person(self, source: Path, name: str) -> Pack:
        """Bake one subject's checkpoint.

        Raises:
            FileNotFoundError: If a file does not exist.
            CheckpointError: If the checkpoint is unsafe, damaged, or of another program.
        """
        identity = _find_identity(source)
        pack = ExAvatarImporter(identity, self.body, self.hands, self.ignore_unknown).import_person(source, name)
        return replace(pack, about=replace(pack.about, licence=LICENCE))


def _find_identity(checkpoint: Path) -> Path | None:
    """The folder of the subject's face_offset.json: beside the checkpoint, or in `avatars/` of a folder above it."""
    subject = checkpoint.parent
    places = [subject, subject / "smplx_optimized"]
    for tree in subject.parents:
        places += [tree / "avatars" / subject.name / "smplx_optimized", tree / subject.name / "smplx_optimized"]
    return next((place for place in places if (place / "face_offset.json").is_file()), None)


def _epoch(path: Path) -> int:
    number = path.stem.removeprefix("snapshot_")
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 9 else -1
