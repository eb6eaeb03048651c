"""Read COCO-WholeBody keypoints (133 a person), as DWPose, MMPose and RTMPose write them, and lift them to 3D."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float

from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.recognition import first_frame, is_film, json_document
from synthaug.motions.files.recordings import (
    FlawError,
    check_positive,
    find_recordings,
    find_stride,
    first_number,
    frames_between,
    parse_finite,
    parse_list,
    parse_numbers,
    parse_object,
    read_json,
    reading,
    recording_of,
    sort_by_frame,
)
from synthaug.motions.fitting.company import check_company
from synthaug.motions.fitting.layouts import COCO_WHOLEBODY_133
from synthaug.motions.pose.following import Detection
from synthaug.motions.pose.keypoints import Choice, FilmFormat, film_format, lift_person, mask_missing
from synthaug.structures import Plain, Record, Reference

_VERSION = 4
POINTS = 133
_MAX_FRAMES = 200_000
_MAX_SHARE = 2.0
"""Coordinates up to it are shares of the picture, some of them outside it: nobody is two pixels large."""
_MAX_STRETCH = 0.03
"""Share by which a canvas's shape may differ from the film's: sides are rounded to multiples of 8 or 16."""
_OPENPOSE_FIRST = "_000000000000_keypoints.json"
"""End of the name that OpenPose gives to a film's first frame."""
_MIN_SCORE = 0.2
"""Keypoints below it are guesses at something hidden; the tools themselves show keypoints from 0.3."""
_BODY_18 = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_BODY_25 = (0, None, 6, 8, 10, 5, 7, 9, None, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 17, 18, 19, 20, 21, 22)
"""COCO's index of each of OpenPose's body points; COCO has no neck and no middle of the hips."""


def parse_wholebody(document: Plain) -> tuple[list[list[Detection]], tuple[int, int] | None]:
    """Parse a document of a whole film: the people of every frame, and the picture's height and width if it has them.

    Raises:
        FlawError: If it has none of the layouts, or a part of it is wrong; frame and person are named.
    """
    size = None
    if isinstance(document, dict) and "instance_info" in document:
        document = document["instance_info"]
    elif isinstance(document, dict) and ("people" in document or "instances" in document):
        document = [document]
    entries = parse_list(document, field="the document")
    if not 0 < len(entries) <= _MAX_FRAMES:
        raise FlawError(f"expected 1 to {_MAX_FRAMES} entries, got {len(entries)}")
    if all(isinstance(entry, dict) and "image_id" in entry for entry in entries):
        return _group_by_image(entries), None
    numbered: dict[int, list[Detection]] = {}
    for position, entry in enumerate(entries):
        number, people, canvas = _parse_entry(entry, position)
        if number in numbered or (numbered and number < max(numbered)):
            before = max(numbered)
            raise FlawError(f"expected every frame_id once and in order, got {number} after {before}")
        numbered[number] = people
        size = size or canvas
    return _fill_missing_frames(numbered), size


def parse_frame(document: Plain) -> tuple[list[Detection], tuple[int, int] | None]:
    """Parse a document of one frame: its people, and the picture's height and width if it has them.

    Raises:
        FlawError: If it has none of the layouts.
    """
    if isinstance(document, list) and len(document) == POINTS and isinstance(document[0], list):
        return [_parse_person({"keypoints": document}, "the person")], None
    _, people, size = _parse_entry(document, 0)
    return people, size


def _parse_entry(entry: Plain, position: int) -> tuple[int, list[Detection], tuple[int, int] | None]:
    """Number, people and picture size of one frame."""
    where = f"frame {position}"
    if isinstance(entry, list):
        return position, [_parse_person(person, f"person {k} of {where}") for k, person in enumerate(entry)], None
    fields = parse_object(entry, field=where)
    number = position
    if fields.get("frame_id") is not None:
        number = int(parse_finite(fields["frame_id"], 1, field=f"frame_id of {where}")[0])
    if "people" in fields:
        size = _parse_canvas(fields, where)
        people = parse_list(fields["people"], field=f"people of {where}")
        return (
            number,
            [_parse_openpose(person, size, f"person {k} of {where}") for k, person in enumerate(people)],
            size,
        )
    people = parse_list(fields.get("instances"), field=f"instances of {where}")
    return number, [_parse_person(person, f"person {k} of {where}") for k, person in enumerate(people)], None


def _fill_missing_frames(numbered: dict[int, list[Detection]]) -> list[list[Detection]]:
    """Every frame from the first on; missing ones have no people. Frames count from 1 where there is no frame 0."""
    first = 1 if numbered and min(numbered) == 1 else 0
    if min(numbered) < 0 or max(numbered) - first >= _MAX_FRAMES:
        raise FlawError(f"expected frames from 0 to {_MAX_FRAMES}, got {min(numbered)} to {max(numbered)}")
    return [numbered.get(number, []) for number in range(first, max(numbered) + 1)]


