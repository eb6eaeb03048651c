"""Turn the reference's camera around the person, move it nearer or farther, and change its lens."""

import math
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import final, no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.cameras import EDGE, CameraPath, find_shift
from synthaug.structures import Camera, Values

MIN_HEIGHT = 0.25
"""Lowest height of an orbiting camera, metres above the floor: a camera on a low shelf."""
MAX_ELEVATION = math.radians(80)
"""Highest elevation of an orbiting camera, radians: straight above the person, "level" loses its meaning."""
_kernel = numba.njit(nogil=True, cache=True, error_model="numpy")
WIDEST = 0.6
"""Smallest factor on the focal length that takes in people who do not fit into the picture otherwise."""


@final
class Orbit(CameraPath):
    """The reference's view turned about the person, nearer or farther, through another lens.

    The middle of the person's path stays at the very pixel where the reference saw it, so a person who was in
    the picture stays in it. A longer lens also moves the camera back by the same factor: `focal` changes perspective,
    and only `distance` changes the person's size. Ranges without change give the reference exactly.

    Args:
        azimuth_deg: Turn about the vertical, counter-clockwise from above; positive moves the camera to its right.
        elevation_deg: Added to the camera's elevation as seen from the person; positive climbs. Clamped so that
            the camera stays above 0.25 m and below 80 degrees.
        distance: Factor on the distance.
        focal: Factor on the focal length.
    """

    def __init__(
        self,
        azimuth_deg: Sequence[float | int] = (-60.0, 60.0),
        elevation_deg: Sequence[float | int] = (-5.0, 15.0),
        distance: Sequence[float | int] = (0.95, 1.3),
        focal: Sequence[float | int] = (0.85, 1.25),
    ) -> None:
        ranges = {"azimuth_deg": azimuth_deg, "elevation_deg": elevation_deg, "distance": distance, "focal": focal}
        for name, (low, high) in ranges.items():
            if not low <= high or (name in ("distance", "focal") and low <= 0):
                raise ValueError(
                    f"Expected {name} to be (low, high) with low <= high, and factors above 0, got ({low}, {high}). "
                    "Swap or correct the two numbers."
                )
        self.ranges = {name: (float(low), float(high)) for name, (low, high) in ranges.items()}

    def sample(self, rng: np.random.Generator) -> Values:
        """Sample azimuth and elevation uniformly, and the factors uniformly in their logarithm."""
        azimuth = rng.uniform(*self.ranges["azimuth_deg"])
        elevation = rng.uniform(*self.ranges["elevation_deg"])
        distance, focal = (
            math.exp(rng.uniform(math.log(self.ranges[name][0]), math.log(self.ranges[name][1])))
            for name in ("distance", "focal")
        )
        return {"azimuth_deg": azimuth, "elevation_deg": elevation, "distance": distance, "focal": focal}

    def path(self, values: Values, reference: Camera, centre: Float[Tensor, "3"]) -> Camera:
        """Move the reference rigidly about the centre, then along the line of sight.

        Raises:
            ValueError: If the centre lies behind the reference camera in any frame.
        """
        azimuth, elevation, distance, focal = map(float, _NUMBERS(values))
        viewmats, Ks = reference.viewmats.contiguous().numpy(), reference.Ks.contiguous().numpy()
        moved, lenses = np.empty(viewmats.shape, viewmats.dtype), np.empty(Ks.shape, Ks.dtype)
        middle, numbers = centre.double().numpy(), (math.radians(azimuth), math.radians(elevation), distance, focal)
        nearest = _orbit((viewmats, Ks), middle, numbers, (moved, lenses))
        if not nearest > 0:
            raise ValueError(
                "Expected the reference camera to see the person's centre in every frame, got a camera that looks away "
                f"from {centre.tolist()} (depth {nearest:.2f} m). Check the motion source's camera, or set "
                "synth/camera=original."
            )
        if (azimuth, elevation, distance, focal) == (0.0, 0.0, 1.0, 1.0):
            return Camera(reference.viewmats, torch.from_numpy(lenses), reference.width, reference.height)
        return Camera(torch.from_numpy(moved), torch.from_numpy(lenses), reference.width, reference.height)

    def aim(self, camera: Camera, points: Float[Tensor, "time point 3"]) -> Camera:
        """Shift the lens as little as brings all points into the picture, and widen it if they do not fit.

        One shift for the whole clip: the camera does not follow. Nothing changes if all points are in the picture, or
        if one is behind the camera, which no lens shows.
        """
        viewmats, Ks = camera.viewmats.contiguous().numpy(), camera.Ks.contiguous().numpy()
        nearest, left, top, right, bottom = _bound(viewmats, Ks, points.contiguous().numpy())
        if not nearest > 0.1 or (left >= 0 and top >= 0 and right <= camera.width and bottom <= camera.height):
            return camera
        low, high = np.array([left, top]), np.array([right, bottom])
        size = np.array([camera.width, camera.height], float)
        factor = min(max(float(((1 - 2 * EDGE) * size / (high - low)).min()), WIDEST), 1.0)
        middle = (low + high) / 2
        low, high = middle + factor * (low - middle), middle + factor * (high - middle)
        changed = camera.Ks.clone()
        for axis in range(2):
            shift = find_shift(float(low[axis]), float(high[axis]), int(size[axis]))
            # Pixels move about the middle of what is to be seen, and then with the picture.
            changed[:, axis] *= factor
            changed[:, axis, 2] += float((1 - factor) * middle[axis]) - shift
        return replace(camera, Ks=changed)


