"""Vary how an action is performed: tempo, amplitude, posture and small random movement.

The length of the motion does not change, so the reference's camera still fits.
"""

import math
import operator
import weakref
from typing import final, no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from synthaug.body.rotations import (
    axis_angle_to_matrix,
    can_compile,
    compile_loop,
    matrix_to_quat,
    write_axis_angles,
    write_quat,
)
from synthaug.body.skeleton import JOINT, clearances, mean_skeleton, resample, write_interpolation, write_lowest
from synthaug.motions import MotionVariation
from synthaug.motions.procedural.timing import drift
from synthaug.structures import Motion, Values

# How much of the variation each joint takes. Legs take none: their joints together decide where the feet stand, and a
# recognizer would learn sliding feet instead of the action.
SHARES: dict[str, float] = {
    "spine1": 0.3, "spine2": 0.3, "spine3": 0.3, "neck": 0.5, "head": 0.5, "left_collar": 0.5, "right_collar": 0.5,
    "left_shoulder": 1.0, "right_shoulder": 1.0, "left_elbow": 1.0, "right_elbow": 1.0, "left_wrist": 1.0,
    "right_wrist": 1.0,
}  # fmt: skip
"""Share of the variation of each joint whose amplitude and pose vary."""
_LEAN_SHARES = {"spine1": 0.36, "spine2": 0.34, "spine3": 0.3, "neck": -0.25, "head": -0.25}
"""Shares of a lean of the trunk; neck and head turn half-way back, to keep the direction of the gaze."""


@final
class Unvaried(MotionVariation):
    """Leaves motions as they are."""

    def sample(self, rng: np.random.Generator) -> Values:
        """Sample no values."""
        return {}

    def vary(self, motion: Motion, values: Values, times: Float[Tensor, " sample"]) -> Motion:
        """The motion itself."""
        return resample(motion, times)


@final
class Variation(MotionVariation):
    """Varies tempo, amplitude, lean and noise, each sampled within plus and minus its range; 0 changes nothing.

    The shape of the body does not vary here: every avatar has its own bones, and the avatar pool samples tall and short
    people.

    Args:
        speed: Relative tempo in the middle of the motion: 0.2 is 0.8 to 1.2 times. Both ends compensate, so that the
            length stays the same.
        timing: Relative tempo of the first half against the second.
        amplitude: Relative size of the movements of arms, trunk and head about their mean pose.
        noise_deg: Largest angle of a smooth random movement of arms, trunk and head.
        lean_deg: Constant lean of the trunk, forward and sideways.

    Raises:
        ValueError: If a range is negative or time would run backwards.
    """

    def __init__(
        self,
        *,
        speed: float = 0.2,
        timing: float = 0.12,
        amplitude: float = 0.1,
        noise_deg: float = 1.5,
        lean_deg: float = 3.0,
    ) -> None:
        ranges = {
            "speed": speed,
            "timing": timing,
            "amplitude": amplitude,
            "noise_deg": noise_deg,
            "lean_deg": lean_deg,
        }
        if not all(0 <= value < math.inf for value in ranges.values()):
            raise ValueError(
                f"Expected ranges of 0 or more, got {ranges}. "
                "A range is the largest change in either direction; set 0 for no change."
            )
        if speed + timing >= 0.9 or amplitude >= 1:
            raise ValueError(
                "Expected speed + timing below 0.9, so that time does not stand still, and amplitude below 1, got "
                f"speed={speed}, timing={timing} and amplitude={amplitude}. Choose smaller ranges."
            )
        self._ranges = ranges

    def sample(self, rng: np.random.Generator) -> Values:
        """Sample one value from each range, and the phase of the noise."""
        sampled = {name: round(float(rng.uniform(-1, 1)) * value, 5) for name, value in self._ranges.items()}
        return {
            **sampled,
            "roll_deg": round(float(rng.uniform(-1, 1)) * self._ranges["lean_deg"], 5),
            "phase": round(float(rng.uniform(0, 2 * math.pi)), 5),
        }

    def seconds(self, motion: Motion, values: Values, times: Float[Tensor, " sample"]) -> Float[Tensor, " sample"]:
        """Which seconds of the motion are shown at these seconds of the performance."""
        if not values:
            return times
        number = _check_numbers(values)
        place = times.double().numpy() * motion.fps
        within = np.remainder(place, float(motion.num_frames))
        # The last frame is held until the motion starts over: time goes on, the pose does not change.
        shown = np.minimum(within, motion.num_frames - 1)
        warped = _warp_time(motion, shown, number["speed"], number["timing"])
        return torch.from_numpy((place - shown + warped) / motion.fps)

    def vary(self, motion: Motion, values: Values, times: Float[Tensor, " sample"]) -> Motion:
        """The motion performed with sampled values; arms, trunk and head change, feet stay where they stood.

        The lowest point of the body keeps its height above the floor in every frame. An empty dict changes nothing.

        Raises:
            ValueError: If a value is missing or is not a number.
        """
        if not values:
            return resample(motion, times)
        number = _check_numbers(values)
        own, path, face = motion.pose, motion.transl, motion.expression
        if not can_compile(own, path, face) or not own.dtype == path.dtype == face.dtype == torch.float32:
            return vary_plain(motion, number, times)
        moments = np.ascontiguousarray(times.numpy(), np.float64)
        count = moments.shape[0]
        pose, transl = np.empty((count, own.shape[1], 3), np.float32), np.empty((count, 3), np.float32)
        expression = np.empty((count, face.shape[1]), np.float32)
        _perform(
            (own.detach().contiguous().numpy(), path.detach().contiguous().numpy(), face.detach().contiguous().numpy()),
            (_find_means(motion), mean_skeleton().joints.numpy(), moments, float(motion.fps)),
            tuple(number.values()),
            (pose, transl, expression),
        )
        return Motion.from_pose(
            torch.from_numpy(pose),
            torch.from_numpy(transl),
            fps=1 / float(moments[1] - moments[0]) if count > 1 else motion.fps,
            expression=torch.from_numpy(expression),
            betas=motion.betas,
        )


