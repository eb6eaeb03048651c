"""Build pieces of furniture out of boxes, balls and tubes. Without chance: the style is given.

A builder puts its piece with the back at z = 0, the front towards +z, the middle at x = 0 and the feet at y = 0,
metres.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

Number: TypeAlias = float | int
Part: TypeAlias = tuple[Number, Number, Number]

BOX, BALL, TUBE = 0, 1, 2


@dataclass(frozen=True)
class Material:
    """A surface: pattern of `textures`, two sRGB colours, size in metres, 1 if it spans its face, and a seed."""

    pattern: str
    color: str
    second: str = "#808080"
    scale: float = 0.1
    fitted: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Solid:
    """One part: kind, low and high corner, material, own light, radius of softened edges in metres."""

    kind: int
    low: Part
    high: Part
    material: Material
    glow: float = 0.0
    bevel: float = 0.012


@dataclass(frozen=True)
class PieceStyle:
    """How one piece looks: its materials, a factor on its size, three numbers in 0..1 for its shape, and a seed."""

    wood: Material
    cloth: Material
    accent: Material
    metal: Material
    size: float
    shape: tuple[float, float, float]
    seed: int


Builder: TypeAlias = Callable[[PieceStyle], list[Solid]]


def box(low: Part, high: Part, material: Material, *, bevel: float = 0.012) -> Solid:
    """A box between two corners."""
    return Solid(BOX, low, high, material, bevel=bevel)


def legs(width: Number, depth: Number, height: Number, material: Material, *, inset: float = 0.05) -> list[Solid]:
    """Four square legs of a piece of this footprint, its back at z = 0."""
    half, thick = width / 2 - inset, 0.022
    return [
        box((x - thick, 0, z - thick), (x + thick, height, z + thick), material)
        for x in (-half, half)
        for z in (inset, depth - inset)
    ]


def tube(x: Number, z: Number, radius: Number, low: Number, high: Number, material: Material) -> Solid:
    """An upright cylinder."""
    return Solid(TUBE, (x - radius, low, z - radius), (x + radius, high, z + radius), material)


def ball(centre: Part, half: Part, material: Material) -> Solid:
    """An ellipsoid."""
    low = (centre[0] - half[0], centre[1] - half[1], centre[2] - half[2])
    return Solid(BALL, low, (centre[0] + half[0], centre[1] + half[1], centre[2] + half[2]), material)


def seat(style: PieceStyle, width: Number, count: int) -> list[Solid]:
    """An upholstered seat with back, arms, cushions and a pillow: sofas and armchairs."""
    depth, arm, cloth = 0.85, 0.13 + 0.07 * style.shape[0], style.cloth
    high = 0.72 + 0.16 * style.shape[1]
    parts = [
        box((-width / 2, 0.09, 0.05), (width / 2, 0.30, depth), cloth, bevel=0.03),
        box((-width / 2 + arm, 0.30, 0.02), (width / 2 - arm, high, 0.24), cloth, bevel=0.06),
        box((-width / 2, 0.12, 0.03), (-width / 2 + arm, 0.58, depth), cloth, bevel=0.05),
        box((width / 2 - arm, 0.12, 0.03), (width / 2, 0.58, depth), cloth, bevel=0.05),
        *legs(width, depth, 0.10, style.wood),
    ]
    span = (width - 2 * arm) / count
    for k in range(count):
        left = -width / 2 + arm + k * span
        parts.append(box((left + 0.008, 0.30, 0.2), (left + span - 0.008, 0.45, depth - 0.02), cloth, bevel=0.05))
        parts.append(box((left + 0.01, 0.43, 0.18), (left + span - 0.01, high + 0.03, 0.36), cloth, bevel=0.06))
    side = -1 if style.shape[2] < 0.5 else 1
    parts.append(ball((side * (width / 2 - arm - 0.2), 0.58, 0.42), (0.21, 0.19, 0.09), style.accent))
    return parts


def sofa(style: PieceStyle) -> list[Solid]:
    """For two or three."""
    count = 2 if style.shape[2] < 0.4 else 3
    return seat(style, (0.5 + 0.65 * count) * style.size, count)


def armchair(style: PieceStyle) -> list[Solid]:
    """For one."""
    return seat(style, 0.9 * style.size, 1)


def _fill_shelves(width: Number, heights: list[float], depth: Number, content: list[Material]) -> list[Solid]:
    """What stands on shelves: one box a compartment."""
    return [
        box((-width / 2 + 0.03, low + 0.02, 0.02), (width / 2 - 0.03, high - 0.005, depth - 0.05), material)
        for low, high, material in zip(heights[:-1], heights[1:], content, strict=True)
    ]


def bookcase(style: PieceStyle) -> list[Solid]:
    """Boards with books between them."""
    width, depth, wood = 0.85 * style.size, 0.32, style.wood
    count = 4 + int(2.99 * style.shape[0])
    heights = [0.06 + k * 0.34 for k in range(count + 1)]
    books = [Material("books", "#808080", fitted=1, seed=style.seed + k) for k in range(count)]
    top = heights[-1] + 0.02
    return [
        box((-width / 2, 0, 0), (-width / 2 + 0.028, top, depth), wood),
        box((width / 2 - 0.028, 0, 0), (width / 2, top, depth), wood),
        *(box((-width / 2, y - 0.01, 0), (width / 2, y + 0.015, depth), wood) for y in heights),
        *_fill_shelves(width, heights, depth, books),
    ]


def bed(style: PieceStyle) -> list[Solid]:
    """With its head at the wall."""
    width, long = (0.95 + 0.6 * style.shape[0]) * style.size, 2.02
    sheet = Material("fabric", "#e8e4dc")
    parts = [
        box((-width / 2, 0.10, 0.04), (width / 2, 0.30, long), style.wood),
        box((-width / 2 - 0.03, 0, 0), (width / 2 + 0.03, 0.85 + 0.3 * style.shape[1], 0.06), style.wood),
        box((-width / 2 + 0.02, 0.30, 0.06), (width / 2 - 0.02, 0.50, long - 0.02), sheet, bevel=0.05),
        box((-width / 2 - 0.02, 0.24, 0.75), (width / 2 + 0.02, 0.56, long + 0.01), style.cloth, bevel=0.07),
        box((-width / 2 - 0.022, 0.50, 0.62), (width / 2 + 0.022, 0.575, 0.95), style.accent, bevel=0.04),
        *legs(width, long, 0.12, style.wood),
    ]
    for x in (-width / 4, width / 4) if width > 1.2 else (0.0,):
        parts.append(ball((x, 0.58, 0.32), (0.3, 0.11, 0.2), sheet))
    return parts


def _vase(x: Number, y: Number, z: Number, material: Material) -> list[Solid]:
    return [
        ball((x, y + 0.11, z), (0.07, 0.11, 0.07), material),
        tube(x, z, 0.03, y + 0.19, y + 0.25, material),
    ]


def sideboard(style: PieceStyle) -> list[Solid]:
    """A low cupboard, with a screen or vases on it."""
    width, depth, high = 1.5 * style.size, 0.42, 0.62 + 0.2 * style.shape[0]
    front = replace(style.wood, pattern="fronts", second=style.metal.color, fitted=1)
    parts = [
        box((-width / 2, 0.14, 0.01), (width / 2, high, depth - 0.02), style.wood),
        box((-width / 2 + 0.015, 0.155, depth - 0.02), (width / 2 - 0.015, high - 0.03, depth), front),
        box((-width / 2 - 0.015, high, 0), (width / 2 + 0.015, high + 0.025, depth + 0.01), style.wood),
        *legs(width, depth, 0.14, style.metal),
    ]
    if style.shape[1] < 0.5:
        screen = Material("screen", "#141517", "#3b3f46", fitted=1)
        half = min(0.55, width / 2 - 0.08)
        parts.append(box((-half, high + 0.09, 0.14), (half, high + 0.09 + 1.12 * half, 0.18), screen, bevel=0.0))
        parts.append(box((-0.15, high + 0.02, 0.1), (0.15, high + 0.09, 0.22), style.metal))
    else:
        parts += _vase(-width / 3, high + 0.025, 0.2, style.accent) + _vase(
            width / 3.4, high + 0.025, 0.22, style.cloth
        )
    return parts


def wardrobe(style: PieceStyle) -> list[Solid]:
    """Tall, two doors."""
    width, depth, high = 1.15 * style.size, 0.6, 1.85 + 0.3 * style.shape[0]
    front = replace(style.wood, pattern="fronts", second=style.metal.color, fitted=1)
    return [
        box((-width / 2, 0.06, 0.01), (width / 2, high, depth - 0.02), style.wood),
        box((-width / 2 + 0.01, 0.08, depth - 0.02), (width / 2 - 0.01, high - 0.02, depth), front),
        box((-width / 2 + 0.03, 0, 0.03), (width / 2 - 0.03, 0.06, depth - 0.06), style.wood),
        box((-width / 2 - 0.02, high, 0), (width / 2 + 0.02, high + 0.04, depth + 0.02), style.wood),
    ]


def floor_lamp(style: PieceStyle) -> list[Solid]:
    """A pole with a glowing shade."""
    high = 1.35 + 0.25 * style.shape[0]
    shade = Material("flat", "#f0dcb4")
    return [
        tube(0, 0.25, 0.14, 0, 0.025, style.metal),
        tube(0, 0.25, 0.013, 0.02, high, style.metal),
        Solid(TUBE, (-0.19, high - 0.05, 0.06), (0.19, high + 0.22, 0.44), shade, glow=0.9),
    ]


def potted_plant(style: PieceStyle) -> list[Solid]:
    """A pot, a stem and some leafage."""
    return _plant(style, 0.16 + 0.06 * style.shape[0], 0.30, 1.0 + 0.6 * style.shape[1])


def _plant(style: PieceStyle, radius: Number, pot: Number, high: Number) -> list[Solid]:
    leaf = Material("leaves", "#3c5a2c", "#7e9a52", seed=style.seed)
    bark = Material("wood", "#5b4633")
    middle = radius + 0.12
    parts = [tube(0, middle, radius, 0, pot, style.accent), tube(0, middle, 0.02, pot - 0.02, high - 0.2, bark)]
    places = ((0.0, 0.0, 0.0, 0.27), (0.17, -0.20, 0.08, 0.20), (-0.16, -0.12, 0.10, 0.21), (0.05, 0.19, -0.08, 0.19),
              (-0.12, 0.10, 0.12, 0.17), (0.12, -0.36, 0.10, 0.16))  # fmt: skip
    for x, y, z, size in places:
        parts.append(ball((x, high + y, max(middle + z, size + 0.01)), (size, 0.85 * size, size), leaf))
    return parts


def _chair(x: Number, z: Number, style: PieceStyle, *, back: int) -> list[Solid]:
    """Seat, back and legs; the back on the side of +1 or -1 in z."""
    wood, thick = style.wood, 0.018
    parts = [box((x - 0.21, 0.43, z - 0.21), (x + 0.21, 0.47, z + 0.21), style.accent, bevel=0.02)]
    for dx in (-0.18, 0.18):
        for dz in (-0.18, 0.18):
            tall = 0.92 if dz * back > 0 else 0.44
            parts.append(box((x + dx - thick, 0, z + dz - thick), (x + dx + thick, tall, z + dz + thick), wood))
    edge = z + 0.18 * back
    parts.append(box((x - 0.19, 0.72, edge - 0.012), (x + 0.19, 0.9, edge + 0.012), wood))
    return parts


def dining_table(style: PieceStyle) -> list[Solid]:
    """With two chairs, away from the wall far enough to sit."""
    width, depth = 1.35 * style.size, 0.8
    parts = [
        box((-width / 2, 0.71, 0.45), (width / 2, 0.75, 0.45 + depth), style.wood),
        *(
            replace(leg, low=(leg.low[0], 0.0, leg.low[2] + 0.45), high=(leg.high[0], 0.71, leg.high[2] + 0.45))
            for leg in legs(width, depth, 0.71, style.wood)
        ),
        *_chair(-width / 4, 0.28, style, back=-1),
        *_chair(width / 4, 0.28, style, back=-1),
    ]
    return parts + _vase((style.shape[0] - 0.5) * 0.6, 0.75, 0.8, style.cloth)


def coffee_table(style: PieceStyle) -> list[Solid]:
    """Knee-high."""
    width, depth = 0.85 * style.size, 0.5
    return [
        box((-width / 2, 0.36, 0), (width / 2, 0.40, depth), style.wood),
        box((-width / 2 + 0.06, 0.12, 0.06), (width / 2 - 0.06, 0.14, depth - 0.06), style.wood),
        *legs(width, depth, 0.36, style.wood),
        box((-0.12, 0.40, 0.15), (0.08, 0.43, 0.32), style.accent),
    ]


def ottoman(style: PieceStyle) -> list[Solid]:
    """An upholstered footstool."""
    half = 0.3 * style.size
    return [box((-half, 0.02, 0), (half, 0.4, 2 * half), style.cloth, bevel=0.07)]


def counter(style: PieceStyle) -> list[Solid]:
    """A shop's counter with shelves of goods behind."""
    width = 1.7 * style.size
    front = replace(style.wood, pattern="ribs", scale=0.14)
    goods = [Material("books", "#808080", fitted=1, seed=style.seed + k) for k in range(2)]
    return [
        box((-width / 2, 0, 0.75), (width / 2, 1.0, 1.25), front),
        box((-width / 2 - 0.04, 1.0, 0.71), (width / 2 + 0.04, 1.045, 1.30), style.metal),
        *(box((-width / 2, y, 0), (width / 2, y + 0.03, 0.28), style.wood) for y in (1.25, 1.65, 2.05)),
        *_fill_shelves(width, [1.27, 1.67, 2.05], 0.28, goods),
        box((0.2, 1.045, 0.85), (0.5, 1.28, 1.05), style.metal),
    ]


