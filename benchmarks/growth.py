"""What many clips cost in time, memory and disk: `python -m benchmarks.growth [--most 100000]`.

Synthetic sets of 1,000, 10,000 ... clips of a small demo are planned, each in a process of its own: until the data
module is set up, until all recipes are sampled, and one epoch's order; with memory at its peak and the bytes of
recipes.jsonl.
Then a few clips are rendered into the cache and exported, at 112 px and 16 frames. Costs are lines through the measured
sizes, so that larger sets can be told.

The last line is one JSON object. For a thousand clips: `setup_s`, `recipes_s`, `order_s`, `memory_mb`, `recipes_mb`,
`cache_mb`, `export_mb`, `render_s` (of a core); `largest`, the largest set that was planned; `bend`, how much more the
largest set takes for a clip than the one a tenth of its size, which is 1 where costs grow as a line.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

import synthaug as sa
from synthaug.backgrounds.plain import Plain
from synthaug.exports import Papers, PersonPapers
from synthaug.exports.parts.walk import Handover, export
from synthaug.exports.videofolder import VideoFolder
from synthaug.motions.sidecar import Sidecar
from synthaug.synthesis.caching import RenderCache

_RENDERED = 24
"""Clips that are rendered: enough for two digits, since all cost alike."""


def make_data(folder: Path, clips: int) -> sa.SynthAugDataModule:
    """Two actions by three people, two of whom teach, and this many synthetic clips."""
    films = sa.PseudoReal(
        classes=["bow", "clapping"], performers=3, footage=sa.Footage(size=112, seconds=2.0), num_workers=0
    )
    avatars = sa.default_avatars(gaussians=8000)
    synth = sa.default_synthesis(
        motion=Sidecar(), avatar=avatars, background=Plain(), identities=2, backgrounds=-(-clips // 8)
    )
    synth = replace(synth, cache=RenderCache(folder / "cache"))
    return sa.SynthAugDataModule(
        sa.Demo(films, root=folder / "films"), sa.CrossSubject(["p02"]), synth=synth, loading=sa.Loading(num_workers=0)
    )


def plan(folder: Path, clips: int) -> dict[str, float]:
    """Seconds, megabytes of memory at the peak and megabytes of recipes for a set of this many clips."""
    torch.set_num_threads(1)
    data = make_data(folder, clips)
    data.prepare_data()
    times = [time.process_time()]
    data.setup("fit")
    times.append(time.process_time())
    recipes = data.recipes()
    times.append(time.process_time())
    seen = sum(len(batch) for batch in data.order())
    times.append(time.process_time())
    size = sum(len(recipe.to_json()) + 1 for recipe in recipes)
    assert len(recipes) == clips <= seen, (len(recipes), clips, seen)
    setup, sampling, order = (after - before for before, after in zip(times, times[1:], strict=False))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"setup_s": setup, "recipes_s": sampling, "order_s": order, "memory_mb": memory, "recipes_mb": size / 1e6}


def render(folder: Path) -> dict[str, float]:
    """Seconds of a core, and megabytes of cache and export, for a thousand clips."""
    torch.set_num_threads(1)
    data = make_data(folder, _RENDERED)
    data.prepare_data()
    data.setup("fit")
    recipes, synthesizer = tuple(data.recipes()), data.synthesizer
    assert synthesizer is not None
    synthesizer.render(recipes[0])  # compiles
    start = time.process_time()
    for recipe in recipes[1:]:
        synthesizer.render(recipe)
    seconds = time.process_time() - start
    people = {actor.identity: PersonPapers() for recipe in recipes for actor in recipe.actors}
    handover = Handover(synthesizer, recipes, tuple(data.class_names), Papers(people, ()), "growth", {})
    export(handover, VideoFolder(), folder / "export")
    megabytes = {name: count_bytes(folder / name) / _RENDERED / 1e3 for name in ("cache", "export")}
    return {
        "render_s": 1000 * seconds / (_RENDERED - 1),
        "cache_mb": megabytes["cache"],
        "export_mb": megabytes["export"],
    }


def count_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def slope(sizes: Mapping[int, Mapping[str, float]], name: str) -> float:
    """What a thousand clips cost: the line through the smallest and the largest set."""
    least, most = min(sizes), max(sizes)
    return 1000 * (sizes[most][name] - sizes[least][name]) / (most - least)


def main() -> None:
    """Plan sets of growing size, render a few clips, and print the slopes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=100_000, help="clips of the largest set (100000)")
    chosen = parser.parse_args()
    counts = [1000 * 10**power for power in range(9) if 1000 * 10**power <= chosen.most]
    # Each set in a process of its own, so that none inherits another's memory.
    alone = multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1)
    with tempfile.TemporaryDirectory() as name, alone:
        folder = Path(name)
        alone.apply(plan, (folder, counts[0]))  # makes the films
        sizes = {count: alone.apply(plan, (folder, count)) for count in counts}
        for count, found in sizes.items():
            print(f"{count:>8,} clips: " + ", ".join(f"{key} {value:.2f}" for key, value in found.items()), flush=True)
        figures = {key: round(slope(sizes, key), 4) for key in sizes[counts[0]]}
        figures |= {key: round(value, 2) for key, value in alone.apply(render, (folder,)).items()}
    times = {count: sizes[count]["setup_s"] + sizes[count]["recipes_s"] for count in counts[-2:]}
    bend = times[counts[-1]] / (10 * times[counts[-2]]) if len(counts) > 1 else None
    print(json.dumps({**figures, "largest": counts[-1], "bend": None if bend is None else round(bend, 2)}))


if __name__ == "__main__":
    main()
