"""Read the published lists of clips: the text files of UCF101 and HMDB51, and the tables of Kinetics."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from synthaug.datasets import DatasetNotFoundError
from synthaug.files import normalize_name
from synthaug.video import SUFFIXES

_LIST_OF_ONE_CLASS = re.compile(r"(.+)_test_split[0-9]+")


@dataclass(frozen=True)
class ListEntry:
    """One line of a published list.

    Attributes:
        name: The film's name without folder and suffix.
        label: Class name; empty where the list does not state it.
        code: The number after the name, as written; empty where there is none.
    """

    name: str
    label: str
    code: str = ""


def read_list(path: Path) -> list[ListEntry]:
    """Read the entries of a published list.

    Three forms are understood: lines `Class/v_Class_g01_c01.avi 1`, with or without the number (UCF101); lines
    `name.avi 1` in a file `<class>_test_split1.txt` (HMDB51); and tables with the columns label, youtube_id,
    time_start and time_end (Kinetics), whose films are named `<youtube_id>_000010_000020`.

    Args:
        path: UTF-8 text; the name of a table ends in .csv.

    Raises:
        DatasetNotFoundError: If there is no such file.
        ValueError: If it is not UTF-8 text, or a table lacks a column or has a time that is not a number.
    """
    if not path.is_file():
        raise DatasetNotFoundError(
            f"No such list: {str(path)!r}. Unpack the published lists there, or set the folder that holds them."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected {str(path)!r} to be a list in UTF-8 text, got other bytes ({error.reason}). Save it as UTF-8."
        ) from error
    text = normalize_name(text)
    if path.suffix.lower() == ".csv":
        return list(_read_table(path, text))
    of_one_class = _LIST_OF_ONE_CLASS.fullmatch(normalize_name(path.stem))
    return [_parse_line(line, of_one_class[1] if of_one_class else "") for line in text.splitlines() if line.strip()]


def _parse_line(line: str, label: str) -> ListEntry:
    words = line.strip().rsplit(maxsplit=1)
    code = words[1] if len(words) == 2 and words[1].isdecimal() else ""
    film = PurePosixPath(words[0] if code else line.strip())
    return ListEntry(film_stem(film.name), label or film.parent.name, code)


def _read_table(path: Path, text: str) -> Iterator[ListEntry]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    columns = [column.strip().lower() for column in reader.fieldnames or ()]
    reader.fieldnames = columns
    lacking = [column for column in ("youtube_id", "time_start", "time_end") if column not in columns]
    if lacking:
        raise ValueError(
            f"Expected {str(path)!r} to have the columns label, youtube_id, time_start and time_end of Kinetics' "
            f"tables, got {columns}. Name the column {lacking[0]} in the first line."
        )
    for row in reader:
        try:
            begin, end = (int(float(row[column])) for column in ("time_start", "time_end"))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Expected time_start and time_end in {path.name}, line {reader.line_num}, to be numbers of seconds, "
                f"got {row['time_start']!r} and {row['time_end']!r}. Correct or remove the line."
            ) from error
        yield ListEntry(f"{row['youtube_id'].strip()}_{begin:06}_{end:06}", (row.get("label") or "").strip())


def film_stem(name: str) -> str:
    """A film's name without its suffix. Only suffixes of film are removed, since names may hold other dots."""
    return name[: -len(PurePosixPath(name).suffix)] if name.lower().endswith(SUFFIXES) else name
