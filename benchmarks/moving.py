"""Measure motion from film of moving cameras and small people: `python -m benchmarks.moving`, or `--quick`.

The demo's people perform known motions in the demo's rooms; one performance is filmed by a camera that stands still,
pans, zooms, shakes as a hand does, stands far off (people of 120 pixels), stands far off and pans, films people of 120
pixels in pictures of 1080 rows, or has its shutter open for half of the time. Each film passes a codec and is read by
`synth/motion=video`. The last line is one JSON object:

- `moving_ratio`: of each kind, the Procrustes-aligned 3D error against that of the camera that stands still;
- `aligned_mm`: that error, mean over 22 joints and frames, median over actions;
- `world_ratio`, `world_mm`: the same after one rigid alignment of the whole clip, where the camera's movement shows;
- `path_mm`: the error of the pelvis's path after that alignment;
- `peak_speed`: the highest speed of a wrist or ankle about the pelvis, over the true one;
- `camera`: the part of the grade that says how well the camera's movement is known;
- `unread`: films that gave no motion.

Needs the pose extra.
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.pose import procrustes
from synthaug.avatars.anny import SEEDS, AnnyPeople
from synthaug.backgrounds.rooms import Rooms
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import JOINT, centre_of, joint_positions, mean_skeleton, resample, retarget
from synthaug.compositing.layers import darken, over
from synthaug.compositing.shadows import contact_shadow
from synthaug.motions import UnusableClipError
from synthaug.motions.actions import perform
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.motions.video import VideoMotion
from synthaug.progress import track
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Camera, Motion, Record
from synthaug.video import write_video

ACTIONS = ("walk", "hand waving", "kicking something", "sit down", "punch", "jump up")
"""One that goes somewhere, fast limbs, a change of height, and a flight."""
KINDS = ("still", "pan", "zoom", "shake", "small", "small pan", "small hd", "blur")
SIZE = (480, 640)
LARGE = (1080, 1920)
SHUTTER = 4
"""Moments that a frame of blurred film averages, over half of its duration."""
FOCAL = 0.9
"""Longer sides of the picture."""
TALL = 290.0
"""Pixels of a person's height in the picture."""
SMALL = 120.0
SECONDS, FPS = 2.4, 15.0


def film_camera(kind: str, centre: Float[Tensor, "3"], count: int, *, seed: int) -> Camera:
    """The camera of one film: chest high, before the person, aimed at the middle of the path and then moved."""
    height, width = LARGE if "hd" in kind else SIZE
    rng = np.random.default_rng(seed)
    distance = FOCAL * width * 1.7 / (SMALL if "small" in kind else TALL)
    azimuth = rng.uniform(-0.6, 0.6)
    place = torch.tensor(
        [float(centre[0]) + distance * math.sin(azimuth), 1.4, float(centre[2]) + distance * math.cos(azimuth)]
    )
    aim = torch.tensor([float(centre[0]), 0.9, float(centre[2])]) - place
    forward = aim / aim.norm()
    right = torch.linalg.cross(forward, torch.tensor([0.0, 1.0, 0.0]))
    right = right / right.norm()
    level = torch.stack([right, torch.linalg.cross(forward, right), forward])
    turns, shifts, zooms = move_camera(kind, count, rng)
    R = axis_angle_to_matrix(turns) @ level
    viewmats = torch.eye(4).repeat(count, 1, 1)
    viewmats[:, :3, :3] = R
    viewmats[:, :3, 3] = -(R @ (place + shifts)[..., None])[..., 0]
    Ks = torch.zeros(count, 3, 3)
    Ks[:, 0, 0] = Ks[:, 1, 1] = FOCAL * width * zooms
    Ks[:, 0, 2], Ks[:, 1, 2], Ks[:, 2, 2] = width / 2, height / 2, 1.0
    return Camera(viewmats, Ks, width, height)


