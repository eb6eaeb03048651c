"""A small ResNet of single frames with a temporal shift, that two CPU cores can train.

A recognizer; the demo's default.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.functional import adaptive_avg_pool3d, affine_grid, conv2d, grid_sample, pad, relu

from synthaug.recognizers import Recognizer
from synthaug.recognizers.shift import temporal_shift
from synthaug.recognizers.weights import load_weights

REACH, NEAREST, STILLNESS = 2.6, 0.22, 2.5
"""Of `focused`: half the square in deviations of what moves, its least, and how often the usual deviation is noise."""
_COARSE = 48
"""Of `focused`: pixels that the shorter side is looked at with, about."""
GREY_LEVEL = 1 / 255 / 0.22
"""One step of uint8 in normalised video, whose standard deviation is 0.22 of full scale: less is no movement."""


class SmallResNet(Recognizer):
    """A ResNet of one block a stage that sees only what moves.

    A network that is shown few clips learns their rooms and clothes by heart. This one is shown what differs from the
    clip's own mean picture, and what changes from frame to frame, so that a still background is nothing at all;
    and in units of the clip's own contrast, so that strong light is no evidence. It keeps where and when
    something moves, on a coarse grid, since a wave is above a kick, sitting down ends below, and a few hundred steps do
    not suffice to learn what a person is. What it cannot do is to learn from a place or a thing that never moves, or
    from people anywhere in the picture: for that, and with pretrained weights, take ResNet2D.

    Args:
        num_classes: Actions.
        widths: Channels of the stages, each at half the resolution of the one before. Multiples of 16 run well on CPUs.
        grid: Fields that time, height and width are divided into before classification. At 112 px the last stage is
            4 by 4; a grid of 1, 1, 1 is the usual average over everything.
        shift_share: Share of the channels that is shifted each way.
        focus: Side in pixels of the square around what moves that it looks at, the same for all frames of a clip; None
            looks at the whole picture. People then fill the grid wherever they stand and however far they are.
        still: Show it whole frames in place of their deviation from the clip's mean picture: then it sees places and
            things that do not move, and can be misled by them.
        weights: None is from scratch; else the path of a state dict. There are no published weights.

    Source:
        He et al., "Deep Residual Learning", CVPR 2016 (the block); Lin, Gan and Han, "TSM", ICCV 2019 (the shift);
        Goyal et al., arXiv 1706.02677, section 5.1 (a branch starts as nothing).
    """

    def __init__(
        self,
        num_classes: int,
        *,
        widths: Sequence[int] = (16, 32, 64, 128),
        grid: Sequence[int] = (2, 4, 4),
        shift_share: float = 1 / 8,
        focus: int | None = None,
        still: bool = False,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.focus = focus
        self.still = still
        # Stride 4 at once: at 112 px the first full-resolution layer would cost more than all the rest.
        self.stem = nn.Sequential(
            nn.Conv2d(6, widths[0], 7, stride=4, padding=3, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        before = (widths[0], *widths[:-1])
        strides = (1, *[2] * (len(widths) - 1))
        self.stages = nn.ModuleList(
            ShiftBlock(*sizes, shift_share=shift_share) for sizes in zip(before, widths, strides, strict=True)
        )
        spans, rows, columns = grid
        self.grid = (spans, rows, columns)
        self.fc = nn.Linear(widths[-1] * math.prod(grid), num_classes)
        if weights is not None:
            load_weights(self, weights)

    @property
    def num_classes(self) -> int:
        """Width of the logits."""
        return self.fc.out_features

    @property
    def num_features(self) -> int:
        """Width of the last stage times the fields of the grid: 4096 by default."""
        return self.fc.in_features

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
        """The mean in each field of a coarse grid over time and picture."""
        time = video.shape[2]
        convolution, norm, activation = self.stem
        assert isinstance(convolution, nn.Conv2d)
        if self.focus is not None:
            video = focused(video, self.focus)
        first = still_convolution if self.still else moving_convolution
        x = activation(norm(first(video, convolution)))
        for stage in self.stages:
            x = stage(x, time)
        return adaptive_avg_pool3d(x.unflatten(0, (-1, time)).transpose(1, 2), self.grid).flatten(1)

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits."""
        return self.fc(self.features(video))


