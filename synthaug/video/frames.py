"""Read frames by index, and clips by seconds."""

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.structures import Clip, Record
from synthaug.video.decoding import decode_or_none, open_video, read_with_decord
from synthaug.video.info import LOST, VideoError, VideoInfo
from synthaug.video.pictures import Frame, to_picture
from synthaug.video.probing import probe, stamp_of
from synthaug.video.series import READER, read_series

_ROUNDING = 1e-6  # of seconds and of frames: the rounding error of k / fps, far below one frame


def read_frames(
    path: Path | str,
    indices: Sequence[int],
    *,
    info: VideoInfo | None = None,
    size: tuple[int, int] | None = None,
) -> UInt8[Tensor, "time 3 height width"]:
    """Read the frames with these indices, in this order; every reader gives the same pixels.

    Args:
        path: The film.
        indices: Frames counted from 0, in any order; they may repeat.
        info: What `probe` returned; None probes the file.
        size: Height and width to fill, as `Camera.scaled` does: the aspect ratio is kept, and what exceeds the size is
            cropped. None keeps the film's own size.

    Returns:
        Frames in sRGB.

    Raises:
        VideoError: If the file cannot be read, or has no frame with one of these indices.
    """
    path = Path(path)
    info = info or probe(path)
    found = dict(_decode_some(path, sorted({int(index) for index in indices}), info, size))
    height, width = size or (info.height, info.width)
    video = np.empty((len(indices), 3, height, width), np.uint8)
    for row, index in enumerate(indices):
        video[row] = found[int(index)].transpose(2, 0, 1)
    return torch.from_numpy(video)


