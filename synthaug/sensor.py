"""What a camera and its recorder do to a picture: small, soft, tinted, noisy, compressed.

The last station of a clip, filmed look for rendered people; families differ by the ranges alone.
"""

import functools
from collections.abc import Sequence
from typing import final, no_type_check

import cv2
import numba
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.structures import Values

Range = Sequence[float | int]

_STRENGTH = 32
"""Steps of the stored noise for one standard deviation; +-4 of them fit into int8."""
_LENGTH = 1 << 20
"""Stored noise values, 1 MB. Each frame takes a stretch of its own, from a place that the seed decides."""
_BLOCK = 16
"""Side in pixels of the largest JPEG block, 2 x 2 subsampled chroma."""


@final
class Sensor:
    """A camera's imperfections, in two halves: `sample` draws them, `apply` gives a clip them.

    In the order of a real camera: resolution, blur, tone, noise, compression. Every default range contains no
    effect; with every range at no effect the clip comes back exactly.

    Args:
        resolution: Share of the clip's size at which it is recorded; 1 records all pixels.
        blur: Standard deviation of the defocus, pixels of the recorded picture.
        exposure: Stops on linear light.
        balance: Largest deviation of the red and the blue gain from 1.
        gamma: Exponent on display values; above 1 deepens the shadows.
        noise: Standard deviation at mid grey, share of full scale: half its variance grows with the light (shot
            noise), half is constant (read noise).
        quality: JPEG quality, 1 to 100; 0 anywhere in the range means no compression at all, so (0, 0) turns it off.
    """

    def __init__(
        self,
        resolution: Range = (0.7, 1.0),
        blur: Range = (0.0, 0.7),
        exposure: Range = (-0.35, 0.35),
        balance: float | int = 0.06,
        gamma: Range = (0.9, 1.15),
        *,
        noise: Range = (0.0, 0.025),
        quality: Range = (35, 95),
    ) -> None:
        self.ranges: dict[str, tuple[float, float]] = {
            "resolution": _checked("resolution", resolution, 0.05, 1.0),
            "blur": _checked("blur", blur, 0.0, 50.0),
            "exposure": _checked("exposure", exposure, -8.0, 8.0),
            "balance": _checked("balance", (-balance, balance), -0.9, 0.9),
            "gamma": _checked("gamma", gamma, 0.1, 10.0),
            "noise": _checked("noise", noise, 0.0, 1.0),
            "quality": _checked("quality", quality, 0.0, 100.0),
        }

    def sample(self, rng: np.random.Generator) -> Values:
        """One value for each effect, uniform in its range, and a seed for the noise."""
        draw = {name: float(rng.uniform(*bounds)) for name, bounds in self.ranges.items() if name != "balance"}
        red, blue = rng.uniform(*self.ranges["balance"], size=2)
        quality = 0 if self.ranges["quality"][0] < 1 else round(draw["quality"])
        return {
            **draw,
            "quality": quality,
            "balance": [1.0 + float(red), 1.0, 1.0 + float(blue)],
            "seed": int(rng.integers(1 << 31)),
        }

    def apply(
        self, video: UInt8[Tensor, "time 3 height width"], values: Values
    ) -> UInt8[Tensor, "time 3 height width"]:
        """The clip as this camera would have recorded it; draws nothing.

        Args:
            video: sRGB.
            values: What `sample` drew. An effect that is missing is not applied.
        """
        height, width = video.shape[2:]
        frames = [cv2.merge([*frame]) for frame in video.cpu().contiguous().numpy()]
        share = _number(values, "resolution", 1.0)
        small = (max(round(width * share), 1), max(round(height * share), 1))
        if small != (width, height):
            # Down to a half, bilinear taps still reach every pixel, at a quarter of the area filter's cost.
            taps = cv2.INTER_LINEAR if share > 0.5 else cv2.INTER_AREA
            frames = [cv2.resize(frame, small, interpolation=taps) for frame in frames]
        frames = _softened(frames, _number(values, "blur", 0.0))
        frames = _exposed(frames, values)
        quality = int(_number(values, "quality", 0.0))
        if quality:
            frames = _compressed(frames, quality)
        if small != (width, height):
            frames = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in frames]
        out = np.empty(video.shape, np.uint8)
        for frame, planes in zip(frames, out, strict=True):
            for channel in range(3):
                cv2.extractChannel(frame, channel, dst=planes[channel])
        return torch.from_numpy(out).to(video.device)


