"""Tables of labelled film as others write them: one row names a file, what is done in it, by whom and when.

Below the data sets that read tables.
"""

import csv
import math
from collections.abc import Mapping
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
        ValueError: If it is no text, or has no column for files or for labels.
    """
    if not path.is_file():
        raise DatasetNotFoundError(
            f"There is no table at dataset.csv={str(path)!r}; a CSV with columns file and label was wanted. It is "
            "looked for within dataset.root: correct either of them, or leave csv out to take sub-folders as classes."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is no UTF-8 text ({error.reason}). A CSV was wanted. Save it again."
        ) from error
    header = text.splitlines()[0] if text.strip() else ""
    reader = csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=header.count), skipinitialspace=True)
    columns = _columns(list(reader.fieldnames or ()), path)
    rows: list[Row] = []
    faults: dict[str, str] = {}
    for cells in reader:
        place = f"{path.name}, line {reader.line_num}"
        try:
            rows.append(_row(place, {name: (cells[column] or "").strip() for name, column in columns.items()}))
        except ValueError as error:
            faults[place] = str(error)
    return rows, faults


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
    return columns


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
        raise ValueError(f"{text!r} is no number of seconds")
    return seconds
