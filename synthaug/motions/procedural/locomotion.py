"""Write the scores of actions of the legs: walking, running on the spot, kicking, jumping.

Scores are for a right-handed performer; `actions` lists them. Directions are outwards, up, forward.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.limbs import SIDES, rig
from synthaug.motions.procedural.arms import Hang, Key, Reach, Spot
from synthaug.motions.procedural.choreography import Foot, Score, stand_still
from synthaug.motions.procedural.gestures import angles
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.motions.procedural.timing import Clock, ease, minimum_jerk, moves, path, pulse

GRAVITY = 9.81
ROOM = 2.8
"""Largest distance of a walk from its start, metres; longer walks bend, to stay in the camera's view."""


@dataclass(frozen=True, eq=False)
class Gait:
    """A steady walk along a path of constant curvature.

    Attributes:
        period: Seconds for a step with each foot.
        speed: Metres per second.
        curvature: 1 / metre, positive to the left.
        span: Duration of the walk in seconds; its middle passes the origin facing +z.
    """

    period: float
    speed: float
    curvature: float
    span: float

    def place(self, t: Float[Tensor, " time"]) -> tuple[Tensor, Tensor, Tensor]:
        """Position across and forward, and heading, at given times."""
        s = self.speed * (t - self.span / 2)
        heading = self.curvature * s
        # sin(x) / x and (1 - cos x) / x in forms that are smooth at a straight path.
        across = s * torch.sinc(heading / (2 * math.pi)) * torch.sin(heading / 2)
        return across, s * torch.sinc(heading / math.pi), heading


def _choose_gait(clock: Clock, style: PerformerStyle) -> Gait:
    """Choose cadence and step length as people of this tempo do."""
    # About 1.9 steps a second of 0.6 m indoors; cadence grows a little more with speed than length (Winter, 1991).
    period = 2 / (1.9 * style.speed**0.6)
    # Beyond 0.85 of the leg's length a walker would have to run.
    leg = rig().legs["left"].reach
    step = leg * min(0.71 * style.amplitude**0.7 * style.speed**0.35, 0.85)
    speed, span = 2 * step / period, float(clock.t[-1]) + 1e-6
    length, curvature = speed * span, style.curve
    if length > ROOM:
        # A chord of 2 / k sin(k L / 2) stays below ROOM for every L once 2 / k does.
        curvature = math.copysign(max(abs(curvature), 2 / ROOM), curvature or 1.0)
    return Gait(period, speed, curvature, span)


STANCE = 0.62
"""Share of a gait cycle during which a foot stands (Perry and Burnfield, "Gait analysis", 2010)."""


