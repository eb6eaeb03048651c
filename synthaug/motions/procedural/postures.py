"""Write the scores of actions of the whole trunk: bowing, sitting, lying, bending down.

Scores are for a right-handed performer; `actions` lists them. Directions are outwards, up, forward.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from synthaug.body.limbs import SIDES, apply, rig, turn, vector
from synthaug.body.skeleton import SUPPORTS
from synthaug.motions.procedural.arms import Hang, Key, Reach, Spot, Triple
from synthaug.motions.procedural.choreography import Foot, Score, heel_to_ankle, stand_still
from synthaug.motions.procedural.gestures import angles
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.motions.procedural.timing import Clock, ease, moves, pulse

SEAT = 0.45
"""Height of the invisible chair, metres: the common one (EN 1729, sizes 6 and 7)."""
FLESH = SUPPORTS["pelvis"]
"""From the pelvis joint down to the seat, metres."""


def bow(clock: Clock, style: PerformerStyle) -> Score:
    """Incline head and trunk from the hips, and come up again."""
    base, u = stand_still(clock, style), clock.u
    depth = style.amplitude * (0.55 + 0.65 * style.variant) * ease(u, 0.0, 0.42) * (1 - ease(u, 0.56, 1.0))
    nod = ease(u, 0.0, 0.3) * (1 - ease(u, 0.6, 0.96))
    arms = (Key(0.0, 0.4, Hang(swing=0.1, abduct=0.12, flex=0.2, gravity=0.35)), Key(0.6, 1.0, Hang()))
    if style.repetitions > 2:
        # Hands sliding down the front of the thighs.
        hand = Reach(Spot("thigh", (-0.01, -0.14, 0.13)), "palm", palm=(0, 0, -1), fingers=(-0.2, -1, 0.1),
                     aim="pelvis", pole=(0.8, 0, -0.8))  # fmt: skip
        arms = (Key(0.0, 0.4, hand), Key(0.6, 1.0, Hang()))
    return replace(
        base, tilt=angles(0.5 * depth, 0 * u, 0 * u), spine=angles(0.5 * depth, 0 * u, 0 * u),
        head=angles(0.25 * nod, 0 * u, 0 * u), pelvis=angles(0 * u, 0 * u, -0.14 * depth),
        arms={"right": arms, "left": arms},
    )  # fmt: skip


def _seat_offset(style: PerformerStyle) -> tuple[float, float]:
    """Height and forward shift of the pelvis on the chair relative to standing; the shanks lean back a little."""
    leg, knee = rig().legs["left"], 0.03
    ankle_height = rig().standing + float(rig().at("left_ankle")[1])
    hip = SEAT + FLESH + float(rig().at("left_hip")[1])
    rise = ankle_height + float(leg.lower.norm()) - hip
    back = math.sqrt(max(float(leg.upper.norm()) ** 2 - rise**2, 0.0)) - knee - float(rig().at("left_ankle")[2])
    return SEAT + FLESH - rig().standing, -back


def _reach_lap(style: PerformerStyle) -> Reach:
    """Reach of a hand onto the thigh of a sitting performer."""
    out = 0.03 if style.variant < 0.5 else -0.05
    return Reach(
        Spot("thigh", (out, 0.09, 0.2 + 0.06 * style.variant)), "palm", palm=(-0.15, -1, 0), fingers=(-0.25, -0.1, 1),
        aim="pelvis", pole=(0.7, -0.6, -0.6), shape="relaxed",
    )  # fmt: skip


def sit_down(clock: Clock, style: PerformerStyle) -> Score:
    """Sit down backwards on a chair, leaning forward on the way, and straighten up."""
    base, u = stand_still(clock, style), clock.u
    down, back = _seat_offset(style)
    sunk, gone = ease(u, 0.2, 0.78), ease(u, 0.1, 0.7)
    lean = style.amplitude * ease(u, 0.04, 0.45) * (1 - ease(u, 0.62, 1.0))
    peek = pulse(u, 0.0, 0.14, 0.4) * (1 if style.asymmetry > 0 else -1)
    settled = ease(u, 0.7, 1.0)
    arms = (Key(0.1, 0.45, Hang(swing=0.5, abduct=0.25, flex=0.7, gravity=0.9)), Key(0.5, 0.95, _reach_lap(style)))
    return replace(
        base, pelvis=angles(0 * u, down * sunk, back * gone), tilt=angles(0.5 * lean - 0.1 * settled, 0 * u, 0 * u),
        spine=angles(0.42 * lean + 0.12 * settled, 0.2 * peek, 0 * u),
        head=angles(-0.3 * lean + 0.25 * pulse(u, 0.0, 0.14, 0.4), 0.5 * peek, 0 * u),
        arms={"right": arms, "left": arms}, sway=1 - 0.8 * sunk,
    )  # fmt: skip


def stand_up(clock: Clock, style: PerformerStyle) -> Score:
    """Sit, lean forward until the weight is over the feet, rise."""
    base, u = stand_still(clock, style), clock.u
    down, back = _seat_offset(style)
    low, far = 1 - ease(u, 0.26, 0.86), 1 - ease(u, 0.22, 0.8)
    lean = style.amplitude * ease(u, 0.0, 0.36) * (1 - ease(u, 0.46, 0.95))
    rest = 1 - ease(u, 0.0, 0.3)
    push = replace(_reach_lap(style), spot=Spot("thigh", (0.02, 0.09, 0.3)))
    start: tuple[Key, ...] = (Key(-1.0, -0.5, _reach_lap(style)),)
    if style.variant > 0.5:
        start = (*start, Key(0.05, 0.25, push), Key(0.5, 0.95, Hang()))
    else:
        start = (*start, Key(0.1, 0.45, Hang(swing=0.6, abduct=0.2, flex=0.8, gravity=0.9)), Key(0.5, 0.95, Hang()))
    return replace(
        base, pelvis=angles(0 * u, down * low, back * far), tilt=angles(0.55 * lean - 0.1 * rest, 0 * u, 0 * u),
        spine=angles(0.45 * lean + 0.12 * rest, 0 * u, 0 * u), head=angles(-0.3 * lean, 0 * u, 0 * u),
        arms={"right": start, "left": start}, sway=1 - 0.8 * low,
    )  # fmt: skip


def squat_down(clock: Clock, style: PerformerStyle) -> Score:
    """Bend the knees deeply with the arms held forward, and come up."""
    base, u = stand_still(clock, style), clock.u
    depth = ease(u, 0.0, 0.42) * (1 - ease(u, 0.58, 1.0))
    drop = min(0.4 * style.amplitude, 0.46)
    ahead = Reach(Spot("shoulder", (-0.02, 0.02, 0.52)), "wrist", pole=(0.7, -1, 0), wrist=(0.3, 0, 0))
    arms = (Key(0.02, 0.36, ahead), Key(0.62, 1.0, Hang()))
    return replace(
        base, pelvis=angles(0 * u, -drop * depth, -0.2 * depth), tilt=angles(0.42 * depth, 0 * u, 0 * u),
        spine=angles(0.22 * depth, 0 * u, 0 * u), head=angles(-0.4 * depth, 0 * u, 0 * u),
        arms={"right": arms, "left": arms}, sway=1 - 0.6 * depth,
    )  # fmt: skip


def pick_up(clock: Clock, style: PerformerStyle) -> Score:
    """Bend down, by the knees or by the back, take something from the floor, and bring it up."""
    base, u = stand_still(clock, style), clock.u
    depth = ease(u, 0.02, 0.42) * (1 - ease(u, 0.54, 0.92))
    knees = 0.25 + 0.6 * style.variant
    drop = 0.18 + 0.3 * knees
    ahead = 0.3 + 0.06 * style.amplitude
    floor = Reach(
        Spot("world", (0.06, 0.09, ahead)), "fingertips", palm=(-0.3, -0.3, -0.6), fingers=(-0.15, -1, 0.3),
        aim="world", pole=(0.7, 0.2, -0.9), shape="relaxed",
    )  # fmt: skip
    taken = replace(floor, shape="grip", spot=Spot("world", (0.06, 0.085, ahead)))
    held = Reach(Spot("belly", (0.06, 0.08, 0.22)), "grip", palm=(-0.9, 0.3, 0), fingers=(-0.2, 0.1, 1), shape="grip")
    right = (Key(0.05, 0.42, floor), Key(0.43, 0.5, taken), Key(0.56, 0.9, held))
    brace = Reach(Spot("thigh", (0.0, 0.02, 0.24)), "palm", palm=(-0.2, -1, 0), fingers=(-0.5, 0, 0.9), aim="pelvis",
                  pole=(1, 0, -0.6))  # fmt: skip
    loose = Hang(swing=0.1, abduct=0.25, flex=0.35, gravity=0.85)
    left = (Key(0.08, 0.4, brace if style.repetitions > 1 else loose), Key(0.6, 0.95, Hang()))
    reach = 0.14 * depth
    feet = {**base.feet, "left": _set_back(base.feet["left"], 0.0)}
    return replace(
        base, pelvis=angles(0 * u, -drop * depth, -(0.16 + 0.06 * (1 - knees)) * depth),
        tilt=angles((1.05 - 0.45 * knees) * depth, 0 * u, 0 * u),
        spine=angles((0.75 - 0.1 * knees) * depth, reach, 0.5 * reach), feet=feet,
        head=angles(-0.25 * depth + 0.25 * pulse(u, 0.0, 0.2, 0.45) + 0.2 * ease(u, 0.7, 0.9), 0 * u, 0 * u),
        arms={"right": right, "left": left}, sway=1 - 0.7 * depth,
    )  # fmt: skip


def _set_back(foot: Foot, back: float) -> Foot:
    """Move a foot back."""
    shift = torch.zeros_like(foot.ball)
    shift[:, 2] = -back
    return replace(foot, ball=foot.ball + shift)


def _slide_feet(base: Score, slid: Tensor, goal: Mapping[str, Triple], *, flat: Tensor) -> dict[str, Foot]:
    """Slide the feet over the floor, as `slid` goes from 0 to 1, until the ankles are at their goals.

    Args:
        base: Score with the feet at their start.
        slid: Share of the way.
        goal: Final position of each ankle: across, up, forward, metres.
        flat: 0 to 1: how far the toes fall back about the heel.
    """
    feet = {}
    for side in SIDES:
        foot = base.feet[side]
        to_ball = rig().bone(f"{side}_ankle", f"{side}_foot")
        heel = heel_to_ankle(side)
        fallen = heel - apply(turn(vector(1, 0, 0), -flat), heel.expand_as(foot.ball))
        end = vector(*goal[side]) + to_ball * vector(1, 0, 1) + fallen
        # A lying ankle rests on its own flesh, higher than the ankle of a standing foot.
        rest = vector(0, float(rig().at(f"{side}_ankle")[1]) + rig().standing, 0)
        feet[side] = replace(
            foot, ball=torch.lerp(foot.ball, end - rest, slid[:, None]),
            pitch=foot.pitch - 1.0 * flat, free=ease(slid, 0.0, 0.3),
        )  # fmt: skip
    return feet


def lie_down(clock: Clock, style: PerformerStyle) -> Score:
    """Crouch, sit on the floor with a hand behind, lie down on the back or on the side."""
    return _lie_on_back(clock, style) if style.variant < 0.55 else _lie_on_side(clock, style)


def _sit_on_floor(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sinking of the pelvis, its way back, and the trunk's forward lean while sitting down on the floor."""
    return ease(u, 0.02, 0.42), ease(u, 0.04, 0.38), ease(u, 0.0, 0.24) * (1 - ease(u, 0.28, 0.5))


