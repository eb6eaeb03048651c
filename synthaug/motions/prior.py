"""Procedural actions as a prior for classes that bear their names."""

from typing import final

import numpy as np
import torch

from synthaug.motions import MotionPrior
from synthaug.motions.actions import ACTIONS, perform
from synthaug.motions.procedural.naming import find_action
from synthaug.motions.procedural.style import FAMILIES, sample_style
from synthaug.structures import Motion


@final
class ActionPrior(MotionPrior):
    """Performs the procedural actions, in styles of one family.

    Args:
        family: Styles to choose from; the demo is tested on those of "street".
    """

    def __init__(self, family: str = "studio") -> None:
        if family not in FAMILIES:
            raise ValueError(f"Expected one of {', '.join(FAMILIES)}, got {family!r}. Correct synth.prior.family.")
        self.family = family

    def knows(self, name: str) -> bool:
        """Whether it is the name of an action, or another one for it (`naming.SYNONYMS`)."""
        return find_action(name, ACTIONS) is not None

    def perform(self, name: str, *, fps: float, seconds: float, rng: np.random.Generator) -> Motion:
        """One performance, in single precision.

        Raises:
            ValueError: If no action has this name.
        """
        action = find_action(name, ACTIONS)
        if action is None:
            raise ValueError(f"Expected the name of one of {', '.join(ACTIONS)}, got {name!r}. Choose one of these.")
        made = perform(action, sample_style(rng, self.family), fps=fps, seconds=seconds)
        return Motion.from_pose(made.pose.to(torch.float32), made.transl.to(torch.float32), fps=made.fps)
