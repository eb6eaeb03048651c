"""Import a static splat of a standing person: clean it, fit a body to it, skin it, and bring it into the T-pose."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.transform import Rotation

from synthaug.avatars.importers import Importer
from synthaug.avatars.importers.files.checkpoints import content_digest
from synthaug.avatars.importers.fitting.registration import (
    Cloud,
    Skin,
    Stance,
    build_skin,
    chain,
    fit_body,
    pose_surface,
)
from synthaug.avatars.pack.about import About, Provenance
from synthaug.avatars.pack.activation import check_sizes
from synthaug.avatars.pack.format import Extras, Pack
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.avatars.pack.splats import Splats, read_contents
from synthaug.avatars.procedural.figure import nearest, neighbours
from synthaug.body.rotations import matrix_to_quat
from synthaug.structures import Gaussians

Doubles: TypeAlias = NDArray[np.floating]
SURFACE_POINTS = 20_000
"""Points of the body's surface from which skinning is copied: 1 cm apart."""
MAX_DISTANCE = 0.20
"""Metres from the body up to which Gaussians may be hair, bags or skirts; farther ones are floaters."""
MIN_GAUSSIANS = 500


@dataclass(frozen=True)
class Cleaning:
    """Which Gaussians are removed before the body is fitted.

    Attributes:
        opacity: Gaussians fainter than this are haze.
        lonely: Gaussians whose neighbours are this many times farther away than usual are floaters.
        island: Connected groups with less than this share of the largest group are floaters.
    """

    opacity: float = 0.05
    lonely: float = 3.0
    island: float = 0.02


@final
@dataclass(frozen=True)
class PlyImporter(Importer):
    """Fits the procedural body to a .ply of Gaussians: one standing person, any scale, any axis up.

    The pack has one level in the T-pose. Its quality figures say how well the body fits, see `fit_quality`.

    Attributes:
        height: Height of the bare person in metres, such as 1.75; a splat has no scale of its own.
        cleaning: Which Gaussians count as floaters.
    """

    height: float
    cleaning: Cleaning = Cleaning()

    def __post_init__(self) -> None:
        if not 0.5 < self.height < 2.5:
            raise ValueError(f"Expected a height between 0.5 and 2.5 m, got {self.height}. Give --height 1.75, say.")

    def import_person(self, source: Path, name: str) -> Pack:
        """Make an animatable person of a scan.

        Raises:
            FileNotFoundError: If there is no such file.
            PlyError: If it cannot be read as a splat.
            ValueError: If cleaning leaves no person, or its Gaussians are too large for one.
        """
        contents = read_contents(source)
        splats = contents.splats
        clean = splats.take(mask_person(splats, self.cleaning))
        if len(clean.means) < MIN_GAUSSIANS:
            raise ValueError(
                f"Expected a person of at least {MIN_GAUSSIANS} Gaussians in '{source}', got {len(clean.means)} of "
                f"{len(splats.means)} after removing floaters. Crop the scan to the person, or loosen the cleaning."
            )
        stance = fit_body(_cloud_of(clean), self.height)
        surface = build_skin(SURFACE_POINTS)
        places, normals = pose_surface(stance, surface)
        clean = clean.take(mask_near_body(clean, places, stance.scale))
        level = to_t_pose(clean, stance, surface, (places, normals))
        check_sizes(level.scales.numpy(), source)
        quality = fit_quality(clean, stance, places) | {
            "removed": float(len(splats.means) - len(clean.means)),
            "not_finite": float((~contents.kept).sum()),
        }
        notes = ["skinning transferred from synthaug's own body (Anny, CC0)", *contents.notes]
        if splats.sh.shape[1]:
            notes.append("view-dependent colours were dropped: they would have to turn with every limb")
        tool = f"synthaug {version('synthaug')}"
        provenance = Provenance("ply", source.name, content_digest(source), tool, tuple(notes))
        about = About(name, provenance, height=self.height, quality=quality)
        _, _, rest = chain(stance)
        rig = AvatarRig(torch.from_numpy(rest).float(), torch.zeros(55, 3))
        return Pack(about, rig, (level,), Extras(betas=torch.from_numpy(stance.betas).float()))


def mask_person(splats: Splats, cleaning: Cleaning) -> NDArray[np.bool_]:
    """Mask of the Gaussians that are not haze, not huge, not alone and not on a small island, [G]."""
    good = splats.opacities > cleaning.opacity
    # By the two longer axes, since discs have no third one.
    size = np.sqrt(np.sort(splats.scales, axis=1)[:, 1:].prod(1))
    good &= splats.scales.max(1) < 20 * np.median(size[good]) if good.any() else good
    rows = np.flatnonzero(good)
    if len(rows) < 20:
        return good
    distance, index = neighbours(splats.means[rows], splats.means[rows], 9)
    reach = distance[:, -1]
    usual = np.percentile(reach, 75)
    # Hands and hair are sparser than the trunk; floaters are sparser than both.
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


