"""The prior of a fit to a dressed person: which bodies exist, and how far clothes, shoes and hair stand off them.

It was measured once on procedural people of the street family (scripts/bake_attire.py). The importer is tested on
people of the studio family, who wear nothing of that wardrobe.
"""

import functools
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from synthaug.avatars.procedural.figure import neighbours, points

Doubles: TypeAlias = NDArray[np.floating]
MODES = 16
"""Principal components of how clothes differ between people, each scaled to one standard deviation."""


@dataclass(frozen=True, eq=False)
class Attire:
    """Distance of clothes from the skin, along its normal, at the body's first surface points.

    Attributes:
        mean: Mean distance, metres, [S].
        modes: Change for one standard deviation of each mode, metres, [S, MODES].
        spread: Standard deviation that the modes leave unexplained, metres, [S].
    """

    mean: Doubles
    modes: Doubles
    spread: Doubles


@dataclass(frozen=True, eq=False)
class Population:
    """A normal distribution of the body's shape coefficients.

    Attributes:
        mean: Mean of the coefficients, [18].
        precision: Inverse of their covariance, [18, 18].
        rarity: Logarithm of the covariance's determinant, which is added when populations are compared.
    """

    mean: Doubles
    precision: Doubles
    rarity: float


def load_attire(count: int) -> Attire:
    """Attire at the body's first `count` surface points; points that were not measured average their nearest four."""
    stored = _load_asset()
    mean, modes, spread = (stored[name].astype(float) for name in ("mean", "modes", "spread"))
    if count <= len(mean):
        return Attire(mean[:count], modes[:count], spread[:count])
    places = points().canonical
    distance, index = neighbours(places[: len(mean)], places[:count], 4)
    share = 1 / (distance + 1e-4)
    share = share / share.sum(1, keepdims=True)
    return Attire(*(np.einsum("pk,pk...->p...", share, values[index]) for values in (mean, modes, spread)))


@functools.cache
def load_populations(softness: float) -> tuple[Population, ...]:
    """Men and women, with `softness` added to the variance of every coefficient.

    Once the sex is known, only about ten of the eighteen coefficients vary freely, so the parts of a body that clothes
    hide follow from the parts that they show.
    """
    stored = _load_asset()
    both = []
    for mean, covariance in zip(stored["betas"].astype(float), stored["covariances"].astype(float), strict=True):
        loose = covariance + softness * np.eye(len(mean))
        both.append(Population(mean, np.linalg.inv(loose), float(np.linalg.slogdet(loose)[1])))
    return tuple(both)


def anyone(count: int) -> Population:
    """People of unknown sex: all coefficients independent and standard normal."""
    return Population(np.zeros(count), np.eye(count), 0.0)


@functools.cache
def _load_asset() -> dict[str, np.ndarray]:
    content = (files("synthaug") / "assets" / "attire.npz").read_bytes()
    with np.load(BytesIO(content), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
