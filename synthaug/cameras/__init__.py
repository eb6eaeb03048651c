"""The interface of camera paths: where a synthetic clip is filmed from.

The modules beside this file are the paths that a configuration can choose.
"""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float
from torch import Tensor

from synthaug.structures import Camera, Values


class CameraPath(ABC):
    """Chooses a view of the person for every frame."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Values:
        """Sample plain values that `path` turns into a camera."""

    @abstractmethod
    def path(self, values: Values, reference: Camera, centre: Float[Tensor, "3"]) -> Camera:
        """Turn sampled values into a camera. Nothing is sampled here.

        Args:
            values: What `sample` returned.
            reference: The reference clip's own view, with as many frames and of the size that the result must have.
            centre: Middle of the person's path through the clip, world frame, metres: what an orbit turns around.

        Returns:
            A camera with the frames and size of `reference`.
        """