def move_camera(
    kind: str, count: int, rng: np.random.Generator
) -> tuple[Float[Tensor, "time 3"], Float[Tensor, "time 3"], Float[Tensor, " time"]]:
    """Rotations about the camera's axes (radians), shifts (metres) and zoom of each frame."""
    t = torch.arange(count) / FPS
    phase = t / t[-1]
    turns, shifts, zooms = torch.zeros(count, 3), torch.zeros(count, 3), torch.ones(count)
    if "pan" in kind:
        # Across a third of the view and back a little, with a slow tilt.
        turns[:, 1] = math.radians(12) * torch.cos(1.3 * math.pi * phase)
        turns[:, 0] = math.radians(2.5) * torch.sin(1.7 * math.pi * phase)
    if kind == "zoom":
        zooms = torch.exp(torch.linspace(math.log(0.7), math.log(1.35), count))
    if kind == "shake":
        for axis in range(3):
            for _ in range(3):
                wave = torch.sin(2 * math.pi * rng.uniform(0.5, 3.0) * t + rng.uniform(0, 6.28))
                turns[:, axis] += math.radians(0.9 if axis < 2 else 0.5) * wave
                shifts[:, axis] += 0.008 * wave
    return turns, shifts, zooms


def shoot(kind: str, action: str, path: Path, *, seed: int) -> Motion:
    """Write one film, and return the true motion of its performer, at the film's frames."""
    whole = perform(action, PerformerStyle(), fps=50.0, seconds=SECONDS)
    times = torch.arange(int(SECONDS * FPS)).double() / FPS
    moments = torch.arange(SHUTTER if kind == "blur" else 1).double() / (2 * SHUTTER * FPS)
    exposed = times[times < whole.duration][:, None] + moments
    motion = resample(whole, exposed.mean(1), loop=False)
    rng = np.random.default_rng([seed, 7])
    people = AnnyPeople(family="street", people=SEEDS, levels=None)
    performer = people.load(people.sample(1, rng)[0])
    shown = retarget(motion, mean_skeleton(), performer.skeleton)
    camera = film_camera(kind, centre_of(shown), shown.num_frames, seed=seed)
    room = Rooms(family="street", occluders=0.0, samples=1)
    scene = room.scene(room.sample(rng), camera.around(centre_of(shown)))
    posed = performer.pose(
        retarget(resample(whole, exposed.flatten(), loop=False), mean_skeleton(), performer.skeleton)
    )
    posed = posed if scene.light is None else replace(posed, light=scene.light)
    views = torch.arange(shown.num_frames).repeat_interleave(len(moments))
    rendering = CpuRenderer().render([posed], replace(camera, viewmats=camera.viewmats[views], Ks=camera.Ks[views]))
    shadow = contact_shadow(joint_positions(shown, performer.skeleton), camera, scene.light)
    video = over(rendering, darken(scene.frames, shadow)[views]).unflatten(0, (-1, len(moments)))
    write_video(path, video.float().mean(1).round().to(torch.uint8), fps=FPS, crf=20)
    return shown


