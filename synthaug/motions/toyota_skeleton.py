"""Read motions from Toyota Smarthome's skeletons (v1.1 and v1.2): LCR-Net's 13 joints, in 2D and in 3D."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float

from synthaug.body.skeleton import JOINT, mean_skeleton
from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.recognition import is_film_beside, json_document
from synthaug.motions.files.recordings import (
    FlawError,
    check_positive,
    find_recordings,
    folders_of,
    frames_between,
    parse_finite,
    parse_list,
    parse_numbers,
    parse_object,
    read_json,
    reading,
    recording_of,
)
from synthaug.motions.fitting.layouts import TOYOTA_13
from synthaug.motions.fitting.placement import intrinsics, place_shapes
from synthaug.motions.fitting.recovery import JointTrack, recover
from synthaug.motions.pose.following import Detection, PersonTrack
from synthaug.motions.pose.keypoints import (
    Choice,
    FilmFormat,
    choose_person,
    film_format,
    lift_person,
    mask_missing,
    reference_of,
)
from synthaug.structures import Plain, Record, Reference

_VERSION = 4
JOINTS = 13
SIZE = (480, 640)
"""Height and width of the pictures that `pose2d` counts in."""
_MAX_FRAMES = 500_000
_MAX_COORDINATE = 1e6
"""Pixels, or millimetres (a kilometre). Squares of larger values overflow."""
_BONES = ((0, 2), (2, 4), (1, 3), (3, 5), (6, 8), (8, 10), (7, 9), (9, 11))
"""Shins, thighs, forearms and upper arms: right before left, feet before hips."""


@dataclass(frozen=True, eq=False)
class ToyotaPerson:
    """One person in one frame.

    Attributes:
        pixels: Right and left ankle, knee, hip, wrist, elbow, shoulder, then the head; pixels of 640 x 480.
        shape: The same joints in 3D, in the file's own axes and unit; None where the file has none.
    """

    pixels: Float[np.ndarray, "13 2"]
    shape: Float[np.ndarray, "13 3"] | None


def parse_toyota(document: Plain) -> list[list[ToyotaPerson]]:
    """Parse the people of every frame; a frame without people is an empty list.

    Both poses are planar: all x, then all y (then all z).

    Raises:
        FlawError: If the document has another layout; frame and person are named.
    """
    fields = parse_object(document, field="the document")
    joints = parse_finite(fields.get("njts"), 1, field="njts")[0]
    if joints != JOINTS:
        raise FlawError(f"expected njts to be {JOINTS}, the joints of LCR-Net, got {joints:g}")
    frames = parse_list(fields.get("frames"), field="frames")
    if not 0 < len(frames) <= _MAX_FRAMES:
        raise FlawError(f"expected 1 to {_MAX_FRAMES} entries in frames, got {len(frames)}")
    return [
        [
            _parse_person(person, f"person {k} of frame {number}")
            for k, person in enumerate(_parse_people(frame, number))
        ]
        for number, frame in enumerate(frames)
    ]


def _parse_people(frame: Plain, number: int) -> list[Plain]:
    return parse_list(frame, field=f"frame {number}")


def _parse_person(value: Plain, where: str) -> ToyotaPerson:
    fields = parse_object(value, field=where)
    if fields.get("pose2d") is None:
        raise FlawError(f"expected {2 * JOINTS} numbers in pose2d of {where}, found no such field")
    flat = _parse_planar(fields["pose2d"], 2, f"pose2d of {where}")
    deep = fields.get("pose3d")
    return ToyotaPerson(flat, None if deep is None else _parse_planar(deep, 3, f"pose3d of {where}"))


def _parse_planar(value: Plain, axes: int, field: str) -> Float[np.ndarray, "13 axis"]:
    """Parse a planar pose into rows, one for each joint; nan and inf mark gaps and are kept."""
    flat = parse_numbers(value, axes * JOINTS, field=field)
    absurd = flat[np.isfinite(flat) & (np.abs(flat) > _MAX_COORDINATE)]
    if len(absurd):
        raise FlawError(f"expected numbers of at most {_MAX_COORDINATE:g} either way in {field}, got {absurd[0]:g}")
    return flat.reshape(axes, JOINTS).T


@final
class ToyotaSkeleton(MotionSource):
    """Reads Toyota Smarthome's skeletons: `<name>_pose3d.json` (v1.2) or `<name>.json` beside the film or below `root`.

    File format:
        `{"njts": 13, "frames": [[{"pose2d": [26 numbers], "pose3d": [39 numbers]}, ...], ...]}`: a list of people for
        each frame, empty where nobody was found. Both poses are planar.

    People are tracked by position, since the files do not name them; the acting person is the one who moves most. With
    `pose="2d"` the points in the picture are lifted by fitting. With `pose="3d"` LCR-Net's own 3D joints are fitted
    where the picture shows them. Their unit (metres or millimetres) and the signs of x and y are found from the body
    and the picture, and the axes are assumed right-handed, since the set's documentation does not define them.

    Hands and face are at rest. Notes: `people`, `present`, and those of `fitting.recovery`.

    Args:
        root: Folder of the skeletons, or several, searched in order; None looks beside the films.
        pose: "2d" or "3d".
        fps: Frame rate, used where the film is missing; the files do not store it.
        person: 0 selects the person who moves most, 1 the next.
        present: Smallest share of the clip's frames that show the person.
        focal: Focal length over the longer side of the picture; the set's Kinects have 0.82 to 0.84.
    """

    looks: ClassVar[str] = "a JSON with njts and frames"

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
        check_positive("fps", fps)
        if pose not in ("2d", "3d"):
            raise ValueError(f"Expected pose to be '2d' or '3d', got {pose!r}. Correct synth.motion.pose.")
        self._roots = folders_of(root)
        self._pose = pose
        self._fps = fps
        self._choice = Choice(person=person, present=float(present), focal=float(focal))

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether this is a JSON with njts, or a film with a _pose3d.json beside it."""
        document = json_document(path)
        return is_film_beside(path, "_pose3d.json") or (isinstance(document, dict) and "njts" in document)

    @property
    def fingerprint(self) -> str:
        """Version and settings that decide the motion."""
        settings = (self._roots, self._pose, self._fps, self._choice)
        return f"toyota_skeleton-{_VERSION}-{digest_of(repr(settings))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The skeleton file."""
        return find_recordings(record, ["_pose3d.json", ".json"], root=self._roots)

    def load(self, record: Record) -> Reference:
        """The motion of the acting person between the record's start and end, and the camera assumed to have seen it.

        Raises:
            FileNotFoundError: If there is no skeleton file.
            UnusableClipError: If it is damaged, shows too little of a person, or has no frame in the interval.
        """
        path = recording_of(record, ["_pose3d.json", ".json"], root=self._roots)
        with reading(path):
            frames = parse_toyota(read_json(path))
            film = film_format(record, fps=self._fps, size=SIZE)
            first, last = frames_between(record, len(frames), film.fps)
            frames, counted = frames[first:last], FilmFormat(film.fps, *SIZE)
            if self._pose == "2d":
                return lift_person(_to_detections(frames), TOYOTA_13, counted, self._choice)
            return _recover_from_shapes(frames, counted, self._choice)


