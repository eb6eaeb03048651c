"""How much of a motion survives a reader? `python -m benchmarks.sources` goes there and back through every format.

Known performances are written in each source's own on-disk format by the writers of the tests, with the noise stated,
and read again. `mm` is the mean distance of 22 joints from the truth after the best turn about the vertical and shift
on the floor, both the same all along, since a camera's pitch and place are estimated; `bvh` is compared as it is.
`coco` and `toyota 2d` see one view: their distances and leaning towards the camera are guesses, and `picture_percent`
(median distance of fitted and given points, as a share of the person's height) is what they can promise. Prints a
table, then one line of JSON.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "motions"))

import skeletonfiles as files
import test_keypoint_files as points
import test_ntu_skeleton as kinect
import test_paramfiles as params

from synthaug.motions.bvh import BvhMotion
from synthaug.motions.coco_wholebody import CocoWholebody
from synthaug.motions.exavatar import ExAvatar
from synthaug.motions.fitting.layouts import COCO_WHOLEBODY_133
from synthaug.motions.lhm import Lhm
from synthaug.motions.ntu_skeleton import NtuSkeleton
from synthaug.motions.toyota_skeleton import ToyotaSkeleton
from synthaug.structures import Motion

ACTIONS = ("hand waving", "walk", "kicking something", "bow", "sit down")
FPS = 20.0


def skeletons(truth: Motion, at: Path, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    for sigma in (0, 10, 30):
        joints, pixels = kinect.kinect_of(truth)
        joints = joints + rng.normal(0, sigma / 1000, joints.shape)
        bodies = [[files.ntu_body(p, q)] for p, q in zip(joints, pixels, strict=True)]
        found = NtuSkeleton(fps=FPS).load(kinect.record(kinect.written(at / "a.skeleton", bodies)))
        yield f"ntu {sigma} mm", files.aligned_mm(found.motion, truth)
    for name, names, rest in (
        ("mixamo, A-pose", files.MIXAMO, files.a_pose()), ("bandai", files.BANDAI, None), ("biped", files.BIPED, None),
        ("lafan, rest no person", files.LAFAN, files.along_x()),
    ):  # fmt: skip
        (at / "a.bvh").write_text(files.bvh_file(truth, names, rest=rest))
        yield f"bvh {name}", files.error_mm(BvhMotion(up="y").load(kinect.record(at / "a.bvh")).motion, truth)


def fitted(truth: Motion, at: Path) -> Iterator[tuple[str, float]]:
    lhm, exavatar = params.lhm(at / "lhm", truth), params.exavatar(at / "exavatar", truth, picture=None)
    yield "lhm", files.aligned_mm(Lhm(fps=FPS).load(params.record(lhm)).motion, truth)
    yield "exavatar", files.aligned_mm(ExAvatar(fps=FPS).load(params.record(exavatar)).motion, truth)


def pictures(truth: Motion, at: Path, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    seen = files.projected(files.seen(files.points_of(truth, COCO_WHOLEBODY_133), points.VIEW), points.K_FILM)
    source = CocoWholebody(fps=FPS, size=[360, 640])
    for sigma in (0, 2):
        path = points.written(at / "a.json", points.mmpose_demo(seen + rng.normal(0, sigma, seen.shape)))
        found = source.load(points.record(path))
        yield f"coco {sigma} px", files.aligned_mm(found.motion, truth)
        yield f"coco {sigma} px, picture_percent", 100 * found.notes["reprojection"]
    for pose, axes in (("2d", None), ("3d", (1, 1, 1))):
        frames = points.toyota_file(points.toyota_frames(truth, axes=axes))
        found = ToyotaSkeleton(fps=FPS, pose=pose).load(points.record(points.written(at / "b.json", frames)))
        yield f"toyota {pose}", files.aligned_mm(found.motion, truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each performance (2)")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {}
    for action in ACTIONS:
        truth, rng = files.performance(action, seconds, fps=FPS), np.random.default_rng(0)
        with tempfile.TemporaryDirectory() as folder:
            at = Path(folder)
            for name, value in (*skeletons(truth, at, rng), *fitted(truth, at), *pictures(truth, at, rng)):
                found.setdefault(name, []).append(value)
    table = Table("source", "mean", *ACTIONS, title=f"There and back, mm unless said otherwise; {seconds:g} s each")
    for name, values in found.items():
        table.add_row(name, f"{statistics.mean(values):.1f}", *(f"{value:.1f}" for value in values))
    Console(width=140).print(table)
    print(json.dumps({name: round(statistics.mean(values), 2) for name, values in found.items()}))


if __name__ == "__main__":
    main()
