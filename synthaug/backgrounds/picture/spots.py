"""Find where on a picture's floor somebody can stand: free, and seen from head to foot."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_closing, distance_transform_edt, uniform_filter

from synthaug.backgrounds.picture.floors import Depths, Floor, Rays

CELL = 0.08
"""Metres between the places that are tried."""
REACH = 8.0
"""Metres from the camera up to which people are put: farther off they are a few pixels tall."""
TALL = 2.0
"""Metres above the floor up to which things are in a person's way."""
GAP = 5
"""Cells across that are taken for seen between seen ones."""
STEP = 0.1
"""Metres above the floor from which things are in the way: thresholds, rugs and noise are below."""
SEEN = 0.25
"""Least share of the floor about a spot that is seen as floor: the rest may be behind something nearer."""
LOW = 0.8
"""Rows from the top, as a share of the picture, below which feet are put where floors are only supposed: there is floor
in most pictures, and further up it is hidden by what stands on it."""
PERSON = 1.75
"""Metres of a person from head to foot, for whom there must be room in the picture."""
SMALLEST, TALLEST = 0.18, 0.92
"""Shares of the picture's shorter side between which a person is tall there."""


def find_spots(
    floor: Floor,
    pixels: tuple[Rays, Depths],
    K: Float[np.ndarray, "3 3"],
    *,
    size: tuple[int, int],
    free: float,
) -> Float[np.ndarray, "spot 2"]:
    """Places on the floor (world x and z) with nothing in the way, in rows away from the camera.

    A place is free if nothing of 0.1 to 2 m height stands within `free` metres, and enough of the floor there is seen.
    What lies behind something nearer is unknown and counts as neither.

    Args:
        floor: The floor.
        pixels: Rays (z = 1) and depth of the pixels; NaN where unknown.
        K: Intrinsics of the picture.
        size: Rows and columns of the picture.
        free: Radius in metres.
    """
    rays, depth = pixels
    known = np.isfinite(depth)
    points = (rays * np.where(known, depth, 1.0)[:, None])[known]
    world = (points - floor.viewmat[:3, 3]) @ floor.viewmat[:3, :3]
    x, above, z = world[:, 0], world[:, 1], world[:, 2]
    off = np.abs(rays[known] @ (-floor.up / floor.height) * depth[known] - 1)
    # Noise lifts far floor as much as it moves it, as seen from the camera.
    flat = off < max(3 * floor.spread, 0.03)
    near = (np.abs(x) < REACH) & (z < 0) & (z > -REACH)
    count = (int(2 * REACH / CELL), int(REACH / CELL))

    seen = _count(world, near & flat, count) > 0
    # One pixel may be noise; what stands in the way shows more.
    things = uniform_filter(_count(world, near & ~flat & (above > STEP) & (above < TALL), count), 3, mode="constant")
    blocked = 9 * things > 2.5
    clear = distance_transform_edt(~blocked) * CELL > free + 0.5 * CELL
    # A pixel of far floor is longer than a cell: what lies between two seen cells is seen.
    closed = binary_closing(np.pad(seen, GAP), np.ones((GAP, GAP), bool))[GAP:-GAP, GAP:-GAP]
    share = uniform_filter(closed.astype(float), size=max(int(2 * free / CELL), 3), mode="constant")
    i, j = np.nonzero(clear & (share >= SEEN))
    spots = np.stack([(i + 0.5) * CELL - REACH, -(j + 0.5) * CELL], axis=1)
    kept = spots[_fits(spots, floor, K, size)]
    return kept[np.lexsort((kept[:, 0], -kept[:, 1]))]


def suppose_spots(floor: Floor, K: Float[np.ndarray, "3 3"], *, size: tuple[int, int]) -> Float[np.ndarray, "spot 2"]:
    """Places on a floor of which nothing but the plane is known: where feet are in the lower part of the picture.

    Args:
        floor: The floor.
        K: Intrinsics of the picture.
        size: Rows and columns of the picture.
    """
    side = 3 * CELL
    x, z = np.meshgrid(np.arange(-REACH, REACH, side), -np.arange(side, REACH, side), indexing="ij")
    spots = np.stack([x.ravel(), z.ravel()], axis=1)
    low = project_height(spots, 0.0, floor, K)[:, 1] > LOW * size[0]
    kept = spots[low & _fits(spots, floor, K, size)]
    return kept[np.lexsort((kept[:, 0], -kept[:, 1]))]


def _count(
    world: Float[np.ndarray, "pixel 3"], chosen: Bool[np.ndarray, " pixel"], count: tuple[int, int]
) -> Float[np.ndarray, "across away"]:
    """How many of the chosen points lie over each cell of the floor."""
    i, j = ((world[chosen, 0] + REACH) / CELL).astype(int), (-world[chosen, 2] / CELL).astype(int)
    index = i.clip(0, count[0] - 1) * count[1] + j.clip(0, count[1] - 1)
    return np.bincount(index, minlength=count[0] * count[1]).reshape(count).astype(float)


def _fits(
    spots: Float[np.ndarray, "spot 2"], floor: Floor, K: Float[np.ndarray, "3 3"], size: tuple[int, int]
) -> Bool[np.ndarray, " spot"]:
    """Whether a person at each spot is in the picture from head to foot, neither tiny nor cut off."""
    rows, columns = size
    feet, head = (project_height(spots, y, floor, K) for y in (0.0, PERSON))
    tall = (feet[:, 1] - head[:, 1]) / min(rows, columns)
    inside = (feet[:, 2] > 0.3) & (head[:, 2] > 0.3) & (head[:, 1] > 0) & (feet[:, 1] < rows)
    beside = 0.15 * (feet[:, 1] - head[:, 1])
    inside &= (feet[:, 0] > beside) & (feet[:, 0] < columns - beside)
    return inside & (tall > SMALLEST) & (tall < TALLEST)


def project_height(
    spots: Float[np.ndarray, "spot 2"], height: float, floor: Floor, K: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "spot 3"]:
    """Column, row and camera depth of the points at a height above spots on the floor."""
    world = np.stack([spots[:, 0], np.full(len(spots), height), spots[:, 1]], axis=1)
    seen = world @ floor.viewmat[:3, :3].T + floor.viewmat[:3, 3]
    pixels = seen @ K.T
    return np.concatenate([pixels[:, :2] / np.maximum(seen[:, 2:], 1e-6), seen[:, 2:]], axis=1)
