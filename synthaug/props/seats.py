"""What carries people who sit or lie: chair, stool, sofa, bed, mat. Built as high as their hips are."""

import functools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from synthaug.body.support import Rest
from synthaug.props.parts.palettes import darken, sample_colour
from synthaug.props.parts.reading import colour_of, length_of
from synthaug.props.parts.surfaces import Surface, join, level_of, make_box, make_ellipsoid, make_lathe, make_rod
from synthaug.structures import Level, Values

SITTING: Mapping[str, tuple[str, ...]] = {"studio": ("chair", "stool", "sofa"), "street": ("bench", "cube", "armchair")}
"""Kinds that people of each family sit on."""
LAIN_ON = ("mat", "bed")
"""Kinds that are as long as whoever lies on them."""
MAT = 0.012
"""Thickness of a mat on the floor, metres."""
FINEST = 0.09
"""Largest spacing of seats, metres."""


@dataclass(frozen=True)
class Size:
    """Measures of a seat: its top above the floor; how far it may reach to the sides and back; where the back leans.

    Attributes:
        top: Height of the surface, metres.
        half: Half of its width at most.
        lean: Tangent of the back's angle to the vertical.
        low: As in `Rest`, of somebody who lies on it; zeros of a seat that is as long as it is.
        high: As in `Rest`, in the same way.
    """

    top: float
    half: float
    lean: float
    low: tuple[float, float] = (0.0, 0.0)
    high: tuple[float, float] = (0.0, 0.0)


def sample_seat(rng: np.random.Generator, family: str) -> Values:
    """Sample how a seat looks, whether or not somebody will sit."""
    kinds = SITTING.get(family, SITTING["studio"])
    return {
        "kind": kinds[int(rng.integers(len(kinds)))],
        "frame": list(sample_colour(rng, family, "wood")),
        "cover": list(sample_colour(rng, family, "cloth")),
        "pillow": list(sample_colour(rng, family, "bright")),
        "width": round(float(rng.uniform(0.0, 1.0)), 3),
    }


def name_seat(values: Values, rest: Rest) -> str:
    """The kind of seat that somebody rests on: as sampled where it fits, a mat or a bed for who lies."""
    if rest.on_floor:
        return "mat"
    if rest.posture == "lying":
        return "bed"
    return str(values["kind"])


def build_seat(values: Values, rest: Rest, *, room: float, spacing: float) -> tuple[Level, float]:
    """The Gaussians of a seat and the height of its surface. Its frame: on the floor under the hips, z where they face.

    Args:
        values: What `sample_seat` returned.
        rest: Who rests on it.
        room: Metres that it may reach from there.
        spacing: Metres between Gaussians.

    Raises:
        ValueError: If the values name a kind that is not here.
    """
    kind = name_seat(values, rest)
    if kind not in _BUILDERS:
        raise ValueError(f"Expected a seat to be one of {', '.join(_BUILDERS)}, got {kind!r}. Correct the recipe.")
    height = float(rest.hips[1])
    lean = -rest.back[2] / max(rest.back[1], 0.1)
    half = min(max(math.sqrt(max(room**2 - 0.45**2, 0.0)), 0.24), 0.85)
    size = Size(MAT if kind == "mat" else height, half, float(np.clip(lean, 0.05, 0.6)))
    if kind in LAIN_ON:
        size = replace(size, low=rest.low, high=rest.high)
    return _build_once(kind, json.dumps(values), size, min(spacing, FINEST)), size.top


@functools.lru_cache(maxsize=8)
def _build_once(kind: str, looks: str, size: Size, spacing: float) -> Level:
    """A seat of these values (JSON): clips are staged to see what they show, and staged again to be rendered."""
    return level_of(_BUILDERS[kind](json.loads(looks), size, spacing))


def _make_legs(half: float, depth: tuple[float, float], height: float, colour: list[float], spacing: float) -> Surface:
    """Four legs under a seat from its back to its front edge."""
    return join(
        *(
            make_rod([(x, 0.0, z), (x, height, z)], 0.018, colour, min(spacing, 0.03))
            for x in (-half + 0.03, half - 0.03) for z in (depth[0] + 0.03, depth[1] - 0.03)
        )
    )  # fmt: skip


def _make_block(
    x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], colour: list[float], s: float
) -> Surface:
    """A box between two corners, without the face that stands on the floor."""
    size = (x[1] - x[0], y[1] - y[0], z[1] - z[0])
    at = ((x[0] + x[1]) / 2, (y[0] + y[1]) / 2, (z[0] + z[1]) / 2)
    faces = ("-x", "+x", "+y", "-z", "+z") if y[0] <= 0 else ("-x", "+x", "-y", "+y", "-z", "+z")
    return make_box(size, at, colour, s, faces=faces)


def _make_chair(values: Values, size: Size, s: float) -> Surface:
    half = min(0.21 + 0.03 * length_of(values, "width"), size.half)
    wood, cover = colour_of(values, "frame"), colour_of(values, "cover")
    back, front = -0.2, 0.24
    seat = make_box((2 * half, 0.045, front - back), (0.0, size.top - 0.0225, (back + front) / 2), cover, s)
    legs = _make_legs(half, (back, front), size.top - 0.04, wood, s)
    shift = -0.02 - 0.45 * size.lean
    posts = [
        make_rod([(x, size.top - 0.04, back), (x, size.top + 0.45, back + shift)], 0.016, wood, min(s, 0.03))
        for x in (-half + 0.02, half - 0.02)
    ]
    rails = [
        make_box((2 * half - 0.03, 0.1, 0.018), (0.0, size.top + y, back + shift * (y + 0.04) / 0.49), wood, s)
        for y in (0.24, 0.4)
    ]
    return join(seat, legs, *posts, *rails)


