"""Measure what synthetic clips add on film: `python -m benchmarks.film --root FOLDER --csv TABLE [OVERRIDE ...]`.

A few people teach and all others are tested, one group after the other. Three studies: the small recognizer with two
teachers, from scratch and from weights that were made of synthetic clips alone; the same with one teacher; and frozen
ImageNet features with an exact linear head, whose figures are those of `benchmarks.thermometer`. Every figure is a mean
over folds of the mean over seeds, its interval is over folds. Started again with the same folder, it continues where it
stopped.

Two more, which take long, run when they are asked for, with two teachers and from scratch: `--part parts` leaves out
one part of the best arm at a time, and `--part curve` trains it with fewer and more synthetic clips and steps. They are
compared with the first study's runs of the best arm with the same seeds, in the same folder.

The last line is one JSON object, in fractions of 1; null where nothing was measured.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.thermometer import measure_chosen
from synthaug.reports.reading import Run, read_sweep
from synthaug.reports.statistics import paired_difference
from synthaug.reports.sweeps import report_sweep

_IMAGENET_ARMS = ("swap", "paper", "full")
"""Arms among which the people who teach choose."""
_RATES = {"null": (), "synthetic": ("training.optimizer.lr=0.002",)}
"""A third of the step size for what was learnt before, as is usual for fine-tuning; the same for all arms."""
PARTS = {
    "strangers": ("synth.strangers=0",),
    "other people in the film": ("synth.swap=0.0",),
    "the film's sensor": ("synth/sensor=camera",),
    "varied performances": ("synth/variation=none",),
    "mirrored motions": ("synth.mirror=0.0",),
    "speed of film": ("augmentation.speed=0.0",),
}
"""What `best` does without, by what it is called."""
CURVE = {
    "20 clips a class": ("synth.per_class=20",),
    "320 clips a class": ("synth.per_class=320",),
    "600 steps": ("trainer.max_steps=600", "trainer.val_check_interval=600"),
    "4,000 steps": ("trainer.max_steps=4000", "trainer.val_check_interval=4000"),
}
"""Other amounts than the study's 80 clips a class and 1,500 steps."""
_SUBFOLDER = "${hydra:runtime.choices.arm}_fold${protocol.fold}_seed${seed}"
"""Of a run. By what it is, not by its number: with other seeds or arms later on, each keeps its own."""
ROOT = Path(__file__).resolve().parents[1]
ByFold = Mapping[str, Sequence[float]]
"""Accuracies of the seeds of each fold."""


@dataclass(frozen=True)
class Delta:
    """A difference over folds."""

    difference: float | None
    interval: tuple[float, float] | None

    @staticmethod
    def between(ours: ByFold, theirs: ByFold) -> "Delta":
        """Ours minus theirs, over the folds that both have; each fold counts by the mean of its seeds."""
        pair = paired_difference(_average(ours), _average(theirs))
        return Delta(None, None) if pair is None else Delta(round(pair.difference, 4), pair.interval)


def _average(values: ByFold) -> dict[tuple[str, ...], float]:
    return {(fold,): sum(seeds) / len(seeds) for fold, seeds in values.items()}