def lockers(style: PieceStyle) -> list[Solid]:
    """A row of steel lockers."""
    count = 3 + int(1.99 * style.shape[0])
    front = replace(style.cloth, pattern="fronts", second=style.metal.color, fitted=1)
    width, parts = 0.36 * style.size, []
    for k in range(count):
        left = (k - count / 2) * width
        parts.append(box((left + 0.005, 0.08, 0.47), (left + width - 0.005, 1.80, 0.49), front, bevel=0.0))
    body = replace(style.cloth, pattern="flat")
    return [box((-count / 2 * width, 0.0, 0), (count / 2 * width, 1.83, 0.47), body), *parts]


def metal_shelf(style: PieceStyle) -> list[Solid]:
    """Steel uprights and boards with boxes on them."""
    width, depth = 1.1 * style.size, 0.42
    heights = [0.12, 0.62, 1.12, 1.62]
    parts = [box((-width / 2, y, 0), (width / 2, y + 0.03, depth), style.metal) for y in (*heights, 2.0)]
    for leg in legs(width, depth, 2.02, style.metal, inset=0.02):
        parts.append(leg)
    for k, y in enumerate(heights):
        material = (style.wood, style.accent, style.cloth, style.wood)[k]
        spread = 0.2 + 0.2 * style.shape[k % 3]
        parts.append(box((-width / 2 + 0.07, y + 0.03, 0.05), (-width / 2 + 0.07 + spread, y + 0.3, 0.36), material))
        other = (style.cloth, style.wood, style.wood, style.accent)[k]
        low = -width / 2 + 0.15 + spread
        parts.append(box((low, y + 0.03, 0.06), (min(low + 0.34, width / 2 - 0.05), y + 0.24, 0.38), other))
    return parts