def vary_plain(motion: Motion, number: dict[str, float], times: Float[Tensor, " sample"]) -> Motion:
    """`Variation.vary` with checked values, step by step; the specification of the compiled loop.

    Args:
        motion: The motion.
        number: The values by name.
        times: Seconds of the performance.
    """
    place = _frame_positions(motion, times)
    warped = _warp_time(motion, place, number["speed"], number["timing"])
    varied = resample(motion, torch.from_numpy(warped / motion.fps), loop=False)
    pose, transl = varied.pose, varied.transl
    changed = _change_pose(motion, pose, torch.from_numpy(place / motion.fps), number)
    if changed is not pose:
        rise = clearances(pose, transl, mean_skeleton()) - clearances(changed, transl, mean_skeleton())
        transl = transl.clone()
        transl[:, 1] += rise
    fps = 1 / float(times[1] - times[0]) if len(times) > 1 else motion.fps
    return Motion.from_pose(changed, transl, fps=fps, expression=varied.expression, betas=motion.betas)


_NAMES = ("speed", "timing", "amplitude", "noise_deg", "lean_deg", "roll_deg", "phase")
_EXPECTED, _KINDS, _ALL = set(_NAMES), {int, float}, operator.itemgetter(*_NAMES)


def _check_numbers(values: Values) -> dict[str, float]:
    """Check that the sampled values are complete and numeric; in the order of `_NAMES`."""
    if values.keys() == _EXPECTED:
        found = _ALL(values)
        if set(map(type, found)) <= _KINDS:
            return dict(zip(_NAMES, map(float, found), strict=True))
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    missing = [name for name in _NAMES if name not in numbers]
    foreign = [name for name, value in values.items() if name not in _NAMES and value is not False]
    if missing or foreign:
        raise ValueError(
            f"Expected the values that Variation.sample returns, got values without the numbers {missing} and with "
            f"{foreign}. Was the recipe sampled with another motion variation?"
        )
    return {name: float(numbers[name]) for name in _NAMES}


def _frame_positions(motion: Motion, times: Float[Tensor, " sample"]) -> NDArray[np.float64]:
    """Fractional frame of each of these seconds of the performance, which starts over at its end."""
    place = np.remainder(times.double().numpy() * motion.fps, float(motion.num_frames))
    return np.minimum(place, motion.num_frames - 1)


