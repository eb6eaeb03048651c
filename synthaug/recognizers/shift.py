"""The temporal shift, by which a network of single frames learns about motion without more parameters."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def temporal_shift(
    frames: Float[Tensor, "batch_time channel height width"], *, time: int, channels: int
) -> Float[Tensor, "batch_time channel height width"]:
    """Replace a few channels of every frame by those of its neighbours.

    The first `channels` come from the frame after, the next `channels` from the frame before, the rest stay. Beyond
    the ends of a clip everything is zero. Returns a copy, since the shortcut still needs the original frames.

    Args:
        frames: Frames of all clips one after the other, `time` frames for each clip.
        time: Number of frames in a clip.
        channels: Number of channels shifted each way; at most half of all.

    Source:
        Lin, Gan and Han, "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019, section 3.2:
        the residual shift, the bidirectional (offline) one.
    """
    shifted: Tensor = _Shift.apply(frames.unflatten(0, (-1, time)), channels)
    return shifted.flatten(0, 1)


class _Shift(Function):
    """The shift, with its gradient as a shift the other way; autograd would allocate zeros for each part."""

    @staticmethod
    def forward(ctx: Any, clips: Tensor, channels: int) -> Tensor:
        ctx.channels = channels
        return _shift_channels(clips, channels, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _shift_channels(gradient, ctx.channels, -1), None


def _shift_channels(
    clips: Float[Tensor, "batch time channel height width"], channels: int, by: int
) -> Float[Tensor, "batch time channel height width"]:
    """Shift the first channels `by` (1 or -1) frames earlier and the next ones later, with zeros at the ends."""
    first, second = clips[:, :, :channels], clips[:, :, channels : 2 * channels]
    nothing = torch.zeros_like(first[:, :1])
    earlier = [first[:, 1:], nothing], [nothing, second[:, :-1]]
    later = [nothing, first[:, :-1]], [second[:, 1:], nothing]
    parts = [torch.cat(part, dim=1) for part in (earlier if by > 0 else later)]
    return torch.cat([*parts, clips[:, :, 2 * channels :]], dim=2)
