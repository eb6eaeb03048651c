"""The embedded default: a small data set of pseudo-real film that is made on first use, not downloaded.

It is handed the maker of its films; that these are rendered, and how, is not its business.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import final

from synthaug.datasets import ActionDataset
from synthaug.files import user_cache, write_atomic
from synthaug.structures import Record


class FilmMaker(ABC):
    """Makes labelled film out of nothing, the same film every time."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """The actions that are performed."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever other film would be made."""

    @abstractmethod
    def shoot(self, root: Path) -> list[Record]:
        """Make every film below `root` that is not there yet, and say what there is."""


@final
class Demo(ActionDataset):
    """Pseudo-real clips of 16 everyday actions by people, in rooms and by cameras that synthesis never uses.

    It shows that the machinery works and what each component adds. Only filmed clips show what synthesis is worth.

    Dataset format:
        `<root>/<print>/<class>/<performer>.mp4` with `<performer>.npz`, the true motion and camera, beside it, and
        `records.json`. The print is of all that decides the films, so that no film is taken for another's.

    Args:
        films: Makes the films.
        root: Where they are kept; None is `demo` in the user's cache.
    """

    def __init__(self, films: FilmMaker, *, root: str | None = None) -> None:
        self._films = films
        self._root = (Path(root).expanduser() if root else user_cache() / "demo") / films.fingerprint[:12]
        self._records: tuple[Record, ...] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the actions, by label."""
        return self._films.classes

    @property
    def records(self) -> tuple[Record, ...]:
        """Every film, by key."""
        if self._records is None:
            self.prepare()
        assert self._records is not None
        return self._records

    @property
    def mirrored_classes(self) -> Mapping[str, str | None]:
        """Every action is its own mirror image: it is performed with either hand."""
        return {}

    @property
    def quarantine(self) -> dict[str, str]:
        """Nothing: what is made is whole."""
        return {}

    @property
    def notes(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def prepare(self) -> None:
        """Make the films that are missing."""
        index = self._root / "records.json"
        if not index.exists():
            records = sorted(self._films.shoot(self._root), key=lambda record: record.key)
            write_atomic(index, json.dumps([_entry(record, self._root) for record in records], indent=0).encode())
        entries = json.loads(index.read_text())
        self._records = tuple(Record(**{**entry, "path": self._root / entry["path"]}) for entry in entries)


def _entry(record: Record, root: Path) -> dict[str, str | int | float]:
    return {
        "key": record.key, "path": str(record.path.relative_to(root)), "label": record.label,
        "subject": record.subject, "camera": record.camera, "start": record.start, "end": record.end,
    }  # fmt: skip