def mask_near_body(splats: Splats, places: Doubles, scale: float) -> NDArray[np.bool_]:
    """Mask of the Gaussians that belong to the body, [G]: close to it, or as dense as those, like hair and skirts.

    Args:
        splats: The scan.
        places: Points of the fitted body's surface in the scan, [S, 3].
        scale: Scan units per metre.
    """
    away = nearest(places, splats.means)[0] / scale
    reach = neighbours(splats.means, splats.means, 9)[0][:, -1] / scale
    # Faces hold more than their share of Gaussians: measured by the median, everything else would be sparse.
    usual = np.percentile(reach, 75)
    return (away < 0.012) | ((reach < 1.6 * usual) & (away < MAX_DISTANCE)) | ((reach < 2.2 * usual) & (away < 0.03))


def to_t_pose(splats: Splats, stance: Stance, surface: Skin, there: tuple[Doubles, Doubles]) -> Gaussians:
    """Bring the scan into the T-pose by inverting the blended matrix of each Gaussian.

    Args:
        splats: The cleaned scan.
        stance: The fitted body.
        surface: Points of its surface.
        there: Their places and normals in the scan, each [S, 3].
    """
    ids, weights = transfer_skinning(splats, surface, there)
    W, at, rest = chain(stance)
    # From rest to scan for each joint, without the scale, which is divided out first.
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


def transfer_skinning(
    splats: Splats, surface: Skin, there: tuple[Doubles, Doubles], *, around: int = 12, joints: int = 6
) -> tuple[NDArray[np.integer], Doubles]:
    """Joints [G, k] and weights of each Gaussian, blended from the body's points around it.

    Points are weighted by a Gaussian bell whose width is half the distance from the surface, at least 1.5 times the
    points' spacing. Points whose surface is perpendicular to a flat Gaussian count little, so that an arm does not take
    the weights of the side it touches.
    """
    places, normals = there
    distance, index = neighbours(places, splats.means, around)
    spacing = np.median(distance[:, 1] - distance[:, 0]) + np.median(distance[:, 0]) * 0.2
    width = np.maximum(distance[:, :1] * 0.5, 1.5 * spacing)
    share = np.exp(-((distance - distance[:, :1]) ** 2) / (2 * width**2))
    axes, flat = _shortest_axes(splats)
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
    """How well the body explains the scan.

    Returns:
        `fit_median_m` and `fit_p95_m`: distances of the Gaussians from the body's surface, clothes and hair included;
        `uncovered`: share of the body's surface with no Gaussian within 4 cm, such as the soles of a standing person;
        `scale`: scan units per metre; `gaussians`: how many were kept.
    """
    away = nearest(places, splats.means)[0] / stance.scale
    bare = nearest(splats.means, places)[0] / stance.scale
    return {
        "fit_median_m": float(np.median(away)), "fit_p95_m": float(np.percentile(away, 95)),
        "uncovered": float((bare > 0.04).mean()), "scale": float(stance.scale), "gaussians": float(len(away)),
    }  # fmt: skip


def _cloud_of(splats: Splats) -> Cloud:
    axes, flat = _shortest_axes(splats)
    return Cloud(splats.means.astype(float), np.where(flat[:, None], axes, 0.0))


def _shortest_axes(splats: Splats) -> tuple[Doubles, NDArray[np.bool_]]:
    """Shortest axis of each Gaussian, [G, 3], and whether the Gaussian is flat enough to have a meaningful one, [G]."""
    order = np.sort(splats.scales, axis=1)
    R = Rotation.from_quat(splats.quats[:, [1, 2, 3, 0]]).as_matrix()
    axes = np.take_along_axis(R, splats.scales.argmin(1)[:, None, None], axis=2)[..., 0]
    return axes, order[:, 0] < 0.5 * order[:, 1]


def _inverses(A: Doubles) -> Doubles:
    """Inverses of blended rotations, bounded where a blend is nearly singular."""
    u, s, vt = np.linalg.svd(A)
    return np.einsum("gji,gj,gkj->gik", vt, 1 / np.maximum(s, 0.3), u)


def _principal_axes(M: Doubles) -> tuple[torch.Tensor, torch.Tensor]:
    """Orientation (wxyz) and standard deviations of covariances M M^T."""
    u, s, _ = np.linalg.svd(M)
    u[np.linalg.det(u) < 0, :, 2] *= -1
    quats = matrix_to_quat(torch.from_numpy(u))
    return torch.nn.functional.normalize(quats, dim=1).float(), torch.from_numpy(s).float()
