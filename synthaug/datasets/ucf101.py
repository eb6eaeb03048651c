"""UCF101: 13,320 clips of 101 actions from YouTube, in groups of one person and place each.

Its splits are lists (`lists.ListSplit`, conf/protocol/ucf101.yaml).
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import final

from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.indexing.named import (
    Named,
    NamedFilms,
    OtherClassError,
    UnknownNameError,
    classes_among,
    films_below,
)

_NAME = re.compile(r"v_[A-Za-z]+_g([0-9]{2})_c[0-9]{2}")
_CLASS = re.compile(r"\s*([0-9]+)\s+(\S+)\s*")


@final
class Ucf101(NamedFilms):
    """UCF101.

    Dataset format:
        `<root>/UCF-101/<Class>/v_<Class>_g01_c01.avi`, or the class folders in `<root>` itself. The lists of the
        splits in `<root>/ucfTrainTestlist/`: `trainlist01.txt`, `testlist01.txt`.

    Classes are the folders, in the order of `ucfTrainTestlist/classInd.txt`; where that is not there, sorted without
    regard to case, which is the same for all 101: Hammering comes before HammerThrow, JumpingJack before JumpRope.
    Keys are the films' names. The subject is the group within its class (`YoYo_g01`): its clips are cut from one
    video, of one person in one place.

    Args:
        root: The folder.
        classes: Class names, in the order of their labels; None takes all.
        cache: Folder of the index of films; None is the user's cache.

    Raises:
        DatasetNotFoundError: If no film is there.
        ValueError: If a class is unknown, a clip is there twice, or `classInd.txt` is no list of the classes.

    Source:
        Soomro, Zamir and Shah, "UCF101", CRCV-TR-12-01, 2012.
    """

    def __init__(
        self, root: Path | str, *, classes: Sequence[str] | None = None, cache: Path | str | None = None
    ) -> None:
        folder = Path(root).expanduser().absolute()
        place = folder / "UCF-101" if (folder / "UCF-101").is_dir() else folder
        films = [path for path in films_below(place) if path.parent != place]
        if not films:
            raise DatasetNotFoundError(
                f"UCF101 isn't at dataset.root={str(folder)!r}: no film is there. UCF-101/<Class>/<name>.avi, such as "
                "UCF-101/YoYo/v_YoYo_g01_c01.avi, was wanted, and the lists ucfTrainTestlist/trainlist01.txt and so "
                "on. Get UCF101.rar and the train/test splits for action recognition from crcv.ucf.edu/data/UCF101.php "
                "and unpack both there, then set dataset.root; or try dataset=demo."
            )
        names = {path.parent.name for path in films}
        index = folder / "ucfTrainTestlist" / "classInd.txt"
        self._classes = _ordered(names, index) if classes is None else classes_among(classes, names)
        super().__init__(folder, iter(films), title="UCF101", cache=cache)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a record's label is an index into them."""
        return self._classes

    def _read(self, path: Path) -> Named:
        name = path.parent.name
        found = _NAME.fullmatch(path.stem)
        if found is None:
            raise UnknownNameError(
                f"{path.stem!r} was given; v_YoYo_g01_c01 was wanted, as UCF101 names its clips. Rename the file, or "
                "move it away"
            )
        if name not in self._classes:
            raise OtherClassError("clips_of_other_classes")
        return Named(path.stem, path, self._classes.index(name), f"{name}_g{found[1]}", "")


def _ordered(names: Collection[str], index: Path) -> tuple[str, ...]:
    """Names in the official order: that of `classInd.txt`, or of the alphabet where there is no such file."""
    if not index.is_file():
        return tuple(sorted(names, key=str.lower))
    lines = [line for line in index.read_text(encoding="utf-8-sig", errors="replace").splitlines() if line.strip()]
    found = [_CLASS.fullmatch(line) for line in lines]
    listed = {match[2]: int(match[1]) for match in found if match is not None}
    if len(listed) != len(lines) or sorted(listed.values()) != list(range(1, len(lines) + 1)):
        raise ValueError(
            f"{str(index)!r} is no list of classes: lines '1 ApplyEyeMakeup', each number from 1 and each name once, "
            "were wanted. Unpack it again, or take it away."
        )
    unlisted = sorted(set(names).difference(listed))
    if unlisted:
        raise ValueError(
            f"{str(index)!r} does not name {unlisted[0]!r}, one of {len(unlisted)} folders of film that it lacks; "
            "a line for each class was wanted. Unpack it again, move the folders away, or choose by dataset.classes."
        )
    return tuple(sorted(names, key=listed.__getitem__))
