"""Levels of detail: the same person with fewer Gaussians, for small pictures.

Avatars build and keep the levels, and renderers choose among them. One well-chosen Gaussian for each pixel of the
person gives as accurate a picture as twenty, at a fifteenth of the cost.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
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
"""Version of merging: raised whenever the same person would get other levels."""
COUNTS = (64_000, 32_000, 16_000, 8_000, 4_000, 2_000)
"""Gaussians of each level of a pyramid; levels that would not be smaller than the person are left out."""
PER_PIXEL = 0.72
"""Gaussians of the whole person, far side included, for each pixel of the person's silhouette. This gives 2,000 at
112 px and 4,000 at 224 px: 39 dB from the truth with refined levels and 36 dB with merged ones."""
SILHOUETTE = 0.64
"""Square metres that a person of 1.7 m covers, seen from the front."""
SKIN = 1.9
"""Square metres of skin, over which the Gaussians are spread."""
MIN_JOINT_WEIGHT = 0.05
"""Skinning weight above which a joint counts: Gaussians that different joints move are never merged."""
FACE_JOINTS, FACE_FACTOR = (15, 22, 23, 24), 1.5
"""Head, jaw and eyes, and by how much more their area counts: viewers look at faces."""
LLOYD_STEPS = 3
"""Steps of Lloyd's iteration; ten gain nothing."""
MAX_GROWTH = 1.3
"""How much the variance of a merged Gaussian may grow to keep opacity x area where opacity is at its limit. Less leaves
holes, more blurs: 1.0 and 2.0 both cost 2 dB."""
COLOR_WEIGHT = 6.0
"""Weight of a difference in colour against one of position, per spacing: keeps the edges of clothes."""
MIN_WEIGHT = 0.01
"""Skinning weights below this are dropped from merged Gaussians."""

_kernel = numba.njit(nogil=True, cache=True, error_model="numpy")


def build_levels(finest: Level, counts: Sequence[int] = COUNTS) -> tuple[Level, ...]:
    """Build coarser and coarser levels of a person at rest, finest first, as far as they are smaller than the person.

    Each level is merged from the one before. Deterministic; takes seconds for a person.

    Args:
        finest: All Gaussians of the person at rest.
        counts: Approximate numbers of Gaussians. Every set of joints keeps at least one Gaussian.
    """
    levels: list[Level] = []
    for count in sorted(counts, reverse=True):
        before = levels[-1] if levels else finest
        if count < 0.75 * len(before.means):
            levels.append(merge(before, count))
    return tuple(levels)


class Refine(ABC):
    """Improves a merged level, so that it looks more like the whole person."""

    @abstractmethod
    def __call__(self, person: Gaussians, level: Level) -> Level:
        """Return a better level.

        Args:
            person: All Gaussians, in the poses that the level is optimised for.
            level: A level that was merged from them.
        """


@dataclass(frozen=True)
class Pyramid:
    """How an avatar's levels of detail are made.

    Attributes:
        counts: Approximate numbers of Gaussians of the levels.
        refine: Improves merged levels; `synthaug.renderers.splatting.refinement.Refinement` gains 2 to 4 dB in one or
            two seconds for a level. None leaves them merged.
        refine_below: Levels with at least as many Gaussians are not refined: the gain is small and the cost is large.
    """

    counts: Sequence[int] = COUNTS
    refine: Refine | None = field(kw_only=True)
    refine_below: int = 5_000

    @property
    def fingerprint(self) -> str:
        """Name of everything that decides the levels of a person."""
        return f"pyramid {VERSION} {tuple(self.counts)} {self.refine} {self.refine_below if self.refine else 0}"

    def add_levels(self, person: Gaussians) -> Gaussians:
        """Return the person with levels.

        Args:
            person: All Gaussians, in the poses that levels are refined for; any pose if they are not refined.
        """
        levels = build_levels(level_of(person), self.counts)
        if self.refine is not None:
            refine, limit = self.refine, self.refine_below
            levels = tuple(refine(person, level) if len(level.means) < limit else level for level in levels)
        return replace(person, levels=levels)


