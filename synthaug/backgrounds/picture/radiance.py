"""Read panoramas of high dynamic range, look about in them, and find the light that they bring.

A panorama is equirectangular: columns turn about the vertical (the middle looks along -z, the right of it to +x), rows
go from straight up to straight down. Values are linear light.
"""

import math
import os
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from synthaug.structures import Camera, Light

MAX_PIXELS = 64 * 2**20
"""Larger panoramas are refused: 64 megapixels are 768 MB of light."""
KEPT_ROWS = 1024
"""Rows that are kept: at 60 degrees a frame of 340 pixels shows each of them once."""
LIGHT_ROWS = 64
"""Rows from which light is gathered: cells of 3 degrees."""
MIDDLE_GREY = 0.38
"""Linear display value that a half-white person gets, as procedural rooms are exposed."""

Panorama = Float[np.ndarray, "rows columns 3"]


class PanoramaError(ValueError):
    """A file that is no panorama."""


def read_panorama(path: Path) -> Panorama:
    """Linear light of a `.hdr` or `.exr`, red first, no larger than needed.

    Raises:
        PanoramaError: If it cannot be read, is not twice as wide as tall, or holds no light.
    """
    if path.suffix.lower() == ".exr":
        # OpenCV asks for consent to its OpenEXR reader, which has had holes: files here are the user's own.
        os.environ.setdefault("OPENCV_IO_ENABLE_OPENEXR", "1")
    try:
        values = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PanoramaError(
            f"Expected OpenCV to read {path.name}, got {str(error).splitlines()[0]}. Its build may lack OpenEXR: save "
            "the panorama as .hdr, or set OPENCV_IO_ENABLE_OPENEXR=1 before Python starts."
        ) from error
    if values is None:
        raise PanoramaError(f"Expected {path.name} to be a readable .hdr or .exr, got a broken file. Copy it again.")
    rows, columns = values.shape[:2]
    if rows * columns > MAX_PIXELS or columns != 2 * rows:
        raise PanoramaError(
            f"Expected {path.name} to be twice as wide as tall, with at most {MAX_PIXELS >> 20} megapixels, got "
            f"{columns} x {rows}. Save an equirectangular panorama, scaled down if need be."
        )
    light = values[..., ::-1].astype(np.float32)
    if not np.isfinite(light).all() or float(light.min()) < 0 or float(light.max()) <= 0:
        raise PanoramaError(
            f"Expected {path.name} to hold light of 0 or more everywhere, got NaN, negative or no light. Save it again."
        )
    return shrink(light, KEPT_ROWS)


def shrink(light: Panorama, rows: int) -> Panorama:
    """A panorama with at most this many rows; light is averaged."""
    if len(light) <= rows:
        return np.ascontiguousarray(light)
    return np.asarray(cv2.resize(light, (2 * rows, rows), interpolation=cv2.INTER_AREA))


def directions(rows: int) -> Float[np.ndarray, "rows columns 3"]:
    """Unit vectors through the centres of a panorama's pixels."""
    up = np.pi / 2 - (np.arange(rows) + 0.5) * np.pi / rows
    turn = (np.arange(2 * rows) + 0.5) * np.pi / rows - np.pi
    up, turn = np.meshgrid(up, turn, indexing="ij")
    return np.stack([np.cos(up) * np.sin(turn), np.sin(up), -np.cos(up) * np.cos(turn)], axis=-1)


