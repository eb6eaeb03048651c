"""HMDB51: 6,766 clips of 51 actions, most of them from feature films."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import final

from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.indexing.finding import search_films
from synthaug.datasets.indexing.named_films import NamedFilm, NamedFilms, OtherClassError, choose_classes
from synthaug.datasets.indexing.roots import find_root
from synthaug.files import normalize_name

_NAME = re.compile(r"(?P<source>.+)_[fuhl]_(?:cm|nm)_np[0-9]_(?P<view>fr|ba|le|ri)_(?:goo|med|bad)_[0-9]+")


@final
class Hmdb51(NamedFilms):
    """HMDB51: 6,766 clips of 51 actions, most of them from feature films.

    Dataset format:
        The class folders may also be in root itself:

            root/
              hmdb51_org/<class>/<name>.avi
              testTrainMulti_7030_splits/<class>_test_split1.txt

        A name is `{source}_{class}_{body}_{camera motion}_{people}_{view}_{quality}_{part}`.

    Dataset classes:
        The class folders, sorted; `classes` selects and orders them.

    Keys are `<class>/<name>`, since one film may be in two classes. The subject is the source that the clip was cut
    from; the data set states nothing closer to a person. The camera is the view: fr, ba, le or ri. A film with a name
    of another form is its own source.

    Protocols:
        `protocol=hmdb51`: the three official splits of Kuehne et al. 2011, by `ListSplit`; `protocol.number` is 1, 2 or
        3. Each has 70 training and 30 test clips of each class.

    Licence:
        Creative Commons Attribution 4.0, as its page states; the films that it cuts from have their own owners.
        Download hmdb51_org.rar and test_train_splits.rar from serre-lab.clps.brown.edu.

    Args:
        root: The folder.
        classes: Class names, in the order of their labels; None takes all, sorted.
        cache: Folder of the film index; None uses the user's cache.

    Raises:
        DatasetNotFoundError: If there is no film.
        ValueError: If a class is unknown, or two films have the same key.

    Source:
        Kuehne et al., "HMDB: A Large Video Database for Human Motion Recognition", ICCV 2011.
    """

    def __init__(
        self, root: Path | str, *, classes: Sequence[str] | None = None, cache: Path | str | None = None
    ) -> None:
        folder = find_root(root)
        place = folder / "hmdb51_org" if (folder / "hmdb51_org").is_dir() else folder
        found = search_films(place, base=folder)
        films = [path for path in found.films if path.parent != place]
        if not films:
            raise DatasetNotFoundError(
                f"HMDB51 isn't at dataset.root={str(folder)!r}: it has no film. Expected "
                "hmdb51_org/<class>/<name>.avi, and the lists testTrainMulti_7030_splits/<class>_test_split1.txt. "
                "Download hmdb51_org.rar and test_train_splits.rar from serre-lab.clps.brown.edu, unpack them and the "
                "archive of each class there, then set dataset.root; or try dataset=demo."
            )
        self._classes = choose_classes(classes, [path.parent.name for path in films], faults=found.faults)
        super().__init__(folder, iter(films), title="HMDB51", cache=cache, faults=found.faults)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a record's label is an index into them."""
        return self._classes

    @property
    def fixed_cameras(self) -> bool:
        """False: the camera "fr" is any of thousands of cameras in front of a person."""
        return False

    def _parse_name(self, path: Path) -> NamedFilm:
        name = normalize_name(path.parent.name)
        if name not in self._classes:
            raise OtherClassError("clips_of_other_classes")
        found = _NAME.fullmatch(path.stem)
        source = found["source"].removesuffix(f"_{name}") if found else path.stem
        view = found["view"] if found else ""
        return NamedFilm(f"{name}/{path.stem}", path, self._classes.index(name), source, view)
