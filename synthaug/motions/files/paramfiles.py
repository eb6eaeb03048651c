"""Folders with one JSON of SMPL-X parameters for each frame, as ExAvatar and LHM keep motions.

Below `exavatar` and `lhm`. Both give a person in the axes of the camera that filmed them: x right, y down, z forward.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_quat, quat_to_axis_angle, slerp
from synthaug.body.skeleton import JOINT_NAMES, joint_positions, mean_skeleton, moved
from synthaug.motions.files.recordings import FlawError, finite, frame_numbers, mapping, read_json
from synthaug.motions.fitting.markers import NUM_BODY, Track, joint_markers
from synthaug.motions.fitting.placement import FLIP, floor_plane, on_the_floor, tilt
from synthaug.motions.fitting.quality import assess
from synthaug.structures import Camera, Motion, Plain, Record, Reference

MAX_FRAMES = 200_000
"""Files in one folder: almost two hours at 30 frames a second."""
_MAX_GAP = 1.0
"""Seconds without a file that are bridged by turning evenly."""
_PARTS = {"root_pose": 1, "body_pose": 21, "jaw_pose": 1, "leye_pose": 1, "reye_pose": 1, "lhand_pose": 15,
          "rhand_pose": 15}  # fmt: skip
"""Fields and how many joints each has, in SMPL-X order."""
_NEEDED = ("root_pose", "body_pose")


@dataclass(frozen=True, eq=False)
class ParamFrames:
    """Frames that have a file, in order.

    Attributes:
        numbers: Of the frames, as the files' names say.
        pose: Axis-angle, radians, 55 joints in SMPL-X order, camera axes; zeros where a file lacks a part.
        trans: Metres, smplx's `transl`.
        documents: What else the files say, field by field.
    """

    numbers: tuple[int, ...]
    pose: Float[np.ndarray, "frame 55 3"]
    trans: Float[np.ndarray, "frame 3"]
    documents: tuple[dict[str, Plain], ...]


def folder_of(record: Record, inside: str, *, root: Path | None = None) -> Path:
    """The folder of a record's motion: the record's own path, the folder of its film, or one named like the film.

    Args:
        record: Its path is such a folder or a film.
        inside: Path within the folder that has the frames' files.
        root: Folder of such folders; None is where the film lies.

    Raises:
        FileNotFoundError: If none of these has it, naming all.
    """
    path = record.path
    beside = path.parent if root is None else root
    places = [path] if path.is_dir() or not path.suffix else [beside / path.stem, path.parent]
    for place in places:
        if (place / inside).is_dir() or (place.is_dir() and place.name == Path(inside).name):
            return place
    searched = ", ".join(f"'{place / inside}'" for place in places)
    raise FileNotFoundError(
        f"The motion of '{record.key}' is not there: no folder {searched}. A folder with one JSON for each frame was "
        "wanted. Set root to the folder that holds the motions' folders, or give the folder itself."
    )


def found_folders(record: Record, inside: str, *, root: Path | None = None) -> tuple[Path, ...]:
    """What `folder_of` finds, or nothing."""
    try:
        return (folder_of(record, inside, root=root),)
    except FileNotFoundError:
        return ()


def read_frames(folder: Path) -> ParamFrames:
    """All frames of a folder, sorted by the number in their names.

    Raises:
        FlawError: If there is none, one is there twice, or one is wrong; it is named.
    """
    files = frame_numbers(sorted(folder.glob("*.json")))
    if not 0 < len(files) <= MAX_FRAMES:
        raise FlawError(f"{folder.name}/ has {len(files)} files named by frame; 1 to {MAX_FRAMES} were wanted")
    poses, trans, documents = [], [], []
    for _, path in files:
        where = f"{folder.name}/{path.name}"
        try:
            document = mapping(read_json(path), field="the document")
            poses.append(_pose(document))
            trans.append(finite(_needed(document, "trans"), 3, field="trans"))
        except FlawError as error:
            raise FlawError(f"in {where} {error}") from error
        documents.append({name: value for name, value in document.items() if name not in (*_PARTS, "expr")})
    numbers = tuple(number for number, _ in files)
    return ParamFrames(numbers, np.stack(poses), np.stack(trans), tuple(documents))


def _pose(document: dict[str, Plain]) -> Float[np.ndarray, "55 3"]:
    rows = []
    for name, joints in _PARTS.items():
        value = _needed(document, name) if name in _NEEDED else document.get(name)
        row = np.zeros(3 * joints) if value is None else finite(value, 3 * joints, field=name)
        rows.append(row.reshape(joints, 3))
    return np.concatenate(rows)


def _needed(document: dict[str, Plain], name: str) -> Plain:
    if document.get(name) is None:
        raise FlawError(f"there is no {name}; one was wanted in every frame")
    return document[name]


@dataclass(frozen=True, eq=False)
class Clocked:
    """Frames as a motion without gaps.

    Attributes:
        motion: Still in camera axes, `transl` as smplx has it.
        nearest: Entry of the `ParamFrames` nearest to each frame.
        known: True where that entry is the frame itself.
    """

    motion: Motion
    nearest: tuple[int, ...]
    known: Bool[Tensor, " time"]


def on_a_clock(frames: ParamFrames, *, fps: float) -> Clocked:
    """The frames evenly in time.

    Numbers in steps of n are every n-th frame of the film: the motion's rate is fps / n. Missing frames turn evenly
    from the one before to the one after.

    Raises:
        FlawError: If frames are missing for more than a second.
    """
    numbers = np.array(frames.numbers)
    steps = np.diff(numbers)
    stride = int(np.gcd.reduce(steps)) if len(steps) else 1
    if len(steps) and stride < steps.min() and steps.min() > 1:
        stride = 1
    rate = fps / stride
    longest = int(steps.max()) if len(steps) else stride
    if (longest - stride) / fps > _MAX_GAP:
        before = int(numbers[int(steps.argmax())])
        raise FlawError(
            f"frames {before + 1} to {before + longest - 1} are missing, {(longest - stride) / fps:.1f} s; gaps of at "
            f"most {_MAX_GAP:g} s were wanted"
        )
    wanted = np.arange(numbers[0], numbers[-1] + 1, stride)
    right = np.searchsorted(numbers, wanted)
    left = np.where(numbers[right] == wanted, right, right - 1)
    span = np.maximum(numbers[right] - numbers[left], 1)
    share = torch.from_numpy((wanted - numbers[left]) / span).float()[:, None]
    quats = matrix_to_quat(axis_angle_to_matrix(torch.from_numpy(frames.pose)))
    pose = quat_to_axis_angle(slerp(quats[left], quats[right], share[:, None].double().expand(-1, 55, 1))).float()
    trans = torch.from_numpy(frames.trans).float()
    near = np.where(share[:, 0].numpy() < 0.5, left, right)
    motion = Motion.from_pose(pose, torch.lerp(trans[left], trans[right], share), fps=rate)
    return Clocked(motion, tuple(int(k) for k in near), torch.from_numpy(left == right))


def stood_up(motion: Motion, camera: Camera, known: Bool[Tensor, " time"]) -> Reference:
    """A motion in the axes of its camera's first frame, brought into a world with y up and the floor at 0.

    Pitch and floor are estimated from the body itself (`placement.tilt`, `placement.floor_plane`); the notes say how
    well that went. Roll is taken for 0.

    Args:
        motion: OpenCV's axes, metres, `transl` is the pelvis.
        camera: In the same frame: the identity for a camera that stands still.
        known: Frames that have a file; the others were filled in.

    Returns:
        With the grade that `quality.assess` gives the joints as they are: what an estimator made of film is no truth.
    """
    skeleton = mean_skeleton()
    markers = joint_markers(JOINT_NAMES[:NUM_BODY], skeleton)
    level = moved(motion, FLIP[:3, :3], torch.zeros(3))
    held = tilt(level, skeleton)
    trust = torch.ones(motion.num_frames, NUM_BODY)
    floor = floor_plane(level, trust, markers, skeleton, pitch_deg=held.pitch_deg)
    view = replace(camera, viewmats=camera.viewmats @ FLIP)
    world, seen = on_the_floor(level, view, floor, pitch_deg=held.pitch_deg)
    joints = joint_positions(world, skeleton)[:, :NUM_BODY]
    confidence = known.float()[:, None].expand(-1, NUM_BODY)
    grade = assess(Track(joints, confidence, world.fps), world, markers, skeleton)
    notes = {"pitch_deg": held.pitch_deg, "pitch_evidence": held.evidence, **grade.notes()}
    return Reference(motion=world, camera=seen, quality=grade.score, notes=notes)


def lens(focal: Float[np.ndarray, "2"], centre: Float[np.ndarray, "2"]) -> Float[Tensor, "3 3"]:
    """Intrinsics of a pinhole."""
    K = torch.eye(3)
    K[0, 0], K[1, 1], K[0, 2], K[1, 2] = (float(x) for x in (*focal, *centre))
    return K


def sized(width: float | int, height: float | int) -> tuple[int, int]:
    """Whole pixels of a picture.

    Raises:
        FlawError: If it has none, or more than any film.
    """
    if not (math.isfinite(width) and math.isfinite(height) and 1 <= round(width) <= 2**15 and 1 <= height <= 2**15):
        raise FlawError(f"the picture is {width:g} by {height:g} pixels; 1 to {2**15} each were wanted")
    return round(width), round(height)


def at_the_pelvis(motion: Motion, pelvis: tuple[float, float, float]) -> Motion:
    """A motion whose `transl` was smplx's own, with the pelvis's position instead."""
    return replace(motion, transl=motion.transl + torch.tensor(pelvis))


def with_hands(
    motion: Motion, change: Callable[[Float[Tensor, "time 15 3"], str], Float[Tensor, "time 15 3"]]
) -> Motion:
    """The motion with each hand's pose changed, given the pose and its side."""
    return replace(
        motion,
        left_hand_pose=change(motion.left_hand_pose, "left"),
        right_hand_pose=change(motion.right_hand_pose, "right"),
    )
