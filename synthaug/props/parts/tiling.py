"""Lay out tiles of surfaces: each patch is a row of numbers, and one compiled loop makes the Gaussians of all."""

import math
from typing import Literal, NamedTuple, TypeAlias, no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]
Triple: TypeAlias = tuple[float, float, float]
PatchKind: TypeAlias = Literal[0, 1, 2]

GRID: PatchKind = 0
"""A parallelogram from a corner: its axes are both sides and the normal."""
RING: PatchKind = 1
"""A ring of a body of revolution: its axes are those of the body, stretched; its shape is radius, height, both parts of
the outline's direction, and the sizes of tiles along the outline and around."""
NEEDLES: PatchKind = 2
"""A row of long Gaussians: its axes are the whole way and two directions across; its shape is their radius."""
OPACITY = 0.96
WIDTH = 0.58
"""Standard deviation of a Gaussian, as a share of the spacing: tiles of such Gaussians are even to 3 % and closed."""
THIN = 0.12
"""Thickness, as a share of the spacing."""
LEAST = 0.0015
"""Metres: no Gaussian is thinner than half of it."""
NOTHING: Triple = (0.0, 0.0, 0.0)

_kernel = numba.njit(nogil=True, cache=True, error_model="numpy")


class Patch(NamedTuple):
    """A part of a surface that is tiled in rows and columns.

    Attributes:
        kind: GRID, RING or NEEDLES.
        rows: Tiles along its first direction.
        columns: Tiles along its second direction, or around.
        origin: Corner, middle or first end, metres.
        first: See the kinds.
        second: See the kinds.
        third: See the kinds.
        shape: See the kinds; zeros where a kind needs none.
        color: sRGB.
        opacity: 0..1.
    """

    kind: PatchKind
    rows: int
    columns: int
    origin: Triple
    first: Triple
    second: Triple
    third: Triple
    shape: tuple[float, float, float, float, float, float]
    color: Triple = NOTHING
    opacity: float = OPACITY


class Tiles(NamedTuple):
    """The tiles of a surface, float32.

    Attributes:
        means: [N, 3].
        quats: wxyz, [N, 4]: columns of their matrices are two directions along the surface, and across it.
        scales: Standard deviations along these, [N, 3].
        normals: Outward, unit length, [N, 3].
        colors: sRGB, [N, 3].
        opacities: [N].
    """

    means: Floats
    quats: Floats
    scales: Floats
    normals: Floats
    colors: Floats
    opacities: Floats


def lay_tiles(patches: list[Patch]) -> Tiles:
    """The tiles of patches, in their order."""
    rows = [
        (kind, rows, columns, *origin, *first, *second, *third, *shape, *color, opacity)
        for kind, rows, columns, origin, first, second, third, shape, color, opacity in patches
    ]
    count = sum(patch.rows * patch.columns for patch in patches)
    means, quats, scales, normals, colors = (np.empty((count, width), np.float32) for width in (3, 4, 3, 3, 3))
    tiles = Tiles(means, quats, scales, normals, colors, np.empty(count, np.float32))
    _lay(np.array(rows, np.float64).reshape(len(rows), -1), *tiles)
    return tiles


