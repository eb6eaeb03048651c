"""Kinetics-400, -600 and -700: ten seconds of each of several hundred thousand YouTube videos.

Its splits are its tables (`lists.ListSplit`, conf/protocol/kinetics.yaml).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import final

from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.indexing.arguments import items
from synthaug.datasets.indexing.named import (
    Named,
    NamedFilms,
    OtherClassError,
    UnknownNameError,
    classes_among,
    films_below,
)
from synthaug.datasets.protocols.lists import read_list

_NAME = re.compile(r"(.+)_[0-9]{6}_[0-9]{6}")


@final
class Kinetics(NamedFilms):
    """Kinetics, or any set published as its tables are.

    Dataset format:
        `<root>/**/<youtube_id>_000010_000020.mp4`, in folders of any names, and tables with the columns label,
        youtube_id, time_start, time_end and split, in `<root>/` or `<root>/annotations/`.

    The tables say the classes; folders need not. Films that no table labels are left out and counted. Classes are
    those that some film has, sorted. Keys are the films' names; the subject is the YouTube video.

    Args:
        root: The folder.
        tables: Patterns of the tables within root.
        classes: Class names, in the order of their labels; None takes all that are there, sorted.
        cache: Folder of the index of films; None is the user's cache.

    Raises:
        DatasetNotFoundError: If no labelled film or no table is there.
        ValueError: If a class is unknown, a table cannot be understood, or a clip is there twice.

    Source:
        Kay and others, "The Kinetics Human Action Video Dataset", 2017, and its successors.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        tables: Sequence[str] = ("*.csv", "annotations/*.csv"),
        classes: Sequence[str] | None = None,
        cache: Path | str | None = None,
    ) -> None:
        folder = Path(root).expanduser().absolute()
        self._labels = _labels(
            sorted({path for pattern in items(tables, "dataset.tables") for path in folder.glob(pattern)})
        )
        films = list(films_below(folder))
        present = {self._labels[path.stem] for path in films if path.stem in self._labels}
        if not present:
            raise DatasetNotFoundError(
                f"Kinetics isn't at dataset.root={str(folder)!r}: {len(films)} films and {len(self._labels)} labels "
                "are there, and none belong together. <folder>/<youtube_id>_000010_000020.mp4, and tables such as "
                "annotations/train.csv with label, youtube_id, time_start and time_end, were wanted. Get both from "
                "github.com/cvdfoundation/kinetics-dataset, then set dataset.root or dataset.tables; or try "
                "dataset=demo."
            )
        self._classes = classes_among(classes, sorted(present))
        super().__init__(folder, iter(films), title="Kinetics", cache=cache)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a record's label is an index into them."""
        return self._classes

    def _read(self, path: Path) -> Named:
        found = _NAME.fullmatch(path.stem)
        if found is None:
            raise UnknownNameError(
                f"{path.stem!r} was given; <youtube_id>_000010_000020 was wanted, as Kinetics' clips are named. Rename "
                "the file, or move it away"
            )
        label = self._labels.get(path.stem)
        if label is None:
            raise OtherClassError("films_in_no_table")
        if label not in self._classes:
            raise OtherClassError("clips_of_other_classes")
        return Named(path.stem, path, self._classes.index(label), found[1], "")


def _labels(tables: Sequence[Path]) -> dict[str, str]:
    """The class of each clip; a table of the held-out test may have none."""
    labels: dict[str, str] = {}
    for table in tables:
        for entry in read_list(table):
            if entry.label and labels.setdefault(entry.name, entry.label) != entry.label:
                raise ValueError(
                    f"{table.name} calls {entry.name!r} {entry.label!r}, and another line {labels[entry.name]!r}. One "
                    "class a clip was wanted. Correct the tables, or narrow dataset.tables."
                )
    return labels
