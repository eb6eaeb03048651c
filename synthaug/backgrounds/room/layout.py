"""Lay out a procedural room: from sampled values and a camera to placed solids. Pure and without chance."""

import functools
import math
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from synthaug.backgrounds.room.families import Lighting
from synthaug.backgrounds.room.fittings import FITTINGS
from synthaug.backgrounds.room.furniture import BUILDERS, TUBE, Material, PieceStyle, Solid, box
from synthaug.backgrounds.room.kinds import choose_yaw, find_family, is_open
from synthaug.backgrounds.room.openings import SIDES, Corner, Window, place_windows, span_of
from synthaug.backgrounds.room.textures import MATERIAL_COLUMNS, PATTERNS
from synthaug.structures import Camera, Values

MARGIN = 0.45
"""Least distance in metres between a camera and the nearest wall: an arm that holds it."""
MAX_HIDDEN = 0.62
"""Height in metres up to which an occluder may hide the person: the lower thighs."""
PIECES = {**BUILDERS, **FITTINGS}
"""Builders of all rooms, by name."""
TRIES = 7
"""Places along the walls that are tried before a piece is left out."""
TURNS = {0: math.pi / 2, 1: -math.pi / 2, 4: 0.0, 5: math.pi}
"""Turn that makes a piece look into the room from each wall."""


Rectangle: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class PlacedPiece:
    """A piece of furniture in its place.

    Attributes:
        solids: Its parts, in its own frame.
        x: Place on the floor, room frame, metres.
        z: Place on the floor.
        turn: About the vertical, radians.
        thin: Casts no shadow worth tracing.
    """

    solids: tuple[Solid, ...]
    x: float
    z: float
    turn: float
    thin: bool = False

    @functools.cached_property
    def bounds(self) -> tuple[Corner, Corner]:
        """Low and high corner, own frame."""
        low = tuple(min(solid.low[axis] for solid in self.solids) for axis in range(3))
        high = tuple(max(solid.high[axis] for solid in self.solids) for axis in range(3))
        return low, high  # type: ignore[return-value]

    def moved(self, x: float, z: float, turn: float) -> "PlacedPiece":
        """The piece elsewhere; its bounds, which take a while for pieces of many solids, are found once."""
        piece = replace(self, x=x, z=z, turn=turn)
        vars(piece)["bounds"] = self.bounds
        return piece

    @functools.cached_property
    def ground(self) -> Rectangle:
        """The upright box around it on the floor: low x, low z, high x, high z, room frame."""
        low, high = self.bounds
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        corners = [(cos * x + sin * z, cos * z - sin * x) for x in (low[0], high[0]) for z in (low[2], high[2])]
        xs, zs = zip(*corners, strict=True)
        return self.x + min(xs), self.z + min(zs), self.x + max(xs), self.z + max(zs)


@dataclass(frozen=True, eq=False)
class RoomPlan:
    """A room with everything in its place, not yet lit. All in the room's frame, which is the world turned by -yaw.

    Attributes:
        yaw: Room to world, about the vertical, radians.
        low: Corner of the shell.
        high: Opposite corner.
        materials: Of the six faces in order, of trims, of the rug; columns as in `textures`.
        windows: Its windows.
        pieces: Furniture, doors, pictures, lamps.
        lamps: Place, radius of the bulb, and share of the family's lamp light.
        lighting: The time of day.
        sun: Direction towards the sun.
        rug: Middle x and z, half sizes; zeros for none.
        strength: Factor on the windows' light.
        seed: Varies the skyline.
        cameras: Positions of the camera.
    """

    yaw: float
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    materials: Float[np.ndarray, "8 11"]
    windows: tuple[Window, ...]
    pieces: tuple[PlacedPiece, ...]
    lamps: tuple[tuple[float, float, float, float, float], ...]
    lighting: Lighting
    sun: tuple[float, float, float]
    rug: tuple[float, float, float, float]
    strength: float
    seed: int
    cameras: Float[np.ndarray, "time 3"] = field(repr=False)

    @property
    def R_room_world(self) -> Float[np.ndarray, "3 3"]:  # noqa: N802
        """Rotation of world directions into the room."""
        return _about_y(-self.yaw)