def bench(style: PieceStyle) -> list[Solid]:
    """Slats on steel feet, with a back."""
    width = 1.5 * style.size
    slats = [box((-width / 2, 0.43, 0.14 + k * 0.1), (width / 2, 0.46, 0.22 + k * 0.1), style.wood) for k in range(4)]
    back = [box((-width / 2, 0.58 + k * 0.13, 0.08), (width / 2, 0.68 + k * 0.13, 0.11), style.wood) for k in range(2)]
    feet = [
        part
        for x in (-width / 2 + 0.15, width / 2 - 0.15)
        for part in (
            box((x - 0.02, 0, 0.1), (x + 0.02, 0.43, 0.5), style.metal),
            box((x - 0.02, 0.4, 0.05), (x + 0.02, 0.85, 0.09), style.metal),
        )
    ]
    return slats + back + feet


def cafe_table(style: PieceStyle) -> list[Solid]:
    """A round table on one foot, and two stools."""
    z = 0.55
    parts = [
        tube(0, z, 0.33 * style.size, 0.72, 0.745, style.wood),
        tube(0, z, 0.035, 0.02, 0.72, style.metal),
        tube(0, z, 0.22, 0, 0.025, style.metal),
    ]
    for x in (-0.62, 0.62):
        parts += [
            tube(x, z, 0.17, 0.44, 0.48, style.accent),
            tube(x, z, 0.03, 0.02, 0.44, style.metal),
            tube(x, z, 0.16, 0, 0.02, style.metal),
        ]
    return parts


