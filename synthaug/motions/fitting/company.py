"""Choose who else of a clip is re-enacted beside the acting person: a group, or everybody who is there. Pure functions.

People of one clip are recovered one by one; `place_beside` puts them into the acting person's world.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton, move_motion
from synthaug.structures import Motion, Reference

Company: TypeAlias = Literal["never", "near", "all"]
"""Nobody else; the group about the acting person; everybody, bystanders too."""
COMPANY: tuple[str, ...] = get_args(Company)
NEAR = 1.2
"""Metres between the nearest joints of two people, at some time, up to which they belong together.

Source: Hall, "The hidden dimension", 1966: people who deal with each other personally are up to 1.2 m apart."""
DOUBLE = 0.2
"""Metres between the same joints of two people, median over time, below which both are one person, detected twice."""
MOST = 7
"""People beside the acting one who are taken at most: those who come first."""
_BODY = JOINT["right_wrist"] + 1


def check_company(company: str) -> None:
    """Check the word for who else is re-enacted.

    Raises:
        ValueError: If it is none of COMPANY.
    """
    if company not in COMPANY:
        raise ValueError(
            f"Expected companions to be one of {', '.join(COMPANY)}, got {company!r}. Set synth.motion.companions."
        )


def choose_company(lead: Motion, others: Sequence[Motion], company: str, *, sure: int = 0) -> list[int]:
    """Who of the others is re-enacted with the acting person: their places among `others`, in their order.

    A group is who comes near the acting person at some time, who comes near one of those, and so on.

    Args:
        lead: The acting person, on the mean skeleton.
        others: Everybody else, in the same world at the same times, those who move most first.
        company: One of COMPANY.
        sure: How many of the first are taken in any case, as in a class of two people.

    Raises:
        ValueError: If there is no such company.
    """
    check_company(company)
    if company == "never":
        return list(range(min(sure, len(others))))
    joints = [joint_positions(one, mean_skeleton())[:, :_BODY] for one in (lead, *others)]
    single: list[int] = []
    for place in range(1, len(joints)):
        if place <= sure or not any(_is_double(joints[place], joints[known]) for known in (0, *single)):
            single.append(place)
    if company == "near":
        group = {0, *range(1, 1 + min(sure, len(others)))}
        grown = True
        while grown:
            more = {one for one in set(single) - group if any(_is_near(joints[one], joints[known]) for known in group)}
            group, grown = group | more, bool(more)
        single = [one for one in single if one in group]
    return [one - 1 for one in single[:MOST]]


def place_beside(
    motion: Motion, own: Float[Tensor, "4 4"], lead: Float[Tensor, "4 4"], *, scale: float = 1.0
) -> Motion:
    """A motion in the world of another person whom the same source saw at the same time.

    Each world was levelled by itself. The motion is only turned about the vertical and shifted along the floor, so that
    it stays upright and on its feet, and the middle of its path is where the other person's world has it.

    Args:
        motion: In its own world.
        own: From its own world to the source's frame.
        lead: From the other person's world to the source's frame.
        scale: Metres of the other person's world for one of the motion's own.
    """
    T = torch.linalg.inv(lead)
    # The rotation between both worlds is about the vertical, except for the difference of two estimates of it.
    R = T[:3, :3] @ own[:3, :3]
    angle = math.atan2(float(R[0, 2] - R[2, 0]), float(R[0, 0] + R[2, 2]))
    turn = axis_angle_to_matrix(torch.tensor([0.0, angle, 0.0]))
    middle = motion.transl.mean(dim=0)
    seen = (own[:3, :3] @ middle + own[:3, 3]) * scale
    shift = T[:3, :3] @ seen + T[:3, 3] - turn @ middle
    return move_motion(motion, turn, shift * shift.new_tensor([1.0, 0.0, 1.0]))


def add_company(lead: Reference, others: Sequence[tuple[Motion, float]], company: str) -> Reference:
    """The acting person's reference with those of the others who are re-enacted with them.

    Its quality is that of the worst of all, and a note `companion_quality` that of the worst companion.

    Args:
        lead: The acting person.
        others: Everybody else in the same world at the same times, with their quality, those who move most first.
        company: One of COMPANY.
    """
    chosen = choose_company(lead.motion, [motion for motion, _ in others], company)
    if not chosen:
        return lead
    worst = min(others[place][1] for place in chosen)
    notes = {**lead.notes, "companion_quality": worst}
    motions = tuple(others[place][0] for place in chosen)
    quality = worst if lead.quality is None else min(lead.quality, worst)
    return replace(lead, companions=motions, quality=quality, notes=notes)


def _is_double(one: torch.Tensor, other: torch.Tensor) -> bool:
    return float((one - other).norm(dim=-1).mean(dim=-1).median()) < DOUBLE


def _is_near(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two people come near at some time; frame by frame, since all pairs of all joints are many."""
    return any(float(torch.cdist(a, b).min()) < NEAR for a, b in zip(one, other, strict=True))
