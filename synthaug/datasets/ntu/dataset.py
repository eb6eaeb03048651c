"""The data sets NTU RGB+D 60 and 120, and the names of their clips."""

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
from synthaug.datasets.ntu.actions import ACTIONS, INCOMPLETE_120

NOVEL = tuple(range(1, 116, 6))
"""The numbers of the 20 actions that the one-shot protocol tests."""

_CHOICES = {
    "ntu60": tuple(range(1, 61)),
    "ntu120": tuple(range(1, 121)),
    "novel": NOVEL,
}
_LIMITS = (("setup", 32), ("camera", 3), ("performer", 106), ("replication", 2), ("action", 120))
_NAME = re.compile(r"S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})")


@dataclass(frozen=True)
class NtuName:
    """What a clip's name states; all numbers count from 1.

    Attributes:
        setup: Place, and height and distance of the three cameras; 1 to 32.
        camera: 1 to 3. Camera 1 sees the performer at 45 degrees; of cameras 2 and 3 one is in front of the performer
            and the other beside, depending on the replication.
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
        """The camera and its setup, `S001C002`: the cameras stand elsewhere in each setup."""
        return f"S{self.setup:03}C{self.camera:03}"


def parse_ntu_name(stem: str) -> NtuName:
    """Parse a clip's name such as `S001C002P003R002A013`.

    Raises:
        UnknownNameError: If the name has another form, or a number is out of range.
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
            f"Expected a clip name of NTU RGB+D such as S001C002P003R002A013, got {stem!r}"
            f"{f' with {beyond[0]}' if beyond else ''}. Rename the file, or move it away"
        )
    return NtuName(*numbers)


def class_name(action: int) -> str:
    """The class name of an action: `A013 tear up paper`. It has the number because the authors' names have typos."""
    return f"A{action:03} {ACTIONS[action - 1]}"


@final
class Ntu(NamedFilms):
    """NTU RGB+D 120: 114,480 clips of 106 people and 120 actions in 32 setups. NTU RGB+D 60 is its first half: 56,880.

    Dataset format:
        The films may be anywhere below root. Smaller copies may be mp4 and lack the `_rgb`. Skeletons are needed only
        if motions are taken from them; they may also lie beside the films:

            root/
              nturgb+d_rgb/<name>_rgb.avi
              nturgb+d_skeletons/<name>.skeleton
              nturgb+d_skeletons120/<name>.skeleton

        A name is `S{setup}C{camera}P{performer}R{replication}A{action}`. Infrared films are left out and counted.

    Dataset classes:
        Number and name of each action, `A001 drink water` to `A120 finger-guessing game ...`; `actions` selects them.

    Keys are the names; the subject is the performer's number. The camera is setup and camera (`S001C002`), since
    camera 2 of one setup stands elsewhere than camera 2 of another.

    Clips without a complete skeleton:
        The authors list 302 in NTU RGB+D 60 and 535 in NTU RGB+D 120. Papers on video keep them and papers on skeletons
        drop them, so published counts differ. Clips that are kept are filmed clips like all others; if their skeleton
        is unusable they give no motion.

    Protocols:
        `protocol=ntu60` and `ntu60_view` (cross-subject and cross-view, Shahroudy et al. 2016), `ntu120` and
        `ntu120_setup` (cross-subject and cross-setup, Liu et al. 2020), all by `NtuSplit`; `ntu120_oneshot` by
        `NtuOneShot`; `ntu60_surreact` by `SurreactSplit` (Varol et al. 2021).

    Licence:
        Academic research only, no redistribution. Ask for an account at rose1.ntu.edu.sg, and download the RGB videos
        and the 3D skeletons.

    Args:
        root: The folder.
        actions: "ntu60", "ntu120", "novel" (the 20 of the one-shot protocol), or a list of action numbers from 1.
        incomplete: "keep" or "drop" the clips that are listed as lacking a complete skeleton; both are counted.
        cache: Folder of the film index; None uses the user's cache.

    Raises:
        DatasetNotFoundError: If there is no film of the actions.
        ValueError: If an action is unknown, or two films have the same name.

    Source:
        Shahroudy et al., "NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis", CVPR 2016. Liu et al., "NTU
        RGB+D 120: A Large-Scale Benchmark for 3D Human Activity Understanding", TPAMI 2020.
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
                f"Expected dataset.incomplete to be 'keep' or 'drop', got {incomplete!r}. Set one of them for the "
                "clips that lack a complete skeleton."
            )
        self._drops = incomplete == "drop"
        self._actions = _choose_actions(actions)
        folder = find_root(root)
        super().__init__(folder, _find_own_films(folder), title="NTU RGB+D", cache=cache)
        if not self._listing.films:
            raise DatasetNotFoundError(_explain_missing(self.root, self._listing))

    @property
    def classes(self) -> tuple[str, ...]:
        """Number and name of each action; a record's label is an index into them."""
        return tuple(map(class_name, self._actions))

    @property
    def notes(self) -> dict[str, int]:
        """How many clips are of other actions, listed as lacking a skeleton, or shorter than their headers announce."""
        kept = sum(record.key in INCOMPLETE_120 for record in self.records)
        return self._probed.notes | ({"clips_listed_as_without_skeleton": kept} if kept else {})

    def _parse_name(self, path: Path) -> NamedFilm:
        if path.stem.endswith("_ir"):
            raise OtherClassError("infrared_films")
        key = path.stem.removesuffix("_rgb")
        name = parse_ntu_name(key)
        if name.action not in self._actions:
            raise OtherClassError("clips_of_other_actions")
        if self._drops and key in INCOMPLETE_120:
            raise OtherClassError("clips_without_skeleton_dropped")
        return NamedFilm(key, path, self._actions.index(name.action), str(name.performer), name.view)


def _choose_actions(actions: str | Sequence[int]) -> tuple[int, ...]:
    numbers = _CHOICES.get(actions, ()) if isinstance(actions, str) else require_list(actions, "dataset.actions")
    if not numbers or len(set(numbers)) != len(numbers) or not all(1 <= number <= len(ACTIONS) for number in numbers):
        raise ValueError(
            f"Expected dataset.actions to be {', '.join(map(repr, _CHOICES))}, or a list of action numbers from 1 to "
            f"{len(ACTIONS)}, each once, got {actions!r}. Write for example dataset.actions=[1,2,3]."
        )
    return numbers


def _find_own_films(root: Path) -> Iterator[Path]:
    """Find the films in the folders of the RGB archives, if there are any: the depth maps are millions of files."""
    own = sorted(path for path in root.glob("nturgb+d_rgb*") if path.is_dir())
    for folder in own or [root]:
        yield from find_films(folder)


def _explain_missing(root: Path, listing: FilmListing) -> str:
    others = sum(listing.notes.values()) + len(listing.faults)
    return (
        f"NTU RGB+D isn't at dataset.root={str(root)!r}: it has no film of the chosen actions"
        f"{f', among {others} other films' if others else ''}. Expected nturgb+d_rgb/<name>_rgb.avi, such as "
        "nturgb+d_rgb/S001C002P003R002A013_rgb.avi, and the skeletons nturgb+d_skeletons/<name>.skeleton. It is "
        "licensed: ask for an account at rose1.ntu.edu.sg, unpack its archives of RGB videos and 3D skeletons, then "
        "set dataset.root; or try dataset=demo."
    )
