"""Probe a film: count and time its frames by decoding it, and test decord's random access."""

import importlib.util
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from synthaug.video.decoding import (
    SUFFIXES,
    decode_frames,
    decode_or_none,
    file_key,
    open_video,
    read_with_decord,
)
from synthaug.video.info import LOST, MENDED, FileKey, VideoError, VideoInfo
from synthaug.video.packets import begins_well, is_in_order, length_size_of
from synthaug.video.pictures import Frame, orientation_of, pixel_aspect_of, to_picture
from synthaug.video.series import READER, is_series, probe_series, set_rate
from synthaug.video.timing import find_timing
from synthaug.video.tones import is_bright

_HEAD = 64  # frames to decode in order before trusting seeks: several GOPs of ordinary encoders
_SHORT = 96  # packets up to which decoding everything costs no more than a head and a tail
_MAX_LOST = 0.1  # share of packets that may fail at the end before a film counts as broken
PICTURE_FROM = ", picture from {seconds:.6f} s"
"""Part of the `comment` tag of a copy without sound: `VideoInfo.start` of its original."""
_LATE = 0.05  # seconds; sound that is encoded ahead of time (2112 samples of AAC) makes no picture late


_KNOWN: dict[FileKey, VideoInfo] = {}  # probed files; a pure function of the file, so sharing it is harmless
_STATED: dict[str, VideoInfo] = {}
"""Folders of pictures whose rate was stated, by path: one may change, and `read_series` finds what is left."""


def remember(known: Mapping[FileKey, VideoInfo]) -> None:
    """Give `probe` the results of an index, so that this process does not probe unchanged files again."""
    _KNOWN.update(known)
    _STATED.update({key[0]: info for key, info in known.items() if info.reader == READER})


def probe(path: Path | str) -> VideoInfo:
    """Count the frames of a film, and test decord's random access.

    Short films are decoded whole. Of long films the first 64 frames and everything after the last keyframe are decoded,
    and the packets in between are counted; if one does not begin as packets do, or their timestamps are not in order,
    the film is decoded whole. decord is trusted only if six seeks and the last frame have the same pixels as PyAV's
    decoding in order, because it silently returns other frames of AVI with B-frames (dmlc/decord#195); and only if all
    pictures can be decoded and no timestamp is wrong. A process probes an unchanged file once. A folder of pictures
    stays what it was when its rate was stated.

    Raises:
        VideoError: If the file is missing, empty or broken, or has no pictures.
    """
    path = Path(path)
    key = file_key(path)
    if key not in _KNOWN:
        if path.is_dir() and key[0] in _STATED:
            return _STATED[key[0]]
        if path.is_dir():
            raise VideoError(
                f"Expected to be told the rate of the numbered pictures in {str(path)!r}, got none. Set dataset.fps, a "
                "column fps of the table, or --fps, to the rate that they were filmed with."
            )
        _KNOWN[key] = _probe(path)
    return _KNOWN[key]


def probe_pictures(folder: Path | str, *, fps: float | int) -> VideoInfo:
    """Probe a folder of numbered pictures as a film of this rate, which `probe` then knows too.

    Numbers are a clock: a number that is missing is a gap, and every n-th number a film of an n-th of the rate. They
    count from 0, or from 1 where the first picture is number 1; a film that begins with a later one starts that late.

    Args:
        folder: The folder.
        fps: Numbers a second.

    Raises:
        VideoError: If it holds no such pictures, or the rate is not above 0.
    """
    folder = Path(folder)
    info = set_rate(probe_series(folder), fps)
    remember({file_key(folder): info})
    return info


def picture_notes(path: Path) -> str:
    """A film's `VideoInfo.notes` as a word, for the names of what is kept of its pictures; "" for what is no film.

    It is empty for ordinary film too.
    """
    series = is_series(path)
    if path.suffix.lower() not in SUFFIXES and not series:
        return ""
    try:
        info = probe(path)
    except VideoError:
        return ""
    rate = [f"fps={info.fps:.9g}"] if series else []  # of no file's content
    return ",".join([*rate, *(f"{name}={number}" for name, number in sorted(info.notes.items()))])


