"""Align gravity between clips that one camera filmed: others may show what one leaves open. Pure functions.

A person who sits says nothing about the camera's pitch, but others walked in front of the same camera. Only the up
direction is pooled: turning person and camera together about the floor below the person changes no picture, while
another focal length would.
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
"""Degrees by which cameras are tilted and rolled, one standard deviation, where nothing else is known."""


@dataclass(frozen=True)
class AngleEstimate:
    """What one clip says about an angle.

    Attributes:
        mean: Degrees, after the prior.
        sd: Degrees, after the prior.
    """

    mean: float
    sd: float

    def without_prior(self, prior: float) -> tuple[float, float]:
        """Mean and precision of what the clip itself says, without the prior (about 0)."""
        precision = max(0.0, self.sd**-2 - prior**-2)
        return (self.mean * self.sd**-2 / precision if precision > 1e-9 else 0.0), precision


def pool_angles(clips: Sequence[AngleEstimate], *, prior: float) -> list[AngleEstimate]:
    """The angle of each clip, estimated from all clips of the camera together.

    A normal model of two levels: a camera has an angle, each of its clips an angle near that one (the camera may have
    been moved, or been another one after all), and each clip gives a measurement. How near is estimated from how far
    the clips disagree beyond what their deviations explain; where that is far, each clip keeps its own estimate.

    Args:
        clips: Estimates from the clips of one camera.
        prior: Standard deviation of the camera's angle about 0.

    Source:
        DerSimonian and Laird, "Meta-analysis in clinical trials", 1986.
    """
    values = [clip.without_prior(prior) for clip in clips]
    spread = _variance_between([(x, w) for x, w in values if w > 0])
    result = []
    for k, (own, weight) in enumerate(values):
        others = [(x, 1 / (1 / w + spread)) for j, (x, w) in enumerate(values) if j != k and w > 0]
        certainty = sum(w for _, w in others) + prior**-2
        camera = sum(x * w for x, w in others) / certainty
        near = 1 / (1 / certainty + spread)
        result.append(AngleEstimate((own * weight + camera * near) / (weight + near), (weight + near) ** -0.5))
    return result


def _variance_between(values: Sequence[tuple[float, float]]) -> float:
    """Variance between clips beyond what their own precisions explain; 0 for a single clip."""
    total = sum(w for _, w in values)
    if len(values) < 2 or total == 0:
        return 0.0
    mean = sum(x * w for x, w in values) / total
    excess = sum(w * (x - mean) ** 2 for x, w in values) - (len(values) - 1)
    return max(0.0, excess / (total - sum(w * w for _, w in values) / total))


def align_gravity(records: Sequence[Record], by_key: Mapping[str, Reference]) -> dict[str, Reference]:
    """Make the references of one camera agree on which way is up, as far as their estimates allow.

    Clips are from one camera if their records name the same camera and their pictures have one size. References without
    an estimated pitch or of a camera that moves, and records without a camera, stay as they are. No picture changes:
    person and camera turn together.

    Args:
        records: Clips; those without a reference are ignored.
        by_key: Their references by key. Notes hold `pitch_deg`, `pitch_sd_deg`, `roll_deg` and `roll_sd_deg`.

    Returns:
        References by key, in the order given; the four notes are those after pooling, `camera_clips` is how many clips
        their camera has.
    """
    cameras: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    for record in records:
        reference = by_key.get(record.key)
        if reference is None or not record.camera:
            continue
        views = reference.camera.viewmats
        still = bool((views == views[:1]).all())  # a camera that turns has no one pitch to share
        if still and "pitch_sd_deg" in reference.notes and "roll_sd_deg" in reference.notes:
            cameras[record.camera, reference.camera.height, reference.camera.width].append(record.key)
    result = dict(by_key)
    for keys in cameras.values():
        if len(keys) < 2:
            continue
        clips = [by_key[key].notes for key in keys]
        angles = {
            name: pool_angles(
                [AngleEstimate(notes[f"{name}_deg"], notes[f"{name}_sd_deg"]) for notes in clips], prior=prior
            )
            for name, prior in ANGLES.items()
        }
        for k, key in enumerate(keys):
            estimates = {name: angles[name][k] for name in ANGLES}
            notes = {f"{name}_deg": one.mean for name, one in estimates.items()}
            notes |= {f"{name}_sd_deg": one.sd for name, one in estimates.items()} | {"camera_clips": float(len(keys))}
            result[key] = _level(by_key[key], estimates["pitch"].mean, estimates["roll"].mean, notes)
    return result


def _level(reference: Reference, pitch_deg: float, roll_deg: float, notes: dict[str, float]) -> Reference:
    """The reference in a world whose up is where these angles put it, turned about the floor's origin."""
    before = _leveling(reference.notes["pitch_deg"], reference.notes["roll_deg"])
    turn = _leveling(pitch_deg, roll_deg) @ before.mT
    # The camera's own heading in the world, about which pitch and roll are meant.
    heading = (_FLIP @ reference.camera.viewmats[0, :3, :3]).mT @ before.mT
    turn = (heading @ turn @ heading.mT).to(reference.motion.transl)
    T = torch.eye(4, dtype=turn.dtype)
    T[:3, :3] = turn.mT
    camera = replace(reference.camera, viewmats=reference.camera.viewmats @ T.to(reference.camera.viewmats))
    motion, *companions = (move_motion(one, turn, torch.zeros(3)) for one in reference.people)
    notes = {**reference.notes, **notes}
    return replace(reference, motion=motion, camera=camera, notes=notes, companions=tuple(companions))


_FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0]))


def _leveling(pitch_deg: float, roll_deg: float) -> Float[Tensor, "3 3"]:
    """Rotation of a camera frame with this pitch (down) and roll (clockwise) that makes y point up."""
    pitch, roll = torch.tensor([[-math.radians(pitch_deg), 0.0, 0.0], [0.0, 0.0, -math.radians(roll_deg)]])
    return axis_angle_to_matrix(pitch) @ axis_angle_to_matrix(roll)
