"""Keep planted feet planted: the compiled loops of `retargeting`, which re-enacts a motion on another body.

Serial, without the interpreter's lock, in double precision. `plant_feet` goes through these steps:

1. `_pose_both`: both bodies at once, since all joints have the same rotations.
2. `find_standing`: which soles stand, by the first body.
3. `_ankle_goals`: where the second body's ankles should be; `_lower_pelvis`: how far it sinks to reach that.
4. `_bend_legs`, `_settle_body`: hips, knees and ankles, and the height of a body that rests on more than its feet.
"""

from typing import no_type_check

import numba
import numpy as np

from synthaug.body.rotations import write_axis_angles, write_matrices, write_quats
from synthaug.body.skeleton import BEARING_JOINTS, JOINT, PARENTS, SUPPORTS

_PARENTS = np.array(PARENTS)
_SIDES = ("left", "right")
LEGS = np.array([[JOINT[f"{side}_{part}"] for part in ("hip", "knee", "ankle", "foot")] for side in _SIDES])
_FLESH = np.array([SUPPORTS["left_ankle"], SUPPORTS["left_foot"]])
_MAX_STANDING_SPEED = 0.3
"""Metres per second; standing feet are slower in all captures, and swinging feet are ten times as fast."""
_MAX_STANDING_CLEARANCE = 0.05
"""Largest clearance of a standing foot, metres; captures leave this much under planted soles."""
_MAX_STRETCH = 0.999
"""Share of its length to which a leg is stretched at most."""
_RESTING = np.array([JOINT[name] for name in SUPPORTS])
_THICKNESS = np.array(list(SUPPORTS.values()))
_LEG_PART = np.array([int(np.flatnonzero(LEGS[:, 1:].ravel() == k)[0]) if k in LEGS[:, 1:] else -1 for k in _RESTING])
"""Part of each resting joint: 0 to 2 for knee, ankle and ball of the left leg, 3 to 5 of the right, -1 for others."""
_FOOT_PART = np.where(_LEG_PART % 3 > 0, _LEG_PART, -1)


@no_type_check
@numba.njit(nogil=True, cache=True)
def _pose_both(pose, paths, skeletons, size):
    """Pose two bodies at once, since all joints have the same rotations.

    Returns ankle and ball on the first, [time, side, point, 3], joint to world on the second, for `BEARING_JOINTS`
    alone, and heights over the floor, [time, 3]: of the first's lowest point, of its lowest without the feet, of the
    second's.
    """
    time = len(pose)
    feet, heights = np.empty((time, 2, 2, 3)), np.full((time, 3), np.inf)
    T = np.zeros((time, pose.shape[1], 4, 4))
    R, places = np.empty((1, 3, 3)), np.empty((pose.shape[1], 3))
    for t in range(time):
        for j in BEARING_JOINTS:
            write_matrices(pose[t, j : j + 1], R)
            p = _PARENTS[j]
            T[t, j, 3, 3] = 1
            if p < 0:
                T[t, j, :3, :3], T[t, j, :3, 3], places[j] = R[0], paths[1, t], paths[0, t]
                continue
            for r in range(3):
                ours, theirs = places[p, r], T[t, p, r, 3]
                for c in range(3):
                    ours += T[t, p, r, c] * (skeletons[0, j, c] - skeletons[0, p, c])
                    theirs += T[t, p, r, c] * (skeletons[1, j, c] - skeletons[1, p, c])
                    turned = T[t, p, r, 0] * R[0, 0, c] + T[t, p, r, 1] * R[0, 1, c]
                    T[t, j, r, c] = turned + T[t, p, r, 2] * R[0, 2, c]
                places[j, r], T[t, j, r, 3] = ours, theirs
        for k in range(len(_RESTING)):
            own = places[_RESTING[k], 1] - _THICKNESS[k]
            heights[t, 0] = min(heights[t, 0], own)
            if _FOOT_PART[k] < 0:
                heights[t, 1] = min(heights[t, 1], own)
            heights[t, 2] = min(heights[t, 2], T[t, _RESTING[k], 1, 3] - size * _THICKNESS[k])
        for side in range(2):
            for k in range(2):
                feet[t, side, k] = places[LEGS[side, 2 + k]]
    return feet, T, heights


