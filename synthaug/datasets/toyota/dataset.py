"""Toyota Smarthome, the trimmed clips: what its names say, its classes in everybody's orders, and the data set.

Its protocols are in `toyotasplit`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.indexing.arguments import items
from synthaug.datasets.indexing.named import (
    Listing,
    Named,
    NamedFilms,
    OtherClassError,
    UnknownNameError,
    films_below,
)

CLASSES = (
    "Cook.Cleandishes", "Cook.Cleanup", "Cook.Cut", "Cook.Stir", "Cook.Usestove", "Cutbread", "Drink.Frombottle",
    "Drink.Fromcan", "Drink.Fromcup", "Drink.Fromglass", "Eat.Attable", "Eat.Snack", "Enter", "Getup", "Laydown",
    "Leave", "Makecoffee.Pourgrains", "Makecoffee.Pourwater", "Maketea.Boilwater", "Maketea.Insertteabag",
    "Pour.Frombottle", "Pour.Fromcan", "Pour.Fromkettle", "Readbook", "Sitdown", "Takepills", "Uselaptop", "Usetablet",
    "Usetelephone", "Walk", "WatchTV",
)  # fmt: skip
"""The 31 official classes, sorted: our labels, and the baseline's (`srijandas07/i3d_smarthome`) less one."""

_NOT_CROSS_VIEW = {
    "Cook.Cleandishes", "Cook.Cleanup", "Cook.Cut", "Cook.Stir", "Cook.Usestove", "Laydown", "Makecoffee.Pourgrains",
    "Makecoffee.Pourwater", "Maketea.Boilwater", "Maketea.Insertteabag", "Pour.Fromkettle", "WatchTV",
}  # fmt: skip
CROSS_VIEW_CLASSES = tuple(name for name in CLASSES if name not in _NOT_CROSS_VIEW)
"""The 19 classes of the cross-view protocols; both orders agree on them but for tablet and telephone."""

STRAY = "Pour.Fromcup"
"""14 clips of the published lists are of this class, which is none: the baseline takes them for WatchTV."""

_SWAP = {"Usetablet": "Usetelephone", "Usetelephone": "Usetablet"}
ORDERS = {
    "i3d": CLASSES,
    "unik": tuple(_SWAP.get(name, name) for name in CLASSES),
    "cv": CROSS_VIEW_CLASSES,
}
"""Class names by label as others count them, from 0: UNIK has tablet and telephone the other way round."""

_CHOICES = {"official": CLASSES, "cv": CROSS_VIEW_CLASSES, "with_stray": (*CLASSES, STRAY)}
_NAME = re.compile(
    r"(?P<activity>[A-Za-z]+(?:\.[A-Za-z]+)?)_p(?P<subject>[0-9]{2})_r(?P<repetition>[0-9]{2})"
    r"_v(?P<video>[0-9]{2})_c(?P<camera>[0-9]{2})"
)


@dataclass(frozen=True)
class ToyotaName:
    """What a clip's name says.

    Attributes:
        activity: Class name; may hold a dot.
        subject: One of 18 people, 2 to 25.
        repetition: From 0.
        video: From 1.
        camera: 1 to 7.
    """

    activity: str
    subject: int
    repetition: int
    video: int
    camera: int


def toyota_name(stem: str) -> ToyotaName:
    """Understand a name without its suffix, such as `Cook.Cleandishes_p02_r00_v02_c03`.

    Raises:
        UnknownNameError: If it is of another form.
    """
    found = _NAME.fullmatch(stem)
    if found is None:
        raise UnknownNameError(
            f"{stem!r} was given; {{activity}}_p02_r00_v02_c03 was wanted, as Toyota Smarthome names its trimmed "
            "clips. Rename the file, or move it away"
        )
    activity, *numbers = found.groups()
    return ToyotaName(activity, *map(int, numbers))


def our_label(label: int, order: str, classes: Sequence[str] = CLASSES) -> int:
    """A label as others count it, in the order of `classes`: by name, since orders differ.

    Args:
        label: In their order, from 0; the baseline's own labels count from 1.
        order: "i3d", "unik" or "cv".
        classes: Ours.

    Raises:
        ValueError: If the order or the label is unknown, or the class is none of ours.
    """
    if order not in ORDERS or not 0 <= label < len(ORDERS[order]):
        raise ValueError(
            f"The label {label} in the order {order!r} was given; one of {', '.join(ORDERS)} and a label from 0 to "
            "below its number of classes were wanted. Say which order the labels are in."
        )
    name = ORDERS[order][label]
    if name not in classes:
        raise ValueError(
            f"The label {label} in the order {order!r} is {name!r}, which is none of the {len(classes)} classes used. "
            "Set dataset.classes to include it."
        )
    return list(classes).index(name)


