"""Write the scores of actions of arms and upper body: drinking, waving, saluting, clapping and so on.

Scores are for a right-handed performer; `actions` lists them. Directions are outwards, up, forward.
"""

from dataclasses import replace

import torch
from torch import Tensor

from synthaug.motions.procedural.arms import Hang, Key, Reach, Spot
from synthaug.motions.procedural.choreography import Foot, Score, stand_still
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.motions.procedural.timing import Clock, cycles, ease, minimum_jerk, moves, pulse, repeats


def angles(*columns: Tensor) -> Tensor:
    """Stack pitch, yaw and roll (or x, y and z) in the last axis."""
    return torch.stack(columns, dim=-1)


def there_and_back(first: Reach, *, until: float = 0.3, since: float = 0.75) -> tuple[Key, ...]:
    """Keys of an arm that goes to a pose, holds it, and comes down again."""
    return (Key(0.0, until, first), Key(since, 1.0, Hang()))


def drink_water(clock: Clock, style: PerformerStyle) -> Score:
    """Raise a cup to the mouth, sip with the head going back, lower it."""
    base, u = stand_still(clock, style), clock.u
    carry = Reach(Spot("belly", (0.10, 0.10, 0.22)), "grip", palm=(-1, 0.1, 0), fingers=(-0.1, 0.1, 1), shape="grip")
    sip = Reach(
        Spot("mouth", (0.0, -0.025, 0.035)),
        "grip",
        palm=(-0.55, 0.0, -0.8),
        fingers=(-0.75, 0.35, 0.5),
        aim="head",
        pole=(0.4, -1.0, 0.15),
        shape="grip",
    )
    keys, tip = [Key(0.0, 0.2, carry)], torch.zeros_like(u)
    for start, end in repeats(style.repetitions, 0.2, 0.84):
        span = end - start
        keys += [Key(start, start + 0.45 * span, sip), Key(end - 0.3 * span, end, carry)]
        tip = tip + pulse(u, start + 0.3 * span, start + 0.6 * span, end - 0.1 * span)
    keys.append(Key(0.82, 1.0, _hang_down()))
    back = -0.26 * style.amplitude * tip
    return replace(
        base, head=angles(back, 0 * u, 0 * u), spine=angles(0.2 * back, 0 * u, 0.03 * tip), jaw=0.12 * tip,
        arms={"right": tuple(keys), "left": ()},
    )  # fmt: skip


def eat_meal(clock: Clock, style: PerformerStyle) -> Score:
    """Take bites from a plate, or from the hand, to the mouth, and chew."""
    base, u = stand_still(clock, style), clock.u
    plate = Reach(
        Spot("belly", (0.02, 0.09, 0.24)), "palm", palm=(0, 1, 0), fingers=(-0.55, 0, 0.85), pole=(0.7, -1, -0.4),
        shape="relaxed",
    )  # fmt: skip
    fetch = Reach(
        Spot("belly", (0.04, 0.15, 0.22)), "fingertips", palm=(-0.4, -0.8, 0), fingers=(-0.6, -0.4, 0.7),
        pole=(0.5, -1.0, -0.1), shape="pinch",
    )  # fmt: skip
    bite = Reach(
        Spot("mouth", (0.0, -0.01, 0.03)), "fingertips", palm=(-0.3, -0.4, -0.85), fingers=(-0.6, 0.55, -0.5),
        aim="head", pole=(0.4, -1.0, 0.1), shape="pinch",
    )  # fmt: skip
    keys, nod = [Key(0.0, 0.16, fetch)], moves(u, 0.0, (0.0, 0.16, 0.7), (0.88, 1.0, 0.0))
    chew = torch.zeros_like(u)
    for start, end in repeats(style.repetitions + 1, 0.16, 0.86):
        span = end - start
        keys += [Key(start, start + 0.42 * span, bite), Key(start + 0.55 * span, end, fetch)]
        nod = nod - 0.35 * pulse(u, start, start + 0.45 * span, end)
        chew = chew + pulse(u, start + 0.3 * span, start + 0.42 * span, start + 0.55 * span)
    keys.append(Key(0.86, 1.0, _hang_down()))
    left = (Key(0.0, 0.15, plate), Key(0.86, 1.0, _hang_down())) if style.variant < 0.7 else ()
    pitch = 0.42 * style.amplitude * nod
    chewing = 0.05 * (1 + torch.sin(2 * torch.pi * 1.5 * clock.t)) * ease(u, 0.3, 0.35) * (1 - ease(u, 0.9, 1.0))
    return replace(
        base, head=angles(pitch, 0 * u, 0 * u), spine=angles(0.3 * pitch, 0 * u, 0 * u), jaw=0.2 * chew + chewing,
        arms={"right": tuple(keys), "left": left},
    )  # fmt: skip


