"""VideoFolder: a folder of films with a metadata file, which Hugging Face's `datasets` and its Hub open as they are."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from synthaug.exports import ClipFiles, Export
from synthaug.exports.parts.clips import read_arrays, read_row
from synthaug.structures import Plain, Values

PIXELS, METRES = 2, 4
"""Decimals of joints in the metadata: a hundredth of a pixel, a tenth of a millimetre. The arrays are exact."""


class VideoFolder(Export):
    """Films, masks and arrays as files, and one line of `train/metadata.jsonl` for each clip.

    The metadata have all columns, and the joints as nested lists, rounded. It is written without `datasets`.
    """

    manual = """With [datasets](https://huggingface.co/docs/datasets/video_load); decoding needs `torchcodec`:

```python
from datasets import load_dataset

clips = load_dataset("videofolder", data_dir="FOLDER", split="train")
clips[0]["video"], clips[0]["mask"], clips[0]["class_name"], clips[0]["joints_image"]
```

`video` and `mask` are films. `joints_world`, `joints_image` and `visible` are lists [person][frame][joint], rounded to
a tenth of a millimetre and a hundredth of a pixel; exact arrays are in `train/` at the path `arrays`: `numpy.load`."""

    def lay_out(self, clips: Iterator[ClipFiles], folder: Path) -> None:
        """Link, or copy, the files into `train/`, in 256 folders; see `Export.lay_out`."""
        train = folder / "train"
        train.mkdir()
        with open(train / "metadata.jsonl", "w", encoding="utf-8") as lines:
            for files in clips:
                place = Path("clips") / files.key[:2]
                (train / place).mkdir(parents=True, exist_ok=True)
                for path in (files.film, files.mask, files.joints):
                    _link(path, train / place / path.name)
                lines.write(json.dumps(_metadata(files, place), allow_nan=False) + "\n")


def _metadata(files: ClipFiles, place: Path) -> Values:
    """One line: `datasets` makes a column of films of every name that ends with file_name."""
    arrays = read_arrays(files.joints.read_bytes())
    return {
        "file_name": (place / files.film.name).as_posix(),
        "mask_file_name": (place / files.mask.name).as_posix(),
        "arrays": (place / files.joints.name).as_posix(),
        **read_row(files.row.read_text("utf-8")),
        "joints_world": _round(arrays["joints_world"], METRES),
        "joints_image": _round(arrays["joints_image"], PIXELS),
        "visible": arrays["visible"].tolist(),
    }


def _round(array: np.ndarray, decimals: int) -> Plain:
    return np.round(array.astype(np.float64), decimals).tolist()


def _link(path: Path, to: Path) -> None:
    try:
        os.link(path, to)
    except OSError:  # file systems without hard links
        shutil.copyfile(path, to)
