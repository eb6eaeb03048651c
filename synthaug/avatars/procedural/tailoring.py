"""Shapes of garments: the body's mesh moved outwards to where cloth hangs.

A garment has the same mesh as the body, so that its points keep their skinning; only skirts have surfaces of their own.
"""

import numpy as np

from synthaug.avatars.procedural.figure import (
    Figure,
    Floats,
    Mask,
    Points,
    hang_arms,
    normals_of,
    ramp,
    smooth,
    template,
)
from synthaug.avatars.procedural.wardrobe import ProceduralPerson, Top
from synthaug.body.skeleton import JOINT, PARENTS

SHOULDER_X, WRIST_X = 0.1735, 0.6684
"""Joints of the mean body."""
SOLE_Y = -0.981
"""Sole of the mean body."""
CROTCH_Y = -0.115
"""Where the legs part on the mean body."""


def top_vertices(figure: Figure, person: ProceduralPerson) -> Floats:
    """Positions of the upper garment for every vertex of the mesh, [V, 3]."""
    place = template().vertices
    cut = person.top
    trunk = ramp(np.abs(place[:, 0]), 0.30, 0.22)
    hung, A, shift = hang_arms(figure.vertices, figure.joints, (template().weight_ids, template().weights))
    relaxed = smooth(hung, 10, where=ramp(place[:, 1], 0.60, 0.48))
    moved = relaxed + cut.thickness * normals_of(relaxed, template().faces)
    moved = np.linalg.solve(A, (moved - shift)[..., None])[..., 0].astype(np.float32)
    moved = _drape(moved, person.sizes["loose"], trunk * ramp(place[:, 1], 0.36, 0.27))
    return smooth(_widen_sleeves(moved, figure, cut), 3, where=trunk * ramp(place[:, 1], 0.36, 0.30))


def hung_normals(vertices: Floats, joints: Floats) -> Floats:
    """Normals of a mesh in the T-pose, computed with the arms hanging and rotated back."""
    hung, A, _ = hang_arms(vertices, joints, (template().weight_ids, template().weights))
    normals = np.einsum("vji,vj->vi", A, normals_of(hung, template().faces))
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def _drape(vertices: Floats, loose: float, share: Floats) -> Floats:
    """Let the trunk hang from chest and belly: each direction keeps most of the radius that it has higher up."""
    place = template().vertices
    trunk = (np.abs(place[:, 0]) < 0.26) & (place[:, 1] < 0.38) & (place[:, 1] > -0.32)
    centre = np.array([0.0, 0.0, float(vertices[trunk, 2].mean())], np.float32)
    across = (vertices - centre)[:, [0, 2]]
    radius = np.linalg.norm(across, axis=1)
    rows, columns = 35, 36
    row = (0.38 - place[:, 1]) / 0.02
    column = (np.arctan2(across[:, 0], across[:, 1]) / (2 * np.pi) % 1) * columns
    grid = np.zeros((rows, columns), np.float32)
    cells = (np.clip(row[trunk].astype(int), 0, rows - 1), column[trunk].astype(int) % columns)
    np.maximum.at(grid, cells, radius[trunk])
    for _ in range(3):
        empty = grid == 0
        grid = np.where(empty, np.maximum(np.roll(grid, 1, 1), np.roll(grid, -1, 1)), grid)
    for k in range(1, rows):
        # Cloth narrows by at most 10 % of the way down, and spans hollows of up to three directions.
        wide = np.maximum(grid[k - 1], 0.5 * (np.roll(grid[k - 1], 1) + np.roll(grid[k - 1], -1)))
        grid[k] = np.maximum(grid[k], wide - 0.002)
    grid = (np.roll(grid, 1, 1) + 2 * grid + np.roll(grid, -1, 1)) / 4
    hung = _look_up(grid, np.clip(row - 0.5, 0, rows - 1.001), column - 0.5)
    wanted = radius + np.maximum(hung - radius, 0) * share * loose
    vertices = vertices.copy()
    vertices[:, [0, 2]] += across * ((wanted / np.maximum(radius, 1e-6)) - 1)[:, None]
    return vertices


