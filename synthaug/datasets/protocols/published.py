"""Compare a split with the published size of its parts."""

from collections.abc import Sequence

from synthaug.structures import Record


def count_missing(split: Sequence[Sequence[Record]], official: Sequence[int]) -> dict[str, int]:
    """Count the clips that each part lacks against its published size, for the run's report.

    Args:
        split: Training, validation and test.
        official: Their published sizes.

    Returns:
        The number of missing clips by part; complete parts are not in it.
    """
    parts = zip(("training", "validation", "test"), split, official, strict=True)
    lacking = {f"official_{name}_clips_absent": number - len(part) for name, part, number in parts}
    return {what: number for what, number in lacking.items() if number > 0}
