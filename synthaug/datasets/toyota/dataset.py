"""The data set Toyota Smarthome (trimmed clips), the names of its clips, and the label orders of other projects."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.indexing.arguments import require_list
from synthaug.datasets.indexing.finding import find_films
from synthaug.datasets.indexing.named_films import (
    FilmListing,
    NamedFilm,
    NamedFilms,
    OtherClassError,
    UnknownNameError,
)
from synthaug.datasets.indexing.roots import find_root

CLASSES = (
    "Cook.Cleandishes", "Cook.Cleanup", "Cook.Cut", "Cook.Stir", "Cook.Usestove", "Cutbread", "Drink.Frombottle",
    "Drink.Fromcan", "Drink.Fromcup", "Drink.Fromglass", "Eat.Attable", "Eat.Snack", "Enter", "Getup", "Laydown",
    "Leave", "Makecoffee.Pourgrains", "Makecoffee.Pourwater", "Maketea.Boilwater", "Maketea.Insertteabag",
    "Pour.Frombottle", "Pour.Fromcan", "Pour.Fromkettle", "Readbook", "Sitdown", "Takepills", "Uselaptop", "Usetablet",
    "Usetelephone", "Walk", "WatchTV",
)  # fmt: skip
"""The 31 official classes, sorted. Our labels count from 0, the baseline's (`srijandas07/i3d_smarthome`) from 1."""

_NOT_CROSS_VIEW = {
    "Cook.Cleandishes", "Cook.Cleanup", "Cook.Cut", "Cook.Stir", "Cook.Usestove", "Laydown", "Makecoffee.Pourgrains",
    "Makecoffee.Pourwater", "Maketea.Boilwater", "Maketea.Insertteabag", "Pour.Fromkettle", "WatchTV",
}  # fmt: skip
CROSS_VIEW_CLASSES = tuple(name for name in CLASSES if name not in _NOT_CROSS_VIEW)
"""The 19 classes of the cross-view protocols; all orders agree on them, except for tablet and telephone."""

STRAY = "Pour.Fromcup"
"""A class of 14 clips in the published lists that is not official; the baseline labels them WatchTV."""

_SWAP = {"Usetablet": "Usetelephone", "Usetelephone": "Usetablet"}
ORDERS = {
    "i3d": CLASSES,
    "unik": tuple(_SWAP.get(name, name) for name in CLASSES),
    "cv": CROSS_VIEW_CLASSES,
}
"""Class names by label, from 0, in the orders of other projects: UNIK swaps tablet and telephone."""

_CHOICES = {"official": CLASSES, "cv": CROSS_VIEW_CLASSES, "with_stray": (*CLASSES, STRAY)}
_NAME = re.compile(
    r"(?P<activity>[A-Za-z]+(?:\.[A-Za-z]+)?)_p(?P<subject>[0-9]{2})_r(?P<repetition>[0-9]{2})"
    r"_v(?P<video>[0-9]{2})_c(?P<camera>[0-9]{2})"
)


@dataclass(frozen=True)
class ToyotaName:
    """What a clip's name states.

    Attributes:
        activity: Class name; it may hold a dot.
        subject: One of 18 people, numbered 2 to 25.
        repetition: From 0.
        video: From 1.
        camera: 1 to 7.
    """

    activity: str
    subject: int
    repetition: int
    video: int
    camera: int


def parse_toyota_name(stem: str) -> ToyotaName:
    """Parse a clip's name without its suffix, such as `Cook.Cleandishes_p02_r00_v02_c03`.

    Raises:
        UnknownNameError: If the name has another form.
    """
    found = _NAME.fullmatch(stem)
    if found is None:
        raise UnknownNameError(
            f"Expected a clip name of Toyota Smarthome such as Cutbread_p02_r00_v02_c03, got {stem!r}. Rename the "
            "file, or move it away"
        )
    activity, *numbers = found.groups()
    return ToyotaName(activity, *map(int, numbers))


def to_our_label(label: int, order: str, classes: Sequence[str] = CLASSES) -> int:
    """Translate a label of another project into an index into `classes`, by name, since orders differ.

    Args:
        label: Label in the other order, from 0; subtract 1 from the baseline's own labels.
        order: "i3d", "unik" or "cv".
        classes: Our class names.

    Raises:
        ValueError: If the order or the label is unknown, or its class is not one of `classes`.
    """
    if order not in ORDERS:
        raise ValueError(f"Expected the order to be one of {', '.join(ORDERS)}, got {order!r}. Name the labels' order.")
    if not 0 <= label < len(ORDERS[order]):
        raise ValueError(
            f"Expected a label from 0 to {len(ORDERS[order]) - 1} in the order {order!r}, got {label}. Subtract 1 from "
            "labels that count from 1."
        )
    name = ORDERS[order][label]
    if name not in classes:
        raise ValueError(
            f"Expected a label of the {len(classes)} classes in use, got {label} in the order {order!r}, which is "
            f"{name!r}. Add the class to dataset.classes."
        )
    return list(classes).index(name)