def _walk_foot(base: Foot, gait: Gait, t: Tensor, side: str) -> Foot:
    """A foot that stands while the body passes over it and then swings to its next position."""
    offset = 0.0 if side == "left" else 0.5
    cycle = t / gait.period + offset
    n, f = cycle.floor(), cycle - cycle.floor()
    across = float(base.ball[0, 0]) * 0.75

    def print_of(number: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # The body is over the foot a quarter of a cycle after heel strike, before the middle of the stance, since the
        # rising heel prolongs its end.
        x, z, heading = gait.place((number - offset + 0.25) * gait.period)
        ahead = float(rig().at(f"{side}_foot")[2]) - 0.02
        return (
            x + across * torch.cos(heading) + ahead * torch.sin(heading),
            z - across * torch.sin(heading) + ahead * torch.cos(heading),
            heading,
        )

    swing = ((f - STANCE) / (1 - STANCE)).clamp(0, 1)
    s = minimum_jerk(0.04 + 0.96 * swing) * (swing > 0)
    (x0, z0, h0), (x1, z1, h1) = print_of(n), print_of(n + 1)
    lift = 0.055 * torch.sin(math.pi * swing) ** 2
    # Heel strike with the toes up, flat, heel rise, push-off, toes clear of the floor: degrees by Perry.
    pitch = moves(
        f, -0.32, (0.0, 0.1, 0.0), (0.2, STANCE, 1.0), (STANCE, 0.76, 0.7), (0.7, 0.92, -0.2), (0.9, 1.0, -0.32)
    )
    sign = SIDES[side]
    return Foot(
        ball=angles(torch.lerp(x0, x1, s), lift, torch.lerp(z0, z1, s)),
        yaw=base.yaw * 0.7 + sign * torch.lerp(h0, h1, s),
        pitch=pitch,
        free=torch.zeros_like(t),
    )


def walk(clock: Clock, style: PerformerStyle) -> Score:
    """Walk across the scene, straight or in a curve, for the whole clip."""
    base, t = stand_still(clock, style), clock.t
    gait = _choose_gait(clock, style)
    shifted = t + 0.5 * gait.period * style.phase / math.pi
    # The phase shifts the steps but not the path: delay the gait and advance the path equally.
    moved = Gait(gait.period, gait.speed, gait.curvature, gait.span + 2 * float(shifted[0] - t[0]))
    x, z, heading = moved.place(shifted)
    phase = 2 * math.pi * shifted / gait.period
    swing = 0.38 * style.amplitude * (0.6 + 0.7 * style.energy)
    arms, feet = {}, {}
    for side, sign in SIDES.items():
        # The left foot lands at phase 0 and the left arm is then farthest back.
        wave = -sign * torch.cos(phase + 0.15)
        pose = Hang(swing=0.06 + swing * wave, flex=0.3 + 0.25 * swing * (1 + wave), gravity=0.6, rotate=0.3)
        arms[side] = (Key(-2.0, -1.0, pose),)
        feet[side] = _walk_foot(base.feet[side], moved, shifted, side)
    step = torch.cos(phase)
    lateral = 0.025 * style.stance * torch.sin(phase)
    bounce = 0.012 * torch.cos(2 * phase)
    zero = torch.zeros_like(t)
    return replace(
        base,
        pelvis=angles(x + lateral * torch.cos(heading), -0.012 - bounce, z - lateral * torch.sin(heading)),
        tilt=angles(0.05 + zero, heading - 0.09 * style.amplitude * step, -0.05 * torch.sin(phase)),
        spine=angles(0.02 + zero, 0.17 * style.amplitude * step, 0.07 * torch.sin(phase)),
        head=angles(-0.05 + zero, -0.08 * style.amplitude * step, -0.02 * torch.sin(phase)),
        arms=arms, feet=feet, sway=0.25 + zero,
    )  # fmt: skip


def run_on_the_spot(clock: Clock, style: PerformerStyle) -> Score:
    """Run on the spot: knees up in turn, bent arms pumping."""
    base, t, u = stand_still(clock, style), clock.t, clock.u
    on = ease(u, 0.0, 0.12) * (1 - ease(u, 0.9, 1.0))
    phase = 2 * math.pi * 1.45 * style.speed * t + style.phase
    arms, feet = {}, {}
    for side, sign in SIDES.items():
        up = (sign * torch.sin(phase)).clamp(min=0) ** 1.5 * on
        foot = base.feet[side]
        knee = 0.26 * style.amplitude * (0.7 + 0.5 * style.energy)
        lifted = foot.ball + angles(0 * u, knee * up, -0.1 * up)
        feet[side] = replace(foot, ball=lifted, pitch=foot.pitch + 0.5 * up, free=(2 * up).clamp(max=1))
        wave = -sign * torch.sin(phase)
        pump = Hang(swing=0.1 + 0.6 * style.amplitude * wave, abduct=0.22, flex=1.45 + 0.25 * wave, shape="fist")
        arms[side] = (Key(0.0, 0.1, pump), Key(0.88, 1.0, Hang()))
    turning = 0.12 * torch.sin(phase) * on
    bounce = 0.5 * (1 + torch.cos(2 * phase)) * on
    return replace(
        base, pelvis=angles(0.02 * torch.sin(phase) * on * -1, -0.03 * bounce - 0.01 * on, 0 * u),
        tilt=angles(0.05 * on, 0.4 * turning, 0.03 * torch.sin(phase) * on),
        spine=angles(0.06 * on, -turning, 0 * u), head=angles(-0.06 * on, 0.6 * turning, 0 * u),
        arms=arms, feet=feet, sway=0.3 * base.sway,
    )  # fmt: skip


def kick_something(clock: Clock, style: PerformerStyle) -> Score:
    """Swing the strong leg back and kick it forward, arms in balance."""
    base, u = stand_still(clock, style), clock.u
    high = 0.1 + 0.3 * style.amplitude * (0.35 + 0.65 * style.variant)
    far = 0.56 * style.amplitude
    shift = path(
        u, (0.0, 0.0, 0.0), (0.1, 0.36, (0.0, 0.17, -0.36)), (0.36, 0.56, (0.04, high, far)),
        (0.58, 0.78, (0.0, 0.1, -0.02)), (0.74, 0.92, (0.0, 0.0, 0.0)),
    )  # fmt: skip
    up = ease(u, 0.1, 0.2) * (1 - ease(u, 0.84, 0.92))
    foot = base.feet["right"]
    pitch = moves(u, 0.0, (0.08, 0.34, 1.0), (0.36, 0.54, -0.15), (0.6, 0.9, 0.0))
    feet = {**base.feet, "right": replace(foot, ball=foot.ball + shift, pitch=foot.pitch + pitch, free=up)}
    over = ease(u, 0.04, 0.2) * (1 - ease(u, 0.82, 1.0))
    wind, hit = pulse(u, 0.1, 0.34, 0.5), pulse(u, 0.36, 0.56, 0.84)
    forward = Hang(swing=0.7, abduct=0.4, flex=0.5)
    back = Hang(swing=-0.45, abduct=0.5, flex=0.35)
    aside = Hang(swing=0.15, abduct=0.55, flex=0.4)
    left = (Key(0.06, 0.34, back), Key(0.36, 0.58, forward), Key(0.7, 1.0, Hang()))
    right = (Key(0.06, 0.34, replace(aside, swing=0.4)), Key(0.36, 0.58, back), Key(0.7, 1.0, Hang()))
    sideways = float(rig().at("left_hip")[0])
    return replace(
        base, pelvis=angles(sideways * style.stance * 0.85 * over, -0.015 * over, 0.02 * wind - 0.05 * hit),
        tilt=angles(0.14 * wind - 0.22 * hit, -0.2 * wind + 0.22 * hit, 0.05 * over),
        spine=angles(0.1 * wind + 0.2 * hit, 0.2 * wind - 0.3 * hit, -0.06 * over),
        head=angles(0.22 * over, 0.1 * hit, 0 * u), feet=feet, arms={"left": left, "right": right},
        sway=1 - 0.8 * over,
    )  # fmt: skip


def jump_up(clock: Clock, style: PerformerStyle) -> Score:
    """Crouch with the arms back, leap with the arms up, land softly."""
    base, u = stand_still(clock, style), clock.u
    # Untrained adults jump 0.2 to 0.4 m with a countermovement (Bosco and Komi, 1979).
    height = 0.22 * style.amplitude * (0.6 + 0.8 * style.energy)
    flight = 2 * math.sqrt(2 * height / GRAVITY)
    leave = 0.46
    share = flight / clock.duration
    tau = ((u - leave) / share).clamp(0, 1)
    air = 4 * height * tau * (1 - tau)
    land = leave + share
    crouch = moves(
        u, 0.0, (0.04, 0.34, 0.27), (0.33, leave, 0.0), (land - 0.02, land + 0.1, 0.2), (land + 0.08, land + 0.32, 0.0)
    ) * min(style.amplitude, 1.15)
    toes = ease(u, leave - 0.07, leave) * (1 - ease(u, land - 0.3 * share, land + 0.02))
    back = Hang(swing=-0.75, abduct=0.3, flex=0.25, gravity=0.8)
    high = 0.2 + 0.3 * style.variant
    raised = Reach(Spot("shoulder", (0.12, high, 0.3)), "wrist", pole=(0.8, -0.8, 0), wrist=(0.3, 0, 0))
    keys = (
        Key(0.04, 0.32, back), Key(0.33, leave + 0.04, raised),
        Key(land - 0.05, land + 0.2, Hang(swing=0.3, abduct=0.3)), Key(land + 0.15, min(land + 0.4, 1.1), Hang()),
    )  # fmt: skip
    feet = {
        side: replace(foot, pitch=foot.pitch + 0.7 * toes, free=(tau > 0) * (tau < 1) * 1.0)
        for side, foot in base.feet.items()
    }
    return replace(
        base, pelvis=angles(0 * u, -crouch, -0.35 * crouch), tilt=angles(1.5 * crouch, 0 * u, 0 * u),
        spine=angles(0.9 * crouch - 0.1 * toes, 0 * u, 0 * u), head=angles(-1.3 * crouch - 0.1 * toes, 0 * u, 0 * u),
        arms={"right": keys, "left": keys}, feet=feet, air=air, sway=0.5 * base.sway,
    )  # fmt: skip
