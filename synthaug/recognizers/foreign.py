"""A recognizer made from any network of yours, without changes to the network."""

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
        num_classes: Number of actions.
        module: Makes the network; called with the number of classes, as the argument named by `classes_argument`.
        classes_argument: The network's argument for the number of classes; `num_labels` in Hugging Face models.
        layout: "video": the network is called with [B 3 T H W]. "pixel_values": it is called with `pixel_values=`
            [B T 3 H W], as Hugging Face video models are. It may return logits or an object that has `logits`.
        head: Name of the linear classifier among the network's modules; its input is the features. None takes the last
            linear layer that is `num_classes` wide. If it is applied to several tokens, features are their mean.
        weights: None keeps the weights that the network is made with; otherwise the path of a state dict.

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
            raise ValueError(
                f"Expected recognizer.layout to be one of {', '.join(LAYOUTS)}, got {layout!r}. Choose one of them."
            )
        if isinstance(module, nn.Module):
            raise ValueError(
                "Expected recognizer.module to be a function that makes the network, since the data decide the number "
                f"of classes, got a finished {type(module).__name__}. Set recognizer.module._partial_=true."
            )
        self.net = module(**{classes_argument: num_classes})
        self.layout = layout
        self.head = find_classifier(self.net, num_classes) if head is None else head
        if weights is not None:
            load_weights(self.net, weights, head=self.head)

    @property
    def num_classes(self) -> int:
        """Width of the logits."""
        return self.classifier.out_features

    @property
    def num_features(self) -> int:
        """Width of the classifier's input."""
        return self.classifier.in_features

    @property
    def classifier(self) -> nn.Linear:
        """The layer called `head`."""
        classifier = self.net.get_submodule(self.head)
        if not isinstance(classifier, nn.Linear):
            raise ValueError(
                f"Expected recognizer.head={self.head!r} to name a linear layer, got a {type(classifier).__name__}. "
                "Name the network's last linear layer."
            )
        return classifier

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
        """The input of the classifier in a forward pass.

        Raises:
            RuntimeError: If the forward pass does not use it.
        """
        inputs: list[Tensor] = []
        hook = self.classifier.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
        try:
            self.forward(video)  # not self(...): compiled code ignores hooks that were registered later
        finally:
            hook.remove()
        if not inputs:
            raise RuntimeError(
                f"Expected recognizer.head={self.head!r} to make the network's logits, got a layer that its forward "
                "pass does not use. Set recognizer.head to the classifier."
            )
        return inputs[-1].flatten(1, -2).mean(1) if inputs[-1].ndim > 2 else inputs[-1]

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits.

        Raises:
            TypeError: If the network returns something else.
        """
        if self.layout == "video":
            output = self.net(video)
        else:
            output = self.net(pixel_values=video.transpose(1, 2))
        logits = getattr(output, "logits", output)
        if not isinstance(logits, torch.Tensor) or logits.shape != (len(video), self.num_classes):
            got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise TypeError(
                f"Expected logits of shape {(len(video), self.num_classes)} from the network, or an object with such "
                f"`logits`, got {got}. Wrap the network in a module that returns them."
            )
        return logits


def find_classifier(network: nn.Module, num_classes: int) -> str:
    """Find the name of the last linear layer that is `num_classes` wide.

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
            f"Expected a linear layer of width {num_classes}, the number of classes, in {type(network).__name__}, got "
            "none. Set recognizer.classes_argument to the network's argument for it, or recognizer.head."
        )
    return names[-1]
