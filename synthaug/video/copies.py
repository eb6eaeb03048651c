"""Find films that are one recording under several names: symbolic links, hard links and copies, byte for byte.

Sizes tell most films apart. Only films of equal size are opened, and read whole only where they agree in a few places.
"""

import functools
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from synthaug.remote import open_fetched

_SAMPLE = 2**16
"""Bytes that are read at the beginning, in the middle and at the end before a film is read whole."""
_Key = TypeVar("_Key")


def find_copies(paths: Collection[Path], among: Collection[Path]) -> dict[Path, tuple[Path, ...]]:
    """Find, for each film, those that have the same content under another path.

    Args:
        paths: Films: files, or folders of numbered pictures. What is missing, empty or unreadable is no copy.
        among: Films to compare them with.

    Returns:
        The other paths of `among` with the content of each path, sorted; a path without any is absent.
    """
    ours, theirs = set(paths), set(among)
    found = {}
    for group in _alike(_alike(_alike([sorted(ours | theirs)], _measure, ours, theirs), _sample, ours, theirs),
                        _identify, ours, theirs):  # fmt: skip
        for path in ours.intersection(group):
            if others := tuple(other for other in group if other in theirs and other != path):
                found[path] = others
    return found


def _alike(
    groups: Iterable[list[Path]], key: Callable[[Path], _Key | None], ours: set[Path], theirs: set[Path]
) -> Iterator[list[Path]]:
    """Divide groups by a key; those that cannot hold a film and its copy are left out, and so is what has no key."""
    for group in groups:
        parts: dict[_Key, list[Path]] = {}
        for path in group:
            if (value := key(path)) is not None:
                parts.setdefault(value, []).append(path)
        yield from (part for part in parts.values() if len(part) > 1 and ours & {*part} and theirs & {*part})


def _measure(path: Path) -> tuple[tuple[str, int], ...] | None:
    """Names and sizes of a film's files; a film that is a file has no name. None if there is nothing to read."""
    try:
        if path.is_dir():
            return tuple((file.name, file.stat().st_size) for file in _files(path)) or None
        return (("", size),) if (size := path.stat().st_size) else None
    except OSError:
        return None


def _files(path: Path) -> list[Path]:
    return [file for file in sorted(path.iterdir()) if file.is_file()] if path.is_dir() else [path]


def _sample(path: Path) -> tuple[bytes, ...] | None:
    try:
        return tuple(_digest(*_state(file), samples=True) for file in _files(path))
    except OSError:
        return None


def _identify(path: Path) -> tuple[bytes, ...] | None:
    try:
        return tuple(_digest(*_state(file), samples=False) for file in _files(path))
    except OSError:
        return None


def _state(file: Path) -> tuple[str, int, int]:
    """The file behind all links, its size and its time of change: what was read of it holds for all of its names."""
    real = file.resolve()
    stat = real.stat()
    return str(real), stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=2**16)
def _digest(file: str, size: int, changed: int, *, samples: bool) -> bytes:
    """Digest of a file's content, or of samples of it. Size and time of change keep it from growing stale."""
    digest = hashlib.blake2b(digest_size=16)
    with open_fetched(Path(file)) as content:
        if not samples:
            return hashlib.file_digest(content, lambda: digest).digest()
        for place in (0, size // 2, max(0, size - _SAMPLE)):
            content.seek(place)
            digest.update(content.read(_SAMPLE))
    return digest.digest()
