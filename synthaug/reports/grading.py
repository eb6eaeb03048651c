"""Count one run's predictions: which classes are confused, and how well scores are calibrated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from synthaug.reports.scores import Prediction

BINS = 15
"""Bins of confidence, as usual since Guo et al. 2017."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """How far the scores of a run can be used as probabilities.

    Attributes:
        ece: Expected calibration error: the gap between confidence and accuracy, a bin's share of clips its weight.
        nll: Mean negative logarithm of the score that the true class got, in nats. Scores below 1e-12 count as that.
        brier: Mean squared distance of the scores from the truth, added over classes: 0 to 2.
        clips: Number of clips in each bin of confidence.
        confidence: Their confidences, added up.
        right: How many of them were recognised.

    Source:
        Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017 (the bins and the
        error); Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950.
    """

    ece: float
    nll: float
    brier: float
    clips: Int[np.ndarray, " bin"]
    confidence: Float[np.ndarray, " bin"]
    right: Int[np.ndarray, " bin"]


@dataclass(frozen=True, eq=False)
class GradedRun:
    """Counts and calibration of a run's predictions.

    Attributes:
        keys: Keys of the clips that were tested.
        confusion: How many clips of each class (row) were taken for each class (column).
        top5: Share of clips whose class is among the five with the highest scores; None without scores, and with five
            classes or fewer, where it says nothing.
        calibration: None where the predictions hold no scores that add to 1.
    """

    keys: frozenset[str]
    confusion: Int[np.ndarray, "class class_predicted"]
    top5: float | None
    calibration: Calibration | None

    @property
    def mean_class_accuracy(self) -> float:
        """Over the classes that have clips."""
        clips = self.confusion.sum(1)
        present = clips > 0
        return float((self.confusion.diagonal()[present] / clips[present]).mean())

    @property
    def per_class(self) -> dict[int, float]:
        """Share recognised, by label, of classes that have clips."""
        clips = self.confusion.sum(1)
        return {int(label): float(self.confusion[label, label] / clips[label]) for label in np.flatnonzero(clips)}


def grade(predictions: Sequence[Prediction]) -> GradedRun:
    """Count a run's predictions.

    Raises:
        ValueError: If there are none, or not one for each clip with a label and a prediction.
    """
    try:
        keys = [str(one["key"]) for one in predictions]
        labels = np.array([int(str(one["label"])) for one in predictions])
        guesses = np.array([int(str(one["prediction"])) for one in predictions])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected predictions with a key, a label and a prediction each, as in predictions.json, got {error!r}. "
            "Test the run again: synthaug evaluate run=FOLDER"
        ) from error
    if not keys or len(set(keys)) != len(keys) or min(labels.min(), guesses.min()) < 0:
        raise ValueError(
            f"Expected one prediction for each of at least one clip, with labels from 0, got {len(keys)} for "
            f"{len(set(keys))} clips. Test the run again: synthaug evaluate run=FOLDER"
        )
    scores = read_scores(predictions)
    classes = max(labels.max(), guesses.max()) + 1 if scores is None else scores.shape[1]
    if max(labels.max(), guesses.max()) >= classes:
        raise ValueError(
            f"Expected a score for each class, got labels up to {max(labels.max(), guesses.max())} with scores of "
            f"{classes} classes. Test the run again: synthaug evaluate run=FOLDER"
        )
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (labels, guesses), 1)
    top5 = None if scores is None or classes <= 5 else top_share(scores, labels, count=5)
    return GradedRun(frozenset(keys), confusion, top5, None if scores is None else measure_calibration(scores, labels))


def read_scores(predictions: Sequence[Prediction]) -> Float[np.ndarray, "clip class"] | None:
    """The predictions' scores; None if some have none, or they are not probabilities."""
    rows = [row if isinstance(row := one.get("scores"), list) else [] for one in predictions]
    if {len(row) for row in rows} != {len(rows[0])} or not rows[0]:
        return None
    try:
        scores = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    # Half precision adds to 1 within some thousandths.
    likely = scores.ndim == 2 and np.isfinite(scores).all() and (scores >= 0).all()
    return scores if likely and np.allclose(scores.sum(1), 1, atol=5e-3) else None


def top_share(scores: Float[np.ndarray, "clip class"], labels: Int[np.ndarray, " clip"], *, count: int) -> float:
    """Share of clips whose class is among the `count` highest scores; ties go to the lower label."""
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1])[None] < labels[:, None]
    place = ((scores > own) | ((scores == own) & earlier)).sum(1)
    return float((place < count).mean())


def measure_calibration(scores: Float[np.ndarray, "clip class"], labels: Int[np.ndarray, " clip"]) -> Calibration:
    """Compare what scores say with what came true. The class with the highest score is the prediction."""
    confidence, right = scores.max(1), scores.argmax(1) == labels
    place = np.clip(np.digitize(confidence, np.linspace(0, 1, BINS + 1)) - 1, 0, BINS - 1)
    clips = np.bincount(place, minlength=BINS)
    sums, hits = np.bincount(place, confidence, BINS), np.bincount(place, right, BINS)
    truth = np.eye(scores.shape[1])[labels]
    own = scores[np.arange(len(labels)), labels]
    return Calibration(
        ece=float(np.abs(sums - hits).sum() / len(labels)),
        nll=float(-np.log(np.maximum(own, 1e-12)).mean()),
        brier=float(((scores - truth) ** 2).sum(1).mean()),
        clips=clips,
        confidence=sums,
        right=hits.astype(np.int64),
    )
