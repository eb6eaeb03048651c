"""Measure what synthetic clips add on the demo data: `python -m benchmarks.uplift` trains every arm over five seeds.

The films are pseudo-real, so this measures the machinery and what each part of the method adds, not what synthesis adds
for real film. Started again with the same folder, it continues where it stopped.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from synthaug.reports.reading import Run, read_sweep
from synthaug.reports.statistics import PairedDifference, paired_difference
from synthaug.reports.sweeps import report_sweep

ROOT = Path(__file__).resolve().parents[1]


def compare_arms(runs: Sequence[Run], ours: str, theirs: str, shots: str) -> PairedDifference | None:
    """Mean class accuracy of one arm minus that of another, over the seeds that both have."""
    values: dict[str, dict[tuple[str, ...], float]] = {ours: {}, theirs: {}}
    for run in runs:
        arm = run.overrides["arm"]
        if run.overrides["protocol.n_shot"] == shots and arm in values:
            values[arm][(run.overrides["seed"],)] = float(str(run.metrics["mean_class_accuracy"]))
    return paired_difference(values[ours], values[theirs])


def count_minutes(folder: Path, runs: Sequence[Run]) -> float:
    """Minutes in which at least one run was active: parallel jobs count once, pauses do not count."""
    ends = [((folder / run.place / "metrics.json").stat().st_mtime, run) for run in runs]
    spans = sorted((end - float(str(run.metrics.get("seconds_in_all", 0))), end) for end, run in ends)
    busy, until = 0.0, 0.0
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return round(busy / 60, 1)


def summarize(runs: Sequence[Run]) -> dict[str, object]:
    """Differences between the arms; null if no seed has both."""
    five, one = (compare_arms(runs, "full", "classic", shots) for shots in ("5", "1"))
    paper = [compare_arms(runs, "full", "paper", shots) for shots in ("5", "1")]
    known = [pair.difference for pair in paper if pair is not None]
    return {
        "delta_5shot": None if five is None else round(five.difference, 4),
        "ci_5shot": None if five is None else five.interval,
        "delta_1shot": None if one is None else round(one.difference, 4),
        "ci_1shot": None if one is None else one.interval,
        "full_minus_paper": round(sum(known) / len(known), 4) if known else None,
        "seeds": min((0 if pair is None else pair.pairs) for pair in (five, one)),
    }


def main() -> None:
    """Train the missing runs, write the report and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/uplift"), help="folder of the sweep; it is kept (runs/uplift)"
    )
    parser.add_argument("--read", action="store_true", help="report finished runs without training")
    parser.add_argument("overrides", nargs="*", help="further overrides for train.py, such as seed=0,1")
    chosen = parser.parse_args()
    folder = chosen.folder.resolve()
    if not chosen.read:
        words = ["experiment=uplift", f"hydra.sweep.dir={folder}", "trainer.enable_progress_bar=false"]
        subprocess.run([sys.executable, "train.py", *words, *chosen.overrides], cwd=ROOT, check=False)
    report_sweep(folder, baselines=("arm=classic", "arm=paper"))
    runs = read_sweep(folder).runs
    print(json.dumps({**summarize(runs), "minutes": count_minutes(folder, runs)}))


if __name__ == "__main__":
    main()
