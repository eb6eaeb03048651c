"""Measure how the cost of a synthetic clip grows: `python -m benchmarks.curves [--to docs/performance.svg]`.

Costs are CPU milliseconds of this thread: the least of several rounds, each of which visits all settings in turn. The
plot needs matplotlib (it comes with the pose extra); without `--to` the figures are only printed. The last line is one
JSON object.
"""

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.render import FPS, PEOPLE, STRIDE, at, performance, synthesizer, view
from synthaug.backgrounds.images import Images
from synthaug.compositing.layers import over
from synthaug.renderers import Splatting
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import ClipFormat
from synthaug.synthesis import Synthesizer

LENGTHS, SIZES = (4, 8, 16, 32, 64), (64, 112, 224, 448)
COUNTS, PEOPLE_COUNTS, REFERENCES = (2_000, 4_000, 8_000, 16_000, 32_000), (1, 2, 4, 8), (4, 16, 26)


def build_tasks(stills: Path) -> dict[str, dict[int, Callable[[int], object]]]:
    """The timed functions, by curve and by position on its x axis."""
    ours = synthesizer(Images(stills), size=112)

    def with_clip(clip: ClipFormat) -> Callable[[int], object]:
        made = Synthesizer(ours.synthesis, ours.references, clip, seed=0)
        return lambda number: made.render(made.sample(number))

    def with_people(count: int) -> Callable[[int], object]:
        synthesis = dataclasses.replace(ours.synthesis, identities=count)
        made = Synthesizer(synthesis, ours.references, ours.clip, seed=0)
        return lambda number: made.render(made.sample(number * 7 % len(made)))

    def with_references(count: int) -> Callable[[int], object]:
        some = ours.references.records[:count]
        made = Synthesizer(ours.synthesis, dataclasses.replace(ours.references, records=some), ours.clip, seed=0)
        return lambda number: made.render(made.sample(number * 7 % len(made)))

    def with_gaussians(count: int) -> Callable[[int], object]:
        person = performance(1, "hand waving")
        level = person if count >= 32_000 else at(person, count)
        renderer, camera = CpuRenderer(Splatting(per_pixel=None)), view(112)
        frames = ours.render(ours.sample(0)).video
        return lambda _: over(renderer.render([level], camera), frames)

    fps = FPS / STRIDE
    return {
        "frames": {n: with_clip(ClipFormat(n, fps, 112)) for n in LENGTHS},
        "pixels a side": {n: with_clip(ClipFormat(16, fps, n)) for n in SIZES},
        "Gaussians at 112 px (rendering alone)": {n: with_gaussians(n) for n in COUNTS},
        "identities": {n: with_people(n) for n in PEOPLE_COUNTS},
        "reference clips": {n: with_references(n) for n in REFERENCES},
    }


def measure(curves: dict[str, dict[int, Callable[[int], object]]], *, rounds: int) -> dict[str, dict[int, float]]:
    """Least milliseconds of each setting, after one round that compiles and one that fills caches."""
    least = {name: dict.fromkeys(points, np.inf) for name, points in curves.items()}
    for number in range(rounds + 2):
        for name, points in curves.items():
            for place, task in points.items():
                start = time.thread_time()
                task(number)
                if number >= 2:
                    least[name][place] = min(least[name][place], 1e3 * (time.thread_time() - start))
    return least


def plot(found: dict[str, dict[int, float]], path: Path) -> None:
    """Plot one panel for each curve."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(found), figsize=(3.2 * len(found), 2.8), sharey=True)
    for panel, (name, points) in zip(panels, found.items(), strict=True):
        panel.plot(list(points), list(points.values()), "o-", color="#28527a")
        panel.set_xscale("log", base=2)
        panel.set_xticks(list(points), [str(place) for place in points])
        panel.minorticks_off()
        panel.set_xlabel(name, fontsize=8)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.3)
    panels[0].set_yscale("log", base=2)
    panels[0].set_ylabel("CPU ms a clip", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    from synthaug.workers import use_single_thread

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    use_single_thread()
    PEOPLE.load("studio-000001")
    with tempfile.TemporaryDirectory() as folder:
        picture = cv2.resize(np.random.default_rng(1).integers(0, 256, (12, 16, 3)).astype(np.uint8), (640, 480))
        cv2.imwrite(str(Path(folder) / "still.png"), picture)
        found = measure(build_tasks(Path(folder)), rounds=options.rounds)
    for name, points in found.items():
        print(f"{name:40s}", "  ".join(f"{place}: {least:.1f} ms" for place, least in points.items()))
    if options.to:
        plot(found, options.to)
    rounded = {name: {str(place): round(least, 2) for place, least in points.items()} for name, points in found.items()}
    print(json.dumps({**rounded, "load": round(os.getloadavg()[0], 2)}))


if __name__ == "__main__":
    main()
