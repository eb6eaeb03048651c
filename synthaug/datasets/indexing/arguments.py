"""Arguments as the command line hands them over, where `x=4` is a number and `x=[4]` a list.

Below data sets and protocols.
"""

from collections.abc import Iterable
from typing import TypeVar

_Item = TypeVar("_Item")


def items(given: Iterable[_Item], name: str) -> tuple[_Item, ...]:
    """What is in a list that users give.

    Args:
        given: The list; a word is refused, too, for its letters are never meant.
        name: The argument, as it is set: `protocol.test_subjects`.

    Raises:
        ValueError: If it is a plain value.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"{name}={given} was given, a single value; a list was wanted. Write {name}=[{given}].")
    return tuple(given)
