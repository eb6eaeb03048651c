"""What `synthaug data scan` found out about films, one line each, for whoever indexes them afterwards.

Beside the index of films, which believes these findings before its own.
"""

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from synthaug.structures import Plain
from synthaug.video import FileKey, VideoInfo

_NAME = "film-scan.jsonl"


@dataclass(frozen=True)
class Finding:
    """What a whole reading of one film gave.

    Attributes:
        film: The state of the file that was read.
        info: What it holds; None where it must not be used.
        fault: Why it must not be used; empty where it may.
        notes: What is unusual and was put right, counted by name.
        made_from: State of the film that this is a smaller copy of, or a link to; None for an original.
        short_side: Pixels that were asked for of a copy; 0 for an original.
    """

    film: FileKey
    info: VideoInfo | None
    fault: str = ""
    notes: dict[str, int] = field(default_factory=dict)
    made_from: FileKey | None = None
    short_side: int = 0


@final
class ScanLog:
    """Findings in a file of lines, `film-scan.jsonl`, to which every film adds its own as soon as it is done.

    Added in one write each, so whoever is killed loses the films in work alone, and two scans may share the file. Of
    several lines on a film the last counts. Lines that are cut off, or that other versions of the readers wrote, are
    passed over: those films are scanned again.

    Args:
        folder: Where the file lies.
        readers: Names and versions of what reads film; findings hold for these alone.
    """

    def __init__(self, folder: Path, readers: str) -> None:
        self.file = folder / _NAME
        self.readers = readers

    def findings(self) -> dict[FileKey, Finding]:
        """What is known, by the state of the file."""
        return {finding.film: finding for finding in self._lines()}

    def add(self, finding: Finding) -> None:
        """Remember one more."""
        fields: dict[str, Plain] = {"readers": self.readers, **dataclasses.asdict(finding)}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # A line that a killed scan left unfinished is closed by the empty one.
        line = f"\n{json.dumps(fields)}\n".encode()
        handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def _lines(self) -> Iterator[Finding]:
        if not self.file.exists():
            return
        with self.file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    fields = json.loads(line) if line.strip() else {}
                    if fields.pop("readers", None) == self.readers:
                        yield _finding(fields)
                except (ValueError, TypeError, KeyError, AttributeError):
                    continue  # cut off; the film is scanned again


def _finding(fields: dict) -> Finding:
    info = fields["info"]
    return Finding(
        film=_key(fields["film"]),
        info=None if info is None else VideoInfo(**{**info, "times": tuple(info["times"])}),
        fault=fields["fault"],
        notes=fields["notes"],
        made_from=None if fields["made_from"] is None else _key(fields["made_from"]),
        short_side=fields["short_side"],
    )


def _key(given: list) -> FileKey:
    path, size, changed = given
    return str(path), int(size), int(changed)
