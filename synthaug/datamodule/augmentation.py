"""Ordinary augmentation, the same draw for all frames of a clip: what changes between epochs.

Applied to filmed and synthetic clips alike, between their making and collation.
"""

from dataclasses import dataclass
from typing import no_type_check

import cv2
import numba
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.datamodule.randaugment import BINS, applied, draw
from synthaug.structures import Values

_LUMA = np.array([0.299, 0.587, 0.114])
"""Rec. 601, as torchvision's adjust_saturation uses."""


@dataclass(frozen=True)
class Augmentation:
    """Random crop, flip and colour, and RandAugment, in two halves like everything random.

    Attributes:
        crop: Smallest share of the picture's side that a crop keeps; 1 keeps the picture.
        flip: Chance of mirroring. 0 by default: handedness carries meaning in sign language and in many actions. A
            mirrored clip bears the label that the data set names for its mirror image; a class without one is never
            mirrored.
        color: Largest relative change of brightness, contrast and saturation.
        num_ops: Operations of RandAugment, after those above; 0 for none.
        magnitude: Their strength, 0 to 30.
    """

    crop: float = 0.8
    flip: float = 0.0
    color: float = 0.2
    num_ops: int = 0
    magnitude: int = 9

    def __post_init__(self) -> None:
        if not (0 < self.crop <= 1 and 0 <= self.flip <= 1 and 0 <= self.color < 1):
            raise ValueError(
                f"crop={self.crop}, flip={self.flip}, color={self.color} were given; crop in (0, 1], flip in [0, 1], "
                "color in [0, 1) were wanted. crop=1 flip=0 color=0 changes nothing."
            )
        if self.num_ops < 0 or not 0 <= self.magnitude < BINS:
            raise ValueError(
                f"num_ops={self.num_ops} and magnitude={self.magnitude} were given; 0 or more operations of a strength "
                f"from 0 to {BINS - 1} were wanted. num_ops=2 magnitude=9 is RandAugment's usual choice."
            )

    def sample(self, rng: np.random.Generator) -> Values:
        """Draw plain values."""
        side = float(rng.uniform(self.crop, 1))
        x, y, brightness, contrast, saturation, mirrored = rng.uniform(size=6)
        spread = [1 + self.color * (2 * float(share) - 1) for share in (brightness, contrast, saturation)]
        return {
            "side": side, "x": float(x), "y": float(y), "mirrored": bool(mirrored < self.flip),
            "brightness": spread[0], "contrast": spread[1], "saturation": spread[2],
            "operations": draw(rng, num_ops=self.num_ops, magnitude=self.magnitude),
        }  # fmt: skip

    def apply(
        self, video: UInt8[Tensor, "time 3 height width"], values: Values
    ) -> UInt8[Tensor, "time 3 height width"]:
        """Apply drawn values; draws nothing. What changes nothing returns the same tensor."""
        drawn = {name: float(value) for name, value in values.items() if isinstance(value, (int, float))}
        video = _cropped(video, drawn["side"], drawn["x"], drawn["y"])
        if values["mirrored"]:
            video = video.flip(-1)
        video = _coloured(video, drawn["brightness"], drawn["contrast"], drawn["saturation"])
        operations = values["operations"]
        assert isinstance(operations, list)
        return applied(video, operations)


def _cropped(video: Tensor, side: float, x: float, y: float) -> Tensor:
    height, width = video.shape[-2:]
    h, w = round(height * side), round(width * side)
    if (h, w) == (height, width):
        return video
    top, left = round(y * (height - h)), round(x * (width - w))
    # Plane by plane, as they lie: cv2 reads a part of a plane where it is, and interleaving colours costs more.
    planes = video[..., top : top + h, left : left + w].reshape(-1, h, w).numpy()
    scaled = np.empty((len(planes), height, width), np.uint8)
    for plane, to in zip(planes, scaled, strict=True):
        cv2.resize(plane, (width, height), dst=to, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(scaled).view(video.shape)


def _coloured(video: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
    """Brightness, contrast about the clip's mean, saturation about each pixel's grey, as one affine map of RGB."""
    if brightness == contrast == saturation == 1:
        return video
    mix = saturation * np.eye(3) + (1 - saturation) * _LUMA
    mean = float(video.sum((0, 2, 3)).numpy() @ _LUMA) / (video.numel() / 3) * brightness
    scaled = np.empty((len(video), 3, video[0, 0].numel()), np.uint8)
    matrix = np.column_stack([mix * (brightness * contrast), np.full(3, (1 - contrast) * mean)])
    _mapped(video.contiguous().numpy().reshape(scaled.shape), matrix.astype(np.float32), scaled)
    return torch.from_numpy(scaled).view(video.shape)


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _mapped(frames, matrix, out):
    """Every RGB through a matrix and an offset, rounded into uint8."""
    for t in range(frames.shape[0]):
        red, green, blue = frames[t, 0], frames[t, 1], frames[t, 2]
        for c in range(3):
            of_red, of_green, of_blue, offset = matrix[c]
            line = out[t, c]
            for i in range(line.shape[0]):
                value = of_red * np.float32(red[i]) + of_green * np.float32(green[i]) + of_blue * np.float32(blue[i])
                value = min(max(value + offset + np.float32(0.5), np.float32(0)), np.float32(255))
                line[i] = np.uint8(np.int32(value))
