"""Value noise in three dimensions, a pure function of position and seed."""

from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@no_type_check
@numba.njit(cache=True, nogil=True)
def _hash(x, y, z, seed):
    """A number in -1..1 for an integer cell (xorshift-multiply after Wang, 2007)."""
    mixed = np.uint32(x) * np.uint32(0x9E3779B1) + np.uint32(y) * np.uint32(0x85EBCA77)
    mixed = np.uint32(mixed + np.uint32(z) * np.uint32(0xC2B2AE3D) + np.uint32(seed))
    mixed = np.uint32((mixed ^ (mixed >> np.uint32(16))) * np.uint32(0x7FEB352D))
    mixed = np.uint32((mixed ^ (mixed >> np.uint32(15))) * np.uint32(0x846CA68B))
    mixed = np.uint32(mixed ^ (mixed >> np.uint32(16)))
    return np.float32(mixed) / np.float32(2147483648.0) - np.float32(1)


@no_type_check
@numba.njit(cache=True, nogil=True)
def _noise(places, seed, out):
    for i in range(len(places)):
        total = np.float32(0)
        fx, fy, fz = np.floor(places[i, 0]), np.floor(places[i, 1]), np.floor(places[i, 2])
        tx, ty, tz = places[i, 0] - fx, places[i, 1] - fy, places[i, 2] - fz
        tx = tx * tx * tx * (tx * (tx * 6 - 15) + 10)
        ty = ty * ty * ty * (ty * (ty * 6 - 15) + 10)
        tz = tz * tz * tz * (tz * (tz * 6 - 15) + 10)
        for corner in range(8):
            dx, dy, dz = corner & 1, corner >> 1 & 1, corner >> 2 & 1
            share = (tx if dx else 1 - tx) * (ty if dy else 1 - ty) * (tz if dz else 1 - tz)
            total += share * _hash(np.int64(fx) + dx, np.int64(fy) + dy, np.int64(fz) + dz, seed)
        out[i] = total


def noise(places: Floats, seed: int) -> Floats:
    """Smooth noise in -1..1, [P], at positions [P, 3] in units of its cells."""
    out = np.empty(len(places), np.float32)
    _noise(np.ascontiguousarray(places, np.float64), np.int64(seed & 0xFFFFFFFF), out)
    return out


def octaves(places: Floats, seed: int, count: int = 2) -> Floats:
    """Sum of noise at several scales, each half as large and half as strong as the one before, about -1..1."""
    total = np.zeros(len(places), np.float32)
    for k in range(count):
        total += noise(places * 2**k, seed + 101 * k) * np.float32(0.5**k)
    return total / np.float32(2 - 0.5 ** (count - 1))


def ridges(places: Floats, seed: int) -> Floats:
    """Noise with sharp crests, from 0 in the valleys to 1 on the crests, like creases of cloth."""
    return np.asarray((1 - np.abs(noise(places, seed))) ** 2.5, np.float32)


def grain(count: int, seed: int) -> Floats:
    """Independent noise in -1..1, one value for each of `count` points; a prefix of a longer list is the same."""
    cells = np.zeros((count, 3))
    cells[:, 0] = np.arange(count)
    return noise(cells, seed)
