"""Read old names in configurations and overrides as today's: placeholders until the table of renames is merged."""

from collections.abc import Sequence

from synthaug.structures import Plain


def modernize(tree: Plain) -> Plain:
    """A configuration tree under today's names."""
    return tree


def modernize_overrides(words: Sequence[str]) -> list[str]:
    """Overrides under today's names."""
    return list(words)
