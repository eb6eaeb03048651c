"""The temporal shift: how a network of single frames learns about motion at no cost.

Below the recognizers that use it; pure.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def temporal_shift(
    frames: Float[Tensor, "batch_time channel height width"], *, time: int, channels: int
) -> Float[Tensor, "batch_time channel height width"]:
    """Let every frame see a few channels of its neighbours.

    The first `channels` come from the frame after, the next `channels` from the frame before, the rest stay. What
    would come from beyond either end is zero. A copy: shifting in place would destroy what the shortcut needs.

    Args:
        frames: Clips laid end to end, each `time` frames long.
        time: Frames a clip.
        channels: Shifted each way; at most half of all.

    Source:
        Lin, Gan and Han, "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019, section 3.2:
        the residual shift, the bidirectional (offline) one.
    """
    clips = frames.unflatten(0, (-1, time))
    nothing = torch.zeros_like(clips[:, :1, :channels])
    after = torch.cat([clips[:, 1:, :channels], nothing], dim=1)
    before = torch.cat([nothing, clips[:, :-1, channels : 2 * channels]], dim=1)
    return torch.cat([after, before, clips[:, :, 2 * channels :]], dim=2).flatten(0, 1)
