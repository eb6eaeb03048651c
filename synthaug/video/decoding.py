"""Decode film with PyAV and decord. Files are opened for one call and never kept open, so nothing crosses a fork."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from synthaug.remote import fetch, told_of_drops
from synthaug.video.info import FileKey, VideoError
from synthaug.video.pictures import Frame, make_square
from synthaug.video.series import series_key

SUFFIXES = (
    ".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mts", ".m2ts", ".m2t", ".ts", ".3gp",
    ".3g2", ".flv", ".f4v", ".gif", ".ogv", ".vob", ".mxf", ".asf", ".divx", ".dv", ".qt", ".mpe", ".m2v",
)  # fmt: skip
"""Suffixes of film when a folder is searched."""

_TRIES = 5
_CHUNK = 16  # frames held at full size at once: 100 MB at 1080p


def file_key(path: Path | str) -> FileKey:
    """The key by which `probe` remembers a file, or a folder of numbered pictures.

    Raises:
        VideoError: If the file is missing or empty, or a folder of something else.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except OSError as error:
        raise VideoError(f"No such file: {str(path)!r} ({error.strerror}). Check the path.") from error
    if path.is_dir():
        return series_key(path)
    if stat.st_size == 0:
        raise VideoError(
            f"Expected {str(path)!r} to be a film, got an empty file (0 bytes). Copy it again: it was probably cut off."
        )
    return str(path.absolute()), stat.st_size, stat.st_mtime_ns


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its best video stream; errors of the libraries become a VideoError."""
    try:
        with _open_whole(path) as container:
            stream = container.streams.best("video")
            # FFmpeg opens text files as film of letters (tty), and cover pictures of music as video streams.
            if (
                not isinstance(stream, VideoStream)
                or container.format.name == "tty"
                or stream.disposition & av.stream.Disposition.attached_pic
            ):
                raise VideoError(
                    f"Expected {str(path)!r} to have a video stream, got "
                    f"{container.format.long_name or container.format.name} with "
                    f"{len(container.streams.audio)} audio streams. Leave it out, or export it again with its pictures."
                )
            if stream.codec_context is None:
                raise VideoError(
                    f"Expected {str(path)!r} to be of a codec that FFmpeg knows, got another. Convert it to H.264; if "
                    "others of its kind are read, copy it again; or leave it out."
                )
            stream.codec_context.thread_count = 1  # workers are the parallelism; more threads gain nothing on 2 cores
            yield container, stream
    except (av.error.FFmpegError, OSError, EOFError) as error:
        raise VideoError(
            f"Expected {str(path)!r} to be a whole film (mp4, mkv, avi, webm ...), got an error: {_reason(error)}. "
            "Copy or export it again, or leave it out."
        ) from error


def _open_whole(path: Path) -> InputContainer:
    """Open a file; one of an object store once its content is here, which other processes may take away meanwhile."""
    for _ in range(_TRIES):
        fetch(path)
        try:
            container = av.open(str(path), metadata_errors="ignore")  # the metadata of one HMDB51 file are not text
        except av.error.FFmpegError:
            if not fetch(path):
                raise
            continue  # it was a placeholder again
        if not fetch(path):
            return container
        container.close()
    raise VideoError(told_of_drops(path, _TRIES))


def holds_film(path: Path) -> bool:
    """Whether a file holds moving pictures, whatever its name."""
    try:
        with open_video(path) as (container, _):
            name = container.format.name
            return "image2" not in name and not name.endswith("_pipe")  # a single picture
    except VideoError:
        return False


def _reason(error: BaseException) -> str:
    """The library's error message in a few words, without path and trace."""
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return text.strip().splitlines()[0][:120] if text.strip() else type(error).__name__


def decode_or_none(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame | None]:
    """Decode frames in order of presentation; None stands for each packet that cannot be decoded.

    Decoders go on after it, so one bad packet costs one picture.
    """
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.InvalidDataError, EOFError):
            return  # the container itself breaks off
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            yield None
        else:
            yield from (frame for frame in frames if isinstance(frame, av.VideoFrame))


def decode_frames(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Decode frames in order of presentation; packets that cannot be decoded are left out."""
    return (frame for frame in decode_or_none(container, stream) if frame is not None)


def frames_in_order(path: Path | str) -> Iterator[av.VideoFrame | None]:
    """Decode every frame in order; None stands for each packet that cannot be decoded. Seeking must agree with it.

    Frames are not turned; `to_picture` does that.

    Raises:
        VideoError: If the file cannot be read.
    """
    path = Path(path)
    file_key(path)
    with open_video(path) as (container, stream):
        yield from decode_or_none(container, stream)


def read_with_decord(path: Path, indices: Sequence[int], pixel_aspect: float = 1.0) -> Iterator[tuple[int, Frame]]:
    """Seek to the frames with these indices; right only for films whose `seek_ok` is true.

    decord turns pictures upright itself, but leaves them mirrored, with pixels that are not square, and as bright.
    """
    import decord
    from decord._ffi.base import DECORDError

    fetch(path)
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
        for first in range(0, len(indices), _CHUNK):
            chunk = list(indices[first : first + _CHUNK])
            for index, picture in zip(chunk, reader.get_batch(chunk).asnumpy(), strict=True):
                yield index, make_square(picture, pixel_aspect)
    except (DECORDError, RuntimeError, IndexError) as error:
        raise VideoError(
            f"Expected {str(path)!r} as it was probed, got an error of decord: {_reason(error)}. Probe it again if it "
            "has changed."
        ) from error
