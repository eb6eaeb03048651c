"""Read the motions and clips that somebody marked as bad, for `synth.exclude`."""

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from synthaug.files import normalize_name

_MOST_BYTES = 64 * 2**20
"""A list of a hundred thousand names takes about 8 MB; a larger file is not a list."""
_FIELDS = {"motion", "clip", "class", "note"}
_DIGEST = re.compile(r"(?:synthetic/)?([0-9a-f]{32})")


@dataclass(frozen=True)
class Exclusions:
    """Names of what must not be used.

    Attributes:
        motions: Keys of performances, as recipes name them (`actors[].motion`).
        clips: Digests of recipes.
    """

    motions: frozenset[str] = frozenset()
    clips: frozenset[str] = frozenset()

    def find_unknown(self, known: Iterable[str]) -> list[str]:
        """The motions that are no performance of these clips, given by their keys; sorted.

        Further performances (`<key>#2`) and strangers' (`<key>~1`) count as the clip's.
        """
        keys = {normalize_name(key) for key in known}
        return sorted(name for name in self.motions if not _is_of(name, keys))


def _is_of(name: str, keys: Collection[str]) -> bool:
    filmed = re.sub(r"~[0-9]+~*$", "", name)
    return not {name, filmed, re.sub(r"#[0-9]+$", "", filmed)}.isdisjoint(keys)


def read_exclusions(path: Path) -> Exclusions:
    """Read a list that `synthaug gallery` saved: JSON, one object a line, with `motion` or `clip` and its name.

    An object may also say its `class`, and hold a `note` for other readers. Empty lines are skipped.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a list; the message gives the line.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected synth.exclude to be a list that `synthaug gallery` saved, got no file at '{path}'. Correct "
            "synth.exclude, or leave it out."
        )
    if path.stat().st_size > _MOST_BYTES:
        raise _refuse(path, f"got {path.stat().st_size} bytes")
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise _refuse(path, f"got bytes that are not UTF-8 ({error.reason} at byte {error.start})") from error
    named: dict[str, set[str]] = {"motion": set(), "clip": set()}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            kind, name = _read_line(path, number, line)
            named[kind].add(name)
    return Exclusions(frozenset(named["motion"]), frozenset(named["clip"]))


def _read_line(path: Path, number: int, line: str) -> tuple[str, str]:
    """Whether a line names a motion or a clip, and which."""
    shown = line.strip()[:80]
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _refuse(path, f"got {shown!r} in line {number}, which is not JSON") from error
    if not isinstance(fields, dict) or not fields.keys() <= _FIELDS or len(fields.keys() & {"motion", "clip"}) != 1:
        raise _refuse(path, f"got {shown!r} in line {number}")
    kind = "motion" if "motion" in fields else "clip"
    name = fields[kind]
    if not isinstance(name, str) or not name:
        raise _refuse(path, f"got a {kind} that is no name in line {number}: {shown!r}")
    if kind == "motion":
        return kind, normalize_name(name)
    digest = _DIGEST.fullmatch(name)
    if digest is None:
        raise _refuse(path, f"got a clip in line {number} that is not 32 hexadecimal digits: {shown!r}")
    return kind, digest[1]


def _refuse(path: Path, got: str) -> ValueError:
    return ValueError(
        f'Expected every line of \'{path}\' to be {{"motion": "KEY"}} or {{"clip": "DIGEST"}} (with "class" and "note" '
        f"if you like), {got}. Correct it, or save the list again from the page of `synthaug gallery`."
    )
