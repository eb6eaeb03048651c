"""Motions out of BVH files: the hierarchy, the channels, and the table that says which joint is which of ours.

A motion source for motion capture of CMU, Mixamo, Bandai Namco, LAFAN1 and others that name their joints alike.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, final

import numpy as np
from jaxtyping import Float

from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.bvhnames import named
from synthaug.motions.files.recordings import (
    FlawError,
    cut,
    found_recordings,
    frames_between,
    positive,
    read_text,
    reading,
    recording_of,
)
from synthaug.motions.files.retargeting import Captured, Units, retargeted, units_of
from synthaug.motions.files.views import overlooking
from synthaug.structures import Record, Reference

_VERSION = 1
MAX_JOINTS = 1024
MAX_DEPTH = 256
_Take: TypeAlias = Callable[[str], tuple[int, str]]
"""Gives the next word of a hierarchy and its line; told what is wanted, for messages."""
_CHANNELS = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")


@dataclass(frozen=True)
class Joint:
    """One joint of a hierarchy.

    Attributes:
        name: As in the file, without a namespace.
        parent: Index of its parent, which comes before it; -1 for the root.
        offset: From its parent, in the file's units, where no joint turns.
        channels: Which values it has in each frame, in the file's order; empty for ends.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Bvh:
    """A BVH file as it stands.

    Attributes:
        joints: The root first; every end is a joint named like its parent with `_end` added.
        fps: Frames a second.
        values: Of all channels in order; degrees, and the file's units of length.
    """

    joints: tuple[Joint, ...]
    fps: float
    values: Float[np.ndarray, "time channel"]


def parse_bvh(text: str) -> Bvh:
    """A BVH file.

    Source:
        The format of Biovision's `.bvh` as Meredith and Maddock describe it ("Motion Capture File Formats Explained",
        2001); channels in any order, per joint.

    Raises:
        FlawError: If it is none, with the line.
    """
    head, mark, tail = text.partition("MOTION")
    if not mark:
        raise FlawError("there is no MOTION in it; HIERARCHY and then MOTION were wanted")
    joints = _hierarchy(head)
    before = head.count("\n")
    lines = [(before + k + 1, line) for k, line in enumerate(tail.splitlines()) if line.strip()]
    heads = [line.split() for _, line in lines[:2]]
    if len(heads) < 2 or heads[0][0] != "Frames:" or heads[1][:2] != ["Frame", "Time:"]:
        raise FlawError("'Frames:' and 'Frame Time:' do not follow MOTION; both were wanted")
    announced = _number(heads[0][-1], lines[0][0], "the number of frames")
    seconds = _number(heads[1][-1], lines[1][0], "the frame time")
    if not (0 < seconds <= 10) or announced != int(announced) or announced < 1:
        raise FlawError(
            f"it has {announced:g} frames of {seconds:g} s; a whole number from 1 and a time of more than 0 and at "
            "most 10 s were wanted"
        )
    rows = lines[2:]
    width = sum(len(joint.channels) for joint in joints)
    if len(rows) != announced:
        where = f"it ends after line {rows[-1][0]}" if rows else "it ends with its head"
        raise FlawError(f"it has {len(rows)} frames and announces {announced:.0f} ({where}); all of them were wanted")
    values = np.empty((len(rows), width))
    for k, (at, line) in enumerate(rows):
        words = line.split()
        if len(words) != width:
            raise FlawError(f"line {at} (frame {k + 1}) has {len(words)} values; {width} were wanted")
        try:
            values[k] = [float(word) for word in words]
        except ValueError as error:
            raise FlawError(f"line {at} (frame {k + 1}) has a value that is no number: {error}") from error
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise FlawError(f"line {rows[int(bad.argmax())][0]} holds a value that is not finite; finite ones were wanted")
    # Files say 0.0333333 and 0.008333: a rate within a thousandth of a whole one is that.
    rate = 1 / seconds
    return Bvh(joints, float(round(rate)) if abs(rate / max(round(rate), 1) - 1) < 2e-3 else rate, values)


