"""Cast rays through a furnished room and gather the light in it: the compiled part of `rooms`.

A room is a list of solids (the first is the shell seen from inside, the rest furniture) grouped into pieces that turn
about the vertical. Light is gathered once for each cell of a coarse grid on every face, when a ray first asks for it,
so that the cost follows what is seen and a moving camera pays once. Everything is in the room's own frame, in metres,
with linear light and linear colours.

All of it lies in ONE array of 16 columns, and points and colours travel as tuples: every array that a compiled
function takes costs it an atomic reference count, which in the first version cost ten times the arithmetic.
"""

import math
from typing import no_type_check

import numba
import numpy as np

from synthaug.backgrounds.room.textures import albedo

COLUMNS = 16
# Columns of row 0: first row of each table; tables of changing length end where the next begins.
SOLIDS, PIECES, MATERIALS, WINDOWS, LAMPS, SKY, BOUNCE, SUN, RUG_PLACE, LIGHT_CELLS, EXPOSURE = range(11)
# Columns of solids, one row for each.
KIND, CENTRE, HALF, MATERIAL, GLOW, BEVEL, FIRST, CELLS, PIECE = 0, 1, 4, 7, 8, 9, 10, 11, 14
BOX, BALL, TUBE = 0, 1, 2
"""Kinds: a box, an ellipsoid, an upright elliptic cylinder, each filling centre +- half."""
# Columns of pieces: place on the floor, turn, bounding box in the piece's frame, first and past-last solid, thinness,
# radius about its place that holds the box, seen from above.
PX, PZ, COS, SIN, LOW, HIGH, START, STOP, THIN, RADIUS = 0, 1, 2, 3, 4, 7, 10, 11, 12, 13
"""Thin pieces (pictures, doors) are seen, but cast no shadow worth tracing."""
# Columns of windows: wall face, from and to along the wall, sill and top, 1 for one without a frame. Skies, in the
# ceiling, go from LEFT to RIGHT along x and from SILL to TOP along z.
WALL, LEFT, RIGHT, SILL, TOP, OPEN = 0, 1, 2, 3, 4, 5
# Columns of lamps: place, radius of the bulb, light. Rows of the sky: what a pane sends in; what is seen behind it;
# phases of the skyline; its colour. Rows of bounce: what each face of the shell reflects; what reaches furniture.
# Columns of the sun: direction, whether it shines, light. Of the rug: middle x, z and half sizes. Of cells of light:
# the light, and whether it has been gathered.
TRIM, RUG_SURFACE = 6, 7
"""Rows among the materials, after the six faces of the shell."""
FRAME = 0.05
"""Width of window frames and bars, metres."""
GRIP = 4e-3
"""Distance off a surface at which its light is gathered: beyond rounding, below the thickness of anything built."""


def _hemisphere(count: int) -> np.ndarray:
    """Directions about +z whose density follows the cosine (Fibonacci spiral on the disc, lifted)."""
    k = np.arange(count) + 0.5
    radius, angle = np.sqrt(k / count), k * math.pi * (3 - math.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - k / count)], axis=1)


DIRECTIONS = _hemisphere(16)
_LAMP = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / math.sqrt(3)
"""Corners of a tetrahedron: where the bulb of a lamp is sampled."""

_kernel = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract", "arcp", "nsz", "reassoc"}}


@no_type_check
@numba.njit(**_kernel)
def _slab(o, d, low, high):
    """Parameters at which a ray enters and leaves the space between two planes."""
    inverse = 1.0 / d if abs(d) > 1e-12 else 1e12
    a, b = (low - o) * inverse, (high - o) * inverse
    return min(a, b), max(a, b)


