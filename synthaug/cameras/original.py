"""The view from which the reference clip was filmed."""

from typing import final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from synthaug.cameras import CameraPath
from synthaug.structures import Camera, Values


@final
class Original(CameraPath):
    """The view from which the reference was filmed, unchanged. Nothing is sampled."""

    def sample(self, rng: np.random.Generator) -> Values:
        """Return an empty dict: there is nothing to choose."""
        return {}

    def path(self, values: Values, reference: Camera, centre: Float[Tensor, "3"]) -> Camera:
        """Return the reference's own camera."""
        return reference
