"""Tables of labelled film as others write them: one row names a file, what is done in it, by whom and when.

Below the data sets that read tables.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from synthaug.datasets import DatasetNotFoundError

ALIASES: dict[str, tuple[str, ...]] = {
    "file": ("file", "path", "video", "filename", "clip"),
    "label": ("label", "class", "action", "sign", "activity"),
    "subject": ("subject", "person", "signer", "performer", "actor"),
    "camera": ("camera", "view", "setup"),
    "start": ("start", "t0"),
    "end": ("end", "t1"),
}
"""Names that a column may have, the first found wins; case and blanks do not matter, other columns are ignored."""

_PARTS = ("split", "subset", "partition")
"""Names of a column that divides the rows. That is a protocol's business; to ignore it would train on a test."""


@dataclass(frozen=True)
class Row:
    """One labelled interval of a file, as a table says it.

    Attributes:
        place: Where it stands, for messages: `clips.csv, line 7`.
        file: Relative to the data set's root.
        label: Class name.
        subject: Who is seen; empty where the table does not say.
        camera: Which view; empty where the table does not say.
        start: Seconds into the file.
        end: Seconds into the file; None means its end.
    """

    place: str
    file: str
    label: str
    subject: str
    camera: str
    start: float = 0.0
    end: float | None = None


def read_table(path: Path) -> tuple[list[Row], dict[str, str]]:
    """Rows of a table with a header, separated by commas, semicolons or tabs.

    Args:
        path: UTF-8 text.

    Returns:
        The usable rows, and what is wrong with each of the others by its place.

    Raises:
        DatasetNotFoundError: If there is no such file.
        ValueError: If it is no text or no CSV, has no column for files or for labels, or one that divides the rows.
    """
    if not path.is_file():
        raise DatasetNotFoundError(
            f"There is no table at dataset.csv={str(path)!r}; a CSV with columns file and label was wanted. It is "
            "looked for within dataset.root: correct either of them, or leave csv out to take sub-folders as classes."
        )
    text = _text(path)
    header = text.splitlines()[0] if text.strip() else ""
    # strict: an unclosed quote would else swallow the rows that follow it into one label.
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), skipinitialspace=True, strict=True
    )
    rows: list[Row] = []
    faults: dict[str, str] = {}
    lines = list(_lines(reader, path))
    columns = _columns(list(reader.fieldnames or ()), path)
    for line, cells in lines:
        place = f"{path.name}, line {line}"
        try:
            rows.append(_row(place, _cells(cells, columns)))
        except ValueError as error:
            faults[place] = str(error)
    return rows, faults


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")  # not read_text: line ends within quotes are the cell's
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is no UTF-8 text ({error.reason}). A CSV was wanted. Save it again."
        ) from error


def _lines(reader: "csv.DictReader[str]", path: Path) -> Iterator[tuple[int, dict[str | None, object]]]:
    """Each row and the line that it ends in."""
    last = 0
    try:
        for cells in reader:
            last = reader.line_num
            yield last, dict(cells)
    except csv.Error as error:
        raise ValueError(
            f"{str(path)!r} is no CSV from line {last + 1} on ({error}). Quotes that are closed, and doubled within a "
            "cell, were wanted. Mend that line."
        ) from error


def _columns(header: list[str], path: Path) -> dict[str, str]:
    plain = {column.strip().lower(): column for column in reversed(header)}
    columns = {}
    for name, aliases in ALIASES.items():
        found = next((plain[alias] for alias in aliases if alias in plain), None)
        if found is not None:
            columns[name] = found
        elif name in ("file", "label"):
            raise ValueError(
                f"{str(path)!r} has the columns {header}; one of {list(aliases)} was wanted for the {name}. Name it in "
                "the first line."
            )
    parts = next((plain[name] for name in _PARTS if name in plain), None)
    if parts is not None:
        raise ValueError(
            f"{str(path)!r} has a column {parts!r}, which would be ignored: protocols divide, not tables. A table "
            "without it was wanted. Take the column out and name the test's people (protocol.test_subjects), or move "
            "the films below train/ and test/ and divide by folder (protocol=predefined)."
        )
    return columns


def _cells(cells: Mapping[str | None, object], columns: Mapping[str, str]) -> dict[str, str]:
    """The row's cells by our names; DictReader puts those beyond the header under None."""
    beyond = cells.get(None)
    if isinstance(beyond, list) and any(map(str.strip, beyond)):
        raise ValueError(
            f"the row has {len(beyond)} cells more than the header; is a comma within a cell that is not quoted?"
        )
    ours = {name: str(cells[column] or "").strip() for name, column in columns.items()}
    broken = next((text for text in ours.values() if "\n" in text or "\r" in text), None)
    if broken is not None:
        raise ValueError(f"the cell {broken[:40]!r} goes over several lines; is a quote not closed?")
    return ours


def _row(place: str, cells: Mapping[str, str]) -> Row:
    if not cells["file"] or not cells["label"]:
        raise ValueError("the row names no file or no label")
    start = _seconds(cells.get("start", "")) or 0.0
    end = _seconds(cells.get("end", ""))
    if start < 0 or (end is not None and end <= start):
        raise ValueError(f"{cells['file']}: the interval {start:g} to {end} s does not run forwards from 0 or later")
    subject, camera = cells.get("subject", ""), cells.get("camera", "")
    return Row(place, cells["file"], cells["label"], subject, camera, start, end)


def _seconds(text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        hint = "; write decimals with a point" if "," in text else ""
        raise ValueError(f"{text!r} is no number of seconds{hint}")
    return seconds
