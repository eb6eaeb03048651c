"""Recover SMPL-X motions from measured joints or keypoints of any source.

Sources read points and name their layout and frame of reference. Everything else, from bone lengths to the up
direction, happens here. Hands, jaw and eyes stay at rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import Skeleton, joint_positions, lowest_heights, mean_skeleton, move_motion
from synthaug.motions.fitting.company import place_beside
from synthaug.motions.fitting.energy import project
from synthaug.motions.fitting.fit import Beliefs, Subject, fit_each
from synthaug.motions.fitting.layouts import Layout
from synthaug.motions.fitting.lifting import LIFT_BELIEFS, lift_track
from synthaug.motions.fitting.markers import Markers, Sighting, Track
from synthaug.motions.fitting.placement import FLIP, estimate_floor, estimate_tilt, level_camera, leveling_rotation
from synthaug.motions.fitting.proportions import Proportions, solve_proportions
from synthaug.motions.fitting.quality import assess, assess_lifted
from synthaug.structures import Motion

FRAMES: dict[str, tuple[float, float, float]] = {
    "world": (1.0, 1.0, 1.0),
    "level": (1.0, 1.0, 1.0),
    "camera": (1.0, -1.0, -1.0),
    "kinect": (1.0, 1.0, -1.0),
}
"""Frames of reference of joint sources, and the signs that turn their axes into x right, y up, z towards the viewer.

