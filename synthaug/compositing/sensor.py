"""Apply a camera's imperfections to a clip: small, soft, tinted, noisy, compressed. Pure functions of sampled values.

`sensor_kernels` has the compiled half; `demo.camera` makes the same imperfections with a real codec, slowly.
"""

import functools
import math

import numpy as np
import torch
from jaxtyping import Float, Int8, Int64, UInt8
from torch import Tensor

from synthaug.compositing.sensor_kernels import (
    LANES,
    MACRO,
    TAPS,
    Codec,
    Filter,
    Player,
    Recorder,
    Sizes,
    Tone,
    mix_areas,
    record,
)
from synthaug.structures import Values

NOISE_STEPS = 32
"""Steps of the stored noise for one standard deviation; +-4 standard deviations fit into int8."""
_NARROW = 0.15
"""Blur in pixels below which a Gaussian's neighbours weigh less than a step of uint8."""
_DISPLAY = np.linspace(0, 1, 256)
_LINEAR = np.where(_DISPLAY <= 0.04045, _DISPLAY / 12.92, ((_DISPLAY + 0.055) / 1.055) ** 2.4)
"""The light that each display value stands for, 0..1: kept, because its powers are half the cost of a tone curve."""
# The example tables of the JPEG standard, annex K, that every encoder scales by its quality.
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *[99] * 32,
)  # fmt: skip