def main() -> None:
    """Train the missing runs, write the reports and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder of the film")
    parser.add_argument(
        "--csv", help="table in the folder, with the columns file, label and subject (clips.csv, if any)"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/film"), help="keeps all runs (runs/film)")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--weights", default="synthetic", help="what pretrained recognizers start from (synthetic)")
    parser.add_argument("--best", default="best", help="arm that is compared with classic and paper (best)")
    parser.add_argument("--read", action="store_true", help="read finished runs without training")
    parser.add_argument(
        "--part", action="append", choices=["two", "one", "imagenet", "parts", "curve"], help="only these"
    )
    parser.add_argument("overrides", nargs="*", help="settings of every run, such as trainer.max_steps=800")
    chosen = parser.parse_args()
    if chosen.csv is None and (Path(chosen.root) / "clips.csv").is_file():
        chosen.csv = "clips.csv"
    if not any(word.startswith("dataset.mirrored_classes=") for word in chosen.overrides):
        chosen.overrides.append("dataset.mirrored_classes={}")  # left and right mean nothing, unless said otherwise
    chosen.root = str(Path(chosen.root).resolve())
    start, folder = time.perf_counter(), chosen.folder.resolve()
    parts = chosen.part or ["two", "one", "imagenet"]
    if not chosen.read:
        for part in ("two", "one"):
            if part in parts:
                train(chosen, folder / part, part)
        for part, changes in (("parts", PARTS), ("curve", CURVE)):
            if part in parts:
                train_changes(chosen, folder / part, changes)
    figures = summarize(folder, chosen.best)
    for part, changes in (("parts", PARTS), ("curve", CURVE)):
        if part in parts:
            figures[part] = compare_changes(folder, part, changes, chosen)
    figures |= (
        measure_imagenet(chosen, folder) if "imagenet" in parts else {"delta_pretrained": None, "ci_pretrained": None}
    )
    figures["minutes"] = round((time.perf_counter() - start) / 60, 1)
    print(json.dumps(figures))


def train(chosen: argparse.Namespace, folder: Path, part: str) -> None:
    """Train one study: from scratch all arms, from synthetic weights classic and the best."""
    folds = {"two": ["protocol.teach=2", "protocol.fold=0,1,2,3,4"],
             "one": ["protocol.teach=1", "protocol.fold=0,1,2,3,4,5,6,7,8,9"]}[part]  # fmt: skip
    arms = {"two": {"null": f"classic,paper,{chosen.best}", "synthetic": f"classic,{chosen.best}"},
            "one": {"null": "classic", "synthetic": chosen.best}}[part]  # fmt: skip
    shipped = chosen.weights == "synthetic"
    files = {"null": "null", "synthetic": chosen.weights if shipped else Path(chosen.weights).resolve()}
    for weights, names in arms.items():
        words = [*folds, f"arm={names}", f"recognizer.weights={files[weights]}", *_RATES[weights]]
        sweep(chosen, folder / weights, words)
        report_sweep(folder / weights, over=("protocol.fold",), baselines=("arm=classic",) if "," in names else ())


def train_changes(chosen: argparse.Namespace, folder: Path, changes: Mapping[str, Sequence[str]]) -> None:
    """Train the best arm with each of these changes, from scratch."""
    for name, change in changes.items():
        words = ["protocol.teach=2", "protocol.fold=0,1,2,3,4", f"arm={chosen.best}", "recognizer.weights=null"]
        sweep(chosen, folder / _as_folder(name), [*words, *change])


def sweep(chosen: argparse.Namespace, folder: Path, words: Sequence[str]) -> None:
    """Train the runs of a sweep that the folder lacks."""
    every = [
        "experiment=film", "dataset=folder", "protocol=people_folds", f"dataset.root='{chosen.root}'",
        f"dataset.csv={chosen.csv or 'null'}", f"seed={chosen.seeds}", f"hydra.sweep.dir={folder}",
        f"hydra.sweep.subdir={_SUBFOLDER}", "trainer.enable_progress_bar=false", *words, *chosen.overrides,
    ]  # fmt: skip
    if _has_joblib():
        # On two cores, two runs of one thread each finish sooner than one after the other.
        every += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "loading.num_workers=1"]
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "train.py", "-m", *every], cwd=ROOT, env=threads, check=False)


def _as_folder(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _has_joblib() -> bool:
    """Whether the extra `launchers` is installed."""
    try:
        version("hydra-joblib-launcher")
    except PackageNotFoundError:
        return False
    return True


def read_arms(folder: Path, seeds: Sequence[str] | None = None) -> dict[str, dict[str, list[float]]]:
    """Accuracies of finished runs, by arm and fold; of all seeds, or of these."""
    found: dict[str, dict[str, list[float]]] = {}
    runs: Sequence[Run] = read_sweep(folder).runs if folder.is_dir() else ()
    for run in runs:
        fold, arm = run.overrides["protocol.fold"], run.overrides["arm"]
        if seeds is not None and run.overrides["seed"] not in seeds:
            continue
        found.setdefault(arm, {}).setdefault(fold, []).append(float(str(run.metrics["mean_class_accuracy"])))
    return found


def compare_changes(
    folder: Path, part: str, changes: Mapping[str, Sequence[str]], chosen: argparse.Namespace
) -> dict[str, tuple[float | None, tuple[float, float] | None]]:
    """The best arm with each change minus the best arm as it is, and the interval."""
    seeds = chosen.seeds.split(",")
    whole = read_arms(folder / "two" / "null", seeds).get(chosen.best, {})
    found = {}
    for name in changes:
        delta = Delta.between(read_arms(folder / part / _as_folder(name), seeds).get(chosen.best, {}), whole)
        found[name] = (delta.difference, delta.interval)
    return found


def summarize(folder: Path, best: str) -> dict[str, object]:
    """Differences of the small recognizer's arms."""
    two = {weights: read_arms(folder / "two" / weights) for weights in ("null", "synthetic")}
    one = {weights: read_arms(folder / "one" / weights) for weights in ("null", "synthetic")}
    scratch, pretrained = two["null"], two["synthetic"]
    pairs = {
        "scratch": (scratch.get(best, {}), scratch.get("classic", {})),
        "small": (pretrained.get(best, {}), scratch.get("classic", {})),
        "both_weights": (pretrained.get(best, {}), pretrained.get("classic", {})),
        "one": (one["synthetic"].get(best, {}), one["null"].get("classic", {})),
        "paper": (scratch.get(best, {}), scratch.get("paper", {})),
    }
    deltas = {name: Delta.between(*pair) for name, pair in pairs.items()}
    figures: dict[str, object] = {}
    for name in ("scratch", "small", "both_weights", "one"):
        figures |= {f"delta_{name}": deltas[name].difference, f"ci_{name}": deltas[name].interval}
    classic = scratch.get("classic", {})
    return {
        **figures,
        "best_minus_paper": deltas["paper"].difference,
        "folds": len(classic),
        "seeds": min((len(values) for values in classic.values()), default=0),
    }


