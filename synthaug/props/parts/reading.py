"""Read sampled values back: a recipe's JSON says of a value no more than that it is plain."""

from collections.abc import Mapping

from synthaug.structures import Plain


def length_of(values: Mapping[str, Plain], name: str) -> float:
    """A number among the values of a thing.

    Raises:
        ValueError: If there is none of this name.
    """
    found = values.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(
            f"Expected the values of a thing to have a number '{name}', got {found!r}. Check that the recipe was not "
            "edited, or written by another version."
        )
    return float(found)


def colour_of(values: Mapping[str, Plain], name: str) -> list[float]:
    """A colour among the values of a thing: three numbers, 0..1.

    Raises:
        ValueError: If there is none of this name.
    """
    found = values.get(name)
    if not isinstance(found, list) or len(found) != 3 or not all(isinstance(part, int | float) for part in found):
        raise ValueError(
            f"Expected the values of a thing to have a colour '{name}' of three numbers, got {found!r}. Check that the "
            "recipe was not edited, or written by another version."
        )
    return [float(part) for part in found]  # type: ignore[arg-type]
