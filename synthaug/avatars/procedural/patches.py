"""Gaussians at rest as numpy arrays: flat discs on surfaces."""

from dataclasses import dataclass, replace

import numpy as np

from synthaug.avatars.procedural.figure import Floats, Ints, neighbours, ramp

THIN = 0.15
"""Standard deviation along the normal, as a share of that along the surface."""


@dataclass(frozen=True, eq=False)
class Patch:
    """Gaussians at rest, before they become tensors.

    Attributes:
        means: Positions, metres, [G, 3].
        normals: Outward unit normals, for lighting, [G, 3].
        axes: Rows are the three unit axes of each Gaussian, [G, 3, 3].
        scales: Standard deviations along the axes, metres, [G, 3].
        colors: 0..1, [G, 3].
        joint_ids: Four joints of each Gaussian, [G, 4].
        weights: Their skinning weights, [G, 4].
    """

    means: Floats
    normals: Floats
    axes: Floats
    scales: Floats
    colors: Floats
    joint_ids: Ints
    weights: Floats


def join_patches(patches: list[Patch]) -> Patch:
    """Concatenate patches in this order."""
    return Patch(
        *(
            np.concatenate([getattr(patch, name) for patch in patches])
            for name in ("means", "normals", "axes", "scales", "colors", "joint_ids", "weights")
        )
    )


def spacing_of(means: Floats, layer: Ints) -> Floats:
    """Mean distance to the six nearest points of the same layer."""
    spacing = np.empty(len(means), np.float32)
    for k in np.unique(layer):
        at = np.flatnonzero(layer == k)
        count = min(7, len(at))
        if count < 2:
            spacing[at] = 0.01
            continue
        distance = neighbours(means[at], means[at], count)[0]
        spacing[at] = distance[:, 1:].mean(1)
    return np.clip(spacing, 0.0008, 0.03)


def make_discs(means: Floats, normals: Floats, colors: Floats, spacing: Floats, skin: tuple[Ints, Floats]) -> Patch:
    """Round, thin Gaussians on a surface, as wide as their spacing requires."""
    size = (0.52 * spacing)[:, None]
    scales = np.concatenate([size, size, np.maximum(THIN * size, 0.0004)], axis=1).astype(np.float32)
    return Patch(means, normals, frames_of(normals), scales, np.clip(colors, 0, 1), *skin)


def frames_of(normals: Floats) -> Floats:
    """Orthonormal axes [G, 3, 3] whose last row is the normal."""
    across = np.where(np.abs(normals[:, :1]) < 0.8, np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]]))
    a = np.cross(across, normals)
    a /= np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-9)
    return np.stack([a, np.cross(normals, a), normals], axis=1).astype(np.float32)


def sharpen(surface: Patch, places: Floats, shown: Ints) -> Patch:
    """Narrow discs across edges of colour and lengthen them along the edges, so that stripes and hems stay sharp."""
    colors = surface.colors[shown]
    near = neighbours(places[shown], places[shown], 11)[1][:, 1:]
    between = places[shown][near] - places[shown][:, None]
    between /= np.maximum(np.linalg.norm(between, axis=2, keepdims=True), 1e-6)
    # Contrast on one side is an edge; on both sides it is a speckle.
    edge = (np.abs(colors[near] - colors[:, None]).sum(2)[..., None] * between).mean(1)
    strength = np.linalg.norm(edge, axis=1)
    turned = np.flatnonzero(strength > 0.06)
    # Directions come from the neighbourhood (structure tensor), because those of single points are too noisy.
    around = edge[near[turned]]
    direction = np.linalg.eigh(np.einsum("pki,pkj->pij", around, around))[1][:, :, 2]
    at = shown[turned]
    normal = surface.axes[at, 2]
    across = direction - np.einsum("pi,pi->p", direction, normal)[:, None] * normal
    length = np.linalg.norm(across, axis=1, keepdims=True)
    across = np.where(length > 0.3, across / np.maximum(length, 1e-6), surface.axes[at, 0])
    narrow = ramp(strength[turned], 0.06, 0.30) * (length[:, 0] > 0.3)
    axes, scales = surface.axes.copy(), surface.scales.copy()
    axes[at, 0], axes[at, 1] = across, np.cross(normal, across)
    scales[at, 0] *= 1 - 0.5 * narrow
    scales[at, 1] *= 1 + 0.15 * narrow
    return replace(surface, axes=axes, scales=scales)


def undo_hanging(patch: Patch, A: Floats) -> Patch:
    """Reshape discs in the T-pose so that they have the patch's shapes after A, with the arms hanging."""
    stretched = np.flatnonzero(np.abs(np.linalg.det(A) - 1) > 0.02)
    inverse = np.linalg.inv(A[stretched])
    # The disc lies along the rest surface, but its widths were measured with the arms hanging.
    axes = patch.axes[stretched]
    normal = np.einsum("pji,pj->pi", inverse, axes[:, 2])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    first = np.einsum("pij,pj->pi", A[stretched], axes[:, 0])
    first -= np.einsum("pi,pi->p", first, normal)[:, None] * normal
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    axes = np.stack([first, np.cross(normal, first), normal], axis=1)
    root = inverse @ (axes * patch.scales[stretched][:, :, None]).transpose(0, 2, 1)
    variances, vectors = np.linalg.eigh(root @ root.transpose(0, 2, 1))
    scales, all_axes = patch.scales.copy(), patch.axes.copy()
    scales[stretched] = np.sqrt(np.maximum(variances, 1e-8))[:, ::-1]
    all_axes[stretched] = vectors.transpose(0, 2, 1)[:, ::-1]
    return replace(patch, scales=scales, axes=all_axes)
