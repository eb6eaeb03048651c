"""Sort runs into the arms of an experiment, by what was set on the command line."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthaug.reports.reading import Run, Sweep, Unfinished
from synthaug.structures import Plain

SEEDS = ("seed", "protocol.seed")
"""Overrides that do not make another arm."""
_CONTROLS = (("arm", "none"), ("synth.identities", "0"), ("synth.per_class", "0"), ("mixture.ratio", "0"),
             ("mixture.ratio", "0.0"), ("synth.ratio", "0"), ("synth.ratio", "0.0"), ("synth", "null"))  # fmt: skip
"""Values that mark the control of a sweep; the first that occurs counts. Version 0.1 wrote `synth.ratio`."""


@dataclass(frozen=True, eq=False)
class StudyArm:
    """Runs that differ only in the seed.

    Attributes:
        values: Value of each of the study's factors.
        runs: By seed, and by the fold where folds are averaged over; more than one only where a sweep repeats a job.
        folded: Number of words at the end of a key of `runs` that name the fold; 0 without folds.
    """

    values: tuple[str, ...]
    runs: dict[tuple[str, ...], tuple[Run, ...]]
    folded: int = 0

    @property
    def units(self) -> tuple[tuple[str, ...], ...]:
        """The independent samples that are averaged over: folds where there are any, else seeds."""
        return tuple(dict.fromkeys(map(self.unit_of, self.runs)))

    def unit_of(self, seed: tuple[str, ...]) -> tuple[str, ...]:
        """Which of the units a key of `runs` belongs to."""
        return seed[-self.folded :] if self.folded else seed

    @property
    def every_run(self) -> tuple[Run, ...]:
        """All runs of the arm, by seed."""
        return tuple(run for runs in self.runs.values() for run in runs)


@dataclass(frozen=True, eq=False)
class Study:
    """A sweep's arms.

    Attributes:
        shared: Overrides that all runs have alike.
        factors: The overrides that vary, each with its values in order: numbers by size, words in the order of the
            command line. The one that the first control fixes is the last.
        arms: In the order of the factors' values.
        controls: What arms are compared with: values of one factor or more.
        unit: What figures are averaged over: `seed`, or `fold` after the seeds of each fold.
        unfinished: Runs without figures.
    """

    shared: dict[str, str]
    factors: dict[str, tuple[str, ...]]
    arms: tuple[StudyArm, ...]
    controls: tuple[dict[str, str], ...]
    unit: str
    unfinished: tuple[Unfinished, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """All that finished, arm by arm."""
        return tuple(run for arm in self.arms for run in arm.every_run)

    def values(self, arm: StudyArm) -> dict[str, str]:
        """An arm's values, by factor."""
        return dict(zip(self.factors, arm.values, strict=True))

    def control_of(self, arm: StudyArm, control: dict[str, str]) -> StudyArm | None:
        """The arm that this one is compared with: the one with the control's values that shares all other factors.

        If the control was run with only one value of a factor, it is compared with all of that factor's values: a
        control without synthetic clips has only one number of clips per class. None if there is no such arm, or if it
        is the arm itself.
        """
        candidates = [other for other in self.arms if control.items() <= self.values(other).items()]
        ours = self.values(arm)
        free = [factor for factor in self.factors if factor not in control]
        exact = [other for other in candidates if all(self.values(other)[factor] == ours[factor] for factor in free)]
        if not exact:
            varied = [factor for factor in free if len({self.values(other)[factor] for other in candidates}) > 1]
            exact = [other for other in candidates if all(self.values(other)[name] == ours[name] for name in varied)]
        return exact[0] if len(exact) == 1 and exact[0] is not arm else None


