"""Imitate what Kinect v2 writes of a performance: held feet, shaking joints, and joints that it infers.

A genuine recording is no noisy truth. Joints that the sensor tracks shake, those that it infers follow a lagged filter
and say so in their state, feet on the floor are held still by the filter against jitter, and hands are turned by the
noise of finger tips.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from synthaug.body.skeleton import JOINT, forward_kinematics, mean_skeleton
from synthaug.motions.fitting.layouts import NTU_25
from synthaug.motions.fitting.recovery import JointTrack
from synthaug.structures import Motion

ARMS = {"left": (9, 10, 11, 23, 24), "right": (5, 6, 7, 21, 22)}
"""Points of our left and right arm beyond the shoulder, in Kinect's order."""
FEET = (14, 15, 18, 19)
_HANDS = (7, 11, 21, 22, 23, 24)
_TRACKED, _INFERRED = 2, 1
_JITTER_RADIUS = 0.05
"""Metres: Microsoft's filter against jitter passes a step d shorter than this as d times d over it ("Skeletal Joint
Smoothing White Paper", 2012)."""


@dataclass(frozen=True, eq=False)
class KinectRecording:
    """What the sensor says of one body.

    Attributes:
        points: [time, 25, 3], metres, x right, y up, z towards the viewer.
        states: [time, 25], 1 inferred, 2 tracked.
    """

    points: NDArray[np.float64]
    states: NDArray[np.int64]


def imitate_kinect(
    motion: Motion, rng: np.random.Generator, *, inferred: float = 0.7, side: str = "left", jitter: float = 0.003
) -> KinectRecording:
    """Record a motion as Kinect does.

    Args:
        motion: The truth, at 30 frames a second, on the mean skeleton.
        rng: Random generator.
        inferred: Share of the frames in which one arm is inferred, in one run.
        side: The side of that arm.
        jitter: Metres, standard deviation of a tracked joint along each axis.
    """
    T = forward_kinematics(motion, mean_skeleton()).double().numpy()
    truth = np.repeat(T[:, :1, :3, 3], NTU_25.num_points, axis=1)
    for site in NTU_25.sites:
        at = T[:, JOINT[site.joint]]
        truth[:, site.point] = at[:, :3, 3] + at[:, :3, :3] @ np.array(site.offset)
    time = len(truth)
    # Every joint's own definition differs from ours by a centimetre, which turns with nothing.
    spread = np.full(NTU_25.num_points, jitter)
    spread[list(_HANDS)] *= 4
    points = truth + rng.normal(0, 0.01, truth.shape[1:]) + rng.normal(size=truth.shape) * spread[:, None]
    states = np.full(truth.shape[:2], _TRACKED)
    length = round(inferred * time)
    first = int(rng.integers(0, time - length + 1))
    arm = list(ARMS[side])
    states[first : first + length, arm] = _INFERRED
    points[first : first + length, arm] = _lag(truth[:, arm], first, length, rng)
    feet = list(FEET)
    points[:, feet] = _hold(points[:, feet])
    return KinectRecording(points, states)


def _lag(truth: NDArray[np.float64], first: int, length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """What a filter that lags by a sixth of a second makes of an arm, some centimetres off."""
    off = rng.normal(0, 0.015, truth.shape[1:])
    held, rows = truth[first], []
    for frame in truth[first : first + length]:
        held = held + 0.18 * (frame - held)
        rows.append(held + off)
    return np.array(rows).reshape(length, *truth.shape[1:])


def _hold(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Microsoft's filter against jitter."""
    held = [points[0]]
    for frame in points[1:]:
        step = frame - held[-1]
        share = np.minimum(np.linalg.norm(step, axis=-1, keepdims=True) / _JITTER_RADIUS, 1)
        held.append(held[-1] + share * step)
    return np.array(held)


def track_of(recording: KinectRecording, *, fps: float = 30.0) -> JointTrack:
    """The recording as `NtuSkeleton` reads it: inferred joints have a confidence of 0.3."""
    trust = np.array([0.0, 0.3, 1.0])[recording.states]
    return JointTrack(
        points=torch.from_numpy(recording.points).float(),
        confidence=torch.from_numpy(trust).float(),
        fps=fps,
        layout=NTU_25,
        frame="level",
    )
