"""Remove people from the frames of a still camera to get the empty scene. Pure."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from synthaug.backgrounds.plate.filling import fill_holes
from synthaug.body.skeleton import JOINT, PARENTS

REACH = 0.17
"""Metres around each bone that may belong to the person: flesh, clothes, and the error of an estimated pose."""
HEAD = 0.22
"""Metres around the middle of the head: hair and hats."""
MIN_SAMPLES = 3
"""Uncovered samples that a pixel needs: with fewer, a median cannot outvote one error of the mask."""
MIN_SLOPE = 24.0
"""Slope in grey levels per pixel (Sobel, normalised) above which a shift can be distinguished from noise."""
STANDARD_WIDTH = 320
"""Width in pixels at which shifts are measured, whatever the film's size."""
MIN_DIFFERENCE = 34
"""Grey levels above which a pixel of an unknown frame counts as a person, a shadow, or something moved."""
NEIGHBOURHOOD = 0.09
"""Share of the picture's width around such pixels where an unknown frame is not believed: half a person's width."""
MIN_CHANGED = 0.2
"""Share of a hole that must have changed before its person counts as gone: a body fills a third of the tubes around
its bones."""


class PlateError(ValueError):
    """This film gives no empty scene; the message says why."""


@dataclass(frozen=True, eq=False)
class Uncovered:
    """What a film shows of its place.

    Attributes:
        picture: sRGB; in the hole it shows people.
        hole: What was never uncovered.
        shift: Largest motion of the camera, pixels at a width of 320.
    """

    picture: UInt8[np.ndarray, "height width 3"]
    hole: Bool[np.ndarray, "height width"]
    shift: float


@dataclass(frozen=True, eq=False)
class Samples:
    """Frames from all over a film, with the people that are known in some of them.

    Attributes:
        frames: sRGB, frames in which it is known where people are.
        people: Where a person may be in each of them.
        others: Frames about which nothing is known.
    """

    frames: UInt8[np.ndarray, "sample height width 3"]
    people: Bool[np.ndarray, "sample height width"]
    others: UInt8[np.ndarray, "other height width 3"]


def remove_people(samples: Samples, *, max_shift: float) -> Uncovered:
    """The scene without people: at each pixel the median of the samples in which nobody covers it.

    Pixels that no known frame uncovers are taken from the other frames, if these agree with the scene around the hole:
    a person who stands there would differ from it. The rest is the hole.

    Raises:
        PlateError: If the camera moves.
    """
    shift = camera_shift(samples.frames, samples.people)
    if shift > max_shift:
        raise PlateError(
            f"The camera moves: expected at most {max_shift} pixels at a width of {STANDARD_WIDTH}, got about "
            f"{shift:.1f}. Use film from a tripod."
        )
    hole = (~samples.people).sum(0) < MIN_SAMPLES
    picture = masked_median(samples.frames, samples.people)
    if hole.any() and len(samples.others) >= MIN_SAMPLES:
        picture, hole = _fill_hole(picture, hole, samples.others)
    return Uncovered(picture, hole, shift)