def _group_by_image(entries: Sequence[Plain]) -> list[list[Detection]]:
    """COCO's results: one entry for each person, with the number of its picture."""
    numbered: dict[int, list[Detection]] = {}
    for position, entry in enumerate(entries):
        fields = parse_object(entry, field=f"entry {position}")
        digits = re.findall(r"\d+", str(fields["image_id"]))
        if not digits:
            raise FlawError(f"expected a number in image_id of entry {position}, got {fields['image_id']!r}")
        numbered.setdefault(int(digits[-1][-9:]), []).append(_parse_person(fields, f"entry {position}"))
    return _fill_missing_frames(dict(sorted(numbered.items())))


def _parse_person(value: Plain, where: str) -> Detection:
    """Parse a person as MMPose and COCO write one: keypoints as pairs with separate scores, or as triples."""
    fields = parse_object(value, field=where)
    given = fields.get("keypoints")
    if isinstance(given, list) and len(given) == 1:
        given = given[0]  # MMPose's inferencer adds a batch axis of one
    count = np.size(np.asarray(given, dtype=object)) if not isinstance(given, list) else _count_leaves(given)
    if count not in (2 * POINTS, 3 * POINTS):
        raise FlawError(f"expected {POINTS} pairs or triples as keypoints of {where}, got {count} numbers")
    rows = parse_numbers(given, count, field=f"keypoints of {where}").reshape(POINTS, -1)
    scores = rows[:, 2] if rows.shape[1] == 3 else np.ones(POINTS)
    if fields.get("keypoint_scores") is not None:
        beside = fields["keypoint_scores"]
        scores = parse_numbers(beside, POINTS, field=f"keypoint_scores of {where}")
    name = fields.get("track_id")
    return _to_detection(rows[:, :2], scores, "" if name is None else str(name)[:64])


def _count_leaves(value: list) -> int:
    return sum(_count_leaves(item) if isinstance(item, list) else 1 for item in value)


def _to_detection(points: np.ndarray, scores: np.ndarray, name: str = "") -> Detection:
    scores = np.where(np.nan_to_num(scores) < _MIN_SCORE, 0.0, scores)
    return Detection(points, mask_missing(points, scores), name)


def _parse_openpose(value: Plain, canvas: tuple[int, int] | None, where: str) -> Detection:
    """Parse a person as OpenPose and DWPose's plug-ins write one: body, face and hands as lists of triples."""
    fields = parse_object(value, field=where)
    rows = np.zeros((POINTS, 3))
    body = _parse_triples(fields, "pose_keypoints_2d", where, (18, 25))
    if body is None:
        raise FlawError(f"expected 18 or 25 triples in pose_keypoints_2d of {where}, found no such field")
    for point, coco in zip(body, _BODY_18 if len(body) == 18 else _BODY_25, strict=True):
        if coco is not None:
            rows[coco] = point
    for name, first, counts in (
        ("face_keypoints_2d", 23, (68, 70)), ("hand_left_keypoints_2d", 91, (21,)),
        ("hand_right_keypoints_2d", 112, (21,)),
    ):  # fmt: skip
        part = _parse_triples(fields, name, where, counts)
        if part is not None:
            part = part[:68]
            rows[first : first + len(part)] = part
    seen = rows[rows[:, 2] > 0, :2]
    if canvas is not None and max(canvas) > _MAX_SHARE and len(seen) and np.nanmax(np.abs(seen)) <= _MAX_SHARE:
        rows[:, :2] *= [canvas[1], canvas[0]]
    return _to_detection(rows[:, :2], rows[:, 2])


def _parse_triples(
    fields: dict[str, Plain], name: str, where: str, counts: Sequence[int]
) -> Float[np.ndarray, "point 3"] | None:
    value = fields.get(name)
    if value is None or value == []:
        return None
    given = _count_leaves(value) if isinstance(value, list) else 1
    if given % 3 or given // 3 not in counts:
        allowed = " or ".join(str(count) for count in counts)
        raise FlawError(f"expected {allowed} triples in {name} of {where}, got {given} numbers")
    return parse_numbers(value, given, field=f"{name} of {where}").reshape(-1, 3)