def find_light(light: Panorama) -> tuple[Light, float]:
    """The light on a person in the middle of a panorama, as procedural rooms give it, and the exposure for it.

    Raises:
        PanoramaError: If no light falls on a person.
    """
    small = shrink(light, LIGHT_ROWS).astype(np.float64)
    towards = directions(len(small))
    weight = np.cos(np.arcsin(towards[..., 1]))
    weight /= weight.sum()
    total = (small * weight[..., None]).sum((0, 1))
    level = float(total.mean())
    if level <= 0:
        raise PanoramaError("Expected a panorama with light, got a black one. Save it again.")
    grey = small.mean(-1)
    # What stands out of its surroundings is a lamp, the sun or a window; the rest comes from everywhere.
    threshold = 3 * level
    bright = np.where(grey > threshold, grey - threshold, 0.0) * weight
    pull = (towards * (bright if bright.sum() > 0 else grey * weight)[..., None]).sum((0, 1))
    length = float(np.linalg.norm(pull))
    share = float(bright.sum() / level) if bright.sum() > 0 else 0.5 * length / level
    directed = min(1.4 * share * (length / max(float(bright.sum()), 1e-9) if bright.sum() > 0 else 1.0), 0.9)
    x, y, z = pull / length if length > 1e-9 else (0.0, 1.0, 0.0)
    # Cameras take most of a light's tint away, see `room.lights`.
    tint = np.clip(total / level, 0.2, 3.0) ** 0.2
    key, ambient = tint * directed, tint * (1 - 0.375 * directed)
    rest = np.minimum(grey, threshold) * weight
    above, below = float(rest[towards[..., 1] > 0].sum()), float(rest[towards[..., 1] < 0].sum())
    slope = 0.5 * (above - below) / max(above + below, 1e-9)
    sky, ground = ambient * (1 + slope), ambient * (1 - slope)
    exposure = -math.log(1 - MIDDLE_GREY) / (0.5 * level)
    return Light((float(x), float(y), float(z)), _triple(key), _triple(sky), _triple(ground)), exposure


def _triple(color: Float[np.ndarray, "3"]) -> tuple[float, float, float]:
    return float(color[0]), float(color[1]), float(color[2])


def look(
    light: Panorama, camera: Camera, frame: int, *, height: float, radius: float
) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]:
    """What a camera sees, linear light, and its depth in metres.

    The panorama is laid on the floor and on a wall around it, as its own camera saw both: so the floor stays under
    people's feet when the view moves.

    Args:
        light: The panorama.
        camera: World frame; floor at y = 0.
        frame: Which of its views.
        height: Of the panorama's camera above the floor, metres; it stood over the world's origin.
        radius: Of the wall, metres.

    Source:
        The ground projection of environment maps, as in Debevec, "Rendering synthetic objects into real scenes", 1998.
    """
    viewmat, K = (part[frame].double().numpy() for part in (camera.viewmats, camera.Ks))
    eye = -viewmat[:3, :3].T @ viewmat[:3, 3]
    v, u = np.mgrid[0 : camera.height, 0 : camera.width]
    rays = np.stack([u + 0.5, v + 0.5, np.ones(u.shape)], -1) @ np.linalg.inv(K).T @ viewmat[:3, :3]
    flat = np.maximum(rays[..., 0] ** 2 + rays[..., 2] ** 2, 1e-9)
    half = eye[0] * rays[..., 0] + eye[2] * rays[..., 2]
    inside = min(math.hypot(eye[0], eye[2]), radius - 0.1) ** 2
    wall = (-half + np.sqrt(half**2 + flat * (radius**2 - inside))) / flat
    floor = np.where(rays[..., 1] < -1e-6, eye[1] / np.maximum(-rays[..., 1], 1e-6), np.inf)
    depth = np.minimum(wall, floor)
    points = eye + rays * depth[..., None] - [0, height, 0]
    points /= np.linalg.norm(points, axis=-1, keepdims=True)
    rows = len(light)
    column = (np.arctan2(points[..., 0], -points[..., 2]) + np.pi) * rows / np.pi - 0.5
    row = (np.pi / 2 - np.arcsin(np.clip(points[..., 1], -1, 1))) * rows / np.pi - 0.5
    # One column more on each side, so that the seam is interpolated too.
    wide = np.concatenate([light[:, -1:], light, light[:, :1]], axis=1)
    seen = cv2.remap(wide, (column + 1).astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return seen, depth
