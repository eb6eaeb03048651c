"""Keep what `synthaug data scan` found out about each film: one line of JSON a film.

The film index (`VideoIndex`) trusts these findings more than its own probing.
"""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from synthaug.files import append_line
from synthaug.structures import Plain
from synthaug.video import FileKey, VideoInfo

_NAME = "film-scan.jsonl"


@dataclass(frozen=True)
class ScanFinding:
    """The result of reading one whole film.

    Attributes:
        film: The state of the file that was read.
        info: What the film holds; None if it must not be used.
        fault: Why it must not be used; empty if it may be used.
        notes: How often something unusual was found and corrected, by name.
        made_from: State of the film that this file is a smaller copy of, or a link to; None for an original.
        short_side: Requested short side of a copy in pixels; 0 for an original.
    """

    film: FileKey
    info: VideoInfo | None
    fault: str = ""
    notes: dict[str, int] = field(default_factory=dict)
    made_from: FileKey | None = None
    short_side: int = 0


@final
class ScanLog:
    """The findings of scans in the file `film-scan.jsonl`, which gets one line as soon as a film is done.

    Each line is added by one write. So a scan that is killed loses only the films that it was reading, and two scans
    may share the file. If a film has several lines, the last one counts. Lines that are cut off, or that other versions
    of the readers wrote, are ignored: those films are scanned again.

    Args:
        folder: The folder of the file.
        readers: Names and versions of the video readers; findings are valid for these alone.
    """

    def __init__(self, folder: Path, readers: str) -> None:
        self.file = folder / _NAME
        self.readers = readers

    def findings(self) -> dict[FileKey, ScanFinding]:
        """All findings, by the state of the film."""
        return {finding.film: finding for finding in self._read_lines()}

    def add(self, finding: ScanFinding) -> None:
        """Add a finding to the file."""
        fields: dict[str, Plain] = {"readers": self.readers, **dataclasses.asdict(finding)}
        append_line(self.file, json.dumps(fields))

    def _read_lines(self) -> Iterator[ScanFinding]:
        if not self.file.exists():
            return
        with self.file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    fields = json.loads(line) if line.strip() else {}
                    if fields.pop("readers", None) == self.readers:
                        yield parse_finding(fields)
                except (ValueError, TypeError, KeyError, AttributeError):
                    continue  # cut off; the film is scanned again


def parse_finding(fields: dict) -> ScanFinding:
    """A finding out of `dataclasses.asdict` of it, which went through JSON.

    Raises:
        KeyError: If a field is missing.
    """
    info = fields["info"]
    return ScanFinding(
        film=_parse_key(fields["film"]),
        info=None if info is None else VideoInfo(**{**info, "times": tuple(info["times"])}),
        fault=fields["fault"],
        notes=fields["notes"],
        made_from=None if fields["made_from"] is None else _parse_key(fields["made_from"]),
        short_side=fields["short_side"],
    )


def _parse_key(parts: list) -> FileKey:
    path, size, changed = parts
    return str(path), int(size), int(changed)
