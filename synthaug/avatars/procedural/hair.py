"""Grow hair and beards: strands of long thin Gaussians from the scalp that lie on head and shoulders.

All strands of a head grow together, step by step.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from synthaug.avatars.procedural.complexion import beard_mask
from synthaug.avatars.procedural.figure import Figure, Floats, Mask, Points, points, ramp, template
from synthaug.avatars.procedural.noise import grain, noise
from synthaug.avatars.procedural.wardrobe import ProceduralPerson
from synthaug.body.skeleton import JOINT

STEP = 0.012
"""Metres that a strand grows at a time; one Gaussian each."""


@dataclass(frozen=True)
class HairStyle:
    """How a head of hair grows.

    Attributes:
        top: Length on top, metres.
        side: Length at the sides and back.
        lift: How far strands stand off before they bend over, 0..1.
        weight: Pull of gravity, 0..1.
        comb: Direction of combing: "forward", "aside", "back", "down", "out" or "gathered".
        curl: Radius of curls or waves, metres.
        frequency: Turns per metre of strand.
        thick: Standard deviation across a strand, metres, at full detail.
        share: Share of the person's Gaussians.
        hairline: Metres by which the hairline over the forehead recedes.
        tail: Length of a ponytail, metres; 0 is a bun.
    """

    top: float
    side: float
    lift: float
    weight: float
    comb: str
    curl: float = 0.0
    frequency: float = 0.0
    thick: float = 0.0018
    share: float = 0.10
    hairline: float = 0.0
    tail: float = 0.0


STYLES: dict[str, HairStyle | None] = {
    "bald": None,
    "buzz": HairStyle(0.008, 0.006, 1.0, 0.0, "out", thick=0.0016, share=0.05),
    "receding": HairStyle(0.022, 0.020, 0.3, 0.2, "back", thick=0.0017, share=0.07, hairline=0.024),
    "short": HairStyle(0.036, 0.016, 0.5, 0.15, "forward", thick=0.0017, share=0.09),
    "quiff": HairStyle(0.060, 0.016, 0.8, 0.05, "back", thick=0.0018, share=0.10),
    "parted": HairStyle(0.075, 0.034, 0.35, 0.25, "aside", thick=0.0018, share=0.11),
    "pixie": HairStyle(0.070, 0.050, 0.35, 0.35, "aside", thick=0.0018, share=0.12),
    "afro": HairStyle(0.052, 0.042, 1.0, 0.0, "out", curl=0.003, frequency=55.0, thick=0.0036, share=0.16),
    "curly": HairStyle(0.150, 0.160, 0.75, 0.45, "down", curl=0.011, frequency=28.0, thick=0.0030, share=0.19),
    "bob": HairStyle(0.230, 0.170, 0.35, 0.6, "down", curl=0.002, frequency=8.0, thick=0.0026, share=0.18),
    "straight": HairStyle(0.420, 0.360, 0.3, 0.7, "down", curl=0.002, frequency=5.0, thick=0.0027, share=0.22),
    "long": HairStyle(0.460, 0.400, 0.35, 0.7, "down", curl=0.004, frequency=7.0, thick=0.0027, share=0.23),
    "wavy": HairStyle(0.360, 0.300, 0.5, 0.6, "down", curl=0.011, frequency=13.0, thick=0.0028, share=0.22),
    "ponytail": HairStyle(0.170, 0.150, 0.12, 0.0, "gathered", thick=0.0023, share=0.18, tail=0.30),
    "bun": HairStyle(0.170, 0.150, 0.12, 0.0, "gathered", thick=0.0023, share=0.16),
}


@dataclass(frozen=True, eq=False)
class Strands:
    """Segments of strands in the T-pose.

    Attributes:
        middles: Centres of the segments.
        directions: Unit directions along the strand.
        outward: Unit directions away from the head.
        lengths: Standard deviations along the strand, metres.
        thickness: Standard deviations across the strand, metres.
        colors: 0..1.
    """

    middles: Floats
    directions: Floats
    outward: Floats
    lengths: Floats
    thickness: Floats
    colors: Floats


@dataclass(frozen=True, eq=False)
class Obstacle:
    """The dressed body, which hair must not enter: its vertices and their outward normals."""

    vertices: Floats
    normals: Floats
    tree: cKDTree


def scalp_mask(chosen: Points, person: ProceduralPerson) -> Mask:
    """Mask of the points on which hair grows, [P]."""
    style = STYLES[person.hair]
    x, y, z = chosen.canonical.T
    azimuth = np.degrees(np.arctan2(np.abs(x), z - 0.045))
    back = style.hairline if style else 0.0
    corner = 0.014 * (1 - person.female) * (person.years > 30)
    line = np.interp(
        azimuth,
        [0, 25, 38, 50, 57, 66, 80, 95, 115, 150, 180],
        [
            0.688 + back,
            0.687 + 1.3 * back + corner,
            0.674 + back + corner,
            0.652,
            0.615,
            0.632,
            0.625,
            0.600,
            0.578,
            0.556,
            0.545,
        ],
    )
    ragged = 0.004 * noise(chosen.canonical * 120, person.noise + 21)
    head = chosen.part <= template().part_names.index("head")
    return np.asarray(head & (y > line + ragged) & (chosen.masks["ear"] < 0.45) & (y > 0.53))


def tint_scalp(person: ProceduralPerson, chosen: Points, colors: Floats) -> Floats:
    """Skin colours with the scalp darkened by the hair above it."""
    style = STYLES[person.hair]
    share = 0.92 if style else 0.10
    grown = scalp_mask(chosen, person)
    colors = colors.copy()
    colors[grown] += (np.array(person.hair_color, np.float32) * 0.8 - colors[grown]) * share
    return colors


def build_obstacle(vertices: Floats, normals: Floats) -> Obstacle:
    """The dressed body near the head."""
    # The arms are left out, because they hang when hair is seen.
    place = template().vertices
    near = (place[:, 1] > 0.05) & (np.abs(place[:, 0]) < 0.15)
    return Obstacle(vertices[near], normals[near], cKDTree(vertices[near]))


def grow_hair(person: ProceduralPerson, figure: Figure, body: Obstacle, count: int) -> Strands | None:
    """The person's hair as about `count` segments; None if the person is bald."""
    style = STYLES[person.hair]
    if style is None or count < 8:
        return None
    everywhere = points()
    roots = np.flatnonzero(scalp_mask(everywhere, person))
    lengths = _lengths(style, everywhere.canonical[roots], person)
    # A strand costs one segment per step; roots are taken in progressive order until the budget is spent.
    steps = np.maximum(np.round(lengths / STEP), 1).astype(int)
    wanted = int(np.searchsorted(np.cumsum(steps), count * (0.8 if style.comb == "gathered" else 1.0)))
    roots, lengths = roots[:wanted], lengths[:wanted]
    chosen = everywhere.take(roots)
    start, up = chosen.on(figure.vertices), chosen.on(figure.normals)
    paths = _paths(style, person, start, up, lengths, figure, body)
    strands = _segments(paths, lengths, person, figure, style.thick * _coarseness(count, style.share))
    if style.comb != "gathered":
        return strands
    extra = _grow_gathered(style, person, figure, body, count - len(strands.middles))
    return _join_strands(strands, extra)