def _make_stool(values: Values, size: Size, s: float) -> Surface:
    half = min(0.19, size.half)
    wood = colour_of(values, "frame")
    profile = [
        (0.85 * half, size.top - 0.045),
        (half, size.top - 0.03),
        (half, size.top - 0.008),
        (0.92 * half, size.top),
        (0.0, size.top),
    ]
    legs = _make_legs(0.85 * half, (-0.85 * half, 0.85 * half), size.top - 0.04, wood, s)
    return join(make_lathe(profile, colour_of(values, "cover"), s), legs)


def _make_sofa(values: Values, size: Size, s: float, *, wide: float = 0.85) -> Surface:
    half = max(min(0.62 + 0.2 * length_of(values, "width"), size.half, wide), 0.36)
    cover = colour_of(values, "cover")
    dark = darken(cover, 0.86)
    back, front, arm = -0.24, 0.27, 0.13
    base = _make_block((-half, half), (0.0, size.top - 0.13), (back, front), dark, s)
    cushions = [
        _make_block((x0 + 0.006, x1 - 0.006), (size.top - 0.13, size.top), (back, front + 0.015), cover, s)
        for x0, x1 in ([(-half + arm, 0.0), (0.0, half - arm)] if half > 0.5 else [(-half + arm, half - arm)])
    ]
    a = math.atan(0.5 * size.lean)
    R = np.array([[1, 0, 0], [0, math.cos(a), math.sin(a)], [0, -math.sin(a), math.cos(a)]])
    rest_back = _make_block((-half, half), (0.001, 0.42), (-0.17, 0.0), cover, s).moved(
        (0.0, size.top - 0.05, back + 0.01), R
    )
    arms = [
        _make_block((x, x + arm), (0.0, size.top + 0.17), (back - 0.15, front), dark, s) for x in (-half, half - arm)
    ]
    pillow = make_ellipsoid(
        (0.17, 0.16, 0.06), (half - arm - 0.15, size.top + 0.16, back + 0.1), colour_of(values, "pillow"), s
    )
    return join(base, *cushions, rest_back, *arms, *((pillow,) if half > 0.55 else ()))


def _make_armchair(values: Values, size: Size, s: float) -> Surface:
    return _make_sofa(values, size, s, wide=0.4)


def _make_bench(values: Values, size: Size, s: float) -> Surface:
    half = min(0.55 + 0.25 * length_of(values, "width"), size.half)
    wood = colour_of(values, "frame")
    planks = [make_box((2 * half, 0.03, 0.11), (0.0, size.top - 0.015, z), wood, s) for z in (-0.13, 0.0, 0.13)]
    return join(*planks, _make_legs(half - 0.08, (-0.18, 0.18), size.top - 0.03, colour_of(values, "cover"), s))


def _make_cube(values: Values, size: Size, s: float) -> Surface:
    half = min(0.2, size.half)
    return _make_block((-half, half), (0.0, size.top), (-half, half), colour_of(values, "pillow"), s)


def _find_extent(size: Size) -> tuple[tuple[float, float], tuple[float, float]]:
    """Left and forward edges of what is under a lying body: all of it, with a margin."""
    x = (min(size.low[0] - 0.12, -0.35), max(size.high[0] + 0.12, 0.35))
    z = (size.low[1] - 0.14, size.high[1] + 0.1)
    return x, z


def _make_mat(values: Values, size: Size, s: float) -> Surface:
    x, z = _find_extent(size)
    mat = _make_block(x, (0.0, size.top), z, colour_of(values, "cover"), s)
    edge = _make_block((x[0], x[1]), (0.0, size.top + 0.002), (z[1] - 0.05, z[1]), colour_of(values, "pillow"), s)
    return join(mat, edge)


def _make_bed(values: Values, size: Size, s: float) -> Surface:
    x, z = _find_extent(size)
    sheet, wood = [0.93, 0.93, 0.91], colour_of(values, "frame")
    frame = _make_block((x[0], x[1]), (0.0, max(size.top - 0.16, 0.02)), z, wood, s)
    mattress = _make_block(
        (x[0] + 0.02, x[1] - 0.02), (max(size.top - 0.16, 0.02), size.top), (z[0] + 0.02, z[1] - 0.02), sheet, s
    )
    blanket = _make_block(
        (x[0] + 0.01, x[1] - 0.01),
        (size.top - 0.1, size.top + 0.004),
        (z[0] + 0.6 * (z[1] - z[0]), z[1] - 0.01),
        colour_of(values, "cover"),
        s,
    )
    board = _make_block((x[0], x[1]), (0.0, size.top + 0.35), (z[0] - 0.04, z[0]), wood, s)
    return join(frame, mattress, blanket, board)


_BUILDERS: Mapping[str, Callable[[Values, Size, float], Surface]] = {
    "chair": _make_chair,
    "stool": _make_stool,
    "sofa": _make_sofa,
    "armchair": _make_armchair,
    "bench": _make_bench,
    "cube": _make_cube,
    "mat": _make_mat,
    "bed": _make_bed,
}
SEATS: tuple[str, ...] = tuple(_BUILDERS)
"""Names of the kinds."""
