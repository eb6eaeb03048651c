"""Turn decoded frames into pictures as players show them: upright, not mirrored, with square pixels, in sRGB."""

from typing import TypeAlias

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.stream import VideoStream
from jaxtyping import UInt8

from synthaug.video.tones import is_bright, to_display

Frame: TypeAlias = UInt8[np.ndarray, "height width 3"]

_ASPECTS = (0.25, 4.0)
"""Widths of a pixel over its height that exist; half of a widescreen PAL picture has 2.9. Others are slips."""
_SQUARE = 0.01
"""Deviation up to which pixels count as square: encoders write 4091:4090 after scaling by whole pixels."""

Orientation: TypeAlias = tuple[bool, bool, bool]
"""Whether to transpose a picture, then to reverse its columns, then its rows."""


def to_picture(frame: av.VideoFrame, *, pixel_aspect: float = 1.0) -> Frame:
    """A frame's sRGB pixels as players show them.

    Rotated and mirrored as the film's display matrix says; stretched sideways to square pixels; the light of HDR film
    (HLG, PQ) mapped to that of a display.

    Args:
        frame: The decoded frame.
        pixel_aspect: Width of a pixel over its height in the upright picture; `VideoInfo` knows it.
    """
    pixels = to_display(frame) if is_bright(frame) else frame.to_ndarray(format="rgb24")
    return make_square(_orient(pixels, orientation_of(frame)), pixel_aspect)


def is_plain(frame: av.VideoFrame) -> bool:
    """Whether a frame's own pixels are those of its picture, but for their shape: neither turned, nor of HDR film."""
    return not any(orientation_of(frame)) and not is_bright(frame)


def make_square(picture: Frame, pixel_aspect: float) -> UInt8[np.ndarray, "height new_width 3"]:
    """Stretch a picture sideways until its pixels are square; its height stays.

    Args:
        picture: The upright picture.
        pixel_aspect: Width of its pixels over their height.
    """
    if pixel_aspect == 1.0:
        return picture
    height, width = picture.shape[:2]
    method = cv2.INTER_AREA if pixel_aspect < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (max(1, round(width * pixel_aspect)), height), interpolation=method))


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """How the display matrix asks to turn or mirror a frame; angles between right angles are rounded.

    The matrix [a b; c d] puts the pixel in column p and row q at x = a p + c q and y = b p + d q, so the columns run
    backwards where the larger of a and c is negative, and the rows where that of b and d is.

    Source:
        FFmpeg, libavutil/display.h.
    """
    # `frame.side_data` would tie the frame to itself: pixels and threads would live on until the garbage collector
    # comes, and in a forked process freeing those threads never ends.
    side = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    if not isinstance(side, SideData):
        return False, False, False
    a, b, _, c, d = (int(number) for number in np.frombuffer(bytes(side), "<i4")[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _orient(pixels: Frame, orientation: Orientation) -> UInt8[np.ndarray, "new_height new_width 3"]:
    transpose, columns, rows = orientation
    if not any(orientation):
        return pixels
    turned = pixels.swapaxes(0, 1) if transpose else pixels
    return np.ascontiguousarray(turned[:: -1 if rows else 1, :: -1 if columns else 1])


def pixel_aspect_of(stream: VideoStream, frame: av.VideoFrame) -> float:
    """Width over height of a stream's pixels in the upright picture; exactly 1 if they are square, or say nonsense.

    Args:
        stream: The stream, which states the shape of stored pixels.
        frame: One of its frames, which states whether the picture lies on its side.
    """
    stated = float(stream.sample_aspect_ratio or 1)
    if not _ASPECTS[0] <= stated <= _ASPECTS[1] or abs(stated - 1) <= _SQUARE:
        return 1.0
    return 1 / stated if orientation_of(frame)[0] else stated
