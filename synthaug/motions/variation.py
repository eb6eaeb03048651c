"""The same action performed a little differently: tempo, size, bearing, unrest, perhaps the mirror image.

Between a motion source and an avatar. The length in frames stays, so that the reference's camera still fits.
"""

import math
import weakref
from dataclasses import replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body import (
    JOINT,
    axis_angle_to_matrix,
    joint_positions,
    lowest,
    matrix_to_axis_angle,
    mean_skeleton,
    resample,
)
from synthaug.motions import MotionVariation
from synthaug.motions.symmetry import mirrored
from synthaug.motions.timing import drift
from synthaug.structures import Motion, Values

# Shares of the variation that each joint takes. Legs take none: their joints together decide where feet stand, and
# feet that slide are what a recognizer would learn instead of the action.
SHARES: dict[str, float] = {
    "spine1": 0.3, "spine2": 0.3, "spine3": 0.3, "neck": 0.5, "head": 0.5, "left_collar": 0.5, "right_collar": 0.5,
    "left_shoulder": 1.0, "right_shoulder": 1.0, "left_elbow": 1.0, "right_elbow": 1.0, "left_wrist": 1.0,
    "right_wrist": 1.0,
}  # fmt: skip
"""Joints whose movements grow and shrink and whose pose wanders, with their shares."""
_BENDING = {"spine1": 0.36, "spine2": 0.34, "spine3": 0.3, "neck": -0.25, "head": -0.25}
"""Shares of a leaning trunk; the head comes back half-way, to keep looking where it looked."""


@final
class Unvaried(MotionVariation):
    """Leaves motions as they are."""

    def sample(self, rng: np.random.Generator) -> Values:
        """Draw nothing."""
        return {}

    def vary(self, motion: Motion, values: Values, times: Float[Tensor, " sample"]) -> Motion:
        """The motion itself."""
        return resample(motion, times)


@final
class Variation(MotionVariation):
    """Varies tempo, amplitude, bearing and unrest, each within plus and minus its range. 0 leaves it exactly alone.

    Args:
        speed: Tempo in the middle of the motion, as a share: 0.2 is 0.8 to 1.2 times, made up for at both ends, so
            that the length stays.
        timing: The same between its first and its second half.
        amplitude: Size of the movements of arms, trunk and head about their mean pose, as a share.
        noise_deg: Smooth wandering of the joints of arms, trunk and head, at most this.
        lean_deg: Constant lean of the trunk, forward and sideways.
        mirror: Probability of the mirror image. 0 where left and right carry meaning, as in sign language.

    Raises:
        ValueError: If a range is negative, time would run backwards, or `mirror` is no probability.
    """

    def __init__(
        self,
        *,
        speed: float = 0.2,
        timing: float = 0.12,
        amplitude: float = 0.1,
        noise_deg: float = 1.5,
        lean_deg: float = 3.0,
        mirror: float = 0.0,
    ) -> None:
        ranges = {
            "speed": speed,
            "timing": timing,
            "amplitude": amplitude,
            "noise_deg": noise_deg,
            "lean_deg": lean_deg,
        }
        if not all(0 <= value < math.inf for value in ranges.values()) or not 0 <= mirror <= 1:
            raise ValueError(
                f"{ranges} and mirror={mirror} were given; ranges of 0 or more and a probability were wanted. "
                "A range is the largest change in either direction: give 0 for none."
            )
        if speed + timing >= 0.9 or amplitude >= 1:
            raise ValueError(
                f"speed={speed}, timing={timing} and amplitude={amplitude} were given; speed + timing below 0.9, lest "
                "time stand still, and an amplitude below 1 were wanted. Choose smaller ranges."
            )
        self._ranges, self._mirror = ranges, mirror

    def sample(self, rng: np.random.Generator) -> Values:
        """Draw one value from each range, and the phases of the unrest."""
        drawn = {name: round(float(rng.uniform(-1, 1)) * value, 5) for name, value in self._ranges.items()}
        return {
            **drawn,
            "roll_deg": round(float(rng.uniform(-1, 1)) * self._ranges["lean_deg"], 5),
            "phase": round(float(rng.uniform(0, 2 * math.pi)), 5),
            "mirror": bool(rng.random() < self._mirror),
        }

    def vary(self, motion: Motion, values: Values, times: Float[Tensor, " sample"]) -> Motion:
        """The motion performed as drawn; arms, trunk and head change, feet stay where they stood.

        The lowest point of the body keeps its height above the floor in every frame. No values at all change nothing.

        Raises:
            ValueError: If a value is missing or is no number.
        """
        if not values:
            return resample(motion, times)
        number = _numbers(values)
        place = torch.remainder(times.double() * motion.fps, float(motion.num_frames)).clamp(max=motion.num_frames - 1)
        varied = _warped(motion, place, number["speed"], number["timing"])
        varied = replace(varied, fps=1 / float(times[1] - times[0]) if len(times) > 1 else motion.fps)
        changed = _reposed(motion, varied, place / motion.fps, number)
        if changed is not varied:
            before, after = (lowest(joint_positions(one, mean_skeleton())) for one in (varied, changed))
            up = torch.zeros_like(changed.transl)
            up[:, 1] = before - after
            varied = replace(changed, transl=changed.transl + up)
        return _reflected(varied, motion) if number["mirror"] else varied


