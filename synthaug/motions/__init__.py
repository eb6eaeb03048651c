"""Where motions come from. The interface; the files beside it are the answers.

Between data sets, whose records name the film, and avatars, which perform the motion.
"""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from synthaug.structures import Motion, Record, Reference, Values


class UnusableClipError(ValueError):
    """No motion worth re-enacting can be taken out of this clip; the message says what was seen and wanted."""


class MotionSource(ABC):
    """Takes the motion, and the camera that saw it, out of one record."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever the same record would yield another motion; part of every cache key."""

    @abstractmethod
    def reads(self, record: Record) -> tuple[Path, ...]:
        """Files, and folders of files, that a record's motion is read from besides the record's own path.

        What was extracted is kept for as long as these and the record's file stay as they are. Those that are not
        there are left out; nothing is opened.
        """

    @abstractmethod
    def load(self, record: Record) -> Reference:
        """The motion of the acting person, world frame, in the film's own frame rate.

        Deterministic: the same record gives the same motion. Parts that the source lacks (hands, jaw) are zeros.

        Raises:
            UnusableClipError: If the clip shows nothing that could be re-enacted.
            FileNotFoundError: If the record's file is not there.
        """


class MotionVariation(ABC):
    """Changes how an action is performed without changing which action it is."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Values:
        """Draw plain values."""

    def seconds(self, motion: Motion, values: Values, times: Float[Tensor, " sample"]) -> Float[Tensor, " sample"]:
        """Which seconds of the motion are shown at these seconds of the performance: growing with them, ends kept.

        Tempo is left alone here; a variation that bends time says how, so that two performances can be kept in step.
        """
        return times

    @abstractmethod
    def vary(self, motion: Motion, values: Values, times: Float[Tensor, " sample"]) -> Motion:
        """The motion as it is performed with drawn values, at these seconds; draws nothing.

        At given times and not as a whole, since a clip shows a sixth of a motion, and varying costs by the frame.

        Args:
            motion: World frame.
            values: What `sample` drew; none at all give the motion itself, as previews show it.
            times: Seconds into the performance, which starts over at its end, as for `synthaug.body.skeleton.resample`.
        """
