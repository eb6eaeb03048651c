"""Pictures from a folder, cropped at random."""

import hashlib
from pathlib import Path
from typing import final

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from synthaug.backgrounds import Background, Outline
from synthaug.structures import Camera, Scene, Values

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""File endings of pictures, in either case."""
KEPT_BYTES = 16 * 2**20
"""Memory for decoded pictures in each process: about a hundred at 112 px."""


@final
class Images(Background):
    """Pictures from a folder and the folders in it, cropped at random, never stretched.

    Every file is opened once at construction; what cannot be read is left out and counted in `quarantine`.

    Args:
        root: The folder.
        zoom: Largest magnification beyond the crop that just fills the frame.
    """

    def __init__(self, root: str | Path, zoom: float | int = 1.5) -> None:
        if zoom < 1:
            raise ValueError(f"Expected zoom to be 1 or more, got {zoom}. zoom=1 shows as much of a picture as fits.")
        self.root = Path(root).expanduser()
        self.zoom = float(zoom)
        self.quarantine: dict[str, str] = {}
        self._kept: dict[tuple[str, int, int], np.ndarray] = {}
        found = self._list_files()
        self.files = [name for name in found if self._check_readable(name)]
        if not self.files:
            raise FileNotFoundError(
                f"Expected root='{self.root}' to hold a readable picture, got {len(found)} that cannot be read "
                f"({next(iter(self.quarantine.items()))}). Copy them again."
            )
        # Sizes and not contents: a cache key must not cost reading gigabytes.
        listing = repr([(name, (self.root / name).stat().st_size) for name in self.files])
        self._fingerprint = f"images/{hashlib.blake2b(listing.encode(), digest_size=16).hexdigest()}"

    @property
    def fingerprint(self) -> str:
        """Changes with the names and sizes of the files."""
        return self._fingerprint

    def sample(self, rng: np.random.Generator) -> Values:
        """A file, and size and place of the crop: zoom, and x and y from 0 (left, top) to 1 (right, bottom)."""
        name = self.files[int(rng.integers(len(self.files)))]
        x, y = rng.uniform(size=2)
        return {"file": name, "zoom": float(rng.uniform(1, self.zoom)), "x": float(x), "y": float(y)}

    def outline(self, values: Values, camera: Camera) -> Outline:
        """A picture without depth hides nobody."""
        return Outline()

    def scene(self, values: Values, camera: Camera) -> Scene:
        """The sampled crop, in every frame.

        Raises:
            FileNotFoundError: If the file is missing or broken.
        """
        picture = self._picture(str(values["file"]), camera.height, camera.width)
        zoom, x, y = (float(values[name]) for name in ("zoom", "x", "y"))  # type: ignore[arg-type]
        part = crop(picture, camera.height, camera.width, place=(zoom, x, y))
        frame = torch.from_numpy(np.ascontiguousarray(part[:, :, ::-1].transpose(2, 0, 1)))
        return Scene(frames=frame[None].repeat(len(camera.viewmats), 1, 1, 1))

    def _picture(self, name: str, height: int, width: int) -> UInt8[np.ndarray, "rows columns 3"]:
        """The picture, no larger than frames of this size can show, kept for the next time.

        Decoding a photograph takes longer than rendering a clip.
        """
        kept = self._kept.get((name, height, width))
        if kept is not None:
            return kept
        picture = cv2.imread(str(self.root / name), cv2.IMREAD_COLOR)
        if picture is None:
            raise FileNotFoundError(
                f"Expected the recipe's picture '{name}' in root='{self.root}', got none that can be read. "
                "Bring back the folder that the recipes were sampled from, or sample new recipes."
            )
        rows, columns = picture.shape[:2]
        scale = self.zoom * max(height / rows, width / columns)
        if scale < 1:
            size = (max(round(columns * scale), 1), max(round(rows * scale), 1))
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
        while self._kept and sum(one.nbytes for one in self._kept.values()) + picture.nbytes > KEPT_BYTES:
            self._kept.pop(next(iter(self._kept)))
        self._kept[name, height, width] = picture
        return picture

    def _list_files(self) -> list[str]:
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"No such folder: root='{self.root}'. Set synth.background.root to a folder with files ending in "
                f"{', '.join(SUFFIXES)}, or choose synth/background=rooms."
            )
        paths = (path for path in self.root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        found = sorted(path.relative_to(self.root).as_posix() for path in paths)
        if not found:
            raise FileNotFoundError(
                f"Expected root='{self.root}' to hold files ending in {', '.join(SUFFIXES)}, got none. "
                "Set synth.background.root, or choose synth/background=rooms."
            )
        return found

    def _check_readable(self, name: str) -> bool:
        path = self.root / name
        if path.stat().st_size == 0:
            self.quarantine[name] = "empty file"
        # An eighth of the size is a fraction of the work for JPEG, and still meets a broken header or body.
        elif cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_8) is None:
            self.quarantine[name] = "not readable as a picture"
        return name not in self.quarantine


def crop(
    picture: UInt8[np.ndarray, "rows columns 3"], height: int, width: int, *, place: tuple[float, float, float]
) -> UInt8[np.ndarray, "height width 3"]:
    """A part of a picture with the frame's aspect, resized to the frame.

    Args:
        picture: The picture, of any size.
        height: Height of the frame.
        width: Width of the frame.
        place: Magnification beyond the largest part that fits, and where the part lies between the picture's edges:
            0 at the left or top, 1 at the right or bottom.
    """
    zoom, x, y = place
    rows, columns = picture.shape[:2]
    scale = min(rows / height, columns / width) / zoom
    part_rows, part_columns = (
        max(min(round(side * scale), full), 1) for side, full in ((height, rows), (width, columns))
    )
    top, left = round(y * (rows - part_rows)), round(x * (columns - part_columns))
    part = picture[top : top + part_rows, left : left + part_columns]
    taps = cv2.INTER_AREA if part_rows > height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (width, height), interpolation=taps))
