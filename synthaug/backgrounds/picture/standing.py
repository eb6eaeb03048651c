"""Show a person's place in a picture whose floor is known: which part of it, its camera, and what is nearer."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import torch
from jaxtyping import Float, Num, UInt8
from torch import Tensor

from synthaug.backgrounds.picture.captions import Caption
from synthaug.backgrounds.picture.depths import FAR, DepthError, DepthMap, Meaning, read_depth
from synthaug.backgrounds.picture.floors import NoFloorError
from synthaug.backgrounds.picture.grounds import (
    Ground,
    camera_of,
    find_ground,
    lay_floor,
    metres_of,
    soften,
    suppose_ground,
)
from synthaug.backgrounds.picture.lens import USUAL_SPREAD, find_intrinsics, read_equivalent_focal
from synthaug.backgrounds.picture.spots import PERSON, project_height
from synthaug.cameras import find_shift
from synthaug.structures import Camera, Plain, Values
from synthaug.video import decode_still

SMALL, LARGE = 0.45, 0.9
"""Shares of a frame's height between which a person is tall there, as far as the picture has the pixels."""
MAX_MAGNIFIED = 2.0
"""Pixels of a frame for one of the picture, at most: more looks soft beside a rendered person."""
KEPT_SIDE = 1280
"""Longest side in pixels of pictures that are kept: frames show a few hundred."""
KEPT_DEPTH = 640
"""The same for depth, whose edges are less sharp."""


@dataclass(frozen=True)
class Look:
    """How pictures are looked at; fields as the parameters of `Images`."""

    depth: str = "auto"
    fov_deg: float = 60.0
    free: float = 0.5


@dataclass(frozen=True, eq=False)
class StandingPicture:
    """A picture and its depth in metres (a few pixels of FAR if unknown), no larger than needed; not of one size."""

    picture: UInt8[np.ndarray, "rows columns 3"]
    depth: Float[np.ndarray, "deep_rows deep_columns"]

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.picture.nbytes + self.depth.nbytes


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame of a picture with a floor: sRGB pixels, one view, the spot, depth, and the mean colour in 0..1."""

    picture: UInt8[np.ndarray, "height width 3"]
    camera: Camera
    spot: tuple[float, float, float]
    depth: Float[Tensor, "height width"]
    level: tuple[float, float, float]


View = tuple[int, int, int, int]
"""Rows and columns of the whole picture in a frame's pixels, and top and left of the frame in it."""


def look_at(picture: Path, depth: Path | None, caption: Caption, look: Look) -> Ground | str:
    """The ground of a picture, by its depth or, without, by its straight lines; or why it has none."""
    try:
        shown = read_picture(picture)
        size = shown.shape[0], shown.shape[1]
        K = find_intrinsics(picture, size, fov_deg=caption.fov_deg, usual_deg=look.fov_deg)
        if depth is None:
            known = caption.fov_deg is not None or read_equivalent_focal(picture) is not None
            return suppose_ground(shown, K, focal_doubt=0.0 if known else USUAL_SPREAD)
        return find_ground(depth, K, size=size, meaning=_choose_meaning(caption, look), free=look.free)
    except (DepthError, NoFloorError) as error:
        return str(error)


def _choose_meaning(caption: Caption, look: Look) -> Meaning | None:
    said = caption.depth or look.depth
    return next((meaning for meaning in get_args(Meaning) if meaning == said), None)


def read_picture(path: Path) -> UInt8[np.ndarray, "rows columns 3"]:
    """A picture, sRGB.

    Raises:
        FileNotFoundError: If it is missing or broken.
    """
    picture = decode_still(path.read_bytes()) if path.is_file() else None
    if picture is None:
        raise FileNotFoundError(
            f"Expected the picture {str(path)!r}, which was there when the run began, got none that can be read. "
            "Bring it back, or sample new recipes."
        )
    return picture


def read_standing(path: Path, depth: Path | None, ground: Ground) -> StandingPicture:
    """A picture and its depth, as large as frames need them."""
    picture = _shrink(read_picture(path), KEPT_SIDE, cv2.INTER_AREA)
    if depth is None:
        return StandingPicture(picture, np.full((2, 2), FAR, np.float32))
    found = read_depth(depth, ground.size, meaning="metric" if ground.scaling is None else "relative")
    metres = metres_of(DepthMap(soften(found.values), found.meaning), ground)
    return StandingPicture(picture, _shrink(metres, KEPT_DEPTH, cv2.INTER_NEAREST_EXACT))


