"""Measure by how much a motion exceeds the joint limits of a healthy adult, and bring rotations back within them.

Procedural actions are tested against these limits; estimated motions are fitted within them and graded by them.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.limbs import rig, twist_of, vector
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_quat, quat_to_axis_angle
from synthaug.body.skeleton import JOINT
from synthaug.structures import Motion


@dataclass(frozen=True)
class Range:
    """The range of a joint of the left side, degrees from the T-pose; the right side is its mirror image.

    A rotation is split into a twist about the bone and a swing of the bone.

    Attributes:
        twist: Range about the bone (about y for the trunk).
        swing: Range about each of the axes x, y and z; the axis along the bone is unlimited.
    """

    twist: tuple[int, int]
    swing: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


_ANY = (-180, 180)
# Sources: AAOS, "Joint motion: method of measuring and recording", 1965; Norkin and White, "Measurement of joint
# motion", 5th edition, 2016, for the limbs; White and Panjabi, "Clinical biomechanics of the spine", 1990, for the
# trunk, whose 24 vertebrae are three joints here. Some degrees are added where the girdles move along, as they do in
# living people whose range is measured from the trunk; throwers lay the arm back beyond the clinical 90 to 100.
# Hips flex by 130 and turn out by 60 degrees in people who squat and sit on the floor (Mulholland and Wyss, 2001).
# Elbows open outwards by a carrying angle of 5 to 15 degrees, up to 20 in women, and straighten 10 beyond a line
# (Steel and Tomlinson, "The carrying angle in man", Journal of Anatomy, 1958; Norkin and White).
# About the T-pose's axes for a left limb: shoulder z -85 hangs, +90 is overhead, y -135 is across the chest; hip x
# -120 is flexion; elbow y -150 and knee x +150 are full flexion.
RANGES: Mapping[str, Range] = {
    "hip": Range((-60, 45), ((-130, 30), _ANY, (-30, 50))),
    "knee": Range((-10, 10), ((-2, 150), _ANY, (-6, 6))),
    "ankle": Range((-30, 30), ((-42, 50), (-30, 30), (-30, 30))),
    "foot": Range((-15, 15), ((-65, 30), (-15, 15), (-15, 15))),
    "collar": Range((-20, 20), (_ANY, (-30, 20), (-15, 40))),
    "shoulder": Range((-112, 100), (_ANY, (-145, 60), (-100, 100))),
    "elbow": Range((-90, 90), (_ANY, (-150, 10), (-8, 20))),
    "wrist": Range((-50, 50), (_ANY, (-25, 38), (-78, 75))),
    "spine1": Range((-12, 12), ((-15, 40), _ANY, (-20, 20))),
    "spine2": Range((-18, 18), ((-15, 40), _ANY, (-20, 20))),
    "spine3": Range((-25, 25), ((-15, 35), _ANY, (-20, 20))),
    "neck": Range((-45, 45), ((-35, 35), _ANY, (-25, 25))),
    "head": Range((-45, 45), ((-40, 30), _ANY, (-25, 25))),
}
"""By joint, without its side."""

_TORN = 0.5
"""Radians a frame by which a correction may add to a rotation's own step."""
_ALTERNATIONS = 8
"""Projections onto the ranges and onto the swings without twist, in turn; both are convex, so this converges."""
_CHILD = {
    "hip": "knee", "knee": "ankle", "ankle": "foot", "collar": "shoulder", "shoulder": "elbow", "elbow": "wrist",
    "wrist": "middle1",
}  # fmt: skip


def excess(motion: Motion) -> dict[str, Float[Tensor, " time"]]:
    """Angle by which every joint exceeds its range, degrees; 0 within the range.

    Returns:
        Excess by joint name, without pelvis, face and fingers.
    """
    limited = _limited()
    local = axis_angle_to_matrix(motion.pose.double())
    values = _split(local[:, limited.joints], limited)
    outside = torch.maximum(limited.low - values, values - limited.high).clamp(min=0).amax(dim=-1)
    return dict(zip(limited.names, (outside * (180 / math.pi)).unbind(1), strict=True))


def keep_within(local: Float[Tensor, "time joint 3 3"]) -> Float[Tensor, "time joint 3 3"]:
    """Rotations against the parents with every twist and swing at the nearest value of its range, others unchanged.

    Where a joint turns right round, from beyond one bound to beyond the other, it is left alone from the frame in which
    it leaves its range until it is back: no person does that, the excess says so, and a correction would tear it.

    Args:
        local: Of consecutive frames and of the first 22 or more joints, SMPL-X order.
    """
    limited = _limited()
    before = local[:, limited.joints].double()
    values = _split(before, limited)
    held = values
    for _ in range(_ALTERNATIONS):
        held = torch.minimum(torch.maximum(held, limited.low), limited.high)
        # A swing that turned about the bone would be twist.
        along = (held[..., 1:] * limited.axes).sum(-1, keepdim=True)
        held = torch.cat([held[..., :1], held[..., 1:] - along * limited.axes], dim=-1)
    changed = ((held - values).abs() > 1e-9).any(-1)
    corrected = _join(held, limited)
    _leave_turns(changed, before, corrected)
    result = local.clone()
    result[:, limited.joints] = torch.where(changed[..., None, None], corrected, before).to(local)
    return result


