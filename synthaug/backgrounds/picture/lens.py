"""How wide a picture is: its intrinsics, from the table, the camera's own note, or a usual lens."""

import contextlib
import math
import struct
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

DIAGONAL = 43.27
"""Millimetres of the diagonal of 35 mm film, to which equivalent focal lengths refer."""
USUAL_SPREAD = 0.15
"""One standard deviation of the focal length, as a share, where nothing but a usual lens is known."""
EXIF, EQUIVALENT = 0x8769, 41989
"""Tags of the EXIF block, and in it of the focal length in millimetres of 35 mm film (0 for unknown)."""

_UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, struct.error, Image.DecompressionBombError)


def find_intrinsics(
    path: Path, size: tuple[int, int], *, fov_deg: float | None, usual_deg: float
) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of a picture whose axis goes through its middle.

    Args:
        path: The picture.
        size: Its rows and columns, turned as OpenCV turns it.
        fov_deg: Degrees that it is wide, where the table says so.
        usual_deg: Degrees that its longer side is wide, where neither table nor camera say anything.

    Source:
        CIPA DC-008 (EXIF 2.3), FocalLengthIn35mmFilm: equal angles across the diagonal.
    """
    rows, columns = size
    if fov_deg is not None:
        focal = columns / (2 * math.tan(math.radians(fov_deg) / 2))
    elif noted := read_equivalent_focal(path):
        focal = noted / DIAGONAL * math.hypot(rows, columns)
    else:
        focal = max(rows, columns) / (2 * math.tan(math.radians(usual_deg) / 2))
    return np.array([[focal, 0, columns / 2], [0, focal, rows / 2], [0, 0, 1]])


def read_equivalent_focal(path: Path) -> float | None:
    """The focal length that a camera wrote into its picture, millimetres of 35 mm film; None if it wrote none."""
    noted = None
    # Pillow knows fewer kinds of picture than OpenCV, takes large ones for attacks, and stumbles over broken notes.
    with warnings.catch_warnings(), contextlib.suppress(*_UNREADABLE):
        warnings.simplefilter("ignore")
        with Image.open(path) as picture:
            noted = picture.getexif().get_ifd(EXIF).get(EQUIVALENT)
    return float(noted) if isinstance(noted, int | float) and noted > 0 else None
