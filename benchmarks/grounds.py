"""Measure where people are put: `python -m benchmarks.grounds [--root FOLDER --csv TABLE]`.

Rendered rooms are shown to `Images` as photographs with disturbed depth, and people in them are compared with the same
people in the room itself. The last line is one JSON object, of the worst of both noises:

- `pitch_deg`, `height_error`, `feet`, `tall`: largest errors over all pictures: the camera's pitch, its height as a
  share, the feet's distance from the true floor as a share of the person's height, and the person's height in the
  picture as a share;
- `occlusion`: share of the people's pixels that are hidden or shown as in the room;
- `hidden`: share that is hidden there, where people stand behind something if they can; `hidden_right`: share of these
  that are hidden here too;
- `refused`: pictures in which no place to stand was found;
- `lines_deg`, `lines_refused`: the largest error of pitch or roll that straight lines alone give, without depth, in the
  pictures at 640x480; and pictures that they do not tell;
- `fit`, `fit_chance`: share of clips in a fitting kind of place, by `synth/fit=words` and by chance alone. Which kinds
  fit is written down here by hand (`PROPER`), not taken from the table that chooses;
- `floating`: share of clips on plates of film whose lowest point is off the floor by more than 5 % of the person's
  height, see `benchmarks.visibility`; the demo's, or with --root a folder's.
"""

import argparse
import json
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from synthaug.avatars.anny import AnnyPeople
from synthaug.backgrounds.images import Images
from synthaug.backgrounds.picture.floors import NoFloorError
from synthaug.backgrounds.picture.lines import find_horizon, pitch_and_roll
from synthaug.backgrounds.rooms import Rooms
from synthaug.body.grounding import lower
from synthaug.body.skeleton import JOINT, joint_positions, lowest_heights, move_motion
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Camera, Motion, Rendering, Scene, Values
from synthaug.synthesis.fitting import PlaceFit
from synthaug.testing.cameras import example_camera

TALL = 1.75
"""Metres of the person whose height in the picture is compared."""
FRAME = 160
"""Height and width in pixels of the frames in which occlusion is compared."""
FRAMED = example_camera(frames=1, height=FRAME, width=FRAME)
SPOTS = [(k + 0.5) / 16 for k in range(16)]
"""Spots that are tried for one behind something, as shares of all."""
FINE, COARSE = (0.005, 0.003), (0.03, 0.015)
"""Noise of depth as a share of it: of each pixel, and of a smooth field over the picture; a depth camera, a network."""


PROPER: dict[str, tuple[str, ...]] = {
    "Cook.Cleandishes": ("kitchen",), "Cook.Cut": ("kitchen",), "Cook.Usestove": ("kitchen",), "Cutbread": ("kitchen",),
    "Makecoffee.Pourgrains": ("kitchen",), "Maketea.Boilwater": ("kitchen",), "Pour.Fromkettle": ("kitchen",),
    "Drink.Fromcup": ("kitchen", "living room", "office"), "Eat.Attable": ("kitchen", "living room"),
    "Laydown": ("bedroom", "living room"), "Readbook": ("living room", "bedroom", "office"),
    "Uselaptop": ("office", "living room", "bedroom"), "WatchTV": ("living room", "bedroom"),
    "Usetelephone": ("living room", "office", "corridor", "bedroom"), "Enter": ("corridor",),
    "brush teeth": ("bathroom",), "brush hair": ("bathroom", "bedroom"),
    "type on a keyboard": ("office", "living room"),
    "put on jacket": ("corridor", "bedroom"), "throw": ("yard",), "kicking something": ("yard",), "jump up": ("yard",),
    "drink water": ("kitchen", "living room", "office"), "eat meal": ("kitchen", "living room"),
    "phone call": ("living room", "office", "corridor", "bedroom"), "sit down": ("living room", "office", "kitchen",
    "bedroom"), "lie down": ("bedroom", "living room"), "sweeping floor": ("kitchen", "living room", "corridor"),
}  # fmt: skip
"""Where actions of Toyota, NTU and the demo are done: by hand, apart from the table that chooses."""
ERRORS = ("pitch_deg", "height_error", "feet", "tall")
"""What is reported at its worst."""


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


def photograph(seed: int, *, size: tuple[int, int] = (240, 320)) -> Photograph:
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
    """How far off one person in one picture is: errors, and pixels ordered right, hidden in truth, and all."""

    pitch_deg: float
    height_error: float
    feet: float
    tall: float
    right: int
    hidden: int
    hidden_right: int
    pixels: int


def measure_pictures(root: Path, shots: list[Photograph], *, noise: tuple[float, float]) -> tuple[list[Placed], int]:
    """People in photographs with disturbed depth against the room itself; and how many pictures gave no ground."""
    save_photographs(root, shots, noise)
    images = Images(root, zoom=1.0)
    images.prepare([])
    stage = _Stage()
    found = []
    for k, shot in enumerate(shots):
        name = f"{k:03d}.png"
        if name not in images.refused:
            values = max((stand(name, chance) for chance in SPOTS), key=lambda one: count_hidden(images, one))
            found.append(_compare(stage, images.scene(values, FRAMED), shot))
    return found, len(images.refused)


