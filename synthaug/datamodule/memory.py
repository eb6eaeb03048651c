"""Keeps films and finished synthetic clips in memory, since training shows each of a finite set many times."""

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


def hold_films(
    records: Sequence[Record], *, size: tuple[int, int], limit_mb: float
) -> dict[Path, UInt8[Tensor, "_time 3 height width"]]:
    """Read every film of these records into memory, at this size; none of them if all together would not fit.

    The result is for `read_clip(..., held=...)`, which gives the same pixels with it as without. Call it before workers
    fork, so that all of them share one copy.

    Args:
        records: Intervals of the films.
        size: Height and width of the clips that will be cut.
        limit_mb: Largest sum, in units of 10^6 bytes; 0 keeps nothing.

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
    """Finished synthetic clips, kept from their first use on, in memory that forked workers share.

    The cache on disk holds renderings of people; compositing them (background, shadows, sensor) takes time as well, and
    the same recipe always gives the same pixels. The operating system allocates memory as clips arrive.

    Args:
        count: Number of clips in the set.
        clip: Their format.
    """

    def __init__(self, count: int, clip: ClipFormat) -> None:
        shape = (count, clip.num_frames, 3, clip.size, clip.size)
        # Anonymous shared memory: needs no file, is not limited by /dev/shm, and workers forked later write into it.
        self._videos = torch.from_numpy(np.frombuffer(mmap.mmap(-1, math.prod(shape)), np.uint8)).view(shape)
        self._present = torch.from_numpy(np.frombuffer(mmap.mmap(-1, count), np.uint8))

    def get(self, index: int) -> UInt8[Tensor, "time 3 height width"] | None:
        """The clip, which must not be changed, or None if it was not put yet."""
        return self._videos[index] if self._present[index] else None

    def put(self, index: int, video: UInt8[Tensor, "time 3 height width"]) -> None:
        """Keep a clip. Two workers that finish the same clip put the same pixels."""
        self._videos[index] = video
        self._present[index] = 1


def allocate_finished_clips(count: int, clip: ClipFormat, *, limit_mb: float) -> FinishedClips | None:
    """Make room for a whole synthetic set; None if it is empty or larger than the limit, in units of 10^6 bytes."""
    needed = count * clip.num_frames * 3 * clip.size**2
    return FinishedClips(count, clip) if 0 < needed <= limit_mb * 1e6 else None
