"""From where it is filmed. The interface; the files beside it are the answers."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float
from torch import Tensor

from synthaug.structures import Camera, Values


class CameraPath(ABC):
    """Chooses a view of the person, for every frame."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Values:
        """Draw plain values."""

    @abstractmethod
    def path(self, values: Values, reference: Camera, centre: Float[Tensor, "3"]) -> Camera:
        """The camera for drawn values; draws nothing.

        Args:
            values: What `sample` drew.
            reference: The reference clip's own view, one frame for each frame wanted and of the size wanted.
            centre: Middle of the person's path through the clip, world frame, metres: what an orbit turns around.

        Returns:
            A camera with the frames and size of `reference`.
        """