class ShiftBlock(nn.Module):
    """A residual block whose branch sees a few channels of the frames before and after."""

    def __init__(self, channels: int, width: int, stride: int, *, shift_share: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm2.weight)
        self.shortcut: nn.Module = nn.Identity()
        if channels != width or stride != 1:
            shrink = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)
            self.shortcut = nn.Sequential(shrink, nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
        self.shifted = int(channels * shift_share)

    def forward(
        self, frames: Float[Tensor, "batch_time channel height width"], time: int
    ) -> Float[Tensor, "batch_time out out_height out_width"]:
        """The block's output for clips laid end to end, each `time` frames long."""
        branch = temporal_shift(frames, time=time, channels=self.shifted)
        branch = self.norm2(self.conv2(relu(self.norm1(self.conv1(branch)))))
        return relu(branch + self.shortcut(frames))


def movement(video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch 6 time height width"]:
    """What moves in each clip: deviation from its mean picture, and change since the frame before.

    In units of the clip's own standard deviation about that picture. The first frame has not changed.
    """
    deviation = video - video.mean(2, keepdim=True)
    change = pad(video.diff(dim=2), (0, 0, 0, 0, 1, 0))
    spread = deviation.square().mean((1, 2, 3, 4), keepdim=True).sqrt().clamp(min=GREY_LEVEL)
    return torch.cat([deviation, change], dim=1) / spread


@torch.no_grad()
def focused(video: Float[Tensor, "batch 3 time height width"], side: int) -> Float[Tensor, "batch 3 time side side"]:
    """A square around what moves in each clip, the same for all of its frames.

    Weighs pixels by their deviation from the clip's mean picture, as far as it is beyond what sensors and codecs make
    of stillness, which is what most pixels show. The square's middle is the weighted mean and its half side `REACH`
    times the larger weighted deviation, within `NEAREST` and the whole picture; it does not leave the picture. A clip
    in which nothing moves is seen whole.
    """
    height, width = video.shape[-2:]
    # Where something moves is seen as well on every other pixel of a large picture.
    step = max(1, min(height, width) // _COARSE)
    coarse = video[..., ::step, ::step].float().contiguous()
    deviation = (coarse - coarse.mean(2, keepdim=True)).square_().mean((1, 2)).sqrt()
    usual = deviation.flatten(1).median(1).values[:, None, None]
    weight = (deviation - STILLNESS * usual).clamp(min=0) + 1e-6
    middles, spreads = zip(*(_placed(weight.sum(axis)) for axis in (1, 2)), strict=True)
    # Shares of the sides; by the shorter one, so that the square is one.
    scale = torch.tensor([width, height], device=video.device) / min(height, width)
    half = (REACH * (torch.stack(spreads, 1) * scale).amax(1)).clamp(NEAREST, 0.5)[:, None] / scale
    middle = torch.stack(middles, 1).clamp(half, 1 - half)
    transform = torch.diag_embed(2 * half)
    theta = torch.cat([transform, (2 * middle - 1)[:, :, None]], dim=2).to(video)
    grid = affine_grid(theta, [len(video), 1, side, side], align_corners=False)
    frames = video.flatten(1, 2)
    return grid_sample(frames, grid, align_corners=False, padding_mode="border").unflatten(1, (3, -1))


def _placed(weight: Float[Tensor, "batch pixel"]) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Weighted mean and standard deviation of places along a side, as shares of it."""
    share = weight / weight.sum(1, keepdim=True)
    place = (torch.arange(weight.shape[1], device=weight.device) + 0.5) / weight.shape[1]
    mean = (share * place).sum(1)
    return mean, (share * (place - mean[:, None]).square()).sum(1).sqrt()


def still_convolution(
    video: Float[Tensor, "batch 3 time height width"], convolution: nn.Conv2d
) -> Float[Tensor, "batch_time channel out_height out_width"]:
    """The convolution of each frame beside its change since the frame before, frames laid end to end."""
    change = pad(video.diff(dim=2), (0, 0, 0, 0, 1, 0))
    return convolution(torch.cat([video, change], dim=1).transpose(1, 2).flatten(0, 1))


def moving_convolution(
    video: Float[Tensor, "batch 3 time height width"], convolution: nn.Conv2d
) -> Float[Tensor, "batch_time channel out_height out_width"]:
    """What the convolution, which has no bias, makes of `movement(video)`, frames laid end to end.

    A convolution is linear, and so are differences and means over time: the frames themselves are convolved, and the
    rest is done on what comes out, which is much smaller. In float32 whatever the precision, since what moves is a
    small difference of large numbers.
    """
    with torch.autocast(video.device.type, enabled=False):
        return _moving_convolution(video.float(), convolution)


def _moving_convolution(video: Tensor, convolution: nn.Conv2d) -> Tensor:
    shape = (-1, video.shape[2])
    kernels = torch.cat([convolution.weight[:, :3], convolution.weight[:, 3:]]).float()
    frames = video.transpose(1, 2).flatten(0, 1)
    convolved = conv2d(frames, kernels, stride=convolution.stride, padding=convolution.padding).unflatten(0, shape)
    deviation, change = convolved.split(len(kernels) // 2, dim=2)
    moved = deviation - deviation.mean(1, keepdim=True) + pad(change.diff(dim=1), (0, 0, 0, 0, 0, 0, 1, 0))
    picture = video.mean(2).flatten(1)
    # The mean square about the mean picture, without forming the difference.
    variance = vector_norm(video.flatten(1), dim=1).square() / video.shape[2] - vector_norm(picture, dim=1).square()
    variance = variance / picture.shape[1]
    spread = variance.clamp(min=GREY_LEVEL**2).sqrt()
    return (moved / spread[:, None, None, None, None]).flatten(0, 1)
