"""Render one clip to its four files, film, mask, joints and columns, and read them again."""

import io
import json
import os
import uuid
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from synthaug.exports import ClipFiles, ExportError, Papers
from synthaug.exports.parts.columns import make_row
from synthaug.files import write_atomic
from synthaug.structures import Recipe, Values
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.ground_truth import COVERED, GroundTruth
from synthaug.video import write_video

ARRAYS = {
    "joints_world": "float32 [person, frame, 55, 3]: SMPL-X joints, metres, right-handed world with y up and the floor "
    "at y = 0",
    "joints_camera": "float32 [person, frame, 55, 3]: the same in the camera's frame, metres; x right, y down, z "
    "forward",
    "joints_image": "float32 [person, frame, 55, 2]: the same in the picture, pixels from its upper left corner; "
    "meaningless for joints behind the camera",
    "visible": "bool [person, frame, 55]: whether the joint lies in the picture and its own part is seen there",
    "parts": "int16 [frame, height, width]: what is seen, 1 + joint + 55 x person; 0 where nobody is",
    "viewmats": "float32 [frame, 4, 4]: world to camera",
    "Ks": "float32 [frame, 3, 3]: intrinsics in pixels; pixel centres lie at half-integers",
}
"""What each array means."""


def write_clip(files: ClipFiles, synthesizer: Synthesizer, recipe: Recipe, *, name: str, papers: Papers) -> None:
    """Render a recipe to files. Each appears whole or not at all, and the columns last.

    Args:
        files: Where to.
        synthesizer: Renders it.
        recipe: What to render.
        name: Name of its class.
        papers: Licences and consent.

    Raises:
        ValueError: If the renderer cannot label parts.
    """
    job = synthesizer.stage(recipe)
    rendering = synthesizer.render_labelled(job)
    clip = synthesizer.finish(recipe, job, rendering)
    truth = synthesizer.find_truth(recipe, job, rendering)
    row = make_row(clip, job, synthesizer.references, name=name, papers=papers)
    write_video(files.film, clip.video, fps=clip.fps, metadata={"comment": recipe.to_json()})
    write_mask(files.mask, truth.mask, fps=clip.fps)
    write_atomic(files.joints, pack_arrays(truth))
    write_atomic(files.row, (json.dumps(row, allow_nan=False) + "\n").encode())


def write_mask(path: Path, mask: Bool[Tensor, "time 1 height width"], *, fps: float) -> None:
    """Write a mask as an H.264 film without loss, 255 where it is true; an odd side grows as in `write_video`."""
    height, width = mask.shape[2:]
    pixels = np.pad(mask[:, 0].numpy().astype(np.uint8) * 255, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    aside = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.mp4")
    try:
        with av.open(str(aside), "w", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(100_000))
            stream.height, stream.width = pixels.shape[1:]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.gop_size = 12
            stream.options = {"qp": "0", "preset": "veryfast"}  # without loss
            for frame in pixels:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="gray")))
            container.mux(stream.encode(None))
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def pack_arrays(truth: GroundTruth) -> bytes:
    """The arrays of a clip as an npz file."""
    arrays = {
        "joints_world": truth.joints_world,
        "joints_camera": truth.joints_3d,
        "joints_image": truth.joints_2d,
        "visible": truth.visible,
        "parts": truth.labels[:, 0],
        "viewmats": truth.camera.viewmats,
        "Ks": truth.camera.Ks,
    }
    plain = {name: (array.float() if array.is_floating_point() else array).numpy() for name, array in arrays.items()}
    content = io.BytesIO()
    np.savez_compressed(content, **plain)
    return content.getvalue()


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a clip, by the names of `ARRAYS`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


_NEEDED = (
    "key", "label", "class_name", "recipe", "sources", "identities", "subjects", "frames", "height", "width",
)  # fmt: skip
"""Columns without which a clip cannot be read, or not be told from held-out film."""


def read_row(content: str | bytes) -> Values:
    """The columns of a clip.

    Raises:
        ExportError: If they are not columns.
    """
    try:
        row = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ExportError(
            f"Expected the columns of a clip as JSON, got {content[:60]!r}. Export the run again."
        ) from error
    lacking = [name for name in _NEEDED if name not in row] if isinstance(row, dict) else [*_NEEDED]
    if lacking:
        raise ExportError(
            f"Expected the columns of a clip, with {', '.join(lacking)}, got {content[:60]!r}. Export the run again."
        )
    return row


def decode_film(film: bytes | Path, row: Values) -> UInt8[Tensor, "time 3 height width"]:
    """The frames of an exported film, sRGB, without the column or row that an odd side grew by.

    Raises:
        ExportError: If it is not a film of as many frames as its columns say.
    """
    key, frames, height, width = (row[name] for name in ("key", "frames", "height", "width"))
    if not (isinstance(frames, int) and isinstance(height, int) and isinstance(width, int)):
        raise ExportError(
            f"Expected frames, height and width of clip {key} to be whole numbers, got {frames!r}, {height!r} and "
            f"{width!r}. Export the run again."
        )
    source: BinaryIO | str = io.BytesIO(film) if isinstance(film, bytes) else str(film)
    try:
        with av.open(source, "r") as container:
            container.streams.video[0].codec_context.thread_count = 1  # workers are the parallelism
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise ExportError(
            f"Expected the film of clip {key}, got what is none ({error}). Export the run again."
        ) from error
    if len(pictures) != frames or pictures[0].shape[0] < height or pictures[0].shape[1] < width:
        shape = pictures[0].shape[:2] if pictures else "no picture"
        raise ExportError(
            f"Expected {frames} frames of {height}x{width} of clip {key}, got {len(pictures)} of {shape}. Export the "
            "run again."
        )
    return torch.from_numpy(np.stack(pictures)[:, :height, :width].transpose(0, 3, 1, 2).copy())


def decode_mask(mask: bytes | Path, row: Values) -> Bool[Tensor, "time 1 height width"]:
    """The mask of an exported clip; errors as for `decode_film`."""
    return decode_film(mask, row)[:, :1] >= COVERED
