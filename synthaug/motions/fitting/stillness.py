"""Take the trembling out of fitted motions: a joint stays where its evidence moves less than its noise. Pure functions.

Evidence are the directions of bones, in the picture and in the detector's own shape. While they turn by less than their
noise tells, the joints at their ends are held; where they turn, joints are left as they were fitted. Nothing lags,
since past and future count alike.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from torch import Tensor

from synthaug.body.limits import keep_within
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_quat, quat_to_matrix
from synthaug.body.skeleton import JOINT, JOINT_NAMES, Skeleton
from synthaug.motions.fitting.markers import NUM_BODY, Markers
from synthaug.structures import Motion

_HOLD = 120.0
"""Cost of a step of one noise, where a deviation of one noise costs a half: pauses of seconds become flat."""
_KNEE = 0.5
"""Noises a frame below which a step costs its square: what changes at rest drifts and does not jump."""
_DOUBTFUL_TURN = 1.2
"""Radians per second below which a turn that only the detector's 3D shows is none: its depth turns over at rest."""
_DEPTH_GAIN = 4.0
"""What such a turn beyond that counts, where one in the picture counts 1: it is real, and must not be held."""
_OUTLIER = 4.0
"""Noises beyond which a deviation counts by its size, not its square: a glitch does not move what surrounds it."""
_USUAL_SPEED = 0.8
"""Radians per second of a bone at which a joint is held a quarter as much, and half of it hardly less."""
_CERTAIN = 4.0
"""Standard deviations by which a speed in the picture must exceed its own error."""
_SPEED_SECONDS = 0.1
"""Width of the Gaussian over which speeds are measured, and by how much a movement is let go before and after it."""
_LEAST_NOISE_DEG = 0.3
"""Degrees: smallest noise of a joint's angle, where the evidence shows none."""
_SURE = 0.5
"""Confidence below which evidence says nothing about movement."""
_LEAST_LENGTH = 0.1
"""Metres: the length of shorter bones, such as those within the face, when their angle is measured."""
_ROUNDS = 10
_MAD = 0.6745

_TRUNK = (("left_hip", "right_hip"), ("left_hip", "left_shoulder"), ("right_hip", "right_shoulder"))
_GIRDLE = (("left_shoulder", "right_shoulder"),)
_HEAD = (("left_shoulder", "head"), ("right_shoulder", "head"))
_BONES: dict[str, tuple[tuple[str, str], ...]] = {
    "pelvis": _TRUNK, "spine1": _TRUNK + _GIRDLE, "spine2": _TRUNK + _GIRDLE, "spine3": _TRUNK + _GIRDLE,
    "neck": _GIRDLE + _HEAD, "head": (*_HEAD, ("head", "face")), "collar": (*_GIRDLE, ("shoulder", "elbow")),
    "shoulder": (*_GIRDLE, ("shoulder", "elbow")), "elbow": (("shoulder", "elbow"), ("elbow", "wrist")),
    "wrist": (("elbow", "wrist"), ("wrist", "hand")), "hip": (_TRUNK[0], ("hip", "knee")),
    "knee": (("hip", "knee"), ("knee", "ankle")), "ankle": (("knee", "ankle"), ("ankle", "toe")),
    "foot": (("ankle", "toe"),),
}  # fmt: skip
"""The bones whose directions tell of a joint; of a joint of one side, those of that side."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a fit was made from.

    Attributes:
        seen: Where markers are in the picture, metres at the person's distance.
        shape: Where they are in 3D; nan where unknown. Its noise is the joints', since depth is the most uncertain.
        confidence: 0 (says nothing) to 1, of both.
    """

    seen: Float[Tensor, "time marker 2"]
    shape: Float[Tensor, "time marker 3"]
    confidence: Float[Tensor, "time marker"]


