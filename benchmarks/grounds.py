"""Measure where people are put: floors of pictures, places that fit, who floats: `python -m benchmarks.grounds`."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from synthaug.avatars.anny import AnnyPeople
from synthaug.backgrounds.images import Images
from synthaug.backgrounds.rooms import Rooms
from synthaug.body.grounding import lower
from synthaug.body.skeleton import JOINT, joint_positions, lowest_heights, move_motion
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Camera, Motion, Rendering, Scene
from synthaug.testing.cameras import example_camera

TALL = 1.75
"""Metres of the person whose height in the picture is compared."""
FRAME = 160
"""Height and width in pixels of the frames in which occlusion is compared."""
FINE, COARSE = (0.005, 0.003), (0.03, 0.015)
"""Noise of depth as a share of it: of each pixel, and of a smooth field over the picture; a depth camera, a network."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """A rendered room as a photograph: pixels, exact depth, and the camera that took it."""

    picture: UInt8[np.ndarray, "rows columns 3"]
    depth: Float[np.ndarray, "rows columns"]
    camera: Camera

    @property
    def pitch_deg(self) -> float:
        """Degrees by which the camera looks down."""
        return math.degrees(math.asin(-float(self.camera.viewmats[0, 2, 1])))

    @property
    def height(self) -> float:
        """Of the camera, metres."""
        viewmat = self.camera.viewmats[0].double()
        return float(-(viewmat[:3, :3].mT @ viewmat[:3, 3])[1])

    @property
    def fov_deg(self) -> float:
        """Degrees that the picture is wide."""
        return math.degrees(2 * math.atan(self.camera.width / 2 / float(self.camera.Ks[0, 0, 0])))


def photograph(seed: int, *, size: tuple[int, int] = (240, 320), kinds: tuple[str, ...] = ()) -> Photograph:
    """A room that somebody photographs from eye height or below, not quite level."""
    rng = np.random.default_rng([7, seed])
    bearing, distance = rng.uniform(0, 2 * math.pi), rng.uniform(2.4, 4.0)
    eye = np.array([distance * math.sin(bearing), rng.uniform(1.0, 1.8), distance * math.cos(bearing)])
    target = np.array([rng.uniform(-0.6, 0.6), rng.uniform(0.5, 1.1), rng.uniform(-0.6, 0.6)])
    camera = aim(eye, target, roll_deg=rng.uniform(-3, 3), fov_deg=rng.uniform(50, 75), size=size)
    rooms = Rooms(occluders=0.5)
    scene = rooms.scene(rooms.sample(rng), camera)
    assert scene.depth is not None
    return Photograph(scene.frames[0].permute(1, 2, 0).numpy(), scene.depth.numpy(), camera)


def aim(
    eye: Float[np.ndarray, "3"],
    target: Float[np.ndarray, "3"],
    *,
    roll_deg: float,
    fov_deg: float,
    size: tuple[int, int],
) -> Camera:
    """A camera at a place that looks at another, turned clockwise by its roll; `fov_deg` is that of its width."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 1, 0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cos, sin = math.cos(math.radians(roll_deg)), math.sin(math.radians(roll_deg))
    R = np.stack([cos * right + sin * down, -sin * right + cos * down, forward])
    viewmat = np.eye(4)
    viewmat[:3, :3], viewmat[:3, 3] = R, -R @ eye
    focal = size[1] / 2 / math.tan(math.radians(fov_deg) / 2)
    K = np.array([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]])
    return Camera(torch.from_numpy(viewmat).float()[None], torch.from_numpy(K).float()[None], size[1], size[0])


