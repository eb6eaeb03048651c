"""Turn 2D keypoints read from files into a reference: track the people, choose one, and lift the motion to 3D."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from synthaug.motions.files.recordings import FlawError
from synthaug.motions.fitting.company import add_company
from synthaug.motions.fitting.layouts import Layout
from synthaug.motions.fitting.placement import intrinsics
from synthaug.motions.fitting.recovery import KeypointTrack, RecoveredMotion, lift
from synthaug.motions.pose.following import Detection, PersonTrack, follow
from synthaug.structures import Camera, Record, Reference
from synthaug.video import SUFFIXES, filmed_size, is_series, probe

_LEAST_SPAN = 4.0
"""Pixels: the longer side of the smallest person whose pose can be told at all."""
_MOST_REACH = 10.0
"""Longer sides of the picture: farther outside is nobody who is seen in it."""
_ROUNDED = 0.02
"""Difference between the shapes of a film and of its smaller copy that rounding to even pixels explains."""


@dataclass(frozen=True)
class FilmFormat:
    """Format of the film that the points were detected in.

    Attributes:
        fps: Frames per second.
        height: Pixels, as stored: detectors do not know that these may not be square.
        width: Pixels, as stored.
        stretch: Width of such a pixel over its height.
    """

    fps: float
    height: int
    width: int
    stretch: float = 1.0


@dataclass(frozen=True)
class Choice:
    """Which person of a recording to take, and the assumed lens.

    Attributes:
        person: 0 selects the person who moves most, 1 the next.
        present: Smallest share of the clip's frames that show the person.
        focal: Focal length over the longer side of the picture, for unknown cameras.
    """

    person: int = 0
    present: float = 0.5
    focal: float = 1.0

    def __post_init__(self) -> None:
        if self.person < 0 or not 0 <= self.present <= 1 or not 0.3 <= self.focal <= 10:
            raise ValueError(
                "Expected person from 0, present from 0 to 1 and focal from 0.3 to 10 longer sides, got "
                f"person={self.person}, present={self.present} and focal={self.focal}. Correct the value."
            )


def film_format(record: Record, *, fps: float | None, size: tuple[int, int] | None) -> FilmFormat:
    """Frame rate and size of a record's film, or the given ones if the film is missing.

    For a film that was scaled down this is the size of the original, which keypoints beside it refer to.

    Raises:
        FlawError: If the film is missing and a value is not given.
        VideoError: If the film exists but cannot be read.
    """
    if (record.path.suffix.lower() in SUFFIXES and record.path.exists()) or is_series(record.path):
        info = probe(record.path)
        height, width = filmed_size(record.path, info)
        stretch = (info.width * height) / (info.height * width)
        if abs(stretch - 1) <= _ROUNDED:
            return FilmFormat(info.fps, height, width)
        return FilmFormat(info.fps, height, width, stretch)
    if fps is None or size is None:
        missing = " and ".join(name for name, value in (("fps", fps), ("size", size)) if value is None)
        raise FlawError(f"expected its film beside it, or {missing}, found neither; set {missing}")
    return FilmFormat(fps, size[0], size[1])


def choose_person(frames: Sequence[Sequence[Detection]], *, fps: float, choice: Choice) -> tuple[PersonTrack, int]:
    """The chosen person, and the number of people.

    Raises:
        FlawError: If there are too few people, or the person is in too few frames.
    """
    one, everybody = _follow_people(frames, fps=fps, choice=choice)
    return one, len(everybody)


def _follow_people(
    frames: Sequence[Sequence[Detection]], *, fps: float, choice: Choice
) -> tuple[PersonTrack, list[PersonTrack]]:
    """The chosen person, and everybody; errors as for `choose_person`."""
    if not any(len(one.seen) for people in frames for one in people):
        raise FlawError(f"expected a person, found nobody in any of its {len(frames)} frames")
    everybody = follow(frames, fps=fps)
    if choice.person >= len(everybody):
        raise FlawError(f"expected a person of number {choice.person} (from 0), got {len(everybody)} people")
    one = everybody[choice.person]
    if one.present < choice.present:
        raise FlawError(
            f"expected its person in at least {choice.present:.0%} of {len(frames)} frames, got {one.present:.0%}"
        )
    return one, everybody


def lift_person(
    frames: Sequence[Sequence[Detection]], layout: Layout, film: FilmFormat, choice: Choice, *, company: str = "never"
) -> Reference:
    """Lift the motion of the chosen person, and of those beside, seen by a camera with the assumed lens.

    One view tells how far people are from it by their size alone: who is small is put farther away. Those to whom no
    body can be fitted, or who are in too few frames, are left out.

    Args:
        frames: The people of each frame.
        layout: Of their points.
        film: What the points were detected in.
        choice: Whom to take.
        company: Who else is taken: one of `fitting.company.COMPANY`.

    Notes: `people`, `present` (share of frames with the person), and those of `fitting.recovery.lift`.

    Raises:
        FlawError: If too little of the person is seen, or the points are not in the film's pixels.
    """
    one, everybody = _follow_people(frames, fps=film.fps, choice=choice)
    found, upright = _lift_track(one, layout, film, choice)
    notes = {"people": float(len(everybody)), "present": one.present}
    if company == "never":
        return reference_of(found, upright, choice, notes)
    beside: list[RecoveredMotion] = []
    for other in everybody:
        if other is not one and other.present >= choice.present:
            with contextlib.suppress(FlawError, ValueError):
                beside.append(_lift_track(other, layout, film, choice)[0])
    others = [(other.beside(found), other.quality) for other in beside]
    return add_company(reference_of(found, upright, choice, notes), others, company)


def _lift_track(
    one: PersonTrack, layout: Layout, film: FilmFormat, choice: Choice
) -> tuple[RecoveredMotion, FilmFormat]:
    """The motion of a track, and the film with square pixels."""
    _check_extent(one, film)
    points = one.points * [film.stretch, 1.0]
    film = replace(film, width=round(film.width * film.stretch), stretch=1.0)
    K = intrinsics(film.width, film.height, choice.focal)
    track = KeypointTrack(
        pixels=torch.from_numpy(points).float(),
        confidence=torch.from_numpy(one.confidence).float(),
        fps=film.fps,
        layout=layout,
        K=K,
        size=(film.height, film.width),
    )
    return lift(track), film


def _check_extent(one: PersonTrack, film: FilmFormat) -> None:
    """Check that a person is larger than a few pixels and not far outside the picture.

    Raises:
        FlawError: If not: nobody looks like that, and points in other units do.
    """
    seen = one.confidence > 0
    some = seen.sum(axis=1) > 1
    spans = [np.ptp(points[known], axis=0).max() for points, known in zip(one.points[some], seen[some], strict=True)]
    span, reach = float(np.median(spans or [0.0])), float(np.quantile(np.abs(one.points[seen]), 0.9))
    if not (span >= _LEAST_SPAN and reach <= _MOST_REACH * max(film.width, film.height)):
        raise FlawError(
            f"expected a person in the pixels of a picture of {film.width} by {film.height}, got one {span:.3g} pixels "
            f"large with points up to {reach:.3g}; write the points in the film's pixels"
        )


def reference_of(found: RecoveredMotion, film: FilmFormat, choice: Choice, notes: dict[str, float]) -> Reference:
    """The recovered motion as a reference, with the assumed camera of its film."""
    time = found.motion.num_frames
    K = intrinsics(film.width, film.height, choice.focal)
    camera = Camera(found.viewmats(), K.repeat(time, 1, 1), width=film.width, height=film.height)
    return Reference(found.motion, camera, found.quality, {**found.notes, **notes})


def mask_missing(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The confidence, set to 0 where a point is not finite or at (0, 0), which marks missing points."""
    there = np.isfinite(points).all(axis=1) & (np.nan_to_num(points) != 0).any(axis=1)
    return np.where(there, np.clip(np.nan_to_num(confidence), 0, 1), 0.0)
