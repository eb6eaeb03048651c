"""Take away the hair under a hat while it is worn. Pure functions; an avatar's own Gaussians stay as they are."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int16
from torch import Tensor

from synthaug.body.skeleton import JOINT, JOINT_NAMES
from synthaug.props import Dome, Placed
from synthaug.structures import Camera, Gaussians, Level

HEAD = [JOINT[name] for name in ("head", "jaw", "left_eye_smplhf", "right_eye_smplhf")]
"""The joints that move a head and what grows on it."""
AWAY = 6.0
"""Metres behind the camera where hair is while it is under a hat: beyond every picture, whatever its lens."""
SPREAD = 2.0
"""Standard deviations of hair that must be inside of a hat: locks are long."""


def cover_hair(people: Sequence[Gaussians], worn: Sequence[Placed], camera: Camera) -> tuple[Gaussians, ...]:
    """The people without the hair that would come through what they wear; those without a hat as they are.

    What a hat takes the place of gets a joint of its own, behind all others, which goes behind the camera in the frames
    in which the hat is on, and with the head in the others.

    Args:
        people: As their avatars pose them.
        worn: Things on heads; those that are in place of nothing change nothing.
        camera: One view a frame.
    """
    covered = list(people)
    for hat in worn:
        if hat.dome is not None:
            covered[hat.person] = _cover(covered[hat.person], hat, hat.dome, camera)
    return tuple(covered)


def _cover(person: Gaussians, hat: Placed, dome: Dome, camera: Camera) -> Gaussians:
    shown = torch.tensor(list(hat.shown), device=person.T_world_rest.device)
    head, first = person.T_world_rest[:, JOINT["head"]], int(shown.int().argmax())
    T_hat_rest = torch.linalg.inv(hat.gaussians.T_world_rest[first, 0].double()) @ head[first].double()
    level = Level(**{name: getattr(person, name) for name in Level.__dataclass_fields__})
    extra = person.T_world_rest.shape[1]
    finest, *coarser = (_lift_hair(one, dome, T_hat_rest, extra) for one in (level, *person.levels))
    views = camera.viewmats.to(head)
    away = head.clone()
    eyes = -(views[:, :3, :3].mT @ views[:, :3, 3:])[..., 0]
    away[:, :3, 3] = eyes - AWAY * views[:, 2, :3]
    T = torch.cat([person.T_world_rest, torch.where(shown[:, None, None], away, head)[:, None]], dim=1)
    return replace(person, **vars(finest), T_world_rest=T, levels=tuple(coarser))


def _lift_hair(level: Level, dome: Dome, T_hat_rest: Float[Tensor, "4 4"], joint: int) -> Level:
    """The level with what is in the hat's place moved by this joint."""
    taken = find_covered(level, dome, T_hat_rest)
    return replace(level, joint_ids=torch.where(taken[:, None], joint, level.joint_ids))


def find_covered(level: Level, dome: Dome, T_hat_rest: Float[Tensor, "4 4"]) -> Bool[Tensor, " gaussian"]:
    """Which Gaussians of a head reach out of a hat above its rim.

    Args:
        level: A person at rest.
        dome: What the hat is in place of, in its own frame.
        T_hat_rest: From the head at rest to the hat, rigid.
    """
    heads = torch.isin(level.joint_ids, torch.tensor(HEAD, device=level.joint_ids.device))
    of_head = (level.weights * heads).sum(dim=-1) > 0.5
    T = T_hat_rest.to(level.means)
    points = level.means @ T[:3, :3].mT + T[:3, 3]
    offsets = (points - points.new_tensor(dome.middle)) / points.new_tensor(dome.axes)
    reach = SPREAD * level.scales.amax(dim=-1) / min(dome.axes)
    return of_head & (points[:, 1] > dome.rim) & (offsets.norm(dim=-1) + reach > 1)


def name_parts(
    labels: Int16[Tensor, "*picture"], people: Sequence[Gaussians], *, count: int
) -> Int16[Tensor, "*picture"]:
    """Labels as if every person had the joints of a skeleton alone: a joint of one's own for hair is the head's.

    Args:
        labels: As in `Rendering`.
        people: The people who were rendered, and the things behind them.
        count: How many of them are people.
    """
    own, table = len(JOINT_NAMES), [0]
    start = 1
    for place, one in enumerate(people):
        joints = one.T_world_rest.shape[1]
        named = min(joints, own) if place < count else joints
        table += [start + (joint if joint < named else JOINT["head"]) for joint in range(joints)]
        start += named
    return torch.tensor(table, dtype=labels.dtype, device=labels.device)[labels.long()]