def _reach_support(out: float, back: float) -> Reach:
    """Reach of a hand onto the floor beside and behind the hips."""
    return Reach(
        Spot("pocket", (out, -0.16, -back)), "palm", palm=(0, -1, 0), fingers=(0.6, 0, -0.5), aim="world",
        pole=(0.6, 0.1, -1), shape="flat",
    )  # fmt: skip


def _lie_on_back(clock: Clock, style: PerformerStyle) -> Score:
    """Lie down on the back."""
    base, u = stand_still(clock, style), clock.u
    sunk, gone, lean = _sit_on_floor(u)
    # On the floor with the knees up, the pelvis rolls back and the lower back rounds.
    seated = ease(u, 0.16, 0.42)
    down, back = FLESH + 0.01 - rig().standing, -0.5
    recline = ease(u, 0.4, 0.84)
    curl = pulse(u, 0.36, 0.56, 0.92)
    bent = style.variant < 0.2
    slid = ease(u, 0.5, 0.9)
    # Lying, the hips are beyond the pelvis joint along the floor; with bent knees, the feet come to two thirds.
    far = back - float(rig().at("left_hip")[1]) + (0.62 if bent else 0.985) * rig().legs["left"].reach
    goal = {side: (0.11 * sign * style.stance, 0.08, far) for side, sign in SIDES.items()}
    feet = _slide_feet(base, slid, goal, flat=0 * slid if bent else slid)
    lying = Hang(swing=0.0, abduct=0.3, flex=0.25, gravity=0.0, rotate=0.2)
    belly = Reach(Spot("belly", (0.02, 0.02, 0.03)), "palm", palm=(-0.2, 0, -1), fingers=(-1, 0.1, 0.1),
                  pole=(1, -0.6, -0.5), shape="relaxed")  # fmt: skip
    right = (Key(0.12, 0.4, _reach_support(0.2, 0.16)), Key(0.5, 0.86, belly if style.repetitions > 2 else lying))
    left = (Key(0.12, 0.4, _reach_support(0.16, 0.1)), Key(0.52, 0.88, lying))
    return replace(
        base, pelvis=angles(0 * u, down * sunk, back * gone), feet=feet,
        tilt=angles(0.1 * lean - 0.62 * seated * (1 - recline) - 1.52 * recline, 0 * u, 0 * u),
        spine=angles(0.8 * lean + 0.5 * seated * (1 - recline) + 0.4 * curl, 0 * u, 0 * u),
        head=angles(0.35 * curl + 0.06 * recline, 0 * u, 0 * u),
        arms={"right": right, "left": left}, sway=(1 - sunk).clamp(min=0),
    )  # fmt: skip


