"""Find the cuts of a film and split it into shots. Pure functions.

People must not be tracked across a cut, even if the two pictures look alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_ROWS, _COLUMNS = 18, 32
"""Size of thumbnails, which hide noise and small movements."""
_BINS = 8
_COLOUR_WEIGHT = 0.5
"""Weight of the colours in the difference of two pictures; the rest is their position."""
_MIN_DIFFERENCE = 0.15
"""Smallest difference of a cut. Between neighbouring frames of 44 films without cuts (gmdcsa24, intel_asl)
the largest is 0.11; nine in ten pairs of frames of different films, many of which share a room, are beyond 0.2."""
_MIN_RATIO = 4.0
"""Smallest ratio of a cut's difference to that of its surroundings; fast movement and pans differ throughout."""
_NEIGHBOURS = 6
"""Frames to either side that are compared with a cut."""
_SAME_PLACE = 0.04
"""How much less than 1 two pictures of one place may correlate, in every colour; more where people or the camera move,
which the frames around them show. Pictures between which a camera's exposure or white balance jumped correlate by
0.986 or more (florence3d); 99 in 100 pairs of frames of different films, most of one room and camera, by less than
0.935."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A summary of a picture that shows whether the next one belongs to the same shot.

    Attributes:
        small: A thumbnail, 0..1.
        colours: Roots of the shares of its colours.
    """

    small: Float[np.ndarray, "row column 3"]
    colours: Float[np.ndarray, " bin"]


def make_thumbnail(frame: UInt8[np.ndarray, "height width 3"]) -> Thumbnail:
    """Make the thumbnail and the colour shares of a picture."""
    larger = cv2.resize(frame, (4 * _COLUMNS, 4 * _ROWS), interpolation=cv2.INTER_AREA)
    small = cv2.resize(larger, (_COLUMNS, _ROWS), interpolation=cv2.INTER_AREA)
    return Thumbnail(small.astype(np.float32) / 255, colour_shares(larger.reshape(-1, 3)))


def find_cuts(thumbnails: Sequence[Thumbnail]) -> tuple[int, ...]:
    """Find the frames that begin a new shot, except the first.

    The difference of two pictures is that of their thumbnails and colours. A cut has a difference that is large and
    many times that of its surroundings. If the pictures on both sides are alike except for a frame or two, it is a
    flash and not a cut; if they differ by the strength of their colours alone, the camera's exposure or white balance
    jumped. Fades and dissolves are not found.

    Args:
        thumbnails: Thumbnails of consecutive frames.
    """
    steps = np.array([_difference(a, b) for a, b in zip(thumbnails, thumbnails[1:], strict=False)])
    found = []
    for k in np.flatnonzero(steps > _MIN_DIFFERENCE).tolist():
        around = np.concatenate([steps[max(0, k - _NEIGHBOURS) : k], steps[k + 1 : k + 1 + _NEIGHBOURS]])
        # The median ignores another cut, or the end of a flash, close by.
        usual = float(np.median(around)) if len(around) else 0.0
        if steps[k] <= _MIN_RATIO * usual or _is_flash(thumbnails, k):
            continue
        if not _is_relit(thumbnails, k):
            found.append(k + 1)
    return tuple(found)


def split_shots(boundaries: Sequence[int], num_frames: int) -> list[tuple[int, int]]:
    """First and one past the last frame of every shot."""
    edges = [0, *boundaries, num_frames]
    return [(first, last) for first, last in zip(edges, edges[1:], strict=False) if last > first]


def colour_shares(pixels: UInt8[np.ndarray, "pixel 3"], *, bins: int = _BINS) -> Float[np.ndarray, " bin"]:
    """Square roots of the shares of each colour; unit length, so that inner products compare them."""
    level = pixels.astype(np.int64) * bins // 256
    index = (level[:, 0] * bins + level[:, 1]) * bins + level[:, 2]
    counts = np.bincount(index, minlength=bins**3).astype(np.float32)
    return np.asarray(np.sqrt(counts / max(len(pixels), 1)))


def hellinger(one: Float[np.ndarray, " bin"], other: Float[np.ndarray, " bin"]) -> float:
    """Hellinger distance of two colour distributions, 0 to 1 (1909; the product is Bhattacharyya's coefficient)."""
    return float(np.sqrt(max(0.0, 1.0 - float(one @ other))))


def _difference(one: Thumbnail, other: Thumbnail) -> float:
    place = float(np.abs(one.small - other.small).mean())
    return _COLOUR_WEIGHT * hellinger(one.colours, other.colours) + (1 - _COLOUR_WEIGHT) * min(1.0, 3 * place)


def _is_flash(thumbnails: Sequence[Thumbnail], step: int) -> bool:
    """Whether the picture before the step returns within three frames, or the one after appeared before it."""
    before, after = thumbnails[step], thumbnails[step + 1]
    later, sooner = thumbnails[step + 2 : step + 5], thumbnails[max(0, step - 3) : step]
    back = [_difference(before, one) for one in later] + [_difference(after, one) for one in sooner]
    return min(back, default=1.0) < _MIN_DIFFERENCE


def _is_relit(thumbnails: Sequence[Thumbnail], step: int) -> bool:
    """Whether the pictures before and after a step show one place, in stronger or weaker colours."""
    near = range(max(0, step - _NEIGHBOURS), min(len(thumbnails) - 1, step + 1 + _NEIGHBOURS))
    changes = {k: _change_of_place(thumbnails[k], thumbnails[k + 1]) for k in near}
    change = changes.pop(step)
    return change < max(_SAME_PLACE, 2 * float(np.median([*changes.values()] or [0.0])))


def _change_of_place(one: Thumbnail, other: Thumbnail) -> float:
    """How much less than 1 two pictures correlate, in the colour that correlates least; 1 for even pictures."""
    pairs = [(one.small[..., k].ravel(), other.small[..., k].ravel()) for k in range(3)]
    if min(float(values.std()) for pair in pairs for values in pair) < 1e-3:
        return 1.0
    return 1 - min(float(np.corrcoef(*pair)[0, 1]) for pair in pairs)
