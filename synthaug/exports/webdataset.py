"""WebDataset: tars, read from the front, from disks and object stores, with the files of a clip side by side."""

import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from torch import Tensor

from synthaug.exports import ROWS, ClipFiles, Export, ExportError, Pack
from synthaug.exports.parts.clips import decode_film
from synthaug.exports.parts.rows import Rows, read_file, read_layout, read_rows
from synthaug.files import write_atomic
from synthaug.structures import Values

INDEX = "films.json"
"""Where the film of each clip lies: the tars, and for each clip its tar, first byte and bytes. Only `WebDatasetPack`
reads it."""
BLOCK = 512
"""Bytes: what a tar puts before each member, and fills it up to."""


class WebDataset(Export):
    """Tars `train/train-000000.tar` and so on; written without `webdataset`, to the same bytes for the same clips.

    Args:
        megabytes: Largest size of a tar, in units of 10^6 bytes; a single larger clip has a tar of its own.

    Raises:
        ExportError: If the size is not above 0.
    """

    manual = """With [webdataset](https://github.com/webdataset/webdataset), from a disk or an address:

```python
import io, json, numpy, webdataset

clips = webdataset.WebDataset("FOLDER/train/train-{000000..LAST}.tar", shardshuffle=False)
for clip in clips:
    film, mask, columns = clip["mp4"], clip["mask.mp4"], json.loads(clip["json"])
    arrays = numpy.load(io.BytesIO(clip["joints.npz"]))
```

Or with `datasets`: `load_dataset("webdataset", data_dir="FOLDER")`. `mp4` and `mask.mp4` are the bytes of films. Clips
lie in an order as good as random."""

    def __init__(self, megabytes: float = 1000.0) -> None:
        if not megabytes > 0:
            raise ExportError(f"Expected tars of more than 0 megabytes, got {megabytes:g}. Give more.")
        self.limit = round(megabytes * 1e6)

    def lay_out(self, clips: Iterator[ClipFiles], folder: Path) -> None:
        """Write tar after tar; see `Export.lay_out`."""
        train = folder / "train"
        train.mkdir()
        number, tar, size = 0, None, 0
        names: list[str] = []
        films: list[tuple[int, int, int]] = []
        try:
            for files in clips:
                needed = sum(BLOCK + -(-path.stat().st_size // BLOCK) * BLOCK for path in _members(files).values())
                if tar is not None and size + needed > self.limit:
                    tar.close()
                    tar, number, size = None, number + 1, 0
                if tar is None:
                    names.append(f"train/train-{number:06d}.tar")
                    tar = tarfile.open(folder / names[-1], "w", format=tarfile.USTAR_FORMAT)
                for name, path in _members(files).items():
                    if path == files.film:
                        films.append((number, tar.offset + BLOCK, path.stat().st_size))
                    _add(tar, name, path)
                size += needed
        finally:
            if tar is not None:
                tar.close()
        write_atomic(folder / INDEX, json.dumps({"tars": names, "films": films}).encode())


class WebDatasetPack(Pack):
    """Clips of `synthaug export --to webdataset`, read one by one in any order from a disk or an object store.

    Of a tar at an address only the films that are asked for are fetched, each by one request.

    Args:
        root: The folder, or its address, such as s3://bucket/clips.

    Raises:
        ExportError: If it is no whole export.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    @cached_property
    def about(self) -> Values:
        """See `Pack.about`."""
        return read_layout(self.root, WebDataset.__name__, "webdataset")

    @cached_property
    def rows(self) -> Rows:
        """See `Pack.rows`."""
        return read_rows(self.root)

    def read(self, place: int) -> UInt8[Tensor, "time 3 height width"]:
        """See `Pack.read`."""
        tars, films = self._films
        row = self.rows[place]
        tar, start, size = films[place].tolist()
        content = read_file(self.root, tars[tar], start=start - BLOCK, size=BLOCK + size)
        name = content[:100].rstrip(b"\0").decode("ascii", "replace")
        if name != f"{row['key']}.mp4":
            raise ExportError(
                f"Expected the film of clip {row['key']} in {tars[tar]} of '{self.root}', got {name!r}: tars, {ROWS} "
                f"and {INDEX} are of different exports. Copy the export again."
            )
        return decode_film(content[BLOCK:], row)

    @cached_property
    def _films(self) -> "tuple[Sequence[str], Int[np.ndarray, 'clip 3']]":
        """Names of the tars; and each clip's tar, first byte and bytes."""
        try:
            found = json.loads(read_file(self.root, INDEX))
            tars, films = [str(name) for name in found["tars"]], np.array(found["films"], np.int64).reshape(-1, 3)
        except (ValueError, KeyError, TypeError) as error:
            raise ExportError(
                f"Expected '{self.root}' to say in {INDEX} where its films lie, but {error}. Older exports lack it: "
                "export again."
            ) from error
        if len(films) != len(self.rows) or (len(films) and films[:, 0].max() >= len(tars)):
            raise ExportError(
                f"Expected {INDEX} of '{self.root}' to name {len(self.rows)} films, got {len(films)} in {len(tars)} "
                "tars. Copy the export again."
            )
        return tars, films


def _members(files: ClipFiles) -> dict[str, Path]:
    """Files of a clip by their name in the tar: what follows its first dot names the field."""
    return {path.name: path for path in (files.row, files.film, files.mask, files.joints)}


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    about = tarfile.TarInfo(name)
    about.size, about.mode = os.path.getsize(path), 0o644
    tar.addfile(about, io.BytesIO(path.read_bytes()))
