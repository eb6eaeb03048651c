"""Make the picture of docs/things.md, every kind of thing in use: `python scripts/things_picture.py`.

All people are procedural, so that the picture may be handed on.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from synthaug.avatars.anny import AnnyPeople
from synthaug.body.retargeting import reenact
from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton
from synthaug.motions.actions import perform
from synthaug.motions.procedural.style import sample_style
from synthaug.props import Performer, Stage
from synthaug.props.parts.frames import find_frames
from synthaug.props.parts.moments import find_landmark
from synthaug.props.things import Things
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Camera, Light, Motion, Values

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "things.jpg"
LIGHT = Light((0.4, 0.8, 0.5), (0.5, 0.5, 0.48), (0.6, 0.6, 0.62), (0.42, 0.4, 0.38))
SIDE, COLUMNS = 180, 6
NEAREST = -1.0
WALL, FLOOR = (222, 219, 212), (196, 187, 176)


@dataclass(frozen=True)
class Shot:
    """One tile: what is held or sat on, in which action, at which share of it, seen from where.

    Attributes:
        name: Words under it.
        action: The procedural action.
        thing: An entry of `synth.props.table`; None for none.
        at: Share of the performance; NEAREST takes the frame in which a hand is nearest to where the kind goes.
        azimuth_deg: Of the camera, 0 in front.
        far: Distance of the camera, metres.
        seed: Of style and looks.
        seat: Kind of the seat; empty for none.
        who: Number of the person.
    """

    name: str
    action: str
    thing: dict | None = None
    at: float = 0.5
    azimuth_deg: float = 25.0
    far: float = 1.9
    seed: int = 1
    seat: str = ""
    who: int = 0


def _in_hand(kind: str, **more: object) -> dict:
    return {"kinds": kind, **more}


SHOTS = (
    Shot("cup", "drink water", _in_hand("cup"), NEAREST, 40.0, 1.4),
    Shot("glass", "drink water", _in_hand("glass"), NEAREST, 50.0, 1.4, 2, who=1),
    Shot("bottle", "drink water", _in_hand("bottle"), NEAREST, -30.0, 1.5, 3, who=2),
    Shot("bowl and spoon", "eat meal", None, 0.32, seed=2, who=3),
    Shot("biscuit", "eat meal", _in_hand("snack"), 0.5, 60.0, 1.2, 4),
    Shot("phone", "phone call", _in_hand("phone"), NEAREST, 10.0, 1.2, who=1),
    Shot("tablet", "read", _in_hand("tablet"), 0.3, seed=2, who=2),
    Shot("book", "read", _in_hand("book"), 0.3, 120.0, who=3),
    Shot("laptop", "read", _in_hand("laptop"), 0.3, 60.0, seed=5),
    Shot("remote control", "point to something", _in_hand("remote"), 0.5, 35.0, 2.8, who=1),
    Shot("pen", "read", _in_hand("pen"), 0.3, far=1.4, who=2),
    Shot("toothbrush", "drink water", _in_hand("toothbrush"), NEAREST, 60.0, 1.4, 5, who=3),
    Shot("comb", "touch head", _in_hand("comb"), NEAREST, -60.0, 1.35),
    Shot("broom", "pick up", _in_hand("broom"), 0.3, far=3.2, who=1),
    Shot("bag", "walk", _in_hand("bag"), 0.5, far=3.0, who=2),
    Shot("hat", "hand waving", _in_hand("hat", carrier="head"), 0.5),
    Shot("glasses", "salute", _in_hand("glasses", carrier="head"), 0.05, 15.0, 1.1),
    Shot("ball", "throw", _in_hand("ball"), 0.35, far=3.0, who=1),
    Shot("racket", "throw", _in_hand("racket"), 0.3, 70.0, 3.0, who=2),
    Shot("box", "read", _in_hand("box"), 0.3, far=3.0, who=3),
    Shot("chair", "sit down", None, 0.95, 40.0, 3.1, 2, "chair"),
    Shot("stool", "sit down", None, 0.95, 60.0, 3.2, 3, "stool", who=1),
    Shot("sofa", "sit down", None, 0.95, 30.0, 3.4, 1, "sofa", who=2),
    Shot("mat", "lie down", None, 0.98, 55.0, 4.2, 1, "mat", who=3),
)


def make_camera(target: np.ndarray, shot: Shot, frames: int) -> Camera:
    """A camera that looks at a point from a shot's side, a little from above."""
    a, e = np.radians(shot.azimuth_deg), np.radians(10.0)
    eye = target + shot.far * np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, [0.0, 1.0, 0.0])
    x /= np.linalg.norm(x)
    viewmat = np.eye(4)
    viewmat[:3, :3] = [x, np.cross(z, x), z]
    viewmat[:3, 3] = -viewmat[:3, :3] @ eye
    K = np.array([[1.5 * SIDE, 0, SIDE / 2], [0, 1.5 * SIDE, SIDE / 2], [0, 0, 1]])
    views, Ks = (torch.from_numpy(one).float()[None].repeat(frames, 1, 1) for one in (viewmat, K))
    return Camera(views, Ks, SIDE, SIDE)


