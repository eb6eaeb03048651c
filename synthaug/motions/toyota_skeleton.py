"""Motions out of Toyota Smarthome's skeletons: LCR-Net's 13 joints, in the picture and about the hips.

A motion source for the JSON files of Toyota Smarthome, v1.1 and v1.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float

from synthaug.body.skeleton import JOINT, mean_skeleton
from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.recordings import (
    FlawError,
    finite,
    folders_of,
    found_recordings,
    frames_between,
    mapping,
    numbers,
    positive,
    read_json,
    reading,
    recording_of,
    sequence,
)
from synthaug.motions.fitting.layouts import TOYOTA_13
from synthaug.motions.fitting.placement import intrinsics, placed
from synthaug.motions.fitting.recovery import JointTrack, recover
from synthaug.motions.pose.following import Followed, Found
from synthaug.motions.pose.keypoints import Choice, Film, acting, film_of, known, lifted, reference_of
from synthaug.structures import Plain, Record, Reference

_VERSION = 1
JOINTS = 13
SIZE = (480, 640)
"""Height and width of the pictures that `pose2d` counts in."""
_MAX_FRAMES = 500_000
_FARTHEST = 1e6
"""Pixels, or millimetres: a kilometre off. Beyond it squares and sizes run out of numbers."""
_BONES = ((0, 2), (2, 4), (1, 3), (3, 5), (6, 8), (8, 10), (7, 9), (9, 11))
"""Shins, thighs, forearms and upper arms: right before left, feet before hips."""


@dataclass(frozen=True, eq=False)
class Person:
    """One person in one frame.

    Attributes:
        pixels: Right and left ankle, knee, hip, wrist, elbow, shoulder, then the head; pixels of 640 x 480.
        shape: The same joints in space, in the file's own axes and unit; None where the file has none.
    """

    pixels: Float[np.ndarray, "13 2"]
    shape: Float[np.ndarray, "13 3"] | None


def parse_toyota(document: Plain) -> list[list[Person]]:
    """The people of every frame; nobody is an empty list.

    Both poses are planar: all x, then all y (then all z).

    Raises:
        FlawError: If it is no such document; frame and person are named.
    """
    fields = mapping(document, field="the document")
    joints = finite(fields.get("njts"), 1, field="njts")[0]
    if joints != JOINTS:
        raise FlawError(f"njts is {joints:g}; LCR-Net's {JOINTS} joints were wanted")
    frames = sequence(fields.get("frames"), field="frames")
    if not 0 < len(frames) <= _MAX_FRAMES:
        raise FlawError(f"frames has {len(frames)} entries; 1 to {_MAX_FRAMES} were wanted")
    return [
        [_person(person, f"person {k} of frame {number}") for k, person in enumerate(_people(frame, number))]
        for number, frame in enumerate(frames)
    ]


def _people(frame: Plain, number: int) -> list[Plain]:
    return sequence(frame, field=f"frame {number}")


def _person(value: Plain, where: str) -> Person:
    fields = mapping(value, field=where)
    if fields.get("pose2d") is None:
        raise FlawError(f"{where} has no pose2d; {2 * JOINTS} numbers were wanted")
    flat = _within(fields["pose2d"], 2, f"pose2d of {where}")
    deep = fields.get("pose3d")
    return Person(flat, None if deep is None else _within(deep, 3, f"pose3d of {where}"))


def _within(value: Plain, axes: int, field: str) -> Float[np.ndarray, "13 axis"]:
    """A planar pose, joint by joint; nan and inf, which are gaps, stay."""
    flat = numbers(value, axes * JOINTS, field=field)
    absurd = flat[np.isfinite(flat) & (np.abs(flat) > _FARTHEST)]
    if len(absurd):
        raise FlawError(f"{field} holds {absurd[0]:g}; {_FARTHEST:g} at most, either way, was wanted")
    return flat.reshape(axes, JOINTS).T


@final
class ToyotaSkeleton(MotionSource):
    """Reads Toyota Smarthome's skeletons: `<name>_pose3d.json` (v1.2) or `<name>.json` beside the film or below `root`.

    File format:
        `{"njts": 13, "frames": [[{"pose2d": [26 numbers], "pose3d": [39 numbers]}, ...], ...]}`: a list of people for
        each frame, empty where nobody was found. Both poses are planar.

    People are followed by where they are, since the files do not name them; the acting one moves most. With
    `pose="2d"` the points in the picture are lifted by fitting. With `pose="3d"` LCR-Net's own shapes are fitted where
    the picture shows them: their unit (metres or millimetres) and the signs of x and y are told from the body and the
    picture, and the axes are taken for right-handed, since the set's documentation says nothing of them.

    Hands and face are at rest. Notes: `people`, `present`, and the fit's own.

    Args:
        root: Folder of the skeletons, or several, tried in turn; None is beside the films.
        pose: "2d" or "3d".
        fps: Frame rate where the film is not there to tell; the files do not.
        person: 0 takes who moves most, 1 the next.
        present: Least share of the clip's frames that show the person.
        focal: Focal length over the longer side of the picture; the set's Kinects have 0.82 to 0.84.
    """

    def __init__(
        self,
        *,
        root: str | Sequence[str] | None = None,
        pose: str = "2d",
        fps: float | None = None,
        person: int = 0,
        present: float = 0.5,
        focal: float = 0.83,
    ) -> None:
        positive("fps", fps)
        if pose not in ("2d", "3d"):
            raise ValueError(f"pose={pose!r} was given; '2d' or '3d' was wanted. Correct it.")
        self._roots = folders_of(root)
        self._pose = pose
        self._fps = fps
        self._choice = Choice(person=person, present=float(present), focal=float(focal))

    @property
    def fingerprint(self) -> str:
        """Version and settings."""
        settings = (self._roots, self._pose, self._fps, self._choice)
        return f"toyota_skeleton-{_VERSION}-{digest_of(repr(settings))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The skeleton file."""
        return found_recordings(record, ["_pose3d.json", ".json"], root=self._roots)

    def load(self, record: Record) -> Reference:
        """The motion of the acting person between the record's start and end, and the camera taken to have seen it.

        Raises:
            FileNotFoundError: If there is no skeleton file.
            UnusableClipError: If it is damaged, shows too little of anybody, or nothing is in the interval.
        """
        path = recording_of(record, ["_pose3d.json", ".json"], root=self._roots)
        with reading(path):
            frames = parse_toyota(read_json(path))
            film = film_of(record, fps=self._fps, size=SIZE)
            first, last = frames_between(record, len(frames), film.fps)
            frames, counted = frames[first:last], Film(film.fps, *SIZE)
            if self._pose == "2d":
                return lifted(_found(frames), TOYOTA_13, counted, self._choice)
            return _from_shapes(frames, counted, self._choice)


