"""Describe one recorded motion: facts, and pictures that show at a glance whether it is right."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.avatars import Avatar
from synthaug.body.limits import excess
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import joint_positions, lowest_heights, mean_skeleton, resample, retarget
from synthaug.compositing.layers import over
from synthaug.renderers import Renderer
from synthaug.runs.sheets import SheetRow, Strip, paint_skeleton
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.video import SUFFIXES, indices_at, probe, read_frames

_GROUND, _LINE = (40, 42, 48), (86, 90, 100)
_LINE_SPACING = 0.5
"""Metres between the lines on the floor."""
_PREVIEW_FPS = 12.0
"""Frames per second of the preview: enough to judge a movement."""
_MAX_SPEED, _MAX_DEPTH, _MAX_EXCESS = 12.0, 0.05, 15.0
"""Metres per second, metres below the floor, and degrees beyond a joint's range that count as doubtful."""


def whole_record(path: Path) -> Record:
    """A file as a record of its own, from its beginning to its end."""
    return Record(key=path.name, path=path, label=0, subject="", camera="", start=0.0, end=1e6)


def describe_motion(reference: Reference, *, kind: str, path: Path) -> list[tuple[str, str]]:
    """What was read, line by line: source, time, frame of reference, joints, camera, score and its parts."""
    motion = reference.motion
    rows = [
        ("source", f"{kind}: {path}"),
        ("time", f"{motion.num_frames} frames, {motion.fps:g} a second, {motion.duration:.2f} s"),
        ("frame of reference", _frame(motion)),
        ("joints", _joints(motion)),
        ("companions", _companions(reference)),
        ("camera", _camera(reference)),
        ("score", "known motion, not graded" if reference.quality is None else f"{reference.quality:.2f} of 1"),
    ]
    rows += [(f"  {name}", f"{value:.4g}") for name, value in sorted(reference.notes.items())]
    return rows + [("look at", doubt) for doubt in find_doubts(motion)]


def _frame(motion: Motion) -> str:
    joints = joint_positions(motion, mean_skeleton())
    low, high = joints.reshape(-1, 3).amin(dim=0), joints.reshape(-1, 3).amax(dim=0)
    path = (motion.transl[1:] - motion.transl[:-1])[:, [0, 2]].norm(dim=-1).sum()
    facing = axis_angle_to_matrix(motion.global_orient)[:, :, 2].mean(dim=0)
    degrees = math.degrees(math.atan2(float(facing[0]), float(facing[2])))
    return (
        f"world, y up, floor at 0: x {low[0]:.2f} to {high[0]:.2f}, y {low[1]:.2f} to {high[1]:.2f}, "
        f"z {low[2]:.2f} to {high[2]:.2f} m; pelvis at {float(motion.transl[:, 1].median()):.2f} m, "
        f"goes {float(path):.2f} m; faces {round(degrees)} degrees from +z"
    )


def _joints(motion: Motion) -> str:
    def count_moving(pose: Float[Tensor, "time joint 3"]) -> str:
        count = int(((pose - pose[:1]).abs().amax(dim=(0, 2)) > 1e-3).sum())
        rest = "" if float(pose.abs().max()) > 1e-3 else ", at rest"
        return f"{count} of {pose.shape[1]} move{rest}"

    face = torch.stack([motion.jaw_pose, motion.leye_pose, motion.reye_pose], dim=1)
    return (
        f"body {count_moving(motion.body_pose)}; left hand {count_moving(motion.left_hand_pose)}; right hand "
        f"{count_moving(motion.right_hand_pose)}; jaw and eyes {count_moving(face)}"
    )


def _companions(reference: Reference) -> str:
    """How many people take part besides the acting person, and how far away they are."""
    if not reference.companions:
        return "none"
    apart = [float((one.transl - reference.motion.transl).norm(dim=-1).median()) for one in reference.companions]
    return ", ".join(f"one {metres:.2f} m away" for metres in apart)


