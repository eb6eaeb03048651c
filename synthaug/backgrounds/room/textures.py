"""Patterns of procedural rooms as compiled functions of two surface coordinates.

All fade into their mean where a pixel covers more than a detail, so that nothing shimmers. Reflectances are linear.
"""

import math
from typing import no_type_check

import numba
import numpy as np

# Columns of a material: which pattern, two colours, size of the pattern in metres, mirror share, 1 where u and v span
# the face from -1 to 1 instead of being metres, and a seed.
PATTERN, COLOR, SECOND, SCALE, GLOSS, FITTED, SEED = 0, 1, 4, 7, 8, 9, 10
MATERIAL_COLUMNS = 11

PATTERNS = (
    "flat", "planks", "tiles", "carpet", "stripes", "wallpaper", "panelling", "brick", "concrete", "checker", "wood",
    "fabric", "books", "picture", "door", "folds", "ribs", "terrazzo", "poster", "screen", "leaves",
    "rug", "fronts", "screed", "mosaic",
)  # fmt: skip
"""Names of the patterns; a material's first column is an index into them."""
(
    FLAT, PLANKS, TILES, CARPET, STRIPES, WALLPAPER, PANELLING, BRICK, CONCRETE, CHECKER, WOOD, FABRIC, BOOKS, PICTURE,
    DOOR, FOLDS, RIBS, TERRAZZO, POSTER, SCREEN, LEAVES, RUG, FRONTS, SCREED, MOSAIC,
) = range(len(PATTERNS))  # fmt: skip

_kernel = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract", "arcp", "nsz", "reassoc"}}


@no_type_check
@numba.njit(**_kernel)
def chance(i, j, seed):
    """A number in [0, 1) for a cell of a grid: the same for the same cell (Wang's integer hash)."""
    h = np.uint32(np.int64(i) * 374761393 + np.int64(j) * 668265263 + np.int64(seed) * 974711)
    h = np.uint32((h ^ np.uint32(61)) ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(9))
    h = np.uint32(h ^ (h >> np.uint32(4)))
    h = np.uint32(h * np.uint32(668265261))
    h = np.uint32(h ^ (h >> np.uint32(15)))
    return np.float64(h) / 4294967296.0


@no_type_check
@numba.njit(**_kernel)
def noise(x, y, seed):
    """Smooth noise in -1..1 with one knot a unit."""
    i, j = math.floor(x), math.floor(y)
    s, t = x - i, y - j
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    low = chance(i, j, seed) * (1 - s) + chance(i + 1, j, seed) * s
    high = chance(i, j + 1, seed) * (1 - s) + chance(i + 1, j + 1, seed) * s
    return 2 * (low * (1 - t) + high * t) - 1


@no_type_check
@numba.njit(**_kernel)
def _fine(x, y, seed, size, footprint):
    """Noise of this grain size, fading where a pixel covers more than a grain."""
    fade = min(max(1.5 - footprint / size, 0.0), 1.0)
    return fade * noise(x / size, y / size, seed) if fade > 0 else 0.0


@no_type_check
@numba.njit(**_kernel)
def _gap(x, period, width, footprint):
    """How much of a joint of this width a pixel sees, for joints at every multiple of the period."""
    distance = abs(x - period * math.floor(x / period + 0.5))
    blur = max(0.5 * footprint, 1e-4)
    inside = min(max((0.5 * width + blur - distance) / (2 * blur), 0.0), 1.0)
    return inside * min(width / (2 * blur), 1.0)


@no_type_check
@numba.njit(**_kernel)
def _alternating(x, footprint):
    """1 in even cells and -1 in odd ones, softened at the borders by half a pixel; 0 where cells are too small."""
    cell = math.floor(x)
    edge = min(x - cell, cell + 1 - x) / max(0.3 * footprint, 1e-3)
    fade = min(max(1.6 - footprint, 0.0), 1.0)
    return (1.0 if cell % 2 == 0 else -1.0) * min(edge, 1.0) * fade


@no_type_check
@numba.njit(inline="always", **_kernel)
def _laid(u, v, length, breadth, offset):
    """Row and column of the plank or brick at a point, and the distance along it."""
    row = math.floor(v / breadth)
    shifted = u + row * offset * length + (offset < 0) * chance(row, 3, 11) * length
    return row, math.floor(shifted / length), shifted


