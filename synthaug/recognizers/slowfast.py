"""SlowFast: one pathway that sees few frames with many channels, one that sees all frames with few.

A recognizer; written from the paper.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, relu

from synthaug.recognizers import Recognizer
from synthaug.recognizers.weights import load_weights

_SLOW_KERNELS = (1, 1, 3, 3)
"""Along time, by stage: the slow pathway convolves over time only where its field of view is large (section 3.1)."""
_FAST_KERNELS = (3, 3, 3, 3)
_DROPOUT = 0.5
"""Before the classifier (section 4)."""


class SlowFast(Recognizer):
    """The SlowFast network on bottleneck ResNets.

    All frames that it is given go to the fast pathway, every `alpha`-th to the slow one. The defaults are the paper's
    R50 8x8, for 32 frames (64 frames' time, every second); its R50 4x16 has `alpha=8` and `lateral_kernel=5`.

    Args:
        num_classes: Actions.
        alpha: Fast frames for each slow one.
        beta: Fast channels for each slow one.
        width: Slow channels after the first layer; 64 in the paper.
        blocks: Bottlenecks of the four stages; 3, 4, 6, 3 make R50.
        lateral_kernel: Frames that a lateral connection sees, odd. 5 in the paper; the published 8x8 weights have 7.
        weights: None is from scratch; else the path of a state dict: ours, PySlowFast's or pytorchvideo's, whose
            names are translated. (Theirs are Apache-2.0 and CC BY-NC 4.0; the footage is YouTube's.) They saw slow
            frames spread from the first to the last, where the paper and we take every `alpha`-th.

    Raises:
        ValueError: If the sizes make no network.

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
                f"alpha={alpha}, beta={beta}, width={width}, blocks={list(blocks)} and lateral_kernel={lateral_kernel} "
                "were given; alpha from 1, a whole number of fast channels (beta times width), four stages and an odd "
                "kernel were wanted. Correct them."
            )
        self.alpha = alpha
        self.slow = Pathway(width, blocks, stem_kernel=1, kernels=_SLOW_KERNELS, lateral=2 * thin)
        self.fast = Pathway(thin, blocks, stem_kernel=5, kernels=_FAST_KERNELS, lateral=0)
        self.laterals = nn.ModuleList(
            Lateral(channels, alpha=alpha, kernel=lateral_kernel) for channels in (thin, *self.fast.widths[:-1])
        )
        self.dropout = nn.Dropout(_DROPOUT)
        self.fc = nn.Linear(self.slow.widths[-1] + self.fast.widths[-1], num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)
        if weights is not None:
            load_weights(self, weights, renamed=ours)

    @property
    def num_classes(self) -> int:
        """Width of the logits."""
        return self.fc.out_features

    @property
    def num_features(self) -> int:
        """2304 for R50: 2048 slow and 256 fast."""
        return self.fc.in_features

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
        """Both pathways' means over time and space, the slow one's first."""
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
        width: Channels after the first layer.
        blocks: Bottlenecks of each stage.
        stem_kernel: Frames that the first layer sees.
        kernels: Frames that each stage's bottlenecks see.
        lateral: Channels that join before the first stage; before each later one twice as many as before the last.
    """

    def __init__(
        self, width: int, blocks: Sequence[int], *, stem_kernel: int, kernels: Sequence[int], lateral: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, (stem_kernel, 7, 7), (1, 2, 2), (stem_kernel // 2, 3, 3), bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm3d(width)
        self.widths = [width * 4 * 2**stage for stage in range(4)]
        # The fast pathway's stem has a quarter of its first stage's channels, and so has what joins from it.
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
        """First layer and pooling: a quarter of the resolution."""
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
        # A branch starts as nothing (Goyal et al., arXiv 1706.02677, section 5.1), as the authors train it.
        nn.init.zeros_(self.norm3.weight)

    def forward(
        self, x: Float[Tensor, "batch channel time height width"]
    ) -> Float[Tensor, "batch out time out_height out_width"]:
        """The block's output."""
        branch = relu(self.norm2(self.conv2(relu(self.norm1(self.conv1(x))))))
        return relu(self.norm3(self.conv3(branch)) + self.shortcut(x))


class Lateral(nn.Module):
    """What the slow pathway is told by the fast one: a convolution over time, at the slow pathway's frames."""

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


_PATHS = ("slow", "fast")
_PARTS = {"a": "conv1", "b": "conv2", "c": "conv3", "a_bn": "norm1", "b_bn": "norm2", "c_bn": "norm3"}


def ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of PySlowFast's or pytorchvideo's SlowFast under our names; any other as it is."""
    return {_our_name(name): value for name, value in state.items()}


def _our_name(name: str) -> str:
    if name.startswith("blocks."):
        name = _pyslowfast_name(name)
    if match := re.fullmatch(r"s1\.pathway(\d)_stem\.(conv|bn)\.(\w+)", name):
        return f"{_PATHS[int(match[1])]}.{'conv' if match[2] == 'conv' else 'norm'}.{match[3]}"
    if match := re.fullmatch(r"s(\d)_fuse\.(conv_f2s|bn)\.(\w+)", name):
        return f"laterals.{int(match[1]) - 1}.{'conv' if match[2] == 'conv_f2s' else 'norm'}.{match[3]}"
    if match := re.fullmatch(r"s(\d)\.pathway(\d)_res(\d+)\.(.+)\.(\w+)", name):
        stage, path, block, part, leaf = match.groups()
        parts = {"branch1": "shortcut.0", "branch1_bn": "shortcut.1"}
        inner = parts.get(part) or _PARTS.get(part.removeprefix("branch2."), part)
        return f"{_PATHS[int(path)]}.stages.{int(stage) - 2}.{block}.{inner}.{leaf}"
    return re.sub(r"^head\.projection\.", "fc.", name)


def _pyslowfast_name(name: str) -> str:
    """A name of pytorchvideo's, as PySlowFast has it."""
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
