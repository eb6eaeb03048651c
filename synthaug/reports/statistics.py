"""Compute what a handful of seeds can show: intervals, paired tests, and corrections for many tests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr, stdtrit

LEVEL = 0.95
"""Confidence level of every interval."""
MAX_ENUMERATED = 40
"""Pairs whose 2**40 changes of sign are still counted exactly, as two halves of 2**20."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: Mean of the seeds' values.
        interval: 95 % interval by Student's t; None if there is one seed, or all seeds gave the same, since spread
            cannot be estimated then.
        values: The values, by seed.
    """

    mean: float
    interval: tuple[float, float] | None
    values: dict[tuple[str, ...], float]


@dataclass(frozen=True)
class PairedDifference:
    """A difference of two arms, seed by seed.

    Attributes:
        difference: Mean over the shared seeds.
        interval: 95 % interval of it by Student's t; None where spread cannot be estimated.
        p_student: Two-sided p of the paired t test; 1 if there is no difference at all, None where spread cannot be
            estimated.
        p_signs: Two-sided p of the exact sign-flip test: the share of all changes of the pairs' signs whose mean is
            at least as far from 0. None beyond 40 pairs.
        least_p: The smallest `p_signs` that this number of pairs can give.
        pairs: Number of shared seeds.
    """

    difference: float
    interval: tuple[float, float] | None
    p_student: float | None
    p_signs: float | None
    least_p: float
    pairs: int


def estimate(values: dict[tuple[str, ...], float]) -> Estimate:
    """The mean over seeds.

    Raises:
        ValueError: If there is no value.
    """
    if not values:
        raise ValueError("Expected a value for at least one seed, got none. Leave the row out.")
    numbers = np.array([values[seed] for seed in sorted(values)], dtype=np.float64)
    return Estimate(float(numbers.mean()), interval(numbers), dict(values))


def interval(values: Float[np.ndarray, " seed"]) -> tuple[float, float] | None:
    """95 % interval of the mean by Student's t; None if there are not two different values.

    Source:
        Student, "The Probable Error of a Mean", 1908.
    """
    if not has_spread(values):
        return None
    half = float(stdtrit(len(values) - 1, 0.5 + LEVEL / 2) * values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


def has_spread(values: Float[np.ndarray, " seed"]) -> bool:
    """Whether the values differ by more than rounding."""
    return len(values) > 1 and bool(np.ptp(values) > 1e-12 * max(1.0, float(np.abs(values).max())))


def paired_difference(
    ours: dict[tuple[str, ...], float], theirs: dict[tuple[str, ...], float]
) -> PairedDifference | None:
    """Ours minus theirs, over the seeds that both have; None if they share none."""
    shared = sorted(set(ours) & set(theirs))
    if not shared:
        return None
    differences = np.array([ours[seed] - theirs[seed] for seed in shared], dtype=np.float64)
    return PairedDifference(
        difference=float(differences.mean()),
        interval=interval(differences),
        p_student=student_p(differences),
        p_signs=sign_flip_p(differences) if len(shared) <= MAX_ENUMERATED else None,
        least_p=2.0 ** (1 - len(shared)),
        pairs=len(shared),
    )


def student_p(differences: Float[np.ndarray, " pair"]) -> float | None:
    """Two-sided p of the paired t test; None where spread cannot be estimated and there is a difference."""
    if not has_spread(differences):
        return 1.0 if not differences.any() else None
    t = differences.mean() / (differences.std(ddof=1) / np.sqrt(len(differences)))
    return float(2 * stdtr(len(differences) - 1, -abs(t)))


def sign_flip_p(differences: Float[np.ndarray, " pair"]) -> float:
    """Exact two-sided p of the sign-flip test, at most 40 pairs.

    Under the hypothesis that arms are exchangeable within a seed, every choice of signs is as likely. The sums of each
    half of the pairs are listed, and those of their 2**pairs combinations that lie beyond the observed sum are counted.

    Raises:
        ValueError: If there are no pairs, or more than 40.

    Source:
        Fisher, "The Design of Experiments", 1935, section 21 (the test); Pagano and Tritchler, "On Obtaining
        Permutation Distributions in Polynomial Time", 1983 (why not to enumerate singly).
    """
    if not 0 < len(differences) <= MAX_ENUMERATED:
        raise ValueError(f"Expected 1 to {MAX_ENUMERATED} pairs, got {len(differences)}. Use the t test.")
    half = len(differences) // 2
    one, other = _signed_sums(differences[:half]), np.sort(_signed_sums(differences[half:]))
    # Combinations as far out as the observed one, itself among them, differ from it by rounding.
    far = abs(float(differences.sum())) - 1e-9 * float(np.abs(differences).sum())
    if far <= 0:
        return 1.0
    beyond = len(other) - np.searchsorted(other, far - one, side="left") + np.searchsorted(other, -far - one, "right")
    return float(beyond.sum() / 2.0 ** len(differences))


def _signed_sums(values: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " combination"]:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """P values corrected for the number of tests; None stays None and counts as a test.

    Source:
        Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
    """
    adjusted: list[float | None] = [None] * len(ps)
    largest = 0.0
    known = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(ps) - rank) * p))
        adjusted[place] = largest
    return adjusted
