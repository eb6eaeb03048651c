"""Flat colours: for tests, and for the paper's white backgrounds."""

import hashlib
from collections.abc import Sequence
from typing import final

import numpy as np
import torch

from synthaug.backgrounds import Background, Outline
from synthaug.structures import Camera, Scene, Values


@final
class Plain(Background):
    """Flat colours, one for each clip; no floor, no light.

    Args:
        colors: sRGB colours in 0..255 to choose from. One alone is always taken.
    """

    def __init__(self, colors: Sequence[Sequence[int]] = ((255, 255, 255),)) -> None:
        if not colors or any(len(color) != 3 or not all(0 <= part <= 255 for part in color) for color in colors):
            raise ValueError(
                "Expected colors to be a list of colours with three values in 0..255 each, got "
                f"{[*map(tuple, colors)]}. Write colors=[[255, 255, 255]] for white."
            )
        self.colors = [[int(part) for part in color] for color in colors]

    @property
    def fingerprint(self) -> str:
        """Changes with the colours."""
        return f"plain/{hashlib.blake2b(repr(self.colors).encode(), digest_size=8).hexdigest()}"

    def sample(self, rng: np.random.Generator) -> Values:
        """The colour itself."""
        return {"color": list(self.colors[int(rng.integers(len(self.colors)))])}

    def outline(self, values: Values, camera: Camera) -> Outline:
        """Nothing stands in a flat colour."""
        return Outline()

    def scene(self, values: Values, camera: Camera) -> Scene:
        """Frames of the sampled colour."""
        color = torch.tensor(values["color"], dtype=torch.uint8)
        frames = color[None, :, None, None].expand(len(camera.viewmats), 3, camera.height, camera.width)
        return Scene(frames=frames.contiguous())