def _warp_time(motion: Motion, place: NDArray[np.float64], speed: float, timing: float) -> NDArray[np.float64]:
    """Warp time so that the motion's middle (`speed`) or first half (`timing`) is faster; both ends stay fixed.

    At share x of the time, the share of the motion that is shown is x - (s sin(2 pi x) - t (1 - cos(2 pi x))) / (2 pi).
    Its slope is 1 + s in the middle and 1 + t after a quarter, and positive throughout while s + t is below 1.
    """
    last = motion.num_frames - 1
    if last < 2 or (speed == 0 and timing == 0):
        return place
    x = place / last
    bend = speed * np.sin(2 * math.pi * x) - timing * (1 - np.cos(2 * math.pi * x))
    return np.clip(x - bend / (2 * math.pi), 0, 1) * last


_IDS = np.array([JOINT[name] for name in SHARES])
_WEIGHTS = np.array(list(SHARES.values()))
# Elbows are hinges: they move only about their hinge, which is y at rest.
_NOISE_WEIGHTS = (
    np.array([[0.0, 1.0, 0.0] if "elbow" in name else [1.0, 1.0, 1.0] for name in SHARES]) * _WEIGHTS[:, None]
)
_LEAN_WEIGHTS = np.array([_LEAN_SHARES.get(name, 0.0) for name in SHARES])
_PHASES = 1.3 * np.arange(len(SHARES))[:, None] + 2.2 * np.arange(3)


def _change_pose(
    motion: Motion, pose: Float[Tensor, "time 55 3"], t: Float[Tensor, " time"], number: dict[str, float]
) -> Float[Tensor, "time 55 3"]:
    """`pose` with changed angles of arms, trunk and head; the same object if nothing changes.

    Angles are measured relative to their mean over the whole motion; `t` are seconds of the performance.
    """
    amplitude, noise = number["amplitude"], math.radians(number["noise_deg"])
    pitch, roll = math.radians(number["lean_deg"]), math.radians(number["roll_deg"])
    if not any((amplitude, noise, pitch, roll)):
        return pose
    phases = torch.from_numpy(number["phase"] + _PHASES)
    waves = drift(t[:, None, None], rate=0.5, phase=phases).numpy() * (noise * _NOISE_WEIGHTS)
    leans = _LEAN_WEIGHTS[:, None] * np.array([pitch, 0.0, roll])
    changed = pose.clone()
    _rotate_joints(changed.numpy(), _IDS, _find_means(motion), 1 + amplitude * _WEIGHTS, waves, leans)
    return changed


_MEANS: "weakref.WeakKeyDictionary[Motion, NDArray[np.floating]]" = weakref.WeakKeyDictionary()
"""Mean quaternions of motions in use, since each motion is varied about thirty times."""


def _find_means(motion: Motion) -> NDArray[np.floating]:
    if motion not in _MEANS:
        _MEANS[motion] = _mean_quats(axis_angle_to_matrix(motion.pose[:, torch.from_numpy(_IDS)])).numpy()
    return _MEANS[motion]