def _to_detections(frames: Sequence[Sequence[ToyotaPerson]]) -> list[list[Detection]]:
    sure = np.ones(JOINTS)
    return [[Detection(person.pixels, mask_missing(person.pixels, sure)) for person in people] for people in frames]


def _recover_from_shapes(frames: Sequence[Sequence[ToyotaPerson]], film: FilmFormat, choice: Choice) -> Reference:
    """Recover the motion from LCR-Net's 3D joints, each frame placed where the picture shows it."""
    one, people = choose_person(_to_detections(frames), fps=film.fps, choice=choice)
    shapes = _select_shapes(one, frames)
    level, confidence = _level_shapes(shapes, one)
    points, seen = torch.from_numpy(level).float(), torch.from_numpy(confidence).float()
    pixels = torch.from_numpy(one.points).float()
    K = intrinsics(film.width, film.height, choice.focal)
    # A quarter of a second, as for film: estimated distances jitter more than people approach.
    shift = place_shapes(points, pixels, seen, K, smoothing=0.25 * film.fps)
    try:
        (found,) = recover([JointTrack(points + shift[:, None], seen, film.fps, TOYOTA_13, frame="level")])
    except ValueError as error:
        raise FlawError(f"cannot fit a body to its acting person: {error}") from error
    return reference_of(found, film, choice, {"people": float(people), "present": one.present})


