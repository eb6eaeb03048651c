"""The order of records and names, which does not depend on the order of files."""

import re
from collections.abc import Iterable

from synthaug.structures import Record


def sort_by_key(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the records sorted by key."""
    return tuple(sorted(records, key=lambda record: record.key))


def sort_naturally(names: Iterable[str]) -> tuple[str, ...]:
    """Return names sorted with the numbers in them by size: p2 before p10."""

    def parts(name: str) -> list[tuple[bool, int, str]]:
        pieces = re.findall(r"\d+|\D+", name)
        return [(not piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces]

    return tuple(sorted(names, key=parts))
