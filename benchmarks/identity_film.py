"""Film of people who turn around once and then move freely, whose truth is known: what avatars are made of in tests.

The people are of the demo's street family, filmed by its pseudo-real camera in its rooms.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, final

import torch

from synthaug.avatars.anny import AnnyPerson
from synthaug.body.skeleton import JOINT
from synthaug.cameras.orbit import Orbit
from synthaug.datasets.demo import Demo
from synthaug.motions import MotionSource
from synthaug.motions.actions import Actions
from synthaug.pseudoreal.film import Footage, PseudoReal
from synthaug.pseudoreal.street import FAMILY, build_street
from synthaug.structures import Motion, Record, Reference

FOOTAGE = Footage(size=480, fps=15.0, seconds=20.0, supersampling=1, crf=20)
TURN_SECONDS = 8.0
FREE = ("hand waving", "squat down", "cheer up", "throw", "bow", "stretch")
"""What they do after they have turned."""
_RATE = 25.0


@final
class TurnAndMove(MotionSource):
    """Turns once on the spot with the arms away from the body, then performs some actions, facing the camera."""

    looks: ClassVar[str] = ""

    @property
    def fingerprint(self) -> str:
        """Version and actions."""
        return f"turn-and-move-2-{FREE}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """No files."""
        return ()

    def load(self, record: Record) -> Reference:
        """Twenty seconds; the camera is that of the first action."""
        _, family, seed = record.key.split("/")
        source, each = Actions(), (FOOTAGE.seconds - TURN_SECONDS) / len(FREE)
        parts = [
            source.load(replace(record, key=f"{name}/{family}/{int(seed) + 17 * k}", end=each))
            for k, name in enumerate(FREE)
        ]
        standing = parts[0].motion
        count = round(TURN_SECONDS * _RATE)
        motions = [_turn(standing, count), *(part.motion for part in parts)]
        pose = torch.cat([motion.pose for motion in motions])
        transl = torch.cat([motion.transl for motion in motions])
        length = min(len(pose), round(FOOTAGE.seconds * _RATE))
        return Reference(Motion.from_pose(pose[:length], transl[:length], fps=_RATE), parts[0].camera)


def _turn(standing: Motion, count: int) -> Motion:
    pose, share = standing.pose[:1].repeat(count, 1, 1), torch.arange(count) / count
    pose[:, JOINT["left_shoulder"], 2], pose[:, JOINT["right_shoulder"], 2] = -0.85, 0.85
    pose[:, 0] = 0
    pose[:, 0, 1] = share * 2 * math.pi
    # Knees give a little with every step.
    bend = 0.12 * (1 - torch.cos(share * 16 * math.pi)) / 2
    for side in ("left", "right"):
        pose[:, JOINT[f"{side}_hip"], 0] -= bend
        pose[:, JOINT[f"{side}_knee"], 0] += 2 * bend
    return Motion.from_pose(pose, standing.transl[:1].repeat(count, 1), fps=_RATE)


@dataclass(frozen=True, eq=False)
class FilmedIdentity:
    """A film of one person, and who it is.

    Attributes:
        record: The film; the true motion and camera lie beside it as .npz.
        person: The true person.
    """

    record: Record
    person: AnnyPerson


def film_people(count: int, *, seed: int = 5) -> Sequence[FilmedIdentity]:
    """Film of this many people, made once and kept in the user's cache."""
    stage = build_street()
    view = Orbit(azimuth_deg=(-5, 5), elevation_deg=(0, 8), distance=(0.8, 0.9), focal=(1.0, 1.2))
    stage = replace(stage, motion=TurnAndMove(), camera=view)
    films = PseudoReal(stage, classes=("turn and move",), performers=count, footage=FOOTAGE, num_workers=0, seed=seed)
    records = list(Demo(films).records)
    names = films.performers
    return [
        FilmedIdentity(record, AnnyPerson(FAMILY, int(name.rpartition("-")[2]), gaussians=32_000))
        for record, name in zip(records, names, strict=True)
    ]
