"""Build what tells one kind of room from another: fittings of kitchens, baths, offices, corridors and yards.

Conventions as in `furniture`: back at z = 0, front towards +z, middle at x = 0, feet at y = 0, metres.
"""

from dataclasses import replace

from synthaug.backgrounds.room.furniture import Builder, Material, PieceStyle, Solid, ball, box, legs, tube

WHITE = Material("flat", "#eef0ee")
"""Sanitary ware and large appliances."""
STEEL = Material("flat", "#9ea6aa")
DARK = Material("flat", "#1b1d20")
MIRROR = Material("screen", "#a9b8bf", "#dfe8ea", fitted=1)


def kitchen_units(style: PieceStyle) -> list[Solid]:
    """Base units with worktop, sink and hob, and cupboards over them."""
    width, count = 2.3 * style.size, 4
    front = replace(style.cloth, pattern="fronts", second=style.metal.color, fitted=1)
    body, part = replace(style.cloth, pattern="flat"), width / count
    parts = [
        box((-width / 2, 0, 0.03), (width / 2, 0.1, 0.5), DARK),
        box((-width / 2, 0.1, 0), (width / 2, 0.86, 0.56), body),
        box((-width / 2 - 0.01, 0.86, 0), (width / 2 + 0.01, 0.9, 0.6), style.wood),
        box((-width / 2, 0.9, 0), (width / 2, 1.4, 0.012), Material("tiles", "#e9ebe6", "#c4c9c4", 0.1)),
    ]
    for k in range(count):
        left = -width / 2 + k * part
        parts.append(box((left + 0.006, 0.12, 0.56), (left + part - 0.006, 0.85, 0.58), front, bevel=0.0))
        if k != 2:
            parts.append(box((left + 0.004, 1.42, 0), (left + part - 0.004, 2.08, 0.32), body))
            parts.append(box((left + 0.008, 1.43, 0.32), (left + part - 0.008, 2.07, 0.335), front, bevel=0.0))
    hob, sink = -width / 2 + 2.5 * part, -width / 2 + 0.5 * part
    parts += [
        box((hob - 0.27, 0.9, 0.06), (hob + 0.27, 0.912, 0.54), DARK, bevel=0.0),
        box((hob - 0.28, 0.3, 0.58), (hob + 0.28, 0.72, 0.592), Material("screen", "#17181a", "#44484d", fitted=1)),
        box((hob - 0.28, 1.55, 0), (hob + 0.28, 1.63, 0.46), STEEL),
        box((hob - 0.12, 1.63, 0), (hob + 0.12, 2.1, 0.24), STEEL),
        box((sink - 0.22, 0.9, 0.12), (sink + 0.22, 0.906, 0.48), STEEL, bevel=0.0),
        tube(sink, 0.08, 0.014, 0.9, 1.16, STEEL),
        box((sink - 0.013, 1.14, 0.08), (sink + 0.013, 1.165, 0.27), STEEL),
        tube(-width / 2 + 1.35 * part, 0.22, 0.08, 0.9, 1.12, style.accent),
        ball((-width / 2 + 1.7 * part, 0.95, 0.3), (0.14, 0.05, 0.14), style.accent),
    ]
    pot = 0.06 + 0.02 * style.shape[0]
    return [*parts, tube(hob - 0.1, 0.3, 2 * pot, 0.912, 0.93 + 2 * pot, STEEL)]


def fridge(style: PieceStyle) -> list[Solid]:
    """Tall and white or of steel, with two doors."""
    case = WHITE if style.shape[0] < 0.6 else STEEL
    high = 1.75 + 0.2 * style.shape[1]
    return [
        box((-0.3, 0.03, 0.02), (0.3, high, 0.6), case),
        box((-0.298, 0.05, 0.6), (0.298, 0.68, 0.64), case, bevel=0.02),
        box((-0.298, 0.7, 0.6), (0.298, high - 0.01, 0.64), case, bevel=0.02),
        box((0.22, 0.4, 0.64), (0.245, 0.62, 0.67), DARK),
        box((0.22, 0.78, 0.64), (0.245, 1.1, 0.67), DARK),
    ]


