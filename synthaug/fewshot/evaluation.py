"""Scores few-shot tasks from features: filmed support alone, and with synthetic clips of that support."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from synthaug.fewshot.prototypes import class_means, nearest_mean
from synthaug.recognizers import Recognizer


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Features of clips with their classes in a task.

    Attributes:
        features: As `Recognizer.features` gives them.
        labels: Places of the clips' classes in the task, 0 to n_way - 1.
    """

    features: Float[Tensor, "clip feature"]
    labels: Int[Tensor, " clip"]


@dataclass(frozen=True)
class TaskOutcome:
    """Accuracies on one task.

    Attributes:
        filmed: Share of queries that are classified right from the filmed support alone.
        extended: The same with synthetic clips of that support as well; None without such clips.
        synthetic_clips: Number of synthetic clips.
    """

    filmed: float
    extended: float | None
    synthetic_clips: int


def score_task(
    support: LabelledFeatures, query: LabelledFeatures, *, n_way: int, synthetic: LabelledFeatures | None = None
) -> TaskOutcome:
    """Classify the queries of a task by their nearest prototype.

    Args:
        support: Examples of every class.
        query: Clips to classify.
        n_way: Number of classes.
        synthetic: Synthetic clips made from the support; None for none. See `extend_means`.
    """
    means = class_means(support.features, support.labels, num_classes=n_way)
    filmed = _accuracy(query, means)
    if synthetic is None:
        return TaskOutcome(filmed, None, 0)
    return TaskOutcome(filmed, _accuracy(query, extend_means(means, synthetic)), len(synthetic.labels))


def extend_means(means: Float[Tensor, "class feature"], synthetic: LabelledFeatures) -> Float[Tensor, "class feature"]:
    """Average the prototype of each class with the mean feature of its synthetic clips, if it has any.

    Both count equally, so that many synthetic clips do not outweigh the few filmed ones.
    """
    present = synthetic.labels.unique()
    sums = torch.zeros_like(means).index_add(0, synthetic.labels, synthetic.features)
    extended = means.clone()
    extended[present] = (means[present] + sums[present] / torch.bincount(synthetic.labels)[present, None]) / 2
    return extended


@torch.inference_mode()
def extract_features(
    recognizer: Recognizer, batches: Iterable[Float[Tensor, "_batch 3 time height width"]]
) -> Float[Tensor, "clip feature"]:
    """Features of all clips of some normalised batches, moved to main memory.

    Args:
        recognizer: The recognizer, in evaluation mode.
        batches: On the recognizer's device.
    """
    found = [torch.zeros(0, recognizer.num_features)]
    found += [recognizer.features(video).float().cpu() for video in batches]
    return torch.cat(found)


def _accuracy(query: LabelledFeatures, means: Float[Tensor, "class feature"]) -> float:
    return float((nearest_mean(query.features, means) == query.labels).float().mean())
