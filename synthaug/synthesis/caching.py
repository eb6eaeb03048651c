"""Cache rendered people and places on disk: digest to file, written whole, verified when read.

People are kept on a transparent background and places without people, both lossless, so that any person can be laid
over any place.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import lz4.frame
import numpy as np
import torch
from numpy.typing import NDArray

from synthaug.files import StorageError, user_cache, write_atomic
from synthaug.structures import Camera, Light, Rendering, Scene

logger = logging.getLogger(__name__)
_T = TypeVar("_T")

FORMAT = 2
"""Version of the file's layout; part of every key, so that older files are simply not found."""
_MAGIC = b"synthaug"
_MAX_PIXELS = 2**33
_CLEANUPS = 64
"""Number of clean-ups while as much is written as the cache may hold."""
_PEOPLE, _SCENE = ".people", ".scene"


class DamagedEntryError(ValueError):
    """A file of the cache is not what was written there."""


@dataclass(frozen=True)
class CacheStats:
    """Size of a cache.

    Attributes:
        entries: Number of clips.
        bytes: Their size on disk.
    """

    entries: int
    bytes: int


class RenderCache:
    """A folder of rendered people and places, safe for any number of readers and writers at once.

    Keys are deterministic: two writers of one key write the same bytes, and the last one wins.

    Args:
        root: The folder, made when first written to; None is `people` in the user's cache.
        max_gb: Size beyond which the longest unread entries are removed, in 10^9 bytes.
    """

    def __init__(self, root: str | Path | None = None, *, max_gb: float = 20.0) -> None:
        if max_gb <= 0:
            raise ValueError(
                f"Expected synth.cache.max_gb to be above 0, got {max_gb}. Set synth.cache=null to cache nothing."
            )
        self.root = Path(root).expanduser() if root else user_cache() / "people"
        self.max_gb = max_gb
        self._told = False

    def read(self, key: str) -> Rendering | None:
        """The rendering of this key, or None where there is none. A damaged file is removed with a warning."""
        return self._read(key, _PEOPLE, _decode)

    def write(self, key: str, rendering: Rendering) -> None:
        """Keep a rendering; clean up each time that about a 64th of the limit has been written."""
        self._write(key, _PEOPLE, _encode(rendering))

    def read_scene(self, key: str, camera: Camera) -> Scene | None:
        """The place of this key as this camera saw it, or None, as for `read`."""
        return self._read(key, _SCENE, lambda content: _decode_scene(content, camera))

    def write_scene(self, key: str, scene: Scene) -> None:
        """Keep what a background built for a camera; still pictures are kept once, whatever the clip's length."""
        self._write(key, _SCENE, _encode_scene(scene))

    def keys(self) -> Iterator[str]:
        """Keys of all entries, sorted."""
        yield from sorted({path.stem for path in self._paths()})

    def verify(self) -> dict[str, str]:
        """The damaged entries by key, with what is wrong with each; nothing is removed."""
        damaged = {}
        for path in sorted(self._paths()):
            try:
                _unpack(path.read_bytes())
            except DamagedEntryError as error:
                damaged[path.stem] = str(error)
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

    def _read(self, key: str, suffix: str, decode: Callable[[bytes], _T]) -> _T | None:
        path = self._path(key, suffix)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            entry = decode(content)
        except DamagedEntryError as error:
            logger.warning("Damaged cache entry %s removed (%s); it is rendered again.", path, error)
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):  # of a folder that may only be read
            os.utime(path)
        return entry

    def _write(self, key: str, suffix: str, content: bytes) -> None:
        try:
            write_atomic(self._path(key, suffix), content)
        except StorageError as error:
            if not self._told:  # training is slower without, and otherwise the same
                logger.warning("Rendered clips are not kept from now on, but rendered each time. %s", error)
            self._told = True
            return
        # The key decides which writes clean up, in proportion to their size: short-lived workers cannot count.
        if zlib.crc32(key.encode()) < 2**32 * _CLEANUPS * len(content) / (self.max_gb * 1e9):
            self.collect()

    def _path(self, key: str, suffix: str) -> Path:
        if not key.isalnum():
            raise ValueError(f"Expected a cache key of letters and digits, as digests are, got {key!r}. Use a digest.")
        return self.root / key[:2] / f"{key}{suffix}"

    def _paths(self) -> list[Path]:
        return [path for suffix in (_PEOPLE, _SCENE) for path in self.root.glob(f"*/*{suffix}")]

    def _entries(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for path in self._paths():
            try:
                found.append((path, path.stat()))
            except FileNotFoundError:  # another process cleaned up meanwhile
                continue
        return found


def _encode(rendering: Rendering) -> bytes:
    planes = [rendering.rgb.numpy().tobytes(), rendering.alpha.numpy().tobytes()]
    if rendering.depth is not None:
        planes.append(rendering.depth.numpy().astype("<f4").tobytes())
    return _pack({"shape": list(rendering.alpha.shape), "depth": rendering.depth is not None}, planes)


def _decode(content: bytes) -> Rendering:
    header, planes = _unpack(content)
    time, _, height, width = header["shape"]
    pixels = time * height * width
    depth = None
    if header["depth"]:
        depth = torch.from_numpy(planes[pixels * 4 :].view("<f4").reshape(time, 1, height, width))
    return Rendering(
        rgb=torch.from_numpy(planes[: pixels * 3].reshape(time, 3, height, width)),
        alpha=torch.from_numpy(planes[pixels * 3 : pixels * 4].reshape(time, 1, height, width)),
        depth=depth,
    )


def _encode_scene(scene: Scene) -> bytes:
    frames = scene.frames[:1] if bool((scene.frames == scene.frames[:1]).all()) else scene.frames
    time, _, height, width = frames.shape
    planes = [frames.numpy().tobytes(), np.zeros(time * height * width, np.uint8).tobytes()]
    if scene.depth is not None:
        planes.append(scene.depth.expand(time, 1, height, width).numpy().astype("<f4").tobytes())
    light = None if scene.light is None else dataclasses.asdict(scene.light)
    header = {"shape": [time, 1, height, width], "depth": scene.depth is not None, "spot": scene.spot, "light": light}
    return _pack(header, planes)


def _decode_scene(content: bytes, camera: Camera) -> Scene:
    header, _ = _unpack(content)
    kept = _decode(content)
    times = len(camera.viewmats)
    if kept.rgb.shape[2:] != (camera.height, camera.width) or len(kept.rgb) not in (1, times):
        raise DamagedEntryError("it was seen by another camera")
    try:
        light = None if header["light"] is None else Light(**{k: tuple(v) for k, v in header["light"].items()})
        spot = None if header["spot"] is None else tuple(header["spot"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedEntryError(str(error)) from error
    return Scene(
        frames=kept.rgb.expand(times, 3, camera.height, camera.width),
        camera=camera,
        spot=spot,
        depth=None if kept.depth is None else kept.depth[0, 0],
        light=light,
    )


def _pack(header: dict[str, Any], planes: list[bytes]) -> bytes:
    """One file: a magic word, a header and the compressed planes, with checksums of both."""
    body = lz4.frame.compress(b"".join(planes), content_checksum=True)
    summed = {**header, "format": FORMAT, "blake2b": hashlib.blake2b(body, digest_size=16).hexdigest()}
    text = json.dumps(summed, sort_keys=True).encode()
    text_sum = hashlib.blake2b(text, digest_size=16).digest()
    return _MAGIC + struct.pack("<I", len(text)) + text_sum + text + body


def _unpack(content: bytes) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Header and planes of a file.

    Raises:
        DamagedEntryError: If the content is not what was written.
    """
    try:
        if content[: len(_MAGIC)] != _MAGIC:
            raise ValueError("it does not begin as a cache entry does")
        (length,) = struct.unpack_from("<I", content, len(_MAGIC))
        start = len(_MAGIC) + 4
        text, body = content[start + 16 : start + 16 + length], content[start + 16 + length :]
        header = json.loads(text)
        sums = [hashlib.blake2b(part, digest_size=16) for part in (text, body)]
        if sums[0].digest() != content[start : start + 16] or sums[1].hexdigest() != header["blake2b"]:
            raise ValueError("its checksum differs")
        time, one, height, width = (int(side) for side in header["shape"])
        pixels = time * height * width
        if header["format"] != FORMAT or one != 1 or not 0 <= pixels * 8 < _MAX_PIXELS:
            raise ValueError("its header makes no sense")
        size = pixels * (8 if header["depth"] else 4)
        with lz4.frame.LZ4FrameDecompressor() as unpacker:
            raw = unpacker.decompress(body, max_length=size + 1)  # one byte beyond it is too much
        if len(raw) != size:
            raise ValueError("its length differs")
    except (ValueError, KeyError, TypeError, struct.error, RuntimeError) as error:
        raise DamagedEntryError(str(error)) from error
    return header, np.frombuffer(bytearray(raw), dtype=np.uint8)
