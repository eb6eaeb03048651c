"""Align two performances of one action in time and on the floor, and blend them. Pure functions."""

import math
import weakref
from dataclasses import dataclass, replace
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_quat, quat_to_axis_angle, slerp
from synthaug.body.skeleton import clearances, joint_positions, mean_skeleton, move_motion
from synthaug.structures import Motion

_NUM_COMPARED = 22
"""Joints that are compared: all except face and fingers."""
_COMPARISON_RATE, _MIN_TIMES, _MAX_TIMES = 8.0, 16, 240
"""Performances are compared eight times a second, within these numbers of times."""
_SMOOTHING_SECONDS = 0.3
"""Seconds over which changes of the partner's tempo are smoothed."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """How a second performance (the partner) is aligned to a first (the lead), in time and on the floor.

    Attributes:
        lead: Seconds of the lead, from 0 to its end.
        partner: Matching seconds of the partner; both increase strictly.
        R: Rotation of the partner about the vertical axis.
        shift: Shift of the partner along the floor, after the rotation, metres.
        distance: Remaining distance of their joints, root mean square, metres.
    """

    lead: NDArray[np.float64]
    partner: NDArray[np.float64]
    R: Float[Tensor, "3 3"]
    shift: Float[Tensor, "3"]
    distance: float

    def at(self, seconds: Float[Tensor, " sample"]) -> Float[Tensor, " sample"]:
        """Seconds of the partner at these seconds of the lead, both within one round."""
        return torch.from_numpy(np.interp(seconds.double().numpy(), self.lead, self.partner))


_MIDDLES: "weakref.WeakKeyDictionary[Motion, float]" = weakref.WeakKeyDictionary()


def middle_of(motion: Motion) -> float:
    """Second at which half of all movement of the body is done; half of the duration if the body keeps still."""
    if motion not in _MIDDLES:
        steps = joint_positions(motion, mean_skeleton())[:, :_NUM_COMPARED].double().diff(dim=0).norm(dim=-1).sum(-1)
        done = np.concatenate([[0.0], steps.cumsum(0).numpy()])
        times = np.arange(len(done)) / motion.fps
        _MIDDLES[motion] = float(np.interp(done[-1] / 2, done, times)) if done[-1] > 1e-6 else motion.duration / 2
    return _MIDDLES[motion]


def align(lead: Motion, partner: Motion) -> Alignment:
    """Align a performance to another one of the same class.

    Times are matched by dynamic time warping of the poses, each relative to the body's own heading, at half to twice
    the even tempo. Then one rotation and one shift on the floor minimise the distance of all joints, so that paths keep
    their shapes.

    Source:
        Kovar and Gleicher, "Flexible automatic motion blending with registration curves", SCA 2003; Sakoe and Chiba,
        "Dynamic programming algorithm optimization for spoken word recognition", 1978 (symmetric, slope 1).
    """
    seconds = [(motion.num_frames - 1) / motion.fps for motion in (lead, partner)]
    count = int(np.clip(round(_COMPARISON_RATE * max(seconds)), _MIN_TIMES, _MAX_TIMES))
    joints = [_resample_joints(motion, count) for motion in (lead, partner)]
    ours, theirs = (torch.from_numpy(_view_along_heading(one)) for one in joints)
    apart = torch.cdist(ours, theirs).numpy() / math.sqrt(_NUM_COMPARED)
    match = _match_times(apart)
    match = _smooth_match(match, max(1, round(_SMOOTHING_SECONDS * count / max(max(seconds), 1e-6))))
    R, shift, distance = _fit_rigidly(joints[0], _interpolate(joints[1], match))
    grid = np.arange(count) / (count - 1)
    dtype = lead.transl.dtype
    return Alignment(
        # The last frame lasts until a motion starts over.
        np.append(grid * seconds[0], lead.duration), np.append(match / (count - 1) * seconds[1], partner.duration),
        torch.from_numpy(R).to(dtype), torch.from_numpy(shift).to(dtype), distance,
    )  # fmt: skip


def blend(lead: Motion, partner: Motion, share: float, alignment: Alignment) -> Motion:
    """Blend matching frames of two performances: rotations by slerp, paths and clearances from the floor linearly.

    Args:
        lead: The first one's frames; its rate, shape and expression are kept.
        partner: The second one's frames at the matching times.
        share: Share of the partner, 0 to 1. 0 returns the lead itself.
        alignment: The alignment of both.
    """
    if share == 0:
        return lead
    other = move_motion(partner, alignment.R, alignment.shift)
    quats = [matrix_to_quat(axis_angle_to_matrix(motion.pose)) for motion in (lead, other)]
    t = quats[0].new_full((*quats[0].shape[:-1], 1), share)
    pose = quat_to_axis_angle(slerp(quats[0], quats[1], t))
    transl = torch.lerp(lead.transl, other.transl, share)
    heights = [clearances(motion.pose, motion.transl, mean_skeleton()) for motion in (lead, other)]
    transl[:, 1] += torch.lerp(heights[0], heights[1], share) - clearances(pose, transl, mean_skeleton())
    mixed = Motion.from_pose(pose, transl, fps=lead.fps)
    return replace(mixed, expression=lead.expression, betas=lead.betas)


def _resample_joints(motion: Motion, count: int) -> NDArray[np.float64]:
    """Joints of the body at evenly spaced times, [count, joint, 3]."""
    joints = joint_positions(motion, mean_skeleton())[:, :_NUM_COMPARED].double().numpy()
    return _interpolate(joints, np.linspace(0, motion.num_frames - 1, count))


def _interpolate(values: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate values at fractional positions along the first axis."""
    i = np.clip(np.floor(places).astype(np.int64), 0, max(len(values) - 2, 0))
    j = np.minimum(i + 1, len(values) - 1)
    t = (places - i).reshape(-1, *[1] * (values.ndim - 1))
    return (1 - t) * values[i] + t * values[j]


