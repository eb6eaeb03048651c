"""The temporal shift: how a network of single frames learns about motion at no cost.

Below the recognizers that use it; pure.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


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
    shifted: Tensor = _Shift.apply(frames.unflatten(0, (-1, time)), channels)
    return shifted.flatten(0, 1)


class _Shift(Function):
    """The shift with its adjoint, which shifts the other way; autograd's own would fill a zero tensor a part."""

    @staticmethod
    def forward(ctx: Any, clips: Tensor, channels: int) -> Tensor:
        ctx.channels = channels
        return _shifted(clips, channels, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _shifted(gradient, ctx.channels, -1), None


def _shifted(
    clips: Float[Tensor, "batch time channel height width"], channels: int, by: int
) -> Float[Tensor, "batch time channel height width"]:
    """The first channels `by` frames earlier, the next ones as much later, zeros where nothing comes from."""
    first, second = clips[:, :, :channels], clips[:, :, channels : 2 * channels]
    nothing = torch.zeros_like(first[:, :1])
    earlier = [first[:, 1:], nothing], [nothing, second[:, :-1]]
    later = [nothing, first[:, :-1]], [second[:, 1:], nothing]
    parts = [torch.cat(part, dim=1) for part in (earlier if by > 0 else later)]
    return torch.cat([*parts, clips[:, :, 2 * channels :]], dim=2)
