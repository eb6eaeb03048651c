"""Give relative inverse depth its scale and shift: upright walls fix the horizon, a camera's usual height the metre.

Depth networks know inverse depth up to 1 / z = s (d + t). A plane is linear in d whatever s and t are, but how its
pixels turn into angles depends on t: only the right one makes floor and walls stand at right angles.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from synthaug.backgrounds.picture.floors import MAX_PITCH, MAX_ROLL, Depths, NoFloorError, Rays

EYE_HEIGHT = 1.5
"""Metres above the floor at which people photograph places: chest to eyes."""
EYE_HEIGHT_SPREAD = 0.2
"""One standard deviation of it, metres: sizes in such pictures are known to an eighth."""
PLANES = 6
"""Planes that are looked for."""
TRIES = 300
"""Triples of pixels tried for each."""
TOLERANCE = 0.012
"""Distance from a plane up to which pixels are on it, as a share of the range of relative depth."""
LEAST = 0.05
"""Least share of the pixels on a plane that says something."""
SHIFTS = np.concatenate([np.linspace(0, 0.2, 41), np.linspace(0.21, 1.5, 87)])
"""Shifts that are tried: 0 has the farthest pixels at infinity; in units of the range of relative depth."""


@dataclass(frozen=True)
class Scaling:
    """Metres from relative inverse depth: z = 1 / (factor (d + shift)).

    Attributes:
        factor: In 1 / metre for one unit of d.
        shift: In units of d.
        pitch_sd_deg: How well upright walls fix the horizon: one standard deviation, degrees.
    """

    factor: float
    shift: float
    pitch_sd_deg: float

    def apply(self, inverse: Float[np.ndarray, "*size"]) -> Float[np.ndarray, "*size"]:
        """Metres; FAR-off pixels end at a kilometre, unknown ones stay unknown."""
        return 1 / np.maximum(self.factor * (inverse + self.shift), 1e-3)


def find_scaling(rays: Rays, inverse: Depths) -> Scaling:
    """Scale and shift that make the floor level and the walls upright.

    Args:
        rays: Directions of the pixels, camera frame, with z = 1.
        inverse: Their relative inverse depth; NaN where unknown.

    Raises:
        NoFloorError: If there is no floor, or nothing upright beside it.
    """
    known = np.isfinite(inverse)
    rays, inverse = rays[known], inverse[known].astype(np.float64)
    low, high = np.percentile(inverse, [0.5, 99.5])
    span = float(high - low)
    planes, weights = _find_planes(rays, (inverse - low) / span)
    found = [_judge(planes, weights, shift) for shift in SHIFTS]
    scores = np.array([score for score, _ in found])
    best = int(scores.argmin())
    if not math.isfinite(scores[best]):
        raise NoFloorError(
            "Expected a floor and something upright in the picture, which relative depth needs to find the horizon, "
            "got none. It is shown flat; metric depth needs no walls."
        )
    shift, floor = SHIFTS[best], planes[found[best][1]]
    factor = 1 / (EYE_HEIGHT * float(np.linalg.norm(floor + [0, 0, shift])))
    # Shifts whose walls are hardly worse are as likely.
    likely = [(t, k) for t, (score, k) in zip(SHIFTS, found, strict=True) if score < scores[best] + 4e-4]
    pitches = [_pitch(planes[k] + [0, 0, t]) for t, k in likely]
    return Scaling(factor / span, shift * span - float(low), float(np.std(pitches)) + 0.5)


def _pitch(plane: Float[np.ndarray, "3"]) -> float:
    return math.degrees(math.asin(float(plane[2] / np.linalg.norm(plane))))


def _find_planes(rays: Rays, inverse: Depths) -> tuple[Float[np.ndarray, "plane 3"], Float[np.ndarray, " plane"]]:
    """Planes d = m . r of the picture, one after the other, and the share of the pixels on each."""
    rng = np.random.default_rng(0)
    left = np.ones(len(rays), bool)
    planes, weights = [], []
    for _ in range(PLANES):
        index = np.flatnonzero(left)
        if len(index) < LEAST * len(rays):
            break
        plane, inside = _take_plane(rays[index], inverse[index], rng)
        weight = inside.sum() / len(rays)
        if weight < LEAST:
            break
        planes.append(plane)
        weights.append(weight)
        left[index[inside]] = False
    return np.array(planes).reshape(-1, 3), np.array(weights)


def _take_plane(
    rays: Rays, inverse: Depths, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "3"], Bool[np.ndarray, " pixel"]]:
    # Three pixels near each other are more often on one surface than any three.
    first = rng.integers(len(rays), size=TRIES)
    order = np.lexsort((rays[:, 0], rays[:, 1]))
    place = np.empty(len(rays), int)
    place[order] = np.arange(len(rays))
    others = order[(place[first][:, None] + rng.integers(-len(rays) // 6, len(rays) // 6, (TRIES, 2))) % len(rays)]
    corners = rays[np.concatenate([first[:, None], others], axis=1)]
    values = inverse[np.concatenate([first[:, None], others], axis=1)]
    sound = np.abs(np.linalg.det(corners)) > 1e-4
    planes = np.linalg.solve(corners[sound], values[sound][..., None])[..., 0]
    counts = [int((np.abs(rays @ plane - inverse) < TOLERANCE).sum()) for plane in planes]
    plane = planes[int(np.argmax(counts))]
    for _ in range(4):
        near = np.abs(rays @ plane - inverse) < TOLERANCE
        plane = np.linalg.lstsq(rays[near], inverse[near], rcond=None)[0]
    return plane, np.abs(rays @ plane - inverse) < 1.5 * TOLERANCE


def _judge(
    planes: Float[np.ndarray, "plane 3"], weights: Float[np.ndarray, " plane"], shift: float
) -> tuple[float, int]:
    """How far from level or upright the planes are with a shift (0 is best), and which of them is the floor."""
    if not len(planes):
        return math.inf, 0
    moved = planes + np.array([0, 0, shift])
    normals = -moved / np.linalg.norm(moved, axis=1, keepdims=True)
    pitch = np.degrees(np.arcsin(np.clip(normals[:, 2], -1, 1)))
    roll = np.degrees(np.arctan2(normals[:, 0], -normals[:, 1]))
    floors = (np.abs(pitch) < MAX_PITCH) & (np.abs(roll) < MAX_ROLL)
    if not floors.any():
        return math.inf, 0
    # The lowest of those that look up: tables are nearer to the camera.
    floor = int(np.where(floors, np.linalg.norm(moved, axis=1) + 1e3 * ~floors, np.inf).argmin())
    if weights[floor] < LEAST:
        return math.inf, 0
    cosines = np.abs(normals @ normals[floor])
    off = np.minimum(cosines, np.sqrt(np.maximum(1 - cosines**2, 0)))
    beside = np.arange(len(planes)) != floor
    upright = beside & (cosines < 0.5)
    if not upright.any():
        return math.inf, 0
    return float((weights * np.minimum(off, 0.3) ** 2)[beside].sum() / weights[beside].sum()), floor