def _found(frames: Sequence[Sequence[Person]]) -> list[list[Found]]:
    sure = np.ones(JOINTS)
    return [[Found(person.pixels, known(person.pixels, sure)) for person in people] for people in frames]


def _from_shapes(frames: Sequence[Sequence[Person]], film: Film, choice: Choice) -> Reference:
    """The motion out of LCR-Net's shapes, each put where the picture shows it."""
    one, people = acting(_found(frames), fps=film.fps, choice=choice)
    shapes = _shapes_of(one, frames)
    level, confidence = _levelled(shapes, one)
    points, seen = torch.from_numpy(level).float(), torch.from_numpy(confidence).float()
    pixels = torch.from_numpy(one.points).float()
    K = intrinsics(film.width, film.height, choice.focal)
    # A quarter of a second, as for film: guessed distances shake more than people come and go.
    shift = placed(points, pixels, seen, K, smoothing=0.25 * film.fps)
    try:
        (found,) = recover([JointTrack(points + shift[:, None], seen, film.fps, TOYOTA_13, frame="level")])
    except ValueError as error:
        raise FlawError(f"its acting person is none: {error}") from error
    return reference_of(found, film, choice, {"people": float(people), "present": one.present})


def _shapes_of(one: Followed, frames: Sequence[Sequence[Person]]) -> Float[np.ndarray, "time 13 3"]:
    """The followed person's shape in each frame: of whoever has the very pixels."""
    result = np.full((len(frames), JOINTS, 3), np.nan)
    for number, persons in enumerate(frames):
        seen = one.confidence[number] > 0
        for person in persons:
            if seen.any() and np.array_equal(person.pixels[seen], one.points[number, seen]):
                if person.shape is None:
                    raise FlawError(f"a person of frame {number} has no pose3d; one was wanted, or pose='2d'")
                result[number] = person.shape
                break
    return result


def _levelled(
    shapes: Float[np.ndarray, "time 13 3"], one: Followed
) -> tuple[Float[np.ndarray, "time 13 3"], Float[np.ndarray, "time 13"]]:
    """Shapes in metres, x right, y up, z towards the viewer, about the middle of the hips; and their confidence."""
    about = shapes - _hips(shapes)
    good = (one.confidence > 0) & np.isfinite(about).all(axis=-1)
    lengths = np.array([np.nanmedian(np.linalg.norm(shapes[:, a] - shapes[:, b], axis=-1)) for a, b in _BONES])
    size = float(np.median(lengths / _ours()))
    unit = next((unit for unit in (1.0, 0.001) if 0.55 <= size * unit <= 1.5), None)
    if unit is None:
        raise FlawError(f"pose3d's bones are {size:.3g} times a person's; metres or millimetres were wanted")
    picture = one.points - _hips(one.points)
    # A frame without hips in the picture says nothing of signs; its other joints are as good as they were.
    told = good & np.isfinite(picture).all(axis=-1)
    if not told.any():
        raise FlawError("pose2d shows the hips in none of its frames; one at least was wanted, or pose='2d'")
    signs = []
    for axis, name in enumerate("xy"):
        a, b = about[..., axis][told], picture[..., axis][told]
        agreement = float((a * b).sum() / max(np.sqrt((a**2).sum() * (b**2).sum()), 1e-12))
        if not abs(agreement) >= 0.5:  # nan, too, is no agreement
            raise FlawError(
                f"{name} of pose3d agrees with pose2d by {agreement:.2f}; 0.5 at least, or -0.5 at most, was wanted"
            )
        signs.append(np.sign(agreement))
    # Picture's y is down, ours up; a rotation keeps the hand of the axes.
    turn = np.array([signs[0], -signs[1], -signs[0] * signs[1]])
    return np.nan_to_num(about * unit * turn), good.astype(float)


def _hips(points: Float[np.ndarray, "time 13 axis"]) -> Float[np.ndarray, "time 1 axis"]:
    """The middle of the hips that are known; nan where neither is."""
    hips = points[:, 4:6]
    there = np.isfinite(hips).all(axis=-1, keepdims=True)
    number = there.sum(axis=1, keepdims=True)
    total = np.where(there, hips, 0.0).sum(axis=1, keepdims=True)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _ours() -> Float[np.ndarray, " bone"]:
    sites = {site.point: site.joint for site in TOYOTA_13.sites}
    joints = mean_skeleton().joints.double().numpy()
    ends = [(joints[JOINT[sites[a]]], joints[JOINT[sites[b]]]) for a, b in _BONES]
    return np.array([np.linalg.norm(a - b) for a, b in ends])
