"""Find what a study cannot conclude, and why; one function for each reason."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from synthaug.reports.reading import Run
from synthaug.reports.results import Comparison, Results, allowed_steps, fact
from synthaug.reports.studies import Study, StudyArm
from synthaug.structures import Plain

FEW_SUBJECTS = 10
FEW_CLIPS = 5
"""Clips of a class below which one of them moves the class by more than 20 points."""


@dataclass(frozen=True)
class Caution:
    """One reason not to conclude something.

    Attributes:
        about: The reason in a few words.
        words: The reason in full, and what cannot be concluded because of it.
        grave: Whether figures may be wrong, not only less certain than they look.
    """

    about: str
    words: str
    grave: bool = False


def find_cautions(found: Results) -> tuple[Caution, ...]:
    """All that apply, grave ones first."""
    every = [caution for reason in _REASONS for caution in reason(found)]
    return tuple(sorted(every, key=lambda caution: not caution.grave))


def name_arm(study: Study, arm: StudyArm) -> str:
    """The name of an arm on one line: the values of its factors."""
    return ", ".join(f"{short_name(name)}={value}" for name, value in study.values(arm).items()) or "the only arm"


def short_name(name: str) -> str:
    """The last word of an override's name."""
    return name.rsplit(".", 1)[-1].rsplit("/", 1)[-1]


def _leaks(found: Results) -> Iterator[Caution]:
    leaking = [run for run in found.study.runs if run.leakage and run.leakage.get("violations")]
    if leaking:
        yield Caution(
            "Leaks",
            f"{_places(leaking)} trained on what they were tested on; their accuracy says nothing. See Provenance.",
            grave=True,
        )
    overlaps = {
        str(name)
        for run in found.study.runs
        if run.leakage and isinstance(shared := run.leakage.get("overlaps"), dict)
        for name, what in shared.items()
        if what
    }
    if overlaps:
        yield Caution(
            "Overlaps of the protocol",
            f"Training and test share {_listed(overlaps)}, as the protocol itself has it. It is not known how well "
            "clips that share none of it are recognised.",
        )
    nameless = {
        what: max((_nameless(run, what) for run in found.study.runs), default=0) for what in ("subject", "camera")
    }
    for what, count in nameless.items():
        if count == 0:
            continue
        yield Caution(
            f"Unknown {what}s",
            f"Up to {count} clips of a run name no {what}. Whether training and test share {what}s among them is "
            "unknown; if they do, accuracies partly measure memory.",
        )
    unchecked = [run for run in found.study.runs if run.leakage is None]
    if unchecked:
        yield Caution(
            "Leaks not recorded",
            f"{_count(unchecked)} left no leakage.json. What they share with their test cannot be looked up here.",
        )


def _nameless(run: Run, what: str) -> int:
    """Number of clips of a run whose `what` (subject or camera) is unknown."""
    counts = (run.leakage or {}).get("clips_that_name_none")
    count = counts.get(what) if isinstance(counts, dict) else None
    return count if isinstance(count, int) else 0


def _broken(found: Results) -> Iterator[Caution]:
    wrong = [run for run in found.study.runs if any("another mean class" in remark for remark in run.remarks)]
    if wrong:
        yield Caution(
            "Files that contradict each other",
            f"In {_places(wrong)}, predictions.json gives another mean class accuracy than metrics.json. Accuracies "
            "below are those of metrics.json, top-5, confusion and calibration those of predictions.json.",
            grave=True,
        )
    twice = [arm for arm in found.study.arms if any(len(runs) > 1 for runs in arm.runs.values())]
    if twice:
        yield Caution(
            "Seeds run twice",
            f"{_arms(found, twice)} have several runs of one seed. Their mean counts as one seed.",
            grave=True,
        )


def _unfinished(found: Results) -> Iterator[Caution]:
    missing = found.study.unfinished
    if missing:
        yield Caution(
            "Runs missing",
            f"{len(missing)} of {len(missing) + len(found.study.runs)} runs gave no figures and are missing from all "
            "numbers below. If the hard cases are what fails, the rest looks better than it is.",
        )


