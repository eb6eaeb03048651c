"""Motions out of NTU RGB+D's `.skeleton` files: Kinect's 25 joints, followed by person, seen by its colour camera.

A motion source for NTU RGB+D 60 and 120, and for whatever else keeps that text format.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float

from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.calibration import Calibrated, Lens, calibrated, nominal
from synthaug.motions.files.recordings import (
    FlawError,
    folders_of,
    found_recordings,
    frames_between,
    positive,
    read_text,
    reading,
    recording_of,
)
from synthaug.motions.fitting.layouts import NTU_25
from synthaug.motions.fitting.recovery import JointTrack, Recovered, recover
from synthaug.motions.pose.following import Followed, Found, follow
from synthaug.structures import Camera, Record, Reference

_VERSION = 2
JOINTS = 25
MAX_BODIES = 24
"""Bodies in one frame: four times what a Kinect follows."""
_RANGE = 20.0
"""Metres from the sensor, which sees eight: beyond, a position is a mistake."""
_TRUST = np.array([0.0, 0.3, 1.0])
"""Of joints not tracked, inferred, and tracked."""
LENS = Lens(width=1920, height=1080, focal=1060.0, baseline=0.052)
"""Kinect v2's colour camera as built (84.1 degrees across), 52 mm beside the depth sensor."""
_FEWEST_PAIRS = 50
MUTUAL = frozenset((*range(50, 61), *range(106, 121)))
"""Numbers of the actions that two people do together, as NTU's authors class them."""
_ACTION = re.compile(r"A(\d{3})(?:_|$)")
_MIRROR = np.array([1.0, -1.0, 1.0])
"""Kinect's axes (x as the picture's, y up, z forward) to OpenCV's."""


@dataclass(frozen=True, eq=False)
class Body:
    """One body in one frame.

    Attributes:
        name: `bodyID`, 64 bits: kept as text, for floats merge people.
        points: Metres, Kinect's axes: x as the picture's, y up, z away from the sensor.
        pixels: In the colour picture, 1920 x 1080; nan where unknown.
        states: 0 not tracked, 1 inferred, 2 tracked.
    """

    name: str
    points: Float[np.ndarray, "25 3"]
    pixels: Float[np.ndarray, "25 2"]
    states: Float[np.ndarray, "25"]


def parse_skeleton(text: str) -> list[list[Body]]:
    """The bodies of every frame, as the file has them.

    Raises:
        FlawError: If it is not of that format, ends early, or goes on too long; frame and line are named.
    """
    lines = _Lines(text.splitlines())
    announced = lines.whole("the number of frames", most=1_000_000)
    frames: list[list[Body]] = []
    for number in range(announced):
        lines.where = f"frame {number + 1} of {announced}"
        count = lines.whole("the number of bodies", most=MAX_BODIES)
        frames.append([_body(lines) for _ in range(count)])
    lines.finish()
    return frames