@no_type_check
@numba.njit(inline="always", **_kernel)
def _floors(pattern, u, v, scale, seed, footprint):
    """(brightness factor, share of the second colour) of floors and masonry."""
    if pattern == PLANKS:
        row, column, along = _laid(u, v, 8 * scale, scale, -0.37)
        tone = 0.22 * (chance(row, column, seed) - 0.5)
        grain = 0.10 * _fine(u * 0.12, v, seed, 0.02, 0.5 * footprint) + 0.07 * noise(u * 0.9, v * 9, seed)
        gap = max(_gap(v, scale, 0.006, footprint), _gap(along, 8 * scale, 0.005, footprint))
        return (1 + tone + grain) * (1 - 0.6 * gap), 0.0
    if pattern == TILES or pattern == MOSAIC or pattern == CHECKER:
        i, j = math.floor(u / scale), math.floor(v / scale)
        tone = 0.08 * (chance(i, j, seed) - 0.5) + 0.05 * noise(u * 3, v * 3, seed)
        if pattern == CHECKER:
            return 1 + tone, 0.5 + 0.5 * _alternating(u / scale, footprint / scale) * _alternating(
                v / scale, footprint / scale
            )
        return 1 + tone, max(_gap(u, scale, 0.008, footprint), _gap(v, scale, 0.008, footprint))
    if pattern == BRICK:
        row, column, along = _laid(u, v, 3.2 * scale, scale, 0.5)
        tone = 0.35 * (chance(row, column, seed) - 0.5) + 0.15 * _fine(u, v, seed, 0.03, footprint)
        return 1 + tone, max(_gap(v, scale, 0.012, footprint), _gap(along, 3.2 * scale, 0.012, footprint))
    if pattern == CONCRETE or pattern == SCREED:
        tone = 0.10 * noise(u * 0.8, v * 0.8, seed) + 0.07 * noise(u * 3.1, v * 3.1, seed + 1)
        tone += 0.08 * _fine(u, v, seed + 2, 0.05, footprint)
        joint = max(_gap(u, 2.4 * scale, 0.01, footprint), _gap(v, 1.2 * scale, 0.01, footprint))
        return (1 + tone) * (1 - 0.35 * joint), 0.0
    if pattern == TERRAZZO:
        chip = min(max(4 * noise(u / 0.03, v / 0.03, seed) - 1.4, 0.0), 0.7)
        # Chips of 3 cm cover about an eighth of the floor.
        fade = min(max(1.5 - footprint / 0.03, 0.0), 1.0)
        return 1 + 0.05 * noise(u, v, seed + 5), fade * chip + (1 - fade) * 0.1
    # Carpet: pile, and paths where it lies flatter.
    return 1 + 0.16 * _fine(u, v, seed, 0.02, footprint) + 0.07 * noise(u * 1.7, v * 1.7, seed), 0.0


@no_type_check
@numba.njit(inline="always", **_kernel)
def _walls(pattern, u, v, scale, seed, footprint):
    """(brightness factor, share of the second colour) of wall coverings; v is the height in metres."""
    paint = 1 + 0.02 * noise(u * 0.7, v * 0.7, seed) + 0.012 * _fine(u, v, seed, 0.04, footprint)
    fade = min(max(1.4 - 1.5 * footprint / scale, 0.0), 1.0)
    if pattern == STRIPES:
        phase = u / scale - math.floor(u / scale)
        blur = footprint / scale
        share = min(max((0.25 - abs(phase - 0.5)) / max(blur, 1e-3) + 0.5, 0.0), 1.0)
        return paint, fade * share + (1 - fade) * 0.5
    if pattern == WALLPAPER:
        # Ogees: rows of drops, every second row shifted by half.
        row = math.floor(v / scale)
        x, y = u / scale + 0.5 * (row % 2), v / scale - row - 0.5
        x = x - math.floor(x) - 0.5
        drop = 0.34 * (1 - 1.6 * y * y) - abs(x) - 0.22 * abs(math.sin(9 * y)) * abs(x)
        share = min(max(0.5 + drop / max(footprint / scale, 0.04), 0.0), 1.0)
        return paint, fade * share + (1 - fade) * 0.4
    if pattern == PANELLING:
        if v > 1.0:
            return paint, 0.0
        rail = 0.90 if v > 0.96 else 1.0
        x = abs(u - scale * math.floor(u / scale + 0.5)) - 0.06
        edge = min(x, v - 0.2, 0.86 - v)
        bevel = min(max(1 - abs(edge) / max(0.012, 0.6 * footprint), 0.0), 1.0) * min(0.02 / max(footprint, 1e-4), 1.0)
        return paint * rail * (1 - 0.22 * bevel), 1.0
    return paint, 0.0


