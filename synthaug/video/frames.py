"""Exactly the frames that are wanted, and the frames that a clip's seconds want."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.structures import Clip, Record
from synthaug.video.decoding import Frame, VideoError, by_decord, by_pyav
from synthaug.video.probing import VideoInfo, probe

_TICK = 1e-6  # seconds and frames: float noise of k / fps, far below any frame


def read_frames(
    path: Path | str,
    indices: Sequence[int],
    *,
    info: VideoInfo | None = None,
    size: tuple[int, int] | None = None,
) -> UInt8[Tensor, "time 3 height width"]:
    """Exactly these frames, in this order, whichever reader serves the file.

    Args:
        path: The film.
        indices: Frames counted from 0; they may repeat and need no order.
        info: What `probe` said; asked again where None.
        size: Height and width to fill, as `Camera.scaled` does: nothing is stretched, what sticks out is cut.
            None keeps the film's own.

    Raises:
        VideoError: If the file cannot be read, or ends before a wanted frame.
    """
    path = Path(path)
    info = info or probe(path)
    wanted = sorted({int(index) for index in indices})
    if wanted and (wanted[0] < 0 or wanted[-1] >= info.num_frames):
        worst = wanted[0] if wanted[0] < 0 else wanted[-1]
        raise VideoError(
            f"Frame {worst} of {str(path)!r} was asked for, which has {info.num_frames} frames. Indices from 0 to "
            f"{info.num_frames - 1} were wanted. Take them from `indices_at`, which stays inside."
        )
    pictures = (by_decord if info.reader == "decord" else by_pyav)(path, wanted) if wanted else iter(())
    found = {index: picture if size is None else resized(picture, size) for index, picture in pictures}
    missing = [index for index in wanted if index not in found]
    if missing:
        raise VideoError(
            f"{str(path)!r} ends before frame {missing[0]}, and {info.num_frames} frames were expected. Has the file "
            "changed, or is it broken in the middle? Copy it again, or leave it out."
        )
    height, width = size or (info.height, info.width)
    video = np.empty((len(indices), 3, height, width), np.uint8)
    for row, index in enumerate(indices):
        video[row] = found[int(index)].transpose(2, 0, 1)
    return torch.from_numpy(video)


def resized(frame: Frame, size: tuple[int, int]) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """The picture filled into another size, as `Camera.scaled` fills it: aspect kept, centre kept, the rest cut.

    Smaller by the mean over each pixel's area, so that fine stripes do not turn into moire; larger by interpolation.
    Sides are rounded to the parity of the target, which keeps the centre exact and edges within half a pixel.
    """
    height, width = size
    old_height, old_width = frame.shape[:2]
    if (old_height, old_width) == (height, width):
        return frame
    scale = max(height / old_height, width / old_width)
    tall, wide = _side(old_height * scale, height), _side(old_width * scale, width)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    whole = cv2.resize(frame, (wide, tall), interpolation=method)
    top, left = (tall - height) // 2, (wide - width) // 2
    return np.asarray(whole[top : top + height, left : left + width])


def _side(length: float, target: int) -> int:
    """The length of the target's parity that is nearest, never below the target."""
    return target + 2 * max(0, round((length - target) / 2))


def clip_times(
    start: float, end: float, *, offset: float, fps: float, num_frames: int
) -> tuple[tuple[float, ...], int]:
    """Seconds into the file at which a clip's frames lie, and how many of them repeat earlier film.

    Where the interval ends before the clip does, the clip goes on from the interval's start, again and again.

    Args:
        start: Of the interval, seconds.
        end: Of the interval, seconds; frames lie before it.
        offset: Seconds from `start` to the first frame, within the interval.
        fps: Of the clip.
        num_frames: Of the clip.

    Raises:
        ValueError: If the interval is empty, the offset lies outside it, or the clip has no rate or no frames.
    """
    length = end - start
    if not length > 0 or not 0 <= offset < length:
        raise ValueError(
            f"A clip from {offset} s into the interval {start} to {end} s was asked for. An interval that ends after "
            "it starts, and an offset inside it, were wanted. Correct the row, or draw offsets below its length."
        )
    if not fps > 0 or num_frames < 1:
        raise ValueError(f"A clip of {num_frames} frames at {fps} a second was asked for; both must be positive.")
    seconds = [offset + k / fps for k in range(num_frames)]
    rounds = [math.floor((second + _TICK) / length) for second in seconds]
    times = tuple(start + max(0.0, second - lap * length) for second, lap in zip(seconds, rounds, strict=True))
    return times, sum(lap > 0 for lap in rounds)


def indices_at(info: VideoInfo, times: Sequence[float]) -> list[int]:
    """The frame nearest to each of these seconds; of two equally near the earlier, and never one outside the film.

    Halves go down, so that film of half the rate shows each frame exactly twice.
    """
    asked = np.asarray(times, dtype=np.float64)
    if info.times:
        middles = (np.asarray(info.times[1:]) + np.asarray(info.times[:-1])) / 2
        chosen = np.searchsorted(middles, asked - _TICK, side="left")
    else:
        chosen = np.ceil(asked * info.fps - 0.5 - _TICK).astype(np.int64)
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
    """A record's film from `offset` seconds into its interval, at this rate, looped where it is too short.

    Args:
        record: What to read.
        offset: Seconds from the interval's start, below its length.
        fps: Frames per second of the clip.
        num_frames: Length of the clip.
        size: Height and width to fill; None keeps the film's own.
        held: Whole films at that size, as `holding.held` keeps them; others are read.

    Raises:
        VideoError: If the file cannot be read.
        ValueError: If the offset lies outside the interval.
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
