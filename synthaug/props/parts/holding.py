"""Put things into hands, between hands and on heads, so that they follow the body. Pure functions, float64."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body.limbs import SIDES, apply, vector
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.props import Hold
from synthaug.props.parts.frames import BodyFrames
from synthaug.props.parts.skulls import Grip, choose_turn

ALLOWED = 0.003
"""Metres that a thing may be in the skull without being moved: lips give way."""
MAX_PUSH = 0.025
"""Metres by which a thing is moved in the hand at most to keep it out of the head."""
TURNS_DEG = (0.0, 20.0, -20.0, 40.0, -40.0, 65.0, -65.0, 90.0, -90.0, 130.0, -130.0, 180.0)
"""Turns about the palm's normal that are tried, least first, to keep a thing out of the head."""
BETTER = 0.005
"""Metres by which a turn must keep a thing farther out of the head than one that was tried before it."""
SLIDE = 0.018
"""Metres by which a palm may be off its place on a thing that both hold: it slides along the edge."""
APART = 0.04
"""Metres beyond its spread up to which both hands still hold a thing; over as many more, one lets go."""


@dataclass(frozen=True, eq=False)
class Held:
    """Where a held thing is.

    Attributes:
        R: Thing to world.
        at: Its origin in the world.
        scale: Its size against what was built.
        width: Its width if it is made to fit between the palms, metres.
        grips: World position of each hand's grip point, by side; NaN where that hand does not hold it.
    """

    R: Float[Tensor, "time 3 3"]
    at: Float[Tensor, "time 3"]
    grips: dict[str, Tensor]
    scale: float = 1.0
    width: float | None = None


def hold_thing(hold: Hold, side: str, body: BodyFrames, points: Float[Tensor, "point 3"]) -> Held:
    """Where a thing is that a person holds.

    Args:
        hold: How it is held.
        side: The hand that holds it, or that holds it where only one does.
        body: The person.
        points: Points on the thing, in its own frame, that should not be in the person's head.
    """
    if hold.carrier == "head":
        return _put_on_head(hold, body)
    if hold.carrier == "hand":
        held = _keep_out_of_head(hold, side, body, points)
    elif hold.floor:
        return _lean_on_floor(hold, side, body)
    else:
        held = _hold_between(hold, side, body)
    return _push_out_of_head(held, body, points)


def _orient(up: Tensor, front: Tensor) -> Float[Tensor, "*batch 3 3"]:
    """Rotation whose second column is `up`, and whose third is `front` as far as it is across."""
    y = normalize(up, dim=-1)
    z = normalize(front - (front * y).sum(-1, keepdim=True) * y, dim=-1)
    return torch.stack([torch.linalg.cross(y, z), y, z], dim=-1)


def _limit_tilt(R: Tensor, most_deg: float | None) -> Tensor:
    """Turn a thing upright as far as its y axis leans more than this."""
    if most_deg is None:
        return R
    y, up = R[..., 1], vector(0, 1, 0)
    angle = y[..., 1].clamp(-1, 1).arccos()
    axis = torch.linalg.cross(y, up.expand_as(y))
    axis = torch.where(axis.norm(dim=-1, keepdim=True) < 1e-4, R[..., 2], axis)
    over = (angle - math.radians(most_deg)).clamp(min=0)
    return axis_angle_to_matrix(normalize(axis, dim=-1) * over[..., None]) @ R


def _keep_out_of_head(hold: Hold, side: str, body: BodyFrames, points: Tensor) -> Held:
    """In one hand, turned about the grip by the least angle that keeps it out of the head best."""
    hand = body.hands[side]
    goal = hand.palm if hold.place == "palm" else hand.pinch
    tilt = -1.0 if hold.tilt_deg is None else math.radians(hold.tilt_deg)
    up, front, point = (np.array(part, dtype=np.float64) for part in (hold.up, hold.front, hold.grip))
    grip = Grip(goal.contiguous().numpy(), hand.axes.contiguous().numpy(), up, front, point, tilt)
    angles = SIDES[side] * np.radians(TURNS_DEG)
    R, at = choose_turn(grip, angles, points.contiguous().numpy(), body.skull, (ALLOWED + 0.7 * MAX_PUSH, BETTER))
    return Held(torch.from_numpy(R), torch.from_numpy(at), {side: goal})