class _Lines:
    """Lines one after another; what goes wrong is said with frame and line."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._at = 0
        self.where = "the head"

    def take(self, what: str, values: int) -> list[str]:
        if self._at >= len(self._lines):
            raise FlawError(f"it ends after line {self._at}, before {what} of {self.where}; a whole file was wanted")
        words = self._lines[self._at].split()
        self._at += 1
        if len(words) != values:
            raise FlawError(
                f"line {self._at} ({what} of {self.where}) has {len(words)} values; {values} were wanted"
                f"{', and it is the last' if self._at == len(self._lines) else ''}"
            )
        return words

    def whole(self, what: str, *, most: int) -> int:
        (word,) = self.take(what, 1)
        if not (word.isascii() and word.isdigit() and int(word[:20]) <= most):
            raise FlawError(f"line {self._at} gives {word[:40]!r} as {what} of {self.where}; 0 to {most} was wanted")
        return int(word)

    def row(self, what: str, values: int) -> list[float]:
        words = self.take(what, values)
        try:
            return [float(word) for word in words]
        except ValueError as error:
            raise FlawError(
                f"line {self._at} ({what} of {self.where}) has a value that is no number: {error}"
            ) from error

    def finish(self) -> None:
        rest = [line for line in self._lines[self._at :] if line.strip()]
        if rest:
            raise FlawError(f"it goes on for {len(rest)} lines after its last frame; nothing more was wanted")


def _body(lines: _Lines) -> Body:
    head = lines.take("a body's line", 10)
    if not (head[0].isascii() and head[0].isdigit()):
        raise FlawError(f"the bodyID in {lines.where} is {head[0][:40]!r}; a whole number was wanted")
    joints = lines.whole("the number of joints", most=1000)
    if joints != JOINTS:
        raise FlawError(f"a body in {lines.where} has {joints} joints; Kinect's {JOINTS} were wanted")
    rows = np.array([lines.row(f"joint {joint + 1}", 12) for joint in range(JOINTS)])
    return Body(head[0], rows[:, :3], rows[:, 5:7], rows[:, 11])


def people(frames: Sequence[Sequence[Body]], *, fps: float) -> list[Followed]:
    """Everybody in a recording in Kinect's metres, the acting one first.

    Bodies of no human build (a chair, a lamp) come last: those whose limbs change their length by half, or whose
    median extent is under 0.5 m or over 3 m.
    """
    found = [[Found(body.points, _confidence(body), body.name) for body in bodies] for bodies in frames]
    everybody = follow(found, fps=fps)
    return sorted(everybody, key=lambda one: not _human(one))


def _confidence(body: Body) -> Float[np.ndarray, "25"]:
    finite = np.isfinite(body.points).all(axis=1) & (np.abs(np.nan_to_num(body.points)) < _RANGE).all(axis=1)
    # In front of the sensor: Kinect writes zeros for what it does not know.
    known = finite & (np.nan_to_num(body.points[:, 2]) > 0.1)
    state = np.clip(np.nan_to_num(body.states), 0, 2).astype(int)
    return np.where(known, _TRUST[state], 0.0)


_LIMBS = ((4, 5), (5, 6), (8, 9), (9, 10), (12, 13), (13, 14), (16, 17), (17, 18))


def _human(one: Followed) -> bool:
    with np.errstate(all="ignore"):
        lengths = [np.linalg.norm(one.points[:, a] - one.points[:, b], axis=1) for a, b in _LIMBS]
        spreads = [float(np.std(x[np.isfinite(x)]) / max(np.mean(x[np.isfinite(x)]), 1e-6)) for x in lengths
                   if np.isfinite(x).sum() > 1]  # fmt: skip
    return 0.5 < one.height < 3.0 and (not spreads or float(np.median(spreads)) < 0.5)


def colour_camera(frames: Sequence[Sequence[Body]]) -> Calibrated:
    """Kinect's colour camera, solved from where the file says each joint is, in space and in the picture.

    Raises:
        FlawError: If too few joints have colour coordinates.
    """
    points, pixels = [], []
    for bodies in frames:
        for body in bodies:
            good = (_confidence(body) > 0) & np.isfinite(body.pixels).all(axis=1)
            good &= (np.abs(np.nan_to_num(body.pixels)) < 1e4).all(axis=1)
            points.append(body.points[good] * _MIRROR)
            # Kinect counts from a pixel's centre, we from its corner.
            pixels.append(body.pixels[good] + 0.5)
    pairs = sum(len(part) for part in points)
    if pairs < _FEWEST_PAIRS:
        raise FlawError(
            f"{pairs} of its joints have colorX and colorY; {_FEWEST_PAIRS} at least were wanted, or "
            "camera='nominal', which takes Kinect's usual lens"
        )
    return calibrated(np.concatenate(points), np.concatenate(pixels), LENS)


@final
class NtuSkeleton(MotionSource):
    """Reads NTU RGB+D's skeletons: `<name>.skeleton` beside the film `<name>_rgb.avi`, or below `root`.

    File format:
        Text: the number of frames; for each the number of bodies; for each body a line of ten values that begins with
        its 64-bit `bodyID`, the number of joints (25), and a line of twelve for each joint: x y z in metres (Kinect's
        axes: x as the picture's, y up, z away), depth pixel, colour pixel, orientation, tracking state.

    Bodies are followed over time: an id that jumps to somebody else is cut there, and a new id that begins where
    another ended is the same person. The acting one is who moves most (the rule of NTU's FAQ), furniture last. Frames
    without them stay in the time line, of no confidence.

    Sides: the film is as a mirror shows people, and Kinect's names follow the mirror; `layouts.NTU_25` gives what is
    named left to our right, so that the motion lies over the film. Up and the floor are estimated. Hands are at rest.

    Notes: `people`, `present` (share of frames with the acting one), `ids` (of the acting one), `camera_error` (pixels,
    of the solved camera; absent for the nominal one), `companion_quality` (where there is a companion; the reference is
    worth the lesser grade), and the fit's own.

    Args:
        root: Folder of the skeletons, or several, tried in turn; None is beside the films.
        fps: Kinect's frame rate; the files do not say it.
        person: 0 takes who moves most, 1 the next, for classes of two people.
        camera: "colour" solves the colour camera from the file, "nominal" takes Kinect's as built.
        present: Least share of the clip's frames that show the person, and the companion.
        companions: "mutual" takes one in mutual actions and refuses clips of these that lack one; "never" takes the
            acting person alone.
    """

    def __init__(
        self,
        *,
        root: str | Sequence[str] | None = None,
        fps: float = 30.0,
        person: int = 0,
        camera: str = "colour",
        present: float = 0.5,
        companions: str = "mutual",
    ) -> None:
        positive("fps", fps)
        if companions not in ("mutual", "never"):
            raise ValueError(
                f"companions={companions!r} was given; 'mutual' or 'never' was wanted. Set synth.motion.companions."
            )
        if camera not in ("colour", "nominal") or person < 0 or not 0 <= present <= 1:
            raise ValueError(
                f"camera={camera!r}, person={person} and present={present} were given. 'colour' or 'nominal', a "
                "number from 0 and a share from 0 to 1 were wanted. Correct the value."
            )
        self._roots = folders_of(root)
        self._fps = float(fps)
        self._person = person
        self._camera = camera
        self._present = float(present)
        self._companions = companions

    @property
    def fingerprint(self) -> str:
        """Version and settings."""
        settings = (self._fps, self._person, self._camera, self._present, self._roots, self._companions)
        return f"ntu_skeleton-{_VERSION}-{digest_of(repr(settings))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The skeleton file."""
        return found_recordings(record, [".skeleton"], root=self._roots)

    def load(self, record: Record) -> Reference:
        """The motion of the acting person between the record's start and end, and the colour camera that saw it.

        Raises:
            FileNotFoundError: If there is no skeleton file.
            UnusableClipError: If it is damaged, shows too little of anybody, or nothing is in the interval.
        """
        path = recording_of(record, [".skeleton"], root=self._roots)
        with reading(path):
            frames = parse_skeleton(read_text(path))
            if not frames:
                raise FlawError("it has 0 frames; a recording was wanted")
            first, last = frames_between(record, len(frames), self._fps)
            frames = frames[first:last]
            everybody = people(frames, fps=self._fps)
            one = self._chosen(everybody, len(frames))
            other = self._companion(path, everybody, one)
            seen_by = colour_camera(frames) if self._camera == "colour" else nominal(LENS)
            found = self._recovered(one, "acting person")
            beside = None if other is None else self._recovered(other, "companion")
        T_camera_source = torch.from_numpy(seen_by.viewmat).float().expand(len(frames), 4, 4)
        camera = Camera(
            viewmats=found.viewmats(T_camera_source),
            Ks=torch.from_numpy(seen_by.K).float().repeat(len(frames), 1, 1),
            width=LENS.width,
            height=LENS.height,
        )
        notes = {**found.notes, "people": float(len(everybody)), "present": one.present, "ids": float(len(one.names))}
        if self._camera == "colour":
            notes["camera_error"] = seen_by.error
        if beside is None:
            return Reference(found.motion, camera, found.quality, notes)
        notes["companion_quality"] = beside.quality
        return Reference(found.motion, camera, min(found.quality, beside.quality), notes, (beside.beside(found),))

    def _chosen(self, everybody: Sequence[Followed], num_frames: int) -> Followed:
        """The person asked for."""
        if not everybody:
            raise FlawError(f"there is no body in any of its {num_frames} frames; a person was wanted")
        if self._person >= len(everybody):
            raise FlawError(f"{len(everybody)} people are in it; number {self._person} (from 0) was wanted")
        one = everybody[self._person]
        if one.present < self._present or not math.isfinite(one.energy):
            raise FlawError(
                f"its person is in {one.present:.0%} of {num_frames} frames; at least {self._present:.0%} was wanted"
            )
        return one

    def _companion(self, path: Path, everybody: Sequence[Followed], acting: Followed) -> Followed | None:
        """Who takes part in a mutual action; None where it is none, or nobody is asked for."""
        named = _ACTION.search(path.stem)
        if self._companions == "never" or named is None or int(named[1]) not in MUTUAL:
            return None
        others = [one for one in everybody if one is not acting and one.present >= self._present and _human(one)]
        if not others:
            raise FlawError(
                f"A{named[1]} is done by two, and beside its acting person nobody is in {self._present:.0%} of its "
                "frames; a companion was wanted, or synth.motion.companions=never, which re-enacts one person alone"
            )
        return others[0]

    def _recovered(self, one: Followed, who: str) -> Recovered:
        track = JointTrack(
            points=torch.from_numpy(one.points).float(),
            confidence=torch.from_numpy(one.confidence).float(),
            fps=self._fps,
            layout=NTU_25,
            frame="kinect",
        )
        try:
            (found,) = recover([track])
        except ValueError as error:
            raise FlawError(f"its {who} is none: {error}") from error
        return found
