"""Read a folder of an object store as one of this machine: films are fetched when they are read, and not all are kept.

A mirror has every file of the store in its place, of its size and with its time of change. Those that nobody has read
yet are placeholders: sparse files that take no room. So whatever looks at names, sizes and times needs no network.
"""

import contextlib
import datetime
import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from synthaug.files import append_line, storing, user_cache, write_atomic, write_lines

logger = logging.getLogger(__name__)

MARK = "://"
"""What tells an address from a folder."""
_ABOUT, _FETCHED = ".synthaug-store.json", ".synthaug-fetched.jsonl"
_LIMIT_GB = 100.0
"""Gigabytes of films that are kept of each address, unless SYNTHAUG_STORE_GB says otherwise."""
_SMALL = 2**16
"""Bytes below which a file is fetched at once: asking for it later costs as much, and some disks store so few bytes
without a block, as if it were a placeholder."""
_PASSING = ".passing"
"""Suffix of files that are being written."""
_STALE = 86_400.0
"""Seconds after which nobody writes such a file any more."""
_TRIES = 5
"""How often a file is opened that others drop meanwhile."""
_SOME_DAY = 1_000_000_000
"""Seconds since 1970 from which times of change are made up where a store has none."""


class RemoteError(OSError, ValueError):
    """An object store cannot be read; the message says why."""


@dataclass(frozen=True)
class _Remote:
    """A file of a store."""

    path: str
    size: int
    changed: int


def open_root(root: Path | str, *, lazy: Callable[[str], bool]) -> Path:
    """A folder of this machine as it is, or the mirror of one in an object store.

    The mirror is below `user_cache()`. Of files that are read later, up to SYNTHAUG_STORE_GB gigabytes (100) are kept
    for each address: those fetched first go first.

    Args:
        root: The folder, or its address: whatever fsspec knows, such as s3://bucket/films, with that package's
            credentials.
        lazy: Whether a file of this name is to be fetched when it is read; all others are fetched now.

    Raises:
        RemoteError: If the store cannot be read, or has no file there.
    """
    if MARK not in str(root):
        return Path(root).expanduser().absolute()
    url = str(root).rstrip("/")
    mirror = user_cache() / "stores" / hashlib.blake2b(url.encode(), digest_size=12).hexdigest()
    found = _list_files(url)
    write_atomic(mirror / _ABOUT, json.dumps({"url": url, "paths": {n: one.path for n, one in found.items()}}).encode())
    _forget_others(mirror, found)
    new = [name for name, one in found.items() if not _is_same(mirror / name, one)]
    now = [name for name in new if found[name].size < _SMALL or not lazy(name)]
    logger.info("%s: %d files, %d of them fetched now.", url, len(found), len(now))
    for name in set(new) - set(now):
        _place(mirror / name, found[name])
    for name in now:  # never a placeholder, which the next start would take for the file if this one is stopped
        _copy(url, found[name], mirror / name)
    _drop_beyond(mirror, _limit())
    return mirror


def fetch(path: Path) -> bool:
    """Fetch the content of a placeholder; of any other file, and of what is missing, nothing.

    Returns:
        Whether it was a placeholder.

    Raises:
        RemoteError: If it cannot be fetched.
    """
    try:
        state = path.stat()
    except OSError:
        return False
    if state.st_blocks or not state.st_size or path.is_dir():
        return False
    path = path.absolute()
    mirror = _find_mirror(path)
    if mirror is None:
        return False  # a film of zeros, or of a file system that counts no blocks
    about = json.loads((mirror / _ABOUT).read_text("utf-8"))
    name = path.relative_to(mirror).as_posix()
    if name not in about["paths"]:
        raise RemoteError(
            f"Expected {name} to be in {about['url']}, got none. It was deleted there: start again to see what is left."
        )
    _copy(about["url"], _Remote(about["paths"][name], state.st_size, int(state.st_mtime)), path)
    append_line(mirror / _FETCHED, json.dumps([name, state.st_size]))
    _drop_beyond(mirror, _limit(), spared=name)
    return True


@contextlib.contextmanager
def open_fetched(path: Path) -> Iterator[BufferedReader]:
    """Open a file to read its bytes: of an object store, its content, which others may drop at any moment.

    A file that is open keeps its content, so what matters is what was opened, not what lies there before or after.

    Raises:
        RemoteError: If it cannot be fetched, or is dropped each time before it is opened.
        OSError: If it cannot be opened.
    """
    for _ in range(_TRIES):
        fetch(path)
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if state.st_blocks or not state.st_size or _find_mirror(path.absolute()) is None:
                yield file
                return
    raise RemoteError(told_of_drops(path, _TRIES))


def told_of_drops(path: Path, times: int) -> str:
    """What to say of a file that others dropped as often as it was fetched."""
    return (
        f"Expected {str(path)!r} to stay while it is read, got it dropped {times} times to make room. Raise "
        "SYNTHAUG_STORE_GB."
    )


def _find_mirror(path: Path) -> Path | None:
    """The mirror of a store that a file lies in."""
    return next((folder for folder in path.parents if (folder / _ABOUT).is_file()), None)


def _limit() -> float:
    """Bytes of fetched files that are kept of each address."""
    stated = os.environ.get("SYNTHAUG_STORE_GB", "")
    try:
        limit = float(stated or _LIMIT_GB)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise RemoteError(f"Expected SYNTHAUG_STORE_GB to be gigabytes above 0, got {stated!r}. Correct or unset it.")
    return limit * 1e9


