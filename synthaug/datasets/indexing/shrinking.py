"""Make smaller copies of films for fast training: the same frames at the same seconds under the same names."""

import itertools
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from synthaug.video import (
    FILMED,
    PICTURE_FROM,
    VideoError,
    VideoInfo,
    fill_size,
    filmed_size,
    frames_in_order,
    indices_at,
    is_plain,
    probe,
    to_picture,
)

MIN_SHORT_SIDE = 32
"""Pixels; nothing can be recognised in less."""
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".avi": "avi"}
"""Container by suffix. Copies keep their suffix, so that keys stay the same; readers recognise the container by its
first bytes, so other suffixes hold Matroska."""
_FINE = Fraction(1, 90_000)
"""Seconds; the unit of a copy's times where the film has none of its own. MPEG's."""
_CRF = 20
"""x264's constant rate factor. A copy is compressed twice, so its loss must stay below what is visible."""
_MAX_TIME_ERROR = 0.25
"""Frames by which a copy's duration may differ; half a frame would show the neighbour."""


def shrunk_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Height and width of a copy: even, as H.264 requires; the aspect ratio is kept within one pixel.

    Args:
        size: Height and width of the film.
        short_side: Short side of the copy in pixels.
    """
    scale = short_side / min(size)
    height, width = (2 * round(side * scale / 2) for side in size)
    return height, width


def shrink(source: Path, target: Path, *, info: VideoInfo, short_side: int, timed: bool = True) -> VideoInfo:
    """Write a smaller copy of a film atomically, and probe it.

    The copy has every frame at its own second, so keys, intervals in seconds and skeleton frames are valid for both.
    It is upright and has no sound; its colours are tagged as the film's. A keyframe every 12 frames and no B-frames
    make seeking cheap. Its `comment` tag states the size of the original, in whose pixels keypoints are measured.

    Args:
        source: The film.
        target: Its copy; the suffix decides the container. Missing folders are made.
        info: What the film holds.
        short_side: Short side of the copy in pixels; even, and shorter than the film's.
        timed: Whether each frame has a timestamp later than the one before. If not, `info` gives the times.

    Returns:
        What the copy holds.

    Raises:
        VideoError: If the film breaks off, or the copy would not show the same frames at the same seconds.
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
    readable = (frame for frame in frames_in_order(source) if frame is not None)
    frames = itertools.islice(readable, info.num_frames)
    first = next(frames)
    stored = first.width, first.height
    rate = Fraction(info.fps).limit_denominator(100_000)
    base = first.time_base if timed and first.time_base else _FINE if info.times else 1 / rate
    container_name = _CONTAINERS.get(aside.suffix.lower(), "matroska")
    options = {"movflags": "use_metadata_tags+faststart"} if container_name in ("mp4", "mov") else {}
    with av.open(str(aside), "w", format=container_name, options=options) as container:
        late = PICTURE_FROM.format(seconds=info.start) if info.start else ""
        container.metadata["comment"] = FILMED.format(width=wide, height=tall) + late
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(_CRF), "preset": "veryfast", "bf": "0"}
        context = stream.codec_context
        context.time_base, context.gop_size, context.thread_count = base, 12, 1
        _tag_colours(stream, first)
        for index, frame in enumerate(itertools.chain([first], frames)):
            small = _scale_frame(frame, (height, width), info, alike=(frame.width, frame.height) == stored)
            small.pts = _ticks_since(frame, first) if timed else _ticks_of(index, info)
            small.time_base = base
            container.mux(stream.encode(small))
        container.mux(stream.encode(None))


def _ticks_since(frame: av.VideoFrame, first: av.VideoFrame) -> int:
    assert frame.pts is not None and first.pts is not None, "the caller says that every frame has a timestamp"
    return frame.pts - first.pts


def _ticks_of(index: int, info: VideoInfo) -> int:
    """A frame's time where the film's own timestamps are not believed: in `_FINE`, or in frames of a constant rate."""
    return round(info.times[index] / _FINE) if info.times else index


def _tag_colours(stream: VideoStream, first: av.VideoFrame) -> None:
    """Tag the colours as the film does; frames that were turned, or are of HDR film, went through sRGB: no tag."""
    if is_plain(first):
        context = stream.codec_context
        context.colorspace, context.color_primaries = first.colorspace, first.color_primaries
        context.color_trc, context.color_range = first.color_trc, 1  # limited range, as `_scale_frame` converts to


def _scale_frame(frame: av.VideoFrame, size: tuple[int, int], info: VideoInfo, *, alike: bool) -> av.VideoFrame:
    """A frame in the copy's height and width; one that is not stored `alike` fills them as `read_frames` has it do."""
    if not alike or not is_plain(frame):
        picture = fill_size(to_picture(frame, pixel_aspect=info.pixel_aspect), (info.height, info.width))
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    height, width = size
    return frame.reformat(
        width=width, height=height, format="yuv420p", interpolation=Interpolation.AREA, dst_color_range=1
    )


def _assert_alike(source: Path, info: VideoInfo, copy: VideoInfo) -> None:
    """Refuse a copy that shows another frame at the same second."""
    times = np.asarray(info.times) if info.times else np.arange(info.num_frames) / info.fps
    off = np.abs(np.subtract(indices_at(copy, times.tolist()), np.arange(len(times)))).max()
    length = abs(copy.duration - info.duration) * info.fps
    if copy.num_frames != info.num_frames or off or length > _MAX_TIME_ERROR:
        raise VideoError(
            f"Expected a copy of {str(source)!r} with the same {info.num_frames} frames in {info.duration:.3f} s, got "
            f"{copy.num_frames} frames in {copy.duration:.3f} s. Convert the film to mp4 with a constant frame rate "
            "first, or leave it out."
        )


def link_rest(root: Path, to: Path, films: Sequence[Path]) -> int:
    """Link the other files of a data set (tables, skeletons, sidecars) into the folder of its copies.

    A folder without films of the data set becomes one link, so millions of depth maps cost nothing.

    Args:
        root: Folder of the data set.
        to: Folder of the copies.
        films: The films of the data set, below root.

    Returns:
        The number of new links.
    """
    copied = set(films)
    above = {parent for film in films for parent in film.parents}
    for folder in sorted(above):
        linked = to / folder.relative_to(root) if folder.is_relative_to(root) else to
        # The folder held no film when it was linked. Copies written through the link would replace the originals.
        if folder != root and linked.is_symlink():
            linked.unlink()
    made = 0
    for path in _other_files(root, copied, above):
        made += link(path, to / path.relative_to(root))
    return made


def _other_files(folder: Path, copied: set[Path], above: set[Path]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path in above:
            yield from _other_files(path, copied, above)
        elif path not in copied and not _leads_back(path):
            yield path


def _leads_back(path: Path) -> bool:
    """Whether a path is a link to a folder that it lies in, through which copies would lead to the originals."""
    return path.is_symlink() and path.resolve() in {parent.resolve() for parent in path.parents}


def link(source: Path, target: Path) -> bool:
    """Make a link to a file or folder unless the target exists; return whether it was made."""
    if target.is_symlink() or target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)
    return True
