"""Smaller copies of films for fast training: the same frames at the same seconds under the same names.

Between the films of a data set and `synthaug.datasets.indexing.scanning`, which makes many of them.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from synthaug.video import FILMED, VideoError, VideoInfo, filmed_size, frames_in_order, indices_at, probe, upright

SMALLEST = 32
"""Pixels; less is no picture."""
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".avi": "avi"}
"""By name, so that keys stay; other endings become Matroska, which every reader knows by its first bytes."""
_CRF = 20
"""x264's; below what is visible, for a copy is compressed twice."""
_TOLD = 0.25
"""Frames by which a copy's times may be off: half would show the neighbour."""


def shrunk_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Height and width of a copy: even, as H.264 wants them, the aspect kept within one pixel.

    Args:
        size: Height and width of the film.
        short_side: Of the copy, pixels.
    """
    scale = short_side / min(size)
    height, width = (2 * round(side * scale / 2) for side in size)
    return height, width


def shrink(source: Path, target: Path, *, info: VideoInfo, short_side: int, timed: bool = True) -> VideoInfo:
    """Write a smaller copy of a film, whole or not at all, and look into it.

    Every frame is there, at its own second, so that keys, intervals in seconds and the frames of skeletons hold for
    both. Upright, without sound, colours as tagged, a keyframe every 12 frames and no frame that waits for a later
    one: cheap to seek. Its `comment` says what size was filmed, since keypoints beside it count in that.

    Args:
        source: The film.
        target: Its copy; the ending decides the container. Missing folders are made.
        info: What the film holds.
        short_side: Pixels, even; the film's own is longer.
        timed: Whether each frame says when it is shown, later than the one before. Where not, the rate says it, as
            for `probe`.

    Returns:
        What the copy holds.

    Raises:
        VideoError: If the film breaks off, or its copy would not show the same frames at the same seconds.
    """
    aside = target.with_name(f".{target.stem}.unfinished{target.suffix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _encode(source, aside, info, short_side, timed)
        copy = probe(aside)
        _assert_alike(source, info, copy)
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)
    return copy


def _encode(source: Path, aside: Path, info: VideoInfo, short_side: int, timed: bool) -> None:
    height, width = shrunk_size((info.height, info.width), short_side)
    tall, wide = filmed_size(source, info)
    frames = itertools.islice(frames_in_order(source), info.num_frames)
    first = next(frames)
    base = first.time_base if timed and first.time_base else 1 / Fraction(info.fps).limit_denominator(100_000)
    container_name = _CONTAINERS.get(aside.suffix.lower(), "matroska")
    options = {"movflags": "use_metadata_tags+faststart"} if container_name in ("mp4", "mov") else {}
    with av.open(str(aside), "w", format=container_name, options=options) as container:
        container.metadata["comment"] = FILMED.format(width=wide, height=tall)
        stream = container.add_stream("libx264", rate=Fraction(info.fps).limit_denominator(100_000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(_CRF), "preset": "veryfast", "bf": "0"}
        context = stream.codec_context
        context.time_base, context.gop_size, context.thread_count = base, 12, 1
        _tag(stream, first)
        for index, frame in enumerate(itertools.chain([first], frames)):
            small = _smaller(frame, height, width)
            small.pts = _ticks(frame, first) if timed else index
            small.time_base = base
            container.mux(stream.encode(small))
        container.mux(stream.encode(None))


def _ticks(frame: av.VideoFrame, first: av.VideoFrame) -> int:
    assert frame.pts is not None and first.pts is not None, "whoever calls the film timed has looked"
    return frame.pts - first.pts


def _tag(stream: VideoStream, first: av.VideoFrame) -> None:
    """Say what the numbers mean, as the film does; what turns pictures upright goes through sRGB and says nothing."""
    if not first.rotation % 360:
        context = stream.codec_context
        context.colorspace, context.color_primaries = first.colorspace, first.color_primaries
        context.color_trc, context.color_range = first.color_trc, 1  # the ordinary range, which `_smaller` gives


def _smaller(frame: av.VideoFrame, height: int, width: int) -> av.VideoFrame:
    if frame.rotation % 360:
        frame = av.VideoFrame.from_ndarray(upright(frame), format="rgb24")
    return frame.reformat(
        width=width, height=height, format="yuv420p", interpolation=Interpolation.AREA, dst_color_range=1
    )


def _assert_alike(source: Path, info: VideoInfo, copy: VideoInfo) -> None:
    """Refuse a copy in which the same second shows another frame."""
    times = np.asarray(info.times) if info.times else np.arange(info.num_frames) / info.fps
    off = np.abs(np.subtract(indices_at(copy, _list(times)), np.arange(len(times)))).max()
    length = abs(copy.duration - info.duration) * info.fps
    if copy.num_frames != info.num_frames or off or length > _TOLD:
        raise VideoError(
            f"A smaller copy of {str(source)!r} would have {copy.num_frames} frames in {copy.duration:.3f} s, and the "
            f"film has {info.num_frames} in {info.duration:.3f} s. The same frames at the same seconds were wanted. "
            "Convert the film to mp4 with a constant rate first, or leave it out."
        )


def _list(times: np.ndarray) -> Sequence[float]:
    return [float(time) for time in times]


def link_rest(root: Path, to: Path, films: Sequence[Path]) -> int:
    """Link what else a data set's folder holds (tables, skeletons, sidecars) into the folder of its copies.

    A folder in which no film of the set lies is one link, so depth maps in their millions cost nothing.

    Args:
        root: The data set's folder.
        to: The copies' folder.
        films: The set's films below root.

    Returns:
        How many links were made that were not there.
    """
    taken = set(films)
    above = {parent for film in films for parent in film.parents}
    for folder in sorted(above):
        linked = to / folder.relative_to(root) if folder.is_relative_to(root) else to
        if (
            folder != root and linked.is_symlink()
        ):  # no film of the set lay in it then; written through, it is the set's
            linked.unlink()
    made = 0
    for path in _rest(root, taken, above):
        made += link(path, to / path.relative_to(root))
    return made


def _rest(folder: Path, taken: set[Path], above: set[Path]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path in above:
            yield from _rest(path, taken, above)
        elif path not in taken:
            yield path


def link(source: Path, target: Path) -> bool:
    """Put a link to a file or folder; returns whether there was none yet."""
    if target.is_symlink() or target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)
    return True