def align_clip(points: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points [time, joint, 3] after the one rigid motion that brings the whole clip closest (Kabsch 1976)."""
    a, b = points.reshape(-1, 3), truth.reshape(-1, 3)
    middle, goal = a.mean(0), b.mean(0)
    u, _, vt = np.linalg.svd((b - goal).T @ (a - middle))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return np.asarray((points - middle) @ (u @ flip @ vt).T + goal)


def peak_speed(joints: NDArray[np.float64]) -> float:
    """Highest speed of a wrist or ankle about the pelvis, metres per second."""
    ends = [JOINT[f"{side}_{end}"] for side in ("left", "right") for end in ("wrist", "ankle")]
    local = joints[:, ends] - joints[:, :1]
    return float(np.linalg.norm(np.diff(local, axis=0), axis=-1).max() * FPS)


def measure(kind: str, action: str, folder: Path, *, seed: int) -> dict[str, float | str]:
    """Shoot a film if it is missing, read it, and compare the motion with the truth."""
    path = folder / f"{action}-{kind}-{seed}.mp4".replace(" ", "_")
    truth_path = path.with_suffix(".npy")
    if not path.exists() or not truth_path.exists():
        shown = shoot(kind, action, path, seed=seed)
        np.save(truth_path, joint_positions(shown, mean_skeleton())[:, :22].double().numpy())
    truth = np.load(truth_path)
    row: dict[str, float | str] = {"kind": kind, "action": action}
    start = time.process_time()
    try:
        found = VideoMotion(warm_up=0.0).load(Record(path.stem, path, 0, "", "", 0.0, SECONDS))
    except UnusableClipError as error:
        print(f"{path.stem}: {error}")
        return row
    first = round(found.notes["offset"] * FPS)
    joints = joint_positions(found.motion, mean_skeleton())[:, :22].double().numpy()
    true = truth[first : first + len(joints)]
    joints = joints[: len(true)]
    placed = align_clip(joints, true)
    apart = 1000 * np.linalg.norm(placed - true, axis=-1)
    return row | {
        "aligned": 1000 * float(procrustes(joints, true).mean()),
        "world": float(apart.mean()),
        "path": float(apart[:, 0].mean()),
        "speed": peak_speed(joints) / peak_speed(true),
        "camera": found.notes.get("part_camera", 1.0),
        "quality": float(found.quality or 0.0),
        "focal": found.notes["focal"],
        "seconds": time.process_time() - start,
    }


def summarize(rows: Sequence[Mapping[str, float | str]]) -> dict[str, dict[str, float] | int]:
    """Medians over actions by kind; ratios are the median over actions of each action's ratio to its still film."""
    read = [row for row in rows if "aligned" in row]
    still = {
        str(row["action"]): {key: float(row[key]) for key in ("aligned", "world")}
        for row in read
        if row["kind"] == "still"
    }
    figures: dict[str, dict[str, float]] = defaultdict(dict)
    for kind in KINDS:
        members = [row for row in read if row["kind"] == kind]
        if not members:
            continue
        for name, key in (("moving_ratio", "aligned"), ("world_ratio", "world")):
            ratios = [float(row[key]) / still[str(row["action"])][key] for row in members if row["action"] in still]
            if kind != "still" and ratios:
                figures[name][kind] = round(float(np.median(ratios)), 2)
        for name, key in (("aligned_mm", "aligned"), ("world_mm", "world"), ("path_mm", "path")):
            figures[name][kind] = round(float(np.median([float(row[key]) for row in members])), 1)
        for name, key in (("peak_speed", "speed"), ("camera", "camera"), ("quality", "quality")):
            figures[name][kind] = round(float(np.median([float(row[key]) for row in members])), 2)
    return {**figures, "unread": len(rows) - len(read)}


def print_rows(rows: Sequence[Mapping[str, float | str]]) -> None:
    """Print one line for each film."""
    columns = ("aligned", "world", "path", "speed", "camera", "quality", "focal", "seconds")
    table = Table(title="Motion from film, by camera", title_justify="left")
    for name in ("kind", "action", *columns):
        table.add_column(name, justify="left" if name in ("kind", "action") else "right")
    for row in rows:
        told = [f"{float(row[name]):.2f}" if name in row else "-" for name in columns]
        table.add_row(str(row["kind"]), str(row["action"]), *told)
    Console().print(table)


def main() -> None:
    """Shoot, read and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two actions in place of six")
    parser.add_argument("--kinds", default=",".join(KINDS), help="cameras, separated by commas")
    parser.add_argument("--actions", default="", help="actions, separated by commas")
    parser.add_argument("--films", type=Path, default=None, help="folder that keeps the films; a temporary one without")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    actions = [name for name in chosen.actions.split(",") if name] or list(ACTIONS[: 2 if chosen.quick else None])
    jobs = [(kind, action) for kind in chosen.kinds.split(",") for action in actions]
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.films or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [measure(kind, action, folder, seed=ACTIONS.index(action)) for kind, action in track(jobs, "Films")]
    print_rows(rows)
    print(f"load {os.getloadavg()[0]:.1f}")
    print(json.dumps(summarize(rows)))


if __name__ == "__main__":
    main()
