"""Read motions from BVH files, such as the motion capture of CMU, Mixamo, Bandai Namco and LAFAN1."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias, final

import numpy as np
from jaxtyping import Float

from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.bvhnames import match_joints
from synthaug.motions.files.recognition import has_suffix, is_film_beside, read_head
from synthaug.motions.files.recordings import (
    FlawError,
    check_positive,
    cut_motion,
    find_recordings,
    frames_between,
    read_text,
    reading,
    recording_of,
)
from synthaug.motions.files.retargeting import CapturedSkeleton, retarget_capture, units_of
from synthaug.motions.files.views import overlooking_camera
from synthaug.structures import Record, Reference

_VERSION = 2
MAX_JOINTS = 1024
MAX_DEPTH = 256
_NextWord: TypeAlias = Callable[[str], tuple[int, str]]
"""Returns the line and text of the next word of a hierarchy; its argument says what is expected, for errors."""
_MOTION = re.compile(r"(?:^|\})[ \t]*(?P<word>MOTION)[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
"""The line between hierarchy and rows; joints may be called anything, MOTION too."""
_MAX_SURPLUS = 5
"""Rows more than announced that pass for a miscount, or a twentieth of them; more is another file."""
_MAX_FRAME_TIME = 1.0
"""Seconds; a frame time above it is in milliseconds, or a rate."""
_CHANNELS = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")


@dataclass(frozen=True)
class BvhJoint:
    """One joint of a hierarchy.

    Attributes:
        name: Name in the file, without a namespace.
        parent: Index of its parent, which comes before it; -1 for the root.
        offset: From its parent in the rest pose, in the file's units.
        channels: Its channels in the file's order; empty for end sites.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Bvh:
    """The contents of a BVH file.

    Attributes:
        joints: The root first; every end site is a joint named like its parent with `_end` added.
        fps: Frames per second.
        values: Values of all channels in order; degrees, and the file's units of length.
        surplus: Rows beyond the announced number of frames, which are not read.
    """

    joints: tuple[BvhJoint, ...]
    fps: float
    values: Float[np.ndarray, "time channel"]
    surplus: int = 0


