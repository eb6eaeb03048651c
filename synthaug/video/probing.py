"""Probe a film: count and time its frames by decoding it, and test decord's random access."""

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from synthaug.video.decoding import (
    FileKey,
    Frame,
    VideoError,
    decode_frames,
    file_key,
    open_video,
    read_with_decord,
    rotate_upright,
)

_HEAD = 64  # frames to decode in order before trusting seeks: several GOPs of ordinary encoders
_SHORT = 96  # packets up to which decoding everything costs no more than a head and a tail
_MAX_LOST = 0.1  # share of packets that may fail at the end before a film counts as broken
_MAX_DRIFT = 0.25  # frames of drift from a constant rate above which every frame's time is kept


@dataclass(frozen=True)
class VideoInfo:
    """What a film holds, as found by decoding, not as its container announces.

    Attributes:
        width: Pixels, upright: after the rotation that the file asks for.
        height: Pixels, upright.
        fps: Mean frames per second.
        num_frames: Frames that can be decoded. Some containers announce one too many, or even a third too many.
        seek_ok: Whether decord's random access gives the same pixels as decoding in order.
        reader: What reads the film: `decord` if `seek_ok`, else `pyav`, forwards from the first frame.
        times: Seconds of each frame since the first; empty if `index / fps` gives the same.
        announced: Duration in seconds that the container announces; 0 if it announces none.
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


_KNOWN: dict[FileKey, VideoInfo] = {}  # probed files; a pure function of the file, so sharing it is harmless


def remember(known: Mapping[FileKey, VideoInfo]) -> None:
    """Give `probe` the results of an index, so that this process does not probe unchanged files again."""
    _KNOWN.update(known)


def probe(path: Path | str) -> VideoInfo:
    """Count the frames of a film, and test decord's random access.

    Short films are decoded whole. Of long films the first 64 frames and everything after the last keyframe are decoded,
    and the packets in between are counted. decord is trusted only if six seeks and the last frame have the same pixels
    as PyAV's decoding in order, because it silently returns other frames of AVI with B-frames (dmlc/decord#195). A film
    ends at its first packet that cannot be decoded. A process probes an unchanged file once.

    Raises:
        VideoError: If the file is missing, empty or broken, or has no pictures.
    """
    path = Path(path)
    key = file_key(path)
    if key not in _KNOWN:
        _KNOWN[key] = _probe(path)
    return _KNOWN[key]


def _probe(path: Path) -> VideoInfo:
    packets = _read_packets(path)
    scan = None if len(packets.pts) <= _SHORT or not packets.ordered else _scan_ends(path, packets)
    scan = scan or _scan_whole(path, len(packets.pts))
    fps, times = _find_rate(scan.times, packets.rate)
    seek_ok = _test_decord(path, scan.shown)
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
    """The result of decoding in order: the count, each frame's seconds (empty if the file has none), a few frames."""

    num_frames: int
    times: tuple[float, ...]
    shown: dict[int, Frame]


def _read_packets(path: Path) -> _Packets:
    with open_video(path) as (container, stream):
        rate = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
        announced = _announced_seconds(container, stream)
        pts, keys = [], []
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                pts.append(-1 if packet.pts is None else packet.pts)
                if packet.is_keyframe:
                    keys.append(pts[-1])
    if not pts:
        raise VideoError(
            f"Expected {str(path)!r} to be a whole film, got a header without pictures. Copy it again: it was cut off."
        )
    ordered = -1 not in pts and len(set(pts)) == len(pts) and bool(keys)
    return _Packets(tuple(sorted(pts)), max(keys, default=-1), ordered, rate, announced)


