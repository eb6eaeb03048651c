"""Measure by how much a motion exceeds the joint limits of a healthy adult.

Procedural actions are tested against these limits, and estimated motions are graded by them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
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
# About the T-pose's axes for a left limb: shoulder z -85 hangs, +90 is overhead, y -135 is across the chest; hip x
# -120 is flexion; elbow y -150 and knee x +150 are full flexion.
RANGES: Mapping[str, Range] = {
    "hip": Range((-60, 45), ((-130, 30), _ANY, (-30, 50))),
    "knee": Range((-10, 10), ((-2, 150), _ANY, (-6, 6))),
    "ankle": Range((-30, 30), ((-42, 50), (-30, 30), (-30, 30))),
    "foot": Range((-15, 15), ((-65, 30), (-15, 15), (-15, 15))),
    "collar": Range((-20, 20), (_ANY, (-30, 20), (-15, 40))),
    "shoulder": Range((-112, 100), (_ANY, (-145, 60), (-100, 100))),
    "elbow": Range((-90, 90), (_ANY, (-150, 5), (-8, 8))),
    "wrist": Range((-50, 50), (_ANY, (-25, 38), (-78, 75))),
    "spine1": Range((-12, 12), ((-15, 40), _ANY, (-20, 20))),
    "spine2": Range((-18, 18), ((-15, 40), _ANY, (-20, 20))),
    "spine3": Range((-25, 25), ((-15, 35), _ANY, (-20, 20))),
    "neck": Range((-45, 45), ((-35, 35), _ANY, (-25, 25))),
    "head": Range((-45, 45), ((-40, 30), _ANY, (-25, 25))),
}
"""By joint, without its side."""

_CHILD = {
    "hip": "knee", "knee": "ankle", "ankle": "foot", "collar": "shoulder", "shoulder": "elbow", "elbow": "wrist",
    "wrist": "middle1",
}  # fmt: skip


def excess(motion: Motion) -> dict[str, Float[Tensor, " time"]]:
    """Angle by which every joint exceeds its range, degrees; 0 within the range.

    Returns:
        Excess by joint name, without pelvis, face and fingers.
    """
    local = axis_angle_to_matrix(motion.pose.double())
    beyond = {}
    for name, index in JOINT.items():
        side, _, part = name.rpartition("_")
        part = part if side in ("left", "right") else name
        if part in RANGES:
            beyond[name] = _degrees_beyond(local[:, index], RANGES[part], part, side)
    return beyond


def _degrees_beyond(local: Tensor, allowed: Range, part: str, side: str) -> Tensor:
    """Degrees by which one joint exceeds its range."""
    if side == "right":
        # The mirror image in x = 0 is a left joint.
        flip = torch.diag(vector(-1, 1, 1))
        local = flip @ local @ flip
    bone = rig().bone(f"left_{part}", f"left_{_CHILD[part]}") if part in _CHILD else vector(0, 1, 0)
    if part == "foot":
        bone = vector(0, 0, 1)
    # A foot's bone lies along no axis; its rotation about the shank counts as twist.
    axis = vector(0, 1, 0) if part == "ankle" else bone / bone.norm()
    twist = twist_of(local, axis)
    untwist = axis_angle_to_matrix(-twist[:, None] * axis)
    # At the wrist the forearm's twist comes before the swing; at all other joints the twist comes after it.
    rest = untwist @ local if part == "wrist" else local @ untwist
    swing = quat_to_axis_angle(matrix_to_quat(rest))
    values = torch.cat([twist[:, None], swing], dim=1) * (180 / math.pi)
    ranges = torch.tensor([allowed.twist, *allowed.swing], dtype=torch.float64)
    outside = torch.maximum(ranges[:, 0] - values, values - ranges[:, 1]).clamp(min=0)
    return outside.amax(dim=1)
