"""From what a performer means to do (a `Score`) to joint angles (a `Motion`).

Between the actions, which write scores in words such as "the grip goes to the mouth", and the skeleton. Scores are
written for a right-handed performer who faces +z with the pelvis over the origin; float64 inside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body import (
    JOINT,
    axis_angle_to_matrix,
    joint_positions,
    lowest,
    matrix_to_axis_angle,
    matrix_to_quat,
    mean_skeleton,
    moved,
    quat_to_axis_angle,
    slerp,
)
from synthaug.motions.hands import hand_pose
from synthaug.motions.limbs import (
    ANKLE_DEG,
    ELBOW_FLEXION_DEG,
    KNEE_FLEXION_DEG,
    PRONATION_DEG,
    SIDES,
    SOLE,
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
from synthaug.motions.style import PerformerStyle
from synthaug.motions.symmetry import mirrored
from synthaug.motions.timing import Clock, drift, eased
from synthaug.structures import Motion, quats_to_matrices

Triple = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Spot:
    """A place that a hand goes to.

    Attributes:
        landmark: A name out of `Rig.landmarks` ("ear" and the like mean the arm's own side, "other_ear" the other
            one's), or "world", whose origin is the floor under the performer.
        offset: From there: outwards (away from the body's middle on the arm's side), up, forward; metres, in the frame
            of the joint that carries the landmark.
    """

    landmark: str
    offset: Triple | Float[Tensor, "time 3"] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Reach:
    """An arm that goes somewhere: a place on the hand meets a place in the world.

    Directions are outwards, up, forward.

    Attributes:
        spot: Where to.
        contact: Which place on the hand, out of `Hand.contacts`.
        palm: Where the palm shall face; None leaves the hand in line with the forearm, turned by `wrist`.
        fingers: Where the fingers shall point, if `palm` is given.
        aim: Joint in whose frame `palm` and `fingers` are meant, or "world".
        pole: Where the elbow shall point, in the frame of the chest.
        wrist: Pronation, flexion and radial deviation, radians, if `palm` is None.
        shape: Of the hand, out of `hands.SHAPES`.
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
        swing: Forward.
        abduct: Away from the body's middle.
        flex: Of the elbow.
        rotate: Of the upper arm about itself, inwards.
        pronate: Of the forearm.
        gravity: 0 to 1: how much the arm hangs down when the trunk tilts.
        shape: Of the hand.
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
    """One change of an arm: from `start` to `end`, shares of the action, it comes to `pose`."""

    start: float
    end: float
    pose: Reach | Hang


@dataclass(frozen=True, eq=False)
class Foot:
    """Where one foot is.

    Attributes:
        ball: Where the ball would be if it stood flat: across, height above the floor, forward, metres.
        yaw: Outwards, radians.
        pitch: Radians; positive lifts the heel about the ball, negative lifts the toes about the heel.
        free: 0 where the foot must reach its place, so that the pelvis comes down for it; 1 where it need not.
    """

    ball: Float[Tensor, "time 3"]
    yaw: Float[Tensor, " time"]
    pitch: Float[Tensor, " time"]
    free: Float[Tensor, " time"]


@dataclass(frozen=True, eq=False)
class Score:
    """What a performer does with each part, before it becomes joint angles.

    Angles are pitch (forward), yaw (to the left), roll (to the right), radians.

    Attributes:
        pelvis: Shift from the place over the origin at standing height, metres.
        tilt: Of the pelvis.
        spine: Of the chest against the pelvis.
        head: Of the head against the chest.
        arms: By side; before the first key they hang.
        feet: By side.
        air: Height of the lowest point of the body above the floor, metres.
        jaw: Opening of the mouth, radians.
        sway: 0 to 1: how much of the unrest of standing there is.
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


@dataclass(frozen=True, eq=False)
class Stage:
    """The trunk once it is posed: orientations and positions of its joints in the world, and who performs."""

    R: dict[str, Tensor]
    p: dict[str, Tensor]
    clock: Clock
    style: PerformerStyle


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm's angles: local rotations as quaternions (wxyz), and scalars in radians."""

    collar: Float[Tensor, "time 2"]
    shoulder: Float[Tensor, "time 4"]
    elbow: Float[Tensor, "time 4"]
    wrist: Float[Tensor, "time 3"]
    fingers: Float[Tensor, "time 15 3"]


def still(clock: Clock, style: PerformerStyle) -> Score:
    """Standing with hanging arms: what every action starts from."""
    zeros = torch.zeros(len(clock.t), 3, dtype=torch.float64)
    return Score(
        pelvis=zeros,
        tilt=zeros,
        spine=zeros,
        head=zeros,
        arms={"left": (), "right": ()},
        feet={side: planted(clock, style, side) for side in SIDES},
        air=zeros[:, 0],
        jaw=zeros[:, 0],
        sway=torch.ones_like(zeros[:, 0]),
    )


def planted(clock: Clock, style: PerformerStyle, side: str) -> Foot:
    """A foot flat on the floor beside the other one."""
    ball = rig().bone(f"{side}_ankle", f"{side}_foot")
    across = float(rig().at(f"{side}_hip")[0]) * style.stance + float(ball[0])
    # Feet turn out by about 8 degrees, and the feet of different people unequally (McIlroy and Maki, 1997).
    yaw = 0.14 + 0.05 * style.asymmetry * SIDES[side]
    # The ankle, not the ball, stays under the hip.
    forward = float(rig().at(f"{side}_foot")[2]) + 0.02 * style.asymmetry * SIDES[side]
    zero = torch.zeros_like(clock.t)
    return Foot(ball=vector(across, 0.0, forward).expand(len(clock.t), 3), yaw=zero + yaw, pitch=zero, free=zero)


def motion_of(score: Score, clock: Clock, style: PerformerStyle, *, fps: float) -> Motion:
    """The motion that a score describes, on the mean skeleton, standing on the floor.

    Left-handed performers give the mirror image; last the whole is turned by the style's yaw.
    """
    score = _alive(score, clock, style)
    r_pelvis = _tilted(score.tilt)
    ankles = {side: _ankle(score.feet[side], side) for side in SIDES}
    transl = _carried(score, r_pelvis, ankles)
    stage = _trunk(score, r_pelvis, transl, (clock, style))
    local = _identity(len(clock.t))
    _put_trunk(local, score, r_pelvis)
    arms = {side: _blended(score.arms[side], side, stage) for side in SIDES}
    for side in SIDES:
        _put_leg(local, side, score.feet[side], ankles[side], stage)
        _put_arm(local, side, arms[side], stage)
    pose = matrix_to_axis_angle(local)
    pose[:, 25:55] = torch.cat([arms["left"].fingers, arms["right"].fingers], dim=1)
    pose[:, JOINT["jaw"]] = torch.stack([score.jaw, 0 * score.jaw, 0 * score.jaw], dim=-1)
    motion = Motion.from_pose(pose.float(), transl.float(), fps=fps)
    motion = _centred(grounded(motion, score.air))
    if style.handedness == "left":
        motion = mirrored(motion)
    r_yaw = turn(vector(0, 1, 0), vector(style.yaw)[0]).float()
    return moved(motion, r_yaw, torch.zeros(3))


def grounded(motion: Motion, air: Float[Tensor, " time"]) -> Motion:
    """The motion lifted or lowered in each frame so that the lowest point of the body is as high as given."""
    shift = torch.zeros_like(motion.transl)
    shift[:, 1] = air.to(shift) - lowest(joint_positions(motion, mean_skeleton()))
    return replace(motion, transl=motion.transl + shift)


def _centred(motion: Motion) -> Motion:
    """The motion with the middle of the pelvis's path over the origin."""
    path = motion.transl[:, [0, 2]]
    middle = (path.amin(dim=0) + path.amax(dim=0)) / 2
    shift = torch.stack([middle[0], torch.zeros_like(middle[0]), middle[1]])
    return replace(motion, transl=motion.transl - shift)


def _identity(frames: int) -> Tensor:
    """Local rotations of all joints at rest."""
    return torch.eye(3, dtype=torch.float64).expand(frames, len(JOINT), 3, 3).clone()


def _tilted(angles: Tensor) -> Tensor:
    """Rotation by pitch, yaw, roll: roll first, yaw last."""
    pitch, yaw, roll = angles.unbind(-1)
    return turn(vector(0, 1, 0), yaw) @ turn(vector(1, 0, 0), pitch) @ turn(vector(0, 0, 1), roll)


def _alive(score: Score, clock: Clock, style: PerformerStyle) -> Score:
    """The score with what nobody means to do: sway, breath, bearing, a wandering gaze."""
    t, sway, phase = clock.t, score.sway, style.phase
    e = 0.4 + style.energy
    # Sway of quiet stance is 5 to 15 mm; people asked to do something move several times as much.
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


def _ankle(foot: Foot, side: str) -> tuple[Tensor, Tensor]:
    """Position of the ankle and orientation of the foot in the world."""
    sign = SIDES[side]
    to_ankle = rig().bone(f"{side}_foot", f"{side}_ankle")
    r_yaw = turn(vector(0, 1, 0), sign * foot.yaw)
    r_foot = r_yaw @ turn(vector(1, 0, 0), foot.pitch)
    # The heel's lowest point: on the sole's plane, behind the ankle by a seventh of the foot (Winter, 2009).
    heel = to_ankle + vector(0, -float(to_ankle[1]) - SOLE, -0.3 * float(to_ankle.norm()))
    floor = foot.ball + vector(0, SOLE, 0)
    about_ball = floor + apply(r_foot, to_ankle)
    about_heel = floor + apply(r_yaw, heel) + apply(r_foot, to_ankle - heel)
    ankle = torch.where(foot.pitch[:, None] > 0, about_ball, about_heel)
    return ankle, r_foot


def _carried(score: Score, r_pelvis: Tensor, ankles: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
    """Position of the pelvis: where the score wants it, but no higher than the legs allow.

    A soft minimum with a radius of 4 mm, so that knees don't snap straight.
    """
    place = score.pelvis + vector(0, rig().standing, 0)
    heights = [place[:, 1]]
    for side, (ankle, _) in ankles.items():
        hip = apply(r_pelvis, rig().at(f"{side}_hip"))
        across = (place + hip - ankle)[:, [0, 2]].square().sum(-1)
        # A standing knee is bent by some 8 degrees, never locked.
        rise = ((0.9985 * rig().legs[side].reach) ** 2 - across).clamp(min=1e-4).sqrt()
        heights.append(ankle[:, 1] + rise - hip[:, 1] + 2 * score.feet[side].free)
    softest = -0.004 * torch.logsumexp(-torch.stack(heights) / 0.004, dim=0)
    return torch.stack([place[:, 0], softest, place[:, 2]], dim=-1)


SPINE_SHARES = {"spine1": (0.36, 0.2, 0.4), "spine2": (0.34, 0.3, 0.3), "spine3": (0.3, 0.5, 0.3)}
"""Shares of pitch, yaw and roll: the lower back bends most and turns least (White and Panjabi, 1990)."""
HEAD_SHARES = {"neck": (0.45, 0.5, 0.5), "head": (0.55, 0.5, 0.5)}


def _put_trunk(local: Tensor, score: Score, r_pelvis: Tensor) -> None:
    """Write pelvis, spine and head."""
    local[:, 0] = r_pelvis
    for shares, angles in ((SPINE_SHARES, score.spine), (HEAD_SHARES, score.head)):
        for name, share in shares.items():
            local[:, JOINT[name]] = _tilted(angles * vector(*share))


def _trunk(score: Score, r_pelvis: Tensor, transl: Tensor, who: tuple[Clock, PerformerStyle]) -> Stage:
    """Forward kinematics of the trunk."""
    eye = torch.eye(3, dtype=torch.float64).expand_as(r_pelvis)
    R, p = {"pelvis": r_pelvis, "world": eye}, {"pelvis": transl, "world": torch.zeros_like(transl)}
    parent = "pelvis"
    for shares, angles in ((SPINE_SHARES, score.spine), (HEAD_SHARES, score.head)):
        for name, share in shares.items():
            p[name] = p[parent] + apply(R[parent], rig().bone(parent, name))
            R[name] = R[parent] @ _tilted(angles * vector(*share))
            parent = name
    return Stage(R=R, p=p, clock=who[0], style=who[1])


def _put_leg(local: Tensor, side: str, foot: Foot, ankle: tuple[Tensor, Tensor], stage: Stage) -> None:
    """Write one leg: the ankle to its place, the knee over the toes, the toes flat on the floor."""
    place, r_foot = ankle
    r_pelvis = stage.R["pelvis"]
    hip = stage.p["pelvis"] + apply(r_pelvis, rig().at(f"{side}_hip"))
    toes = apply(turn(vector(0, 1, 0), SIDES[side] * foot.yaw), vector(0, 0, 1))
    pole = apply(r_pelvis, vector(0.12 * SIDES[side], 0, 1)) + toes
    r_thigh, r_shank = bend(rig().legs[side], place - hip, pole, flexion_deg=KNEE_FLEXION_DEG)
    local[:, JOINT[f"{side}_hip"]] = r_pelvis.mT @ r_thigh
    local[:, JOINT[f"{side}_knee"]] = r_thigh.mT @ r_shank
    low, high = (torch.deg2rad(vector(degrees)) for degrees in ANKLE_DEG)
    turned = matrix_to_axis_angle(r_shank.mT @ r_foot)
    # Dorsiflexion lifts the toes: a negative turn about x.
    held = torch.stack(
        [turned[:, 0].clamp(-float(high), -float(low)), turned[:, 1].clamp(-0.5, 0.5), turned[:, 2].clamp(-0.5, 0.5)],
        dim=-1,
    )
    local[:, JOINT[f"{side}_ankle"]] = axis_angle_to_matrix(held)
    # Toes stay flat while the heel rises; they bend up to 60 degrees.
    local[:, JOINT[f"{side}_foot"]] = turn(vector(-1, 0, 0), foot.pitch.clamp(0, 1.05) * (1 - foot.free))


def _put_arm(local: Tensor, side: str, arm: Arm, stage: Stage) -> None:
    """Write one arm; the forearm's turn is shared by elbow and wrist, so that skin doesn't wring."""
    sign = SIDES[side]
    lift, forward = arm.collar.unbind(-1)
    local[:, JOINT[f"{side}_collar"]] = _collar(lift, forward, sign)
    t, phase = stage.clock.t, stage.style.phase + sign
    unrest = 0.012 * (0.4 + stage.style.energy)
    wander = torch.stack([drift(t, rate=0.4, phase=phase + k) for k in range(3)], dim=-1) * unrest
    local[:, JOINT[f"{side}_shoulder"]] = axis_angle_to_matrix(wander) @ quats_to_matrices(arm.shoulder)
    twist = turn(_forearm(side), 0.5 * arm.wrist[:, 0])
    local[:, JOINT[f"{side}_elbow"]] = quats_to_matrices(arm.elbow) @ twist
    local[:, JOINT[f"{side}_wrist"]] = twist @ _bent(arm.wrist[:, 1], arm.wrist[:, 2], sign)


def _collar(lift: Tensor, forward: Tensor, sign: float) -> Tensor:
    """Rotation of a collar that lifts its shoulder and brings it forward."""
    return turn(vector(0, 0, 1), sign * lift) @ turn(vector(0, 1, 0), -sign * forward)


def _forearm(side: str) -> Tensor:
    """Axis about which positive angles pronate: on both sides the one that points to +x at rest."""
    return normalize(rig().arms[side].lower, dim=0) * SIDES[side]


def _bent(flexion: Tensor, deviation: Tensor, sign: float) -> Tensor:
    """Rotation of a wrist without twist."""
    zero = torch.zeros_like(flexion)
    return axis_angle_to_matrix(torch.stack([zero, -sign * deviation, -sign * flexion], dim=-1))


def _blended(keys: tuple[Key, ...], side: str, stage: Stage) -> Arm:
    """One arm over time: each key's angles, one laid over the other as they come.

    The hand follows the shoulder by a moment, as in every unhurried reach.
    """
    arm = _hanging(Hang(), side, stage)
    u = stage.clock.u
    for key in keys:
        goal = _arm(key.pose, side, stage)
        late = 0.25 * (key.end - key.start)
        s = eased(u, key.start, key.end - 0.4 * late)
        hand = eased(u, key.start + late, key.end)
        arm = Arm(
            collar=torch.lerp(arm.collar, goal.collar, s[:, None]),
            shoulder=slerp(arm.shoulder, goal.shoulder, s[:, None]),
            elbow=slerp(arm.elbow, goal.elbow, eased(u, key.start, key.end)[:, None]),
            wrist=torch.lerp(arm.wrist, goal.wrist, hand[:, None]),
            fingers=torch.lerp(arm.fingers, goal.fingers, hand[:, None, None]),
        )
    return arm


def _arm(pose: Reach | Hang, side: str, stage: Stage) -> Arm:
    """One pose of an arm in every frame, as if it were held all the time."""
    return _hanging(pose, side, stage) if isinstance(pose, Hang) else _reaching(pose, side, stage)


def _hanging(pose: Hang, side: str, stage: Stage) -> Arm:
    """Angles of an arm that hangs or swings."""
    sign, zero = SIDES[side], torch.zeros_like(stage.clock.t)
    chest = stage.R["spine3"]
    # Seen from above, the chest faces where its left side says, which stays level when it bends.
    left = chest[..., 0] * vector(1, 0, 1)
    upright = frame(left, vector(0, 1, 0).expand_as(left))
    share = (zero + pose.gravity)[:, None]
    R = quats_to_matrices(slerp(matrix_to_quat(chest), matrix_to_quat(upright), share))
    R = R @ turn(vector(1, 0, 0), -(zero + pose.swing))
    lowered = torch.pi / 2 - (zero + pose.abduct + 0.3 * stage.style.elbow)
    R = R @ turn(vector(0, 0, -sign), lowered) @ turn(vector(1, 0, 0), zero + pose.rotate)
    return Arm(
        collar=torch.stack([zero, zero], dim=-1),
        shoulder=matrix_to_quat(chest.mT @ R),
        elbow=matrix_to_quat(turn(rig().arms[side].hinge, zero + pose.flex)),
        wrist=torch.stack([zero + pose.pronate, zero, zero], dim=-1),
        fingers=hand_pose(pose.shape, side).expand(len(zero), 15, 3),
    )


def _sided(direction: Triple | Tensor, side: str) -> Tensor:
    """Outwards, up, forward as x, y, z."""
    value = direction if isinstance(direction, Tensor) else vector(*direction)
    return value * vector(SIDES[side], 1, 1)


def place_of(spot: Spot, side: str, stage: Stage) -> Float[Tensor, "time 3"]:
    """A spot's position in the world."""
    if spot.landmark == "world":
        return _sided(spot.offset, side).expand_as(stage.p["world"])
    name = spot.landmark
    if name.startswith("other_"):
        name = ("left_" if side == "right" else "right_") + name.removeprefix("other_")
    elif name not in rig().landmarks:
        name = f"{side}_{name}"
    joint, rest = rig().landmarks[name]
    return stage.p[joint] + apply(stage.R[joint], rest + _sided(spot.offset, side))


def _shrug(to: Tensor, chest: Tensor, side: str) -> tuple[Tensor, Tensor]:
    """Lift and forward turn of the collar that go with reaching somewhere, radians.

    The shoulder blade gives about a third of the arm's elevation (Inman, Saunders, Abbott, 1944), of which the collar
    joint of SMPL-X carries a part.
    """
    seen = normalize(apply(chest.mT, to), dim=-1) * vector(SIDES[side], 1, 1)
    lift = 0.24 * (seen[:, 1].clamp(-1, 1).asin() + 0.35).clamp(min=0)
    forward = 0.16 * seen[:, 2].clamp(min=-0.5) + 0.14 * (-seen[:, 0]).clamp(min=0)
    return lift, forward


def _reaching(pose: Reach, side: str, stage: Stage) -> Arm:
    """Angles of an arm whose hand is somewhere.

    The wrist's limits may turn the hand away from its aim, which moves the contact: three rounds bring it back, each
    moving the wrist by what was missed.
    """
    sign, chest = SIDES[side], stage.R["spine3"]
    limb, zero = rig().arms[side], torch.zeros_like(stage.clock.t)
    contact = rig().hands[side].contacts[pose.contact]
    goal = place_of(pose.spot, side, stage)
    collar = stage.p["spine3"] + apply(chest, rig().bone("spine3", f"{side}_collar"))
    to_shoulder = rig().bone(f"{side}_collar", f"{side}_shoulder")
    lift, forward = _shrug(goal - collar - apply(chest, to_shoulder), chest, side)
    r_collar = chest @ _collar(lift, forward, sign)
    shoulder = collar + apply(r_collar, to_shoulder)
    out, up, ahead = pose.pole
    pole = apply(chest, vector(sign * (out + stage.style.elbow), up, ahead)).expand_as(goal)
    wrist = goal
    for _ in range(4):
        r_upper, r_lower = bend(limb, wrist - shoulder, pole, flexion_deg=ELBOW_FLEXION_DEG)
        bends = _wrist(pose, side, r_lower, stage)
        r_hand = r_lower @ turn(_forearm(side), bends[:, 0]) @ _bent(bends[:, 1], bends[:, 2], sign)
        end = shoulder + apply(r_upper, limb.upper) + apply(r_lower, limb.lower)
        wrist = wrist + (goal - end - apply(r_hand, contact))
    return Arm(
        collar=torch.stack([lift, forward], dim=-1),
        shoulder=matrix_to_quat(r_collar.mT @ r_upper),
        elbow=matrix_to_quat(r_upper.mT @ r_lower),
        wrist=bends,
        fingers=hand_pose(pose.shape, side).expand(len(zero), 15, 3),
    )


def _wrist(pose: Reach, side: str, r_lower: Tensor, stage: Stage) -> Tensor:
    """Pronation, flexion and deviation that bring the hand as near to its aim as a wrist can."""
    if pose.palm is None:
        return vector(*pose.wrist).expand(len(r_lower), 3)
    sign, hand = SIDES[side], rig().hands[side]
    r_aim = stage.R[pose.aim]
    fingers, palm = (apply(r_aim, _sided(d, side).expand(len(r_aim), 3)) for d in (pose.fingers, pose.palm))
    r_hand = frame(fingers, palm) @ frame(hand.fingers, hand.palm).mT
    local = r_lower.mT @ r_hand
    axis = _forearm(side)
    twist = twist_of(local, axis).clamp(-torch.pi * PRONATION_DEG / 180, torch.pi * PRONATION_DEG / 180)
    rest = quat_to_axis_angle(matrix_to_quat(turn(axis, -twist) @ local))
    low, high = torch.deg2rad(vector(*WRIST_FLEXION_DEG)).tolist()
    flexion = (-sign * rest[:, 2]).clamp(low, high)
    low, high = torch.deg2rad(vector(*WRIST_DEVIATION_DEG)).tolist()
    return torch.stack([twist, flexion, (-sign * rest[:, 1]).clamp(low, high)], dim=-1)
