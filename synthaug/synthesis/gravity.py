"""Which way is up for cameras that filmed several clips: what one clip leaves open, the others settle.

Between motions out of film and the synthesizer. Pure. Somebody who sits tells nothing of a camera's pitch; others
walked before it. Only up is pooled: turning person and camera together about the floor below the person changes no
picture, while another lens would.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import move_motion
from synthaug.structures import Record, Reference

ANGLES = {"pitch": 15.0, "roll": 2.0}
"""Degrees by which cameras are tipped and turned, one standard deviation, where nothing else is known."""


@dataclass(frozen=True)
class Told:
    """What one clip says of an angle.

    Attributes:
        mean: Degrees, after the prior.
        sd: Degrees, after the prior.
    """

    mean: float
    sd: float

    def alone(self, prior: float) -> tuple[float, float]:
        """Mean and precision of what the clip itself says, the prior (about 0) taken out again."""
        precision = max(0.0, self.sd**-2 - prior**-2)
        return (self.mean * self.sd**-2 / precision if precision > 1e-9 else 0.0), precision


def pooled(clips: Sequence[Told], *, prior: float) -> list[Told]:
    """What each clip and all others together say of it.

    A normal model of two levels: a camera has an angle, each of its clips an own one near by (somebody knocked against
    it, or it was another camera after all), and each clip a measurement. How near is estimated from how far the clips
    disagree beyond what their deviations explain; where that is far, each keeps what it said.

    Args:
        clips: Of one camera.
        prior: Standard deviation of the camera's angle about 0.

    Source:
        DerSimonian and Laird, "Meta-analysis in clinical trials", 1986.
    """
    values = [clip.alone(prior) for clip in clips]
    spread = _between([(x, w) for x, w in values if w > 0])
    result = []
    for k, (own, weight) in enumerate(values):
        others = [(x, 1 / (1 / w + spread)) for j, (x, w) in enumerate(values) if j != k and w > 0]
        certainty = sum(w for _, w in others) + prior**-2
        camera = sum(x * w for x, w in others) / certainty
        near = 1 / (1 / certainty + spread)
        result.append(Told((own * weight + camera * near) / (weight + near), (weight + near) ** -0.5))
    return result


def _between(values: Sequence[tuple[float, float]]) -> float:
    """Variance between clips beyond what their own precisions explain; 0 where one clip alone speaks."""
    total = sum(w for _, w in values)
    if len(values) < 2 or total == 0:
        return 0.0
    mean = sum(x * w for x, w in values) / total
    excess = sum(w * (x - mean) ** 2 for x, w in values) - (len(values) - 1)
    return max(0.0, excess / (total - sum(w * w for _, w in values) / total))


def together(records: Sequence[Record], takes: Mapping[str, Reference]) -> dict[str, Reference]:
    """The references, those of one camera agreeing on which way is up as far as they say so.

    Clips are of one camera if their records name the same and their pictures are of one size. References without an
    estimated pitch and records without a camera stay as they are. Where clips are seen does not change.

    Args:
        records: Clips; those without a reference say nothing.
        takes: Their references by key. Notes hold `pitch_deg`, `pitch_sd_deg`, `roll_deg` and `roll_sd_deg`.

    Returns:
        References by key, in the order given; the four notes are those after pooling, `camera_clips` is how many clips
        their camera has.
    """
    cameras: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    for record in records:
        take = takes.get(record.key)
        if take is not None and record.camera and "pitch_sd_deg" in take.notes and "roll_sd_deg" in take.notes:
            cameras[record.camera, take.camera.height, take.camera.width].append(record.key)
    result = dict(takes)
    for keys in cameras.values():
        if len(keys) < 2:
            continue
        angles = {
            name: pooled(
                [Told(takes[key].notes[f"{name}_deg"], takes[key].notes[f"{name}_sd_deg"]) for key in keys], prior=prior
            )
            for name, prior in ANGLES.items()
        }
        for k, key in enumerate(keys):
            told = {name: angles[name][k] for name in ANGLES}
            notes = {f"{name}_deg": one.mean for name, one in told.items()}
            notes |= {f"{name}_sd_deg": one.sd for name, one in told.items()} | {"camera_clips": float(len(keys))}
            result[key] = _turned(takes[key], told["pitch"].mean, told["roll"].mean, notes)
    return result


def _turned(take: Reference, pitch_deg: float, roll_deg: float, notes: dict[str, float]) -> Reference:
    """The reference in a world whose up is where these angles put it, turned about the floor's origin."""
    before = _leveling(take.notes["pitch_deg"], take.notes["roll_deg"])
    turn = _leveling(pitch_deg, roll_deg) @ before.mT
    # The camera's own heading in the world, about which pitch and roll are meant.
    heading = (_FLIP @ take.camera.viewmats[0, :3, :3]).mT @ before.mT
    turn = (heading @ turn @ heading.mT).to(take.motion.transl)
    T = torch.eye(4, dtype=turn.dtype)
    T[:3, :3] = turn.mT
    camera = replace(take.camera, viewmats=take.camera.viewmats @ T.to(take.camera.viewmats))
    motion, *companions = (move_motion(one, turn, torch.zeros(3)) for one in take.people)
    return replace(take, motion=motion, camera=camera, notes={**take.notes, **notes}, companions=tuple(companions))


_FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0]))


def _leveling(pitch_deg: float, roll_deg: float) -> Float[Tensor, "3 3"]:
    """Turns the frame of a camera that looks down by this much, and is turned clockwise by that, until y is up."""
    pitch, roll = torch.tensor([[-math.radians(pitch_deg), 0.0, 0.0], [0.0, 0.0, -math.radians(roll_deg)]])
    return axis_angle_to_matrix(pitch) @ axis_angle_to_matrix(roll)
