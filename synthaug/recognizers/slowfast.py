"""SlowFast, written from the paper: one pathway for few frames with many channels, one for all frames with few."""

import re
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, relu

from synthaug.recognizers import Recognizer
from synthaug.recognizers.weights import load_weights

SLOW_KERNELS = (1, 1, 3, 3)
"""Kernel sizes along time, by stage: the slow pathway convolves over time in its last two stages (section 3.1)."""
FAST_KERNELS = (3, 3, 3, 3)
DROPOUT = 0.5
"""Dropout rate before the classifier (section 4)."""


class SlowFast(Recognizer):
    """The SlowFast network on bottleneck ResNets.

    All frames of a clip go to the fast pathway, every `alpha`-th frame to the slow one. The defaults are the paper's
    R50 8x8, for 32 frames (every second of 64); the paper's R50 4x16 has `alpha=8` and `lateral_kernel=5`.

    Args:
        num_classes: Number of actions.
        alpha: Number of fast frames for each slow frame.
        beta: Number of fast channels for each slow channel.
        width: Number of slow channels after the first layer; 64 in the paper.
        blocks: Number of bottlenecks in each of the four stages; 3, 4, 6, 3 is R50.
        lateral_kernel: Kernel size along time of the lateral connections, odd. 5 in the paper; the published 8x8
            weights have 7.
        weights: None trains from scratch. Otherwise the path of a state dict: ours, PySlowFast's or pytorchvideo's,
            whose names are translated. (PySlowFast's are Apache-2.0, pytorchvideo's CC BY-NC 4.0; the footage is from
            YouTube.) They were trained with slow frames spread from the first to the last frame; the paper and this
            class take every `alpha`-th.

    Raises:
        ValueError: If the sizes do not fit together.

    Source:
        Feichtenhofer, Fan, Malik and He, "SlowFast Networks for Video Recognition", ICCV 2019, table 1 and section
        3.4 (lateral connections: T-conv of stride alpha and twice the fast channels, concatenated).
    """

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: int = 4,
        beta: float = 1 / 8,
        width: int = 64,
        blocks: Sequence[int] = (3, 4, 6, 3),
        lateral_kernel: int = 7,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        thin = round(width * beta)
        if alpha < 1 or thin < 1 or thin != width * beta or len(blocks) != 4 or lateral_kernel % 2 == 0:
            raise ValueError(
                "Expected recognizer.alpha of 1 or more, beta * width a whole number of fast channels, four blocks and "
                f"an odd lateral_kernel, got alpha={alpha}, beta={beta}, width={width}, blocks={list(blocks)}, "
                f"lateral_kernel={lateral_kernel}. Correct the one that does not fit."
            )
        self.alpha = alpha
        self.slow = Pathway(width, blocks, stem_kernel=1, kernels=SLOW_KERNELS, lateral=2 * thin)
        self.fast = Pathway(thin, blocks, stem_kernel=5, kernels=FAST_KERNELS, lateral=0)
        self.laterals = nn.ModuleList(
            Lateral(channels, alpha=alpha, kernel=lateral_kernel) for channels in (thin, *self.fast.widths[:-1])
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.fc = nn.Linear(self.slow.widths[-1] + self.fast.widths[-1], num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)
        if weights is not None:
            load_weights(self, weights, translate=translate_names)

    @property
    def num_classes(self) -> int:
        """Width of the logits."""
        return self.fc.out_features

    @property
    def num_features(self) -> int:
        """2304 for R50: 2048 slow and 256 fast."""
        return self.fc.in_features

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
        """Means of both pathways over time and space, the slow pathway's first."""
        slow, fast = self.slow.begin(video[:, :, :: self.alpha]), self.fast.begin(video)
        for lateral, slow_stage, fast_stage in zip(self.laterals, self.slow.stages, self.fast.stages, strict=True):
            slow, fast = slow_stage(torch.cat([slow, lateral(fast)], dim=1)), fast_stage(fast)
        return torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], dim=1)

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits."""
        return self.fc(self.dropout(self.features(video)))


class Pathway(nn.Module):
    """A ResNet of four stages that never strides over time.

    Args:
        width: Number of channels after the first layer.
        blocks: Number of bottlenecks in each stage.
        stem_kernel: Kernel size along time of the first layer.
        kernels: Kernel size along time of each stage's bottlenecks.
        lateral: Number of channels that the other pathway adds before the first stage, and in proportion later.
    """

    def __init__(
        self, width: int, blocks: Sequence[int], *, stem_kernel: int, kernels: Sequence[int], lateral: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, (stem_kernel, 7, 7), (1, 2, 2), (stem_kernel // 2, 3, 3), bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm3d(width)
        self.widths = [width * 4 * 2**stage for stage in range(4)]
        # The fast pathway's stem has a quarter of its first stage's channels, and so have the lateral connections.
        joining = [lateral, *(lateral * 4 * 2**stage for stage in range(3))]
        before = [size + joined for size, joined in zip((width, *self.widths[:-1]), joining, strict=True)]
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    Bottleneck(before[stage] if block == 0 else out, out, kernel=kernels[stage], stride=stride)
                    for block, stride in enumerate((1 if stage == 0 else 2, *[1] * (blocks[stage] - 1)))
                )
            )
            for stage, out in enumerate(self.widths)
        )

    def begin(
        self, video: Float[Tensor, "batch 3 time height width"]
    ) -> Float[Tensor, "batch channel time out_height out_width"]:
        """Run the first layer and pooling, to a quarter of the resolution."""
        return max_pool3d(relu(self.norm(self.conv(video))), (1, 3, 3), (1, 2, 2), (0, 1, 1))


class Bottleneck(nn.Module):
    """A residual block of three convolutions, the first along time, the second in space."""

    def __init__(self, channels: int, out: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        inner = out // 4
        self.conv1 = nn.Conv3d(channels, inner, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False)
        self.norm1 = nn.BatchNorm3d(inner)
        self.conv2 = nn.Conv3d(inner, inner, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
        self.norm2 = nn.BatchNorm3d(inner)
        self.conv3 = nn.Conv3d(inner, out, 1, bias=False)
        self.norm3 = nn.BatchNorm3d(out)
        self.shortcut: nn.Module = nn.Identity()
        if channels != out or stride != 1:
            conv = nn.Conv3d(channels, out, 1, (1, stride, stride), bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm3d(out))
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # Branches start at zero (Goyal et al., arXiv 1706.02677, section 5.1), as in the authors' training.
        nn.init.zeros_(self.norm3.weight)

    def forward(
        self, x: Float[Tensor, "batch channel time height width"]
    ) -> Float[Tensor, "batch out time out_height out_width"]:
        """The block's output."""
        branch = relu(self.norm2(self.conv2(relu(self.norm1(self.conv1(x))))))
        return relu(self.norm3(self.conv3(branch)) + self.shortcut(x))