def _checked(name: str, bounds: Range, low: float, high: float) -> tuple[float, float]:
    if len(bounds) != 2 or not low <= bounds[0] <= bounds[1] <= high:
        raise ValueError(
            f"{name}={tuple(bounds)} was given; two numbers in order between {low:g} and {high:g} were wanted. "
            f"Mend sensor.{name}; equal numbers fix the effect."
        )
    return float(bounds[0]), float(bounds[1])


def _number(values: Values, name: str, default: float) -> float:
    return float(values.get(name, default))  # type: ignore[arg-type]


def _softened(frames: list[np.ndarray], sigma: float) -> list[np.ndarray]:
    # Narrower than 0.15 pixels a Gaussian's neighbours weigh less than a step of uint8.
    if sigma <= 0.15:
        return frames
    return [cv2.GaussianBlur(frame, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for frame in frames]


def tone_curve(values: Values) -> Float[np.ndarray, "3 256"]:
    """What each display value becomes, in 0..255, unrounded: gains on linear light, then the exponent."""
    balance = values.get("balance", [1.0, 1.0, 1.0])
    gains = 2.0 ** _number(values, "exposure", 0.0) * np.asarray(balance, np.float64)[:, None]
    display = np.linspace(0, 1, 256)
    linear = np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)
    bright = np.clip(gains * linear, 0, 1)
    shown = np.where(bright <= 0.0031308, 12.92 * bright, 1.055 * np.maximum(bright, 1e-12) ** (1 / 2.4) - 0.055)
    return (255 * np.clip(shown, 0, 1) ** _number(values, "gamma", 1.0)).astype(np.float32)


@functools.cache
def _noise() -> np.ndarray:
    """Stored Gaussian noise in int8: drawing 600,000 values for a clip would cost more than all other effects."""
    drawn = np.random.default_rng(0).standard_normal(_LENGTH, dtype=np.float32)
    # Rounding alone would bring its own mean; shifting first leaves less than 1e-4 of a standard deviation.
    return np.clip(np.round((drawn - drawn.mean()) * _STRENGTH), -127, 127).astype(np.int8)


def _exposed(frames: list[np.ndarray], values: Values) -> list[np.ndarray]:
    """Tone and noise in one pass, since noise arises before the value is rounded."""
    curve = tone_curve(values)
    level = _number(values, "noise", 0.0)
    if level == 0 and np.allclose(curve, np.arange(256), atol=1e-3):
        return frames
    # Half of the variance at mid grey is shot noise.
    sigma = 255 * level * np.sqrt(0.5 * curve / 127.5 + 0.5) / _STRENGTH
    size = frames[0].size
    # Frames beyond the stored length, 591 pixels square, see it repeated.
    noise = _noise() if size < _LENGTH else np.resize(_noise(), size + 1)
    starts = np.random.default_rng(int(_number(values, "seed", 0.0))).integers(0, len(noise) - size, len(frames))
    for frame, start in zip(frames, starts, strict=True):
        _expose(frame.reshape(-1, 3), curve, sigma.astype(np.float32), noise[start : start + size].reshape(-1, 3))
    return frames


@no_type_check
@numba.njit(nogil=True, cache=True)
def _expose(pixels, curve, sigma, noise):
    for i in range(pixels.shape[0]):
        for c in range(3):
            old = pixels[i, c]
            new = curve[c, old] + sigma[c, old] * np.float32(noise[i, c]) + np.float32(0.5)
            pixels[i, c] = np.uint8(min(max(new, np.float32(0)), np.float32(255)))


def _compressed(frames: list[np.ndarray], quality: int) -> list[np.ndarray]:
    """Through JPEG and back, all frames in one picture, each on blocks of its own."""
    height, width = frames[0].shape[:2]
    # Half a chroma block above and below: decoders interpolate chroma across the border of two blocks.
    above, below, beside = _BLOCK // 2, _BLOCK // 2 + -height % _BLOCK, -width % _BLOCK
    padded = [cv2.copyMakeBorder(frame, above, below, 0, beside, cv2.BORDER_REPLICATE) for frame in frames]
    tall_height = above + height + below
    limit = 65_000 // tall_height  # JPEG's sides end at 65,535
    out: list[np.ndarray] = []
    for first in range(0, len(padded), limit):
        tall = np.concatenate(padded[first : first + limit])
        # Red and blue change places, which costs nothing to leave out but would weigh them wrongly in the luma.
        done, data = cv2.imencode(".jpg", cv2.cvtColor(tall, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done, "OpenCV encodes any uint8 picture of these sizes"
        read = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        out += [frame[above : above + height, :width] for frame in read.reshape(-1, tall_height, width + beside, 3)]
    return out