def stream_frames(
    path: Path | str,
    indices: Sequence[int],
    *,
    info: VideoInfo | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Yield the frames with these indices one by one, the pixels those of `read_frames`; the film is decoded once.

    Memory does not grow with the film. Repeated indices yield one array several times: do not write to it.

    Args:
        path: The film.
        indices: Frames counted from 0, none before the one that precedes it; they may repeat.
        info: What `probe` returned; None probes the file.
        size: Height and width to fill, as for `read_frames`.

    Raises:
        VideoError: If the file cannot be read, or has no frame with one of these indices.
        ValueError: If the indices go back.
    """
    path = Path(path)
    info = info or probe(path)
    wanted = [int(index) for index in indices]
    if wanted != sorted(wanted):
        raise ValueError("Expected indices in order, got some that go back. Sort them, or use read_frames.")
    counts = Counter(wanted)
    for index, picture in _decode_some(path, sorted(counts), info, size):
        for _ in range(counts[index]):
            yield picture


def _decode_some(
    path: Path, needed: Sequence[int], info: VideoInfo, size: tuple[int, int] | None
) -> Iterator[tuple[int, Frame]]:
    """Decode the frames with these indices, which are in order and do not repeat."""
    if not needed:
        return
    if needed[0] < 0 or needed[-1] >= info.num_frames:
        worst = needed[0] if needed[0] < 0 else needed[-1]
        raise VideoError(
            f"Expected frames 0 to {info.num_frames - 1} of {str(path)!r}, got {worst}. Choose them with `indices_at`, "
            "which stays inside the film."
        )
    done = 0
    for index, picture in _read(path, needed, info):
        done += 1
        yield index, fill_size(picture, size or (info.height, info.width))
    if done < len(needed):
        raise VideoError(
            f"Expected {info.num_frames} frames in {str(path)!r}, got none from frame {needed[done]} on: the file has "
            "changed, or breaks off. Copy it again, leave it out, or run `synthaug data scan`, which finds such films."
        )


def _read(path: Path, needed: Sequence[int], info: VideoInfo) -> Iterator[tuple[int, Frame]]:
    """Read frames with the reader that `probe` chose; with PyAV after a picture that decord cannot decode."""
    done = 0
    if info.reader == READER:
        yield from read_series(path, needed, info)
        return
    if info.reader == "decord":
        try:
            for pair in read_with_decord(path, needed, info.pixel_aspect):
                done += 1
                yield pair
            return
        except VideoError:
            pass  # PyAV goes on behind what cannot be decoded, and says so
    yield from _read_with_pyav(path, needed[done:], info)


def _read_with_pyav(path: Path, needed: Sequence[int], info: VideoInfo) -> Iterator[tuple[int, Frame]]:
    """Decode forwards from the first frame; yield the frames with these indices.

    In place of a picture that cannot be decoded, and that `probe` did not notice, the picture before it is given.
    """
    left = list(reversed(needed))
    before: av.VideoFrame | None = None
    for index, frame in _number_frames(path, info):
        while left and left[-1] < index:
            lost = left.pop()
            warnings.warn(
                f"Expected {info.num_frames} readable frames in {str(path)!r}, got one that is damaged, frame {lost}. "
                "The picture before it is shown in its place. Run `synthaug data scan` to count such pictures, or copy "
                "the film again.",
                stacklevel=2,
            )
            yield lost, to_picture(before or frame, pixel_aspect=info.pixel_aspect)
        if left and left[-1] == index:
            yield left.pop(), to_picture(frame, pixel_aspect=info.pixel_aspect)
        if not left:
            return
        before = frame


def _number_frames(path: Path, info: VideoInfo) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode frames with their indices: counted, but by their seconds behind damage that the count does not know."""
    count, first, damaged = 0, None, False
    with open_video(path) as (container, stream):
        for frame in decode_or_none(container, stream):
            if frame is None:
                damaged = not info.notes.get(LOST)
                continue
            stamp = stamp_of(frame)
            first = stamp if count == 0 else first
            if damaged and stamp is not None and first is not None:
                count = max(count, indices_at(info, [stamp - first])[0])
            yield count, frame
            count += 1


def fill_size(frame: Frame, size: tuple[int, int]) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """The frame in this height and width: most have it, but some films change their size on the way."""
    return frame if frame.shape[:2] == tuple(size) else resize_frame(frame, size)


def resize_frame(frame: Frame, size: tuple[int, int]) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """Resize a picture to fill another size, as `Camera.scaled` does: keep aspect ratio and centre, crop the rest.

    Shrinking averages over each pixel's area, so that fine stripes do not turn into moire; enlarging interpolates.
    Sides are rounded to the parity of the target, which keeps the centre exact and the edges within half a pixel.

    Args:
        frame: The picture.
        size: Height and width to fill.
    """
    height, width = size
    old_height, old_width = frame.shape[:2]
    if (old_height, old_width) == (height, width):
        return frame
    scale = max(height / old_height, width / old_width)
    tall, wide = _round_side(old_height * scale, height), _round_side(old_width * scale, width)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    whole = cv2.resize(frame, (wide, tall), interpolation=method)
    top, left = (tall - height) // 2, (wide - width) // 2
    return np.asarray(whole[top : top + height, left : left + width])


def _round_side(length: float, target: int) -> int:
    """The nearest length with the parity of the target, at least the target."""
    return target + 2 * max(0, round((length - target) / 2))


def clip_times(
    start: float, end: float, *, offset: float, fps: float, num_frames: int
) -> tuple[tuple[float, ...], int]:
    """The seconds of a clip's frames in the file, and how many of them repeat earlier ones.

    If the interval is shorter than the clip, it is looped.

    Args:
        start: Start of the interval in seconds.
        end: End of the interval in seconds; all frames are before it.
        offset: Seconds from `start` to the first frame, less than the interval's length.
        fps: Frames per second of the clip.
        num_frames: Number of frames of the clip.

    Returns:
        Seconds into the file, one for each frame, and the number of looped frames.

    Raises:
        ValueError: If the interval is empty, the offset lies outside it, or the clip has no rate or no frames.
    """
    length = end - start
    if not length > 0 or not 0 <= offset < length:
        raise ValueError(
            f"Expected an offset inside an interval that ends after it starts, got {offset} s into {start} to {end} s. "
            "Correct the interval, or choose a smaller offset."
        )
    if not fps > 0 or num_frames < 1:
        raise ValueError(
            f"Expected a positive rate and length of a clip, got {num_frames} frames at {fps} fps. Correct clip.fps or "
            "clip.num_frames."
        )
    seconds = [offset + k / fps for k in range(num_frames)]
    rounds = [math.floor((second + _ROUNDING) / length) for second in seconds]
    times = tuple(start + max(0.0, second - lap * length) for second, lap in zip(seconds, rounds, strict=True))
    return times, sum(lap > 0 for lap in rounds)


def indices_at(info: VideoInfo, times: Sequence[float]) -> list[int]:
    """The indices of the frames that are nearest to these seconds, always inside the film.

    Of two equally near frames it takes the earlier, so a film of half the rate shows each frame exactly twice.

    Args:
        info: What `probe` returned.
        times: Seconds since the first frame.
    """
    seconds = np.asarray(times, dtype=np.float64)
    if info.times:
        middles = (np.asarray(info.times[1:]) + np.asarray(info.times[:-1])) / 2
        chosen = np.searchsorted(middles, seconds - _ROUNDING, side="left")
    else:
        chosen = np.ceil(seconds * info.fps - 0.5 - _ROUNDING).astype(np.int64)
    return [int(index) for index in np.clip(chosen, 0, info.num_frames - 1)]


def read_clip(
    record: Record,
    *,
    offset: float,
    fps: float,
    num_frames: int,
    size: tuple[int, int] | None = None,
    held: Mapping[Path, UInt8[Tensor, "time 3 height width"]] | None = None,
) -> Clip:
    """Read a clip from `offset` seconds into a record's interval; an interval that is too short is looped.

    Args:
        record: The record.
        offset: Seconds from the interval's start to the first frame, less than its length.
        fps: Frames per second of the clip.
        num_frames: Number of frames of the clip.
        size: Height and width to fill; None keeps the film's own size.
        held: Whole films of that size in memory, by path; other films are read from their files.

    Raises:
        VideoError: If the file cannot be read.
        ValueError: If the offset is outside the interval.
    """
    info = probe(record.path)
    times, looped = clip_times(record.start, record.end, offset=offset, fps=fps, num_frames=num_frames)
    indices, film = indices_at(info, times), (held or {}).get(record.path)
    video = read_frames(record.path, indices, info=info, size=size) if film is None else film[indices]
    return Clip(
        key=record.key,
        video=video,
        fps=fps,
        label=record.label,
        subject=record.subject,
        camera=record.camera,
        looped=looped,
    )
