"""Arguments as the command line passes them, where `x=4` is a number and `x=[4]` a list."""

from collections.abc import Iterable
from typing import TypeVar

_Item = TypeVar("_Item")


def require_list(value: Iterable[_Item], name: str) -> tuple[_Item, ...]:
    """Return the items of a list that a user passed.

    Args:
        value: The list. A string is refused: a user who writes one means one name, not its letters.
        name: The argument as it is set on the command line: `protocol.test_subjects`.

    Raises:
        ValueError: If it is a single value.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"Expected {name} to be a list, got {value}. Write {name}=[{value}].")
    return tuple(value)
