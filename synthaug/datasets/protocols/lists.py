"""Splits that are published as lists of names: HMDB51's, UCF101's, Kinetics' and whatever is written like them.

Below the data sets that find labels in such lists; the protocol serves any data set whose films are named as listed.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, final

from synthaug.datasets import DatasetNotFoundError, Protocol, Split
from synthaug.datasets.indexing.arguments import items
from synthaug.datasets.protocols.draws import Draws
from synthaug.structures import Record
from synthaug.video import SUFFIXES

_PARTS = {"train": "training", "val": "validation", "test": "test"}
_OF_ONE_CLASS = re.compile(r"(.+)_test_split[0-9]+")

_INTERVAL = re.compile(r"#[0-9]+\.[0-9]{2}-[0-9]+\.[0-9]{2}$")
"""What a key ends in where it is a part of a film; names of HMDB51 hold the sign elsewhere."""


@dataclass(frozen=True)
class Entry:
    """One line of a list.

    Attributes:
        name: Of the film, without folder and suffix.
        label: Class name; empty where the list does not say.
        code: The number behind the name, as written; empty where there is none.
    """

    name: str
    label: str
    code: str = ""


def read_list(path: Path) -> list[Entry]:
    """The entries of a published list.

    Understood are lines `Class/v_Class_g01_c01.avi 1` or without the number (UCF101), `name.avi 1` in a file
    `<class>_test_split1.txt` (HMDB51), and tables with the columns label, youtube_id, time_start and time_end
    (Kinetics), whose films are named `<youtube_id>_000010_000020`.

    Args:
        path: UTF-8 text; a table ends in .csv.

    Raises:
        DatasetNotFoundError: If there is no such file.
        ValueError: If it is no text, or a table without these columns or with other seconds; the line is named.
    """
    if not path.is_file():
        raise DatasetNotFoundError(
            f"There is no list at {str(path)!r}; a published list of names was wanted. Unpack the lists there, or set "
            "the folder that they are in."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is no UTF-8 text ({error.reason}). A list of names was wanted. Save it again."
        ) from error
    if path.suffix.lower() == ".csv":
        return list(_rows(path, text))
    of_one_class = _OF_ONE_CLASS.fullmatch(path.stem)
    return [_line(line, of_one_class[1] if of_one_class else "") for line in text.splitlines() if line.strip()]


def _line(line: str, label: str) -> Entry:
    words = line.strip().rsplit(maxsplit=1)
    code = words[1] if len(words) == 2 and words[1].isdecimal() else ""
    film = PurePosixPath(words[0] if code else line.strip())
    return Entry(name_of(film.name), label or film.parent.name, code)


def _rows(path: Path, text: str) -> Iterator[Entry]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    columns = [column.strip().lower() for column in reader.fieldnames or ()]
    reader.fieldnames = columns
    lacking = [column for column in ("youtube_id", "time_start", "time_end") if column not in columns]
    if lacking:
        raise ValueError(
            f"{str(path)!r} has the columns {columns}; label, youtube_id, time_start and time_end were wanted, as "
            f"Kinetics has them. Name {lacking[0]} in the first line."
        )
    for row in reader:
        try:
            begin, end = (int(float(row[column])) for column in ("time_start", "time_end"))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{path.name}, line {reader.line_num}, gives {row['time_start']!r} to {row['time_end']!r} as seconds; "
                "two numbers were wanted. Correct the line, or take it out."
            ) from error
        yield Entry(f"{row['youtube_id'].strip()}_{begin:06}_{end:06}", (row.get("label") or "").strip())


def name_of(film: str) -> str:
    """A film's name without its suffix, if that is one of film's; dots may stand elsewhere in it."""
    return film[: -len(PurePosixPath(film).suffix)] if film.lower().endswith(SUFFIXES) else film


@final
class ListSplit(Protocol):
    """A division that is published as lists: official splits of HMDB51, UCF101 and Kinetics, or your own.

    A clip is listed if the list has its film's name, and its class where the list says that. Clips on no list are
    left out and counted; so are listed clips of the classes in use that the data lack.

    UCF101's parts share no group (`by="subject"`, since its groups are one person and place each). HMDB51 and
    Kinetics promise less, and `by="key"` separates clips alone; how many sources (films, videos) are on both sides is
    counted in the notes.

    Args:
        folder: Where the lists are.
        parts: Patterns of file names for `train`, `test` and perhaps `val`. `{number}` stands for `number`; `:1` at
            the end takes the lines that end in 1, as HMDB51 codes its parts.
        by: What training and test never share: "subject" or "key".
        number: Which of several splits.
        n_shot: Training clips kept of each class, drawn by `seed`; None keeps all.
        seed: Of the draw.

    Raises:
        ValueError: If a part is unknown or not given, or `by` is something else.

    Source:
        Kuehne and others, HMDB, ICCV 2011; Soomro and others, UCF101, 2012; Kay and others, Kinetics, 2017.
    """

    def __init__(
        self,
        folder: Path | str,
        parts: Mapping[str, Sequence[str]],
        *,
        by: str = "key",
        number: int = 1,
        n_shot: int | None = None,
        seed: int = 0,
    ) -> None:
        if not {"train", "test"} <= set(parts) <= set(_PARTS) or by not in ("subject", "key"):
            raise ValueError(
                f"protocol.parts has {', '.join(parts) or 'nothing'} and protocol.by={by!r}; train, test and perhaps "
                "val, and 'subject' or 'key', were wanted. Name the lists of each part."
            )
        self.folder = Path(folder).expanduser()
        self.patterns = {
            part: tuple(
                pattern.replace("{number}", str(number)) for pattern in items(patterns, f"protocol.parts.{part}")
            )
            for part, patterns in parts.items()
        }
        self.by: Literal["subject", "key"] = "subject" if by == "subject" else "key"
        self.draws = Draws(0.0, n_shot, seed)

    @property
    def separates(self) -> Literal["subject", "camera", "path", "key"]:
        """Groups of one person and place, or nothing but the clips."""
        return self.by

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide as listed.

        Raises:
            DatasetNotFoundError: If a pattern finds no list.
            ValueError: If a list cannot be understood, a clip is listed for two parts, or a class has no training clip.
        """
        listed = self._listed()
        found: dict[str, list[Record]] = {part: [] for part in _PARTS}
        met: set[tuple[str, str]] = set()
        for record in records:
            name = name_of(PurePosixPath(_INTERVAL.sub("", record.key)).name)
            for place in ((classes[record.label], name), ("", name)):
                if place in listed:
                    found[listed[place]].append(record)
                    met.add(place)
                    break
        notes = {"clips_in_no_part": len(records) - sum(map(len, found.values()))}
        for part, noun in _PARTS.items():
            notes[f"official_{noun}_clips_absent"] = sum(
                listed[place] == part and place not in met and place[0] in ("", *classes) for place in listed
            )
        trained = {record.subject for record in found["train"]}
        notes["sources_in_training_and_test"] = len(trained & {record.subject for record in found["test"]})
        train, val, test = (tuple(found[part]) for part in _PARTS)
        kept = {what: number for what, number in notes.items() if number}
        return self.draws.finish(Split(train, val, test, kept), classes)

    def _listed(self) -> dict[tuple[str, str], str]:
        """The part of each class and name."""
        listed: dict[tuple[str, str], str] = {}
        for part, patterns in self.patterns.items():
            for pattern in patterns:
                for entry in _entries(self.folder, pattern):
                    if listed.setdefault((entry.label, entry.name), part) != part:
                        raise ValueError(
                            f"The clip {entry.name!r} is listed for {listed[entry.label, entry.name]} and {part}. "
                            "Lists that share no clip were wanted. Correct protocol.parts or the lists."
                        )
        return listed


def _entries(folder: Path, pattern: str) -> Iterator[Entry]:
    files, _, code = pattern.partition(":")
    paths = sorted(folder.glob(files))
    if not paths:
        raise DatasetNotFoundError(
            f"No list {files!r} is in protocol.folder={str(folder)!r}; the lists as published were wanted. Unpack them "
            "there, or set protocol.folder."
        )
    for path in paths:
        yield from (entry for entry in read_list(path) if not code or entry.code == code)
