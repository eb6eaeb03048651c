"""What the runs of a sweep left on disk, read with care: whatever is missing or broken is said, nothing is guessed.

Before every statistic; writes nothing.
"""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from synthaug.reports.grading import Graded, graded
from synthaug.structures import Plain

MARKS = ("metrics.json", "failure.txt", "config.yaml")
"""Files by which a run's folder is known."""


class NoFiguresError(Exception):
    """A run gave no figures: its state, and the reason in a line."""

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(f"{state}: {reason}")
        self.state = state
        self.reason = reason


@dataclass(frozen=True)
class Unfinished:
    """A run that gave no figures.

    Attributes:
        place: Its folder, below the sweep's.
        state: `failed`, `unfinished` or `unreadable`.
        reason: In a line.
    """

    place: str
    state: str
    reason: str


@dataclass(frozen=True, eq=False)
class Run:
    """A run that finished.

    Attributes:
        place: Its folder, below the sweep's.
        overrides: What was set on the command line, by name; the last word for a name counts.
        metrics: All of metrics.json.
        config: The resolved configuration; empty where there is none.
        graded: Its predictions, counted; None where there are none.
        curves: Value by optimizer step, by name, as they were logged.
        leakage: All of leakage.json; None where there is none.
        remarks: What is missing, broken or contradictory.
    """

    place: str
    overrides: dict[str, str]
    metrics: dict[str, Plain]
    config: dict[str, Plain] = field(default_factory=dict)
    graded: Graded | None = None
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    leakage: dict[str, Plain] | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Left:
    """What a sweep left.

    Attributes:
        runs: Those that finished.
        unfinished: Those that did not, or whose figures cannot be read.
        orders: The values of each override in the order in which they were asked for, as far as a multirun.yaml says.
    """

    runs: tuple[Run, ...]
    unfinished: tuple[Unfinished, ...]
    orders: dict[str, tuple[str, ...]]


def left(folder: Path) -> Left:
    """Read every run in or below a folder.

    A folder within a run's folder (a later evaluation of it) is no run of its own, nor is a hidden one.

    Raises:
        ValueError: If there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise ValueError(f"'{folder}' is no folder; one that a multirun left was wanted. See runs/.")
    runs, unfinished = [], []
    for place in places(folder):
        name = place.relative_to(folder).as_posix()
        try:
            runs.append(run_of(place, name))
        except NoFiguresError as error:
            unfinished.append(Unfinished(name, error.state, error.reason))
    if not runs and not unfinished:
        raise ValueError(
            f"'{folder}' holds no run; folders with metrics.json, failure.txt or config.yaml were wanted, as train.py "
            "leaves them. Give the folder of a multirun. See runs/."
        )
    return Left(tuple(runs), tuple(unfinished), orders(folder))


def places(folder: Path) -> Iterator[Path]:
    """Folders of runs, a run's own folders left out."""
    if any((folder / mark).is_file() for mark in MARKS):
        yield folder
        return
    for below in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
        if not below.name.startswith("."):
            yield from places(below)


def run_of(folder: Path, place: str) -> Run:
    """One run.

    Raises:
        NoFiguresError: If it gave no figures.
    """
    failure = _text(folder / "failure.txt")
    if not (folder / "metrics.json").is_file():
        if failure is None:
            raise NoFiguresError(
                "unfinished", "It left neither metrics.json nor failure.txt: still running, or killed."
            )
        raise NoFiguresError("failed", " ".join(failure.split()) or "failure.txt is empty")
    if failure is not None and _written(folder / "failure.txt") >= _written(folder / "metrics.json"):
        # Whoever leaves figures takes failure.txt away first: these figures are of an attempt before the last.
        raise NoFiguresError("failed", f"{' '.join(failure.split()) or 'failure.txt is empty'} (figures are older)")
    metrics = _metrics(folder / "metrics.json")
    remarks = ["It also left failure.txt, of an earlier attempt."] if failure is not None else []
    config = _looked(folder / "config.yaml", remarks)
    listed = _looked(folder / "predictions.json", remarks)
    counted = None
    if isinstance(listed, list):
        try:
            counted = graded([one if isinstance(one, dict) else {} for one in listed])
        except ValueError as error:
            remarks.append(f"predictions.json: {error}")
    if counted is not None and abs(counted.mean_class_accuracy - float(str(metrics["mean_class_accuracy"]))) > 1e-6:
        remarks.append("predictions.json gives another mean class accuracy than metrics.json does.")
    leakage = _looked(folder / "leakage.json", remarks) if (folder / "leakage.json").is_file() else None
    return Run(
        place=place,
        overrides=overrides_of(metrics.get("overrides")),
        metrics=metrics,
        config=config if isinstance(config, dict) else {},
        graded=counted,
        curves=curves(folder / "logs"),
        leakage=leakage if isinstance(leakage, dict) else None,
        remarks=tuple(remarks),
    )


