"""UCF101: 13,320 clips of 101 actions from YouTube, in groups of one person and place each.

Its splits are lists (`lists.ListSplit`, conf/protocol/ucf101.yaml).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import final

from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.named import (
    Named,
    NamedFilms,
    OtherClassError,
    UnknownNameError,
    classes_among,
    films_below,
)

_NAME = re.compile(r"v_[A-Za-z]+_g([0-9]{2})_c[0-9]{2}")


@final
class Ucf101(NamedFilms):
    """UCF101.

    Dataset format:
        `<root>/UCF-101/<Class>/v_<Class>_g01_c01.avi`, or the class folders in `<root>` itself. The lists of the
        splits in `<root>/ucfTrainTestlist/`: `trainlist01.txt`, `testlist01.txt`.

    Classes are the folders, sorted: the order of `classInd.txt`. Keys are the films' names. The subject is the group
    within its class (`YoYo_g01`): its clips are cut from one video, of one person in one place.

    Args:
        root: The folder.
        classes: Class names, in the order of their labels; None takes all, sorted.
        cache: Folder of the index of films; None is the user's cache.

    Raises:
        DatasetNotFoundError: If no film is there.
        ValueError: If a class is unknown, or a clip is there twice.

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
        self._classes = classes_among(classes, [path.parent.name for path in films])
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
