"""Colours and sizes that kinds choose from: two families share none, so that one can stand for what is never seen."""

from collections.abc import Mapping, Sequence

import numpy as np

Rgb = list[float]
PALETTES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "studio": {
        "bright": ("d94f3d", "e8e4da", "3f74c4", "f0c43c", "2f9c77", "8d5bb5", "f4f4f2", "e77f9f"),
        "dull": ("3a3d44", "5b6470", "c9c7c1", "8c8275", "24303f", "a7aeb6"),
        "wood": ("a9794a", "c79d6c", "7d5331", "d9b98b"),
        "cloth": ("70839b", "a89f91", "5f7a63", "b0665a", "3f4a5e", "cfc6b4"),
        "skin": ("1d1f24", "e6e6e8", "30343c"),
    },
    "street": {
        "bright": ("ff7f2a", "18b6b0", "b8e04a", "7a2f2f", "1f2f7a", "ffd9c0", "5cc8ff", "a04a10"),
        "dull": ("101010", "6f5f52", "e2d8c4", "47594f", "8e8ea6", "503c50"),
        "wood": ("5a3a22", "e3c9a2", "8c6a4f", "38281c"),
        "cloth": ("8a4f6d", "d0a24c", "2f5f6f", "7f7f4a", "4b2f2f", "93a7bd"),
        "skin": ("40342b", "c9b7d8", "2b4a3c"),
    },
}  # fmt: skip
"""sRGB in hexadecimal, by family and use."""


def sample_colour(rng: np.random.Generator, family: str, use: str) -> Rgb:
    """One of a family's colours, a little lighter or darker: three plain numbers, 0..1.

    Raises:
        ValueError: If there is no such family.
    """
    if family not in PALETTES:
        raise ValueError(
            f"Expected the family of things to be one of {', '.join(PALETTES)}, got {family!r}. Correct "
            "synth.props.family."
        )
    palette = PALETTES[family][use]
    word = palette[int(rng.integers(len(palette)))]
    tone = float(rng.uniform(0.9, 1.1))
    return [round(min(int(word[k : k + 2], 16) / 255 * tone, 1.0), 3) for k in (0, 2, 4)]


def sample_size(rng: np.random.Generator, family: str, studio: Sequence[float], street: Sequence[float]) -> float:
    """A length from the range of a family, metres, to a tenth of a millimetre."""
    low, high = studio if family == "studio" else street
    return round(float(rng.uniform(low, high)), 4)


def darken(colour: Sequence[float], factor: float) -> Rgb:
    """The colour this many times as light."""
    return [min(1.0, part * factor) for part in colour]
