"""NTU RGB+D 60 and 120: what their names say, and the data set.

Their protocols are in `ntusplit`, their classes in `ntuactions`.
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
from synthaug.datasets.ntu.actions import ACTIONS, INCOMPLETE_120

NOVEL = tuple(range(1, 116, 6))
"""The 20 action numbers that the one-shot protocol tests on."""

_CHOICES = {
    "ntu60": tuple(range(1, 61)),
    "ntu120": tuple(range(1, 121)),
    "novel": NOVEL,
}
_LIMITS = (("setup", 32), ("camera", 3), ("performer", 106), ("replication", 2), ("action", 120))
_NAME = re.compile(r"S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})")


@dataclass(frozen=True)
class NtuName:
    """What a clip's name says; all numbers count from 1.

    Attributes:
        setup: Height and distance of the three cameras, and the place; 1 to 32.
        camera: 1 at 45 degrees, 2 and 3 in front of and beside the performer, who turns with the replication.
        performer: 1 to 106.
        replication: 1 or 2.
        action: 1 to 120.
    """

    setup: int
    camera: int
    performer: int
    replication: int
    action: int

    @property
    def view(self) -> str:
        """The camera as it stood: three in each setup."""
        return f"S{self.setup:03}C{self.camera:03}"


def ntu_name(stem: str) -> NtuName:
    """Understand `S001C002P003R002A013`.

    Raises:
        UnknownNameError: If it is of another form, or a number is beyond what the data set has.
    """
    found = _NAME.fullmatch(stem)
    numbers = tuple(map(int, found.groups())) if found else ()
    beyond = [
        f"{what} {number} (1 to {most})"
        for (what, most), number in zip(_LIMITS, numbers, strict=False)
        if not 1 <= number <= most
    ]
    if not numbers or beyond:
        raise UnknownNameError(
            f"{stem!r} was given{f', of {beyond[0]}' if beyond else ''}; S001C002P003R002A013 was wanted, as NTU "
            "RGB+D names its clips. Rename the file, or move it away"
        )
    return NtuName(*numbers)


def class_name(action: int) -> str:
    """`A013 tear up paper`: by number, since the authors' words hold slips."""
    return f"A{action:03} {ACTIONS[action - 1]}"


@final
class Ntu(NamedFilms):
    """NTU RGB+D: 114,480 clips of 106 people doing 120 things in 32 setups, 56,880 and 60 of them in its first half.

    Dataset format:
        `<root>/nturgb+d_rgb*/**/<name>_rgb.avi`, or the films anywhere below `<root>`; smaller copies may be mp4 and
        lack the `_rgb`. Skeletons, where motions are to be taken from them, in `<root>/nturgb+d_skeletons/` and
        `<root>/nturgb+d_skeletons120/`, or beside the films: `<name>.skeleton`. A name is
        `S{setup}C{camera}P{performer}R{replication}A{action}`. Infrared films are passed over and counted.

    Dataset classes:
        `A001 drink water` and so on: number and words, for the numbers decide.

    Keys are the names; the subject is the performer's number. A record's camera is setup and camera (`S001C002`):
    camera 2 of one setup stands elsewhere than camera 2 of another.

    Clips without a whole skeleton: their authors list 302 in NTU60 and 535 in NTU120. Work on pictures keeps them,
    work on skeletons drops them; published counts differ by that. Kept clips whose skeleton cannot be used are
    filmed clips like all others and only give no motion.

    Args:
        root: The folder.
        actions: "ntu60", "ntu120", "novel" (the 20 of the one-shot protocol), or action numbers from 1.
        incomplete: "keep" or "drop" the listed clips; either way they are counted.
        cache: Folder of the index of films; None is the user's cache.

    Raises:
        DatasetNotFoundError: If no film is there.
        ValueError: If an action is unknown, or a clip is there twice.

    Source:
        Shahroudy and others, CVPR 2016; Liu and others, TPAMI 2020. On request, academic use, no redistribution.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        actions: str | Sequence[int] = "ntu60",
        incomplete: str = "keep",
        cache: Path | str | None = None,
    ) -> None:
        if incomplete not in ("keep", "drop"):
            raise ValueError(
                f"dataset.incomplete={incomplete!r} was given; 'keep' or 'drop' was wanted, for the clips that lack a "
                "whole skeleton. Set one of them."
            )
        self._drops = incomplete == "drop"
        self._actions = _chosen(actions)
        folder = Path(root).expanduser().absolute()
        super().__init__(folder, _films(folder), title="NTU RGB+D", cache=cache)
        if not self._listing.films:
            raise DatasetNotFoundError(_not_there(self.root, self._listing))

    @property
    def classes(self) -> tuple[str, ...]:
        """Number and words of each action; a record's label is an index into them."""
        return tuple(map(class_name, self._actions))

    @property
    def notes(self) -> dict[str, int]:
        """Clips of other actions, listed clips dropped or kept, and films shorter than they announce."""
        kept = sum(record.key in INCOMPLETE_120 for record in self.records)
        return self._opened.notes | ({"clips_listed_as_without_skeleton": kept} if kept else {})

    def _read(self, path: Path) -> Named:
        if path.stem.endswith("_ir"):
            raise OtherClassError("infrared_films")
        key = path.stem.removesuffix("_rgb")
        name = ntu_name(key)
        if name.action not in self._actions:
            raise OtherClassError("clips_of_other_actions")
        if self._drops and key in INCOMPLETE_120:
            raise OtherClassError("clips_without_skeleton_dropped")
        return Named(key, path, self._actions.index(name.action), str(name.performer), name.view)


def _chosen(actions: str | Sequence[int]) -> tuple[int, ...]:
    numbers = _CHOICES.get(actions, ()) if isinstance(actions, str) else items(actions, "dataset.actions")
    if not numbers or len(set(numbers)) != len(numbers) or not all(1 <= number <= len(ACTIONS) for number in numbers):
        raise ValueError(
            f"dataset.actions={actions!r} was given; {', '.join(map(repr, _CHOICES))}, or a list of action numbers "
            f"from 1 to {len(ACTIONS)}, each once, was wanted. Correct it."
        )
    return numbers


def _films(root: Path) -> Iterator[Path]:
    """In the folders of the authors' archives where there are such: depth maps beside them are millions of files."""
    own = sorted(path for path in root.glob("nturgb+d_rgb*") if path.is_dir())
    for folder in own or [root]:
        yield from films_below(folder)


def _not_there(root: Path, listing: Listing) -> str:
    others = sum(listing.notes.values()) + len(listing.faults)
    return (
        f"NTU RGB+D isn't at dataset.root={str(root)!r}: no film of the actions asked for is there"
        f"{f', among {others} others' if others else ''}. nturgb+d_rgb/<name>_rgb.avi, such as "
        "nturgb+d_rgb/S001C002P003R002A013_rgb.avi, was wanted, and the skeletons in "
        "nturgb+d_skeletons/<name>.skeleton. It is licensed: ask for an account at rose1.ntu.edu.sg, unpack its "
        "archives of RGB videos and 3D skeletons, then set dataset.root; or try dataset=demo."
    )