def render_shot(shot: Shot, people: AnnyPeople) -> np.ndarray:
    """One tile, [SIDE, SIDE, 3]."""
    motion = perform(shot.action, sample_style(np.random.default_rng(shot.seed), "studio"), fps=25.0, seconds=4.0)
    table = {} if shot.thing is None else {shot.action: [shot.thing]}
    things = Things(table=table)
    pool = things.assign((shot.action,))
    values = pool.sample(0, [motion], np.random.default_rng(shot.seed))
    if shot.seat in ("chair", "stool", "sofa"):
        values["seat"]["kind"] = shot.seat  # type: ignore[index, call-overload]
    person = people.load(f"studio-{shot.who:06d}")
    moments = torch.linspace(0, 1, motion.num_frames).double()
    fitted = reenact(motion, mean_skeleton(), person.skeleton)
    [gripping] = pool.fit(values, [Performer(fitted, person.skeleton, moments)])
    at = round(shot.at * (motion.num_frames - 1)) if shot.at != NEAREST else find_nearest(things, values, motion)
    frame = slice(at, at + 1)
    joints = joint_positions(gripping, person.skeleton)[frame][0].numpy()
    middle = joints[[JOINT["head"], JOINT["pelvis"]]].mean(axis=0)
    whole = np.array([middle[0], 0.95, middle[2]]) if not shot.seat else np.array([middle[0], 0.45, middle[2] + 0.1])
    target = whole if shot.far > 2.3 else joints[JOINT["head"]] - [0.0, 0.16 if shot.far > 1.3 else 0.02, 0.0]
    camera = make_camera(target, shot, motion.num_frames)
    placed = pool.place(values, [Performer(gripping, person.skeleton, moments)], Stage(camera, LIGHT))
    figures = [replace(person.pose(gripping), light=LIGHT), *(one.gaussians for one in placed)]
    still = [replace(one, T_world_rest=one.T_world_rest[frame]) for one in figures]
    view = Camera(camera.viewmats[:1], camera.Ks[:1], SIDE, SIDE)
    seen = CpuRenderer().render(still, view)
    return _lay_over(seen.rgb[0].numpy(), seen.alpha[0, 0].numpy(), view, shot.far)


def find_nearest(things: Things, values: Values, motion: Motion) -> int:
    """The frame in which the hand that holds the first thing is nearest to where its kind goes."""
    held = values["things"]
    assert isinstance(held, list)
    thing = held[0]
    body, side = find_frames(motion, mean_skeleton()), str(thing["hand"])
    goal = find_landmark(body, things.kinds[str(thing["kind"])].near, side)
    return int((body.hands[side].palm - goal).norm(dim=-1).argmin())


def _lay_over(rgb: np.ndarray, alpha: np.ndarray, view: Camera, far: float) -> np.ndarray:
    """Over a floor, and a wall 1.4 m behind the middle of the picture."""
    viewmat, K = view.viewmats[0].double().numpy(), view.Ks[0].double().numpy()
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(K).T @ viewmat[:3, :3]
    eye = -viewmat[:3, :3].T @ viewmat[:3, 3]
    reach = -eye[1] / np.minimum(rays[..., 1], -1e-6)
    ahead = viewmat[2, [0, 2]] / np.linalg.norm(viewmat[2, [0, 2]])
    floor = (rays[..., 1] < -1e-6) & ((reach[..., None] * rays)[..., [0, 2]] @ ahead < far + 1.4)
    back = np.where(floor[..., None], np.array(FLOOR), np.array(WALL)).astype(np.float32)
    mixed = rgb.transpose(1, 2, 0) + (1 - alpha[..., None] / 255.0) * back
    return mixed.clip(0, 255).astype(np.uint8)


def main() -> None:
    """Render all tiles and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PICTURE)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    people = AnnyPeople(gaussians=16_000, levels=None)
    rows = -(-len(SHOTS) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + 18)), "white")
    write = ImageDraw.Draw(sheet)
    for number, shot in enumerate(SHOTS):
        x, y = number % COLUMNS * SIDE, number // COLUMNS * (SIDE + 18)
        sheet.paste(Image.fromarray(render_shot(shot, people)), (x, y))
        write.text((x + 5, y + SIDE + 3), shot.name, fill="black", font=ImageFont.load_default(11))
    sheet.save(chosen.out, quality=86)


if __name__ == "__main__":
    main()