def _seeds(found: Results) -> Iterator[Caution]:
    unit = found.study.unit
    single = [arm for arm in found.study.arms if len(arm.units) == 1]
    if single:
        yield Caution(
            f"One {unit}",
            f"{_arms(found, single)}: one {unit}, so there is no interval and no test. A difference may be chance.",
        )
    units = "seeds" if unit == "seed" else f"{unit}s or seeds"
    unlike = [one for one in found.comparisons if set(one.arm.runs) != set(one.control.runs)]
    if unlike:
        yield Caution(
            f"Different {units}",
            f"{_compared(found, unlike)}: arms and control have different {units}. Only shared ones are compared, so "
            "the difference is not that of the two means in the table.",
        )
    few = min((one.paired.pairs for one in found.comparisons), default=None)
    if few is not None and few < 6:
        yield Caution(
            f"Few {unit}s",
            f"With {few} shared {unit}{'s' if few > 1 else ''} the sign-flip test cannot give a p below "
            f"{2.0 ** (1 - few):.4g}. Intervals and t tests assume that differences are normal over {unit}s, which so "
            "few cannot show.",
        )
    flat = [result.arm for result in found.arms if _flat(result.arm, result.measures["mean_class_accuracy"].interval)]
    if flat:
        yield Caution(
            "No spread",
            f"{_arms(found, flat)}: all {unit}s gave the same mean class accuracy. Either the {unit} changes nothing "
            "or nothing is learnt; no interval can be given.",
        )


def _unequal_steps(found: Results) -> Iterator[Caution]:
    unlike = [one for one in found.comparisons if _unlike(one, allowed_steps)]
    if unlike:
        yield Caution(
            "Unequal training",
            f"{_compared(found, unlike)}: arm and control took different numbers of optimizer steps, or chose them "
            "under different bounds. The difference may partly come from that.",
            grave=True,
        )


def _unequal_film(found: Results) -> Iterator[Caution]:
    unlike = [one for one in found.comparisons if _unlike(one, lambda run: fact(run, "filmed_clips"))]
    if unlike:
        yield Caution(
            "Unequal film",
            f"{_compared(found, unlike)}: arm and control trained on different numbers of filmed clips.",
            grave=True,
        )
    ratios = {one: _exposure_ratio(one) for one in found.comparisons}
    shown = [one for one, ratio in ratios.items() if 1.1 < ratio < math.inf]
    if shown:
        yield Caution(
            "Unequal exposure",
            f"{_compared(found, shown)}: at the same steps a filmed clip was shown more often in one than in the "
            f"other, by up to a factor of {max(ratios[one] for one in shown):.1f}. Synthetic clips took the place of "
            "filmed ones in batches.",
        )
    without = [one for one, ratio in ratios.items() if ratio == math.inf]
    if without:
        yield Caution(
            "Unequal exposure",
            f"{_compared(found, without)}: only one of the two was shown filmed clips at all. The difference "
            "compares film with synthesis, not film alone with film and synthesis.",
        )


def _unequal_tests(found: Results) -> Iterator[Caution]:
    clips = [one for one in found.comparisons if _unlike(one, lambda run: run.graded and run.graded.keys)]
    if clips:
        yield Caution(
            "Different test clips",
            f"{_compared(found, clips)}: arm and control were tested on different clips for the same seed. Their "
            "difference may partly come from that.",
            grave=True,
        )
    if len({frozenset(_classes(run)) for run in found.study.runs}) > 1:
        yield Caution(
            "Different classes",
            "Runs were tested on different sets of classes: mean class accuracy and chance mean different things in "
            "them.",
            grave=any(_unlike(one, lambda run: frozenset(_classes(run))) for one in found.comparisons),
        )
    if any(one.differs for one in found.comparisons):
        factors = {name for one in found.comparisons for name in one.differs}
        yield Caution(
            "Controls that differ in more",
            f"Some controls were run with only one value of {_listed(factors)}, and stand for all of them.",
        )


