"""Level of detail: the same person with fewer Gaussians, for pictures in which more could not be told apart.

Pure, for any Gaussians; between avatars, who keep the levels, and renderers, who choose among them. One Gaussian for a
pixel of the person, well chosen, is as near to the truth as twenty, and fifteen times cheaper.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from synthaug.body.rotations import quat_to_matrix
from synthaug.structures import Camera, Gaussians, Level

VERSION = 1
"""Of merging: raised whenever the same person would get other levels."""
COUNTS = (64_000, 32_000, 16_000, 8_000, 4_000, 2_000)
"""Gaussians of the levels of a pyramid, as far as the person has more."""
PER_PIXEL = 0.72
"""Gaussians of the whole person, far side included, for each pixel of the person's silhouette: 2,000 at 112 px and
4,000 at 224 px, which is 39 dB from the truth where levels are refined and 36 dB where they are only merged."""
SILHOUETTE = 0.64
"""Square metres that a person 1.7 m tall covers, seen from the front."""
SKIN = 1.9
"""Square metres of skin, over which Gaussians are spread."""
STRONG = 0.05
"""Share of a joint from which it counts as moving a Gaussian: what moves differently is never merged."""
FACE_JOINTS, FACE = (15, 22, 23, 24), 1.5
"""Head, jaw and eyes, whose area counts more: faces are looked at."""
STEPS = 3
"""Of Lloyd's iteration; ten gain nothing."""
SPREAD = 1.3
"""How much wider (in variance) a merged Gaussian may become to keep opacity x area where opacity is at its limit. Less
leaves holes, more blurs: 1.0 and 2.0 both cost 2 dB."""
CONTRAST = 6.0
"""How much more a step in colour separates than one in position, per spacing: edges of clothes survive merging."""
LEAST_WEIGHT = 0.01
"""Skinning weights below this are dropped from merged Gaussians."""

_kernel = numba.njit(nogil=True, cache=True, error_model="numpy")


def pyramid(finest: Level, counts: Sequence[int] = COUNTS) -> tuple[Level, ...]:
    """Ever coarser levels of a person at rest, finest first; those that would not be smaller are left out.

    Each level is merged from the one before it. Deterministic; seconds for a person.

    Args:
        finest: All of the person's Gaussians, at rest.
        counts: How many Gaussians each level has, about: every set of joints keeps at least one.
    """
    levels: list[Level] = []
    for count in sorted(counts, reverse=True):
        before = levels[-1] if levels else finest
        if count < 0.75 * len(before.means):
            levels.append(merged(before, count))
    return tuple(levels)


class Refine(ABC):
    """Makes a merged level look more like the whole person."""

    @abstractmethod
    def __call__(self, person: Gaussians, level: Level) -> Level:
        """The level, better.

        Args:
            person: All Gaussians, in poses that are worth looking right in.
            level: Merged from them.
        """


@dataclass(frozen=True)
class Pyramid:
    """How an avatar's levels of detail are made.

    Attributes:
        counts: Gaussians of each, about.
        refine: Improves merged levels; `synthaug.renderers.splatting.refinement.Refinement` gains 2 to 4 dB in a second
            or two a level. None leaves them merged.
        refine_below: Levels of more Gaussians are left merged: there the gain is small and the cost is large.
    """

    counts: Sequence[int] = COUNTS
    refine: Refine | None = None
    refine_below: int = 5_000

    @property
    def fingerprint(self) -> str:
        """Names everything that decides the levels of a person."""
        return f"pyramid {VERSION} {tuple(self.counts)} {self.refine} {self.refine_below if self.refine else 0}"

    def of(self, person: Gaussians) -> Gaussians:
        """The person with levels.

        Args:
            person: In poses that levels are refined in; where they are not, in any.
        """
        levels = pyramid(level_of(person), self.counts)
        if self.refine is not None:
            refine, few = self.refine, self.refine_below
            levels = tuple(refine(person, level) if len(level.means) < few else level for level in levels)
        return replace(person, levels=levels)


def fitting(person: Gaussians, camera: Camera, per_pixel: float | None) -> Gaussians:
    """The person at the level that this picture needs: the coarsest with enough Gaussians for its silhouette.

    One level for a whole clip, since levels that change would flicker: where the person is nearest.

    Args:
        person: With `levels`; without, it comes back as it is.
        camera: One view for each frame of the person.
        per_pixel: Gaussians of the person, far side included, for each pixel of the silhouette; None takes all.
    """
    if per_pixel is None or not person.levels or not person.num_frames:
        return person
    wanted = per_pixel * _silhouette(person, camera)
    enough = [level for level in person.levels if len(level.means) >= wanted]
    return person.at(enough[-1]) if enough else person


