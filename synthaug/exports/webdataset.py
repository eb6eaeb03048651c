"""WebDataset: tars, read from the front, from disks and object stores, with the files of a clip side by side."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from synthaug.exports import ClipFiles, Export, ExportError

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
        try:
            for files in clips:
                needed = sum(BLOCK + -(-path.stat().st_size // BLOCK) * BLOCK for path in _members(files).values())
                if tar is not None and size + needed > self.limit:
                    tar.close()
                    tar, number, size = None, number + 1, 0
                if tar is None:
                    tar = tarfile.open(train / f"train-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT)
                for name, path in _members(files).items():
                    _add(tar, name, path)
                size += needed
        finally:
            if tar is not None:
                tar.close()


def _members(files: ClipFiles) -> dict[str, Path]:
    """Files of a clip by their name in the tar: what follows its first dot names the field."""
    return {path.name: path for path in (files.row, files.film, files.mask, files.joints)}


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    about = tarfile.TarInfo(name)
    about.size, about.mode = os.path.getsize(path), 0o644
    tar.addfile(about, io.BytesIO(path.read_bytes()))
