"""The interface of motion sources, which read or estimate motions, and of motion variations.

Each file beside this one is one source or variation that a config can choose; the folders hold their parts.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from synthaug.structures import Motion, Record, Reference, Values


class UnusableClipError(ValueError):
    """Raised for clips without a usable motion; the message says what was expected, what was found, and what to do."""


class MotionSource(ABC):
    """Loads the motion of one record, and the camera that saw it.

    A source reads a recording that belongs to the film (such as motion capture), or estimates the motion from the film
    itself. The record names the film, its interval and its subject.
    """

    looks: ClassVar[str] = ""
    """What its files look like, such as "a text that ends in .skeleton"; empty if it recognizes no files."""

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether an existing file or folder looks like a recording of this source; the default recognizes none.

        `synthaug motion inspect` asks every source, so this looks at the name and a small part of the content.

        Raises:
            FlawError: If the file is damaged.
        """
        return False

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A string that changes whenever the same record would give a different motion; part of every cache key."""

    @abstractmethod
    def reads(self, record: Record) -> tuple[Path, ...]:
        """Files and folders that a record's motion is read from, besides the record's own path.

        An extracted motion is cached until one of these or the record's file changes. Missing files are left out, and
        no file is opened.
        """

    @abstractmethod
    def load(self, record: Record) -> Reference:
        """The motion of the acting person (SMPL-X parameters, metres, world frame: y up, floor at 0) and its camera.

        The frame rate is the recording's own. Deterministic: the same record gives the same motion. Parts that the
        source lacks (hands, jaw) are zeros.

        Raises:
            UnusableClipError: If the clip shows no usable motion.
            FileNotFoundError: If a file that the motion is read from is missing.
        """


class MotionVariation(ABC):
    """Changes how an action is performed, but not which action it is."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Values:
        """Sample the values of one variation, which are plain and survive JSON."""

    def seconds(self, motion: Motion, values: Values, times: Float[Tensor, " sample"]) -> Float[Tensor, " sample"]:
        """Seconds of the motion that are shown at these seconds of the performance: monotonic, with both ends fixed.

        The default keeps the tempo. A variation that warps time overrides it, so that the performances of several
        people can be kept in step.
        """
        return times

    @abstractmethod
    def vary(self, motion: Motion, values: Values, times: Float[Tensor, " sample"]) -> Motion:
        """The frames of the performance at these seconds. Deterministic.

        Only the frames that a clip shows are computed, since the cost grows with their number.

        Args:
            motion: On the mean skeleton, world frame.
            values: Values that `sample` returned; an empty dict gives the motion itself, as previews show it.
            times: Seconds into the performance, which starts over at its end, as in `synthaug.body.skeleton.resample`.
        """


class MotionPrior(ABC):
    """Performs actions that no film shows, by their names."""

    @abstractmethod
    def knows(self, name: str) -> bool:
        """Whether a class of this name can be performed."""

    @abstractmethod
    def perform(self, name: str, *, fps: float, seconds: float, rng: np.random.Generator) -> Motion:
        """One performance by somebody new, on the mean skeleton and the floor, facing anywhere.

        Args:
            name: A class that it knows.
            fps: Frames a second.
            seconds: Length of the performance.
            rng: Decides who performs, and how.
        """
