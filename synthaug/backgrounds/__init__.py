"""The interface of backgrounds, which show the place behind the people; each file beside it is one choice."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from synthaug.structures import Camera, Record, Reference, Scene, Values


class NoSceneError(ValueError):
    """A background has nothing to choose from: none of the training films gives what it shows."""


class Background(ABC):
    """A place, or a picture of one."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever the same values and camera would yield different pixels; part of every cache key."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Keys of the records whose pictures it shows, for the leak guard; none if it is not made of film."""
        return ()

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Values:
        """Sample plain values (which file, crop, start), which survive a trip through JSON."""

    @abstractmethod
    def scene(self, values: Values, camera: Camera) -> Scene:
        """The scene of sampled values; samples nothing.

        Args:
            values: What `sample` returned.
            camera: The view that the camera path chose, world frame (y up, floor at y = 0). It gives the number of
                frames and their size. A flat picture uses no more of it; a place built in 3D is seen through it and
                returns it as the scene's camera; a filmed place ignores the view, and returns the camera that filmed
                it together with a spot on its floor, so that the person is put there and turned.
        """

    def cacheable(self, values: Values) -> bool:
        """Whether a scene takes so long to make that it is worth caching. Its camera must then be the one asked for.

        Places that are built and lit cost tens of milliseconds; pictures are read as fast as a cache is. The default
        is no.
        """
        return False

    def prepare(self, films: Sequence[tuple[Record, Reference]]) -> "Background":
        """The same background, ready for use and restricted to what these training films allow.

        Called once in the parent process, before workers fork: plates are extracted and cached here. The default
        returns the background itself, which suits all that are not made of film.

        Args:
            films: The training records of the protocol in use, each with the motion and camera found in it.

        Raises:
            NoSceneError: If nothing is left to choose from.
        """
        return self
