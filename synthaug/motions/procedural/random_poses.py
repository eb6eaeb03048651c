"""Random motions: poses anywhere within the joints' ranges, reached one after the other at natural pace.

They mean nothing, and cover what bodies can do: for learning what people look like when they move.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.limits import keep_within
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from synthaug.body.skeleton import JOINT
from synthaug.motions.procedural.choreography import put_on_floor
from synthaug.motions.procedural.timing import minimum_jerk
from synthaug.structures import Motion

_BODY = 22
_SIDES = {"left": 1.0, "right": -1.0}


@dataclass(frozen=True)
class Limb:
    """Joints that move together, at a time of their own.

    Attributes:
        joints: Names, without side for those of a side.
        spread: Deviation of the rotation about each axis, radians.
        seconds: Shortest and longest time from one pose to the next.
    """

    joints: tuple[str, ...]
    spread: tuple[float, ...]
    seconds: tuple[float, float]


_ARM = Limb(("collar", "shoulder", "elbow", "wrist"), (0.08, 0.9, 1.0, 0.3), (0.25, 1.2))
_LEG = Limb(("hip", "knee", "ankle"), (0.45, 0.7, 0.2), (0.4, 1.6))
_TRUNK = Limb(("spine1", "spine2", "spine3", "neck", "head"), (0.2, 0.12, 0.12, 0.2, 0.2), (0.5, 2.0))
_LAZINESS = 0.35
"""Share of poses in which a limb keeps the one before."""
_HANG = 1.05
"""Radians by which arms hang from the T-pose in the middle of their random poses."""


def move_randomly(rng: np.random.Generator, *, fps: float | int, seconds: float | int) -> Motion:
    """A random motion on the mean skeleton, with the lowest point of the body on the floor.

    Each arm, each leg and the trunk go from pose to pose by minimum jerk, each at a time of its own; the body turns and
    drifts slowly. Some motions bend the whole body forward, back or aside, as people do who fall, crawl or lie.

    Args:
        rng: Decides the motion.
        fps: Frames per second.
        seconds: Length.

    Raises:
        ValueError: If that is not at least one frame.
    """
    if not (0 < fps < math.inf and 1 / fps <= seconds < 3600):
        raise ValueError(
            "Expected a positive fps, and seconds for at least one frame and below an hour, got "
            f"fps={fps} and seconds={seconds}. Correct the numbers."
        )
    times = np.arange(max(round(seconds * fps), 1)) / fps
    turns = np.zeros((len(times), _BODY, 3))
    energy = rng.uniform(0.3, 1.1)
    for side, sign in _SIDES.items():
        arms = _sample_limb(rng, _ARM, times, energy)
        arms[:, 1, 2] -= sign * _HANG
        turns[:, [JOINT[f"{side}_{name}"] for name in _ARM.joints]] = arms
        legs = _sample_limb(rng, _LEG, times, energy * rng.uniform(0.2, 0.8))
        # Knees bend one way alone, and hips mostly forward.
        legs[:, 0, 0] = -np.abs(legs[:, 0, 0])
        legs[:, 1] = np.abs(legs[:, 1]) * (1, 0, 0)
        turns[:, [JOINT[f"{side}_{name}"] for name in _LEG.joints]] = legs
    turns[:, [JOINT[name] for name in _TRUNK.joints]] = _sample_limb(rng, _TRUNK, times, energy)
    local = torch.eye(3, dtype=torch.float64).repeat(len(times), 55, 1, 1)
    local[:, 1:_BODY] = _limit(axis_angle_to_matrix(torch.from_numpy(turns)))[:, 1:]
    local[:, 0] = _sample_root(rng, times)
    transl = torch.zeros(len(times), 3, dtype=torch.float64)
    transl[:, ::2] = torch.from_numpy(_follow(rng, times, (1.0, 3.0), rng.uniform(0, 0.5), 2))
    motion = Motion.from_pose(matrix_to_axis_angle(local).float(), transl.float(), fps=float(fps))
    return put_on_floor(motion, torch.zeros(len(times), dtype=torch.float64))


def _limit(local: Float[Tensor, "time 22 3 3"]) -> Float[Tensor, "time 22 3 3"]:
    """Rotations within the joints' ranges, frame by frame.

    Between frames lies the T-pose, which is within every range: `keep_within` would leave a joint alone that goes round
    from one bound to the other, as no estimate of a person should.
    """
    rest = torch.eye(3, dtype=local.dtype).expand_as(local)
    return keep_within(torch.stack([local, rest], dim=1).flatten(0, 1))[::2]


def _sample_limb(
    rng: np.random.Generator, limb: Limb, times: Float[np.ndarray, " time"], energy: float
) -> Float[np.ndarray, "time joint 3"]:
    """Rotation vectors of the joints of a limb."""
    values = _follow(rng, times, limb.seconds, energy, 3 * len(limb.joints))
    return values.reshape(len(times), -1, 3) * np.array(limb.spread)[:, None]


def _follow(
    rng: np.random.Generator,
    times: Float[np.ndarray, " time"],
    seconds: tuple[float, float],
    spread: float,
    count: int,
) -> Float[np.ndarray, "time value"]:
    """Values that go from one random goal to the next by minimum jerk, and sometimes rest."""
    spans = rng.uniform(*seconds, size=int(times[-1] / seconds[0]) + 2)
    ends = np.cumsum(spans)
    goals = spread * rng.normal(size=(len(spans) + 1, count))
    for place in np.flatnonzero(rng.random(len(spans)) < _LAZINESS):
        goals[place + 1] = goals[place]
    here = np.minimum(np.searchsorted(ends, times, side="right"), len(spans) - 1)
    share = minimum_jerk(torch.from_numpy(1 - (ends[here] - times) / spans[here])).numpy()[:, None]
    return (1 - share) * goals[here] + share * goals[here + 1]


def _sample_root(rng: np.random.Generator, times: Float[np.ndarray, " time"]) -> Float[Tensor, "time 3 3"]:
    """Rotation of the pelvis: it faces anywhere and turns slowly; one in four leans or lies."""
    lean = rng.random() < 0.25
    tilt = _follow(rng, times, (0.6, 2.5), 0.9 if lean else 0.12, 2)
    yaw = rng.uniform(-math.pi, math.pi) + _follow(rng, times, (1.0, 3.0), 0.4, 1)[:, 0]
    zeros = np.zeros_like(yaw)
    turned = axis_angle_to_matrix(torch.from_numpy(np.stack([zeros, yaw, zeros], -1)))
    tilted = axis_angle_to_matrix(torch.from_numpy(np.stack([tilt[:, 0], zeros, tilt[:, 1]], -1)))
    return turned @ tilted
