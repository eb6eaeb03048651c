"""Time a movement: easing, sequences of moves, band-limited sway. Pure, deterministic functions of time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Clock:
    """The time of each frame of a performance.

    Attributes:
        t: Seconds from the first frame.
        u: Share of the action that is done: 0 before it begins, 1 after it ends.
        duration: Duration of the action, seconds.
    """

    t: Float[Tensor, " time"]
    u: Float[Tensor, " time"]
    duration: float


def minimum_jerk(x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Share of a reach that is done at share `x` of its time; 0 before, 1 after.

    Source:
        Flash and Hogan, "The coordination of arm movements", Journal of Neuroscience 1985, equation 3.
    """
    x = x.clamp(0, 1)
    return x**3 * (10 - 15 * x + 6 * x * x)


def ease(u: Float[Tensor, " time"], start: float, end: float) -> Float[Tensor, " time"]:
    """Progress of a change from `start` to `end`, 0 to 1."""
    return minimum_jerk((u - start) / max(end - start, 1e-6))


def moves(
    u: Float[Tensor, " time"], first: float | int, *changes: tuple[float | int, float | int, float | int]
) -> Float[Tensor, " time"]:
    """A value that starts at `first` and passes through changes; changes that overlap in time blend.

    Args:
        u: Share of the action that is done.
        first: Value before all changes.
        *changes: Start, end and final value of each change.
    """
    value, last = torch.full_like(u, first), first
    for start, end, goal in changes:
        value, last = value + (goal - last) * ease(u, start, end), goal
    return value


def path(
    u: Float[Tensor, " time"],
    first: tuple[float | int, float | int, float | int],
    *changes: tuple[float, float, tuple[float | int, float | int, float | int]],
) -> Float[Tensor, "time 3"]:
    """Like `moves`, for three values that change together."""
    columns: list[Tensor] = []
    for axis in range(3):
        columns.append(moves(u, first[axis], *[(start, end, goal[axis]) for start, end, goal in changes]))
    return torch.stack(columns, dim=-1)


def pulse(u: Float[Tensor, " time"], start: float, peak: float, end: float) -> Float[Tensor, " time"]:
    """Rise from 0 to 1 at `peak` and fall to 0 again."""
    return ease(u, start, peak) - ease(u, peak, end)


def repeats(count: int, start: float, end: float) -> Sequence[tuple[float, float]]:
    """Split the interval from `start` to `end` into `count` equal ones."""
    step = (end - start) / count
    return [(start + i * step, start + (i + 1) * step) for i in range(count)]


def cycles(u: Float[Tensor, " time"], count: int, start: float, end: float) -> Float[Tensor, " time"]:
    """Angle of an oscillation of `count` turns between `start` and `end`; constant outside."""
    return 2 * math.pi * count * ((u - start) / (end - start)).clamp(0, 1)


def drift(t: Float[Tensor, "*time"], *, rate: float, phase: float | Tensor) -> Float[Tensor, "*wave"]:
    """A smooth wave within -1..1: three sines with incommensurate rates around `rate` hertz.

    Several phases, broadcast against the times, give several waves.

    Quiet stance sways between 0.1 and 1 Hz (Winter, "Human balance and posture control", 1995).
    """
    ratios, shares = (1.0, 1.618, 0.447), (0.5, 0.2, 0.3)
    waves = [
        share * torch.sin(2 * math.pi * rate * ratio * t + phase * (k + 1) + 1.7 * k)
        for k, (ratio, share) in enumerate(zip(ratios, shares, strict=True))
    ]
    return torch.stack(waves).sum(dim=0)