@no_type_check
@numba.njit(nogil=True, cache=True)
def plant_feet(motion, skeletons, numbers, frames, out):
    """See `retargeting.reenact`: write all angles and the path, [time, 55, 3] and [time, 3].

    `numbers` are the ratio of legs, the ratio of paths and the frame rate, `frames` those of `_count_frames` there.
    """
    (pose, path, fixed), (size, stride, fps), (changed, moved) = motion, numbers, out
    time = len(pose)
    paths = np.empty((2, time, 3))
    for t in range(time):
        for c in range(3):
            paths[0, t, c] = path[t, c]
            paths[1, t, c] = path[t, c] * (size if c == 1 else stride) + (0.0 if c == 1 else (1 - stride) * fixed[c])
    bodies = np.empty((2, pose.shape[1], 3))
    bodies[0], bodies[1] = skeletons[0], skeletons[1]
    feet, T, heights = _pose_both(pose, paths, bodies, size)
    turned, rise = _keep_feet(T, feet, heights, (fps, size), frames)
    quat, angles = np.empty((3, 4)), np.empty((3, 3))
    for t in range(time):
        for side in range(2):
            write_quats(turned[t, side], quat)
            write_axis_angles(quat, angles)
            for k in range(3):
                for c in range(3):
                    changed[t, LEGS[side, k], c] = angles[k, c]
        moved[t, 0], moved[t, 1], moved[t, 2] = paths[1, t, 0], paths[1, t, 1] + rise[t], paths[1, t, 2]


@no_type_check
@numba.njit(nogil=True, cache=True)
def _keep_feet(T, feet, heights, numbers, frames):
    """Rotations of hips, knees and ankles, [time, side, 3, 3, 3], and how far the body rises, [time]."""
    (fps, size), (release, width, settling), time = numbers, frames, len(T)
    points = find_standing(feet, fps)
    own, clearance = np.empty((time, 2, 2, 3)), np.empty((time, 2, 2))
    off = _floor_error(feet, points)
    lift, resting, level = np.empty(time), np.empty(time, np.bool_), np.empty((time, 2))
    for t in range(time):
        lift[t] = heights[t, 0] - heights[t, 2] - off * size
        level[t, 0], level[t, 1] = heights[t, 0] - off * size, heights[t, 1] - off * size
        resting[t] = level[t, 1] < _MAX_STANDING_CLEARANCE
        for j in BEARING_JOINTS:
            T[t, j, 1, 3] += lift[t]
        for side in range(2):
            for k in range(2):
                clearance[t, side, k] = size * (feet[t, side, k, 1] - _FLESH[k] - off)
                for c in range(3):
                    own[t, side, k, c] = T[t, LEGS[side, 2 + k], c, 3]
    steps = (release, 2 * _MAX_STANDING_SPEED / fps + 0.05)
    goals = _ankle_goals(own, points, clearance, resting, size * _FLESH, steps)
    drop = _lower_pelvis(goals, T, width)
    rotations, legs = np.empty((time, 2, 3, 3, 3)), np.empty((time, 2, 3))
    for t in range(time):
        for j in BEARING_JOINTS:
            T[t, j, 1, 3] -= drop[t]
    _bend_legs(T, LEGS, goals, rotations, legs)
    down = _settle_body(T, legs, level, size, settling)
    for t in range(time):
        lift[t] -= drop[t] + down[t]
    return rotations, lift


@no_type_check
@numba.njit(nogil=True, cache=True)
def _floor_error(feet, points):
    """Median height of standing points: the floor of a capture is a few centimetres off. 0 if none stands."""
    found, count = np.empty(points.size), 0
    for t in range(len(feet)):
        for side in range(2):
            for k in range(2):
                if points[t, side, k]:
                    found[count] = feet[t, side, k, 1] - _FLESH[k]
                    count += 1
    return np.median(found[:count]) if count else 0.0