def hold_still(motion: Motion, evidence: Evidence, markers: Markers, skeleton: Skeleton) -> Motion:
    """The motion without trembling: each joint's rotation is held where its evidence is at rest.

    Of each joint's rotations (as quaternions in units of their noise) this finds the path that is near them and seldom
    moves: total variation, which costs less where the joint's bones turn. Both noises are measured on this
    clip. Position is left as it is.

    Args:
        motion: The fit.
        evidence: What it was made from.
        markers: Positions of the markers on the body.
        skeleton: The body's skeleton.

    Source:
        Rudin, Osher and Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 1992; minimised
        by reweighted least squares.
    """
    if motion.num_frames < 4:
        return motion
    grip, noise = _judge_joints(evidence, markers, skeleton, fps=motion.fps)
    local = axis_angle_to_matrix(motion.pose[:, :NUM_BODY].double())
    quats = _align_signs(matrix_to_quat(local).numpy())
    held = np.empty_like(quats)
    for joint in range(NUM_BODY):
        unit = noise[joint] / 2  # a quaternion moves by half the angle
        held[:, joint] = unit * seldom_moving(quats[:, joint] / unit, _HOLD * grip[:, joint])
    rotations = torch.from_numpy(held / np.linalg.norm(held, axis=-1, keepdims=True))
    kept = keep_within(quat_to_matrix(rotations).to(motion.pose.dtype))
    pose = motion.pose.clone()
    pose[:, :NUM_BODY] = matrix_to_axis_angle(kept)
    return replace(
        Motion.from_pose(pose, motion.transl, fps=motion.fps), expression=motion.expression, betas=motion.betas
    )


def seldom_moving(
    values: Float[np.ndarray, "time axis"], cost: Float[np.ndarray, " step"]
) -> Float[np.ndarray, "time axis"]:
    """The path x of least sum of r(x - values) + cost * |step of x|, where r is half the square up to an outlier.

    Args:
        values: In units of their noise.
        cost: Of each step, one less than there are frames.
    """
    path, bands = values.copy(), np.zeros((2, len(values)))
    for _ in range(_ROUNDS):
        steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
        ties = cost / np.maximum(steps, _KNEE)
        trust = 1 / np.maximum(1, np.linalg.norm(values - path, axis=1) / _OUTLIER)
        bands[1] = trust
        bands[1, :-1] += ties
        bands[1, 1:] += ties
        bands[0, 1:] = -ties
        path = solveh_banded(bands, trust[:, None] * values)
    return path


@dataclass(frozen=True, eq=False)
class _Bone:
    """What a clip shows of one bone.

    Attributes:
        turn: Radians per second by which it certainly turns, from each frame to the next.
        noise: Radians, of its angle in 3D.
    """

    turn: Float[np.ndarray, " step"]
    noise: float


def _judge_joints(
    evidence: Evidence, markers: Markers, skeleton: Skeleton, *, fps: float
) -> tuple[Float[np.ndarray, "step 22"], Float[np.ndarray, "22"]]:
    """How firmly each joint is held, 1 at rest, and the noise of its angle in radians."""
    bones = _measure_bones(evidence, markers, skeleton, fps=fps)
    turn, noise = np.zeros((len(evidence.seen) - 1, NUM_BODY)), np.zeros(NUM_BODY)
    for joint in range(NUM_BODY):
        for bone in (bones[ends] for ends in _bones_of(joint) if ends in bones):
            turn[:, joint] = np.maximum(turn[:, joint], bone.turn)
            noise[joint] = max(noise[joint], bone.noise)
    reach = 2 * round(_SPEED_SECONDS * fps) + 1
    speed = maximum_filter1d(turn, reach, axis=0, mode="nearest")
    return 1 / (1 + (speed / _USUAL_SPEED) ** 2) ** 2, np.maximum(noise, np.radians(_LEAST_NOISE_DEG))


def _bones_of(joint: int) -> list[tuple[str, str]]:
    """The bones that tell of a joint, with the side in their ends' names."""
    name = JOINT_NAMES[joint]
    side = name.split("_")[0] + "_" if "_" in name else ""
    whole = ("head", "face")
    return [
        (one if "_" in one or one in whole else side + one, other if "_" in other or other in whole else side + other)
        for one, other in _BONES[name.removeprefix(side)]
    ]


