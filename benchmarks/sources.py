"""Measure how exactly motion sources read their formats: `python -m benchmarks.sources`.

Known performances are written in each source's file format by the writers of the tests, with the stated noise, and
read again. The unit is millimetres: the mean distance of 22 joints from the truth, after one best rotation about the
vertical and one best shift on the floor for the whole clip, since a camera's pitch and place are estimated; `bvh` is
compared without them. `coco` and `toyota 2d` see one view, so depth and leaning towards the camera are guesses: what
they can promise is `picture_percent`, the median distance of fitted and given points as a share of the person's height.
Prints a table, then one line of JSON.
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


def read_skeletons(truth: Motion, at: Path, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
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


def read_fits(truth: Motion, at: Path) -> Iterator[tuple[str, float]]:
    lhm, exavatar = params.lhm(at / "lhm", truth), params.exavatar(at / "exavatar", truth, picture=None)
    yield "lhm", files.aligned_mm(Lhm(fps=FPS).load(params.record(lhm)).motion, truth)
    yield "exavatar", files.aligned_mm(ExAvatar(fps=FPS).load(params.record(exavatar)).motion, truth)


def read_keypoints(truth: Motion, at: Path, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
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
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each performance in seconds (2)")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {}
    for action in ACTIONS:
        truth, rng = files.performance(action, seconds, fps=FPS), np.random.default_rng(0)
        with tempfile.TemporaryDirectory() as folder:
            at = Path(folder)
            for name, value in (
                *read_skeletons(truth, at, rng),
                *read_fits(truth, at),
                *read_keypoints(truth, at, rng),
            ):
                found.setdefault(name, []).append(value)
    table = Table(
        "source", "mean", *ACTIONS, title=f"Written and read again, mm unless stated otherwise; {seconds:g} s each"
    )
    for name, values in found.items():
        table.add_row(name, f"{statistics.mean(values):.1f}", *(f"{value:.1f}" for value in values))
    Console(width=140).print(table)
    print(json.dumps({name: round(statistics.mean(values), 2) for name, values in found.items()}))


if __name__ == "__main__":
    main()