def _about_y(angle: float) -> Float[np.ndarray, "3 3"]:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


@functools.lru_cache(maxsize=4096)  # rooms share their colours
def linear(color: str, tone: float = 1.0) -> tuple[float, float, float]:
    """Linear reflectance of an sRGB colour such as `#a0b0c0`, times a tone."""
    display = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    red, green, blue = np.clip(
        tone * np.where(display > 0.04045, ((display + 0.055) / 1.055) ** 2.4, display / 12.92), 0, 0.92
    )
    return float(red), float(green), float(blue)


def material_row(material: Material, *, tone: float = 1.0, gloss: float = 0.0) -> list[float]:
    """A material in the columns of `textures`."""
    return [
        float(PATTERNS.index(material.pattern)), *linear(material.color, tone), *linear(material.second, tone),
        float(material.scale), gloss, float(material.fitted), float(material.seed),
    ]  # fmt: skip


def lay_out(values: Values, camera: Camera, *, free: float) -> RoomPlan:
    """Put everything in its place.

    Args:
        values: What `Rooms.sample` returned.
        camera: World frame, the person at the origin.
        free: Radius around the origin that stays empty, metres.

    Raises:
        ValueError: If the camera is under the floor.
    """
    family = find_family(values)
    yaw = choose_yaw(values, _positions(camera)[0])
    cameras = _positions(camera) @ _about_y(-yaw).T
    low, high = _shell(values, cameras)
    windows = place_windows(values, low, high)
    # Trees may rise over a fence.
    space = _FreeSpace(low, high, () if is_open(values) else windows, cameras, free)
    pieces = _furnish(values, space)
    light: dict = values["light"]  # type: ignore[assignment]
    bearing, above = (math.radians(_f(part)) for part in light["sun"])
    lighting = family.lights[int(light["kind"])]
    rug = values["rug"]
    return RoomPlan(
        yaw=yaw,
        low=low,
        high=high,
        materials=_material_rows(values),
        windows=windows,
        pieces=tuple(pieces) if is_open(values) else (*pieces, _ceiling_lamp(light["lamp"], low, high)),
        lamps=_list_lamps(light["lamp"], pieces, low, high),
        lighting=lighting,
        sun=(math.cos(above) * math.sin(bearing), math.sin(above), math.cos(above) * math.cos(bearing)),
        rug=(0.0, 0.0, 0.0, 0.0) if rug is None else (*map(_f, rug["at"]), *map(_f, rug["half"])),  # type: ignore
        strength=_f(light["strength"]),
        seed=int(values["seed"]),  # type: ignore[arg-type]
        cameras=cameras,
    )


def _f(value: object) -> float:
    return float(value)  # type: ignore[arg-type]


def _positions(camera: Camera) -> Float[np.ndarray, "time 3"]:
    viewmats = camera.viewmats.double().numpy()
    places = -(viewmats[:, :3, :3].transpose(0, 2, 1) @ viewmats[:, :3, 3:])[:, :, 0]
    if places[:, 1].min() < 0.02:
        raise ValueError(
            f"Expected a camera above the floor, got one {-places[:, 1].min():.2f} m below the floor. "
            "Check the motion source's ground (y = 0), or choose synth/background=images."
        )
    return np.asarray(places)


def _shell(values: Values, cameras: Float[np.ndarray, "time 3"]) -> tuple[Corner, Corner]:
    """Corners of a room that has its sampled reach and encloses the camera."""
    reach = [_f(part) for part in values["reach"]]  # type: ignore[union-attr]
    lows, highs = cameras.min(0) - MARGIN, cameras.max(0) + MARGIN
    low = (min(-reach[0], float(lows[0])), 0.0, min(-reach[2], float(lows[2])))
    top = max(_f(values["height"]), float(highs[1]))
    return low, (max(reach[1], float(highs[0])), top, max(reach[3], float(highs[2])))