def phone_call(clock: Clock, style: PerformerStyle) -> Score:
    """Bring a phone, from the pocket or out of the hand, to the ear, and talk."""
    base, u = stand_still(clock, style), clock.u
    pocket = Reach(Spot("pocket", (0.02, -0.02, 0.02)), "grip", pole=(0.6, 0.1, -1), wrist=(0.2, 0.1, 0), shape="hold")
    glance = Reach(
        Spot("chest", (0.08, -0.08, 0.2)), "grip", palm=(-0.25, 0.55, -0.8), fingers=(-0.5, 0.8, 0.4), shape="hold"
    )
    ear = Reach(
        Spot("ear", (0.022, -0.035, 0.015)), "palm", palm=(-1, 0.0, -0.1), fingers=(-0.1, 0.85, -0.5), aim="head",
        pole=(0.8, -1, 0.0), shape="hold",
    )  # fmt: skip
    keys: tuple[Key, ...]
    if style.variant > 0.5:
        keys = (Key(0.0, 0.16, pocket), Key(0.17, 0.34, glance), Key(0.36, 0.52, ear), Key(0.88, 1.0, _hang_down()))
        look = pulse(u, 0.18, 0.32, 0.5)
    else:
        keys = (Key(0.0, 0.14, glance), Key(0.2, 0.36, ear), Key(0.86, 1.0, _hang_down()))
        look = pulse(u, 0.02, 0.14, 0.36)
    talk = ease(u, 0.45, 0.55) * (1 - ease(u, 0.82, 0.9))
    words = 0.09 * (1 + torch.sin(2 * torch.pi * 2.3 * clock.t + style.phase)) * talk
    nod = 0.05 * talk * torch.sin(2 * torch.pi * 0.7 * clock.t + style.phase)
    return replace(
        base, head=angles(0.38 * look + nod + 0.06 * talk, -0.08 * talk, 0.16 * style.amplitude * talk), jaw=words,
        spine=angles(0.06 * look, 0 * u, 0.03 * talk), arms={"right": keys, "left": ()},
    )  # fmt: skip


def hand_waving(clock: Clock, style: PerformerStyle) -> Score:
    """Raise one hand beside the head and wave it from the elbow."""
    base, u = stand_still(clock, style), clock.u
    on = ease(u, 0.12, 0.26) * (1 - ease(u, 0.8, 0.92))
    swing = torch.sin(cycles(u, style.repetitions + 2, 0.12, 0.9)) * on
    height = 0.02 + 0.3 * style.amplitude * (0.6 + 0.6 * style.variant)
    reach = 0.13 * style.amplitude
    hand = angles(0.2 + reach * swing, height - 0.25 * reach * swing * swing, 0.2 + 0 * u)
    wave = Reach(
        Spot("shoulder", hand), "wrist", palm=(0.0, 0.05, 1.0), fingers=angles(0.75 * swing, 1 + 0 * u, 0.1 + 0 * u),
        pole=(0.9, -1, -0.1), shape="spread" if style.energy > 0.5 else "flat",
    )  # fmt: skip
    lean = on * 0.05 * style.energy
    return replace(
        base, head=angles(-0.04 * on, 0 * u, -0.08 * on), spine=angles(0 * u, 0.1 * on, -lean + 0.02 * swing),
        arms={"right": there_and_back(wave, until=0.22, since=0.8), "left": ()},
    )  # fmt: skip