def position(viewmats: Float[Tensor, "time 4 4"]) -> Float[Tensor, "time 3"]:
    """Positions of the cameras, world frame, metres."""
    return -(viewmats[:, :3, :3].mT @ viewmats[:, :3, 3:])[:, :, 0]


_NUMBERS = operator.itemgetter("azimuth_deg", "elevation_deg", "distance", "focal")


@no_type_check
@_kernel
def _orbit(view, middle, numbers, out):
    """Write the moved views and their lenses; returns the least camera depth of `middle` in the old ones.

    Everything is computed in double precision, whatever the precision of the views.
    """
    (viewmats, Ks), (azimuth, elevation, distance, focal), (moved, lenses) = view, numbers, out
    time, seen, turned = len(viewmats), np.empty((len(viewmats), 3)), np.empty((3, 3))
    nearest = np.inf
    for t in range(time):
        for r in range(3):
            seen[t, r] = np.float64(viewmats[t, r, 3])
            for c in range(3):
                seen[t, r] += viewmats[t, r, c] * middle[c]
        nearest = min(nearest, seen[t, 2])
    climb = clamp_elevation(elevation, viewmats, middle, distance * focal)
    turn = np.empty((3, 3))
    turn_rotation(azimuth, climb, viewmats[0], turn)
    for t in range(time):
        for r in range(3):
            for c in range(3):
                turned[r, c] = 0.0
                for k in range(3):
                    turned[r, c] += viewmats[t, r, k] * turn[c, k]
        for r in range(3):
            moved[t, r, 0], moved[t, r, 1], moved[t, r, 2] = turned[r, 0], turned[r, 1], turned[r, 2]
            # In the camera's own axes the centre moves along the ray on which it already lies.
            away = turned[r, 0] * middle[0] + turned[r, 1] * middle[1] + turned[r, 2] * middle[2]
            moved[t, r, 3] = seen[t, r] * (distance * focal) - away
            moved[t, 3, r] = 0.0
        moved[t, 3, 3] = 1.0
        _change_lens(Ks[t], seen[t], focal, lenses[t])
    return nearest


@no_type_check
@_kernel
def _change_lens(K, seen, focal, out):
    """Multiply the focal length by `focal`, and shift the principal point so that the seen point keeps its pixel."""
    for r in range(3):
        for c in range(3):
            out[r, c] = K[r, c]
    for r in range(2):
        out[r, r], out[r, 2] = focal * K[r, r], K[r, 2] + (1 - focal) * K[r, r] * (seen[r] / seen[2])


