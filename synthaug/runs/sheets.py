"""Paint contact sheets, side-by-side films and stick figures, for previews and for what a run leaves behind."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from synthaug.body.skeleton import JOINT_NAMES, PARENTS
from synthaug.structures import Camera

_INK, _PAPER, _FAINT = (24, 24, 27), (250, 250, 249), (113, 113, 122)
_GAP, _MARGIN = 10, 16
_BONES = tuple((joint, parent) for joint, parent in enumerate(PARENTS) if parent >= 0 and joint < 22)
_SIDES = {0: (250, 204, 21), 1: (56, 189, 248), 2: (251, 113, 133)}
"""Colours of the trunk, the left and the right side."""


@dataclass(frozen=True, eq=False)
class Strip:
    """Frames of one clip, side by side.

    Attributes:
        title: Text written above it.
        video: All strips of a sheet show the same instants.
    """

    title: str
    video: UInt8[Tensor, "time 3 height width"]


@dataclass(frozen=True, eq=False)
class SheetRow:
    """One row of a contact sheet: a reference and what was made of it.

    Attributes:
        caption: Written above the row.
        strips: The reference first.
    """

    caption: str
    strips: tuple[Strip, ...]


def paint_sheet(
    rows: Sequence[SheetRow], *, title: str, note: str = "", frames: int = 4, side: int = 112
) -> UInt8[np.ndarray, "height width 3"]:
    """A contact sheet: a row for each reference, a strip for each clip, the same instants in every strip.

    Args:
        rows: All with the same number of strips for a tidy sheet.
        title: Written at the top.
        note: Written below it.
        frames: Instants shown of each clip, spread over it evenly.
        side: Height of a picture, pixels.

    Returns:
        The picture, sRGB.
    """
    columns = max((len(row.strips) for row in rows), default=1)
    wide = frames * (side + 2) - 2
    width = 2 * _MARGIN + columns * wide + (columns - 1) * _GAP
    line = side + 2 * 18 + _GAP
    head = 34 + (22 if note else 0)
    canvas = Image.new("RGB", (width, 2 * _MARGIN + head - 4 + len(rows) * line), _PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((_MARGIN, _MARGIN), title, fill=_INK, font=ImageFont.load_default(20))
    if note:
        pen.text((_MARGIN, _MARGIN + 26), note, fill=_INK, font=ImageFont.load_default(14))
    for number, row in enumerate(rows):
        top = _MARGIN + head + number * line
        pen.text((_MARGIN, top), row.caption, fill=_INK, font=ImageFont.load_default(14))
        for column, strip in enumerate(row.strips):
            left = _MARGIN + column * (wide + _GAP)
            pen.text((left, top + 18), strip.title, fill=_FAINT, font=ImageFont.load_default(12))
            for place, picture in enumerate(_instants(strip.video, frames, side)):
                canvas.paste(Image.fromarray(picture), (left + place * (side + 2), top + 36))
    return np.asarray(canvas)


def _instants(video: UInt8[Tensor, "time 3 height width"], frames: int, side: int) -> list[np.ndarray]:
    frames_shown = torch.linspace(0, len(video) - 1, frames).round().long()
    pictures = video[frames_shown].permute(0, 2, 3, 1).numpy()
    return [_fit_square(np.ascontiguousarray(picture), side) for picture in pictures]


def _fit_square(picture: np.ndarray, side: int) -> np.ndarray:
    """Scaled to this height and cut or padded to a square."""
    height, width = picture.shape[:2]
    scaled = cv2.resize(picture, (max(1, round(width * side / height)), side), interpolation=cv2.INTER_AREA)
    spare = scaled.shape[1] - side
    if spare >= 0:
        return np.ascontiguousarray(scaled[:, spare // 2 : spare // 2 + side])
    return cv2.copyMakeBorder(scaled, 0, 0, -spare // 2, spare // 2 - spare, cv2.BORDER_CONSTANT, value=_PAPER)


def join_strips(strips: Sequence[Strip], *, side: int) -> UInt8[Tensor, "time 3 height width"]:
    """A film of several clips beside each other with titles above, as long as the shortest clip."""
    length = min(len(strip.video) for strip in strips)
    frames = []
    for index in range(length):
        canvas = Image.new("RGB", (len(strips) * (side + 4) - 4, side + 22), _PAPER)
        pen = ImageDraw.Draw(canvas)
        for column, strip in enumerate(strips):
            left = column * (side + 4)
            pen.text((left + 4, 4), strip.title, fill=_INK, font=ImageFont.load_default(13))
            picture = np.ascontiguousarray(strip.video[index].permute(1, 2, 0).numpy())
            canvas.paste(Image.fromarray(_fit_square(picture, side)), (left, 22))
        frames.append(np.asarray(canvas))
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def paint_skeleton(
    video: UInt8[Tensor, "time 3 height width"], joints: Float[Tensor, "time 55 3"], camera: Camera
) -> UInt8[Tensor, "time 3 height width"]:
    """Frames with the body's bones painted over them: trunk yellow, left blue, right red.

    Args:
        video: Frames to paint on; they are not changed.
        joints: World positions, a frame for each picture.
        camera: Camera with the same frames and size.
    """
    points = torch.einsum("tij,tkj->tki", camera.viewmats[:, :3, :3], joints) + camera.viewmats[:, None, :3, 3]
    pixels = torch.einsum("tij,tkj->tki", camera.Ks, points)
    flat = (pixels[..., :2] / pixels[..., 2:].clamp(min=1e-3)).numpy()
    thick = max(1, round(camera.height / 120))
    painted = []
    for frame, places in zip(video.permute(0, 2, 3, 1).numpy(), flat, strict=True):
        picture = np.ascontiguousarray(frame)
        for joint, parent in _BONES:
            ends = [tuple(int(v) for v in np.clip(places[end], -4096, 4096)) for end in (parent, joint)]
            cv2.line(picture, ends[0], ends[1], _SIDES[_side(joint)], thick, cv2.LINE_AA)
        painted.append(picture)
    return torch.from_numpy(np.stack(painted)).permute(0, 3, 1, 2).contiguous()


def encode_png(picture: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """An sRGB picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def _side(joint: int) -> int:
    return 1 if JOINT_NAMES[joint].startswith("left") else 2 if JOINT_NAMES[joint].startswith("right") else 0