def _push_out_of_head(held: Held, body: BodyFrames, points: Tensor) -> Held:
    """Move a thing out of the head, in each frame by what it needs, up to MAX_PUSH; its grip points move along."""
    shift = torch.zeros_like(held.at)
    scaled = held.scale * points
    for _ in range(3):
        depth, way = body.find_depth(scaled, held.R, held.at + shift)
        if float(depth.max()) <= ALLOWED:
            break
        shift = shift + way * (depth - ALLOWED).clamp(min=0)[:, None]
    if not bool(shift.any()):
        return held
    shift = shift * (MAX_PUSH / shift.norm(dim=-1, keepdim=True).clamp(min=1e-9)).clamp(max=1)
    grips = {side: grip + shift for side, grip in held.grips.items()}
    return replace(held, at=held.at + shift, grips=grips)


def _put_on_head(hold: Hold, body: BodyFrames) -> Held:
    R = _orient(apply(body.head, vector(*hold.up)), apply(body.head, vector(*hold.front)))
    return Held(R, body.eyes - body.size * apply(R, vector(*hold.grip)), {}, scale=body.size)


def _hold_between(hold: Hold, side: str, body: BodyFrames) -> Held:
    """Between both palms where they are as far apart as the thing allows, in one hand elsewhere.

    Palms slide along the thing's width, within its spread. What faces the person faces the eyes.
    """
    left, right = body.hands["left"].palm, body.hands["right"].palm
    apart = (left - right).norm(dim=-1)
    low, high = hold.spread
    beyond = torch.maximum(low - apart, apart - high)
    share = (1 - (beyond - APART) / APART).clamp(0, 1)
    share = share * share * (3 - 2 * share)
    usual = float(apart.clamp(low, high)[share > 0.5].median()) if bool((share > 0.5).any()) else (low + high) / 2
    wide = torch.full_like(apart, usual) if hold.stretch else apart.clamp(low, high)
    lateral = body.chest[..., 0] * vector(1, 0, 1)
    across = normalize(torch.lerp(normalize(lateral, dim=-1), normalize(left - right, dim=-1), share[:, None]), dim=-1)
    main = body.hands[side].palm
    middle = torch.lerp(main - SIDES[side] * across * wide[:, None] / 2, (left + right) / 2, share[:, None])
    facing = hold.front[2] < 0
    ahead = body.eyes - middle if facing else body.chest[..., 2]
    x = -across if facing else across
    if hold.tilt_deg == 0:
        ahead, x = ahead * vector(1, 0, 1), x * vector(1, 0, 1)
    z = normalize(ahead - (ahead * normalize(x, dim=-1)).sum(-1, keepdim=True) * normalize(x, dim=-1), dim=-1)
    R = torch.stack([normalize(x, dim=-1), torch.linalg.cross(z, normalize(x, dim=-1)), z], dim=-1)
    R = _limit_tilt(R, hold.tilt_deg)
    half = (-1 if facing else 1) * R[..., 0] * wide[:, None] / 2
    # The hand that holds it keeps it, and the other one lets go where it does not keep up.
    off = main - (middle + SIDES[side] * half)
    middle = middle + off * (1 - SLIDE / off.norm(dim=-1, keepdim=True).clamp(min=1e-9)).clamp(min=0)
    at = middle - apply(R, vector(*hold.grip))
    grips = {}
    for name, sign in SIDES.items():
        point = middle + sign * half
        loose = (point - body.hands[name].palm).norm(dim=-1) > 1.5 * SLIDE
        grips[name] = torch.where(loose[:, None], torch.nan, point)
    return Held(R, at, grips, width=round(usual, 2) if hold.stretch else None)


def _lean_on_floor(hold: Hold, side: str, body: BodyFrames) -> Held:
    """A stick through the palm, towards the other palm if that is on the way down, its end on the floor."""
    other = "left" if side == "right" else "right"
    main, second = body.hands[side].palm, body.hands[other].palm
    way = second - main
    apart = way.norm(dim=-1)
    lower = normalize(torch.where(way[:, 1:2] > 0, -way, way), dim=-1)
    steep = (-lower[:, 1] - 0.35).clamp(0, 0.1) / 0.1
    share = steep * ((apart - 0.12) / 0.08).clamp(0, 1) * ((0.95 - apart) / 0.1).clamp(0, 1)
    ahead = normalize(body.chest[..., 2] * vector(1, 0, 1), dim=-1)
    loose = normalize(0.55 * ahead - vector(0, 1, 0), dim=-1)
    down = normalize(torch.lerp(loose, lower, share[:, None]), dim=-1)
    reach = (main[:, 1] / -down[:, 1].clamp(max=-0.1)).clamp(0.3, hold.floor - 0.05)
    at = main + down * reach[:, None]
    along = ((second - at) * -down).sum(-1).clamp(0.1, hold.floor)
    point = at - down * along[:, None]
    loose = (point - second).norm(dim=-1) > 1.5 * SLIDE
    grips = {side: main, other: torch.where(loose[:, None], torch.nan, point)}
    return Held(_orient(-down, ahead), at, grips)
