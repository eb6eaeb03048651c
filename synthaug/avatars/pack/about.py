"""The plain part of a pack's header: who the person is, where the pack came from, and what may be done with it.

All of it is JSON-able and read strictly, because a header may come from a stranger.
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
from pathlib import Path
from typing import TypeVar

from synthaug.structures import Plain

T = TypeVar("T")
MAX_TEXT_LENGTH = 10_000
"""Characters of one text in a header."""
MAX_JSON_BYTES = 16 * 2**20


class PackError(ValueError):
    """A file is not an avatar pack, or is damaged; the message says what is wrong with it."""


class ConsentError(ValueError):
    """The person does not agree, or no longer agrees, to this use."""


@dataclass(frozen=True)
class Licence:
    """The terms under which a pack may be used.

    Attributes:
        name: Short name, such as "CC0-1.0" or "MPI non-commercial (SMPL-X)".
        terms: What that means for this file, in one sentence.
        source: Where the terms can be read.
    """

    name: str = "not stated"
    terms: str = ""
    source: str = ""


@dataclass(frozen=True)
class Consent:
    """What the person agreed to. None means not stated, which forbids nothing by itself.

    Attributes:
        training: Whether recognizers may be trained on the person.
        display: Whether pictures of the person may be shown, for example in papers.
        redistribution: Whether the pack may be passed on.
        expires: Last day on which the pack may be used, as YYYY-MM-DD.
        withdrawn: True if the person withdrew their consent.
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
                    f"Expected consent.expires to be YYYY-MM-DD or null, got {self.expires!r}. Correct the consent."
                ) from None

    def objection(self, today: datetime.date) -> str | None:
        """Why this person must not appear in training data on this day; None if nothing forbids it."""
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
        kind: Format of the source: "anny", "exavatar", "ply", "lhm" or another.
        source: Name of the source file, without folders.
        digest: Digest of the source's content.
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
    """The plain part of a pack.

    Attributes:
        name: Name of the identity.
        provenance: How the pack was made.
        licence: The terms of use.
        consent: What the person agreed to.
        subject: The person's name in a data set of which they are a subject; empty otherwise.
        attributes: What is recorded about the person, such as {"gender": "woman", "age": "20-29"}.
        height: Stature in metres; None if unknown.
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
            raise ValueError(f"Expected hands to be 'composed' or 'exavatar', got {self.hands!r}. Choose one.")
        if self.height is not None and not 0.3 < self.height < 3:
            raise ValueError(f"Expected height to be between 0.3 and 3 m, or null, got {self.height}. Correct it.")


def to_plain(value: object) -> Plain:
    """One of these dataclasses as JSON-able containers."""
    plain = json.loads(json.dumps(dataclasses.asdict(typing.cast(typing.Any, value)), allow_nan=False))
    return typing.cast(Plain, plain)


def from_plain(kind: type[T], plain: object, *, where: str) -> T:
    """Build a dataclass from plain values and check that every field has its declared type.

    Args:
        kind: One of the dataclasses above.
        plain: What `json.loads` returned.
        where: Name of the value, for messages.

    Raises:
        ValueError: If a field is unknown, missing, of another type, or refused by the class.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"{where} is {_abbreviate(plain)} instead of an object")
    known = {entry.name: entry for entry in dataclasses.fields(typing.cast(typing.Any, kind))}
    for name in plain:
        if name not in known:
            raise ValueError(f"{where} has an unknown field {_abbreviate(name)} (known: {', '.join(known)})")
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
    """The value as its declared type, or an error."""
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
        kind is str and isinstance(value, str) and len(value) <= MAX_TEXT_LENGTH
    ):
        return value
    raise ValueError(f"{where} is {_abbreviate(value)} instead of {getattr(kind, '__name__', kind)}")


def _abbreviate(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def strict_json(text: str | bytes) -> Plain:
    """Parse JSON strictly: no NaN or Infinity, no repeated keys, no endless nesting.

    Raises:
        ValueError: If it is not such JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeats)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text ({error.reason})") from None


def read_json(path: Path) -> Plain:
    """Read a JSON file strictly.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is too large, or not strict JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No such file: '{path}'. Give the path of a JSON file.")
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise ValueError(f"Expected '{path}' to have at most {MAX_JSON_BYTES} bytes, got {size}. Check the path.")
    try:
        return strict_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"Expected '{path}' to be JSON, but {error}. Correct it, or write it again.") from error


def _refuse_constant(name: str) -> Plain:
    raise ValueError(f"{name} is not a number in JSON")


def _refuse_repeats(pairs: list[tuple[str, Plain]]) -> Plain:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found
