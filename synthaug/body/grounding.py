"""Keep people on the floor: where a motion hangs above it or sinks into it, its lowest contacts decide. Pure functions.

Motions out of film have the floor that their source guessed. Somebody who stands on it may lie half a metre above it
after a fall, because the camera was not as level as it was taken to be.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import max_pool1d, pad

from synthaug.body.skeleton import Skeleton, joint_positions, lowest_heights, mean_skeleton
from synthaug.structures import Motion

AIRBORNE = 0.8
"""Seconds that nobody spends in the air: who is off the floor for longer floats. Jumps last 0.3 to 0.7 s."""
SUNK = 0.3
"""Seconds under the floor that pass for the inaccuracy of a step."""
TOLERANCE = 0.05
"""Share of a person's height by which the lowest point may be off the floor."""
MAX_SHIFT = 0.6
"""Share of a person's height by which nobody is moved: a motion that far off the floor is no motion on it."""


class OffFloorError(ValueError):
    """A motion cannot be put on the floor."""


def stature(skeleton: Skeleton) -> float:
    """Height of a standing person, metres: joints from toes to head, with sole and skull."""
    heights = skeleton.joints[:, 1]
    return float(heights.max() - heights.min()) + 0.17 * skeleton.size


def floor_offsets(motion: Motion, skeleton: Skeleton) -> Float[Tensor, " time"]:
    """Metres between the floor and the lowest point of the body, in each frame, without jumps and quick dips.

    Positive above the floor. What is off it for less than `AIRBORNE` seconds, or below for less than `SUNK`, counts as
    on it.
    """
    heights = lowest_heights(joint_positions(motion, skeleton), scale=skeleton.size)
    above = -_widen(-heights.clamp(min=0), motion.fps * AIRBORNE)
    below = _widen(heights.clamp(max=0), motion.fps * SUNK)
    return _widen(above, motion.fps * AIRBORNE) - _widen(-below, motion.fps * SUNK)


def ground(motions: Sequence[Motion]) -> list[Motion]:
    """Motions of people in one world, on its floor: moved up or down where they are off it by more than `TOLERANCE`.

    All move alike, as the lowest of them says, so that they still touch. Motions that need no change come back as they
    are.

    Args:
        motions: On the mean skeleton, of one length.

    Raises:
        OffFloorError: If somebody would have to be moved by more than `MAX_SHIFT`.
    """
    height = stature(mean_skeleton())
    offsets = torch.stack([floor_offsets(motion, mean_skeleton()) for motion in motions])
    offset = offsets.amin(dim=0)
    most = float(offset.abs().max())
    if most > MAX_SHIFT * height:
        raise OffFloorError(
            f"Expected motions within {MAX_SHIFT * height:.2f} m of the floor, got one {most:.2f} m off it. Check the "
            "motion source's floor (y = 0), or raise synth.min_quality."
        )
    if most <= TOLERANCE * height:
        return list(motions)
    smooth = pad(offset[None, None], (1, 1), mode="replicate")
    shift = (smooth[..., :-2] + 2 * smooth[..., 1:-1] + smooth[..., 2:])[0, 0] / 4
    return [lower(motion, shift) for motion in motions]


def lower(motion: Motion, shift: Float[Tensor, " time"]) -> Motion:
    """The motion this many metres lower in each frame."""
    transl = motion.transl.clone()
    transl[:, 1] -= shift.to(transl)
    return replace(motion, transl=transl)


def _widen(values: Float[Tensor, " time"], frames: float) -> Float[Tensor, " time"]:
    """The largest value within half of this many frames to either side."""
    reach = max(round(frames / 2), 0)
    return max_pool1d(values[None, None], 2 * reach + 1, stride=1, padding=reach)[0, 0]
