"""The reference clip's own view. The simplest answer to `CameraPath`."""

from typing import final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from synthaug.cameras import CameraPath
from synthaug.structures import Camera, Values


@final
class Original(CameraPath):
    """The view from which the reference was filmed, unchanged; nothing is drawn."""

    def sample(self, rng: np.random.Generator) -> Values:
        """Nothing: an empty dict."""
        return {}

    def path(self, values: Values, reference: Camera, centre: Float[Tensor, "3"]) -> Camera:
        """The reference itself."""
        return reference
