"""Minimise the energy of one clip's pose in compiled code: the fast twin of `energy.energy_plain`, with its gradient.

Loops over frames and joints in single precision with a hand-written gradient, inside limited-memory BFGS. A whole clip
is fitted without returning to Python.
"""

from typing import NamedTuple, no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

_ARMIJO = 1e-4
"""Share of the predicted decrease that a step must achieve (Nocedal and Wright, section 3.1)."""
_MAX_HALVINGS = 8
"""Largest number of halvings of a step before the descent ends."""
_HISTORY = 10
"""Number of stored pairs of steps and gradient changes."""
_MIN_GAIN = 1e-6
"""Smallest relative decrease of the energy; descent ends after two smaller ones in a row."""


class EnergyTerms(NamedTuple):
    """Everything that the energy of one clip depends on, in the types that the kernel needs.

    Without a sighting `pixels` has no frames; without a floor `floor` lies a kilometre below.
    """

    points: NDArray[np.float32]  # [time, marker, 3]
    weights: NDArray[np.float32]  # [time, marker], 1 / m^2
    limits: NDArray[np.float32]  # [time], metres
    pixels: NDArray[np.float32]  # [time or 0, marker, 2]
    pixel_weights: NDArray[np.float32]  # [time or 0, marker], 1 / m^2
    pixel_limits: NDArray[np.float32]  # [time or 0], metres
    metres_per_pixel: NDArray[np.float32]  # [time or 0]
    viewmats: NDArray[np.float32]  # [time or 0, 4, 4]
    Ks: NDArray[np.float32]  # [time or 0, 3, 3]
    floor: NDArray[np.float32]  # [4]
    rates: NDArray[np.float32]  # [2]: (fps^2 / usual acceleration)^2, of joints and of rotations
    bones: NDArray[np.float32]  # [22, 3], from each joint's parent to it at rest
    parents: NDArray[np.int64]  # [22]
    offsets: NDArray[np.float32]  # [marker, 3]
    frames: NDArray[np.int64]  # [marker], joint that each offset turns with
    starts: NDArray[np.int64]  # [marker + 1], into holders and shares
    holders: NDArray[np.int64]  # [entry], joints
    shares: NDArray[np.float32]  # [entry]
    stiffness: NDArray[np.float32]  # [22]
    goals: NDArray[np.float32]  # [time, 22, 3, 3], rotations against the parents
    pulls: NDArray[np.float32]  # [time, 22], weight of each goal; the pelvis has none
    hinges: NDArray[np.int64]  # [4], knees first
    hinge_axes: NDArray[np.float32]  # [4, 3]
    hinge_bones: NDArray[np.float32]  # [4, 3]
    hinge_bends: NDArray[np.float32]  # [4, 3]
    supports: NDArray[np.int64]  # [support]
    flesh: NDArray[np.float32]  # [support], metres
    tightness: NDArray[np.float32]  # [2]: 1 / deviation^2 of hinges and of the floor


class _Pose(NamedTuple):
    """Every joint in every frame, or the gradient with respect to it."""

    local: NDArray[np.float32]  # [time, 22, 3, 3], against the parent
    world: NDArray[np.float32]  # [time, 22, 3, 3]; of gradients [22, 3, 3], one frame at a time
    place: NDArray[np.float32]  # [time, 22, 3]


