"""Look at a film's packets without decoding them, for signs that only decoding tells what it holds."""

from collections.abc import Sequence

import numpy as np
from av.video.codeccontext import VideoCodecContext

_START_CODES = (b"\0\0\1", b"\0\0\0\1")
_STARTING = {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"}
"""Codecs whose packets begin with a start code, unless the container states the lengths of their parts."""
_TINY = 16
"""Bytes of the packets that stand for a repeated picture; they may hold anything."""
_CLOSE, _WIDE = 0.75, 1.5
"""Steps in median steps. A timestamp that is out of its place leaves a wide step there, and makes a close one."""


def begins_well(data: memoryview, codec: str, length_size: int) -> bool:
    """Whether a packet begins as those of its codec do; what lies further inside is not looked at.

    A bad sector or a broken transfer leaves zeros, or parts of other files.

    Args:
        data: The packet.
        codec: FFmpeg's name of the codec.
        length_size: What `length_size_of` says.
    """
    if length_size:
        return _adds_up(data, length_size)
    if len(data) <= _TINY:
        return True
    head = bytes(data[:_TINY])
    return head.startswith(_START_CODES) if codec in _STARTING else any(head)


def length_size_of(context: VideoCodecContext) -> int:
    """Bytes that state the length of each part of a packet, in H.264 and H.265 of MP4 and Matroska; 0 elsewhere.

    Source:
        ISO/IEC 14496-15, 5.3.3.1.2 (H.264) and 8.3.3.1.2 (H.265).
    """
    extra = context.extradata or b""
    place = {"h264": 4, "hevc": 21}.get(context.name)
    return (extra[place] & 3) + 1 if place is not None and len(extra) > place and extra[0] == 1 else 0


def _adds_up(data: memoryview, length_size: int) -> bool:
    """Whether the stated lengths of a packet's parts fill it exactly, and none is empty."""
    place = 0
    while place + length_size < len(data):
        length = int.from_bytes(data[place : place + length_size], "big")
        if not length or data[place + length_size] & 0x80:  # the first bit of a part is always 0
            return False
        place += length_size + length
    return place == len(data)


def is_in_order(stamps: Sequence[int], *, reordered: bool) -> bool:
    """Whether timestamps, in the order of decoding, are those of pictures shown one after another.

    Args:
        stamps: The timestamps; all different.
        reordered: Whether the codec decodes some pictures before others that are shown earlier.
    """
    steps = np.diff(stamps)
    if len(steps) == 0 or not reordered:
        return bool((steps > 0).all())
    steps = np.diff(np.sort(stamps))
    middle = float(np.median(steps))
    return not (steps.min() < _CLOSE * middle and steps.max() > _WIDE * middle)
