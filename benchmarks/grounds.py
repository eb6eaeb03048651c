"""Measure where people are put: floors of pictures, places that fit, floating people: `python -m benchmarks.grounds`."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from synthaug.backgrounds.rooms import Rooms
from synthaug.structures import Camera

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
    eye: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"], *, roll_deg: float, fov_deg: float, size: tuple[int, int]
) -> Camera:
    """A camera at a place that looks at another, turned about its axis; degrees are those of the picture's width."""
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
