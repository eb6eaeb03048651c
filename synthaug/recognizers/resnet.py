"""ResNets on single frames, with or without a temporal shift: the usual strong and cheap baseline for video."""

from jaxtyping import Float
from torch import Tensor
from torchvision.models import resnet18, resnet50
from torchvision.models.resnet import BasicBlock, Bottleneck

from synthaug.recognizers import DenseRecognizer
from synthaug.recognizers.shift import temporal_shift
from synthaug.recognizers.weights import load_weights

BUILDERS = {18: resnet18, 50: resnet50}


class ResNet2D(DenseRecognizer):
    """torchvision's ResNet on every frame, features averaged over time.

    With `temporal="average"` the order of the frames does not matter: sitting down and standing up look the same. With
    `temporal="shift"` every residual branch sees an eighth of the channels from the frame before and an eighth from the
    frame after. This adds no parameters, so the same weights fit both.

    Args:
        num_classes: Number of actions.
        depth: 18 or 50 layers.
        temporal: "average" (frames are independent) or "shift" (TSM).
        weights: None trains from scratch. DEFAULT takes torchvision's weights, trained on ImageNet-1K (code
            BSD-3-Clause; ImageNet's terms allow research only); our normalisation is close to ImageNet's. Otherwise
            the path of a state dict.
        shift_share: Share of the channels that is shifted each way; 0 is the same as "average".

    Source:
        He et al., "Deep Residual Learning", CVPR 2016; Wang et al., "Temporal Segment Networks", ECCV 2016 (the
        average); Lin, Gan and Han, "TSM", ICCV 2019 (the shift, its eighth, and its place in the branch).
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depth: int = 18,
        temporal: str = "average",
        weights: str | None = None,
        shift_share: float = 1 / 8,
    ) -> None:
        super().__init__()
        if depth not in BUILDERS:
            raise ValueError(
                f"Expected recognizer.depth to be {' or '.join(map(str, BUILDERS))}, got {depth}. Choose one of them."
            )
        if temporal not in ("average", "shift"):
            raise ValueError(
                f"Expected recognizer.temporal to be 'average' or 'shift', got {temporal!r}. Choose one of them."
            )
        if not 0 <= shift_share <= 0.5:
            raise ValueError(
                f"Expected recognizer.shift_share from 0 to 0.5, since it is shifted both ways, got {shift_share}. "
                "Set recognizer.shift_share=0.125, the usual value."
            )
        self.net = BUILDERS[depth](num_classes=num_classes)
        self.shift_share = shift_share if temporal == "shift" else 0.0
        if weights is not None:
            load_weights(self.net, weights, arch=f"resnet{depth}")

    @property
    def num_classes(self) -> int:
        """Width of the logits."""
        return self.net.fc.out_features

    @property
    def num_features(self) -> int:
        """512 for 18 layers, 2048 for 50."""
        return self.net.fc.in_features

    def maps(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch channel time row column"]:
        """The last stage's output, at a 32nd of the resolution."""
        time = video.shape[2]
        net = self.net
        x = video.transpose(1, 2).flatten(0, 1)
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            for block in stage:
                x = self._run_block(block, x, time)
        return x.unflatten(0, (-1, time)).transpose(1, 2)

    def pool(self, maps: Float[Tensor, "batch channel time row column"]) -> Float[Tensor, "batch feature"]:
        """The mean of the frames' features."""
        frames = self.net.avgpool(maps.transpose(1, 2).flatten(0, 1)).flatten(1)
        return frames.unflatten(0, (-1, maps.shape[2])).mean(1)

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits, which are also the mean of the frames' logits, since the classifier is linear."""
        return self.net.fc(self.features(video))

    def _run_block(self, block: BasicBlock | Bottleneck, x: Tensor, time: int) -> Tensor:
        """Run one of torchvision's blocks, with shifted frames in its branch but not in its shortcut."""
        shortcut = x if block.downsample is None else block.downsample(x)
        channels = int(x.shape[1] * self.shift_share)
        x = temporal_shift(x, time=time, channels=channels) if channels else x
        x = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
        if isinstance(block, Bottleneck):
            x = block.bn3(block.conv3(block.relu(x)))
        return block.relu(x + shortcut)
