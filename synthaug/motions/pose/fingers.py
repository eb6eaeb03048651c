"""Solve finger angles from mediapipe's 21 points of a hand, and give its knuckles to the body's fit. Pure functions.

A finger has three hinges, and the first can also spread. Any other rotation in the points is noise and is ignored.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body.rotations import matrix_to_axis_angle
from synthaug.body.skeleton import JOINT, Skeleton
from synthaug.motions.fitting.landmarks import Landmarks
from synthaug.motions.fitting.markers import smooth
from synthaug.motions.fitting.starts import kabsch, rotation_onto

_SIDES = ("left", "right")
_FINGERS = {"index": 5, "middle": 9, "pinky": 17, "ring": 13, "thumb": 1}
"""Fingers in SMPL-X order, with the first of their four mediapipe points."""
_PALM = {"wrist": 0, "index1": 5, "middle1": 9, "ring1": 13, "pinky1": 17}
_KNUCKLES = ((17, "pinky1"), (19, "index1"))
"""The body's landmarks of the left hand that the hand's points replace; the right hand's numbers are one higher."""
_FLEXION_DEG = {1: (-30.0, 95.0), 2: (-5.0, 110.0), 3: (-5.0, 85.0)}
"""Range of flexion of knuckle, middle and end joint of a finger, degrees.

Source:
    Tubiana, Thomine and Mackin, "Examination of the hand and wrist", 1998: 90, 100 and 80 at most.
"""
_MAX_SPREAD = 25.0
_MAX_THUMB = (60.0, 60.0, 80.0)
"""Largest rotation of the thumb's joints in any direction, degrees."""
_MIN_PALM = 12.0
"""Smallest distance from the wrist to the middle knuckle, pixels; in smaller hands fingers are three pixels thick."""
_SMOOTHING_SECONDS = 0.05
"""Standard deviation of the Gaussian over time, seconds: hands are quick, and jitter."""
_FADE_SECONDS = 0.2
"""Seconds in which a lost hand comes to rest."""
_KNUCKLE_VISIBILITY = 0.95
"""Visibility of knuckles that the hand network has seen."""


@dataclass(frozen=True, eq=False)
class Hands:
    """Both hands over time as mediapipe detects them; nan where unseen.

    Attributes:
        points: Left and right; pixels and depth in pixels, mediapipe's axes (x right, y down, z away from the viewer).
    """

    points: Float[Tensor, "time 2 21 3"]

    @property
    def seen(self) -> Float[Tensor, "time 2"]:
        """1 where a hand is detected and large enough to distinguish its fingers, else 0."""
        palm = (self.points[:, :, 9] - self.points[:, :, 0]).norm(dim=-1)
        return (self.points.isfinite().all(-1).all(-1) & (palm >= _MIN_PALM)).float()


def finger_poses(hands: Hands, skeleton: Skeleton, *, fps: float) -> tuple[Tensor, Tensor]:
    """Axis-angles of the 15 joints of the left and of the right hand, [time, 15, 3] each, SMPL-X order.

    The rotation of the palm belongs to the wrist and is removed. Fingers of a lost hand come to rest within a fifth of
    a second.

    Args:
        hands: Points of both hands.
        skeleton: The performer's skeleton.
        fps: Frames per second.
    """
    poses = []
    for k, side in enumerate(_SIDES):
        seen = hands.seen[:, k]
        points = hands.points[:, k] * hands.points.new_tensor([1.0, -1.0, -1.0])
        centred = points - points[:, :1]
        sized = centred / centred[:, 9:10].norm(dim=-1, keepdim=True).clamp(min=1e-6)
        filled, _ = smooth(sized, seen[:, None].expand(-1, 21), _SMOOTHING_SECONDS * fps)
        share, _ = smooth(seen[:, None, None].expand(-1, 1, 1), torch.ones(len(seen), 1), _FADE_SECONDS / 2 * fps)
        # 1 while the hand is seen in most of the surrounding frames, 0 where it is seen in none.
        weight = (1.5 * share[:, 0]).clamp(0, 1)[:, None]
        poses.append(weight * _solve_hand(filled, side, skeleton))
    return poses[0], poses[1]


