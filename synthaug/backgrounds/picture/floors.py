"""Find the floor in the depth of a picture: its plane, the camera's height above it, pitch and roll.

A plane n . p = -h (up n and height h, camera frame) is linear in inverse depth: 1 / z = -(n / h) . r for the pixel's
ray r = (x, y, 1). Fitted so, noise that grows with the distance, as that of depth networks does, is alike everywhere.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

TRIES = 400
"""Planes through three pixels that are tried: with the floor on 15 % of the pixels, and so on 30 % of those below the
optical axis, eleven of them lie on it."""
TOLERANCE = 0.04
"""Relative depth by which pixels may lie off a plane that is tried: noise of a depth network."""
MAX_PITCH, MAX_ROLL = 50.0, 15.0
"""Degrees by which photographs are tilted and rolled at most: gravity, as far as it is known beforehand."""
HEIGHTS = (0.25, 6.0)
"""Metres between which cameras are above the floor: from a low shelf to the ceiling of a hall."""
LEAST_SHARE = 0.03
"""Least share of the pixels on a floor."""
LEAST_EXTENT = 0.8
"""Least breadth and length in metres of the floor that is seen: less holds nobody."""
BELOW = 3.0
"""Pixels on a floor that one under it weighs as much as: under a table there is more floor, under a floor nothing."""

Rays = Float[np.ndarray, "pixel 3"]
Depths = Float[np.ndarray, " pixel"]


class NoFloorError(ValueError):
    """A picture shows no floor to stand on."""


@dataclass(frozen=True, eq=False)
class Floor:
    """The floor of a picture, camera frame (x right, y down, z forward).

    Attributes:
        up: Unit normal.
        height: Of the camera above it, metres.
        spread: Standard deviation of depth about it, relative: noise and unevenness.
        share: Share of the pixels on it.
    """

    up: Float[np.ndarray, "3"]
    height: float
    spread: float
    share: float

    @property
    def pitch_deg(self) -> float:
        """Degrees by which the camera looks down."""
        return math.degrees(math.asin(min(max(-float(self.up[2]), -1.0), 1.0)))

    @property
    def roll_deg(self) -> float:
        """Degrees by which the picture's horizon falls to the right."""
        return math.degrees(math.atan2(float(self.up[0]), -float(self.up[1])))

    @property
    def viewmat(self) -> Float[np.ndarray, "4 4"]:
        """World to camera: the world's origin is on the floor under the camera, which looks along -z."""
        forward = np.array([0.0, 0.0, 1.0]) - self.up[2] * self.up
        back = -forward / np.linalg.norm(forward)
        T = np.eye(4)
        T[:3, :3] = np.stack([np.cross(self.up, back), self.up, back], axis=1)
        T[:3, 3] = -T[:3, :3] @ [0, self.height, 0]
        return T

    def depth_of(self, rays: Rays) -> Depths:
        """Camera depth of the floor along rays of depth 1; infinite above the horizon."""
        slope = rays @ (-self.up / self.height)
        return np.where(slope > 1e-6, 1 / np.maximum(slope, 1e-6), np.inf)


def find_floor(rays: Rays, depth: Depths, *, heights: tuple[float, float] = HEIGHTS) -> Floor:
    """The plane below the camera that most pixels lie on, and under which next to none do.

    Three pixels give a plane; of those that gravity allows, the best is fitted to its pixels again, without outliers.

    Args:
        rays: Directions of the pixels, camera frame, with z = 1.
        depth: Their depth, metres; NaN where unknown.
        heights: Metres between which the camera may be above the floor.

    Raises:
        NoFloorError: If no plane is a floor.

    Source:
        Fischler and Bolles, "Random sample consensus", 1981; weights of Beaton and Tukey, 1974.
    """
    known = np.isfinite(depth) & (depth > 0)
    rays, depth = rays[known], depth[known]
    best = _try_planes(rays, depth, heights)
    if best is None:
        raise NoFloorError(
            "Expected a floor below the camera, within "
            f"{MAX_PITCH:.0f} degrees of pitch, {MAX_ROLL:.0f} of roll and {heights[0]} to {heights[1]} m, got none: "
            "the picture shows a wall, or its depth is not what it is taken for. It is shown flat."
        )
    plane, spread = _refine(best, rays, depth)
    inside = np.abs(_residuals(plane, rays, depth)) < max(3 * spread, 0.02)
    floor = Floor(-plane / np.linalg.norm(plane), float(1 / np.linalg.norm(plane)), spread, float(inside.mean()))
    _check_extent(floor, (rays * depth[:, None])[inside])
    return floor


