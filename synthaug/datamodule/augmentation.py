"""Ordinary augmentation (crop, flip, colour, RandAugment): the same change for all frames, a new one for each epoch.

It applies to filmed and synthetic clips alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import no_type_check

import cv2
import numba
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.datamodule.randaugment import BINS, apply_operations, sample_operations
from synthaug.structures import Values

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of RGB in a pixel's grey value (Rec. 601), the same as in torchvision's `adjust_saturation`."""


@dataclass(frozen=True)
class Augmentation:
    """Random crop, flip and colour change, and RandAugment.

    `sample` samples plain values, and `apply` applies them without any randomness.

    Attributes:
        crop: Smallest share of the picture's side that a crop keeps; 1 keeps the whole picture.
        flip: Probability of mirroring. 0 by default, because left and right carry meaning in sign language and in many
            actions. A mirrored clip gets the label that the data set names for its mirror image; a class without one
            is never mirrored.
        color: Largest relative change of brightness, contrast and saturation.
        num_ops: Number of RandAugment operations, after those above; 0 for none.
        magnitude: Strength of the RandAugment operations, 0 to 30.
        speed: Largest change of a filmed clip's speed, as logarithm: 0.2 plays it up to 22 % faster or slower.
            Synthetic clips have `Variation.speed`, which changes their motion itself.
    """

    crop: float = 0.8
    flip: float = 0.0
    color: float = 0.2
    num_ops: int = 0
    magnitude: int = 9
    speed: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.speed < 1:
            raise ValueError(
                f"Expected augmentation.speed from 0 to below 1, got {self.speed}. Set a value in this range; 0.2 "
                "plays clips up to 22 % faster or slower."
            )
        if not (0 < self.crop <= 1 and 0 <= self.flip <= 1 and 0 <= self.color < 1):
            raise ValueError(
                "Expected augmentation.crop in (0, 1], flip in [0, 1] and color in [0, 1), got "
                f"crop={self.crop}, flip={self.flip}, color={self.color}. Set values in these ranges; crop=1 flip=0 "
                "color=0 changes nothing."
            )
        if self.num_ops < 0 or not 0 <= self.magnitude < BINS:
            raise ValueError(
                f"Expected augmentation.num_ops of 0 or more and magnitude from 0 to {BINS - 1}, got "
                f"num_ops={self.num_ops} and magnitude={self.magnitude}. Set both; num_ops=2 magnitude=9 is usual."
            )

    def sample(self, rng: np.random.Generator) -> Values:
        """Sample plain values."""
        side = float(rng.uniform(self.crop, 1))
        x, y, brightness, contrast, saturation, mirrored = rng.uniform(size=6)
        spread = [1 + self.color * (2 * float(share) - 1) for share in (brightness, contrast, saturation)]
        return {
            "side": side,
            "x": float(x),
            "y": float(y),
            "mirrored": bool(mirrored < self.flip),
            "brightness": spread[0],
            "contrast": spread[1],
            "saturation": spread[2],
            "operations": sample_operations(rng, num_ops=self.num_ops, magnitude=self.magnitude),
        }

    def apply(
        self, video: UInt8[Tensor, "time 3 height width"], values: Values
    ) -> UInt8[Tensor, "time 3 height width"]:
        """Apply sampled values. Values that change nothing return the same tensor."""
        numbers = {name: float(value) for name, value in values.items() if isinstance(value, (int, float))}
        video = _crop_and_resize(video, numbers["side"], numbers["x"], numbers["y"])
        if values["mirrored"]:
            video = video.flip(-1)
        video = _change_colors(video, numbers["brightness"], numbers["contrast"], numbers["saturation"])
        operations = values["operations"]
        assert isinstance(operations, list)
        return apply_operations(video, operations)


@dataclass(frozen=True)
class LabelledAugmentation:
    """Augmentation that keeps labels right: a mirrored clip may show another class.

    Attributes:
        augmentation: None changes nothing.
        mirror_labels: Label of the mirror image, by label; a class that is not in it is never mirrored.
    """

    augmentation: Augmentation | None
    mirror_labels: Mapping[int, int]

    def sample_speed(self, rng: np.random.Generator) -> float:
        """Sample how fast a filmed clip is played; 1 is as filmed."""
        if self.augmentation is None or self.augmentation.speed == 0:
            return 1.0
        return float(np.exp(rng.uniform(-self.augmentation.speed, self.augmentation.speed)))

    def sample(self, label: int, rng: np.random.Generator) -> tuple[Values, int]:
        """Sample the change of a clip of this label, and give the label of the changed clip."""
        if self.augmentation is None:
            return {}, label
        values = self.augmentation.sample(rng)
        mirrored = bool(values["mirrored"]) and label in self.mirror_labels
        return {**values, "mirrored": mirrored}, self.mirror_labels[label] if mirrored else label

    def apply(
        self, video: UInt8[Tensor, "time 3 height width"], values: Values
    ) -> UInt8[Tensor, "time 3 height width"]:
        """Apply sampled values."""
        return video if self.augmentation is None else self.augmentation.apply(video, values).contiguous()


def _crop_and_resize(video: Tensor, side: float, x: float, y: float) -> Tensor:
    height, width = video.shape[-2:]
    h, w = round(height * side), round(width * side)
    if (h, w) == (height, width):
        return video
    top, left = round(y * (height - h)), round(x * (width - w))
    # Plane by plane, without a copy: cv2 reads part of a plane in place, and interleaving colours would cost more.
    planes = video[..., top : top + h, left : left + w].reshape(-1, h, w).numpy()
    scaled = np.empty((len(planes), height, width), np.uint8)
    for plane, to in zip(planes, scaled, strict=True):
        cv2.resize(plane, (width, height), dst=to, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(scaled).view(video.shape)


def _change_colors(video: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
    """Change brightness, contrast (about the clip's mean) and saturation (about each pixel's grey), by one matrix."""
    if brightness == contrast == saturation == 1:
        return video
    mix = saturation * np.eye(3) + (1 - saturation) * LUMA
    mean = float(video.sum((0, 2, 3)).numpy() @ LUMA) / (video.numel() / 3) * brightness
    scaled = np.empty((len(video), 3, video[0, 0].numel()), np.uint8)
    matrix = np.column_stack([mix * (brightness * contrast), np.full(3, (1 - contrast) * mean)])
    _apply_color_matrix(video.contiguous().numpy().reshape(scaled.shape), matrix.astype(np.float32), scaled)
    return torch.from_numpy(scaled).view(video.shape)


@no_type_check
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _apply_color_matrix(frames, matrix, out):
    """Multiply every RGB by a 3x4 matrix (the last column is an offset), and round into uint8."""
    for t in range(frames.shape[0]):
        red, green, blue = frames[t, 0], frames[t, 1], frames[t, 2]
        for c in range(3):
            of_red, of_green, of_blue, offset = matrix[c]
            line = out[t, c]
            for i in range(line.shape[0]):
                value = of_red * np.float32(red[i]) + of_green * np.float32(green[i]) + of_blue * np.float32(blue[i])
                value = min(max(value + offset + np.float32(0.5), np.float32(0)), np.float32(255))
                line[i] = np.uint8(np.int32(value))
