"""Pose arms that hang, swing, or bring a place on the hand to a place in the world.

The trunk is posed first. Directions are outwards, up, forward; computed in float64.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body.hands import hand_pose
from synthaug.body.limbs import (
    ELBOW_FLEXION_DEG,
    PRONATION_DEG,
    SIDES,
    WRIST_DEVIATION_DEG,
    WRIST_FLEXION_DEG,
    apply,
    bend,
    frame,
    rig,
    turn,
    twist_of,
    vector,
)
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_quat, quat_to_axis_angle, quat_to_matrix, slerp
from synthaug.body.skeleton import JOINT
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.motions.procedural.timing import Clock, drift, ease

Triple: TypeAlias = tuple[float | int, float | int, float | int]


@dataclass(frozen=True, eq=False)
class Spot:
    """A place that a hand goes to.

    Attributes:
        landmark: A name from `LimbRig.landmarks` ("ear" is the one on the arm's own side, "other_ear" the other one),
            or "world", whose origin is the floor under the performer.
        offset: From the landmark: outwards (away from the body's middle on the arm's side), up, forward; metres, in the
            frame of the joint that carries the landmark.
    """

    landmark: str
    offset: Triple | Float[Tensor, "time 3"] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Reach:
    """An arm that reaches: a place on the hand meets a place in the world.

    Directions are outwards, up, forward.

    Attributes:
        spot: The place in the world.
        contact: The place on the hand, from `Hand.contacts`.
        palm: Direction that the palm faces; None leaves the hand in line with the forearm, turned by `wrist`.
        fingers: Direction of the fingers, if `palm` is given.
        aim: Joint in whose frame `palm` and `fingers` are given, or "world".
        pole: Direction of the elbow, in the frame of the chest.
        wrist: Pronation, flexion and radial deviation, radians, if `palm` is None.
        shape: Shape of the hand, from `hands.SHAPES`.
    """

    spot: Spot
    contact: str = "wrist"
    palm: Triple | Float[Tensor, "time 3"] | None = None
    fingers: Triple | Float[Tensor, "time 3"] = (0.0, 1.0, 0.0)
    aim: str = "spine3"
    pole: Triple = (0.5, -1.0, -0.2)
    wrist: Triple = (0.0, 0.0, 0.0)
    shape: str = "relaxed"


@dataclass(frozen=True, eq=False)
class Hang:
    """An arm that hangs or swings from the shoulder. Radians.

    Attributes:
        swing: Forward swing of the upper arm.
        abduct: Angle away from the body's middle.
        flex: Flexion of the elbow.
        rotate: Inward rotation of the upper arm about itself.
        pronate: Pronation of the forearm.
        gravity: 0 to 1: how much the arm hangs down when the trunk tilts.
        shape: Shape of the hand.
    """

    swing: float | Float[Tensor, " time"] = 0.05
    abduct: float | Float[Tensor, " time"] = 0.17
    flex: float | Float[Tensor, " time"] = 0.3
    rotate: float = 0.25
    pronate: float = 0.15
    gravity: float = 0.6
    shape: str = "relaxed"


@dataclass(frozen=True, eq=False)
class Key:
    """One change of an arm: it moves to `pose` between `start` and `end`, which are shares of the action."""

    start: float
    end: float
    pose: Reach | Hang


@dataclass(frozen=True, eq=False)
class PosedTrunk:
    """The posed trunk: world orientations and positions of its joints, with the clock and style of the performance."""

    R: dict[str, Tensor]
    p: dict[str, Tensor]
    clock: Clock
    style: PerformerStyle


@dataclass(frozen=True, eq=False)
class ArmAngles:
    """One arm's angles: local rotations as quaternions (wxyz), and scalars in radians."""

    collar: Float[Tensor, "time 2"]
    shoulder: Float[Tensor, "time 4"]
    elbow: Float[Tensor, "time 4"]
    wrist: Float[Tensor, "time 3"]
    fingers: Float[Tensor, "time 15 3"]


def put_arm(local: Tensor, side: str, arm: ArmAngles, stage: PosedTrunk) -> None:
    """Write one arm; elbow and wrist share the forearm's twist, so that the skin does not collapse."""
    sign = SIDES[side]
    lift, forward = arm.collar.unbind(-1)
    local[:, JOINT[f"{side}_collar"]] = _collar_rotation(lift, forward, sign)
    t, phase = stage.clock.t, stage.style.phase + sign
    unrest = 0.012 * (0.4 + stage.style.energy)
    wander = torch.stack([drift(t, rate=0.4, phase=phase + k) for k in range(3)], dim=-1) * unrest
    local[:, JOINT[f"{side}_shoulder"]] = axis_angle_to_matrix(wander) @ quat_to_matrix(arm.shoulder)
    twist = turn(_forearm_axis(side), 0.5 * arm.wrist[:, 0])
    local[:, JOINT[f"{side}_elbow"]] = quat_to_matrix(arm.elbow) @ twist
    local[:, JOINT[f"{side}_wrist"]] = twist @ _wrist_rotation(arm.wrist[:, 1], arm.wrist[:, 2], sign)


def _collar_rotation(lift: Tensor, forward: Tensor, sign: float) -> Tensor:
    """Rotation of a collar that lifts its shoulder and brings it forward."""
    return turn(vector(0, 0, 1), sign * lift) @ turn(vector(0, 1, 0), -sign * forward)


def _forearm_axis(side: str) -> Tensor:
    """Axis of pronation; on both sides it points to +x at rest."""
    return normalize(rig().arms[side].lower, dim=0) * SIDES[side]


def _wrist_rotation(flexion: Tensor, deviation: Tensor, sign: float) -> Tensor:
    """Rotation of a wrist without twist."""
    zero = torch.zeros_like(flexion)
    return axis_angle_to_matrix(torch.stack([zero, -sign * deviation, -sign * flexion], dim=-1))


def blend_keys(keys: tuple[Key, ...], side: str, stage: PosedTrunk) -> ArmAngles:
    """Blend the poses of all keys into one arm over time, later keys over earlier ones.

    The hand lags a little behind the shoulder, as in relaxed reaching.
    """
    arm = _solve_hang(Hang(), side, stage)
    u = stage.clock.u
    for key, goal in zip(keys, _solve_keys(keys, side, stage), strict=True):
        late = 0.25 * (key.end - key.start)
        s = ease(u, key.start, key.end - 0.4 * late)
        hand = ease(u, key.start + late, key.end)
        arm = ArmAngles(
            collar=torch.lerp(arm.collar, goal.collar, s[:, None]),
            shoulder=slerp(arm.shoulder, goal.shoulder, s[:, None]),
            elbow=slerp(arm.elbow, goal.elbow, ease(u, key.start, key.end)[:, None]),
            wrist=torch.lerp(arm.wrist, goal.wrist, hand[:, None]),
            fingers=torch.lerp(arm.fingers, goal.fingers, hand[:, None, None]),
        )
    return arm


def _solve_keys(keys: tuple[Key, ...], side: str, stage: PosedTrunk) -> list[ArmAngles]:
    """Solve each key's pose for every frame; a pose that is used several times is solved once."""
    distinct = {id(key.pose): key.pose for key in keys}
    reaches = {name: pose for name, pose in distinct.items() if isinstance(pose, Reach)}
    arms = dict(zip(reaches, _solve_reaches(tuple(reaches.values()), side, stage), strict=True)) if reaches else {}
    arms |= {name: _solve_hang(pose, side, stage) for name, pose in distinct.items() if isinstance(pose, Hang)}
    return [arms[id(key.pose)] for key in keys]


def _solve_hang(pose: Hang, side: str, stage: PosedTrunk) -> ArmAngles:
    """Solve an arm that hangs or swings."""
    sign, zero = SIDES[side], torch.zeros_like(stage.clock.t)
    chest = stage.R["spine3"]
    # The heading comes from the chest's left axis, which stays level when the trunk bends.
    left = chest[..., 0] * vector(1, 0, 1)
    upright = frame(left, vector(0, 1, 0).expand_as(left))
    share = (zero + pose.gravity)[:, None]
    R = quat_to_matrix(slerp(matrix_to_quat(chest), matrix_to_quat(upright), share))
    R = R @ turn(vector(1, 0, 0), -(zero + pose.swing))
    lowered = torch.pi / 2 - (zero + pose.abduct + 0.3 * stage.style.elbow)
    R = R @ turn(vector(0, 0, -sign), lowered) @ turn(vector(1, 0, 0), zero + pose.rotate)
    return ArmAngles(
        collar=torch.stack([zero, zero], dim=-1),
        shoulder=matrix_to_quat(chest.mT @ R),
        elbow=matrix_to_quat(turn(rig().arms[side].hinge, zero + pose.flex)),
        wrist=torch.stack([zero + pose.pronate, zero, zero], dim=-1),
        fingers=hand_pose(pose.shape, side).expand(len(zero), 15, 3),
    )


def _to_side(direction: Triple | Tensor, side: str) -> Tensor:
    """Convert outwards, up, forward to x, y, z."""
    value = direction if isinstance(direction, Tensor) else vector(*direction)
    return value * vector(SIDES[side], 1, 1)


def place_of(spot: Spot, side: str, stage: PosedTrunk) -> Float[Tensor, "time 3"]:
    """A spot's position in the world."""
    if spot.landmark == "world":
        return _to_side(spot.offset, side).expand_as(stage.p["world"])
    name = spot.landmark
    if name.startswith("other_"):
        name = ("left_" if side == "right" else "right_") + name.removeprefix("other_")
    elif name not in rig().landmarks:
        name = f"{side}_{name}"
    joint, rest = rig().landmarks[name]
    return stage.p[joint] + apply(stage.R[joint], rest + _to_side(spot.offset, side))


def _shrug(to: Tensor, chest: Tensor, side: str) -> tuple[Tensor, Tensor]:
    """Lift and forward rotation of the collar that accompany a reach, radians.

    The shoulder blade gives about a third of the arm's elevation (Inman, Saunders, Abbott, 1944); the collar joint of
    SMPL-X carries a part of that.
    """
    seen = normalize(apply(chest.mT, to), dim=-1) * vector(SIDES[side], 1, 1)
    lift = 0.24 * (seen[:, 1].clamp(-1, 1).asin() + 0.35).clamp(min=0)
    forward = 0.16 * seen[:, 2].clamp(min=-0.5) + 0.14 * (-seen[:, 0]).clamp(min=0)
    return lift, forward


@dataclass(frozen=True, eq=False)
class _Aims:
    """Reaches of one arm, flattened over poses and time.

    Attributes:
        goal: Target of the contact, world.
        contact: The place on the hand, from the wrist at rest.
        pole: Direction of the elbow, world.
        hand: Orientation of the hand, world; arbitrary where it is free.
        free: Whether `wrist` sets the hand's orientation.
        wrist: Pronation, flexion and deviation where it is free.
    """

    goal: Tensor
    contact: Tensor
    pole: Tensor
    hand: Tensor
    free: Tensor
    wrist: Tensor


def _gather_aims(poses: tuple[Reach, ...], side: str, stage: PosedTrunk) -> _Aims:
    """Flatten the reaches over poses and time."""
    frames, hand = len(stage.clock.t), rig().hands[side]
    eye = torch.eye(3, dtype=torch.float64)
    goals, contacts, poles, hands, wrists = [], [], [], [], []
    for pose in poses:
        goals.append(place_of(pose.spot, side, stage))
        contacts.append(hand.contacts[pose.contact].expand(frames, 3))
        out, up, ahead = pose.pole
        poles.append(apply(stage.R["spine3"], _to_side((out + stage.style.elbow, up, ahead), side)))
        wrists.append(vector(*pose.wrist).expand(frames, 3))
        if pose.palm is None:
            hands.append(eye.expand(frames, 3, 3))
        else:
            r_aim = stage.R[pose.aim]
            fingers, palm = (apply(r_aim, _to_side(d, side).expand(frames, 3)) for d in (pose.fingers, pose.palm))
            hands.append(frame(fingers, palm) @ frame(hand.fingers, hand.palm).mT)
    free = torch.tensor([pose.palm is None for pose in poses]).repeat_interleave(frames)
    return _Aims(torch.cat(goals), torch.cat(contacts), torch.cat(poles), torch.cat(hands), free, torch.cat(wrists))


def _solve_reaches(poses: tuple[Reach, ...], side: str, stage: PosedTrunk) -> list[ArmAngles]:
    """Solve the arm's angles for each reach.

    The wrist's limits may turn the hand away from its aim, which moves the contact. Three further rounds correct this,
    each moving the wrist by the remaining error.
    """
    sign, limb, aims = SIDES[side], rig().arms[side], _gather_aims(poses, side, stage)
    chest = stage.R["spine3"].repeat(len(poses), 1, 1)
    collar = stage.p["spine3"].repeat(len(poses), 1) + apply(chest, rig().bone("spine3", f"{side}_collar"))
    to_shoulder = rig().bone(f"{side}_collar", f"{side}_shoulder")
    lift, forward = _shrug(aims.goal - collar - apply(chest, to_shoulder), chest, side)
    r_collar = chest @ _collar_rotation(lift, forward, sign)
    shoulder = collar + apply(r_collar, to_shoulder)
    wrist = aims.goal
    for _ in range(4):
        r_upper, r_lower = bend(limb, wrist - shoulder, aims.pole, flexion_deg=ELBOW_FLEXION_DEG)
        bends = torch.where(aims.free[:, None], aims.wrist, _solve_wrist(r_lower.mT @ aims.hand, side))
        r_hand = r_lower @ turn(_forearm_axis(side), bends[:, 0]) @ _wrist_rotation(bends[:, 1], bends[:, 2], sign)
        end = shoulder + apply(r_upper, limb.upper) + apply(r_lower, limb.lower)
        wrist = wrist + (aims.goal - end - apply(r_hand, aims.contact))
    collars = torch.stack([lift, forward], dim=-1)
    rows = (collars, matrix_to_quat(r_collar.mT @ r_upper), matrix_to_quat(r_upper.mT @ r_lower), bends)
    split = zip(*(row.chunk(len(poses)) for row in rows), strict=True)
    frames = len(stage.clock.t)
    return [
        ArmAngles(collar, upper, lower, bend, fingers=hand_pose(pose.shape, side).expand(frames, 15, 3))
        for pose, (collar, upper, lower, bend) in zip(poses, split, strict=True)
    ]


def _solve_wrist(local: Tensor, side: str) -> Tensor:
    """Pronation, flexion and deviation that bring the hand as close to an orientation as the wrist's limits allow."""
    sign, axis, most = SIDES[side], _forearm_axis(side), math.radians(PRONATION_DEG)
    twist = twist_of(local, axis).clamp(-most, most)
    rest = quat_to_axis_angle(matrix_to_quat(turn(axis, -twist) @ local))
    low, high = (math.radians(degrees) for degrees in WRIST_FLEXION_DEG)
    flexion = (-sign * rest[:, 2]).clamp(low, high)
    low, high = (math.radians(degrees) for degrees in WRIST_DEVIATION_DEG)
    return torch.stack([twist, flexion, (-sign * rest[:, 1]).clamp(low, high)], dim=-1)
