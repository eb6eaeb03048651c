"""Find the horizon of a picture in its straight lines: how the camera is pitched and rolled, and how sure that is.

Rooms, streets and shelves have edges along three directions at right angles, one of them up. A segment of the picture
and the camera's centre span a plane; an edge along a direction lies in it, so the plane's normal is at right angles to
that direction. The rotation under which most of the segments' length fits one of the three says where up is. Nothing
else is read from the picture: how high the camera stands is not in it.
"""

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.spatial.transform import Rotation

from synthaug.backgrounds.picture.floors import MAX_PITCH, MAX_ROLL, NoFloorError

SIDE = 640
"""Longest side in pixels of the picture in which segments are looked for."""
LEAST_LENGTH = 0.04
"""Length of a segment that counts, as a share of the picture's diagonal."""
MOST = 300
"""Segments that are looked at: the longest."""
LEAST_SEGMENTS = 12
"""Segments along the three directions, below which a picture has too few straight lines."""
LEAST_SHARE = 0.4
"""Share of the segments' length along the three directions, below which they are not what the picture is built of."""
MAX_DOUBT = 2.5
"""Degrees of doubt in pitch or roll from which a picture is shown flat: a person of 1.7 m leans by 7 cm."""
_COARSE = 3.0
"""Degrees between the rotations that are tried first."""
_WIDE, _NARROW = 3.0, 0.8
"""Degrees by which a segment may miss its direction: of the rotations tried first, and in the end."""
_DRAWS = 24
"""Draws of the segments, of which the doubt is the spread."""
_FEW = 120
"""Segments that the first search looks at: the longest."""
_STEPS = 12
_CHUNK = 1000
"""Rotations that are tried at once, so that their misses stay within a few megabytes."""

Normals = Float[np.ndarray, "segment 3"]
Weights = Float[np.ndarray, " segment"]
Axes = Float[np.ndarray, "3 3"]
"""Columns: right, up and back of the place, camera frame (x right, y down, z forward)."""


@dataclass(frozen=True, eq=False)
class Horizon:
    """Which way is up in a picture.

    Attributes:
        up: Unit vector, camera frame (x right, y down, z forward).
        doubt_deg: Standard deviations of pitch and of roll, degrees.
    """

    up: Float[np.ndarray, "3"]
    doubt_deg: tuple[float, float]


def find_horizon(
    picture: UInt8[np.ndarray, "rows columns 3"], K: Float[np.ndarray, "3 3"], *, focal_doubt: float = 0.0
) -> Horizon:
    """Which way is up, by the picture's straight lines.

    Args:
        picture: sRGB.
        K: Its intrinsics.
        focal_doubt: Standard deviation of its focal length, as a share.

    Raises:
        NoFloorError: If the picture has too few straight lines, or they leave too much doubt.

    Source:
        Coughlan and Yuille, "Manhattan world", ICCV 1999 (three directions at right angles); segments by Grompone von
        Gioi and others, "LSD: a fast line segment detector", 2010; doubt by Efron's bootstrap, 1979.
    """
    normals, lengths = find_normals(picture, K)
    if len(normals) < LEAST_SEGMENTS:
        raise NoFloorError(
            f"Expected {LEAST_SEGMENTS} straight lines in a picture, got {len(normals)}: they do not say where the "
            "floor is. It is shown flat."
        )
    axes = _refine(_search(normals, lengths), normals, lengths, _WIDE)
    axes = _refine(axes, normals, lengths, _NARROW)
    along = _misses(axes, normals).min(axis=1) < 2 * _NARROW
    share = float(lengths[along].sum() / lengths.sum())
    if along.sum() < LEAST_SEGMENTS or share < LEAST_SHARE:
        raise NoFloorError(
            f"Expected {LEAST_SHARE:.0%} of a picture's straight lines along three directions at right angles, got "
            f"{share:.0%}: they do not say where the floor is. It is shown flat."
        )
    doubt = _find_doubt(axes, normals, lengths)
    # A pitch is read off as an arc tangent of rows for one of the focal length.
    by_focal = 0.5 * math.degrees(focal_doubt) * math.sin(2 * math.radians(pitch_and_roll(axes[:, 1])[0]))
    doubt = math.hypot(doubt[0], by_focal), doubt[1]
    if max(doubt) > MAX_DOUBT:
        raise NoFloorError(
            f"Expected straight lines that tell pitch and roll to {MAX_DOUBT} degrees, got a doubt of {doubt[0]:.1f} "
            f"and {doubt[1]:.1f}. It is shown flat."
        )
    return Horizon(axes[:, 1], doubt)


