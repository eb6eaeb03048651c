"""Render on a cluster whose workers die: `python -m benchmarks.machines [--clips 200]`.

A Ray cluster of two nodes on this machine renders the recipes of a small demo run into films; one of its processes is
killed as often as `--kills` says. In the end every clip must be there once, and be told once.

The last line is one JSON object: `ray_clips`, clips that are there and were told exactly once; `ray_asked`;
`ray_killed`; `minutes`.
"""

import argparse
import json
import os
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from synthaug.cli.configs import compose_config, prepare_data, resolve_config
from synthaug.cli.render import RenderRecipes
from synthaug.engines import read_outcomes, run_job
from synthaug.engines.ray import Ray
from synthaug.runs.stores import Folder
from synthaug.structures import Recipe
from synthaug.video import probe

DEMO = (
    "dataset=demo", "dataset.films.classes=[bow,clapping]", "dataset.films.performers=3", "clip.num_frames=6",
    "dataset.films.footage.size=64", "dataset.films.footage.seconds=1.5", "protocol=cross_subject", "clip.fps=5",
    "protocol.test_subjects=[p02]", "synth/motion=sidecar", "synth/background=plain", "synth.backgrounds=1",
    "synth.avatar.gaussians=2000", "synth/renderer=cpu", "clip.size=64", "loading.num_workers=0",
)  # fmt: skip


def make_run(folder: Path, clips: int) -> list[Recipe]:
    """Write what a training leaves: a configuration, and recipes of two people's two actions."""
    config = compose_config([*DEMO, f"dataset.root={folder / 'films'}", f"synth.identities={-(-clips // 4)}"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(resolve_config(config))
    recipes = prepare_data(config).recipes()[:clips]
    (folder / "recipes.jsonl").write_text("".join(f"{recipe.to_json()}\n" for recipe in recipes))
    return recipes


def find_workers() -> list[int]:
    """Processes of Ray's actors that do items."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue  # it has just ended
        if words.startswith(b"ray::") and b"MapWorker" in words:
            found.append(int(entry.name))
    return found


def main() -> None:
    """Render, kill, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200, help="clips to render (200)")
    parser.add_argument("--kills", type=int, default=3, help="processes killed meanwhile (3)")
    chosen = parser.parse_args()
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    from ray.cluster_utils import Cluster

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SYNTHAUG_CACHE"] = str(folder / "cache")
        recipes = make_run(folder / "run", chosen.clips)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20})
        cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
        job, engine = (
            RenderRecipes(folder / "run" / "recipes.jsonl", Folder(folder / "clips")),
            Ray(address=cluster.address),
        )
        log, killed = folder / "outcomes.jsonl", 0
        for count, _ in enumerate(run_job(engine, job, job.list_missing(), log=log), 1):
            if killed < chosen.kills and count >= (killed + 1) * len(recipes) / (chosen.kills + 1):
                for process in find_workers()[:1]:
                    os.kill(process, signal.SIGKILL)
                    killed += 1
        cluster.shutdown()
        told = Counter(outcome.item for outcome in read_outcomes(log) if not outcome.fault)
        films = Counter(film.stem for film in (folder / "clips").glob("*/*.mp4") if probe(film).num_frames == 6)
        once = sum(told[recipe.digest] == films[recipe.digest] == 1 for recipe in recipes)
    minutes = round((time.perf_counter() - start) / 60, 1)
    print(json.dumps({"ray_clips": once, "ray_asked": len(recipes), "ray_killed": killed, "minutes": minutes}))


if __name__ == "__main__":
    main()