def _measure_bones(
    evidence: Evidence, markers: Markers, skeleton: Skeleton, *, fps: float
) -> dict[tuple[str, str], _Bone]:
    """Every bone whose ends are measured, by its ends."""
    rest, groups = markers.rest(skeleton).double().numpy(), _group_markers(markers)
    seen, shape = evidence.seen.double().numpy(), evidence.shape.double().numpy()
    sure, bones = evidence.confidence.double().numpy(), {}
    for one, other in {ends for joint in range(NUM_BODY) for ends in _bones_of(joint)}:
        if not {one, other} <= groups.keys():
            continue
        a, b = groups[one], groups[other]
        length = max(float(np.linalg.norm(rest[b].mean(0) - rest[a].mean(0))), _LEAST_LENGTH)
        least = np.minimum(sure[:, a].min(1), sure[:, b].min(1))
        flat, deep = (points[:, b].mean(1) - points[:, a].mean(1) for points in (seen, shape))
        across, inward = (_certain_speed(_fill_gaps(part, least > 0), fps=fps) for part in (flat, deep))
        turn = np.maximum(across, _DEPTH_GAIN * np.maximum(inward - _DOUBTFUL_TURN * length, 0)) / length
        certain = np.minimum(least[1:], least[:-1]) >= _SURE
        bones[one, other] = _Bone(turn=np.where(certain, turn, 0), noise=_noise_of(deep) / length)
    return bones


def _group_markers(markers: Markers) -> dict[str, list[int]]:
    """Markers by the place that they show: a joint, a hand, the toes, the face's front, and the rest of the head."""
    groups = {JOINT_NAMES[joint]: [marker] for joint, marker in markers.direct.items()}
    apart = markers.offsets.abs().amax(1) > 0
    bearers = {"head": "head", "left_wrist": "left_hand", "right_wrist": "right_hand",
               "left_foot": "left_toe", "right_foot": "right_toe"}  # fmt: skip
    for joint, name in bearers.items():
        on = (markers.frames == JOINT[joint]).nonzero().squeeze(1).tolist()
        there = [marker for marker in on if apart[marker]]
        if name == "head" and len(there) > 1:
            front = max(there, key=lambda marker: float(markers.offsets[marker, 2]))
            groups["face"], there = [front], [marker for marker in there if marker != front]
        if there:
            groups[name] = there
    return groups


def _fill_gaps(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values with those of unknown frames interpolated; zeros if none is known."""
    known = known & np.isfinite(values).all(1)
    if not known.any():
        return np.zeros_like(values)
    at = np.flatnonzero(known)
    return np.stack([np.interp(np.arange(len(values)), at, column[at]) for column in values.T], axis=1)


def _certain_speed(flat: NDArray[np.float64], *, fps: float) -> NDArray[np.float64]:
    """Speed between neighbouring frames that exceeds its own error, in units a second.

    The derivative of white noise of deviation s smoothed by a Gaussian of w frames has s / (2 w sqrt(w sqrt(pi))) along
    each axis.
    """
    width = max(_SPEED_SECONDS * fps, 0.8)
    smooth = gaussian_filter1d(flat, width, axis=0, mode="nearest")
    speed = np.linalg.norm(np.diff(smooth, axis=0), axis=1) * fps
    error = _noise_of(flat) * np.sqrt(2) / (2 * width * np.sqrt(width * np.sqrt(np.pi))) * fps
    return np.sqrt(np.maximum(speed**2 - (_CERTAIN * error) ** 2, 0))


def _noise_of(values: NDArray[np.float64]) -> float:
    """Standard deviation of white noise along an axis, by third differences, as `markers.noise` says; 0 if unknown."""
    third = np.abs(np.diff(values, 3, axis=0))
    third = third[np.isfinite(third).all(1)]
    return float(np.median(np.median(third, axis=0))) / (_MAD * 20**0.5) if len(third) else 0.0


def _align_signs(quats: Float[np.ndarray, "time joint 4"]) -> Float[np.ndarray, "time joint 4"]:
    """The same rotations, each quaternion on the side of the one before."""
    turned = (quats[1:] * quats[:-1]).sum(-1) < 0
    signs = np.concatenate([np.ones_like(turned[:1], float), np.where(np.cumsum(turned, axis=0) % 2, -1.0, 1.0)])
    return np.asarray(quats * signs[..., None])
