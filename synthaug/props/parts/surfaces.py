"""Cover surfaces with Gaussians: boxes, bodies of revolution, rods. Pure functions; y up, metres.

Each function covers its surface evenly, whatever the spacing, so that a coarse thing has no holes. Surfaces are lists
of patches until `level_of` lays their tiles.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from synthaug.props.parts.tiling import GRID, LEAST, NEEDLES, NOTHING, RING, Patch, Triple, lay_tiles
from synthaug.structures import Level

Floats: TypeAlias = NDArray[np.floating]
Colour: TypeAlias = Sequence[float | int] | Callable[[Floats], Floats]
"""One sRGB colour, or the colours of these points: [N, 3] to [N, 3]."""
Point: TypeAlias = Sequence[float | int] | Floats

FACES = {"-x": (0, -1), "+x": (0, 1), "-y": (1, -1), "+y": (1, 1), "-z": (2, -1), "+z": (2, 1)}


@dataclass(frozen=True, eq=False)
class Paint:
    """Colours of patches by place: of points in the frame in which the patches were made.

    Attributes:
        colour: Points, [N, 3], to sRGB, [N, 3].
        R: From that frame to the surface's, [3, 3]; orthogonal.
        shift: Its origin in the surface's frame, metres.
    """

    colour: Callable[[Floats], Floats]
    R: Floats
    shift: Floats


@dataclass(frozen=True, eq=False)
class Surface:
    """Patches of a surface, whose tiles become Gaussians.

    Attributes:
        patches: In the order of their tiles.
        paints: What colours each patch by place; None where it has one colour.
    """

    patches: list[Patch]
    paints: list[Paint | None]

    def moved(self, shift: Point = NOTHING, R: Floats | None = None) -> "Surface":
        """The surface turned by R, or mirrored by it, then moved."""
        x, y, z = (float(part) for part in shift)
        turn = np.eye(3) if R is None else R
        rows = [(float(row[0]), float(row[1]), float(row[2])) for row in turn]

        def apply(v: Triple) -> Triple:
            a, b, c = v
            return (
                rows[0][0] * a + rows[0][1] * b + rows[0][2] * c,
                rows[1][0] * a + rows[1][1] * b + rows[1][2] * c,
                rows[2][0] * a + rows[2][1] * b + rows[2][2] * c,
            )

        patches = []
        for patch in self.patches:
            o = apply(patch.origin)
            patches.append(
                patch._replace(
                    origin=(o[0] + x, o[1] + y, o[2] + z),
                    first=apply(patch.first), second=apply(patch.second), third=apply(patch.third),
                )
            )  # fmt: skip
        at = np.array([x, y, z])
        paints = [paint and replace(paint, R=turn @ paint.R, shift=turn @ paint.shift + at) for paint in self.paints]
        return Surface(patches, paints)

    def clear(self, opacity: float) -> "Surface":
        """The surface made transparent."""
        return replace(self, patches=[patch._replace(opacity=opacity) for patch in self.patches])


def join(*surfaces: Surface) -> Surface:
    """All patches of several surfaces."""
    return Surface([p for one in surfaces for p in one.patches], [p for one in surfaces for p in one.paints])


def level_of(surface: Surface) -> Level:
    """The Gaussians of a surface, moved by one joint."""
    tiles = lay_tiles(surface.patches)
    _apply_paints(surface, tiles.means, tiles.colors)
    count = len(tiles.means)
    return Level(
        means=torch.from_numpy(tiles.means),
        quats=torch.from_numpy(tiles.quats),
        scales=torch.from_numpy(tiles.scales),
        opacities=torch.from_numpy(tiles.opacities),
        colors=torch.from_numpy(tiles.colors).clamp_(0, 1),
        joint_ids=torch.zeros(count, 1, dtype=torch.int64),
        weights=torch.ones(count, 1),
        normals=torch.from_numpy(tiles.normals),
    )


def _apply_paints(surface: Surface, means: Floats, colors: Floats) -> None:
    """Colour the tiles of patches with a paint; those that follow each other with the same one at once."""
    first = start = 0
    for index, (patch, paint) in enumerate(zip(surface.patches, surface.paints, strict=True)):
        end = first + patch.rows * patch.columns
        after = surface.paints[index + 1] if index + 1 < len(surface.paints) else None
        if paint is not None and paint is not after:
            colors[start:end] = paint.colour((means[start:end] - paint.shift) @ paint.R)
        first = end
        if paint is not after:
            start = end


def _color(patches: list[Patch], colour: Colour) -> Surface:
    """Patches with a colour."""
    if callable(colour):
        return Surface(patches, [Paint(colour, np.eye(3), np.zeros(3))] * len(patches))
    r, g, b = colour
    color = (float(r), float(g), float(b))
    return Surface([patch._replace(color=color) for patch in patches], [None] * len(patches))


def _cross(a: Triple, b: Triple) -> Triple:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _scale(a: Triple, factor: float) -> Triple:
    return (a[0] * factor, a[1] * factor, a[2] * factor)


def _triple(point: Point) -> Triple:
    return (float(point[0]), float(point[1]), float(point[2]))


def _make_grid(corner: Triple, u: Triple, v: Triple, spacing: float) -> Patch:
    normal = _cross(u, v)
    rows, columns = (max(1, round(math.hypot(*side) / spacing)) for side in (u, v))
    return Patch(GRID, rows, columns, corner, u, v, _scale(normal, 1 / math.hypot(*normal)), (0, 0, 0, 0, 0, 0))


def make_face(corner: Point, u: Point, v: Point, colour: Colour, spacing: float) -> Surface:
    """A parallelogram with this corner and these sides; it faces along u x v.

    Tiles at its border reach over it by half of what a Gaussian spreads, so that edges stay where they are.
    """
    return _color([_make_grid(_triple(corner), _triple(u), _triple(v), spacing)], colour)


def make_box(size: Point, at: Point, colour: Colour, spacing: float, *, faces: Sequence[str] = tuple(FACES)) -> Surface:
    """A box with its middle at a point.

    Args:
        size: Along x, y and z.
        at: Its middle.
        colour: Of all faces.
        spacing: Metres between Gaussians.
        faces: The faces that are built.
    """
    whole, middle = _triple(size), _triple(at)
    patches = []
    for name in faces:
        axis, sign = FACES[name]
        first, second = ((axis + 1) % 3, (axis + 2) % 3) if sign > 0 else ((axis + 2) % 3, (axis + 1) % 3)
        corner = [place - side / 2 for place, side in zip(middle, whole, strict=True)]
        corner[axis] = middle[axis] + sign * whole[axis] / 2
        u, v = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        u[first], v[second] = whole[first], whole[second]
        patches.append(_make_grid(_triple(corner), _triple(u), _triple(v), spacing))
    return _color(patches, colour)


def make_lathe(profile: Sequence[tuple[float, float]], colour: Colour, spacing: float) -> Surface:
    """A body of revolution about y.

    Args:
        profile: Radius and height of points from one end to the other: upwards on the outside, downwards on the
            inside, towards the axis on top.
        colour: Of its points.
        spacing: Metres between Gaussians.
    """
    return _color(_make_rings(profile, spacing), colour)


def _make_rings(profile: Sequence[tuple[float, float]], spacing: float) -> list[Patch]:
    found = []
    for (r0, y0), (r1, y1) in zip(profile[:-1], profile[1:], strict=True):
        length = math.hypot(r1 - r0, y1 - y0)
        if length < 1e-9:
            continue
        rows = max(1, round(length / spacing))
        slope = ((r1 - r0) / length, (y1 - y0) / length)
        for row in range(rows):
            share = (row + 0.5) / rows
            radius, height = r0 + share * (r1 - r0), y0 + share * (y1 - y0)
            count = max(5 if radius > spacing / 2 else 3, round(2 * math.pi * radius / spacing))
            around = max(2 * math.pi * radius / count, LEAST)
            shape = (radius, height, *slope, length / rows, around)
            found.append(Patch(RING, 1, count, NOTHING, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), shape))
    return found


def make_rod(points: Sequence[Point], radius: float, colour: Colour, spacing: float) -> Surface:
    """A round rod along a line of points; one that is thin against the spacing is a row of long Gaussians."""
    found: list[Patch] = []
    for start, end in zip(points[:-1], points[1:], strict=True):
        a, b = _triple(start), _triple(end)
        way = (b[0] - a[0], b[1] - a[1], b[2] - a[2])
        length = math.hypot(*way)
        if length < 1e-9:
            continue
        along = _scale(way, 1 / length)
        side = _cross(along, (0.0, 0.0, 1.0) if abs(along[2]) < 0.9 else (1.0, 0.0, 0.0))
        side = _scale(side, 1 / math.hypot(*side))
        across = _cross(side, along)
        thin = 2 * math.pi * radius < 3 * spacing
        rows = max(1, round(length / (max(spacing, 2 * radius) if thin else spacing)))
        if thin:
            found.append(Patch(NEEDLES, rows, 1, a, way, side, across, (0.7 * radius, 0, 0, 0, 0, 0)))
            continue
        count = max(6, round(2 * math.pi * radius / spacing))
        width = 2 * math.pi * radius / count
        for strip in range(count):
            cos, sin = math.cos(2 * math.pi * strip / count), math.sin(2 * math.pi * strip / count)
            normal = tuple(cos * s + sin * c for s, c in zip(side, across, strict=True))
            tangent = _scale(_cross(_triple(normal), along), width)
            corner = tuple(o + radius * n - t / 2 for o, n, t in zip(a, normal, tangent, strict=True))
            found.append(Patch(GRID, rows, 1, _triple(corner), way, tangent, _triple(normal), (0, 0, 0, 0, 0, 0)))
    return _color(found, colour)


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
    x, y, z = _triple(radii)
    mean = (x + y + z) / 3
    bottom, top = math.asin(low), math.asin(high)
    steps = max(4, round((top - bottom) * mean / spacing))
    angles = [bottom + (top - bottom) * step / steps for step in range(steps + 1)]
    rings = _make_rings([(mean * math.cos(angle), mean * math.sin(angle)) for angle in angles], spacing)
    first, second, third = (x / mean, 0.0, 0.0), (0.0, y / mean, 0.0), (0.0, 0.0, z / mean)
    return _color([ring._replace(first=first, second=second, third=third) for ring in rings], colour).moved(at)


def make_band(radii: tuple[float, float], at: Point, colour: Colour, spacing: float) -> Surface:
    """A flat ring around y between two radii, seen from above."""
    return make_lathe([(radii[1], 0.0), (radii[0], 0.0)], colour, spacing).moved(at)
