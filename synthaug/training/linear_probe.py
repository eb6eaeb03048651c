"""Linear probe: a recognizer's features of clips, computed once, and a classifier that is fitted to them exactly.

A frozen backbone gives a clip the same features every time. Computing them once makes a study of many runs take
minutes, and the fit has one optimum: no learning rate, no steps, no noise of their own.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from synthaug.recognizers import Recognizer
from synthaug.structures import Batch
from synthaug.training.module import merge_predictions, unpack_batch

MAX_STEPS = 200
"""Of L-BFGS; some 30 reach the optimum."""


@dataclass(frozen=True, eq=False)
class Features:
    """What a recognizer sees in clips.

    Attributes:
        vectors: One for each clip.
        labels: Their classes.
        keys: Their records; windows of one interval share a key.
    """

    vectors: Float[Tensor, "clip feature"]
    labels: Int[Tensor, " clip"]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    @staticmethod
    def join(parts: "Sequence[Features]") -> "Features":
        """Clips of several sets, one after the other."""
        return Features(
            torch.cat([part.vectors for part in parts]),
            torch.cat([part.labels for part in parts]),
            tuple(key for part in parts for key in part.keys),
        )

    def select(self, chosen: Sequence[int]) -> "Features":
        """The clips at these places."""
        places = torch.tensor(chosen, dtype=torch.long)
        return Features(self.vectors[places], self.labels[places], tuple(self.keys[place] for place in chosen))


@torch.no_grad()
def collect_features(recognizer: Recognizer, batches: Iterable[Batch | tuple[Tensor, Tensor]]) -> Features:
    """The features of every clip of some batches, by the recognizer in evaluation mode.

    Args:
        recognizer: Left in the mode that it was in.
        batches: As a `SynthAugDataModule` gives them, layout "video" or "tuple".

    Raises:
        ValueError: If there is no batch.
    """
    training = recognizer.training
    recognizer.eval()
    found = []
    for index, batch in enumerate(batches):
        clips = unpack_batch(batch, index)
        found.append(Features(recognizer.features(clips.video).cpu(), clips.label.cpu(), tuple(clips.key)))
    recognizer.train(training)
    if not found:
        raise ValueError("Expected batches to compute features of, got none. Check that the loader has clips.")
    return Features.join(found)


def fit_classifier(
    features: Features, num_classes: int, *, decay: float = 1e-2, weights: Tensor | None = None
) -> nn.Linear:
    """The linear classifier of least mean cross-entropy plus `decay / 2` times its squared weights.

    Features are standardised by the clips given before they are fitted, and classes count equally; the classifier takes
    features as they are.

    Args:
        features: Clips to learn from.
        num_classes: Width of the logits.
        decay: Of the weights for standardised features; not of the bias.
        weights: How much each clip counts, beside its class; None counts all alike.

    Raises:
        ValueError: If there is no clip, or `decay` is not positive: then there may be no optimum.
    """
    if not len(features) or not (math.isfinite(decay) and decay > 0):
        raise ValueError(
            f"Expected clips to learn from and a positive decay, got {len(features)} clips and decay={decay}. The fit "
            "has one optimum only then."
        )
    vectors, labels = features.vectors.double(), features.labels
    mean, std = vectors.mean(0), vectors.std(0, correction=0)
    # A feature that never changes says nothing, whatever it is divided by.
    scale = torch.where(std > 1e-6 * std.max().clamp(min=1e-12), std, torch.ones_like(std))
    inputs = (vectors - mean) / scale
    # The optimum is a sum of the clips' vectors: with fewer of them than features, it is looked for among these sums.
    basis = torch.linalg.qr(inputs.T).Q if len(inputs) < inputs.shape[1] else None
    inputs = inputs if basis is None else inputs @ basis
    shares = _balance(labels, num_classes, weights)
    matrix = torch.zeros(num_classes, inputs.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(num_classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [matrix, bias], max_iter=MAX_STEPS, tolerance_grad=1e-8, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def close() -> Tensor:
        optimizer.zero_grad()
        losses = nn.functional.cross_entropy(inputs @ matrix.T + bias, labels, reduction="none")
        loss = (shares * losses).sum() + decay / 2 * matrix.square().sum()
        loss.backward()
        return loss

    optimizer.step(close)  # type: ignore[no-untyped-call]
    classifier = nn.Linear(vectors.shape[1], num_classes)
    with torch.no_grad():
        weight = (matrix if basis is None else matrix @ basis.T) / scale
        classifier.weight.copy_(weight)
        classifier.bias.copy_(bias - weight @ mean)
    return classifier.requires_grad_(False)


def _balance(labels: Int[Tensor, " clip"], num_classes: int, weights: Tensor | None) -> Float[Tensor, " clip"]:
    """What each clip counts, sum 1: its weight, over the weight of its class."""
    own = torch.ones(len(labels), dtype=torch.float64) if weights is None else weights.double()
    of_class = torch.zeros(num_classes, dtype=torch.float64).index_add_(0, labels, own)
    shares = own / of_class[labels].clamp(min=1e-12)
    return shares / shares.sum()


@torch.no_grad()
def measure_accuracy(classifier: nn.Linear, features: Features) -> float:
    """Mean over classes of the share of their clips that are classified right; windows of one key count once."""
    scores = classifier(features.vectors).softmax(1)
    predictions = merge_predictions(list(zip(features.keys, features.labels.tolist(), scores, strict=True)))
    by_class: dict[object, list[bool]] = {}
    for one in predictions:
        by_class.setdefault(one["label"], []).append(one["prediction"] == one["label"])
    return sum(sum(right) / len(right) for right in by_class.values()) / len(by_class)


@dataclass(frozen=True, eq=False)
class Part:
    """Clips that a classifier learns from.

    Attributes:
        features: What the recognizer sees in them.
        groups: What each clip belongs to, so that it can be left out: the person whose film or motion it shows.
        share: How much all of them together count, against other parts.
    """

    features: Features
    groups: tuple[str, ...]
    share: float = 1.0

    def select(self, chosen: Sequence[int]) -> "Part":
        """The clips at these places; they count as much as all did."""
        return Part(self.features.select(chosen), tuple(self.groups[place] for place in chosen), self.share)

    def without(self, group: str) -> "Part":
        """All clips but those of a group."""
        return self.select([place for place, one in enumerate(self.groups) if one != group])

    def only(self, group: str) -> "Part":
        """The clips of a group."""
        return self.select([place for place, one in enumerate(self.groups) if one == group])


def fit_parts(parts: Sequence[Part], classes: int, *, decay: float) -> nn.Linear:
    """The classifier that learns from these parts, each counting as much as its share, however many clips it has."""
    weights = [torch.full((len(part.groups),), part.share / max(len(part.groups), 1)) for part in parts]
    joined = Features.join([part.features for part in parts])
    return fit_classifier(joined, classes, decay=decay, weights=torch.cat(weights))


def choose_decay(
    parts: Sequence[Part], shown: Part, classes: int, decays: Sequence[float], *, left_out: bool = True
) -> tuple[float, float]:
    """How well the classifier knows film that it has not learnt from, and the regularisation for which.

    Args:
        parts: What it learns from.
        shown: The film on which it is graded.
        classes: Width of the logits.
        decays: To choose from; of equals the first.
        left_out: Whether `shown` is of groups that teach: each is left out of the parts in turn. Otherwise it is film
            that nothing was learnt from.
    """

    def grade(decay: float) -> float:
        if not left_out:
            return measure_accuracy(fit_parts(parts, classes, decay=decay), shown.features)
        found = [
            measure_accuracy(
                fit_parts([part.without(group) for part in parts], classes, decay=decay), shown.only(group).features
            )
            for group in sorted(set(shown.groups))
        ]
        return sum(found) / len(found)

    grades = {decay: grade(decay) for decay in decays}
    best = max(decays, key=lambda decay: grades[decay])
    return grades[best], best
