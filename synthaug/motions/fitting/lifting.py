"""Lift points in one picture to a body in 3D: fit from several facing directions and keep the best.

One view leaves depth open. A small network that has learnt how bodies look (`lifter`), bone lengths, joints that bend
one way, smooth movement and the usual pose decide it, but only roughly. Positions in the picture are exact.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import JOINT, JOINT_NAMES, Skeleton
from synthaug.motions.fitting.energy import body_kinematics, pack
from synthaug.motions.fitting.fit import Beliefs, Subject, descend_windows, keep_within_limits, motion_of
from synthaug.motions.fitting.lifter import POINTS, LiftedJoints, lift_points, match_points
from synthaug.motions.fitting.markers import NUM_BODY, Markers, Sighting, Track, joint_markers, smooth
from synthaug.motions.fitting.placement import place_shapes
from synthaug.motions.fitting.starts import LIMBS, analytic_start
from synthaug.structures import Camera, Motion

LIFT_BELIEFS = Beliefs(looseness=0.5, least_noise=0.05, outlier=0.15, least_pixel_noise=0.01, acceleration=4.0)
"""Tighter than for 3D points, since the usual pose must decide what one view leaves open."""
_ALIKE_FRAMES = 4.0
"""Neighbouring frames in which the network errs alike: each counts by this much less."""
_SMOOTHING = 0.2
"""Smoothing of distances and facing directions, seconds."""
_SCREENING_STEPS = 12
"""Descent steps after which starts are compared."""


def lift_track(
    sight: Sighting, *, fps: float, markers: Markers, skeleton: Skeleton, beliefs: Beliefs = LIFT_BELIEFS
) -> tuple[Motion, float]:
    """Lift the motion that one static camera saw, in the level camera's frame, and the certainty of its facing.

    Starts are the network's estimate, two readings of the shoulders' foreshortening (turned left or right) and eight
    fixed directions. Each is descended a few steps, and the best to the end; the network's joints count as measured
    ones, as far as it trusts them.

    Args:
        sight: Markers in the picture, of a level camera at the origin.
        fps: Frames per second.
        markers: Positions of the markers on the body.
        skeleton: Its bone lengths set the scale.
        beliefs: Weights of the terms.

    Returns:
        The motion, and the share by which the best start's energy is below that of the best start that faces another
        way (by more than 90 degrees on average). Near 0, front and back are indistinguishable.
    """
    with torch.no_grad():
        lifted = _lift_markers(sight, markers, skeleton, fps=fps)
        subject = _add_joints(sight, lifted, markers, skeleton, fps=fps, noise=beliefs.least_noise)
    brief = replace(beliefs, iterations=_SCREENING_STEPS)
    tries = []
    for local, root in _guess_bodies(sight, lifted, markers, skeleton, fps=fps):
        rows, energy = descend_windows(pack(local, root), subject, brief, root)
        tries.append((energy, rows, root, _heading(rows)))
    tries.sort(key=lambda found: found[0])
    best, others = tries[0], [found for found in tries if float((found[3] * tries[0][3]).sum(-1).mean()) < 0]
    rows, _ = descend_windows(best[1], subject, beliefs, best[2])
    certainty = 1 - best[0] / others[0][0] if others else 1.0
    rows = keep_within_limits(rows, subject, beliefs, best[2])
    return motion_of(rows, fps=fps), max(0.0, float(certainty))


def _lift_markers(sight: Sighting, markers: Markers, skeleton: Skeleton, *, fps: float) -> LiftedJoints:
    """The network's estimate from those markers that it knows."""
    ours, theirs = match_points(markers, skeleton)
    time = len(sight.pixels)
    pixels, confidence = torch.zeros(time, len(POINTS), 2), torch.zeros(time, len(POINTS))
    known = sight.pixels.isfinite().all(-1)
    pixels[:, theirs] = torch.where(known[..., None], sight.pixels, 0)[:, ours].float()
    confidence[:, theirs] = torch.where(known, sight.confidence, 0)[:, ours].float().clamp(0, 1)
    return lift_points(pixels, confidence, sight.camera.Ks[0].float(), fps=fps)


