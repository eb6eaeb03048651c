"""Define shapes of hands (relaxed, fist, grip, pointing and so on) and turn them into finger angles.

Angles are degrees in the tables and radians elsewhere.
"""

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body.limbs import SIDES, rig

_FINGERS = ("index", "middle", "pinky", "ring")


@dataclass(frozen=True)
class HandShape:
    """A hand's shape, degrees: flexion of each finger's knuckle, middle and end joint.

    Attributes:
        index: Flexion of the index finger's three joints.
        middle: Flexion of the middle finger's.
        ring: Flexion of the ring finger's.
        pinky: Flexion of the little finger's.
        thumb: Flexion of its three joints towards the palm.
        spread: Angle between neighbouring fingers.
    """

    index: tuple[int, int, int]
    middle: tuple[int, int, int]
    ring: tuple[int, int, int]
    pinky: tuple[int, int, int]
    thumb: tuple[int, int, int]
    spread: float = 0.0


# Resting cascade and ranges: Tubiana, Thomine, Mackin, "Examination of the hand and wrist", 1998: 90, 100 and 80
# degrees at most, curl growing from index to little finger when nothing is held.
SHAPES: dict[str, HandShape] = {
    "flat": HandShape((3, 3, 2), (3, 3, 2), (3, 3, 2), (4, 3, 2), (2, 2, 2)),
    "relaxed": HandShape((18, 22, 10), (23, 28, 14), (26, 32, 16), (30, 34, 16), (12, 12, 10), 2.0),
    "fist": HandShape((78, 92, 55), (80, 95, 58), (80, 95, 58), (78, 92, 55), (28, 32, 35)),
    "grip": HandShape((42, 48, 25), (45, 50, 28), (48, 52, 28), (50, 50, 28), (25, 18, 15), 1.0),
    "hold": HandShape((30, 45, 20), (38, 50, 25), (42, 55, 28), (45, 55, 28), (16, 14, 8)),
    "pinch": HandShape((50, 42, 20), (52, 45, 24), (58, 60, 30), (60, 60, 30), (26, 22, 12)),
    "point": HandShape((2, 3, 2), (74, 90, 50), (78, 92, 55), (78, 90, 55), (28, 28, 25)),
    "spread": HandShape((2, 4, 2), (0, 4, 2), (0, 4, 2), (2, 4, 2), (-6, 0, 0), 9.0),
}


@functools.cache
def hand_pose(shape: str, side: str) -> Float[Tensor, "15 3"]:
    """Axis-angles of one hand's 15 joints in SMPL-X order (index, middle, little, ring, thumb)."""
    chosen, sign = SHAPES[shape], SIDES[side]
    curls = {"index": chosen.index, "middle": chosen.middle, "pinky": chosen.pinky, "ring": chosen.ring}
    # Position of the fingers across the hand, relative to the middle finger, which does not spread.
    fans = {"index": 1.0, "middle": 0.0, "ring": -1.0, "pinky": -2.0}
    hand = rig().hands[side]
    rows = []
    for finger in _FINGERS:
        for k, degrees in enumerate(curls[finger]):
            bone = _bone_direction(side, finger, k)
            # Flexion turns the bone towards the palm; spread turns it towards the thumb.
            axis = normalize(torch.linalg.cross(bone, hand.palm), dim=0)
            fan = chosen.spread * fans[finger] * sign if k == 0 else 0.0
            rows.append(axis * degrees + hand.palm * fan)
    for k, degrees in enumerate(chosen.thumb):
        bone = _bone_direction(side, "thumb", k)
        goal = rig().bone(f"{side}_thumb1", f"{side}_pinky1") + 0.04 * hand.palm
        rows.append(normalize(torch.linalg.cross(bone, goal), dim=0) * degrees)
    return torch.deg2rad(torch.stack(rows))


def _bone_direction(side: str, finger: str, k: int) -> Float[Tensor, "3"]:
    """Direction of a finger's bone; the last bone, which ends in no joint, repeats the one before."""
    k = min(k, 1)
    return normalize(rig().bone(f"{side}_{finger}{k + 1}", f"{side}_{finger}{k + 2}"), dim=0)
