"""Read the depth map beside a picture, and say in words what is wrong with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np
from jaxtyping import Float

Meaning: TypeAlias = Literal["metric", "relative"]
"""Metres along the optical axis; or inverse depth, greater where nearer, up to a factor and a shift."""

ENDINGS = (".depth.png", ".depth.npy")
"""What stands in place of a picture's ending in the name of its depth map."""
MAX_PIXELS = 64 * 2**20
"""Larger maps are refused unread: 64 megapixels are 256 MB of depth."""
MILLIMETRES = 1000.0
"""Steps of a 16-bit PNG in a metre, as depth cameras write them; 0 is unknown."""
FAR = 1000.0
"""Metres that stand for the sky and for unknown depth: nobody is hidden by it."""
MAX_UNKNOWN = 0.5
"""Largest share of pixels without depth: of less than half a picture no floor should be guessed."""
SAME_ASPECT = 0.015
"""Largest difference of aspect between a picture and its depth: networks round sizes to multiples of 14."""
LEAST_SPREAD = 0.02
"""Least spread of depth, relative to its middle: less is a constant and its rounding."""


class DepthError(ValueError):
    """A depth map that says nothing about its picture."""


@dataclass(frozen=True, eq=False)
class DepthMap:
    """What a depth map says.

    Attributes:
        values: Metres, or inverse depth of unknown scale and shift; NaN where unknown.
        meaning: Which of both.
    """

    values: Float[np.ndarray, "rows columns"]
    meaning: Meaning


def find_depth(picture: Path) -> Path | None:
    """The depth map beside a picture: `x.depth.png` or `x.depth.npy` for `x.jpg`; None if there is none."""
    for ending in ENDINGS:
        path = picture.with_name(picture.stem + ending)
        if path.is_file():
            return path
    return None


def is_depth(path: Path) -> bool:
    """Whether a file's name is that of a depth map."""
    return path.name.lower().endswith(ENDINGS)


def read_depth(path: Path, size: tuple[int, int], *, meaning: Meaning | None = None) -> DepthMap:
    """The depth of a picture.

    A 16-bit PNG holds millimetres, with 0 for unknown; a `.npy` holds metres. Taken for relative inverse depth, as
    most depth networks give it, are maps of 8 bits, 16-bit PNGs that reach 65535, and `.npy` whose values lie in 0..1:
    no room is that near.

    Args:
        path: The file.
        size: Rows and columns of the picture. A map of the same aspect may be smaller or larger.
        meaning: What the map holds, where that is known; None recognises it.

    Raises:
        DepthError: If it cannot be read, belongs to another picture, is constant, negative or mostly unknown.
    """
    values, guess = _read_npy(path) if path.suffix.lower() == ".npy" else _read_png(path)
    meaning = meaning or guess
    rows, columns = values.shape
    if abs(np.log(rows * size[1] / (columns * size[0]))) > SAME_ASPECT:
        raise DepthError(
            f"Expected {path.name} to have its picture's shape of {size[1]} x {size[0]}, or that shape scaled, got "
            f"{columns} x {rows}. Crop both alike, or remove the depth map to show the picture flat."
        )
    known = np.isfinite(values)
    if meaning == "metric":
        # A network's sky is infinitely far: as far as nothing that hides anybody.
        values = np.where(np.isposinf(values), FAR, values)
        known = np.isfinite(values) & (values != 0)
    if known.mean() < 1 - MAX_UNKNOWN:
        raise DepthError(
            f"Expected {path.name} to know the depth of half of its pixels or more, got {known.mean():.0%}: the rest "
            "is NaN, infinite or 0. Fill its holes, or remove the file to show the picture flat."
        )
    least, middle, most = (float(part) for part in np.percentile(values[known], [0.5, 50, 99.5]))
    if meaning == "metric" and float(values[known].min()) < 0:
        raise DepthError(
            f"Expected {path.name} to hold metres of 0 or more, got {float(values[known].min()):.3g}. Declare relative "
            "inverse depth with depth=relative (synth.background.depth), or in the column depth of captions.csv."
        )
    if most - least <= LEAST_SPREAD * abs(middle):
        raise DepthError(
            f"Expected {path.name} to tell near from far, got {middle:.4g} everywhere. Estimate its depth again, or "
            "remove the file to show the picture flat."
        )
    return DepthMap(np.where(known, values, np.nan).astype(np.float32), meaning)


def _read_png(path: Path) -> tuple[Float[np.ndarray, "rows columns"], Meaning]:
    with path.open("rb") as file:
        head = file.read(24)
    if len(head) < 24 or head[1:4] != b"PNG":
        raise DepthError(f"Expected {path.name} to be a PNG, got another or a broken file. Write it again.")
    columns, rows = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    _check_size(path, rows, columns)
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise DepthError(f"Expected {path.name} to be readable as a PNG, got a broken file. Write it again.")
    if values.ndim != 2:
        raise DepthError(
            f"Expected {path.name} to have one channel, got {values.shape[2]}: a coloured map is for the eye, and "
            "cannot be turned back into depth. Save depth as 16-bit PNG in millimetres, or as .npy in metres."
        )
    if values.dtype == np.uint8 or int(values.max()) == 65535:
        return values.astype(np.float32), "relative"
    return values.astype(np.float32) / np.float32(MILLIMETRES), "metric"


def _read_npy(path: Path) -> tuple[Float[np.ndarray, "rows columns"], Meaning]:
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DepthError(
            f"Expected {path.name} to be an array of numbers as numpy.save writes it, got {error}. Write it again."
        ) from error
    shape = tuple(side for side in stored.shape if side != 1)
    if len(shape) != 2 or not (np.issubdtype(stored.dtype, np.floating) or np.issubdtype(stored.dtype, np.integer)):
        raise DepthError(
            f"Expected {path.name} to hold rows x columns of numbers, got {stored.dtype} of shape {stored.shape}. "
            "Save one depth for each pixel."
        )
    _check_size(path, *shape)
    values = np.asarray(stored, np.float32).reshape(shape)
    finite = values[np.isfinite(values)]
    near = finite.size > 0 and float(finite.min()) >= 0 and float(finite.max()) <= 1
    return values, "relative" if near else "metric"


def _check_size(path: Path, rows: int, columns: int) -> None:
    if rows * columns > MAX_PIXELS:
        raise DepthError(
            f"Expected {path.name} to have at most {MAX_PIXELS >> 20} megapixels, got {columns} x {rows}. Scale "
            "picture and depth down: clips show a few hundred pixels."
        )
