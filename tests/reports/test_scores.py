import numpy as np
import pytest
from torch import tensor
from torchmetrics.functional.classification import multiclass_accuracy

from synthaug.reports import score


def predictions(labels, guesses):
    pairs = zip(labels, guesses, strict=True)
    return [{"key": f"k{place}", "label": int(a), "prediction": int(b)} for place, (a, b) in enumerate(pairs)]


def test_scores_agree_with_torchmetrics():
    rng = np.random.default_rng(0)
    labels = np.r_[np.arange(5), rng.integers(0, 5, 80)]
    guesses = np.where(rng.random(85) < 0.6, labels, rng.integers(0, 5, 85))
    scores = score(predictions(labels, guesses), list("abcde"))
    macro = multiclass_accuracy(tensor(guesses), tensor(labels), num_classes=5, average="macro")
    micro = multiclass_accuracy(tensor(guesses), tensor(labels), num_classes=5, average="micro")
    assert scores.mean_class_accuracy == pytest.approx(float(macro), abs=1e-6)
    assert scores.top1 == pytest.approx(float(micro), abs=1e-6)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), 30)
    held = 0
    for _ in range(200):
        guesses = np.where(rng.random(120) < 0.7, labels, (labels + 1) % 4)
        low, high = score(predictions(labels, guesses), list("abcd"), resamples=300).interval
        held += low <= 0.7 <= high
    # 200 trials of 0.95: three standard deviations below are 181.
    assert held >= 178


def test_classes_without_a_clip_are_left_out():
    scores = score(predictions([0, 0, 2], [0, 1, 2]), ["a", "b", "c"])
    assert scores.per_class == {"a": 0.5, "c": 1.0} and scores.chance == 0.5


@pytest.mark.parametrize("bad", [[], [{"key": "k", "label": 0, "prediction": 0}] * 2])
def test_no_clip_or_a_clip_twice_is_refused(bad):
    with pytest.raises(ValueError, match="Expected one prediction for each"):
        score(bad, ["a"])