def stand(name: str, chance: float) -> Values:
    """A person in the middle of a picture's part, at a share of its spots."""
    return {"file": name, "zoom": 1.0, "x": 0.5, "y": 0.5, "spot": chance}


def count_hidden(images: Images, values: Values) -> int:
    """How many points from a person's feet to the hips are behind something: most pictures have such a spot."""
    outline = images.outline(values, FRAMED)
    assert outline.camera is not None and outline.spot is not None and outline.depth_at is not None
    heights = torch.linspace(0.1, 1.0, 10)
    points = torch.tensor(outline.spot) + heights[:, None] * torch.tensor([0.0, 1.0, 0.0])
    seen = points @ outline.camera.viewmats[0, :3, :3].mT + outline.camera.viewmats[0, :3, 3]
    pixels = (seen @ outline.camera.Ks[0].mT)[:, :2] / seen[:, 2:]
    return int((outline.depth_at(pixels) < seen[:, 2] - 0.1).sum())


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
        hidden=int((both & (b.depth[0, 0] > depth)).sum()),
        hidden_right=int((both & same & (b.depth[0, 0] > depth)).sum()),
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


def measure_lines(shots: list[Photograph]) -> tuple[float, int]:
    """Largest error of pitch or roll by straight lines, degrees; and how many pictures do not tell."""
    errors = []
    for shot in shots:
        up = shot.camera.viewmats[0, :3, 1].double().numpy()
        try:
            found = find_horizon(shot.picture, shot.camera.Ks[0].double().numpy())
        except NoFloorError:
            continue
        errors.append(np.abs(np.subtract(pitch_and_roll(found.up), pitch_and_roll(up))).max())
    return float(max(errors, default=math.nan)), len(shots) - len(errors)


def measure_fit(count: int = 60) -> tuple[float, float]:
    """Share of clips in a fitting kind of room: by words, and by chance."""
    rooms, names = Rooms(kinds="all"), list(PROPER)
    fit = PlaceFit().assign(names)
    rng = np.random.default_rng(0)
    good = {"words": 0, "chance": 0}
    for label, name in enumerate(names):
        for _ in range(count):
            first = rooms.sample(rng)
            place = fit.choose(label, first, rooms.sample, rooms.describe, rng)
            good["chance"] += rooms.describe(first) in PROPER[name]
            good["words"] += rooms.describe(place) in PROPER[name]
    return good["words"] / (count * len(names)), good["chance"] / (count * len(names))


def measure_floating(root: str | None = None, csv: str | None = None) -> float:
    """Share of clips on the plates of a data set whose acting person is off their floor; the demo's without a root."""
    from benchmarks.visibility import floats, prepare  # it brings the pose networks

    overrides = ["synth/background=plates", "synth.identities=1", "synth.backgrounds=1", "synth.swap=0"]
    data = prepare(argparse.Namespace(root=root, csv=csv, overrides=overrides))
    synthesizer = data.synthesizer
    assert synthesizer is not None, "the configuration has a synth node"
    found = [floats(synthesizer, synthesizer.sample(index)) for index in range(len(synthesizer))]
    return sum(found) / max(len(found), 1)


def measure_grounds(
    pictures: int = 50, *, root: str | None = None, csv: str | None = None, floating: bool = True
) -> dict[str, float]:
    """All figures of this file.

    Args:
        pictures: How many rooms are photographed.
        root: Folder of the film whose plates are measured; None takes the demo.
        csv: Its table.
        floating: Whether plates are measured, which takes longest.
    """
    shots = [photograph(seed) for seed in range(pictures)]
    found: list[Placed] = []
    refused = 0
    for noise in (FINE, COARSE):
        with tempfile.TemporaryDirectory() as folder:
            placed, missing = measure_pictures(Path(folder), shots, noise=noise)
        found, refused = found + placed, refused + missing
        worst = {
            name: max(getattr(one, name) for one in placed) for name in ("pitch_deg", "height_error", "feet", "tall")
        }
        print(f"Noise {noise[0]:.1%} a pixel, {noise[1]:.1%} smooth: {len(placed)} pictures, worst {worst}")
    fit, chance = measure_fit()
    lines_deg, untold = measure_lines([photograph(seed, size=(480, 640)) for seed in range(pictures)])
    pixels = sum(one.pixels for one in found)
    figures = {
        **{name: max(getattr(one, name) for one in found) for name in ERRORS},
        "occlusion": sum(one.right for one in found) / pixels,
        "hidden": sum(one.hidden for one in found) / pixels,
        "hidden_right": sum(one.hidden_right for one in found) / max(sum(one.hidden for one in found), 1),
        "refused": float(refused),
        "lines_deg": lines_deg,
        "lines_refused": float(untold),
        "fit": fit,
        "fit_chance": chance,
    }
    if floating:
        figures["floating"] = measure_floating(root, csv)
    return {name: round(value, 4) for name, value in figures.items()}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=50, help="how many rooms are photographed")
    parser.add_argument("--root", help="folder of the film whose plates are measured; the demo without it")
    parser.add_argument("--csv", help="table in the folder, with the columns file and label")
    parser.add_argument("--no-film", action="store_true", help="leave plates out, which take longest")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measure_grounds(chosen.pictures, root=chosen.root, csv=chosen.csv, floating=not chosen.no_film)))


if __name__ == "__main__":
    main()