def _silhouette(person: Gaussians, camera: Camera) -> float:
    """Pixels that the person would cover where nearest, seen from the front and whole; about.

    Close-ups count the parts outside the picture too: it is the density of Gaussians that matters.
    """
    pelvis = person.T_world_rest[:, 0, :3, 3]
    depth = (camera.viewmats[:, 2, :3] * pelvis).sum(-1) + camera.viewmats[:, 2, 3]
    nearest = depth.clamp(min=0.3)
    return float((SILHOUETTE * camera.Ks[:, 0, 0] * camera.Ks[:, 1, 1] / nearest**2).max())


def merged(level: Level, count: int) -> Level:
    """A person of about `count` Gaussians, each standing for a patch of the given ones that moves as one.

    Positions, covariances, colours and weights are averages by opacity x area. Where a patch holds more of that than
    one opaque Gaussian of its extent, the merged one grows in its two wide directions, up to SPREAD.

    Raises:
        ValueError: If `count` is less than 1.

    Source:
        Kerbl and others, "A Hierarchical 3D Gaussian Representation for Real-Time Rendering of Very Large Datasets",
        2024 (merging by moments); the sets of joints and the growth are our own.
    """
    if count < 1:
        raise ValueError(f"count={count} was given; at least one Gaussian was wanted. Leave the level out.")
    if count >= len(level.means):
        return level
    rest = _arrays(level)
    masses = _masses(rest)
    patches = _patches(rest, masses, count)
    return _moments(rest, masses, patches)


@dataclass(frozen=True, eq=False)
class _Rest:
    """A level in numpy, float64, with a normal for everyone."""

    means: NDArray[np.float64]
    covars: NDArray[np.float64]
    scales: NDArray[np.float64]
    opacities: NDArray[np.float64]
    colors: NDArray[np.float64]
    normals: NDArray[np.float64]
    joint_ids: NDArray[np.int64]
    weights: NDArray[np.float64]
    known_normals: bool


def _arrays(level: Level) -> _Rest:
    axes = quat_to_matrix(level.quats.double())
    M = axes * level.scales.double()[:, None, :]
    thin = level.scales.argmin(dim=1)
    # A free Gaussian's normal is its shortest axis; its sign stays open, which a product of two normals forgives.
    normals = axes[torch.arange(len(thin)), :, thin] if level.normals is None else level.normals.double()
    return _Rest(
        means=level.means.double().numpy(),
        covars=(M @ M.mT).numpy(),
        scales=level.scales.double().numpy(),
        opacities=level.opacities.double().numpy(),
        colors=level.colors.double().numpy(),
        normals=normals.numpy(),
        joint_ids=level.joint_ids.long().numpy(),
        weights=level.weights.double().numpy(),
        known_normals=level.normals is not None,
    )


def _masses(rest: _Rest) -> NDArray[np.float64]:
    """Opacity x area of each Gaussian: of its two wide directions."""
    ordered = np.sort(rest.scales, axis=1)
    return np.maximum(2 * np.pi * rest.opacities * ordered[:, 1] * ordered[:, 2], 1e-12)