def _residuals(plane: Float[np.ndarray, "*plane 3"], rays: Rays, depth: Depths) -> Float[np.ndarray, "*plane pixel"]:
    """Relative depth by which pixels lie beyond a plane 1 / z = m . r; beyond a floor is below it."""
    return plane @ rays.T * depth - 1


def _try_planes(rays: Rays, depth: Depths, heights: tuple[float, float]) -> Float[np.ndarray, "3"] | None:
    """The plane of three pixels that most others lie on, and hardly any under; None if gravity allows none."""
    low = np.flatnonzero(rays[:, 1] > 0)
    if len(low) < 3:
        return None
    # The same picture gives the same floor: nothing here is left to chance.
    picks = low[np.random.default_rng(0).integers(len(low), size=(TRIES, 3))]
    corners = rays[picks]
    sound = np.abs(np.linalg.det(corners)) > 1e-6
    planes = np.linalg.solve(corners[sound], 1 / depth[picks[sound]][..., None])[..., 0]
    planes = planes[allow(planes, heights)]
    if not len(planes):
        return None
    scores = np.array([_score(plane, rays, depth) for plane in planes])
    best = int(scores.argmax())
    return planes[best] if scores[best] > LEAST_SHARE * len(rays) else None


def allow(planes: Float[np.ndarray, "plane 3"], heights: tuple[float, float]) -> Bool[np.ndarray, " plane"]:
    """Which planes 1 / z = m . r gravity and a camera's usual height allow to be a floor."""
    size = np.linalg.norm(planes, axis=1)
    up = -planes / np.maximum(size, 1e-9)[:, None]
    pitch = np.degrees(np.arcsin(np.clip(up[:, 2], -1, 1)))
    roll = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
    upright = (np.abs(pitch) < MAX_PITCH) & (np.abs(roll) < MAX_ROLL)
    return upright & (size > 1 / heights[1]) & (size < 1 / heights[0])


def _score(plane: Float[np.ndarray, "3"], rays: Rays, depth: Depths) -> float:
    off = _residuals(plane, rays, depth)
    return float((np.abs(off) < TOLERANCE).sum() - BELOW * (off > 2.5 * TOLERANCE).sum())


def _refine(plane: Float[np.ndarray, "3"], rays: Rays, depth: Depths) -> tuple[Float[np.ndarray, "3"], float]:
    """The plane through its pixels, those off it left out by degrees, and their spread."""
    spread = TOLERANCE
    points = rays * depth[:, None]
    for _ in range(8):
        off = points @ plane - 1
        near = np.abs(off) < 2 * TOLERANCE
        spread = max(1.4826 * float(np.median(np.abs(off[near]))), 2e-3)
        weight = np.clip(1 - (off / (3 * spread)) ** 2, 0, None) ** 2
        weighted = points * weight[:, None]
        plane = np.linalg.solve(weighted.T @ points + 1e-9 * np.eye(3), weighted.sum(0))
    return plane, spread


def _check_extent(floor: Floor, points: Float[np.ndarray, "pixel 3"]) -> None:
    """Raise unless the floor that is seen is broad and long enough to stand on."""
    world = points @ floor.viewmat[:3, :3]
    if len(world) < 20 or min(np.subtract(*np.percentile(world[:, axis], [97, 3])) for axis in (0, 2)) < LEAST_EXTENT:
        raise NoFloorError(
            f"Expected a floor of {LEAST_EXTENT} m by {LEAST_EXTENT} m or more in the picture, got less. "
            "It is shown flat."
        )
