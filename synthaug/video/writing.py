"""Write film atomically, and read and write its metadata tags."""

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

from synthaug.files import storing
from synthaug.video.decoding import file_key, open_video
from synthaug.video.info import VideoError, VideoInfo

FILMED = "filmed at {width}x{height}"
"""The `comment` tag of a smaller copy: the size of the original, in whose pixels its annotations are measured.

`PICTURE_FROM` follows it where the original's picture starts after its sound, which the copy lacks.
"""


def write_video(
    path: Path | str,
    video: UInt8[Tensor, "time 3 height width"],
    *,
    fps: float,
    metadata: Mapping[str, str] | None = None,
    crf: int = 18,
    preset: str = "veryfast",
) -> None:
    """Write an H.264 film that every player opens, atomically.

    An odd width or height grows by one repeated column or row, since the format halves the resolution of colours. A
    keyframe every 12 frames makes random clips cheap to read. The bytes are not reproducible even if the pixels are the
    same: compare frames, never files.

    Args:
        path: A name with the suffix .mp4, .mkv or .mov; missing folders are made.
        video: sRGB frames, at least one.
        fps: Frames per second.
        metadata: Tags such as the clip's lineage, by name in lower case; `read_metadata` reads them.
        crf: x264's constant rate factor, 0 (lossless) to 51; at 18 the loss is hardly visible.
        preset: x264's trade-off between speed and file size.

    Raises:
        VideoError: If there is no frame, the rate is not positive, or the suffix is unknown.
        StorageError: If there is no room or no permission; nothing is left behind.
    """
    path = Path(path)
    if path.suffix.lower() not in (".mp4", ".mkv", ".mov") or len(video) == 0 or not fps > 0:
        raise VideoError(
            f"Expected at least one frame, a rate above 0 and a name ending in .mp4, .mkv or .mov, got {len(video)} "
            f"frames at {fps} fps for {str(path)!r}. Rename the file, or correct the video."
        )
    aside = path.with_name(f".{path.stem[:64]}.{uuid.uuid4().hex}{path.suffix}")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
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
    """Height and width in whose pixels a film's keypoints are measured: for a smaller copy, those of its original.

    These are the stored pixels, upright: detectors do not know that they may not be square.

    Raises:
        VideoError: If the file cannot be read as film.
    """
    tag = re.match(r"filmed at ([0-9]+)x([0-9]+)(?:$|,)", read_metadata(path).get("comment", ""))
    return (int(tag[2]), int(tag[1])) if tag else (info.height, round(info.width / info.pixel_aspect))


def read_metadata(path: Path | str) -> dict[str, str]:
    """Read the tags of a film, the container's own (`encoder`) included; names are in lower case, also of Matroska.

    A folder of numbered pictures has none.

    Raises:
        VideoError: If the file cannot be read as film.
    """
    path = Path(path)
    file_key(path)
    if path.is_dir():
        return {}
    with open_video(path) as (container, _):
        return {name.lower(): value for name, value in container.metadata.items()}
