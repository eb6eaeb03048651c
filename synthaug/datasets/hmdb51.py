"""HMDB51: 6,766 clips of 51 actions, most of them from feature films.

Its splits are lists (`lists.ListSplit`, conf/protocol/hmdb51.yaml).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import final

from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.indexing.named import Named, NamedFilms, OtherClassError, classes_among, films_below

_NAME = re.compile(r"(?P<source>.+)_[fuhl]_(?:cm|nm)_np[0-9]_(?P<view>fr|ba|le|ri)_(?:goo|med|bad)_[0-9]+")


@final
class Hmdb51(NamedFilms):
    """HMDB51.

    Dataset format:
        `<root>/hmdb51_org/<class>/<name>.avi`, or the class folders in `<root>` itself. The lists of the splits in
        `<root>/testTrainMulti_7030_splits/<class>_test_split1.txt`. A name is
        `{source}_{class}_{body}_{camera motion}_{people}_{view}_{quality}_{part}`.

    Classes are the folders, sorted. Keys are the class and the film's name, since one film may be in two classes. The
    subject is the source that the clip was cut from, the nearest to a person that the set knows; the camera is the
    view (fr, ba, le, ri). A name of another form is its own source.

    Args:
        root: The folder.
        classes: Class names, in the order of their labels; None takes all, sorted.
        cache: Folder of the index of films; None is the user's cache.

    Raises:
        DatasetNotFoundError: If no film is there.
        ValueError: If a class is unknown, or a clip is there twice.

    Source:
        Kuehne and others, "HMDB: A large video database for human motion recognition", ICCV 2011.
    """

    def __init__(
        self, root: Path | str, *, classes: Sequence[str] | None = None, cache: Path | str | None = None
    ) -> None:
        folder = Path(root).expanduser().absolute()
        place = folder / "hmdb51_org" if (folder / "hmdb51_org").is_dir() else folder
        films = [path for path in films_below(place) if path.parent != place]
        if not films:
            raise DatasetNotFoundError(
                f"HMDB51 isn't at dataset.root={str(folder)!r}: no film is there. hmdb51_org/<class>/<name>.avi was "
                "wanted, and the lists testTrainMulti_7030_splits/<class>_test_split1.txt. Get hmdb51_org.rar and "
                "test_train_splits.rar from the Serre lab's page of HMDB (serre-lab.clps.brown.edu), unpack them and "
                "the archive of each class there, then set dataset.root; or try dataset=demo."
            )
        self._classes = classes_among(classes, [path.parent.name for path in films])
        super().__init__(folder, iter(films), title="HMDB51", cache=cache)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a record's label is an index into them."""
        return self._classes

    @property
    def fixed_cameras(self) -> bool:
        """Not so: "fr" is whichever camera of thousands stood in front."""
        return False

    def _read(self, path: Path) -> Named:
        name = path.parent.name
        if name not in self._classes:
            raise OtherClassError("clips_of_other_classes")
        found = _NAME.fullmatch(path.stem)
        source = found["source"].removesuffix(f"_{name}") if found else path.stem
        view = found["view"] if found else ""
        return Named(f"{name}/{path.stem}", path, self._classes.index(name), source, view)