@no_type_check
@numba.njit(inline="always", **_kernel)
def _furniture(pattern, u, v, scale, seed, footprint):
    """(brightness factor, share of the second colour) of what furniture is made of."""
    if pattern == WOOD:
        return 1 + 0.10 * noise(u * 1.3, v * 22, seed) + 0.06 * _fine(u * 0.15, v, seed, 0.012, footprint), 0.0
    if pattern == FABRIC:
        return 1 + 0.10 * _fine(u, v, seed, 0.012, footprint) + 0.05 * noise(u * 5, v * 5, seed), 0.0
    if pattern == FOLDS:
        fold = math.sin(2 * math.pi * u / scale + 1.2 * noise(u * 3, v * 0.4, seed))
        return 0.86 + 0.16 * fold, 0.0
    if pattern == RIBS:
        return 1 - 0.45 * _gap(u, scale, 0.35 * scale, footprint), 0.0
    if pattern == LEAVES:
        leaf = _fine(u, v, seed, 0.05, footprint) + 0.6 * _fine(u, v, seed + 3, 0.022, footprint)
        return min(max(0.8 + 0.75 * leaf, 0.12), 1.7), min(max(0.4 + leaf, 0.0), 1.0)
    return 1.0, 0.0


@no_type_check
@numba.njit(inline="always", **_kernel)
def _rug(u, v, seed, footprint):
    """(brightness factor, share of the second colour) of a rug: borders, a field, a medallion or bands."""
    edge = 1 - max(abs(u), abs(v))
    share = 1.0 if 0.06 < edge < 0.14 or 0.2 < edge < 0.23 else 0.0
    if edge > 0.23:
        if chance(1, 7, seed) > 0.5:
            ring = (abs(u) + abs(v)) * 5
            share = 1.0 if int(ring) % 2 else 0.15
        else:
            share = 1.0 if int((v + 1) * 7) % 3 == 0 else 0.0
    pile = 1 + 0.12 * _fine(u * 1.5, v * 1.5, seed, 0.02, footprint)
    return pile, share


@no_type_check
@numba.njit(inline="always", **_kernel)
def _fitted(pattern, u, v, seed, footprint):
    """(brightness factor, share of the second colour) of what spans its face, u and v in -1..1."""
    if pattern == DOOR:
        edge = 0.62 - abs(u)
        upper = min(edge, v - 0.12, 0.82 - v)
        lower = min(edge, v + 0.86, -0.06 - v)
        groove = min(max(1 - abs(max(upper, lower)) / 0.035, 0.0), 1.0)
        knob = (abs(u - 0.84) < 0.09) and (abs(v - 0.02) < 0.02)
        return (1 - 0.22 * groove), 1.0 if knob else 0.0
    if pattern == FRONTS:
        # Two doors or drawer fronts beside each other, with a dark joint and handles.
        joint = min(max(1 - (abs(u) - 0.004) / 0.012, 0.0), 1.0)
        border = min(max(1 - (1 - max(abs(u), abs(v)) - 0.012) / 0.01, 0.0), 1.0)
        handle = (0.06 < abs(u) < 0.09) and abs(v) < 0.14
        return (1 - 0.5 * joint) * (1 - 0.2 * border), 1.0 if handle else 0.0
    if pattern == RUG:
        return _rug(u, v, seed, footprint)
    # Screen: dark glass with a pale reflection.
    return 1 + 1.5 * min(max(0.5 * (u + v), 0.0), 1.0), 0.0


@no_type_check
@numba.njit(**_kernel)
def _hue(x):
    """A saturated reflectance round the circle of hues."""
    return (
        min(max(abs((x * 6) % 6 - 3) - 1, 0.0), 1.0),
        min(max(2 - abs((x * 6) % 6 - 2), 0.0), 1.0),
        min(max(2 - abs((x * 6) % 6 - 4), 0.0), 1.0),
    )


@no_type_check
@numba.njit(inline="always", **_kernel)
def _books(u, v, seed):
    """Spines of varying width, height and colour before the dark of the shelf."""
    slot = math.floor((u + 1) * 16)
    inside = (u + 1) * 16 - slot
    pair = slot // 2 if chance(slot // 2, 1, seed) > 0.6 else slot + 1000
    tall = 0.35 + 0.6 * chance(pair, 2, seed)
    if (v + 1) / 2 > tall or chance(pair, 3, seed) < 0.08:
        return 0.035, 0.03, 0.025
    r, g, b = _hue(chance(pair, 4, seed))
    grey, value = 0.25 + 0.65 * chance(pair, 5, seed), 0.08 + 0.5 * chance(pair, 6, seed) ** 2
    shade = 1 - 0.6 * (2 * inside - 1) ** 4 if pair >= 1000 else 1.0
    label = 1.6 if abs(v + 0.2 - 0.4 * chance(pair, 7, seed)) < 0.07 else 1.0
    value *= shade * label
    return value * (grey + (1 - grey) * r), value * (grey + (1 - grey) * g), value * (grey + (1 - grey) * b)