@no_type_check
@numba.njit(nogil=True, cache=True)
def find_standing(feet, fps):
    """Find which points stand, [time, side, point]."""
    time = len(feet)
    standing, slow = np.zeros((time, 2, 2), np.bool_), np.zeros((time, 2, 2), np.bool_)
    for side in range(2):
        for k in range(2):
            for t in range(time):
                least = 0.0 if time == 1 else np.inf
                for a, b in ((t - 1, t), (t, t + 1)):
                    if a >= 0 and b < time:
                        x = feet[b, side, k, 0] - feet[a, side, k, 0]
                        z = feet[b, side, k, 2] - feet[a, side, k, 2]
                        least = min(least, np.sqrt(x * x + z * z) * fps)
                low = feet[t, side, k, 1] - _FLESH[k] < _MAX_STANDING_CLEARANCE
                slow[t, side, k] = low and least < _MAX_STANDING_SPEED
                standing[t, side, k] = slow[t, side, k]
            for t in range(1, time - 1):
                # A low point between two standing frames stands, too.
                low = feet[t, side, k, 1] - _FLESH[k] < _MAX_STANDING_CLEARANCE
                standing[t, side, k] |= slow[t - 1, side, k] and slow[t + 1, side, k] and low
    return standing


@no_type_check
@numba.njit(nogil=True, cache=True)
def _ankle_goals(own, standing, clearance, resting, flesh, steps):
    """Goals of the ankles, [time, side, 3]: their own path, shifted so that standing points do not move.

    `own` and `standing` hold heel and ball of both feet, `clearance` their original height above the floor, `resting`
    the frames in which other parts than feet are on the floor. `steps` are the frames of a release, and a stride.
    """
    time, (release, stride) = len(own), steps
    goals = own[:, :, 0].copy()
    point = np.empty(time, np.int64)
    for side in range(2):
        for t in range(time):
            # If both stand, the ball is held, since heels leave first.
            point[t] = 1 if standing[t, side, 1] else (0 if standing[t, side, 0] else -1)
            lowest = min(own[t, side, 0, 1] - flesh[0], own[t, side, 1, 1] - flesh[1])
            if point[t] >= 0 and not resting[t]:
                allowed = max(0.0, min(clearance[t, side, 0], clearance[t, side, 1]))
                goals[t, side, 1] += min(allowed, _MAX_STANDING_CLEARANCE) - lowest
            else:
                goals[t, side, 1] += max(0.0, -lowest)
        shift = _hold_in_place(own[:, side], point, stride)
        _fade_holds(shift, point, release)
        for t in range(time):
            goals[t, side, 0] += shift[t, 0]
            goals[t, side, 2] += shift[t, 1]
    return goals


@no_type_check
@numba.njit(nogil=True, cache=True)
def _has_stepped(path, t, point, stride):
    """Whether a foot moved farther than a stride since the frame before."""
    if t == 0 or point < 0:
        return False
    x, z = path[t, point, 0] - path[t - 1, point, 0], path[t, point, 2] - path[t - 1, point, 2]
    return x * x + z * z > stride * stride


@no_type_check
@numba.njit(nogil=True, cache=True)
def _hold_in_place(path, point, stride):
    """Shifts of a foot's path, [time, 2], that hold it in place while it stands on one point.

    A foot that moved farther than a stride between two frames has stepped, or the clip has started over.
    """
    time = len(point)
    shift = np.zeros((time, 2))
    first = 0
    while first < time:
        last = first + 1
        while last < time and point[last] == point[first] and not _has_stepped(path, last, point[first], stride):
            last += 1
        k = point[first]
        if k >= 0:
            rolls = first > 0 and point[first - 1] >= 0 and not _has_stepped(path, first, k, stride)
            for c in range(2):
                if rolls:
                    # From heel to ball, continue from where the heel held the foot, so that it does not jump.
                    place = path[first, k, 2 * c] + shift[first - 1, c]
                else:
                    place = path[first:last, k, 2 * c].mean()
                for t in range(first, last):
                    shift[t, c] = place - path[t, k, 2 * c]
        first = last
    return shift


