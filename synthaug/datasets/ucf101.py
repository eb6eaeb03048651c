"""UCF101: 13,320 clips of 101 actions from YouTube, in groups of one person in one place."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import final

from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.indexing.finding import search_films
from synthaug.datasets.indexing.named_films import (
    NamedFilm,
    NamedFilms,
    OtherClassError,
    UnknownNameError,
    choose_classes,
)
from synthaug.datasets.indexing.roots import find_root
from synthaug.files import normalize_name

_NAME = re.compile(r"v_[A-Za-z]+_g([0-9]{2})_c[0-9]{2}")
_CLASS = re.compile(r"\s*([0-9]+)\s+(\S+)\s*")


@final
class Ucf101(NamedFilms):
    """UCF101: 13,320 clips of 101 actions from YouTube, in groups of one person in one place.

    Dataset format:
        The class folders may also be in root itself:

            root/
              UCF-101/<Class>/v_<Class>_g01_c01.avi
              ucfTrainTestlist/classInd.txt
              ucfTrainTestlist/trainlist01.txt
              ucfTrainTestlist/testlist01.txt

    Dataset classes:
        The class folders, in the order of `ucfTrainTestlist/classInd.txt`. Without that file they are sorted regardless
        of case, which gives the same order of all 101: Hammering before HammerThrow, JumpingJack before JumpRope.
        `classes` selects and orders them.

    Keys are the films' names. The subject is the group within its class (`YoYo_g01`): its clips are cut from one video
    of one person in one place. No camera is known.

    Protocols:
        `protocol=ucf101`: the three official splits of Soomro et al. 2012, by `ListSplit`; `protocol.number` is 1, 2 or
        3. No group is in two parts.

    Licence:
        The clips are cut from YouTube videos, which belong to the people who uploaded them. Download UCF101.rar and the
        train/test splits from crcv.ucf.edu/data/UCF101.php; read the terms there.

    Args:
        root: The folder.
        classes: Class names, in the order of their labels; None takes all.
        cache: Folder of the film index; None uses the user's cache.

    Raises:
        DatasetNotFoundError: If there is no film.
        ValueError: If a class is unknown, two films have the same key, or `classInd.txt` is not a list of the classes.

    Source:
        Soomro, Zamir and Shah, "UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild",
        CRCV-TR-12-01, 2012.
    """

    def __init__(
        self, root: Path | str, *, classes: Sequence[str] | None = None, cache: Path | str | None = None
    ) -> None:
        folder = find_root(root)
        place = folder / "UCF-101" if (folder / "UCF-101").is_dir() else folder
        found = search_films(place, base=folder)
        films = [path for path in found.films if path.parent != place]
        if not films:
            raise DatasetNotFoundError(
                f"UCF101 isn't at dataset.root={str(folder)!r}: it has no film. Expected UCF-101/<Class>/<name>.avi, "
                "such as UCF-101/YoYo/v_YoYo_g01_c01.avi, and the lists ucfTrainTestlist/trainlist01.txt and so on. "
                "Download UCF101.rar and the train/test splits for action recognition from "
                "crcv.ucf.edu/data/UCF101.php, unpack both there, then set dataset.root; or try dataset=demo."
            )
        names = {normalize_name(path.parent.name) for path in films}
        index = folder / "ucfTrainTestlist" / "classInd.txt"
        self._classes = (
            _sort_officially(names, index) if classes is None else choose_classes(classes, names, faults=found.faults)
        )
        super().__init__(folder, iter(films), title="UCF101", cache=cache, faults=found.faults)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a record's label is an index into them."""
        return self._classes

    def _parse_name(self, path: Path) -> NamedFilm:
        name = normalize_name(path.parent.name)
        found = _NAME.fullmatch(path.stem)
        if found is None:
            raise UnknownNameError(
                f"Expected a film name of UCF101 such as v_YoYo_g01_c01, got {path.stem!r}. Rename the file, or move "
                "it away"
            )
        if name not in self._classes:
            raise OtherClassError("clips_of_other_classes")
        return NamedFilm(path.stem, path, self._classes.index(name), f"{name}_g{found[1]}", "")


def _sort_officially(names: Collection[str], index: Path) -> tuple[str, ...]:
    """Sort names as `classInd.txt` does, or regardless of case if there is no such file."""
    if not index.is_file():
        return tuple(sorted(names, key=str.lower))
    text = normalize_name(index.read_text(encoding="utf-8-sig", errors="replace"))
    lines = [line for line in text.splitlines() if line.strip()]
    found = [_CLASS.fullmatch(line) for line in lines]
    listed = {match[2]: int(match[1]) for match in found if match is not None}
    if len(listed) != len(lines) or sorted(listed.values()) != list(range(1, len(lines) + 1)):
        raise ValueError(
            f"Expected {str(index)!r} to be a list of classes with lines such as '1 ApplyEyeMakeup', each number from "
            "1 and each name once, got other lines. Unpack the file again, or delete it."
        )
    unlisted = sorted(set(names).difference(listed))
    if unlisted:
        raise ValueError(
            f"Expected {str(index)!r} to list every class folder, got {len(unlisted)} folders that it does not list, "
            f"such as {unlisted[0]!r}. Unpack the file again, move the folders away, or set dataset.classes."
        )
    return tuple(sorted(names, key=listed.__getitem__))