def _list_files(url: str) -> dict[str, _Remote]:
    """Every file below an address, by its path below it."""
    from fsspec.core import url_to_fs

    try:
        files, root = url_to_fs(url)
        files.invalidate_cache()
        # Web servers: without this, folders that cannot be listed would hold nothing, without a word.
        found = files.find(root, detail=True, **({"on_error": "raise"} if url.startswith("http") else {}))
        if not found:
            files.ls(root, detail=False)  # which says why, if there is a reason
        entries = {name: about if about.get("size") is not None else files.info(name) for name, about in found.items()}
    except Exception as error:  # every package behind fsspec has errors of its own
        raise _explain(url, error) from error
    start = f"{root.rstrip('/')}/"
    listed = {
        unquote(name.removeprefix(start)) if MARK in root else name.removeprefix(start): _Remote(
            name, int(about.get("size") or 0), _change_of(about)
        )
        for name, about in entries.items()
    }
    safe = {name: one for name, one in listed.items() if ".." not in PurePosixPath(name).parts and name[:1] != "/"}
    if not safe:
        raise RemoteError(
            f"Expected files below {url}, got none. Check the address, and set dataset.root to the folder that your "
            "films are in."
        )
    return safe


def _change_of(about: Mapping[str, object]) -> int:
    """When a file was changed, in seconds since 1970; made up of its tag or its size where the store does not say."""
    for name in ("LastModified", "last_modified", "mtime", "updated", "modified", "created"):
        said = about.get(name)
        if isinstance(said, datetime.datetime):
            return int(said.timestamp())
        if isinstance(said, int | float):
            return int(said)
    tag = next((str(about[name]) for name in ("ETag", "etag", "md5Hash", "updated") if about.get(name)), "")
    return _SOME_DAY + int.from_bytes(hashlib.blake2b(tag.encode(), digest_size=3).digest(), "big")


def _is_same(path: Path, one: _Remote) -> bool:
    try:
        state = path.stat()
    except OSError:
        return False
    return (state.st_size, int(state.st_mtime)) == (one.size, one.changed)


def _place(path: Path, one: _Remote) -> None:
    """Put a placeholder."""
    _replace(path, lambda aside: os.truncate(aside, one.size), one.changed)


def _copy(url: str, one: _Remote, path: Path) -> None:
    """Fetch a file into its place; it has the size and time of change that it was listed with."""
    from fsspec.core import url_to_fs

    def get(aside: Path) -> None:
        try:
            files, _ = url_to_fs(url)
            files.get_file(one.path, str(aside))
        except Exception as error:  # every package behind fsspec has errors of its own
            raise _explain(url, error) from error
        if aside.stat().st_size != one.size:
            raise RemoteError(
                f"Expected {one.size} bytes of {one.path}, got {aside.stat().st_size}: it was changed since. Start "
                "again."
            )

    _replace(path, get, one.changed)


def _replace(path: Path, fill: Callable[[Path], object], changed: int) -> None:
    aside = path.with_name(f".{uuid.uuid4().hex}{_PASSING}")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.touch()
            fill(aside)
            os.utime(aside, (changed, changed))
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def _forget_others(mirror: Path, found: Mapping[str, _Remote]) -> None:
    """Remove what the store no longer has, and what killed processes left; others may be fetching just now."""
    for path in sorted(mirror.rglob("*"), reverse=True):
        if path.relative_to(mirror).as_posix() in found or path.name in (_ABOUT, _FETCHED):
            continue
        with contextlib.suppress(OSError):  # a folder that is not empty; what another process took away meanwhile
            if path.is_dir():
                path.rmdir()
            elif not _is_passing(path) or time.time() - path.stat().st_mtime > _STALE:
                path.unlink()


def _is_passing(path: Path) -> bool:
    """Whether somebody may be writing a file just now: a film, or a new list of files."""
    return path.name.endswith(_PASSING) or path.name.startswith((f".{_ABOUT}.", f".{_FETCHED}."))


def _drop_beyond(mirror: Path, limit: float, *, spared: str = "") -> None:
    """Make placeholders again of what was fetched first, until the rest keeps within the limit."""
    kept = _read_fetched(mirror / _FETCHED)
    total = sum(kept.values())
    if total <= limit:
        return
    for name, size in list(kept.items()):
        if total <= limit or name == spared:
            continue
        path = mirror / name
        if path.is_file():
            _place(path, _Remote(name, path.stat().st_size, int(path.stat().st_mtime)))
        total -= size
        del kept[name]
    write_lines(mirror / _FETCHED, (json.dumps([name, size]) for name, size in kept.items()))


def _read_fetched(log: Path) -> dict[str, int]:
    """Sizes of fetched files by name, the first one first."""
    kept: dict[str, int] = {}
    for line in log.read_text("utf-8").splitlines() if log.is_file() else ():
        try:
            name, size = json.loads(line)
        except ValueError:
            continue  # cut off: the file is kept one start longer
        kept.pop(name, None)
        kept[name] = size
    return kept


def _explain(url: str, error: Exception) -> RemoteError:
    return RemoteError(
        f"Expected to read {url}, got {type(error).__name__}: {str(error) or 'no reason'}. Check the address, the "
        "package that fsspec needs for it (pip install s3fs for s3://), and your credentials."
    )