def apply_sensor(
    video: UInt8[Tensor, "time 3 height width"], values: Values, *, noise: Int8[np.ndarray, " place"]
) -> UInt8[Tensor, "time 3 height width"]:
    """The clip as a camera with these imperfections would have recorded it; samples nothing.

    In the order of a real camera: tone, resolution, blur, noise, compression. Compression works like that of a JPEG or
    a video's key frame with halved chroma, without the lossless part of a codec.

    Args:
        video: sRGB.
        values: By name of the effect, see `BOUNDS`; besides `balance`, three gains on linear light, and `seed`, which
            decides where in `noise` each plane's noise begins. An effect that is missing is not applied.
        noise: Stored Gaussian noise, NOISE_STEPS for a standard deviation. Its length is a power of two.

    Raises:
        ValueError: If a value is out of its bounds.
    """
    check_values(values)
    height, width = video.shape[2:]
    share, sigma = number(values, "resolution", 1.0), number(values, "blur", 0.0)
    small = recorded_size(height, width, share)
    tone, codec = _tone(values, len(video), noise), _codec(round(number(values, "quality", 0.0)))
    same = small == (height, width) and sigma <= _NARROW
    if video.numel() == 0 or (same and not codec.on and tone.sigma == 0 and _is_plain(tone.curve)):
        return video.clone()
    recorder = Recorder(_filter(height, small[0], sigma), _filter(width, small[1], sigma))
    players = [Player(_upscaling(height, small[0], by), _upscaling(width, small[1], by)) for by in (1, 2)]
    sizes = Sizes(height, width, *small, *(-(-side // MACRO) * MACRO for side in small))
    out = torch.empty(video.shape, dtype=torch.uint8)
    source = video.cpu().contiguous().numpy().reshape(-1)
    record(source, recorder, tone, codec, tuple(players), sizes, out.numpy().reshape(-1))
    return out.to(video.device)


def number(values: Values, name: str, default: float) -> float:
    """A value of a recipe, or the default that means no effect."""
    return float(values.get(name, default))  # type: ignore[arg-type]


BOUNDS: dict[str, tuple[float, float]] = {
    "resolution": (0.05, 1.0),
    "blur": (0.0, 50.0),
    "exposure": (-8.0, 8.0),
    "gamma": (0.1, 10.0),
    "noise": (0.0, 1.0),
    "quality": (0.0, 100.0),
}
"""Lowest and highest value of each effect."""


def check_values(values: Values) -> None:
    """Refuse values that no sensor samples.

    Raises:
        ValueError: If there is one; the message names the value and its bounds.
    """
    for name, (low, high) in BOUNDS.items():
        value = values.get(name, low)
        if not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(
                f"Expected a recipe's sensor.{name} to be a number between {low:g} and {high:g}, got {value!r}. "
                "Correct the recipe, or sample it again."
            )
    gains = np.asarray(values.get("balance", [1.0, 1.0, 1.0]), np.float64)
    if gains.shape != (3,) or not ((gains >= 0) & (gains <= 2)).all():
        raise ValueError(
            f"Expected a recipe's sensor.balance to be three gains between 0 and 2, got {values['balance']}. "
            "Correct the recipe, or sample it again."
        )


def recorded_size(height: int, width: int, share: float) -> tuple[int, int]:
    """Height and width at which a share of the resolution is recorded."""
    return max(round(height * share), 1), max(round(width * share), 1)


def tone_curve(values: Values) -> Float[np.ndarray, "3 256"]:
    """What each display value becomes, in 0..255, unrounded: gains on linear light, then the exponent."""
    balance = values.get("balance", [1.0, 1.0, 1.0])
    gains = 2.0 ** number(values, "exposure", 0.0) * np.asarray(balance, np.float64)[:, None]
    bright = np.clip(gains * _LINEAR, 0, 1)
    shown = np.where(bright <= 0.0031308, 12.92 * bright, 1.055 * np.maximum(bright, 1e-12) ** (1 / 2.4) - 0.055)
    return (255 * np.clip(shown, 0, 1) ** number(values, "gamma", 1.0)).astype(np.float32)


def _is_plain(curve: Float[np.ndarray, "3 256"]) -> bool:
    return np.allclose(curve, np.arange(256), atol=1e-3)


def _noise_places(seed: int, frames: int, length: int) -> Int64[np.ndarray, "time 3"]:
    """Where the noise of each plane begins: the seed and the plane's number, mixed so that neighbours differ.

    Source:
        Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (the finaliser).
    """
    mixed = np.uint64(seed % 2**64) + np.arange(1, 3 * frames + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).astype(np.int64).reshape(frames, 3) & (length - 1)


def _tone(values: Values, frames: int, noise: Int8[np.ndarray, " place"]) -> Tone:
    level = number(values, "noise", 0.0)
    starts = _noise_places(int(number(values, "seed", 0.0)), frames, len(noise))
    return Tone(tone_curve(values), np.float32(255 * level / NOISE_STEPS), noise, starts)


def quantisation(quality: int) -> tuple[Float[np.ndarray, " 64"], Float[np.ndarray, " 64"]]:
    """Steps of luma and chroma coefficients, row by row, as libjpeg scales the standard's tables.

    Args:
        quality: 1 to 100.
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = (np.clip((np.array(table) * scale + 50) // 100, 1, 255) for table in (_LUMA, _CHROMA))
    return luma.astype(np.float32), chroma.astype(np.float32)


@functools.lru_cache(maxsize=101)
def _codec(quality: int) -> Codec:
    tables = []
    for steps in quantisation(quality or 100):
        # Pictures are stored column by column there.
        spread = np.repeat(steps.reshape(8, 8).T.ravel(), LANES)
        tables.append(np.concatenate([1 / spread, spread]).astype(np.float32))
    return Codec(tables[0], tables[1], quality > 0)


def _gaussian(sigma: float) -> Float[np.ndarray, " tap"]:
    """A Gaussian's weights, cut at three standard deviations."""
    if sigma <= _NARROW:
        return np.ones(1)
    reach = max(round(3 * sigma), 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return weights / weights.sum()


def _filter(length: int, small: int, sigma: float) -> Filter:
    """What recorded pixels are made of: the mean over their areas, then the blur between them; edges repeat."""
    scale, weights = length / small, _gaussian(sigma)
    # As many as all areas under the blur can reach into, in whole groups.
    taps = -(-(math.ceil(len(weights) * scale) + (scale > 1)) // TAPS) * TAPS
    return mix_areas(length, small, weights, taps)


@functools.lru_cache(maxsize=256)
def _upscaling(length: int, small: int, halving: int) -> Filter:
    """What each shown pixel is made of: the two decoded ones, perhaps of every second pixel, about their centre."""
    count = -(-small // halving)
    places = (np.arange(length) + 0.5) * (small / length / halving) - 0.5
    first = np.clip(np.floor(places), 0, count - 1)
    second = np.minimum(first + 1, count - 1)
    share = np.clip(places - first, 0, 1)
    return Filter(
        np.column_stack([first, second]).astype(np.uint64), np.column_stack([1 - share, share]).astype(np.float32)
    )
