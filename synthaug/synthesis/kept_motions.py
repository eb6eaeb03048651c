"""Where extracted motions are kept: found again by the state of the files that they were read from, or by content.

Looking at states costs next to nothing, so that is done for every clip at every start. But data that were copied, to a
node's own disk for example, have other times of change: before a motion is extracted anew, its files' content is asked.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from synthaug.files import digest_of, write_atomic
from synthaug.motions import MotionSource
from synthaug.structures import Record
from synthaug.video import picture_notes

_SUFFIXES = (".npz", ".refused")


def motion_path(record: Record, source: MotionSource, cache: Path) -> Path:
    """Where a record's motion is kept: named after source, interval and state of all files that it is read from."""
    return cache / _name(record, source, _state)


def is_kept(path: Path | None) -> bool:
    """Whether a motion, or why there is none, is kept at this path."""
    return path is not None and any(path.with_suffix(suffix).exists() for suffix in _SUFFIXES)


def adopt_motion(record: Record, source: MotionSource, cache: Path) -> bool:
    """Take over what was kept for files of equal names and content and other times of change; whether there was any."""
    return _link(_content_path(record, source, cache), motion_path(record, source, cache))


def offer_motion(record: Record, source: MotionSource, cache: Path) -> None:
    """Let copies of a record's files take over what was kept for them."""
    _link(motion_path(record, source, cache), _content_path(record, source, cache))


def forget_motion(record: Record, source: MotionSource, cache: Path) -> None:
    """Remove what was kept of a record, under both of its names."""
    for path in (motion_path(record, source, cache), _content_path(record, source, cache)):
        for suffix in _SUFFIXES:
            path.with_suffix(suffix).unlink(missing_ok=True)


def _content_path(record: Record, source: MotionSource, cache: Path) -> Path:
    return cache / _name(record, source, _content)


def _name(record: Record, source: MotionSource, describe: Callable[[Path], str]) -> Path:
    states = [state for path in (record.path, *source.reads(record)) for state in _describe_files(path, describe)]
    unusual = picture_notes(record.path)  # empty for most film, so that its motions keep the names they always had
    states += [unusual] if unusual else []
    name = digest_of(source.fingerprint, record.key, record.path.name, *states, repr((record.start, record.end)))
    return Path(name[:2]) / f"{name}.npz"


def _describe_files(path: Path, describe: Callable[[Path], str]) -> list[str]:
    """A file, or every file below a folder."""
    if path.is_dir():
        # Hidden files come and go: of an object store while others fetch, of a desktop while somebody looks.
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        return [f"{file.relative_to(path)} {describe(file)}" for file in files]
    return [describe(path)]


def _state(file: Path) -> str:
    """Size and time of change."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return "absent"
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _content(file: Path) -> str:
    """Digest of the content; of a film of an object store that is not here yet, its state."""
    try:
        stat = file.stat()
        if stat.st_size and not stat.st_blocks:
            return _state(file)
        with file.open("rb") as content:
            return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except FileNotFoundError:
        return "absent"


def _link(old: Path, new: Path) -> bool:
    """Give what is kept at one path another name too; whether there was anything."""
    for suffix in _SUFFIXES:
        given, taken = old.with_suffix(suffix), new.with_suffix(suffix)
        if not given.exists():
            continue
        taken.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(given, taken)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            write_atomic(taken, given.read_bytes())
        return True
    return False
