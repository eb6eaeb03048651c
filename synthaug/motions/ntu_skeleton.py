"""Read motions from `.skeleton` files of NTU RGB+D 60 and 120: Kinect's 25 joints, tracked by person."""

import contextlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float

from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.calibration import CameraCalibration, NominalLens, calibrate, nominal_calibration
from synthaug.motions.files.recognition import has_suffix, is_film_beside, read_head
from synthaug.motions.files.recordings import (
    FlawError,
    check_positive,
    find_recordings,
    folders_of,
    frames_between,
    read_text,
    reading,
    recording_of,
)
from synthaug.motions.fitting.company import COMPANY, choose_company
from synthaug.motions.fitting.layouts import NTU_25
from synthaug.motions.fitting.recovery import JointTrack, RecoveredMotion, recover
from synthaug.motions.pose.following import Detection, PersonTrack, follow
from synthaug.structures import Camera, Record, Reference

_VERSION = 4
JOINTS = 25
MAX_BODIES = 24
"""Largest number of bodies in one frame: four times what a Kinect tracks."""
_MAX_RANGE = 20.0
"""Metres from the sensor, which sees eight; positions beyond are errors."""
_TRUST = np.array([0.0, 0.3, 1.0])
"""Confidence of joints that are not tracked, inferred, and tracked."""
LENS = NominalLens(width=1920, height=1080, focal=1060.0, baseline=0.052)
"""Kinect v2's nominal colour camera (84.1 degrees across), 52 mm beside the depth sensor."""
_MIN_PAIRS = 50
MUTUAL = frozenset((*range(50, 61), *range(106, 121)))
"""Numbers of the actions of two people, as NTU's authors define them."""
_ACTION = re.compile(r"A(\d{3})(?:_|$)")
_MIRROR = np.array([1.0, -1.0, 1.0])
"""Kinect's axes (x as the picture's, y up, z forward) to OpenCV's."""


@dataclass(frozen=True, eq=False)
class KinectBody:
    """One body in one frame.

    Attributes:
        name: `bodyID`, 64 bits, kept as text, since distinct ids are equal as floats.
        points: Metres, Kinect's axes: x as the picture's, y up, z away from the sensor.
        pixels: In the colour picture, 1920 x 1080; nan where unknown.
        states: 0 not tracked, 1 inferred, 2 tracked.
    """

    name: str
    points: Float[np.ndarray, "25 3"]
    pixels: Float[np.ndarray, "25 2"]
    states: Float[np.ndarray, "25"]


def parse_skeleton(text: str) -> list[list[KinectBody]]:
    """Parse the bodies of every frame.

    Raises:
        FlawError: If the format is wrong, or the file is too short or too long; frame and line are named.
    """
    lines = _Lines(text.splitlines())
    announced = lines.integer("the number of frames", most=1_000_000)
    frames: list[list[KinectBody]] = []
    for number in range(announced):
        lines.where = f"frame {number + 1} of {announced}"
        count = lines.integer("the number of bodies", most=MAX_BODIES)
        frames.append([_parse_body(lines) for _ in range(count)])
    lines.expect_end()
    return frames


