"""Who learns. The interface; the files beside it are the answers.

After the DataModule: a recognizer sees video alone, and nothing in it knows whether a clip is synthetic.
"""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn


class Recognizer(nn.Module, ABC):
    """Names the action in a clip.

    Video comes normalised, of any size and length that the network can take; its own parameters are all that a
    recognizer owns, and how it is trained is `synthaug.training.module.Training`'s business.
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
        """What the classifier decides by: one vector a clip, also what few-shot classification compares."""

    @abstractmethod
    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits. In evaluation mode those of one clip do not depend on the others in its batch."""
