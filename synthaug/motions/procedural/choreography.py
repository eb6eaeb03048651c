"""Turn a `Score`, which says what each part of the body does, into joint angles (a `Motion`).

Actions write scores in terms such as "the grip goes to the mouth", for a right-handed performer who faces +z with the
pelvis over the origin. Computed in float64.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.limbs import ANKLE_DEG, KNEE_FLEXION_DEG, SIDES, SOLE, apply, bend, rig, turn, vector
from synthaug.body.mirroring import mirror
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from synthaug.body.skeleton import JOINT, joint_positions, lowest_heights, mean_skeleton, move_motion
from synthaug.motions.procedural.arms import Key, PosedTrunk, blend_keys, put_arm
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.motions.procedural.timing import Clock, drift
from synthaug.structures import Motion


@dataclass(frozen=True, eq=False)
class Foot:
    """Position and orientation of one foot.

    Attributes:
        ball: Position of the ball of a flat foot: across, height above the floor, forward, metres.
        yaw: Outward rotation, radians.
        pitch: Radians; positive lifts the heel about the ball, negative lifts the toes about the heel.
        free: 0 where the foot must reach its position, so that the pelvis sinks if necessary; 1 where it need not.
    """

    ball: Float[Tensor, "time 3"]
    yaw: Float[Tensor, " time"]
    pitch: Float[Tensor, " time"]
    free: Float[Tensor, " time"]


@dataclass(frozen=True, eq=False)
class Score:
    """What each part of the body does over time, before it becomes joint angles.

    Angles are pitch (forward), yaw (to the left), roll (to the right), radians.

    Attributes:
        pelvis: Shift from the position over the origin at standing height, metres.
        tilt: Rotation of the pelvis.
        spine: Rotation of the chest relative to the pelvis.
        head: Rotation of the head relative to the chest.
        arms: Keys by side; before the first key the arms hang.
        feet: Feet by side.
        air: Height of the lowest point of the body above the floor, metres.
        jaw: Opening of the mouth, radians.
        sway: 0 to 1: amount of the sway of standing.
    """

    pelvis: Float[Tensor, "time 3"]
    tilt: Float[Tensor, "time 3"]
    spine: Float[Tensor, "time 3"]
    head: Float[Tensor, "time 3"]
    arms: Mapping[str, tuple[Key, ...]]
    feet: Mapping[str, Foot]
    air: Float[Tensor, " time"]
    jaw: Float[Tensor, " time"]
    sway: Float[Tensor, " time"]


def stand_still(clock: Clock, style: PerformerStyle) -> Score:
    """Stand with hanging arms; every action starts from this score."""
    zeros = torch.zeros(len(clock.t), 3, dtype=torch.float64)
    return Score(
        pelvis=zeros,
        tilt=zeros,
        spine=zeros,
        head=zeros,
        arms={"left": (), "right": ()},
        feet={side: plant_foot(clock, style, side) for side in SIDES},
        air=zeros[:, 0],
        jaw=zeros[:, 0],
        sway=torch.ones_like(zeros[:, 0]),
    )


def plant_foot(clock: Clock, style: PerformerStyle, side: str) -> Foot:
    """Put a foot flat on the floor beside the other one."""
    ball = rig().bone(f"{side}_ankle", f"{side}_foot")
    # Feet turn out by about 8 degrees, and the feet of different people unequally (McIlroy and Maki, 1997).
    yaw = 0.14 + 0.05 * style.asymmetry * SIDES[side]
    # The foot turns out about its ankle, which stays under the hip.
    across = float(rig().at(f"{side}_hip")[0]) * style.stance + SIDES[side] * float(ball[2]) * math.sin(yaw)
    forward = float(rig().at(f"{side}_foot")[2]) + 0.02 * style.asymmetry * SIDES[side]
    zero = torch.zeros_like(clock.t)
    return Foot(ball=vector(across, 0.0, forward).expand(len(clock.t), 3), yaw=zero + yaw, pitch=zero, free=zero)


def motion_of(score: Score, clock: Clock, style: PerformerStyle, *, fps: float) -> Motion:
    """The motion that a score describes, on the mean skeleton, on the floor.

    For a left-handed performer it is mirrored. Finally it is turned by the style's yaw.
    """
    score = _add_unrest(score, clock, style)
    r_pelvis = _tilt_rotation(score.tilt)
    ankles = {side: _ankle_pose(score.feet[side], side) for side in SIDES}
    transl = _place_pelvis(score, r_pelvis, ankles)
    stage = _pose_trunk(score, r_pelvis, transl, (clock, style))
    local = _identity(len(clock.t))
    _put_trunk(local, score, r_pelvis)
    arms = {side: blend_keys(score.arms[side], side, stage) for side in SIDES}
    for side in SIDES:
        _put_leg(local, side, score.feet[side], ankles[side], stage)
        put_arm(local, side, arms[side], stage)
    pose = matrix_to_axis_angle(local)
    pose[:, 25:55] = torch.cat([arms["left"].fingers, arms["right"].fingers], dim=1)
    pose[:, JOINT["jaw"]] = torch.stack([score.jaw, 0 * score.jaw, 0 * score.jaw], dim=-1)
    motion = Motion.from_pose(pose.float(), transl.float(), fps=fps)
    motion = _centre_path(put_on_floor(motion, score.air))
    if style.handedness == "left":
        motion = mirror(motion)
    r_yaw = axis_angle_to_matrix(vector(0, style.yaw, 0)).float()
    return move_motion(motion, r_yaw, torch.zeros(3))


def put_on_floor(motion: Motion, air: Float[Tensor, " time"]) -> Motion:
    """Lift or lower each frame so that the lowest point of the body has the given height."""
    shift = torch.zeros_like(motion.transl)
    shift[:, 1] = air.to(shift) - lowest_heights(joint_positions(motion, mean_skeleton()))
    return replace(motion, transl=motion.transl + shift)


def _centre_path(motion: Motion) -> Motion:
    """Move the middle of the pelvis's path over the origin."""
    path = motion.transl[:, [0, 2]]
    middle = (path.amin(dim=0) + path.amax(dim=0)) / 2
    shift = torch.stack([middle[0], torch.zeros_like(middle[0]), middle[1]])
    return replace(motion, transl=motion.transl - shift)


