"""Measure the cost of a synthetic clip, and how accurate it is: `python -m benchmarks.render`.

Costs are CPU milliseconds of one process, medians of interleaved rounds. On a busy machine a single figure says little,
and only ratios apply to other machines. The last line is one JSON object:

clips_per_s_112, clips_per_s_224    posing, rendering and compositing of 16 frames at 4,000 and 8,000 Gaussians
vs_decode_340x256, vs_decode_640x480    time from recipe to composited uint8 at 112 px, without sensor model, over
                                    images in memory, divided by the time to read 16 frames at stride 2 with the
                                    better of decord and PyAV
..._sensor, ..._rooms               the same with the sensor model; in front of rooms that are lit for the first time
parity_db                           the compiled renderer against the specification in float32, before quantisation
truth_db_112, truth_db_224          the level that the renderer chooses against full detail, supersampled 8 and 4 times
truth_db_112_classic_full           all Gaussians with stock classic splatting against the same
loader_mixed_vs_real                clips per second of a half synthetic loader over those of a real-only one, 2 workers
worker_private_mb                   memory that a forked worker has for itself after twenty clips
warm_start_s                        CPU seconds from importing the renderer to the first clip, with kernels on disk
python_calls                        calls of Python functions from recipe to pixels, over stills, by the profiler
room_ms                             what a room costs more than a still the first time, 112 px
"""

import argparse
import cProfile
import dataclasses
import json
import multiprocessing
import multiprocessing.queues
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import cv2
import decord
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.timing import Task, interleave
from synthaug.avatars.anny import SEEDS, AnnyPeople
from synthaug.backgrounds import Background
from synthaug.backgrounds.images import Images
from synthaug.backgrounds.rooms import Rooms
from synthaug.body.skeleton import mean_skeleton, resample, retarget
from synthaug.body.skinning import pose_frame
from synthaug.cameras.orbit import Orbit
from synthaug.compositing.layers import over
from synthaug.datamodule.module import Loading, SynthAugDataModule
from synthaug.datasets.folder import Folder
from synthaug.datasets.protocols.generic import CrossSubject
from synthaug.levels import Pyramid
from synthaug.motions import MotionSource
from synthaug.motions.actions import ACTIONS, Actions
from synthaug.motions.variation import Variation
from synthaug.renderers import Splatting
from synthaug.renderers.cpu import CpuRenderer, render_framebuffer
from synthaug.renderers.splatting.refinement import Refinement
from synthaug.renderers.torch import splat
from synthaug.sensors import Sensor
from synthaug.sensors.camera import CameraSensor
from synthaug.structures import Camera, ClipFormat, Gaussians, Motion, Record, Reference
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.synthesis.references import gather
from synthaug.testing.renderers import psnr
from synthaug.video import write_video
from synthaug.workers import use_single_thread

FRAMES, STRIDE, FPS = 16, 2, 30
FILMS = {"340x256": (256, 340), "640x480": (480, 640)}
GREY = 118
"""Value of the flat background behind people whose pictures are compared."""
PEOPLE = AnnyPeople(people=SEEDS, levels=Pyramid(refine=Refinement()))
HEIGHT_SHARE_A_METRE = 0.7 / 1.7
"""Share of the picture's height that a metre fills: a person of 1.7 m fills 70 percent."""


def synthesizer(background: Background, *, size: int, sensor: Sensor | None = None) -> Synthesizer:
    """Re-enact every action once, with three people to choose from."""
    records = [
        Record(f"{action}/studio/0", Path(action), label, "", "", 0.0, 4.0) for label, action in enumerate(ACTIONS)
    ]
    synthesis = Synthesis(
        motion=Actions(), variation=Variation(), avatar=PEOPLE, camera=Orbit(), background=background,
        renderer=CpuRenderer(), sensor=sensor, cache=None, identities=3, backgrounds=2,
    )  # fmt: skip
    return Synthesizer(synthesis, gather(records, synthesis.motion), ClipFormat(FRAMES, FPS / STRIDE, size), seed=0)


def view(size: int, *, azimuth: float = 0.4) -> Camera:
    """A camera at a distance of 3 m and a height of 1.2 m; the person fills 70 percent of the picture's height."""
    place = np.array([3 * np.sin(azimuth), 1.2, 3 * np.cos(azimuth)])
    forward = np.array([0, 0.9, 0]) - place
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 1, 0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    viewmat = torch.eye(4)
    viewmat[:3, :3], viewmat[:3, 3] = torch.from_numpy(R), torch.from_numpy(-R @ place)
    focal = HEIGHT_SHARE_A_METRE * size * 3
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Camera(viewmat.repeat(FRAMES, 1, 1), K.repeat(FRAMES, 1, 1), width=size, height=size)


