import itertools

import numpy as np
import pytest
from scipy import stats

from synthaug.reports.statistics import estimate, holm, interval, paired_difference, sign_flip_p, student_p


def by_seed(values):
    return {(str(seed),): float(value) for seed, value in enumerate(values)}


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_intervals_and_t_tests_agree_with_scipy(count):
    rng = np.random.default_rng(count)
    ours, theirs = rng.normal(0.5, 0.1, count), rng.normal(0.4, 0.1, count)
    truth = stats.t.interval(0.95, count - 1, ours.mean(), stats.sem(ours))
    assert interval(ours) == pytest.approx(truth)
    found, test = paired_difference(by_seed(ours), by_seed(theirs)), stats.ttest_rel(ours, theirs)
    assert found.p_student == pytest.approx(test.pvalue)
    assert found.interval == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    ends = [interval(rng.normal(0.3, 0.05, 5)) for _ in range(2000)]
    held = np.mean([low <= 0.3 <= high for low, high in ends])
    # Three standard deviations of a share of 0.95 among 2000.
    assert abs(held - 0.95) < 3 * (0.95 * 0.05 / 2000) ** 0.5


@pytest.mark.parametrize("count", [1, 2, 5, 8, 11])
def test_the_sign_flip_test_is_the_plain_enumeration(count):
    differences = np.random.default_rng(count).normal(0.3, 1, count).round(1)
    sums = [np.dot(signs, differences) for signs in itertools.product([1, -1], repeat=count)]
    truth = np.mean(np.abs(sums) >= abs(differences.sum()) - 1e-9)
    assert sign_flip_p(differences) == pytest.approx(truth)


def test_the_sign_flip_test_agrees_with_scipy():
    differences = np.random.default_rng(3).normal(0.5, 1, 10)
    truth = stats.permutation_test(
        (differences,), lambda x, axis: x.mean(axis), permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert sign_flip_p(differences) == pytest.approx(truth.pvalue)


@pytest.mark.parametrize("count", [1, 3, 5, 30])
def test_no_result_is_clearer_than_all_signs_alike(count):
    values = np.random.default_rng(count).random(count) + 0.1
    found = paired_difference(by_seed(values), by_seed(np.zeros(count)))
    assert found.p_signs == pytest.approx(found.least_p) and found.least_p == 2.0 ** (1 - count)


def test_too_many_pairs_are_not_enumerated():
    with pytest.raises(ValueError, match="Expected 1 to 40 pairs"):
        sign_flip_p(np.ones(41))
    assert paired_difference(by_seed(np.arange(41)), by_seed(np.zeros(41))).p_signs is None


@pytest.mark.parametrize("values", [[0.3], [0.3, 0.5, 0.1]])
def test_an_arm_does_not_differ_from_itself(values):
    found = paired_difference(by_seed(values), by_seed(values))
    assert (found.difference, found.p_student, found.p_signs) == (0, 1, 1)


def test_swapping_the_arms_swaps_the_sign_alone():
    rng = np.random.default_rng(1)
    ours, theirs = by_seed(rng.random(6)), by_seed(rng.random(6))
    there, back = paired_difference(ours, theirs), paired_difference(theirs, ours)
    assert there.difference == -back.difference and there.interval == pytest.approx(
        (-back.interval[1], -back.interval[0])
    )
    assert (there.p_student, there.p_signs) == pytest.approx((back.p_student, back.p_signs))


def test_a_seed_of_one_arm_alone_does_not_enter_the_pairing():
    ours, theirs = by_seed([0.5, 0.6, 0.4]), by_seed([0.3, 0.5, 0.2])
    assert paired_difference({**ours, ("9",): 0.0}, theirs) == paired_difference(ours, theirs)
    assert paired_difference(ours, {("9",): 0.0}) is None


def test_without_spread_there_is_no_interval():
    assert estimate(by_seed([0.4])).interval is None and estimate(by_seed([0.1, 0.1, 0.1])).interval is None
    # Differences of 0.1 each, equal but for rounding: nothing is known of their spread.
    found = paired_difference(by_seed([0.3, 0.4]), by_seed([0.2, 0.3]))
    assert found.interval is None and found.p_student is None
    assert student_p(np.zeros(3)) == 1.0
    with pytest.raises(ValueError, match="Expected a value for at least one seed"):
        estimate({})


@pytest.mark.parametrize("seed", range(20))
def test_holm_rejects_what_stepping_down_rejects(seed):
    ps = np.random.default_rng(seed).random(6) ** 4
    for level in (0.01, 0.05, 0.2):
        rejected, order = set(), np.argsort(ps)
        for rank, place in enumerate(order):
            if ps[place] > level / (len(ps) - rank):
                break
            rejected.add(int(place))
        assert {place for place, p in enumerate(holm(ps.tolist())) if p <= level} == rejected


def test_holm_counts_tests_that_gave_no_p():
    assert holm([0.01, None]) == [0.02, None] and holm([]) == []
