"""Read single pictures as browsers show them: upright, eight bits, and transparent parts laid over white."""

import cv2
import numpy as np
from jaxtyping import UInt8

_WHITE = 255
_JPEG = b"\xff\xd8"
"""How JPEG begins, which has no transparency."""


def decode_still(content: bytes) -> UInt8[np.ndarray, "height width 3"] | None:
    """The sRGB pixels of a picture file's bytes (JPEG, PNG, TIFF, WebP, BMP ...); None if they cannot be read.

    Pictures of 16 bits lose the lower eight. What is behind a transparent part is arbitrary and often black or garbage,
    so it is not shown; a half-transparent pixel is blended with white.
    """
    buffer = np.frombuffer(content, np.uint8)
    if not len(buffer):
        return None
    try:
        if not content.startswith(_JPEG):
            whole = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
            if whole is None:
                return None
            if whole.ndim == 3 and whole.shape[2] == 4:
                return _lay_over_white(_to_eight_bits(whole))
        picture = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if picture is None else np.ascontiguousarray(picture[:, :, ::-1])


def is_still(content: bytes) -> bool:
    """Whether `decode_still` reads these bytes. An eighth of the size is a fraction of the work for JPEG."""
    try:
        # Of bytes and not of the file: OpenCV reads a file of half a JPEG, and refuses its bytes.
        small = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_REDUCED_COLOR_8) if content else None
    except cv2.error:
        small = None  # Of less than eight pixels there is no eighth.
    return small is not None or decode_still(content) is not None


def is_depth_map(content: bytes) -> bool:
    """Whether these are the bytes of one channel of 16 bits or of floats: depth or disparity, not a picture."""
    buffer = np.frombuffer(content, np.uint8)
    whole = None if content.startswith(_JPEG) or not len(buffer) else cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    return whole is not None and whole.ndim == 2 and whole.dtype != np.uint8


def _to_eight_bits(picture: np.ndarray) -> UInt8[np.ndarray, "height width channel"]:
    if picture.dtype == np.uint16:
        return (picture >> 8).astype(np.uint8)
    return np.clip(picture * 255.0, 0, 255).astype(np.uint8) if picture.dtype.kind == "f" else picture


def _lay_over_white(picture: UInt8[np.ndarray, "height width 4"]) -> UInt8[np.ndarray, "height width 3"]:
    color, alpha = picture[:, :, 2::-1].astype(np.uint16), picture[:, :, 3:].astype(np.uint16)
    return ((color * alpha + _WHITE * (255 - alpha) + 127) // 255).astype(np.uint8)
