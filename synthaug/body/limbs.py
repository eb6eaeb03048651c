"""Solve two-bone inverse kinematics of arms and legs, and locate places on the body that hands go to.

Everything is derived from the mean skeleton at rest and computed in float64.
"""

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_quat
from synthaug.body.skeleton import JOINT, SUPPORTS, mean_skeleton

SIDES: dict[str, float] = {"left": 1.0, "right": -1.0}
"""Sign of x on each side of the body."""

MAX_STRETCH = 0.9995
"""Share of its full length to which a limb is stretched at most; beyond, the middle joint would snap."""

# Passive ranges of healthy adults in degrees. Source: AAOS, "Joint motion", 1965, and Norkin and White,
# "Measurement of joint motion", 5th edition, tables for each joint.
PRONATION_DEG = 85.0
WRIST_FLEXION_DEG = (-70.0, 75.0)
WRIST_DEVIATION_DEG = (-35.0, 22.0)
ELBOW_FLEXION_DEG = 148.0
KNEE_FLEXION_DEG = 150.0
ANKLE_DEG = (-50.0, 42.0)
"""Plantar flexion, and dorsiflexion under the body's weight (the lunge test's upper end; 20 degrees unloaded)."""


def vector(*xyz: float | int) -> Float[Tensor, "3"]:
    """A direction or position, float64."""
    return torch.tensor(xyz, dtype=torch.float64)


