"""Find out which clip of the data set a name means, and split file names into identity and reference."""

import re
from collections.abc import Iterable, Iterator

from synthaug.files import normalize_name
from synthaug.structures import Record


class UnclearError(ValueError):
    """A name says nothing, or several things; the message says which."""


class ReferenceNames:
    """Every name by which a generator's file may call a clip of the data set.

    That is its key; its key with _ for each / and without a film's suffix, as `synthaug motion extract --to` writes
    them; and the name of its film, with or without the suffix, where the film shows no other clip.

    Args:
        records: All clips of the data set.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._keys: dict[str, Record] = {}
        self._names: dict[str, dict[str, Record]] = {}
        for record in records:
            self._keys[normalize_name(record.key)] = record
            flat = record.key.replace("/", "_")
            names = {flat, flat.removesuffix(record.path.suffix), record.key.removesuffix(record.path.suffix)}
            for name in names | {record.path.name, record.path.stem}:
                self._names.setdefault(normalize_name(name), {})[record.key] = record

    def find(self, name: str) -> Record | None:
        """The clip of this name; None if there is none. A key comes before all other names.

        Raises:
            UnclearError: If several clips have this name.
        """
        name = normalize_name(name)
        if (record := self._keys.get(name)) is not None:
            return record
        found = self._names.get(name, {})
        if len(found) > 1:
            raise UnclearError(
                f"Expected {name!r} to name one clip, got {len(found)} clips of that name "
                f"({', '.join(sorted(found)[:3])}). Name it by its key, in a table."
            )
        return next(iter(found.values()), None)


def split_name(name: str, pattern: str, references: ReferenceNames) -> tuple[str, Record]:
    """Identity and reference that a file's name states.

    An identity may hold the character that separates it from the reference: every way to split the name is tried, and
    exactly one must name a clip of the data set.

    Args:
        name: Path of the file below the folder, with / between folders.
        pattern: As `ForeignClips.pattern`.
        references: Names of the data set's clips.

    Raises:
        UnclearError: If no way names a clip, or several do.
    """
    found: dict[tuple[str, str], Record] = {}
    fitting = list(_split_every_way(normalize_name(name), normalize_name(pattern)))
    for identity, reference in fitting:
        if (record := references.find(reference)) is not None:
            found[identity, record.key] = record
    if len(found) == 1:
        (((identity, _), record),) = found.items()
        return identity, record
    if not fitting:
        raise UnclearError(f"Expected a name like {pattern!r}, got {name!r}. Rename it, or set synth.pattern.")
    if not found:
        tried = ", ".join(repr(reference) for _, reference in fitting[:3])
        raise UnclearError(
            f"Expected {name!r} to name a clip of the data set, got {tried}, which none is called. Rename it, or write "
            "a table."
        )
    ways = "; ".join(f"{identity} as {key}" for identity, key in list(found)[:3])
    raise UnclearError(f"Expected {name!r} to mean one thing, got {len(found)} ({ways}). Rename it, or write a table.")


def _split_every_way(name: str, pattern: str) -> Iterator[tuple[str, str]]:
    """Every (identity, reference) for which the pattern gives this name."""
    pieces = re.split(r"(\{identity\}|\{reference\}|\*)", pattern)
    for filled in _fill(name, pieces):
        yield filled["{identity}"], filled["{reference}"]


def _fill(name: str, pieces: list[str]) -> Iterator[dict[str, str]]:
    """Every text for each placeholder of a pattern, so that it gives the name. `*` may be empty, the others not."""
    if not pieces:
        if not name:
            yield {}
        return
    piece, rest = pieces[0], pieces[1:]
    if not (piece.startswith("{") or piece == "*"):
        if name.startswith(piece):
            yield from _fill(name[len(piece) :], rest)
        return
    ends = range(0 if piece == "*" else 1, len(name) + 1)
    following = next(iter(rest), "")
    for end in ends:
        # A piece that stands next must follow: otherwise long names would be split in millions of ways.
        if following and not following.startswith("{") and following != "*" and not name.startswith(following, end):
            continue
        for filled in _fill(name[end:], rest):
            yield {**filled, piece: name[:end]} if piece != "*" else filled
