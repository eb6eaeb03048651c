"""Measure how fast motion comes out of film: `python -m benchmarks.extraction`, or with `--root FOLDER` of real film.

Without a folder, the demo's street is filmed at 640x480 and 30 frames a second, once, by cameras from several sides;
its truth is known, so the error of the motions is printed beside the speed. The last line is one JSON object:

extract_fps        frames of film per CPU second of one process with one thread, decoding and fitting included
extract_2_speedup  wall time of one process over that of two; says something on a machine that does nothing else
film_aligned_mm    median over films of the Procrustes-aligned error over 22 joints; null with --root

Needs the pose extra.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.pose import procrustes
from synthaug.body.skeleton import centre_of, joint_positions, mean_skeleton, resample, retarget
from synthaug.cameras.orbit import Orbit
from synthaug.compositing.layers import darken, occlude, over
from synthaug.compositing.shadows import contact_shadow
from synthaug.files import read_reference, user_cache, write_reference
from synthaug.motions.video import VideoMotion
from synthaug.pseudoreal.camera import record_clip
from synthaug.pseudoreal.street import build_street
from synthaug.structures import Record, Reference
from synthaug.synthesis.references import extract_references
from synthaug.video import SUFFIXES, probe, write_video

SIZE, FPS, SECONDS = (480, 640), 30.0, 3.0
VIEWS = {
    "punch": 0.0, "walk": 30.0, "hand waving": 60.0, "kicking something": -45.0, "sit down": 20.0, "bow": 90.0,
    "lie down": 45.0, "drink water": -20.0,
}  # fmt: skip
"""Actions, and the side from which each is filmed in degrees."""


@dataclass(frozen=True)
class Speed:
    """What extraction cost.

    Attributes:
        frames: Frames of film in the records' intervals.
        cpu: CPU seconds.
        wall: Seconds.
        references: What was extracted, by key.
    """

    frames: int
    cpu: float
    wall: float
    references: dict[str, Reference]


def shoot_films(count: int) -> list[Record]:
    """Film this many actions, or take the films of an earlier run from the cache."""
    folder = user_cache() / "benchmarks" / "extraction"
    records = []
    for number, (action, azimuth) in enumerate(list(VIEWS.items())[:count]):
        path = folder / f"{action.replace(' ', '_')}.mp4"
        if not path.exists():
            _shoot(path, action, azimuth, number)
        records.append(Record(action, path, number, str(number), "", 0.0, probe(path).duration))
    return records


def _shoot(path: Path, action: str, azimuth: float, number: int) -> None:
    """Film one action as the demo's street is filmed, at another size."""
    stage, rng = build_street(), np.random.default_rng([5, number])
    known = stage.motion.load(Record(f"{action}/street/{number}", path, 0, "", "", 0.0, SECONDS))
    times = torch.arange(int(min(SECONDS, known.motion.duration) * FPS)).double() / FPS
    motion = resample(known.motion, times, loop=False)
    still = [view[:1].expand(len(times), *view.shape[1:]) for view in (known.camera.viewmats, known.camera.Ks)]
    own = replace(known.camera, viewmats=still[0], Ks=still[1])
    side = Orbit(azimuth_deg=(azimuth, azimuth), elevation_deg=(5, 15), distance=(0.9, 1.1), focal=(1.0, 1.2))
    camera = side.path(side.sample(rng), own.scaled(height=SIZE[0], width=SIZE[1]), centre_of(motion))
    performer = stage.avatar.load(stage.avatar.sample(len(VIEWS), np.random.default_rng(2))[number])
    moved = retarget(motion, mean_skeleton(), performer.skeleton)
    scene = stage.background.scene(stage.background.sample(rng), camera.around(centre_of(moved)))
    rendering = stage.renderer.render(
        [replace(performer.pose(moved), light=scene.light)], camera, depth=scene.depth is not None
    )
    if scene.depth is not None:
        rendering = occlude(rendering, scene.depth)
    shadow = contact_shadow(joint_positions(moved, performer.skeleton), camera, scene.light, depth=scene.depth)
    video = record_clip(over(rendering, darken(scene.frames, shadow)), stage.sensor.sample(rng))
    write_reference(path.with_suffix(".npz"), Reference(motion, camera))
    write_video(path, video, fps=FPS, crf=24)


def find_films(root: Path) -> list[Record]:
    """Every film below a folder, whole."""
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [Record(str(path.relative_to(root)), path, 0, "", "", 0.0, probe(path).duration) for path in paths]


def measure_extraction(records: Sequence[Record], *, num_workers: int = 0) -> Speed:
    """Extract the motions of the records into an empty cache."""
    frames = sum(round((record.end - record.start) * probe(record.path).fps) for record in records)
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = _spent(), time.perf_counter()
        found = extract_references(records, VideoMotion(), cache=Path(folder), num_workers=num_workers)
        return Speed(frames, _spent() - cpu, time.perf_counter() - wall, found.by_key)


def _spent() -> float:
    """CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure_errors(records: Sequence[Record], references: dict[str, Reference]) -> list[float]:
    """Mean Procrustes-aligned error of each film that has its truth beside it, millimetres."""
    errors = []
    for record in records:
        if record.key not in references:
            continue
        found, truth = references[record.key], read_reference(record.path.with_suffix(".npz")).motion
        first = round(found.notes["offset"] * FPS)
        ours, theirs = (joint_positions(motion, mean_skeleton())[:, :22].numpy() for motion in (found.motion, truth))
        last = min(len(theirs), first + len(ours))
        errors.append(1000 * float(procrustes(ours[: last - first], theirs[first:last]).mean()))
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="real film; without it the project films its own")
    parser.add_argument("--films", type=int, default=8, help="number of films (8)")
    parser.add_argument("--two", action="store_true", help="also extract in two processes; needs two idle cores")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    records = (find_films(chosen.root) if chosen.root else shoot_films(len(VIEWS)))[: chosen.films]
    # First, because processes cannot be forked from one that has used mediapipe.
    two = measure_extraction(records, num_workers=2) if chosen.two else None
    measure_extraction([replace(records[0], end=records[0].start + 1.0)])  # compiles and loads
    one = measure_extraction(records)
    kind = "own film, 640x480" if chosen.root is None else f"film in {chosen.root}"
    print(f"{kind}: {one.frames} frames in {one.cpu:.1f} s of CPU and {one.wall:.1f} s, load {os.getloadavg()[0]:.1f}")
    figures: dict[str, float | None] = {"extract_fps": round(one.frames / one.cpu, 1), "extract_2_speedup": None}
    if two is not None:
        print(f"two processes: {two.cpu:.1f} s of CPU and {two.wall:.1f} s, their start included")
        figures["extract_2_speedup"] = round(one.wall / two.wall, 2)
    errors = [] if chosen.root else measure_errors(records, one.references)
    figures["film_aligned_mm"] = round(float(np.median(errors)), 1) if errors else None
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