class Waves(NamedTuple):
    """Unknowns in which the energy is nearly round: rows = start + cosines.T @ (scales * unknowns)."""

    cosines: NDArray[np.float32]  # [time, time]
    scales: NDArray[np.float32]  # [time, 135]


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath=True)
def _pose_joints(rows, terms, pose):
    """Write local rotations, world rotations and world positions of every joint from rows of unknowns."""
    for t in range(rows.shape[0]):
        for j in range(22):
            k = 6 * j
            a0, a1, a2 = rows[t, k], rows[t, k + 1], rows[t, k + 2]
            b0, b1, b2 = rows[t, k + 3], rows[t, k + 4], rows[t, k + 5]
            n = np.float32(1) / np.sqrt(a0 * a0 + a1 * a1 + a2 * a2)
            a0, a1, a2 = a0 * n, a1 * n, a2 * n
            c = a0 * b0 + a1 * b1 + a2 * b2
            b0, b1, b2 = b0 - c * a0, b1 - c * a1, b2 - c * a2
            n = np.float32(1) / np.sqrt(b0 * b0 + b1 * b1 + b2 * b2)
            b0, b1, b2 = b0 * n, b1 * n, b2 * n
            r = pose.local[t, j]
            r[0, 0], r[1, 0], r[2, 0] = a0, a1, a2
            r[0, 1], r[1, 1], r[2, 1] = b0, b1, b2
            r[0, 2], r[1, 2], r[2, 2] = a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0
            p = terms.parents[j]
            if p < 0:
                for i in range(3):
                    pose.place[t, j, i] = rows[t, 132 + i]
                    for c_ in range(3):
                        pose.world[t, j, i, c_] = r[i, c_]
                continue
            for i in range(3):
                g0, g1, g2 = pose.world[t, p, i, 0], pose.world[t, p, i, 1], pose.world[t, p, i, 2]
                pose.place[t, j, i] = (
                    pose.place[t, p, i] + g0 * terms.bones[j, 0] + g1 * terms.bones[j, 1] + g2 * terms.bones[j, 2]
                )
                for c_ in range(3):
                    pose.world[t, j, i, c_] = g0 * r[0, c_] + g1 * r[1, c_] + g2 * r[2, c_]


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath=True)
def _acceleration_energy(terms, pose, slope):
    """Energy of accelerations, quadratic for usual ones and linear for impacts; adds its gradient."""
    total = 0.0
    one, two = np.float32(1), np.float32(2)
    going, turning = terms.rates[0], terms.rates[1] / two
    for t in range(1, len(pose.place) - 1):
        for j in range(22):
            s = np.float32(0)
            for i in range(3):
                bend = pose.place[t + 1, j, i] - two * pose.place[t, j, i] + pose.place[t - 1, j, i]
                s += bend * bend
            root = np.sqrt(one + s * going)
            total += two * (root - one)
            f = two * going / root
            for i in range(3):
                g = f * (pose.place[t + 1, j, i] - two * pose.place[t, j, i] + pose.place[t - 1, j, i])
                slope.place[t + 1, j, i] += g
                slope.place[t, j, i] -= two * g
                slope.place[t - 1, j, i] += g
            s = np.float32(0)
            for i in range(3):
                for c in range(3):
                    wring = pose.local[t + 1, j, i, c] - two * pose.local[t, j, i, c] + pose.local[t - 1, j, i, c]
                    s += wring * wring
            root = np.sqrt(one + s * turning)
            total += two * (root - one)
            f = two * turning / root
            for i in range(3):
                for c in range(3):
                    g = f * (pose.local[t + 1, j, i, c] - two * pose.local[t, j, i, c] + pose.local[t - 1, j, i, c])
                    slope.local[t + 1, j, i, c] += g
                    slope.local[t, j, i, c] -= two * g
                    slope.local[t - 1, j, i, c] += g
    return total


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath=True)
def _write_errors(t, terms, pose, error):
    """Write the distances of one frame's markers from the measured points."""
    for m in range(len(terms.frames)):
        f = terms.frames[m]
        for i in range(3):
            at = np.float32(0)
            for e in range(terms.starts[m], terms.starts[m + 1]):
                at += terms.shares[e] * pose.place[t, terms.holders[e], i]
            for c in range(3):
                at += pose.world[t, f, i, c] * terms.offsets[m, c]
            error[m, i] = at - terms.points[t, m, i]


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath=True)
def _pass_to_joints(t, terms, slope, pull):
    """Add the gradient with respect to one frame's markers to that of the joints that carry them."""
    for m in range(len(terms.frames)):
        f = terms.frames[m]
        for i in range(3):
            for e in range(terms.starts[m], terms.starts[m + 1]):
                slope.place[t, terms.holders[e], i] += terms.shares[e] * pull[m, i]
            for c in range(3):
                slope.world[f, i, c] += pull[m, i] * terms.offsets[m, c]


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath=True)
def _marker_energy(t, terms, pose, slope, error, pull):
    """Energy of one frame's markers; adds its gradient. `error` and `pull` are buffers of [marker, 3]."""
    total = 0.0
    one, two = np.float32(1), np.float32(2)
    sighted = len(terms.pixels) > 0
    _write_errors(t, terms, pose, error)
    pull[:] = 0
    mass = np.float32(1e-9)
    middle, sum0, sum1, sum2 = np.zeros(3, np.float32), np.float32(0), np.float32(0), np.float32(0)
    for m in range(len(terms.frames)):
        w = terms.weights[t, m]
        mass += w
        for i in range(3):
            middle[i] += w * error[m, i]
    # With a picture, position comes from the picture, and points determine only the shape.
    middle *= one / mass if sighted else np.float32(0)
    tight = one / (terms.limits[t] * terms.limits[t])
    for m in range(len(terms.frames)):
        w = terms.weights[t, m]
        e0, e1, e2 = error[m, 0] - middle[0], error[m, 1] - middle[1], error[m, 2] - middle[2]
        s = e0 * e0 + e1 * e1 + e2 * e2
        calm = one / (one + s * tight)
        total += w * s * calm
        h = two * w * calm * calm
        pull[m, 0], pull[m, 1], pull[m, 2] = h * e0, h * e1, h * e2
        sum0, sum1, sum2 = sum0 + h * e0, sum1 + h * e1, sum2 + h * e2
    if sighted:
        for m in range(len(terms.frames)):
            share = terms.weights[t, m] / mass
            pull[m, 0] -= share * sum0
            pull[m, 1] -= share * sum1
            pull[m, 2] -= share * sum2
        total += _pixel_energy(t, terms, error, pull)
    _pass_to_joints(t, terms, slope, pull)
    return total


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath=True)
def _pixel_energy(t, terms, error, pull):
    """Energy of one frame's pixels; adds its gradient to `pull`."""
    total = 0.0
    one, two = np.float32(1), np.float32(2)
    view, K = terms.viewmats[t], terms.Ks[t]
    tight = one / (terms.pixel_limits[t] * terms.pixel_limits[t])
    scale = terms.metres_per_pixel[t]
    for m in range(len(terms.frames)):
        w = terms.pixel_weights[t, m]
        if w == 0:
            continue
        x = error[m, 0] + terms.points[t, m, 0]
        y = error[m, 1] + terms.points[t, m, 1]
        z = error[m, 2] + terms.points[t, m, 2]
        depth = view[2, 0] * x + view[2, 1] * y + view[2, 2] * z + view[2, 3]
        if depth <= np.float32(0.05):
            continue
        q0 = (view[0, 0] * x + view[0, 1] * y + view[0, 2] * z + view[0, 3]) / depth
        q1 = (view[1, 0] * x + view[1, 1] * y + view[1, 2] * z + view[1, 3]) / depth
        a0 = (K[0, 0] * q0 + K[0, 1] * q1 + K[0, 2] - terms.pixels[t, m, 0]) * scale
        a1 = (K[1, 0] * q0 + K[1, 1] * q1 + K[1, 2] - terms.pixels[t, m, 1]) * scale
        s = a0 * a0 + a1 * a1
        calm = one / (one + s * tight)
        total += w * s * calm
        h = two * w * calm * calm * scale / depth
        c0 = h * (a0 * K[0, 0] + a1 * K[1, 0])
        c1 = h * (a0 * K[0, 1] + a1 * K[1, 1])
        c2 = -(c0 * q0 + c1 * q1)
        for i in range(3):
            pull[m, i] += c0 * view[0, i] + c1 * view[1, i] + c2 * view[2, i]
    return total


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath=True)
def _hinge_energy(t, terms, pose, slope):
    """Energy of one frame's knees and elbows; adds its gradient."""
    total = 0.0
    zero, two = np.float32(0), np.float32(2)
    w = terms.tightness[0]
    for h in range(4):
        r, g = pose.local[t, terms.hinges[h]], slope.local[t, terms.hinges[h]]
        axis, bone, bend = terms.hinge_axes[h], terms.hinge_bones[h], terms.hinge_bends[h]
        aside, onward = zero, zero
        for i in range(3):
            turned = r[i, 0] * bone[0] + r[i, 1] * bone[1] + r[i, 2] * bone[2]
            aside += turned * axis[i]
            onward += turned * bend[i]
        # 0.05: most people's hinges extend a few degrees beyond straight.
        back = max(zero, np.float32(-0.05) - onward)
        total += w * (aside * aside + np.float32(4) * back * back)
        for i in range(3):
            f = w * (two * aside * axis[i] - np.float32(8) * back * bend[i])
            for c in range(3):
                g[i, c] += f * bone[c]
        if h < 2:
            for i in range(3):
                twist = r[i, 0] * axis[0] + r[i, 1] * axis[1] + r[i, 2] * axis[2] - axis[i]
                total += w * twist * twist
                for c in range(3):
                    g[i, c] += two * w * twist * axis[c]
    return total


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath=True)
def _prior_energy(t, terms, pose, slope):
    """Energy of one frame's rest prior, goals, hinges and floor; adds its gradient."""
    total = 0.0
    zero, two = np.float32(0), np.float32(2)
    for j in range(1, 22):
        k = terms.stiffness[j]
        total += k * (np.float32(3) - pose.local[t, j, 0, 0] - pose.local[t, j, 1, 1] - pose.local[t, j, 2, 2])
        for i in range(3):
            slope.local[t, j, i, i] -= k
        pull = terms.pulls[t, j]
        if pull > zero:
            alike = zero
            for i in range(3):
                for c in range(3):
                    alike += terms.goals[t, j, i, c] * pose.local[t, j, i, c]
                    slope.local[t, j, i, c] -= pull * terms.goals[t, j, i, c]
            total += pull * (np.float32(3) - alike)
    total += _hinge_energy(t, terms, pose, slope)
    n = terms.floor
    for k in range(len(terms.supports)):
        j = terms.supports[k]
        height = (
            pose.place[t, j, 0] * n[0] + pose.place[t, j, 1] * n[1] + pose.place[t, j, 2] * n[2] + n[3] - terms.flesh[k]
        )
        if height < zero:
            total += terms.tightness[1] * height * height
            for i in range(3):
                slope.place[t, j, i] += two * terms.tightness[1] * height * n[i]
    return total


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath=True)
def _write_gradient(t, row, terms, pose, slope, gradient):
    """Write the gradient of one frame's unknowns from the gradients of its rotations and positions."""
    for step in range(22):
        j = 21 - step
        p = terms.parents[j]
        if p < 0:
            for i in range(3):
                gradient[132 + i] = slope.place[t, j, i]
                for c in range(3):
                    slope.local[t, j, i, c] += slope.world[j, i, c]
        else:
            for i in range(3):
                slope.place[t, p, i] += slope.place[t, j, i]
                for c in range(3):
                    slope.world[p, i, c] += (
                        slope.place[t, j, i] * terms.bones[j, c]
                        + slope.world[j, i, 0] * pose.local[t, j, c, 0]
                        + slope.world[j, i, 1] * pose.local[t, j, c, 1]
                        + slope.world[j, i, 2] * pose.local[t, j, c, 2]
                    )
                    slope.local[t, j, i, c] += (
                        pose.world[t, p, 0, i] * slope.world[j, 0, c]
                        + pose.world[t, p, 1, i] * slope.world[j, 1, c]
                        + pose.world[t, p, 2, i] * slope.world[j, 2, c]
                    )
        g, k = slope.local[t, j], 6 * j
        x0, x1, x2 = pose.local[t, j, 0, 0], pose.local[t, j, 1, 0], pose.local[t, j, 2, 0]
        y0, y1, y2 = pose.local[t, j, 0, 1], pose.local[t, j, 1, 1], pose.local[t, j, 2, 1]
        u0, u1, u2 = g[0, 0], g[1, 0], g[2, 0]
        v0, v1, v2 = g[0, 1], g[1, 1], g[2, 1]
        w0, w1, w2 = g[0, 2], g[1, 2], g[2, 2]
        # The gradient of z = x cross y passes to both.
        u0, u1, u2 = u0 + y1 * w2 - y2 * w1, u1 + y2 * w0 - y0 * w2, u2 + y0 * w1 - y1 * w0
        v0, v1, v2 = v0 + w1 * x2 - w2 * x1, v1 + w2 * x0 - w0 * x2, v2 + w0 * x1 - w1 * x0
        a0, a1, a2 = row[k], row[k + 1], row[k + 2]
        b0, b1, b2 = row[k + 3], row[k + 4], row[k + 5]
        along = x0 * b0 + x1 * b1 + x2 * b2
        d0, d1, d2 = b0 - along * x0, b1 - along * x1, b2 - along * x2
        short = np.float32(1) / np.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
        dot = v0 * y0 + v1 * y1 + v2 * y2
        v0, v1, v2 = (v0 - dot * y0) * short, (v1 - dot * y1) * short, (v2 - dot * y2) * short
        dot = v0 * x0 + v1 * x1 + v2 * x2
        gradient[k + 3], gradient[k + 4], gradient[k + 5] = v0 - dot * x0, v1 - dot * x1, v2 - dot * x2
        u0, u1, u2 = u0 - along * v0 - dot * b0, u1 - along * v1 - dot * b1, u2 - along * v2 - dot * b2
        short = np.float32(1) / np.sqrt(a0 * a0 + a1 * a1 + a2 * a2)
        dot = u0 * x0 + u1 * x1 + u2 * x2
        gradient[k], gradient[k + 1] = (u0 - dot * x0) * short, (u1 - dot * x1) * short
        gradient[k + 2] = (u2 - dot * x2) * short


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath=True)
def energy(rows, terms, gradient):
    """The energy of these rows of unknowns [time, 135]; writes its gradient.

    A row holds the first two columns of every joint's rotation against its parent, and the pelvis.
    """
    time, markers = rows.shape[0], len(terms.frames)
    matrices, points = (time, 22, 3, 3), (time, 22, 3)
    pose = _Pose(np.empty(matrices, np.float32), np.empty(matrices, np.float32), np.empty(points, np.float32))
    slope = _Pose(np.zeros(matrices, np.float32), np.empty((22, 3, 3), np.float32), np.zeros(points, np.float32))
    error, pull = np.empty((markers, 3), np.float32), np.empty((markers, 3), np.float32)
    _pose_joints(rows, terms, pose)
    total = _acceleration_energy(terms, pose, slope)
    for t in range(time):
        slope.world[:] = 0
        total += _marker_energy(t, terms, pose, slope, error, pull)
        total += _prior_energy(t, terms, pose, slope)
        _write_gradient(t, rows[t], terms, pose, slope, gradient[t])
    return total