def salute(clock: Clock, style: PerformerStyle) -> Score:
    """Stand to attention and bring the flat hand's tips to the temple."""
    base, u = stand_still(clock, style), clock.u
    hold = ease(u, 0.0, 0.25) * (1 - ease(u, 0.8, 1.0))
    pose = Reach(
        Spot("temple", (0.015, 0.015, 0.03)), "fingertips", palm=(-0.15, -0.8, 0.5), fingers=(-0.82, 0.5, 0.1),
        aim="head", pole=(1.0, 0.05 + 0.3 * (style.amplitude - 1), 0.25), shape="flat",
    )  # fmt: skip
    stiff = -0.5 * style.slouch * hold
    return replace(
        base, spine=angles(stiff - 0.05 * hold, 0 * u, 0 * u), head=angles(0.02 * hold - stiff, 0 * u, 0 * u),
        arms={"right": (Key(0.0, 0.26, pose), Key(0.76, 1.0, _hang_down())), "left": ()},
        sway=base.sway * (1 - 0.5 * hold),
    )  # fmt: skip


def put_palms_together(clock: Clock, style: PerformerStyle) -> Score:
    """Bring both palms together before the chest, fingers up, and incline the head."""
    base, u = stand_still(clock, style), clock.u
    pose = Reach(
        Spot("chest", (0.0, 0.02 + 0.05 * style.variant, 0.11)), "palm", palm=(-1, 0, 0), fingers=(0, 1, 0.3),
        pole=(1.0, -0.75, -0.1), shape="flat",
    )  # fmt: skip
    nod = pulse(u, 0.3, 0.5, 0.72) * style.amplitude
    keys = there_and_back(pose, until=0.32, since=0.74)
    return replace(
        base, head=angles(0.32 * nod, 0 * u, 0 * u), spine=angles(0.16 * nod, 0 * u, 0 * u),
        arms={"right": keys, "left": keys},
    )  # fmt: skip


def clapping(clock: Clock, style: PerformerStyle) -> Score:
    """Clap both hands before the chest."""
    base, u = stand_still(clock, style), clock.u
    turns = cycles(u, 3 + 2 * style.repetitions, 0.14, 0.86)
    # Hands meet abruptly and part softly: the absolute value of a sine has its corner where they meet.
    gap = 0.15 * style.amplitude * torch.sin(turns / 2).abs() + 0.002
    beat = torch.cos(turns) * ease(u, 0.1, 0.2) * (1 - ease(u, 0.8, 0.9))
    spot = angles(gap, -0.02 + 0.1 * style.variant + 0.02 * beat, 0.2 + 0 * u)
    pose = Reach(
        Spot("chest", spot), "palm", palm=(-1, 0.0, 0.05), fingers=(-0.1, 0.55, 0.8), pole=(0.9, -1, -0.2), shape="flat"
    )
    keys = there_and_back(pose, until=0.15, since=0.85)
    return replace(
        base, head=angles(-0.03 * beat * style.energy, 0 * u, 0 * u),
        spine=angles(0.02 * beat * style.energy, 0 * u, 0 * u),
        pelvis=angles(0 * u, -0.012 * style.energy * (1 + beat), 0 * u), arms={"right": keys, "left": keys},
    )  # fmt: skip