def choose_level(person: Gaussians, camera: Camera, per_pixel: float | None) -> Gaussians:
    """Return the person at the coarsest level with enough Gaussians for its silhouette in this picture.

    A clip has one level, that of the frame in which the person is nearest, since changing levels would flicker.

    Args:
        person: With or without levels; without, it is returned as it is.
        camera: One view for each frame of the person.
        per_pixel: Gaussians of the person, far side included, for each pixel of the silhouette; None keeps all.
    """
    if per_pixel is None or not person.levels or not person.num_frames:
        return person
    T, viewmats, Ks = person.T_world_rest.contiguous(), camera.viewmats.contiguous(), camera.Ks.contiguous()
    needed = per_pixel * _silhouette(T.numpy(force=True), viewmats.numpy(force=True), Ks.numpy(force=True))
    enough = None
    for level in person.levels:
        if level.means.shape[0] >= needed:
            enough = level
    return person if enough is None else person.at(enough)


@no_type_check
@_kernel
def _silhouette(T, viewmats, Ks):
    """Pixels, approximately, that the person covers in the nearest frame if seen from the front.

    Parts outside the picture count too, since the density of Gaussians matters.
    """
    most = 0.0
    for t in range(len(T)):
        depth = np.float64(viewmats[t, 2, 3])
        for c in range(3):
            depth += viewmats[t, 2, c] * T[t, 0, c, 3]
        nearest = max(depth, 0.3)
        most = max(most, SILHOUETTE * Ks[t, 0, 0] * Ks[t, 1, 1] / (nearest * nearest))
    return most


def merge(level: Level, count: int) -> Level:
    """Merge a level into about `count` Gaussians, each for a patch of Gaussians that the same joints move.

    Means, covariances, colours and weights are averages by opacity x area. Where a patch has more opacity x area than
    one opaque Gaussian of its extent, the merged Gaussian grows in its two wide directions, by MAX_GROWTH at most.

    Raises:
        ValueError: If `count` is less than 1.

    Source:
        Kerbl and others, "A Hierarchical 3D Gaussian Representation for Real-Time Rendering of Very Large Datasets",
        2024 (merging by moments); the sets of joints and the growth are our own.
    """
    if count < 1:
        raise ValueError(f"Expected count to be 1 or more, got {count}. Leave that level out.")
    if count >= len(level.means):
        return level
    rest = _arrays(level)
    masses = _masses(rest)
    patches = _patches(rest, masses, count)
    return _merge_patches(rest, masses, patches)


@dataclass(frozen=True, eq=False)
class _LevelArrays:
    """A level as numpy arrays in float64, with a normal for each Gaussian."""

    means: NDArray[np.float64]
    covars: NDArray[np.float64]
    scales: NDArray[np.float64]
    opacities: NDArray[np.float64]
    colors: NDArray[np.float64]
    normals: NDArray[np.float64]
    joint_ids: NDArray[np.int64]
    weights: NDArray[np.float64]
    known_normals: bool