def vending_machine(style: PieceStyle) -> list[Solid]:
    """A lit pane over a coloured case."""
    goods = Material("books", "#808080", fitted=1, seed=style.seed)
    case = replace(style.accent, pattern="flat")
    shelves = [
        Solid(
            BOX,
            (-0.36, 0.62 + k * 0.29, 0.70),
            (0.2, 0.87 + k * 0.29, 0.715),
            replace(goods, seed=style.seed + k),
            glow=0.5,
            bevel=0.0,
        )
        for k in range(4)
    ]
    return [
        box((-0.45, 0.0, 0.02), (0.45, 1.85, 0.70), case),
        *shelves,
        box((-0.36, 0.25, 0.70), (0.2, 0.45, 0.71), Material("flat", "#1d1f21")),
        box((0.26, 1.0, 0.70), (0.38, 1.35, 0.72), style.metal),
    ]


def crates(style: PieceStyle) -> list[Solid]:
    """Stacked boxes."""
    a, b = 0.3 + 0.1 * style.shape[0], 0.25 + 0.1 * style.shape[1]
    return [
        box((-0.62, 0, 0.05), (-0.62 + 2 * a, 1.5 * a, 0.6), style.wood),
        box((-0.55, 1.5 * a, 0.08), (-0.55 + 2 * b, 1.5 * a + 1.3 * b, 0.52), style.accent),
        box((-0.55 + 2 * a, 0, 0.05), (-0.55 + 2 * a + 2 * b, 1.6 * b, 0.5), style.cloth),
    ]


