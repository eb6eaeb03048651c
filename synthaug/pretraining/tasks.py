"""What pretraining asks of a recognizer: joints, speeds, the view and the action, all known exactly."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d, cross_entropy, smooth_l1_loss

from synthaug.pretraining.clips import NUM_JOINTS, RANDOM
from synthaug.recognizers import DenseRecognizer
from synthaug.structures import VIDEO_MEAN, VIDEO_STD

CELLS = 4
"""Rows and columns of the map that joints are told from."""
HIDDEN = 256
MARGIN = 0.15
"""Share of the window beyond its border in which joints are still asked for: a network cannot see far ones."""
_OUTPUTS = {"joints_2d": 2 * NUM_JOINTS, "joints_3d": 3 * NUM_JOINTS, "speed": NUM_JOINTS, "facing": 2}


@dataclass(frozen=True)
class TaskWeights:
    """How much each task counts. By default all losses start at about 1 to 3.

    Attributes:
        joints_2d: Places in what the network sees, as shares of it, in tenths.
        joints_3d: Places in the body's frame, in units of 0.2 m.
        speed: Logarithm of 1 + speed, metres a second.
        facing: Squared distance on the unit circle.
        action: Cross-entropy of procedural actions.
    """

    joints_2d: float = 1.0
    joints_3d: float = 1.0
    speed: float = 1.0
    facing: float = 1.0
    action: float = 1.0


class PretrainingHeads(nn.Module):
    """A small network on a recognizer's maps that tells the truth of every frame.

    Args:
        channels: Of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(channels * CELLS**2, HIDDEN), nn.ReLU())
        self.heads = nn.ModuleDict({name: nn.Linear(HIDDEN, width) for name, width in _OUTPUTS.items()})

    def forward(self, maps: Float[Tensor, "batch channel time row column"]) -> dict[str, Tensor]:
        """Joints [B T 22 2] and [B T 22 3], log(1 + speed) [B T 22], and facing [B T 2]."""
        cells = adaptive_avg_pool3d(maps, (maps.shape[2], CELLS, CELLS))
        hidden = self.shared(cells.transpose(1, 2).flatten(2))
        found = {name: head(hidden) for name, head in self.heads.items()}
        for name, width in (("joints_2d", 2), ("joints_3d", 3)):
            found[name] = found[name].unflatten(-1, (NUM_JOINTS, width))
        return found


def normalize_clips(video: Tensor) -> Float[Tensor, "batch 3 time height width"]:
    """Clips in uint8 [B T 3 H W] as recognizers take them."""
    mean, std = (torch.tensor(values, device=video.device)[:, None, None] for values in (VIDEO_MEAN, VIDEO_STD))
    return ((video.float() / 255 - mean) / std).transpose(1, 2).contiguous()


def judge_batch(
    recognizer: DenseRecognizer, heads: PretrainingHeads, batch: dict[str, Tensor], weights: TaskWeights
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """The loss of a batch of `PretrainingClips`, and its parts.

    The recognizer's own classifier tells the action, so its pooled features learn too.
    """
    video = normalize_clips(batch["video"])
    maps = recognizer.maps(video)
    found = heads(maps)
    losses = {
        **measure_frames(found, batch, recognizer.window(video)),
        "action": measure_action(recognizer.classifier(recognizer.pool(maps)), batch["action"]),
    }
    total = sum((getattr(weights, name) * loss for name, loss in losses.items()), torch.zeros(()))
    return total, {name: float(loss.detach()) for name, loss in losses.items()}


def measure_frames(
    found: dict[str, Tensor], truth: dict[str, Tensor], window: Float[Tensor, "batch 4"]
) -> dict[str, Float[Tensor, ""]]:
    """Losses of the tasks of every frame.

    Args:
        found: What the heads say.
        truth: Fields of `Truth`, stacked.
        window: What the network saw of each picture: places are told within it.
    """
    corner, side = window[:, None, None, :2], window[:, None, None, 2:]
    places = (truth["joints_2d"] - corner) / side
    near = ((places > -MARGIN) & (places < 1 + MARGIN)).all(-1, keepdim=True).expand_as(places)
    apart = smooth_l1_loss(10 * found["joints_2d"], 10 * places, reduction="none")
    return {
        "joints_2d": (apart * near).sum() / near.sum().clamp(min=1),
        "joints_3d": smooth_l1_loss(5 * found["joints_3d"], 5 * truth["joints_3d"]),
        "speed": smooth_l1_loss(found["speed"], torch.log1p(truth["speed"])),
        "facing": (found["facing"] - truth["facing"]).square().sum(-1).mean(),
    }


def measure_action(logits: Float[Tensor, "batch action"], action: Tensor) -> Float[Tensor, ""]:
    """Mean cross-entropy over the clips that show an action; 0 if none does."""
    losses = cross_entropy(logits, action, ignore_index=RANDOM, reduction="sum", label_smoothing=0.1)
    return losses / (action != RANDOM).sum().clamp(min=1)
