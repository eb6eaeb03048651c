"""The empty scene out of frames of a still camera with somebody in them. Pure; the arithmetic behind `plates`."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from synthaug.body.skeleton import JOINT, PARENTS

REACH = 0.17
"""Metres around each bone that may belong to the person: flesh, clothes, and the error of an estimated pose."""
HEAD = 0.22
"""Metres around the middle of the head: hair and hats."""
ENOUGH = 3
"""Uncovered samples that a pixel needs: with fewer, a median cannot outvote one error of the mask."""
TEXTURE = 24.0
"""Slope in grey levels a pixel (Sobel, normalised) from which a shift can be told from noise."""
STANDARD_WIDTH = 320
"""Width in pixels at which shifts are measured, whatever the film's size."""
DIFFERENT = 34
"""Grey levels from which a pixel of an unknown frame is taken for a person, a shadow, or something moved."""
NEIGHBOURHOOD = 0.09
"""Share of the picture's width around such pixels where an unknown frame is not believed: half a person's width."""
LEFT = 0.2
"""Share of a hole that must have changed for its person to count as gone: a body fills a third of the tubes around
its bones."""
HALF_REACH = 6
"""Pixels around holes that inpainting looks at."""


class PlateError(ValueError):
    """No empty scene can be taken out of this film; the message says what was seen and what was wanted."""


@dataclass(frozen=True, eq=False)
class Emptied:
    """An empty scene.

    Attributes:
        picture: sRGB.
        hole: Share of the picture that was never uncovered, and is made up.
        shift: Largest motion of the camera that was found, pixels at a width of 320.
    """

    picture: UInt8[np.ndarray, "height width 3"]
    hole: float
    shift: float


@dataclass(frozen=True, eq=False)
class Samples:
    """Frames from all over a film.

    Attributes:
        frames: sRGB, in which it is known where people are.
        people: Where somebody may be in each of them.
        others: Frames of which nothing is known.
    """

    frames: UInt8[np.ndarray, "sample height width 3"]
    people: Bool[np.ndarray, "sample height width"]
    others: UInt8[np.ndarray, "other height width 3"]


def emptied(samples: Samples, *, max_hole: float, max_shift: float) -> Emptied:
    """The scene without people: at each pixel the median of the samples in which nobody is before it.

    What no known frame uncovers is looked for in the others, wherever these agree with the scene around the hole:
    there a person who lingers gives himself away by what sticks out. What is then left is painted in.

    Raises:
        PlateError: If the camera moves, or too much of the picture is never uncovered.
    """
    shift = camera_shift(samples.frames, samples.people)
    if shift > max_shift:
        raise PlateError(
            f"The camera moves, by about {shift:.1f} pixels at a width of {STANDARD_WIDTH}; at most {max_shift} were "
            "wanted. Only film from a tripod has an empty scene to take out."
        )
    hole = (~samples.people).sum(0) < ENOUGH
    picture = masked_median(samples.frames, samples.people)
    if hole.any() and len(samples.others) >= ENOUGH:
        picture, hole = _filled(picture, hole, samples.others)
    if hole.mean() > max_hole:
        raise PlateError(
            f"{100 * hole.mean():.0f} % of the picture are never without the person; at most {100 * max_hole:.0f} % "
            "were wanted. Film in which people move about, or longer film, shows more."
        )
    if hole.any():
        picture = cv2.inpaint(picture, hole.astype(np.uint8), HALF_REACH, cv2.INPAINT_TELEA)
    return Emptied(picture, float(hole.mean()), shift)