def _look_up(grid: Floats, row: Floats, column: Floats) -> Floats:
    """Bilinear samples of a grid whose columns wrap around."""
    r, c = np.floor(row).astype(int), np.floor(column).astype(int)
    tr, tc = row - r, column - c
    columns = grid.shape[1]
    upper = grid[r, c % columns] * (1 - tc) + grid[r, (c + 1) % columns] * tc
    lower = grid[r + 1, c % columns] * (1 - tc) + grid[r + 1, (c + 1) % columns] * tc
    return np.asarray(upper * (1 - tr) + lower * tr, np.float32)


def _widen_sleeves(vertices: Floats, figure: Figure, cut: Top) -> Floats:
    """Widen sleeves to their cut: at least a tube around the arm, more where the arm is thicker."""
    place = template().vertices
    out = vertices.copy()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        axis = figure.joints[JOINT[f"{side}_elbow"]]
        arm = ramp(place[:, 0] * sign, 0.20, 0.30)
        across = vertices[:, 1:] - axis[1:]
        radius = np.linalg.norm(across, axis=1)
        t = np.clip((place[:, 0] * sign - SHOULDER_X) / (WRIST_X - SHOULDER_X), 0, 1)
        wanted = (0.072 - 0.034 * t) * (0.9 + 8 * cut.thickness)
        grown = np.maximum(wanted - radius, 0) * arm
        out[:, 1:] += across * (grown / np.maximum(radius, 1e-6))[:, None]
    return out


def bottom_vertices(figure: Figure, person: ProceduralPerson) -> Floats:
    """Positions of trousers or shorts for every vertex of the mesh, [V, 3]."""
    place = template().vertices
    cut = person.bottom
    relaxed = smooth(figure.vertices, 8, where=ramp(place[:, 1], 0.2, 0.1))
    moved = relaxed + cut.thickness * normals_of(relaxed, template().faces)
    hem = person.sizes["hem"]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        mine = (place[:, 0] * sign > 0) & (place[:, 1] < 0.05) & (np.abs(place[:, 0]) < 0.3)
        axis = _leg_axis(figure, side, figure.vertices[:, 1])
        across = moved[:, [0, 2]] - axis
        radius = np.linalg.norm(across, axis=1)
        down = np.clip((CROTCH_Y - place[:, 1]) / (CROTCH_Y - hem), 0, 1)
        wanted = 0.088 + (person.sizes["width"] - 0.088) * down
        grown = np.maximum(wanted - radius, 0) * ramp(place[:, 1], CROTCH_Y, -0.25) * mine
        moved[:, [0, 2]] += across * (grown / np.maximum(radius, 1e-6))[:, None]
        # The two legs must not intersect.
        inner = mine & (place[:, 1] < CROTCH_Y) & (moved[:, 0] * sign < 0.003)
        moved[inner, 0] = 0.003 * sign
    return moved


def _leg_axis(figure: Figure, side: str, height: Floats) -> Floats:
    """X and z of the leg's bones at these heights, [V, 2]."""
    chain = figure.joints[[JOINT[f"{side}_{name}"] for name in ("ankle", "knee", "hip")]]
    return np.stack([np.interp(height, chain[:, 1], chain[:, i]) for i in (0, 2)], axis=1).astype(np.float32)


