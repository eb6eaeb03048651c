"""Films kept decoded in memory: few-shot training shows each of a few short films a hundred times.

Between a data set's records and the clips that are cut out of them.
"""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from synthaug.structures import Record
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