def _lie_on_side(clock: Clock, style: PerformerStyle) -> Score:
    """Lie down on the right side with the knees pulled up."""
    base, u = stand_still(clock, style), clock.u
    sunk, gone, lean = _sit_on_floor(u)
    # On the floor with the knees up, the pelvis rolls back and the lower back rounds.
    seated = ease(u, 0.16, 0.42)
    down, back = FLESH + 0.01 - rig().standing, -0.5
    over = ease(u, 0.42, 0.84)
    slid = ease(u, 0.52, 0.92)
    # Thighs forward and shanks back: the feet end beyond the hips, a little in front, one upon the other.
    leg = rig().legs["left"].reach
    goal = {"right": (0.56 * leg, 0.07, back + 0.3 * leg), "left": (0.62 * leg, 0.17, back + 0.16 * leg)}
    feet = _slide_feet(base, slid, goal, flat=0 * slid)
    feet = {side: replace(foot, pitch=foot.pitch + 0.4 * slid) for side, foot in feet.items()}
    pillow = Reach(Spot("ear", (0.03, -0.02, 0.02)), "palm", palm=(-1, 0, 0), fingers=(0.1, 1, -0.2), aim="head",
                   pole=(0.2, 0.2, 1), shape="flat")  # fmt: skip
    front = Reach(Spot("chest", (-0.1, -0.12, 0.2)), "palm", palm=(-1, -0.2, 0.1), fingers=(-0.3, 0.5, 0.8),
                  pole=(0.6, -1, 0.2), shape="relaxed")  # fmt: skip
    right = (Key(0.12, 0.42, _reach_support(0.24, 0.06)), Key(0.5, 0.88, pillow))
    left = (Key(0.14, 0.4, _reach_lap(style)), Key(0.46, 0.84, front))
    rise = moves(u, 0.0, (0.42, 0.84, 0.08))
    return replace(
        base, pelvis=angles(-0.06 * over, down * sunk + rise, back * gone), feet=feet,
        tilt=angles(0.1 * lean - 0.62 * seated * (1 - over) - 0.05 * over, 0 * u, 1.4 * over),
        spine=angles(0.8 * lean + 0.5 * seated * (1 - over) + 0.2 * over, 0 * u, -0.2 * pulse(u, 0.42, 0.62, 0.86)),
        head=angles(0.1 * over, 0 * u, -0.25 * pulse(u, 0.42, 0.64, 0.9) + 0.1 * over),
        arms={"right": right, "left": left}, sway=(1 - sunk).clamp(min=0),
    )  # fmt: skip
