"""Read a folder of numbered pictures as a film: its numbers are the clock, at a rate that somebody states."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from synthaug.files import state_of_files
from synthaug.remote import RemoteError, open_fetched
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
    """Path and bytes of a folder's numbered pictures, and a number made of all their names, sizes and times of change.

    The folder's own time of change would not do: it changes whenever a picture is fetched from a store, or dropped.

    Raises:
        VideoError: As for `find_series`.
    """
    size, number = state_of_files(find_series(folder).files).split(":")
    return str(folder.absolute()), int(size), int(number)


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
    sizes = _count_sizes(series)
    lost = len(series.files) - sizes.total()
    if not sizes or lost > _most_lost(len(series.files)):
        raise VideoError(
            f"Expected {str(folder)!r} to hold the pictures of a film, got {lost} of {len(series.files)} that cannot "
            "be read. Copy or export them again, or leave the folder out."
        )
    height, width = sizes.most_common(1)[0][0]
    steps = np.diff(np.array(series.numbers))
    even = bool((steps == stride).all())
    return VideoInfo(
        width=width,
        height=height,
        fps=1 / stride,
        num_frames=len(series.files),
        seek_ok=True,
        reader=READER,
        times=() if even else tuple(float(number - first) for number in series.numbers),
        start=float(first - (1 if first == 1 else 0)),
        notes={LOST: lost} if lost else {},
        first_number=first,
        stride=stride,
    )


def _count_sizes(series: Series) -> "Counter[tuple[int, int]]":
    """How many of the pictures that can be read have each height and width; the others are lost.

    The size of most is the film's, whichever comes first: a thumbnail may have a number too.

    Raises:
        VideoError: If the first that can be read is a depth map.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    for file in series.files:
        content = _read_bytes(file)
        if (picture := decode_still(content)) is None:
            continue
        if not sizes and is_depth_map(content):
            raise VideoError(
                f"Expected {str(file.parent)!r} to hold the pictures of a film, got depth maps: one channel of more "
                "than eight bits. Give the folder of the colour pictures, or move this one away."
            )
        sizes[picture.shape[0], picture.shape[1]] += 1
    return sizes


def set_rate(info: VideoInfo, rate: float | int) -> VideoInfo:
    """A folder of pictures as a film of so many numbers a second; `info` is what `probe_series` found.

    Raises:
        VideoError: If the rate is not a number above 0.
    """
    if not 0 < rate < float("inf"):
        raise VideoError(f"Expected a rate above 0 for numbered pictures, got {rate}. Give for example fps=30.")
    times = tuple(round(time / rate, 6) for time in info.times)
    return replace(info, fps=info.fps * rate, times=times, start=round(info.start / rate, 6))


def read_series(folder: Path, indices: Sequence[int], info: VideoInfo) -> Iterator[tuple[int, Frame]]:
    """The pictures of these places, one by one; in place of a damaged one the nearest before it, or else after it.

    Pictures are found by their numbers, so one that was deleted since the folder was probed moves no other. It is
    replaced like a damaged one, with a warning.

    Args:
        folder: The folder.
        indices: Places, in any order.
        info: What the folder held when it was probed.

    Raises:
        VideoError: If more than a tenth of the pictures are gone, or so many around one of the places are damaged.
    """
    numbers = _list_numbers(info)
    series = find_series(folder)
    left = dict(zip(series.numbers, series.files, strict=True))
    gone, most = [number for number in numbers if number not in left], _most_lost(len(numbers))
    if len(gone) > most:
        raise VideoError(_told_of_change(folder, f"{len(gone)} of {len(numbers)} that are gone"))
    for index in indices:
        near = (*range(index, max(-1, index - most - 1), -1), *range(index + 1, min(len(numbers), index + most + 1)))
        for place in near:
            picture = decode_still(_read_bytes(left[numbers[place]])) if numbers[place] in left else None
            if picture is not None:
                if place != index and (numbers[index] in gone or not info.notes.get(LOST)):
                    _warn_of_loss(folder, numbers[index], numbers[place])
                yield index, picture
                break
        else:
            raise VideoError(_told_of_change(folder, f"none that can be read around number {numbers[index]}"))


def _list_numbers(info: VideoInfo) -> list[int]:
    """The numbers of a folder's pictures when it was probed."""
    if not info.times:
        return [info.first_number + info.stride * place for place in range(info.num_frames)]
    rate = info.fps * info.stride  # numbers a second
    return [info.first_number + round(time * rate) for time in info.times]


def _most_lost(count: int) -> int:
    """Pictures of so many that may be lost."""
    return int(max(1, _MAX_LOST * count))


def _read_bytes(file: Path) -> bytes:
    """The content of a picture; nothing if it was deleted meanwhile or cannot be opened.

    Raises:
        VideoError: If it is in a store from which it cannot be fetched.
    """
    try:
        with open_fetched(file) as content:
            return content.read()
    except RemoteError as error:
        raise VideoError(str(error)) from error
    except OSError:
        return b""


def _warn_of_loss(folder: Path, lost: int, shown: int) -> None:
    warnings.warn(
        f"Expected a readable picture of number {lost} in {str(folder)!r}, got one that was deleted or damaged since "
        f"the folder was probed. Number {shown} is shown in its place. Copy the picture again, or run `synthaug data "
        "scan` to count such pictures.",
        stacklevel=3,
    )


def _told_of_change(folder: Path, what: str) -> str:
    return (
        f"Expected {str(folder)!r} to hold the pictures that it had when it was probed, got {what}. Copy or export "
        "them again, and start again."
    )