@no_type_check
@numba.njit(inline="always", **_kernel)
def _painting(frame, u, v, seed):
    """A framed picture: a landscape, circles or bars, in colours of its seed."""
    edge = 1 - max(abs(u), abs(v))
    if edge < 0.09:
        return frame
    if edge < 0.2:
        return 0.72, 0.71, 0.68
    kind, hue = int(3 * chance(1, 1, seed)), chance(2, 1, seed)
    if kind == 0:
        band = v + 0.25 * noise(2 * u, 1.0, seed)
        index, value = (0, 0.75) if band > 0.15 else ((1, 0.4) if band > -0.3 else (2, 0.18))
    elif kind == 1:
        ring = math.hypot(u - 0.3 * noise(0.5, 0.5, seed), v) * (2 + 3 * chance(3, 1, seed))
        index, value = int(ring) % 3, 0.65 - 0.2 * (int(ring) % 3)
    else:
        bar = math.floor((u * math.cos(hue * 6) + v * math.sin(hue * 6)) * 3)
        index, value = int(bar) % 4, 0.15 + 0.6 * chance(bar, 4, seed)
    r, g, b = _hue(hue + 0.17 * index)
    grey = 0.35 + 0.4 * chance(index, 5, seed)
    return value * (grey + (1 - grey) * r), value * (grey + (1 - grey) * g), value * (grey + (1 - grey) * b)


@no_type_check
@numba.njit(inline="always", **_kernel)
def _print(u, v, seed):
    """A poster or notice: a block of colour, a headline, lines of text."""
    r, g, b = _hue(chance(1, 2, seed))
    grey = 0.15 + 0.6 * chance(2, 2, seed)
    ground = 0.75
    if v > 0.1 - 0.8 * chance(3, 2, seed):
        value = 0.15 + 0.5 * chance(4, 2, seed)
        round_part = math.hypot(u - 0.2, v - 0.45) < 0.35
        value *= 1.7 if round_part and chance(5, 2, seed) > 0.5 else 1.0
        return value * (grey + (1 - grey) * r), value * (grey + (1 - grey) * g), value * (grey + (1 - grey) * b)
    line = math.floor((v + 1) * 12)
    if (v + 1) * 12 - line < 0.5 and abs(u) < 0.8 * chance(line, 6, seed) + 0.1:
        ground = 0.25
    return ground, ground * 0.98, ground * 0.94


@no_type_check
@numba.njit(**_kernel)
def albedo(room, row, u, v, footprint):
    """Reflectance (red, green, blue) of the material in a row, at a point, over a pixel of this width in metres."""
    pattern, seed, scale = int(room[row, PATTERN]), int(room[row, SEED]), room[row, SCALE]
    first = (room[row, COLOR], room[row, COLOR + 1], room[row, COLOR + 2])
    second = (room[row, SECOND], room[row, SECOND + 1], room[row, SECOND + 2])
    if pattern == BOOKS:
        return _books(u, v, seed)
    if pattern == PICTURE:
        return _painting(first, u, v, seed)
    if pattern == POSTER:
        return _print(u, v, seed)
    masonry = BRICK <= pattern <= CHECKER or pattern == TERRAZZO or pattern >= SCREED
    if PLANKS <= pattern <= CARPET or masonry:
        factor, share = _floors(pattern, u, v, scale, seed, footprint)
    elif pattern == DOOR or pattern == FRONTS or pattern == SCREEN or pattern == RUG:
        factor, share = _fitted(pattern, u, v, seed, footprint)
    elif pattern >= WOOD:
        factor, share = _furniture(pattern, u, v, scale, seed, footprint)
    else:
        factor, share = _walls(pattern, u, v, scale, seed, footprint)
    return (
        min(factor * (first[0] + share * (second[0] - first[0])), 0.95),
        min(factor * (first[1] + share * (second[1] - first[1])), 0.95),
        min(factor * (first[2] + share * (second[2] - first[2])), 0.95),
    )