def _parse_canvas(fields: dict[str, Plain], where: str) -> tuple[int, int] | None:
    if fields.get("canvas_height") is None or fields.get("canvas_width") is None:
        return None
    height, width = (
        parse_finite(fields[f"canvas_{side}"], 1, field=f"canvas of {where}")[0] for side in ("height", "width")
    )
    if not (1 <= height <= 2**15 and 1 <= width <= 2**15):
        raise FlawError(f"expected a canvas of 1 to {2**15} pixels a side in {where}, got {width:g} by {height:g}")
    return int(height), int(width)


@final
class CocoWholebody(MotionSource):
    """Reads keypoints of COCO-WholeBody beside a film (`<name>.json`, or a folder `<name>/` of frames) or below `root`.

    File format:
        One JSON of the whole film: MMPose's `{"instance_info": [{"frame_id", "instances": [...]}]}`, a list of such
        frames, a list of lists of people (MMPose's inferencer), COCO's results (`image_id`, `keypoints`), or
        OpenPose-like frames (`people`, `canvas_width`, `canvas_height`), as plug-ins for DWPose write them, whose 18 or
        25 body points are renamed. Or a folder with `{frame}.json` for each frame, each of one person's [133][3]
        (ExAvatar's `keypoints_whole_body`) or of the layouts above; or OpenPose's own `{film}_{frame}_keypoints.json`,
        in such a folder or among those of other films. Frame 60 of a film of 30 fps is second 2.0; where every n-th
        frame has a file, the motion's rate is the film's divided by n. Keypoints are in pixels of the film or of the
        file's canvas, or shares of the picture from 0 to 1. Scores are clipped to 1; a keypoint below 0.2, at (0, 0) or
        not finite is missing.

    People are tracked by `track_id` and position; the acting person is the one who moves most. The points of body, feet
    and knuckles are lifted to 3D by fitting. One view leaves depth open, so distances and leaning towards the camera
    are guesses. Fingers, jaw and eyes are at rest.

    Notes: `people`, `present` (share of frames with the person), and those of `fitting.recovery.lift`.

    Args:
        root: Folder of the files; None looks beside the films.
        fps: Frame rate, used where the film is missing.
        size: Height and width of the picture, used where both film and file lack it.
        person: 0 selects the person who moves most, 1 the next.
        present: Smallest share of the clip's frames that show the person.
        focal: Focal length over the longer side of the picture.
        companions: Who else is re-enacted: "never" nobody, "near" the group about the acting person, "all" bystanders
            too (`fitting.company`).
    """

    looks: ClassVar[str] = "a JSON with 133 keypoints for each person and frame, or a folder of such"

    def __init__(
        self,
        *,
        root: str | None = None,
        fps: float | None = None,
        size: Sequence[int] | None = None,
        person: int = 0,
        present: float = 0.5,
        focal: float = 1.0,
        companions: str = "never",
    ) -> None:
        check_company(companions)
        check_positive("fps", fps)
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(
                f"Expected size to be height and width in pixels, got {tuple(size)}. Correct synth.motion.size."
            )
        self._root = None if root is None else Path(root).expanduser()
        self._fps = fps
        self._size = None if size is None else (int(size[0]), int(size[1]))
        self._companions = companions
        self._choice = Choice(person=person, present=float(present), focal=float(focal))

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether this is a JSON of people and keypoints, or a folder of such frames."""
        document, frame = json_document(path), first_frame(path)
        listed = isinstance(document, list) or (
            isinstance(document, dict)
            and "njts" not in document
            and bool(document.keys() & {"instance_info", "people", "instances"})
        )
        bare = frame is not None and not (isinstance(frame, dict) and "root_pose" in frame)
        others = ("smplx_optimized/smplx_params_smoothed", "smplx_params")
        alone = not any((path / other).is_dir() for other in others)
        return listed or bare or ((path / "keypoints_whole_body").is_dir() and alone)

    @property
    def fingerprint(self) -> str:
        """Version and settings that decide the motion."""
        # Without companions as before there were any, so that what was extracted then is still found.
        company = () if self._companions == "never" else (self._companions,)
        settings = (self._root, self._fps, self._size, self._choice, *company)
        return f"coco_wholebody-{_VERSION}-{digest_of(repr(settings))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The file or folder of keypoints, or the first of OpenPose's files."""
        return find_recordings(record, [".json", "/"], root=self._root) or find_recordings(
            record, [_OPENPOSE_FIRST], root=self._root
        )

    def load(self, record: Record) -> Reference:
        """The motion of the acting person between the record's start and end, and the camera assumed to have seen it.

        Raises:
            FileNotFoundError: If there is no file of keypoints.
            UnusableClipError: If it is damaged, shows too little of a person, or has no frame in the interval.
        """
        path = self._find(record)
        with reading(path):
            people = _read_people(path)
            film = film_format(record, fps=self._fps, size=self._size or people.size)
            film = replace(film, fps=film.fps / people.stride)
            frames = _to_pixels(people, film)
            begin = people.skipped / people.stride / film.fps
            first, last = frames_between(record, len(frames), film.fps, begin=begin)
            reference = lift_person(
                frames[first:last], COCO_WHOLEBODY_133, film, self._choice, company=self._companions
            )
        return replace(reference, notes={**reference.notes, "offset": begin + first / film.fps - record.start})

    def _find(self, record: Record) -> Path:
        """The file or folder of keypoints, or the first of OpenPose's files."""
        if record.path.is_dir() and not is_film(record.path):
            return record.path
        try:
            return recording_of(record, [".json", "/"], root=self._root)
        except FileNotFoundError:
            series = find_recordings(record, [_OPENPOSE_FIRST], root=self._root)
            if not series:
                raise
            return series[0]