def _camera(reference: Reference) -> str:
    camera, motion = reference.camera, reference.motion
    positions = -(camera.viewmats[:, :3, :3].mT @ camera.viewmats[:, :3, 3:])[:, :, 0]
    away = float((positions - motion.transl).norm(dim=-1).median())
    down = math.degrees(math.asin(max(-1.0, min(1.0, -float(camera.viewmats[0, 2, 1])))))
    moves = "moves" if float((camera.viewmats - camera.viewmats[:1]).abs().max()) > 1e-4 else "stands still"
    return (
        f"{camera.width} x {camera.height} pixels, focal length {float(camera.Ks[0, 0, 0]):.0f} pixels, {moves}; "
        f"{away:.1f} m away, {float(positions[0, 1]):.2f} m high, looks down by {round(down)} degrees"
    )


def find_doubts(motion: Motion) -> list[str]:
    """What looks wrong: jumps, soles off the floor, joints beyond their range. Empty if nothing looks wrong."""
    joints = joint_positions(motion, mean_skeleton())
    result = []
    if motion.num_frames > 1:
        speed = (joints[1:, :22] - joints[:-1, :22]).norm(dim=-1).amax(dim=1) * motion.fps
        if float(speed.max()) > _MAX_SPEED:
            result.append(f"a joint moves at {float(speed.max()):.0f} m/s in frame {int(speed.argmax()) + 1}: a jump?")
    height = lowest_heights(joints)
    if float(height.quantile(0.05)) < -_MAX_DEPTH:
        deep = -float(height.quantile(0.05))
        why = "another up axis, or floor?" if deep > 0.3 else "made for another body, or another floor?"
        result.append(f"the body is {deep:.2f} m below the floor at times: {why}")
    if float(height.quantile(0.5)) > 2 * _MAX_DEPTH:
        result.append(
            f"the body is {float(height.median()):.2f} m above the floor half of the time: the floor's height?"
        )
    beyond = {name: float((degrees > _MAX_EXCESS).float().mean()) for name, degrees in excess(motion).items()}
    bent = [f"{name} in {share:.0%}" for name, share in sorted(beyond.items(), key=lambda x: -x[1]) if share > 0.05]
    if bent:
        result.append(f"beyond their range by {_MAX_EXCESS:.0f} degrees: {', '.join(bent[:4])} of the frames")
    return result


@dataclass(frozen=True)
class MotionPreview:
    """How a motion is shown.

    Attributes:
        side: Side of a picture, pixels.
        seconds: Longest part of the motion that is shown.
    """

    side: int = 224
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if not 32 <= self.side <= 2048 or not 0 < self.seconds <= 600:
            raise ValueError(
                f"Expected a side of 32 to 2048 pixels and above 0 to 600 seconds, got side={self.side} and "
                f"seconds={self.seconds}. Choose values in these ranges."
            )

    def times(self, motion: Motion) -> Float[Tensor, " sample"]:
        """Seconds that are shown."""
        rate = min(_PREVIEW_FPS, motion.fps)
        count = max(2, math.ceil(min(self.seconds, motion.duration) * rate))
        return torch.arange(count, dtype=torch.float64) / rate


