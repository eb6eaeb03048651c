"""Compute the results of a study: the scores of every arm over its seeds or folds, and differences from its control."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Int

from synthaug.reports.grading import Calibration
from synthaug.reports.reading import Run
from synthaug.reports.statistics import Estimate, PairedDifference, estimate, holm, paired_difference
from synthaug.reports.studies import Study, StudyArm
from synthaug.structures import Plain

SHARES = ("mean_class_accuracy", "top1", "top5")
CALIBRATIONS = ("ece", "nll", "brier")


@dataclass(frozen=True, eq=False)
class ArmResult:
    """The results of one arm.

    Attributes:
        arm: The arm.
        measures: Mean over seeds, or over folds, of each measure that its runs have.
        per_class: The same for the share of clips recognised, by class.
        confusion: Clips of each class (row) taken for each class (column), all runs together; None without
            predictions, or where its runs have different classes.
        classes: Names of the rows of `confusion`; `class 3` where its runs did not say.
        calibration: Bins of confidence of all runs together, the measures their mean; None without scores.
        curves: Learning curves by name: at each step that every run logged, mean, lowest and highest over runs.
        strata: The same for the mean class accuracy on each part of the test that the protocol distinguishes.
    """

    arm: StudyArm
    measures: dict[str, Estimate]
    per_class: dict[str, Estimate]
    confusion: Int[np.ndarray, "class class_predicted"] | None
    classes: tuple[str, ...]
    calibration: Calibration | None
    curves: dict[str, dict[int, tuple[float, float, float]]]
    strata: dict[str, Estimate]


@dataclass(frozen=True, eq=False)
class Comparison:
    """An arm against its control, over the seeds (and folds) that both have.

    Attributes:
        arm: The arm.
        control: The arm that it is compared with.
        differs: Further factors, besides the control's own, in which the two differ.
        paired: Difference of mean class accuracy, the measure that is tested.
        p_holm: `paired.p_student`, corrected for all comparisons of the report.
        top1: The difference of top-1.
        per_class: The difference of each class's share.
        strata: The difference on each part of the test.
    """

    arm: StudyArm
    control: StudyArm
    differs: tuple[str, ...]
    paired: PairedDifference
    p_holm: float | None
    top1: PairedDifference
    per_class: dict[str, PairedDifference]
    strata: dict[str, PairedDifference]

    @property
    def verdict(self) -> str:
        """What can be concluded from the corrected test, at 5 %."""
        if self.p_holm is None or self.p_holm >= 0.05:
            return "not resolved"
        return "higher" if self.paired.difference > 0 else "lower"


@dataclass(frozen=True, eq=False)
class Results:
    """All that a report shows.

    Attributes:
        study: The arms.
        arms: Each arm's figures, in the study's order.
        comparisons: In the order of controls and arms; no pair of arms occurs twice.
        chance: Mean class accuracy of guessing; None if runs differ in it.
    """

    study: Study
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    chance: float | None


def compute_results(study: Study) -> Results:
    """Compute everything."""
    chances = {fact(run, "chance") for run in study.runs}
    return Results(
        study=study,
        arms=tuple(_arm_result(arm) for arm in study.arms),
        comparisons=compare_arms(study),
        chance=chances.pop() if len(chances) == 1 else None,
    )


def measure(run: Run, name: str) -> float | None:
    """A run's value of a measure; None where it has none."""
    graded = run.graded
    if name == "top5":
        return None if graded is None else graded.top5
    if name in CALIBRATIONS:
        return None if graded is None or graded.calibration is None else float(getattr(graded.calibration, name))
    return fact(run, name)


def fact(run: Run, name: str) -> float | None:
    """A number of metrics.json; None where it has none."""
    return _float(run.metrics.get(name))


def allowed_steps(run: Run) -> str | None:
    """What was given equally to arms that were trained fairly: the steps, or the bound below which they were chosen."""
    chosen, steps = run.metrics.get("convergence"), fact(run, "steps")
    if isinstance(chosen, dict):
        return f"those of convergence, at most {chosen.get('bound')}"
    return None if steps is None else f"{steps:g}"


def class_share(run: Run, name: str) -> float | None:
    """The share of a class's clips that a run recognised; None where it tested none."""
    per_class = run.metrics.get("per_class")
    return _float(per_class.get(name)) if isinstance(per_class, dict) else None


def stratum_share(run: Run, name: str) -> float | None:
    """The mean class accuracy on a part of the test; None where a run has no such part."""
    strata = run.metrics.get("strata")
    scores = strata.get(name) if isinstance(strata, dict) else None
    return _float(scores.get("mean_class_accuracy")) if isinstance(scores, dict) else None


def strata_of(arm: StudyArm) -> dict[str, None]:
    """Names of the parts of the test that an arm's runs distinguish, in order of first occurrence."""
    strata = [run.metrics.get("strata") for run in arm.every_run]
    return {str(name): None for one in strata if isinstance(one, dict) for name in one}


def by_seed(arm: StudyArm, value: Callable[[Run], float | None]) -> dict[tuple[str, ...], float]:
    """A value for each seed that has one; several runs of one seed are averaged, so that no seed counts twice."""
    found = {}
    for seed, runs in arm.runs.items():
        known = [one for run in runs if (one := value(run)) is not None]
        if known:
            found[seed] = float(np.mean(known))
    return found


