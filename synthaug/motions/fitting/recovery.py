"""Motions recovered from measured joints: the one way from any source of joints to SMPL-X.

Sources read points and say which layout and frame they have; everything else, from bone lengths to which way is up,
happens here, for many clips at once. Hands, jaw and eyes stay at rest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import Skeleton, joint_positions, lowest_heights, mean_skeleton, move_motion
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

`world` is ours: y up against gravity, the floor at 0. The others are fixed cameras, whose pitch and floor are
estimated: `camera` has OpenCV's axes (x right, y down, z forward), `level` x right, y up, z backward, and `kinect`
x right, y up, z forward as NTU RGB+D's files have it, which is left-handed and fits its sides named as in a mirror.
"""


@dataclass(frozen=True, eq=False)
class JointTrack:
    """Joints of one person, as a source measured them.

    Attributes:
        points: Metres, in the source's frame. Values of no confidence may be anything, nan included.
        confidence: 0 (missing) to 1.
        fps: Frames per second.
        layout: Which points these are.
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
                f"frame={self.frame!r} was given; one of {', '.join(FRAMES)} was wanted. Say in which the points are."
            )
        if self.points.shape[1] != self.layout.num_points:
            raise ValueError(
                f"{self.points.shape[1]} points a frame were given; {self.layout.name} has {self.layout.num_points}. "
                "Name the layout that the file has."
            )


@dataclass(frozen=True, eq=False)
class KeypointTrack:
    """Points of one person in the picture of one fixed camera.

    Attributes:
        pixels: Pixel centres lie at half-integers. Values of no confidence may be anything, nan included.
        confidence: 0 (missing) to 1.
        fps: Frames per second.
        layout: Which points these are.
        K: The camera's intrinsics, in pixels; `placement.intrinsics` makes them of a guessed focal length.
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
                f"{self.pixels.shape[1]} points a frame were given; {self.layout.name} has {self.layout.num_points}. "
                "Name the layout that the file has."
            )


@dataclass(frozen=True, eq=False)
class RecoveredMotion:
    """A motion recovered from one track.

    Attributes:
        motion: On the mean skeleton, world frame, y up, the floor at 0.
        T_source_world: Our world to the source's frame, whose axes are OpenCV's for all frames but `world`, and whose
            lengths are multiplied by `scale`. For a source that is a camera this is its viewmat.
        scale: Of our mean body against the performer: our world is the performer's, enlarged by so much, so that
            things look the same through the same lens.
        quality: 0 (useless) to 1 (exact).
        notes: Parts of the score and other things worth reporting.
    """

    motion: Motion
    T_source_world: Float[Tensor, "4 4"]
    scale: float
    quality: float
    notes: dict[str, float]

    def viewmats(self, T_camera_source: Float[Tensor, "*time 4 4"] | None = None) -> Float[Tensor, "*time 4 4"]:
        """World to camera, for a camera whose place is known in the source's frame and metres.

        Args:
            T_camera_source: Rigid; OpenCV's axes on the camera's side. None takes the source itself for the camera,
                which holds for all frames but `world`, and gives one viewmat for every frame of the motion.
        """
        if T_camera_source is None:
            return self.T_source_world.expand(self.motion.num_frames, 4, 4)
        scaled = T_camera_source.clone()
        scaled[..., :3, 3] *= self.scale
        return scaled @ self.T_source_world

    def beside(self, lead: "RecoveredMotion") -> Motion:
        """The motion in the world of somebody else whom the same source saw at the same time.

        Both worlds were levelled, and enlarged to the mean body, each on its own. The motion is turned about the
        vertical and shifted along the floor, no more: it stays upright and on its feet, and the middle of its path
        comes to where the other's world has it.
        """
        T = torch.linalg.inv(lead.T_source_world)
        # Rotations of both worlds, one after the other, are about the vertical but for what two guesses of it differ.
        R = T[:3, :3] @ self.T_source_world[:3, :3]
        angle = math.atan2(float(R[0, 2] - R[2, 0]), float(R[0, 0] + R[2, 2]))
        turn = axis_angle_to_matrix(torch.tensor([0.0, angle, 0.0]))
        middle = self.motion.transl.mean(dim=0)
        seen = (self.T_source_world[:3, :3] @ middle + self.T_source_world[:3, 3]) * (lead.scale / self.scale)
        shift = T[:3, :3] @ seen + T[:3, 3] - turn @ middle
        return move_motion(self.motion, turn, shift * shift.new_tensor([1.0, 0.0, 1.0]))


def recover(tracks: Sequence[JointTrack], *, beliefs: Beliefs | None = None) -> list[RecoveredMotion]:
    """The motions of several tracks, fitted side by side: bone lengths first, then angles, then the ground.

    Deterministic, and no track influences another.

    Args:
        tracks: All of one layout.
        beliefs: Weights of the terms; None takes those measured on motion capture.

    Raises:
        ValueError: If nothing at all was measured, the layouts differ, or a body is of no human size.
    """
    if not tracks:
        return []
    layout = tracks[0].layout
    if any(track.layout != layout for track in tracks):
        names = sorted({track.layout.name for track in tracks})
        raise ValueError(f"Tracks of the layouts {names} were given; one layout was wanted. Recover each kind apart.")
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
    """The motion of points that one camera saw. The performer is given the mean body's size.

    Notes hold `facing`: 0 where front and back could not be told apart, towards 1 where they could.

    Raises:
        ValueError: If nothing at all was seen.
    """
    mean = mean_skeleton()
    markers = track.layout.markers(mean)
    finite = track.pixels[:, track.layout.points].isfinite().all(-1)
    confidence = torch.where(finite, track.confidence[:, track.layout.points] * track.layout.trust, 0).float()
    if not (confidence > 0).any():
        raise ValueError(
            f"No point of any confidence is among the {len(confidence)} frames. At least one in one frame was wanted. "
            "Was the confidence filled in, and are the values finite?"
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
    """From a level camera's frame to the world, the middle of the path above the origin; and how it was found."""
    held = estimate_tilt(motion, skeleton)
    floor = estimate_floor(motion, seen, markers, skeleton, pitch_deg=held.pitch_deg)
    T = torch.eye(4)
    T[:3, :3] = leveling_rotation(held.pitch_deg)
    middle = move_motion(motion, T[:3, :3], torch.zeros(3)).transl.median(dim=0).values
    T[:3, 3] = torch.stack([-middle[0], floor[3], -middle[2]])
    return T, {"pitch_deg": held.pitch_deg, "pitch_evidence": held.evidence}


def _level_track(track: JointTrack) -> Track:
    """The fitted points with y up and z towards the viewer, weighted by what their definition is worth."""
    signs = track.points.new_tensor(FRAMES[track.frame])
    points = track.points[:, track.layout.points] * signs
    confidence = track.confidence[:, track.layout.points] * track.layout.trust.to(track.confidence)
    finite = points.isfinite().all(-1)
    return Track(points.float(), torch.where(finite, confidence, 0).float(), track.fps)


def _finish_recovery(
    track: JointTrack, measured: Track, motion: Motion, markers: Markers, build: Proportions
) -> RecoveredMotion:
    """The fitted motion on the mean body and on the ground, with its score."""
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
    """The motion in a world enlarged about its origin, the lowest point of the body keeping its share of height."""
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