@no_type_check
@numba.njit(**_kernel)
def _meet(room, row, o, d):
    """Ray parameter at which a ray from outside meets a solid in its piece's frame; infinite where it does not."""
    hx, hy, hz = room[row, HALF], room[row, HALF + 1], room[row, HALF + 2]
    px, py, pz = o[0] - room[row, CENTRE], o[1] - room[row, CENTRE + 1], o[2] - room[row, CENTRE + 2]
    ax, bx = _slab(px, d[0], -hx, hx)
    ay, by = _slab(py, d[1], -hy, hy)
    az, bz = _slab(pz, d[2], -hz, hz)
    enter, leave = max(ax, ay, az), min(bx, by, bz)
    if enter > leave or leave <= 1e-4:
        return np.inf
    if room[row, KIND] == BOX:
        return enter if enter > 1e-4 else np.inf
    upright = room[row, KIND] == TUBE
    qx, qz, ex, ez = px / hx, pz / hz, d[0] / hx, d[2] / hz
    qy, ey = (0.0, 0.0) if upright else (py / hy, d[1] / hy)
    a = max(ex * ex + ey * ey + ez * ez, 1e-12)
    b = qx * ex + qy * ey + qz * ez
    root = b * b - a * (qx * qx + qy * qy + qz * qz - 1)
    if root < 0:
        return np.inf
    near = (-b - math.sqrt(root)) / a
    if upright and near < ay:
        # Through the lid, if the ray is within the circle there.
        x, z = qx + ay * ex, qz + ay * ez
        near = ay if x * x + z * z <= 1 else np.inf
    if upright and near > by:
        return np.inf
    return near if near > 1e-4 else np.inf


@no_type_check
@numba.njit(**_kernel)
def _into(room, piece, v):
    """A direction of the room in a piece's frame."""
    cos, sin = room[piece, COS], room[piece, SIN]
    return cos * v[0] - sin * v[2], v[1], sin * v[0] + cos * v[2]


@no_type_check
@numba.njit(**_kernel)
def _out_of(room, piece, v):
    """A direction of a piece's frame in the room's."""
    cos, sin = room[piece, COS], room[piece, SIN]
    return cos * v[0] + sin * v[2], v[1], -sin * v[0] + cos * v[2]


@no_type_check
@numba.njit(inline="always", **_kernel)
def _passes(room, piece, o, d, reach, square):
    """Whether a ray passes the upright cylinder around a piece, up to `reach`: most do, and this costs no division."""
    high, end = o[1], o[1] + reach * d[1]
    if min(high, end) > room[piece, HIGH + 1] or max(high, end) < room[piece, LOW + 1]:
        return True
    x, z = room[piece, PX] - o[0], room[piece, PZ] - o[2]
    limit = room[piece, RADIUS] * room[piece, RADIUS] * square
    across, along = x * d[2] - z * d[0], x * d[0] + z * d[2]
    beyond = along - reach * square
    return across * across > limit or (along < 0 and along * along > limit) or (beyond > 0 and beyond * beyond > limit)


@no_type_check
@numba.njit(**_kernel)
def _nearest(room, o, d, reach, shadow):
    """(parameter, row) of the nearest solid within reach; row -1 for none. Shadow rays stop at any, past thin ones."""
    best, found = reach, -1
    square = d[0] * d[0] + d[2] * d[2]
    for piece in range(int(room[0, PIECES]), int(room[0, MATERIALS])):
        if (shadow and room[piece, THIN] > 0) or _passes(room, piece, o, d, best, square):
            continue
        p = _into(room, piece, (o[0] - room[piece, PX], o[1], o[2] - room[piece, PZ]))
        e = _into(room, piece, d)
        ax, bx = _slab(p[0], e[0], room[piece, LOW], room[piece, HIGH])
        ay, by = _slab(p[1], e[1], room[piece, LOW + 1], room[piece, HIGH + 1])
        az, bz = _slab(p[2], e[2], room[piece, LOW + 2], room[piece, HIGH + 2])
        leave = min(bx, by, bz)
        if max(ax, ay, az) > min(leave, best) or leave < 0:
            continue
        for row in range(int(room[piece, START]), int(room[piece, STOP])):
            t = _meet(room, row, p, e)
            if t < best:
                best, found = t, row
                if shadow:
                    return best, found
    return best, found


@no_type_check
@numba.njit(**_kernel)
def _blocked(room, o, d, reach):
    """Whether furniture stands in a ray's way, lamp shades left out."""
    _, row = _nearest(room, o, d, reach, True)
    return row >= 0 and room[row, GLOW] == 0


