"""The interface of a recognizer, the network that classifies the action in a clip; each file is one choice.

A recognizer sees video alone, and cannot tell whether a clip is synthetic.
"""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn


class Recognizer(nn.Module, ABC):
    """Classifies the action in a clip.

    Video is normalised, and may have any size and length that the network supports. A recognizer has parameters and
    nothing about training: loss, optimizer and schedule belong to `synthaug.training.module.Training`.
    """

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """Width of the logits."""

    @property
    @abstractmethod
    def num_features(self) -> int:
        """Width of the features."""

    @abstractmethod
    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
        """The input of the classifier: one vector for each clip. Few-shot classification compares these."""

    @abstractmethod
    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits. In evaluation mode, a clip's logits do not depend on the other clips of its batch."""