def planter(style: PieceStyle) -> list[Solid]:
    """A square tub with a shrub."""
    leaf = Material("leaves", "#2f4d33", "#5f8460", seed=style.seed)
    high = 0.75 + 0.5 * style.shape[0]
    return [
        box((-0.28, 0, 0.05), (0.28, 0.45, 0.6), style.metal),
        ball((0, high, 0.42), (0.36, 0.38, 0.34), leaf),
        ball((0.12, high + 0.3, 0.45), (0.24, 0.26, 0.24), leaf),
        ball((-0.15, high - 0.18, 0.5), (0.24, 0.22, 0.22), leaf),
    ]


def pin_board(style: PieceStyle) -> list[Solid]:
    """A board with notices, and a bin below it."""
    cork = Material("fabric", "#a98a62")
    notes = [
        box(
            (-0.62 + k * 0.33, 1.25 + 0.18 * ((k * 7) % 3) / 2, 0.04),
            (-0.38 + k * 0.33, 1.62 + 0.1 * (k % 2), 0.045),
            Material("poster", "#e0e0e0", fitted=1, seed=style.seed + k),
            bevel=0.0,
        )
        for k in range(4)
    ]
    return [
        box((-0.75, 1.1, 0), (0.75, 1.95, 0.03), cork),
        *notes,
        tube(0.5, 0.22, 0.15, 0, 0.5, style.metal),
    ]


def stool(style: PieceStyle) -> list[Solid]:
    """Round, knee-high."""
    return [
        tube(0, 0.2, 0.18 * style.size, 0.42, 0.46, style.accent),
        *legs(0.34, 0.4, 0.42, style.metal, inset=0.07),
    ]


def crate(style: PieceStyle) -> list[Solid]:
    """One box."""
    half = 0.26 * style.size
    return [box((-half, 0, 0), (half, 0.36, 1.5 * half), replace(style.wood, pattern="ribs", scale=0.11))]


BUILDERS: dict[str, Builder] = {
    builder.__name__: builder
    for builder in (
        sofa, armchair, bookcase, bed, sideboard, wardrobe, floor_lamp, potted_plant, dining_table, coffee_table,
        ottoman, counter, lockers, metal_shelf, bench, cafe_table, vending_machine, crates, planter, pin_board, stool,
        crate,
    )
}  # fmt: skip
"""Builders by name."""