def point_to_something(clock: Clock, style: PerformerStyle) -> Score:
    """Stretch an arm, index finger out, and look where it points."""
    base, u = stand_still(clock, style), clock.u
    side = -0.25 + 1.3 * style.variant
    direction = torch.nn.functional.normalize(torch.tensor([side, 0.12, 1.0], dtype=torch.float64), dim=0)
    out, up, ahead = (0.74 * min(style.amplitude, 1.05) * direction).tolist()
    pose = Reach(
        Spot("shoulder", (out, up, ahead)), "index", palm=(-0.75, -0.65, 0.0), fingers=(side, 0.12, 1.0),
        pole=(0.5, -1, -0.2), shape="point",
    )  # fmt: skip
    keys: tuple[Key, ...] = (Key(0.05, 0.32, pose), Key(0.76, 1.0, _hang_down()))
    if style.repetitions > 1:
        pulled = replace(pose, spot=Spot("shoulder", (0.8 * out, up - 0.03, 0.8 * ahead)))
        keys = (keys[0], Key(0.4, 0.5, pulled), Key(0.47, 0.6, pose), keys[1])
    look = ease(u, 0.0, 0.2) * (1 - ease(u, 0.74, 0.92))
    aim = float(torch.atan2(torch.tensor(side), torch.tensor(1.0)))
    # Looking to the performer's right is a negative yaw; the eyes go first, the trunk last.
    turning = ease(u, 0.08, 0.34) * (1 - ease(u, 0.78, 1.0))
    return replace(
        base, head=angles(-0.06 * look, -0.6 * aim * look, 0.03 * look),
        spine=angles(0.03 * turning, (-0.22 * aim + 0.14) * turning, 0 * u), arms={"right": keys, "left": ()},
    )  # fmt: skip


def cross_hands_in_front(clock: Clock, style: PerformerStyle) -> Score:
    """Cross both forearms before the chest to say stop."""
    base, u = stand_still(clock, style), clock.u
    low, high = -0.04, 0.06 * style.amplitude
    push = moves(u, 0.22, (0.1, 0.3, 0.3))
    for start, end in repeats(style.repetitions, 0.3, 0.8):
        push = push + 0.05 * style.energy * pulse(u, start, (start + end) / 2, end)

    def pose(layer: float) -> Reach:
        spot = angles(-0.055 + 0 * u, moves(u, low, (0.0, 0.3, high)), push + layer)
        return Reach(
            Spot("chest", spot), "wrist", palm=(-0.1, 0.1, 1.0), fingers=(-0.55, 1.0, 0.1), pole=(1.0, -0.8, -0.1),
            shape="flat",
        )  # fmt: skip

    firm = ease(u, 0.1, 0.3) * (1 - ease(u, 0.75, 0.95))
    return replace(
        base, spine=angles(0.03 * firm, 0 * u, 0 * u), head=angles(0.04 * firm, 0 * u, 0 * u),
        arms={"right": there_and_back(pose(0.035)), "left": there_and_back(pose(-0.035))},
    )  # fmt: skip


def cheer_up(clock: Clock, style: PerformerStyle) -> Score:
    """Throw both fists up and pump them, bouncing at the knees."""
    base, u = stand_still(clock, style), clock.u
    on = ease(u, 0.1, 0.3) * (1 - ease(u, 0.75, 0.92))
    pump = torch.sin(cycles(u, 1 + style.repetitions, 0.2, 0.85)) * on
    spot = angles(0.14 + 0.02 * pump, 0.4 * style.amplitude + 0.07 * pump, 0.08 + 0 * u)
    raised = Reach(
        Spot("shoulder", spot), "wrist", palm=(-0.3, 0, 1.0), fingers=(-0.1, 1, 0.1), pole=(1.0, -0.5, 0.1),
        shape="fist",
    )  # fmt: skip
    gather = Reach(Spot("chest", (0.16, -0.08, 0.12)), "wrist", palm=(-1, 0, 0), fingers=(-0.2, 0.7, 0.7), shape="fist")
    keys = (Key(0.0, 0.16, gather), Key(0.13, 0.32, raised), Key(0.8, 1.0, _hang_down()))
    sink = 0.07 * style.energy * pulse(u, 0.0, 0.14, 0.3) + 0.03 * style.energy * on * (1 - pump)
    return replace(
        base, pelvis=angles(0 * u, -sink, 0 * u), spine=angles(2 * sink - 0.1 * on, 0 * u, 0.04 * pump),
        head=angles(-0.18 * on, 0 * u, 0 * u), jaw=0.25 * on * style.energy, arms={"right": keys, "left": keys},
    )  # fmt: skip