def close_hole(scene: Uncovered, *, max_hole: float) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with its hole filled out of itself.

    Raises:
        PlateError: If the hole is larger than this share of the picture.
    """
    share = float(scene.hole.mean())
    if share > max_hole:
        raise PlateError(
            f"The person hides too much: expected at most {100 * max_hole:.0f} % of the picture to be always covered, "
            f"got {100 * share:.0f} %. Use film in which people move about, or longer film."
        )
    return fill_holes(scene.picture, scene.hole)


def _fill_hole(
    picture: UInt8[np.ndarray, "height width 3"],
    hole: Bool[np.ndarray, "height width"],
    others: UInt8[np.ndarray, "other height width 3"],
) -> tuple[UInt8[np.ndarray, "height width 3"], Bool[np.ndarray, "height width"]]:
    """The picture with its hole filled from frames about which nothing is known, and the hole that is left."""
    reach = max(round(NEIGHBOURHOOD * picture.shape[1]), 1)
    covered = np.empty((len(others), *hole.shape), np.bool_)
    for k, frame in enumerate(others):
        gain = np.median(picture[~hole]) / max(float(np.median(frame[~hole])), 1.0)
        differs = (np.abs(np.float32(gain) * frame - picture).max(-1) > MIN_DIFFERENCE) & ~hole
        # Noise is single pixels; people are not.
        solid = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        # Everything within reach of them, by distances: a dilation by so large a disc would take seconds a frame.
        covered[k] = cv2.distanceTransform(1 - solid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= reach
    found = masked_median(others, covered)
    free = hole & ((~covered).sum(0) >= MIN_SAMPLES)
    # In a hole the picture shows the person. Where the others hardly differ from that, the person is still there.
    left = np.abs(found.astype(np.int16) - picture).max(-1) > MIN_DIFFERENCE
    count, names = cv2.connectedComponents(hole.astype(np.uint8))
    for name in range(1, count):
        here = free & (names == name)
        if here.any() and left[here].mean() < MIN_CHANGED:
            free &= ~here
    return np.where(free[:, :, None], found, picture), hole & ~free


def masked_median(
    frames: UInt8[np.ndarray, "sample height width 3"], people: Bool[np.ndarray, "sample height width"]
) -> UInt8[np.ndarray, "height width 3"]:
    """The median of each value over uncovered samples; for an even count the lower of the two in the middle.

    Where every sample is covered, all of them count.
    """
    out = np.empty(frames.shape[1:], np.uint8)
    for row in range(frames.shape[1]):
        covered = people[:, row]
        covered = covered & ~covered.all(0)
        # Covered samples sort behind all others: 300 is above every value.
        values = np.where(covered[:, :, None], np.int16(300), frames[:, row])
        values.sort(axis=0)
        middle = ((~covered).sum(0) - 1) // 2
        out[row] = np.take_along_axis(values, middle[None, :, None], axis=0)[0]
    return out


def camera_shift(
    frames: UInt8[np.ndarray, "sample height width 3"], people: Bool[np.ndarray, "sample height width"]
) -> float:
    """How far the picture moves against its middle frame, pixels at a width of 320, without the worst tenth.

    At textured pixels off the person, a shift changes the value by the slope times its length across the edge. The
    median over pixels and the 90th percentile over frames ignore what moves in the scene and single bad frames.
    """
    scale = STANDARD_WIDTH / frames.shape[2]
    size = (STANDARD_WIDTH, max(round(frames.shape[1] * scale), 1))
    grey = [cv2.cvtColor(cv2.resize(f, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY) for f in frames]
    small = np.stack(grey).astype(np.float32)
    hidden = np.stack([cv2.resize(p.astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0 for p in people])
    middle = len(small) // 2
    across, down = (cv2.Sobel(small[middle], cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    slope = np.hypot(across, down)
    shifts = [
        _measure_shift(small[middle], small[k], slope, free=~hidden[middle] & ~hidden[k])
        for k in range(len(small))
        if k != middle
    ]
    return float(np.quantile(shifts, 0.9)) if shifts else 0.0


def _measure_shift(
    before: Float[np.ndarray, "height width"],
    after: Float[np.ndarray, "height width"],
    slope: Float[np.ndarray, "height width"],
    *,
    free: Bool[np.ndarray, "height width"],
) -> float:
    edges = free & (slope > MIN_SLOPE)
    # Without a few dozen edges there is nothing that could be seen to move.
    if edges.sum() < 50:
        return 0.0
    # Exposure may change; the ratio of medians takes it out.
    gain = float(np.median(before[free])) / max(float(np.median(after[free])), 1.0)
    return float(np.median(np.abs(gain * after - before)[edges] / slope[edges]))


def mask_people(
    pixels: Float[np.ndarray, "sample 55 2"],
    scales: Float[np.ndarray, "sample 55"],
    *,
    height: int,
    width: int,
    reach: float = REACH,
) -> Bool[np.ndarray, "sample height width"]:
    """Where the person of each sample may be: a wide tube around every bone, a disc around the head.

    Args:
        pixels: The joints in the picture.
        scales: Pixels per metre at each joint; not positive behind the camera.
        height: Height of the frames.
        width: Width of the frames.
        reach: Metres around each bone; around the head as much more as heads are wider.
    """
    head = reach * HEAD / REACH
    people = np.zeros((len(pixels), height, width), np.uint8)
    # OpenCV takes 32-bit coordinates; what lies further out than a few widths does not reach the picture.
    points = np.clip(pixels, -4 * width, 5 * width)
    for frame, joints, sizes in zip(people, points, scales, strict=True):
        for joint, parent in enumerate(PARENTS):
            if parent < 0 or sizes[joint] <= 0 or sizes[parent] <= 0:
                continue
            radius = head if joint == JOINT["head"] else reach
            thick = max(math.ceil(2 * radius * (sizes[joint] + sizes[parent]) / 2), 1)
            ends = [tuple(int(value) for value in np.round(joints[k])) for k in (parent, joint)]
            cv2.line(frame, ends[0], ends[1], (1,), thickness=min(thick, 255))
        if sizes[JOINT["head"]] > 0:
            centre = tuple(int(value) for value in np.round(joints[JOINT["head"]]))
            cv2.circle(frame, centre, math.ceil(head * sizes[JOINT["head"]]), (1,), -1)
    return people > 0
