"""A small ResNet on movement, with a temporal shift, that two CPU cores can train: the demo's default."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.functional import adaptive_avg_pool3d, affine_grid, conv2d, grid_sample, pad, relu

from synthaug.recognizers import DenseRecognizer
from synthaug.recognizers.shift import temporal_shift
from synthaug.recognizers.weights import load_weights

SYNTHETIC_WEIGHTS = Path(__file__).resolve().parents[1] / "assets" / "small.safetensors"
"""What `weights="synthetic"` loads; its model card lies beside it."""
CROP_SPREAD = 2.6
"""Half the side of `crop_to_movement`'s square, in standard deviations of where something moves."""
MIN_HALF_CROP = 0.22
"""Smallest half side of that square, as share of the picture's shorter side."""
NOISE_FACTOR = 2.5
"""Deviations up to this many times the median pixel's count as noise of sensor and codec."""
COARSE_SIDE = 48
"""About how many pixels of the shorter side `crop_to_movement` looks at."""
GREY_LEVEL = 1 / 255 / 0.22
"""One step of uint8 in normalised video, whose standard deviation is 0.22 of full scale. Less is no movement."""


class SmallResNet(DenseRecognizer):
    """A ResNet with one block per stage that sees only what moves.

    Trained on few clips, a network memorises their rooms and clothes. The input of this one is each frame's difference
    from the clip's mean picture, and its change since the frame before, so that a still background is zero. Both are in
    units of the clip's own contrast, so that the strength of the light gives no hint. It keeps where and when something
    moves, on a coarse grid: a wave is higher in the picture than a kick, sitting down ends low, and a few hundred steps
    do not suffice to learn what a person is. It cannot learn from places and things that never move, and it is not
    invariant to where people are. If you need that, or pretrained weights, use ResNet2D.

    Args:
        num_classes: Number of actions.
        widths: Number of channels of each stage, at half the resolution of the stage before. Multiples of 16 run well
            on CPUs.
        grid: Number of cells in time, height and width over which features are averaged. At 112 px the last stage is 4
            by 4; 1, 1, 1 is the usual average over everything.
        shift_share: Share of the channels that is shifted each way.
        focus: Side in pixels of a square around what moves, to which all frames of a clip are cropped; None uses the
            whole picture. With it, people fill the grid wherever they stand and however far they are.
        still: Use whole frames in place of their difference from the clip's mean picture: then the network sees places
            and things that do not move, and can be misled by them.
        weights: None trains from scratch; "synthetic" starts from what pretraining on synthetic clips alone gave, for
            networks that crop to what moves, with the default widths; otherwise the path of a state dict.

    Source:
        He et al., "Deep Residual Learning", CVPR 2016 (the block); Lin, Gan and Han, "TSM", ICCV 2019 (the shift);
        Goyal et al., arXiv 1706.02677, section 5.1 (branches start at zero).
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
        # Stride 4 in the first layer: at 112 px a layer at full resolution would cost more than all others together.
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
            usual = tuple(widths) == (16, 32, 64, 128) and shift_share == 1 / 8
            shipped = usual and focus is not None and not still
            load_weights(self, weights, synthetic=SYNTHETIC_WEIGHTS if shipped else None)

    @property
    def num_classes(self) -> int:
        """Width of the logits."""
        return self.fc.out_features

    @property
    def num_features(self) -> int:
        """Width of the last stage times the number of grid cells: 4096 by default."""
        return self.fc.in_features

    def maps(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch channel time row column"]:
        """The last stage's output, at a 32nd of the resolution."""
        time = video.shape[2]
        convolution, norm, activation = self.stem
        assert isinstance(convolution, nn.Conv2d)
        if self.focus is not None:
            video = crop_to_movement(video, self.focus)
        first = still_convolution if self.still else moving_convolution
        x = activation(norm(first(video, convolution)))
        for stage in self.stages:
            x = stage(x, time)
        return x.unflatten(0, (-1, time)).transpose(1, 2)

    def pool(self, maps: Float[Tensor, "batch channel time row column"]) -> Float[Tensor, "batch feature"]:
        """The mean in each cell of a coarse grid over time and picture."""
        return adaptive_avg_pool3d(maps, self.grid).flatten(1)

    def window(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch 4"]:
        """The square around what moves, if the network crops to it."""
        if self.focus is None:
            return super().window(video)
        middle, half = find_movement(video)
        return torch.cat([middle - half, 2 * half], dim=1)

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
        self.shifted_channels = int(channels * shift_share)

    def forward(
        self, frames: Float[Tensor, "batch_time channel height width"], time: int
    ) -> Float[Tensor, "batch_time out out_height out_width"]:
        """The block's output for the frames of all clips one after the other, `time` frames for each clip."""
        branch = temporal_shift(frames, time=time, channels=self.shifted_channels)
        branch = self.norm2(self.conv2(relu(self.norm1(self.conv1(branch)))))
        return relu(branch + self.shortcut(frames))


def movement(video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch 6 time height width"]:
    """Movement in each clip: each frame's difference from the clip's mean picture, and its change since the last frame.

    In units of the clip's own standard deviation about the mean picture. The change of the first frame is 0.
    """
    deviation = video - video.mean(2, keepdim=True)
    change = pad(video.diff(dim=2), (0, 0, 0, 0, 1, 0))
    spread = deviation.square().mean((1, 2, 3, 4), keepdim=True).sqrt().clamp(min=GREY_LEVEL)
    return torch.cat([deviation, change], dim=1) / spread


@torch.no_grad()
def crop_to_movement(
    video: Float[Tensor, "batch 3 time height width"], side: int
) -> Float[Tensor, "batch 3 time side side"]:
    """Crop each clip to a square around what moves, the same for all of its frames.

    Pixels are weighted by their deviation from the clip's mean picture, as far as it exceeds the noise of sensor and
    codec, estimated from the median pixel. The centre of the square is the weighted mean of the pixels' positions. Half
    its side is `CROP_SPREAD` times their larger weighted standard deviation, but at least `MIN_HALF_CROP` and at most
    the whole picture. It lies within the picture. A clip in which nothing moves is not cropped.
    """
    middle, half = find_movement(video)
    transform = torch.diag_embed(2 * half)
    theta = torch.cat([transform, (2 * middle - 1)[:, :, None]], dim=2).to(video)
    grid = affine_grid(theta, [len(video), 1, side, side], align_corners=False)
    frames = video.flatten(1, 2)
    return grid_sample(frames, grid, align_corners=False, padding_mode="border").unflatten(1, (3, -1))


@torch.no_grad()
def find_movement(
    video: Float[Tensor, "batch 3 time height width"],
) -> tuple[Float[Tensor, "batch 2"], Float[Tensor, "batch 2"]]:
    """Middle and half the side of `crop_to_movement`'s square, across and down, as shares of the picture."""
    height, width = video.shape[-2:]
    # In a large picture every few pixels suffice to see where something moves.
    step = max(1, min(height, width) // COARSE_SIDE)
    coarse = video[..., ::step, ::step].float().contiguous()
    deviation = (coarse - coarse.mean(2, keepdim=True)).square_().mean((1, 2)).sqrt()
    usual = deviation.flatten(1).median(1).values[:, None, None]
    weight = (deviation - NOISE_FACTOR * usual).clamp(min=0) + 1e-6
    middles, spreads = zip(*(_mean_and_spread(weight.sum(axis)) for axis in (1, 2)), strict=True)
    # Shares of the sides, scaled by the shorter side so that the crop is a square.
    scale = torch.tensor([width, height], device=video.device) / min(height, width)
    half = (CROP_SPREAD * (torch.stack(spreads, 1) * scale).amax(1)).clamp(MIN_HALF_CROP, 0.5)[:, None] / scale
    return torch.stack(middles, 1).clamp(half, 1 - half), half


def _mean_and_spread(
    weight: Float[Tensor, "batch pixel"],
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Weighted mean and standard deviation of pixel positions along a side, as shares of it."""
    share = weight / weight.sum(1, keepdim=True)
    place = (torch.arange(weight.shape[1], device=weight.device) + 0.5) / weight.shape[1]
    mean = (share * place).sum(1)
    return mean, (share * (place - mean[:, None]).square()).sum(1).sqrt()


def still_convolution(
    video: Float[Tensor, "batch 3 time height width"], convolution: nn.Conv2d
) -> Float[Tensor, "batch_time channel out_height out_width"]:
    """Convolve each frame together with its change since the last frame; frames of all clips one after the other."""
    change = pad(video.diff(dim=2), (0, 0, 0, 0, 1, 0))
    return convolution(torch.cat([video, change], dim=1).transpose(1, 2).flatten(0, 1))


def moving_convolution(
    video: Float[Tensor, "batch 3 time height width"], convolution: nn.Conv2d
) -> Float[Tensor, "batch_time channel out_height out_width"]:
    """Convolve `movement(video)`, with a convolution without bias; frames of all clips one after the other.

    A convolution is linear, and so are differences and means over time: the frames themselves are convolved, and
    differences are taken of the output, which is much smaller. Always in float32, since movement is a small difference
    of large numbers.
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
    # The mean square about the mean picture, without computing the difference.
    variance = vector_norm(video.flatten(1), dim=1).square() / video.shape[2] - vector_norm(picture, dim=1).square()
    variance = variance / picture.shape[1]
    spread = variance.clamp(min=GREY_LEVEL**2).sqrt()
    return (moved / spread[:, None, None, None, None]).flatten(0, 1)
