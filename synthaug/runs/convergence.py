"""Chooses how long a run trains: until people who teach, left out in turn, are no longer recognised better.

Film alone learns what it has to say in fewer steps than film and synthetic clips do, so that one number of steps for
all arms favours some. Here each arm takes the steps that it needs, under one bound; nobody who is tested has a say.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.files import normalize_name, write_atomic
from synthaug.runs.probing import find_testable
from synthaug.structures import Record

logger = logging.getLogger(__name__)

Measure = Callable[[int, str | None], float]
"""Trains for this many steps without a group, and returns the accuracy on it; None keeps everybody, and takes the
accuracy on the validation part."""


@dataclass(frozen=True)
class Doubling:
    """Tries twice the steps until they no longer help.

    Each number of steps is a training of its own, whose learning rate falls to zero at its end: what an interrupted
    longer one knows says little of it. All of them together cost a little more than twice the bound for each person
    left out.

    Attributes:
        first: Steps of the first trial.
        people: How many of the people who teach are left out, one after the other, in the order of their names; None
            is all of them. With a validation part, that decides and nobody is left out.
        patience: After how many trials without a gain no more are made: few people's clips grade roughly.
    """

    first: int = 250
    people: int | None = None
    patience: int = 2

    def __post_init__(self) -> None:
        for name, value in (("first", self.first), ("people", self.people), ("patience", self.patience)):
            if value is not None and value < 1:
                raise ValueError(
                    f"Expected convergence.{name} of 1 or more, got {value}. Leave it out for the default; "
                    "convergence.people=null leaves out everybody in turn."
                )


@dataclass(frozen=True)
class Trials:
    """What was tried, and what was chosen.

    Attributes:
        steps: The smallest number of steps that nothing else that was tried is better than.
        bound: The most that were allowed.
        accuracies: By number of steps, the mean over who was left out of the mean class accuracy on their film.
    """

    steps: int
    bound: int
    accuracies: dict[int, float]


def list_groups(doubling: Doubling, train: Sequence[Record], val: Sequence[Record]) -> list[str | None]:
    """Who is left out, one after the other; None alone where a validation part decides.

    Raises:
        ValueError: If nobody can be left out, since no class is shown by two of them.
    """
    if val:
        return [None]
    groups = find_testable(train)
    if not groups:
        raise ValueError(
            "Expected several training clips for convergence in some class, of two people if more than one teaches, so "
            f"that one can be left out, got {len(train)} clips and no such class. Give more, as with protocol.n_shot, "
            "or leave convergence out and set trainer.max_steps."
        )
    return list(groups[: doubling.people])


def check_trials(
    groups: Sequence[str | None], *, ckpt_path: str | None, packed: bool, likenesses: Mapping[str, str] | None = None
) -> None:
    """Refuse what would make trials another training than the one that follows them.

    Args:
        groups: Who is left out.
        ckpt_path: The checkpoint that training continues from; auto is the run's own.
        packed: Whether synthetic clips are finished ones, of everybody who teaches.
        likenesses: The subject that each synthetic person looks like, by identity; empty if it looks like none.

    Raises:
        ValueError: If training does not start at the beginning, or clips show who is left out.
    """
    if ckpt_path not in (None, "auto"):
        raise ValueError(
            f"Expected no checkpoint for convergence, whose trials begin anew, got ckpt_path={ckpt_path}. Set "
            "recognizer.weights to what training starts from, or leave convergence out."
        )
    if packed and groups[0] is not None:
        raise ValueError(
            "Expected clips that are made for each trial of convergence, got those of pack, which show everybody who "
            "teaches. Use a protocol with a validation part, as with protocol.val_fraction, or leave convergence out "
            "and set trainer.max_steps."
        )
    left_out = {normalize_name(group) for group in groups if group is not None}
    for identity, subject in (likenesses or {}).items():
        if subject and normalize_name(subject) in left_out:
            raise ValueError(
                f"Expected avatars of nobody whom convergence leaves out, got {identity!r}, which shows the subject "
                f"{subject!r}: a trial without that person would still show them. Move the avatar away; use a protocol "
                "with a validation part, as with protocol.val_fraction; or leave convergence out and set "
                "trainer.max_steps."
            )


def choose_steps(
    doubling: Doubling, bound: int, groups: Sequence[str | None], measure: Measure, *, kept: Path
) -> Trials:
    """Try `first` steps, twice as many, and so on, until more no longer help or the bound was tried.

    Args:
        doubling: Where to begin, and when to end.
        bound: The most steps; tried last, whether or not it is a double.
        groups: Who is left out in turn.
        measure: Trains and tests.
        kept: File that keeps what was measured, for a run that continues.
    """
    found: dict[str, float] = json.loads(kept.read_text()) if kept.is_file() else {}

    def try_steps(steps: int) -> float:
        for group in groups:
            logger.info("Trial: %s.", _name_trial(steps, group))
            if (name := _name_trial(steps, group)) not in found:
                found[name] = measure(steps, group)
                write_atomic(kept, (json.dumps(found, indent=1) + "\n").encode())
        mean = sum(found[_name_trial(steps, group)] for group in groups) / len(groups)
        graded = "the validation part" if groups[0] is None else "training people who were left out"
        logger.info("%d steps: %.1f %% on %s.", steps, 100 * mean, graded)
        return mean

    steps = best = min(doubling.first, bound)
    accuracies = {steps: try_steps(steps)}
    without_gain = 0
    while steps < bound and without_gain < doubling.patience:
        steps = min(2 * steps, bound)
        accuracies[steps] = try_steps(steps)
        better = accuracies[steps] > accuracies[best]
        best, without_gain = (steps, 0) if better else (best, without_gain + 1)
    return Trials(best, bound, accuracies)


def _name_trial(steps: int, group: str | None) -> str:
    return f"{steps} steps" if group is None else f"{steps} steps without {group}"
