"""Re-enact motions of several people on other bodies so that they still touch each other. Pure functions."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body.retargeting import PathScaling, reenact
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from synthaug.body.skeleton import JOINT, PARENTS, Skeleton, centre_of, forward_kinematics, joint_positions
from synthaug.structures import Motion

TOUCH = (0.15, 0.4)
"""Metres between a hand and the nearest joint of another person. Below the first, the hand touches that person (flesh
extends that far from its joint); above the second, it follows only its own body."""
_FALLOFF = 0.1
"""Metres over which the shares of the joints around a hand fall off, for smooth changes from one to the next."""
_ARMS = tuple(tuple(JOINT[f"{side}_{part}"] for part in ("shoulder", "elbow", "wrist")) for side in ("left", "right"))
_FLEXION_SIGNS = (-1.0, 1.0)
"""Sign of flexion about the elbow's y axis, left and right."""
_HANDS = [JOINT["left_middle1"], JOINT["right_middle1"]]
_TOUCHABLE = [*range(JOINT["right_wrist"] + 1), *_HANDS]
"""Joints that can be touched: the body's and the hands."""
_YIELD_SHARES = torch.tensor([0.5 if joint in (*_HANDS, _ARMS[0][2], _ARMS[1][2]) else 0.0 for joint in _TOUCHABLE])
"""Share of the way that the touched joint moves itself: hands meet half-way."""
_MAX_STRETCH = 0.999
"""Share of its length to which an arm is stretched at most."""
_STRAIGHT_ANGLE = 1e-3
"""Bend in radians below which the bones do not determine the elbow's axis, so that its own axis is used."""


def reenact_together(motions: Sequence[Motion], source: Skeleton, targets: Sequence[Skeleton]) -> list[Motion]:
    """Re-enact the motions of several people on other skeletons so that they still meet and touch each other.

    Each person is re-enacted as alone, except that all paths are scaled by the mean of their sizes about the middle
    between them, so that people who came close come close again. Then a hand that touched another person is moved to
    that place on the other's new body, by bending its elbow and swinging its shoulder. Two hands that touched meet
    half-way. For one person, or targets of the source's size, the result equals that of `retargeting.reenact`.

    Args:
        motions: On `source`, in one world frame, of one length.
        source: The skeleton that the motions were made for.
        targets: The skeleton that performs each motion.

    Source:
        Al-Asqhar, Komura and Choi, "Relationship descriptors for interactive motion adaptation", SCA 2013 (places kept
        relative to what is near them); the fading and meeting half-way are our own.
    """
    if len(motions) == 1:
        return [reenact(motions[0], source, targets[0])]
    size = sum(target.leg for target in targets) / len(targets) / source.leg
    scaling = PathScaling(torch.stack([centre_of(motion) for motion in motions]).mean(dim=0), size)
    performed = [
        reenact(motion, source, target, path_scaling=scaling) for motion, target in zip(motions, targets, strict=True)
    ]
    before = [joint_positions(motion, source) for motion in motions]
    after = [joint_positions(motion, target) for motion, target in zip(performed, targets, strict=True)]
    return [
        _move_hands(motion, target, _hand_shifts(before, after, who))
        for who, (motion, target) in enumerate(zip(performed, targets, strict=True))
    ]


def _hand_shifts(
    before: Sequence[Float[Tensor, "time 55 3"]], after: Sequence[Float[Tensor, "time 55 3"]], who: int
) -> Float[Tensor, "time 2 3"]:
    """Shift of each hand that restores its position on the others' bodies, metres; 0 for hands that touch nobody."""
    others = [k for k in range(len(before)) if k != who]
    hands, now = before[who][:, _HANDS], after[who][:, _HANDS]
    touched = torch.cat([before[k][:, _TOUCHABLE] for k in others], dim=1)
    there = torch.cat([after[k][:, _TOUCHABLE] for k in others], dim=1)
    offsets = hands[:, :, None] - touched[:, None]
    apart = offsets.norm(dim=-1)
    nearest = apart.amin(dim=-1, keepdim=True)
    shares = torch.softmax((nearest - apart) / _FALLOFF, dim=-1)
    yields = _YIELD_SHARES.repeat(len(others)).to(shares)
    shifts = (there[:, None] + offsets - now[:, :, None]) * (1 - yields)[:, None]
    near, far = TOUCH
    held = ((far - nearest) / (far - near)).clamp(0, 1)
    return (shares[..., None] * shifts).sum(dim=2) * (held * held * (3 - 2 * held))


def _move_hands(motion: Motion, skeleton: Skeleton, ways: Float[Tensor, "time 2 3"]) -> Motion:
    """Shift each hand and keep its orientation; returns the motion itself if there is no shift."""
    if not bool((ways.abs() > 1e-4).any()):
        return motion
    T, body_pose = forward_kinematics(motion, skeleton).double(), motion.body_pose.clone()
    R, places = T[..., :3, :3], T[..., :3, 3]
    for arm, flexes, way in zip(_ARMS, _FLEXION_SIGNS, ways.double().unbind(1), strict=True):
        shoulder, elbow, wrist = arm
        swing, bend = _solve_arm(places[:, list(arm)], flexes * R[:, elbow, :, 1], places[:, wrist] + way)
        chain = [R[:, PARENTS[shoulder]], swing @ R[:, shoulder], swing @ bend @ R[:, elbow], R[:, wrist]]
        for joint, (parent, own) in zip(arm, pairwise(chain), strict=True):
            # The body's 21 joints leave the pelvis out.
            body_pose[:, joint - 1] = matrix_to_axis_angle(parent.mT @ own).to(body_pose)
    return replace(motion, body_pose=body_pose)


def _solve_arm(
    joints: Float[Tensor, "time 3 3"], hinge: Float[Tensor, "time 3"], goal: Float[Tensor, "time 3"]
) -> tuple[Float[Tensor, "time 3 3"], Float[Tensor, "time 3 3"]]:
    """World rotations of the whole arm and of the forearm that bring the wrist to a goal, or as close as it reaches.

    Args:
        joints: Shoulder, elbow, wrist.
        hinge: Axis about which the elbow flexes, for arms that are straight.
        goal: Goal of the wrist.
    """
    shoulder, elbow, wrist = joints.unbind(1)
    upper, fore, way = elbow - shoulder, wrist - elbow, goal - shoulder
    a, b = upper.norm(dim=-1), fore.norm(dim=-1)
    # An arm that is already straighter than the limit may stay so.
    most = torch.maximum(_MAX_STRETCH * (a + b), (wrist - shoulder).norm(dim=-1))
    far = torch.minimum(torch.maximum(way.norm(dim=-1), (a - b).abs() + 1e-4), most)
    across = torch.linalg.cross(upper, fore)
    now = torch.atan2(across.norm(dim=-1), (upper * fore).sum(-1))
    goal_bend = torch.acos(((far * far - a * a - b * b) / (2 * a * b)).clamp(-1, 1))
    axis = normalize(torch.where(now[:, None] < _STRAIGHT_ANGLE, hinge, across), dim=-1)
    bend = axis_angle_to_matrix(axis * (goal_bend - now)[:, None])
    bent = upper + (bend @ fore[..., None])[..., 0]
    across = torch.linalg.cross(bent, way)
    angle = torch.atan2(across.norm(dim=-1), (bent * way).sum(-1))
    return axis_angle_to_matrix(normalize(across, dim=-1) * angle[:, None]), bend