@no_type_check
@compile_loop
def _perform(motion, source, numbers, out):
    """`vary_plain` in one loop: write angles, path and expression of the shown frames."""
    (own, path, face), (means, joints, moments, fps), (pose, transl, expression) = motion, source, out
    speed, timing, amplitude, noise, lean, roll, phase = numbers
    last, count = len(own) - 1, len(moments)
    before, after, shares = np.empty(count, np.int64), np.empty(count, np.int64), np.empty((count, 1), np.float32)
    for n in range(count):
        shown = min(np.remainder(moments[n] * fps, float(last + 1)), float(last))
        if last >= 2 and (speed != 0 or timing != 0):
            x = shown / last
            bend = speed * np.sin(2 * np.pi * x) - timing * (1 - np.cos(2 * np.pi * x))
            shown = min(max(x - bend / (2 * np.pi), 0.0), 1.0) * last
        at = min(max(shown / fps * fps, 0.0), float(last))
        before[n] = min(int(np.floor(at)), max(last - 1, 0))
        after[n] = min(before[n] + 1, last)
        shares[n, 0] = at - before[n]
    write_interpolation(own, before, after, shares, pose)
    _mix(path, before, after, shares, transl)
    _mix(face, before, after, shares, expression)
    if amplitude == 0 and noise == 0 and lean == 0 and roll == 0:
        return
    waves, leans = np.empty((count, len(_IDS), 3)), np.empty((len(_IDS), 3))
    for k in range(len(_IDS)):
        leans[k, 0], leans[k, 1], leans[k, 2] = np.radians(lean), 0.0, np.radians(roll)
        for c in range(3):
            leans[k, c] *= _LEAN_WEIGHTS[k]
            for n in range(count):
                seconds = min(np.remainder(moments[n] * fps, float(last + 1)), float(last)) / fps
                waves[n, k, c] = _drift(seconds, phase + _PHASES[k, c]) * (np.radians(noise) * _NOISE_WEIGHTS[k, c])
    lowest, lower = np.empty(count, np.float32), np.empty(count, np.float32)
    height = np.empty(count, np.float32)
    height[:] = transl[:, 1]
    write_lowest(pose, height, joints, lowest)
    _rotate_joints(pose, _IDS, means, 1 + amplitude * _WEIGHTS, waves, leans)
    write_lowest(pose, height, joints, lower)
    for n in range(count):
        transl[n, 1] += lowest[n] - lower[n]


@no_type_check
@compile_loop
def _mix(values, before, after, shares, out):
    """Rows between rows, from the nearer of the two as torch.lerp has it, rounded once."""
    for n in range(len(out)):
        share = np.float64(shares[n, 0])
        for c in range(out.shape[1]):
            a, b = np.float64(values[before[n], c]), np.float64(values[after[n], c])
            way = np.float64(np.float32(b - a))
            out[n, c] = a + share * way if share < 0.5 else b + np.float64(np.float32(shares[n, 0] - 1)) * way


@no_type_check
@compile_loop
def _drift(seconds, phase):
    """One wave of `procedural.timing.drift` at half a hertz."""
    wave = 0.5 * np.sin(np.pi * seconds + phase)
    wave += 0.2 * np.sin(np.pi * 1.618 * seconds + phase * 2 + 1.7)
    return wave + 0.3 * np.sin(np.pi * 0.447 * seconds + phase * 3 + 3.4)


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy")
def _rotate_joints(pose, ids, means, factors, waves, leans):
    """Compose, in place: lean, mean rotation, scaled rotation from the mean, noise."""
    q, r, s = np.empty((1, 4)), np.empty((1, 4)), np.empty((1, 4))
    v = np.empty((1, 3))
    for k in range(len(ids)):
        mean, back = means[k], np.empty(4)
        back[0], back[1], back[2], back[3] = mean[0], -mean[1], -mean[2], -mean[3]
        for t in range(len(pose)):
            write_quat(pose[t, ids[k]], q[0])
            _quat_product(back, q[0], r[0])
            write_axis_angles(r, v)
            for c in range(3):
                v[0, c] *= factors[k]
            write_quat(v[0], q[0])
            _quat_product(mean, q[0], r[0])
            write_quat(leans[k], q[0])
            _quat_product(q[0], r[0], s[0])
            write_quat(waves[t, k], q[0])
            _quat_product(s[0], q[0], r[0])
            write_axis_angles(r, v)
            for c in range(3):
                pose[t, ids[k], c] = v[0, c]


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy")
def _quat_product(a, b, out):
    """Write the product of two quaternions, wxyz."""
    out[0] = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]
    out[1] = a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2]
    out[2] = a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1]
    out[3] = a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0]


def _mean_quats(rotations: Float[Tensor, "time joint 3 3"]) -> Float[Tensor, "joint 4"]:
    """The mean rotation of each joint, as a quaternion.

    Source:
        Moakher, "Means and averaging in the group of rotations", SIAM 2002: the chordal mean is the projection of the
        arithmetic one.
    """
    u, _, vh = torch.linalg.svd(rotations.double().mean(dim=0))
    sign = torch.ones_like(u[:, 0])
    sign[:, 2] = torch.linalg.det(u @ vh).sign()
    return matrix_to_quat(u * sign[:, None] @ vh)