def _filled(
    picture: UInt8[np.ndarray, "height width 3"],
    hole: Bool[np.ndarray, "height width"],
    others: UInt8[np.ndarray, "other height width 3"],
) -> tuple[UInt8[np.ndarray, "height width 3"], Bool[np.ndarray, "height width"]]:
    """The picture with its hole filled from frames of which nothing is known, and the hole that is left."""
    reach = max(round(NEIGHBOURHOOD * picture.shape[1]), 1)
    covered = np.empty((len(others), *hole.shape), np.bool_)
    for k, frame in enumerate(others):
        gain = np.median(picture[~hole]) / max(float(np.median(frame[~hole])), 1.0)
        differs = (np.abs(np.float32(gain) * frame - picture).max(-1) > DIFFERENT) & ~hole
        # Noise is single pixels; people are not.
        solid = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        # All within reach of them, by distances: a dilation by so large a disc would take seconds a frame.
        covered[k] = cv2.distanceTransform(1 - solid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= reach
    found = masked_median(others, covered)
    free = hole & ((~covered).sum(0) >= ENOUGH)
    # In a hole the picture still shows whoever stood there. Where the others show hardly anything else, he still does.
    left = np.abs(found.astype(np.int16) - picture).max(-1) > DIFFERENT
    count, names = cv2.connectedComponents(hole.astype(np.uint8))
    for name in range(1, count):
        here = free & (names == name)
        if here.any() and left[here].mean() < LEFT:
            free &= ~here
    return np.where(free[:, :, None], found, picture), hole & ~free


def masked_median(
    frames: UInt8[np.ndarray, "sample height width 3"], people: Bool[np.ndarray, "sample height width"]
) -> UInt8[np.ndarray, "height width 3"]:
    """The median over uncovered samples of each value; of the lower two in the middle the lower one.

    Where every sample is covered it is that of all of them.
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
    """How far the picture moves against its middle frame, pixels at a width of 320; the worst tenth left out.

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
        _shift(small[middle], small[k], slope, free=~hidden[middle] & ~hidden[k])
        for k in range(len(small))
        if k != middle
    ]
    return float(np.quantile(shifts, 0.9)) if shifts else 0.0


def _shift(
    before: Float[np.ndarray, "height width"],
    after: Float[np.ndarray, "height width"],
    slope: Float[np.ndarray, "height width"],
    *,
    free: Bool[np.ndarray, "height width"],
) -> float:
    edges = free & (slope > TEXTURE)
    # Without a few dozen edges there is nothing that could be seen to move.
    if edges.sum() < 50:
        return 0.0
    # Exposure may change; the ratio of medians takes it out.
    gain = float(np.median(before[free])) / max(float(np.median(after[free])), 1.0)
    return float(np.median(np.abs(gain * after - before)[edges] / slope[edges]))


def silhouettes(
    pixels: Float[np.ndarray, "sample 55 2"], scales: Float[np.ndarray, "sample 55"], *, height: int, width: int
) -> Bool[np.ndarray, "sample height width"]:
    """Where the person of each sample may be: a generous tube around every bone, a disc around the head.

    Args:
        pixels: Of the joints.
        scales: Pixels a metre at each joint; not positive behind the camera.
        height: Of the frames.
        width: Of the frames.
    """
    people = np.zeros((len(pixels), height, width), np.uint8)
    # OpenCV draws with 32-bit coordinates; beyond a few pictures' widths nothing reaches in.
    points = np.clip(pixels, -4 * width, 5 * width)
    for frame, joints, sizes in zip(people, points, scales, strict=True):
        for joint, parent in enumerate(PARENTS):
            if parent < 0 or sizes[joint] <= 0 or sizes[parent] <= 0:
                continue
            radius = HEAD if joint == JOINT["head"] else REACH
            thick = max(math.ceil(2 * radius * (sizes[joint] + sizes[parent]) / 2), 1)
            ends = [tuple(int(value) for value in np.round(joints[k])) for k in (parent, joint)]
            cv2.line(frame, ends[0], ends[1], (1,), thickness=min(thick, 255))
        if sizes[JOINT["head"]] > 0:
            centre = tuple(int(value) for value in np.round(joints[JOINT["head"]]))
            cv2.circle(frame, centre, math.ceil(HEAD * sizes[JOINT["head"]]), (1,), -1)
    return people > 0
