"""The jaw's rotation from mediapipe's landmarks of the face. Pure functions."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

FACE_POINTS = 468
_LIPS = (13, 14)
"""The middles of the upper and of the lower lip, on the inside, in mediapipe's canonical face."""
_EYES = (33, 263)
"""The outer corners of both eyes."""
_EYE_DISTANCE = 0.089
"""Metres between them: the mean of women and men (Farkas, Anthropometry of the Head and Face, 1994: 87 and 91 mm)."""
_LEVER = 0.09
"""Metres from the axis of the jaw to the lips."""
_WIDEST = 0.5
"""Radians: 43 mm between the lips, which is as wide as most people can."""
_CLOSED = 0.04
"""Largest gap between closed lips, in distances of the eyes."""
_SEEN = 0.3
"""Smallest share of looks that must show the face."""


def jaw_pose(points: Float[Tensor, "time point 3"], *, step: int = 1) -> Float[Tensor, "time 3"]:
    """Rotation of the jaw, axis-angle in SMPL-X's axes: positive about x opens the mouth.

    The gap between the lips, in distances of the eyes, is that of a mean face whose jaw turns as a hinge. The gap that
    the mouth closes to, a few millimetres of landmarks' error, counts as closed. Single looks are outvoted by their
    neighbours, and frames without a face are bridged; where hardly any look shows one, the mouth stays closed.

    Args:
        points: Landmarks of the face; pixels, and depth in pixels. nan where no face was found.
        step: Every so many frames were looked at, from the first on.
    """
    gap = find_gap(points[::step])
    seen = gap.isfinite()
    angle = torch.zeros(len(points))
    if seen.any() and float(seen.float().mean()) >= _SEEN:
        at = seen.nonzero().squeeze(1)
        steady = _outvote(gap[at])
        opened = steady.sub(min(float(steady.quantile(0.1)), _CLOSED)).clamp(min=0) * _EYE_DISTANCE / _LEVER
        turned = opened.clamp(max=math.sin(_WIDEST)).asin()
        frames = np.interp(np.arange(len(points)), (at * step).numpy(), turned.numpy())
        angle = torch.from_numpy(frames.astype(np.float32))
    return torch.stack([angle, torch.zeros_like(angle), torch.zeros_like(angle)], dim=-1)


def find_gap(points: Float[Tensor, "time point 3"]) -> Float[Tensor, " time"]:
    """Gap between the lips, in distances of the eyes' outer corners; nan without a face."""
    eyes, lips = ((points[:, a] - points[:, b]).norm(dim=-1) for a, b in (_EYES, _LIPS))
    return lips / eyes.clamp(min=1e-6)


def _outvote(values: Float[Tensor, " time"]) -> Float[Tensor, " time"]:
    """The median of every three in a row."""
    around = torch.cat([values[:1], values, values[-1:]]).unfold(0, 3, 1)
    return around.median(dim=-1).values