`world` is ours: y up against gravity, the floor at 0. The others are static cameras, whose pitch and floor are
estimated: `camera` has OpenCV's axes (x right, y down, z forward), `level` x right, y up, z backward, and `kinect`
x right, y up, z forward as in NTU RGB+D's files, which is left-handed and matches their mirrored names of sides.
"""


@dataclass(frozen=True, eq=False)
class JointTrack:
    """Joints of one person, as a source measured them.

    Attributes:
        points: Metres, in the source's frame. Arbitrary, even nan, where the confidence is 0.
        confidence: 0 (missing) to 1.
        fps: Frames per second.
        layout: Definition of the points.
        frame: One of `FRAMES`.
    """

    points: Float[Tensor, "time point 3"]
    confidence: Float[Tensor, "time point"]
    fps: float
    layout: Layout
    frame: str = "world"

    def __post_init__(self) -> None:
        if self.frame not in FRAMES:
            raise ValueError(
                f"Expected frame to be one of {', '.join(FRAMES)}, got {self.frame!r}. Name the frame of the points."
            )
        if self.points.shape[1] != self.layout.num_points:
            raise ValueError(
                f"Expected {self.layout.num_points} points a frame, as {self.layout.name} has, got "
                f"{self.points.shape[1]}. Name the layout that the file has."
            )


@dataclass(frozen=True, eq=False)
class KeypointTrack:
    """Points of one person in the picture of one static camera.

    Attributes:
        pixels: Pixel centres lie at half-integers. Arbitrary, even nan, where the confidence is 0.
        confidence: 0 (missing) to 1.
        fps: Frames per second.
        layout: Definition of the points.
        K: The camera's intrinsics, in pixels; `placement.intrinsics` makes them from a focal length.
        size: Height and width of the picture.
    """

    pixels: Float[Tensor, "time point 2"]
    confidence: Float[Tensor, "time point"]
    fps: float
    layout: Layout
    K: Float[Tensor, "3 3"]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.pixels.shape[1] != self.layout.num_points:
            raise ValueError(
                f"Expected {self.layout.num_points} points a frame, as {self.layout.name} has, got "
                f"{self.pixels.shape[1]}. Name the layout that the file has."
            )


@dataclass(frozen=True, eq=False)
class RecoveredMotion:
    """A motion recovered from one track.

    Attributes:
        motion: On the mean skeleton, world frame, y up, the floor at 0.
        T_source_world: Our world to the source's frame, whose axes are OpenCV's for all frames except `world`, and
            whose lengths are multiplied by `scale`. For a source that is a camera this is its viewmat.
        scale: Size of our mean body relative to the performer: our world is the performer's, enlarged by this factor,
            so that the picture through the same lens stays the same.
        quality: 0 (useless) to 1 (exact).
        notes: Parts of the score and other measurements to report.
    """

    motion: Motion
    T_source_world: Float[Tensor, "4 4"]
    scale: float
    quality: float
    notes: dict[str, float]

    def viewmats(self, T_camera_source: Float[Tensor, "*time 4 4"] | None = None) -> Float[Tensor, "*time 4 4"]:
        """World to camera, for a camera whose pose is known in the source's frame, in metres.

        Args:
            T_camera_source: Rigid, with OpenCV's axes for the camera. None takes the source itself as the camera, which
                holds for all frames except `world`, and returns one viewmat for every frame of the motion.
        """
        if T_camera_source is None:
            return self.T_source_world.expand(self.motion.num_frames, 4, 4)
        scaled = T_camera_source.clone()
        scaled[..., :3, 3] *= self.scale
        return scaled @ self.T_source_world

    def beside(self, lead: "RecoveredMotion") -> Motion:
        """The motion in the world of another person whom the same source saw at the same time.

        See `fitting.company.place_beside`; both worlds were scaled to the mean body separately.
        """
        return place_beside(self.motion, self.T_source_world, lead.T_source_world, scale=lead.scale / self.scale)


def recover(tracks: Sequence[JointTrack], *, beliefs: Beliefs | None = None) -> list[RecoveredMotion]:
    """Recover the motions of several tracks independently: bone lengths first, then angles, then the ground.

    Args:
        tracks: Tracks of one layout.
        beliefs: Weights of the terms; None takes those measured on motion capture.

    Raises:
        ValueError: If a track has no measured point, the layouts differ, or a body has no human size.
    """
    if not tracks:
        return []
    layout = tracks[0].layout
    if any(track.layout != layout for track in tracks):
        names = sorted({track.layout.name for track in tracks})
        raise ValueError(f"Expected tracks of one layout, got {names}. Recover each layout in a call of its own.")
    mean = mean_skeleton()
    levelled = [_level_track(track) for track in tracks]
    builds = [solve_proportions(t.points, t.confidence, layout.markers(mean), mean) for t in levelled]
    subjects = [
        Subject(measured, layout.markers(build.skeleton, size=build.size), build.skeleton)
        for measured, build in zip(levelled, builds, strict=True)
    ]
    motions = fit_each(subjects, beliefs=beliefs)
    return [
        _finish_recovery(track, subject.track, motion, subject.markers, build)
        for track, subject, motion, build in zip(tracks, subjects, motions, builds, strict=True)
    ]


def lift(track: KeypointTrack, *, beliefs: Beliefs | None = None) -> RecoveredMotion:
    """Lift the motion of points that one camera saw. The performer gets the mean body's size.

    Notes hold `facing`, the certainty of front against back: 0 (indistinguishable) to 1.

    Raises:
        ValueError: If the track has no seen point.
    """
    mean = mean_skeleton()
    markers = track.layout.markers(mean)
    finite = track.pixels[:, track.layout.points].isfinite().all(-1)
    confidence = torch.where(finite, track.confidence[:, track.layout.points] * track.layout.trust, 0).float()
    if not (confidence > 0).any():
        raise ValueError(
            f"Expected at least one point with confidence in {len(confidence)} frames, got none. "
            "Check that the confidence is filled in and the values are finite."
        )
    camera = level_camera(track.K.float(), track.size[1], track.size[0], len(confidence))
    sight = Sighting(track.pixels[:, track.layout.points].float(), confidence, camera)
    motion, facing = lift_track(sight, fps=track.fps, markers=markers, skeleton=mean, beliefs=beliefs or LIFT_BELIEFS)
    T_world_level, ground = _estimate_ground(motion, confidence, markers, mean)
    notes = _picture_score(sight, motion, markers, mean) | ground | {"facing": facing}
    placed = move_motion(motion, T_world_level[:3, :3], T_world_level[:3, 3])
    quality = assess_lifted(sight, motion, reprojection=notes["reprojection"])
    return RecoveredMotion(placed, FLIP @ torch.linalg.inv(T_world_level), 1.0, quality.score, notes | quality.notes())


def _picture_score(sight: Sighting, motion: Motion, markers: Markers, skeleton: Skeleton) -> dict[str, float]:
    direct = markers.direct
    pixels, depth = project(joint_positions(motion, skeleton)[:, list(direct)], sight.camera)
    seen = (sight.confidence[:, list(direct.values())] > 0.3) & (depth > 0)
    metres = depth / sight.camera.Ks[:, :1, 0]
    apart = ((pixels - sight.pixels[:, list(direct.values())]).norm(dim=-1) * metres)[seen]
    residual = float(apart.median()) / 1.7 if len(apart) else 1.0
    detection = float((sight.confidence > 0).any(1).float().mean())
    return {"detection": detection, "reprojection": residual}


def _estimate_ground(
    motion: Motion, seen: Float[Tensor, "time marker"], markers: Markers, skeleton: Skeleton
) -> tuple[Float[Tensor, "4 4"], dict[str, float]]:
    """Estimate the transform from a level camera's frame to the world, with the middle of the path above the origin."""
    held = estimate_tilt(motion, skeleton)
    floor = estimate_floor(motion, seen, markers, skeleton, pitch_deg=held.pitch_deg)
    T = torch.eye(4)
    T[:3, :3] = leveling_rotation(held.pitch_deg)
    middle = move_motion(motion, T[:3, :3], torch.zeros(3)).transl.median(dim=0).values
    T[:3, 3] = torch.stack([-middle[0], floor[3], -middle[2]])
    return T, {"pitch_deg": held.pitch_deg, "pitch_evidence": held.evidence}


