"""Decide in which frames the networks look, and fill in the frames between. Pure functions.

The networks take most of the time. People are looked at 15 times a second, in every frame while somebody moves fast,
and not at all while the picture around them stays as it is: the same picture would give the same landmarks.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias, TypeVar

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int16, UInt8
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from synthaug.motions.fitting.landmarks import LIMBS
from synthaug.motions.pose.network import PersonLandmarks, Region

NETWORK_RATE = 15.0
"""Looks a second at people who move. What moves at 3 Hz keeps 95 % of its way through `interpolate_sights`."""
_ROWS = 60
"""Rows of the small picture by which change is measured: 8 pixels each of film of 480 rows, a fifth of a head."""
_MIN_CHANGE = (5.0, 20.0)
"""Smallest change that counts, of 255 levels, in film without noise and in film of any noise."""
_NOISE_FACTOR = 8.0
"""The cells that differ most do so by 4 times the median difference where there is nothing but Gaussian noise; codecs
have longer tails (6 to 12 levels at a median of 1, gmdcsa24)."""
_CHANGED_SHARE = 0.01
"""Share of a region's cells over which its change is the mean: a hand is one hundredth of it."""
_ABRUPT_CHANGE = 10.0
"""Mean change of the whole picture from one frame to the next, in levels, beyond which it may be a cut."""
_FAST = 1.2
"""Heights per second of the fastest limbs, beyond which a person is looked at in every frame."""
_MIN_VISIBILITY = 0.3
"""Limbs of lower visibility are not asked how fast they are."""

_Item = TypeVar("_Item")


def mark_last(items: Iterable[_Item]) -> Iterator[tuple[_Item, bool]]:
    """Yield each item, and whether it is the last one."""
    waiting: list[_Item] = []
    for item in items:
        if waiting:
            yield waiting.pop(), False
        waiting.append(item)
    if waiting:
        yield waiting.pop(), True


def frames_between_looks(fps: float) -> int:
    """Number of frames from one look to the next at people who move: 2 at 30 frames a second."""
    return max(1, round(fps / NETWORK_RATE))


def shrink_frame(frame: UInt8[np.ndarray, "height width 3"]) -> Int16[np.ndarray, "row column 3"]:
    """Shrink a picture to the size in which change is measured; differences of the result do not overflow."""
    height, width = frame.shape[:2]
    rows = min(_ROWS, height)
    small = cv2.resize(frame, (max(1, round(width * rows / height)), rows), interpolation=cv2.INTER_AREA)
    return small.astype(np.int16)


def is_abrupt(before: Int16[np.ndarray, "row column 3"], now: Int16[np.ndarray, "row column 3"]) -> bool:
    """Whether two neighbouring frames differ so much that there may be a cut between them."""
    return float(np.abs(now - before).mean()) > _ABRUPT_CHANGE


Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels; may reach beyond the picture."""


def region_box(region: Region) -> Box:
    """The upright square about a region's middle."""
    half = region.side / 2
    return region.x - half, region.y - half, region.x + half, region.y + half


def body_box(sight: PersonLandmarks) -> Box:
    """The box about a person's landmarks with a margin of a tenth of its longer side."""
    (left, top), (right, bottom) = sight.pixels.min(0).tolist(), sight.pixels.max(0).tolist()
    margin = 0.1 * max(right - left, bottom - top)
    return left - margin, top - margin, right + margin, bottom + margin