@no_type_check
@numba.njit(nogil=True, cache=True)
def _fade_holds(shift, point, release):
    """Fade a foot that leaves or approaches the ground between its own path and its held position."""
    held, time = shift.copy(), len(point)
    for t in range(time):
        if point[t] >= 0:
            continue
        for k in range(1, release + 1):
            share = 0.5 * (1 + np.cos(np.pi * k / (release + 1)))
            for at, inner in ((t - k, t - k + 1), (t + k, t + k - 1)):
                if 0 <= at < time and point[at] >= 0 and point[inner] < 0:
                    shift[t] += share * held[at]


@no_type_check
@numba.njit(nogil=True, cache=True)
def _lower_pelvis(goals, T, width):
    """Metres by which the pelvis sinks in each frame so that both legs reach, smooth over time."""
    time = len(goals)
    need, peaks, drop = np.zeros(time), np.zeros(time), np.zeros(time)
    for t in range(time):
        for side in range(2):
            reach = 0.0
            for k in range(2):
                bone = T[t, LEGS[side, k + 1], :3, 3] - T[t, LEGS[side, k], :3, 3]
                reach += _MAX_STRETCH * np.sqrt((bone * bone).sum())
            away = goals[t, side] - T[t, LEGS[side, 0], :3, 3]
            # The largest height of the hip above a goal at this horizontal distance.
            highest = np.sqrt(max(reach * reach - away[0] * away[0] - away[2] * away[2], 0.0))
            # Beyond 10 cm the foot is out of reach, and not only the knee a little too straight.
            need[t] = max(need[t], min(-away[1] - highest, 0.1))
    for t in range(time):
        for s in range(max(0, t - width), min(time, t + width + 1)):
            peaks[t] = max(peaks[t], need[s])
    for t in range(time):
        low, high = max(0, t - width), min(time, t + width + 1)
        drop[t] = peaks[low:high].mean()
    return drop


