"""The interface of what is found in identity film: evidence about one person, from which an avatar is made.

Each file in `features` is one kind of evidence; `creating.create_person` puts them together.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from synthaug.structures import Camera, Motion


class CreationError(ValueError):
    """The film does not suffice for an avatar; the message says what is missing, and what film would do."""


@dataclass(frozen=True, eq=False)
class Cutouts:
    """Frames of one person, each cut to a square around them, all of one size.

    Attributes:
        pictures: sRGB.
        camera: One view of each cutout.
        motion: The person's pose in each.
        films: Files of which they are frames.
        film: Which of the files, for each.
        indices: Which frame of the file.
        times: Seconds into the file.
        corners: Left and upper edge in the file's pixels.
        scales: Pixels of the cutout for each pixel of the file.
        inside: Pixels that lie in the film's picture.
    """

    pictures: UInt8[Tensor, "frame 3 side side"]
    camera: Camera
    motion: Motion
    films: tuple[Path, ...]
    film: Int[Tensor, " frame"]
    indices: Int[Tensor, " frame"]
    times: Float[Tensor, " frame"]
    corners: Float[Tensor, "frame 2"]
    scales: Float[Tensor, " frame"]
    inside: Bool[Tensor, "frame side side"]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def side(self) -> int:
        """Pixels."""
        return int(self.pictures.shape[-1])


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a feature says of each pixel of the cutouts.

    Attributes:
        masks: How much of each pixel shows the person, 0 to 1.
        known: Pixels about which it is sure.
        trust: Of each frame, 0 to 1: with 0 the frame is not used.
    """

    masks: Float[Tensor, "frame side side"]
    known: Bool[Tensor, "frame side side"]
    trust: Float[Tensor, " frame"]


class Feature(ABC):
    """Finds where the person is in cutouts, by one means."""

    @abstractmethod
    def observe(self, cutouts: Cutouts) -> Evidence:
        """The evidence of this feature alone.

        Raises:
            CreationError: If a file that it needs is missing, or does not belong to the film.
        """


def combine(found: "list[Evidence]") -> Evidence:
    """Evidence of several features: the mean of those that know a pixel; known where one knows it and none objects.

    Raises:
        ValueError: If there is none.
    """
    if not found:
        raise ValueError("Expected at least one feature, got none. Give one, such as Silhouettes().")
    known = torch.stack([one.known for one in found])
    masks = torch.stack([one.masks for one in found])
    votes = known.float().sum(0)
    mean = torch.where(votes > 0, (masks * known).sum(0) / votes.clamp(min=1), masks.mean(0))
    apart = torch.where(known, masks, mean).amax(0) - torch.where(known, masks, mean).amin(0)
    trust = torch.stack([one.trust for one in found]).amin(0)
    return Evidence(mean, (votes > 0) & (apart < 0.5), trust)