def _solve_hand(points: Float[Tensor, "time 21 3"], side: str, skeleton: Skeleton) -> Float[Tensor, "time 15 3"]:
    """Solve the angles of one hand's joints; its points (y up, z towards the viewer) are known in every frame."""
    wrist = skeleton.joints[JOINT[f"{side}_wrist"]]
    rest = torch.stack([skeleton.joints[JOINT[_joint_name(side, name)]] - wrist for name in _PALM])
    rest = rest / rest[2].norm()
    seen = points[:, list(_PALM.values())] - points[:, :1]
    palm = kabsch(rest, seen, torch.ones(len(points), len(_PALM)), torch.eye(3).expand(len(points), 3, 3))
    normal = _palm_normal(rest, side)
    result = []
    for finger, first in _FINGERS.items():
        turned = palm
        for joint in (1, 2, 3):
            bone = _bone_direction(side, finger, joint, skeleton)
            way = normalize(points[:, first + joint] - points[:, first + joint - 1], dim=-1)
            local = torch.einsum("tji,tj->ti", turned, way)
            goal = _limit_thumb(bone, local, joint) if finger == "thumb" else _limit_finger(bone, local, normal, joint)
            R = rotation_onto(bone.expand_as(goal), goal)
            turned = turned @ R
            result.append(R)
    return matrix_to_axis_angle(torch.stack(result, dim=1))


def _joint_name(side: str, name: str) -> str:
    return f"{side}_{name}"


def _palm_normal(rest: Float[Tensor, "5 3"], side: str) -> Float[Tensor, "3"]:
    """Normal out of the palm, which points down in the T-pose."""
    across = torch.linalg.cross(rest[1], rest[4])
    return normalize(across if side == "right" else -across, dim=0)


def _bone_direction(side: str, finger: str, joint: int, skeleton: Skeleton) -> Float[Tensor, "3"]:
    """Direction of a finger's bone in the T-pose; the last bone, which ends in no joint, repeats the one before."""
    first = min(joint, 2)
    a, b = (JOINT[f"{side}_{finger}{k}"] for k in (first, first + 1))
    return normalize(skeleton.joints[b] - skeleton.joints[a], dim=0)


def _limit_finger(
    bone: Float[Tensor, "3"], seen: Float[Tensor, "time 3"], normal: Float[Tensor, "3"], joint: int
) -> Float[Tensor, "time 3"]:
    """The allowed direction of a finger's bone nearest to the seen one: flexion and spread within their ranges."""
    down = normalize(normal - (normal @ bone) * bone, dim=0)
    aside = torch.linalg.cross(bone, down)
    along, low, out = (seen @ axis for axis in (bone, down, aside))
    least, most = (math.radians(degrees) for degrees in _FLEXION_DEG[joint])
    # Fingers of a fist point back at the palm, not up through the back of the hand.
    flex = torch.atan2(low, along)
    flex = torch.where(flex < -math.pi / 2, flex + 2 * math.pi, flex).clamp(least, most)
    spread = torch.zeros_like(flex)
    if joint == 1:
        limit = math.radians(_MAX_SPREAD)
        # Only straight fingers spread.
        spread = torch.atan2(out, (along**2 + low**2).sqrt()).clamp(-limit, limit) * flex.cos().clamp(min=0)
    flat = flex.cos()[:, None] * bone + flex.sin()[:, None] * down
    return spread.cos()[:, None] * flat + spread.sin()[:, None] * aside


def _limit_thumb(bone: Float[Tensor, "3"], seen: Float[Tensor, "time 3"], joint: int) -> Float[Tensor, "time 3"]:
    """The same for the thumb, whose joints turn in any direction up to a limit."""
    limit = math.radians(_MAX_THUMB[joint - 1])
    cosine = (seen @ bone).clamp(-1, 1)
    aside = normalize(seen - cosine[:, None] * bone, dim=-1)
    angle = cosine.acos().clamp(max=limit)[:, None]
    return angle.cos() * bone + angle.sin() * aside


def add_knuckles(seen: Landmarks, hands: Hands, skeleton: Skeleton) -> Landmarks:
    """Replace the body's knuckles of index and little finger by those of the hand network.

    They determine the rotation of the wrist, and the body network's estimate of them is rough. Depth comes from the
    hand's size.
    """
    world, pixels, visibility = seen.world.clone(), seen.pixels.clone(), seen.visibility.clone()
    for k, side in enumerate(_SIDES):
        there = (hands.seen[:, k] > 0) & seen.found
        points = hands.points[there, k]
        wrist = skeleton.joints[JOINT[f"{side}_wrist"]]
        names = [name for name in _PALM if name != "wrist"]
        ours = sum(float((skeleton.joints[JOINT[_joint_name(side, name)]] - wrist).norm()) for name in names)
        theirs = (points[:, [_PALM[name] for name in names]] - points[:, :1]).norm(dim=-1).sum(-1)
        metres = ours / theirs.clamp(min=1e-6)
        for landmark, name in _KNUCKLES:
            away = points[:, _PALM[name]] - points[:, 0]
            world[there, landmark + k] = world[there, 15 + k] + metres[:, None] * away
            pixels[there, landmark + k] = points[:, _PALM[name], :2]
            visibility[there, landmark + k] = _KNUCKLE_VISIBILITY
    return replace(seen, world=world, pixels=pixels, visibility=visibility)
