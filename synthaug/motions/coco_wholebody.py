"""Motions out of COCO-WholeBody keypoints: what DWPose, MMPose and RTMPose write, lifted by fitting.

A motion source for 133 keypoints a person and frame, in any of the JSON layouts that these tools leave.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float

from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.recordings import (
    FlawError,
    finite,
    found_recordings,
    frame_numbers,
    frames_between,
    mapping,
    numbers,
    positive,
    read_json,
    reading,
    recording_of,
    sequence,
)
from synthaug.motions.fitting.layouts import COCO_WHOLEBODY_133
from synthaug.motions.pose.following import Found
from synthaug.motions.pose.keypoints import Choice, film_of, known, lifted
from synthaug.structures import Plain, Record, Reference

_VERSION = 1
POINTS = 133
_MAX_FRAMES = 200_000
_LEAST_SCORE = 0.2
"""Below it a keypoint is a guess at something hidden; the tools themselves draw from 0.3."""
_BODY_18 = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_BODY_25 = (0, None, 6, 8, 10, 5, 7, 9, None, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 17, 18, 19, 20, 21, 22)
"""COCO's index of each of OpenPose's body points; the neck and the middle of the hips are no points of COCO's."""


def parse_wholebody(document: Plain) -> tuple[list[list[Found]], tuple[int, int] | None]:
    """The people of every frame of a document of the whole film, and the picture's height and width if it says.

    Raises:
        FlawError: If it is none of the layouts, or a part of it is wrong; frame and person are named.
    """
    size = None
    if isinstance(document, dict) and "instance_info" in document:
        document = document["instance_info"]
    elif isinstance(document, dict) and ("people" in document or "instances" in document):
        document = [document]
    entries = sequence(document, field="the document")
    if not 0 < len(entries) <= _MAX_FRAMES:
        raise FlawError(f"it has {len(entries)} entries; 1 to {_MAX_FRAMES} were wanted")
    if all(isinstance(entry, dict) and "image_id" in entry for entry in entries):
        return _by_image(entries), None
    numbered: dict[int, list[Found]] = {}
    for position, entry in enumerate(entries):
        number, people, canvas = _frame(entry, position)
        if number in numbered or (numbered and number < max(numbered)):
            before = max(numbered)
            raise FlawError(f"frame_id {number} comes after {before}; every frame once, in their order, was wanted")
        numbered[number] = people
        size = size or canvas
    return _on_a_line(numbered), size


def parse_frame(document: Plain) -> tuple[list[Found], tuple[int, int] | None]:
    """The people of a document of one frame, and the picture's height and width if it says.

    Raises:
        FlawError: If it is none of the layouts.
    """
    if isinstance(document, list) and len(document) == POINTS and isinstance(document[0], list):
        return [_person({"keypoints": document}, "the person")], None
    _, people, size = _frame(document, 0)
    return people, size


def _frame(entry: Plain, position: int) -> tuple[int, list[Found], tuple[int, int] | None]:
    """Number, people and picture size of one frame."""
    where = f"frame {position}"
    if isinstance(entry, list):
        return position, [_person(person, f"person {k} of {where}") for k, person in enumerate(entry)], None
    fields = mapping(entry, field=where)
    number = position
    if fields.get("frame_id") is not None:
        number = int(finite(fields["frame_id"], 1, field=f"frame_id of {where}")[0])
    if "people" in fields:
        size = _canvas(fields, where)
        people = sequence(fields["people"], field=f"people of {where}")
        return number, [_openpose(person, size, f"person {k} of {where}") for k, person in enumerate(people)], size
    people = sequence(fields.get("instances"), field=f"instances of {where}")
    return number, [_person(person, f"person {k} of {where}") for k, person in enumerate(people)], None


def _on_a_line(numbered: dict[int, list[Found]]) -> list[list[Found]]:
    """Every frame from the first on, nobody in those that are not there; counted from 1 where 0 is not."""
    first = 1 if numbered and min(numbered) == 1 else 0
    if min(numbered) < 0 or max(numbered) - first >= _MAX_FRAMES:
        raise FlawError(f"frames go from {min(numbered)} to {max(numbered)}; 0 to {_MAX_FRAMES} were wanted")
    return [numbered.get(number, []) for number in range(first, max(numbered) + 1)]