def bathtub(style: PieceStyle) -> list[Solid]:
    """Along the wall, with a tap and a towel over its edge."""
    width, deep, high = 1.65 * style.size, 0.74, 0.56
    inside = Material("flat", "#dfe5e6")
    edge = 0.07
    return [
        box((-width / 2, 0, 0), (width / 2, 0.16, deep), WHITE),
        box((-width / 2, 0.16, 0), (width / 2, high, edge), WHITE, bevel=0.03),
        box((-width / 2, 0.16, deep - edge), (width / 2, high, deep), WHITE, bevel=0.03),
        box((-width / 2, 0.16, edge), (-width / 2 + edge, high, deep - edge), WHITE, bevel=0.03),
        box((width / 2 - edge, 0.16, edge), (width / 2, high, deep - edge), WHITE, bevel=0.03),
        box((-width / 2 + edge, 0.16, edge), (width / 2 - edge, 0.2, deep - edge), inside),
        box((-width / 2 + 0.2, 0.75, 0.0), (-width / 2 + 0.36, 0.8, 0.14), STEEL),
        tube(-width / 2 + 0.28, 0.03, 0.012, 0.75, 1.95, STEEL),
        box((-width / 2 + 0.2, 1.9, 0.02), (-width / 2 + 0.36, 1.93, 0.2), STEEL),
        box((0.2, 0.25, deep - edge - 0.01), (0.55, high + 0.015, deep + 0.015), style.cloth),
    ]


def washbasin(style: PieceStyle) -> list[Solid]:
    """A basin on a cupboard, a mirror over it, cups beside the tap."""
    half = 0.38 * style.size
    front = replace(style.wood, pattern="fronts", second=style.metal.color, fitted=1)
    return [
        box((-half, 0.2, 0), (half, 0.74, 0.44), style.wood),
        box((-half + 0.01, 0.22, 0.44), (half - 0.01, 0.72, 0.455), front, bevel=0.0),
        box((-half - 0.02, 0.74, 0), (half + 0.02, 0.86, 0.48), WHITE, bevel=0.04),
        ball((0, 0.865, 0.27), (0.23, 0.012, 0.16), Material("flat", "#c8d0d2")),
        tube(0, 0.07, 0.016, 0.86, 0.99, STEEL),
        box((-0.014, 0.97, 0.07), (0.014, 0.99, 0.2), STEEL),
        box((-half - 0.03, 1.12, 0), (half + 0.03, 1.9, 0.02), style.metal),
        box((-half, 1.15, 0.02), (half, 1.87, 0.026), MIRROR, bevel=0.0),
        box((-half, 1.93, 0), (half, 1.98, 0.1), Material("flat", "#f4f0e6"), bevel=0.02),
        tube(-half + 0.1, 0.12, 0.035, 0.86, 0.96, style.accent),
        tube(half - 0.1, 0.1, 0.03, 0.86, 1.02, style.cloth),
    ]


def toilet(style: PieceStyle) -> list[Solid]:
    """With its cistern, and a roll beside it."""
    return [
        box((-0.2, 0.4, 0), (0.2, 0.82, 0.18), WHITE, bevel=0.03),
        box((-0.11, 0, 0.1), (0.11, 0.36, 0.5), WHITE, bevel=0.05),
        ball((0, 0.36, 0.42), (0.19, 0.1, 0.26), WHITE),
        ball((0, 0.43, 0.42), (0.2, 0.025, 0.27), Material("flat", "#e2e4e2")),
        tube(0.34, 0.06, 0.055, 0.62, 0.72, Material("flat", "#e8e4dc")),
        box((0.33, 0.7, 0), (0.35, 0.73, 0.06), style.metal),
    ]


