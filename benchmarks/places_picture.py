"""Paint the picture of the page on places: `python -m benchmarks.places_picture [--to docs/places.jpg]`.

Rooms of each kind with somebody in them, and the same people in rendered rooms that are shown as photographs with
depth. All of it is procedural.
"""

import argparse
import math
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from benchmarks.grounds import COARSE, aim, count_hidden, photograph, save_photographs, stand
from synthaug.avatars.anny import AnnyPeople
from synthaug.backgrounds.images import Images
from synthaug.backgrounds.room.kinds import KINDS
from synthaug.backgrounds.rooms import Rooms
from synthaug.body.grounding import floor_offsets, lower
from synthaug.body.retargeting import reenact
from synthaug.body.skeleton import joint_positions, mean_skeleton, move_motion, resample
from synthaug.compositing.layers import darken, occlude, over
from synthaug.compositing.shadows import contact_shadow
from synthaug.motions.actions import perform
from synthaug.motions.procedural.style import sample_style
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Scene
from synthaug.testing.cameras import example_camera

TILE = (216, 272)
"""Height and width of each picture, pixels."""
ACTIONS = {
    "kitchen": "drink water", "bathroom": "put palms together", "bedroom": "clapping", "living room": "phone call",
    "office": "eat meal", "corridor": "hand waving", "yard": "kicking something",
}  # fmt: skip
PICTURES, BEHIND = (5, 8, 9, 1, 11), 3
"""Photographs that are shown, and how many of the first show people behind something."""


class Stage:
    """Puts people into scenes."""

    def __init__(self) -> None:
        self.people = AnnyPeople(levels=None, gaussians=16_000)
        self.renderer = CpuRenderer()

    def show(self, scene: Scene, action: str, person: int) -> UInt8[np.ndarray, "height width 3"]:
        """One moment of an action in a scene."""
        assert scene.camera is not None and scene.spot is not None and scene.depth is not None
        avatar = self.people.load(f"studio-{person:06d}")
        motion = perform(action, sample_style(np.random.default_rng(person), "studio"), fps=10, seconds=2.5)
        whole = reenact(motion, mean_skeleton(), avatar.skeleton)
        moment = resample(whole, torch.tensor([whole.duration / 2], dtype=torch.float64))
        moment = lower(moment, floor_offsets(moment, avatar.skeleton))
        spot, view = torch.tensor(scene.spot), scene.camera.viewmats[0]
        eye = -view[:3, :3].mT @ view[:3, 3]
        turn = math.atan2(float(eye[0] - spot[0]), float(eye[2] - spot[2])) + 0.4
        R = torch.tensor([[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]])
        place = spot - R @ (moment.transl[0] * torch.tensor([1.0, 0.0, 1.0]))
        moment = move_motion(moment, R, place)
        people = avatar.pose(moment)
        rendering = self.renderer.render([people], scene.camera, depth=True)
        seen = occlude(rendering, scene.depth)
        shadow = contact_shadow(joint_positions(moment, avatar.skeleton), scene.camera, scene.light, depth=scene.depth)
        return over(seen, darken(scene.frames, shadow))[0].permute(1, 2, 0).numpy()


def show_kinds(stage: Stage) -> list[UInt8[np.ndarray, "height width 3"]]:
    """A room of each kind."""
    tiles = []
    for k, kind in enumerate(KINDS):
        rng = np.random.default_rng([2, k])
        rooms, bearing = Rooms(kinds=kind), rng.uniform(0, 2 * math.pi)
        eye = np.array([2.9 * math.sin(bearing), 1.5, 2.9 * math.cos(bearing)])
        camera = aim(eye, np.array([0, 0.95, 0]), roll_deg=0.0, fov_deg=70, size=TILE)
        tiles.append(stage.show(rooms.scene(rooms.sample(rng), camera), ACTIONS[kind], k))
    return tiles


def show_pictures(stage: Stage, folder: Path) -> list[UInt8[np.ndarray, "height width 3"]]:
    """People in photographs with depth, of network quality: behind something where that is asked for."""
    save_photographs(folder, [photograph(seed, size=(300, 400)) for seed in PICTURES], COARSE)
    images = Images(folder, zoom=1.0)
    images.prepare([])
    tiles = []
    for k, action in enumerate(list(ACTIONS.values())[: len(PICTURES)]):
        spots = [stand(f"{k:03d}.png", chance) for chance in np.linspace(0.01, 0.99, 60).tolist()]
        hidden = [count_hidden(images, values) for values in spots]
        values = spots[int(np.argmax(hidden) if k < BEHIND else np.argmin(hidden))]
        scene = images.scene(values, example_camera(frames=1, height=TILE[0], width=TILE[1]))
        tiles.append(stage.show(scene, action, 7 + k))
    return tiles


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("docs/places.jpg"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    stage = Stage()
    with tempfile.TemporaryDirectory() as folder:
        tiles = [*show_kinds(stage), *show_pictures(stage, Path(folder))]
    rows = [np.hstack(tiles[first : first + 4]) for first in range(0, len(tiles), 4)]
    cv2.imwrite(str(chosen.to), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 86])
    print(f"{chosen.to}: {chosen.to.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
