"""Readers of film: opened for one call and never kept, so nothing crosses a fork."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import UInt8

SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
"""Endings taken for film when a folder is searched."""

Frame: TypeAlias = UInt8[np.ndarray, "height width 3"]

FileKey: TypeAlias = tuple[str, int, int]
"""Absolute path, bytes and time of change: a file's present content, as far as that shows without reading it."""

_CHUNK = 16  # frames held at full size at once: 100 MB at 1080p


class VideoError(ValueError):
    """A file that cannot be read as film; the message says what it is, what was wanted, and what to do."""


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


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
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


def decoded(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Frames in the order of showing, up to the first packet that cannot be decoded."""
    try:
        yield from container.decode(stream)
    except (av.error.InvalidDataError, EOFError):
        return


def upright(frame: av.VideoFrame) -> Frame:
    """A frame's pixels in sRGB, turned as the file asks: decord does that, PyAV leaves it to us."""
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def frames_in_order(path: Path | str) -> Iterator[av.VideoFrame]:
    """Every frame as it comes, from the first to the last that can be decoded: the slow truth that seeking is held to.

    Frames are as filmed: whoever shows them turns them by their `rotation`, as `upright` does.

    Raises:
        VideoError: If the file cannot be read.
    """
    path = Path(path)
    file_key(path)
    with opened(path) as (container, stream):
        yield from decoded(container, stream)


def by_pyav(path: Path, wanted: Sequence[int]) -> Iterator[tuple[int, Frame]]:
    """Read forwards from the first frame and convert only what is wanted."""
    left = set(wanted)
    with opened(path) as (container, stream):
        for index, frame in enumerate(decoded(container, stream)):
            if index in left:
                left.remove(index)
                yield index, upright(frame)
            if not left:
                return


def by_decord(path: Path, wanted: Sequence[int]) -> Iterator[tuple[int, Frame]]:
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
