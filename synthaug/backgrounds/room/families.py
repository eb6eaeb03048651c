"""Tables of what rooms are made of, in two families that share nothing.

`studio` is homes by daylight and lamps; `street` is what is built along streets: shops, workshops, halls, cafes. No
pattern of a wall or floor, no colour, no piece of furniture and no light occurs in both, so that one family can train
and the other stand for the real world.
"""

from dataclasses import dataclass
from typing import TypeAlias

Number: TypeAlias = float | int
Triple: TypeAlias = tuple[Number, Number, Number]


@dataclass(frozen=True)
class Covering:
    """A floor or wall: pattern of `textures`, pairs of sRGB colours to choose from, size in metres, share of gloss."""

    pattern: str
    colors: tuple[tuple[str, str], ...]
    scale: tuple[Number, Number]
    gloss: float = 0.0


@dataclass(frozen=True)
class Lighting:
    """Light at a time of day, linear; strengths are relative to each other, since the exposure evens out the rest.

    Attributes:
        window: Light that a pane sends in.
        seen: Display-referred colour of the sky behind the pane.
        skyline: Colour of trees or houses at the horizon.
        lamp: Light that a lamp sends out.
        sun: Sunlight through panes; zeros for none.
    """

    window: Triple
    seen: Triple
    skyline: Triple
    lamp: Triple
    sun: Triple


@dataclass(frozen=True)
class Family:
    """Everything that a room of one family may contain.

    Attributes:
        floors: Coverings; one is chosen.
        walls: Coverings; one is chosen for three walls, with a second colour for the fourth.
        ceilings: sRGB colours.
        trims: sRGB colours of skirtings, frames and doors.
        woods: sRGB colours of furniture.
        cloths: sRGB colours of upholstery, curtains and rugs.
        metals: sRGB colours of legs, handles, lamps.
        furniture: Names of builders in `furniture`.
        occluders: Names of builders of low pieces that may stand in front of the person.
        lights: Times of day.
        hangings: Patterns of pictures on walls.
        heights: Lowest and highest ceiling, metres.
        curtains: Share of windows with curtains.
        rugs: Share of rooms with a rug.
    """

    floors: tuple[Covering, ...]
    walls: tuple[Covering, ...]
    ceilings: tuple[str, ...]
    trims: tuple[str, ...]
    woods: tuple[str, ...]
    cloths: tuple[str, ...]
    metals: tuple[str, ...]
    furniture: tuple[str, ...]
    occluders: tuple[str, ...]
    lights: tuple[Lighting, ...]
    hangings: tuple[str, ...]
    heights: tuple[float, float]
    curtains: float
    rugs: float


STUDIO = Family(
    floors=(
        Covering(
            "planks",
            (("#b98a5c", "#b98a5c"), ("#8d6340", "#8d6340"), ("#c9a779", "#c9a779"), ("#6e4d36", "#6e4d36"),
             ("#a9998a", "#a9998a")),
            (0.11, 0.19), 0.5,
        ),
        Covering(
            "carpet",
            (("#8f8678", "#8f8678"), ("#a39c93", "#a39c93"), ("#6b7078", "#6b7078"), ("#9b8369", "#9b8369")),
            (1, 1),
        ),
        Covering("tiles", (("#c9c0b2", "#a59d91"), ("#b7a48c", "#97866f"), ("#9aa0a0", "#80878a")), (0.33, 0.6), 0.6),
    ),
    walls=(
        Covering(
            "flat",
            (("#e6e0d4", "#c9b8a0"), ("#dfe3e0", "#9fb0a8"), ("#e9e4dc", "#b9746a"), ("#d9dfe6", "#7f95ad"),
             ("#efe9dd", "#d6b878"), ("#d8d2ca", "#8b8f78")),
            (1, 1),
        ),
        Covering("stripes", (("#e4dac6", "#d2c3a4"), ("#d5dde0", "#bccad0"), ("#e6d3cd", "#d6b9b1")), (0.12, 0.3)),
        Covering(
            "wallpaper",
            (("#ded7c6", "#c5bba2"), ("#ccd5cf", "#aebdb2"), ("#dbc9b9", "#c7a993"), ("#cfd3dc", "#aab3c6")),
            (0.22, 0.45),
        ),
        Covering("panelling", (("#cdd4cf", "#ece8df"), ("#c2b49d", "#e9e2d3"), ("#a9b7c1", "#e9ebec")), (0.5, 0.9)),
    ),
    ceilings=("#f3f1ec", "#efece4", "#f5f4f0"),
    trims=("#f1eee6", "#e4dccb", "#8a6746", "#6a4a33"),
    woods=("#8a5f3c", "#b58a5e", "#5d3f2b", "#d2b48c", "#ece7dd", "#a07850"),
    cloths=("#7c8794", "#a8503f", "#51644f", "#c2a878", "#39455c", "#b9b2a5", "#8c6a7d", "#d9cdb8", "#5f7f86"),
    metals=("#2b2a28", "#b9b4a8"),
    furniture=(
        "sofa", "armchair", "bookcase", "bed", "sideboard", "wardrobe", "floor_lamp", "potted_plant", "dining_table",
    ),
    occluders=("coffee_table", "ottoman"),
    lights=(
        Lighting((9, 9.6, 10.5), (0.95, 1.0, 1.05), (0.30, 0.36, 0.26), (0.5, 0.42, 0.32), (0, 0, 0)),
        Lighting((7.5, 8.2, 9.4), (0.9, 1.0, 1.15), (0.36, 0.40, 0.28), (0.2, 0.17, 0.13), (7, 6.3, 5.2)),
        Lighting((0.5, 0.6, 0.95), (0.10, 0.13, 0.22), (0.03, 0.04, 0.05), (3.4, 2.6, 1.75), (0, 0, 0)),
        Lighting((5.5, 4.9, 4.2), (1.1, 0.9, 0.65), (0.25, 0.2, 0.15), (1.6, 1.25, 0.85), (0, 0, 0)),
    ),
    hangings=("picture",),
    heights=(2.35, 2.8),
    curtains=0.7,
    rugs=0.45,
)  # fmt: skip

