"""Read tables of labelled film: each row names a file, its class, and optionally subject, camera and seconds."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.datasets import DatasetNotFoundError
from synthaug.files import normalize_name

ALIASES: dict[str, tuple[str, ...]] = {
    "file": ("file", "path", "video", "filename", "clip"),
    "label": ("label", "class", "action", "sign", "activity"),
    "subject": ("subject", "person", "signer", "performer", "actor"),
    "camera": ("camera", "view", "setup"),
    "start": ("start", "t0"),
    "end": ("end", "t1"),
    "fps": ("fps", "frame_rate", "framerate"),
}
"""Accepted column names; the first that is present counts. Case and spaces do not matter; other columns are ignored."""

_PART_COLUMNS = ("split", "subset", "partition")
"""Names of a column that divides the rows. Ignoring it would train on test clips, so it is an error."""


@dataclass(frozen=True)
class TableRow:
    """One labelled interval of a file, as a table states it.

    Attributes:
        place: Where the row is, for messages: `clips.csv, line 7`.
        file: Relative to the data set's root.
        label: Class name, in Unicode's composed form like the other names.
        subject: The person; empty where the table does not state it.
        camera: The camera; empty where the table does not state it.
        start: Seconds into the file.
        end: Seconds into the file; None is the end of the file.
        fps: Pictures a second, where the file is a folder of numbered pictures; None where the table does not state it.
    """

    place: str
    file: str
    label: str
    subject: str
    camera: str
    start: float = 0.0
    end: float | None = None
    fps: float | None = None


def read_table(path: Path) -> tuple[list[TableRow], dict[str, str]]:
    """Read a table with a header, separated by commas, semicolons or tabs.

    Args:
        path: UTF-8 text.

    Returns:
        The usable rows, and what is wrong with each of the others by its place.

    Raises:
        DatasetNotFoundError: If there is no such file.
        ValueError: If it is not UTF-8 text or not CSV, lacks a column for files or labels, or has one that divides
            the rows.
    """
    if not path.is_file():
        raise DatasetNotFoundError(
            f"No such table: dataset.csv={str(path)!r}. The path is relative to dataset.root: correct either of them, "
            "or leave dataset.csv out to use sub-folders as classes."
        )
    rows: list[TableRow] = []
    faults: dict[str, str] = {}
    header, lines = read_lines(path)
    columns = _find_columns(header, path)
    for line, cells in lines:
        place = f"{path.name}, line {line}"
        try:
            rows.append(_parse_row(place, _rename_cells(cells, columns)))
        except ValueError as error:
            faults[place] = str(error)
    return rows, faults


def read_lines(path: Path) -> tuple[list[str], list[tuple[int, dict[str | None, object]]]]:
    """The header of a CSV, and each row by it, with the number of the line that it ends in.

    Args:
        path: UTF-8 text, separated by commas, semicolons or tabs, whichever the header has most of.

    Raises:
        ValueError: If it is not UTF-8 text or not CSV.
    """
    text = _read_text(path)
    header = text.splitlines()[0] if text.strip() else ""
    # strict: otherwise an unclosed quote would join the rows that follow it into one label.
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), skipinitialspace=True, strict=True
    )
    lines = list(_read_lines(reader, path))
    return list(reader.fieldnames or ()), lines


def find_columns(header: Sequence[str], aliases: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The column of a header for each of our names that has one: the first of its aliases, whatever its case."""
    plain = {column.strip().lower(): column for column in reversed(header)}
    found = {name: next((plain[alias] for alias in known if alias in plain), None) for name, known in aliases.items()}
    return {name: column for name, column in found.items() if column is not None}


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")  # not read_text: line ends within quotes are the cell's
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected {str(path)!r} to be a CSV in UTF-8 text, got other bytes ({error.reason}). Save it as UTF-8."
        ) from error


def _read_lines(reader: "csv.DictReader[str]", path: Path) -> Iterator[tuple[int, dict[str | None, object]]]:
    """Each row with the number of the line that it ends in."""
    last = 0
    try:
        for cells in reader:
            last = reader.line_num
            yield last, dict(cells)
    except csv.Error as error:
        raise ValueError(
            f"Expected {str(path)!r} to be a CSV, got an error from line {last + 1} on ({error}). Close the quotes in "
            "that line, and double those within a cell."
        ) from error


def _find_columns(header: list[str], path: Path) -> dict[str, str]:
    columns = find_columns(header, ALIASES)
    for name in ("file", "label"):
        if name not in columns:
            raise ValueError(
                f"Expected {str(path)!r} to have a column for the {name}, named one of {list(ALIASES[name])}, got "
                f"{header}. Name it in the first line."
            )
    plain = {column.strip().lower(): column for column in reversed(header)}
    parts = next((plain[name] for name in _PART_COLUMNS if name in plain), None)
    if parts is not None:
        raise ValueError(
            f"Expected {str(path)!r} to have no column that divides the clips, got {parts!r}: protocols divide, not "
            "tables. Remove the column and set protocol.test_subjects, or move the films below train/ and test/ and "
            "divide by folder with protocol=predefined."
        )
    return columns


def _rename_cells(cells: Mapping[str | None, object], columns: Mapping[str, str]) -> dict[str, str]:
    """The row's cells by our column names; DictReader puts cells beyond the header under None."""
    beyond = cells.get(None)
    if isinstance(beyond, list) and any(map(str.strip, beyond)):
        raise ValueError(f"the row has {len(beyond)} cells more than the header; quote cells that hold the separator")
    ours = {name: str(cells[column] or "").strip() for name, column in columns.items()}
    broken = next((text for text in ours.values() if "\n" in text or "\r" in text), None)
    if broken is not None:
        raise ValueError(f"the cell {broken[:40]!r} goes over several lines; close its quote")
    return ours


def _parse_row(place: str, cells: Mapping[str, str]) -> TableRow:
    if not cells["file"] or not cells["label"]:
        raise ValueError("the row names no file or no label")
    start = parse_seconds(cells.get("start", "")) or 0.0
    end = parse_seconds(cells.get("end", ""))
    if start < 0 or (end is not None and end <= start):
        raise ValueError(f"{cells['file']}: the interval {start:g} to {end} s does not run forwards from 0 or later")
    label, subject, camera = (normalize_name(cells.get(name, "")) for name in ("label", "subject", "camera"))
    return TableRow(place, cells["file"], label, subject, camera, start, end, _parse_rate(cells.get("fps", "")))


def _parse_rate(text: str) -> float | None:
    try:
        rate = float(text) if text else None
    except ValueError:
        rate = math.nan
    if rate is not None and not 0 < rate < math.inf:
        raise ValueError(f"{text!r} is not a rate of pictures a second")
    return rate


def parse_seconds(text: str) -> float | None:
    """The seconds in a cell; None where it is empty.

    Raises:
        ValueError: If it is no finite number.
    """
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        hint = "; write decimals with a point" if "," in text else ""
        raise ValueError(f"{text!r} is not a number of seconds{hint}")
    return seconds
