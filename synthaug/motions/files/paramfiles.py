"""Read folders with one JSON of SMPL-X parameters for each frame, as ExAvatar and LHM write them.

Both store a person in the axes of the camera that filmed them: x right, y down, z forward.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_quat, quat_to_axis_angle, slerp
from synthaug.body.skeleton import JOINT_NAMES, joint_positions, mean_skeleton, move_motion
from synthaug.files import find_in_any_form
from synthaug.motions.files.recognition import is_film
from synthaug.motions.files.recordings import (
    FlawError,
    find_stride,
    first_number,
    frames_between,
    parse_finite,
    parse_object,
    places_below,
    read_json,
    sort_by_frame,
)
from synthaug.motions.fitting.markers import NUM_BODY, Track, joint_markers
from synthaug.motions.fitting.placement import FLIP, estimate_floor, estimate_tilt, put_on_floor
from synthaug.motions.fitting.quality import assess
from synthaug.structures import Camera, Motion, Plain, Record, Reference
from synthaug.video import probe

MAX_FRAMES = 200_000
"""Files in one folder: almost two hours at 30 frames a second."""
_MAX_GAP = 1.0
"""Longest gap in seconds that is filled by interpolation."""
_USUAL_FPS = 30.0
"""Rate that ExAvatar and LHM assume of motions without a film."""
_PARTS = {"root_pose": 1, "body_pose": 21, "jaw_pose": 1, "leye_pose": 1, "reye_pose": 1, "lhand_pose": 15,
          "rhand_pose": 15}  # fmt: skip
"""Fields and their number of joints, in SMPL-X order."""
_REQUIRED = ("root_pose", "body_pose")


@dataclass(frozen=True, eq=False)
class ParamFrames:
    """Frames that have a file, in order.

    Attributes:
        numbers: Frame numbers, from the files' names.
        pose: Axis-angle, radians, 55 joints in SMPL-X order, camera axes; zeros where a file lacks a part.
        trans: Metres, smplx's `transl`.
        documents: All other fields of the files.
        names: The files' names without suffix, as the folders beside them repeat them.
        origin: Number of the film's first frame; None takes 1 where the numbers begin with 1, else 0.
    """

    numbers: tuple[int, ...]
    pose: Float[np.ndarray, "frame 55 3"]
    trans: Float[np.ndarray, "frame 3"]
    documents: tuple[dict[str, Plain], ...]
    names: tuple[str, ...] = ()
    origin: int | None = None

    def seconds(self, fps: float) -> Float[np.ndarray, " frame"]:
        """Seconds of the film at which the frames are."""
        origin = first_number(self.numbers) if self.origin is None else self.origin
        return (np.array(self.numbers) - origin) / fps

    def take(self, first: int, last: int) -> "ParamFrames":
        """Entries `first` to `last` - 1, at the same seconds."""
        origin = first_number(self.numbers) if self.origin is None else self.origin
        part = slice(first, last)
        return ParamFrames(
            self.numbers[part], self.pose[part], self.trans[part], self.documents[part], self.names[part], origin
        )


def folder_of(record: Record, inside: str, *, root: Path | None = None) -> Path:
    """The folder of a record's motion: the record's own path, the folder of its film, or one named like the film.

    Args:
        record: Its path is such a folder or a film.
        inside: Path within the folder that has the frames' files.
        root: Folder of such folders, or of folders of them named like the films' own (`places_below`); None is where
            the film lies.

    Raises:
        FileNotFoundError: If none of these has it, naming all.
    """
    path = record.path
    beside = [path.parent] if root is None else places_below(root, path)
    named = [find_in_any_form(folder / path.stem) for folder in beside]
    places = [path] if not is_film(path) and (path.is_dir() or not path.suffix) else [*named, path.parent]
    for place in places:
        if (place / inside).is_dir() or (place.is_dir() and place.name == Path(inside).name):
            return place
    searched = ", ".join(f"'{place / inside}'" for place in places)
    raise FileNotFoundError(
        f"Expected the motion of '{record.key}' in a folder with one JSON for each frame, found no folder {searched}. "
        "Set root to the folder that holds the motions' folders, or name the folder itself."
    )


def find_folders(record: Record, inside: str, *, root: Path | None = None) -> tuple[Path, ...]:
    """The folder that `folder_of` finds, or no folder."""
    try:
        return (folder_of(record, inside, root=root),)
    except FileNotFoundError:
        return ()


def film_rate(record: Record, fps: float | None) -> float:
    """Frames a second that the files' numbers count: as given, else the film's, else 30 where there is no film.

    Raises:
        VideoError: If the film exists but cannot be read.
    """
    if fps is not None:
        return fps
    return probe(record.path).fps if is_film(record.path) and record.path.exists() else _USUAL_FPS


def read_frames(folder: Path) -> ParamFrames:
    """All frames of a folder, sorted by the number in their names.

    Raises:
        FlawError: If there is no frame, a frame has two files, or a file is wrong; the file is named.
    """
    files = sort_by_frame(sorted(folder.glob("*.json")))
    if not 0 < len(files) <= MAX_FRAMES:
        raise FlawError(f"expected 1 to {MAX_FRAMES} files named by frame in {folder.name}/, got {len(files)}")
    poses, trans, documents = [], [], []
    for _, path in files:
        where = f"{folder.name}/{path.name}"
        try:
            document = parse_object(read_json(path), field="the document")
            poses.append(_parse_pose(document))
            trans.append(parse_finite(_require(document, "trans"), 3, field="trans"))
        except FlawError as error:
            raise FlawError(f"in {where} {error}") from error
        documents.append({name: value for name, value in document.items() if name not in (*_PARTS, "expr")})
    numbers, names = tuple(number for number, _ in files), tuple(path.stem for _, path in files)
    return ParamFrames(numbers, np.stack(poses), np.stack(trans), tuple(documents), names)


def take_appearance(frames: ParamFrames, record: Record, fps: float) -> ParamFrames:
    """The frames in which a record's person is there without a gap of more than a second.

    Somebody who walks out of the picture and comes back appears twice. Where a record's interval has parts of several
    appearances, or of none, all frames are returned, and the error of `fill_gaps` or `TimedFrames.within` says so.
    """
    seconds = frames.seconds(fps)
    cuts = [0, *(np.flatnonzero(np.diff(seconds) > _MAX_GAP + 1 / fps) + 1).tolist(), len(seconds)]
    shown = [
        (first, last)
        for first, last in pairwise(cuts)
        if seconds[first] < record.end and seconds[last - 1] + 1 / fps > record.start
    ]
    return frames.take(*shown[0]) if len(shown) == 1 else frames


def _parse_pose(document: dict[str, Plain]) -> Float[np.ndarray, "55 3"]:
    rows = []
    for name, joints in _PARTS.items():
        value = _require(document, name) if name in _REQUIRED else document.get(name)
        row = np.zeros(3 * joints) if value is None else parse_finite(value, 3 * joints, field=name)
        rows.append(row.reshape(joints, 3))
    return np.concatenate(rows)


def _require(document: dict[str, Plain], name: str) -> Plain:
    if document.get(name) is None:
        raise FlawError(f"expected {name} in every frame, found none")
    return document[name]


@dataclass(frozen=True, eq=False)
class TimedFrames:
    """Frames as a motion without gaps.

    Attributes:
        motion: In camera axes, `transl` as smplx defines it.
        nearest: Entry of the `ParamFrames` nearest to each frame.
        known: True where that entry is the frame itself.
        begin: Seconds of the film at which the motion begins.
    """

    motion: Motion
    nearest: tuple[int, ...]
    known: Bool[Tensor, " time"]
    begin: float

    def within(self, record: Record) -> tuple[int, int, float]:
        """First and one past the last frame of a record's interval, and seconds from its start to the first of them.

        Raises:
            FlawError: If the interval is before the first frame, or after the last.
        """
        fps = self.motion.fps
        first, last = frames_between(record, self.motion.num_frames, fps, begin=self.begin)
        return first, last, self.begin + first / fps - record.start


def fill_gaps(frames: ParamFrames, *, fps: float) -> TimedFrames:
    """Fill the gaps between frames, so that they lie evenly in time.

    The numbers count the film's frames, from 0 on, or from 1 on where the first file is number 1. If they go in steps
    of n, the files are every n-th frame of the film and the motion's rate is fps / n. Missing frames are interpolated
    between the ones before and after; before the first file there is no motion.

    Raises:
        FlawError: If frames are missing for more than a second.
    """
    numbers = np.array(frames.numbers)
    steps = np.diff(numbers)
    stride = find_stride(frames.numbers)
    rate = fps / stride
    longest = int(steps.max()) if len(steps) else stride
    if max(longest - stride, stride) / fps > _MAX_GAP:
        before = int(numbers[int(steps.argmax())])
        raise FlawError(
            f"expected gaps of at most {_MAX_GAP:g} s, frames {before + 1} to {before + longest - 1} are missing, "
            f"{max(longest - stride, stride) / fps:.1f} s"
        )
    all_numbers = np.arange(numbers[0], numbers[-1] + 1, stride)
    right = np.searchsorted(numbers, all_numbers)
    left = np.where(numbers[right] == all_numbers, right, right - 1)
    span = np.maximum(numbers[right] - numbers[left], 1)
    share = torch.from_numpy((all_numbers - numbers[left]) / span).float()[:, None]
    quats = matrix_to_quat(axis_angle_to_matrix(torch.from_numpy(frames.pose)))
    pose = quat_to_axis_angle(slerp(quats[left], quats[right], share[:, None].double().expand(-1, 55, 1))).float()
    trans = torch.from_numpy(frames.trans).float()
    near = np.where(share[:, 0].numpy() < 0.5, left, right)
    motion = Motion.from_pose(pose, torch.lerp(trans[left], trans[right], share), fps=rate)
    begin = float(frames.seconds(fps)[0])
    return TimedFrames(motion, tuple(int(k) for k in near), torch.from_numpy(left == right), begin)


def stand_upright(motion: Motion, camera: Camera, known: Bool[Tensor, " time"], *, offset: float) -> Reference:
    """Bring a motion from the axes of its camera's first frame into a world with y up and the floor at 0.

    Pitch and floor are estimated from the body itself (`placement.estimate_tilt`, `placement.estimate_floor`); the
    notes say how well that went. Roll is assumed to be 0.

    Args:
        motion: OpenCV's axes, metres, `transl` is the pelvis.
        camera: In the same frame: the identity for a static camera.
        known: Frames that have a file; the others were interpolated.
        offset: Seconds from the record's start to the first frame, for the notes.

    Returns:
        The reference, graded by `quality.assess` on its own joints, since an estimator's output is not ground truth.
    """
    skeleton = mean_skeleton()
    markers = joint_markers(JOINT_NAMES[:NUM_BODY], skeleton)
    level = move_motion(motion, FLIP[:3, :3], torch.zeros(3))
    held = estimate_tilt(level, skeleton)
    trust = torch.ones(motion.num_frames, NUM_BODY)
    floor = estimate_floor(level, trust, markers, skeleton, pitch_deg=held.pitch_deg)
    view = replace(camera, viewmats=camera.viewmats @ FLIP)
    world, seen = put_on_floor(level, view, floor, pitch_deg=held.pitch_deg)
    joints = joint_positions(world, skeleton)[:, :NUM_BODY]
    confidence = known.float()[:, None].expand(-1, NUM_BODY)
    grade = assess(Track(joints, confidence, world.fps), world, markers, skeleton)
    notes = {"pitch_deg": held.pitch_deg, "pitch_evidence": held.evidence, "offset": offset, **grade.notes()}
    return Reference(motion=world, camera=seen, quality=grade.score, notes=notes)


def pinhole(focal: Float[np.ndarray, "2"], centre: Float[np.ndarray, "2"]) -> Float[Tensor, "3 3"]:
    """Intrinsics of a pinhole camera, pixels."""
    K = torch.eye(3)
    K[0, 0], K[1, 1], K[0, 2], K[1, 2] = (float(x) for x in (*focal, *centre))
    return K


def whole_pixels(width: float | int, height: float | int) -> tuple[int, int]:
    """Width and height of a picture, rounded to whole pixels.

    Raises:
        FlawError: If a side is below 1 pixel or larger than any film's.
    """
    if not (math.isfinite(width) and math.isfinite(height) and 1 <= round(width) <= 2**15 and 1 <= height <= 2**15):
        raise FlawError(f"expected a picture of 1 to {2**15} pixels a side, got {width:g} by {height:g}")
    return round(width), round(height)


def move_to_pelvis(motion: Motion, pelvis: tuple[float, float, float]) -> Motion:
    """Change `transl` from smplx's definition to the position of the pelvis."""
    return replace(motion, transl=motion.transl + torch.tensor(pelvis))


def change_hands(
    motion: Motion, change: Callable[[Float[Tensor, "time 15 3"], str], Float[Tensor, "time 15 3"]]
) -> Motion:
    """The motion with each hand's pose changed by a function of the pose and its side."""
    return replace(
        motion,
        left_hand_pose=change(motion.left_hand_pose, "left"),
        right_hand_pose=change(motion.right_hand_pose, "right"),
    )
