"""Read what the runs of a sweep left on disk; what is missing or broken is reported, and nothing is guessed."""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from synthaug.reports.grading import GradedRun, grade
from synthaug.structures import Plain

MARKS = ("metrics.json", "failure.txt", "config.yaml")
"""Files by which a run's folder is recognized."""


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
        reason: The reason, in one line.
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
    graded: GradedRun | None = None
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    leakage: dict[str, Plain] | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a sweep left.

    Attributes:
        runs: Those that finished.
        unfinished: Those that did not, or whose figures cannot be read.
        orders: The values of each override in the order of the command line, as far as a multirun.yaml records it.
    """

    runs: tuple[Run, ...]
    unfinished: tuple[Unfinished, ...]
    orders: dict[str, tuple[str, ...]]


def read_sweep(folder: Path) -> Sweep:
    """Read every run in or below a folder.

    A folder within a run's folder (a later evaluation of it) does not count as a run, and neither does a hidden one.

    Raises:
        ValueError: If there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise ValueError(
            f"Expected a folder that a multirun left, got '{folder}', which is not a folder. Look below runs/."
        )
    runs, unfinished = [], []
    for place in find_runs(folder):
        name = place.relative_to(folder).as_posix()
        try:
            runs.append(read_run(place, name))
        except NoFiguresError as error:
            unfinished.append(Unfinished(name, error.state, error.reason))
    if not runs and not unfinished:
        raise ValueError(
            f"Expected '{folder}' to hold runs, which have metrics.json, failure.txt or config.yaml, got none. Give "
            "the folder of a multirun, such as one below runs/."
        )
    return Sweep(tuple(runs), tuple(unfinished), read_orders(folder))


def find_runs(folder: Path) -> Iterator[Path]:
    """Folders of runs, without the folders inside them."""
    if any((folder / mark).is_file() for mark in MARKS):
        yield folder
        return
    for below in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
        if not below.name.startswith("."):
            yield from find_runs(below)


def read_run(folder: Path, place: str) -> Run:
    """One run.

    Raises:
        NoFiguresError: If it gave no figures.
    """
    failure = _read_text(folder / "failure.txt")
    if not (folder / "metrics.json").is_file():
        if failure is None:
            raise NoFiguresError(
                "unfinished", "It left neither metrics.json nor failure.txt: still running, or killed."
            )
        raise NoFiguresError("failed", " ".join(failure.split()) or "failure.txt is empty")
    if failure is not None and _written_at(folder / "failure.txt") >= _written_at(folder / "metrics.json"):
        # Writing metrics.json deletes failure.txt first, so these figures are from an earlier attempt.
        raise NoFiguresError("failed", f"{' '.join(failure.split()) or 'failure.txt is empty'} (figures are older)")
    metrics = _read_metrics(folder / "metrics.json")
    remarks = ["It also left failure.txt, of an earlier attempt."] if failure is not None else []
    config = _read_tree(folder / "config.yaml", remarks)
    listed = _read_tree(folder / "predictions.json", remarks)
    counted = None
    if isinstance(listed, list):
        try:
            counted = grade([one if isinstance(one, dict) else {} for one in listed])
        except ValueError as error:
            remarks.append(f"predictions.json: {error}")
    if counted is not None and abs(counted.mean_class_accuracy - float(str(metrics["mean_class_accuracy"]))) > 1e-6:
        remarks.append("predictions.json gives another mean class accuracy than metrics.json does.")
    leakage = _read_tree(folder / "leakage.json", remarks) if (folder / "leakage.json").is_file() else None
    return Run(
        place=place,
        overrides=parse_overrides(metrics.get("overrides")),
        metrics=metrics,
        config=config if isinstance(config, dict) else {},
        graded=counted,
        curves=read_curves(folder / "logs"),
        leakage=leakage if isinstance(leakage, dict) else None,
        remarks=tuple(remarks),
    )


def parse_overrides(words: Plain) -> dict[str, str]:
    """Overrides by name, without a leading + or ++; the value of one that was removed with ~ is `removed`."""
    found: dict[str, str] = {}
    for word in words if isinstance(words, list) else []:
        name, _, value = str(word).partition("=")
        found[name.lstrip("+~")] = "removed" if name.startswith("~") else value.strip().strip("'\"")
    return found


def read_curves(folder: Path) -> dict[str, dict[int, float]]:
    """Learning curves that Lightning's CSVLogger wrote, by name and step; if a step was logged twice, the later counts.

    A run that continued after an interruption wrote `metrics-1.csv` and so on before `metrics.csv`. What cannot be read
    as a number is left out: a run that was killed ends in half a line.
    """
    found: dict[str, dict[int, float]] = {}
    for path in (
        *sorted(folder.glob("metrics-*.csv"), key=lambda path: (len(path.name), path.name)),
        folder / "metrics.csv",
    ):
        for row in csv.DictReader((_read_text(path) or "").splitlines()):
            step = _parse_number(row.pop("step", None))
            for name, word in row.items():
                value = _parse_number(word)
                if step is not None and value is not None and isinstance(name, str) and "/" in name:
                    found.setdefault(name, {})[int(step)] = value
    return found


def read_orders(folder: Path) -> dict[str, tuple[str, ...]]:
    """The values of swept overrides as they were typed, or as the experiment lists them, from each multirun.yaml."""
    found: dict[str, dict[str, None]] = {}
    for path in sorted(folder.rglob("multirun.yaml")):
        tree = _read_tree(path, [])
        listed = _descend(tree, "hydra", "sweeper", "params")
        listed = {name: str(values) for name, values in listed.items()} if isinstance(listed, dict) else {}
        for name, values in (*parse_overrides(_descend(tree, "hydra", "overrides", "task")).items(), *listed.items()):
            found.setdefault(name, {}).update(dict.fromkeys(_split_values(values)))
    return {name: tuple(values) for name, values in found.items()}


def _descend(tree: Plain, *names: str) -> Plain:
    """What a tree holds under these names; None where it ends before."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _split_values(values: str) -> Iterator[str]:
    """Values of a sweep: separated by commas outside of brackets."""
    depth, word = 0, ""
    for letter in f"{values},":
        depth += (letter in "[{(") - (letter in ")}]")
        if letter == "," and depth == 0:
            yield word.strip().strip("'\"")
            word = ""
        else:
            word += letter


def _read_metrics(path: Path) -> dict[str, Plain]:
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NoFiguresError("unreadable", f"metrics.json cannot be read: {error}") from error
    headline = ("mean_class_accuracy", "top1")
    if not isinstance(metrics, dict) or not all(_is_share(metrics.get(name)) for name in headline):
        raise NoFiguresError("unreadable", f"metrics.json holds no {' and '.join(headline)} between 0 and 1")
    return metrics


def _is_share(value: Plain) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _read_tree(path: Path, remarks: list[str]) -> Plain:
    """A JSON or YAML file's content; None with a remark if it is absent or broken."""
    text = _read_text(path)
    if text is None:
        remarks.append(f"{path.name} is absent or unreadable.")
        return None
    try:
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        remarks.append(f"{path.name} cannot be read: {' '.join(str(error).split())}")
        return None


def _written_at(path: Path) -> int:
    """When a file was last written, in nanoseconds."""
    return path.stat().st_mtime_ns


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _parse_number(word: object) -> float | None:
    try:
        value = float(str(word))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
