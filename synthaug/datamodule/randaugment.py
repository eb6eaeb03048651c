"""RandAugment for clips: operations of the picture, the same draw for every frame.

Below `Augmentation`; the operations themselves are torchvision's.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from synthaug.structures import Plain

BINS = 31
"""Magnitudes run from 0 to 30, as in the paper."""

Operation: TypeAlias = Callable[[Tensor, float, tuple[int, int]], Tensor]
"""A video, a signed strength (-1 to 1 of the range) and its height and width, to a video."""


def _affine(
    video: Tensor, *, angle: float = 0.0, shift: Sequence[float] = (0.0, 0.0), shear: Sequence[float] = (0.0, 0.0)
) -> Tensor:
    return functional.affine(
        video, angle=angle, translate=[round(length) for length in shift], scale=1.0, shear=list(shear),
        interpolation=InterpolationMode.BILINEAR,
    )  # fmt: skip


_SHEAR_DEG, _SHIFT, _ANGLE_DEG, _COLOR = 17.0, 0.3, 30.0, 0.9
_OPERATIONS: dict[str, tuple[Operation, bool]] = {
    "identity": (lambda video, s, size: video, False),
    "shear_x": (lambda video, s, size: _affine(video, shear=(_SHEAR_DEG * s, 0.0)), True),
    "shear_y": (lambda video, s, size: _affine(video, shear=(0.0, _SHEAR_DEG * s)), True),
    "translate_x": (lambda video, s, size: _affine(video, shift=(_SHIFT * s * size[1], 0.0)), True),
    "translate_y": (lambda video, s, size: _affine(video, shift=(0.0, _SHIFT * s * size[0])), True),
    "rotate": (lambda video, s, size: _affine(video, angle=_ANGLE_DEG * s), True),
    "brightness": (lambda video, s, size: functional.adjust_brightness(video, 1 + _COLOR * s), True),
    "color": (lambda video, s, size: functional.adjust_saturation(video, 1 + _COLOR * s), True),
    "contrast": (lambda video, s, size: functional.adjust_contrast(video, 1 + _COLOR * s), True),
    "sharpness": (lambda video, s, size: functional.adjust_sharpness(video, 1 + _COLOR * s), True),
    "posterize": (lambda video, s, size: functional.posterize(video, 8 - round(4 * s)), False),
    "solarize": (lambda video, s, size: functional.solarize(video, 255 * (1 - s)), False),
    "autocontrast": (lambda video, s, size: functional.autocontrast(video), False),
    "equalize": (lambda video, s, size: functional.equalize(video), False),
}
"""What is done, and whether it has a direction, by name; ranges are the paper's for its largest magnitude."""


def draw(rng: np.random.Generator, *, num_ops: int, magnitude: int) -> list[Plain]:
    """Names and signed strengths of operations, one after the other: [name, strength, name, strength, ...].

    Args:
        rng: Where chance comes from.
        num_ops: Operations in a row; the same one may come twice.
        magnitude: Their strength, 0 to 30.

    Source:
        Cubuk, Zoph, Shlens and Le, "RandAugment", NeurIPS 2020.
    """
    drawn: list[Plain] = []
    names = list(_OPERATIONS)
    for _ in range(num_ops):
        name = names[int(rng.integers(len(names)))]
        sign = -1.0 if rng.random() < 0.5 and _OPERATIONS[name][1] else 1.0
        drawn += [name, sign * magnitude / (BINS - 1)]
    return drawn


def applied(
    video: UInt8[Tensor, "time 3 height width"], drawn: Sequence[Plain]
) -> UInt8[Tensor, "time 3 height width"]:
    """The video after what `draw` drew; draws nothing. What leaves the picture comes in black, as in the paper."""
    size = (video.shape[-2], video.shape[-1])
    for name, strength in zip(drawn[::2], drawn[1::2], strict=True):
        assert isinstance(name, str) and isinstance(strength, float)
        video = _OPERATIONS[name][0](video, strength, size)
    return video
