"""Who an avatar pack shows, where it came from and what may be done with it: the plain part of its header.

Below `synthaug.avatars.pack.format`. Everything here is JSON-able and read strictly: a header is data from strangers.
"""

import dataclasses
import datetime
import functools
import json
import math
import types
import typing
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from synthaug.structures import Plain

T = TypeVar("T")
LONGEST_TEXT = 10_000
"""Characters of one text in a header."""


class PackError(ValueError):
    """A file is no avatar pack, or a damaged one; the message says what is wrong with it."""


class ConsentError(ValueError):
    """The person shown does not, or no longer, agree to this use."""


@dataclass(frozen=True)
class Licence:
    """Under which terms the file may be used.

    Attributes:
        name: Short, such as "CC0-1.0" or "MPI non-commercial (SMPL-X)".
        terms: What that means for this file, in a sentence.
        source: Where the terms can be read.
    """

    name: str = "not stated"
    terms: str = ""
    source: str = ""


@dataclass(frozen=True)
class Consent:
    """What the person shown agreed to. None is not stated, which forbids nothing by itself.

    Attributes:
        training: Of recognizers.
        display: Of pictures of them, in papers say.
        redistribution: Of the pack.
        expires: Last day on which it may be used, as YYYY-MM-DD.
        withdrawn: True where the person took it back.
        contact: Whom to ask.
    """

    training: bool | None = None
    display: bool | None = None
    redistribution: bool | None = None
    expires: str | None = None
    withdrawn: bool = False
    contact: str = ""

    def __post_init__(self) -> None:
        if self.expires is not None:
            try:
                datetime.date.fromisoformat(self.expires)
            except ValueError:
                raise ValueError(
                    f"expires={self.expires!r} was given; YYYY-MM-DD, or null, was wanted. Correct the consent."
                ) from None

    def objection(self, today: datetime.date) -> str | None:
        """Why this person must not appear in training data on this day; None where nothing forbids it."""
        if self.withdrawn:
            return "consent was withdrawn"
        if self.training is False:
            return "training was not consented to"
        if self.expires is not None and today > datetime.date.fromisoformat(self.expires):
            return f"consent expired on {self.expires}"
        return None


@dataclass(frozen=True)
class Provenance:
    """How a pack was made.

    Attributes:
        kind: Kind of the source: "anny", "exavatar", "ply", "lhm".
        source: Name of the source file, without folders.
        digest: Of the source's content.
        tool: Program and version that wrote the pack.
        notes: What the importer had to assume, and what it measured, in words.
    """

    kind: str
    source: str = ""
    digest: str = ""
    tool: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class About:
    """The plain half of a pack.

    Attributes:
        name: Of the identity.
        provenance: How the pack was made.
        licence: Under which terms.
        consent: What the person agreed to.
        subject: The data set's name of the person, where they are one of its subjects; empty otherwise.
        attributes: What is recorded about the person, such as {"gender": "woman", "age": "20-29"}.
        height: Stature, metres; None where unknown.
        hands: How finger rotations act: "composed" on the flat hand, or "exavatar" about the mean hand (see the
            specification, docs/avatar-pack.md).
        quality: Figures measured at import, by name.
    """

    name: str
    provenance: Provenance
    licence: Licence = Licence()
    consent: Consent = Consent()
    subject: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    height: float | None = None
    hands: str = "composed"
    quality: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.hands not in ("composed", "exavatar"):
            raise ValueError(f"hands={self.hands!r} was given; 'composed' or 'exavatar' was wanted. Correct it.")
        if self.height is not None and not 0.3 < self.height < 3:
            raise ValueError(f"height={self.height} was given; metres between 0.3 and 3, or null, were wanted.")


def to_plain(value: object) -> Plain:
    """JSON-able twin of one of these dataclasses."""
    plain = json.loads(json.dumps(dataclasses.asdict(typing.cast(typing.Any, value)), allow_nan=False))
    return typing.cast(Plain, plain)


def from_plain(kind: type[T], plain: object, *, where: str) -> T:
    """A dataclass from plain values, every field of the type that it declares.

    Args:
        kind: One of the dataclasses above.
        plain: What `json.loads` gave.
        where: Name of the place, for messages.

    Raises:
        ValueError: If a field is unknown, missing, of another type, or refused by the class.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"{where} is {_shown(plain)}; an object was wanted")
    known = {entry.name: entry for entry in dataclasses.fields(typing.cast(typing.Any, kind))}
    for name in plain:
        if name not in known:
            raise ValueError(f"{where} has a field {_shown(name)}; one of {', '.join(known)} was wanted")
    hints = _hints(typing.cast(Hashable, kind))
    missing = [
        name
        for name, entry in known.items()
        if name not in plain and entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    return kind(**{name: _value(hints[name], value, f"{where}.{name}") for name, value in plain.items()})


@functools.cache
def _hints(kind: Hashable) -> dict[str, typing.Any]:
    return typing.get_type_hints(typing.cast(type, kind))


def _value(kind: typing.Any, value: object, where: str) -> object:
    """The value as the type that was declared, or an error."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _value(inner[0], value, where)
    if dataclasses.is_dataclass(kind):
        return from_plain(typing.cast(type, kind), value, where=where)
    if origin is dict and isinstance(value, dict):
        return {_value(str, key, where): _value(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], item, where) for item in value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if (kind in (int, bool) and type(value) is kind) or (
        kind is str and isinstance(value, str) and len(value) <= LONGEST_TEXT
    ):
        return value
    raise ValueError(f"{where} is {_shown(value)}; {getattr(kind, '__name__', kind)} was wanted")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def strict_json(text: str | bytes) -> Plain:
    """Parse JSON without its freedoms: no NaN, no repeated keys, no nesting without end.

    Raises:
        ValueError: If it is no such JSON.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_repeats)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text ({error.reason})") from None


def _no_constant(name: str) -> Plain:
    raise ValueError(f"{name} is no number of JSON")


def _no_repeats(pairs: list[tuple[str, Plain]]) -> Plain:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found