def _add_joints(
    sight: Sighting, lifted: LiftedJoints, markers: Markers, skeleton: Skeleton, *, fps: float, noise: float
) -> Subject:
    """What is fitted: the markers, known in the picture alone, and the network's joints, known in 3D alone."""
    joints = joint_markers(JOINT_NAMES[:NUM_BODY], skeleton)
    both = Markers(
        torch.cat([markers.weights, joints.weights]),
        torch.cat([markers.frames, joints.frames]),
        torch.cat([markers.offsets, joints.offsets]),
    )
    unknown = torch.zeros(*sight.confidence.shape)
    extended = Sighting(
        torch.cat([sight.pixels, torch.zeros_like(lifted.joints[..., :2])], dim=1),
        torch.cat([sight.confidence, torch.zeros_like(lifted.spread)], dim=1),
        sight.camera,
    )
    points = torch.cat([unknown[..., None].expand(-1, -1, 3), lifted.joints], dim=1)
    confidence = torch.cat([unknown, _trust(lifted, noise) / _ALIKE_FRAMES], dim=1)
    return Subject(Track(points, confidence, fps, sighting=extended), both, skeleton)


def _trust(lifted: LiftedJoints, noise: float) -> Float[Tensor, "time 22"]:
    """Confidence of joints whose error is that spread, in a track whose noise is this."""
    return (noise / lifted.spread).clamp(max=1) ** 2


def _guess_bodies(
    sight: Sighting, lifted: LiftedJoints, markers: Markers, skeleton: Skeleton, *, fps: float
) -> Iterator[tuple[Float[Tensor, "time 22 3 3"], Float[Tensor, "time 3"]]]:
    """Rotations and pelvis to start from: the network's, and one for each facing direction."""
    pixels, seen = smooth(sight.pixels.float(), sight.confidence.float(), 1.0)
    K = sight.camera.Ks[0]
    joints = joint_markers(JOINT_NAMES[:NUM_BODY], skeleton)
    local, _ = analytic_start(lifted.joints, _trust(lifted, 0.05), joints, skeleton)
    shape = markers.place(*body_kinematics(local, torch.zeros_like(lifted.joints[:, 0]), skeleton))
    yield local, place_shapes(shape, pixels, seen, K, smoothing=_SMOOTHING * fps)
    for yaw in _candidate_facings(pixels, seen, markers, sight.camera, fps=fps):
        points = _guess_points(pixels, seen, yaw, K, markers, skeleton, fps=fps)
        yield analytic_start(points, seen, markers, skeleton)


def _heading(rows: Float[Tensor, "time 135"]) -> Float[Tensor, "time 3"]:
    """Direction that the pelvis faces: its z axis, the cross product of its x and y axes."""
    x = torch.nn.functional.normalize(rows[:, 0:3], dim=-1)
    y = rows[:, 3:6] - (rows[:, 3:6] * x).sum(-1, keepdim=True) * x
    return torch.linalg.cross(x, torch.nn.functional.normalize(y, dim=-1))


def _candidate_facings(
    pixels: Tensor, seen: Tensor, markers: Markers, camera: Camera, *, fps: float
) -> list[Float[Tensor, " time"]]:
    """Directions to try, radians about the vertical: 0 faces the camera, a quarter turn faces the picture's right."""
    fixed = [torch.full((len(pixels),), k * math.pi / 4) for k in range(8)]
    direct = markers.direct
    pair = [JOINT["left_shoulder"], JOINT["right_shoulder"]]
    if not set(pair) <= direct.keys():
        return fixed
    left, right = (direct[joint] for joint in pair)
    across = pixels[:, left, 0] - pixels[:, right, 0]
    # A person who turns shows the full width at some time; the 90th percentile ignores outliers.
    cosine = (across / across.abs().quantile(0.9).clamp(min=1.0)).clamp(-1, 1)
    turn, _ = smooth(cosine[:, None, None], torch.minimum(seen[:, left], seen[:, right])[:, None], _SMOOTHING * fps)
    angle = turn[:, 0, 0].clamp(-1, 1).arccos()
    return [angle, -angle, *fixed]


