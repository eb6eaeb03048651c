"""Films that were read lately, kept small in memory for those who come back for other moments of them."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import final

from jaxtyping import UInt8
from torch import Tensor

from synthaug.video.frames import read_frames
from synthaug.video.info import VideoInfo

LONGEST = 300
"""Frames of the longest film that is read as a whole; of a longer one, most would be read in vain."""


@final
class RecentFilms:
    """Short films at the size of clips, the least recently used forgotten first.

    A film is compressed: to show eight frames of it, most of it has to be decoded. Whoever shows a short film many
    times, each time from another moment, decodes it once. Copies sent to other processes are empty.

    Args:
        limit_mb: Memory for all films together, in units of 10^6 bytes.
    """

    def __init__(self, limit_mb: float) -> None:
        self.limit_mb = limit_mb
        self._films: OrderedDict[tuple[Path, tuple[int, int]], UInt8[Tensor, "_time 3 height width"]] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["RecentFilms"], tuple[float]]:
        return RecentFilms, (self.limit_mb,)

    def read(
        self, path: Path, indices: Sequence[int], *, info: VideoInfo, size: tuple[int, int]
    ) -> UInt8[Tensor, "time 3 height width"]:
        """The same as `read_frames`, which says more of arguments and errors.

        Args:
            path: The film, which does not change while this process lives.
            indices: Frames counted from 0.
            info: What `probe` returned.
            size: Height and width to fill.
        """
        key = (path, size)
        with self._lock:
            film = self._films.get(key)
            if film is not None:
                self._films.move_to_end(key)
        if film is None:
            needed = 3 * size[0] * size[1] * info.num_frames
            if info.num_frames > LONGEST or needed > self.limit_mb * 1e6 / 4:
                return read_frames(path, indices, info=info, size=size)
            film = self._keep(key, read_frames(path, range(info.num_frames), info=info, size=size))
        return film[list(indices)]

    def _keep(self, key: tuple[Path, tuple[int, int]], film: Tensor) -> Tensor:
        with self._lock:
            if key not in self._films:
                self._films[key] = film
                self._held += film.numel()
            while self._held > self.limit_mb * 1e6:
                self._held -= self._films.popitem(last=False)[1].numel()
        return film
