"""List the films of another generator, by a table or by their names, with the clip that each re-enacts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.datasets.indexing.tables import find_columns, parse_seconds, read_lines
from synthaug.files import normalize_name, walk_files
from synthaug.foreign.names import ReferenceNames, UnclearError, split_name
from synthaug.foreign.settings import TABLE, ForeignClips
from synthaug.structures import Record
from synthaug.video import SUFFIXES

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "file": ("file", "path", "video", "filename", "clip", "output"),
    "reference": ("reference", "driving", "source", "motion"),
    "identity": ("identity", "person", "avatar", "character"),
    "label": ("label", "class", "action"),
    "view": ("view", "camera"),
    "start": ("start", "t0"),
    "end": ("end", "t1"),
    "reference_start": ("reference_start",),
}
"""Accepted names of columns; the first that is present counts. Case does not matter; other columns are ignored."""


@dataclass(frozen=True)
class ForeignFilm:
    """A film that another generator made, as a table or its name states it.

    Attributes:
        name: Path below the folder, with / between folders; a table's rows of one file are told apart by their seconds.
        path: The file.
        reference: The clip of the data set that it re-enacts.
        identity: Who does so.
        start: Seconds of the file.
        end: Seconds of the file; None is its end.
        ahead: Seconds into the reference clip that `start` re-enacts.
        view: Name of the view; empty where it is the reference's.
    """

    name: str
    path: Path
    reference: Record
    identity: str
    start: float = 0.0
    end: float | None = None
    ahead: float = 0.0
    view: str = ""


def list_films(
    foreign: ForeignClips, records: Sequence[Record], classes: Sequence[str]
) -> tuple[list[ForeignFilm], dict[str, str]]:
    """The films of a folder, sorted by name, and why others are left out, by name.

    Args:
        foreign: Which folder, and how it says what its films show.
        records: All clips of the data set.
        classes: Its classes.

    Raises:
        FileNotFoundError: If there is no such folder or table.
        ValueError: If the table cannot be read or lacks a column, or nothing in the folder can be used.
    """
    folder, references = foreign.folder, ReferenceNames(records)
    if not folder.is_dir():
        raise FileNotFoundError(f"No such folder: synth.root={foreign.root!r}. Correct it.")
    if foreign.pattern is not None:
        films, faults = _list_by_name(folder, foreign.pattern, references)
    else:
        films, faults = _list_by_table(folder, foreign.table or TABLE, references, classes)
    if not films:
        first = next(iter(faults.values()), f"there is no film ({', '.join(SUFFIXES[:4])}, ...)")
        raise ValueError(
            f"Expected clips of another generator in synth.root={foreign.root!r}, got none that can be used of "
            f"{len(faults)}. The first: {first}"
        )
    return sorted(films, key=lambda film: film.name), faults


def _list_by_name(folder: Path, pattern: str, references: ReferenceNames) -> tuple[list[ForeignFilm], dict[str, str]]:
    films, faults = [], {}
    for path in sorted(walk_files(folder)):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() not in SUFFIXES or any(p[:1] == "." for p in name.split("/")):
            continue
        try:
            identity, record = split_name(name, pattern, references)
            films.append(ForeignFilm(name, path, record, identity))
        except UnclearError as error:
            faults[name] = str(error)
    return films, faults


def _list_by_table(
    folder: Path, table: str, references: ReferenceNames, classes: Sequence[str]
) -> tuple[list[ForeignFilm], dict[str, str]]:
    path = folder / Path(table).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"No such table: '{path}'. Write one with the columns file, reference and identity, give another as "
            "synth.table, or say what file names mean: synth.pattern='{identity}/{reference}.mp4'."
        )
    films: dict[str, ForeignFilm] = {}
    faults: dict[str, str] = {}
    for line, cells in _read_cells(path):
        place = f"{path.name}, line {line}"
        try:
            film = _parse_row(folder, cells, references, classes)
            if film.name in films:
                raise ValueError(f"{film.name} is named twice. Remove one of the rows.")
            films[film.name] = film
        except ValueError as error:
            faults[place] = str(error)
    return list(films.values()), faults


def _read_cells(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table with their lines, by our column names."""
    header, rows = read_lines(path)
    columns = find_columns(header, COLUMNS)
    lacking = [name for name in ("file", "reference", "identity") if name not in columns]
    if lacking:
        raise ValueError(
            f"Expected '{path}' to have the columns file, reference and identity, got {header} "
            f"without {' and '.join(lacking)}. Name them in the first line."
        )
    return [
        (line, {ours: str(row.get(columns.get(ours)) or "").strip() if ours in columns else "" for ours in COLUMNS})
        for line, row in rows
    ]


def _parse_row(
    folder: Path, cells: Mapping[str, str], references: ReferenceNames, classes: Sequence[str]
) -> ForeignFilm:
    if not (cells["file"] and cells["reference"] and cells["identity"]):
        raise ValueError("Expected a file, a reference and an identity, got an empty cell. Fill it in.")
    path = folder / cells["file"]
    if not path.is_file():
        raise ValueError(f"No such file: '{path}'. Correct the row.")
    record = references.find(cells["reference"])
    if record is None:
        raise UnclearError(
            f"Expected reference to name a clip of the data set, got {cells['reference']!r}. Write its key."
        )
    label = normalize_name(cells["label"])
    if label and label != normalize_name(classes[record.label]):
        raise ValueError(
            f"Expected the class of its reference {record.key} ({classes[record.label]}), got {label}. Correct the row."
        )
    start, end, ahead = (parse_seconds(cells[name]) for name in ("start", "end", "reference_start"))
    if (start or 0.0) < 0 or (end is not None and end <= (start or 0.0)):
        raise ValueError(
            f"Expected an interval that runs forwards from 0 or later, got {start} to {end} s. Correct it."
        )
    name = cells["file"] if start is None and end is None else f"{cells['file']}#{start or 0:g}-{end or ''}"
    identity, view = normalize_name(cells["identity"]), normalize_name(cells["view"])
    return ForeignFilm(name, path, record, identity, start or 0.0, end, ahead or 0.0, view)