def _announced_seconds(container: InputContainer, stream: VideoStream) -> float:
    """The duration in seconds that the headers announce."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


def _frames_to_seek(count: int) -> tuple[int, ...]:
    """Frames to test seeking with: on and off keyframes, none beyond the head."""
    return tuple(dict.fromkeys(round(share * (count - 1)) for share in (0.0, 0.15, 0.3, 0.5, 0.7, 0.85)))


def _scan_whole(path: Path, expected: int) -> _Scan:
    chosen = set(_frames_to_seek(min(expected, _HEAD)))
    shown: dict[int, Frame] = {}
    times: list[float] = []
    count, last = 0, None
    with open_video(path) as (container, stream):
        for count, frame in enumerate(decode_frames(container, stream), start=1):
            if frame.pts is not None and frame.time_base:
                times.append(float(frame.pts * frame.time_base))
            if count - 1 in chosen:
                shown[count - 1] = rotate_upright(frame)
            last = frame
    if last is None or count < expected * (1 - _MAX_LOST) - 1:
        raise VideoError(
            f"Expected {str(path)!r} to be a whole film, got {count} readable frames of {expected}. Copy or export it "
            "again, or leave it out."
        )
    shown.setdefault(count - 1, rotate_upright(last))
    return _Scan(count, tuple(times) if len(times) == count else (), shown)


def _scan_ends(path: Path, packets: _Packets) -> _Scan | None:
    """Scan a film without decoding its middle; None if the ends do not match the packets."""
    pts, shown = packets.pts, {}
    chosen = set(_frames_to_seek(_HEAD))
    with open_video(path) as (container, stream):
        for index, frame in enumerate(decode_frames(container, stream)):
            if frame.pts != pts[index]:
                return None
            if index in chosen:
                shown[index] = rotate_upright(frame)
            if index + 1 == _HEAD:
                break
        container.seek(packets.last_key, stream=stream, backward=True)
        tail = [frame.pts for frame in _keep_tail(decode_frames(container, stream), packets.last_key, shown)]
        before = sum(p < packets.last_key for p in pts)
        if not tail or before < _HEAD or tail != list(pts[before : before + len(tail)]):
            return None
        time_base = stream.time_base
    count = before + len(tail)
    shown[count - 1] = shown.pop(-1)
    assert time_base is not None, "a stream with timestamps has a time base"
    return _Scan(count, tuple(float(p * time_base) for p in pts[:count]), shown)


def _keep_tail(frames: Iterable[av.VideoFrame], first: int, shown: dict[int, Frame]) -> Iterator[av.VideoFrame]:
    """Yield the frames from the timestamp `first` on; keep the last one's picture in `shown` under the index -1."""
    last = None
    for frame in frames:
        if frame.pts is not None and frame.pts >= first:
            yield frame
            last = frame
    if last is not None:
        shown[-1] = rotate_upright(last)


def _find_rate(times: tuple[float, ...], announced: float) -> tuple[float, tuple[float, ...]]:
    """The mean frame rate, and the seconds of each frame if they do not follow a constant rate."""
    seconds = np.asarray(times) - (times[0] if times else 0.0)
    if len(times) < 2 or (np.diff(seconds) <= 0).any():
        return announced or 25.0, ()  # a single picture: any rate is as good; 25 is what FFmpeg assumes for images
    fps = (len(times) - 1) / float(seconds[-1])
    if announced and abs(announced / fps - 1) * len(times) < _MAX_DRIFT:
        fps = announced  # the same within rounding of the timestamps, and exact
    drift = np.abs(seconds * fps - np.arange(len(times))).max()
    return fps, tuple(round(float(t), 6) for t in seconds) if drift > _MAX_DRIFT else ()


def _test_decord(path: Path, shown: Mapping[int, Frame]) -> bool:
    """Whether a fresh decord reader seeks to exactly these frames; False without decord."""
    if importlib.util.find_spec("decord") is None:
        return False
    ranked = sorted(shown)
    middle = len(ranked) // 2
    order = ranked[middle::-1] + ranked[middle + 1 :]  # a cold seek, seeks backwards, jumps forwards
    try:
        pictures = read_with_decord(path, order)
        return all(np.array_equal(shown[index], picture) for index, picture in pictures)
    except VideoError:
        return False