@final
class Toyota(NamedFilms):
    """Toyota Smarthome, trimmed: 16,115 clips of 18 elderly people and 31 activities at home, from 7 fixed cameras.

    Dataset format:
        The films may also be in root itself. Skeletons are needed only if motions are taken from them; they may also
        lie beside the films, and be called `<name>.json`:

            root/
              mp4/<name>.mp4
              skeleton/<name>_pose3d.json     version 1.2

        A name is `{activity}_p{subject}_r{repetition}_v{video}_c{camera}`, such as `Cutbread_p02_r00_v02_c03`.

    Dataset classes:
        The 31 official classes (`CLASSES`), or the 19 of the cross-view protocols (`CROSS_VIEW_CLASSES`). Films of the
        unofficial class `Pour.Fromcup` are left out and counted, unless `classes` names it. A film whose name states no
        known class goes into quarantine.

    Keys are the names; subject and camera are the numbers in them. The frame rate is each film's own.

    Protocols:
        `protocol=toyota` (cross-subject), `toyota_cs11` (without validation, as UNIK does), `toyota_cv1` and
        `toyota_cv2` (cross-view; set `dataset.classes=cv`), all of Das et al. 2019 and by `ToyotaSplit`.

    Licence:
        Academic research only, no redistribution. Ask the authors with the form at project.inria.fr/toyotasmarthome,
        and download toyota_smarthome_mp4 and toyota_smarthome_skeleton.

    Args:
        root: The folder.
        classes: "official" (31), "cv" (19), "with_stray" (the 31 and Pour.Fromcup), or names in the order of labels.
        cache: Folder of the film index; None uses the user's cache.

    Raises:
        DatasetNotFoundError: If there is no film of the classes.
        ValueError: If a class is unknown, or two films have the same name.

    Source:
        Das et al., "Toyota Smarthome: Real-World Activities of Daily Living", ICCV 2019.
    """

    def __init__(
        self, root: Path | str, *, classes: str | Sequence[str] = "official", cache: Path | str | None = None
    ) -> None:
        self._classes = _choose_own_classes(classes)
        folder = find_root(root)
        super().__init__(folder, _find_own_films(folder), title="Toyota Smarthome", cache=cache)
        if not self._listing.films:
            raise DatasetNotFoundError(_explain_missing(self.root, self._listing))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a record's label is an index into them."""
        return self._classes

    def _parse_name(self, path: Path) -> NamedFilm:
        name = parse_toyota_name(path.stem)
        if name.activity not in self._classes:
            if name.activity == STRAY:
                raise OtherClassError("clips_of_unofficial_class")
            if name.activity in CLASSES:
                raise OtherClassError("clips_of_other_classes")
            raise UnknownNameError(
                f"Expected one of Toyota Smarthome's {len(CLASSES)} classes in the name of a film, got "
                f"{name.activity!r}. Rename the file, or move it away"
            )
        return NamedFilm(path.stem, path, self._classes.index(name.activity), str(name.subject), str(name.camera))


def _choose_own_classes(classes: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str):
        names = _CHOICES.get(classes, ())
    else:
        names = require_list(classes, "dataset.classes")
    unknown = [name for name in names if name not in (*CLASSES, STRAY)]
    if unknown or not names or len(set(names)) != len(names):
        raise ValueError(
            f"Expected dataset.classes to be {', '.join(map(repr, _CHOICES))}, or a list of Toyota Smarthome's class "
            f"names, each once, got {classes!r}{f': {unknown[0]!r} is unknown' if unknown else ''}. "
            f"Choose from: {', '.join(CLASSES)}."
        )
    return names


def _find_own_films(root: Path) -> Iterator[Path]:
    """Find the films in `mp4/` if there is one: depth films beside it have the same names."""
    return find_films(root / "mp4" if (root / "mp4").is_dir() else root)


def _explain_missing(root: Path, listing: FilmListing) -> str:
    others = sum(listing.notes.values()) + len(listing.faults)
    return (
        f"Toyota Smarthome isn't at dataset.root={str(root)!r}: it has no film of the chosen classes"
        f"{f', among {others} other films' if others else ''}. Expected mp4/<name>.mp4, such as "
        "mp4/Walk_p02_r00_v02_c03.mp4, and the skeletons skeleton/<name>_pose3d.json or <name>.json. It is licensed: "
        "ask its authors with the form at project.inria.fr/toyotasmarthome, unpack toyota_smarthome_mp4 and "
        "toyota_smarthome_skeleton, then set dataset.root; or try dataset=demo."
    )
