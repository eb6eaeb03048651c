"""The cameras of the training film: rendered people and places as sharp, noisy and coloured as what was filmed."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from synthaug.compositing.look import apply_look
from synthaug.files import user_cache
from synthaug.sensors import Sensor, Unrecorded
from synthaug.sensors.camera import noise_bank
from synthaug.sensors.fitting.film import measure_films
from synthaug.sensors.fitting.search import fit_looks
from synthaug.structures import ClipFormat, Filmed, Record, Reference, Values

logger = logging.getLogger(__name__)


@final
class FilmSensor(Sensor):
    """Gives synthetic clips the sharpness, noise, compression, tone and frame rate measured on the training films.

    Each clip takes the look of one film. What rendering blurs by itself is measured on some clips and left out, so that
    people are blurred or sharpened by as much as they lack; places that are film already keep their pixels, apart from
    the noise that a still picture has lost. There is nothing to sample from until `prepare` is called; recipes hold
    all that `apply` needs.

    Args:
        films: Training films that are measured, at most, evenly over their cameras.
        spread: How much of a film's distance from the median of its camera is kept, 0 to 1: what films show makes them
            differ, too.
        tone: How far people's brightness, contrast and tint follow the filmed people's, 0 to 1: clothes differ, too.
        cache: Folder that keeps the films' figures between runs; None is `figures/` in the user's cache.
    """

    def __init__(
        self, films: int = 40, spread: float = 0.5, tone: float = 0.5, cache: str | Path | None = None
    ) -> None:
        if films < 1 or not 0 <= spread <= 1 or not 0 <= tone <= 1:
            raise ValueError(
                f"Expected at least one film, and spread and tone from 0 to 1, got films={films}, spread={spread}, "
                f"tone={tone}. Set them under synth.sensor."
            )
        self.films = films
        self.spread = spread
        self.tone = tone
        self.cache = cache
        self.looks: tuple[Values, ...] = ()

    def sample(self, rng: np.random.Generator) -> Values:
        """The look of one film, and a seed for the noise.

        Raises:
            ValueError: If `prepare` was not called.
        """
        if not self.looks:
            raise ValueError(
                "Expected a sensor that is fitted to film, got one that has seen none. Call `prepare` with the "
                "training films first, as the data module does."
            )
        look = self.looks[int(rng.integers(len(self.looks)))]
        return {**look, "seed": int(rng.integers(1 << 31))}

    def apply(
        self, video: UInt8[Tensor, "time 3 height width"], values: Values
    ) -> UInt8[Tensor, "time 3 height width"]:
        """The clip as a rendered place would look, people included, see `compositing.look.apply_look`."""
        return apply_look(video, None, "", values, noise=noise_bank())

    def record(
        self,
        video: UInt8[Tensor, "time 3 height width"],
        values: Values,
        *,
        people: UInt8[Tensor, "time 1 height width"],
        filmed: Filmed,
    ) -> UInt8[Tensor, "time 3 height width"]:
        """The clip with the look of film, what is film already left alone."""
        return apply_look(video, people, filmed, values, noise=noise_bank())

    def prepare(
        self,
        films: Sequence[tuple[Record, Reference]],
        clip: ClipFormat,
        render: Callable[[], Sequence[Unrecorded]],
    ) -> Sensor:
        """The sensor fitted to these films; without a film that can be read, one that changes nothing, with a warning.

        Raises:
            ValueError: If clips are smaller than 16 pixels.
        """
        cache = user_cache() / "figures" if self.cache is None else Path(self.cache).expanduser()
        found = measure_films(films, clip, count=self.films, cache=cache)
        fitted = FilmSensor(self.films, self.spread, self.tone, self.cache)
        fitted.looks = fit_looks(
            found, render() if found else (), fps=clip.fps, spread=self.spread, tone=self.tone, noise=noise_bank()
        )
        if not fitted.looks:
            logger.warning("No training film could be measured: synthetic clips stay as they were rendered.")
            fitted.looks = ({},)
        return fitted
