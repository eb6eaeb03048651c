"""Bake what people wear into `synthaug/assets/attire.npz`, for scans. Run once by hand, never by the package.

    python scripts/bake_attire.py

1. Dress procedural people of the "street" family and measure, at the body's first surface points, how far the outermost
   Gaussians stand off the bare skin along its normal.
2. Compute mean and principal components of those distances over the people, and the spread that they do not explain.
3. Compute mean and covariance of the body's coefficients, for men and for women: which bodies people can have.

People of the "studio" family are not used here: they are for tests.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from synthaug.avatars.procedural.dressing import dress
from synthaug.avatars.procedural.figure import figure, points
from synthaug.avatars.procedural.wardrobe import ProceduralPerson, sample_person

FAMILY = "street"
BETAS = 18
UNSEEN = 0.05
"""Spread in metres of places that are seldom seen from outside, such as the mouth: nothing is known about them."""


def distances(person: ProceduralPerson, count: int, *, gaussians: int) -> NDArray[np.floating]:
    """Metres that clothes, shoes or hair lie outside the skin at each of the first points; NaN where nothing does.

    It iterates as a fit does: find the Gaussian nearest to the assumed surface, move the surface there, and repeat.
    """
    patch, _ = dress(person, gaussians)
    body, spread = figure(person.betas), points().take(np.arange(count))
    skin, normals = spread.on(body.vertices).astype(float), spread.on(body.normals).astype(float)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    tree, found = cKDTree(patch.means), np.full(count, 0.01)
    for _ in range(6):
        off = patch.means[tree.query(skin + found[:, None] * normals)[1]] - skin
        found = np.clip(np.einsum("pi,pi->p", off, normals), -0.02, 0.10)
    aside = np.linalg.norm(off - found[:, None] * normals, axis=1)
    return np.where(aside < 0.02, found, np.nan)


def components(
    measured: NDArray[np.floating], count: int
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Mean [S], modes [S, count] of one standard deviation each, and the spread [S] that they do not explain."""
    seen = ~np.isnan(measured)
    mean = np.where(seen, measured, 0).sum(0) / np.maximum(seen.sum(0), 1)
    centred = np.where(seen, measured - mean, 0)
    people, strengths, places = np.linalg.svd(centred, full_matrices=False)
    modes = (places[:count] * strengths[:count, None] / np.sqrt(len(measured) - 1)).T
    left = centred - (people[:, :count] * strengths[:count]) @ places[:count]
    freedom = np.maximum(seen.sum(0) - 1 - count * seen.mean(0), 1)
    spread = np.sqrt((left**2).sum(0) / freedom)
    return mean, modes, np.where(seen.mean(0) < 0.5, UNSEEN, spread)


def bodies(count: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Means [2, 18] and covariances [2, 18, 18] of the coefficients of men and women."""
    people = [sample_person(FAMILY, seed) for seed in range(1000, 1000 + count)]
    found = []
    for sex in (0.0, 1.0):
        betas = np.array([person.betas[:BETAS] for person in people if person.female == sex], float)
        found.append((betas.mean(0), np.cov(betas.T)))
    return np.array([mean for mean, _ in found]), np.array([covariance for _, covariance in found])


def main() -> None:
    """Bake from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "synthaug" / "assets" / "attire.npz")
    parser.add_argument("--people", type=int, default=112)
    parser.add_argument("--points", type=int, default=4000)
    parser.add_argument("--modes", type=int, default=16)
    parser.add_argument("--gaussians", type=int, default=12_000)
    chosen = parser.parse_args()
    people = [sample_person(FAMILY, seed) for seed in range(chosen.people)]
    measured = np.array([distances(person, chosen.points, gaussians=chosen.gaussians) for person in people])
    mean, modes, spread = components(measured, chosen.modes)
    means, covariances = bodies(1500)
    np.savez_compressed(
        chosen.out, mean=mean.astype(np.float16), modes=modes.astype(np.float16), spread=spread.astype(np.float16),
        betas=means.astype(np.float32), covariances=covariances.astype(np.float32),
    )  # fmt: skip
    print(f"{chosen.out}: {1e3 * mean.mean():.1f} mm off the skin, {1e3 * np.median(spread):.1f} mm of it unexplained")


if __name__ == "__main__":
    main()
