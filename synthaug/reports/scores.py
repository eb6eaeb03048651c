"""Score one run's predictions, with their uncertainty, and print them as a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from synthaug.files import write_lines
from synthaug.structures import Plain, Recipe

Prediction: TypeAlias = Mapping[str, Plain]
"""What a recognizer said of one clip: `key`, `label` and `prediction`, and more that is not used."""


@dataclass(frozen=True)
class Scores:
    """How well a set of clips was recognised.

    Attributes:
        top1: Share of clips recognised.
        mean_class_accuracy: Mean over classes of the share of each class's clips recognised.
        interval: 95 % bootstrap interval of `mean_class_accuracy` over clips, within classes. It says how much the
            choice of test clips matters, not how much seeds do.
        per_class: Share recognised, by class name; classes without a clip are left out.
        clips: Number of clips.
        chance: Mean class accuracy of guessing.
    """

    top1: float
    mean_class_accuracy: float
    interval: tuple[float, float]
    per_class: dict[str, float]
    clips: int
    chance: float


def score(predictions: Sequence[Prediction], classes: Sequence[str], *, resamples: int = 1000) -> Scores:
    """Grade predictions.

    Args:
        predictions: One for each clip.
        classes: Names by label.
        resamples: Bootstrap samples.

    Raises:
        ValueError: If there is no prediction, or one for a clip twice.
    """
    keys = [str(prediction["key"]) for prediction in predictions]
    if not keys or len(set(keys)) != len(keys):
        raise ValueError(
            f"Expected one prediction for each of at least one clip, got {len(keys)} for {len(set(keys))} clips. "
            "Evaluate on one process, and pass every clip once."
        )
    labels = np.array([prediction["label"] for prediction in predictions])
    right = np.array([prediction["prediction"] == prediction["label"] for prediction in predictions])
    per_class = {classes[label]: float(right[labels == label].mean()) for label in np.unique(labels)}
    return Scores(
        top1=float(right.mean()),
        mean_class_accuracy=float(np.mean(list(per_class.values()))),
        interval=_interval(right, labels, resamples),
        per_class=per_class,
        clips=len(keys),
        chance=1 / len(per_class),
    )


def _interval(
    right: Bool[np.ndarray, " clip"], labels: Int[np.ndarray, " clip"], resamples: int
) -> tuple[float, float]:
    """Percentile bootstrap, stratified by class (Efron and Tibshirani 1993, chapter 13)."""
    rng = np.random.default_rng(0)
    means = np.zeros(resamples)
    present = np.unique(labels)
    for label in present:
        # Resampling n clips with replacement gives a binomial number of right ones.
        of_class = right[labels == label]
        means += rng.binomial(len(of_class), of_class.mean(), size=resamples) / len(of_class) / len(present)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def write_recipes(folder: Path, recipes: Iterable[Recipe]) -> None:
    """Write `recipes.jsonl`, the synthetic data set itself, into a run's folder."""
    write_lines(folder / "recipes.jsonl", (recipe.to_json() for recipe in recipes))


def metrics_of(scores: Scores, facts: Mapping[str, Plain]) -> dict[str, Plain]:
    """The content of metrics.json: the scores and facts about the run."""
    plain = asdict(scores)
    plain["interval"] = list(scores.interval)
    return {**plain, **facts}


def print_scores(scores: Scores, *, title: str) -> None:
    """The run's table in the terminal."""
    table = Table(title=escape(title), title_justify="left")
    table.add_column("class")
    table.add_column("recognised", justify="right")
    for name, share in scores.per_class.items():
        table.add_row(escape(name), f"{share:6.1%}")
    table.add_section()
    low, high = scores.interval
    table.add_row("mean class accuracy", f"{scores.mean_class_accuracy:6.1%}", style="bold")
    table.add_row("  95 % over test clips", f"{low:.1%} to {high:.1%}")
    table.add_row("top-1", f"{scores.top1:6.1%}")
    table.add_row("chance", f"{scores.chance:6.1%}", style="dim")
    Console().print(table)
