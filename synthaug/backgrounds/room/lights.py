"""Light a room: from a plan to the array that `raycasting` reads, exposed as a camera would."""

import math

import numpy as np
from jaxtyping import Float

from synthaug.backgrounds.room.furniture import Solid
from synthaug.backgrounds.room.layout import RoomPlan, material_row
from synthaug.backgrounds.room.raycasting import (
    BEVEL,
    BOUNCE,
    BOX,
    CELLS,
    CENTRE,
    COLUMNS,
    COS,
    EXPOSURE,
    FIRST,
    GLOW,
    HALF,
    HIGH,
    KIND,
    LAMPS,
    LIGHT_CELLS,
    LOW,
    MATERIAL,
    MATERIALS,
    PIECE,
    PIECES,
    PX,
    PZ,
    RADIUS,
    RUG_PLACE,
    SIN,
    SKY,
    SOLIDS,
    START,
    STOP,
    SUN,
    THIN,
    WINDOWS,
    gather_light,
)
from synthaug.structures import Light

CELL = {"floor": 0.14, "wall": 0.22, "furniture": 0.2}
"""Spacing in metres of the cells in which light is gathered: about the width of the softest shadow that matters."""
SLIM = 0.07
"""Thickness in metres below which light does not vary across: legs, boards, rods."""
MIDDLE_GREY = 0.38
"""Linear display value that a half-white person gets: sRGB 165, as cameras meter rooms with people in them."""
BALANCE = 0.6
"""How much of a light's tint the camera's white balance takes away."""
NORMALS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)


RoomArray = Float[np.ndarray, "row 16"]


def light_room(plan: RoomPlan) -> tuple[RoomArray, Light]:
    """The room as `raycasting` reads it, and the light on a person at its origin, room frame."""
    room = stack_room(plan)
    _fill_bounce(room, plan)
    reaching = _light_at_person(room)
    _expose(room, reaching.sum(1).mean(0))
    return room, _person_light(reaching)


def stack_room(plan: RoomPlan, *, lit: bool = True) -> RoomArray:
    """The room as `raycasting` reads it, in which no light has been gathered yet.

    Args:
        plan: What stands where.
        lit: Whether there is a place for light, which takes most of the room's memory; without, surfaces can be traced.
    """
    solids, pieces, materials = _stack_solids(plan)
    lighting = plan.lighting
    tables = {
        SOLIDS: solids,
        PIECES: pieces,
        MATERIALS: materials,
        WINDOWS: np.reshape([[w.face, w.left, w.right, w.sill, w.top, w.open] for w in plan.windows], (-1, 6)),
        LAMPS: [[*lamp[:4], *(lamp[4] * part for part in lighting.lamp)] for lamp in plan.lamps],
        SKY: [
            [plan.strength * part for part in lighting.window],
            lighting.seen,
            [7.1 * plan.seed, 3.3 * plan.seed, 5.7 * plan.seed],
            lighting.skyline,
        ],
        BOUNCE: np.zeros((7, 3)),
        SUN: [[*plan.sun, max(lighting.sun), *lighting.sun]],
        RUG_PLACE: [plan.rug],
        LIGHT_CELLS: np.zeros((_count_cells(solids) if lit else 0, 4)),
    }
    return _stack_tables(tables)


def _stack_tables(tables: dict[int, object]) -> RoomArray:
    """Stack tables below each other; their first rows are noted in row 0 and in what refers to rows."""
    arrays = {name: np.asarray(table, np.float64) for name, table in tables.items()}
    firsts = dict(zip(arrays, 1 + np.cumsum([0, *map(len, arrays.values())]), strict=False))
    room = np.zeros((1 + sum(map(len, arrays.values())), COLUMNS))
    for name, array in arrays.items():
        room[0, name] = firsts[name]
        room[firsts[name] : firsts[name] + len(array), : array.shape[1]] = array
    solids = slice(firsts[SOLIDS], firsts[PIECES])
    room[solids, PIECE] += firsts[PIECES]
    room[firsts[PIECES] : firsts[MATERIALS], [START, STOP]] += firsts[SOLIDS]
    return room


def _count_cells(solids: Float[np.ndarray, "solid 16"]) -> int:
    """How many cells of light there are; notes in each solid where its own begin."""
    x, y, z = solids[:, CELLS], solids[:, CELLS + 1], solids[:, CELLS + 2]
    counts = 2 * (y * z + x * z + x * y)
    solids[:, FIRST] = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return int(counts.sum())


def _stack_solids(
    plan: RoomPlan,
) -> tuple[Float[np.ndarray, "solid 16"], Float[np.ndarray, "piece 16"], list[np.ndarray]]:
    """Rows of solids, of pieces and of materials."""
    rows, materials = [_shell_row(plan)], [*plan.materials]
    pieces = np.zeros((len(plan.pieces), COLUMNS))
    known: dict[object, int] = {}
    for k, piece in enumerate(plan.pieces):
        start = len(rows)
        for solid in piece.solids:
            if solid.material not in known:
                known[solid.material] = len(materials)
                materials.append(np.array(material_row(solid.material)))
            rows.append(_solid_row(solid, known[solid.material], k))
        low, high = piece.bounds
        pieces[k, [PX, PZ, COS, SIN]] = piece.x, piece.z, math.cos(piece.turn), math.sin(piece.turn)
        pieces[k, LOW : LOW + 3], pieces[k, HIGH : HIGH + 3] = low, high
        reach = math.hypot(max(-low[0], high[0]), max(-low[2], high[2]))
        # A little more than the box, so that rounding leaves no ray out that grazes it.
        pieces[k, [START, STOP, THIN, RADIUS]] = start, len(rows), piece.thin, reach + 1e-6
    return np.array(rows), pieces, materials