def parse_bvh(text: str) -> Bvh:
    """Parse the text of a BVH file.

    Source:
        The format of Biovision's `.bvh` as Meredith and Maddock describe it ("Motion Capture File Formats Explained",
        2001); channels in any order, per joint.

    Raises:
        FlawError: If it is not a BVH file; the line is named.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    mark = _MOTION.search(text)
    if not mark:
        raise FlawError("expected HIERARCHY and then a line MOTION, found no MOTION")
    head, tail = text[: mark.start("word")], text[mark.end("word") :]
    joints = _parse_hierarchy(head)
    before = head.count("\n")
    lines = [(before + k + 1, line) for k, line in enumerate(tail.splitlines()) if line.strip()]
    heads = [re.fullmatch(r"(?i)\s*(frames|frame\s+time)\s*:\s*(.*\S)\s*", line) for _, line in lines[:2]]
    kinds = [re.sub(r"\s+", " ", found[1].lower()) for found in heads if found]
    if kinds != ["frames", "frame time"]:
        raise FlawError("expected 'Frames:' and 'Frame Time:' after MOTION, got something else")
    announced, seconds = (
        _parse_number(found[2].split()[-1], line[0], what)
        for found, line, what in zip(heads, lines, ("the number of frames", "the frame time"), strict=False)
        if found
    )
    if not 0 < seconds <= _MAX_FRAME_TIME or announced != int(announced) or announced < 1:
        raise FlawError(
            "expected a whole number of frames from 1 and a frame time in seconds, above 0 and up to "
            f"{_MAX_FRAME_TIME:g} (0.0333 and not 30 or 33.3), got {announced:g} frames of {seconds:g} s"
        )
    rows = lines[2:]
    width = sum(len(joint.channels) for joint in joints)
    surplus = len(rows) - int(announced)
    if not 0 <= surplus <= max(_MAX_SURPLUS, 0.05 * announced):
        where = f"the last line is {rows[-1][0]}" if rows else "it ends with its header"
        raise FlawError(f"expected {announced:.0f} frames as 'Frames:' says, got {len(rows)} ({where})")
    rows = rows[: int(announced)]
    values = np.empty((len(rows), width))
    for k, (at, line) in enumerate(rows):
        words = line.split()
        if len(words) != width:
            raise FlawError(f"expected {width} values in line {at} (frame {k + 1}), got {len(words)}")
        try:
            values[k] = [float(word) for word in words]
        except ValueError as error:
            raise FlawError(f"expected numbers in line {at} (frame {k + 1}): {error}") from error
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise FlawError(f"expected finite numbers in line {rows[int(bad.argmax())][0]}, got nan or inf")
    # Files say 0.0333333 and 0.008333: a rate close to a whole number is that number.
    rate = 1 / seconds
    rate = float(round(rate)) if abs(rate / max(round(rate), 1) - 1) < 2e-3 else rate
    return Bvh(joints, rate, values, surplus)


def _parse_number(word: str, line: int, what: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FlawError(f"expected {what} in line {line} to be a finite number, got {word[:40]!r}")
    return value


def _parse_hierarchy(head: str) -> tuple[BvhJoint, ...]:
    lines = enumerate(head.splitlines())
    words = [(k + 1, word) for k, line in lines for word in re.findall(r"[{}]|[^\s{}]+", line)]
    if not words or words[0][1].upper() != "HIERARCHY":
        raise FlawError("expected a BVH file that begins with HIERARCHY, got something else")
    joints: list[BvhJoint] = []
    open_: list[int] = []
    at = 1

    def next_word(what: str) -> tuple[int, str]:
        nonlocal at
        if at >= len(words):
            raise FlawError(f"expected {what}, got the end of the hierarchy")
        at += 1
        return words[at - 1]

    while at < len(words):
        line, word = next_word("a joint")
        if word == "}":
            if not open_:
                raise FlawError(f"expected one pair of brackets for each joint, got a surplus one in line {line}")
            open_.pop()
            continue
        word = word.upper()
        if word not in ("ROOT", "JOINT", "END") or (word == "ROOT") != (not joints) or (joints and not open_):
            raise FlawError(
                f"expected one ROOT, then JOINT, End Site or a closing bracket, got {word[:40]!r} in line {line}"
            )
        parent = open_[-1] if open_ else -1
        name = _parse_name(next_word, word, joints, parent)
        if len(joints) >= MAX_JOINTS or len(open_) >= MAX_DEPTH:
            raise FlawError(f"expected at most {MAX_JOINTS} joints and {MAX_DEPTH} in a chain, got more in line {line}")
        joints.append(_parse_joint(next_word, name, parent, end=word == "END"))
        open_.append(len(joints) - 1)
    if open_ or not joints:
        raise FlawError("expected one ROOT with all brackets closed, got open brackets or no joint")
    return tuple(joints)


def _parse_name(next_word: _NextWord, word: str, joints: list[BvhJoint], parent: int) -> str:
    if word == "END":
        next_word("Site")
        return f"{joints[parent].name}_end"
    name = next_word("a joint's name")[1]
    # Names may contain blanks; namespaces (`mixamorig:Hips`) are removed.
    while True:
        line, more = next_word("an opening bracket")
        if more == "{":
            return name.split(":")[-1].split("|")[-1]
        name += f"_{more}"


def _parse_joint(next_word: _NextWord, name: str, parent: int, *, end: bool) -> BvhJoint:
    if end:
        line, bracket = next_word("an opening bracket")
        if bracket != "{":
            raise FlawError(f"expected an opening bracket in line {line}, got {bracket[:40]!r}")
    line, word = next_word("OFFSET")
    if word.upper() != "OFFSET":
        raise FlawError(f"expected OFFSET of {name} in line {line}, got {word[:40]!r}")
    x, y, z = (_parse_number(next_word("an offset")[1], line, f"the offset of {name}") for _ in range(3))
    if end:
        return BvhJoint(name, parent, (x, y, z), ())
    line, word = next_word("CHANNELS")
    if word.upper() != "CHANNELS":
        raise FlawError(f"expected CHANNELS of {name} in line {line}, got {word[:40]!r}")
    count = _parse_number(next_word("the number of channels")[1], line, f"the channels of {name}")
    if count not in range(0, 7):
        raise FlawError(f"expected 0 to 6 channels of {name} in line {line}, got {count:g}")
    channels = tuple(next_word("a channel")[1].capitalize() for _ in range(int(count)))
    unknown = [channel for channel in channels if channel not in _CHANNELS]
    if unknown or len(set(channels)) < len(channels):
        raise FlawError(
            f"expected channels of {name} in line {line} out of {', '.join(_CHANNELS)}, got {' '.join(channels)}"
        )
    return BvhJoint(name, parent, (x, y, z), channels)


def pose_joints(bvh: Bvh) -> CapturedSkeleton:
    """World rotation and position of every joint in every frame, in the file's axes and units.

    A joint's rotations apply in the order of its channels, each about the axes after the rotations before it:
    R = R1 R2 R3. Position channels of joints other than the root replace their offset, unless they are nearer to 0 than
    to it: some exporters write displacements, or zeros.
    """
    rotations: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    at = 0
    time = len(bvh.values)
    for joint in bvh.joints:
        local = np.tile(np.eye(3), (time, 1, 1))
        place = np.tile(np.array(joint.offset), (time, 1))
        if any(channel.endswith("position") for channel in joint.channels) and joint.parent < 0:
            place = np.zeros((time, 3)) + np.array(joint.offset)
        for channel in joint.channels:
            value = bvh.values[:, at]
            at += 1
            axis = "XYZ".index(channel[0])
            if channel.endswith("position"):
                place[:, axis] = value
            else:
                local = local @ _rotation_about(axis, np.deg2rad(value))
        moved = np.median(place, axis=0)
        if joint.parent >= 0 and np.linalg.norm(moved) < np.linalg.norm(moved - joint.offset):
            place = place + joint.offset
        if joint.parent < 0:
            rotations.append(local)
            positions.append(place)
        else:
            above = rotations[joint.parent]
            rotations.append(above @ local)
            positions.append(positions[joint.parent] + np.einsum("tij,tj->ti", above, place))
    return CapturedSkeleton(
        names=tuple(joint.name for joint in bvh.joints),
        parents=tuple(joint.parent for joint in bvh.joints),
        offsets=np.array([joint.offset for joint in bvh.joints]),
        rotations=np.stack(rotations, axis=1),
        positions=np.stack(positions, axis=1),
        fps=bvh.fps,
    )


def _rotation_about(axis: int, angle: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time 3 3"]:
    cos, sin = np.cos(angle), np.sin(angle)
    R = np.zeros((len(angle), 3, 3))
    j, k = (axis + 1) % 3, (axis + 2) % 3
    R[:, axis, axis] = 1
    R[:, j, j] = R[:, k, k] = cos
    R[:, j, k], R[:, k, j] = -sin, sin
    return R


@final
class BvhMotion(MotionSource):
    """Reads BVH files and retargets them to our skeleton by the names of their joints.

    File format:
        HIERARCHY with one ROOT; each joint may have its channels in any order, and position channels. MOTION with
        `Frames:`, `Frame Time:` and one line for each frame; a few lines more are not read (note `surplus_rows`).
        Prefixes that the names of most joints share (`mixamorig`, `Character1_`) are ignored, and suffixes too.

    Retargeting keeps the directions of bones exactly and solves the twist between the file's axes and ours: from the
    rest pose where that shows a person, else from the motion (LAFAN1). The path is scaled by leg length, and soles
    keep their clearance from the floor. Fingers are read where all three joints of a finger are named.

    Units and up axis are guessed from the skeleton (the unit that gives a height of 0.75 to 2.25 m and closest to
    1.7 m; the axis from feet to head) and reported in the notes. Set `unit` and `up` to override the guess. The floor
    is the 2nd percentile of the lowest point of the soles.

    Notes: `unit_m` (metres in a unit of the file), `stature` (metres), `mapped` (how many of our 22 body joints the
    file has), `rest_pose` (1 where the file's rest pose shows a person), `residual` (metres, mean distance of knees,
    ankles, elbows and wrists from the file's).

    Args:
        root: Folder of the files; None looks beside the films.
        up: "x", "y" or "z", with "-" before it where the axis points down; None guesses.
        unit: Metres in a unit of the file; None guesses.
        names: The file's joint names by SMPL-X name, where the table lacks them: {"left_hip": "LThigh"}.
    """

    looks: ClassVar[str] = "a text that begins with HIERARCHY"

    def __init__(
        self,
        *,
        root: str | None = None,
        up: str | None = None,
        unit: float | None = None,
        names: dict[str, str] | None = None,
    ) -> None:
        check_positive("unit", unit)
        if up is not None and up.removeprefix("-") not in ("x", "y", "z"):
            raise ValueError(
                f"Expected up to be x, y, z, one of them with '-', or None, got {up!r}. Correct synth.motion.up."
            )
        self._root = None if root is None else Path(root).expanduser()
        self._up, self._unit = up, unit
        self._names = dict(names or {})

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether this is a .bvh file, a film with one beside it, or a text that begins with HIERARCHY."""
        return has_suffix(path, ".bvh") or is_film_beside(path, ".bvh") or read_head(path).startswith(b"HIERARCHY")

    @property
    def fingerprint(self) -> str:
        """Version and settings that decide the motion."""
        settings = (self._up, self._unit, sorted(self._names.items()))
        return f"bvh-{_VERSION}-{digest_of(repr(settings))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The BVH file."""
        return find_recordings(record, [".bvh", ".BVH"], root=self._root)

    def load(self, record: Record) -> Reference:
        """The motion between the record's start and end, with a frontal camera; quality is None (motion capture).

        Raises:
            FileNotFoundError: If there is no such file.
            UnusableClipError: If it is damaged, its joints are unknown, or it has no frame in the interval.
        """
        path = recording_of(record, [".bvh", ".BVH"], root=self._root)
        with reading(path):
            bvh = parse_bvh(read_text(path))
            captured = pose_joints(bvh)
            which = match_joints(captured.names, captured.parents, given=self._names)
            units = units_of(captured, which, up=self._up, unit=self._unit)
            first, last = frames_between(record, len(captured.rotations), captured.fps)
            motion, facts = retarget_capture(captured, which, units)
            motion = cut_motion(motion, first, last)
        notes = {"unit_m": units.metres, "stature": units.stature, **facts}
        if bvh.surplus:
            notes["surplus_rows"] = float(bvh.surplus)
        return Reference(motion=motion, camera=overlooking_camera(motion), notes=notes)
