"""Fit SMPL-X motions to tracks of markers: smooth, start in closed form, then descend. Pure functions.

Used for film, skeleton files and noisy ground truth. Hands, jaw and eyes stay at rest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from synthaug.body.limits import keep_within
from synthaug.body.rotations import matrix_to_axis_angle
from synthaug.body.skeleton import JOINT, JOINT_NAMES, PARENTS, SUPPORTS, Skeleton
from synthaug.motions.fitting.descent import EnergyTerms, Waves, descend
from synthaug.motions.fitting.energy import bones_of, pack, project, unpack
from synthaug.motions.fitting.markers import NUM_BODY, Markers, Sighting, Track, noise, smooth
from synthaug.motions.fitting.starts import HINGES, analytic_start, find_plausible
from synthaug.structures import Motion

_LIMIT_ROUNDS = 2
_LIMIT_SLACK = 0.02
"""Radians by which a joint may leave its range before the body is fitted again, and the deviation of the pull back."""
_WINDOW, _OVERLAP = 256, 32
"""Frames fitted at once, and frames that neighbouring windows share: a second, after which the past has no effect."""


@dataclass(frozen=True)
class Beliefs:
    """How people move and how far measurements can be trusted: the standard deviations of a fit.

    Attributes:
        least_noise: Smallest noise of points, metres.
        least_pixel_noise: Smallest noise of pixel positions, metres at the person's distance.
        outlier: Metres beyond which a measurement counts as an outlier (Geman and McClure's scale), or ten times the
            track's noise where that is more.
        acceleration: Metres per second squared, of joints.
        angular_acceleration: Radians per second squared, of joints against their parents.
        looseness: Factor on `USUAL_ANGLES`, the deviation of joint angles from rest.
        hinge: Radians by which knees twist and elbows leave their plane.
        floor: Metres by which the body sinks into a track's floor.
        iterations: Descent steps.
    """

    least_noise: float = 0.004
    least_pixel_noise: float = 0.004
    outlier: float = 0.1
    acceleration: float = 5.0
    angular_acceleration: float = 40.0
    looseness: float = 1.0
    hinge: float = 0.3
    floor: float = 0.02
    iterations: int = 40


USUAL_ANGLES: dict[str, float] = {
    "spine": 0.35, "neck": 0.4, "head": 0.4, "collar": 0.25, "wrist": 0.5, "ankle": 0.4, "foot": 0.2,
    "hip": 3.0, "knee": 3.0, "shoulder": 3.0, "elbow": 3.0,
}  # fmt: skip
"""Standard deviation of the angle from rest, radians, by kind of joint: tight where points show little, loose on limbs.

Of the order of the joints' ranges (Kapandji, "The Physiology of the Joints"); they decide only what points leave open.
"""


def fit(track: Track, markers: Markers, skeleton: Skeleton, *, beliefs: Beliefs | None = None) -> Motion:
    """Fit the motion of one track.

    Args:
        track: The measured points.
        markers: Positions of the points on the body.
        skeleton: The body's skeleton.
        beliefs: Weights of the terms; None takes those measured on motion capture.

    Returns:
        One frame for each of the track's, in its world frame and frame rate.

    Raises:
        ValueError: If the track has no measured point.
    """
    return fit_many([track], markers, skeleton, beliefs=beliefs)[0]


def fit_many(
    tracks: Sequence[Track], markers: Markers, skeleton: Skeleton, *, beliefs: Beliefs | None = None
) -> list[Motion]:
    """Fit several tracks of one body independently.

    Raises:
        ValueError: If a track has no measured point.
    """
    return fit_each([Subject(track, markers, skeleton) for track in tracks], beliefs=beliefs)


@dataclass(frozen=True, eq=False)
class Subject:
    """A track to fit, the positions of its points on the body, and the body's skeleton."""

    track: Track
    markers: Markers
    skeleton: Skeleton


def fit_each(subjects: Sequence[Subject], *, beliefs: Beliefs | None = None) -> list[Motion]:
    """Fit several tracks independently, each with its own markers and skeleton.

    Raises:
        ValueError: If a track has no measured point.
    """
    beliefs = beliefs or Beliefs()
    for index, subject in enumerate(subjects):
        track = subject.track
        if not ((track.confidence > 0) & track.points.isfinite().all(-1)).any():
            raise ValueError(
                f"Expected at least one marker with confidence in the {len(track.points)} frames of track {index}, got "
                "none. Check that its confidence is filled in and its values are finite."
            )
    threads = torch.get_num_threads()
    # On tensors this small, a second thread costs up to 100 times what it saves.
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            return [_fit_subject(subject, beliefs) for subject in subjects]
    finally:
        torch.set_num_threads(threads)


def _fit_subject(subject: Subject, beliefs: Beliefs) -> Motion:
    track, markers, skeleton = subject.track, subject.markers, subject.skeleton
    width = _smoothing_width(float(noise(track.points, track.confidence).clamp(min=beliefs.least_noise)), track.fps)
    # A hundredth, not zero: if every point is implausible, points still beat the rest pose.
    trust = torch.where(find_plausible(track.points, markers, skeleton), 1.0, 0.01) * track.confidence
    points, seen = smooth(track.points.float(), trust.float(), width)
    local, root = analytic_start(points, seen, markers, skeleton)
    rows, _ = descend_windows(pack(local, root), subject, beliefs, root)
    return motion_of(keep_within_limits(rows, subject, beliefs, root), fps=track.fps)


def keep_within_limits(
    rows: Float[Tensor, "time 135"], subject: Subject, beliefs: Beliefs, root: Float[Tensor, "time 3"]
) -> Float[Tensor, "time 135"]:
    """Rows of unknowns whose joints are within their range (`body.limits`); unchanged where they already are.

    Joints beyond it are pulled to the nearest rotation within while the rest of the body makes up for it, then set
    there.

    Args:
        rows: A fit's result.
        subject: What was fitted.
        beliefs: Weights of the terms, and number of steps.
        root: As for `descend_windows`.
    """
    weaker = replace(beliefs, iterations=(beliefs.iterations + 1) // 2)
    for _ in range(_LIMIT_ROUNDS):
        local, _ = unpack(rows)
        goals = keep_within(local)
        # The squared distance of two rotations by an angle is 4 - 4 cos of it.
        beyond = ((goals - local) ** 2).sum((-1, -2)) > 2 * _LIMIT_SLACK**2
        if not beyond.any():
            break
        rows, _ = descend_windows(rows, subject, weaker, root, goals=(goals, beyond / _LIMIT_SLACK**2))
    local, place = unpack(rows)
    return pack(keep_within(keep_within(local)), place)


def descend_windows(
    rows: Float[Tensor, "time 135"],
    subject: Subject,
    beliefs: Beliefs,
    root: Float[Tensor, "time 3"],
    goals: tuple[Float[Tensor, "time 22 3 3"], Float[Tensor, "time 22"]] | None = None,
) -> tuple[Float[Tensor, "time 135"], float]:
    """Descend from rows of unknowns, window by window; returns the rows and their energy.

    Args:
        rows: Start, as `energy.pack` returns it.
        subject: What is fitted.
        beliefs: Weights of the terms, and number of steps.
        root: Approximate position of the pelvis, which sets how many metres a pixel covers.
        goals: Rotations against the parents that joints are pulled to, and the weight of each; None pulls none.
    """
    start, terms = np.ascontiguousarray(rows.numpy()), terms_of(subject, beliefs, root)
    if goals is not None:
        terms = terms._replace(goals=_to_floats(goals[0]), pulls=_to_floats(goals[1]))
    pieces, total = [], 0.0
    for first, last in _windows(len(start)):
        part = _cut_terms(terms, first, last)
        waves = _cosine_waves(part, subject, beliefs)
        found, value = descend(start[first:last], part, waves, beliefs.iterations)
        pieces.append((first, found))
        total += value
    return _join_windows(pieces, len(start)), total


def motion_of(rows: Float[Tensor, "time 135"], *, fps: float) -> Motion:
    """The motion that rows of unknowns describe; hands and face at rest."""
    local, root = unpack(rows)
    pose = matrix_to_axis_angle(local)
    whole = torch.cat([pose, pose.new_zeros(len(pose), len(PARENTS) - NUM_BODY, 3)], dim=1)
    return Motion.from_pose(whole, root.contiguous(), fps=fps)


def _windows(time: int) -> list[tuple[int, int]]:
    """Overlapping windows that are fitted one by one, so that memory does not grow with the clip."""
    if time <= _WINDOW:
        return [(0, time)]
    count = math.ceil((time - _OVERLAP) / (_WINDOW - _OVERLAP))
    starts = [round(k * (time - _WINDOW) / (count - 1)) for k in range(count)]
    return [(start, start + _WINDOW) for start in starts]


def _join_windows(pieces: list[tuple[int, NDArray[np.float32]]], time: int) -> Float[Tensor, "time 135"]:
    """Join windows, each fading into the next over the frames that they share."""
    total, mass = torch.zeros(time, 3 + 6 * NUM_BODY), torch.zeros(time, 1)
    for first, rows in pieces:
        index = torch.arange(len(rows), dtype=torch.float32)
        # At the ends of the clip only one window contributes, so its share cancels.
        share = torch.minimum(index + 1, len(rows) - index)[:, None].clamp(max=_OVERLAP)
        local, root = unpack(torch.from_numpy(rows))
        total[first : first + len(rows)] += share * pack(local, root)
        mass[first : first + len(rows)] += share
    return total / mass


def _smoothing_width(sigma: float, fps: float) -> float:
    """Width of Gaussian smoothing in frames that balances noise against the bias from smoothing out movement.

    Smoothing by s frames leaves noise of variance sigma^2 / (2 sqrt(pi) s) and a bias of a s^2 / (2 fps^2); their
    sum of squares is least at s^5 = sigma^2 fps^4 / (2 sqrt(pi) a^2).
    """
    usual_acceleration = 2.5  # m/s^2, median over joints of everyday movement in motion capture
    return float((sigma**2 * fps**4 / (2 * 3.14159**0.5 * usual_acceleration**2)) ** 0.2)


def terms_of(subject: Subject, beliefs: Beliefs, root: Float[Tensor, "time 3"]) -> EnergyTerms:
    """Everything that the energy of a track depends on.

    Args:
        subject: What is fitted.
        beliefs: Weights of the terms.
        root: Approximate position of the pelvis, which sets how many metres a pixel covers.
    """
    track, markers, skeleton = subject.track, subject.markers, subject.skeleton
    known = (track.confidence > 0) & track.points.isfinite().all(-1)
    sigma = noise(track.points, track.confidence).clamp(min=beliefs.least_noise).float()
    hinges, axes, bones = _hinge_axes(skeleton)
    entries = [(m, j, w) for m, row in enumerate(markers.weights.tolist()) for j, w in enumerate(row) if w]
    supports = [JOINT[name] for name in SUPPORTS if JOINT[name] < NUM_BODY]
    flesh = [depth * skeleton.size for name, depth in SUPPORTS.items() if JOINT[name] < NUM_BODY]
    nowhere = torch.tensor([0.0, 1.0, 0.0, 1e3])
    rates = [(track.fps**2 / usual) ** 2 for usual in (beliefs.acceleration, beliefs.angular_acceleration)]
    counts = np.bincount([m for m, _, _ in entries], minlength=len(markers.frames))
    return EnergyTerms(
        points=_to_floats(torch.where(known[..., None], track.points, 0)),
        weights=_to_floats(torch.where(known, track.confidence, 0) / sigma**2),
        limits=_to_floats((10 * sigma).clamp(min=beliefs.outlier).expand(len(known))),
        **_sighting_terms(track.sighting, root, beliefs, len(markers.frames)),
        floor=_to_floats(nowhere if track.floor is None else track.floor),
        rates=np.array(rates, np.float32),
        bones=_to_floats(bones_of(skeleton)),
        parents=np.array(PARENTS[:NUM_BODY]),
        offsets=_to_floats(markers.offsets),
        frames=markers.frames.numpy().astype(np.int64),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        holders=np.array([j for _, j, _ in entries], np.int64),
        shares=np.array([w for _, _, w in entries], np.float32),
        stiffness=_to_floats(_stiffness(beliefs)),
        goals=np.zeros((len(known), NUM_BODY, 3, 3), np.float32),
        pulls=np.zeros((len(known), NUM_BODY), np.float32),
        hinges=hinges.numpy(),
        hinge_axes=_to_floats(axes),
        hinge_bones=_to_floats(bones),
        hinge_bends=_to_floats(torch.linalg.cross(axes, bones)),
        supports=np.array(supports, np.int64),
        flesh=np.array(flesh, np.float32),
        tightness=np.array([1 / beliefs.hinge**2, 1 / beliefs.floor**2], np.float32),
    )


def _to_floats(values: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(values.float().numpy())


def _sighting_terms(
    sight: Sighting | None, root: Float[Tensor, "time 3"], beliefs: Beliefs, markers: int
) -> dict[str, NDArray[np.float32]]:
    """The terms of the pictures, empty without a sighting."""
    if sight is None:
        shapes = {
            "pixels": (0, markers, 2), "pixel_weights": (0, markers), "pixel_limits": (0,),
            "metres_per_pixel": (0,), "viewmats": (0, 4, 4), "Ks": (0, 3, 3),
        }  # fmt: skip
        return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    visible = (sight.confidence > 0) & sight.pixels.isfinite().all(-1)
    depth = project(root[:, None], sight.camera)[1].clamp(min=0.1)
    scale = depth / sight.camera.Ks[:, :1, 0].to(depth)
    error = (noise(sight.pixels, sight.confidence).float() * scale).clamp(min=beliefs.least_pixel_noise)
    return {
        "pixels": _to_floats(torch.where(visible[..., None], sight.pixels, 0)),
        "pixel_weights": _to_floats(torch.where(visible, sight.confidence, 0) / error**2),
        "pixel_limits": _to_floats((10 * error).clamp(min=beliefs.outlier)[:, 0]),
        "metres_per_pixel": _to_floats(scale[:, 0]),
        "viewmats": _to_floats(sight.camera.viewmats),
        "Ks": _to_floats(sight.camera.Ks),
    }


_TIMED = (
    "points",
    "weights",
    "limits",
    "pixels",
    "pixel_weights",
    "pixel_limits",
    "metres_per_pixel",
    "viewmats",
    "Ks",
    "goals",
    "pulls",
)


def _cut_terms(terms: EnergyTerms, first: int, last: int) -> EnergyTerms:
    return terms._replace(**{name: np.ascontiguousarray(getattr(terms, name)[first:last]) for name in _TIMED})


def _cosine_waves(terms: EnergyTerms, subject: Subject, beliefs: Beliefs) -> Waves:
    """Cosine waves over the frames and their scales: unknowns in which the energy is well conditioned.

    Acceleration costs much for fast waves and little for slow ones, and a bone's curvature grows with what hangs on it.
    In these unknowns descent needs tens of steps instead of hundreds. The minima do not change.
    """
    markers, skeleton, fps = subject.markers, subject.skeleton, subject.track.fps
    main = torch.where(markers.offsets.abs().amax(1) > 0, markers.frames, markers.weights.argmax(1))
    below = _descendants()
    rest = skeleton.joints[:NUM_BODY]
    lever = ((markers.rest(skeleton)[None] - rest[:, None]) ** 2).sum(-1) * below[:, main]
    swing = ((rest[None] - rest[:, None]) ** 2).sum(-1) * below
    weight = torch.from_numpy(terms.weights).mean(0)
    if len(terms.pixels):
        weight = weight + torch.from_numpy(terms.pixel_weights).mean(0)
    time = len(terms.weights)
    order = torch.arange(time, dtype=torch.float32)
    C = torch.cos(torch.pi / time * order[:, None] * (order[None] + 0.5)) * (2 / time) ** 0.5
    C[0] /= 2**0.5
    wave = (2 - 2 * torch.cos(torch.pi / time * order)) ** 2 * fps**4
    heft = wave / beliefs.acceleration**2
    spin = wave / beliefs.angular_acceleration**2
    turning = (lever @ weight + _stiffness(beliefs))[None] + heft[:, None] * swing.sum(1)[None] + spin[:, None]
    going = weight.sum() + NUM_BODY * heft
    curvature = torch.cat([turning.repeat_interleave(6, dim=1), going[:, None].expand(-1, 3)], dim=1)
    return Waves(cosines=_to_floats(C), scales=_to_floats(curvature.clamp(min=1e-6).rsqrt()))


def _descendants() -> Float[Tensor, "22 22"]:
    """1 where the column's joint is the row's joint or a descendant of it."""
    below = torch.eye(NUM_BODY)
    for joint in range(1, NUM_BODY):
        below[:, joint] += below[:, PARENTS[joint]]
    return below


def _stiffness(beliefs: Beliefs) -> Float[Tensor, "22"]:
    """Weight of 3 - trace(R), which is the squared angle for small angles, by joint; the pelvis is free."""
    result = torch.zeros(NUM_BODY)
    for joint in range(1, NUM_BODY):
        kind = JOINT_NAMES[joint].removeprefix("left_").removeprefix("right_").rstrip("123")
        result[joint] = 1 / (USUAL_ANGLES[kind] * beliefs.looseness) ** 2
    return result


def _hinge_axes(skeleton: Skeleton) -> tuple[Tensor, Tensor, Tensor]:
    """Hinge joints, knees first, their axes at rest, and the direction of the bone beyond each."""
    ids = [JOINT[name] for name in HINGES]
    ends = [next(j for j in range(NUM_BODY) if PARENTS[j] == joint) for joint in ids]
    bones = torch.nn.functional.normalize(skeleton.joints[ends] - skeleton.joints[ids], dim=-1)
    axes = torch.tensor(list(HINGES.values()))
    axes = torch.nn.functional.normalize(axes - (axes * bones).sum(-1, keepdim=True) * bones, dim=-1)
    return torch.tensor(ids), axes, bones
