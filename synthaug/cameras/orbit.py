"""Turn the reference's camera around the person, move it nearer or farther, and change its lens."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import final

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
        # In numpy: a chain of tensor operations on sixteen matrices costs a fifth of the clip's rendering.
        viewmats, middle = reference.viewmats.double().numpy(), centre.double().numpy()
        rotations, shifts = viewmats[:, :3, :3], viewmats[:, :3, 3]
        seen = rotations @ middle + shifts
        if not (seen[:, 2] > 0).all():
            raise ValueError(
                "Expected the reference camera to see the person's centre in every frame, got a camera that looks away "
                f"from {centre.tolist()} (depth {seen[:, 2].min():.2f} m). Check the motion source's camera, or set "
                "synth/camera=original."
            )
        azimuth, elevation, distance, focal = (
            float(values[name])  # type: ignore[arg-type]
            for name in ("azimuth_deg", "elevation_deg", "distance", "focal")
        )
        offsets = -(shifts[:, None] @ rotations)[:, 0] - middle
        climb = clamp_elevation(math.radians(elevation), offsets, middle, distance * focal)
        turned = rotations @ turn(azimuth, climb, viewmats[0, 0, :3]).T
        moved = np.tile(np.eye(4), (len(viewmats), 1, 1))
        moved[:, :3, :3] = turned
        # In the camera's own axes the centre moves along the ray on which it already lies.
        moved[:, :3, 3] = seen * (distance * focal) - turned @ middle
        changed = (azimuth, elevation, distance, focal) != (0.0, 0.0, 1.0, 1.0)
        return replace(
            reference,
            viewmats=torch.from_numpy(moved).to(reference.viewmats) if changed else reference.viewmats,
            Ks=torch.from_numpy(scale_focal(reference.Ks.numpy(), seen, focal)),
        )

    def aim(self, camera: Camera, points: Float[Tensor, "time point 3"]) -> Camera:
        """Shift the lens as little as brings all points into the picture, and widen it if they do not fit.

        One shift for the whole clip: the camera does not follow. Nothing changes if all points are in the picture, or
        if one is behind the camera, which no lens shows.
        """
        viewmats, Ks = camera.viewmats.double().numpy(), camera.Ks.double().numpy()
        seen = points.double().numpy() @ viewmats[:, :3, :3].transpose(0, 2, 1) + viewmats[:, None, :3, 3]
        if not (seen[..., 2] > 0.1).all():
            return camera
        homogeneous = seen @ Ks.transpose(0, 2, 1)
        pixels = (homogeneous[..., :2] / homogeneous[..., 2:]).reshape(-1, 2)
        size = np.array([camera.width, camera.height], float)
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        if (low >= 0).all() and (high <= size).all():
            return camera
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


def turn(azimuth_deg: float, elevation: float, right: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation that climbs by `elevation` radians and then turns by `azimuth_deg`, for a camera with this x axis.

    It climbs about the horizontal part of the camera's own x axis, so that a level horizon stays level even where
    the person stands beside the optical axis.
    """
    level = right * np.array([1.0, 0.0, 1.0])
    length = float(np.linalg.norm(level))
    # A camera rolled onto its side has no horizontal x axis; the world's x axis replaces it.
    level = level / length if length > 1e-6 else np.array([1.0, 0.0, 0.0])
    return _rotation_about(np.array([0.0, 1.0, 0.0]), math.radians(azimuth_deg)) @ _rotation_about(level, -elevation)


def _rotation_about(axis: Float[np.ndarray, "3"], angle: float) -> Float[np.ndarray, "3 3"]:
    """Rotation by an angle about a unit axis (Rodrigues' formula)."""
    x, y, z = axis
    K = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + math.sin(angle) * K + (1 - math.cos(angle)) * (K @ K))


def clamp_elevation(
    elevation: float, offsets: Float[np.ndarray, "time 3"], centre: Float[np.ndarray, "3"], factor: float
) -> float:
    """The change of elevation in radians, clamped in all frames to the allowed heights and angles; never reversed."""
    radii = np.maximum(np.sqrt((offsets**2).sum(axis=1)), 1e-9)
    now = np.arcsin(np.clip(offsets[:, 1] / radii, -1, 1))
    floor = np.arcsin(np.clip((MIN_HEIGHT - centre[1]) / (radii * factor), -1, 1))
    low = min(0.0, float((floor - now).max()))
    high = max(0.0, MAX_ELEVATION - float(now.max()))
    return min(max(elevation, low), high)


def scale_focal(
    Ks: Float[np.ndarray, "time 3 3"], seen: Float[np.ndarray, "time 3"], focal: float
) -> Float[np.ndarray, "time 3 3"]:
    """Multiply the focal length by `focal`, and shift the principal point so that the seen point keeps its pixel."""
    changed = Ks.copy()
    shift = (1 - focal) * Ks[:, [0, 1], [0, 1]] * (seen[:, :2] / seen[:, 2:]).astype(Ks.dtype)
    changed[:, 0, 0] *= focal
    changed[:, 1, 1] *= focal
    changed[:, :2, 2] += shift
    return changed
