"""Kinetics-400, -600 and -700: ten seconds of each of several hundred thousand YouTube videos."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import final

from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.indexing.arguments import require_list
from synthaug.datasets.indexing.finding import find_films
from synthaug.datasets.indexing.lists import read_list
from synthaug.datasets.indexing.named_films import (
    NamedFilm,
    NamedFilms,
    OtherClassError,
    UnknownNameError,
    choose_classes,
)
from synthaug.datasets.indexing.roots import find_root

_NAME = re.compile(r"(.+)_[0-9]{6}_[0-9]{6}")


@final
class Kinetics(NamedFilms):
    """Kinetics-400, -600 or -700, or any data set with tables of the same form: clips of ten seconds from YouTube.

    Dataset format:
        Films in folders of any name, and tables with the columns label, youtube_id, time_start, time_end and split, in
        root or its folder annotations:

            root/
              train/<youtube_id>_000010_000020.mp4
              val/<youtube_id>_000003_000013.mp4
              annotations/train.csv
              annotations/val.csv

    Dataset classes:
        The labels of the tables that have films, sorted; `classes` selects and orders them. Films that no table labels
        are left out and counted.

    Keys are the films' names. The subject is the YouTube video; no camera is known.

    Protocols:
        `protocol=kinetics`: trains on `train.csv` and tests on `val.csv`, by `ListSplit`. Most papers do so too, since
        the labels of the test were withheld for years.

    Licence:
        The films belong to the people who uploaded them to YouTube. Tables and films are linked from
        github.com/cvdfoundation/kinetics-dataset; read the terms there.

    Args:
        root: The folder.
        tables: Patterns of the tables, relative to root.
        classes: Class names, in the order of their labels; None takes all that have films, sorted.
        cache: Folder of the film index; None uses the user's cache.

    Raises:
        DatasetNotFoundError: If there is no table or no labelled film.
        ValueError: If a class is unknown, a table cannot be read, or two films have the same key.

    Source:
        Kay et al., "The Kinetics Human Action Video Dataset", 2017; Carreira et al., "A Short Note about Kinetics-600",
        2018; Carreira et al., "A Short Note on the Kinetics-700 Human Action Dataset", 2019.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        tables: Sequence[str] = ("*.csv", "annotations/*.csv"),
        classes: Sequence[str] | None = None,
        cache: Path | str | None = None,
    ) -> None:
        folder = find_root(root)
        self._labels = _read_labels(
            sorted({path for pattern in require_list(tables, "dataset.tables") for path in folder.glob(pattern)})
        )
        films = list(find_films(folder))
        present = {self._labels[path.stem] for path in films if path.stem in self._labels}
        if not present:
            raise DatasetNotFoundError(
                f"Kinetics isn't at dataset.root={str(folder)!r}: none of its {len(films)} films has one of its "
                f"{len(self._labels)} labels. Expected <folder>/<youtube_id>_000010_000020.mp4, and tables such as "
                "annotations/train.csv with label, youtube_id, time_start and time_end. Download both as "
                "github.com/cvdfoundation/kinetics-dataset says, then set dataset.root or dataset.tables; or try "
                "dataset=demo."
            )
        self._classes = choose_classes(classes, present)
        super().__init__(folder, iter(films), title="Kinetics", cache=cache)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a record's label is an index into them."""
        return self._classes

    def _parse_name(self, path: Path) -> NamedFilm:
        found = _NAME.fullmatch(path.stem)
        if found is None:
            raise UnknownNameError(
                f"Expected a film name of Kinetics such as <youtube_id>_000010_000020, got {path.stem!r}. Rename the "
                "file, or move it away"
            )
        label = self._labels.get(path.stem)
        if label is None:
            raise OtherClassError("films_in_no_table")
        if label not in self._classes:
            raise OtherClassError("clips_of_other_classes")
        return NamedFilm(path.stem, path, self._classes.index(label), found[1], "")


def _read_labels(tables: Sequence[Path]) -> dict[str, str]:
    """The class of each clip; the table of a held-out test may have none."""
    labels: dict[str, str] = {}
    for table in tables:
        for entry in read_list(table):
            if entry.label and labels.setdefault(entry.name, entry.label) != entry.label:
                raise ValueError(
                    f"Expected one class of the clip {entry.name!r}, got {entry.label!r} in {table.name} and "
                    f"{labels[entry.name]!r} in another line. Correct the tables, or narrow dataset.tables."
                )
    return labels