def disturb(
    depth: Float[np.ndarray, "rows columns"], noise: tuple[float, float], *, seed: int
) -> Float[np.ndarray, "rows columns"]:
    """Depth as an instrument gives it: each pixel wrong by itself, and all by a smooth field, in shares of depth."""
    rng = np.random.default_rng([8, seed])
    field = cv2.resize(rng.normal(size=(4, 5)), depth.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return depth * (1 + noise[0] * rng.normal(size=depth.shape) + noise[1] * field / field.std())


def save_photographs(root: Path, shots: list[Photograph], noise: tuple[float, float]) -> None:
    """Write photographs with their depth, 16-bit PNG in millimetres, and the table of their width."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ["file,fov_deg"]
    for k, shot in enumerate(shots):
        cv2.imwrite(str(root / f"{k:03d}.png"), shot.picture[..., ::-1])
        millimetres = np.clip(1000 * disturb(shot.depth, noise, seed=k), 1, 60000).round().astype(np.uint16)
        cv2.imwrite(str(root / f"{k:03d}.depth.png"), millimetres)
        lines.append(f"{k:03d}.png,{shot.fov_deg:.3f}")
    (root / "captions.csv").write_text("\n".join(lines) + "\n")


@dataclass(frozen=True)
class Placed:
    """How far off one person in one picture is."""

    pitch_deg: float
    height_error: float
    feet: float
    tall: float
    right: int
    pixels: int


def measure_pictures(root: Path, shots: list[Photograph], *, noise: tuple[float, float]) -> tuple[list[Placed], int]:
    """People in photographs with disturbed depth against the room itself; and how many pictures gave no ground."""
    save_photographs(root, shots, noise)
    images = Images(root, zoom=1.0)
    images.prepare([])
    stage = _Stage()
    found = []
    for k, shot in enumerate(shots):
        values = {"file": f"{k:03d}.png", "zoom": 1.0, "x": 0.5, "y": 0.5, "spot": (0.31 + 0.618 * k) % 1}
        scene = images.scene(values, example_camera(frames=1, height=FRAME, width=FRAME))
        if scene.camera is not None:
            found.append(_compare(stage, scene, shot))
    return found, len(images.refused)


class _Stage:
    """Renders one standing person."""

    def __init__(self) -> None:
        self.person = AnnyPeople(levels=None, gaussians=6000).load("studio-000003")
        pose = torch.zeros(1, 55, 3)
        for side, sign in (("left", -1), ("right", 1)):
            pose[:, JOINT[f"{side}_shoulder"], 2] = 1.2 * sign
        motion = Motion.from_pose(pose, torch.zeros(1, 3), fps=16.0)
        lowest = lowest_heights(joint_positions(motion, self.person.skeleton), scale=self.person.skeleton.size)
        self.motion = lower(motion, lowest)
        self.renderer = CpuRenderer()

    def render(self, camera: Camera, place: Float[torch.Tensor, "3"]) -> Rendering:
        """The person at a place on the floor, facing the camera."""
        eye = -camera.viewmats[0, :3, :3].mT @ camera.viewmats[0, :3, 3]
        turn = math.atan2(float(eye[0] - place[0]), float(eye[2] - place[2]))
        R = torch.tensor([[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]])
        return self.renderer.render([self.person.pose(move_motion(self.motion, R, place))], camera, depth=True)


def _compare(stage: _Stage, scene: Scene, shot: Photograph) -> Placed:
    """One person where the picture's ground has them, against the same person on the room's floor there."""
    assert scene.camera is not None and scene.spot is not None and scene.depth is not None
    ours, spot = scene.camera, torch.tensor(scene.spot)
    truth = replace(ours, viewmats=shot.camera.viewmats)
    local = ours.viewmats[0, :3, :3] @ spot + ours.viewmats[0, :3, 3]
    T = torch.linalg.inv(truth.viewmats[0])
    where, eye = T[:3, :3] @ local + T[:3, 3], T[:3, 3]
    # The true floor where our person's feet are seen.
    place = eye + (where - eye) * (eye[1] / (eye[1] - where[1]))
    estimated = Photograph(shot.picture, shot.depth, ours)
    tall = [_pixels_tall(camera, at) for camera, at in ((ours, spot), (truth, place))]
    a, b = stage.render(ours, spot), stage.render(truth, place)
    depth = _true_depth(shot, ours)
    assert a.depth is not None and b.depth is not None
    both = (a.alpha[0, 0] > 127) & (b.alpha[0, 0] > 127)
    same = (a.depth[0, 0] <= scene.depth) == (b.depth[0, 0] <= depth)
    return Placed(
        pitch_deg=abs(estimated.pitch_deg - shot.pitch_deg),
        height_error=abs(estimated.height / shot.height - 1),
        feet=abs(float(where[1])) / TALL,
        tall=abs(tall[0] / tall[1] - 1),
        right=int((both & same).sum()),
        pixels=int(both.sum()),
    )


def _pixels_tall(camera: Camera, place: Float[torch.Tensor, "3"]) -> float:
    ends = torch.stack([place, place + torch.tensor([0.0, TALL, 0.0])])
    seen = ends @ camera.viewmats[0, :3, :3].mT + camera.viewmats[0, :3, 3]
    pixels = (seen @ camera.Ks[0].mT)[:, :2] / seen[:, 2:]
    return float((pixels[1] - pixels[0]).norm())


def _true_depth(shot: Photograph, frame: Camera) -> Float[torch.Tensor, "height width"]:
    """The room's own depth in a frame cut out of its photograph: at each pixel the photograph's nearest."""
    v, u = torch.meshgrid(torch.arange(frame.height) + 0.5, torch.arange(frame.width) + 0.5, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], -1) @ torch.linalg.inv(frame.Ks[0]).mT @ shot.camera.Ks[0].mT
    rows, columns = shot.depth.shape
    row, column = rays[..., 1].long().clamp(0, rows - 1), rays[..., 0].long().clamp(0, columns - 1)
    return torch.from_numpy(shot.depth)[row, column]