def _small_tests(found: Results) -> Iterator[Caution]:
    subjects = {len(people) for run in found.study.runs if (people := _subjects(run)) is not None}
    if found.study.unit == "fold":
        yield Caution(
            "Folds share their training clips",
            "A clip that is tested in one fold trains in the others, so folds are not independent, and intervals over "
            "them come out too narrow (Bengio and Grandvalet, 2004).",
        )
    elif subjects and min(subjects) < FEW_SUBJECTS:
        yield Caution(
            "Few people in the test",
            f"Tests show {' or '.join(map(str, sorted(subjects)))} people. Intervals here are over seeds: they say how "
            "much training varies, not how much other people would.",
        )
    fewest = min(
        (int(row) for run in found.study.runs if run.graded for row in run.graded.confusion.sum(1) if row),
        default=FEW_CLIPS,
    )
    if fewest < FEW_CLIPS:
        yield Caution(
            "Few clips of a class",
            f"Some class has {fewest} test clip{'s' if fewest > 1 else ''}; one clip moves it by "
            f"{100 / fewest:.0f} points, and mean class accuracy by that over the number of classes.",
        )


def _guessing(found: Results) -> Iterator[Caution]:
    if found.chance is None:
        return
    low = [result.arm for result in found.arms if _reaches(result.measures["mean_class_accuracy"], found.chance)]
    if low:
        yield Caution(
            "Not distinguishable from guessing",
            f"{_arms(found, low)}: the interval reaches down to chance ({found.chance:.1%}).",
        )


def _pseudo_real(found: Results) -> Iterator[Caution]:
    if any(_target(run, "dataset").endswith("datasets.demo.Demo") for run in found.study.runs):
        yield Caution(
            "Pseudo-real test",
            "The data set is the demo: its 'filmed' clips are rendered. It shows that the machinery works and what "
            "parts of it add; it cannot show what synthesis is worth on film.",
        )


def _unmade(found: Results) -> Iterator[Caution]:
    """Classes that synthesis gave nothing to, in runs that have synthetic clips."""
    runs = [run for run in found.study.runs if fact(run, "synthetic_clips")]
    without = {str(name) for run in runs if isinstance(names := run.metrics.get("without_synthetic"), list)
               for name in names}  # fmt: skip
    if without:
        yield Caution(
            "Classes without synthetic clips",
            f"Synthesis made no clip of {_listed(without)}: no motion was found in their film, or no view showed it. "
            "Filmed clips take the places of their synthetic ones in mixed batches, so these classes gain nothing from "
            "synthesis; motions.json says why film gave no motion.",
        )


def _foreign(found: Results) -> Iterator[Caution]:
    """What another generator's clips lack, and whether as many of them as of ours were trained on."""
    told: dict[str, str] = {}
    for run in found.study.runs:
        if isinstance(report := run.metrics.get("foreign"), dict) and isinstance(kinds := report.get("left_out"), dict):
            drift = report.get("median_drift")
            measured = f"median drift of the pose {drift:.1%}" if isinstance(drift, float) else "drift was not measured"
            told[str(report.get("generator"))] = (
                f"{report.get('used')} of {report.get('films')} films were used"
                + "".join(f"; {count} left out ({kind})" for kind, count in kinds.items())
                + f"; {measured}; licence: {report.get('licence')}; consent: {report.get('consent')}"
            )
    if told:
        yield Caution("Clips of another generator", ". ".join(f"{name}: {words}" for name, words in told.items()) + ".")
    unequal = [
        one for one in found.comparisons
        if any(isinstance(run.metrics.get("foreign"), dict) for arm in (one.arm, one.control) for run in arm.every_run)
        and all(fact(run, "synthetic_clips") for arm in (one.arm, one.control) for run in arm.every_run)
        and _unlike(one, lambda run: fact(run, "synthetic_clips"))
    ]  # fmt: skip
    if unequal:
        yield Caution(
            "Unequal numbers of synthetic clips",
            f"{_compared(found, unequal)}: one was given more synthetic clips than the other. Set synth.per_class to "
            "what the smaller of both has.",
            grave=True,
        )


def _last_checkpoint(found: Results) -> Iterator[Caution]:
    last = [run for run in found.study.runs if fact(run, "val_clips") == 0]
    if last:
        yield Caution(
            "No validation",
            f"{_count(last)} had no validation clips: the last checkpoint was tested, whatever the curve did.",
        )


