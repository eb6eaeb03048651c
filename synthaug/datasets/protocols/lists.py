"""Divide by published lists of clips: the official splits of HMDB51, UCF101 and Kinetics, or your own lists."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, final

from synthaug.datasets import DatasetNotFoundError, Protocol, Split
from synthaug.datasets.indexing.arguments import require_list
from synthaug.datasets.indexing.lists import ListEntry, film_stem, read_list
from synthaug.datasets.protocols.choosing import ShotChoice
from synthaug.files import normalize_name
from synthaug.structures import Record, Trait

_PARTS = {"train": "training", "val": "validation", "test": "test"}

_INTERVAL = re.compile(r"#[0-9]+\.[0-9]{2}-[0-9]+\.[0-9]{2}$")
"""The end of a key that names a part of a film. The names of HMDB51 hold "#" elsewhere."""


@final
class ListSplit(Protocol):
    """Divides as published lists say: the official splits of HMDB51, UCF101 and Kinetics, or your own lists.

    A clip belongs to a part if one of the part's lists has its film's name, and its class where the list states one.
    Clips on no list are left out and counted. Listed clips that the data lack are counted too, if their class is used.

    UCF101's parts share no group of clips, and a group is one person in one place: use `by="subject"`. HMDB51 and
    Kinetics promise less: `by="key"` forbids only shared clips. The notes count the sources (films, videos) that are in
    both training and test.

    Args:
        folder: The folder of the lists.
        parts: Patterns of file names for `train`, `test` and optionally `val`. `{number}` stands for `number`; `:1` at
            the end of a pattern takes only the lines that end in 1, which is how HMDB51 marks its parts.
        by: What training and test never share: "subject" or "key".
        number: Number of the split, where there are several official ones.
        n_shot: Training clips to keep of each class, chosen by `seed`; None keeps all.
        seed: Seed of the choice.

    Raises:
        ValueError: If a part is unknown or missing, or `by` is neither of the two.

    Source:
        Kuehne et al., "HMDB: A Large Video Database for Human Motion Recognition", ICCV 2011. Soomro et al., "UCF101",
        CRCV-TR-12-01, 2012. Kay et al., "The Kinetics Human Action Video Dataset", 2017.
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
        if not {"train", "test"} <= set(parts) <= set(_PARTS):
            raise ValueError(
                f"Expected protocol.parts to have train, test and optionally val, got {', '.join(parts) or 'nothing'}. "
                "Name the lists of each part."
            )
        if by not in ("subject", "key"):
            raise ValueError(f"Expected protocol.by to be 'subject' or 'key', got {by!r}. Set one of them.")
        self.folder = Path(folder).expanduser()
        self.patterns = {
            part: tuple(
                pattern.replace("{number}", str(number)) for pattern in require_list(patterns, f"protocol.parts.{part}")
            )
            for part, patterns in parts.items()
        }
        self.by: Literal["subject", "key"] = "subject" if by == "subject" else "key"
        self.choice = ShotChoice(0.0, n_shot, seed)

    @property
    def separates(self) -> Trait:
        """Training and test share no subject, or only no clip."""
        return self.by

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide as listed.

        Raises:
            DatasetNotFoundError: If a pattern finds no list.
            ValueError: If a list cannot be read, a clip is listed for two parts, or a class has no training clip.
        """
        listed = self._read_parts()
        found: dict[str, list[Record]] = {part: [] for part in _PARTS}
        met: set[tuple[str, str]] = set()
        for record in records:
            name = normalize_name(film_stem(PurePosixPath(_INTERVAL.sub("", record.key)).name))
            for place in ((normalize_name(classes[record.label]), name), ("", name)):
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
        return self.choice.apply(Split(train, val, test, kept), classes)

    def _read_parts(self) -> dict[tuple[str, str], str]:
        """The part of each class and name."""
        listed: dict[tuple[str, str], str] = {}
        for part, patterns in self.patterns.items():
            for pattern in patterns:
                for entry in _read_entries(self.folder, pattern):
                    if listed.setdefault((entry.label, entry.name), part) != part:
                        raise ValueError(
                            f"Expected each clip in one part only, got {entry.name!r} in "
                            f"{listed[entry.label, entry.name]} and {part}. Correct protocol.parts or the lists."
                        )
        return listed


def _read_entries(folder: Path, pattern: str) -> Iterator[ListEntry]:
    files, _, code = pattern.partition(":")
    paths = sorted(folder.glob(files))
    if not paths:
        raise DatasetNotFoundError(
            f"No such list: {files!r} in protocol.folder={str(folder)!r}. Unpack the published lists there, or set "
            "protocol.folder."
        )
    for path in paths:
        yield from (entry for entry in read_list(path) if not code or entry.code == code)