def _identity(frames: int) -> Tensor:
    """Local rotations of all joints at rest."""
    return torch.eye(3, dtype=torch.float64).expand(frames, len(JOINT), 3, 3).clone()


def _tilt_rotation(angles: Tensor) -> Tensor:
    """Rotation by pitch, yaw, roll: roll first, yaw last."""
    pitch, yaw, roll = angles.unbind(-1)
    return turn(vector(0, 1, 0), yaw) @ turn(vector(1, 0, 0), pitch) @ turn(vector(0, 0, 1), roll)


def _add_unrest(score: Score, clock: Clock, style: PerformerStyle) -> Score:
    """Add involuntary movement to a score: sway, breath, posture, a wandering gaze."""
    t, sway, phase = clock.t, score.sway, style.phase
    e = 0.4 + style.energy
    # Sway of quiet stance is 5 to 15 mm; people who act move several times as much.
    x = sway * (0.016 * e * drift(t, rate=0.22, phase=phase) - 0.018 * style.asymmetry)
    z = sway * 0.012 * e * drift(t, rate=0.3, phase=phase + 2.1)
    turning = sway * 0.05 * e * drift(t, rate=0.2, phase=phase + 4.0)
    roll = sway * (0.03 * style.asymmetry - 0.012 * e * drift(t, rate=0.22, phase=phase))
    # Resting adults breathe about 15 times a minute.
    breath = 0.012 * torch.sin(2 * torch.pi * 0.25 * t + phase)
    gaze = 0.05 * e * drift(t, rate=0.35, phase=phase + 1.0)
    zero = torch.zeros_like(t)
    return replace(
        score,
        pelvis=score.pelvis + torch.stack([x, zero, z], dim=-1),
        tilt=score.tilt + torch.stack([0.4 * style.lean * sway, 0.3 * turning, roll], dim=-1),
        spine=score.spine + torch.stack([style.slouch + 0.6 * style.lean - breath, 0.7 * turning, -1.4 * roll], dim=-1),
        head=score.head
        + torch.stack([0.5 * gaze - 0.8 * style.slouch - 0.7 * style.lean, gaze, 0.4 * roll + 0.3 * gaze], dim=-1),
    )


def _ankle_pose(foot: Foot, side: str) -> tuple[Tensor, Tensor]:
    """Position of the ankle and orientation of the foot in the world."""
    sign = SIDES[side]
    to_ankle = rig().bone(f"{side}_foot", f"{side}_ankle")
    r_yaw = turn(vector(0, 1, 0), sign * foot.yaw)
    r_foot = r_yaw @ turn(vector(1, 0, 0), foot.pitch)
    heel = to_ankle - heel_to_ankle(side)
    floor = foot.ball + vector(0, SOLE, 0)
    about_ball = floor + apply(r_foot, to_ankle)
    about_heel = floor + apply(r_yaw, heel) + apply(r_foot, to_ankle - heel)
    ankle = torch.where(foot.pitch[:, None] > 0, about_ball, about_heel)
    return ankle, r_foot


