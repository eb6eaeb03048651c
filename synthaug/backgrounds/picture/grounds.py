"""The ground of a picture: its camera, its floor, and where somebody can stand there."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from synthaug.backgrounds.picture.depths import FAR, DepthMap, Meaning, read_depth
from synthaug.backgrounds.picture.floors import HEIGHTS, Floor, NoFloorError, Rays, find_floor
from synthaug.backgrounds.picture.lines import find_horizon
from synthaug.backgrounds.picture.relative import EYE_HEIGHT, Scaling, find_scaling
from synthaug.backgrounds.picture.spots import find_spots, suppose_spots
from synthaug.structures import Camera

VERSION = 1
"""Raise when the same picture and depth would give another ground."""
SIDE = 200
"""Longest side in pixels of the grid of depths in which floors and spots are found."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What a picture, or its depth, says about where to stand.

    Attributes:
        K: Intrinsics of the picture.
        size: Rows and columns of the picture.
        floor: Its floor.
        spots: World x and z of free places on it; at least one.
        scaling: Metres from relative depth; None for metric depth.
        doubt_deg: Standard deviations of pitch and roll, degrees, where straight lines gave them and nothing is known
            of depth: all is taken to be behind the people. None where depth gave the ground.
    """

    K: Float[np.ndarray, "3 3"]
    size: tuple[int, int]
    floor: Floor
    spots: Float[np.ndarray, "spot 2"]
    scaling: Scaling | None = None
    doubt_deg: tuple[float, float] | None = None

    def choose_spot(self, chance: float) -> tuple[float, float, float]:
        """The spot at a share of the list, on the floor."""
        x, z = self.spots[min(int(chance * len(self.spots)), len(self.spots) - 1)]
        return float(x), 0.0, float(z)


def find_ground(
    depth: Path, K: Float[np.ndarray, "3 3"], *, size: tuple[int, int], meaning: Meaning | None, free: float
) -> Ground:
    """The ground of a picture.

    Args:
        depth: The depth map beside it.
        K: Intrinsics of the picture.
        size: Rows and columns of the picture.
        meaning: What the depth map holds; None recognises it.
        free: Metres around a spot in which nothing stands.

    Raises:
        DepthError: If the map says nothing about its picture.
        NoFloorError: If there is no floor, or no free spot on it.
    """
    found = read_depth(depth, size, meaning=meaning)
    values = soften(found.values)
    rows, columns = values.shape
    step = max(1, -(-max(rows, columns) // SIDE))
    v, u = np.mgrid[step // 2 : rows : step, step // 2 : columns : step]
    scaled = np.stack([(u.ravel() + 0.5) * size[1] / columns, (v.ravel() + 0.5) * size[0] / rows, np.ones(u.size)], 1)
    rays, picked = scaled @ np.linalg.inv(K).T, values[v, u].ravel().astype(np.float64)
    scaling, heights = None, HEIGHTS
    if found.meaning == "relative":
        scaling = find_scaling(rays, picked)
        picked = scaling.apply(picked)
    floor = find_floor(rays, picked, heights=heights)
    spots = find_spots(floor, (rays, picked), K, size=size, free=free)
    if not len(spots):
        raise NoFloorError(
            f"Expected a free place on the floor of {free} m around and a person's height in the picture, got none. "
            "It is shown flat; lower synth.background.free for narrow places."
        )
    return Ground(K, size, floor, spots, scaling)


def suppose_ground(
    picture: UInt8[np.ndarray, "rows columns 3"], K: Float[np.ndarray, "3 3"], *, focal_doubt: float
) -> Ground:
    """The ground of a picture without depth: up by its straight lines, at a usual height of the camera.

    Args:
        picture: sRGB.
        K: Its intrinsics.
        focal_doubt: Standard deviation of its focal length, as a share.

    Raises:
        NoFloorError: If its lines do not tell, or nobody fits into the lower part of the picture.
    """
    size = picture.shape[0], picture.shape[1]
    horizon = find_horizon(picture, K, focal_doubt=focal_doubt)
    floor = Floor(horizon.up, EYE_HEIGHT, spread=0.0, share=0.0)
    spots = suppose_spots(floor, K, size=size)
    if not len(spots):
        pitch = floor.pitch_deg
        raise NoFloorError(
            "Expected a floor in the lower part of the picture, with room for a person from head to foot, got a camera "
            f"that looks {'down' if pitch > 0 else 'up'} by {abs(pitch):.0f} degrees. It is shown flat."
        )
    return Ground(K, size, floor, spots, doubt_deg=horizon.doubt_deg)


def soften(values: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows columns"]:
    """Depth without the noise of single pixels; edges stay, and so does what is unknown."""
    known = np.isfinite(values)
    filled = np.where(known, values, np.float32(FAR)).astype(np.float32)
    return np.where(known, cv2.medianBlur(filled, 5), np.float32(np.nan))


def metres_of(found: DepthMap, ground: Ground) -> Float[np.ndarray, "rows columns"]:
    """A map in metres; what is unknown is far away."""
    values = found.values if ground.scaling is None else ground.scaling.apply(found.values)
    return np.where(np.isfinite(values), np.clip(values, 0.05, FAR), FAR).astype(np.float32)


def camera_of(ground: Ground, view: tuple[int, int, int, int], frame: tuple[int, int]) -> Camera:
    """The picture's camera cropped to a frame; one view."""
    tall, wide, top, left = view
    K = np.diag([wide / ground.size[1], tall / ground.size[0], 1.0]) @ ground.K
    K[0, 2] -= left
    K[1, 2] -= top
    viewmat = torch.from_numpy(ground.floor.viewmat).float()
    return Camera(viewmat[None], torch.from_numpy(K).float()[None], frame[1], frame[0])


def lay_floor(
    depth: Float[np.ndarray, "height width"], ground: Ground, camera: Camera
) -> Float[np.ndarray, "height width"]:
    """Depth of a frame with its floor exactly where the plane is: noise would cut off feet and break shadows."""
    rays = pixel_rays(camera)
    plane = ground.floor.depth_of(rays).reshape(depth.shape)
    if ground.doubt_deg is not None:
        return np.minimum(depth, plane).astype(np.float32)
    near = np.abs(depth / np.where(np.isfinite(plane), plane, 1e9) - 1) < min(max(3 * ground.floor.spread, 0.03), 0.08)
    return np.where(near, plane, depth).astype(np.float32)


def pixel_rays(camera: Camera) -> Rays:
    """Directions through the centres of a camera's pixels, camera frame, z = 1, row by row."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width]
    pixels = np.stack([u.ravel() + 0.5, v.ravel() + 0.5, np.ones(u.size)], axis=1)
    return np.asarray(pixels @ np.linalg.inv(camera.Ks[0].double().numpy()).T)
