"""Cover surfaces with Gaussians: boxes, bodies of revolution, rods. Pure functions; y up, metres.

Each function tiles its surface evenly, whatever the spacing, so that a coarse thing has no holes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from synthaug.body.rotations import matrix_to_quat
from synthaug.structures import Level

Floats: TypeAlias = NDArray[np.floating]
Colour: TypeAlias = Sequence[float | int] | Callable[[Floats], Floats]
"""One sRGB colour, or the colours of these points: [N, 3] to [N, 3]."""
Point: TypeAlias = Sequence[float | int] | Floats

OPACITY = 0.96
WIDTH = 0.58
"""Standard deviation of a Gaussian, as a share of the spacing: tiles of such Gaussians are even to 3 % and closed."""
THIN = 0.12
"""Thickness, as a share of the spacing."""
LEAST = 0.0015
"""Metres: no Gaussian is thinner."""
FACES = {"-x": (0, -1), "+x": (0, 1), "-y": (1, -1), "+y": (1, 1), "-z": (2, -1), "+z": (2, 1)}


@dataclass(frozen=True, eq=False)
class Surface:
    """Tiles of a surface, each of which becomes a Gaussian.

    Attributes:
        means: Their middles, [N, 3].
        axes: Rows are two directions along the surface and the outward normal, [N, 3, 3].
        scales: Standard deviations along these, [N, 3].
        colors: sRGB, [N, 3].
        opacities: 0..1, [N].
    """

    means: Floats
    axes: Floats
    scales: Floats
    colors: Floats
    opacities: Floats

    def moved(self, shift: Point = (0.0, 0.0, 0.0), R: Floats | None = None) -> "Surface":
        """The surface turned by R, then moved."""
        turned = self if R is None else replace(self, means=self.means @ R.T, axes=self.axes @ R.T)
        return replace(turned, means=turned.means + np.asarray(shift, float))

    def clear(self, opacity: float) -> "Surface":
        """The surface made transparent."""
        return replace(self, opacities=np.full(len(self.means), opacity))


def join(*surfaces: Surface) -> Surface:
    """All tiles of several surfaces."""
    return Surface(*(np.concatenate([getattr(one, name) for one in surfaces]) for name in Surface.__dataclass_fields__))


def level_of(surface: Surface) -> Level:
    """The Gaussians of a surface, moved by one joint."""
    count = len(surface.means)
    axes = surface.axes.copy()
    axes[np.linalg.det(axes) < 0, 0] *= -1
    quats = matrix_to_quat(torch.from_numpy(np.ascontiguousarray(axes.transpose(0, 2, 1), np.float32)))
    return Level(
        means=_tensor(surface.means),
        quats=torch.nn.functional.normalize(quats, dim=-1),
        scales=_tensor(np.maximum(surface.scales, LEAST / 2)),
        opacities=_tensor(surface.opacities),
        colors=_tensor(surface.colors).clamp(0, 1),
        joint_ids=torch.zeros(count, 1, dtype=torch.int64),
        weights=torch.ones(count, 1),
        normals=_tensor(surface.axes[:, 2]),
    )


def _tensor(values: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _paint(colour: Colour, points: Floats) -> Floats:
    return colour(points) if callable(colour) else np.broadcast_to(np.asarray(colour, float), points.shape).copy()


def _tiles(means: Floats, along: tuple[Floats, Floats, Floats], sizes: tuple[float, float], colour: Colour) -> Surface:
    """Tiles with these directions and spacings along the surface."""
    count = len(means)
    axes = np.stack([np.broadcast_to(direction, (count, 3)) for direction in along], axis=1)
    thin = max(LEAST / 2, THIN * min(sizes))
    scales = np.tile([WIDTH * sizes[0], WIDTH * sizes[1], thin], (count, 1))
    return Surface(means, axes.copy(), scales, _paint(colour, means), np.full(count, OPACITY))


def make_face(corner: Point, u: Point, v: Point, colour: Colour, spacing: float) -> Surface:
    """A parallelogram with this corner and these sides; it faces along u x v.

    Tiles at its border reach over it by half of what a Gaussian spreads, so that edges stay where they are.
    """
    origin, first, second = (np.asarray(part, float) for part in (corner, u, v))
    lengths = [float(np.linalg.norm(side)) for side in (first, second)]
    counts = [max(1, round(length / spacing)) for length in lengths]
    shares = [(np.arange(count) + 0.5) / count for count in counts]
    grid = np.stack(np.meshgrid(*shares, indexing="ij"), axis=-1).reshape(-1, 2)
    means = origin + grid[:, :1] * first + grid[:, 1:] * second
    normal = np.cross(first, second)
    directions = (first / lengths[0], second / lengths[1], normal / np.linalg.norm(normal))
    return _tiles(means, directions, (lengths[0] / counts[0], lengths[1] / counts[1]), colour)


def make_box(size: Point, at: Point, colour: Colour, spacing: float, *, faces: Sequence[str] = tuple(FACES)) -> Surface:
    """A box with its middle at a point.

    Args:
        size: Along x, y and z.
        at: Its middle.
        colour: Of all faces.
        spacing: Metres between Gaussians.
        faces: The faces that are built.
    """
    half = np.asarray(size, float) / 2
    found = []
    for name in faces:
        axis, sign = FACES[name]
        first, second = ((axis + 1) % 3, (axis + 2) % 3) if sign > 0 else ((axis + 2) % 3, (axis + 1) % 3)
        corner = -half.copy()
        corner[axis] = sign * half[axis]
        u, v = np.zeros(3), np.zeros(3)
        u[first], v[second] = 2 * half[first], 2 * half[second]
        found.append(make_face(corner + np.asarray(at, float), u, v, colour, spacing))
    return join(*found)


def make_lathe(profile: Sequence[tuple[float, float]], colour: Colour, spacing: float) -> Surface:
    """A body of revolution about y.

    Args:
        profile: Radius and height of points from one end to the other: upwards on the outside, downwards on the
            inside, towards the axis on top.
        colour: Of its points.
        spacing: Metres between Gaussians.
    """
    found = []
    for (r0, y0), (r1, y1) in zip(profile[:-1], profile[1:], strict=True):
        length = math.hypot(r1 - r0, y1 - y0)
        if length < 1e-9:
            continue
        rows = max(1, round(length / spacing))
        for row in range(rows):
            share = (row + 0.5) / rows
            radius, height = r0 + share * (r1 - r0), y0 + share * (y1 - y0)
            found.append(
                _make_ring(radius, height, ((r1 - r0) / length, (y1 - y0) / length), (length / rows, spacing), colour)
            )
    return join(*found)


def _make_ring(
    radius: float, height: float, slope: tuple[float, float], sizes: tuple[float, float], colour: Colour
) -> Surface:
    count = max(5 if radius > sizes[1] / 2 else 3, round(2 * math.pi * radius / sizes[1]))
    angle = 2 * np.pi * (np.arange(count) + 0.5) / count
    out = np.stack([np.cos(angle), np.zeros(count), np.sin(angle)], axis=1)
    around = np.stack([-np.sin(angle), np.zeros(count), np.cos(angle)], axis=1)
    up = np.array([0.0, 1.0, 0.0])
    along = slope[0] * out + slope[1] * up
    normal = slope[1] * out - slope[0] * up
    means = radius * out + height * up
    return _tiles(means, (along, around, normal), (sizes[0], max(2 * math.pi * radius / count, LEAST)), colour)


def make_rod(points: Sequence[Point], radius: float, colour: Colour, spacing: float) -> Surface:
    """A round rod along a line of points; one that is thin against the spacing is a row of long Gaussians."""
    found = []
    for start, end in zip(points[:-1], points[1:], strict=True):
        a, b = np.asarray(start, float), np.asarray(end, float)
        length = float(np.linalg.norm(b - a))
        if length < 1e-9:
            continue
        along = (b - a) / length
        side = np.cross(along, [0.0, 0.0, 1.0] if abs(along[2]) < 0.9 else [1.0, 0.0, 0.0])
        side /= np.linalg.norm(side)
        across = np.cross(side, along)
        thin = 2 * math.pi * radius < 3 * spacing
        step = max(spacing, 2 * radius) if thin else spacing
        rows = max(1, round(length / step))
        middles = a + (np.arange(rows)[:, None] + 0.5) / rows * (b - a)
        if thin:
            one = _tiles(middles, (along, side, across), (length / rows, 1.2 * radius), colour)
            found.append(replace(one, scales=np.tile([WIDTH * length / rows, 0.7 * radius, 0.7 * radius], (rows, 1))))
            continue
        count = max(6, round(2 * math.pi * radius / spacing))
        for angle in 2 * np.pi * np.arange(count) / count:
            normal = math.cos(angle) * side + math.sin(angle) * across
            tangent = np.cross(normal, along)
            sizes = (length / rows, 2 * math.pi * radius / count)
            found.append(_tiles(middles + radius * normal, (along, tangent, normal), sizes, colour))
    return join(*found)


def make_ellipsoid(
    radii: Point, at: Point, colour: Colour, spacing: float, *, low: float = -1.0, high: float = 1.0
) -> Surface:
    """An ellipsoid, or the part of it between two heights.

    Args:
        radii: Half axes.
        at: Its middle.
        colour: Of its points.
        spacing: Metres between Gaussians.
        low: Lower end as a share of the half axis along y.
        high: Upper end.
    """
    size = np.asarray(radii, float)
    mean = float(size.mean())
    first, last = math.asin(low), math.asin(high)
    steps = max(4, round((last - first) * mean / spacing))
    angles = np.linspace(first, last, steps + 1)
    profile = [(mean * math.cos(a), mean * math.sin(a)) for a in angles]
    ball = make_lathe(profile, (0.0, 0.0, 0.0), spacing)
    stretch = size / mean
    normals = ball.axes[:, 2] / stretch
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    first_axis = ball.axes[:, 0] * stretch
    first_axis -= (first_axis * normals).sum(1, keepdims=True) * normals
    first_axis /= np.linalg.norm(first_axis, axis=1, keepdims=True)
    axes = np.stack([first_axis, np.cross(normals, first_axis), normals], axis=1)
    means = ball.means * stretch
    scales = ball.scales * np.array([stretch.max(), stretch.max(), 1.0])
    return Surface(means + np.asarray(at, float), axes, scales, _paint(colour, means), ball.opacities)


def make_band(radii: tuple[float, float], at: Point, colour: Colour, spacing: float) -> Surface:
    """A flat ring around y between two radii, seen from above."""
    rings = make_lathe([(radii[1], 0.0), (radii[0], 0.0)], colour, spacing)
    return rings.moved(at)