def _by_image(entries: Sequence[Plain]) -> list[list[Found]]:
    """COCO's results: one entry for each person, with the number of its picture."""
    numbered: dict[int, list[Found]] = {}
    for position, entry in enumerate(entries):
        fields = mapping(entry, field=f"entry {position}")
        digits = re.findall(r"\d+", str(fields["image_id"]))
        if not digits:
            raise FlawError(f"image_id of entry {position} is {fields['image_id']!r}; a number was wanted")
        numbered.setdefault(int(digits[-1][-9:]), []).append(_person(fields, f"entry {position}"))
    return _on_a_line(dict(sorted(numbered.items())))


def _person(value: Plain, where: str) -> Found:
    """A person of MMPose's or COCO's: keypoints as pairs or triples, scores beside them or third."""
    fields = mapping(value, field=where)
    given = fields.get("keypoints")
    if isinstance(given, list) and len(given) == 1:
        given = given[0]  # MMPose's inferencer puts a batch of one around them
    count = np.size(np.asarray(given, dtype=object)) if not isinstance(given, list) else _leaves(given)
    if count not in (2 * POINTS, 3 * POINTS):
        raise FlawError(f"keypoints of {where} are {count} numbers; {POINTS} pairs or triples were wanted")
    rows = numbers(given, count, field=f"keypoints of {where}").reshape(POINTS, -1)
    scores = rows[:, 2] if rows.shape[1] == 3 else np.ones(POINTS)
    if fields.get("keypoint_scores") is not None:
        beside = fields["keypoint_scores"]
        scores = numbers(beside, POINTS, field=f"keypoint_scores of {where}")
    name = fields.get("track_id")
    return _found(rows[:, :2], scores, "" if name is None else str(name)[:64])


def _leaves(value: list) -> int:
    return sum(_leaves(item) if isinstance(item, list) else 1 for item in value)


def _found(points: np.ndarray, scores: np.ndarray, name: str = "") -> Found:
    scores = np.where(np.nan_to_num(scores) < _LEAST_SCORE, 0.0, scores)
    return Found(points, known(points, scores), name)


def _openpose(value: Plain, canvas: tuple[int, int] | None, where: str) -> Found:
    """A person as OpenPose writes people, and DWPose's plug-ins after it: body, face and hands in lists of triples."""
    fields = mapping(value, field=where)
    rows = np.zeros((POINTS, 3))
    body = _triples(fields, "pose_keypoints_2d", where, (18, 25))
    if body is None:
        raise FlawError(f"{where} has no pose_keypoints_2d; 18 or 25 triples were wanted")
    for point, coco in zip(body, _BODY_18 if len(body) == 18 else _BODY_25, strict=True):
        if coco is not None:
            rows[coco] = point
    for name, first, counts in (
        ("face_keypoints_2d", 23, (68, 70)), ("hand_left_keypoints_2d", 91, (21,)),
        ("hand_right_keypoints_2d", 112, (21,)),
    ):  # fmt: skip
        part = _triples(fields, name, where, counts)
        if part is not None:
            part = part[:68]
            rows[first : first + len(part)] = part
    seen = rows[rows[:, 2] > 0, :2]
    if canvas is not None and len(seen) and np.nanmax(np.abs(seen)) <= 2:
        rows[:, :2] *= [canvas[1], canvas[0]]
    return _found(rows[:, :2], rows[:, 2])


def _triples(
    fields: dict[str, Plain], name: str, where: str, counts: Sequence[int]
) -> Float[np.ndarray, "point 3"] | None:
    value = fields.get(name)
    if value is None or value == []:
        return None
    given = _leaves(value) if isinstance(value, list) else 1
    if given % 3 or given // 3 not in counts:
        wanted = " or ".join(str(count) for count in counts)
        raise FlawError(f"{name} of {where} has {given} numbers; {wanted} triples were wanted")
    return numbers(value, given, field=f"{name} of {where}").reshape(-1, 3)


