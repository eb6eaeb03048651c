"""Find people in a picture who are not followed yet: upright, lying or small ones; and tell two sights of one apart."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from synthaug.motions.fitting.landmarks import LIMBS
from synthaug.motions.pose.network import PersonLandmarks, PoseDetector, Region, turn_back

MAX_PEOPLE = 6
"""Largest number of people in a frame; the cost grows with each."""
_SAME_DISTANCE = 0.08
"""Largest distance of two detections of one person, in heights; people who embrace are farther apart (half a metre)."""
_SAME_REGION = 0.1
"""Two regions show the same person if their middles are closer than this share of a side."""


def drop_duplicates(
    there: Sequence[tuple[str, PersonLandmarks, PersonLandmarks]],
) -> list[tuple[str, PersonLandmarks]]:
    """Drop detections of the same person, and keep the one closer to its detection in the frame before.

    Two detections show the same person if their limbs agree, or their middle and size: a person who falls can be
    detected both upright and lying.
    """
    kept: list[tuple[str, PersonLandmarks, float]] = []
    for name, now, before in there:
        moved = _distance(now, before)
        rivals = [
            k for k, (_, other, _) in enumerate(kept)
            if _distance(now, other) < _SAME_DISTANCE or _covers(now.region, other.region)
        ]  # fmt: skip
        if not rivals:
            kept.append((name, now, moved))
        elif moved < kept[rivals[0]][2]:
            kept[rivals[0]] = (name, now, moved)
    return [(name, now) for name, now, _ in kept]


def find_newcomers(
    frame: UInt8[np.ndarray, "height width 3"],
    detector: PoseDetector,
    known: Sequence[PersonLandmarks],
    *,
    small: bool,
) -> list[PersonLandmarks]:
    """Find people who are not known yet; small ones too, where nobody is known and `small` says so."""
    found = _look_for_unknown(frame, detector, known, _find_upright(frame, detector))
    if found or known:
        return found
    # People who lie are searched only if nobody else is found.
    for turns in (1, 3):
        height, width = frame.shape[:2]
        regions = [
            turn_back(region, turns, width=width, height=height) for region in detector.find(np.rot90(frame, turns))
        ]
        found = _look_for_unknown(frame, detector, known, regions)
        if found:
            return found
    return _look_for_unknown(frame, detector, known, _find_small(frame, detector)) if small else []


def _find_small(frame: UInt8[np.ndarray, "height width 3"], detector: PoseDetector) -> list[Region]:
    """Find upright people in overlapping parts of the picture, half and a third of its height."""
    height, width = frame.shape[:2]
    regions: list[Region] = []
    for share in (2, 3):
        side = height // share
        for top in _spread(height, side):
            for left in _spread(width, side):
                part = np.ascontiguousarray(frame[top : top + side, left : left + side])
                regions += [replace(one, x=one.x + left, y=one.y + top) for one in detector.find(part)]
        if regions:
            break
    return regions


def _spread(length: int, side: int) -> list[int]:
    """Starts of stretches of this length that overlap by at least a third, first to last."""
    count = max(1, math.ceil(1.5 * (length - side) / side) + 1)
    return [round(k * (length - side) / max(count - 1, 1)) for k in range(count)]


def _find_upright(frame: UInt8[np.ndarray, "height width 3"], detector: PoseDetector) -> list[Region]:
    """Find upright people in the whole picture and in its halves.

    The detector sees 224 x 224 pixels and misses people of a third of the picture's height if there are two; in a half
    of the picture they are twice as large.
    """
    width = frame.shape[1]
    half = (width + 1) // 2
    windows = [(0, width), (0, half), ((width - half) // 2, (width + half) // 2), (width - half, width)]
    return [
        replace(region, x=region.x + first)
        for first, last in windows
        for region in detector.find(np.ascontiguousarray(frame[:, first:last]))
    ]


def _look_for_unknown(
    frame: UInt8[np.ndarray, "height width 3"],
    detector: PoseDetector,
    known: Sequence[PersonLandmarks],
    regions: Sequence[Region],
) -> list[PersonLandmarks]:
    """Detect people in the regions that show neither a known person nor one found in another region."""
    found: list[PersonLandmarks] = []
    for region in regions:
        there = [*known, *found]
        if len(there) >= MAX_PEOPLE or any(_covers(sight.region, region) for sight in there):
            continue
        sight = detector.look(frame, region)
        if sight is not None and all(_distance(sight, other) >= _SAME_DISTANCE for other in there):
            found.append(sight)
    return found


def _covers(one: Region, other: Region) -> bool:
    side = min(one.side, other.side)
    return math.hypot(one.x - other.x, one.y - other.y) < _SAME_REGION * side and max(one.side, other.side) < 1.5 * side


def _distance(one: PersonLandmarks, other: PersonLandmarks) -> float:
    """Median distance of the limbs' joints, in heights of the larger person."""
    a, b = one.pixels[list(LIMBS)], other.pixels[list(LIMBS)]
    tall = max(float(np.linalg.norm(np.ptp(points, axis=0))) for points in (a, b))
    return float(np.median(np.linalg.norm(a - b, axis=1))) / max(tall, 1e-6)