class _Lines:
    """The lines of a file, read one after another; errors name frame and line."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._at = 0
        self.where = "the head"

    def words(self, what: str, values: int) -> list[str]:
        if self._at >= len(self._lines):
            raise FlawError(f"expected {what} of {self.where}, got the end of the file after line {self._at}")
        words = self._lines[self._at].split()
        self._at += 1
        if len(words) != values:
            raise FlawError(
                f"expected {values} values in line {self._at} ({what} of {self.where}), got {len(words)}"
                f"{', and it is the last line' if self._at == len(self._lines) else ''}"
            )
        return words

    def integer(self, what: str, *, most: int) -> int:
        (word,) = self.words(what, 1)
        if not (word.isascii() and word.isdigit() and int(word[:20]) <= most):
            raise FlawError(f"expected 0 to {most} as {what} of {self.where} in line {self._at}, got {word[:40]!r}")
        return int(word)

    def numbers(self, what: str, values: int) -> list[float]:
        words = self.words(what, values)
        try:
            return [float(word) for word in words]
        except ValueError as error:
            raise FlawError(f"expected numbers in line {self._at} ({what} of {self.where}): {error}") from error

    def expect_end(self) -> None:
        rest = [line for line in self._lines[self._at :] if line.strip()]
        if rest:
            raise FlawError(f"expected the end of the file after the last frame, got {len(rest)} more lines")


def _parse_body(lines: _Lines) -> KinectBody:
    head = lines.words("a body's line", 10)
    if not (head[0].isascii() and head[0].isdigit()):
        raise FlawError(f"expected a whole number as bodyID in {lines.where}, got {head[0][:40]!r}")
    joints = lines.integer("the number of joints", most=1000)
    if joints != JOINTS:
        raise FlawError(f"expected Kinect's {JOINTS} joints in a body of {lines.where}, got {joints}")
    rows = np.array([lines.numbers(f"joint {joint + 1}", 12) for joint in range(JOINTS)])
    return KinectBody(head[0], rows[:, :3], rows[:, 5:7], rows[:, 11])


def find_people(frames: Sequence[Sequence[KinectBody]], *, fps: float) -> list[PersonTrack]:
    """Track all people of a recording in Kinect's frame, metres; the acting person comes first.

    Bodies without a human build (a chair, a lamp) come last: those whose limbs change their length by half, or whose
    median extent is below 0.5 m or above 3 m.
    """
    found = [[Detection(body.points, _joint_confidence(body), body.name) for body in bodies] for bodies in frames]
    everybody = follow(found, fps=fps)
    return sorted(everybody, key=lambda one: not _is_human(one))


def _joint_confidence(body: KinectBody) -> Float[np.ndarray, "25"]:
    finite = np.isfinite(body.points).all(axis=1) & (np.abs(np.nan_to_num(body.points)) < _MAX_RANGE).all(axis=1)
    # Kinect writes zeros for unknown positions.
    known = finite & (np.nan_to_num(body.points[:, 2]) > 0.1)
    state = np.clip(np.nan_to_num(body.states), 0, 2).astype(int)
    return np.where(known, _TRUST[state], 0.0)


_LIMBS = ((4, 5), (5, 6), (8, 9), (9, 10), (12, 13), (13, 14), (16, 17), (17, 18))


def _is_human(one: PersonTrack) -> bool:
    with np.errstate(all="ignore"):
        lengths = [np.linalg.norm(one.points[:, a] - one.points[:, b], axis=1) for a, b in _LIMBS]
        spreads = [float(np.std(x[np.isfinite(x)]) / max(np.mean(x[np.isfinite(x)]), 1e-6)) for x in lengths
                   if np.isfinite(x).sum() > 1]  # fmt: skip
    return 0.5 < one.height < 3.0 and (not spreads or float(np.median(spreads)) < 0.5)


def calibrate_colour_camera(frames: Sequence[Sequence[KinectBody]]) -> CameraCalibration:
    """Calibrate Kinect's colour camera from the joints' positions in space and in the picture.

    Raises:
        FlawError: If too few joints have colour coordinates.
    """
    points, pixels = [], []
    for bodies in frames:
        for body in bodies:
            good = (_joint_confidence(body) > 0) & np.isfinite(body.pixels).all(axis=1)
            good &= (np.abs(np.nan_to_num(body.pixels)) < 1e4).all(axis=1)
            points.append(body.points[good] * _MIRROR)
            # Kinect counts from a pixel's centre, this package from its corner.
            pixels.append(body.pixels[good] + 0.5)
    pairs = sum(len(part) for part in points)
    if pairs < _MIN_PAIRS:
        raise FlawError(
            f"expected at least {_MIN_PAIRS} joints with colorX and colorY, got {pairs}; set camera='nominal' for "
            "Kinect's usual lens"
        )
    return calibrate(np.concatenate(points), np.concatenate(pixels), LENS)


@final
class NtuSkeleton(MotionSource):
    """Reads NTU RGB+D's skeletons: `<name>.skeleton` beside the film `<name>_rgb.avi`, or below `root`.

    File format:
        Text: the number of frames; for each the number of bodies; for each body a line of ten values that begins with
        its 64-bit `bodyID`, the number of joints (25), and a line of twelve for each joint: x y z in metres (Kinect's
        axes: x as the picture's, y up, z away), depth pixel, colour pixel, orientation, tracking state.

    Bodies are tracked over time: an id that jumps to another person is cut there, and a new id that begins where
    another ended is the same person. The acting person is the one who moves most (the rule of NTU's FAQ). Frames
    without the person stay in the motion, without confidence.

    Sides: the film shows people mirrored, and Kinect's names follow the mirror. `layouts.NTU_25` maps Kinect's left to
    our right, so that the motion matches the film. The up direction and the floor are estimated. Hands are at rest.

    Notes: `people`, `present` (share of frames with the acting person), `ids` (number of the person's ids),
    `camera_error` (pixels, only with camera="colour"), `companion_quality` (only with a companion; the reference gets
    the lower of both grades), and those of `fitting.recovery.recover`.

    Args:
        root: Folder of the skeletons, or several, searched in order; None looks beside the films.
        fps: Kinect's frame rate; the files do not store it.
        person: 0 selects the person who moves most, 1 the next, for actions of two people.
        camera: "colour" calibrates the colour camera from the file, "nominal" takes Kinect's nominal one.
        present: Smallest share of the clip's frames that show the person, and the companion.
        companions: "mutual" adds the companion in mutual actions and rejects such clips without one; "never" takes only
            the acting person. "near" adds everybody of the acting person's group, in all actions, and "all" bystanders
            too (`fitting.company`); both take the companion of mutual actions in any case.
    """

    looks: ClassVar[str] = "a text that ends in .skeleton"

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
        check_positive("fps", fps)
        if companions not in ("mutual", *COMPANY):
            raise ValueError(
                f"Expected companions to be one of mutual, {', '.join(COMPANY)}, got {companions!r}. Set "
                "synth.motion.companions."
            )
        if camera not in ("colour", "nominal") or person < 0 or not 0 <= present <= 1:
            raise ValueError(
                "Expected camera to be 'colour' or 'nominal', person from 0 and present from 0 to 1, got "
                f"camera={camera!r}, person={person} and present={present}. Correct the value."
            )
        self._roots = folders_of(root)
        self._fps = float(fps)
        self._person = person
        self._camera = camera
        self._present = float(present)
        self._companions = companions

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether this is a .skeleton file, a film with one beside it, or a text that begins with a number."""
        counted = read_head(path).split(b"\n")[0].strip().isdigit()
        return has_suffix(path, ".skeleton") or is_film_beside(path, ".skeleton") or counted

    @property
    def fingerprint(self) -> str:
        """Version and settings that decide the motion."""
        settings = (self._fps, self._person, self._camera, self._present, self._roots, self._companions)
        return f"ntu_skeleton-{_VERSION}-{digest_of(repr(settings))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The skeleton file."""
        return find_recordings(record, [".skeleton"], root=self._roots)

    def load(self, record: Record) -> Reference:
        """The motion of the acting person between the record's start and end, and the colour camera that saw it.

        Raises:
            FileNotFoundError: If there is no skeleton file.
            UnusableClipError: If it is damaged, shows too little of a person, or has no frame in the interval.
        """
        path = recording_of(record, [".skeleton"], root=self._roots)
        with reading(path):
            frames = parse_skeleton(read_text(path))
            if not frames:
                raise FlawError("expected a recording, got 0 frames")
            first, last = frames_between(record, len(frames), self._fps)
            frames = frames[first:last]
            everybody = find_people(frames, fps=self._fps)
            one = self._choose_person(everybody, len(frames))
            others, sure = self._find_others(path, everybody, one)
            seen_by = calibrate_colour_camera(frames) if self._camera == "colour" else nominal_calibration(LENS)
            found = self._recover(one, "acting person")
            beside = self._recover_others(found, others, sure)
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
        if not beside:
            return Reference(found.motion, camera, found.quality, notes)
        notes["companion_quality"] = min(other.quality for other in beside)
        quality = min(found.quality, notes["companion_quality"])
        return Reference(found.motion, camera, quality, notes, tuple(other.beside(found) for other in beside))

    def _choose_person(self, everybody: Sequence[PersonTrack], num_frames: int) -> PersonTrack:
        """The person that `person` selects."""
        if not everybody:
            raise FlawError(f"expected a person, found no body in any of its {num_frames} frames")
        if self._person >= len(everybody):
            raise FlawError(f"expected a person of number {self._person} (from 0), got {len(everybody)} people")
        one = everybody[self._person]
        if one.present < self._present or not math.isfinite(one.energy):
            raise FlawError(
                f"expected its person in at least {self._present:.0%} of {num_frames} frames, got {one.present:.0%}"
            )
        return one

    def _find_others(
        self, path: Path, everybody: Sequence[PersonTrack], acting: PersonTrack
    ) -> tuple[list[PersonTrack], int]:
        """Who may be re-enacted beside the acting person, and how many of them, the first, are in any case."""
        named = _ACTION.search(path.stem)
        mutual = named is not None and int(named[1]) in MUTUAL
        if self._companions == "never" or (self._companions == "mutual" and not mutual):
            return [], 0
        others = [one for one in everybody if one is not acting and one.present >= self._present and _is_human(one)]
        if mutual and not others:
            assert named is not None
            raise FlawError(
                f"expected a companion, since A{named[1]} is done by two, found no second person in "
                f"{self._present:.0%} of its frames; set synth.motion.companions=never to take one person alone"
            )
        return (others[:1] if self._companions == "mutual" else others), int(mutual)

    def _recover_others(
        self, found: RecoveredMotion, others: Sequence[PersonTrack], sure: int
    ) -> list[RecoveredMotion]:
        """The companions. A bystander to whom no body can be fitted is left out; who must be there is not."""
        beside = [self._recover(other, "companion") for other in others[:sure]]
        for other in others[sure:]:
            with contextlib.suppress(FlawError):
                beside.append(self._recover(other, "companion"))
        if self._companions == "mutual":
            return beside
        chosen = choose_company(found.motion, [one.beside(found) for one in beside], self._companions, sure=sure)
        return [beside[place] for place in chosen]

    def _recover(self, one: PersonTrack, who: str) -> RecoveredMotion:
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
            raise FlawError(f"cannot fit a body to its {who}: {error}") from error
        return found
