"""A consumer camera and its recorder: small, soft, tinted, noisy, compressed pictures."""

import functools
from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Int8, UInt8
from torch import Tensor

from synthaug.compositing.sensor import NOISE_STEPS, apply_sensor
from synthaug.sensors import Sensor
from synthaug.structures import Values

Range = Sequence[float | int]

_NOISE_LENGTH = 1 << 20
"""Stored noise values, 1 MB."""


@final
class CameraSensor(Sensor):
    """Imperfections of a consumer camera, each uniform in its range.

    In the order of a real camera: tone, resolution, blur, noise, compression. Every default range contains no
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
            "resolution": _check_range("resolution", resolution, 0.05, 1.0),
            "blur": _check_range("blur", blur, 0.0, 50.0),
            "exposure": _check_range("exposure", exposure, -8.0, 8.0),
            "balance": _check_range("balance", (-balance, balance), -0.9, 0.9),
            "gamma": _check_range("gamma", gamma, 0.1, 10.0),
            "noise": _check_range("noise", noise, 0.0, 1.0),
            "quality": _check_range("quality", quality, 0.0, 100.0),
        }

    def sample(self, rng: np.random.Generator) -> Values:
        """One value for each effect, uniform in its range, and a seed for the noise."""
        values = {name: float(rng.uniform(*bounds)) for name, bounds in self.ranges.items() if name != "balance"}
        red, blue = rng.uniform(*self.ranges["balance"], size=2)
        quality = 0 if self.ranges["quality"][0] < 1 else round(values["quality"])
        return {
            **values,
            "quality": quality,
            "balance": [1.0 + float(red), 1.0, 1.0 + float(blue)],
            "seed": int(rng.integers(1 << 31)),
        }

    def apply(
        self, video: UInt8[Tensor, "time 3 height width"], values: Values
    ) -> UInt8[Tensor, "time 3 height width"]:
        """The clip with these imperfections, see `compositing.sensor.apply_sensor`."""
        return apply_sensor(video, values, noise=noise_bank())


@functools.cache
def noise_bank() -> Int8[np.ndarray, " place"]:
    """Stored Gaussian noise in int8: sampling 600,000 values for a clip would cost more than all other effects."""
    normal = np.random.default_rng(0).standard_normal(_NOISE_LENGTH, dtype=np.float32)
    # Rounding alone would bring its own mean; shifting first leaves less than 1e-4 of a standard deviation.
    return np.clip(np.round((normal - normal.mean()) * NOISE_STEPS), -127, 127).astype(np.int8)


def _check_range(name: str, bounds: Range, low: float, high: float) -> tuple[float, float]:
    if len(bounds) != 2 or not low <= bounds[0] <= bounds[1] <= high:
        raise ValueError(
            f"Expected sensor.{name} to be two numbers in order between {low:g} and {high:g}, got {tuple(bounds)}. "
            "Equal numbers fix the effect."
        )
    return float(bounds[0]), float(bounds[1])