def measure_imagenet(chosen: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Synthetic clips beside film against film in strong augmentation, on frozen ImageNet features.

    Which arms' clips stand beside the film is chosen by the people who teach, in each fold anew.
    """
    people = sorted({line for line in name_people(chosen)})
    groups = [people[k : k + 2] for k in range(0, len(people) - 1, 2)]
    settings = argparse.Namespace(
        root=chosen.root, csv=chosen.csv, arm=list(_IMAGENET_ARMS), clips=360, keep=folder / "imagenet",
        overrides=chosen.overrides,
    )  # fmt: skip
    theirs: dict[str, list[float]] = {}
    ours: dict[str, list[float]] = {}
    for number, group in enumerate(groups):
        film, both, arms = measure_chosen(settings, group)
        theirs[str(number)], ours[str(number)] = [film], [both]
        print(f"Frozen features: film {100 * film:.1f} %, with {', '.join(arms)} {100 * both:.1f} %", flush=True)
    delta = Delta.between(ours, theirs)
    return {"delta_pretrained": delta.difference, "ci_pretrained": delta.interval}


def name_people(chosen: argparse.Namespace) -> list[str]:
    """Names of the people in the film."""
    from synthaug.cli.configs import build_data, compose_config

    film = ["dataset=folder", f"dataset.root='{chosen.root}'", f"dataset.csv={chosen.csv or 'null'}"]
    dataset = build_data(compose_config([*film, "protocol=holdout"])).dataset
    dataset.prepare()
    return [record.subject for record in dataset.records]


if __name__ == "__main__":
    main()