def correct_timing(info: VideoInfo, stamps: Sequence[float | None], *, failed: int) -> VideoInfo:
    """What a film holds, after a reading of all its pictures found other times, or pictures that cannot be decoded.

    Args:
        info: What `probe` said, which may not have looked into the middle.
        stamps: The timestamp of each picture that was decoded, in seconds; None stands for none.
        failed: Number of packets that could not be decoded.
    """
    timing = find_timing(stamps, info.fps, gaps=failed > 0)
    lost = _count_lost(info.num_frames + info.notes.get(LOST, 0), len(stamps), failed)
    sound = not lost and not timing.mended and len(stamps) == info.num_frames
    if sound or (lost == info.notes.get(LOST, 0) and timing.mended == info.notes.get(MENDED, 0)):
        return replace(info, num_frames=len(stamps), times=info.times[: len(stamps)])
    notes = info.notes | {LOST: lost, MENDED: timing.mended}
    return replace(
        info,
        fps=timing.fps,
        num_frames=len(stamps),
        times=timing.times,
        seek_ok=False,
        reader="pyav",
        notes={what: number for what, number in notes.items() if number},
    )


def _probe(path: Path) -> VideoInfo:
    packets = _read_packets(path)
    scan = None if len(packets.pts) <= _SHORT or not packets.ordered else _scan_ends(path, packets)
    scan = scan or _scan_whole(path, len(packets.pts), packets.spoiled)
    timing = find_timing(scan.stamps, packets.rate, gaps=scan.lost > 0)
    whole = not scan.lost and not timing.mended
    seek_ok = whole and packets.plausible and _test_decord(path, scan)
    height, width = next(iter(scan.shown.values())).shape[:2]
    late = packets.late or (0.0 if timing.first is None else timing.first - packets.begins)
    notes = {LOST: scan.lost, MENDED: timing.mended, **scan.first.notes}
    return VideoInfo(
        width=width,
        height=height,
        fps=timing.fps,
        num_frames=scan.num_frames,
        seek_ok=seek_ok,
        reader="decord" if seek_ok else "pyav",
        times=timing.times,
        announced=packets.announced,
        start=round(late, 6) if late > _LATE else 0.0,
        pixel_aspect=scan.first.pixel_aspect,
        notes={what: number for what, number in notes.items() if number},
    )


@dataclass(frozen=True)
class _Packets:
    """Timestamps of the compressed pictures, sorted, and what the container says.

    `plausible` is whether it announces at most a few times as many pictures as it has: decord takes memory for those.
    `spoiled` is how many of them do not begin as packets do.
    """

    pts: tuple[int, ...]
    last_key: int
    ordered: bool
    rate: float
    announced: float
    begins: float
    late: float
    plausible: bool
    spoiled: int


@dataclass(frozen=True)
class _FirstFrame:
    """What the first frame says of all."""

    pixel_aspect: float
    notes: dict[str, int]


@dataclass(frozen=True, eq=False)
class _Scan:
    """The result of decoding in order: each frame's timestamp in seconds, a few frames, and how many failed."""

    stamps: tuple[float | None, ...]
    shown: dict[int, Frame]
    first: _FirstFrame
    lost: int = 0

    @property
    def num_frames(self) -> int:
        return len(self.stamps)


def _read_packets(path: Path) -> _Packets:
    with open_video(path) as (container, stream):
        rate = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
        announced = _announced_seconds(container, stream)
        begins = container.start_time / av.time_base if container.start_time is not None else math.inf
        late = _read_late(container)
        codec, length_size = stream.codec_context.name, length_size_of(stream.codec_context)
        pts: list[int | None] = []
        keys: list[int] = []
        spoiled = 0
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                pts.append(packet.pts)
                spoiled += packet.is_corrupt or not begins_well(memoryview(packet), codec, length_size)
                if packet.is_keyframe and packet.pts is not None:
                    keys.append(packet.pts)
        reordered = bool(stream.codec_context.has_b_frames)
        plausible = stream.frames <= 4 * len(pts) + _SHORT
    if not pts:
        raise VideoError(
            f"Expected {str(path)!r} to be a whole film, got a header without pictures. Copy it again: it was cut off."
        )
    given = [stamp for stamp in pts if stamp is not None]
    ordered = len(set(given)) == len(pts) and bool(keys) and is_in_order(given, reordered=reordered)
    return _Packets(
        tuple(sorted(given)) if ordered else (0,) * len(pts), max(keys, default=0), ordered and not spoiled, rate,
        announced, begins, late, plausible, spoiled,
    )  # fmt: skip


def _read_late(container: InputContainer) -> float:
    """How late the picture of a copy's original starts; 0 if the film is no copy, or of one that starts at once."""
    comment = next((value for name, value in container.metadata.items() if name.lower() == "comment"), "")
    found = re.search(r", picture from ([0-9]+\.[0-9]{6}) s$", comment)
    return float(found[1]) if found else 0.0


