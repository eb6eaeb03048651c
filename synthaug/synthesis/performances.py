"""Performances of training clips: when they show which moment, and how two of one class are aligned in time.

Sampling needs this to choose starts and partners, and staging needs it to pose people; both must get the same.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.blending import Alignment, align
from synthaug.motions import MotionVariation
from synthaug.structures import Motion, Recipe, Reference, Values
from synthaug.synthesis.references import References


class Performances:
    """The references and their variation.

    Args:
        references: Training clips with their motions.
        variation: Varies how they are performed.
    """

    def __init__(self, references: References, variation: MotionVariation) -> None:
        self.references = references
        self.variation = variation
        self._alignments: dict[tuple[str, str], Alignment] = {}

    def find(self, key: str) -> Reference:
        """The reference of this key.

        Raises:
            KeyError: If it is not among the references.
        """
        by_key = self.references.by_key
        if key not in by_key:
            known = ", ".join(sorted(by_key)[:3])
            raise KeyError(
                f"Expected a recipe of these {len(by_key)} references ({known}, ...), got the motion of '{key}'. "
                "Replay recipes with the data set and the protocol that they were made with."
            )
        return by_key[key]

    def times_of(self, motion: Motion, values: Values, seconds: Float[Tensor, " sample"]) -> Float[Tensor, " sample"]:
        """When a performance with these variation values shows these seconds of its motion, within one round."""
        times = np.linspace(0, motion.duration, 8 * motion.num_frames + 1)
        shown = self.variation.seconds(motion, values, torch.from_numpy(times[:-1])).numpy()
        return torch.from_numpy(np.interp(seconds.double().numpy(), [*shown, motion.duration], times))

    def align(self, lead: str, partner: str) -> Alignment:
        """Which moments of two performances correspond, and how far apart the performances are; kept."""
        if (lead, partner) not in self._alignments:
            motions = [self.find(key).motion for key in (lead, partner)]
            self._alignments[lead, partner] = align(motions[0], motions[1])
        return self._alignments[lead, partner]


def find_swapped(recipe: Recipe) -> Values | None:
    """Values of a clip's own film, where another person takes the filmed one's place in it; None elsewhere."""
    values = recipe.background.get("swapped")
    return values if isinstance(values, dict) else None
