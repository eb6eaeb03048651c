"""How the clips of one training batch act on each other: mixup, cutmix, and whose statistics normalise them.

Below the training module; pure but for the network that is asked.
"""

import copy
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_STREAM = 31
"""A stream of chance of its own."""

Video = Float[Tensor, "batch 3 time height width"]
Targets = Float[Tensor, "batch class"]
Synthetic = Bool[Tensor, " batch"]


@dataclass(frozen=True)
class Mixing:
    """What clips of a training batch share. The default is nothing but the statistics of batch norms.

    A clip is mixed with one of its own kind, filmed or synthetic, so that it stays of that kind for loss weights,
    logs and norms; where a batch has one clip of a kind, that clip stays whole. One share and one box a batch, for
    the whole length of the clips, as torchvision's `MixUp` and `CutMix` draw them for a batch of pictures. With both,
    each batch gets either with equal chance.

    Attributes:
        mixup_alpha: Of the Beta distribution that the share of the other clip is drawn from; 0 is off.
        cutmix_alpha: The same for the share of the picture that is the other clip's; 0 is off.
        split_batch_norm: Whether synthetic clips have batch norms of their own, statistics and scales, which nothing
            uses after training. Each kind then goes through the network by itself. Several processes need
            `trainer.strategy=ddp_find_unused_parameters_true` with it.
        seed: Decides, with the step, what is drawn.

    Source:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; Yun et al., "CutMix", ICCV 2019; Xie et
        al., "Adversarial Examples Improve Image Recognition", CVPR 2020, section 3 (the auxiliary batch norm).
    """

    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    split_batch_norm: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mixup_alpha < 0 or self.cutmix_alpha < 0:
            raise ValueError(
                f"mixup_alpha={self.mixup_alpha} and cutmix_alpha={self.cutmix_alpha} were given; 0 (off) or more was "
                "wanted. Correct them."
            )

    def sample(self, step: int, *, size: tuple[int, int]) -> "Mix | None":
        """What is done to the batch of this step, or None where nothing is.

        Args:
            step: Counts training batches.
            size: Height and width of the video, pixels.
        """
        ways = [way for way, alpha in enumerate((self.mixup_alpha, self.cutmix_alpha)) if alpha > 0]
        if not ways:
            return None
        rng = np.random.default_rng([self.seed, _STREAM, step])
        if ways[int(rng.integers(len(ways)))] == 0:
            return Mix(float(rng.beta(self.mixup_alpha, self.mixup_alpha)), None)
        return cut(float(rng.beta(self.cutmix_alpha, self.cutmix_alpha)), rng.random(2), size)


@dataclass(frozen=True)
class Mix:
    """One batch's draw.

    Attributes:
        share: Of the other clip, in the label as in the picture.
        box: Top, bottom, left and right of the pixels that are the other clip's; None blends the whole picture.
    """

    share: float
    box: tuple[int, int, int, int] | None


def cut(share: float, centre: Float[np.ndarray, "2"], size: tuple[int, int]) -> Mix:
    """A box of the picture's proportions and `share` of its area about a centre, less what lies outside.

    Args:
        share: Of the picture's area.
        centre: Down and across, as shares of the picture.
        size: Height and width, pixels.
    """
    edges = []
    for place, extent in zip(centre, size, strict=True):
        half = round(extent * share**0.5) // 2
        middle = int(place * extent)
        edges += [max(middle - half, 0), min(middle + half, extent)]
    top, bottom, left, right = edges
    return Mix((bottom - top) * (right - left) / (size[0] * size[1]), (top, bottom, left, right))


def mixed(video: Video, targets: Targets, synthetic: Synthetic, *, mix: Mix) -> tuple[Video, Targets]:
    """Each clip with its neighbour of the same kind, the last with the first; nothing is changed in place."""
    partner = torch.arange(len(video), device=video.device)
    for kind in (synthetic, ~synthetic):
        partner[kind] = partner[kind].roll(1)
    other = video[partner]
    if mix.box is None:
        video = torch.lerp(video, other, mix.share)
    else:
        top, bottom, left, right = mix.box
        video = video.clone()
        video[..., top:bottom, left:right] = other[..., top:bottom, left:right]
    return video, torch.lerp(targets, targets[partner], mix.share)


class AuxiliaryNorms(nn.Module):
    """A second set of a network's batch norms, for clips of another kind.

    The network itself stays as it is, under its own names; whoever asks through `forward` gets its answer with these
    norms' statistics and scales in place of its own. They begin as copies.

    Args:
        network: Whose batch norms are doubled.

    Raises:
        ValueError: If it has none.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        found = {name: norm for name, norm in network.named_modules() if isinstance(norm, _BatchNorm)}
        if not found:
            raise ValueError(
                f"split_batch_norm was given with {type(network).__name__}, which has no batch norms; a network with "
                "some was wanted. Set training.mixing.split_batch_norm=false, or choose another recognizer."
            )
        self.names = list(found)
        self.norms = nn.ModuleList(copy.deepcopy(norm) for norm in found.values())

    def forward(self, network: nn.Module, video: Video) -> Targets:
        """The network's logits by these norms, whose statistics move in place of its own."""
        tensors = {
            f"{name}.{key}": tensor
            for name, norm in zip(self.names, self.norms, strict=True)
            for key, tensor in chain(norm.named_parameters(), norm.named_buffers())
        }
        return torch.func.functional_call(network, tensors, (video,))