def _announced_seconds(container: InputContainer, stream: VideoStream) -> float:
    """The duration in seconds that the headers announce."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


def _read_first(stream: VideoStream, frame: av.VideoFrame) -> _FirstFrame:
    transpose, columns, rows = orientation_of(frame)
    aspect = pixel_aspect_of(stream, frame)
    mirrored = (transpose + columns + rows) % 2  # an odd number of reflections
    notes = {"mirrored_pictures": mirrored, "oblong_pixels": int(aspect != 1), "hdr_light": int(is_bright(frame))}
    return _FirstFrame(aspect, notes)


def _frames_to_seek(count: int) -> tuple[int, ...]:
    """Frames to test seeking with: on and off keyframes, none beyond the head."""
    return tuple(dict.fromkeys(round(share * (count - 1)) for share in (0.0, 0.15, 0.3, 0.5, 0.7, 0.85)))


def _scan_whole(path: Path, expected: int, spoiled: int) -> _Scan:
    chosen = set(_frames_to_seek(min(expected, _HEAD)))
    shown: dict[int, Frame] = {}
    stamps: list[float | None] = []
    failed, last, first = 0, None, None
    with open_video(path) as (container, stream):
        for frame in decode_or_none(container, stream):
            if frame is None:
                failed += 1
                continue
            first = first or _read_first(stream, frame)
            if len(stamps) in chosen:
                shown[len(stamps)] = to_picture(frame, pixel_aspect=first.pixel_aspect)
            stamps.append(stamp_of(frame))
            last = frame
    count = len(stamps)
    if not failed and not spoiled and last is not None and last.interlaced_frame and 2 * count + 1 >= expected:
        expected = count  # coded field by field: two packets make a picture
    if last is None or first is None or count < expected * (1 - _MAX_LOST) - 1:
        raise VideoError(
            f"Expected {str(path)!r} to be a whole film, got {count} readable frames of {expected}. Copy or export it "
            "again, or leave it out."
        )
    shown.setdefault(count - 1, to_picture(last, pixel_aspect=first.pixel_aspect))
    return _Scan(tuple(stamps), shown, first, _count_lost(expected, count, failed, spoiled))


def _count_lost(expected: int, count: int, failed: int, spoiled: int = 0) -> int:
    """Pictures that are missing because packets failed: more than these, where others were built on their pictures.

    Decoders pass over some spoiled packets without a word. Sound packets without a picture are no loss: some formats
    have them.
    """
    return max(failed, expected - count, 0) if failed or spoiled else 0


def stamp_of(frame: av.VideoFrame) -> float | None:
    """A frame's timestamp in seconds, on the film's own clock; None if it has none."""
    return float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base else None


def _scan_ends(path: Path, packets: _Packets) -> _Scan | None:
    """Scan a film without decoding its middle; None if the ends do not match the packets."""
    pts, shown = packets.pts, {}
    chosen = set(_frames_to_seek(_HEAD))
    first = None
    with open_video(path) as (container, stream):
        for index, frame in enumerate(decode_or_none(container, stream)):
            if frame is None or frame.pts != pts[index]:
                return None
            first = first or _read_first(stream, frame)
            if index in chosen:
                shown[index] = to_picture(frame, pixel_aspect=first.pixel_aspect)
            if index + 1 == _HEAD:
                break
        container.seek(packets.last_key, stream=stream, backward=True)
        tail, last = _keep_tail(decode_frames(container, stream), packets.last_key)
        before = sum(p < packets.last_key for p in pts)
        if last is None or before < _HEAD or tail != list(pts[before : before + len(tail)]):
            return None
        time_base = stream.time_base
    assert first is not None and time_base is not None, "a stream with timestamps has frames and a time base"
    count = before + len(tail)
    shown[count - 1] = to_picture(last, pixel_aspect=first.pixel_aspect)
    return _Scan(tuple(float(p * time_base) for p in pts[:count]), shown, first)


def _keep_tail(frames: Iterable[av.VideoFrame], begin: int) -> tuple[list[int], av.VideoFrame | None]:
    """The timestamps of the frames from the timestamp `begin` on, and the last of these frames."""
    stamps, last = [], None
    for frame in frames:
        if frame.pts is not None and frame.pts >= begin:
            stamps.append(frame.pts)
            last = frame
    return stamps, last


def _test_decord(path: Path, scan: _Scan) -> bool:
    """Whether a fresh decord reader seeks to exactly the frames of a scan; False without decord."""
    if importlib.util.find_spec("decord") is None:
        return False
    ranked = sorted(scan.shown)
    middle = len(ranked) // 2
    order = ranked[middle::-1] + ranked[middle + 1 :]  # a cold seek, seeks backwards, jumps forwards
    try:
        pictures = read_with_decord(path, order, scan.first.pixel_aspect)
        return all(np.array_equal(scan.shown[index], picture) for index, picture in pictures)
    except VideoError:
        return False
