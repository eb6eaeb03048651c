"""The embedded default: a small data set of pseudo-real film that is rendered on first use, not downloaded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import final

from synthaug.datasets import ActionDataset
from synthaug.files import user_cache, write_atomic
from synthaug.pseudoreal import FilmMaker
from synthaug.structures import Record


@final
class Demo(ActionDataset):
    """Pseudo-real clips of 16 everyday actions, with people, rooms and cameras that synthesis never uses.

    It shows that the machinery works and what each component adds. Only filmed clips show what synthesis is worth.

    Dataset format:
        `prepare` renders the films; nothing is downloaded. The fingerprint covers everything that decides the films, so
        other settings get another folder:

            root/<fingerprint>/
              records.json
              <class>/<performer>.mp4
              <class>/<performer>.npz     true motion and camera

    Dataset classes:
        The 16 actions of `conf/dataset/demo.yaml`; `films.classes` selects and orders them.

    Protocols:
        `protocol=demo` (the default) is `CrossSubject` with two training clips of each class. `protocol=demo_views` and
        `protocol=demo_places` test on unseen views and in unseen rooms; they need the films of `dataset=demo_views` and
        `dataset=demo_places`.

    Licence:
        None needed: the films are rendered from Anny (code Apache-2.0, assets CC0) and procedural rooms.

    Args:
        films: Makes the films; None is `synthaug.pseudoreal.film.PseudoReal()`, the 256 films of the demo.
        root: The folder of the films; None uses `demo` in the user's cache.
    """

    def __init__(self, films: FilmMaker | None = None, *, root: Path | str | None = None) -> None:
        if films is None:
            from synthaug.pseudoreal.film import PseudoReal

            films = PseudoReal()
        self._films = films
        self._root = (Path(root).expanduser() if root else user_cache() / "demo") / films.fingerprint[:12]
        self._records: tuple[Record, ...] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the actions, by label."""
        return self._films.classes

    @property
    def records(self) -> tuple[Record, ...]:
        """One record for each film, sorted by key."""
        if self._records is None:
            self.prepare()
        assert self._records is not None
        return self._records

    @property
    def mirrored_classes(self) -> Mapping[str, str | None]:
        """Empty: every action is its own mirror image, since it is performed with either hand."""
        return {}

    @property
    def quarantine(self) -> dict[str, str]:
        """Empty: every film that is made is usable."""
        return {}

    @property
    def notes(self) -> dict[str, int]:
        """Empty: nothing is changed while indexing."""
        return {}

    def prepare(self) -> None:
        """Make the films that are missing."""
        index = self._root / "records.json"
        if not index.exists():
            records = sorted(self._films.shoot(self._root), key=lambda record: record.key)
            write_atomic(index, json.dumps([_to_json(record, self._root) for record in records], indent=0).encode())
        entries = json.loads(index.read_text())
        self._records = tuple(Record(**{**entry, "path": self._root / entry["path"]}) for entry in entries)


def _to_json(record: Record, root: Path) -> dict[str, str | int | float]:
    return {
        "key": record.key,
        "path": str(record.path.relative_to(root)),
        "label": record.label,
        "subject": record.subject,
        "camera": record.camera,
        "start": record.start,
        "end": record.end,
    }