@dataclass(frozen=True, eq=False)
class _Limited:
    """All joints that have a range.

    Attributes:
        names: Of the joints.
        joints: Their indices.
        axes: About which each twists, as a left joint.
        mirror: Signs of x, y and z that turn each into a left joint.
        twist_first: Whether the twist comes before the swing: at the wrist, which the forearm turns.
        low, high: Bounds of the twist and of the swing about x, y and z, radians.
    """

    names: tuple[str, ...]
    joints: list[int]
    axes: Float[Tensor, "limited 3"]
    mirror: Float[Tensor, "limited 3"]
    twist_first: Bool[Tensor, "limited 1 1"]
    low: Float[Tensor, "limited 4"]
    high: Float[Tensor, "limited 4"]


@functools.cache
def _limited() -> _Limited:
    found = []
    for name in JOINT:
        side, _, part = name.rpartition("_")
        part = part if side in ("left", "right") else name
        if part in RANGES:
            found.append((name, part, vector(-1 if side == "right" else 1, 1, 1)))
    ranges = torch.tensor([[RANGES[part].twist, *RANGES[part].swing] for _, part, _ in found]).double()
    ranges = ranges * (math.pi / 180)
    return _Limited(
        names=tuple(name for name, _, _ in found),
        joints=[JOINT[name] for name, _, _ in found],
        axes=torch.stack([_twist_axis(part) for _, part, _ in found]),
        mirror=torch.stack([mirror for *_, mirror in found]),
        twist_first=torch.tensor([part == "wrist" for _, part, _ in found])[:, None, None],
        low=ranges[..., 0],
        high=ranges[..., 1],
    )


def _leave_turns(changed: Tensor, before: Tensor, corrected: Tensor) -> None:
    """Clear `changed` in runs of frames in which the correction leaps from one bound to another."""

    def step(local: Tensor) -> Tensor:
        # |A - B|^2 is 4 - 4 cos of the angle between both, which the chord underestimates beyond a third of a turn.
        return ((local[1:] - local[:-1]) ** 2).sum((-1, -2)).div(8).clamp(max=1).sqrt().asin() * 2

    torn = changed[1:] & changed[:-1] & (step(corrected) > step(before) + _TORN)
    for frame, joint in torn.nonzero().tolist():
        first = last = frame
        while first >= 0 and changed[first, joint]:
            first -= 1
        while last < len(changed) and changed[last, joint]:
            last += 1
        changed[first + 1 : last, joint] = False


def _twist_axis(part: str) -> Float[Tensor, "3"]:
    """Axis along the bone of a left joint; a foot lies along no axis, its rotation about the shank counts as twist."""
    bone = rig().bone(f"left_{part}", f"left_{_CHILD[part]}") if part in _CHILD else vector(0, 1, 0)
    bone = {"foot": vector(0, 0, 1), "ankle": vector(0, 1, 0)}.get(part, bone)
    return bone / bone.norm()


def _mirror(local: Tensor, limited: _Limited) -> Tensor:
    """The mirror image of right joints in x = 0, which are left joints; and back."""
    return limited.mirror[:, :, None] * local * limited.mirror[:, None, :]


def _split(local: Float[Tensor, "time limited 3 3"], limited: _Limited) -> Float[Tensor, "time limited 4"]:
    """Twist about the bone and rotation vector of the swing of the bone, radians."""
    local = _mirror(local, limited)
    twist = twist_of(local, limited.axes)
    untwist = axis_angle_to_matrix(-twist[..., None] * limited.axes)
    swing = torch.where(limited.twist_first, untwist @ local, local @ untwist)
    return torch.cat([twist[..., None], quat_to_axis_angle(matrix_to_quat(swing))], dim=-1)


def _join(values: Float[Tensor, "time limited 4"], limited: _Limited) -> Float[Tensor, "time limited 3 3"]:
    """The rotations of these twists and swings."""
    turned = axis_angle_to_matrix(values[..., :1] * limited.axes)
    swung = axis_angle_to_matrix(values[..., 1:].contiguous())
    return _mirror(torch.where(limited.twist_first, turned @ swung, swung @ turned), limited)