@no_type_check
@_kernel
def _bound(viewmats, Ks, points):
    """Least camera depth of points, and their least and largest column and row: depth, u, v, u, v."""
    nearest, low_u, low_v, high_u, high_v = np.inf, np.inf, np.inf, -np.inf, -np.inf
    seen, pixel = np.empty(3), np.empty(3)
    for t in range(len(points)):
        for n in range(points.shape[1]):
            for r in range(3):
                seen[r] = np.float64(viewmats[t, r, 3])
                for c in range(3):
                    seen[r] += np.float64(points[t, n, c]) * viewmats[t, r, c]
            for r in range(3):
                pixel[r] = seen[0] * Ks[t, r, 0] + seen[1] * Ks[t, r, 1] + seen[2] * Ks[t, r, 2]
            u, v = pixel[0] / pixel[2], pixel[1] / pixel[2]
            nearest = min(nearest, seen[2])
            low_u, low_v, high_u, high_v = min(low_u, u), min(low_v, v), max(high_u, u), max(high_v, v)
    return nearest, low_u, low_v, high_u, high_v


@no_type_check
@_kernel
def turn_rotation(azimuth, elevation, viewmat, out):
    """Write the rotation that climbs by `elevation` and then turns by `azimuth`, radians, for a camera of this view.

    It climbs about the horizontal part of the camera's own x axis, so that a level horizon stays level even where
    the person stands beside the optical axis.
    """
    x, z = np.float64(viewmat[0, 0]), np.float64(viewmat[0, 2])
    length = np.sqrt(x * x + z * z)
    # A camera rolled onto its side has no horizontal x axis; the world's x axis replaces it.
    x, z = (x / length, z / length) if length > 1e-6 else (1.0, 0.0)
    about, climb = np.empty((3, 3)), np.empty((3, 3))
    _rotation_about(0.0, 1.0, 0.0, azimuth, about)
    _rotation_about(x, 0.0, z, -elevation, climb)
    for r in range(3):
        for c in range(3):
            out[r, c] = about[r, 0] * climb[0, c] + about[r, 1] * climb[1, c] + about[r, 2] * climb[2, c]


@no_type_check
@_kernel
def _rotation_about(x, y, z, angle, out):
    """Write the rotation by an angle about a unit axis (Rodrigues' formula)."""
    s, c = np.sin(angle), 1 - np.cos(angle)
    out[0, 0], out[0, 1], out[0, 2] = 1 - c * (y * y + z * z), c * x * y - s * z, c * x * z + s * y
    out[1, 0], out[1, 1], out[1, 2] = c * x * y + s * z, 1 - c * (x * x + z * z), c * y * z - s * x
    out[2, 0], out[2, 1], out[2, 2] = c * x * z - s * y, c * y * z + s * x, 1 - c * (x * x + y * y)


@no_type_check
@_kernel
def clamp_elevation(elevation, viewmats, centre, factor):
    """The change of elevation in radians, clamped in all frames to the allowed heights and angles; never reversed.

    Args:
        elevation: What is asked for.
        viewmats: World to camera, before.
        centre: What the camera turns about.
        factor: By how much it moves away from that.
    """
    low, highest = -np.inf, -np.inf
    for t in range(len(viewmats)):
        square, height = 0.0, 0.0
        for c in range(3):
            offset = -np.float64(centre[c])
            for r in range(3):
                offset -= np.float64(viewmats[t, r, 3]) * viewmats[t, r, c]
            square += offset * offset
            height = offset if c == 1 else height
        radius = max(np.sqrt(square), 1e-9)
        now = np.arcsin(min(max(height / radius, -1.0), 1.0))
        floor = np.arcsin(min(max((MIN_HEIGHT - centre[1]) / (radius * factor), -1.0), 1.0))
        low, highest = max(low, floor - now), max(highest, now)
    return min(max(elevation, min(0.0, low)), max(0.0, MAX_ELEVATION - highest))