@_kernel
@no_type_check
def _lay(table, means, quats, scales, normals, colors, opacities):
    """Fill the arrays of tiles; a row of the table is a `Patch`, flat."""
    at = 0
    along, normal, second = np.empty(3), np.empty(3), np.empty(3)
    for p in range(len(table)):
        row = table[p]
        kind, rows, columns = int(row[0]), int(row[1]), int(row[2])
        o, a, b, c, shape = row[3:6], row[6:9], row[9:12], row[12:15], row[15:21]
        length_a = math.sqrt(a[0] ** 2 + a[1] ** 2 + a[2] ** 2)
        length_b = math.sqrt(b[0] ** 2 + b[1] ** 2 + b[2] ** 2)
        length_c = math.sqrt(c[0] ** 2 + c[1] ** 2 + c[2] ** 2)
        for i in range(rows):
            for j in range(columns):
                if kind == 0:
                    wide, tall = length_a / rows, length_b / columns
                    thin = THIN * min(wide, tall)
                    for k in range(3):
                        means[at, k] = o[k] + (i + 0.5) / rows * a[k] + (j + 0.5) / columns * b[k]
                        along[k], normal[k] = a[k] / length_a, c[k]
                elif kind == 1:
                    # The body's axes are stretched: directions along the surface stretch, normals shrink.
                    most = max(length_a, length_b, length_c)
                    wide, tall, thin = shape[4] * most, shape[5] * most, THIN * min(shape[4], shape[5])
                    turn = 2 * math.pi * (j + 0.5) / columns
                    x, z = math.cos(turn), math.sin(turn)
                    r, y, dr, dy = shape[0], shape[1], shape[2], shape[3]
                    for k in range(3):
                        means[at, k] = o[k] + r * x * a[k] + y * b[k] + r * z * c[k]
                        along[k] = dr * x * a[k] + dy * b[k] + dr * z * c[k]
                        normal[k] = dy * (x * a[k] / length_a**2 + z * c[k] / length_c**2) - dr * b[k] / length_b**2
                else:
                    wide, tall, thin = length_a / rows, shape[0], shape[0]
                    for k in range(3):
                        means[at, k] = o[k] + (i + 0.5) / rows * a[k]
                        along[k], normal[k] = a[k] / length_a, c[k]
                _orthogonalise(along, normal, second)
                _write_quat(along, second, normal, quats[at])
                scales[at, 0] = max(WIDTH * wide, LEAST / 2)
                scales[at, 1] = max(tall if kind == 2 else WIDTH * tall, LEAST / 2)
                scales[at, 2] = max(thin, LEAST / 2)
                for k in range(3):
                    normals[at, k], colors[at, k] = normal[k], row[21 + k]
                opacities[at] = row[24]
                at += 1


@_kernel
@no_type_check
def _orthogonalise(along, normal, second):
    """Make the normal and what is along the surface unit vectors at a right angle, and find the direction of both."""
    size = math.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
    for k in range(3):
        normal[k] /= size
    share = along[0] * normal[0] + along[1] * normal[1] + along[2] * normal[2]
    for k in range(3):
        along[k] -= share * normal[k]
    size = math.sqrt(along[0] ** 2 + along[1] ** 2 + along[2] ** 2)
    for k in range(3):
        along[k] /= size
    second[0] = normal[1] * along[2] - normal[2] * along[1]
    second[1] = normal[2] * along[0] - normal[0] * along[2]
    second[2] = normal[0] * along[1] - normal[1] * along[0]


@_kernel
@no_type_check
def _write_quat(x, y, z, quat):
    """The quaternion (wxyz) of the rotation with these columns, by its largest part, which is stable at any angle."""
    squares = (
        1 + x[0] + y[1] + z[2],
        1 + x[0] - y[1] - z[2],
        1 - x[0] + y[1] - z[2],
        1 - x[0] - y[1] + z[2],
    )
    largest = 0
    for k in range(1, 4):
        if squares[k] > squares[largest]:
            largest = k
    s = 0.5 / math.sqrt(squares[largest])
    xy, xz, yz = x[1] + y[0], x[2] + z[0], y[2] + z[1]
    wx, wy, wz = y[2] - z[1], z[0] - x[2], x[1] - y[0]
    big = squares[largest]
    if largest == 0:
        quat[0], quat[1], quat[2], quat[3] = big * s, wx * s, wy * s, wz * s
    elif largest == 1:
        quat[0], quat[1], quat[2], quat[3] = wx * s, big * s, xy * s, xz * s
    elif largest == 2:
        quat[0], quat[1], quat[2], quat[3] = wy * s, xy * s, big * s, yz * s
    else:
        quat[0], quat[1], quat[2], quat[3] = wz * s, xz * s, yz * s, big * s
