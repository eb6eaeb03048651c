"""Who performs. The interface; the files beside it are the answers.

Between motions and renderers: an avatar turns a motion into Gaussians.
"""

from abc import ABC, abstractmethod

import numpy as np

from synthaug.body.skeleton import Skeleton
from synthaug.structures import Gaussians, Motion


class Avatar(ABC):
    """One person who can perform any motion. Nothing about it is drawn at random."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """Names the content: two avatars with one digest look the same in every pose."""

    @property
    @abstractmethod
    def skeleton(self) -> Skeleton:
        """The person's own proportions, for retargeting a motion before it is posed."""

    @abstractmethod
    def pose(self, motion: Motion) -> Gaussians:
        """The person performing this motion, as it is: retargeting happens before.

        World frame, metres, unit quaternions, opacities in 0..1. Rotating or shifting the motion's world rotates or
        shifts the Gaussians.
        """


class Cast(ABC):
    """People to choose from, by name."""

    @abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> tuple[str, ...]:
        """Choose different identities.

        Raises:
            ValueError: If there are fewer than `count`.
        """

    @abstractmethod
    def load(self, identity: str) -> Avatar:
        """The person of this name.

        Raises:
            KeyError: If nobody is called so; the message names some who are.
        """

    @abstractmethod
    def subject(self, identity: str) -> str:
        """Name of the data set's subject whose likeness this is; empty where it is none.

        Whoever lays out the data refuses people whom the test is about.

        Raises:
            KeyError: If nobody is called so.
        """
