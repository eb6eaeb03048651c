"""Read what a user writes about things: a table of classes, and files of scanned things."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import yaml

from synthaug.props import Carrier, Prop
from synthaug.props.parts.table import HANDS, MOMENTS, Holding
from synthaug.props.scans import Scan
from synthaug.structures import Plain

_KEYS = ("kinds", "carrier", "hand", "times", "person", "same")


def read_own(own: Mapping[str, str] | None) -> dict[str, Prop]:
    """The scanned things of these files, by the name of the kind; their headers are read, not their Gaussians."""
    return {name: Scan.read(Path(path).expanduser()) for name, path in (own or {}).items()}


def read_holdings(table: str | Mapping[str, Plain] | None, kinds: Sequence[str]) -> dict[str, tuple[Holding, ...]]:
    """A user's table of classes.

    Args:
        table: A YAML file, or its content.
        kinds: Names that exist.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no table, or names a kind, a carrier, a hand or a time that does not exist.
    """
    if isinstance(table, str):
        path = Path(table).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"No such file: '{path}'. Give synth.props.table the path of a YAML file.")
        table = yaml.safe_load(path.read_text())
    if table is None:
        return {}
    if not isinstance(table, Mapping):
        raise ValueError(
            f"Expected synth.props.table to have class names with kinds, got {type(table).__name__}. Write "
            "'drink: [cup, glass]', say."
        )
    return {str(name): _read_entries(str(name), entry, kinds) for name, entry in table.items()}


def _read_entries(name: str, entry: object, kinds: Sequence[str]) -> tuple[Holding, ...]:
    if entry is None:
        return ()
    if isinstance(entry, str):
        return (Holding(_check_kinds(name, [entry], kinds)),)
    if isinstance(entry, Mapping):
        entry = [entry]
    if isinstance(entry, Sequence) and all(isinstance(part, str) for part in entry) and entry:
        return (Holding(_check_kinds(name, [str(part) for part in entry], kinds)),)
    if isinstance(entry, Sequence) and entry and all(isinstance(part, Mapping) for part in entry):
        return tuple(_read_entry(name, part, kinds) for part in entry)
    raise ValueError(
        f"Expected '{name}' of synth.props.table to be a kind, a list of kinds, null, or entries with kinds, got "
        f"{entry!r}. Write '{name}: [cup, glass]', say."
    )


def _read_entry(name: str, entry: Mapping[str, object], kinds: Sequence[str]) -> Holding:
    given = entry.get("kinds", [])
    chosen = _check_kinds(name, [given] if isinstance(given, str) else [str(part) for part in given], kinds)  # type: ignore[attr-defined]
    carrier, hand, times = entry.get("carrier", ""), entry.get("hand", "auto"), entry.get("times", "always")
    checks = {
        "keys": (set(entry) <= set(_KEYS), ", ".join(_KEYS), ", ".join(map(str, entry))),
        "carrier": (carrier in ("", *get_args(Carrier)), ", ".join(get_args(Carrier)), carrier),
        "hand": (hand in HANDS, ", ".join(HANDS), hand),
        "times": (times in MOMENTS or _is_span(times), f"{', '.join(MOMENTS)}, or [0.2, 0.8]", times),
        "person": (entry.get("person", 0) in (0, 1), "0 or 1", entry.get("person", 0)),
    }
    for key, (fits, rule, value) in checks.items():
        if not fits:
            raise ValueError(
                f"Expected {key} of '{name}' in synth.props.table to be of {rule}, got {value!r}. Correct it."
            )
    span = times if isinstance(times, str) else (float(times[0]), float(times[1]))  # type: ignore[index]
    person = int(entry.get("person", 0))  # type: ignore[call-overload]
    return Holding(chosen, carrier, str(hand), span, person, bool(entry.get("same", False)))  # type: ignore[arg-type]


def _is_span(times: object) -> bool:
    if isinstance(times, str) or not isinstance(times, Sequence) or len(times) != 2:
        return False
    return all(isinstance(part, int | float) for part in times) and 0 <= times[0] <= times[1] <= 1


def _check_kinds(name: str, given: Sequence[str], kinds: Sequence[str]) -> tuple[str, ...]:
    for kind in given:
        if kind not in kinds:
            raise ValueError(
                f"Expected the kinds of '{name}' in synth.props.table to be among {', '.join(kinds)}, got {kind!r}. "
                "Correct it, or name a scan of your own in synth.props.own."
            )
    if not given:
        raise ValueError(f"Expected '{name}' of synth.props.table to name a kind, got none. Write null for nothing.")
    return tuple(given)
