"""SMPL-X motions out of tracks of markers: smoothing, a closed-form start, then descent. Pure functions.

Used by every source that measures points: film, skeleton files, noisy truth. Hands, jaw and eyes stay at rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from synthaug.body import (
    JOINT,
    JOINT_NAMES,
    PARENTS,
    SUPPORTS,
    Skeleton,
    matrix_to_axis_angle,
    rotation_6d_to_matrix,
)
from synthaug.motions.descent import minimise
from synthaug.motions.markers import NUM_BODY, Markers, Sighting, Track, noise, smoothed
from synthaug.motions.starts import HINGES, analytic_start, plausible
from synthaug.structures import Camera, Motion


@dataclass(frozen=True)
class Beliefs:
    """How people move and how far measurements can be trusted: the standard deviations of a fit.

    Attributes:
        least_noise: Metres; no point is trusted more than this.
        least_pixel_noise: Metres at the person's distance; no pixel position is trusted more than this.
        outlier: Metres; beyond this a measurement is taken for a mistake (Geman and McClure's scale), or beyond ten
            times the track's noise where that is more.
        acceleration: Metres per second squared, of joints.
        angular_acceleration: Radians per second squared, of joints against their parents.
        looseness: Factor on `USUAL_ANGLES`, how far joints turn from rest.
        hinge: Radians by which knees twist and elbows leave their plane.
        floor: Metres by which flesh sinks into a track's floor.
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
"""Radians from rest, one standard deviation, by kind of joint: tight where points see little, loose on limbs.

Of the order of the joints' ranges (Kapandji, "The Physiology of the Joints"): they settle only what points leave open.
"""


def _levels() -> list[list[int]]:
    """Body joints by distance from the pelvis, so that a whole level is posed at once."""
    depth = [0] * NUM_BODY
    for joint in range(1, NUM_BODY):
        depth[joint] = depth[PARENTS[joint]] + 1
    return [[j for j in range(NUM_BODY) if depth[j] == d] for d in range(1, max(depth) + 1)]


_LEVELS = _levels()
_ORDER = [0, *(j for level in _LEVELS for j in level)]
_BACK = torch.tensor([_ORDER.index(j) for j in range(NUM_BODY)])
_MEMBERS = [torch.tensor(level) for level in _LEVELS]
_HOLDERS = [
    torch.tensor([above.index(PARENTS[j]) for j in level])
    for above, level in zip([[0], *_LEVELS], _LEVELS, strict=False)
]
"""For every level, its joints, and where in the level above the parent of each is found."""


def fit(track: Track, markers: Markers, skeleton: Skeleton, *, beliefs: Beliefs | None = None) -> Motion:
    """The motion of one track.

    Args:
        track: What was measured.
        markers: Where its points sit on the body.
        skeleton: Of the body that shall have moved.
        beliefs: Weights of the terms; None takes those measured on motion capture.

    Returns:
        As many frames as the track has, in its world frame and frame rate.

    Raises:
        ValueError: If nothing at all was measured.
    """
    return fit_many([track], markers, skeleton, beliefs=beliefs)[0]


def fit_many(
    tracks: Sequence[Track], markers: Markers, skeleton: Skeleton, *, beliefs: Beliefs | None = None
) -> list[Motion]:
    """The motions of several tracks, fitted side by side: faster than one by one, and with the same results.

    Raises:
        ValueError: If a track has nothing measured at all.
    """
    beliefs = beliefs or Beliefs()
    for index, track in enumerate(tracks):
        if not ((track.confidence > 0) & track.points.isfinite().all(-1)).any():
            raise ValueError(
                f"Track {index} has no point of any confidence in its {len(track.points)} frames. At least one marker "
                "in one frame was wanted. Was its confidence filled in, and are its values finite?"
            )
    threads = torch.get_num_threads()
    # Two threads on tensors this small cost up to 100 times what they save.
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            return _fit_many(tracks, markers, skeleton, beliefs)
    finally:
        torch.set_num_threads(threads)


def project(
    points: Float[Tensor, "time point 3"], camera: Camera
) -> tuple[Float[Tensor, "time point 2"], Float[Tensor, "time point"]]:
    """Pixel positions of world points, and their depths in metres; points behind the camera have negative depth."""
    return _pinhole(points, camera.viewmats.to(points), camera.Ks.to(points))


def body_kinematics(
    local: Float[Tensor, "time 22 3 3"], root: Float[Tensor, "time 3"], skeleton: Skeleton
) -> tuple[Float[Tensor, "time 22 3 3"], Float[Tensor, "time 22 3"]]:
    """World rotations and positions of the 22 body joints, a whole level of the tree at a time."""
    return _posed(local, root, _bones(skeleton).to(local))


# What the energy calls hundreds of times is private and plain, so that type checks under test do not outweigh it.


def _pinhole(points: Tensor, viewmats: Tensor, Ks: Tensor) -> tuple[Tensor, Tensor]:
    inside = points @ viewmats[:, :3, :3].mT + viewmats[:, None, :3, 3]
    depth = inside[..., 2]
    safe = torch.where(depth.abs() < 1e-6, torch.full_like(depth, 1e-6), depth)
    return (inside / safe[..., None]) @ Ks[:, :2].mT, depth


def _bones(skeleton: Skeleton) -> Tensor:
    """From each body joint's parent to the joint, at rest."""
    return torch.stack([skeleton.joints[j] - skeleton.joints[max(PARENTS[j], 0)] for j in range(NUM_BODY)])


def _posed(local: Tensor, root: Tensor, bones: Tensor) -> tuple[Tensor, Tensor]:
    rotations, positions = [local[:, :1]], [root[:, None]]
    for members, holders in zip(_MEMBERS, _HOLDERS, strict=True):
        R = rotations[-1].index_select(1, holders)
        step = (R @ bones[members, :, None]).squeeze(-1)
        positions.append(positions[-1].index_select(1, holders) + step)
        rotations.append(R @ local.index_select(1, members))
    return torch.cat(rotations, dim=1).index_select(1, _BACK), torch.cat(positions, dim=1).index_select(1, _BACK)


@dataclass(frozen=True, eq=False)
class _Sights:
    """What the pictures say about each frame; limits are where errors turn into mistakes, metres."""

    pixels: Float[Tensor, "frame marker 2"]
    weights: Float[Tensor, "frame marker"]
    limits: Float[Tensor, "frame 1"]
    metres_per_pixel: Float[Tensor, "frame 1"]
    viewmats: Float[Tensor, "frame 4 4"]
    Ks: Float[Tensor, "frame 3 3"]


@dataclass(frozen=True, eq=False)
class _Problem:
    """All tracks end to end, with what the energy needs of each frame."""

    points: Float[Tensor, "frame marker 3"]
    weights: Float[Tensor, "frame marker"]
    limits: Float[Tensor, "frame 1"]
    sights: _Sights | None
    floors: Float[Tensor, "frame 4"] | None
    owner: Int[Tensor, " frame"]
    fps: Float[Tensor, " frame"]
    inside: Float[Tensor, " middle"]

    @property
    def num_clips(self) -> int:
        return int(self.owner[-1]) + 1


def _fit_many(tracks: Sequence[Track], markers: Markers, skeleton: Skeleton, beliefs: Beliefs) -> list[Motion]:
    starts = []
    for track in tracks:
        width = _width(float(noise(track.points, track.confidence).clamp(min=beliefs.least_noise)), track.fps)
        # A hundredth, not nothing: where every point is implausible, they still beat the rest pose.
        trust = torch.where(plausible(track.points, markers, skeleton), 1.0, 0.01) * track.confidence
        points, seen = smoothed(track.points.float(), trust.float(), width)
        starts.append(analytic_start(points, seen, markers, skeleton))
    problem = _problem(tracks, beliefs, [root for _, root in starts])
    local = torch.cat([local for local, _ in starts])
    root = torch.cat([root for _, root in starts])
    # The first two columns, not rows: then turning the world turns the unknowns rigidly, and the descent with them.
    rows = torch.cat([local[..., :2].mT.flatten(1), root], dim=1)
    energy = _energy(problem, markers, skeleton, beliefs)
    waves = _waves(problem, markers, skeleton, beliefs)
    change = minimise(
        lambda u: energy(rows + _unwaved(u, waves)),
        torch.zeros_like(rows),
        problem.owner,
        iterations=beliefs.iterations,
    )
    local, root = _unpacked(rows + _unwaved(change, waves))
    return _motions(local, root, tracks)


def _width(sigma: float, fps: float) -> float:
    """Frames of Gaussian smoothing that balance white noise against the bend that they take out of the movement.

    Smoothing by s frames leaves noise of variance sigma^2 / (2 sqrt(pi) s) and a bias of a s^2 / (2 fps^2); their
    sum of squares is least at s^5 = sigma^2 fps^4 / (2 sqrt(pi) a^2).
    """
    usual_acceleration = 2.5  # m/s^2, median over joints of everyday movement in motion capture
    return float((sigma**2 * fps**4 / (2 * 3.14159**0.5 * usual_acceleration**2)) ** 0.2)


def _problem(tracks: Sequence[Track], beliefs: Beliefs, roots: list[Tensor]) -> _Problem:
    points, weights, limits = [], [], []
    for track in tracks:
        known = (track.confidence > 0) & track.points.isfinite().all(-1)
        sigma = noise(track.points, track.confidence).clamp(min=beliefs.least_noise).float()
        points.append(torch.where(known[..., None], track.points, 0).float())
        weights.append(torch.where(known, track.confidence, 0).float() / sigma**2)
        limits.append((10 * sigma).clamp(min=beliefs.outlier).expand(len(known), 1))
    lengths = torch.tensor([len(p) for p in points])
    owner = torch.arange(len(points)).repeat_interleave(lengths)
    sighted = [track for track in tracks if track.sighting is not None]
    if 0 < len(sighted) < len(tracks):
        raise ValueError(
            f"{len(sighted)} of {len(tracks)} tracks have a sighting. All or none was wanted: fit the two kinds apart."
        )
    return _Problem(
        points=torch.cat(points),
        weights=torch.cat(weights),
        limits=torch.cat(limits),
        sights=_sights([(t.sighting, r) for t, r in zip(tracks, roots, strict=True) if t.sighting], beliefs),
        floors=_floors(tracks),
        owner=owner,
        fps=torch.tensor([float(track.fps) for track in tracks])[owner],
        inside=(owner[2:] == owner[:-2]).float(),
    )


def _sights(sightings: list[tuple[Sighting, Tensor]], beliefs: Beliefs) -> _Sights | None:
    if not sightings:
        return None
    pixels, weights, limits, scales = [], [], [], []
    for sight, root in sightings:
        visible = (sight.confidence > 0) & sight.pixels.isfinite().all(-1)
        pixels.append(torch.where(visible[..., None], sight.pixels, 0).float())
        depth = project(root[:, None], sight.camera)[1].clamp(min=0.1)
        scales.append(depth / sight.camera.Ks[:, :1, 0].to(depth))
        error = (noise(sight.pixels, sight.confidence).float() * scales[-1]).clamp(min=beliefs.least_pixel_noise)
        weights.append(torch.where(visible, sight.confidence, 0).float() / error**2)
        limits.append((10 * error).clamp(min=beliefs.outlier))
    return _Sights(
        pixels=torch.cat(pixels),
        weights=torch.cat(weights),
        limits=torch.cat(limits),
        metres_per_pixel=torch.cat(scales),
        viewmats=torch.cat([sight.camera.viewmats.float() for sight, _ in sightings]),
        Ks=torch.cat([sight.camera.Ks.float() for sight, _ in sightings]),
    )


def _floors(tracks: Sequence[Track]) -> Float[Tensor, "frame 4"] | None:
    """The floor under every frame; for tracks without one, a floor that nothing can sink into."""
    if all(track.floor is None for track in tracks):
        return None
    nowhere = torch.tensor([0.0, 0.0, 0.0, 1e3])
    rows = [(nowhere if t.floor is None else t.floor.float()).expand(len(t.points), 4) for t in tracks]
    return torch.cat(rows)


def _unpacked(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Local rotations and root of rows of unknowns."""
    return rotation_6d_to_matrix(rows[:, :-3].unflatten(1, (NUM_BODY, 6))).mT, rows[:, -3:]


def _energy(
    problem: _Problem, markers: Markers, skeleton: Skeleton, beliefs: Beliefs
) -> Callable[[Tensor], Float[Tensor, " clip"]]:
    """The energy of every clip: minus twice the log posterior of the movement, up to a constant."""
    stiffness, offsets = _stiffness(beliefs), _bones(skeleton)
    hinges, axes, bones = _hinge_axes(skeleton)
    bends = torch.linalg.cross(axes, bones)
    supports = torch.tensor([JOINT[name] for name in SUPPORTS if JOINT[name] < NUM_BODY])
    flesh = torch.tensor([depth for name, depth in SUPPORTS.items() if JOINT[name] < NUM_BODY])
    clips = problem.num_clips
    # Where three frames belong to two clips, no acceleration is charged.
    rate = (problem.fps[1:-1] ** 2 * problem.inside)[:, None]

    def energy(rows: Tensor) -> Tensor:
        local, root = _unpacked(rows)
        R, joints = _posed(local, root, offsets)
        turned = (R.index_select(1, markers.frames) @ markers.offsets[..., None]).squeeze(-1)
        frame = _data_term(markers.weights @ joints + turned, problem)
        # |R - I|^2 is twice the squared angle, for small ones.
        frame = frame + (stiffness * (3 - local.diagonal(dim1=-2, dim2=-1).sum(-1))).sum(1)
        turned = torch.einsum("fhij,hj->fhi", local.index_select(1, hinges), bones)
        aside = (turned * axes).sum(-1)
        # 0.05: hinges stretch a few degrees beyond straight in most people.
        backward = torch.relu(-0.05 - (turned * bends).sum(-1))
        twist = torch.einsum("fhij,hj->fhi", local.index_select(1, hinges[:2]), axes[:2]) - axes[:2]
        frame = frame + ((aside**2 + 4 * backward**2).sum(1) + (twist**2).sum((1, 2))) / beliefs.hinge**2
        if problem.floors is not None:
            height = (
                (joints.index_select(1, supports) * problem.floors[:, None, :3]).sum(-1) + problem.floors[:, 3:] - flesh
            )
            frame = frame + (torch.relu(-height) ** 2).sum(1) / beliefs.floor**2
        total = rows.new_zeros(clips).index_add(0, problem.owner, frame)
        if len(rate) == 0:
            return total
        bend = joints[2:] - 2 * joints[1:-1] + joints[:-2]
        jerk = _charbonnier((bend**2).sum(-1) * (rate / beliefs.acceleration) ** 2)
        wring = local[2:] - 2 * local[1:-1] + local[:-2]
        whirl = _charbonnier((wring**2).sum((-1, -2)) / 2 * (rate / beliefs.angular_acceleration) ** 2)
        return total.index_add(0, problem.owner[1:-1], (jerk + whirl).sum(1))

    return energy


def _waves(
    problem: _Problem, markers: Markers, skeleton: Skeleton, beliefs: Beliefs
) -> list[tuple[Float[Tensor, "frame frame"], Float[Tensor, "frame 135"]]]:
    """For every clip, cosine waves over its frames and their scales: unknowns in which the energy is nearly round.

    Acceleration is dear for fast waves and cheap for slow ones, and a bone's curvature grows with what hangs on it.
    In these unknowns descent needs tens of steps where it needed hundreds. Only speed depends on this, no minimum.
    """
    result = []
    main = torch.where(markers.offsets.abs().amax(1) > 0, markers.frames, markers.weights.argmax(1))
    below = _descent()
    rest = skeleton.joints[:NUM_BODY]
    lever = ((markers.rest(skeleton)[None] - rest[:, None]) ** 2).sum(-1) * below[:, main]
    swing = ((rest[None] - rest[:, None]) ** 2).sum(-1) * below
    stiffness = _stiffness(beliefs)
    for clip in range(problem.num_clips):
        mine = problem.owner == clip
        weight = problem.weights[mine].mean(0)
        if problem.sights is not None:
            weight = weight + problem.sights.weights[mine].mean(0)
        time = int(mine.sum())
        order = torch.arange(time, dtype=torch.float32)
        C = torch.cos(torch.pi / time * order[:, None] * (order[None] + 0.5)) * (2 / time) ** 0.5
        C[0] /= 2**0.5
        wave = (2 - 2 * torch.cos(torch.pi / time * order)) ** 2 * float(problem.fps[mine][0]) ** 4
        heft = wave / beliefs.acceleration**2
        spin = wave / beliefs.angular_acceleration**2
        turning = (lever @ weight + stiffness)[None] + heft[:, None] * swing.sum(1)[None] + spin[:, None]
        going = weight.sum() + NUM_BODY * heft
        curvature = torch.cat([turning.repeat_interleave(6, dim=1), going[:, None].expand(-1, 3)], dim=1)
        result.append((C, curvature.clamp(min=1e-6).rsqrt()))
    return result


def _descent() -> Float[Tensor, "22 22"]:
    """1 where the column's joint hangs on the row's joint, itself included."""
    below = torch.eye(NUM_BODY)
    for joint in range(1, NUM_BODY):
        below[:, joint] += below[:, PARENTS[joint]]
    return below


def _unwaved(u: Tensor, waves: list[tuple[Tensor, Tensor]]) -> Tensor:
    pieces = u.split([len(C) for C, _ in waves])
    return torch.cat([C.mT @ (scale * piece) for piece, (C, scale) in zip(pieces, waves, strict=True)])


def _charbonnier(squares: Tensor) -> Tensor:
    """Quadratic for usual accelerations, linear for blows and landings, which do happen."""
    return 2 * ((1 + squares).sqrt() - 1)


def _data_term(placed: Tensor, problem: _Problem) -> Tensor:
    error = placed - problem.points
    sights = problem.sights
    if sights is None:
        return _robust((error**2).sum(-1), problem.weights, problem.limits)
    share = problem.weights / problem.weights.sum(1, keepdim=True).clamp(min=1e-9)
    error = error - torch.einsum("fm,fmi->fi", share, error)[:, None]
    shape = _robust((error**2).sum(-1), problem.weights, problem.limits)
    pixels, depth = _pinhole(placed, sights.viewmats, sights.Ks)
    aside = (pixels - sights.pixels) * sights.metres_per_pixel[..., None]
    weights = torch.where(depth > 0.05, sights.weights, torch.zeros_like(depth))
    return shape + _robust((aside**2).sum(-1), weights, sights.limits)


def _robust(squares: Tensor, weights: Tensor, scale: Tensor) -> Tensor:
    """Geman and McClure's error, summed over the markers of a frame; quadratic well below the scale."""
    return (weights * squares / (1 + squares / scale**2)).sum(1)


def _stiffness(beliefs: Beliefs) -> Float[Tensor, "22"]:
    """Weight of 3 - trace(R), which is the squared angle for small ones, by joint; the pelvis is free."""
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


def _motions(local: Tensor, root: Tensor, tracks: Sequence[Track]) -> list[Motion]:
    pose = matrix_to_axis_angle(local)
    whole = torch.cat([pose, pose.new_zeros(len(pose), len(PARENTS) - NUM_BODY, 3)], dim=1)
    lengths = [len(track.points) for track in tracks]
    pieces = zip(whole.split(lengths), root.split(lengths), tracks, strict=True)
    return [Motion.from_pose(p.contiguous(), r.contiguous(), fps=track.fps) for p, r, track in pieces]