def _material_rows(values: Values) -> Float[np.ndarray, "8 11"]:
    wall: dict = values["wall"]  # type: ignore[assignment]
    floor: dict = values["floor"]  # type: ignore[assignment]
    seed, feature = int(values["seed"]), int(values["feature"])  # type: ignore[arg-type]
    rows = np.zeros((8, MATERIAL_COLUMNS))
    for k, face in enumerate(SIDES):
        color = wall["second"] if k == feature and wall["pattern"] == "flat" else wall["color"]
        surface = Material(wall["pattern"], color, wall["second"], _f(wall["scale"]), seed=seed + k)
        rows[face] = material_row(surface, tone=_f(wall["tone"]))
    ground = Material(floor["pattern"], floor["color"], floor["second"], _f(floor["scale"]), seed=seed + 7)
    rows[2] = material_row(ground, tone=_f(floor["tone"]), gloss=_f(floor["gloss"]))
    rows[3] = material_row(Material("flat", str(values["ceiling"])))
    # The scale of a trim is the height of the skirting.
    rows[6] = material_row(Material("flat", str(values["trim"]), scale=0.09))
    rug: dict | None = values["rug"]  # type: ignore[assignment]
    if rug is not None:
        rows[7] = material_row(Material("rug", rug["color"], rug["second"], seed=seed))
    return rows