def _arrays(level: Level) -> _LevelArrays:
    axes = quat_to_matrix(level.quats.double())
    M = axes * level.scales.double()[:, None, :]
    thin = level.scales.argmin(dim=1)
    # Without a normal, the shortest axis serves. Its sign is arbitrary, which a product of two normals tolerates.
    normals = axes[torch.arange(len(thin)), :, thin] if level.normals is None else level.normals.double()
    return _LevelArrays(
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


def _masses(rest: _LevelArrays) -> NDArray[np.float64]:
    """Opacity x area of each Gaussian, over its two wide directions."""
    ordered = np.sort(rest.scales, axis=1)
    return np.maximum(2 * np.pi * rest.opacities * ordered[:, 1] * ordered[:, 2], 1e-12)


def _patches(rest: _LevelArrays, masses: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The patch of each Gaussian, 0 to about `count`; a patch never mixes sets of joints."""
    keys = _joint_sets(rest)
    area = masses * np.where(np.isin(rest.joint_ids, FACE_JOINTS) & (rest.weights > 0.5), FACE_FACTOR, 1.0).max(axis=1)
    spacing = math.sqrt(SKIN / count)
    features = np.concatenate(
        [rest.means, spacing * rest.normals, COLOR_WEIGHT * spacing * rest.colors], axis=1
    ).astype(np.float32)
    order = np.argsort(keys, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(keys[order])) + 1, [len(order)]])
    shares = np.add.reduceat(area[order], starts[:-1])
    budgets = np.clip(np.round(count * shares / shares.sum()), 1, np.diff(starts)).astype(np.int64)
    patches = np.empty(len(order), np.int64)
    rng, first = np.random.default_rng(0), 0
    for begin, end, budget in zip(starts[:-1], starts[1:], budgets, strict=True):
        members = order[begin:end]
        patches[members] = first + _cluster(features[members], area[members], int(budget), rng)
        first += int(budget)
    return np.unique(patches, return_inverse=True)[1].reshape(-1)


def _joint_sets(rest: _LevelArrays) -> NDArray[np.int64]:
    """A number for the set of joints that count for each Gaussian."""
    strong = rest.weights > MIN_JOINT_WEIGHT
    ids = np.where(strong, rest.joint_ids, -1)
    return np.unique(np.sort(ids, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _cluster(
    features: NDArray[np.float32], area: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Clusters of the members by Lloyd's iteration; the first centres are members sampled by area."""
    if count >= len(features):
        return np.arange(len(features))
    if count == 1:
        return np.zeros(len(features), np.int64)
    start = rng.choice(len(features), size=count, replace=False, p=area / area.sum())
    return _lloyd(features, area.astype(np.float32), features[start].copy(), LLOYD_STEPS)


@_kernel
@no_type_check
def _find_nearest(features, centres, nearest):
    """Find the nearest centre of each member."""
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
    """The nearest centre of each member after these steps; centres that lose all members stay where they are."""
    members, width = features.shape
    nearest = np.zeros(members, np.int64)
    _find_nearest(features, centres, nearest)
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
        _find_nearest(features, centres, nearest)
    return nearest


def _merge_patches(rest: _LevelArrays, masses: NDArray[np.float64], patches: NDArray[np.int64]) -> Level:
    """Merge each patch into one Gaussian by its moments."""
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
    variances[:, 1:] *= np.clip(ratio, 1, MAX_GROWTH)[:, None]
    axes[np.linalg.det(axes) < 0, :, 0] *= -1
    joint_ids, weights = _skinning(rest, masses, patches, count)
    normals = average(rest.normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    # The opacity that keeps coverage, never above that of the members, which may be transparent.
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
    rest: _LevelArrays, masses: NDArray[np.float64], patches: NDArray[np.int64], count: int
) -> tuple[Int[Tensor, "gaussian k"], Float[Tensor, "gaussian k"]]:
    """Averaged skinning: the strongest joints, as many for each Gaussian as the members had."""
    joints, k = int(rest.joint_ids.max()) + 1, min(rest.joint_ids.shape[1], 4)
    flat = (patches[:, None] * joints + rest.joint_ids).ravel()
    summed = np.bincount(flat, (masses[:, None] * rest.weights).ravel(), count * joints).reshape(count, joints)
    dense: NDArray[np.float64] = summed / summed.sum(axis=1, keepdims=True)
    dense[dense < MIN_WEIGHT] = 0
    joint_ids = np.argsort(-dense, axis=1, kind="stable")[:, :k]
    weights = np.take_along_axis(dense, joint_ids, axis=1)
    return torch.from_numpy(joint_ids.copy()), _tensor(weights / weights.sum(axis=1, keepdims=True))


def _quats(matrices: Float[Tensor, "gaussian 3 3"]) -> Float[Tensor, "gaussian 4"]:
    """Quaternions (wxyz) of rotation matrices, by an eigenvector, which is stable at any angle."""
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