def show_views(
    reference: Reference, avatar: Avatar, renderer: Renderer, *, preview: MotionPreview, film: Path | None = None
) -> tuple[Strip, ...]:
    """Stick figure and re-enactment, each as the reference's camera saw it and from the performer's left.

    The floor has lines half a metre apart. The first camera's picture is cropped to the person. The second camera moves
    with the person, so that the lines move.

    Args:
        reference: What is shown, on the mean skeleton.
        avatar: Who re-enacts.
        renderer: Renders them.
        preview: How much is shown, and how large.
        film: The film that the reference was estimated from; shown under the first stick figure.
    """
    times = preview.times(reference.motion)
    motions = [resample(motion, times, loop=False) for motion in reference.people]
    joints = [joint_positions(motion, mean_skeleton()) for motion in motions]
    seen_by = _at(reference, times)
    crop = crop_to_people(torch.cat(joints, dim=1), seen_by, preview.side)
    own, aside = crop.camera(seen_by, preview.side), side_camera(motions[0], side=preview.side)
    ground = paint_floor(motions[0], own)
    under = ground if film is None else crop.film(_read_film(film, times, reference), preview.side)
    people = [avatar.pose(retarget(motion, mean_skeleton(), avatar.skeleton)) for motion in motions]
    side_ground = paint_floor(motions[0], aside)
    return (
        Strip("as its camera saw it", paint_people(under, joints, own)),
        Strip("from the performer's left (mean facing)", paint_people(side_ground, joints, aside)),
        Strip("re-enacted, same camera", over(renderer.render(people, own), ground)),
        Strip("re-enacted, from the left", over(renderer.render(people, aside), side_ground)),
    )


def paint_people(
    frames: UInt8[Tensor, "time 3 height width"], people: Sequence[Float[Tensor, "time 55 3"]], camera: Camera
) -> UInt8[Tensor, "time 3 height width"]:
    """The stick figures of several people over frames."""
    for joints in people:
        frames = paint_skeleton(frames, joints, camera)
    return frames


def one_row_each(strips: Sequence[Strip]) -> list[SheetRow]:
    """One row for each view, for a sheet."""
    return [SheetRow(strip.title, (replace(strip, title=""),)) for strip in strips]


def _at(reference: Reference, times: Float[Tensor, " sample"]) -> Camera:
    camera = reference.camera
    frames = (times * reference.motion.fps).long().clamp(max=len(camera.viewmats) - 1)
    return replace(camera, viewmats=camera.viewmats[frames], Ks=camera.Ks[frames])


@dataclass(frozen=True)
class Crop:
    """A square of a picture: pixels of the preview are `scale` times the picture's, less the corner."""

    scale: float
    left: float
    top: float

    def camera(self, camera: Camera, side: int) -> Camera:
        """The camera whose pictures are this square of the given one's, `side` pixels wide and high."""
        Ks = camera.Ks.clone()
        Ks[:, :2] *= self.scale
        Ks[:, 0, 2] -= self.scale * self.left
        Ks[:, 1, 2] -= self.scale * self.top
        return Camera(camera.viewmats, Ks, side, side)

    def film(self, frames: UInt8[Tensor, "time 3 height width"], side: int) -> UInt8[Tensor, "time 3 side side"]:
        """This square of each frame, `side` pixels wide and high; dark where it lies outside."""
        turn = np.array([[self.scale, 0, -self.scale * self.left], [0, self.scale, -self.scale * self.top]])
        shown = [
            cv2.warpAffine(np.ascontiguousarray(frame), turn, (side, side), flags=cv2.INTER_AREA, borderValue=_GROUND)
            for frame in frames.permute(0, 2, 3, 1).numpy()
        ]
        return torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).contiguous()


def crop_to_people(joints: Float[Tensor, "time joint 3"], camera: Camera, side: int, *, room: float = 1.4) -> Crop:
    """The square that holds everybody, with `room` times their extent; at most the whole picture.

    So people who are small in a film are shown large; what lies outside the film is dark.
    """
    inside = joints @ camera.viewmats[:, :3, :3].mT + camera.viewmats[:, None, :3, 3]
    flat = inside @ camera.Ks.mT
    places = (flat[..., :2] / flat[..., 2:])[inside[..., 2] > 0.1]
    whole = float(max(camera.width, camera.height))
    if len(places) == 0:
        return Crop(side / whole, (camera.width - whole) / 2, (camera.height - whole) / 2)
    low, high = places.quantile(0.02, dim=0), places.quantile(0.98, dim=0)
    extent = min(room * float((high - low).max()) + 1, whole)
    centre = (low + high) / 2
    return Crop(side / extent, float(centre[0]) - extent / 2, float(centre[1]) - extent / 2)


