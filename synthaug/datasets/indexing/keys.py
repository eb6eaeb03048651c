"""The order of records: by key, so that it does not depend on the order of files."""

from collections.abc import Iterable

from synthaug.structures import Record


def sort_by_key(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the records sorted by key."""
    return tuple(sorted(records, key=lambda record: record.key))
