"""Find the films below a folder, through links too, and say what else lies there that should have been film."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from synthaug.video import PICTURES, SUFFIXES, holds_film, is_series

_PICTURES = (*PICTURES, ".exr", ".heic")
_BESIDE = (
    ".json", ".jsonl", ".csv", ".tsv", ".txt", ".md", ".xml", ".yaml", ".yml", ".npz", ".npy", ".pkl", ".pickle", ".pt",
    ".pth", ".h5", ".hdf5", ".mat", ".parquet", ".skeleton", ".bvh", ".fbx", ".c3d", ".srt", ".vtt", ".eaf", ".wav",
    ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".pdf", ".html", ".log", ".py", ".ipynb", ".ini", ".db", ".lnk",
)  # fmt: skip
"""Suffixes of what lies beside film: tables, skeletons, subtitles, sound, notes. It is no lost film."""
_NUMBERED = re.compile(r"(.*?)([0-9]+)")
_SERIES = 3
"""Numbered pictures from which a folder of them is taken for a film."""
_LOOKS = 3
"""Files of one unknown suffix to look into."""


@dataclass(frozen=True)
class FoundFilms:
    """What a folder holds.

    Attributes:
        films: Every file with a film's suffix, folder by folder, in sorted order; links that lead nowhere are not.
        faults: Why other things are not read that may well be film, by path relative to the folder that names them.
        series: Those of `faults` that are folders of numbered pictures, which are film at a rate that somebody states.
    """

    films: tuple[Path, ...]
    faults: dict[str, str]
    series: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Folder:
    """The files of one folder by kind, and links that lead nowhere; hidden ones are left out."""

    path: Path
    films: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    strange: list[Path] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)
    fault: str = ""


def find_films(root: Path) -> Iterator[Path]:
    """Find every film below a folder, in sorted order; hidden files and folders are left out.

    Links to folders are followed, except back to a folder that they lie in. A GIF beside a film of the same name is a
    preview of it.
    """
    for folder in _walk(root, frozenset()):
        yield from _without_previews(folder.films)


def search_films(root: Path, *, base: Path | None = None) -> FoundFilms:
    """Find every film below a folder as `find_films` does, and what may be film but cannot be read as one.

    These are folders of pictures, numbered or not, films with unknown suffixes, folders in which all files are of
    unknown kinds, links that lead nowhere, and folders that may not be opened.

    Args:
        root: The folder. Its own files are not searched for faults.
        base: Faults are named by path relative to this folder; None is root.
    """
    films: list[Path] = []
    faults: dict[Path, str] = {}
    series: dict[Path, str] = {}
    strange: dict[str, list[Path]] = {}
    pictured: dict[Path, list[str]] = {}
    for folder in _walk(root, frozenset()):
        films += [path for path in _without_previews(folder.films) if path not in folder.broken]
        faults |= _find_faults(folder)
        if folder.path != root:
            for path in folder.strange:
                strange.setdefault(path.suffix.lower(), []).append(path)
            series |= _find_series(folder)
            if folder.pictures:
                pictured[folder.path] = [path.name for path in folder.pictures]
    # Pictures of a film that lies beside them under their folder's name are no film of their own.
    shown = {path.with_suffix("") for path in films}
    series = {path: why for path, why in series.items() if path not in shown}
    faults |= series | _name_pictures(pictured, {*series, *(path.parent for path in films)})
    faults |= _name_strangers(strange, {path.parent for path in films})
    named = {path: path.relative_to(base or root).as_posix() for path in faults}
    return FoundFilms(
        tuple(films),
        {named[path]: why for path, why in faults.items()},
        tuple(named[path] for path in series if is_series(path)),
    )


def _without_previews(films: Sequence[Path]) -> list[Path]:
    whole = {path.stem for path in films if path.suffix.lower() != ".gif"}
    return [path for path in films if path.suffix.lower() != ".gif" or path.stem not in whole]


def _walk(path: Path, above: frozenset[tuple[int, int]]) -> Iterator[_Folder]:
    """The folder and all below it, sorted; `above` are the devices and inodes of the folders that it lies in."""
    folder = _Folder(path)
    inner: list[Path] = []
    try:
        state = path.stat()
        if (state.st_dev, state.st_ino) in above:
            return  # a link back to where it lies
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if not entry.name.startswith("."):
                _sort_in(entry, folder, inner)
    except OSError as error:
        yield _Folder(path, fault=error.strerror or type(error).__name__)
        return
    yield folder
    for one in inner:
        yield from _walk(one, above | {(state.st_dev, state.st_ino)})


def _sort_in(entry: "os.DirEntry[str]", folder: _Folder, inner: list[Path]) -> None:
    path, suffix = Path(entry.path), PurePath(entry.name).suffix.lower()
    try:
        if entry.is_dir():
            inner.append(path)
            return
        there = entry.is_file()
    except OSError:  # a link to itself
        there = False
    if not there:
        folder.broken.append(path)
    if suffix in SUFFIXES:
        folder.films.append(path)
    elif not there:
        return
    elif suffix in _PICTURES:
        folder.pictures.append(path)
    elif suffix not in _BESIDE:
        folder.strange.append(path)


def _find_faults(folder: _Folder) -> dict[Path, str]:
    """Links that lead nowhere, and a folder that cannot be opened."""
    faults = {}
    if folder.fault:
        faults[folder.path] = (
            f"Expected a folder that can be opened, got an error: {folder.fault}. Give yourself the right to read it, "
            "or move it away."
        )
    for path in folder.broken:
        if path.is_symlink():
            faults[path] = (
                f"Expected a link to a file or folder, got one to {os.readlink(path)!r}, which does not exist. Mount "
                "or move it there, or remove the link."
            )
    return faults


def _find_series(folder: _Folder) -> dict[Path, str]:
    """A folder of numbered pictures without a film among them."""
    numbered = [(match, path) for path in folder.pictures if (match := _NUMBERED.fullmatch(path.stem))]
    if folder.films or len(numbered) < _SERIES:
        return {}
    match, first = min(numbered, key=lambda pair: (pair[0][1], int(pair[0][2])))
    pattern = f"{match[1]}%0{len(match[2])}d{first.suffix}"
    start = f" -start_number {int(match[2])}" if int(match[2]) > 1 else ""
    return {
        folder.path: (
            f"Expected a film, got a folder of {len(numbered)} numbered pictures from {first.name} on. Make a film of "
            f"it at the rate that it was filmed with: ffmpeg -framerate 30{start} -i {pattern} -crf 12 "
            f"../{folder.path.name}.mp4"
        )
    }


def _name_pictures(pictured: dict[Path, list[str]], filmed: set[Path]) -> dict[Path, str]:
    """Faults of folders with pictures that are no film, unless film lies in them, below or above: these go with it."""
    around = filmed | {above for path in filmed for above in path.parents}
    return {
        folder: (
            f"Expected film, or at least {_SERIES} pictures whose names end in their numbers (000001.jpg and so on), "
            f"got {len(names)} picture{'s' * (len(names) > 1)} such as {names[0]}. Rename the pictures of a film so, "
            "or move the folder away."
        )
        for folder, names in pictured.items()
        if folder not in around and filmed.isdisjoint(folder.parents)
    }


def _name_strangers(strange: dict[str, list[Path]], with_film: set[Path]) -> dict[Path, str]:
    """Faults of the files with unknown suffixes: all of a suffix if the first ones are film, else folders of them."""
    faults: dict[Path, str] = {}
    others: dict[Path, list[str]] = {}
    for suffix, paths in sorted(strange.items()):
        if any(holds_film(path) for path in paths[:_LOOKS]):
            for path in paths:
                faults[path] = (
                    f"Expected the suffix of a film ({', '.join(SUFFIXES[:5])} ...), got {suffix or 'none'!r}. Rename "
                    "it, for example to .mp4: what is inside may be of any kind."
                )
        else:
            for path in paths:
                others.setdefault(path.parent, []).append(suffix or path.name)
    for folder, suffixes in sorted(others.items()):
        if folder not in with_film and not any(path.parent == folder for path in faults):
            faults[folder] = (
                f"Expected films in the folder, got {_count(suffixes)} that cannot be read as film. Convert or unpack "
                "them, or move the folder away."
            )
    return faults


def _count(suffixes: Sequence[str]) -> str:
    kinds = sorted(set(suffixes))
    return f"{len(suffixes)} file{'s' * (len(suffixes) > 1)} ({', '.join(kinds[:3])}{' ...' * (len(kinds) > 3)})"
