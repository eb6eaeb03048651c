"""Film in and out of files: what a file holds, its exact frames, and clips written with their lineage.

Used by data sets, backgrounds and motions; readers are opened for one call and never kept, so nothing crosses a fork.
"""

import importlib.util
import math
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import cv2
import numpy as np
import torch
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import UInt8
from torch import Tensor

from synthaug.structures import Clip, Record

SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
"""Endings taken for film when a folder is searched."""

Frame: TypeAlias = UInt8[np.ndarray, "height width 3"]

_HEAD = 64  # frames decoded in order before seeking is believed: several GOPs of ordinary encoders (stack.md, 7.2)
_SHORT = 96  # packets below which decoding everything costs no more than a head and a tail
_CHUNK = 16  # frames held at full size at once: 100 MB at 1080p
_LOST = 0.1  # share of packets that may fail at the end before a film counts as broken
_UNEVEN = 0.25  # frames of drift from a constant rate above which every frame's time is kept
_TICK = 1e-6  # seconds and frames: float noise of k / fps, far below any frame


class VideoError(ValueError):
    """A file that cannot be read as film; the message says what it is, what was wanted, and what to do."""


@dataclass(frozen=True)
class VideoInfo:
    """What a film really holds, as found by decoding and not as announced by its container.

    Attributes:
        width: Pixels, upright: after the rotation that the file asks for.
        height: Pixels, upright.
        fps: Mean frames per second.
        num_frames: Frames that can be decoded. Containers announce one too many, or a third too many.
        seek_ok: Whether decord's random access was seen to give the very pixels of reading in order.
        reader: Who reads it: `decord` where `seek_ok`, else `pyav`, forwards from the first frame.
        times: Seconds of each frame since the first; empty where `index / fps` says the same.
        announced: Seconds that the container promises; 0 where it promises nothing.
    """

    width: int
    height: int
    fps: float
    num_frames: int
    seek_ok: bool
    reader: str
    times: tuple[float, ...] = field(default=(), repr=False)
    announced: float = 0.0

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return self.times[-1] + 1 / self.fps if self.times else self.num_frames / self.fps


# ---- What a file holds ----

FileKey: TypeAlias = tuple[str, int, int]
"""Absolute path, bytes and time of change: a file's present content, as far as that shows without reading it."""

_KNOWN: dict[FileKey, VideoInfo] = {}  # files looked at already; a pure function of the file, so sharing it is harmless


