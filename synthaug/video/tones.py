"""Map the light of HDR film (HLG and PQ, as phones film) to a display of ordinary brightness."""

from functools import cache

import av
import numpy as np
from jaxtyping import Float, UInt8

_PQ, _HLG = 16, 18
"""FFmpeg's numbers of the transfer functions SMPTE ST 2084 and ARIB STD-B67."""
_BT709 = 1
"""FFmpeg's number of the primaries of BT.709, which are sRGB's."""
_WHITE = 203.0
"""Candela per square metre of a sheet of paper in HDR film; ITU-R BT.2408, table 1."""
_HLG_PEAK = 1000.0
"""Candela per square metre of the nominal display of HLG; ITU-R BT.2100, table 5."""
_KNEE = 0.8
"""Share of display white up to which light stays as it is; above it, highlights are squeezed in."""
_BRIGHTEST = 5.0
"""Times paper white where the squeezed highlights are display white, within a hundredth of a step."""
_STEPS = 1 << 16
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
"""Luminance of the primaries of BT.2020; ITU-R BT.2100, table 5."""
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
"""ITU-R BT.2087, annex 2, inverted."""


def is_bright(frame: av.VideoFrame) -> bool:
    """Whether a frame's numbers are those of HDR film, which ordinary conversion would show grey or dark."""
    return frame.color_trc in (_PQ, _HLG)


def to_display(frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
    """An HDR frame in sRGB: paper white is near display white, and brighter light is squeezed in above it.

    Up to four fifths of paper white light is kept as it is; above, each channel approaches display white.

    Source:
        ITU-R BT.2100 (the transfer functions), BT.2408 (paper white).
    """
    signal = frame.reformat(format="rgb48le").to_ndarray()
    light = _linear(frame.color_trc)[signal]
    if frame.color_trc == _HLG:
        # The system gamma of 1.2 acts on luminance, not on each channel.
        light *= np.maximum(light @ _LUMA, 1e-6)[..., None] ** 0.2 * (_HLG_PEAK / _WHITE)
    if frame.color_primaries != _BT709:
        light = light @ _BT2020_TO_BT709.T
    places = np.clip(light * ((_STEPS - 1) / _BRIGHTEST), 0, _STEPS - 1)
    return _display()[places.astype(np.uint16)]


@cache
def _linear(transfer: int) -> Float[np.ndarray, " signal"]:
    """Light of each 16-bit signal: of the scene, 1 at most, for HLG; on the display, in paper white, for PQ."""
    signal = np.arange(_STEPS) / (_STEPS - 1)
    if transfer == _HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return np.asarray(light * 10_000 / _WHITE, np.float32)


@cache
def _display() -> UInt8[np.ndarray, " light"]:
    """The sRGB value of each step of light up to `_BRIGHTEST`."""
    light = np.arange(_STEPS) / (_STEPS - 1) * _BRIGHTEST
    squeezed = _KNEE + (1 - _KNEE) * (1 - np.exp(-(light - _KNEE) / (1 - _KNEE)))
    shown = np.where(light <= _KNEE, light, squeezed)
    srgb = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    return np.round(255 * srgb).astype(np.uint8)
