"""Turn the stored numbers of splats into opacities, sizes and colours, whatever convention a file follows.

INRIA stores the logits of opacities and the logarithms of standard deviations. Some exporters store the values
themselves, and 2D Gaussian Splatting stores discs.
"""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import expit

Doubles: TypeAlias = NDArray[np.floating]
MIN_LOG_SCALE, MAX_LOG_SCALE = -23.0, 20.0
"""Logarithms are clipped to these: 1e-10 and 5e8 units."""
DISC = 0.05
"""Thickness of a disc, as a share of its shorter axis: thin, but not so thin that it vanishes seen from the side."""
_OPAQUE = 0.75
"""Opacity that at least a twentieth of a person's Gaussians have: one sees no wall through a person."""
_MAX_LOGIT = 50.0
"""Logits stay far below it, since opacities stop changing at 20; values up to 255 are another unit."""
_COVERING = (0.03, 4.0)
"""Standard deviations of Gaussians that cover a surface, over the distance of the third neighbour."""
_MIN_SPREAD = 0.4
"""Spread of logarithms: axes that differ by less than a factor of 1.5 are no logarithms of fitted Gaussians."""
_MAX_SIZE = 0.1
"""Metres: a hand. Gaussians of people are of millimetres to a few centimetres."""
SH0 = 0.28209479177387814
"""The constant spherical harmonic, 1 / (2 sqrt(pi))."""
_MAX_COEFFICIENT = 10.0
"""Coefficients of colours from 0 to 1 lie within 1.8 either way; highlights are a few times brighter."""
_SAMPLE = 2_000
"""Gaussians whose neighbours are looked at."""


def activate_opacities(stored: Doubles) -> tuple[Doubles, str]:
    """Opacities in 0..1, [G], and a note, empty for logits.

    Args:
        stored: Logits or opacities, [G]; inf and -inf are the logits of 1 and 0.

    Raises:
        ValueError: If they are neither.
    """
    low, high = float(stored.min()), float(stored.max())
    if low < 0 or low == high == 0:
        return expit(stored), ""
    if high <= 1 and np.quantile(stored, 0.95) >= _OPAQUE:
        return stored, "opacities were stored as such and not as logits"
    if high <= 1 or (high > _MAX_LOGIT and np.isfinite(high)):
        raise ValueError(
            f"its opacities lie between {low:.3g} and {high:.3g}, which are neither logits nor opacities from 0 to 1"
        )
    return expit(stored), ""


def activate_scales(stored: Doubles, means: Doubles) -> tuple[Doubles, str]:
    """Standard deviations, [G, 3], and a note, empty for three logarithms.

    Args:
        stored: Logarithms or standard deviations, [G, 3], or [G, 2] for discs.
        means: Positions, [G, 3].

    Raises:
        ValueError: If they can be read in two ways, or in none that leaves a person to be seen.
    """
    linear = _are_linear(stored, means)
    scales = stored if linear else np.exp(np.clip(stored, MIN_LOG_SCALE, MAX_LOG_SCALE))
    scales = np.maximum(scales, np.exp(MIN_LOG_SCALE))
    notes = ["scales were stored as such and not as logarithms"] if linear else []
    if scales.shape[1] == 2:
        scales = np.concatenate([scales, DISC * scales.min(axis=1, keepdims=True)], axis=1)
        notes.append("discs of 2D Gaussian Splatting became flat Gaussians")
    return scales, "; ".join(notes)


def activate_colors(stored: Doubles, *, as_such: bool) -> tuple[Doubles, str]:
    """Colours in 0..1, [G, 3], and a note, empty for coefficients of the constant harmonic.

    Args:
        stored: Coefficients or colours, [G, 3].
        as_such: Whether the file stores its opacities or scales as such: then colours between 0 and 1 are colours.

    Raises:
        ValueError: If they are neither, as with colours of 0 to 255.
    """
    low, high = np.quantile(stored, [0.001, 0.999])
    if as_such and low >= 0 and high <= 1 and low < 0.25 and high > 0.75:
        return stored, "colours were stored as such and not as coefficients of a harmonic"
    if np.quantile(np.abs(stored), 0.5) > _MAX_COEFFICIENT:
        raise ValueError(f"its f_dc lie between {low:.3g} and {high:.3g}, which are no coefficients of a harmonic")
    return np.clip(0.5 + SH0 * stored, 0, 1), ""


def _are_linear(stored: Doubles, means: Doubles) -> bool:
    """Whether these are standard deviations, which nothing but their size beside the Gaussians' distances tells."""
    if stored.min() < 0 or len(means) < 4:
        return False
    chosen = np.unique(np.linspace(0, len(means) - 1, _SAMPLE).round().astype(int))
    distance, _ = cKDTree(means).query(means[chosen], 4)
    apart = float(np.median(np.asarray(distance)[:, -1]))
    size = float(np.median(stored.max(axis=1)))
    low, high = (share * apart for share in _COVERING)
    as_such, as_logarithms = low <= size <= high, low <= np.exp(min(size, MAX_LOG_SCALE)) <= high
    spread = float(np.quantile(stored, 0.95) - np.quantile(stored, 0.05))
    as_logarithms &= spread < 1e-6 or spread > _MIN_SPREAD
    if as_such != as_logarithms:
        return as_such
    found = f"its scales are all positive (median {size:.3g}) and its Gaussians {apart:.3g} apart"
    if as_such:
        raise ValueError(f"{found}, so they may be standard deviations or logarithms: scale the scan to metres")
    raise ValueError(f"{found}: neither as logarithms nor as standard deviations do they cover a surface")


def check_sizes(scales: Doubles, source: Path) -> None:
    """Check that a person's Gaussians are small, standard deviations in metres, [G, 3].

    Raises:
        ValueError: If most are larger than a hand.
    """
    size = float(np.median(scales.max(axis=1)))
    if size > _MAX_SIZE:
        raise ValueError(
            f"Expected Gaussians of at most {_MAX_SIZE:g} m in '{source}', got a median of {size:.2g} m. Export scales "
            "as logarithms of standard deviations, in the unit of the positions."
        )
