"""People from avatar packs: a folder of packs is an avatar pool."""

import datetime
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from synthaug.avatars import Avatar, AvatarPool
from synthaug.avatars.pack.about import ConsentError
from synthaug.avatars.pack.format import SUFFIX, PackFile, PackHeader, read_header
from synthaug.body.skeleton import Skeleton
from synthaug.files import walk_files
from synthaug.structures import Gaussians, Motion

logger = logging.getLogger(__name__)


class PackedPerson(Avatar):
    """One person of a pack, memory-mapped from the file.

    Args:
        path: The pack.
        gaussians: The finest level that is used has at most this many Gaussians, or is the coarsest; None allows full
            detail. Renderers use coarser levels for small people.

    Raises:
        FileNotFoundError: If there is no such file.
        PackError: If it is not a pack, or is damaged.
    """

    def __init__(self, path: str | Path, *, gaussians: int | None = None) -> None:
        file = PackFile(Path(path))
        level = file.closest(gaussians)
        self._digest = hashlib.blake2b(f"pack {file.header.digest} {level}".encode(), digest_size=16).hexdigest()
        self._rig = file.rig
        self._rest = file.person(level)

    @property
    def digest(self) -> str:
        """Digest of the pack's content and the finest level in use."""
        return self._digest

    @property
    def skeleton(self) -> Skeleton:
        """The person's own proportions."""
        return self._rig.skeleton

    def pose(self, motion: Motion) -> Gaussians:
        """Gaussians of the person in every frame; only the joints' transforms are computed, the rest stays in the file.

        Expressions and pose correctives are not applied, because renderers only move joints.
        """
        return replace(self._rest, T_world_rest=self._rig.transforms(motion))


class Packs(AvatarPool):
    """The packs below a folder, named by their path in it: `lab/anna.avatar.safetensors` is "lab/anna".

    People who may not be used, because consent is refused, withdrawn or expired, are never sampled, and loading one is
    an error. Samples are balanced over the attributes that the packs record: each next person is one whose attributes
    were chosen least so far, random among equals. A smaller sample is always the beginning of a larger one.

    Args:
        root: The folder.
        gaussians: See `PackedPerson`.
        kept: Number of people held open at once; a memory-mapped person takes little memory of its own.
        today: Day on which consent must hold, as YYYY-MM-DD; None is the day of the run.

    Raises:
        ValueError: If `today` is not a day.
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
    def headers(self) -> dict[str, PackHeader]:
        """Header of every pack by identity, sorted by name.

        Raises:
            FileNotFoundError: If the folder does not exist or has no pack.
            PackError: If one of them is damaged.
        """
        paths = sorted(path for path in walk_files(self.root) if path.name.endswith(SUFFIX))
        if not paths:
            raise FileNotFoundError(
                f"Expected synth.avatar.root to be a folder with *{SUFFIX}, found none in '{self.root}'. Make packs "
                "with `synthaug avatar import`, or use synth/avatar=anny, which needs none."
            )
        return {self._name_of(path): read_header(path) for path in paths}

    @cached_property
    def refused(self) -> dict[str, str]:
        """Reason for each identity that may not be used."""
        objections = {name: header.about.consent.objection(self._today) for name, header in self.headers.items()}
        return {name: reason for name, reason in objections.items() if reason is not None}

    def sample(self, count: int, rng: np.random.Generator) -> tuple[str, ...]:
        """Sample different people who may be used, balanced over recorded attributes.

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
                f"Expected at least {count} identities that may be used in '{self.root}', got {len(names)} (and "
                f"{len(self.refused)} that may not be used). Lower synth.identities, or import more people."
            )
        order = [names[index] for index in rng.permutation(len(names))]
        return tuple(balance(order, {name: self.headers[name].about.attributes for name in order}, count))

    def load(self, identity: str) -> PackedPerson:
        """The person with this name; the same object while it is held open.

        Raises:
            KeyError: If nobody has this name.
            ConsentError: If the person may not be used.
            PackError: If the pack is damaged.
        """
        self._check_usable(identity)
        person = self._open.pop(identity, None)
        if person is None:
            person = PackedPerson(self.root / f"{identity}{SUFFIX}", gaussians=self._gaussians)
        self._open[identity] = person
        while len(self._open) > self._kept:
            self._open.popitem(last=False)
        return person

    def subject(self, identity: str) -> str:
        """The data set's subject that this person is, according to the pack; empty if there is none.

        Raises:
            KeyError: If nobody has this name.
        """
        self._check_known(identity)
        return self.headers[identity].about.subject

    def __getstate__(self) -> dict[str, object]:
        """State without the open files: another process maps its own."""
        return {**self.__dict__, "_open": OrderedDict()}

    def _check_usable(self, identity: str) -> None:
        self._check_known(identity)
        if identity in self.refused:
            raise ConsentError(
                f"{identity!r} may not be used: {self.refused[identity]}. Choose another identity; `synthaug avatar "
                "affected` lists the clips that were made with this one."
            )

    def _check_known(self, identity: str) -> None:
        if identity not in self.headers:
            known = ", ".join(list(self.headers)[:3])
            raise KeyError(
                f"Expected one of the {len(self.headers)} packs in '{self.root}' ({known}, ...), got {identity!r}. "
                "Restore the pack: recipes need the packs that they were made with."
            )

    def _name_of(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix().removesuffix(SUFFIX)


def balance(order: Sequence[str], attributes: Mapping[str, Mapping[str, str]], count: int) -> list[str]:
    """Choose `count` names so that the values of every attribute occur equally often, as far as possible.

    Args:
        order: Names in random order.
        attributes: Attributes of each name; an attribute that is not recorded counts as a value of its own.
        count: How many to choose.

    Returns:
        The names, chosen greedily: the next is always one whose values were chosen least, summed over attributes.
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