def _view_along_heading(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Joints relative to the pelvis and the body's own heading, [count, 3 joint].

    The heading comes from the axis through the hips, which stays level when a body bows or lies on its back.
    """
    axis = joints[:, 1] - joints[:, 2]
    angle = np.unwrap(np.arctan2(-axis[:, 2], axis[:, 0]))
    x, z = joints[..., 0] - joints[:, :1, 0], joints[..., 2] - joints[:, :1, 2]
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([c * x - s * z, joints[..., 1], s * x + c * z], axis=-1).reshape(len(joints), -1)


@no_type_check
@numba.njit(nogil=True, cache=True)
def _match_times(apart):
    """Match each row of a square matrix of distances to a column, with both ends fixed and slopes from 1/2 to 2."""
    n = len(apart)
    cost, step = np.full((n, n), np.inf), np.zeros((n, n), np.int64)
    cost[0, 0] = apart[0, 0]
    for i in range(1, n):
        for j in range(1, n):
            here = apart[i, j]
            best, way = cost[i - 1, j - 1] + 2 * here, 0
            if j > 1 and cost[i - 1, j - 2] + 2 * apart[i, j - 1] + here < best:
                best, way = cost[i - 1, j - 2] + 2 * apart[i, j - 1] + here, 1
            if i > 1 and cost[i - 2, j - 1] + 2 * apart[i - 1, j] + here < best:
                best, way = cost[i - 2, j - 1] + 2 * apart[i - 1, j] + here, 2
            cost[i, j], step[i, j] = best, way
    match = np.empty(n)
    i, j = n - 1, n - 1
    while i > 0:
        match[i] = j
        if step[i, j] == 1:
            i, j = i - 1, j - 2
        elif step[i, j] == 2:
            match[i - 1] = j - 0.5
            i, j = i - 2, j - 1
        else:
            i, j = i - 1, j - 1
    match[0] = 0
    return match


def _smooth_match(match: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Smooth the changes of slope of a match. Both ends stay fixed, since it is continued by point reflection."""
    width = min(width, len(match) - 1)
    late = match - np.arange(len(match))
    late = np.concatenate([-late[width:0:-1], late, -late[-2 : -2 - width : -1]])
    even = np.full(2 * width + 1, 1 / (2 * width + 1))
    smooth = np.arange(len(match), dtype=np.float64) + np.convolve(late, even, mode="valid")
    smooth[0], smooth[-1] = 0, len(match) - 1
    return smooth


def _fit_rigidly(
    ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Rotation about the vertical axis and shift on the floor that minimise the joints' distance, and that distance.

    Source:
        Kovar, Gleicher and Pighin, "Motion graphs", SIGGRAPH 2002, section 3.1.
    """
    a, b = ours[..., [0, 2]].mean((0, 1)), theirs[..., [0, 2]].mean((0, 1))
    x, z = np.moveaxis(ours[..., [0, 2]] - a, -1, 0)
    u, w = np.moveaxis(theirs[..., [0, 2]] - b, -1, 0)
    angle = math.atan2(float((x * w - z * u).sum()), float((x * u + z * w).sum()))
    c, s = math.cos(angle), math.sin(angle)
    R = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    shift = np.array([a[0], 0.0, a[1]]) - R @ np.array([b[0], 0.0, b[1]])
    apart = ours - theirs @ R.T - shift
    return R, shift, float(np.sqrt((apart**2).sum(-1).mean()))