def _level_track(track: JointTrack) -> Track:
    """The fitted points with y up and z towards the viewer, weighted by the layout's trust."""
    signs = track.points.new_tensor(FRAMES[track.frame])
    points = track.points[:, track.layout.points] * signs
    confidence = track.confidence[:, track.layout.points] * track.layout.trust.to(track.confidence)
    finite = points.isfinite().all(-1)
    return Track(points.float(), torch.where(finite, confidence, 0).float(), track.fps)


def _finish_recovery(
    track: JointTrack, measured: Track, motion: Motion, markers: Markers, build: Proportions
) -> RecoveredMotion:
    """Put the fitted motion on the ground and on the mean body, and grade it."""
    notes = _score(measured, motion, markers, build)
    T_world_level = torch.eye(4)
    if track.frame != "world":
        T_world_level, ground = _estimate_ground(motion, measured.confidence, markers, build.skeleton)
        notes |= ground
    placed = move_motion(motion, T_world_level[:3, :3], T_world_level[:3, 3])
    mean = mean_skeleton()
    scale = mean.leg / build.skeleton.leg
    T_source_level = torch.eye(4) if track.frame == "world" else FLIP
    T_level_world = torch.linalg.inv(T_world_level)
    T_level_world[:3, 3] *= scale
    quality = assess(measured, motion, markers, build.skeleton)
    resized = _resize_motion(placed, build.skeleton, mean, scale)
    return RecoveredMotion(resized, T_source_level @ T_level_world, scale, quality.score, notes | quality.notes())


def _resize_motion(motion: Motion, source: Skeleton, target: Skeleton, scale: float) -> Motion:
    """Scale the motion about the origin; the lowest point of the body keeps its relative height."""
    before = lowest_heights(joint_positions(motion, source), scale=1 / scale) * scale
    grown = replace(motion, transl=motion.transl * scale)
    lift = torch.zeros_like(grown.transl)
    lift[:, 1] = before - lowest_heights(joint_positions(grown, target))
    return replace(grown, transl=grown.transl + lift)


def _score(measured: Track, motion: Motion, markers: Markers, build: Proportions) -> dict[str, float]:
    seen = measured.confidence > 0
    joints = joint_positions(motion, build.skeleton)[:, markers.frames]
    direct = list(markers.direct.values())
    apart = (joints - measured.points).norm(dim=-1)[:, direct][seen[:, direct]]
    residual = float(apart.median()) if len(apart) else 1.0
    return {
        "detection": float(seen.any(1).float().mean()),
        "residual": residual,
        "limb_variation": build.variation,
        "size": 1 / (mean_skeleton().leg / build.skeleton.leg),
    }