def stretch(clock: Clock, style: PerformerStyle) -> Score:
    """Join the hands overhead, pull upwards, bend to a side, and let the arms sink."""
    base, u = stand_still(clock, style), clock.u
    front = Reach(
        Spot("chest", (0.03, -0.1, 0.22)), "palm", palm=(-0.5, 0, 1), fingers=(-1, 0.2, 0), pole=(1, -0.6, 0),
        shape="relaxed",
    )  # fmt: skip
    above = Reach(
        Spot("crown", (0.02, 0.3 + 0.12 * style.amplitude, 0.0)), "palm", palm=(0, 1, 0), fingers=(-1, 0.1, 0.2),
        pole=(1, 0, -0.15), shape="relaxed",
    )  # fmt: skip
    keys = (
        Key(0.0, 0.2, front), Key(0.16, 0.42, above),
        Key(0.72, 0.88, Reach(Spot("shoulder", (0.5, 0.02, 0.05)), "wrist", pole=(0.2, -1, -0.3), wrist=(0.1, 0, 0))),
        Key(0.84, 1.0, _hang_down()),
    )  # fmt: skip
    up = ease(u, 0.2, 0.42) * (1 - ease(u, 0.72, 0.9))
    side = moves(u, 0.0, (0.42, 0.58, 1.0), (0.58, 0.74, 0.0)) * (1 if style.asymmetry > 0 else -1)
    bend = 0.28 * style.amplitude * side
    return replace(
        base, spine=angles(-0.2 * style.amplitude * up, 0 * u, bend), tilt=angles(0.03 * up, 0 * u, -0.1 * bend),
        head=angles(-0.25 * up, 0 * u, 0.3 * bend), pelvis=angles(-0.12 * bend, 0 * u, 0.03 * up),
        arms={"right": keys, "left": keys},
    )  # fmt: skip


def read(clock: Clock, style: PerformerStyle) -> Score:
    """Hold a book before the chest, look down into it, turn a page."""
    base, u = stand_still(clock, style), clock.u
    near = 0.2 + 0.06 * style.amplitude

    def hold(out: float) -> Reach:
        return Reach(
            Spot("belly", (out, 0.17 + 0.06 * style.variant, near)), "grip", palm=(-0.35, 0.75, -0.4),
            fingers=(-0.35, 0.35, 0.85), pole=(0.55, -1, -0.35), shape="hold",
        )  # fmt: skip

    keys = [Key(0.0, 0.16, hold(0.1))]
    page = replace(hold(0.1), palm=(-0.7, 0.4, -0.2), shape="pinch")
    glance = torch.zeros_like(u)
    for start, end in repeats(style.repetitions, 0.2, 0.88):
        span = end - start
        lifted = replace(page, spot=Spot("belly", (0.0, 0.28, near)))
        over = replace(page, spot=Spot("belly", (-0.09, 0.22, near)))
        keys += [
            Key(start + 0.35 * span, start + 0.5 * span, lifted), Key(start + 0.47 * span, start + 0.62 * span, over),
            Key(start + 0.64 * span, start + 0.85 * span, hold(0.1)),
        ]  # fmt: skip
        glance = glance + pulse(u, start + 0.4 * span, start + 0.55 * span, start + 0.75 * span)
    keys.append(Key(0.9, 1.0, _hang_down()))
    down = ease(u, 0.02, 0.2) * (1 - ease(u, 0.88, 1.0))
    lines = 0.06 * torch.sin(2 * torch.pi * 0.5 * clock.t + style.phase) * down
    return replace(
        base, head=angles(0.5 * down, lines + 0.06 * glance, 0 * u), spine=angles(0.09 * down, 0 * u, 0 * u),
        arms={"right": tuple(keys), "left": (Key(0.0, 0.16, hold(0.1)), Key(0.9, 1.0, _hang_down()))},
    )  # fmt: skip