STREET = Family(
    floors=(
        Covering(
            "concrete", (("#8c8b87", "#8c8b87"), ("#a29f98", "#a29f98"), ("#73767a", "#73767a")), (0.8, 1.4), 0.25
        ),
        Covering("checker", (("#cfcac0", "#6a6560"), ("#d8d6d0", "#9aa5a5"), ("#c7b49a", "#7c5b47")), (0.3, 0.5), 0.7),
        Covering("terrazzo", (("#c2bfb6", "#7a756c"), ("#b3b5b2", "#5f6a6c"), ("#c8b8a8", "#8d6f60")), (1, 1), 0.6),
    ),
    walls=(
        Covering(
            "brick",
            (("#96604a", "#b5aca0"), ("#a6846c", "#c4bcae"), ("#d4cfc6", "#bdb8ae"), ("#6f5248", "#8f8a83")),
            (0.075, 0.085),
        ),
        Covering("screed", (("#a5a39d", "#a5a39d"), ("#bab8b1", "#bab8b1"), ("#8d9296", "#8d9296")), (0.9, 1.3)),
        Covering(
            "mosaic",
            (("#dfe2df", "#b5bab6"), ("#b9cbc8", "#93a5a2"), ("#d6c8aa", "#b0a48a"), ("#7d96a3", "#a8b8be")),
            (0.15, 0.3),
        ),
    ),
    ceilings=("#d9d9d5", "#c6c5c0", "#b3b4b3"),
    trims=("#4b4d4f", "#7d7f80", "#2f4a4f", "#6d3b34"),
    woods=("#77553d", "#a88a66", "#3f3a36", "#c9bda8", "#6c7a80"),
    cloths=("#c4472f", "#2f6f73", "#d9a336", "#44484d", "#6f8f4e", "#86508a", "#e0dccf"),
    metals=("#8f9396", "#3b3f42"),
    furniture=(
        "counter", "lockers", "metal_shelf", "bench", "cafe_table", "vending_machine", "crates", "planter", "pin_board",
    ),
    occluders=("stool", "crate"),
    lights=(
        Lighting((6.5, 7.2, 8.0), (0.85, 0.93, 1.0), (0.33, 0.33, 0.34), (1.5, 1.6, 1.65), (0, 0, 0)),
        Lighting((3.0, 3.3, 3.8), (0.7, 0.75, 0.8), (0.28, 0.28, 0.29), (2.6, 2.75, 2.7), (0, 0, 0)),
        Lighting((8.0, 7.9, 7.6), (1.0, 0.98, 0.95), (0.45, 0.40, 0.34), (0.7, 0.75, 0.75), (9, 8.4, 7.4)),
        Lighting((0.35, 0.35, 0.5), (0.06, 0.06, 0.10), (0.09, 0.07, 0.05), (2.9, 2.9, 2.6), (0, 0, 0)),
    ),
    hangings=("poster",),
    heights=(2.7, 3.4),
    curtains=0.0,
    rugs=0.0,
)  # fmt: skip

FAMILIES = {"studio": STUDIO, "street": STREET}