def turn(axis: Float[Tensor, "3"], angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about a unit axis."""
    return axis_angle_to_matrix(angle[..., None] * axis)


def frame(first: Float[Tensor, "*batch 3"], second: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Orthonormal columns: the first direction, the part of the second across it, and their cross product."""
    x = normalize(first, dim=-1)
    y = normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def apply(R: Float[Tensor, "*#batch 3 3"], points: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Rotate points."""
    return (R @ points[..., None]).squeeze(-1)


@dataclass(frozen=True, eq=False)
class Limb:
    """The two bones of a limb at rest: shoulder, elbow, wrist, or hip, knee, ankle.

    Attributes:
        upper: From the first joint to the second.
        lower: From the second to the end.
        hinge: Axis of the middle joint, about which positive angles flex it.
    """

    upper: Float[Tensor, "3"]
    lower: Float[Tensor, "3"]
    hinge: Float[Tensor, "3"]

    @property
    def reach(self) -> float:
        """Length when stretched as far as allowed."""
        return float(self.upper.norm() + self.lower.norm()) * MAX_STRETCH

    def closest(self, flexion_deg: float) -> float:
        """Distance of the ends at this flexion of the middle joint."""
        a, b = float(self.upper.norm()), float(self.lower.norm())
        return math.sqrt(a * a + b * b + 2 * a * b * math.cos(math.radians(flexion_deg)))


def bend(
    limb: Limb, to: Float[Tensor, "time 3"], pole: Float[Tensor, "time 3"], *, flexion_deg: float
) -> tuple[Float[Tensor, "time 3 3"], Float[Tensor, "time 3 3"]]:
    """Orientations of both bones that bring the end to `to`: two-bone inverse kinematics in closed form.

    If `to` is out of reach, the end comes as close as the limb's length and flexion allow.

    Args:
        limb: The limb at rest.
        to: Goal of the end, relative to the first joint, in any frame.
        pole: Direction of the middle joint, in the same frame; only the part across `to` counts.
        flexion_deg: Largest flexion of the middle joint.

    Returns:
        Rotations of the upper and the lower bone relative to the rest pose, in that frame.
    """
    a, b = limb.upper.norm(), limb.lower.norm()
    distance = to.norm(dim=-1).clamp(limb.closest(flexion_deg), limb.reach)
    n = normalize(to, dim=-1)
    e = normalize(pole - (pole * n).sum(-1, keepdim=True) * n, dim=-1)
    along = (a * a - b * b + distance**2) / (2 * distance)
    across = (a * a - along**2).clamp(min=0).sqrt()
    upper = along[:, None] * n + across[:, None] * e
    lower = distance[:, None] * n - upper
    hinge = -torch.linalg.cross(n, e)
    r_upper = frame(upper, hinge) @ frame(limb.upper, limb.hinge).mT
    r_lower = frame(lower, hinge) @ frame(limb.lower, limb.hinge).mT
    return r_upper, r_lower


@dataclass(frozen=True, eq=False)
class Hand:
    """One hand at rest, relative to its wrist.

    Attributes:
        fingers: Direction of the fingers.
        palm: Direction that the palm faces.
        contacts: Places on the hand by name, metres.
    """

    fingers: Float[Tensor, "3"]
    palm: Float[Tensor, "3"]
    contacts: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class LimbRig:
    """The limbs, hands and landmarks of the mean skeleton, from which choreography poses a body.

    Attributes:
        joints: Rest positions, float64.
        arms: Arms by side.
        legs: Legs by side.
        hands: Hands by side.
        landmarks: By name, such as "left_ear": the joint that carries it, and its offset from that joint at rest.
        standing: Height of the pelvis when the soles are on the floor.
    """

    joints: Float[Tensor, "55 3"]
    arms: dict[str, Limb]
    legs: dict[str, Limb]
    hands: dict[str, Hand]
    landmarks: dict[str, tuple[str, Tensor]]
    standing: float

    def at(self, name: str) -> Float[Tensor, "3"]:
        """Rest position of a joint."""
        return self.joints[JOINT[name]]

    def bone(self, start: str, end: str) -> Float[Tensor, "3"]:
        """From one joint to another at rest."""
        return self.at(end) - self.at(start)


SOLE = SUPPORTS["left_foot"]
"""Flesh and sole below the ball of the foot, metres."""


@functools.cache
def rig() -> LimbRig:
    """The limbs, hands and landmarks of the mean skeleton."""
    joints = mean_skeleton().joints.double()
    at = {name: joints[index] for name, index in JOINT.items()}

    def limb(names: tuple[str, str, str], hinge: Tensor) -> Limb:
        return Limb(at[names[1]] - at[names[0]], at[names[2]] - at[names[1]], hinge)

    arms = {
        side: limb((f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"), vector(0, -sign, 0))
        for side, sign in SIDES.items()
    }
    legs = {side: limb((f"{side}_hip", f"{side}_knee", f"{side}_ankle"), vector(1, 0, 0)) for side in SIDES}
    sole = min(float(at["left_foot"][1]), float(at["right_foot"][1])) - SOLE
    return LimbRig(
        joints=joints,
        arms=arms,
        legs=legs,
        hands={side: _hand(at, side) for side in SIDES},
        landmarks=_landmarks(at),
        standing=-sole,
    )


def _hand(at: dict[str, Tensor], side: str) -> Hand:
    """The hand of one side and the places on it."""
    wrist = at[f"{side}_wrist"]
    knuckles = (at[f"{side}_index1"] + at[f"{side}_middle1"] + at[f"{side}_pinky1"]) / 3 - wrist
    fingers = normalize(at[f"{side}_middle1"] - wrist, dim=0)
    across = at[f"{side}_index1"] - at[f"{side}_pinky1"]
    # On the left, the cross product of the fingers (x) and the thumb's side (z) faces out of the palm (-y).
    palm = normalize(torch.linalg.cross(fingers, across) * SIDES[side], dim=0)
    # Depth from the bones to the skin of the palm; for a grip, half a cup or phone is added.
    contacts = {
        "wrist": torch.zeros_like(wrist),
        "palm": 0.75 * knuckles + 0.022 * palm,
        "grip": 0.95 * knuckles + 0.045 * palm,
        "fingertips": at[f"{side}_middle3"] - wrist + 0.022 * fingers + 0.005 * palm,
        "index": at[f"{side}_index3"] - wrist + 0.022 * fingers,
        "knuckles": 1.1 * knuckles,
    }
    return Hand(fingers=fingers, palm=palm, contacts=contacts)


def _landmarks(at: dict[str, Tensor]) -> dict[str, tuple[str, Tensor]]:
    """Places on the body that hands go to.

    Places on the face are in units of the distance between the eyes, as measured on the mean body's skin (the mouth is
    1.13 below the eyes, the ears are 1.27 behind them, and so on); places on the trunk in units of the shoulder width.
    """
    eyes = (at["left_eye_smplhf"] + at["right_eye_smplhf"]) / 2
    pupils = float((at["left_eye_smplhf"] - at["right_eye_smplhf"]).norm())

    def face(x: float, y: float, z: float) -> tuple[str, Tensor]:
        return "head", eyes + pupils * vector(x, y, z) - at["head"]

    sternum = (at["left_collar"] + at["right_collar"]) / 2
    shoulders = float((at["left_shoulder"] - at["right_shoulder"]).norm())
    places = {
        "mouth": face(0.0, -1.13, 0.55),
        "eyes": face(0.0, 0.0, 0.3),
        "forehead": face(0.0, 0.8, 0.3),
        "crown": face(0.0, 1.85, -0.9),
        "chest": ("spine3", sternum + vector(0, -0.2, 0.3) * shoulders - at["spine3"]),
        "belly": ("spine1", vector(0, 0.0, 0.44) * shoulders),
    }
    for side, sign in SIDES.items():
        hip = at[f"{side}_hip"]
        places[f"{side}_ear"] = face(1.28 * sign, -0.27, -1.27)
        places[f"{side}_temple"] = face(1.1 * sign, 0.55, -0.25)
        places[f"{side}_shoulder"] = ("spine3", at[f"{side}_shoulder"] - at["spine3"])
        places[f"{side}_pocket"] = ("pelvis", hip + vector(0.28 * sign, 0.1, 0.12) * shoulders)
        places[f"{side}_thigh"] = ("pelvis", hip)
    return places


def twist_of(R: Float[Tensor, "*batch 3 3"], axis: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch"]:
    """Angle by which a rotation turns about an axis, -pi to pi.

    Source:
        Dobrowolski, "Swing-twist decomposition in Clifford algebra", 2015.
    """
    quat = matrix_to_quat(R)
    angle = 2 * torch.atan2((quat[..., 1:] * axis).sum(-1), quat[..., 0])
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
