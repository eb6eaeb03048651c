"""ResNets with convolutions over time and space: torchvision's three with 18 layers."""

from jaxtyping import Float
from torch import Tensor
from torchvision.models.video import mc3_18, r2plus1d_18, r3d_18

from synthaug.recognizers import Recognizer
from synthaug.recognizers.weights import load_weights

BUILDERS = {"r3d_18": r3d_18, "mc3_18": mc3_18, "r2plus1d_18": r2plus1d_18}


class ResNet3D(Recognizer):
    """One of torchvision's video ResNets, unchanged.

    Args:
        num_classes: Number of actions.
        arch: "r3d_18" (3D kernels throughout), "mc3_18" (3D at first, 2D later) or "r2plus1d_18" (each kernel split
            into space and time).
        weights: None trains from scratch. DEFAULT takes torchvision's weights, trained on Kinetics-400 at 16 frames and
            112 pixels (code BSD-3-Clause; the footage is from YouTube) with our normalisation. Otherwise the path of a
            state dict.

    Source:
        Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018.
    """

    def __init__(self, num_classes: int, *, arch: str = "r3d_18", weights: str | None = None) -> None:
        super().__init__()
        if arch not in BUILDERS:
            raise ValueError(
                f"Expected recognizer.arch to be one of {', '.join(BUILDERS)}, got {arch!r}. Choose one of them."
            )
        self.net = BUILDERS[arch](num_classes=num_classes)
        if weights is not None:
            load_weights(self.net, weights, arch=arch)

    @property
    def num_classes(self) -> int:
        """Width of the logits."""
        return self.net.fc.out_features

    @property
    def num_features(self) -> int:
        """512."""
        return self.net.fc.in_features

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
        """The last stage's output, averaged over time and space."""
        net = self.net
        x = net.layer4(net.layer3(net.layer2(net.layer1(net.stem(video)))))
        return net.avgpool(x).flatten(1)

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits."""
        return self.net.fc(self.features(video))
