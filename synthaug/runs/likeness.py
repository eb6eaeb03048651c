"""Compare synthetic clips with the film that they re-enact: sharpness, noise, contrast and colour, side by side."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from synthaug.compositing.figures import Figures, measure
from synthaug.compositing.silhouettes import mask_people
from synthaug.runs.previews import read_reference_clip
from synthaug.sensors.fitting.film import near_people
from synthaug.structures import Recipe
from synthaug.synthesis import Synthesizer

FAINT = 0.1
"""Levels below which noise counts as this much: nothing has no ratio."""


@dataclass(frozen=True)
class Pair:
    """What was measured of a filmed clip and of a clip that re-enacts it."""

    filmed: Figures
    synthetic: Figures


@dataclass(frozen=True)
class Likeness:
    """One line of the comparison.

    Attributes:
        name: What is compared.
        filmed: Median over the filmed clips; None where it cannot be told.
        synthetic: Median over the synthetic clips.
        ratio: Median over the pairs of synthetic to filmed; None for what may be zero or negative.
    """

    name: str
    filmed: float | None
    synthetic: float | None
    ratio: float | None = None


def measure_pairs(synthesizer: Synthesizer, recipes: Iterable[Recipe]) -> list[Pair]:
    """Measure these synthetic clips, and the film that each of them re-enacts at the same instants.

    Args:
        synthesizer: Renders the clips.
        recipes: At most some dozens: each is rendered, and its film read.
    """
    records = {record.key: record for record in synthesizer.references.records}
    pairs = []
    for recipe in recipes:
        key = recipe.actors[0].motion
        record, reference = records[key], synthesizer.references.by_key[key]
        film = read_reference_clip(record, recipe, reference)
        times = [recipe.start + k / recipe.fps for k in range(recipe.num_frames - film.looped)]
        filmed = measure(film.video[: len(times)], near_people(reference, times, recipe.size[0]))
        job = synthesizer.stage(recipe)
        clip = synthesizer.finish(recipe, job, synthesizer.render_people(job))
        pairs.append(Pair(filmed, measure(clip.video, mask_people(job.joints, job.camera))))
    return pairs


def choose_recipes(synthesizer: Synthesizer, count: int) -> list[Recipe]:
    """At most `count` recipes, evenly over the set."""
    total = len(synthesizer)
    places = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    return [synthesizer.sample(int(place)) for place in places]


def sharpness_ratio(pairs: Iterable[Pair]) -> float | None:
    """Median over the clips of synthetic to filmed sharpness, see `Region.sharpness`."""
    return _compare(pairs, lambda figures: figures.whole.sharpness).ratio


def people_sharpness_ratio(pairs: Iterable[Pair]) -> float | None:
    """The same around the people."""
    return _compare(pairs, _people_sharpness).ratio


def noise_ratio(pairs: Iterable[Pair]) -> float | None:
    """Median over the clips of synthetic to filmed noise of still pixels; noise below a tenth of a level counts as one.

    None if no pair has both, as before a camera that moves.
    """
    return _compare(pairs, _noise_of).ratio


def compare(pairs: Iterable[Pair]) -> list[Likeness]:
    """All that is compared, line by line."""
    pairs = list(pairs)
    return [
        _compare(pairs, lambda figures: figures.whole.shares[0], "coarse detail, share"),
        _compare(pairs, lambda figures: figures.whole.shares[1], "middle detail, share"),
        _compare(pairs, lambda figures: figures.whole.shares[2], "fine detail, share"),
        _compare(pairs, lambda figures: figures.whole.sharpness, "sharpness, fine to coarse"),
        _compare(pairs, _people_sharpness, "sharpness around people"),
        _compare(pairs, _noise_of, "noise, levels of 255"),
        _compare(pairs, lambda figures: figures.whole.level, "brightness"),
        _compare(pairs, lambda figures: figures.whole.contrast, "contrast"),
        _compare(pairs, lambda figures: figures.whole.cast[0], "red cast", ratio=False),
        _compare(pairs, lambda figures: figures.whole.cast[1], "blue cast", ratio=False),
        _compare(pairs, lambda figures: figures.repeated, "repeated frames", ratio=False),
    ]


def write_table(lines: Iterable[Likeness]) -> str:
    """The comparison as text, with a mark beside ratios that are more than 15 % from 1."""
    rows = [f"{'':<28}{'filmed':>9}{'synthetic':>11}{'ratio':>8}"]
    for line in lines:
        cells = f"{_write(line.filmed):>9}{_write(line.synthetic):>11}{_write(line.ratio, digits=2):>8}"
        far = line.ratio is not None and abs(line.ratio - 1) > 0.15
        rows.append(f"{line.name:<28}{cells}{'  *' if far else ''}".rstrip())
    return "\n".join([*rows, "Medians over clips; * is more than 15 % off."])


def write_line(lines: Iterable[Likeness]) -> str:
    """What differs most to the eye, in one line for the head of a sheet."""
    shown = [line for line in lines if line.ratio is not None and not line.name.endswith("share")]
    return "synthetic to filmed:  " + ",  ".join(
        f"{line.name.split(',')[0]} {_write(line.ratio, digits=2)}" for line in shown
    )


def _write(value: float | None, *, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _noise_of(figures: Figures) -> float | None:
    return None if figures.noise is None else max(figures.noise, FAINT)


def _people_sharpness(figures: Figures) -> float | None:
    return None if figures.people is None else figures.people.sharpness


def _compare(
    pairs: Iterable[Pair], read: Callable[[Figures], float | None], name: str = "", *, ratio: bool = True
) -> Likeness:
    both = [(read(pair.filmed), read(pair.synthetic)) for pair in pairs]
    filmed = [here for here, _ in both if here is not None]
    synthetic = [there for _, there in both if there is not None]
    ratios = [there / here for here, there in both if here is not None and there is not None and here > 0]
    return Likeness(name, _median(filmed), _median(synthetic), _median(ratios) if ratio else None)


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None
