"""The interface of sensors, the cameras that record a finished clip; each file beside it is one choice."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from torch import Tensor

from synthaug.structures import ClipFormat, Filmed, Record, Reference, Values


@dataclass(frozen=True, eq=False)
class Unrecorded:
    """A synthetic clip before its sensor.

    Attributes:
        video: sRGB, people over their place.
        people: Coverage of the rendered people.
        near: Where the people are, found as it is found in film, see `compositing.silhouettes`.
        filmed: What the place is, see `Scene.filmed`.
    """

    video: UInt8[Tensor, "time 3 height width"]
    people: UInt8[Tensor, "time 1 height width"]
    near: Bool[np.ndarray, "time height width"]
    filmed: Filmed


class Sensor(ABC):
    """A camera's imperfections, in two halves: `sample` chooses them, `apply` gives them to a clip."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Values:
        """Sample plain values, which survive a trip through JSON."""

    @abstractmethod
    def apply(
        self, video: UInt8[Tensor, "time 3 height width"], values: Values
    ) -> UInt8[Tensor, "time 3 height width"]:
        """The clip as this camera would have recorded it; samples nothing and leaves `video` as it is.

        Args:
            video: sRGB.
            values: What `sample` returned. An effect that is missing is not applied.

        Raises:
            ValueError: If `sample` cannot have returned such a value.
        """

    def record(
        self,
        video: UInt8[Tensor, "time 3 height width"],
        values: Values,
        *,
        people: UInt8[Tensor, "time 1 height width"],
        filmed: Filmed,
    ) -> UInt8[Tensor, "time 3 height width"]:
        """The clip as this camera would have recorded it, by a sensor that knows what is rendered and what is film.

        The default treats all of it alike, by `apply`, and leaves moving film, which was recorded already, as it is.

        Args:
            video: sRGB, people over their place.
            values: As for `apply`.
            people: Coverage of the rendered people.
            filmed: What the place is; film has a camera's blur already.

        Raises:
            ValueError: As `apply` does.
        """
        return video if filmed == "moving" else self.apply(video, values)

    def prepare(
        self,
        films: Sequence[tuple[Record, Reference]],
        clip: ClipFormat,
        render: Callable[[], Sequence[Unrecorded]],
    ) -> "Sensor":
        """The same sensor, fitted to these training films.

        Called once in the parent process, before workers fork, after the background's `prepare`. The default returns
        the sensor itself, which suits all that do not imitate a film.

        Args:
            films: The training records of the protocol in use, each with the motion and camera found in it.
            clip: Format of the clips, filmed and synthetic alike.
            render: Renders some clips of the synthetic set; takes seconds.
        """
        return self
