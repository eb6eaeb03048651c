"""People out of avatar packs: a folder of them is a cast.

Beside other answers to `synthaug.avatars`; what a pack is, `synthaug.avatars.pack.format` knows.
"""

import datetime
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from synthaug.avatars import Avatar, Cast
from synthaug.avatars.pack.about import ConsentError
from synthaug.avatars.pack.format import SUFFIX, Header, PackFile, read_header
from synthaug.body.skeleton import Skeleton
from synthaug.structures import Gaussians, Motion

logger = logging.getLogger(__name__)


class PackedPerson(Avatar):
    """One person out of a pack, mapped from the file.

    Args:
        path: The pack.
        gaussians: The finest level with at most so many is the most that is used, the coarsest if none has; None allows
            full detail. Renderers take a coarser one where the picture needs no more.

    Raises:
        FileNotFoundError: If there is no such file.
        PackError: If it is no pack, or damaged.
    """

    def __init__(self, path: str | Path, *, gaussians: int | None = None) -> None:
        file = PackFile(Path(path))
        level = file.closest(gaussians)
        self._digest = hashlib.blake2b(f"pack {file.header.digest} {level}".encode(), digest_size=16).hexdigest()
        self._rig = file.rig
        self._rest = file.person(level)

    @property
    def digest(self) -> str:
        """Of the pack's content and the level in use."""
        return self._digest

    @property
    def skeleton(self) -> Skeleton:
        """The person's own proportions."""
        return self._rig.skeleton

    def pose(self, motion: Motion) -> Gaussians:
        """The person performing this motion; only the joints' transforms are new, all else stays in the file.

        Expressions and pose correctives that a pack may keep are not applied: a renderer moves joints alone.
        """
        return replace(self._rest, T_world_rest=self._rig.transforms(motion))


class Packs(Cast):
    """The packs below a folder, named by their path in it: `lab/anna.avatar.safetensors` is "lab/anna".

    People who may not be used, because consent is refused, withdrawn or expired, are never drawn, and loading one is
    an error. Those who are drawn are balanced over the attributes that their packs record: each next person is one
    whose attributes were chosen least so far, by chance among equals. Fewer people are always the first of more.

    Args:
        root: The folder.
        gaussians: See `PackedPerson`.
        kept: People held open at once; a mapped person costs little memory of its own.
        today: Day for which consent must hold, as YYYY-MM-DD; None is the day of the run.

    Raises:
        ValueError: If `today` is no day.
    """

    def __init__(
        self, root: str | Path, *, gaussians: int | None = None, kept: int = 64, today: str | None = None
    ) -> None:
        self.root = Path(root).expanduser()
        self._gaussians = gaussians
        self._kept = kept
        self._today = datetime.date.today() if today is None else datetime.date.fromisoformat(today)
        self._open: OrderedDict[str, PackedPerson] = OrderedDict()

    @cached_property
    def headers(self) -> dict[str, Header]:
        """Header of every pack, by identity, in the order of their names.

        Raises:
            FileNotFoundError: If the folder does not exist or has no pack.
            PackError: If one of them is damaged.
        """
        paths = sorted(self.root.rglob(f"*{SUFFIX}")) if self.root.is_dir() else []
        if not paths:
            raise FileNotFoundError(
                f"'{self.root}' has no avatar pack. A folder with *{SUFFIX} was wanted as synth.avatar.root. Make "
                "packs with `synthaug avatar import`, or use synth/avatar=anny, which needs none."
            )
        return {self._name(path): read_header(path) for path in paths}

    @cached_property
    def refused(self) -> dict[str, str]:
        """Why each identity that may not be used may not."""
        found = {name: header.about.consent.objection(self._today) for name, header in self.headers.items()}
        return {name: reason for name, reason in found.items() if reason is not None}

    def draw(self, count: int, rng: np.random.Generator) -> tuple[str, ...]:
        """Different people who may be used, balanced over recorded attributes.

        Raises:
            ValueError: If there are fewer.
            FileNotFoundError: If the folder does not exist or has no pack.
        """
        names = [name for name in self.headers if name not in self.refused]
        if self.refused:
            said = "; ".join(f"{name}: {reason}" for name, reason in self.refused.items())
            logger.warning("%d of %d people may not be used (%s).", len(self.refused), len(self.headers), said)
        if not 0 <= count <= len(names):
            raise ValueError(
                f"{count} identities were asked for; '{self.root}' has {len(names)} that may be used and "
                f"{len(self.refused)} that may not. Lower synth.identities, or import more people."
            )
        order = [names[index] for index in rng.permutation(len(names))]
        return tuple(balanced(order, {name: self.headers[name].about.attributes for name in order}, count))

    def load(self, identity: str) -> PackedPerson:
        """The person of this name; the same object while it is held open.

        Raises:
            KeyError: If there is none of this name.
            ConsentError: If they may not be used.
            PackError: If the pack is damaged.
        """
        self._check(identity)
        person = self._open.pop(identity, None)
        if person is None:
            person = PackedPerson(self.root / f"{identity}{SUFFIX}", gaussians=self._gaussians)
        self._open[identity] = person
        while len(self._open) > self._kept:
            self._open.popitem(last=False)
        return person

    def subject(self, identity: str) -> str:
        """Which subject of a data set this is, as the pack says; empty where it is none.

        Raises:
            KeyError: If there is none of this name.
        """
        self._known(identity)
        return self.headers[identity].about.subject

    def __getstate__(self) -> dict[str, object]:
        """Open files stay behind: another process maps its own."""
        return {**self.__dict__, "_open": OrderedDict()}

    def _check(self, identity: str) -> None:
        self._known(identity)
        if identity in self.refused:
            raise ConsentError(
                f"{identity!r} may not be used: {self.refused[identity]}. People who agree were wanted. Choose another "
                "identity; `synthaug avatar affected` lists the clips that were made with this one."
            )

    def _known(self, identity: str) -> None:
        if identity not in self.headers:
            known = ", ".join(list(self.headers)[:3])
            raise KeyError(
                f"Nobody is called {identity!r} in '{self.root}'. One of its {len(self.headers)} packs was wanted "
                f"({known}, ...). Recipes need the packs that they were made with."
            )

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix().removesuffix(SUFFIX)


def balanced(order: Sequence[str], attributes: Mapping[str, Mapping[str, str]], count: int) -> list[str]:
    """The first `count` of an order rearranged so that every attribute's values come equally often where they can.

    Args:
        order: Names, by chance.
        attributes: Of each of them; what is not recorded counts as a value of its own.
        count: How many to choose.

    Returns:
        Greedily, the next is always one whose values have been chosen least, summed over attributes.
    """
    kinds = sorted({kind for name in order for kind in attributes[name]})
    if not kinds:
        return list(order[:count])
    codes = []
    for kind in kinds:
        values = sorted({attributes[name].get(kind, "") for name in order})
        codes.append([values.index(attributes[name].get(kind, "")) for name in order])
    table = np.array(codes)
    used = np.zeros((len(kinds), table.max() + 1))
    left, rows, chosen = np.ones(len(order), bool), np.arange(len(kinds))[:, None], []
    for _ in range(count):
        cost = np.where(left, used[rows, table].sum(0), np.inf)
        pick = int(cost.argmin())
        left[pick] = False
        used[rows[:, 0], table[:, pick]] += 1
        chosen.append(order[pick])
    return chosen
