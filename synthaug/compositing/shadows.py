"""Contact shadows on the floor: of people, from spheres along their limbs, and of seats. Pure functions, compiled."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import JOINT
from synthaug.structures import Camera, Gaussians, Light

# Fast maths without nnan and ninf: rays along the horizon divide by zero and must stay infinite.
_FAST = {"contract", "reassoc", "arcp", "nsz", "afn"}

BLOBS: tuple[tuple[str, str, float, float], ...] = (
    ("ankle", "foot", -0.3, 0.045), ("ankle", "foot", 0.5, 0.05), ("ankle", "foot", 1.0, 0.045),
    ("ankle", "foot", 1.5, 0.03), ("ankle", "knee", 0.35, 0.05), ("ankle", "knee", 0.7, 0.06),
    ("knee", "hip", 0.0, 0.065), ("knee", "hip", 0.35, 0.075), ("knee", "hip", 0.7, 0.085),
    ("shoulder", "elbow", 0.0, 0.06), ("shoulder", "elbow", 0.5, 0.05), ("elbow", "wrist", 0.0, 0.045),
    ("elbow", "wrist", 0.5, 0.04), ("elbow", "wrist", 1.0, 0.035), ("wrist", "middle1", 1.0, 0.04),
)  # fmt: skip
"""Spheres along each side's limbs that cast the shadow: from joint, to joint, share of the way (beyond 1: the toes),
radius in metres of an adult's limb there."""
TRUNK: tuple[tuple[str, float], ...] = (("pelvis", 0.14), ("spine2", 0.14), ("spine3", 0.15), ("head", 0.11))
"""Spheres of the trunk: joint, radius in metres."""
DENSITY = 2.5
"""How many spheres each one stands for: at 15 on a side they cover a bit less than half of the limbs' length, and
clothes make limbs wider."""
SPREAD = math.tan(math.radians(14))
"""Tangent of the angular radius of the distant light: a window of 1.2 m seen from 2.5 m."""
FAINT = 0.004
"""Share of the surroundings below which a sphere's shadow is left out, and by which all are weakened, so that no
border shows: one step of uint8."""
COARSE = 4
"""Pixels between the points at which the shadow of HIGH spheres is computed; bilinear between them."""
HIGH = 0.6
"""Metres above which a sphere's share changes so slowly along the floor (its second derivative is 3 r^2 / h^4) that
COARSE points do: 63 dB and at most 1.6 / 255 off in the factor, on a standing person at 112 pixels."""
NEAR = (0.7, 1.6)
"""The distant light's shadow fades over these metres from the body: farther off it would cross walls and furniture
that the floor plane knows nothing of."""

CELL = 0.14
"""Size of the cells of a seat's surface that cast a shadow as one sphere each, metres."""
TILE = 0.58
"""Standard deviation of a seat's Gaussians as a share of their spacing, as `synthaug.props.parts.tiling` has it."""
SHADED = 4
"""Frames of a clip in which it is looked how people darken their seat, about."""


def contact_shadow(
    joints_world: Float[Tensor, "time 55 3"],
    camera: Camera,
    light: Light | None,
    *,
    depth: Float[Tensor, "height width"] | None = None,
    strength: float = 1.0,
) -> Float[Tensor, "time 1 height width"]:
    """How much of the floor's light each pixel keeps in the person's presence: 1 away from the person.

    Spheres along the limbs block the light of the surroundings (the exact share that a sphere takes of a floor's
    sky) and, softly, the distant light. Standing feet darken the floor at the contact, raised ones hardly.

    Args:
        joints_world: Joints of one person, floor at y = 0.
        camera: The camera of the frames that will be darkened.
        light: Light of the place; None takes the light of the surroundings alone.
        depth: Scene depth; where it disagrees with the floor's, something else is seen and stays as it is.
        strength: 0 casts no shadow, 1 a full one.

    Source:
        Quilez, "Sphere ambient occlusion" (share r^2 h / d^3 of the sky above a floor), iquilezles.org.
    """
    spheres = _place_spheres(joints_world.numpy(force=True).astype(np.float64))
    out = _cast(spheres, camera, _shares(light), depth=depth, strength=strength)
    return torch.from_numpy(out)[:, None].to(joints_world.device)