@dataclass(frozen=True, eq=False)
class _FreeSpace:
    """What must stay clear, and the walls along which things stand."""

    low: Corner
    high: Corner
    windows: tuple[Window, ...]
    cameras: Float[np.ndarray, "time 3"]
    free: float

    def allows(self, piece: PlacedPiece, others: list[PlacedPiece]) -> bool:
        """Whether a piece may stand there: inside, apart from others, outside the free circle and the line of sight."""
        left, back, right, front = piece.ground
        if left < self.low[0] or back < self.low[2] or right > self.high[0] or front > self.high[2]:
            return False
        if _distance(0.0, 0.0, piece) < self.free or any(_overlap(piece, other) for other in others):
            return False
        for x, z, radius in self.sight:
            if math.hypot(max(left - x, x - right, 0.0), max(back - z, z - front, 0.0)) < radius:
                return False
        return True

    @functools.cached_property
    def sight(self) -> list[tuple[float, float, float]]:
        """Discs on the way from camera to person, as wide as the camera at one end and as spread arms at the other."""
        picked = self.cameras[[0, len(self.cameras) // 2, -1]][:, [0, 2]]
        places = {(float(x), float(z)) for x, z in picked}
        shares = [k / 15 for k in range(16)]
        return [((1 - s) * x, (1 - s) * z, 0.45 + 0.5 * s) for x, z in places for s in shares]

    def covers_window(self, face: int, left: float, right: float, top: float) -> bool:
        """Whether something this tall along a wall would cover a window."""
        return any(
            window.face == face and top > window.sill - 0.02 and left < window.right + 0.1 and right > window.left - 0.1
            for window in self.windows
        )


def _distance(x: float, z: float, piece: PlacedPiece) -> float:
    """Distance of a point on the floor from the box around a piece; 0 inside."""
    left, back, right, front = piece.ground
    return math.hypot(max(left - x, x - right, 0.0), max(back - z, z - front, 0.0))


def _overlap(a: PlacedPiece, b: PlacedPiece) -> bool:
    """Whether the boxes around two pieces come within 4 cm on the floor."""
    p, q, gap = a.ground, b.ground, 0.04
    return p[0] < q[2] + gap and q[0] < p[2] + gap and p[1] < q[3] + gap and q[1] < p[3] + gap


def _piece_style(choice: dict) -> PieceStyle:
    seed = int(choice["seed"])
    shape: tuple[float, float, float] = tuple(map(_f, choice["shape"]))  # type: ignore[assignment]
    return PieceStyle(
        wood=Material("wood", choice["wood"], seed=seed),
        cloth=Material("fabric", choice["cloth"], seed=seed + 1),
        accent=Material("fabric", choice["accent"], seed=seed + 2),
        metal=Material("flat", choice["metal"]),
        size=_f(choice["size"]),
        shape=shape,
        seed=seed,
    )


def _start(solids: list[Solid]) -> PlacedPiece:
    """A piece in its own frame."""
    return PlacedPiece(tuple(solids), 0.0, 0.0, 0.0)


def _stand_against(piece: PlacedPiece, face: int, along: float, low: Corner, high: Corner) -> PlacedPiece:
    """A piece with its back a centimetre off a wall, its middle at this place along it."""
    gap = 0.01
    x, z = {0: (low[0] + gap, along), 1: (high[0] - gap, along), 4: (along, low[2] + gap), 5: (along, high[2] - gap)}[
        face
    ]
    return piece.moved(x, z, TURNS[face])


def _furnish(values: Values, space: _FreeSpace) -> list[PlacedPiece]:
    """Place the door first, then furniture in the sampled order, then pictures, then the occluder."""
    door: dict = values["door"]  # type: ignore[assignment]
    items: list[dict] = values["items"]  # type: ignore[assignment]
    hangings: list[dict] = values["hangings"]  # type: ignore[assignment]
    choices: list[dict] = values["windows"]  # type: ignore[assignment]
    occluder: dict | None = values["occluder"]  # type: ignore[assignment]
    flat = _place_door(door, space)
    swing = [_reserve_swing(piece) for piece in flat]
    standing: list[PlacedPiece] = []
    for choice in items:
        standing += _place_along_wall(PIECES[choice["kind"]](_piece_style(choice)), choice, space, [*swing, *standing])
    for choice in hangings:
        flat += _hang(choice, space, [*flat, *standing])
    curtains = [piece for window in space.windows for piece in _hang_curtains(window, choices, space)]
    blocker = [] if occluder is None else _place_occluder(occluder, space, standing)
    return [*standing, *blocker, *curtains, *flat]


def _place_along_wall(
    solids: list[Solid], choice: dict, space: _FreeSpace, others: list[PlacedPiece]
) -> list[PlacedPiece]:
    """The piece along its wall, at its sampled place or the first other that is free; nothing if there is none."""
    trial = _start(solids)
    (left, _, _), (right, top, _) = trial.bounds
    for k in range(TRIES):
        # From wall to wall in turn; the golden ratio spreads the tries along each.
        face = SIDES[(int(choice["wall"]) + k // 2) % 4]
        start, end = span_of(face, space.low, space.high)
        room = end - start - (right - left) - 0.04
        if room <= 0:
            continue
        place = start + 0.02 + (right - left) / 2 + (_f(choice["along"]) + 0.618 * k) % 1 * room
        piece = _stand_against(trial, face, place, space.low, space.high)
        if space.allows(piece, others) and not space.covers_window(face, place + left, place + right, top):
            return [piece]
    return []


def _place_door(choice: dict, space: _FreeSpace) -> list[PlacedPiece]:
    face = SIDES[int(choice["wall"])]
    start, end = span_of(face, space.low, space.high)
    place = start + 0.6 + _f(choice["along"]) * (end - start - 1.2)
    if space.covers_window(face, place - 0.5, place + 0.5, 2.1):
        return []
    frame, leaf = Material("flat", choice["color"]), Material("door", choice["color"], "#b8a878", fitted=1)
    solids = [box((-0.5, 0, 0), (0.5, 2.1, 0.02), frame), box((-0.43, 0.01, 0.005), (0.43, 2.03, 0.035), leaf)]
    return [replace(_stand_against(_start(solids), face, place, space.low, space.high), thin=True)]


def _reserve_swing(door: PlacedPiece) -> PlacedPiece:
    """The space that a door needs to open, as if something stood there."""
    plain = Material("flat", "#808080")
    return replace(door, solids=(box((-0.45, 0, 0), (0.45, 2, 0.6), plain),))


def _hang(choice: dict, space: _FreeSpace, others: list[PlacedPiece]) -> list[PlacedPiece]:
    face = SIDES[int(choice["wall"])]
    start, end = span_of(face, space.low, space.high)
    width, height, middle = _f(choice["width"]), _f(choice["height"]), _f(choice["middle"])
    place = start + 0.2 + width / 2 + _f(choice["along"]) * max(end - start - width - 0.4, 0)
    surface = Material(choice["pattern"], choice["color"], fitted=1, seed=int(choice["seed"]))
    low, top = middle - height / 2, middle + height / 2
    solid = box((-width / 2, low, 0), (width / 2, top, 0.025), surface, bevel=0.0)
    piece = replace(_stand_against(_start([solid]), face, place, space.low, space.high), thin=True)
    taller = (other for other in others if other.bounds[1][1] > low - 0.03 and other.bounds[0][1] < top + 0.03)
    blocked = any(_overlap(piece, other) for other in taller)
    blocked = blocked or space.covers_window(face, place - width / 2, place + width / 2, top)
    blocked = blocked or top > space.high[1] - 0.1
    return [] if blocked else [piece]


def _hang_curtains(window: Window, choices: list[dict], space: _FreeSpace) -> list[PlacedPiece]:
    """Curtains beside a window, if it has some."""
    color = next((one["curtain"] for one in choices if SIDES[int(one["wall"])] == window.face), None)
    if color is None:
        return []
    cloth, rod = Material("folds", color, scale=0.09), Material("flat", "#4a4038")
    middle, half = (window.left + window.right) / 2, (window.right - window.left) / 2
    top = min(window.top + 0.12, space.high[1] - 0.03)
    solids = [
        box((-half - 0.28, 0.03, 0.03), (-half + 0.06, top, 0.10), cloth, bevel=0.02),
        box((half - 0.06, 0.03, 0.03), (half + 0.28, top, 0.10), cloth, bevel=0.02),
        box((-half - 0.34, top, 0.05), (half + 0.34, top + 0.025, 0.075), rod),
    ]
    return [_stand_against(_start(solids), window.face, middle, space.low, space.high)]


def _place_occluder(choice: dict, space: _FreeSpace, others: list[PlacedPiece]) -> list[PlacedPiece]:
    """A low piece between camera and person, if it hides no more than the shins and thighs."""
    eye = space.cameras[0]
    line = np.array([-eye[0], -eye[2]])
    distance = float(np.hypot(*line))
    share = _f(choice["share"])
    solids = PIECES[choice["kind"]](_piece_style(choice))
    x, z = eye[[0, 2]] + share * line + _f(choice["beside"]) * np.array([-line[1], line[0]]) / max(distance, 1e-6)
    piece = PlacedPiece(tuple(solids), float(x), float(z), math.radians(_f(choice["turn_deg"])))
    top = piece.bounds[1][1]
    # Height at the person of the ray over the top of the piece.
    hides = eye[1] - (eye[1] - top) / max(share - 0.15, 0.05)
    apart = _distance(0.0, 0.0, piece) > 0.35 and all(_distance(x, z, piece) > 0.5 for x, _, z in space.cameras)
    crowded = any(_overlap(piece, other) for other in others)
    return [piece] if hides < MAX_HIDDEN and eye[1] > top + 0.1 and apart and not crowded else []


def _lamp_position(offset: list, low: Corner, high: Corner) -> tuple[float, float]:
    """Where the lamp hangs, near the middle of the ceiling."""
    middle = [(low[axis] + high[axis]) / 2 + 0.5 * _f(offset[axis // 2]) * (high[axis] - low[axis]) for axis in (0, 2)]
    return middle[0], middle[1]


def _ceiling_lamp(offset: list, low: Corner, high: Corner) -> PlacedPiece:
    x, z = _lamp_position(offset, low, high)
    glass = Material("flat", "#f4f0e6")
    disc = Solid(TUBE, (-0.2, high[1] - 0.09, -0.2), (0.2, high[1] - 0.005, 0.2), glass, glow=1.0)
    return PlacedPiece((disc,), x, z, 0.0, thin=True)


def _list_lamps(
    offset: list, pieces: list[PlacedPiece], low: Corner, high: Corner
) -> tuple[tuple[float, float, float, float, float], ...]:
    """The ceiling lamp, and one in every glowing shade on the floor."""
    x, z = _lamp_position(offset, low, high)
    found = [(x, high[1] - 0.2, z, 0.15, 1.0)]
    for piece in pieces:
        shades = [solid for solid in piece.solids if solid.glow > 0 and solid.kind == TUBE]
        cos, sin = math.cos(piece.turn), math.sin(piece.turn)
        for solid in shades:
            a, b = ((solid.low[axis] + solid.high[axis]) / 2 for axis in (0, 2))
            found.append((cos * a + sin * b + piece.x, solid.low[1] + 0.15, -sin * a + cos * b + piece.z, 0.08, 0.3))
    return tuple(found)
