"""The interface of camera paths: where a synthetic clip is filmed from.

The modules beside this file are the paths that a configuration can choose.
"""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float
from torch import Tensor

from synthaug.structures import Camera, Values

EDGE = 0.05
"""Share of the picture's side that stays free beside people who had to be brought into it: flesh around the joints."""


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

    def aim(self, camera: Camera, points: Float[Tensor, "time point 3"]) -> Camera:
        """Aim a camera of this path at people who would leave its picture. The default leaves it as it is.

        Args:
            camera: What `path` returned.
            points: World frame, metres, one set a frame: where the people of the clip go.
        """
        return camera


def find_shift(low: float, high: float, side: int) -> float:
    """Pixels by which a picture must move along one axis so that all from `low` to `high` lies in it.

    0 if it does already; otherwise as little as leaves `EDGE` free. What does not fit is put in the middle.
    """
    if low >= 0 and high <= side:
        return 0.0
    free = EDGE * side
    if high - low > side - 2 * free:
        return (low + high - side) / 2
    return low - free if low < free else high - (side - free)