def overrides_of(words: Plain) -> dict[str, str]:
    """Overrides by name; a leading + or ++ makes no other name, and what was taken out with ~ is `removed`."""
    found: dict[str, str] = {}
    for word in words if isinstance(words, list) else []:
        name, _, value = str(word).partition("=")
        found[name.lstrip("+~")] = "removed" if name.startswith("~") else value.strip().strip("'\"")
    return found


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """Learning curves that Lightning's CSVLogger wrote, by name and step; of a step told twice the later counts.

    A run that went on after it was cut off wrote `metrics-1.csv` and so on before `metrics.csv`. What cannot be read as
    a number is left out: a run that was killed ends in half a line.
    """
    found: dict[str, dict[int, float]] = {}
    for path in (
        *sorted(folder.glob("metrics-*.csv"), key=lambda path: (len(path.name), path.name)),
        folder / "metrics.csv",
    ):
        for row in csv.DictReader((_text(path) or "").splitlines()):
            step = _number(row.pop("step", None))
            for name, word in row.items():
                value = _number(word)
                if step is not None and value is not None and isinstance(name, str) and "/" in name:
                    found.setdefault(name, {})[int(step)] = value
    return found


def orders(folder: Path) -> dict[str, tuple[str, ...]]:
    """The values of swept overrides as they were typed, or as the experiment lists them, from each multirun.yaml."""
    found: dict[str, dict[str, None]] = {}
    for path in sorted(folder.rglob("multirun.yaml")):
        tree = _looked(path, [])
        listed = _below(tree, "hydra", "sweeper", "params")
        listed = {name: str(values) for name, values in listed.items()} if isinstance(listed, dict) else {}
        for name, values in (*overrides_of(_below(tree, "hydra", "overrides", "task")).items(), *listed.items()):
            found.setdefault(name, {}).update(dict.fromkeys(_split(values)))
    return {name: tuple(values) for name, values in found.items()}


def _below(tree: Plain, *names: str) -> Plain:
    """What a tree holds under these names; None where it ends before."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _split(values: str) -> Iterator[str]:
    """Values of a sweep: parted by commas outside of brackets."""
    depth, word = 0, ""
    for letter in f"{values},":
        depth += (letter in "[{(") - (letter in ")}]")
        if letter == "," and depth == 0:
            yield word.strip().strip("'\"")
            word = ""
        else:
            word += letter


def _metrics(path: Path) -> dict[str, Plain]:
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NoFiguresError("unreadable", f"metrics.json cannot be read: {error}") from error
    headline = ("mean_class_accuracy", "top1")
    if not isinstance(metrics, dict) or not all(_share(metrics.get(name)) for name in headline):
        raise NoFiguresError("unreadable", f"metrics.json holds no {' and '.join(headline)} between 0 and 1")
    return metrics


def _share(value: Plain) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _looked(path: Path, remarks: list[str]) -> Plain:
    """A JSON or YAML file's content; None with a remark if it is absent or broken."""
    text = _text(path)
    if text is None:
        remarks.append(f"{path.name} is absent or unreadable.")
        return None
    try:
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        remarks.append(f"{path.name} cannot be read: {' '.join(str(error).split())}")
        return None


def _written(path: Path) -> int:
    """When a file was last written, in nanoseconds."""
    return path.stat().st_mtime_ns


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _number(word: object) -> float | None:
    try:
        value = float(str(word))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