def performance(seed: int, action: str, *, frames: int = FRAMES) -> Gaussians:
    """A person with levels of detail who performs an action."""
    person = PEOPLE.load(f"studio-{seed:06d}")
    reference = Actions().load(Record(f"{action}/studio/{seed}", Path(), 0, "", "", 0.0, 4.0))
    motion = resample(reference.motion, torch.linspace(0.2, 3.6, frames, dtype=torch.float64))
    return person.pose(retarget(motion, mean_skeleton(), person.skeleton))


def at(person: Gaussians, count: int) -> Gaussians:
    """The person at the level with about this many Gaussians."""
    return person.at(min(person.levels, key=lambda level: abs(len(level.means) - count)))


def film(path: Path, height: int, width: int) -> None:
    """Write four seconds of H.264 in which a person moves in front of a detailed, noisy picture."""
    rng = np.random.default_rng(0)
    clip = synthesizer(Rooms(), size=256).render(synthesizer(Rooms(), size=256).sample(5)).video.numpy()
    small = [cv2.resize(frame.transpose(1, 2, 0), (width, height)) for frame in clip]
    texture = cv2.resize(rng.integers(0, 40, (height // 4, width // 4, 3)).astype(np.uint8), (width, height))
    frames = []
    for t in range(4 * FPS):
        shown = small[t * len(small) // (4 * FPS)].astype(np.int16) + texture
        frames.append(np.clip(shown + rng.normal(0, 2, shown.shape), 0, 255).astype(np.uint8).transpose(2, 0, 1))
    write_video(path, torch.from_numpy(np.stack(frames)), fps=FPS, metadata={}, crf=23)


def by_pyav(path: Path, start: int, size: int) -> np.ndarray:
    """Read 16 frames at stride 2 with PyAV, resized by the decoder's scaler."""
    chosen, found = {start + STRIDE * i for i in range(FRAMES)}, []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        tick = float(stream.time_base or 0)
        container.seek(int(start / FPS / tick), stream=stream)
        for frame in container.decode(stream):
            if frame.pts is not None and round(frame.pts * tick * FPS) in chosen:
                found.append(frame.reformat(width=size, height=size, format="rgb24").to_ndarray())
            if len(found) == FRAMES:
                break
    return np.stack(found)


def by_decord(path: Path, start: int, size: int) -> np.ndarray:
    """Read the same frames with decord."""
    reader = decord.VideoReader(str(path), width=size, height=size, num_threads=1)
    return reader.get_batch([start + STRIDE * i for i in range(FRAMES)]).asnumpy()


def costs(folder: Path, *, rounds: int) -> dict[str, list[float]]:
    """CPU milliseconds of everything that is timed, by name."""
    stills = folder / "stills"
    stills.mkdir()
    rng = np.random.default_rng(1)
    for number in range(4):
        picture = cv2.resize(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8), (320, 240))
        cv2.imwrite(str(stills / f"{number}.png"), picture)
    sensor = CameraSensor()
    plans = {
        "recipe to pixels, 112 px": synthesizer(Images(stills), size=112),
        "the same with sensor": synthesizer(Images(stills), size=112, sensor=sensor),
        "the same in new rooms": synthesizer(Rooms(), size=112),
        "recipe to pixels, 224 px": synthesizer(Images(stills), size=224),
    }
    tasks: dict[str, Task] = {name: _make(ours) for name, ours in plans.items()}
    for size, count in ((112, 4_000), (224, 8_000)):
        tasks[f"pose, render, over: {count} at {size} px"] = _bare(size, count)
    for name, (height, width) in FILMS.items():
        path = folder / f"{name}.mp4"
        film(path, height, width)
        starts = np.random.default_rng(2).integers(0, 4 * FPS - FRAMES * STRIDE, 60)
        for reader in (by_decord, by_pyav):
            tasks[f"{reader.__name__} {name}"] = partial(_read, reader, path, starts)
    return interleave(tasks, rounds=rounds)


def _make(ours: Synthesizer) -> Task:
    """From recipe to pixels; recipes are sampled before, as training does."""
    recipes = [ours.sample(number) for number in range(60)]
    return lambda number: ours.render(recipes[number])


def count_calls(folder: Path) -> float:
    """Calls of Python functions that the profiler counts from recipe to pixels, 112 px, over stills."""
    ours, profile = synthesizer(Images(folder / "stills"), size=112), cProfile.Profile()
    task = _make(ours)
    for number in range(20):
        task(number)  # people and kernels are there
    profile.runcall(lambda: [task(number) for number in range(20)])
    called = sum(entry.callcount for entry in profile.getstats() if not isinstance(entry.code, str))
    return (called - 22) / 20  # the loop itself


def _read(read: Callable[[Path, int, int], np.ndarray], path: Path, starts: np.ndarray, number: int) -> np.ndarray:
    return read(path, int(starts[number]), 112)


def _bare(size: int, count: int) -> Callable[[int], Tensor]:
    """A clip of one person at one level, from the motion to the composited picture."""
    person, camera = PEOPLE.load("studio-000001"), view(size)
    level = min(person.pose(_still()).levels, key=lambda level: abs(len(level.means) - count))
    reference = Actions().load(Record("hand waving/studio/1", Path(), 0, "", "", 0.0, 4.0))
    motion = retarget(
        resample(reference.motion, torch.linspace(0.2, 3.6, FRAMES, dtype=torch.float64)),
        mean_skeleton(),
        person.skeleton,
    )
    frames = torch.full((FRAMES, 3, size, size), GREY, dtype=torch.uint8)
    renderer = CpuRenderer(Splatting(per_pixel=None))
    return lambda _: over(renderer.render([person.pose(motion).at(level)], camera), frames)


def _still() -> Motion:
    return resample(
        Actions().load(Record("walk/studio/1", Path(), 0, "", "", 0.0, 1.0)).motion, torch.zeros(1, dtype=torch.float64)
    )


def truth(size: int, factor: int) -> dict[str, float]:
    """PSNR in dB of the chosen level and of stock classic splatting against supersampled full detail: four scenes."""
    errors: dict[str, list[float]] = {"chosen": [], "classic": []}
    for seed, (action, azimuth) in enumerate(
        (("hand waving", 0.2), ("kicking something", 1.2), ("sit down", 2.5), ("walk", 4.0))
    ):
        person, camera = performance(seed, action, frames=4), view(size, azimuth=azimuth)
        camera = dataclasses.replace(camera, viewmats=camera.viewmats[:4], Ks=camera.Ks[:4])
        Ks = camera.Ks.clone()
        Ks[:, :2] *= factor
        large = dataclasses.replace(camera, Ks=Ks, height=size * factor, width=size * factor)
        full = torch.nn.functional.avg_pool2d(_over_grey(person, large, Splatting(per_pixel=None)), factor)
        stock = Splatting(antialiased=False, eps2d=0.3, per_pixel=None)
        for name, splatting in (("chosen", Splatting()), ("classic", stock)):
            errors[name].append(float((_over_grey(person, camera, splatting) - full).square().mean()))
    return {name: float(10 * np.log10(255**2 / np.mean(found))) for name, found in errors.items()}


def _over_grey(person: Gaussians, camera: Camera, splatting: Splatting) -> Tensor:
    rendering = CpuRenderer(splatting).render([person], camera)
    return rendering.rgb.double() + (1 - rendering.alpha.double() / 255) * GREY


def parity() -> tuple[float, float]:
    """PSNR in dB against the specification in float32, and the largest difference, for a person at two sizes."""
    worst, largest = np.inf, 0.0
    for size in (64, 112):
        person, camera = at(performance(3, "punch", frames=1), 4_000), view(size)
        camera = dataclasses.replace(camera, viewmats=camera.viewmats[:1], Ks=camera.Ks[:1])
        ours = render_framebuffer([person], camera, Splatting())[0]
        rgb, alpha, _ = splat(
            pose_frame(person, 0), camera.viewmats[0], camera.Ks[0], height=size, width=size, splatting=Splatting()
        )
        theirs = torch.cat([rgb, alpha])
        worst = min(worst, psnr(ours, theirs, peak=1.0))
        largest = max(largest, float((ours - theirs).abs().max()))
    return worst, largest


def loader_ratio(folder: Path, *, rounds: int) -> tuple[float, float]:
    """Clips a second of real-only and of half synthetic batches: two workers, the same films, medians over epochs."""
    root = folder / "films"
    for action in ("wave", "walk"):
        for subject in ("a", "b", "c"):
            path = root / action / f"{subject}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            # An empty box of MP4 tells copies apart: one film in training and test would be a leak.
            box = b"\0\0\0\x10free" + f"{action}{subject}".encode().ljust(8)
            path.write_bytes((folder / "340x256.mp4").read_bytes() + box)
    rows = [f"{action}/{subject}.mp4,{action},{subject}" for action in ("wave", "walk") for subject in "abc"]
    (root / "clips.csv").write_text("file,label,subject\n" + "\n".join(rows * 1))
    speeds: dict[bool, list[float]] = {False: [], True: []}
    synthesis = dataclasses.replace(
        synthesizer(Images(folder / "stills"), size=112).synthesis, motion=_AnyMotion(), identities=3
    )
    modules = {}
    for mixed in speeds:
        module = SynthAugDataModule(
            Folder(root, csv="clips.csv"), CrossSubject(test_subjects=["c"]),
            synth=dataclasses.replace(synthesis, identities=3 if mixed else 0, backgrounds=16),
            clip=ClipFormat(FRAMES, FPS / STRIDE, 112), loading=Loading(batch_size=8, num_workers=2),
            augmentation=None,
        )  # fmt: skip
        module.prepare_data()
        module.setup("fit")
        modules[mixed] = module.train_dataloader()
    for number in range(rounds + 1):
        for mixed, loader in modules.items():
            start, clips = time.perf_counter(), 0
            while clips < 96:
                for batch in loader:
                    assert isinstance(batch, dict)
                    clips += len(batch["label"])
            if number:
                speeds[mixed].append(clips / (time.perf_counter() - start))
    return statistics.median(speeds[False]), statistics.median(speeds[True])


def worker_memory(folder: Path) -> float:
    """Megabytes that a forked worker has for itself after twenty clips, if its parent has loaded all avatars."""
    ours = synthesizer(Images(folder / "stills"), size=112)
    for number in range(20):
        ours.render(ours.sample(number))
    ours = synthesizer(Images(folder / "stills"), size=112)
    ours.preload_avatars()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_private_after, args=(ours, queue))
    child.start()
    child.join()
    return float(queue.get()) / 1e3


def _private_after(ours: Synthesizer, queue: "multiprocessing.queues.SimpleQueue[int]") -> None:
    use_single_thread()
    for number in range(20):
        ours.render(ours.sample(number))
    queue.put(_private())


def _private() -> int:
    """Kilobytes of this process that it shares with no other (Linux)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def warm_start() -> float:
    """CPU seconds, median of three, to import the renderer, load its kernels from disk and render a first picture."""
    code = (
        "import time, torch\nstart = time.process_time()\nfrom synthaug.renderers.cpu import CpuRenderer\n"
        "from synthaug.testing.renderers import example_person, example_view\n"
        "CpuRenderer().render([example_person()], example_view())\nprint(time.process_time() - start)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    return statistics.median(float(run.stdout.split()[-1]) for run in runs)


class _AnyMotion(MotionSource):
    """The same performance for every film, since the benchmark's films show no real action."""

    @property
    def fingerprint(self) -> str:
        return Actions().fingerprint

    def reads(self, record: Record) -> tuple[Path, ...]:
        return ()

    def load(self, record: Record) -> Reference:
        return Actions().load(dataclasses.replace(record, key="hand waving/studio/3", end=record.start + 4.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    use_single_thread()
    cv2.setNumThreads(1)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        times = costs(Path(folder), rounds=rounds)
        real, mixed = loader_ratio(Path(folder), rounds=max(rounds // 5, 1))
        private = worker_memory(Path(folder))
        calls = count_calls(Path(folder))
    middle = {name: statistics.median(found) for name, found in times.items()}
    decode = {name: min(middle[f"by_decord {name}"], middle[f"by_pyav {name}"]) for name in FILMS}
    table = Table("16 frames", "CPU ms, median", "least", *(f"share of {name}" for name in FILMS))
    for name, found in times.items():
        shares = (f"{middle[name] / decode[against]:.2f}" for against in FILMS)
        table.add_row(name, f"{middle[name]:.1f}", f"{min(found):.1f}", *shares)
    Console().print(table)
    decibels, largest = parity()
    small, large = truth(112, 8), truth(224, 4)
    ratios = {
        f"vs_decode_{name}{suffix}": round(middle[task] / decode[name], 3)
        for name in FILMS
        for suffix, task in (
            ("", "recipe to pixels, 112 px"), ("_sensor", "the same with sensor"),
            ("_rooms", "the same in new rooms"),
        )
    }  # fmt: skip
    figures = {
        "clips_per_s_112": round(1e3 / min(times["pose, render, over: 4000 at 112 px"]), 1),
        "clips_per_s_224": round(1e3 / min(times["pose, render, over: 8000 at 224 px"]), 1),
        **ratios,
        "parity_db": round(decibels, 1),
        "parity_largest": round(largest, 6),
        "truth_db_112": round(small["chosen"], 2),
        "truth_db_224": round(large["chosen"], 2),
        "truth_db_112_classic_full": round(small["classic"], 2),
        "loader_mixed_vs_real": round(mixed / real, 3),
        "worker_private_mb": round(private, 1),
        "warm_start_s": round(warm_start(), 2),
        "python_calls": round(calls),
        "room_ms": round(middle["the same in new rooms"] - middle["recipe to pixels, 112 px"], 1),
        "load": round(load, 2),
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
