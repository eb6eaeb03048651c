"""Which joints of the acting person a clip shows, known without rendering it. Pure functions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.skeleton import PARENTS
from synthaug.structures import Camera, Gaussians

BODY = 22
"""The first joints of a skeleton: pelvis, legs, trunk, head and arms, without face and fingers."""
DEPTH_OF_FLESH = 0.08
"""Metres from the surface of a body to its joints, as seen by a camera: mean over the body."""
_RADII = (0.15, 0.12, 0.12, 0.15, 0.09, 0.09, 0.15, 0.05, 0.05, 0.15, 0.04, 0.04, 0.08, 0.13, 0.13, 0.11, 0.09, 0.09,
          0.05, 0.05, 0.04, 0.04)  # fmt: skip
"""Metres from the bone that ends in each joint to the skin around it: who stands in front hides as much."""
LEAST_LIGHT = 0.5
"""Share of a joint's light that things must let through for it to be shown: glass hides nothing."""


@dataclass(frozen=True)
class Threshold:
    """What a clip must show of its acting person.

    Attributes:
        clip: Least share of the joints over all frames.
        half_second: Least share over any half second.
    """

    clip: float = 0.7
    half_second: float = 0.5

    def accepts(self, visible: Bool[Tensor, "time joint"], fps: float) -> bool:
        """Whether a clip with these visible joints shows enough, frame after frame."""
        shares = visible.float().mean(dim=1)
        return bool(shares.mean() >= self.clip) and bool(windows(shares, fps).min() >= self.half_second)


def windows(shares: Float[Tensor, " time"], fps: float) -> Float[Tensor, " window"]:
    """The mean of each half second, or of the whole of a shorter clip."""
    length = min(max(round(fps / 2), 1), len(shares))
    return shares.unfold(0, length, 1).mean(dim=1)


def find_visible(
    joints: Sequence[Float[Tensor, "time 55 3"]],
    camera: Camera,
    depth_at: Callable[[Float[Tensor, "pixel 2"]], Float[Tensor, " pixel"]] | None = None,
) -> Bool[Tensor, "time 22"]:
    """Which body joints of the first person lie in the picture, hidden neither by the scene nor by other people.

    What the person's own body hides counts as shown: no view of an action is without it.

    Args:
        joints: World positions, metres; the acting person first.
        camera: One view a frame.
        depth_at: Camera depth of the scene at pixels; None where nothing stands in front.
    """
    local, pixels = _project(joints[0][:, :BODY], camera)
    size = pixels.new_tensor([camera.width, camera.height])
    shown = (local[..., 2] > 0) & ((pixels >= 0) & (pixels < size)).all(dim=-1)
    if depth_at is not None and bool(shown.any()):
        hidden = depth_at(pixels[shown]) < local[..., 2][shown] - DEPTH_OF_FLESH
        shown[shown.clone()] = ~hidden
    for other in joints[1:]:
        shown &= ~_find_hidden(local, other, camera)
    return shown


def find_filmed(joints: Float[Tensor, "time 55 3"], camera: Camera, *, least: float = 0.1) -> Bool[Tensor, " 22"]:
    """Body joints that a film shows in at least this share of its frames: the rest can only be guessed."""
    views = torch.arange(len(joints)).clamp(max=len(camera.viewmats) - 1)
    own = Camera(camera.viewmats[views], camera.Ks[views], camera.width, camera.height)
    return find_visible([joints], own).float().mean(dim=0) >= least


def _project(
    joints: Float[Tensor, "time joint 3"], camera: Camera
) -> tuple[Float[Tensor, "time joint 3"], Float[Tensor, "time joint 2"]]:
    """Joints in the camera's frame, and their pixels."""
    viewmats, Ks = camera.viewmats.to(joints), camera.Ks.to(joints)
    local = joints @ viewmats[:, :3, :3].mT + viewmats[:, None, :3, 3]
    pixels = local @ Ks.mT
    return local, pixels[..., :2] / local[..., 2:].clamp(min=1e-6)


def _find_hidden(
    local: Float[Tensor, "time 22 3"], other: Float[Tensor, "time 55 3"], camera: Camera
) -> Bool[Tensor, "time 22"]:
    """Whether the line of sight to each joint meets somebody else's limb before: a capsule about each bone."""
    theirs, _ = _project(other[:, :BODY], camera)
    starts, ends = theirs[:, list(PARENTS[1:BODY])], theirs[:, 1:]
    radii = local.new_tensor(_RADII[1:])
    distance, share = _nearest_on_lines(local, starts, ends)
    before = share * local.norm(dim=-1)[..., None] < local.norm(dim=-1)[..., None] - DEPTH_OF_FLESH
    return ((distance < radii) & before & (share > 0)).any(dim=-1)