def shoe_last(place: Floats) -> tuple[Floats, Floats, Floats]:
    """A shoe's form for points of the mean foot: displacement onto it, its normal, and its influence, 0..1.

    Around the line from heel to toe every cross-section becomes an oval, so that five toes share one box.
    """
    side = np.sign(place[:, 0])
    x, y, z = np.abs(place[:, 0]), place[:, 1] - SOLE_Y, place[:, 2]
    # Metres on the mean foot from heel to toe: middle line, half width, height.
    stations = [-0.064, -0.02, 0.05, 0.10, 0.14, 0.17, 0.19, 0.205]
    middle = np.interp(z, stations, [0.100, 0.101, 0.105, 0.109, 0.110, 0.108, 0.104, 0.100])
    width = np.interp(z, stations, [0.028, 0.034, 0.039, 0.046, 0.049, 0.045, 0.036, 0.020])
    height = np.interp(z, stations, [0.070, 0.080, 0.088, 0.066, 0.052, 0.045, 0.038, 0.026])
    centre = 0.4 * height
    tall = np.where(y > centre, 0.6 * height, centre)
    dx, dy = (x - middle) / width, (y - centre) / tall
    radius = np.maximum((np.abs(dx) ** 2.6 + np.abs(dy) ** 2.6) ** (1 / 2.6), 0.12)
    new_x, new_y = middle + (x - middle) / radius, centre + (y - centre) / radius
    share = ramp(z, 0.03, 0.08) * (place[:, 1] < -0.86)
    move = np.stack([(new_x - x) * side, np.maximum(new_y, 0) - y, np.zeros_like(x)], axis=1)
    normal = np.stack([dx / radius / width * side, dy / radius / tall, 25 * ramp(z, 0.165, 0.21)], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    return (move * share[:, None]).astype(np.float32), normal.astype(np.float32), share


def shoe_vertices(figure: Figure, person: ProceduralPerson) -> Floats:
    """Positions of shoes for every vertex of the mesh, [V, 3]; `fit_shoe` refines the toes."""
    foot = ramp(template().vertices[:, 1], -0.80, -0.86)
    relaxed = smooth(figure.vertices, 14, where=foot)
    return relaxed + person.shoe.thickness * normals_of(relaxed, template().faces) * foot[:, None]


def fit_shoe(
    chosen: Points, means: Floats, normals: Floats, figure: Figure, person: ProceduralPerson
) -> tuple[Floats, Floats]:
    """Points of shoes and their normals: the front on the shoe's form, the sole flat and level with the bare one."""
    bones = [JOINT["left_foot"], JOINT["left_ankle"]]
    size = np.linalg.norm(np.diff(figure.joints[bones], axis=0)) / np.linalg.norm(
        np.diff(template().joints[bones], axis=0)
    )
    move, normal, share = shoe_last(chosen.canonical)
    boxed = chosen.on(figure.vertices) + np.float32(size) * move + person.shoe.thickness * normal
    means = means + share[:, None] * (boxed - means)
    normals = normals + share[:, None] * (normal - normals)
    floor = float(figure.vertices[:, 1].min())
    means[:, 1] = np.maximum(means[:, 1], floor - 0.004)
    return means.astype(np.float32), normals.astype(np.float32)


def sock_vertices(figure: Figure) -> Floats:
    """Positions of socks, [V, 3]: 2 mm off the skin."""
    return figure.vertices + 0.002 * figure.normals


def hem_of_top(person: ProceduralPerson) -> float:
    """Height of the upper garment's hem over the pelvis, metres; skirts cover it."""
    return 0.05 if person.bottom.skirt else person.sizes["top_hem"]


def top_mask(points: Points, person: ProceduralPerson) -> Mask:
    """Mask of the points under the upper garment, [P]."""
    x, y, z = points.canonical.T
    x = np.abs(x)
    cut = person.top
    covered = (points.part == 0) & (y > hem_of_top(person)) & (y < 0.52)
    if cut.neck == "scoop":
        # Straps: the armhole is an ellipse about the shoulder, and the neckline is wide.
        hole = ((x - 0.205) / 0.062) ** 2 + ((y - 0.375) / 0.115) ** 2 < 1
        covered &= (x < 0.205) & ~hole
    else:
        covered &= x < person.sizes["sleeve"]
    return covered & ~_neck_opening(cut.neck, x, y, z)


def _neck_opening(neck: str, x: Floats, y: Floats, z: Floats) -> Mask:
    """Mask of the points above the neckline, which has a height in front and behind and rises to the shoulders, [P]."""
    front = ramp(z, -0.01, 0.06)
    low, width, steep = {
        "crew": (0.418, 0.055, 0.5), "vee": (0.345, 0.0, 1.15), "scoop": (0.335, 0.045, 1.3),
        "collar": (0.405, 0.0, 0.75), "flap": (0.395, 0.0, 0.8), "hood": (0.415, 0.05, 0.6),
        "turtle": (0.495, 0.0, 0.1), "zip": (0.425, 0.0, 0.55),
    }[neck]  # fmt: skip
    back = 0.462 if neck != "turtle" else 0.525
    line = back + (low - back) * front + steep * np.maximum(x - width, 0)
    return np.asarray((y > line) & (x < 0.16))


def bottom_mask(points: Points, person: ProceduralPerson) -> Mask:
    """Mask of the points under trousers or shorts, [P]; skirts have a surface of their own."""
    x, y, _ = points.canonical.T
    return (y < 0.06) & (y > person.sizes["hem"]) & (np.abs(x) < 0.3) & (not person.bottom.skirt)


def shoe_mask(points: Points, person: ProceduralPerson) -> Mask:
    """Mask of the points inside a shoe, [P]; low shoes leave the instep free."""
    _, y, z = points.canonical.T
    dip = 0.018 * ramp(z, 0.02, 0.09) if person.shoe.top < -0.90 else 0.0
    return np.asarray(y < person.shoe.top - dip)


def sock_mask(points: Points, person: ProceduralPerson) -> Mask:
    """Mask of the points under a sock, with or without a shoe, [P]."""
    return np.asarray(points.canonical[:, 1] < -0.84)


def skirt_surface(figure: Figure, person: ProceduralPerson, counts: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
    """A skirt as a grid of rings from waist to hem: positions and normals [rings, columns, 3], and (angle, height).

    Each ring is the body's outline at its height, widened to hang from the hips, plus flare and pleats.
    """
    rings, columns = counts
    hem, flare = person.sizes["hem"], person.sizes["width"]
    place = template().vertices
    scale = float(figure.joints[JOINT["left_knee"], 1] / template().joints[JOINT["left_knee"], 1])
    heights = np.linspace(0.07, hem, rings).astype(np.float32)
    angles = np.arange(columns, dtype=np.float32) / columns * 2 * np.pi
    legs = (np.abs(place[:, 0]) < 0.3) & (place[:, 1] < 0.12)
    body = figure.vertices[legs]
    directions = np.stack([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
    centre = np.array([0.0, float(np.median(body[:, 2]))], np.float32)
    reach = (body[:, [0, 2]] - centre) @ directions.T
    outline = np.zeros((rings, columns), np.float32)
    for k, height in enumerate(heights):
        near = np.abs(body[:, 1] - height * scale) < 0.025
        outline[k] = np.maximum(reach[near].max(0), 0.05) if near.any() else outline[k - 1]
        if k:
            outline[k] = np.maximum(outline[k], outline[k - 1] - 0.0015)
    outline = _from_support(outline, directions)
    down = np.linspace(0, 1, rings, dtype=np.float32)[:, None]
    pleats = 0.012 * down * np.sin(angles * 11 + person.noise % 7) * (0.4 + 6 * flare)
    radius = outline + person.bottom.thickness + flare * down**1.3 + pleats
    positions = np.stack(
        [
            centre[0] + radius * directions[:, 0],
            np.broadcast_to(heights[:, None] * scale, radius.shape),
            centre[1] + radius * directions[:, 1],
        ],
        axis=2,
    ).astype(np.float32)
    normals = np.cross(np.gradient(positions, axis=0), np.roll(positions, -1, 1) - np.roll(positions, 1, 1))
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-9)
    if float((normals[..., [0, 2]] * directions).sum()) < 0:
        normals = -normals
    chart = np.stack(np.broadcast_arrays(angles[None], heights[:, None]), axis=2)
    return positions, normals.astype(np.float32), chart.astype(np.float32)


def _from_support(support: Floats, directions: Floats) -> Floats:
    """Radii of the convex outline with this support function, because cloth spans hollows."""
    cosine = directions @ directions.T
    with np.errstate(divide="ignore"):
        bound = np.where(cosine > 0.05, support[:, None, :] / np.maximum(cosine, 0.05), np.inf)
    return np.asarray(bound.min(2), np.float32)


def skirt_weights(positions: Floats, joints: Floats, hem: float) -> tuple[np.ndarray, Floats]:
    """Joints and weights of a skirt: the waist follows the pelvis, the hem the nearer thigh, and lower the shin."""
    down = ramp(positions[:, 1], float(joints[JOINT["left_hip"], 1]) + 0.06, float(joints[JOINT["left_hip"], 1]) - 0.16)
    left = ramp(positions[:, 0], -0.15, 0.15)
    knee = float(joints[JOINT["left_knee"], 1])
    shin = 0.8 * ramp(positions[:, 1], knee + 0.02, knee - 0.16)
    thigh = 0.85 * down
    ids = np.tile([JOINT["pelvis"], JOINT["left_hip"], JOINT["right_hip"], JOINT["left_knee"]], (len(positions), 1))
    right = positions[:, 0] < 0
    ids[right, 3] = JOINT["right_knee"]
    own = np.where(right, 1 - left, left)
    weights = np.stack([1 - thigh, thigh * left, thigh * (1 - left), thigh * shin * own], axis=1)
    rows = np.arange(len(positions))
    weights[rows, np.where(right, 2, 1)] -= weights[:, 3]
    assert PARENTS[JOINT["left_knee"]] == JOINT["left_hip"]
    return ids, weights.astype(np.float32)