@no_type_check
@numba.njit(nogil=True, cache=True, fastmath=True)
def _dot(a, b):
    total = np.float32(0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@no_type_check
@numba.njit(nogil=True, cache=True)
def descend(rows, terms, waves, iterations):
    """The rows after at most `iterations` steps of limited-memory BFGS from the given rows, and their energy.

    Source:
        Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithm 7.4 (two-loop recursion), with
        backtracking; pairs without positive curvature are left out.
    """
    time, width = rows.shape
    size = time * width
    back = np.ascontiguousarray(waves.cosines.T)
    gradient = np.empty_like(rows)
    value = energy(rows, terms, gradient)
    g = (waves.scales * np.dot(waves.cosines, gradient)).reshape(size)
    u = np.zeros(size, np.float32)
    S, bends = np.zeros((_HISTORY, size), np.float32), np.zeros((_HISTORY, size), np.float32)
    rho, alpha = np.zeros(_HISTORY, np.float32), np.zeros(_HISTORY, np.float32)
    # 0.5 is right where the energy is a sum of squares.
    kept, newest, scale, idle = 0, -1, np.float32(0.5), 0
    best = rows.copy()
    for _ in range(iterations):
        q = g.copy()
        for k in range(kept):
            at = (newest - k) % _HISTORY
            alpha[at] = rho[at] * _dot(S[at], q)
            q -= alpha[at] * bends[at]
        q *= scale
        for k in range(kept):
            at = (newest - kept + 1 + k) % _HISTORY
            q += (alpha[at] - rho[at] * _dot(bends[at], q)) * S[at]
        slope, step, arrived = -_dot(g, q), np.float32(1), True
        for _ in range(_MAX_HALVINGS):
            trial = u - step * q
            there = rows + np.dot(back, waves.scales * trial.reshape(time, width))
            trial_value = energy(there, terms, gradient)
            if trial_value <= value + _ARMIJO * step * slope:
                arrived = False
                break
            step /= np.float32(2)
        if arrived:
            break
        trial_g = (waves.scales * np.dot(waves.cosines, gradient)).reshape(size)
        newest = (newest + 1) % _HISTORY
        S[newest] = trial - u
        bends[newest] = trial_g - g
        curve, bend = _dot(S[newest], bends[newest]), _dot(bends[newest], bends[newest])
        kept = min(kept + 1, _HISTORY)
        rho[newest] = np.float32(0)  # a pair of 0 changes nothing
        if curve > np.float32(1e-10) * bend:
            rho[newest], scale = np.float32(1) / curve, curve / bend
        idle = idle + 1 if value - trial_value < _MIN_GAIN * abs(value) else 0
        u, g, value, best = trial, trial_g, trial_value, there
        if idle == 2:
            break
    return best, value
