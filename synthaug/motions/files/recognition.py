"""Look at a file or folder to find out which motion source can read it."""

import zipfile
from pathlib import Path

from synthaug.motions.files.recordings import FlawError, read_json
from synthaug.structures import Plain
from synthaug.video import SUFFIXES, is_series

_TELLING = (".npz", ".json", ".skeleton", ".bvh", *SUFFIXES)
"""Suffixes that determine the format; files with others are recognized by their first bytes."""
_SUBJECT_FOLDERS = ("smplx_optimized/smplx_params_smoothed", "smplx_params", "keypoints_whole_body")
"""Folders in the folder of one subject, which is not a folder of frames."""


def is_film(path: Path) -> bool:
    """Whether a file has a video's suffix, or a folder holds numbered pictures."""
    return is_series(path) if path.is_dir() else path.suffix.lower() in SUFFIXES


def is_film_beside(path: Path, ending: str) -> bool:
    """Whether a path is a film with a recording beside it: of the same name without `_rgb`, with this ending."""
    return is_film(path) and (path.parent / f"{path.stem.removesuffix('_rgb')}{ending}").exists()


def has_suffix(path: Path, suffix: str) -> bool:
    """Whether a file has this suffix, in upper or lower case."""
    return path.suffix.lower() == suffix and not path.is_dir()


def read_head(path: Path) -> bytes:
    """The first bytes of a file without leading space; empty for folders and for files with a known suffix."""
    if path.is_dir() or path.suffix.lower() in _TELLING:
        return b""
    with path.open("rb") as file:
        return file.read(64).lstrip()


def array_names(path: Path) -> set[str]:
    """Names of the arrays in an npz; empty for other files.

    Raises:
        FlawError: If the file is damaged.
    """
    if not has_suffix(path, ".npz"):
        return set()
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise FlawError("expected an npz, a zip of arrays, got another file") from error


def json_document(path: Path) -> Plain:
    """The content of a JSON file; None for other files.

    Raises:
        FlawError: If the file is damaged.
    """
    return read_json(path) if has_suffix(path, ".json") else None


def first_frame(folder: Path) -> Plain:
    """The first JSON of a folder of frames named by number; None for a subject's folder and for others.

    Raises:
        FlawError: If the file is damaged.
    """
    if not folder.is_dir() or any((folder / name).is_dir() for name in _SUBJECT_FOLDERS):
        return None
    numbered = sorted(file for file in folder.glob("*.json") if file.stem.removesuffix("_keypoints")[-12:].isdigit())
    return read_json(numbered[0]) if numbered else None
