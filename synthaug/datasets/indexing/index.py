"""Memory of what was found in a collection's films, so that decoding them to look inside happens once.

Between the data sets and `synthaug.video`.
"""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from synthaug.datasets.indexing.findings import ScanLog
from synthaug.files import write_atomic
from synthaug.structures import Plain
from synthaug.video import FileKey, VideoError, VideoInfo, file_key, probe, remember

_NAME = "video-index.json"
_PATIENCE = 2.0  # seconds before a bar is shown: shorter work needs none
_LAYOUT = 1  # of the file; raised whenever what `probe` finds or how it is written changes


@final
class VideoIndex:
    """What `probe` found, kept in one JSON file under `folder` and believed while size and time of change stay.

    An unreadable index is ignored with a warning, counted in `ignored`, and written anew; one made with other
    versions of the readers is put aside without a word, since they may disagree about which seeks are right.
    What `synthaug data scan` left in the same folder goes before: films that it found broken are.

    Args:
        folder: Where the index lies; None keeps it in memory alone.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.file = None if folder is None else Path(folder) / _NAME
        self.ignored = 0
        self.scans = None if folder is None else ScanLog(Path(folder), readers())

    def probe_all(self, paths: Sequence[Path], *, title: str) -> tuple[dict[Path, VideoInfo], dict[Path, str]]:
        """Look into these films, with a bar on a terminal where that takes long.

        Args:
            paths: Films, each once.
            title: Words before the bar.

        Returns:
            What each readable film holds, and the complaint about each of the others.
        """
        stored = self._load()
        keys, faults = _keys(paths)
        scanned = self.scans.findings() if self.scans else {}
        stored |= {key: finding.info for key, finding in scanned.items() if finding.info}
        broken = {path: scanned[key].fault for path, key in keys.items() if key in scanned and scanned[key].fault}
        faults |= broken
        keys = {path: key for path, key in keys.items() if path not in broken}
        known = {path: stored[key] for path, key in keys.items() if key in stored}
        remember({keys[path]: info for path, info in known.items()})
        fresh = [path for path in keys if path not in known]
        found: dict[Path, VideoInfo] = {}
        try:
            for path, outcome in _looked_at(fresh, title=title):
                if isinstance(outcome, str):
                    faults[path] = outcome
                else:
                    found[path] = outcome
        finally:
            # Also when interrupted: an hour of looking is not lost.
            if found:
                self._save({keys[path]: info for path, info in found.items()})
        both = known | found
        return {path: both[path] for path in paths if path in both}, faults

    def _load(self) -> dict[FileKey, VideoInfo]:
        """What the file says; nothing, with a warning, where it cannot be read."""
        try:
            return self._stored()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.ignored += 1
            warnings.warn(
                f"The film index {str(self.file)!r} is unreadable ({type(error).__name__}) and is ignored. The films "
                "are looked at again and it is written anew; delete it if this returns.",
                stacklevel=3,
            )
            return {}

    def _stored(self) -> dict[FileKey, VideoInfo]:
        if self.file is None or not self.file.exists():
            return {}
        written = json.loads(self.file.read_text(encoding="utf-8"))
        if written["readers"] != readers():
            return {}
        return {(row["path"], row["bytes"], row["changed"]): _info(row["info"]) for row in written["films"]}

    def _save(self, fresh: Mapping[FileKey, VideoInfo]) -> None:
        if self.file is None:
            return
        films: dict[FileKey, VideoInfo] = {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # told by `_load`
            films = self._stored()
        # Another process may have written since: its films are kept, old states of changed files are not.
        names = {key[0] for key in fresh}
        films = {key: info for key, info in films.items() if key[0] not in names} | dict(fresh)
        rows = [
            {"path": key[0], "bytes": key[1], "changed": key[2], "info": dataclasses.asdict(info)}
            for key, info in sorted(films.items())
        ]
        write_atomic(self.file, json.dumps({"readers": readers(), "films": rows}).encode())


def readers() -> str:
    """The layout and the readers' versions, which the findings depend on."""
    versions = [f"layout {_LAYOUT}"]
    for name in ("av", "decord"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(versions)


def _info(fields: dict[str, Plain]) -> VideoInfo:
    return VideoInfo(**(fields | {"times": tuple(fields["times"])}))  # type: ignore[arg-type]


def _keys(paths: Sequence[Path]) -> tuple[dict[Path, FileKey], dict[Path, str]]:
    keys: dict[Path, FileKey] = {}
    faults: dict[Path, str] = {}
    for path in paths:
        try:
            keys[path] = file_key(path)
        except VideoError as error:
            faults[path] = str(error)
    return keys, faults


def _look(path: Path) -> VideoInfo | str:
    try:
        return probe(path)
    except VideoError as error:
        return str(error)


def _looked_at(paths: Sequence[Path], *, title: str) -> Iterator[tuple[Path, VideoInfo | str]]:
    """Each film with what it holds or the complaint, in order; both readers let other threads run meanwhile."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    task = bar.add_task(title, total=len(paths))
    begun, shown = time.monotonic(), False
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        for path, outcome in zip(paths, pool.map(_look, paths), strict=True):
            bar.advance(task)
            if not shown and time.monotonic() - begun > _PATIENCE:
                bar.start()
                shown = True
            yield path, outcome
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        bar.stop()