def check_time(clock: Clock, style: PerformerStyle) -> Score:
    """Raise the other arm's wrist before the chest and look at the watch on it."""
    base, u = stand_still(clock, style), clock.u
    watch = Reach(
        Spot("chest", (-0.02, -0.04, 0.2)), "wrist", palm=(-0.1, -1, -0.35), fingers=(-1, 0.15, 0.15),
        pole=(1, -0.7, -0.1), shape="relaxed",
    )  # fmt: skip
    push = Reach(
        Spot("chest", (0.02, -0.06, 0.25)), "fingertips", palm=(0, -0.8, -0.5), fingers=(-0.9, 0.1, 0.35),
        pole=(0.8, -1, -0.2), shape="pinch",
    )  # fmt: skip
    right = (Key(0.14, 0.34, push), Key(0.62, 0.85, _hang_down())) if style.variant > 0.5 else ()
    look = ease(u, 0.06, 0.28) * (1 - ease(u, 0.74, 0.95))
    return replace(
        base, head=angles(0.46 * look, 0.08 * look, 0 * u), spine=angles(0.06 * look, 0 * u, 0 * u),
        arms={"left": there_and_back(watch, until=0.28, since=0.74), "right": right},
    )  # fmt: skip


def touch_head(clock: Clock, style: PerformerStyle) -> Score:
    """Hold the aching head with one hand or both, rubbing it."""
    base, u = stand_still(clock, style), clock.u
    rub = 0.012 * torch.sin(cycles(u, 2 + style.repetitions, 0.25, 0.8))
    spot = angles(0.0 * u, 0.02 + rub, 0.045 + 0.5 * rub)
    pose = Reach(
        Spot("temple", spot), "fingertips", palm=(-0.75, -0.1, -0.65), fingers=(-0.5, 0.8, -0.25), aim="head",
        pole=(0.8, -1, 0.5), shape="relaxed",
    )  # fmt: skip
    keys = there_and_back(pose, until=0.28, since=0.78)
    ache = ease(u, 0.1, 0.32) * (1 - ease(u, 0.76, 0.95)) * style.amplitude
    return replace(
        base, head=angles(0.36 * ache, 4 * rub * ache, 0.12 * ache * (style.variant < 0.5)),
        spine=angles(0.14 * ache, 0 * u, 0 * u),
        arms={"right": keys, "left": keys if style.variant > 0.5 else ()},
    )  # fmt: skip


def punch(clock: Clock, style: PerformerStyle) -> Score:
    """From a boxer's guard, thrust the strong fist straight ahead with a turn of the trunk."""
    base, u = stand_still(clock, style), clock.u
    guard = Reach(
        Spot("mouth", (0.1, -0.1, 0.17)), "knuckles", palm=(-0.9, 0, -0.3), fingers=(-0.15, 0.9, 0.45), aim="spine3",
        pole=(0.55, -1, 0.1), shape="fist",
    )  # fmt: skip
    strike = Reach(
        Spot("shoulder", (-0.1, 0.04, 0.62 * min(style.amplitude, 1.06))), "knuckles", palm=(-0.25, -1, 0),
        fingers=(-0.1, 0.0, 1.0), pole=(0.8, -1, 0), shape="fist",
    )  # fmt: skip
    keys, hit, wind = [Key(0.0, 0.18, guard)], torch.zeros_like(u), torch.zeros_like(u)
    for start, end in repeats(style.repetitions, 0.2, 0.82):
        span = end - start
        keys += [Key(start + 0.3 * span, start + 0.52 * span, strike), Key(start + 0.6 * span, end, guard)]
        hit = hit + pulse(u, start + 0.26 * span, start + 0.5 * span, end)
        wind = wind + pulse(u, start, start + 0.26 * span, start + 0.45 * span)
    keys.append(Key(0.82, 1.0, _hang_down()))
    ready = ease(u, 0.0, 0.18) * (1 - ease(u, 0.82, 1.0))
    turning = 0.55 * hit - 0.2 * wind - 0.25 * ready
    feet = {
        "left": step_foot(base.feet["left"], ease(u, 0.0, 0.1) - ease(u, 0.84, 0.94), forward=0.2),
        "right": step_foot(base.feet["right"], ease(u, 0.09, 0.19) - ease(u, 0.9, 1.0), forward=-0.16),
    }
    return replace(
        base, tilt=angles(0.06 * ready, 0.4 * turning, 0 * u), spine=angles(0.1 * ready + 0.06 * hit, turning, 0 * u),
        head=angles(0 * u, -1.2 * turning, 0 * u),
        pelvis=angles(0 * u, -0.05 * ready, 0.03 * ready + 0.09 * hit - 0.04 * wind), feet=feet,
        arms={"right": tuple(keys), "left": (Key(0.0, 0.18, guard), Key(0.82, 1.0, _hang_down()))},
        sway=base.sway * (1 - 0.5 * ready),
    )  # fmt: skip


