"""Words for pictures: captions from the table beside them, or the names of their folders."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = "captions.csv"
"""Name of the table in the folder of pictures."""
COLUMNS = ("file", "caption", "fov_deg", "depth")
"""What the table may say: the file, relative to the folder; words for the place; degrees that the picture is wide; and
whether its depth is `metric` or `relative`. Only the first is needed, cells may be empty."""


@dataclass(frozen=True)
class Caption:
    """What the table says about one picture; empty or None where it is silent.

    Attributes:
        words: The place in words.
        fov_deg: Degrees that the picture is wide.
        depth: What its depth map holds.
    """

    words: str = ""
    fov_deg: float | None = None
    depth: str | None = None


def read_captions(root: Path) -> dict[str, Caption]:
    """The table of a folder, by file; empty if there is none.

    Raises:
        ValueError: If the table names no files, has other columns, or holds what is no number where one is due.
    """
    path = root / TABLE
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        names = rows.fieldnames or []
        if "file" not in names or not set(names) <= set(COLUMNS):
            raise ValueError(
                f"Expected {path} to have the column file and of {COLUMNS[1:]} as many as needed, got {list(names)}. "
                "Rename its columns."
            )
        return {Path(row["file"]).as_posix(): _read_row(row, path) for row in rows if row["file"]}


def _read_row(row: Mapping[str, str | None], path: Path) -> Caption:
    wide, depth = (row.get("fov_deg") or "").strip(), (row.get("depth") or "").strip()
    try:
        fov = float(wide) if wide else None
    except ValueError:
        fov = -1.0
    if fov is not None and not 10 <= fov <= 150:
        raise ValueError(
            f"Expected fov_deg of {row['file']} in {path} to be degrees from 10 to 150, got {wide!r}. Correct it."
        )
    if depth not in ("", "metric", "relative"):
        raise ValueError(
            f"Expected depth of {row['file']} in {path} to be metric, relative or empty, got {depth!r}. Correct it."
        )
    return Caption((row.get("caption") or "").strip(), fov, depth or None)


def describe(name: str, captions: Mapping[str, Caption]) -> str:
    """Words for a picture's place: its caption, or else the folders that it lies in."""
    caption = captions.get(name)
    if caption is not None and caption.words:
        return caption.words
    return " ".join(Path(name).parent.parts)