def by_unit(arm: StudyArm, values: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """Values by seed and fold, averaged to one value for each independent sample.

    Seeds of one fold share its test clips and people. If each counted as an observation, intervals would claim for
    other people what was only measured for other seeds. So a fold counts once, with the mean of its seeds.
    """
    groups: dict[tuple[str, ...], list[float]] = {}
    for seed, value in values.items():
        groups.setdefault(arm.unit_of(seed), []).append(value)
    return {unit: float(np.mean(group)) for unit, group in groups.items()}


def shared_units(
    arm: StudyArm, other: StudyArm, value: Callable[[Run], float | None]
) -> tuple[dict[tuple[str, ...], float], dict[tuple[str, ...], float]]:
    """Both arms' values by unit, from the runs whose seed and fold both have."""
    ours, theirs = by_seed(arm, value), by_seed(other, value)
    shared = [seed for seed in ours if seed in theirs]
    one, two = (by_unit(arm, {seed: values[seed] for seed in shared}) for values in (ours, theirs))
    return one, two


def classes_of(arm: StudyArm) -> dict[str, None]:
    """Names of the classes that an arm's runs tested, in order of first occurrence."""
    per_class = [run.metrics.get("per_class") for run in arm.every_run]
    return {str(name): None for one in per_class if isinstance(one, dict) for name in one}


def class_names(arm: StudyArm, count: int) -> tuple[str, ...]:
    """Names of `count` labels, as an arm's runs list them in `classes`; numbers where none does, or they disagree."""
    listed = _listed_classes(arm)
    known = listed.pop() if len(listed) == 1 else ()
    return known[:count] if len(known) >= count else tuple(f"class {label}" for label in range(count))


def _listed_classes(arm: StudyArm) -> set[tuple[str, ...]]:
    return {tuple(map(str, names)) for run in arm.every_run if isinstance(names := run.metrics.get("classes"), list)}


def compare_arms(study: Study) -> tuple[Comparison, ...]:
    """Every arm against its control, for each control."""
    pairs: dict[frozenset[StudyArm], tuple[StudyArm, StudyArm, dict[str, str]]] = {}
    for control in study.controls:
        for arm in study.arms:
            other = study.control_of(arm, control)
            if other is not None and set(arm.runs) & set(other.runs):
                pairs.setdefault(frozenset((arm, other)), (arm, other, control))
    tested = [_pair_arms(arm, other, partial(fact, name="mean_class_accuracy")) for arm, other, _ in pairs.values()]
    corrected = holm([one.p_student for one in tested])
    found = []
    for (arm, other, control), one, p in zip(pairs.values(), tested, corrected, strict=True):
        ours, theirs = study.values(arm), study.values(other)
        differs = tuple(name for name in study.factors if name not in control and ours[name] != theirs[name])
        classes = {name: _pair_known(arm, other, partial(class_share, name=name)) for name in classes_of(arm)}
        strata = {name: _pair_known(arm, other, partial(stratum_share, name=name)) for name in strata_of(arm)}
        top1 = _pair_arms(arm, other, partial(fact, name="top1"))
        found.append(Comparison(arm, other, differs, one, p, top1, _known(classes), _known(strata)))
    return tuple(found)


def _pair_arms(arm: StudyArm, other: StudyArm, value: Callable[[Run], float | None]) -> PairedDifference:
    pair = _pair_known(arm, other, value)
    assert pair is not None, "reading makes sure of the headline measures, and the seeds are shared"
    return pair


def _pair_known(arm: StudyArm, other: StudyArm, value: Callable[[Run], float | None]) -> PairedDifference | None:
    return paired_difference(*shared_units(arm, other, value))


def _known(pairs: dict[str, PairedDifference | None]) -> dict[str, PairedDifference]:
    return {name: pair for name, pair in pairs.items() if pair is not None}


def _arm_result(arm: StudyArm) -> ArmResult:
    measures = {name: by_seed(arm, partial(measure, name=name)) for name in (*SHARES, *CALIBRATIONS)}
    shares = {name: by_seed(arm, partial(class_share, name=name)) for name in classes_of(arm)}
    strata = {name: by_seed(arm, partial(stratum_share, name=name)) for name in strata_of(arm)}
    confusion = _confusion(arm)
    return ArmResult(
        arm=arm,
        measures={name: estimate(by_unit(arm, values)) for name, values in measures.items() if values},
        per_class={name: estimate(by_unit(arm, values)) for name, values in shares.items() if values},
        confusion=confusion,
        classes=() if confusion is None else class_names(arm, len(confusion)),
        calibration=_calibration(arm),
        curves=_curves(arm),
        strata={name: estimate(by_unit(arm, values)) for name, values in strata.items() if values},
    )


def _confusion(arm: StudyArm) -> Int[np.ndarray, "class class_predicted"] | None:
    found = [run.graded.confusion for run in arm.every_run if run.graded is not None]
    alike = len({one.shape for one in found}) == 1 and len(_listed_classes(arm)) <= 1
    return sum(found[1:], found[0]) if alike else None


def _calibration(arm: StudyArm) -> Calibration | None:
    found = [run.graded.calibration for run in arm.every_run if run.graded is not None and run.graded.calibration]
    if not found:
        return None
    return Calibration(
        ece=float(np.mean([one.ece for one in found])),
        nll=float(np.mean([one.nll for one in found])),
        brier=float(np.mean([one.brier for one in found])),
        clips=np.sum([one.clips for one in found], axis=0),
        confidence=np.sum([one.confidence for one in found], axis=0),
        right=np.sum([one.right for one in found], axis=0),
    )


def _curves(arm: StudyArm) -> dict[str, dict[int, tuple[float, float, float]]]:
    found = {}
    runs = [run.curves for run in arm.every_run if run.curves]
    for name in sorted({name for curves in runs for name in curves}):
        having = [curves[name] for curves in runs if name in curves]
        steps = sorted(set.intersection(*(set(curve) for curve in having)))
        values = {step: [curve[step] for curve in having] for step in steps}
        found[name] = {step: (float(np.mean(v)), min(v), max(v)) for step, v in values.items()}
    return found


def _float(value: Plain) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not np.isfinite(value):
        return None
    return float(value)
