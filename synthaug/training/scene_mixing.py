"""StillMix and FAME: augmentation that takes the place out of the label by showing other places behind the action.

They need no synthesis and no masks: controls that a method against misleading places must beat.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

SCENES_STREAM = 32
"""Random stream of both."""
STILL_ALPHA = 200.0
"""Of the Beta distribution of the still frame's share, which is close to one half."""
MOVING_SHARE, STILL_SHARE = 0.5, 0.1
"""Shares of the picture that move most and least, whose colours tell foreground from background."""
KEPT_SHARE = 0.5
"""Share of the picture that counts as foreground."""
COLOR_BINS = 8
"""Of each channel, in the histograms of both."""

Video = Float[Tensor, "batch 3 time height width"]


@dataclass(frozen=True)
class SceneMixes:
    """What happens to the clips of one batch.

    Attributes:
        partner: The clip whose place is shown.
        still: Share of its still frame; 0 for clips that are not mixed.
        frame: Which frame of the partner stands still, as a share of its length.
        merged: Clips that keep what moves, and take the rest from their partner.
    """

    partner: Int[np.ndarray, " batch"]
    still: Float[np.ndarray, " batch"]
    frame: Float[np.ndarray, " batch"]
    merged: Bool[np.ndarray, " batch"]


@dataclass(frozen=True)
class SceneMixing:
    """How often filmed clips get another place; labels stay. Synthetic clips are left alone: they have other places.

    Attributes:
        still: Probability that a clip is blended with one still frame of another clip (StillMix; its authors use 0.25
            to 0.5, and choose frames that a network of single frames is sure of; here any frame may come).
        merge: Probability that all but the moving half of the picture comes from another clip (FAME).
        seed: Decides what is sampled, together with the step.

    Source:
        Li et al., "Mitigating and Evaluating Static Bias of Action Representations in the Background and the
        Foreground", ICCV 2023 (StillMix); Ding et al., "Motion-aware Contrastive Video Representation Learning via
        Foreground-background Merging", CVPR 2022 (FAME).
    """

    still: float = 0.0
    merge: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.still <= 1 and 0 <= self.merge <= 1 and self.still + self.merge <= 1):
            raise ValueError(
                "Expected training.scenes.still and training.scenes.merge to be probabilities with a sum of at most 1, "
                f"got {self.still} and {self.merge}. Lower them; 0.25 each is usual."
            )

    def sample(self, step: int, filmed: Bool[np.ndarray, " batch"]) -> SceneMixes | None:
        """Sample what happens to the batch of this step; None if nothing does.

        Args:
            step: Number of the training batch.
            filmed: Which clips are filmed. Fewer than two have no partner.
        """
        places = np.flatnonzero(filmed)
        if self.still + self.merge == 0 or len(places) < 2:
            return None
        rng = np.random.default_rng([self.seed, SCENES_STREAM, step])
        chance, frame = rng.random(len(filmed)), rng.random(len(filmed))
        share = 1 - rng.beta(STILL_ALPHA, STILL_ALPHA, len(filmed))
        partner = np.arange(len(filmed))
        partner[places] = np.roll(places, int(rng.integers(1, len(places))))
        blended = filmed & (chance < self.still)
        merged = filmed & ~blended & (chance < self.still + self.merge)
        if not (blended.any() or merged.any()):
            return None
        return SceneMixes(partner, np.where(blended, share, 0.0), frame, merged)


def mix_scenes(video: Video, mixes: SceneMixes) -> Video:
    """Show other places in a batch; nothing is changed in place."""
    device = video.device
    partner = torch.from_numpy(mixes.partner).to(device)
    mixed = blend_still(video, partner, torch.from_numpy(mixes.frame), torch.from_numpy(mixes.still))
    merged = torch.from_numpy(np.flatnonzero(mixes.merged)).to(device)
    if len(merged):
        moving = find_moving(video[merged])[:, None, None]
        mixed[merged] = torch.where(moving, video[merged], video[partner[merged]])
    return mixed


def blend_still(
    video: Video, partner: Int[Tensor, " batch"], frame: Float[Tensor, " batch"], share: Float[Tensor, " batch"]
) -> Video:
    """Each clip with a share of one frame of its partner, the same at all times: it teaches nothing about motion.

    Args:
        video: The clips.
        partner: Whose frame.
        frame: Which, as a share of the length, 0 to below 1.
        share: How much of the result it is; 0 changes nothing.
    """
    places = (frame * video.shape[2]).long().clamp(max=video.shape[2] - 1).to(video.device)
    stills = video[partner, :, places][:, :, None]
    weight = share.to(video)[:, None, None, None, None]
    return torch.lerp(video, stills.expand_as(video), weight)


def find_moving(video: Video) -> Bool[Tensor, "batch height width"]:
    """The half of the picture that moves, and has the colours of what moves.

    How much each pixel changes from frame to frame, blurred, gives seeds: the half that moves most and the tenth that
    moves least. How likely a pixel's colour is among each, blurred again, decides.
    """
    size = max(3, int(0.1 * min(video.shape[-2:])) // 2 * 2 + 1)
    sigma = [size / 3, size / 3]
    changes = video.diff(dim=2).abs().mean((1, 2)) if video.shape[2] > 1 else video.new_zeros(video[:, 0, 0].shape)
    moving = gaussian_blur(changes, [size, size], sigma).flatten(1)
    colors = _quantize(video.mean(2))
    likely = _count_colors(colors, _select_most(moving, MOVING_SHARE))
    unlikely = _count_colors(colors, _select_most(-moving, STILL_SHARE))
    share = likely / (likely + unlikely).clamp(min=1e-6)
    score = share.gather(1, colors).unflatten(1, video.shape[-2:])
    # Of equally likely colours, what moves more.
    tie = moving / moving.amax(1, keepdim=True).clamp(min=1e-6)
    blurred = gaussian_blur(score, [size, size], sigma).flatten(1) + 1e-3 * tie
    return _select_most(blurred, KEPT_SHARE).unflatten(1, video.shape[-2:])


def _select_most(values: Float[Tensor, "batch pixel"], share: float) -> Bool[Tensor, "batch pixel"]:
    """The share of the pixels with the highest values, exactly."""
    count = round(share * values.shape[1])
    chosen = torch.zeros_like(values, dtype=torch.bool)
    return chosen.scatter_(1, values.topk(count, dim=1).indices, True)


def _quantize(pictures: Float[Tensor, "batch 3 height width"]) -> Int[Tensor, "batch pixel"]:
    """A number for each pixel's colour, in bins between the darkest and brightest value of its picture."""
    low, high = pictures.amin((1, 2, 3), keepdim=True), pictures.amax((1, 2, 3), keepdim=True)
    bins = ((pictures - low) / (high - low).clamp(min=1e-6) * COLOR_BINS).long().clamp(max=COLOR_BINS - 1)
    return (bins[:, 0] * COLOR_BINS**2 + bins[:, 1] * COLOR_BINS + bins[:, 2]).flatten(1)


def _count_colors(
    colors: Int[Tensor, "batch pixel"], chosen: Bool[Tensor, "batch pixel"]
) -> Float[Tensor, "batch color"]:
    """How frequent each colour is among the chosen pixels of each picture."""
    counts = torch.zeros(len(colors), COLOR_BINS**3, device=colors.device)
    return counts.scatter_add_(1, colors, chosen.float()) / chosen.sum(1, keepdim=True).clamp(min=1)
