"""Many ExAvatar subjects brought in at once, as RANDOM People is published: resumable, with every failure named.

For the command line; above the importers. The tree's layout follows from its authors' instructions; the data set itself
was never opened.
"""

import json
import logging
from dataclasses import replace
from pathlib import Path

from synthaug.avatars.importers.checkpoints import content_digest
from synthaug.avatars.importers.importing import Wanted, imported
from synthaug.avatars.pack.about import Licence, PackError
from synthaug.avatars.pack.format import SUFFIX, read_header, write_pack
from synthaug.files import write_atomic

logger = logging.getLogger(__name__)
LICENCE = Licence(
    name="RANDOM People: not stated; derived from SMPL-X and FLAME (MPI, non-commercial)",
    terms="For your own non-commercial research. Do not redistribute.",
    source="https://huggingface.co/datasets/matybohacek/RANDOM-People",
)
TABLE = "outcomes.json"


def import_tree(root: Path, out: Path, wanted: Wanted) -> dict[str, str | None]:
    """Import every subject below a folder; those whose pack is there, of the same checkpoint, are passed over.

    A subject is a folder with snapshot_4.pth (or the latest snapshot), such as `avatars_checkpoints/<id>/`. Its
    `smplx_optimized` folder is looked for in it, and in `avatars/<id>/` of the same tree. What happened to each is
    also written to `outcomes.json`, after every one of them.

    Args:
        root: The tree.
        out: Folder of packs.
        wanted: For every subject; kind, name and identity are filled in.

    Returns:
        For each identity None (imported now), "there already", or why it failed.

    Raises:
        FileNotFoundError: If there is no checkpoint below the folder.
    """
    subjects = checkpoints(root)
    if not subjects:
        raise FileNotFoundError(
            f"'{root}' has no snapshot_*.pth. A tree such as avatars_checkpoints/<id>/snapshot_4.pth was wanted. Check "
            "the folder, and whether its archives are unpacked."
        )
    outcomes: dict[str, str | None] = {}
    for name, path in subjects.items():
        outcomes[name] = _one(name, path, root, out / f"{name}{SUFFIX}", wanted)
        logger.info("%s: %s", name, outcomes[name] or "imported")
        write_atomic(out / TABLE, json.dumps(outcomes, indent=1).encode())
    return outcomes


def checkpoints(root: Path) -> dict[str, Path]:
    """The latest snapshot of every subject, by the subject's name: its folder's."""
    latest: dict[str, Path] = {}
    for path in sorted(root.rglob("snapshot_*.pth"), key=lambda path: (path.parent, _epoch(path))):
        latest[path.parent.name] = path
    return dict(sorted(latest.items()))


def identity_folder(name: str, checkpoint: Path, root: Path) -> Path | None:
    """Where the subject's face_offset.json is, if anywhere."""
    places = [checkpoint.parent, checkpoint.parent / "smplx_optimized", root / "avatars" / name / "smplx_optimized",
              root / name / "smplx_optimized"]  # fmt: skip
    return next((place for place in places if (place / "face_offset.json").is_file()), None)


def _one(name: str, path: Path, root: Path, out: Path, wanted: Wanted) -> str | None:
    try:
        if out.exists() and _source_of(out) == content_digest(path):
            return "there already"
        identity = identity_folder(name, path, root)
        pack = imported(path, replace(wanted, kind="exavatar", name=name, identity=identity))
        about = replace(pack.about, licence=LICENCE) if wanted.papers is None else pack.about
        write_pack(out, replace(pack, about=about))
    except (ValueError, OSError, MemoryError) as error:
        return str(error)
    return None


def _source_of(out: Path) -> str:
    try:
        return read_header(out).about.provenance.digest
    except PackError:
        return ""


def _epoch(path: Path) -> int:
    number = path.stem.removeprefix("snapshot_")
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 9 else -1