def _coarseness(count: int, share: float) -> float:
    """Factor by which strands are thicker if there are fewer of them than at 32,000 Gaussians."""
    return float(np.sqrt(max(32000 * share / count, 0.5)))


def _lengths(style: HairStyle, place: Floats, person: ProceduralPerson) -> Floats:
    top = ramp(place[:, 1], 0.645, 0.695)
    varied = 1 + 0.18 * noise(place * 60, person.noise + 31) + 0.08 * grain(len(place), person.noise + 32)
    return np.asarray((style.side + (style.top - style.side) * top) * varied, np.float32)


def gathering_point(style: HairStyle, figure: Figure) -> Floats:
    """Where hair is tied."""
    height = 0.105 if style.tail == 0 else 0.085
    return figure.joints[JOINT["head"]] + np.array([0, height, -0.122], np.float32)


def _combing_directions(style: HairStyle, person: ProceduralPerson, at: Floats, root: Floats, figure: Figure) -> Floats:
    """Unit directions of combing."""
    middle = figure.joints[JOINT["head"]] + np.array([0, 0.075, 0.0], np.float32)
    away = root - middle
    side = np.where(away[:, 0] > (0.025 if person.noise % 2 else -0.025), 1.0, -1.0)
    if style.comb == "forward":
        wanted = np.stack([0.5 * away[:, 0], -0.3 + 0 * side, 0.1 + 0 * side], axis=1) * [1, 1, 1.0]
    elif style.comb == "aside":
        wanted = np.stack([side, -0.35 + 0 * side, -0.25 + 0 * side], axis=1)
    elif style.comb == "back":
        wanted = np.stack([6 * away[:, 0], 0.15 + 0 * side, -1.0 + 0 * side], axis=1)
    elif style.comb == "down":
        wanted = np.stack([1.0 * np.sign(away[:, 0]) * (away[:, 1] > 0.02), -0.6 + 0 * side, -0.45 + 0 * side], axis=1)
    elif style.comb == "gathered":
        wanted = gathering_point(style, figure) - at
    else:
        wanted = away
    return np.asarray(wanted / np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-6), np.float32)