def towel_rail(style: PieceStyle) -> list[Solid]:
    """A rail on the wall with towels on it."""
    folds = [Material("folds", part.color, scale=0.12, seed=style.seed) for part in (style.cloth, style.accent)]
    rungs = [box((-0.3, y, 0.03), (0.3, y + 0.02, 0.05), WHITE) for y in (0.7, 0.9, 1.1, 1.3, 1.5)]
    return [
        *rungs,
        box((-0.3, 0.6, 0.02), (-0.27, 1.6, 0.06), WHITE),
        box((0.27, 0.6, 0.02), (0.3, 1.6, 0.06), WHITE),
        box((-0.24, 0.62, 0.05), (0.02, 1.33, 0.085), folds[0], bevel=0.02),
        box((0.05, 0.85, 0.05), (0.25, 1.53, 0.08), folds[1], bevel=0.02),
    ]


def nightstand(style: PieceStyle) -> list[Solid]:
    """A small chest with a lamp on it."""
    half, high = 0.24 * style.size, 0.5
    front = replace(style.wood, pattern="fronts", second=style.metal.color, fitted=1)
    return [
        box((-half, 0.06, 0.01), (half, high, 0.38), style.wood),
        box((-half + 0.01, 0.08, 0.38), (half - 0.01, high - 0.02, 0.392), front, bevel=0.0),
        tube(0, 0.2, 0.05, high, high + 0.02, style.metal),
        tube(0, 0.2, 0.012, high, high + 0.2, style.metal),
        tube(0, 0.2, 0.12, high + 0.18, high + 0.4, Material("flat", "#f0dcb4")),
    ]


def _office_chair(x: float, z: float, style: PieceStyle) -> list[Solid]:
    """On a column with a star foot; the back away from the desk."""
    return [
        box((x - 0.24, 0.46, z - 0.23), (x + 0.24, 0.54, z + 0.23), style.cloth, bevel=0.03),
        box((x - 0.22, 0.6, z + 0.2), (x + 0.22, 1.08, z + 0.26), style.cloth, bevel=0.04),
        box((x - 0.03, 0.5, z + 0.2), (x + 0.03, 0.7, z + 0.24), DARK),
        tube(x, z, 0.03, 0.08, 0.46, DARK),
        box((x - 0.28, 0.05, z - 0.03), (x + 0.28, 0.09, z + 0.03), DARK),
        box((x - 0.03, 0.05, z - 0.28), (x + 0.03, 0.09, z + 0.28), DARK),
    ]


def desk(style: PieceStyle) -> list[Solid]:
    """With a screen, keyboard, papers and a chair before it."""
    width = 1.5 * style.size
    screen = Material("screen", "#141517", "#3b3f46", fitted=1)
    papers = Material("poster", "#f1eee6", fitted=1, seed=style.seed)
    front = replace(style.wood, pattern="fronts", second=style.metal.color, fitted=1)
    side = width / 2 - 0.3
    return [
        box((-width / 2, 0.71, 0.02), (width / 2, 0.745, 0.75), style.wood),
        *legs(width, 0.75, 0.71, style.metal, inset=0.04),
        box((side - 0.2, 0.1, 0.1), (side + 0.2, 0.66, 0.68), style.wood),
        box((side - 0.19, 0.12, 0.68), (side + 0.19, 0.64, 0.69), front, bevel=0.0),
        box((-0.1, 0.745, 0.12), (0.1, 0.76, 0.3), DARK),
        box((-0.02, 0.76, 0.16), (0.02, 0.9, 0.19), DARK),
        box((-0.31, 0.86, 0.19), (0.31, 1.22, 0.215), screen, bevel=0.0),
        box((-0.22, 0.745, 0.45), (0.22, 0.762, 0.58), DARK),
        box((-width / 2 + 0.1, 0.745, 0.3), (-width / 2 + 0.32, 0.75, 0.6), papers, bevel=0.0),
        box((side - 0.1, 0.745, 0.2), (side + 0.12, 0.84, 0.5), style.accent),
        *_office_chair(-0.05, 1.1, style),
    ]


