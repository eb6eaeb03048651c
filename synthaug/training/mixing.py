"""Mixup, cutmix and separate batch norms: how the clips of one training batch affect each other."""

import copy
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

MIXING_STREAM = 31
"""Random stream of mixup and cutmix."""

Video = Float[Tensor, "batch 3 time height width"]
Targets = Float[Tensor, "batch class"]
Synthetic = Bool[Tensor, " batch"]


@dataclass(frozen=True)
class Mixing:
    """Mixing of the clips of a training batch. By default clips share batch norm statistics and nothing else.

    A clip is mixed with one of its own kind, filmed or synthetic, so that loss weights, logs and norms still apply to
    it; the only clip of a kind in a batch is not changed. Each batch has one share and one box for all clips and all
    frames, as in torchvision's `MixUp` and `CutMix` for batches of pictures. If both are on, each batch gets one of
    them, with equal probability.

    Attributes:
        mixup_alpha: Parameter of the Beta distribution of the other clip's share; 0 turns mixup off.
        cutmix_alpha: Parameter of the Beta distribution of the share of the picture that comes from the other clip; 0
            turns cutmix off.
        split_batch_norm: Whether synthetic clips have batch norms of their own (statistics and scales), which are not
            used after training. Each kind then goes through the network separately. With several processes, also set
            `trainer.strategy=ddp_find_unused_parameters_true`.
        seed: Decides what is sampled, together with the step.

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
                "Expected mixup_alpha and cutmix_alpha of 0 (off) or more, got "
                f"{self.mixup_alpha} and {self.cutmix_alpha}. Raise the negative one."
            )

    def sample(self, step: int, *, size: tuple[int, int]) -> "Mix | None":
        """Sample how the batch of this step is mixed; None if it is not.

        Args:
            step: Number of the training batch.
            size: Height and width of the video, pixels.
        """
        ways = [way for way, alpha in enumerate((self.mixup_alpha, self.cutmix_alpha)) if alpha > 0]
        if not ways:
            return None
        rng = np.random.default_rng([self.seed, MIXING_STREAM, step])
        if ways[int(rng.integers(len(ways)))] == 0:
            return Mix(float(rng.beta(self.mixup_alpha, self.mixup_alpha)), None)
        return make_box(float(rng.beta(self.cutmix_alpha, self.cutmix_alpha)), rng.random(2), size)


@dataclass(frozen=True)
class Mix:
    """How one batch is mixed.

    Attributes:
        share: Share of the other clip, in the label and in the picture.
        box: Top, bottom, left and right of the pixels that come from the other clip; None blends the whole picture.
    """

    share: float
    box: tuple[int, int, int, int] | None


def make_box(share: float, centre: Float[np.ndarray, "2"], size: tuple[int, int]) -> Mix:
    """Make a cutmix box with the picture's aspect ratio, clipped to the picture; `Mix.share` is its share after that.

    Args:
        share: Share of the picture's area, before clipping.
        centre: Centre of the box, down and across, as shares of the picture.
        size: Height and width of the picture, pixels.
    """
    edges = []
    for place, extent in zip(centre, size, strict=True):
        half = round(extent * share**0.5) // 2
        middle = int(place * extent)
        edges += [max(middle - half, 0), min(middle + half, extent)]
    top, bottom, left, right = edges
    return Mix((bottom - top) * (right - left) / (size[0] * size[1]), (top, bottom, left, right))


def mix_clips(video: Video, targets: Targets, synthetic: Synthetic, *, mix: Mix) -> tuple[Video, Targets]:
    """Mix each clip with the next one of the same kind, the last with the first; nothing is changed in place."""
    partner = torch.arange(len(video), device=video.device)
    for kind in (synthetic, ~synthetic):
        partner[kind] = partner[kind].roll(1)
    # Clip by clip: gathering the partners first would copy the whole batch, which costs as much as mixing it.
    pairs = list(enumerate(partner.tolist()))
    if mix.box is None:
        mixed = torch.empty_like(video)
        for place, other in pairs:
            torch.lerp(video[place], video[other], mix.share, out=mixed[place])
    else:
        top, bottom, left, right = mix.box
        mixed = video.clone()
        for place, other in pairs:
            mixed[place, ..., top:bottom, left:right] = video[other, ..., top:bottom, left:right]
    return mixed, torch.lerp(targets, targets[partner], mix.share)


class AuxiliaryNorms(nn.Module):
    """A second set of a network's batch norms, for synthetic clips.

    The network and the names of its weights stay as they are. `forward` runs the network with the statistics and scales
    of these norms in place of its own. They start as copies.

    Args:
        network: The network whose batch norms are copied.

    Raises:
        ValueError: If it has no batch norms.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        found = {name: norm for name, norm in network.named_modules() if isinstance(norm, _BatchNorm)}
        if not found:
            raise ValueError(
                f"Expected a recognizer with batch norms for split_batch_norm=true, got {type(network).__name__} "
                "without any. Set training.mixing.split_batch_norm=false, or choose another recognizer."
            )
        self.names = list(found)
        self.norms = nn.ModuleList(copy.deepcopy(norm) for norm in found.values())

    def forward(self, network: nn.Module, video: Video) -> Targets:
        """The network's logits with these norms; in training mode their statistics are updated, not the network's."""
        tensors = {
            f"{name}.{key}": tensor
            for name, norm in zip(self.names, self.norms, strict=True)
            for key, tensor in chain(norm.named_parameters(), norm.named_buffers())
        }
        return torch.func.functional_call(network, tensors, (video,))