def _canvas(fields: dict[str, Plain], where: str) -> tuple[int, int] | None:
    if fields.get("canvas_height") is None or fields.get("canvas_width") is None:
        return None
    height, width = (finite(fields[f"canvas_{side}"], 1, field=f"canvas of {where}")[0] for side in ("height", "width"))
    if not (1 <= height <= 2**15 and 1 <= width <= 2**15):
        raise FlawError(f"the canvas of {where} is {width:g} by {height:g}; 1 to {2**15} pixels were wanted")
    return int(height), int(width)


@final
class CocoWholebody(MotionSource):
    """Reads keypoints of COCO-WholeBody beside a film (`<name>.json`, or a folder `<name>/` of frames) or below `root`.

    File format:
        One JSON of the whole film: MMPose's `{"instance_info": [{"frame_id", "instances": [...]}]}`, a list of such
        frames, a list of lists of people (MMPose's inferencer), COCO's results (`image_id`, `keypoints`), or
        OpenPose-like frames (`people`, `canvas_width`, `canvas_height`), as plug-ins for DWPose write them, whose 18 or
        25 body points are renamed. Or a folder with `{frame}.json` for each frame, each of one person's [133][3]
        (ExAvatar's `keypoints_whole_body`) or of the layouts above. Scores are clipped to 1; a keypoint below 0.2, at
        (0, 0) or not finite is missing.

    People are followed by `track_id` and place; the acting one moves most. The points of body, feet and knuckles are
    lifted by fitting: one view leaves depth open, so distances and leaning towards the camera are guesses. Fingers,
    jaw and eyes are at rest.

    Notes: `people`, `present` (share of frames with the person), and the lift's own.

    Args:
        root: Folder of the files; None is beside the films.
        fps: Frame rate where the film is not there to tell.
        size: Height and width of the picture where neither film nor file tell.
        person: 0 takes who moves most, 1 the next.
        present: Least share of the clip's frames that show the person.
        focal: Focal length over the longer side of the picture.
    """

    def __init__(
        self,
        *,
        root: str | None = None,
        fps: float | None = None,
        size: Sequence[int] | None = None,
        person: int = 0,
        present: float = 0.5,
        focal: float = 1.0,
    ) -> None:
        positive("fps", fps)
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"size={tuple(size)} was given; height and width in pixels were wanted. Correct it.")
        self._root = None if root is None else Path(root).expanduser()
        self._fps = fps
        self._size = None if size is None else (int(size[0]), int(size[1]))
        self._choice = Choice(person=person, present=float(present), focal=float(focal))

    @property
    def fingerprint(self) -> str:
        """Version and settings."""
        settings = (self._root, self._fps, self._size, self._choice)
        return f"coco_wholebody-{_VERSION}-{digest_of(repr(settings))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The file of keypoints, or the folder of such."""
        return found_recordings(record, [".json", "/"], root=self._root)

    def load(self, record: Record) -> Reference:
        """The motion of the acting person between the record's start and end, and the camera taken to have seen it.

        Raises:
            FileNotFoundError: If there is no file of keypoints.
            UnusableClipError: If it is damaged, shows too little of anybody, or nothing is in the interval.
        """
        path = record.path if record.path.is_dir() else recording_of(record, [".json", "/"], root=self._root)
        with reading(path):
            frames, canvas = _folder(path) if path.is_dir() else parse_wholebody(read_json(path))
            film = film_of(record, fps=self._fps, size=self._size or canvas)
            first, last = frames_between(record, len(frames), film.fps)
            return lifted(frames[first:last], COCO_WHOLEBODY_133, film, self._choice)


def _folder(path: Path) -> tuple[list[list[Found]], tuple[int, int] | None]:
    """All frames of a folder, or of ExAvatar's folder within it."""
    inside = path / "keypoints_whole_body"
    folder = inside if inside.is_dir() else path
    files = frame_numbers(sorted(folder.glob("*.json")))
    if not 0 < len(files) <= _MAX_FRAMES:
        raise FlawError(f"it has {len(files)} files named by frame; 1 to {_MAX_FRAMES} were wanted")
    numbered, size = {}, None
    for number, file in files:
        try:
            numbered[number], canvas = parse_frame(read_json(file))
        except FlawError as error:
            raise FlawError(f"in {file.name} {error}") from error
        size = size or canvas
    return _on_a_line(numbered), size