def _nearest_on_lines(
    targets: Float[Tensor, "time joint 3"], starts: Float[Tensor, "time bone 3"], ends: Float[Tensor, "time bone 3"]
) -> tuple[Float[Tensor, "time joint bone"], Float[Tensor, "time joint bone"]]:
    """Distance between each line of sight (origin to target) and each bone, and where on the line: share of its length.

    Source:
        Ericson, "Real-Time Collision Detection", 2004, section 5.1.9 (closest points of two segments).
    """
    d1, d2, r = targets[:, :, None], (ends - starts)[:, None], -starts[:, None]
    a, e = (d1 * d1).sum(-1), (d2 * d2).sum(-1).clamp(min=1e-9)
    b, c, f = (d1 * d2).sum(-1), (d1 * r).sum(-1), (d2 * r).sum(-1)
    s = ((b * f - c * e) / (a * e - b * b).clamp(min=1e-9)).clamp(0, 1)
    t = ((b * s + f) / e).clamp(0, 1)
    s = ((b * t - c) / a.clamp(min=1e-9)).clamp(0, 1)
    return (s[..., None] * d1 - (starts[:, None] + t[..., None] * d2)).norm(dim=-1), s


def see_past(
    joints: Float[Tensor, "time 55 3"], camera: Camera, things: Sequence[Gaussians]
) -> Bool[Tensor, "time 22"]:
    """Which body joints things leave in sight, wherever the picture ends.

    What is nearer to a joint than the body's own surface hides nothing: people touch what they hold and sit on.

    Args:
        joints: World positions of the acting person, metres.
        camera: One view a frame.
        things: What people hold and sit on: rigid, each moved by its single joint.
    """
    views = camera.viewmats.double().numpy(force=True)
    eyes = -(views[:, :3, :3].swapaxes(1, 2) @ views[:, :3, 3:])[..., 0]
    targets = joints[:, :BODY].double().numpy(force=True)
    shown = np.ones(targets.shape[:2], dtype=bool)
    for thing in things:
        kept = np.ones(targets.shape[:2])
        T = thing.T_world_rest[:, 0].double().numpy(force=True)
        parts = (thing.means, thing.quats, thing.scales, thing.opacities)
        _block_sight((eyes, targets), T, tuple(part.numpy(force=True) for part in parts), kept)
        shown &= kept >= LEAST_LIGHT
    return torch.from_numpy(shown)


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _block_sight(sight, T, gaussians, kept):
    """Take away what each Gaussian hides of lines of sight, where it is densest on them."""
    eyes, targets = sight
    means, quats, scales, opacities = gaussians
    whiten, reaches = np.empty((len(means), 3, 3)), np.empty(len(means))
    whole = 0.0
    for n in range(len(means)):
        _find_whitening(quats[n], scales[n], whiten[n])
        reaches[n] = 3 * max(scales[n, 0], scales[n, 1], scales[n, 2])
        whole = max(whole, math.sqrt(means[n, 0] ** 2 + means[n, 1] ** 2 + means[n, 2] ** 2) + reaches[n])
    eye, way = np.empty(3), np.empty(3)
    for t in range(len(eyes)):
        for j in range(targets.shape[1]):
            for k in range(3):
                eye[k] = way[k] = 0.0
                for i in range(3):
                    eye[k] += T[t, i, k] * (eyes[t, i] - T[t, i, 3])
                    way[k] += T[t, i, k] * (targets[t, j, i] - eyes[t, i])
            square = max(way[0] ** 2 + way[1] ** 2 + way[2] ** 2, 1e-12)
            last = 1 - DEPTH_OF_FLESH / math.sqrt(square)
            # Most lines of sight do not come near the thing.
            if _find_distance(eye, way, (0.0, 0.0, 0.0), (square, last)) > whole * whole:
                continue
            for n in range(len(means)):
                middle = (means[n, 0], means[n, 1], means[n, 2])
                if _find_distance(eye, way, middle, (square, last)) < reaches[n] * reaches[n]:
                    kept[t, j] *= 1 - opacities[n] * _find_density(eye, way, middle, whiten[n], last)


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _find_distance(eye, way, point, line):
    """Squared distance from a point to a line of sight; `line` has its squared length, and the share that counts."""
    square, last = line
    x, y, z = point[0] - eye[0], point[1] - eye[1], point[2] - eye[2]
    share = min(max((x * way[0] + y * way[1] + z * way[2]) / square, 0.0), max(last, 0.0))
    return (x - share * way[0]) ** 2 + (y - share * way[1]) ** 2 + (z - share * way[2]) ** 2


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _find_density(eye, way, mean, whiten, last):
    """A Gaussian's largest density on a line of sight, of 1 at its mean; 0 where that is not before the line's end."""
    x, y, z = eye[0] - mean[0], eye[1] - mean[1], eye[2] - mean[2]
    start = along = length = 0.0
    for k in range(3):
        b = whiten[k, 0] * x + whiten[k, 1] * y + whiten[k, 2] * z
        d = whiten[k, 0] * way[0] + whiten[k, 1] * way[1] + whiten[k, 2] * way[2]
        start, along, length = start + b * b, along + b * d, length + d * d
    share = -along / max(length, 1e-12)
    return math.exp((share * share * length - start) / 2) if 0 < share < last else 0.0


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _find_whitening(quat, scale, out):
    """From a Gaussian's frame to one in which it is a unit sphere: rows of the rotation over the deviations."""
    w, x, y, z = quat
    out[0, 0], out[0, 1], out[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)
    out[1, 0], out[1, 1], out[1, 2] = 2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)
    out[2, 0], out[2, 1], out[2, 2] = 2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)
    for row in range(3):
        for column in range(3):
            out[row, column] /= max(scale[row], 1e-4)