def seat_shadow(
    seat: Gaussians, camera: Camera, light: Light | None, *, depth: Float[Tensor, "height width"] | None = None
) -> Float[Tensor, "view 1 height width"]:
    """How much of the floor's light each pixel keeps beside and under a seat; one view for all if the camera is still.

    Args:
        seat: A rigid thing that does not move, made of flat Gaussians with normals.
        camera: The camera of the frames that will be darkened.
        light: As in `contact_shadow`.
        depth: As in `contact_shadow`.
    """
    if bool((camera.viewmats == camera.viewmats[:1]).all()) and bool((camera.Ks == camera.Ks[:1]).all()):
        camera = Camera(camera.viewmats[:1], camera.Ks[:1], camera.width, camera.height)
    centres, radii = find_spheres(seat)
    every = np.broadcast_to(centres, (len(camera.viewmats), *centres.shape))
    return torch.from_numpy(_cast((every, radii), camera, _shares(light), depth=depth))[:, None]


def find_spheres(
    seat: Gaussians,
) -> tuple[Float[np.ndarray, "blob 3"], Float[np.ndarray, " blob"]]:
    """Spheres that hide as much of a floor's sky as the surface of a seat: one for each CELL that it goes through.

    What stands upright counts half, since the floor sees it from the side. Both faces of a part count, because FAINT
    takes about half from spheres as small as these: so they agree best with rays.
    """
    T, normals = seat.T_world_rest[0, 0].double(), seat.normals
    assert normals is not None, "what is built here has normals"
    points = (seat.means.double() @ T[:3, :3].mT + T[:3, 3]).numpy(force=True)
    steep = (normals.double() @ T[:3, :3].mT)[:, 1].abs().clamp(max=1)
    spread = seat.scales.double().sort(dim=1).values[:, 1:].prod(dim=1) / TILE**2
    areas = (spread * (steep + 0.5 * (1 - steep**2).sqrt())).numpy(force=True)
    places = np.floor((points - points.min(axis=0)) / CELL).astype(np.int64)
    _, cells = np.unique(places @ [1, 1 << 20, 1 << 40], return_inverse=True)
    whole = np.bincount(cells, areas)
    centres = np.stack([np.bincount(cells, areas * points[:, axis]) for axis in range(3)], axis=1) / whole[:, None]
    radii = np.minimum(np.sqrt(whole / (math.pi * DENSITY)), 0.7 * CELL)
    centres[:, 1] = np.maximum(centres[:, 1], 0.5 * radii)
    return centres, radii


def _cast(
    spheres: tuple[np.ndarray, np.ndarray],
    camera: Camera,
    light: tuple[np.ndarray, tuple[float, float]],
    *,
    depth: Float[Tensor, "height width"] | None,
    strength: float = 1.0,
) -> Float[np.ndarray, "time height width"]:
    """What each pixel keeps of the floor's light before these spheres: [time, blob, 3] and [blob]."""
    centres, radii = spheres
    direction, shares = light
    out = np.ones((len(centres), camera.height, camera.width), np.float32)
    viewmats, Ks = (array.numpy(force=True).astype(np.float64) for array in (camera.viewmats, camera.Ks))
    turned = viewmats[:, :3, :3].swapaxes(1, 2)
    places = -(turned @ viewmats[:, :3, 3:])[:, :, 0]
    views = (places, turned @ np.linalg.inv(Ks), Ks @ viewmats[:, :3])
    scene = np.zeros((1, 1), np.float32) if depth is None else depth.cpu().float().contiguous().numpy()
    _shadow(
        (np.ascontiguousarray(centres, np.float32), np.ascontiguousarray(radii, np.float32)),
        tuple(np.ascontiguousarray(view, np.float32) for view in views),
        (direction, np.float32(shares[0] * strength), np.float32(shares[1] * strength)),
        scene,
        out,
    )
    return out


