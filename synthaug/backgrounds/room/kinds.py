"""Kinds of rooms: what a kitchen, a bathroom, a yard is furnished with, made of and shaped like.

A kind is a variant of the family `studio`, whose colours it shares: the other family stands for the real world and
stays apart from it.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from synthaug.backgrounds.room.families import FAMILIES, STUDIO, Covering, Family, Lighting
from synthaug.structures import Values


@dataclass(frozen=True)
class Kind:
    """One kind of room.

    Attributes:
        family: What it may contain.
        always: Names of pieces that tell what it is, the first placed first.
        items: How many other pieces are sampled.
        reach: Metres from the origin to the walls: least and most across, least and most along.
        sill: Metres between which the sills of windows are.
        glass: Height and width of windows, metres: least and most each.
        windows: Share of rooms with a window; a second one as often.
    """

    family: Family
    always: tuple[str, ...]
    items: int
    reach: tuple[tuple[float, float], tuple[float, float]]
    sill: tuple[float, float] = (0.7, 1.05)
    glass: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 1.4), (1.0, 2.0))
    windows: float = 1.0


_TILED = Covering(
    "tiles",
    (("#e3e6e3", "#c3c8c5"), ("#d5dfe0", "#aebdbf"), ("#e6ddd0", "#c7bba9"), ("#c3d0d3", "#94a7ab")),
    (0.15, 0.3),
)
_PAINT = Covering("flat", (("#e8e6df", "#cfd6d3"), ("#e3e7ea", "#b4c2cc"), ("#efe9dd", "#d9c6a4")), (1, 1))
_STONE = Covering("tiles", (("#c9c0b2", "#a59d91"), ("#9aa0a0", "#80878a"), ("#b3aaa0", "#8e867d")), (0.3, 0.45), 0.6)
_PLANKS, _CARPET = STUDIO.floors[0], STUDIO.floors[1]
_GRASS = Covering("carpet", (("#5c7a38", "#5c7a38"), ("#6b8442", "#6b8442"), ("#4f7036", "#4f7036")), (1, 1))
_FENCE = Covering("ribs", (("#8d6b48", "#8d6b48"), ("#a88d6c", "#a88d6c"), ("#6f5a46", "#6f5a46")), (0.12, 0.16))
_DAY = (
    Lighting((9, 9.4, 10), (0.93, 1.0, 1.08), (0.24, 0.33, 0.2), (0, 0, 0), (0, 0, 0)),
    Lighting((6, 6.8, 8.2), (0.72, 0.9, 1.2), (0.25, 0.36, 0.2), (0, 0, 0), (9, 8.4, 7.0)),
    Lighting((7, 7.2, 7.4), (0.9, 0.94, 1.0), (0.28, 0.34, 0.24), (0, 0, 0), (4, 3.7, 3.2)),
)

WALL_BEARINGS = (-math.pi / 2, math.pi / 2, math.pi, 0.0)
"""Direction of each wall from the origin, about the vertical, in the order in which walls are sampled."""
KINDS: dict[str, Kind] = {
    "kitchen": Kind(
        replace(
            STUDIO, floors=(_STONE, _PLANKS), walls=(_PAINT, _TILED), rugs=0.0, curtains=0.3,
            furniture=("dining_table", "potted_plant", "sideboard"), occluders=("ottoman",),
            cloths=("#d9cdb8", "#ece7dd", "#7c8794", "#51644f", "#a8503f", "#5f7f86"),
        ),
        ("kitchen_units", "fridge", "dining_table"), 4, ((1.5, 2.2), (1.8, 2.8)), (1.0, 1.1), ((0.8, 1.1), (0.8, 1.4)),
    ),
    "bathroom": Kind(
        replace(
            STUDIO, floors=(_STONE,), walls=(_TILED,), rugs=0.3, curtains=0.0, hangings=("picture",),
            furniture=("towel_rail", "washbasin", "potted_plant"), occluders=("ottoman",), heights=(2.3, 2.6),
        ),
        ("bathtub", "washbasin", "toilet", "towel_rail"), 2, ((1.2, 1.7), (1.8, 2.2)), (1.3, 1.5),
        ((0.5, 0.7), (0.5, 0.9)), 0.7,
    ),
    "bedroom": Kind(
        replace(STUDIO, floors=(_PLANKS, _CARPET), furniture=("nightstand", "bookcase", "armchair", "floor_lamp")),
        ("bed", "wardrobe", "nightstand"), 4, ((1.7, 2.5), (3.1, 3.6)),
    ),
    "living room": Kind(
        replace(STUDIO, floors=(_PLANKS, _CARPET), rugs=0.8,
                furniture=("armchair", "bookcase", "floor_lamp", "potted_plant", "sideboard")),
        ("sofa", "sideboard", "armchair", "bookcase"), 6, ((2.0, 3.0), (2.4, 3.4)),
    ),
    "office": Kind(
        replace(STUDIO, floors=(_CARPET, _PLANKS), walls=(_PAINT,), rugs=0.0, curtains=0.1,
                furniture=("desk", "filing_cabinet", "bookcase", "potted_plant"), occluders=("ottoman",)),
        ("desk", "whiteboard", "filing_cabinet", "desk"), 5, ((1.9, 2.8), (2.5, 3.4)),
    ),
    "corridor": Kind(
        replace(STUDIO, rugs=0.3, furniture=("inner_door", "shoe_bench", "coat_rack"), occluders=("ottoman",)),
        ("inner_door", "inner_door", "coat_rack", "inner_door", "shoe_bench"), 2, ((0.85, 1.15), (3.2, 5.0)),
        windows=0.3,
    ),
    "yard": Kind(
        replace(STUDIO, floors=(_GRASS,), walls=(_FENCE,), trims=("#6f5a46", "#8a6746"), rugs=0.0, curtains=0.0,
                furniture=("shrub", "tree", "flower_bed", "shrub"), occluders=("ottoman",), lights=_DAY,
                heights=(4.6, 5.6), hangings=("picture",)),
        ("garden_table", "tree", "flower_bed", "shrub"), 9, ((4.0, 6.0), (4.5, 7.0)),
    ),
}  # fmt: skip
"""Kinds by name."""


def find_family(values: Values) -> Family:
    """What the room of sampled values may contain."""
    kind = values.get("kind")
    return FAMILIES[str(values["family"])] if kind is None else KINDS[str(kind)].family


def is_open(values: Values) -> bool:
    """Whether the sky is over it."""
    return values.get("kind") == "yard"


def choose_yaw(values: Values, camera: Float[np.ndarray, "3"]) -> float:
    """How a room is turned, radians: by chance, but for rooms of a kind, so that the camera sees what they are.

    The first piece stands about opposite the camera, and corridors lie along its view.

    Args:
        values: What `Rooms.sample` returned.
        camera: Its place, world frame, the person at the origin.
    """
    yaw = float(values["yaw_deg"])  # type: ignore[arg-type]
    kind = values.get("kind")
    if kind is None:
        return math.radians(yaw)
    bearing = math.atan2(float(camera[0]), float(camera[2]))
    if kind == "corridor":
        return bearing + math.radians(yaw / 360 * 16 - 8)
    wall = int(values["items"][0]["wall"])  # type: ignore[index,call-overload]
    return bearing + math.pi - WALL_BEARINGS[wall] + math.radians(yaw / 360 * 70 - 35)