def filing_cabinet(style: PieceStyle) -> list[Solid]:
    """Steel drawers above each other."""
    parts = [box((-0.23, 0, 0), (0.23, 1.32, 0.6), STEEL)]
    for k in range(4):
        low = 0.03 + 0.32 * k
        parts.append(box((-0.22, low, 0.6), (0.22, low + 0.3, 0.615), Material("flat", "#aab1b4")))
        parts.append(box((-0.07, low + 0.2, 0.615), (0.07, low + 0.22, 0.635), DARK))
    return parts


def whiteboard(style: PieceStyle) -> list[Solid]:
    """On the wall, with something written on it."""
    half = 0.8 * style.size
    lines = [
        box((-0.6 * half, 1.75 - 0.13 * k, 0.03), ((-0.1 + 0.25 * ((k * 3) % 4) / 2) * half, 1.77 - 0.13 * k, 0.033),
            (style.cloth, DARK, style.accent)[k % 3], bevel=0.0)
        for k in range(5)
    ]  # fmt: skip
    return [
        box((-half, 1.0, 0), (half, 1.98, 0.022), STEEL),
        box((-half + 0.02, 1.02, 0.022), (half - 0.02, 1.96, 0.028), Material("flat", "#f3f5f4"), bevel=0.0),
        box((-0.4, 0.98, 0), (0.4, 1.0, 0.08), STEEL),
        *lines,
    ]


def inner_door(style: PieceStyle) -> list[Solid]:
    """A further door: corridors lead to rooms."""
    frame, leaf = Material("flat", "#e4dccb"), Material("door", style.wood.color, "#b8a878", fitted=1)
    return [
        box((-0.5, 0, 0), (0.5, 2.1, 0.02), frame),
        box((-0.43, 0.01, 0.005), (0.43, 2.03, 0.035), leaf),
    ]


def coat_rack(style: PieceStyle) -> list[Solid]:
    """Hooks on a board, and coats on them."""
    parts = [
        box((-0.55, 1.62, 0), (0.55, 1.76, 0.03), style.wood),
        box((-0.55, 1.86, 0), (0.55, 1.89, 0.26), style.wood),
    ]
    for k, x in enumerate((-0.36, -0.05, 0.33)):
        cloth = Material("folds", (style.cloth, style.accent, style.cloth)[k].color, scale=0.15, seed=style.seed + k)
        parts.append(box((x - 0.17, 0.72 + 0.12 * k, 0.04), (x + 0.17, 1.6, 0.18), cloth, bevel=0.06))
        parts.append(box((x - 0.01, 1.58, 0.02), (x + 0.01, 1.66, 0.08), style.metal))
    return parts


def shoe_bench(style: PieceStyle) -> list[Solid]:
    """A low shelf with shoes under a cushion."""
    half = 0.5 * style.size
    parts = [
        box((-half, 0.4, 0), (half, 0.44, 0.32), style.wood),
        box((-half + 0.02, 0.44, 0.01), (half - 0.02, 0.49, 0.31), style.cloth, bevel=0.02),
        box((-half, 0.16, 0), (half, 0.18, 0.32), style.wood),
        box((-half, 0, 0), (-half + 0.03, 0.4, 0.32), style.wood),
        box((half - 0.03, 0, 0), (half, 0.4, 0.32), style.wood),
    ]
    for k in range(4):
        x = -half + 0.14 + k * (2 * half - 0.2) / 4
        parts.append(ball((x, 0.22, 0.19), (0.045, 0.04, 0.12), (DARK, style.accent)[k % 2]))
        parts.append(ball((x + 0.1, 0.22, 0.19), (0.045, 0.04, 0.12), (DARK, style.accent)[k % 2]))
    return parts


