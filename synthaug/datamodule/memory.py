"""Films and synthetic clips kept in memory: training shows each of a finite set again and again.

Between what clips are made of and what becomes of them.
"""

import math
import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.structures import ClipFormat, Record
from synthaug.video import probe, read_frames


def held(
    records: Sequence[Record], *, size: tuple[int, int], limit_mb: float
) -> dict[Path, UInt8[Tensor, "time 3 height width"]]:
    """Every film of these records, all of its frames at this size; or none, where they would not fit.

    For `read_clip(..., held=...)`, which gives the same pixels with them as without. Read before workers fork, they
    are in memory once.

    Args:
        records: Whose films.
        size: Height and width of the clips that will be cut.
        limit_mb: Largest sum, in units of 10^6 bytes; 0 holds nothing.

    Raises:
        VideoError: If a file cannot be read.
    """
    if limit_mb <= 0:
        return {}
    paths = dict.fromkeys(record.path for record in records)
    left = limit_mb * 1e6
    for path in paths:
        left -= 3 * size[0] * size[1] * probe(path).num_frames
        if left < 0:
            return {}
    return {path: read_frames(path, range(probe(path).num_frames), size=size) for path in paths}


class FinishedClips:
    """Synthetic clips as they were finished, from their first showing on, in memory that forked workers share.

    A clip that was rendered once still has to be composed: its place, shadows, sensor. That is worth keeping too, since
    the same recipe gives the same pixels. Memory is taken as clips come.

    Args:
        count: Clips of the set.
        clip: Their format.
    """

    def __init__(self, count: int, clip: ClipFormat) -> None:
        shape = (count, clip.num_frames, 3, clip.size, clip.size)
        # Anonymous and shared: no file, no limit of /dev/shm, and workers that are forked later write into the same.
        self._videos = torch.from_numpy(np.frombuffer(mmap.mmap(-1, math.prod(shape)), np.uint8)).view(shape)
        self._there = torch.from_numpy(np.frombuffer(mmap.mmap(-1, count), np.uint8))

    def get(self, index: int) -> UInt8[Tensor, "time 3 height width"] | None:
        """The clip, not to be changed, or None where nobody has put it yet."""
        return self._videos[index] if self._there[index] else None

    def put(self, index: int, video: UInt8[Tensor, "time 3 height width"]) -> None:
        """Keep a clip. Workers that finish the same one put the same pixels."""
        self._videos[index] = video
        self._there[index] = 1


def finished_clips(count: int, clip: ClipFormat, *, limit_mb: float) -> FinishedClips | None:
    """Room for a whole synthetic set; None where it is empty or larger than the limit, in units of 10^6 bytes."""
    needed = count * clip.num_frames * 3 * clip.size**2
    return FinishedClips(count, clip) if 0 < needed <= limit_mb * 1e6 else None
