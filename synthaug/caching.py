"""Rendered people on disk: digest to file, written whole, verified when read.

Between renderers and compositing. What is kept is the person over nothing, lossless, so that backgrounds stay free.
"""

import hashlib
import json
import logging
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lz4.frame
import numpy as np
import torch

from synthaug.files import user_cache, write_atomic
from synthaug.structures import Rendering

logger = logging.getLogger(__name__)

FORMAT = 1
"""Version of the file's layout; part of every key, so that older files are simply not found."""
_MAGIC = b"synthaug"
_MAX_PIXELS = 2**33
_SUFFIX = ".people"


class DamagedEntryError(ValueError):
    """A file of the cache is not what was written there."""


@dataclass(frozen=True)
class CacheStats:
    """What a cache holds.

    Attributes:
        entries: Number of clips.
        bytes: Their size on disk.
    """

    entries: int
    bytes: int


class RenderCache:
    """A folder of rendered people, safe for any number of readers and writers at once.

    Keys are deterministic, so two writers of one key write the same thing and the last one wins.

    Args:
        root: The folder, made when first written to; None is `people` in the user's cache.
        max_gb: Size beyond which the longest unread entries go, in 10^9 bytes.
    """

    def __init__(self, root: str | Path | None = None, *, max_gb: float = 20.0) -> None:
        if max_gb <= 0:
            raise ValueError(f"max_gb={max_gb} was given; a positive size was wanted. Set cache: null to keep nothing.")
        self.root = Path(root).expanduser() if root else user_cache() / "people"
        self.max_gb = max_gb
        self._written = 0

    def read(self, key: str) -> Rendering | None:
        """The rendering of this key, or None where there is none. A damaged file is removed, said so, and is none."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            rendering = _decode(content)
        except DamagedEntryError as error:
            logger.warning("Damaged cache entry %s removed (%s); it is rendered again.", path, error)
            path.unlink(missing_ok=True)
            return None
        os.utime(path)
        return rendering

    def write(self, key: str, rendering: Rendering) -> None:
        """Keep a rendering; every 256th time, make room as well."""
        write_atomic(self._path(key), _encode(rendering))
        self._written += 1
        if self._written % 256 == 0:
            self.collect()

    def keys(self) -> Iterator[str]:
        """Keys of all entries, sorted."""
        yield from sorted(path.stem for path in self.root.glob(f"*/*{_SUFFIX}"))

    def verify(self) -> dict[str, str]:
        """What is wrong with each damaged entry, by key; nothing is removed."""
        damaged = {}
        for key in self.keys():
            try:
                _decode(self._path(key).read_bytes())
            except DamagedEntryError as error:
                damaged[key] = str(error)
        return damaged

    def stats(self) -> CacheStats:
        """Number and size of the entries."""
        sizes = [stat.st_size for _, stat in self._entries()]
        return CacheStats(entries=len(sizes), bytes=sum(sizes))

    def collect(self, *, max_gb: float | None = None) -> CacheStats:
        """Remove the longest unread entries until the rest fits; returns what was removed."""
        limit = (self.max_gb if max_gb is None else max_gb) * 1e9
        entries = sorted(self._entries(), key=lambda entry: entry[1].st_mtime)
        total = sum(stat.st_size for _, stat in entries)
        removed = freed = 0
        for path, stat in entries:
            if total - freed <= limit:
                break
            path.unlink(missing_ok=True)
            removed, freed = removed + 1, freed + stat.st_size
        return CacheStats(entries=removed, bytes=freed)

    def _path(self, key: str) -> Path:
        if not key.isalnum():
            raise ValueError(f"{key!r} is no key of a cache; letters and digits were wanted, as digests have them.")
        return self.root / key[:2] / f"{key}{_SUFFIX}"

    def _entries(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for path in self.root.glob(f"*/*{_SUFFIX}"):
            try:
                found.append((path, path.stat()))
            except FileNotFoundError:  # another job made room meanwhile
                continue
        return found


def _encode(rendering: Rendering) -> bytes:
    planes = [rendering.rgb.numpy().tobytes(), rendering.alpha.numpy().tobytes()]
    if rendering.depth is not None:
        planes.append(rendering.depth.numpy().astype("<f4").tobytes())
    body = lz4.frame.compress(b"".join(planes), content_checksum=True)
    header = {
        "format": FORMAT,
        "shape": list(rendering.alpha.shape),
        "depth": rendering.depth is not None,
        "blake2b": hashlib.blake2b(body, digest_size=16).hexdigest(),
    }
    text = json.dumps(header, sort_keys=True).encode()
    return _MAGIC + struct.pack("<I", len(text)) + text + body


def _decode(content: bytes) -> Rendering:
    try:
        if content[: len(_MAGIC)] != _MAGIC:
            raise ValueError("it does not begin as a cache entry does")
        (length,) = struct.unpack_from("<I", content, len(_MAGIC))
        start = len(_MAGIC) + 4
        header = json.loads(content[start : start + length])
        body = content[start + length :]
        if hashlib.blake2b(body, digest_size=16).hexdigest() != header["blake2b"]:
            raise ValueError("its checksum differs")
        time, one, height, width = (int(side) for side in header["shape"])
        pixels = time * height * width
        if header["format"] != FORMAT or one != 1 or not 0 <= pixels * 8 < _MAX_PIXELS:
            raise ValueError("its header makes no sense")
        raw = lz4.frame.decompress(body)
        if len(raw) != pixels * (8 if header["depth"] else 4):
            raise ValueError("its length differs")
    except (ValueError, KeyError, TypeError, struct.error, RuntimeError) as error:
        raise DamagedEntryError(str(error)) from error
    planes = np.frombuffer(bytearray(raw), dtype=np.uint8)
    rgb = torch.from_numpy(planes[: pixels * 3].reshape(time, 3, height, width))
    alpha = torch.from_numpy(planes[pixels * 3 : pixels * 4].reshape(time, 1, height, width))
    depth = None
    if header["depth"]:
        depth = torch.from_numpy(planes[pixels * 4 :].view("<f4").reshape(time, 1, height, width))
    return Rendering(rgb=rgb, alpha=alpha, depth=depth)
