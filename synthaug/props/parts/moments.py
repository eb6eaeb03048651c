"""Which hand holds a thing, and when, from what the hands of a performance do. Pure functions."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.limbs import SIDES, apply, rig
from synthaug.body.skeleton import JOINT
from synthaug.props.parts.frames import BodyFrames

CLEAR = 0.03
"""Metres by which one hand must come nearer than the other to be the one that acts; chance decides below."""
RAISED = 0.3
"""Share of a hand's way up from where it hangs lowest, above which it is raised."""
LEAST_RISE = 0.12
"""Metres that a hand must rise to be raised at all."""


def choose_hand(body: BodyFrames, near: str, rng: np.random.Generator) -> str:
    """The hand that comes nearer to where a kind goes, or the one that moves more; by chance if both do alike.

    Args:
        body: Hands and head over the whole performance.
        near: A landmark of the head, or empty.
        rng: Decides where the hands do not.
    """
    scores = {side: _score(body, near, side) for side in SIDES}
    chance = rng.random() < 0.5
    if abs(scores["left"] - scores["right"]) < CLEAR:
        return "left" if chance else "right"
    return min(scores, key=lambda side: scores[side])


def _score(body: BodyFrames, near: str, side: str) -> float:
    palm = body.hands[side].palm
    if near:
        return float((palm - find_landmark(body, near, side)).norm(dim=-1).min())
    own = apply(body.chest.mT, palm - body.joints[:, JOINT["spine3"]])
    return -float(own.std(dim=0).norm()) if len(own) > 1 else 0.0


def find_landmark(body: BodyFrames, near: str, side: str) -> Float[Tensor, "time 3"]:
    """A landmark of the head over time: the ear on that side."""
    joint, offset = rig().landmarks[f"{side}_{near}" if f"{side}_{near}" in rig().landmarks else near]
    assert joint == "head", "things go to places on the head"
    return body.joints[:, JOINT["head"]] + body.size * apply(body.head, offset)


def find_times(times: tuple[float, float] | str, body: BodyFrames, near: str, side: str) -> tuple[float, float] | None:
    """Shares of the performance between which a thing is there; None where its hand never does what is asked.

    Args:
        times: As in `table.Holding`.
        body: The whole performance.
        near: Where the kind goes, for "until_near" and "from_near".
        side: The hand.
    """
    if isinstance(times, tuple):
        return times
    palm = body.hands[side].palm
    last = max(len(palm) - 1, 1)
    height = palm[:, 1] - body.joints[:, JOINT["pelvis"], 1]
    if times == "always":
        return 0.0, 1.0
    if times == "raised":
        low, high = float(height.min()), float(height.max())
        # A hand that never hangs, as of somebody who sits at a table, is raised all the time.
        if low > -0.05:
            return 0.0, 1.0
        up = torch.nonzero(height > low + RAISED * (high - low))[:, 0]
        return None if high - low < LEAST_RISE else (int(up[0]) / last, int(up[-1]) / last)
    if times in ("after_lowest", "until_lowest"):
        share = int(palm[:, 1].argmin()) / last
        return (share, 1.0) if times == "after_lowest" else (0.0, share)
    if times == "until_fastest":
        speed = (palm - body.joints[:, JOINT["pelvis"]]).diff(dim=0).norm(dim=-1)
        return 0.0, int(speed.argmax()) / last if len(speed) else 1.0
    share = int((palm - find_landmark(body, near or "eyes", side)).norm(dim=-1).argmin()) / last
    return (0.0, share) if times == "until_near" else (share, 1.0)