def _versions(found: Results) -> Iterator[Caution]:
    versions = {str(run.metrics.get("version", "unknown")) for run in found.study.runs}
    if len(versions) > 1:
        yield Caution("Different versions", f"Runs were made by different versions of synthaug: {_listed(versions)}.")


def _no_control(found: Results) -> Iterator[Caution]:
    if len(found.study.arms) > 1 and not found.comparisons:
        yield Caution(
            "Nothing compared",
            "No control was found for any arm, so no difference is tested. Name one: --baseline FACTOR=VALUE.",
        )


_REASONS: tuple[Callable[[Results], Iterator[Caution]], ...] = (
    _pseudo_real, _leaks, _broken, _unequal_tests, _unequal_steps, _unequal_film, _unfinished, _seeds, _no_control,
    _guessing, _small_tests, _unmade, _foreign, _last_checkpoint, _versions,
)  # fmt: skip


def _unlike(one: Comparison, value: Callable[[Run], object]) -> bool:
    """Whether arm and control differ in something at a seed that both have; unknown values are ignored."""
    for seed in set(one.arm.runs) & set(one.control.runs):
        ours, theirs = ({value(run) for run in arm.runs[seed]} - {None} for arm in (one.arm, one.control))
        if ours and theirs and ours != theirs:
            return True
    return False


def _exposure_ratio(one: Comparison) -> float:
    """How many times as often one was shown a filmed clip as the other; infinite if one never was, 1 if unknown."""
    facts = [[fact(run, "filmed_exposure") for run in arm.every_run] for arm in (one.arm, one.control)]
    known = [[value for value in values if value is not None] for values in facts]
    if not all(known):
        return 1.0
    low, high = sorted(sum(values) / len(values) for values in known)
    if low == 0:
        return math.inf if high > 0 else 1.0
    return high / low


def _flat(arm: StudyArm, interval: tuple[float, float] | None) -> bool:
    return interval is None and len(arm.units) > 1


def _reaches(estimate: object, chance: float) -> bool:
    interval = getattr(estimate, "interval", None)
    return interval is not None and bool(interval[0] <= chance)


def _classes(run: Run) -> list[str]:
    per_class = run.metrics.get("per_class")
    return [str(name) for name in per_class] if isinstance(per_class, dict) else []


def _target(run: Run, part: str) -> str:
    node = run.config.get(part)
    return str(node.get("_target_", "")) if isinstance(node, dict) else ""


def _subjects(run: Run) -> list[Plain] | None:
    """The test subjects, named by the protocol itself or by a protocol nested in it."""
    node = run.config.get("protocol")
    while isinstance(node, dict):
        if isinstance(people := node.get("test_subjects"), list):
            return people
        node = node.get("subjects")
    return None


def _compared(found: Results, which: Sequence[Comparison]) -> str:
    if len(which) == len(found.comparisons) > 2:
        return "All comparisons"
    pairs: dict[tuple[str, str], list[str]] = {}
    for one in which:
        pair = (one.arm.values[-1], one.control.values[-1])
        others = list(found.study.values(one.arm).items())[:-1]
        pairs.setdefault(pair, []).append(", ".join(f"{short_name(name)}={value}" for name, value in others))
    words = [f"{ours} against {theirs}{_where(places)}" for (ours, theirs), places in pairs.items()]
    return _some(words, "; ")


def _where(places: list[str]) -> str:
    return f" (at {_some(places, '; ')})" if any(places) else ""


def _arms(found: Results, which: Sequence[StudyArm]) -> str:
    if len(which) == len(found.study.arms) > 2:
        return "All arms"
    return _some([name_arm(found.study, arm) for arm in which], "; ")


def _places(runs: Sequence[Run]) -> str:
    return _some([f"run {run.place}" for run in runs], ", ")


def _count(runs: Sequence[Run]) -> str:
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''}"


def _some(words: list[str], gap: str) -> str:
    return gap.join(words[:4]) + (f" and {len(words) - 4} more" if len(words) > 4 else "")


def _listed(words: set[str]) -> str:
    return ", ".join(sorted(words))