def side_camera(motion: Motion, *, side: int) -> Camera:
    """A camera on the performer's left, at the height of the hips, that moves along and has room for raised arms."""
    across = axis_angle_to_matrix(motion.global_orient)[:, :, 0].mean(dim=0) * motion.transl.new_tensor([1.0, 0, 1.0])
    if float(across.norm()) < 0.1:
        # A person who turns or lies has no mean direction to the left; the world's x serves as well.
        across = motion.transl.new_tensor([1.0, 0.0, 0.0])
    left = across / across.norm()
    eyes = motion.transl * motion.transl.new_tensor([1.0, 0, 1.0]) + 4.2 * left + motion.transl.new_tensor([0, 1.0, 0])
    up = motion.transl.new_tensor([0.0, 1.0, 0.0])
    R = torch.stack([torch.linalg.cross(-left, up), -up, -left])
    viewmats = torch.eye(4).repeat(motion.num_frames, 1, 1)
    viewmats[:, :3, :3] = R
    viewmats[:, :3, 3] = -eyes @ R.mT
    # 2.6 m of height fill the picture.
    focal = side * 4.2 / 2.6
    K = torch.tensor([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1]])
    return Camera(viewmats, K.repeat(motion.num_frames, 1, 1), side, side)


def paint_floor(motion: Motion, camera: Camera) -> UInt8[Tensor, "time 3 height width"]:
    """A dark place whose floor has lines half a metre apart, around where the person is."""
    pictures = []
    for frame in range(motion.num_frames):
        picture = np.full((camera.height, camera.width, 3), _GROUND, np.uint8)
        x, z = (round(float(motion.transl[frame, axis]) / _LINE_SPACING) * _LINE_SPACING for axis in (0, 2))
        for start, end in _lines(x, z):
            _paint_line(picture, start, end, camera.viewmats[frame].double().numpy(), camera.Ks[frame].double().numpy())
        pictures.append(picture)
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _lines(x: float, z: float, reach: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    steps = [_LINE_SPACING * k for k in range(-reach, reach + 1)]
    far = _LINE_SPACING * reach
    along = [(np.array([x + s, 0, z - far]), np.array([x + s, 0, z + far])) for s in steps]
    return along + [(np.array([x - far, 0, z + s]), np.array([x + far, 0, z + s])) for s in steps]


def _paint_line(picture: np.ndarray, start: np.ndarray, end: np.ndarray, view: np.ndarray, K: np.ndarray) -> None:
    """Paint a line of the world into a picture, cut where it passes the camera."""
    a, b = (view[:3, :3] @ point + view[:3, 3] for point in (start, end))
    near = 0.1
    if a[2] < near and b[2] < near:
        return
    if a[2] < near or b[2] < near:
        cut = a + (near - a[2]) / (b[2] - a[2]) * (b - a)
        a, b = (cut, b) if a[2] < near else (a, cut)
    ends = [np.clip((K @ point)[:2] / point[2], -(2**14), 2**14).round().astype(int) for point in (a, b)]
    cv2.line(picture, ends[0].tolist(), ends[1].tolist(), _LINE, 1, cv2.LINE_AA)


def find_film(path: Path) -> Path | None:
    """The path itself where it is a film."""
    return path if path.suffix.lower() in SUFFIXES and path.is_file() else None


def _read_film(
    film: Path, times: Float[Tensor, " sample"], reference: Reference
) -> UInt8[Tensor, "time 3 height width"]:
    """The film's frames at these seconds of the motion, in the size of the reference's camera."""
    info = probe(film)
    seconds = times + reference.notes.get("offset", 0.0)
    size = (reference.camera.height, reference.camera.width)
    return read_frames(film, indices_at(info, seconds.tolist()), info=info, size=size)