@final
class Toyota(NamedFilms):
    """Toyota Smarthome, trimmed: 16,115 clips of 18 elderly people doing 31 things at home, seen by 7 fixed cameras.

    Dataset format:
        `<root>/mp4/<name>.mp4`, or the films in `<root>` itself; skeletons, where motions are to be taken from them,
        in `<root>/skeleton/` or beside the films: `<name>_pose3d.json` (v1.2) or `<name>.json`. A name is
        `{activity}_p{subject}_r{repetition}_v{video}_c{camera}`.

    Dataset classes:
        CLASSES, or CROSS_VIEW_CLASSES for the cross-view protocols. Films of the unofficial class `Pour.Fromcup` are
        left out and counted unless it is asked for. A name of no known class goes into quarantine.

    Keys are the names; subject and camera are the numbers in them. The rate of frames is each film's own.

    Args:
        root: The folder.
        classes: "official" (31), "cv" (19), "with_stray" (the 31 and Pour.Fromcup), or names, in the labels' order.
        cache: Folder of the index of films; None is the user's cache.

    Raises:
        DatasetNotFoundError: If no film is there.
        ValueError: If a class is unknown, or a clip is there twice.

    Source:
        Das and others, "Toyota Smarthome: Real-World Activities of Daily Living", ICCV 2019. On request, no
        redistribution.
    """

    def __init__(
        self, root: Path | str, *, classes: str | Sequence[str] = "official", cache: Path | str | None = None
    ) -> None:
        self._classes = _chosen(classes)
        folder = Path(root).expanduser().absolute()
        super().__init__(folder, _films(folder), title="Toyota Smarthome", cache=cache)
        if not self._listing.films:
            raise DatasetNotFoundError(_not_there(self.root, self._listing))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a record's label is an index into them."""
        return self._classes

    def _read(self, path: Path) -> Named:
        name = toyota_name(path.stem)
        if name.activity not in self._classes:
            if name.activity == STRAY:
                raise OtherClassError("clips_of_unofficial_class")
            if name.activity in CLASSES:
                raise OtherClassError("clips_of_other_classes")
            raise UnknownNameError(
                f"{name.activity!r} is none of Toyota Smarthome's {len(CLASSES)} classes; one of them was wanted. "
                "Rename the file, or move it away"
            )
        return Named(path.stem, path, self._classes.index(name.activity), str(name.subject), str(name.camera))


def _chosen(classes: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str):
        names = _CHOICES.get(classes, ())
    else:
        names = items(classes, "dataset.classes")
    unknown = [name for name in names if name not in (*CLASSES, STRAY)]
    if unknown or not names or len(set(names)) != len(names):
        raise ValueError(
            f"dataset.classes={classes!r} was given; {', '.join(map(repr, _CHOICES))}, or a list of Toyota "
            f"Smarthome's class names, each once, was wanted{f': {unknown[0]!r} is none' if unknown else ''}. "
            f"Choose from: {', '.join(CLASSES)}."
        )
    return names


def _films(root: Path) -> Iterator[Path]:
    """In `mp4/` where there is one: depth films have the same names."""
    return films_below(root / "mp4" if (root / "mp4").is_dir() else root)


def _not_there(root: Path, listing: Listing) -> str:
    others = sum(listing.notes.values()) + len(listing.faults)
    return (
        f"Toyota Smarthome isn't at dataset.root={str(root)!r}: no clip of the classes asked for is there"
        f"{f', among {others} films of other names' if others else ''}. mp4/<name>.mp4, such as "
        "mp4/Walk_p02_r00_v02_c03.mp4, was wanted, and the skeletons in skeleton/<name>_pose3d.json or <name>.json. "
        "It is licensed: ask its authors with the form at project.inria.fr/toyotasmarthome, unpack "
        "toyota_smarthome_mp4 and toyota_smarthome_skeleton, then set dataset.root; or try dataset=demo."
    )