def throw(clock: Clock, style: PerformerStyle) -> Score:
    """Take an arm back over the shoulder, step, throw overarm, follow through."""
    base, u = stand_still(clock, style), clock.u
    cocked = Reach(
        Spot("shoulder", (0.22, 0.16 + 0.06 * style.amplitude, -0.1)), "wrist", palm=(0.1, 0.7, 0.7),
        fingers=(0.1, 0.7, -0.7), pole=(1.0, -0.05, -0.15), shape="grip",
    )  # fmt: skip
    release = Reach(
        Spot("shoulder", (0.06, 0.22, 0.48)), "wrist", palm=(-0.2, -0.5, 0.85), fingers=(0, 0.7, 0.7),
        pole=(1, -0.4, 0), shape="flat",
    )  # fmt: skip
    through = Reach(
        Spot("belly", (-0.12, -0.02, 0.3)), "wrist", palm=(-0.4, -0.5, -0.8), fingers=(-0.5, -0.8, 0.5),
        pole=(1, -0.3, 0.1), shape="relaxed",
    )  # fmt: skip
    poise = Reach(Spot("shoulder", (0.12, -0.14, 0.46)), "wrist", pole=(0.8, -1, 0), wrist=(0.4, -0.1, 0))
    right = (Key(0.06, 0.4, cocked), Key(0.44, 0.58, release), Key(0.54, 0.7, through), Key(0.76, 1.0, _hang_down()))
    left = (Key(0.08, 0.4, poise), Key(0.46, 0.75, _hang_down()))
    wind = pulse(u, 0.08, 0.4, 0.58)
    follow = pulse(u, 0.44, 0.66, 0.98)
    step = ease(u, 0.26, 0.46) * (1 - ease(u, 0.8, 1.0))
    turning = style.amplitude * (-0.5 * wind + 0.5 * follow)
    feet = {**base.feet, "left": step_foot(base.feet["left"], step, forward=0.32 * style.amplitude)}
    return replace(
        base, tilt=angles(-0.06 * wind + 0.14 * follow, 0.5 * turning, 0 * u),
        spine=angles(-0.14 * wind + 0.28 * follow, 0.8 * turning, 0.12 * wind), feet=feet,
        head=angles(0.06 * wind - 0.2 * follow, -1.1 * turning, -0.1 * wind),
        pelvis=angles(-0.03 * wind, -0.05 * step, -0.05 * wind + 0.16 * step),
        arms={"right": right, "left": left}, sway=base.sway * 0.6,
    )  # fmt: skip


def step_foot(foot: Foot, done: Tensor, *, forward: float) -> Foot:
    """Step a foot as `done` goes from 0 to 1 (or back): in the air half-way, on the floor at both ends."""
    lifted = 4 * done * (1 - done)
    # Eased again, so that the foot is up before it travels, and arrives before it is down.
    travel = minimum_jerk(done)
    shift = torch.stack([torch.zeros_like(done), 0.06 * lifted, forward * travel], dim=-1)
    return replace(foot, ball=foot.ball + shift, pitch=foot.pitch + 0.2 * lifted)


def _hang_down() -> Hang:
    """A hanging arm."""
    return Hang()
