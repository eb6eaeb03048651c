"""The film index: keeps what probing found in each film, so that a film is probed once, not once a run."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import final

from synthaug.datasets.indexing.findings import ScanLog
from synthaug.files import write_atomic
from synthaug.progress import track
from synthaug.structures import Plain
from synthaug.video import FileKey, VideoError, VideoInfo, file_key, probe, probe_series, remember, set_rate

_NAME = "video-index.json"
_LAYOUT = 2  # version of the file; raised whenever what `probe` finds or how it is written changes


@final
class VideoIndex:
    """What `probe` found, kept in one JSON file under `folder`; valid while a film's size and time of change stay.

    An unreadable index is ignored with a warning, counted in `ignored`, and written again. An index of other versions
    of the video readers is silently replaced, since they may disagree about which seeks are right. Findings of
    `synthaug data scan` in the same folder take precedence: a film that the scan found broken is broken.

    Args:
        folder: The folder of the index; None keeps it in memory only.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.file = None if folder is None else Path(folder) / _NAME
        self.ignored = 0
        self.scans = None if folder is None else ScanLog(Path(folder), readers())

    def probe_all(
        self, paths: Sequence[Path], *, title: str, rates: Mapping[Path, float] | None = None
    ) -> tuple[dict[Path, VideoInfo], dict[Path, str]]:
        """Probe films that the index does not hold, and say how far that is if it takes long.

        Args:
            paths: Films, each once.
            title: What the lines or the bar about it say.
            rates: Numbers a second of those that are folders of numbered pictures, which `probe` then knows too.

        Returns:
            What each readable film holds, and the error message of each of the others.
        """
        stored = self._load()
        keys, faults = _file_keys(paths)
        scanned = self.scans.findings() if self.scans else {}
        stored |= {key: finding.info for key, finding in scanned.items() if finding.info}
        broken = {path: scanned[key].fault for path, key in keys.items() if key in scanned and scanned[key].fault}
        faults |= broken
        keys = {path: key for path, key in keys.items() if path not in broken}
        known = {path: stored[key] for path, key in keys.items() if key in stored}
        fresh = [path for path in keys if path not in known]
        found: dict[Path, VideoInfo] = {}
        try:
            for path, outcome in _probe_in_threads(fresh, title=title):
                if isinstance(outcome, str):
                    faults[path] = outcome
                else:
                    found[path] = outcome
        finally:
            # Also when interrupted, so that an hour of probing is not lost.
            if found:
                self._save({keys[path]: info for path, info in found.items()})
        both = known | found
        for path, rate in (rates or {}).items():
            if path in both:
                both[path] = set_rate(both[path], rate)
        remember({keys[path]: info for path, info in both.items()})
        return {path: both[path] for path in paths if path in both}, faults

    def _load(self) -> dict[FileKey, VideoInfo]:
        """Read the file; if that fails, warn and return nothing."""
        try:
            return self._read()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.ignored += 1
            warnings.warn(
                f"The film index {str(self.file)!r} is unreadable ({type(error).__name__}) and is ignored. The films "
                "are probed again and the index is written again. Delete the file if this warning comes back.",
                stacklevel=3,
            )
            return {}

    def _read(self) -> dict[FileKey, VideoInfo]:
        if self.file is None or not self.file.exists():
            return {}
        written = json.loads(self.file.read_text(encoding="utf-8"))
        if written["readers"] != readers():
            return {}
        return {(row["path"], row["bytes"], row["changed"]): _parse_info(row["info"]) for row in written["films"]}

    def _save(self, fresh: Mapping[FileKey, VideoInfo]) -> None:
        if self.file is None:
            return
        films: dict[FileKey, VideoInfo] = {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # `_load` has warned
            films = self._read()
        # Another process may have written meanwhile: keep its films, but not old states of changed files.
        names = {key[0] for key in fresh}
        films = {key: info for key, info in films.items() if key[0] not in names} | dict(fresh)
        rows = [
            {"path": key[0], "bytes": key[1], "changed": key[2], "info": dataclasses.asdict(info)}
            for key, info in sorted(films.items())
        ]
        write_atomic(self.file, json.dumps({"readers": readers(), "films": rows}).encode())


def readers() -> str:
    """The layout of the index and the versions of the video readers, which findings depend on."""
    versions = [f"layout {_LAYOUT}"]
    for name in ("av", "decord"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(versions)


def _parse_info(fields: dict[str, Plain]) -> VideoInfo:
    return VideoInfo(**(fields | {"times": tuple(fields["times"])}))  # type: ignore[arg-type]


def _file_keys(paths: Sequence[Path]) -> tuple[dict[Path, FileKey], dict[Path, str]]:
    keys: dict[Path, FileKey] = {}
    faults: dict[Path, str] = {}
    for path in paths:
        try:
            keys[path] = file_key(path)
        except VideoError as error:
            faults[path] = str(error)
    return keys, faults


def _try_probe(path: Path) -> VideoInfo | str:
    try:
        # The index holds pictures at one a second: a data set states their rate.
        return probe_series(path) if path.is_dir() else probe(path)
    except VideoError as error:
        return str(error)


def _probe_in_threads(paths: Sequence[Path], *, title: str) -> Iterator[tuple[Path, VideoInfo | str]]:
    """Each film in order, with what it holds or its error message. Both readers release the GIL while they decode."""
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        outcomes = zip(paths, pool.map(_try_probe, paths), strict=True)
        yield from track(outcomes, title, len(paths))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