def _paths(
    style: HairStyle,
    person: ProceduralPerson,
    start: Floats,
    up: Floats,
    lengths: Floats,
    figure: Figure,
    body: Obstacle,
) -> Floats:
    """Points [steps + 1, strands, 3] of growing strands; a strand that has ended stays where it is."""
    steps = int(np.ceil(lengths.max() / STEP))
    at, path = start + 0.001 * up, [start]
    phase = grain(len(start), person.noise + 41) * np.pi
    stray = np.stack([noise(start * 45, person.noise + 42 + k) for k in range(3)], axis=1)
    mixed = np.stack([grain(len(start), person.noise + 52 + k) for k in range(3)], axis=1)
    direction = up
    for k in range(steps):
        travelled = (k + 0.5) * STEP
        lift = style.lift * np.exp(-travelled / 0.03) if style.comb != "out" else 1.0
        fade = 1.0 if style.comb == "gathered" else np.exp(-travelled / 0.09)
        combed = fade * _combing_directions(style, person, at, start, figure)
        fall = np.array([0, -1.0, 0]) * style.weight * min(travelled / 0.04, 2.0)
        wanted = lift * up + (1 - 0.7 * style.lift * (k == 0)) * combed * (style.comb != "out") + fall
        wanted = wanted + (0.10 if style.comb == "out" else 0.20) * stray + 0.10 * mixed
        direction = 0.45 * direction + wanted
        direction = direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
        turn = 2 * np.pi * style.frequency * travelled + phase
        across = np.stack([np.cos(turn), 0.3 * np.sin(1.7 * turn), np.sin(turn)], axis=1)
        left = np.clip(lengths - k * STEP, 0, STEP)[:, None]
        wave = style.curl * 2 * np.pi * style.frequency * across if style.curl else 0.0
        moved = at + left * (direction + np.clip(wave, -1.4, 1.4))
        at = _push_outside(moved, body, 0.002 + 0.010 * min(travelled / 0.06, 1) * (0.4 + style.lift)).astype(
            np.float32
        )
        path.append(at)
    return np.asarray(path, np.float32)


def _push_outside(at: Floats, body: Obstacle, clearance: float) -> Floats:
    """Push points out of the body, and a little away from it."""
    near = body.tree.query(at)[1]
    normal = body.normals[near]
    depth = np.einsum("pi,pi->p", at - body.vertices[near], normal)
    return np.asarray(at + np.maximum(clearance - depth, 0)[:, None] * normal, np.float32)


def _segments(path: Floats, lengths: Floats, person: ProceduralPerson, figure: Figure, thick: float) -> Strands:
    """Gaussians along the strands."""
    count = path.shape[1]
    ends, starts = path[1:], path[:-1]
    between = ends - starts
    size = np.linalg.norm(between, axis=2)
    alive = size > 0.002
    step = np.broadcast_to(np.arange(len(between))[:, None], size.shape)
    along = np.clip((step + 0.5) * STEP / np.maximum(lengths, STEP), 0, 1)
    middle = (ends + starts) / 2
    core = figure.joints[JOINT["head"]] + np.array([0, 0.05, -0.005], np.float32)
    centre = np.broadcast_to(core, middle.shape).copy()
    centre[..., 1] = np.where(middle[..., 1] < core[1], middle[..., 1], core[1])
    outward = middle - centre
    outward /= np.maximum(np.linalg.norm(outward, axis=2, keepdims=True), 1e-6)
    strand = grain(count, person.noise + 61)
    clump = noise(path[0] * 70, person.noise + 62)
    shine = np.exp(-(((middle[..., 1] - core[1] - 0.065) / 0.016) ** 2)) * (middle[..., 2] > core[2] - 0.09)
    light = (0.72 + 0.32 * along) * (1 + 0.16 * strand + 0.14 * clump) + 0.30 * shine * (0.6 + 0.4 * strand)
    depth = ramp(np.linalg.norm(middle - core, axis=2), 0.075, 0.115)
    colors = np.array(person.hair_color, np.float32) * (light * (0.75 + 0.25 * depth))[..., None]
    colors = colors + 0.04 * (light - 0.9)[..., None]
    return Strands(
        middles=middle[alive],
        directions=(between / np.maximum(size, 1e-6)[..., None])[alive],
        outward=outward[alive].astype(np.float32),
        lengths=(0.55 * size[alive]).astype(np.float32),
        thickness=np.full(int(alive.sum()), thick, np.float32),
        colors=np.clip(colors[alive], 0.01, 0.97).astype(np.float32),
    )