def _select_shapes(one: PersonTrack, frames: Sequence[Sequence[ToyotaPerson]]) -> Float[np.ndarray, "time 13 3"]:
    """The 3D joints of the tracked person in each frame, found by equal pixels."""
    result = np.full((len(frames), JOINTS, 3), np.nan)
    for number, persons in enumerate(frames):
        seen = one.confidence[number] > 0
        for person in persons:
            if seen.any() and np.array_equal(person.pixels[seen], one.points[number, seen]):
                if person.shape is None:
                    raise FlawError(f"expected pose3d of a person in frame {number}, found none; set pose='2d'")
                result[number] = person.shape
                break
    return result


def _level_shapes(
    shapes: Float[np.ndarray, "time 13 3"], one: PersonTrack
) -> tuple[Float[np.ndarray, "time 13 3"], Float[np.ndarray, "time 13"]]:
    """Joints in metres, x right, y up, z towards the viewer, about the middle of the hips; and their confidence."""
    about = shapes - _hip_centre(shapes)
    good = (one.confidence > 0) & np.isfinite(about).all(axis=-1)
    lengths = np.array([np.nanmedian(np.linalg.norm(shapes[:, a] - shapes[:, b], axis=-1)) for a, b in _BONES])
    size = float(np.median(lengths / _mean_bone_lengths()))
    unit = next((unit for unit in (1.0, 0.001) if 0.44 <= size * unit <= 1.5), None)
    if unit is None:
        raise FlawError(f"expected pose3d in metres or millimetres, got bones {size:.3g} times as long as a person's")
    picture = one.points - _hip_centre(one.points)
    # A frame without hips in the picture does not help with the signs; its other joints are still good.
    told = good & np.isfinite(picture).all(axis=-1)
    if not told.any():
        raise FlawError("expected pose2d to show the hips in at least one frame, found none; set pose='2d'")
    signs = []
    for axis, name in enumerate("xy"):
        a, b = about[..., axis][told], picture[..., axis][told]
        agreement = float((a * b).sum() / max(np.sqrt((a**2).sum() * (b**2).sum()), 1e-12))
        if not abs(agreement) >= 0.5:  # also true for nan
            raise FlawError(
                f"expected {name} of pose3d to correlate with pose2d by 0.5 or -0.5 at least, got {agreement:.2f}; "
                "set pose='2d'"
            )
        signs.append(np.sign(agreement))
    # The picture's y points down, ours up; the third sign keeps the axes right-handed.
    turn = np.array([signs[0], -signs[1], -signs[0] * signs[1]])
    return np.nan_to_num(about * unit * turn), good.astype(float)


def _hip_centre(points: Float[np.ndarray, "time 13 axis"]) -> Float[np.ndarray, "time 1 axis"]:
    """The middle of the known hips; nan where neither is known."""
    hips = points[:, 4:6]
    there = np.isfinite(hips).all(axis=-1, keepdims=True)
    number = there.sum(axis=1, keepdims=True)
    total = np.where(there, hips, 0.0).sum(axis=1, keepdims=True)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _mean_bone_lengths() -> Float[np.ndarray, " bone"]:
    sites = {site.point: site.joint for site in TOYOTA_13.sites}
    joints = mean_skeleton().joints.double().numpy()
    ends = [(joints[JOINT[sites[a]]], joints[JOINT[sites[b]]]) for a, b in _BONES]
    return np.array([np.linalg.norm(a - b) for a, b in ends])
