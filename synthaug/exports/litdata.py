"""LitData: chunks that `litdata` streams from disks and object stores, in any order, to many machines."""

import os
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import UInt8
from torch import Tensor

from synthaug.exports import ROWS, ClipFiles, Export, ExportError, Pack
from synthaug.exports.parts.clips import decode_film, read_arrays, read_row
from synthaug.exports.parts.rows import Rows, is_address, read_layout, read_rows
from synthaug.structures import Values

if TYPE_CHECKING:
    from litdata import StreamingDataset

MISSING = "Install it: pip install 'synthaug[export]', or pip install litdata."


class LitData(Export):
    """Chunks `chunk-0-0.bin` and so on, with the `index.json` of `litdata`, which writes them.

    Args:
        megabytes: Largest size of a chunk, in units of 10^6 bytes; a single larger clip has a chunk of its own.

    Raises:
        ExportError: If the size is not above 0, or litdata is not installed: that is told before any clip is rendered.
    """

    manual = """With [litdata](https://github.com/Lightning-AI/litdata), from a disk or an address such as s3://:

```python
from litdata import StreamingDataset

clips = StreamingDataset("FOLDER")
film, mask, name = bytes(clips[0]["film"]), bytes(clips[0]["mask"]), clips[0]["class_name"]
```

`film` and `mask` are the bytes of films, `columns` is JSON, and each array has its name. No value is pickled. Clips lie
in an order as good as random."""

    def __init__(self, megabytes: float = 64.0) -> None:
        if not megabytes > 0:
            raise ExportError(f"Expected chunks of more than 0 megabytes, got {megabytes:g}. Give more.")
        if find_spec("litdata") is None:
            raise ExportError(f"Expected litdata, which writes its chunks, got none. {MISSING}")
        self.limit = round(megabytes * 1e6)

    def lay_out(self, clips: Iterator[ClipFiles], folder: Path) -> None:
        """Write chunk after chunk; see `Export.lay_out`."""
        from litdata.streaming import Cache

        cache = Cache(str(folder), chunk_bytes=self.limit)
        for place, files in enumerate(clips):
            text = files.row.read_text("utf-8").strip()
            row = read_row(text)
            cache[place] = {
                "key": files.key,
                "label": row["label"],
                "class_name": row["class_name"],
                "columns": text,
                "film": files.film.read_bytes(),
                "mask": files.mask.read_bytes(),
                **read_arrays(files.joints.read_bytes()),
            }
        cache.done()
        cache.merge()


class LitDataPack(Pack):
    """Clips of `synthaug export --to litdata`, streamed from a disk or an object store.

    Args:
        root: The folder, or its address, such as s3://bucket/clips.
        cache: Folder that keeps the chunks of an address; None is litdata's own.
        cache_gb: Largest size of that folder, in gigabytes: chunks that were not used for longest are deleted.

    Raises:
        ExportError: If it is no whole export, or litdata is not installed.
    """

    def __init__(self, root: str, *, cache: str | None = None, cache_gb: float = 100.0) -> None:
        if find_spec("litdata") is None:
            raise ExportError(f"Expected litdata, which reads '{root}', got none. {MISSING}")
        self.root = root
        self.cache = cache
        self.cache_gb = cache_gb
        self._clips: tuple[int, StreamingDataset] | None = None

    @cached_property
    def about(self) -> Values:
        """See `Pack.about`."""
        return read_layout(self.root, LitData.__name__, "litdata")

    @cached_property
    def rows(self) -> Rows:
        """See `Pack.rows`."""
        return read_rows(self.root)

    def read(self, place: int) -> UInt8[Tensor, "time 3 height width"]:
        """See `Pack.read`."""
        row = self.rows[place]
        try:
            sample = self._open()[place]
        except Exception as error:  # litdata and what it reads stores with have errors of their own
            raise ExportError(
                f"Expected the chunks of '{self.root}' to hold clip {row['key']} at place {place}, but reading it "
                f"failed: {type(error).__name__}: {error}. A chunk is missing or cut off: copy the export again."
            ) from error
        if sample["key"] != row["key"]:
            raise ExportError(
                f"Expected clip {row['key']} at place {place} of '{self.root}', got {sample['key']}: chunks and {ROWS} "
                "are of different exports. Copy the export again."
            )
        return decode_film(bytes(sample["film"]), row)

    def _open(self) -> "StreamingDataset":
        """The clips as litdata has them, opened once in each process: its threads do not survive a fork."""
        if self._clips is None or self._clips[0] != os.getpid():
            from litdata import StreamingDataset

            root = self.root if is_address(self.root) else str(Path(self.root).expanduser())
            clips = StreamingDataset(root, cache_dir=self.cache, max_cache_size=f"{self.cache_gb:g}GB")
            self._clips = (os.getpid(), clips)
        return self._clips[1]

    def __getstate__(self) -> dict[str, object]:
        """State without what is open: another process opens its own."""
        return {**self.__dict__, "_clips": None}
