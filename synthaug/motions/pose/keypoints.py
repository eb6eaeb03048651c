"""Motions out of people's points in pictures, read from files: who is meant, in what film, and lifted to space.

Below `toyota_skeleton` and `coco_wholebody`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from synthaug.motions.files.recordings import FlawError
from synthaug.motions.fitting.layouts import Layout
from synthaug.motions.fitting.placement import intrinsics
from synthaug.motions.fitting.recovery import KeypointTrack, RecoveredMotion, lift
from synthaug.motions.pose.following import Detection, PersonTrack, follow
from synthaug.structures import Camera, Record, Reference
from synthaug.video import SUFFIXES, filmed_size, probe


@dataclass(frozen=True)
class FilmFormat:
    """What the points were found in.

    Attributes:
        fps: Frames a second.
        height: Pixels.
        width: Pixels.
    """

    fps: float
    height: int
    width: int


@dataclass(frozen=True)
class Choice:
    """Which person of a recording is meant, and what they must show.

    Attributes:
        person: 0 takes who moves most, 1 the next.
        present: Least share of the clip's frames that show the person.
        focal: Focal length over the longer side of the picture, for cameras of which nothing is known.
    """

    person: int = 0
    present: float = 0.5
    focal: float = 1.0

    def __post_init__(self) -> None:
        if self.person < 0 or not 0 <= self.present <= 1 or not 0.3 <= self.focal <= 10:
            raise ValueError(
                f"person={self.person}, present={self.present} and focal={self.focal} were given. A number from 0, a "
                "share from 0 to 1 and a focal length of 0.3 to 10 longer sides were wanted. Correct the value."
            )


def film_format(record: Record, *, fps: float | None, size: tuple[int, int] | None) -> FilmFormat:
    """Rate and size of a record's film: the film's own where it is there, else as given.

    Of a film that was made smaller the size is its original's, which keypoints beside it count in.

    Raises:
        FlawError: If neither says.
        VideoError: If the film is there and cannot be read.
    """
    if record.path.suffix.lower() in SUFFIXES and record.path.exists():
        info = probe(record.path)
        return FilmFormat(info.fps, *filmed_size(record.path, info))
    if fps is None or size is None:
        missing = " and ".join(name for name, value in (("fps", fps), ("size", size)) if value is None)
        raise FlawError(f"it does not say its film's {missing}; the film beside it, or {missing} as set, was wanted")
    return FilmFormat(fps, size[0], size[1])


def choose_person(frames: Sequence[Sequence[Detection]], *, fps: float, choice: Choice) -> tuple[PersonTrack, int]:
    """The person who is meant, and how many there are.

    Raises:
        FlawError: If there is nobody, or not so many, or they are hardly ever there.
    """
    if not any(len(one.seen) for people in frames for one in people):
        raise FlawError(f"there is nobody in any of its {len(frames)} frames; a person was wanted")
    everybody = follow(frames, fps=fps)
    if choice.person >= len(everybody):
        raise FlawError(f"{len(everybody)} people are in it; number {choice.person} (from 0) was wanted")
    one = everybody[choice.person]
    if one.present < choice.present:
        raise FlawError(
            f"its person is in {one.present:.0%} of {len(frames)} frames; at least {choice.present:.0%} was wanted"
        )
    return one, len(everybody)


def lift_person(frames: Sequence[Sequence[Detection]], layout: Layout, film: FilmFormat, choice: Choice) -> Reference:
    """The motion of the person who is meant, and the camera that is taken to have seen it.

    Notes: `people`, `present` (share of frames with the person), and the lift's own.

    Raises:
        FlawError: If too little is seen of anybody.
    """
    one, people = choose_person(frames, fps=film.fps, choice=choice)
    K = intrinsics(film.width, film.height, choice.focal)
    found = lift(
        KeypointTrack(
            pixels=torch.from_numpy(one.points).float(),
            confidence=torch.from_numpy(one.confidence).float(),
            fps=film.fps,
            layout=layout,
            K=K,
            size=(film.height, film.width),
        )
    )
    return reference_of(found, film, choice, {"people": float(people), "present": one.present})


def reference_of(found: RecoveredMotion, film: FilmFormat, choice: Choice, notes: dict[str, float]) -> Reference:
    """What was recovered, with the guessed camera of its film."""
    time = found.motion.num_frames
    K = intrinsics(film.width, film.height, choice.focal)
    camera = Camera(found.viewmats(), K.repeat(time, 1, 1), width=film.width, height=film.height)
    return Reference(found.motion, camera, found.quality, {**found.notes, **notes})


def mask_missing(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The confidence, nothing where a point is not finite or at (0, 0), which is how missing ones are written."""
    there = np.isfinite(points).all(axis=1) & (np.nan_to_num(points) != 0).any(axis=1)
    return np.where(there, np.clip(np.nan_to_num(confidence), 0, 1), 0.0)