@no_type_check
@numba.njit(inline="always", **_kernel)
def _exit(o, d, centre, half):
    """Parameter at which a ray from inside leaves one pair of planes."""
    if abs(d) < 1e-12:
        return np.inf
    return (centre + (half if d > 0 else -half) - o) / d


@no_type_check
@numba.njit(**_kernel)
def _shell(room, o, d):
    """(parameter, face) at which a ray from inside meets the room's shell."""
    s = int(room[0, SOLIDS])
    x = _exit(o[0], d[0], room[s, CENTRE], room[s, HALF])
    y = _exit(o[1], d[1], room[s, CENTRE + 1], room[s, HALF + 1])
    z = _exit(o[2], d[2], room[s, CENTRE + 2], room[s, HALF + 2])
    if x <= y and x <= z:
        return max(x, 0.0), 1 if d[0] > 0 else 0
    if y <= z:
        return max(y, 0.0), 3 if d[1] > 0 else 2
    return max(z, 0.0), 5 if d[2] > 0 else 4


@no_type_check
@numba.njit(**_kernel)
def _pane(room, face, p):
    """0 off the windows, 1 on a pane, 2 on a bar of its frame, at a point of a wall."""
    along, up = p[2] if face < 2 else p[0], p[2] if face == 3 else p[1]
    for w in range(int(room[0, WINDOWS]), int(room[0, LAMPS])):
        left, right = along - room[w, LEFT], room[w, RIGHT] - along
        low, high = up - room[w, SILL], room[w, TOP] - up
        if room[w, WALL] == face and min(left, right, low, high) > 0:
            if room[w, OPEN] > 0:
                return 1
            bar = min(left, right, low, high) < FRAME or abs(left - right) < FRAME
            return 2 if bar or abs(low - 2 * high) < 1.5 * FRAME else 1
    return 0