def find_normals(picture: UInt8[np.ndarray, "rows columns 3"], K: Float[np.ndarray, "3 3"]) -> tuple[Normals, Weights]:
    """Normals of the planes through the camera and a picture's segments, and the segments' lengths, longest first."""
    rows, columns = picture.shape[:2]
    scale = min(SIDE / max(rows, columns), 1.0)
    size = (max(round(columns * scale), 1), max(round(rows * scale), 1))
    gray = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    found = cv2.createLineSegmentDetector().detect(gray)[0]
    if found is None:
        return np.zeros((0, 3)), np.zeros(0)
    # OpenCV's corners are the centres of pixels, ours their edges.
    ends = (found.reshape(-1, 2, 2).astype(np.float64) + 0.5) * [columns / size[0], rows / size[1]]
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) / math.hypot(rows, columns)
    kept = np.argsort(-lengths, kind="stable")[:MOST]
    kept = kept[lengths[kept] > LEAST_LENGTH]
    rays = np.concatenate([ends[kept], np.ones((len(kept), 2, 1))], axis=2) @ np.linalg.inv(K).T
    normals = np.cross(rays[:, 0], rays[:, 1])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True), lengths[kept]


def pitch_and_roll(up: Float[np.ndarray, "3"]) -> tuple[float, float]:
    """Degrees by which a camera looks down, and by which the picture's horizon falls to the right."""
    pitch = math.degrees(math.asin(min(max(-float(up[2]), -1.0), 1.0)))
    return pitch, math.degrees(math.atan2(float(up[0]), -float(up[1])))


def _turn(pitch: float, roll: float, yaw: float) -> Axes:
    """The axes of a place as a camera with this pitch and roll sees them, turned by yaw about up; degrees."""
    level = np.diag([1.0, -1.0, -1.0])  # of a level camera: right, up and back
    tilt = Rotation.from_euler("zx", [roll, -pitch], degrees=True).as_matrix()
    return np.asarray(tilt @ level @ Rotation.from_euler("y", yaw, degrees=True).as_matrix())


def _misses(axes: Float[np.ndarray, "*try 3 3"], normals: Normals) -> Float[np.ndarray, "*try segment 3"]:
    """Degrees by which segments miss each of the directions."""
    return np.degrees(np.arcsin(np.clip(np.abs(normals @ axes), 0, 1)))


def _score(misses: Float[np.ndarray, "*try segment 3"], lengths: Weights, width: float) -> Float[np.ndarray, "*try"]:
    """Length of the segments along a direction; those that miss it by more than twice `width` count for nothing."""
    return np.asarray(np.clip(1 - (misses.min(axis=-1) / (2 * width)) ** 2, 0, None) ** 2 @ lengths)


@functools.cache
def _list_turns() -> Float[np.ndarray, "try 3 3"]:
    """All rotations in coarse steps; the same for every picture."""
    pitches, rolls = (np.arange(-most, most + 1e-6, _COARSE) for most in (MAX_PITCH, MAX_ROLL))
    yaws = np.arange(0, 90, _COARSE)
    return np.stack([_turn(pitch, roll, yaw) for pitch in pitches for roll in rolls for yaw in yaws])


def _search(normals: Normals, lengths: Weights) -> Axes:
    """The best of all rotations in coarse steps."""
    turns = _list_turns()
    scores = [
        _score(_misses(turns[first : first + _CHUNK], normals[:_FEW]), lengths[:_FEW], _WIDE)
        for first in range(0, len(turns), _CHUNK)
    ]
    return np.asarray(turns[int(np.concatenate(scores).argmax())])


def _refine(axes: Axes, normals: Normals, lengths: Weights, width: float) -> Axes:
    """The rotation that the segments along its directions fit best; the farther one misses, the less it counts.

    A small turn w changes n . a by (a x n) . w, which is linear in w.
    """
    for _ in range(_STEPS):
        misses = _misses(axes, normals)
        nearest = misses.argmin(axis=1)
        weight = lengths * np.clip(1 - (misses.min(axis=1) / (2 * width)) ** 2, 0, None) ** 2
        directions = axes.T[nearest]
        off = (normals * directions).sum(axis=1)
        slopes = np.cross(directions, normals)
        normal_matrix = (slopes * weight[:, None]).T @ slopes + 1e-9 * np.eye(3)
        turn = -np.linalg.solve(normal_matrix, slopes.T @ (weight * off))
        axes = np.asarray(Rotation.from_rotvec(turn).as_matrix() @ axes)
    return axes


def _find_doubt(axes: Axes, normals: Normals, lengths: Weights) -> tuple[float, float]:
    """Standard deviations of pitch and roll over draws of the segments, degrees."""
    rng = np.random.default_rng(0)  # the same picture gives the same doubt
    draws: Int[np.ndarray, "draw segment"] = rng.integers(len(normals), size=(_DRAWS, len(normals)))
    found = [pitch_and_roll(_refine(axes, normals[draw], lengths[draw], _NARROW)[:, 1]) for draw in draws]
    pitch, roll = np.std(found, axis=0)
    return float(pitch), float(roll)
