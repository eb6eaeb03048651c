"""What a fit may believe of a dressed person: which bodies there are, and how far what is worn stands off them.

Below the .ply importer. Measured once on procedural people of the street family (scripts/bake_attire.py); those of the
studio family, with whom the importer is tested, wear none of it.
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
"""Ways in which clothes differ from person to person, each with an amplitude of one standard deviation."""


@dataclass(frozen=True, eq=False)
class Attire:
    """Distance of what is worn from the skin, along its normal, at the first sample points of the body.

    Attributes:
        mean: Metres, [S].
        modes: Metres for each standard deviation of each mode, [S, MODES].
        spread: Metres that the modes leave unexplained, one standard deviation, [S].
    """

    mean: Doubles
    modes: Doubles
    spread: Doubles


@dataclass(frozen=True, eq=False)
class Population:
    """Bodies that go together: a normal distribution of the body's coefficients.

    Attributes:
        mean: Of the coefficients, [18].
        precision: Inverse of their covariance, [18, 18].
        rarity: Logarithm of the covariance's determinant; what is added when populations are compared.
    """

    mean: Doubles
    precision: Doubles
    rarity: float


def attire(count: int) -> Attire:
    """At the first `count` sample points of the body; those that were not measured take after the nearest four."""
    stored = _stored()
    mean, modes, spread = (stored[name].astype(float) for name in ("mean", "modes", "spread"))
    if count <= len(mean):
        return Attire(mean[:count], modes[:count], spread[:count])
    places = points().canonical
    distance, index = neighbours(places[: len(mean)], places[:count], 4)
    share = 1 / (distance + 1e-4)
    share = share / share.sum(1, keepdims=True)
    return Attire(*(np.einsum("pk,pk...->p...", share, values[index]) for values in (mean, modes, spread)))


@functools.cache
def populations(softness: float) -> tuple[Population, ...]:
    """Men and women, each believed more loosely by a variance of `softness` in every coefficient.

    Only some ten of the eighteen coefficients vary freely once the sex is known, so that what clothes hide of a body
    follows from what they show.
    """
    stored = _stored()
    found = []
    for mean, covariance in zip(stored["betas"].astype(float), stored["covariances"].astype(float), strict=True):
        loose = covariance + softness * np.eye(len(mean))
        found.append(Population(mean, np.linalg.inv(loose), float(np.linalg.slogdet(loose)[1])))
    return tuple(found)


def anyone(count: int) -> Population:
    """People whose sex is not known: all coefficients independent, as the body was made."""
    return Population(np.zeros(count), np.eye(count), 0.0)


@functools.cache
def _stored() -> dict[str, np.ndarray]:
    content = (files("synthaug") / "assets" / "attire.npz").read_bytes()
    with np.load(BytesIO(content), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
