"""Film into files, whole or not at all, and the tags that travel with it."""

import os
import re
import uuid
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from synthaug.video.decoding import VideoError, file_key, opened
from synthaug.video.probing import VideoInfo

FILMED = "filmed at {width}x{height}"
"""What the `comment` of a film that was made smaller says: the size whose pixels its annotations count in."""


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
    with opened(path) as (container, _):
        return {name.lower(): value for name, value in container.metadata.items()}