def _shell_row(plan: RoomPlan) -> list[float]:
    row = np.zeros(COLUMNS)
    low, high = np.array(plan.low), np.array(plan.high)
    row[CENTRE : CENTRE + 3], row[HALF : HALF + 3] = (low + high) / 2, (high - low) / 2
    sizes = [CELL["floor"], CELL["wall"], CELL["floor"]]
    row[CELLS : CELLS + 3] = np.ceil((high - low) / sizes) + 1
    return [float(value) for value in row]


def _solid_row(solid: Solid, material: int, piece: int) -> list[float]:
    row = [0.0] * COLUMNS
    row[KIND], row[MATERIAL], row[GLOW], row[BEVEL], row[PIECE] = solid.kind, material, solid.glow, solid.bevel, piece
    for axis, (low, high) in enumerate(zip(solid.low, solid.high, strict=True)):
        row[CENTRE + axis], row[HALF + axis] = (low + high) / 2, (high - low) / 2
        # Round solids blend six cells by direction.
        slim = solid.kind != BOX or high - low < SLIM
        row[CELLS + axis] = 1 if slim else min(math.ceil((high - low) / CELL["furniture"]) + 1, 9)
    return [float(value) for value in row]


def _fill_bounce(room: RoomArray, plan: RoomPlan) -> None:
    """Fill in the light that each wall reflects: direct light at three places of each face, and the mean of the rest.

    Source:
        Goral and others, "Modeling the interaction of light between diffuse surfaces", SIGGRAPH 1984, with the
        further bounces replaced by their mean (the integrating sphere's formula).
    """
    low, high, materials = np.array(plan.low), np.array(plan.high), plan.materials
    size = high - low
    direct, reflectance, areas = np.zeros((6, 3)), np.zeros((6, 3)), np.zeros(6)
    for face in range(6):
        axis, side = face // 2, face % 2
        a, b = [other for other in range(3) if other != axis]
        normal = np.zeros(3)
        normal[axis] = 1 - 2 * side
        for s, t in ((0.3, 0.35), (0.7, 0.5), (0.45, 0.75)):
            place = low.copy()
            place[axis] = high[axis] - 0.01 if side else low[axis] + 0.01
            place[a], place[b] = low[a] + s * size[a], low[b] + t * size[b]
            direct[face] += _light_at(room, place, normal)[:2].sum(0) / 3
        row = materials[face]
        reflectance[face] = 0.75 * row[1:4] + 0.25 * row[4:7] if row[0] else row[1:4]
        areas[face] = size[a] * size[b]
    share = areas[:, None] / areas.sum()
    mean = (share * reflectance).sum(0)
    # Furniture absorbs its part of what is reflected.
    further = (share * reflectance * direct).sum(0) / (1 - 0.85 * mean)
    first = int(room[0, BOUNCE])
    room[first : first + 6, :3] = reflectance * (direct + further)
    room[first + 6, :3] = 0.7 * ((share * direct).sum(0) + further)


def _light_at(
    room: RoomArray, place: Float[np.ndarray, "3"], normal: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3 3"]:
    """Light at a point: from windows, from lamps, and from all else."""
    out = np.empty((3, 3))
    gather_light(room, place, normal, out)
    return out


def _light_at_person(room: RoomArray) -> Float[np.ndarray, "6 3 3"]:
    """Light at the person's chest, for each of six normals: from windows, from lamps, and from all else."""
    return np.stack([_light_at(room, np.array([0.0, 1.2, 0.0]), normal) for normal in NORMALS])


def _expose(room: RoomArray, level: Float[np.ndarray, "3"]) -> None:
    """Set the exposure for this level of light, and take part of its tint away."""
    gains = (level.mean() / level) ** BALANCE
    firsts = room[0].astype(int)
    room[firsts[LAMPS] : firsts[SKY], 4:7] *= gains
    room[firsts[SKY], :3] *= gains
    room[firsts[BOUNCE] : firsts[SUN], :3] *= gains
    room[firsts[SUN], 4:7] *= gains
    exposure = -math.log(1 - MIDDLE_GREY) / (0.5 * level.mean())
    room[0, EXPOSURE] = exposure
    # The look of the sky is given in display values: undo the exposure and its shoulder.
    for k in (1, 3):
        row = room[firsts[SKY] + k]
        row[:3] = -np.log(1 - np.clip(row[:3], 0, 0.985)) / exposure


def _person_light(reaching: Float[np.ndarray, "6 3 3"]) -> Light:
    """The light for people, scaled so that an average surface keeps its brightness: avatars are lit already."""
    total = reaching.sum(1)
    level = total.mean()
    direct = reaching[:, :2].sum(1).mean(1)
    pull = NORMALS.T @ direct
    length = float(np.linalg.norm(pull))
    # 0 where light comes from everywhere alike, 1 from a single far lamp; half of it survives display encoding.
    directed = 1.4 * length / max(float(total.mean(1).sum()), 1e-9)
    x, y, z = pull / length if length > 1e-9 else (0.0, 1.0, 0.0)
    tint = np.sqrt(total.mean(0) / level) ** (1 - BALANCE)
    key = tint * min(directed, 0.9)
    # Wrapped Lambert light averages 3/8 over directions, see `synthaug.body.skinning.shade`.
    ambient = tint * (1 - 0.375 * min(directed, 0.9))
    up, down = reaching[2, 2].mean(), reaching[3, 2].mean()
    slope = 0.5 * float((up - down) / max(up + down, 1e-9))
    return Light(
        (float(x), float(y), float(z)), _triple(key), _triple(ambient * (1 + slope)), _triple(ambient * (1 - slope))
    )


def _triple(color: Float[np.ndarray, "3"]) -> tuple[float, float, float]:
    return float(color[0]), float(color[1]), float(color[2])