@no_type_check
@numba.njit(**_kernel)
def _window_light(room, p, n):
    """What the sky behind the windows brings to a point: six samples a pane."""
    total, shell = 0.0, int(room[0, SOLIDS])
    for w in range(int(room[0, WINDOWS]), int(room[0, LAMPS])):
        face = int(room[w, WALL])
        axis, side = face // 2, 1.0 if face % 2 else -1.0
        wall = room[shell, CENTRE + axis] + side * (room[shell, HALF + axis] - 0.02)
        wide, high = room[w, RIGHT] - room[w, LEFT], room[w, TOP] - room[w, SILL]
        for s in range(6):
            along = room[w, LEFT] + (s % 3 + 0.5) / 3 * wide
            up = room[w, SILL] + (s // 3 + 0.5) / 2 * high
            dx, dz = (wall - p[0], along - p[2]) if axis == 0 else (along - p[0], wall - p[2])
            dy = up - p[1]
            if axis == 1:
                dx, dy, dz = along - p[0], wall - p[1], up - p[2]
            square = max(dx * dx + dy * dy + dz * dz, 1e-6)
            facing = dx * n[0] + dy * n[1] + dz * n[2]
            leaving = side * (dx if axis == 0 else (dy if axis == 1 else dz))
            if facing > 0 and leaving > 0 and not _blocked(room, p, (dx, dy, dz), 1.0):
                # What lies below the pane sees the sky, what lies above it the ground outside, which is darker.
                total += facing * leaving / (square * max(square, 0.05)) * wide * high / 6 * (1.0 if dy > 0 else 0.6)
    sky = int(room[0, SKY])
    return room[sky, 0] * total, room[sky, 1] * total, room[sky, 2] * total


@no_type_check
@numba.njit(**_kernel)
def _lamp_light(room, p, n):
    """What the lamps bring to a point: four samples a bulb."""
    red, green, blue = 0.0, 0.0, 0.0
    for lamp in range(int(room[0, LAMPS]), int(room[0, SKY])):
        radius, total = room[lamp, 3], 0.0
        for s in range(4):
            dx = room[lamp, 0] + radius * _LAMP[s, 0] - p[0]
            dy = room[lamp, 1] + radius * _LAMP[s, 1] - p[1]
            dz = room[lamp, 2] + radius * _LAMP[s, 2] - p[2]
            square = max(dx * dx + dy * dy + dz * dz, 1e-6)
            facing = (dx * n[0] + dy * n[1] + dz * n[2]) / math.sqrt(square)
            if facing > 0 and not _blocked(room, p, (dx, dy, dz), 0.97):
                total += 0.25 * facing / max(square, 0.1)
        red, green, blue = red + total * room[lamp, 4], green + total * room[lamp, 5], blue + total * room[lamp, 6]
    return red, green, blue


@no_type_check
@numba.njit(inline="always", **_kernel)
def _across(n):
    """A unit vector at right angles to a unit vector."""
    x, y, z = (n[2], 0.0, -n[0]) if abs(n[1]) < 0.9 else (0.0, -n[2], n[1])
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


@no_type_check
@numba.njit(**_kernel)
def _bounced_light(room, p, n):
    """What walls and furniture reflect to a point, less where they stand close: corners darken."""
    u = _across(n)
    v = (n[1] * u[2] - n[2] * u[1], n[2] * u[0] - n[0] * u[2], n[0] * u[1] - n[1] * u[0])
    red, green, blue = 0.0, 0.0, 0.0
    count = DIRECTIONS.shape[0]
    for k in range(count):
        s, t, w = DIRECTIONS[k, 0], DIRECTIONS[k, 1], DIRECTIONS[k, 2]
        d = (s * u[0] + t * v[0] + w * n[0], s * u[1] + t * v[1] + w * n[1], s * u[2] + t * v[2] + w * n[2])
        far, face = _shell(room, p, d)
        near, hit = _nearest(room, p, d, far, False)
        r, g, b = _reflected_light(room, face, hit)
        # The nearer a surface, the more of its own light this point's surroundings keep from it.
        openness = near / (near + 0.4) / count
        red, green, blue = red + openness * r, green + openness * g, blue + openness * b
    return red, green, blue


@no_type_check
@numba.njit(**_kernel)
def _reflected_light(room, face, hit):
    """What a face of the shell reflects, or the furniture in front of it."""
    row = int(room[0, BOUNCE]) + (face if hit < 0 else 6)
    r, g, b = room[row, 0], room[row, 1], room[row, 2]
    if hit >= 0:
        m = int(room[0, MATERIALS]) + int(room[hit, MATERIAL])
        r, g, b = r * room[m, 1], g * room[m, 2], b * room[m, 3]
    return r, g, b


@no_type_check
@numba.njit(inline="always", **_kernel)
def _gather(room, p, n):
    """All light that reaches a point with this normal, the sun's left out."""
    a, b, c = _window_light(room, p, n), _lamp_light(room, p, n), _bounced_light(room, p, n)
    return a[0] + b[0] + c[0], a[1] + b[1] + c[1], a[2] + b[2] + c[2]


@no_type_check
@numba.njit(**_kernel)
def _cell(room, row, face, i, j):
    """Row of one cell of a face, whose light is gathered when first asked for."""
    nx, ny, nz = int(room[row, CELLS]), int(room[row, CELLS + 1]), int(room[row, CELLS + 2])
    yz, xz = ny * nz, nx * nz
    axis, side = face // 2, 1.0 if face % 2 else -1.0
    wide, tall, before = (nz, ny, 0) if axis == 0 else ((nx, nz, 2 * yz) if axis == 1 else (nx, ny, 2 * (yz + xz)))
    index = int(room[0, LIGHT_CELLS] + room[row, FIRST]) + before + (face % 2) * wide * tall + i + j * wide
    if room[index, 3] > 0:
        return index
    shell = row == int(room[0, SOLIDS])
    # Balls and tubes have one cell on each side, in the middle; boxes' outermost cells are moved inwards by 3 %.
    a = (2.0 * i / (wide - 1) - 1) * 0.97 if wide > 1 else 0.0
    b = (2.0 * j / (tall - 1) - 1) * 0.97 if tall > 1 else 0.0
    n = -side if shell else side
    x, y, z = (side, b, a) if axis == 0 else ((a, side, b) if axis == 1 else (a, b, side))
    normal = (n if axis == 0 else 0.0, n if axis == 1 else 0.0, n if axis == 2 else 0.0)
    p = (
        room[row, CENTRE] + x * room[row, HALF] + normal[0] * GRIP,
        room[row, CENTRE + 1] + y * room[row, HALF + 1] + normal[1] * GRIP,
        room[row, CENTRE + 2] + z * room[row, HALF + 2] + normal[2] * GRIP,
    )
    if not shell:
        piece = int(room[row, PIECE])
        p, normal = _out_of(room, piece, p), _out_of(room, piece, normal)
        p = (p[0] + room[piece, PX], p[1], p[2] + room[piece, PZ])
    room[index, 0], room[index, 1], room[index, 2] = _gather(room, p, normal)
    room[index, 3] = 1.0
    return index


@no_type_check
@numba.njit(**_kernel)
def _face_light(room, row, face, q):
    """Light on a face at a point in units of the solid's half sizes, interpolated between cells."""
    nx, ny, nz = int(room[row, CELLS]), int(room[row, CELLS + 1]), int(room[row, CELLS + 2])
    if face < 2:
        ni, nj, a, b = nz, ny, q[2], q[1]
    elif face < 4:
        ni, nj, a, b = nx, nz, q[0], q[2]
    else:
        ni, nj, a, b = nx, ny, q[0], q[1]
    a = min(max((a / 0.97 + 1) * 0.5, 0.0), 1.0) * (ni - 1)
    b = min(max((b / 0.97 + 1) * 0.5, 0.0), 1.0) * (nj - 1)
    i, j = int(a), int(b)
    right, up = min(i + 1, ni - 1), min(j + 1, nj - 1)
    s, t = a - i, b - j
    k, m = _cell(room, row, face, i, j), _cell(room, row, face, right, j)
    o, p = _cell(room, row, face, i, up), _cell(room, row, face, right, up)
    w, x, y, z = (1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t
    return (
        w * room[k, 0] + x * room[m, 0] + y * room[o, 0] + z * room[p, 0],
        w * room[k, 1] + x * room[m, 1] + y * room[o, 1] + z * room[p, 1],
        w * room[k, 2] + x * room[m, 2] + y * room[o, 2] + z * room[p, 2],
    )


@no_type_check
@numba.njit(inline="always", **_kernel)
def _round_light(room, row, n):
    """Light on a ball or tube: that of its six sides, blended by direction."""
    a = _face_light(room, row, 1 if n[0] > 0 else 0, n)
    b = _face_light(room, row, 3 if n[1] > 0 else 2, n)
    c = _face_light(room, row, 5 if n[2] > 0 else 4, n)
    x, y, z = n[0] * n[0], n[1] * n[1], n[2] * n[2]
    return x * a[0] + y * b[0] + z * c[0], x * a[1] + y * b[1] + z * c[1], x * a[2] + y * b[2] + z * c[2]


@no_type_check
@numba.njit(inline="always", **_kernel)
def _box_light(room, row, face, q):
    """Light on a box, softened towards that of the neighbouring face near the nearest edge."""
    light = _face_light(room, row, face, q)
    axis, bevel = face // 2, room[row, BEVEL]
    other, edge = -1, bevel
    for k in range(3):
        distance = (1 - abs(q[k])) * room[row, HALF + k]
        if k != axis and distance < edge:
            other, edge = k, distance
    if other < 0:
        return light
    beside = _face_light(room, row, 2 * other + (1 if q[other] > 0 else 0), q)
    w = 0.5 * (1 - edge / bevel)
    return (
        light[0] + w * (beside[0] - light[0]),
        light[1] + w * (beside[1] - light[1]),
        light[2] + w * (beside[2] - light[2]),
    )


@no_type_check
@numba.njit(**_kernel)
def _sunshine(room, p, n):
    """Share of the sun on a point: where it comes in through a pane and nothing stands in its way."""
    sun = int(room[0, SUN])
    d = (room[sun, 0], room[sun, 1], room[sun, 2])
    facing = d[0] * n[0] + d[1] * n[1] + d[2] * n[2]
    if room[sun, 3] <= 0 or facing <= 0:
        return 0.0
    o = (p[0] + n[0] * GRIP, p[1] + n[1] * GRIP, p[2] + n[2] * GRIP)
    far, face = _shell(room, o, d)
    if _pane(room, face, (o[0] + far * d[0], o[1] + far * d[1], o[2] + far * d[2])) != 1:
        return 0.0
    return 0.0 if _blocked(room, o, d, far) else facing


@no_type_check
@numba.njit(**_kernel)
def _outside(room, d):
    """What is seen through a pane: sky above, blurred trees and houses at the horizon, ground below."""
    sky = int(room[0, SKY])
    azimuth = math.atan2(d[0], d[2])
    skyline = 0.05 + 0.05 * math.sin(3 * azimuth + room[sky + 2, 0]) + 0.03 * math.sin(11 * azimuth + room[sky + 2, 1])
    above = min(max((d[1] - skyline) / 0.04 + 0.5, 0.0), 1.0)
    rise = 1.15 - 0.35 * min(max(d[1], 0.0) * 2, 1.0)
    patch = 0.75 + 0.25 * math.sin(23 * azimuth + room[sky + 2, 2]) * math.sin(31 * d[1] + 7 * azimuth)
    patch *= 1 - above
    rise *= above
    return (
        rise * room[sky + 1, 0] + patch * room[sky + 3, 0],
        rise * room[sky + 1, 1] + patch * room[sky + 3, 1],
        rise * room[sky + 1, 2] + patch * room[sky + 3, 2],
    )


@no_type_check
@numba.njit(inline="always", **_kernel)
def _mirrored(room, p, d):
    """(share, colour) of a polished floor's reflection: panes, walls and furniture, with Schlick's share of it."""
    gloss = room[int(room[0, MATERIALS]) + 2, 8] * (0.04 + 0.96 * (1 + d[1]) ** 5)
    if gloss < 0.01:
        return 0.0, (0.0, 0.0, 0.0)
    o, up = (p[0], GRIP, p[2]), (d[0], -d[1], d[2])
    far, face = _shell(room, o, up)
    _, hit = _nearest(room, o, up, far, True)
    if hit < 0 and _pane(room, face, (o[0] + far * up[0], o[1] + far * up[1], o[2] + far * up[2])) == 1:
        return gloss, _outside(room, up)
    return gloss, _reflected_light(room, face, hit)


@no_type_check
@numba.njit(inline="always", **_kernel)
def _shell_surface(room, face, p, footprint):
    """(reflectance, whether it is the bare floor) of the shell: its material, skirtings at its feet, a rug on it."""
    rug, materials = int(room[0, RUG_PLACE]), int(room[0, MATERIALS])
    if face == 2:
        u, v = (p[0] - room[rug, 0]) / max(room[rug, 2], 1e-6), (p[2] - room[rug, 1]) / max(room[rug, 3], 1e-6)
        if abs(u) < 1 and abs(v) < 1:
            return albedo(room, materials + RUG_SURFACE, u, v, footprint), False
        return albedo(room, materials + 2, p[0], p[2], footprint), True
    if face == 3:
        return albedo(room, materials + 3, p[0], p[2], footprint), False
    along, skirting = p[2] if face < 2 else p[0], room[materials + TRIM, 7]
    if p[1] > skirting and _pane(room, face, p) == 0:
        return albedo(room, materials + face, along, p[1], footprint), False
    r, g, b = albedo(room, materials + TRIM, along, p[1], footprint)
    # The joint above the skirting.
    dark = 0.75 if skirting - 0.012 < p[1] < skirting else 1.0
    return (dark * r, dark * g, dark * b), False


@no_type_check
@numba.njit(inline="always", **_kernel)
def _shell_colour(room, p, d, face, footprint):
    """What is seen of the room's shell."""
    if _pane(room, face, p) == 1:
        return _outside(room, d)
    s, sun = int(room[0, SOLIDS]), int(room[0, SUN])
    q = (
        (p[0] - room[s, CENTRE]) / room[s, HALF],
        (p[1] - room[s, CENTRE + 1]) / room[s, HALF + 1],
        (p[2] - room[s, CENTRE + 2]) / room[s, HALF + 2],
    )
    n, axis = -1.0 if face % 2 else 1.0, face // 2
    light = _face_light(room, s, face, q)
    shine = _sunshine(room, p, (n if axis == 0 else 0.0, n if axis == 1 else 0.0, n if axis == 2 else 0.0))
    (r, g, b), bare = _shell_surface(room, face, p, footprint / max(abs(d[axis]), 0.15))
    r *= light[0] + shine * room[sun, 4]
    g *= light[1] + shine * room[sun, 5]
    b *= light[2] + shine * room[sun, 6]
    if bare:
        share, mirror = _mirrored(room, p, d)
        r, g, b = r + share * (mirror[0] - r), g + share * (mirror[1] - g), b + share * (mirror[2] - b)
    return r, g, b


@no_type_check
@numba.njit(inline="always", **_kernel)
def _face(room, row, q):
    """(face, normal) of a point on a solid, in units of its half sizes; face 2 * axis + (1 on the far side)."""
    kind, x, y, z = room[row, KIND], abs(q[0]), abs(q[1]), abs(q[2])
    if kind == BALL or (kind == TUBE and y < 0.999):
        nx, nz = q[0] / room[row, HALF], q[2] / room[row, HALF + 2]
        ny = q[1] / room[row, HALF + 1] if kind == BALL else 0.0
        length = math.sqrt(nx * nx + ny * ny + nz * nz)
        return 4, (nx / length, ny / length, nz / length)
    if kind == TUBE or (y >= x and y >= z):
        return (3, (0.0, 1.0, 0.0)) if q[1] > 0 else (2, (0.0, -1.0, 0.0))
    if x >= z:
        return (1, (1.0, 0.0, 0.0)) if q[0] > 0 else (0, (-1.0, 0.0, 0.0))
    return (5, (0.0, 0.0, 1.0)) if q[2] > 0 else (4, (0.0, 0.0, -1.0))


@no_type_check
@numba.njit(inline="always", **_kernel)
def _solid_colour(room, p, d, row, footprint):
    """What is seen of a piece of furniture."""
    piece, sun = int(room[row, PIECE]), int(room[0, SUN])
    local = _into(room, piece, (p[0] - room[piece, PX], p[1], p[2] - room[piece, PZ]))
    q = (
        (local[0] - room[row, CENTRE]) / room[row, HALF],
        (local[1] - room[row, CENTRE + 1]) / room[row, HALF + 1],
        (local[2] - room[row, CENTRE + 2]) / room[row, HALF + 2],
    )
    face, n = _face(room, row, q)
    light = _box_light(room, row, face, q) if room[row, KIND] == BOX else _round_light(room, row, n)
    world = _out_of(room, piece, n)
    shine = _sunshine(room, p, world)
    material = int(room[0, MATERIALS]) + int(room[row, MATERIAL])
    # Pictures, doors and books span their face, -1 to 1; all else is laid out in metres.
    x, y, z = q if room[material, 9] > 0 else local
    u, v = (z, y) if face < 2 else ((x, z) if face < 4 else (x, y))
    cosine = abs(d[0] * world[0] + d[1] * world[1] + d[2] * world[2])
    r, g, b = albedo(room, material, u, v, footprint / max(cosine, 0.2))
    glow = room[row, GLOW]
    return (
        r * (light[0] + shine * room[sun, 4] + glow),
        g * (light[1] + shine * room[sun, 5] + glow),
        b * (light[2] + shine * room[sun, 6] + glow),
    )


@no_type_check
@numba.njit(inline="always", **_kernel)
def _radiance(room, o, d, pixel):
    """What a ray from the camera sees, linear light."""
    far, face = _shell(room, o, d)
    t, row = _nearest(room, o, d, far, False)
    p = (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2])
    if row >= 0:
        return _solid_colour(room, p, d, row, pixel * t)
    return _shell_colour(room, p, d, face, pixel * t)


@no_type_check
@numba.njit(inline="always", **_kernel)
def _ray(view, u, v):
    """Direction of a point of the picture, camera depth 1."""
    return (
        view[1, 0] * u + view[1, 1] * v + view[1, 2],
        view[2, 0] * u + view[2, 1] * v + view[2, 2],
        view[3, 0] * u + view[3, 1] * v + view[3, 2],
    )


@no_type_check
@numba.njit(**_kernel)
def trace_surfaces(room, view, depth, names):
    """Write camera depth, metres, and a name of the surface that each pixel's centre sees; -1 for fine detail."""
    height, width = depth.shape
    o = (view[0, 0], view[0, 1], view[0, 2])
    materials, rug = int(room[0, MATERIALS]), int(room[0, RUG_PLACE])
    for row in range(height):
        for column in range(width):
            d = _ray(view, column + 0.5, row + 0.5)
            far, face = _shell(room, o, d)
            t, hit = _nearest(room, o, d, far, False)
            depth[row, column] = t
            if hit >= 0:
                # Pictures, doors and books hold more detail than their outline.
                fitted = room[materials + int(room[hit, MATERIAL]), 9] > 0
                names[row, column] = -1 if fitted else hit
                continue
            p = (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2])
            pane = _pane(room, face, p)
            on_rug = abs(p[0] - room[rug, 0]) < room[rug, 2] and abs(p[2] - room[rug, 1]) < room[rug, 3]
            busy = pane == 2 or (face == 2 and on_rug)
            low = p[1] < room[materials + TRIM, 7]
            names[row, column] = -1 if busy else -2 - face - 6 * (2 if low else pane)