def _grow_gathered(style: HairStyle, person: ProceduralPerson, figure: Figure, body: Obstacle, count: int) -> Strands:
    """Hair behind the tie: a ponytail over the back, or a bun."""
    tie = gathering_point(style, figure)
    if style.tail == 0:
        return _wind_bun(tie, person, figure, max(count, 24))
    steps = int(round(style.tail / STEP))
    number = max(count // steps, 6)
    spread = np.stack([grain(number, person.noise + 71 + k) for k in range(3)], axis=1)
    start = tie + 0.012 * spread
    up = np.tile(np.array([0, 0.25, -1.0], np.float32), (number, 1)) + 0.25 * spread
    lengths = (style.tail * (1 + 0.15 * spread[:, 0])).astype(np.float32)
    tail = HairStyle(0.0, 0.0, 0.9, 0.9, "down", curl=0.004, frequency=6.0, thick=style.thick, tail=style.tail)
    paths = _paths(tail, person, start.astype(np.float32), up.astype(np.float32), lengths, figure, body)
    # Strands of a ponytail stay within a hand's width of their mean.
    mean = paths.mean(1, keepdims=True)
    width = np.interp(np.arange(len(paths)) / len(paths), [0, 0.3, 0.8, 1], [0.9, 1.0, 0.8, 0.45])[:, None, None]
    paths = (mean + (paths - mean) * width * [0.8, 1, 0.5]).astype(np.float32)
    return _segments(paths, lengths, person, figure, style.thick * 1.35 * float(np.sqrt(150 / max(number, 1)) ** 0.5))


def _wind_bun(tie: Floats, person: ProceduralPerson, figure: Figure, count: int) -> Strands:
    """Strands wound around a ball."""
    turn = np.linspace(0, 2 * np.pi * 14, count, dtype=np.float32)
    height = np.linspace(-0.95, 0.95, count, dtype=np.float32)
    ring = np.sqrt(1 - height**2)
    ball = np.stack([ring * np.cos(turn), height, ring * np.sin(turn)], axis=1)
    radius = 0.034 * (1 + 0.06 * noise(ball * 6, person.noise + 81))[:, None]
    middles = tie + np.array([0, 0.008, -0.024], np.float32) + ball * radius
    directions = np.stack([-np.sin(turn), 0.15 + 0 * turn, np.cos(turn)], axis=1)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    shade = 0.85 + 0.2 * ball[:, 1] + 0.14 * grain(count, person.noise + 82)
    colors = np.array(person.hair_color, np.float32) * shade[:, None]
    thick = 0.0036 * float(np.sqrt(max(1000 / count, 0.5)))
    return Strands(
        middles.astype(np.float32), directions.astype(np.float32), ball.astype(np.float32),
        np.full(count, 2.2 * thick, np.float32), np.full(count, thick, np.float32),
        np.clip(colors, 0.01, 0.97).astype(np.float32),
    )  # fmt: skip


def _join_strands(a: Strands, b: Strands) -> Strands:
    return Strands(
        *(
            np.concatenate([getattr(a, name), getattr(b, name)])
            for name in ("middles", "directions", "outward", "lengths", "thickness", "colors")
        )
    )


def grow_beard(person: ProceduralPerson, figure: Figure, body: Obstacle, count: int) -> Strands | None:
    """A beard as about `count` segments; None below a full beard, where stubble is painted on the skin."""
    if person.beard < 0.5:
        return None
    everywhere = points()
    roots = np.flatnonzero(
        (beard_mask(everywhere) > 0.6) & (everywhere.canonical[:, 2] > 0.08) & (everywhere.canonical[:, 1] > 0.495)
    )
    length = 0.006 if person.beard < 0.9 else 0.013
    steps = max(int(round(length / STEP)), 1)
    roots = roots[: max(count // steps, 8)]
    chosen = everywhere.take(roots)
    style = HairStyle(length, length, 0.25, 1.2, "forward", thick=0.0013)
    lengths = np.full(len(roots), length, np.float32) * (1 + 0.3 * grain(len(roots), person.noise + 91))
    paths = _paths(style, person, chosen.on(figure.vertices), chosen.on(figure.normals), lengths, figure, body)
    return _segments(paths, lengths, person, figure, 0.0014 * float(np.sqrt(max(900 / max(len(roots), 1), 1))))


def hair_weights(middles: Floats, joints: Floats) -> tuple[np.ndarray, Floats]:
    """Joints and weights of hair: it follows the head, and further down the neck and the back."""
    head, neck = float(joints[JOINT["head"], 1]), float(joints[JOINT["neck"], 1])
    high = ramp(middles[:, 1], neck - 0.02, head)
    low = ramp(middles[:, 1], neck + 0.02, neck - 0.10)
    neck_share = (1 - high) * (1 - low)
    weights = np.stack([high, neck_share, (1 - high) * low, np.zeros_like(high)], axis=1)
    ids = np.tile([JOINT["head"], JOINT["neck"], JOINT["spine3"], 0], (len(middles), 1))
    return ids, (weights / weights.sum(1, keepdims=True)).astype(np.float32)