def _shrink(
    values: Num[np.ndarray, "rows columns *channel"], side: int, taps: int
) -> Num[np.ndarray, "less fewer *channel"]:
    rows, columns = values.shape[:2]
    scale = side / max(rows, columns)
    if scale >= 1:
        return values
    size = (max(round(columns * scale), 1), max(round(rows * scale), 1))
    return np.asarray(cv2.resize(values, size, interpolation=taps))


def shoot(standing: StandingPicture, ground: Ground, values: Values, frame: tuple[int, int]) -> Shot:
    """The frame that sampled values name.

    Args:
        standing: The picture.
        ground: Its ground.
        values: What `Images.sample` returned, framed or not.
        frame: Height and width of the frame.
    """
    view = choose_view(ground, values, frame)
    camera = camera_of(ground, view, frame)
    picture = _cut(standing.picture, view, frame)
    depth = lay_floor(_cut(standing.depth, view, frame), ground, camera)
    red, green, blue = (picture.reshape(-1, 3).mean(0) / 255).tolist()
    return Shot(
        picture, camera, ground.choose_spot(_number(values["spot"])), torch.from_numpy(depth), (red, green, blue)
    )


def choose_view(ground: Ground, values: Values, frame: tuple[int, int]) -> View:
    """Which part of its picture a frame shows: with the person from head to foot, of a size to be seen."""
    (height, width), (rows, columns) = frame, ground.size
    x, _, z = ground.choose_spot(_number(values["spot"]))
    ends = [project_height(np.array([[x, z]]), up, ground.floor, ground.K)[0] for up in (0.0, PERSON)]
    (u, foot, _), (_, head, _) = ends
    tall = max(float(foot - head), 1.0)
    least = max(height / rows, width / columns)
    scale = min(max(_number(values["zoom"]) * least, SMALL * height / tall), LARGE * height / tall, MAX_MAGNIFIED)
    scale = max(scale, least)
    whole = (max(round(rows * scale), height), max(round(columns * scale), width))
    window = values.get("window")
    if isinstance(window, list):
        return (*whole, int(window[0]), int(window[1]))
    # Half of the height on either side: arms that spread.
    spans = ((head - 0.05 * tall, foot + 0.05 * tall, values["y"]), (u - 0.5 * tall, u + 0.5 * tall, values["x"]))
    corner = []
    for (low, high, share), side, full in zip(spans, frame, whole, strict=True):
        first, last = high * scale - side, low * scale
        if first > last:
            first = last = (first + last) / 2
        corner.append(round(min(max(first + _number(share) * (last - first), 0), full - side)))
    return (*whole, corner[0], corner[1])


def move_view(view: View, camera: Camera, points: Float[Tensor, "point 3"]) -> tuple[int, int] | None:
    """Top and left of the frame, moved as little as shows these points; None if all are in the picture already."""
    seen = points.to(camera.viewmats) @ camera.viewmats[0, :3, :3].mT + camera.viewmats[0, :3, 3]
    if not bool((seen[:, 2] > 0).all()):
        return None  # Behind the camera: no part of the picture shows it.
    pixels = (seen @ camera.Ks[0].mT)[:, :2] / seen[:, 2:]
    (columns, rows), (tall, wide, top, left) = pixels.unbind(-1), view
    down = find_shift(float(rows.min()), float(rows.max()), camera.height)
    right = find_shift(float(columns.min()), float(columns.max()), camera.width)
    moved = (
        round(min(max(top + down, 0), tall - camera.height)),
        round(min(max(left + right, 0), wide - camera.width)),
    )
    return None if moved == (top, left) else moved


def _cut(
    values: Num[np.ndarray, "rows columns *channel"], view: View, frame: tuple[int, int]
) -> Num[np.ndarray, "height width *channel"]:
    """The part of a picture, or of its depth, that a frame shows."""
    tall, wide, top, left = view
    smooth = cv2.INTER_AREA if tall < values.shape[0] else cv2.INTER_LINEAR
    # Depths between near and far are neither.
    taps = smooth if values.ndim == 3 else cv2.INTER_NEAREST_EXACT
    whole = values if values.shape[:2] == (tall, wide) else cv2.resize(values, (wide, tall), interpolation=taps)
    return np.ascontiguousarray(whole[top : top + frame[0], left : left + frame[1]])


def _number(value: Plain) -> float:
    assert isinstance(value, int | float)
    return float(value)