@no_type_check
@numba.njit(**_kernel)
def trace_points(room, view, points, depth):
    """Write camera depth, metres, at these points of the picture (column, row), as `trace_surfaces` does."""
    o = (view[0, 0], view[0, 1], view[0, 2])
    for k in range(len(points)):
        d = _ray(view, points[k, 0], points[k, 1])
        far, _ = _shell(room, o, d)
        depth[k], _ = _nearest(room, o, d, far, False)


@no_type_check
@numba.njit(inline="always", **_kernel)
def _plain(names, row, column):
    """Whether a pixel and its neighbours see one surface without fine detail."""
    height, width = names.shape
    name = names[row, column]
    if name == -1:
        return False
    left, right = names[row, max(column - 1, 0)], names[row, min(column + 1, width - 1)]
    above, below = names[max(row - 1, 0), column], names[min(row + 1, height - 1), column]
    return left == name and right == name and above == name and below == name


@no_type_check
@numba.njit(**_kernel)
def render_picture(room, view, samples, names, frame):
    """Render one frame.

    Args:
        room: As `lights.light_room` stacks it.
        view: Camera's place in the first row, then the matrix from pixels to directions: 4 x 3, room frame.
        samples: Rays along each side of a pixel in which surfaces meet; one ray does for all others.
        names: What `trace_surfaces` wrote.
        frame: Takes linear display values 0..1 [height width 3], after exposure and a shoulder.
    """
    height, width, _ = frame.shape
    o, exposure = (view[0, 0], view[0, 1], view[0, 2]), room[0, EXPOSURE]
    pixel = math.sqrt(view[1, 0] ** 2 + view[2, 0] ** 2 + view[3, 0] ** 2)
    for row in range(height):
        for column in range(width):
            red, green, blue = 0.0, 0.0, 0.0
            side = 1 if _plain(names, row, column) else samples
            for s in range(side * side):
                x, y, z = _ray(view, column + (s % side + 0.5) / side, row + (s // side + 0.5) / side)
                length = math.sqrt(x * x + y * y + z * z)
                r, g, b = _radiance(room, o, (x / length, y / length, z / length), pixel / side)
                # Film's shoulder: highlights saturate softly, and are averaged after it, as bright edges should.
                red -= math.expm1(-exposure * r)
                green -= math.expm1(-exposure * g)
                blue -= math.expm1(-exposure * b)
            frame[row, column, 0] = red / (side * side)
            frame[row, column, 1] = green / (side * side)
            frame[row, column, 2] = blue / (side * side)


@no_type_check
@numba.njit(**_kernel)
def gather_light(room, place, normal, out):
    """Write what reaches a point with this normal from windows, from lamps, and from all else: 3 x 3."""
    p, n = (place[0], place[1], place[2]), (normal[0], normal[1], normal[2])
    parts = (_window_light(room, p, n), _lamp_light(room, p, n), _bounced_light(room, p, n))
    for k in range(3):
        for c in range(3):
            out[k, c] = parts[k][c]