def heel_to_ankle(side: str) -> Float[Tensor, "3"]:
    """From the heel's lowest point to the ankle of a standing foot.

    The heel is on the sole's plane, behind the ankle by a seventh of the foot (Winter, 2009).
    """
    to_ankle = rig().bone(f"{side}_foot", f"{side}_ankle")
    return vector(0, float(to_ankle[1]) + SOLE, 0.3 * float(to_ankle.norm()))


def _place_pelvis(score: Score, r_pelvis: Tensor, ankles: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
    """Position of the pelvis: as the score says, but no higher than the legs allow.

    A soft minimum with a radius of 1 mm prevents knees from snapping straight.
    """
    place = score.pelvis + vector(0, rig().standing, 0)
    heights = [place[:, 1]]
    for side, (ankle, _) in ankles.items():
        hip = apply(r_pelvis, rig().at(f"{side}_hip"))
        across = (place + hip - ankle)[:, [0, 2]].square().sum(-1)
        # A standing knee is bent by about 7 degrees, never locked.
        rise = ((0.9992 * rig().legs[side].reach) ** 2 - across).clamp(min=1e-4).sqrt()
        heights.append(ankle[:, 1] + rise - hip[:, 1] + 2 * score.feet[side].free)
    softest = -0.001 * torch.logsumexp(-torch.stack(heights) / 0.001, dim=0)
    return torch.stack([place[:, 0], softest, place[:, 2]], dim=-1)


SPINE_SHARES = {"spine1": (0.36, 0.2, 0.4), "spine2": (0.34, 0.3, 0.3), "spine3": (0.3, 0.5, 0.3)}
"""Shares of pitch, yaw and roll: the lower back bends most and twists least (White and Panjabi, 1990)."""
HEAD_SHARES = {"neck": (0.45, 0.5, 0.5), "head": (0.55, 0.5, 0.5)}


def _put_trunk(local: Tensor, score: Score, r_pelvis: Tensor) -> None:
    """Write pelvis, spine and head."""
    local[:, 0] = r_pelvis
    for shares, angles in ((SPINE_SHARES, score.spine), (HEAD_SHARES, score.head)):
        for name, share in shares.items():
            local[:, JOINT[name]] = _tilt_rotation(angles * vector(*share))


def _pose_trunk(score: Score, r_pelvis: Tensor, transl: Tensor, who: tuple[Clock, PerformerStyle]) -> PosedTrunk:
    """Forward kinematics of the trunk."""
    eye = torch.eye(3, dtype=torch.float64).expand_as(r_pelvis)
    R, p = {"pelvis": r_pelvis, "world": eye}, {"pelvis": transl, "world": torch.zeros_like(transl)}
    parent = "pelvis"
    for shares, angles in ((SPINE_SHARES, score.spine), (HEAD_SHARES, score.head)):
        for name, share in shares.items():
            p[name] = p[parent] + apply(R[parent], rig().bone(parent, name))
            R[name] = R[parent] @ _tilt_rotation(angles * vector(*share))
            parent = name
    return PosedTrunk(R=R, p=p, clock=who[0], style=who[1])


def _put_leg(local: Tensor, side: str, foot: Foot, ankle: tuple[Tensor, Tensor], stage: PosedTrunk) -> None:
    """Write one leg: the ankle at its position, the knee over the toes, the toes flat on the floor."""
    place, r_foot = ankle
    r_pelvis = stage.R["pelvis"]
    hip = stage.p["pelvis"] + apply(r_pelvis, rig().at(f"{side}_hip"))
    toes = apply(turn(vector(0, 1, 0), SIDES[side] * foot.yaw), vector(0, 0, 1))
    # Knees point forward, and up where the leg itself points forward, as on the floor or in a kick.
    pole = apply(r_pelvis, vector(0.12 * SIDES[side], 0.6, 1)) + toes
    r_thigh, r_shank = bend(rig().legs[side], place - hip, pole, flexion_deg=KNEE_FLEXION_DEG)
    local[:, JOINT[f"{side}_hip"]] = r_pelvis.mT @ r_thigh
    local[:, JOINT[f"{side}_knee"]] = r_thigh.mT @ r_shank
    low, high = (math.radians(degrees) for degrees in ANKLE_DEG)
    turned = matrix_to_axis_angle(r_shank.mT @ r_foot)
    # Dorsiflexion lifts the toes: a negative rotation about x.
    held = torch.stack(
        [turned[:, 0].clamp(-high, -low), turned[:, 1].clamp(-0.5, 0.5), turned[:, 2].clamp(-0.5, 0.5)],
        dim=-1,
    )
    local[:, JOINT[f"{side}_ankle"]] = axis_angle_to_matrix(held)
    # Toes stay flat while the heel rises; they bend up to 60 degrees.
    local[:, JOINT[f"{side}_foot"]] = turn(vector(-1, 0, 0), foot.pitch.clamp(0, 1.05) * (1 - foot.free))