@no_type_check
@numba.njit(nogil=True, cache=True)
def _settle_body(T, legs, heights, size, width):
    """Metres by which a body that rests on more than its feet sinks, so that it regains its original clearance.

    `legs` holds the heights of knee, ankle and ball of both legs after they were moved, `heights` those of the source.
    """
    time = len(T)
    down, share, result = np.zeros(time), np.zeros(time), np.zeros(time)
    for t in range(time):
        low = np.inf
        for k in range(len(_RESTING)):
            at = T[t, _RESTING[k], 1, 3] if _LEG_PART[k] < 0 else legs[t, _LEG_PART[k] // 3, _LEG_PART[k] % 3]
            low = min(low, at - size * _THICKNESS[k])
        down[t] = low - max(heights[t, 0], 0.0)
        share[t] = 1.0 if heights[t, 1] < _MAX_STANDING_CLEARANCE else 0.0
    for t in range(time):
        # Fade in and out where the body meets the floor.
        for s in range(max(0, t - width), min(time, t + width + 1)):
            result[t] = max(result[t], share[s] * (1 - abs(s - t) / (width + 1)))
        result[t] *= down[t]
    return result


@no_type_check
@numba.njit(nogil=True, cache=True)
def _rotation_between(a, b, R):
    """Write the smallest rotation from direction a to direction b."""
    a, b = a / np.sqrt((a * a).sum()), b / np.sqrt((b * b).sum())
    x, y, z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    c = max((a * b).sum(), -0.999)
    f = 1 / (1 + c)
    R[0, 0], R[0, 1], R[0, 2] = c + f * x * x, f * x * y - z, f * x * z + y
    R[1, 0], R[1, 1], R[1, 2] = f * x * y + z, c + f * y * y, f * y * z - x
    R[2, 0], R[2, 1], R[2, 2] = f * x * z - y, f * y * z + x, c + f * z * z


@no_type_check
@numba.njit(nogil=True, cache=True)
def _rotation_about(axis, angle, R):
    """Write the rotation about a unit axis."""
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = axis[0], axis[1], axis[2]
    f = 1 - c
    R[0, 0], R[0, 1], R[0, 2] = c + f * x * x, f * x * y - s * z, f * x * z + s * y
    R[1, 0], R[1, 1], R[1, 2] = f * x * y + s * z, c + f * y * y, f * y * z - s * x
    R[2, 0], R[2, 1], R[2, 2] = f * x * z - s * y, f * y * z + s * x, c + f * z * z


@no_type_check
@numba.njit(nogil=True, cache=True)
def _bend_legs(T, legs, goals, rotations, heights):
    """Write local rotations of hip, knee and ankle that bring each ankle to its goal, and the resulting heights.

    The knee bends about its own axis until the leg's length equals the distance to the goal; then the leg swings there.
    """
    swing, bend, upper = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    lower, both = np.empty((3, 3)), np.empty((3, 3))
    for t in range(T.shape[0]):
        for side in range(2):
            hip, knee, ankle = legs[side, 0], legs[side, 1], legs[side, 2]
            start = T[t, hip, :3, 3]
            thigh, shin = T[t, knee, :3, 3] - start, T[t, ankle, :3, 3] - T[t, knee, :3, 3]
            a, b = np.sqrt((thigh * thigh).sum()), np.sqrt((shin * shin).sum())
            way = goals[t, side] - start
            far = min(max(np.sqrt((way * way).sum()), abs(a - b) + 1e-4), 0.9995 * (a + b))
            axis = T[t, hip, :3, 0].copy()  # knees flex about x of the thigh
            axis -= (axis * thigh).sum() / (a * a) * thigh
            axis /= np.sqrt((axis * axis).sum())
            flat = shin - (shin * axis).sum() * axis
            now = np.arctan2((flat * np.cross(axis, thigh)).sum() / a, (flat * thigh).sum() / a)
            aside = (shin * axis).sum()
            inner = np.sqrt(max(b * b - aside * aside, 1e-12))
            cosine = (far * far - aside * aside - a * a - inner * inner) / (2 * a * inner)
            goal_bend = np.arccos(min(max(cosine, -1.0), 1.0))
            _rotation_about(axis, goal_bend - now, bend)
            _rotation_between(thigh + _apply(bend, shin), way, swing)
            _multiply(swing, T[t, hip], upper)
            _multiply(swing, bend, lower)
            _multiply(lower, T[t, knee], both)
            heights[t, side, 0] = start[1] + _apply(swing, thigh)[1]
            heights[t, side, 1] = heights[t, side, 0] + _apply(swing, _apply(bend, shin))[1]
            heights[t, side, 2] = heights[t, side, 1] + T[t, legs[side, 3], 1, 3] - T[t, ankle, 1, 3]
            _multiply_transposed(T[t, 0], upper, rotations[t, side, 0])
            _multiply_transposed(upper, both, rotations[t, side, 1])
            _multiply_transposed(both, T[t, ankle], rotations[t, side, 2])


@no_type_check
@numba.njit(nogil=True, cache=True)
def _apply(A, x):
    """The product of a matrix and a vector."""
    out = np.empty(3)
    for r in range(3):
        out[r] = A[r, 0] * x[0] + A[r, 1] * x[1] + A[r, 2] * x[2]
    return out


@no_type_check
@numba.njit(nogil=True, cache=True)
def _multiply(one, other, out):
    """Write the product of the upper left 3 x 3 parts; a library call costs twenty times as much."""
    for r in range(3):
        for c in range(3):
            out[r, c] = one[r, 0] * other[0, c] + one[r, 1] * other[1, c] + one[r, 2] * other[2, c]


@no_type_check
@numba.njit(nogil=True, cache=True)
def _multiply_transposed(one, other, out):
    """Write the product of one transposed and other."""
    for r in range(3):
        for c in range(3):
            out[r, c] = one[0, r] * other[0, c] + one[1, r] * other[1, c] + one[2, r] * other[2, c]
