"""The interface of avatars, which turn a motion into Gaussians, and of the pools that identities are sampled from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from synthaug.body.skeleton import Skeleton
from synthaug.structures import Gaussians, Motion, Record, Reference


class Avatar(ABC):
    """One person who can perform any motion, without any randomness."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """Identifies the content: two avatars with the same digest look the same in every pose."""

    @property
    @abstractmethod
    def skeleton(self) -> Skeleton:
        """The person's own proportions, to which a motion is retargeted before posing."""

    @abstractmethod
    def pose(self, motion: Motion) -> Gaussians:
        """Gaussians of the person in every frame of a motion that was already retargeted to the person.

        World frame, metres, unit quaternions, opacities in 0..1. Rotating or translating the motion rotates or
        translates the Gaussians.
        """


class AvatarPool(ABC):
    """People to sample identities from, by name."""

    def prepare(self, films: Sequence[tuple[Record, Reference]]) -> "AvatarPool":
        """The pool once the training film is known, and nothing else of the data set; by default the same one.

        Args:
            films: Training clips, each with the motion and the camera that were found in it.
        """
        return self

    @abstractmethod
    def sample(self, count: int, rng: np.random.Generator) -> tuple[str, ...]:
        """Sample different identities.

        Raises:
            ValueError: If there are fewer than `count`.
        """

    @abstractmethod
    def load(self, identity: str) -> Avatar:
        """The person with this name.

        Raises:
            KeyError: If nobody has this name; the message gives some names that exist.
        """

    @abstractmethod
    def subject(self, identity: str) -> str:
        """Name of the data set's subject who looks like this person; empty if there is none.

        The data module refuses people who look like a test subject.

        Raises:
            KeyError: If nobody has this name.
        """
