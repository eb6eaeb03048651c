"""LitData: chunks that `litdata` streams from disks and object stores, in any order, to many machines."""

from collections.abc import Iterator
from pathlib import Path

from synthaug.exports import ClipFiles, Export, ExportError
from synthaug.exports.parts.clips import read_arrays, read_row

MISSING = "Install it: pip install 'synthaug[export]', or pip install litdata."


class LitData(Export):
    """Chunks `chunk-0-0.bin` and so on, with the `index.json` of `litdata`, which writes them.

    Args:
        megabytes: Largest size of a chunk, in units of 10^6 bytes; a single larger clip has a chunk of its own.

    Raises:
        ExportError: If the size is not above 0.
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
        self.limit = round(megabytes * 1e6)

    def lay_out(self, clips: Iterator[ClipFiles], folder: Path) -> None:
        """Write chunk after chunk; see `Export.lay_out`."""
        try:
            from litdata.streaming import Cache
        except ImportError as error:
            raise ExportError(f"Expected litdata, which writes its chunks, got none. {MISSING}") from error
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