_NAMES = ("speed", "timing", "amplitude", "noise_deg", "lean_deg", "roll_deg", "phase", "mirror")


def _numbers(values: Values) -> dict[str, float]:
    """The drawn values as numbers."""
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    missing = [name for name in _NAMES if name not in numbers]
    if missing:
        raise ValueError(
            f"Values without the numbers {missing} were given; what Variation.sample draws was wanted. "
            "Was the recipe drawn with another motion variation?"
        )
    return {name: float(numbers[name]) for name in _NAMES}


def _warped(motion: Motion, place: Float[Tensor, " sample"], speed: float, timing: float) -> Motion:
    """The motion at these frames, with its middle, or its first half, faster; both ends stay where they are.

    The share of the motion that is done at share x is x - (s sin(2 pi x) - t (1 - cos(2 pi x))) / (2 pi). Its slope is
    1 + s in the middle and 1 + t after a quarter, and above 0 throughout while s + t is below 1.
    """
    last = motion.num_frames - 1
    if last > 1 and (speed != 0 or timing != 0):
        x = place / last
        bend = speed * torch.sin(2 * math.pi * x) - timing * (1 - torch.cos(2 * math.pi * x))
        place = (x - bend / (2 * math.pi)).clamp(0, 1) * last
    return resample(motion, place / motion.fps, loop=False)


def _reposed(motion: Motion, varied: Motion, t: Float[Tensor, " sample"], number: dict[str, float]) -> Motion:
    """`varied` with other angles of arms, trunk and head; the very same object if nothing is to change.

    Angles are measured against their mean over the whole motion, of which `varied` has the frames at `t` seconds.
    """
    amplitude, noise = number["amplitude"], math.radians(number["noise_deg"])
    pitch, roll = math.radians(number["lean_deg"]), math.radians(number["roll_deg"])
    if not any((amplitude, noise, pitch, roll)):
        return varied
    pose = varied.pose.clone()
    names = list(SHARES)
    ids = [JOINT[name] for name in names]
    shares = pose.new_tensor(list(SHARES.values()))
    rotations = axis_angle_to_matrix(pose[:, ids])
    if motion not in _MEANS:
        _MEANS[motion] = _mean(axis_angle_to_matrix(motion.pose[:, ids]))
    local = _scaled(rotations, _MEANS[motion], 1 + shares * amplitude)
    phases = [number["phase"] + 1.3 * k + 2.2 * axis for k in range(len(ids)) for axis in range(3)]
    waves = drift(t.to(pose)[:, None], rate=0.5, phase=pose.new_tensor(phases)).unflatten(-1, (-1, 3))
    # Elbows are hinges: they wander about their hinge alone, which is y at rest.
    free = pose.new_tensor([[0.0, 1.0, 0.0] if "elbow" in name else [1.0, 1.0, 1.0] for name in names])
    unrest = axis_angle_to_matrix(waves * (shares * noise)[:, None] * free)
    bending = pose.new_tensor([_BENDING.get(name, 0.0) for name in names])
    lean = axis_angle_to_matrix(bending[:, None] * pose.new_tensor([pitch, 0.0, roll]))
    pose[:, ids] = matrix_to_axis_angle(lean @ local @ unrest)
    changed = Motion.from_pose(pose, varied.transl, fps=varied.fps)
    return replace(changed, expression=varied.expression, betas=varied.betas)


_MEANS: "weakref.WeakKeyDictionary[Motion, Tensor]" = weakref.WeakKeyDictionary()
"""Mean rotations of motions in use: each is varied some thirty times."""


def _scaled(
    rotations: Float[Tensor, "time joint 3 3"], mean: Float[Tensor, "joint 3 3"], factors: Float[Tensor, " joint"]
) -> Float[Tensor, "time joint 3 3"]:
    """Rotations whose angles against each joint's mean are multiplied."""
    return mean @ axis_angle_to_matrix(factors[:, None] * matrix_to_axis_angle(mean.mT @ rotations))


def _mean(rotations: Float[Tensor, "time joint 3 3"]) -> Float[Tensor, "joint 3 3"]:
    """The mean rotation of each joint.

    Source:
        Moakher, "Means and averaging in the group of rotations", SIAM 2002: the chordal mean is the projection of the
        arithmetic one.
    """
    u, _, vh = torch.linalg.svd(rotations.mean(dim=0))
    sign = torch.ones_like(u[:, 0])
    sign[:, 2] = torch.linalg.det(u @ vh).sign()
    return u * sign[:, None] @ vh


def _reflected(varied: Motion, motion: Motion) -> Motion:
    """The mirror image in the upright plane through the middle of the whole motion's path: it stays where it was."""
    low, high = motion.transl[:, 0].amin(), motion.transl[:, 0].amax()
    image = mirrored(varied)
    shift = torch.zeros_like(image.transl[0])
    shift[0] = low + high
    return replace(image, transl=image.transl + shift)
