"""RandAugment for clips: torchvision's picture operations, the same for every frame of a clip."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from synthaug.structures import Plain

BINS = 31
"""Number of magnitudes: 0 to 30, as in the paper."""

Operation: TypeAlias = Callable[[Tensor, float, tuple[int, int]], Tensor]
"""Changes a video, given a signed strength (-1 to 1, share of the operation's range) and its (height, width)."""


def _affine(
    video: Tensor, *, angle: float = 0.0, shift: Sequence[float] = (0.0, 0.0), shear: Sequence[float] = (0.0, 0.0)
) -> Tensor:
    return functional.affine(
        video,
        angle=angle,
        translate=[round(length) for length in shift],
        scale=1.0,
        shear=list(shear),
        interpolation=InterpolationMode.BILINEAR,
    )


_SHEAR_DEG, _SHIFT, _ANGLE_DEG, _COLOR = 17.0, 0.3, 30.0, 0.9
OPERATIONS: dict[str, tuple[Operation, bool]] = {
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
"""Each operation, and whether its strength has a sign, by name. Ranges are the paper's, at its largest magnitude."""


def sample_operations(rng: np.random.Generator, *, num_ops: int, magnitude: int) -> list[Plain]:
    """Sample operations, as names and signed strengths in turn: [name, strength, name, strength, ...].

    Args:
        rng: Source of randomness.
        num_ops: Number of operations; the same one may come twice.
        magnitude: Their strength, 0 to 30.

    Source:
        Cubuk, Zoph, Shlens and Le, "RandAugment", NeurIPS 2020.
    """
    operations: list[Plain] = []
    names = list(OPERATIONS)
    for _ in range(num_ops):
        name = names[int(rng.integers(len(names)))]
        sign = -1.0 if rng.random() < 0.5 and OPERATIONS[name][1] else 1.0
        operations += [name, sign * magnitude / (BINS - 1)]
    return operations


def apply_operations(
    video: UInt8[Tensor, "time 3 height width"], operations: Sequence[Plain]
) -> UInt8[Tensor, "time 3 height width"]:
    """Apply sampled operations one after the other. What a shift uncovers is black, as in the paper."""
    size = (video.shape[-2], video.shape[-1])
    for name, strength in zip(operations[::2], operations[1::2], strict=True):
        assert isinstance(name, str) and isinstance(strength, float)
        video = OPERATIONS[name][0](video, strength, size)
    return video
