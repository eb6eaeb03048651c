"""What `benchmarks.visibility` says of how much synthetic clips look like their film; see `synthaug.runs.likeness`."""

from synthaug.runs.likeness import (
    choose_recipes,
    compare,
    measure_pairs,
    noise_ratio,
    people_sharpness_ratio,
    sharpness_ratio,
    write_table,
)
from synthaug.synthesis import Synthesizer

CLIPS = 60
"""Synthetic clips that are rendered and compared, evenly over the set."""


def measure_likeness(synthesizer: Synthesizer) -> dict[str, float | None]:
    """Print how synthetic clips differ from the film that they re-enact, and return the ratios.

    Returns:
        `sharpness_ratio`, `people_sharpness_ratio` and `noise_ratio`: medians over clips of synthetic to filmed.
    """
    pairs = measure_pairs(synthesizer, choose_recipes(synthesizer, CLIPS))
    print(write_table(compare(pairs)))
    found = {
        "sharpness_ratio": sharpness_ratio(pairs),
        "people_sharpness_ratio": people_sharpness_ratio(pairs),
        "noise_ratio": noise_ratio(pairs),
    }
    return {name: None if ratio is None else round(ratio, 3) for name, ratio in found.items()}