def shrub(style: PieceStyle) -> list[Solid]:
    """Round and dense."""
    leaf = Material("leaves", "#35562b", "#6d8f45", seed=style.seed)
    wide = 0.42 + 0.2 * style.shape[0]
    return [
        ball((0, 0.85 * wide, wide), (wide, 0.85 * wide, 0.95 * wide), leaf),
        ball((0.4 * wide, 1.3 * wide, 0.9 * wide), (0.6 * wide, 0.5 * wide, 0.6 * wide), leaf),
        ball((-0.5 * wide, 1.1 * wide, 1.1 * wide), (0.55 * wide, 0.5 * wide, 0.5 * wide), leaf),
    ]


def tree(style: PieceStyle) -> list[Solid]:
    """A trunk and a crown."""
    leaf, bark = Material("leaves", "#3d612c", "#86a552", seed=style.seed), Material("wood", "#5b4633")
    high = 1.9 + 0.5 * style.shape[0]
    crown = ((0, 0.4, 0, 0.75), (0.5, 0.15, 0.2, 0.5), (-0.45, 0.2, 0.25, 0.5), (0.1, 0.95, -0.1, 0.55))
    return [
        tube(0, 0.9, 0.09, 0, high, bark),
        *(ball((x, high + y, 0.9 + z), (size, 0.85 * size, size), leaf) for x, y, z, size in crown),
    ]


def garden_table(style: PieceStyle) -> list[Solid]:
    """With two folding chairs."""
    z = 0.95
    parts = [
        box((-0.55, 0.7, z - 0.4), (0.55, 0.735, z + 0.4), style.wood),
        *(
            replace(leg, low=(leg.low[0], 0.0, leg.low[2] + z - 0.4), high=(leg.high[0], 0.7, leg.high[2] + z - 0.4))
            for leg in legs(1.1, 0.8, 0.7, style.metal)
        ),
    ]
    for x in (-0.85, 0.85):
        outside = x + (0.2 if x > 0 else -0.2)
        parts += [
            box((x - 0.21, 0.42, z - 0.21), (x + 0.21, 0.45, z + 0.21), style.wood),
            box((outside - 0.02, 0.45, z - 0.2), (outside + 0.02, 0.9, z + 0.2), style.wood),
            *(
                box((x + dx - 0.015, 0, z + dz - 0.015), (x + dx + 0.015, 0.42, z + dz + 0.015), style.metal)
                for dx in (-0.18, 0.18)
                for dz in (-0.18, 0.18)
            ),
        ]
    return parts


def flower_bed(style: PieceStyle) -> list[Solid]:
    """Earth behind a low edge, with flowers."""
    earth, leaf = Material("carpet", "#4c3a2a"), Material("leaves", "#3c5a2c", "#7e9a52", seed=style.seed)
    half = 0.9 * style.size
    parts = [
        box((-half, 0, 0), (half, 0.12, 0.6), Material("wood", "#6e4d36")),
        box((-half + 0.04, 0.05, 0.04), (half - 0.04, 0.14, 0.56), earth),
    ]
    for k in range(7):
        x, z = -half + 0.16 + k * (2 * half - 0.3) / 6, 0.2 + 0.2 * ((k * 5) % 3) / 2
        parts.append(ball((x, 0.24, z), (0.13, 0.13, 0.13), leaf))
        parts.append(ball((x + 0.03, 0.4, z + 0.03), (0.06, 0.05, 0.06), (style.cloth, style.accent)[k % 2]))
    return parts


FITTINGS: dict[str, Builder] = {
    builder.__name__: builder
    for builder in (
        kitchen_units, fridge, bathtub, washbasin, toilet, towel_rail, nightstand, desk, filing_cabinet, whiteboard,
        inner_door, coat_rack, shoe_bench, shrub, tree, garden_table, flower_bed,
    )
}  # fmt: skip
"""Builders by name."""
