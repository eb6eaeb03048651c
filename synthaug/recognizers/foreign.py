"""Any network of yours as a recognizer.

A recognizer; the network need not know of synthaug.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from synthaug.recognizers import Recognizer
from synthaug.recognizers.weights import load_weights

LAYOUTS = ("video", "pixel_values")


class ForeignNetwork(Recognizer):
    """A plain module that maps video to logits, with features taken from before its classifier.

    Args:
        num_classes: Actions.
        module: Makes the network: called with the number of classes, by the name `classes_argument`.
        classes_argument: How the network calls the number of its classes; Hugging Face says `num_labels`.
        layout: "video": called with [B 3 T H W]. "pixel_values": called with `pixel_values=` [B T 3 H W], as Hugging
            Face video models are. Either may answer with logits or with an object that has `logits`.
        head: Name of the linear classifier among the network's modules, whose input the features are; None takes the
            last linear layer that is `num_classes` wide. Where it is applied to several tokens, features are their
            mean.
        weights: None leaves the network as it is made; else the path of a state dict.

    Raises:
        ValueError: If the layout is unknown, or no such classifier is found.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        module: Callable[..., nn.Module],
        classes_argument: str = "num_classes",
        layout: str = "video",
        head: str | None = None,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if layout not in LAYOUTS:
            raise ValueError(f"layout={layout!r} was given; one of {', '.join(LAYOUTS)} was wanted. Choose one.")
        if isinstance(module, nn.Module):
            raise ValueError(
                f"module={type(module).__name__}(...) was given, already made; what makes it was wanted, since the "
                "data decide the number of classes. Set recognizer.module._partial_=true."
            )
        self.net = module(**{classes_argument: num_classes})
        self.layout = layout
        self.head = classifier_of(self.net, num_classes) if head is None else head
        if weights is not None:
            load_weights(self.net, weights, head=self.head)

    @property
    def num_classes(self) -> int:
        """Width of the logits."""
        return self._classifier.out_features

    @property
    def num_features(self) -> int:
        """What goes into the classifier."""
        return self._classifier.in_features

    @property
    def _classifier(self) -> nn.Linear:
        classifier = self.net.get_submodule(self.head)
        if not isinstance(classifier, nn.Linear):
            raise ValueError(
                f"head={self.head!r} names a {type(classifier).__name__}; a linear layer was wanted. Name the last one."
            )
        return classifier

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
        """What the classifier was asked about when the network saw the clips.

        Raises:
            RuntimeError: If the network never asked it.
        """
        asked: list[Tensor] = []
        watch = self._classifier.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
        try:
            self.forward(video)  # not self(...): compiled code asks no hooks that came after it
        finally:
            watch.remove()
        if not asked:
            raise RuntimeError(
                f"The network gave logits without its classifier '{self.head}'; the layer that makes them was wanted. "
                "Set recognizer.head."
            )
        return asked[-1].flatten(1, -2).mean(1) if asked[-1].ndim > 2 else asked[-1]

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits.

        Raises:
            TypeError: If the network answers with something else.
        """
        if self.layout == "video":
            answer = self.net(video)
        else:
            answer = self.net(pixel_values=video.transpose(1, 2))
        logits = getattr(answer, "logits", answer)
        if not isinstance(logits, torch.Tensor) or logits.shape != (len(video), self.num_classes):
            got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise TypeError(
                f"The network answered with {got}; logits {(len(video), self.num_classes)} were wanted, or an object "
                "that has such `logits`. Wrap it in a module that returns them."
            )
        return logits


def classifier_of(network: nn.Module, num_classes: int) -> str:
    """Name of the last linear layer that is `num_classes` wide.

    Raises:
        ValueError: If there is none.
    """
    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == num_classes
    ]
    if not names:
        raise ValueError(
            f"{type(network).__name__} has no linear layer of width {num_classes}; one for so many classes was "
            "wanted. Set recognizer.classes_argument to what the network calls them, or recognizer.head."
        )
    return names[-1]