class Lateral(nn.Module):
    """A connection from the fast to the slow pathway: a convolution over time, at the slow pathway's frames."""

    def __init__(self, channels: int, *, alpha: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, 2 * channels, (kernel, 1, 1), (alpha, 1, 1), (kernel // 2, 0, 0), bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm3d(2 * channels)

    def forward(
        self, fast: Float[Tensor, "batch channel time height width"]
    ) -> Float[Tensor, "batch out slow_time height width"]:
        """Twice the channels at every alpha-th frame."""
        return relu(self.norm(self.conv(fast)))


PATHWAYS = ("slow", "fast")
BOTTLENECK_NAMES = {"a": "conv1", "b": "conv2", "c": "conv3", "a_bn": "norm1", "b_bn": "norm2", "c_bn": "norm3"}


def translate_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate names of PySlowFast's or pytorchvideo's SlowFast into ours; other names stay."""
    return {_translate_name(name): value for name, value in state.items()}


def _translate_name(name: str) -> str:
    if name.startswith("blocks."):
        name = _pyslowfast_name(name)
    if match := re.fullmatch(r"s1\.pathway(\d)_stem\.(conv|bn)\.(\w+)", name):
        return f"{PATHWAYS[int(match[1])]}.{'conv' if match[2] == 'conv' else 'norm'}.{match[3]}"
    if match := re.fullmatch(r"s(\d)_fuse\.(conv_f2s|bn)\.(\w+)", name):
        return f"laterals.{int(match[1]) - 1}.{'conv' if match[2] == 'conv_f2s' else 'norm'}.{match[3]}"
    if match := re.fullmatch(r"s(\d)\.pathway(\d)_res(\d+)\.(.+)\.(\w+)", name):
        stage, path, block, part, leaf = match.groups()
        parts = {"branch1": "shortcut.0", "branch1_bn": "shortcut.1"}
        inner = parts.get(part) or BOTTLENECK_NAMES.get(part.removeprefix("branch2."), part)
        return f"{PATHWAYS[int(path)]}.stages.{int(stage) - 2}.{block}.{inner}.{leaf}"
    return re.sub(r"^head\.projection\.", "fc.", name)


def _pyslowfast_name(name: str) -> str:
    """Translate a name of pytorchvideo's into PySlowFast's."""
    if match := re.fullmatch(r"blocks\.0\.multipathway_blocks\.(\d)\.(conv|norm)\.(\w+)", name):
        return f"s1.pathway{match[1]}_stem.{'conv' if match[2] == 'conv' else 'bn'}.{match[3]}"
    if match := re.fullmatch(r"blocks\.(\d)\.multipathway_fusion\.(conv_fast_to_slow|norm)\.(\w+)", name):
        return f"s{int(match[1]) + 1}_fuse.{'bn' if match[2] == 'norm' else 'conv_f2s'}.{match[3]}"
    if match := re.fullmatch(r"blocks\.(\d)\.multipathway_blocks\.(\d)\.res_blocks\.(\d+)\.(.+)\.(\w+)", name):
        stage, path, block, part, leaf = match.groups()
        part = part.replace("branch1_conv", "branch1").replace("branch1_norm", "branch1_bn")
        part = re.sub(r"branch2\.(conv|norm)_(\w)", lambda m: f"branch2.{m[2]}{'_bn' * (m[1] == 'norm')}", part)
        return f"s{int(stage) + 1}.pathway{path}_res{block}.{part}.{leaf}"
    return re.sub(r"^blocks\.6\.proj\.", "head.projection.", name)