@dataclass(frozen=True, eq=False)
class _People:
    """The people of a recording.

    Attributes:
        frames: The people of every `stride`-th frame of the film.
        size: Height and width of the picture in pixels, if the recording has them.
        stride: 1 where every frame of the film has been looked at.
        skipped: Frames of the film before the first of these.
    """

    frames: list[list[Detection]]
    size: tuple[int, int] | None
    stride: int = 1
    skipped: int = 0


def _read_people(path: Path) -> _People:
    """Read a file of a whole film, a folder of frames, or the series of OpenPose's files that begins with one."""
    if path.name.endswith(_OPENPOSE_FIRST):
        stem = path.name.removesuffix(_OPENPOSE_FIRST)
        return _read_files(sorted(path.parent.glob(f"{escape(stem)}_{'[0-9]' * 12}_keypoints.json")))
    if path.is_dir():
        inside = path / "keypoints_whole_body"
        return _read_files(sorted((inside if inside.is_dir() else path).glob("*.json")))
    frames, size = parse_wholebody(read_json(path))
    return _People(frames, _in_pixels(size))


def _read_files(paths: Sequence[Path]) -> _People:
    """Read a film's frames, one file each."""
    files = sort_by_frame(paths)
    if not 0 < len(files) <= _MAX_FRAMES:
        raise FlawError(f"expected 1 to {_MAX_FRAMES} files named by frame, got {len(files)}")
    numbered, size = {}, None
    for number, file in files:
        try:
            numbered[number], canvas = parse_frame(read_json(file))
        except FlawError as error:
            raise FlawError(f"in {file.name} {error}") from error
        size = size or _in_pixels(canvas)
    first, stride = first_number(list(numbered)), find_stride(list(numbered))
    if stride == 1:
        return _People(_fill_missing_frames(numbered), size)
    skipped = (min(numbered) - first) % stride
    steps = {(number - first - skipped) // stride: people for number, people in numbered.items()}
    if max(steps) >= _MAX_FRAMES:
        raise FlawError(f"expected frames from 0 to {_MAX_FRAMES}, got {min(numbered)} to {max(numbered)}")
    return _People([steps.get(step, []) for step in range(max(steps) + 1)], size, stride, skipped)


def _in_pixels(canvas: tuple[int, int] | None) -> tuple[int, int] | None:
    """A canvas's size; None for a canvas of 1, whose keypoints are shares of a picture of unknown size."""
    return canvas if canvas is not None and max(canvas) > _MAX_SHARE else None


def _to_pixels(people: _People, film: FilmFormat) -> list[list[Detection]]:
    """The people in the film's pixels: shares of the picture, and pixels of a canvas of another size, are scaled.

    Raises:
        FlawError: If shares begin below 0, or the canvas has another shape than the film.
    """
    seen = [one.seen for frame in people.frames for one in frame]
    points = np.concatenate([np.zeros((0, 2)), *seen])
    if not len(points):
        return people.frames
    if np.quantile(np.abs(points), 0.9) <= _MAX_SHARE:
        low, high = np.quantile(points, [0.05, 0.95])
        if low < -0.05:
            raise FlawError(
                f"expected keypoints in pixels, or in shares of the picture from 0 to 1, got {low:.2g} to {high:.2g}; "
                "write them again in pixels (OpenPose's --keypoint_scale 0)"
            )
        scale = np.array([film.width, film.height], float)
    else:
        height, width = people.size or (film.height, film.width)
        scale = np.array([film.width / width, film.height / height])
        if abs(scale[0] / scale[1] - 1) > _MAX_STRETCH:
            raise FlawError(
                f"expected a canvas of the film's shape, {film.width} by {film.height}, got {width} by {height}; "
                "find the keypoints again in the film itself"
            )
    if (scale == 1).all():
        return people.frames
    return [[replace(one, points=one.points * scale) for one in frame] for frame in people.frames]
