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

    @property
    def classifier(self) -> nn.Linear:
        """The layer that makes logits of features: the only linear one of these two widths.

        Raises:
            ValueError: If there is none, or several; then the recognizer has to define which it is.
        """
        shape = (self.num_classes, self.num_features)
        found = [one for one in self.modules() if isinstance(one, nn.Linear) and tuple(one.weight.shape) == shape]
        if len(found) != 1:
            raise ValueError(
                f"Expected one linear layer from {shape[1]} features to {shape[0]} classes in {type(self).__name__}, "
                f"got {len(found)}. Define its property `classifier`, or choose another recognizer."
            )
        return found[0]

    @abstractmethod
    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
        """The input of the classifier: one vector for each clip. Few-shot classification compares these."""

    @abstractmethod
    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits. In evaluation mode, a clip's logits do not depend on the other clips of its batch."""


class DenseRecognizer(Recognizer):
    """A recognizer whose features are pooled from a map over time and picture, which pretraining looks at.

    The clip may be cropped before the network sees it; `window` tells where.
    """

    @abstractmethod
    def maps(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch channel time row column"]:
        """The last layer's output at every frame and place."""

    @abstractmethod
    def pool(self, maps: Float[Tensor, "batch channel time row column"]) -> Float[Tensor, "batch feature"]:
        """`features` of these maps."""

    def window(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch 4"]:
        """Left, top, width and height of what the network sees of each clip, as shares of the picture."""
        return video.new_tensor([0.0, 0.0, 1.0, 1.0]).expand(len(video), 4)

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
        """The pooled maps."""
        return self.pool(self.maps(video))