def arrange_runs(left: Sweep, *, over: Sequence[str] = (), baselines: Sequence[str] = ()) -> Study:
    """Sort runs into arms.

    An override that one run has and another lacks is looked up in the other's resolved configuration.

    Args:
        left: What the sweep left.
        over: Overrides that distinguish folds: `protocol.test_subjects` where each person is held out in turn.
        baselines: What to compare with: `arm=none`, or just `none`; several factors separated by blanks.

    Raises:
        ValueError: If a baseline is not a value of this sweep.
    """
    apart = (*SEEDS, *over)
    folds = tuple(name for name in over if len({setting(run, name) for run in left.runs}) > 1)
    names = sorted({name for run in left.runs for name in run.overrides if name not in apart})
    settings = {run: {name: setting(run, name) for name in names} for run in left.runs}
    found = {name: _order_values({one[name] for one in settings.values()}, left.orders.get(name, ())) for name in names}
    varied = {name: values for name, values in found.items() if len(values) > 1}
    controls = tuple(parse_control(words, varied) for words in baselines) or _usual_controls(varied)
    factors = {name: varied[name] for name in sorted(varied, key=lambda name: _last_key(name, controls))}
    rank = {name: {value: place for place, value in enumerate(values)} for name, values in factors.items()}
    groups: dict[tuple[str, ...], dict[tuple[str, ...], list[Run]]] = {}
    for run in sorted(left.runs, key=lambda run: (_natural_key(seed_of(run, folds)), run.place)):
        values = tuple(settings[run][name] for name in factors)
        groups.setdefault(values, {}).setdefault(seed_of(run, folds), []).append(run)
    in_order = sorted(groups, key=lambda values: [rank[name][word] for name, word in zip(factors, values, strict=True)])
    arms = (
        StudyArm(values, {seed: tuple(runs) for seed, runs in groups[values].items()}, len(folds))
        for values in in_order
    )
    shared = {name: values[0] for name, values in found.items() if len(values) == 1}
    return Study(shared, factors, tuple(arms), controls, "fold" if folds else "seed", left.unfinished)


def seed_of(run: Run, folds: Sequence[str] = ()) -> tuple[str, ...]:
    """What distinguishes a run from the others of its arm: its seed, and its fold where there are folds."""
    seed = run.metrics.get("seed")
    parts = [_as_word(seed) if seed is not None else run.overrides.get("seed", "unknown")]
    # A protocol's seed follows the run's, unless it was set by itself.
    parts += [f"protocol.seed={run.overrides['protocol.seed']}"] if "protocol.seed" in run.overrides else []
    return (*parts, *(f"{name.split('.')[-1]}={setting(run, name)}" for name in folds))


def setting(run: Run, name: str) -> str:
    """A run's value of an override: from the command line, else from its configuration, else `default`."""
    if name in run.overrides:
        continued = name == "ckpt_path" and run.overrides[name] == "auto"
        return "null" if continued else run.overrides[name]  # a run that went on where it stopped is the same run
    node: Plain = run.config
    for part in name.replace("/", ".").split("."):
        if not isinstance(node, dict) or part not in node:
            return "default"
        node = node[part]
    return "default" if isinstance(node, dict) else _as_word(node)


def parse_control(words: str, factors: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """The factors and values that words such as `arm=none` or `none` name.

    Raises:
        ValueError: If this sweep has no such value, or several factors have it.
    """
    found = {}
    for word in words.split():
        name, parted, value = word.rpartition("=")
        names = [factor for factor, values in factors.items() if value in values and (not parted or factor == name)]
        if len(names) != 1:
            known = ", ".join(f"{factor}={'|'.join(values)}" for factor, values in factors.items()) or "nothing"
            raise ValueError(
                f"Expected each word of --baseline to be a value of one factor, got {words}: {word!r} is a value of "
                f"{' and '.join(names) or 'none'}. Choose from what varies: {known}."
            )
        found[names[0]] = value
    return found


def _usual_controls(factors: dict[str, tuple[str, ...]]) -> tuple[dict[str, str], ...]:
    """The control if none is named: a value of _CONTROLS; with a single factor its first value; else no control."""
    known: Iterable[dict[str, str]] = ({name: value} for name, value in _CONTROLS if value in factors.get(name, ()))
    only = ({name: values[0]} for name, values in factors.items() if len(factors) == 1)
    return tuple([*known, *only][:1])


def _last_key(name: str, controls: tuple[dict[str, str], ...]) -> tuple[bool, str]:
    return bool(controls) and name in controls[0], name


def _order_values(values: set[str], asked: Sequence[str]) -> tuple[str, ...]:
    """Numbers by size; other values in the order of the command line, then alphabetically."""
    if all(parse_number(value) is not None for value in values):
        return tuple(sorted(values, key=lambda value: (float(value), value)))
    known = {value: place for place, value in enumerate(asked)}
    return tuple(sorted(values, key=lambda value: (known.get(value, len(known)), _natural_key((value,)))))


def parse_number(value: str) -> float | None:
    """A finite number that a word stands for."""
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _natural_key(words: Sequence[str]) -> list[tuple[bool, float, str]]:
    """Numbers before words, by size."""
    return [(parse_number(word) is None, parse_number(word) or 0.0, word) for word in words]


def _as_word(value: Plain) -> str:
    """A value as it is typed in an override."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{','.join(_as_word(one) for one in value)}]" if isinstance(value, list) else str(value)