def _guess_points(
    pixels: Tensor, seen: Tensor, yaw: Tensor, K: Tensor, markers: Markers, skeleton: Skeleton, *, fps: float
) -> Float[Tensor, "time marker 3"]:
    """Guess 3D points that project onto the pixels: trunk and head turned by `yaw`, limbs by their foreshortening.

    Source:
        Taylor, "Reconstruction of articulated objects from point correspondences", CVIU 2000: a bone that looks short
        points towards the camera or away from it. The guess here: knees and hands are in front of the body.
    """
    cos, sin, zero, one = yaw.cos(), yaw.sin(), torch.zeros_like(yaw), torch.ones_like(yaw)
    R = torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], dim=-1).unflatten(-1, (3, 3))
    rest = markers.rest(skeleton)
    rigid = torch.einsum("tij,mj->tmi", R, rest)
    trunk = torch.isin(markers.frames, torch.tensor([JOINT[name] for name in _RIGID]))
    if not trunk.any():
        trunk = torch.ones_like(trunk)
    root = place_shapes(rigid, pixels, seen * trunk, K, smoothing=_SMOOTHING * fps)
    depth = (rigid + root[:, None])[..., 2].clone()
    points = _points_on_rays(pixels, depth, K)
    direct = markers.direct
    for limb in LIMBS:
        ends = [JOINT[name] for name in limb]
        if not set(ends) <= direct.keys():
            continue
        upper, hinge, end = (direct[joint] for joint in ends)
        forward = cos * (1.0 if "hip" in limb[0] else 0.5)
        for a, b, sign in ((upper, hinge, forward), (hinge, end, -cos if "hip" in limb[0] else cos)):
            length = (rest[a] - rest[b]).norm()
            flat = _points_on_rays(pixels[:, [b]], points[:, [a], 2], K)[:, 0] - points[:, a]
            away = (length**2 - (flat[:, :2] ** 2).sum(-1)).clamp(min=0).sqrt()
            # A quarter of the depth: full depth on the wrong side would be worse than none.
            depth[:, b] = points[:, a, 2] + 0.25 * sign.clamp(-1, 1) * away
            points[:, b] = _points_on_rays(pixels[:, [b]], depth[:, [b]], K)[:, 0]
        _carry_ends(points, pixels, upper, end, K, markers, ends[2])
    return points


_RIGID = ("pelvis", "left_hip", "right_hip", "spine1", "spine2", "spine3", "neck", "left_shoulder", "right_shoulder")


def _points_on_rays(pixels: Tensor, z: Tensor, K: Tensor) -> Tensor:
    """The points at depth z (negative in front of the camera) that project onto the pixels, level camera's frame."""
    x = -(pixels[..., 0] - K[0, 2]) / K[0, 0] * z
    y = (pixels[..., 1] - K[1, 2]) / K[1, 1] * z
    return torch.stack([x, y, z], dim=-1)


def _carry_ends(points: Tensor, pixels: Tensor, upper: int, end: int, K: Tensor, markers: Markers, joint: int) -> None:
    """Give markers of the hand or foot the depth of the limb's end."""
    below = torch.isin(markers.frames, torch.tensor([joint, joint + 3]))
    for marker in below.nonzero().squeeze(1).tolist():
        if marker not in (upper, end):
            points[:, marker] = _points_on_rays(pixels[:, [marker]], points[:, [end], 2], K)[:, 0]
