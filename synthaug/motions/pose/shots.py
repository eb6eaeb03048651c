"""Where film was cut: a shot is what one camera saw without a break. Pure.

Below `video`. People must not be followed across a cut, however much the two pictures look alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_ROWS, _COLUMNS = 18, 32
"""Thumbnails, in which noise and small movements are gone."""
_BINS = 8
_WEIGHT = 0.5
"""Share of the colours in the difference of two pictures; the rest is where they lie."""
_LEAST = 0.15
"""Difference below which nothing was cut. Between neighbouring frames of 44 films without cuts (gmdcsa24, intel_asl)
the largest is 0.11; nine in ten pairs of frames of different films, many of which share a room, are beyond 0.2."""
_TIMES = 4.0
"""How many times its surroundings' usual difference a cut's is: fast movement and pans differ all along."""
_AROUND = 6
"""Frames to either side that say what is usual."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """What is left of a picture to tell whether the next belongs to the same shot.

    Attributes:
        small: A thumbnail, 0..1.
        colours: Roots of the shares of its colours.
    """

    small: Float[np.ndarray, "row column 3"]
    colours: Float[np.ndarray, " bin"]


def make_thumbnail(frame: UInt8[np.ndarray, "height width 3"]) -> Thumbnail:
    """A picture's thumbnail and colours."""
    small = cv2.resize(frame, (_COLUMNS, _ROWS), interpolation=cv2.INTER_AREA)
    larger = cv2.resize(frame, (4 * _COLUMNS, 4 * _ROWS), interpolation=cv2.INTER_AREA)
    return Thumbnail(small.astype(np.float32) / 255, colour_shares(larger.reshape(-1, 3)))


def find_cuts(glances: Sequence[Thumbnail]) -> tuple[int, ...]:
    """Frames that begin a new shot, the first left out.

    Two pictures differ by how far their thumbnails and their colours lie apart. A cut is a difference that is large by
    itself, and many times what its surroundings have; one whose two sides are alike but for a frame or two between
    them is a flash. Fades and dissolves, which take time, are not found.

    Args:
        glances: Of consecutive frames.
    """
    steps = np.array([_difference(a, b) for a, b in zip(glances, glances[1:], strict=False)])
    found = []
    for k in np.flatnonzero(steps > _LEAST).tolist():
        around = np.concatenate([steps[max(0, k - _AROUND) : k], steps[k + 1 : k + 1 + _AROUND]])
        # The median is deaf to another cut, or the end of a flash, near by.
        usual = float(np.median(around)) if len(around) else 0.0
        if steps[k] > _TIMES * usual and not _is_flash(glances, k):
            found.append(k + 1)
    return tuple(found)


def split_shots(boundaries: Sequence[int], num_frames: int) -> list[tuple[int, int]]:
    """First and one past the last frame of every shot."""
    edges = [0, *boundaries, num_frames]
    return [(first, last) for first, last in zip(edges, edges[1:], strict=False) if last > first]


def colour_shares(pixels: UInt8[np.ndarray, "pixel 3"], *, bins: int = _BINS) -> Float[np.ndarray, " bin"]:
    """Roots of the shares of the pixels that have each colour: unit length, so that products compare them."""
    level = pixels.astype(np.int64) * bins // 256
    index = (level[:, 0] * bins + level[:, 1]) * bins + level[:, 2]
    counts = np.bincount(index, minlength=bins**3).astype(np.float32)
    return np.asarray(np.sqrt(counts / max(len(pixels), 1)))


def hellinger(one: Float[np.ndarray, " bin"], other: Float[np.ndarray, " bin"]) -> float:
    """Distance of two sets of colours, 0 to 1 (Hellinger 1909; Bhattacharyya's coefficient is the product)."""
    return float(np.sqrt(max(0.0, 1.0 - float(one @ other))))


def _difference(one: Thumbnail, other: Thumbnail) -> float:
    place = float(np.abs(one.small - other.small).mean())
    return _WEIGHT * hellinger(one.colours, other.colours) + (1 - _WEIGHT) * min(1.0, 3 * place)


def _is_flash(glances: Sequence[Thumbnail], step: int) -> bool:
    """Whether the picture before the step is back within three frames, or the one after was there before."""
    before, after = glances[step], glances[step + 1]
    later, sooner = glances[step + 2 : step + 5], glances[max(0, step - 3) : step]
    back = [_difference(before, one) for one in later] + [_difference(after, one) for one in sooner]
    return min(back, default=1.0) < _LEAST
