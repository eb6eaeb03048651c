import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from synthaug.reports.grading import grade


def predictions(seed=0, clips=300, classes=7, sharpness=2.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, clips)
    logits = rng.normal(0, 1, (clips, classes)) + sharpness * np.eye(classes)[labels] * rng.random((clips, 1))
    scores = np.exp(2 * logits)
    scores /= scores.sum(1, keepdims=True)
    rows = [
        {"key": f"k{place}", "label": int(label), "prediction": int(row.argmax()), "scores": row.tolist()}
        for place, (label, row) in enumerate(zip(labels, scores, strict=True))
    ]
    return rows, torch.tensor(scores), torch.tensor(labels)


@pytest.mark.parametrize("seed", range(3))
def test_measures_agree_with_torch_and_torchmetrics(seed):
    rows, scores, labels = predictions(seed)
    found = grade(rows)
    ece = multiclass_calibration_error(scores, labels, num_classes=7, n_bins=15, norm="l1")
    five = multiclass_accuracy(scores, labels, num_classes=7, top_k=5, average="micro")
    # torchmetrics computes in single precision.
    assert found.calibration.ece == pytest.approx(float(ece), abs=1e-6)
    assert found.top5 == pytest.approx(float(five), abs=1e-6)
    assert found.calibration.nll == pytest.approx(float(torch.nn.functional.nll_loss(scores.log(), labels)))
    truth = torch.nn.functional.one_hot(labels, 7).double()
    assert found.calibration.brier == pytest.approx(7 * float(torch.nn.functional.mse_loss(scores, truth)))
    matrix = multiclass_confusion_matrix(scores.argmax(1), labels, num_classes=7)
    assert (found.confusion == matrix.numpy()).all()


def test_equal_scores_give_the_closed_forms_of_guessing():
    rows = [{"key": str(k), "label": k, "prediction": 0, "scores": [0.125] * 8} for k in range(8)]
    found = grade(rows)
    assert found.calibration.ece == pytest.approx(0) and found.calibration.nll == pytest.approx(np.log(8))
    assert found.calibration.brier == pytest.approx(7 / 8) and found.top5 == 5 / 8


def test_the_order_of_clips_does_not_matter():
    rows, _, _ = predictions()
    one, other = grade(rows), grade(rows[::-1])
    assert (one.confusion == other.confusion).all() and one.keys == other.keys
    assert one.calibration.nll == pytest.approx(other.calibration.nll)


def test_top5_says_nothing_with_five_classes():
    assert grade(predictions(classes=5)[0]).top5 is None


@pytest.mark.parametrize("scores", [None, [0.2, 0.2], [0.5, "a"], [float("nan"), 1.0], [-0.5, 1.5], []])
def test_without_probabilities_there_is_no_calibration_but_all_else(scores):
    found = grade([{"key": "a", "label": 1, "prediction": 0, "scores": scores}])
    assert found.calibration is None and found.confusion.tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [{"key": "a", "label": 0, "prediction": 0}] * 2,
        [{"key": "a", "label": -1, "prediction": 0}],
        [{"key": "a", "label": 0.5, "prediction": 0}],
        [{"key": "a", "prediction": 0}],
        [{"key": "a", "label": 2, "prediction": 0, "scores": [0.5, 0.5]}],
    ],
)
def test_predictions_that_cannot_be_counted_are_refused(bad):
    with pytest.raises(ValueError, match=r"Expected .*, got .*\. Test the run again: synthaug evaluate"):
        grade(bad)
