"""Read a folder of numbered pictures as a film: its numbers are the clock, at a rate that somebody states."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from synthaug.remote import fetch
from synthaug.video.info import LOST, FileKey, VideoError, VideoInfo
from synthaug.video.pictures import Frame
from synthaug.video.stills import decode_still, is_depth_map

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""Suffixes of pictures that are read."""
READER = "pictures"
"""`VideoInfo.reader` of a folder of numbered pictures."""
_NUMBERED = re.compile(r"(.*?)([0-9]+)")
_SERIES = 3
"""Numbered pictures from which a folder of them is taken for a film."""
_MOST_SPREAD = 10
"""Numbers for each picture, above which they count something else."""
_MAX_LOST = 0.1
"""Share of pictures that may be damaged; the rule of `probe` for film."""


@dataclass(frozen=True)
class Series:
    """Numbered pictures of one folder, by number.

    Attributes:
        files: The pictures.
        numbers: What their names say; they rise.
    """

    files: tuple[Path, ...]
    numbers: tuple[int, ...]

    @property
    def stride(self) -> int:
        """How many numbers lie between two pictures, where every n-th has a file; else 1."""
        steps = np.diff(np.array(self.numbers))
        common = int(np.gcd.reduce(steps))
        return common if common == steps.min() else 1


def parse_number(path: Path) -> tuple[str, int] | None:
    """What a picture's name has before its number, and the number; None if it ends in none."""
    match = _NUMBERED.fullmatch(path.stem) if path.suffix.lower() in PICTURES else None
    return None if match is None else (match[1], int(match[2]))


def is_series(path: Path) -> bool:
    """Whether a path is a folder of numbered pictures."""
    return path.is_dir() and sum(parse_number(file) is not None for file in path.iterdir()) >= _SERIES


def find_series(folder: Path) -> Series:
    """The numbered pictures of a folder, in their order; hidden files are left out.

    Raises:
        VideoError: If there are fewer than three, or names before the numbers differ, or two have one number.
    """
    found: dict[int, list[Path]] = {}
    names = set()
    for path in sorted(folder.iterdir()):
        parsed = None if path.name.startswith(".") else parse_number(path)
        if parsed is not None:
            names.add(parsed[0])
            found.setdefault(parsed[1], []).append(path)
    twice = next((files for _, files in sorted(found.items()) if len(files) > 1), None)
    if len(found) < _SERIES:
        raise VideoError(f"Expected a film, got the folder {str(folder)!r}. Name a file in it.")
    if len(names) > 1:
        raise VideoError(
            f"Expected the numbered pictures of {str(folder)!r} to be those of one film, got names that begin with "
            f"{', '.join(map(repr, sorted(names)[:3]))}. Put each film's pictures into a folder of their own."
        )
    if twice is not None:
        raise VideoError(
            f"Expected one picture of each number in {str(folder)!r}, got {twice[0].name} and {twice[1].name}. Move "
            "one kind into another folder."
        )
    numbers = tuple(sorted(found))
    return Series(tuple(found[number][0] for number in numbers), numbers)


def series_key(folder: Path) -> FileKey:
    """Path, bytes and latest time of change of a folder's numbered pictures.

    Raises:
        VideoError: As for `find_series`.
    """
    states = [file.stat() for file in find_series(folder).files]
    return (
        str(folder.absolute()),
        sum(state.st_size for state in states),
        max(state.st_mtime_ns for state in (*states, folder.stat())),
    )


def probe_series(folder: Path) -> VideoInfo:
    """Read every picture of a folder once. Times are numbers of pictures, as of a film of one number a second.

    A damaged picture counts as a frame; the one before it is shown in its place.

    Raises:
        VideoError: If more than a tenth cannot be read, the pictures are depth maps, or as for `find_series`.
    """
    series = find_series(folder)
    first, stride = series.numbers[0], series.stride
    spread = (series.numbers[-1] - first) / stride
    if spread > _MOST_SPREAD * len(series.numbers):
        raise VideoError(
            f"Expected the numbers of the pictures in {str(folder)!r} to count them, got {len(series.numbers)} "
            f"pictures over {spread:.0f} numbers, as of timestamps. Number the frames, or make a film of them."
        )
    lost, size = 0, None
    for file in series.files:
        fetch(file)
        picture = decode_still(file.read_bytes())
        lost += picture is None
        size = size or (None if picture is None else picture.shape[:2])
    if size is None or lost > max(1, _MAX_LOST * len(series.files)):
        raise VideoError(
            f"Expected {str(folder)!r} to hold the pictures of a film, got {lost} of {len(series.files)} that cannot "
            "be read. Copy or export them again, or leave the folder out."
        )
    if is_depth_map(series.files[0].read_bytes()):
        raise VideoError(
            f"Expected {str(folder)!r} to hold the pictures of a film, got depth maps: one channel of more than eight "
            "bits. Give the folder of the colour pictures, or move this one away."
        )
    steps = np.diff(np.array(series.numbers))
    even = bool((steps == stride).all())
    return VideoInfo(
        width=size[1],
        height=size[0],
        fps=1 / stride,
        num_frames=len(series.files),
        seek_ok=True,
        reader=READER,
        times=() if even else tuple(float(number - first) for number in series.numbers),
        start=float(first - (1 if first == 1 else 0)),
        notes={LOST: lost} if lost else {},
    )


def set_rate(info: VideoInfo, rate: float | int) -> VideoInfo:
    """A folder of pictures as a film of so many numbers a second; `info` is what `probe_series` found.

    Raises:
        VideoError: If the rate is not a number above 0.
    """
    if not 0 < rate < float("inf"):
        raise VideoError(f"Expected a rate above 0 for numbered pictures, got {rate}. Give for example fps=30.")
    times = tuple(round(time / rate, 6) for time in info.times)
    return replace(info, fps=info.fps * rate, times=times, start=round(info.start / rate, 6))


def read_series(folder: Path, indices: Sequence[int]) -> Iterator[tuple[int, Frame]]:
    """The pictures of these places, one by one; in place of a damaged one the nearest before it, or else after it.

    Raises:
        VideoError: If the pictures are gone.
    """
    files = find_series(folder).files
    for index in indices:
        for place in (*range(index, -1, -1), *range(index + 1, len(files))):
            if place < len(files):
                fetch(files[place])
            picture = decode_still(files[place].read_bytes()) if place < len(files) else None
            if picture is not None:
                yield index, picture
                break