def file_key(path: Path | str) -> FileKey:
    """What `probe` remembers a file by.

    Raises:
        VideoError: If there is no file, a folder, or nothing in it.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except OSError as error:
        raise VideoError(
            f"There is no file at {str(path)!r} ({error.strerror}). A film was wanted. Check the path."
        ) from error
    if not path.is_file():
        raise VideoError(f"{str(path)!r} is a folder, and one film was wanted. Name a file in it.")
    if stat.st_size == 0:
        raise VideoError(
            f"{str(path)!r} is empty (0 bytes), and a film was wanted. Copy it again: it was probably cut off."
        )
    return str(path.absolute()), stat.st_size, stat.st_mtime_ns


def remember(known: Mapping[FileKey, VideoInfo]) -> None:
    """Tell `probe` what an index knows, so that this process need not look at unchanged files again."""
    _KNOWN.update(known)


def probe(path: Path | str) -> VideoInfo:
    """What the film holds: counted, and with decord's random access put to the test.

    Short films are decoded once; of long ones the first 64 frames, everything after the last keyframe, and the
    packets in between. decord is trusted only where six seeks and the last frame come out as the very pixels that
    PyAV gives in order, because it returns other frames without a word on AVI with B-frames (dmlc/decord#195).
    A film ends at its first packet that cannot be decoded. An unchanged file is looked at once in a process.

    Raises:
        VideoError: If the file is missing, empty, broken, or has no pictures.
    """
    path = Path(path)
    key = file_key(path)
    if key not in _KNOWN:
        _KNOWN[key] = _probe(path)
    return _KNOWN[key]


def _probe(path: Path) -> VideoInfo:
    packets = _packets(path)
    scan = None if len(packets.pts) <= _SHORT or not packets.ordered else _scan_ends(path, packets)
    scan = scan or _scan_whole(path, len(packets.pts))
    fps, times = _timing(scan.times, packets.rate)
    seek_ok = _decord_agrees(path, scan.shown)
    height, width = next(iter(scan.shown.values())).shape[:2]
    return VideoInfo(
        width=width,
        height=height,
        fps=fps,
        num_frames=scan.num_frames,
        seek_ok=seek_ok,
        reader="decord" if seek_ok else "pyav",
        times=times,
        announced=packets.announced,
    )


@dataclass(frozen=True)
class _Packets:
    """Timestamps of the compressed pictures, sorted; -1 stands for none."""

    pts: tuple[int, ...]
    last_key: int
    ordered: bool
    rate: float
    announced: float


@dataclass(frozen=True, eq=False)
class _Scan:
    """What decoding in order gave: the count, each frame's seconds (none where the file has none), a few frames."""

    num_frames: int
    times: tuple[float, ...]
    shown: dict[int, Frame]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The file and its best video stream; the libraries' complaints become a VideoError."""
    try:
        # One HMDB51 file has metadata that are no text.
        with av.open(str(path), metadata_errors="ignore") as container:
            stream = container.streams.best("video")
            # Players of text draw letters; a cover picture is no film.
            if (
                not isinstance(stream, VideoStream)
                or container.format.name == "tty"
                or stream.disposition & av.stream.Disposition.attached_pic
            ):
                raise VideoError(
                    f"{str(path)!r} has no moving pictures ({container.format.long_name or container.format.name}, "
                    f"{len(container.streams.audio)} audio streams). A film with a video stream was wanted. "
                    "Leave it out, or export it again with its pictures."
                )
            stream.codec_context.thread_count = 1  # workers are the parallelism; more threads gain nothing on 2 cores
            yield container, stream
    except (av.error.FFmpegError, OSError, EOFError) as error:
        raise VideoError(
            f"{str(path)!r} cannot be read as film ({_reason(error)}). A whole mp4, mkv, avi or webm file was wanted. "
            "Copy or export it again, or leave it out."
        ) from error


def _reason(error: BaseException) -> str:
    """The library's complaint in a few words, without its path and trace."""
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return text.strip().splitlines()[0][:120] if text.strip() else type(error).__name__


def _packets(path: Path) -> _Packets:
    with _opened(path) as (container, stream):
        rate = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
        announced = _announced(container, stream)
        pts, keys = [], []
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                pts.append(-1 if packet.pts is None else packet.pts)
                if packet.is_keyframe:
                    keys.append(pts[-1])
    if not pts:
        raise VideoError(
            f"{str(path)!r} has a header and no pictures. A whole film was wanted. Copy it again: it was cut off."
        )
    ordered = -1 not in pts and len(set(pts)) == len(pts) and bool(keys)
    return _Packets(tuple(sorted(pts)), max(keys, default=-1), ordered, rate, announced)


def _announced(container: InputContainer, stream: VideoStream) -> float:
    """Seconds of film that the headers promise."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Frames in the order of showing, up to the first packet that cannot be decoded."""
    try:
        yield from container.decode(stream)
    except (av.error.InvalidDataError, EOFError):
        return


def _picture(frame: av.VideoFrame) -> Frame:
    """Pixels in sRGB, upright: decord turns them as the file asks, PyAV leaves that to us."""
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _samples(count: int) -> tuple[int, ...]:
    """Frames to try seeking to: on and off keyframes, none beyond the head."""
    return tuple(dict.fromkeys(round(share * (count - 1)) for share in (0.0, 0.15, 0.3, 0.5, 0.7, 0.85)))


def _scan_whole(path: Path, expected: int) -> _Scan:
    wanted = set(_samples(min(expected, _HEAD)))
    shown: dict[int, Frame] = {}
    times: list[float] = []
    count, last = 0, None
    with _opened(path) as (container, stream):
        for count, frame in enumerate(_decoded(container, stream), start=1):
            if frame.pts is not None and frame.time_base:
                times.append(float(frame.pts * frame.time_base))
            if count - 1 in wanted:
                shown[count - 1] = _picture(frame)
            last = frame
    if last is None or count < expected * (1 - _LOST) - 1:
        raise VideoError(
            f"{str(path)!r} is broken: {count} of {expected} pictures can be decoded. A whole film was wanted. "
            "Copy or export it again, or leave it out."
        )
    shown.setdefault(count - 1, _picture(last))
    return _Scan(count, tuple(times) if len(times) == count else (), shown)


def _scan_ends(path: Path, packets: _Packets) -> _Scan | None:
    """The scan without decoding the middle; None where the ends do not match the packets."""
    pts, shown = packets.pts, {}
    wanted = set(_samples(_HEAD))
    with _opened(path) as (container, stream):
        for index, frame in enumerate(_decoded(container, stream)):
            if frame.pts != pts[index]:
                return None
            if index in wanted:
                shown[index] = _picture(frame)
            if index + 1 == _HEAD:
                break
        container.seek(packets.last_key, stream=stream, backward=True)
        tail = [frame.pts for frame in _tail(_decoded(container, stream), packets.last_key, shown)]
        before = sum(p < packets.last_key for p in pts)
        if not tail or before < _HEAD or tail != list(pts[before : before + len(tail)]):
            return None
        time_base = stream.time_base
    count = before + len(tail)
    shown[count - 1] = shown.pop(-1)
    assert time_base is not None, "a stream with timestamps has a time base"
    return _Scan(count, tuple(float(p * time_base) for p in pts[:count]), shown)


def _tail(frames: Iterable[av.VideoFrame], first: int, shown: dict[int, Frame]) -> Iterator[av.VideoFrame]:
    """Frames from the timestamp `first` on; the last one's picture is left under the index -1."""
    last = None
    for frame in frames:
        if frame.pts is not None and frame.pts >= first:
            yield frame
            last = frame
    if last is not None:
        shown[-1] = _picture(last)


def _timing(times: tuple[float, ...], announced: float) -> tuple[float, tuple[float, ...]]:
    """Mean rate, and the frames' own seconds where they keep to no rate."""
    seconds = np.asarray(times) - (times[0] if times else 0.0)
    if len(times) < 2 or (np.diff(seconds) <= 0).any():
        return announced or 25.0, ()  # a single picture: any rate is as good; 25 is what FFmpeg assumes for images
    fps = (len(times) - 1) / float(seconds[-1])
    if announced and abs(announced / fps - 1) * len(times) < _UNEVEN:
        fps = announced  # the same within rounding of the timestamps, and exact
    drift = np.abs(seconds * fps - np.arange(len(times))).max()
    return fps, tuple(round(float(t), 6) for t in seconds) if drift > _UNEVEN else ()


def _decord_agrees(path: Path, shown: Mapping[int, Frame]) -> bool:
    """Whether a fresh decord reader seeks to exactly these frames. No decord, no agreement."""
    if importlib.util.find_spec("decord") is None:
        return False
    ranked = sorted(shown)
    middle = len(ranked) // 2
    order = ranked[middle::-1] + ranked[middle + 1 :]  # a cold seek, seeks backwards, jumps forwards
    try:
        pictures = _by_decord(path, order)
        return all(np.array_equal(shown[index], picture) for index, picture in pictures)
    except VideoError:
        return False


# ---- Frames ----


def frames_in_order(path: Path | str) -> Iterator[av.VideoFrame]:
    """Every frame as it comes, from the first to the last that can be decoded: the slow truth that seeking is held to.

    Frames are as filmed: whoever shows them turns them by their `rotation`, as `upright` does.

    Raises:
        VideoError: If the file cannot be read.
    """
    path = Path(path)
    file_key(path)
    with _opened(path) as (container, stream):
        yield from _decoded(container, stream)


def upright(frame: av.VideoFrame) -> Frame:
    """A frame's pixels in sRGB, turned as the file asks: what `read_frames` gives of it."""
    return _picture(frame)


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
    pictures = (_by_decord if info.reader == "decord" else _by_pyav)(path, wanted) if wanted else iter(())
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


def _by_pyav(path: Path, wanted: Sequence[int]) -> Iterator[tuple[int, Frame]]:
    """Read forwards from the first frame and convert only what is wanted."""
    left = set(wanted)
    with _opened(path) as (container, stream):
        for index, frame in enumerate(_decoded(container, stream)):
            if index in left:
                left.remove(index)
                yield index, _picture(frame)
            if not left:
                return


def _by_decord(path: Path, wanted: Sequence[int]) -> Iterator[tuple[int, Frame]]:
    """Seek; only where `seek_ok`."""
    import decord
    from decord._ffi.base import DECORDError

    try:
        reader = decord.VideoReader(str(path), num_threads=1)
        for first in range(0, len(wanted), _CHUNK):
            chunk = list(wanted[first : first + _CHUNK])
            yield from zip(chunk, reader.get_batch(chunk).asnumpy(), strict=True)
    except (DECORDError, RuntimeError, IndexError) as error:
        raise VideoError(
            f"decord cannot read {str(path)!r} ({_reason(error)}). The file that was probed was wanted. "
            "Has it changed? Probe it again."
        ) from error


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


# ---- Choosing frames by seconds ----


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


# ---- Writing ----


def write_video(
    path: Path | str,
    video: UInt8[Tensor, "time 3 height width"],
    *,
    fps: float,
    metadata: Mapping[str, str] | None = None,
    crf: int = 18,
    preset: str = "veryfast",
) -> None:
    """Write an H.264 film that every player opens, whole or not at all.

    Odd sides grow by one repeated row or column, since the format halves its colours. Keyframes come every 12
    frames, so that random clips of the result are cheap to read. The bytes are not reproducible, even where the
    pixels are the same: compare frames, never files.

    Args:
        path: Ends in .mp4, .mkv or .mov; missing folders are made.
        video: sRGB frames, at least one.
        fps: Frames per second.
        metadata: Tags such as the clip's lineage, by name in lower case; `read_metadata` gives them back.
        crf: x264's constant rate factor, 0 (lossless) to 51; 18 is about where loss stops being visible.
        preset: x264's choice between speed and size.

    Raises:
        VideoError: If there is no frame to write, or the ending is unknown.
    """
    path = Path(path)
    if path.suffix.lower() not in (".mp4", ".mkv", ".mov") or len(video) == 0 or not fps > 0:
        raise VideoError(
            f"{len(video)} frames at {fps} a second were to be written to {str(path)!r}. At least one frame, a rate "
            "above 0 and a name ending in .mp4, .mkv or .mov were wanted. Rename it, or give frames."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem[:64]}.{uuid.uuid4().hex}{path.suffix}")
    try:
        _encode(aside, video, fps=fps, metadata=metadata or {}, options={"crf": str(crf), "preset": preset})
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _encode(
    path: Path,
    video: UInt8[Tensor, "time 3 height width"],
    *,
    fps: float,
    metadata: Mapping[str, str],
    options: Mapping[str, str],
) -> None:
    height, width = video.shape[2:]
    flags = {} if path.suffix.lower() == ".mkv" else {"movflags": "use_metadata_tags+faststart"}
    with av.open(str(path), "w", options=flags) as container:
        container.metadata.update(metadata)
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(100_000))
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 12
        stream.options = dict(options)
        for frame in video:
            pixels = frame.permute(1, 2, 0).cpu().numpy()
            padded = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")))
        container.mux(stream.encode(None))


FILMED = "filmed at {width}x{height}"
"""What the `comment` of a film that was made smaller says: the size whose pixels its annotations count in."""


def filmed_size(path: Path | str, info: VideoInfo) -> tuple[int, int]:
    """Height and width that keypoints and the like of this film count in: of a smaller copy, those of its original.

    Raises:
        VideoError: If the file cannot be read as film.
    """
    said = re.fullmatch(r"filmed at ([0-9]+)x([0-9]+)", read_metadata(path).get("comment", ""))
    return (int(said[2]), int(said[1])) if said else (info.height, info.width)


def read_metadata(path: Path | str) -> dict[str, str]:
    """The tags of a film by name in lower case, since Matroska shouts; the container's own (`encoder`) among them.

    Raises:
        VideoError: If the file cannot be read as film.
    """
    path = Path(path)
    file_key(path)
    with _opened(path) as (container, _):
        return {name.lower(): value for name, value in container.metadata.items()}