def _patches(rest: _Rest, masses: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The patch of each Gaussian, 0 to about `count`; a patch never mixes different sets of joints."""
    keys = _joint_sets(rest)
    area = masses * np.where(np.isin(rest.joint_ids, FACE_JOINTS) & (rest.weights > 0.5), FACE, 1.0).max(axis=1)
    spacing = math.sqrt(SKIN / count)
    features = np.concatenate([rest.means, spacing * rest.normals, CONTRAST * spacing * rest.colors], axis=1).astype(
        np.float32
    )
    order = np.argsort(keys, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(keys[order])) + 1, [len(order)]])
    shares = np.add.reduceat(area[order], starts[:-1])
    budgets = np.clip(np.round(count * shares / shares.sum()), 1, np.diff(starts)).astype(np.int64)
    patches = np.empty(len(order), np.int64)
    rng, first = np.random.default_rng(0), 0
    for begin, end, budget in zip(starts[:-1], starts[1:], budgets, strict=True):
        members = order[begin:end]
        patches[members] = first + _clustered(features[members], area[members], int(budget), rng)
        first += int(budget)
    return np.unique(patches, return_inverse=True)[1].reshape(-1)


def _joint_sets(rest: _Rest) -> NDArray[np.int64]:
    """A number for the set of joints that move each Gaussian notably."""
    strong = rest.weights > STRONG
    ids = np.where(strong, rest.joint_ids, -1)
    return np.unique(np.sort(ids, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _clustered(
    features: NDArray[np.float32], area: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Lloyd's iteration from members drawn by area."""
    if count >= len(features):
        return np.arange(len(features))
    if count == 1:
        return np.zeros(len(features), np.int64)
    start = rng.choice(len(features), size=count, replace=False, p=area / area.sum())
    return _lloyd(features, area.astype(np.float32), features[start].copy(), STEPS)


@_kernel
@no_type_check
def _nearest(features, centres, nearest):
    """The nearest centre of each member."""
    members, width = features.shape
    for i in range(members):
        best = np.float32(np.inf)
        for c in range(len(centres)):
            distance = np.float32(0)
            for k in range(width):
                gap = features[i, k] - centres[c, k]
                distance += gap * gap
            if distance < best:
                best, nearest[i] = distance, c


@_kernel
@no_type_check
def _lloyd(features, area, centres, steps):
    """The nearest centre of each member after some steps; centres that lose all members stay where they are."""
    members, width = features.shape
    nearest = np.zeros(members, np.int64)
    _nearest(features, centres, nearest)
    for _ in range(steps):
        total, mass = np.zeros(centres.shape, np.float64), np.zeros(len(centres), np.float64)
        for i in range(members):
            mass[nearest[i]] += area[i]
            for k in range(width):
                total[nearest[i], k] += area[i] * features[i, k]
        for c in range(len(centres)):
            if mass[c] > 0:
                for k in range(width):
                    centres[c, k] = total[c, k] / mass[c]
        _nearest(features, centres, nearest)
    return nearest


def _moments(rest: _Rest, masses: NDArray[np.float64], patches: NDArray[np.int64]) -> Level:
    """One Gaussian for each patch, by moments."""
    count = int(patches.max()) + 1
    total = np.bincount(patches, masses, count)

    def average(values: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = values.reshape(len(values), -1)
        sums = np.stack([np.bincount(patches, masses * column, count) for column in columns.T], axis=1)
        return (sums / total[:, None]).reshape(count, *values.shape[1:])

    means = average(rest.means)
    apart = rest.means - means[patches]
    covars = average(rest.covars + apart[:, :, None] * apart[:, None, :])
    variances, axes = np.linalg.eigh(covars)
    ratio = total / (2 * np.pi * np.sqrt(np.maximum(variances[:, 1] * variances[:, 2], 1e-18)))
    variances[:, 1:] *= np.clip(ratio, 1, SPREAD)[:, None]
    axes[np.linalg.det(axes) < 0, :, 0] *= -1
    joint_ids, weights = _skinning(rest, masses, patches, count)
    normals = average(rest.normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    # The opacity that keeps coverage: never above what the members had, for they may be glass.
    most = average(rest.opacities[:, None])[:, 0]
    return Level(
        means=_tensor(means),
        quats=torch.nn.functional.normalize(_quats(torch.from_numpy(axes)), dim=-1).float(),
        scales=_tensor(np.sqrt(np.maximum(variances, 1e-12))),
        opacities=_tensor(np.minimum(most, ratio)),
        colors=_tensor(average(rest.colors)),
        joint_ids=joint_ids,
        weights=weights,
        normals=_tensor(normals) if rest.known_normals else None,
    )


def _skinning(
    rest: _Rest, masses: NDArray[np.float64], patches: NDArray[np.int64], count: int
) -> tuple[Int[Tensor, "gaussian k"], Float[Tensor, "gaussian k"]]:
    """Averaged weights: as many joints a Gaussian as the members had, the strongest."""
    joints, k = int(rest.joint_ids.max()) + 1, min(rest.joint_ids.shape[1], 4)
    flat = (patches[:, None] * joints + rest.joint_ids).ravel()
    summed = np.bincount(flat, (masses[:, None] * rest.weights).ravel(), count * joints).reshape(count, joints)
    dense: NDArray[np.float64] = summed / summed.sum(axis=1, keepdims=True)
    dense[dense < LEAST_WEIGHT] = 0
    joint_ids = np.argsort(-dense, axis=1, kind="stable")[:, :k]
    weights = np.take_along_axis(dense, joint_ids, axis=1)
    return torch.from_numpy(joint_ids.copy()), _tensor(weights / weights.sum(axis=1, keepdims=True))


def _quats(matrices: Float[Tensor, "gaussian 3 3"]) -> Float[Tensor, "gaussian 4"]:
    """Quaternions (wxyz) of rotation matrices, by the eigenvector that survives any angle."""
    m = matrices
    trace = m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    K = m.new_zeros(len(m), 4, 4)
    K[:, 0, 0] = trace
    K[:, 0, 1] = K[:, 1, 0] = m[:, 2, 1] - m[:, 1, 2]
    K[:, 0, 2] = K[:, 2, 0] = m[:, 0, 2] - m[:, 2, 0]
    K[:, 0, 3] = K[:, 3, 0] = m[:, 1, 0] - m[:, 0, 1]
    for i in range(3):
        for j in range(3):
            K[:, 1 + i, 1 + j] = m[:, i, j] + m[:, j, i] - (trace if i == j else 0)
    return torch.linalg.eigh(K)[1][:, :, 3]


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def level_of(person: Gaussians) -> Level:
    """The person's own Gaussians at rest, as a level."""
    return Level(**{field.name: getattr(person, field.name) for field in fields(Level)})