def shade_seat(seat: Gaussians, joints: Sequence[Float[Tensor, "time 55 3"]]) -> Gaussians:
    """A seat darkened where people keep the surroundings' light from it: about hips, thighs and back, over the clip.

    The mean over the frames, since a seat's colours do not change: who sits down half way darkens it by half. The
    distant light is left as it is.

    Args:
        seat: A rigid thing that does not move, made of flat Gaussians with normals.
        joints: Joints of each person, world frame.

    Source:
        Quilez, "Sphere ambient occlusion", iquilezles.org: r^2 cos / d^2 of a surface's sky.
    """
    T, normals = seat.T_world_rest[0, 0].double(), seat.normals
    assert normals is not None, "what is built here has normals"
    points = (seat.means.double() @ T[:3, :3].mT + T[:3, 3]).numpy(force=True)
    facing = (normals.double() @ T[:3, :3].mT).numpy(force=True)
    kept = np.ones(len(points))
    for one in joints:
        few = one[:: max(1, len(one) // SHADED)].numpy(force=True).astype(np.float64)
        kept *= _keep_light(points, facing, *_place_spheres(few))
    sky = _shares(seat.light)[1][0]
    factor = torch.from_numpy((1 - sky * (1 - kept)) ** (1 / 2.2)).to(seat.colors)
    return replace(seat, colors=seat.colors * factor[:, None])


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _keep_light(points, facing, centres, radii):
    """Share of the surroundings' light that points of a surface keep: the mean over frames."""
    kept = np.zeros(len(points))
    for n in range(len(points)):
        for t in range(len(centres)):
            left = 1.0
            for k in range(len(radii)):
                x, y, z = (
                    centres[t, k, 0] - points[n, 0],
                    centres[t, k, 1] - points[n, 1],
                    centres[t, k, 2] - points[n, 2],
                )
                ahead = x * facing[n, 0] + y * facing[n, 1] + z * facing[n, 2]
                if ahead > 0:
                    square = max(x * x + y * y + z * z, radii[k] * radii[k])
                    left *= 1 - min(radii[k] * radii[k] * ahead / (square * math.sqrt(square)), 0.9)
            # To the power of 2.5, which is DENSITY.
            kept[n] += left * left * math.sqrt(left)
        kept[n] /= len(centres)
    return kept


_LIMBS = [
    (side + start, side + end, share, radius) for side in ("left_", "right_") for start, end, share, radius in BLOBS
]
_STARTS = np.array([JOINT[name] for name, _ in TRUNK] + [JOINT[start] for start, *_ in _LIMBS])
_ENDS = np.array([JOINT[name] for name, _ in TRUNK] + [JOINT[end] for _, end, *_ in _LIMBS])
_ALONG = np.array([0.0 for _ in TRUNK] + [share for _, _, share, _ in _LIMBS])[:, None]
_RADII = np.array([radius for _, radius in TRUNK] + [radius for *_, radius in _LIMBS])


def _place_spheres(
    joints: Float[np.ndarray, "time 55 3"],
) -> tuple[Float[np.ndarray, "time blob 3"], Float[np.ndarray, " blob"]]:
    """Centres, lifted so that none lies under the floor, and radii."""
    starts = joints[:, _STARTS]
    centres = starts + _ALONG * (joints[:, _ENDS] - starts)
    centres[:, :, 1] = np.maximum(centres[:, :, 1], 0.5 * _RADII)
    return centres, _RADII


def _shares(light: Light | None) -> tuple[np.ndarray, tuple[float, float]]:
    """Direction of the distant light, and the shares of surroundings and distant light in what reaches the floor."""
    if light is None or light.direction[1] <= 0.05:
        return np.array([0, 1, 0], np.float32), (1.0, 0.0)
    key = float(np.mean(light.key)) * light.direction[1]
    sky = float(np.mean(light.sky))
    # A room's surroundings bring more than the sky term says: no shadow of the distant light takes beyond 60 %.
    share = min(key / max(key + sky, 1e-6), 0.6)
    return np.asarray(light.direction, np.float32), (1 - share, share)


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _floor(place, rays, step, points):
    """Where the ray of every step-th pixel meets the floor: x, z, and camera depth, negative where it does not."""
    _, height, width = points.shape
    for row in range(height):
        v = np.float32(step * row + 0.5)
        for i in range(width):
            u = np.float32(step * i + 0.5)
            down = -(rays[1, 0] * u + rays[1, 1] * v + rays[1, 2])
            # The ray's camera depth is 1, so the parameter of the hit is the floor's camera depth.
            s = place[1] / down if down > np.float32(1e-4) else np.float32(-1)
            points[0, row, i] = place[0] + s * (rays[0, 0] * u + rays[0, 1] * v + rays[0, 2])
            points[1, row, i] = place[2] + s * (rays[2, 0] * u + rays[2, 1] * v + rays[2, 2])
            points[2, row, i] = s


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _shadow(blobs, views, light, scene, out):
    centres, radii = blobs
    places, rays, projections = views
    times, height, width = out.shape
    points, kept = np.empty((3, height, width), np.float32), np.empty((2, height, width), np.float32)
    # One more than covers the picture, since each pixel lies between two.
    coarse = (3, (height - 1) // COARSE + 2, (width - 1) // COARSE + 2)
    far_points, far_kept = np.empty(coarse, np.float32), np.empty(coarse, np.float32)
    coarser = np.empty((3, 4), np.float32)
    for t in range(times):
        if t == 0 or (places[t] != places[t - 1]).any() or (rays[t] != rays[t - 1]).any():
            _floor(places[t], rays[t], 1, points)
            _floor(places[t], rays[t], COARSE, far_points)
            _push_away(far_points)
        coarser[:] = projections[t]
        coarser[:2] /= np.float32(COARSE)
        far_kept[:] = np.float32(1)
        for k in range(radii.shape[0]):
            if centres[t, k, 1] > np.float32(HIGH):
                _block_sky(far_points, (centres[t, k], radii[k]), coarser, far_kept[0])
        _spread(far_kept[0], kept[0])
        kept[1] = np.float32(1)
        for k in range(radii.shape[0]):
            if centres[t, k, 1] <= np.float32(HIGH):
                _block_sky(points, (centres[t, k], radii[k]), projections[t], kept[0])
            if light[2] > 0:
                _block_key(points, (centres[t, k], radii[k]), (projections[t], light[0]), kept[1])
        _darkness(points, kept, light, scene, out[t])


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _push_away(points):
    """Where there is no floor, points so far away that nothing reaches them."""
    for row in range(points.shape[1]):
        for i in range(points.shape[2]):
            if points[2, row, i] <= 0:
                points[0, row, i] = points[1, row, i] = np.float32(1e6)


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _spread(coarse, fine):
    """Bilinear: the fine grid's every COARSE-th point is one of the coarse grid."""
    line = np.empty(coarse.shape[1], np.float32)
    whole = np.empty(coarse.shape[1] * COARSE, np.float32)
    for row in range(fine.shape[0]):
        above, below = coarse[row // COARSE], coarse[row // COARSE + 1]
        share = np.float32(row % COARSE) / np.float32(COARSE)
        for i in range(line.shape[0]):
            line[i] = above[i] + share * (below[i] - above[i])
        for i in range(line.shape[0] - 1):
            step = (line[i + 1] - line[i]) * np.float32(1 / COARSE)
            for j in range(COARSE):
                whole[COARSE * i + j] = line[i] + np.float32(j) * step
        for i in range(fine.shape[1]):
            fine[row, i] = whole[i]


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _darkness(points, kept, light, scene, out):
    """What is left of both lights on the floor, and 1 elsewhere."""
    one, tolerance = np.float32(1), np.float32(0.04)
    for row in range(out.shape[0]):
        depth, skies, keys, line = points[2, row], kept[0, row], kept[1, row], out[row]
        seen = scene[row] if scene.shape[0] > 1 else depth
        for i in range(line.shape[0]):
            sky, key = skies[i], keys[i]
            # To the power of 2.5, which is DENSITY.
            lost = light[1] * (one - sky * sky * np.sqrt(sky)) + light[2] * (one - key * key * np.sqrt(key))
            # 4 %: pixel footprints at grazing angles, and coarse depth.
            floor = (depth[i] > 0) & (abs(seen[i] - depth[i]) <= tolerance * depth[i])
            line[i] = one - lost if floor else one


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _block_sky(points, blob, projection, kept):
    """Take away what a sphere hides of the surroundings, as far as that can be seen."""
    (cx, h, cz), r = blob
    strength = r * r * h
    faint = np.float32(FAINT)
    reach = max((strength / faint) ** np.float32(1 / 3), r)
    top, bottom, left, right = _window(cx, cz, reach, projection, kept.shape)
    for row in range(top, bottom):
        # Slices, so that the index starts at 0: one that might be negative would keep the loop from vectorising.
        x, z, line = points[0, row, left:right], points[1, row, left:right], kept[row, left:right]
        for i in range(x.shape[0]):
            dx, dz = cx - x[i], cz - z[i]
            square = dx * dx + dz * dz + h * h
            blocked = min(strength / (square * np.sqrt(square)), np.float32(0.9)) - faint
            line[i] *= np.float32(1) - max(blocked, np.float32(0))


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _block_key(points, blob, view, kept):
    """Take away what a sphere hides of the distant light: a disc that grows and fades with the distance."""
    (cx, h, cz), r = blob
    projection, (lx, ly, lz) = view
    spread, zero, one = np.float32(SPREAD), np.float32(0), np.float32(1)
    near, far = np.float32(NEAR[0]), np.float32(NEAR[1])
    length = h / ly
    if length > far:
        return
    top, bottom, left, right = _window(
        cx - lx * length, cz - lz * length, (r + length * spread) / ly * np.float32(1.3), projection, kept.shape
    )
    fade = min((far - length) / (far - near), one)
    for row in range(top, bottom):
        # Slices, so that the index starts at 0: one that might be negative would keep the loop from vectorising.
        x, z, line = points[0, row, left:right], points[1, row, left:right], kept[row, left:right]
        for i in range(x.shape[0]):
            dx, dz = cx - x[i], cz - z[i]
            along = max(dx * lx + h * ly + dz * lz, zero)
            size = r + along * spread
            inverse = one / (size * size)
            covered = max(one - (dx * dx + dz * dz + h * h - along * along) * inverse, zero)
            line[i] *= one - fade * min(covered * r * r * inverse, one)


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy")
def _window(x, z, reach, projection, shape):
    """Pixels that may see a disc of the floor: rows from, to, columns from, to."""
    depth = projection[2, 0] * x + projection[2, 2] * z + projection[2, 3]
    # Too near to bound: the whole picture.
    if depth < np.float32(1.2) * reach + np.float32(0.05):
        return (0, shape[0], 0, shape[1]) if depth > -reach else (0, 0, 0, 0)
    low_u, high_u, low_v, high_v = np.inf, -np.inf, np.inf, -np.inf
    for corner in range(4):
        px = x + (reach if corner & 1 else -reach)
        pz = z + (reach if corner & 2 else -reach)
        w = max(projection[2, 0] * px + projection[2, 2] * pz + projection[2, 3], np.float32(1e-2))
        u = (projection[0, 0] * px + projection[0, 2] * pz + projection[0, 3]) / w
        v = (projection[1, 0] * px + projection[1, 2] * pz + projection[1, 3]) / w
        low_u, high_u, low_v, high_v = min(low_u, u), max(high_u, u), min(low_v, v), max(high_v, v)
    top, bottom = max(int(max(low_v, -1.0)), 0), int(min(max(high_v, -2.0) + 2, shape[0]))
    left, right = max(int(max(low_u, -1.0)), 0), int(min(max(high_u, -2.0) + 2, shape[1]))
    return top, max(bottom, 0), left, max(right, 0)
