"""One flat colour: for tests, and for the paper's white backgrounds."""

import hashlib
from collections.abc import Sequence
from typing import final

import numpy as np
import torch

from synthaug.backgrounds import Background
from synthaug.structures import Camera, Record, Reference, Scene, Values


@final
class Plain(Background):
    """Flat colours, one for each clip; no floor, no light.

    Args:
        colors: sRGB colours in 0..255 to choose from. One alone is always taken.
    """

    def __init__(self, colors: Sequence[Sequence[int]] = ((255, 255, 255),)) -> None:
        if not colors or any(len(color) != 3 or not all(0 <= part <= 255 for part in color) for color in colors):
            raise ValueError(
                f"colors={[*map(tuple, colors)]} was given; at least one colour of three values in 0..255 was wanted, "
                "such as [[255, 255, 255]]."
            )
        self.colors = [[int(part) for part in color] for color in colors]

    @property
    def fingerprint(self) -> str:
        """Of the colours."""
        return f"plain/{hashlib.blake2b(repr(self.colors).encode(), digest_size=8).hexdigest()}"

    def sample(self, rng: np.random.Generator) -> Values:
        """Which colour: the colour itself."""
        return {"color": list(self.colors[int(rng.integers(len(self.colors)))])}

    def scene(self, values: Values, camera: Camera) -> Scene:
        """Frames of the drawn colour."""
        color = torch.tensor(values["color"], dtype=torch.uint8)
        frames = color[None, :, None, None].expand(len(camera.viewmats), 3, camera.height, camera.width)
        return Scene(frames=frames.contiguous())

    def among(self, films: Sequence[tuple[Record, Reference]]) -> Background:
        """Itself: no film is in it."""
        return self