def has_changed(
    before: Int16[np.ndarray, "row column 3"],
    now: Int16[np.ndarray, "row column 3"],
    *,
    height: int,
    inside: Box | None = None,
    outside: Sequence[Box] = (),
) -> bool:
    """Whether two shrunken pictures of one film differ, by the mean of the cells that differ most.

    Args:
        before: The earlier one.
        now: The later one.
        height: Height of the picture in pixels, to which the boxes belong.
        inside: Compare only this box.
        outside: Compare nothing in these boxes.
    """
    share = len(now) / height
    differs = np.abs(now - before).max(axis=2)
    least = float(np.clip(_NOISE_FACTOR * np.median(differs), *_MIN_CHANGE))
    for box in outside:
        rows, columns = _cells(box, share, differs.shape)
        differs[rows, columns] = 0
    if inside is not None:
        rows, columns = _cells(inside, share, differs.shape)
        differs = differs[rows, columns]
    if differs.size == 0:
        return True  # the box has left the picture
    count = max(4, round(_CHANGED_SHARE * differs.size))
    flat = differs.ravel()
    most = flat if len(flat) <= count else np.partition(flat, len(flat) - count)[-count:]
    return float(most.mean()) >= least


def _cells(box: Box, share: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a shrunken picture that a box covers."""
    left, top, right, bottom = (edge * share for edge in box)
    return (
        slice(max(0, math.floor(top)), max(0, min(shape[0], math.ceil(bottom)))),
        slice(max(0, math.floor(left)), max(0, min(shape[1], math.ceil(right)))),
    )


def is_fast(before: PersonLandmarks, now: PersonLandmarks, *, seconds: float) -> bool:
    """Whether a tenth of a person's limbs moves so fast that every frame is needed.

    Args:
        before: The person in an earlier frame.
        now: The person in a later one.
        seconds: Time between the two.
    """
    limbs = list(LIMBS)
    sure = np.minimum(before.visibility[limbs], now.visibility[limbs]) >= _MIN_VISIBILITY
    if not sure.any():
        return False
    tall = max(float(np.linalg.norm(np.ptp(one.pixels[limbs], axis=0))) for one in (before, now))
    moved = np.linalg.norm(now.pixels[limbs] - before.pixels[limbs], axis=1)[sure]
    return float(np.quantile(moved, 0.9)) > _FAST * seconds * max(tall, 1e-6)


def interpolate_sights(looked: Sequence[tuple[int, PersonLandmarks]], wanted: Sequence[int]) -> list[PersonLandmarks]:
    """The landmarks of a person in frames between two looks: monotone cubics in time, visibility linear.

    Source:
        Fritsch and Butland, "A method for constructing local monotone piecewise cubic interpolants", 1984. Ordinary
        cubics would swing beyond a look at which the network slipped.

    Args:
        looked: Frame number and landmarks of the two looks, and of the ones before and after them if there are any.
        wanted: Frame numbers between the two.
    """
    if not wanted:
        return []
    numbers = np.array([number for number, _ in looked], np.float64)
    second = int(np.searchsorted(numbers, wanted[0]))
    one, other = looked[second - 1][1], looked[second][1]
    points = np.stack([np.concatenate([sight.world, sight.pixels], axis=1) for _, sight in looked]).astype(np.float64)
    curve = PchipInterpolator(numbers, points, axis=0) if len(looked) > 2 else None
    shares = [(number - numbers[second - 1]) / (numbers[second] - numbers[second - 1]) for number in wanted]
    between = [(1 - t) * points[second - 1] + t * points[second] for t in shares] if curve is None else curve(wanted)
    return [
        PersonLandmarks(
            both[:, :3].astype(np.float32),
            both[:, 3:].astype(np.float32),
            ((1 - t) * one.visibility + t * other.visibility).astype(np.float32),
            one.region,
        )
        for both, t in zip(between, shares, strict=True)
    ]


def fill_hands(points: Float[Tensor, "time 2 point 3"], *, step: int) -> Float[Tensor, "time 2 point 3"]:
    """Interpolate hands in the frames between two looks; a hand that one of the two did not find stays nan.

    Args:
        points: Points of both hands, nan where they were not looked at or not found.
        step: Number of frames from one look to the next.
    """
    result = points.clone()
    for gap in range(1, step):
        at = torch.arange(gap, len(points), step)
        at = at[at - gap + step < len(points)]
        before, after = points[at - gap], points[at - gap + step]
        result[at] = before + (after - before) * (gap / step)
    return result