def _number(word: str, line: int, what: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FlawError(f"line {line} gives {word[:40]!r} as {what}; a finite number was wanted")
    return value


def _hierarchy(head: str) -> tuple[Joint, ...]:
    words = [(k + 1, word) for k, line in enumerate(head.splitlines()) for word in line.split()]
    if not words or words[0][1] != "HIERARCHY":
        raise FlawError("it does not begin with HIERARCHY; a BVH file was wanted")
    joints: list[Joint] = []
    open_: list[int] = []
    at = 1

    def take(what: str) -> tuple[int, str]:
        nonlocal at
        if at >= len(words):
            raise FlawError(f"its hierarchy ends before {what}; all brackets closed were wanted")
        at += 1
        return words[at - 1]

    while at < len(words):
        line, word = take("a joint")
        if word == "}":
            if not open_:
                raise FlawError(f"line {line} closes a bracket that is not open; one for each joint was wanted")
            open_.pop()
            continue
        if word not in ("ROOT", "JOINT", "End") or (word == "ROOT") != (not joints) or (joints and not open_):
            raise FlawError(
                f"line {line} has {word[:40]!r}; JOINT, End Site or a closing bracket was wanted, and one ROOT"
            )
        parent = open_[-1] if open_ else -1
        name = _name(take, word, joints, parent)
        if len(joints) >= MAX_JOINTS or len(open_) >= MAX_DEPTH:
            raise FlawError(
                f"line {line}: there are more than {MAX_JOINTS} joints or {MAX_DEPTH} in a chain; fewer wanted"
            )
        joints.append(_joint(take, name, parent, end=word == "End"))
        open_.append(len(joints) - 1)
    if open_ or not joints:
        raise FlawError("its hierarchy leaves brackets open or is empty; one closed ROOT was wanted")
    return tuple(joints)


def _name(take: _Take, word: str, joints: list[Joint], parent: int) -> str:
    if word == "End":
        take("Site")
        return f"{joints[parent].name}_end"
    name = take("a joint's name")[1]
    # Names may hold blanks before the bracket; namespaces (`mixamorig:Hips`) are nobody's name.
    while True:
        line, more = take("an opening bracket")
        if more == "{":
            return name.split(":")[-1].split("|")[-1]
        name += f"_{more}"


def _joint(take: _Take, name: str, parent: int, *, end: bool) -> Joint:
    if end:
        line, bracket = take("an opening bracket")
        if bracket != "{":
            raise FlawError(f"line {line} has {bracket[:40]!r}; an opening bracket was wanted")
    line, word = take("OFFSET")
    if word != "OFFSET":
        raise FlawError(f"line {line} has {word[:40]!r}; OFFSET of {name} was wanted")
    x, y, z = (_number(take("an offset")[1], line, f"the offset of {name}") for _ in range(3))
    if end:
        return Joint(name, parent, (x, y, z), ())
    line, word = take("CHANNELS")
    if word != "CHANNELS":
        raise FlawError(f"line {line} has {word[:40]!r}; CHANNELS of {name} was wanted")
    count = _number(take("the number of channels")[1], line, f"the channels of {name}")
    if count not in range(0, 7):
        raise FlawError(f"line {line}: {name} has {count:g} channels; 0 to 6 were wanted")
    channels = tuple(take("a channel")[1] for _ in range(int(count)))
    unknown = [channel for channel in channels if channel not in _CHANNELS]
    if unknown or len(set(channels)) < len(channels):
        raise FlawError(
            f"line {line}: {name} has the channels {' '.join(channels)}; some of {', '.join(_CHANNELS)} wanted"
        )
    return Joint(name, parent, (x, y, z), channels)


def posed(bvh: Bvh) -> Captured:
    """World rotation and position of every joint in every frame, in the file's axes and units.

    A joint's rotations apply in the order of its channels, each about the axes that the ones before left:
    R = R1 R2 R3. Positions of joints other than the root replace their offset, as exporters that write them mean it.
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
                local = local @ _about(axis, np.deg2rad(value))
        if joint.parent < 0:
            rotations.append(local)
            positions.append(place)
        else:
            above = rotations[joint.parent]
            rotations.append(above @ local)
            positions.append(positions[joint.parent] + np.einsum("tij,tj->ti", above, place))
    return Captured(
        names=tuple(joint.name for joint in bvh.joints),
        parents=tuple(joint.parent for joint in bvh.joints),
        offsets=np.array([joint.offset for joint in bvh.joints]),
        rotations=np.stack(rotations, axis=1),
        positions=np.stack(positions, axis=1),
        fps=bvh.fps,
    )


def _about(axis: int, angle: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time 3 3"]:
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
        HIERARCHY with one ROOT, any order of channels for each joint, positions for any; MOTION with `Frames:`,
        `Frame Time:` and one line for each frame.

    Retargeting (`retargeting.py`) keeps the directions of bones exactly and solves the twist between the file's axes
    and ours, from the rest pose where that is a person and from the movement where it is not (LAFAN1). The path is
    scaled by leg length, and soles keep their clearance. Fingers are taken where three joints of each are named.

    Units and the up axis are guessed from the skeleton (the unit whose person is nearest to 1.7 m tall; the axis from
    feet to head), said in the notes, and can be given. The floor is where the soles are lowest, the 2nd percentile.

    Notes: `unit_m` (metres in a unit of the file), `stature` (metres), `mapped` (of our 22 body joints),
    `rest_pose` (1 where the file's rest pose is a person's).

    Args:
        root: Folder of the files; None is beside the films.
        up: "x", "y" or "z", with "-" before it where it points down; None guesses.
        unit: Metres in a unit of the file; None guesses.
        names: The file's joint names for ours, over those known: {"left_hip": "LThigh"}.
    """

    def __init__(
        self,
        *,
        root: str | None = None,
        up: str | None = None,
        unit: float | None = None,
        names: dict[str, str] | None = None,
    ) -> None:
        positive("unit", unit)
        if up is not None and up.removeprefix("-") not in ("x", "y", "z"):
            raise ValueError(f"up={up!r} was given; x, y, z, one of them with '-', or None was wanted. Correct it.")
        self._root = None if root is None else Path(root).expanduser()
        self._up, self._unit = up, unit
        self._names = dict(names or {})

    @property
    def fingerprint(self) -> str:
        """Version and settings."""
        settings = (self._up, self._unit, sorted(self._names.items()))
        return f"bvh-{_VERSION}-{digest_of(repr(settings))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The capture."""
        return found_recordings(record, [".bvh", ".BVH"], root=self._root)

    def load(self, record: Record) -> Reference:
        """The motion between the record's start and end, seen by a camera before it; quality is None (captured).

        Raises:
            FileNotFoundError: If there is no such file.
            UnusableClipError: If it is damaged, its joints are unknown, or nothing is in the interval.
        """
        path = recording_of(record, [".bvh", ".BVH"], root=self._root)
        with reading(path):
            captured = posed(parse_bvh(read_text(path)))
            which = named(captured.names, captured.parents, given=self._names)
            units = units_of(captured, which, up=self._up, unit=self._unit)
            first, last = frames_between(record, len(captured.rotations), captured.fps)
            motion, facts = retargeted(captured, which, units)
            motion = cut(motion, first, last)
        return replace(Reference(motion=motion, camera=overlooking(motion)), notes=_notes(units, facts))


def _notes(units: Units, facts: dict[str, float]) -> dict[str, float]:
    return {"unit_m": units.metres, "stature": units.stature, **facts}
