"""The interface of sensors, the cameras that record a finished clip; each file beside it is one choice."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from synthaug.structures import Values


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
