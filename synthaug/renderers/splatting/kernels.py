"""The compiled loops of the CPU renderer: they render a whole clip of Gaussians in one call, on one core.

`renderers/cpu.py` brings people into their memory layout. They run serially, without the interpreter's lock.

Steps of a frame:

1. `_project`: 16 Gaussians at a time, which share a short list of joints. The joints' matrices, which include the
   camera's rotation, are blended and applied, so that posed Gaussians never exist in memory.
2. `_illuminate`: colours in this frame, by the same matrices, where there is a light.
3. `_sort`: stable radix sort of the Gaussians of all people by the exact bits of camera depth.
4. `_splat`: nearest first, row by row of each Gaussian's box, 8 pixels at a time. The 8 pixels start anywhere: at the
   sizes of Gaussians in levels of detail, aligned blocks would waste three lanes of four. The transmittance of a pixel
   that has stopped is negative; Gaussians behind tiles in which all pixels have stopped are skipped.
5. `_write`: the touched pixels become uint8.

All kernels are in this one file because numba's cache notices changes of the caller's file only.
"""

from typing import NamedTuple, no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from synthaug.renderers.splatting.checks import LARGEST
from synthaug.structures import Light

LANES = 16
"""Gaussians projected together: the float32 lanes of one AVX-512 register, or of two AVX2 registers."""
SPAN = 8
"""Pixels painted together: the lanes of one AVX2 register."""
TILE = 8
"""Side of the squares of pixels that are tested for whether light still passes them."""
_FAST = {"contract", "reassoc", "nsz", "arcp", "afn"}
"""Fast maths without `nnan` and `ninf`, with which comparisons of NaN, and so array bounds, would be undefined."""
_kernel = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)

_X = np.arange(SPAN, dtype=np.float32)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_255 = np.float32(255)
_LOG2E = np.float32(1.4426950408889634)
_MIN_ALPHA = np.float32(1 / 255)
_MIN_TRANSMITTANCE = np.float32(1e-4)
_MARGIN = np.float32(0.3)
# 2**f for f in [-1/2, 1/2], relative error 2.7e-6: minimax by Lawson's reweighting (tests hold the bound).
_E0, _E1, _E2 = np.float32(0.9999992847442627), np.float32(0.6931217908859253), np.float32(0.240247443318367)
_E3, _E4 = np.float32(0.05591785907745361), np.float32(0.009570102207362652)
_ROUNDER = np.float32(1.5 * 2**23 + 127)
"""Added to a small number, it leaves the nearest integer plus the exponent bias of 127 in the lowest bits."""
_ROUNDED = np.int32(np.float32(1.5 * 2**23).view(np.int32) + 127)
_MANTISSA = np.int32(23)
# Coverage of 2**-32 counts as none anyway. At float32's own limit of 2**-126 products become denormal, and each of
# those costs over a hundred cycles.
_MIN_EXPONENT = np.float32(-32)
# log2(x) <= bits(x) / 2**23 - 127 + 0.08607: a float's bits, read as an integer, approximate its logarithm.
_BITS_TO_LOG2, _LOG2_OFFSET = np.float32(2.0**-23), np.float32(127 - 0.09)
_TWO_LN2 = np.float32(2 * np.log(2))
_TINY = np.float32(1e-12)
_WRAP, _BRIGHTEST = np.float32(Light.WRAP), np.float32(Light.BRIGHTEST)

# Unsigned, because numba makes signed indices wrap around, which stops vectorisation.
_ROW = tuple(np.uint64(LANES * i) for i in range(13))
"""Offsets of a block's rows."""
_LANES, _SPAN = np.uint64(LANES), np.uint64(SPAN)
_0, _1, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(i) for i in range(9))
FLOATS = 13
"""Floats of a Gaussian at rest: mean, covariance, opacity, normal."""
SLOTS = 4
"""Joints of a block that are blended in registers; the few blocks that have more blend the rest in memory first."""
_RECORD = 8
"""Floats of a projected Gaussian: centre, quadratic form of the exponent, opacity, columns and rows that it touches."""
_FINISHED, _VISITS = 0, 24
"""States of a tile: all pixels have stopped; otherwise the number of visits until the next test of that."""
_LOW, _HIGH = np.int32(0xFFFF), np.int32(16)
"""First and last pixel share an integer, which is stored in the bits of a float."""
PITCH = 64
PITCHES = (2, 4, 9, 17, 33, 65, 129, 257, 513)
"""Rows of 120, 248, 568, 1080, ... pixels. There are few, since each costs a compilation. Only the first two are powers
of two, since planes a multiple of 4096 bytes apart would evict each other from the cache."""
_DIGIT = 11
"""Bits of a pass of the radix sort: its 2048 counters fit into the L1 cache."""


class Rest(NamedTuple):
    """Gaussians at rest in blocks of 16, sorted so that neighbours share joints."""

    floats: NDArray[np.float32]  # [block, FLOATS, 16] flat; padding has opacity 0
    starts: NDArray[np.int64]  # [block + 1] into joints; a block has at least SLOTS
    joints: NDArray[np.int64]  # [entry] joints of a block
    weights: NDArray[np.float32]  # [entry, 16] flat
    colors: NDArray[np.float32]  # [block, 3, 16] flat
    labels: NDArray[np.float32]  # [block, 16] flat: 1 + the joint that moves it most
    owners: NDArray[np.int64]  # [block] index of the person
    slots: NDArray[np.int64]  # [gaussian] its place after sorting


class Views(NamedTuple):
    """Joints, camera and lights of every frame."""

    joints: NDArray[np.float32]  # [time, joint * 12] rest to world, rotated into camera axes, 3x4 row by row
    lenses: NDArray[np.float32]  # [time, 7] fx, fy, cx, cy and the camera's translation
    lamps: NDArray[np.float32]  # [time, person, 15] towards the light, up, key, sky, ground; in camera axes
    lit: NDArray[np.bool_]  # [person]


class Model(NamedTuple):
    """`Splatting` and the picture's size, in the types of the kernels."""

    width: np.float32
    height: np.float32
    eps2d: np.float32
    max_alpha: np.float32
    near: np.float32
    far: np.float32
    antialiased: bool


class ClipBuffers(NamedTuple):
    """The output of a clip; depth and labels have no pixels where they are not requested."""

    rgb: NDArray[np.uint8]  # [time, 3, height, width]
    alpha: NDArray[np.uint8]  # [time, 1, height, width]
    depth: NDArray[np.float32]  # the same
    labels: NDArray[np.int16]  # the same


class Canvas(NamedTuple):
    """A framebuffer, planar within each row; rows have room for SPAN pixels more."""

    pixels: NDArray[np.float32]  # [row, plane, stride] flat: R, G, B, transmittance; depth; largest share and its label
    tiles: NDArray[np.uint8]  # [row, column] state
    box: NDArray[np.int64]  # first and last touched column, first and last touched row


class Variant(NamedTuple):
    """What kernels are compiled for: the lengths of these tuples, which are part of their types.

    Distances between planes must be constants; otherwise the compiler could not know that planes do not overlap.
    """

    pitch: tuple[bool, ...]  # distance between planes, in units of PITCH pixels
    extras: tuple[bool, ...]  # besides colour: nothing, depth, or depth and labels


class Queue(NamedTuple):
    """Projected Gaussians of a frame, and memory to sort them."""

    records: NDArray[np.float32]  # [slot, _RECORD] flat
    colors: NDArray[np.float32]  # [slot, 4] flat
    depths: NDArray[np.float32]  # [slot]; 0 where culled
    packed: NDArray[np.int64]
    spare: NDArray[np.int64]


@_kernel
@no_type_check
def _blend_further(rest, joints, block, A):
    """Sum the joints beyond the first SLOTS into the skinning matrices `A` of 16 Gaussians, [12, 16].

    `A` is zero already where the block before had no more joints than SLOTS either.
    """
    before = block > 0 and rest.starts[block] - rest.starts[block - 1] > SLOTS
    if before:
        A[:] = _ZERO
    for entry in range(rest.starts[block] + SLOTS, rest.starts[block + 1]):
        j = 12 * rest.joints[entry]
        base = np.uint64(LANES * entry)
        for row in range(12):
            m, at = joints[j + row], np.uint64(LANES * row)
            for i in range(_LANES):
                A[at + i] += rest.weights[base + i] * m


@_kernel
@no_type_check
def _offsets(joints, first):
    """Offsets of the matrices of a block's first joints."""
    return 12 * joints[first], 12 * joints[first + 1], 12 * joints[first + 2], 12 * joints[first + 3]


@_kernel
@no_type_check
def _row(joints, j, row):
    """The same entry of the matrices of a block's first joints."""
    return joints[j[0] + row], joints[j[1] + row], joints[j[2] + row], joints[j[3] + row]


@_kernel
@no_type_check
def _blend(A, at, w, m):
    """An entry of one Gaussian's skinning matrix."""
    return A[at] + w[0] * m[0] + w[1] * m[1] + w[2] * m[2] + w[3] * m[3]


@_kernel
@no_type_check
def _quadratic(s, k, n):
    """The product k S n for a symmetric S, given as xx, xy, xz, yy, yz, zz."""
    h0 = s[0] * n[0] + s[1] * n[1] + s[2] * n[2]
    h1 = s[1] * n[0] + s[3] * n[1] + s[4] * n[2]
    h2 = s[2] * n[0] + s[4] * n[1] + s[5] * n[2]
    return k[0] * h0 + k[1] * h1 + k[2] * h2


@_kernel
@no_type_check
def _clamp(value, low, high):
    value = value if value > low else low
    return value if value < high else high


@_kernel
@no_type_check
def _project(rest, joints, lens, model, queue):
    """Project all Gaussians of a frame: fill `depths` (0 where culled) and `records` (undefined there)."""
    fx, fy, cx, cy, tx, ty, tz = lens[0], lens[1], lens[2], lens[3], lens[4], lens[5], lens[6]
    margin_x, margin_y = _MARGIN * _HALF * model.width / fx, _MARGIN * _HALF * model.height / fy
    low_x, high_x = -(cx / fx + margin_x), (model.width - cx) / fx + margin_x
    low_y, high_y = -(cy / fy + margin_y), (model.height - cy) / fy + margin_y
    last_x, last_y = model.width - _ONE, model.height - _ONE
    floats, weights, records, depths = rest.floats, rest.weights, queue.records, queue.depths
    A = np.zeros(12 * LANES, np.float32)
    for block in range(len(rest.starts) - 1):
        _blend_further(rest, joints, block, A)
        first = rest.starts[block]
        j = _offsets(rest.joints, first)
        m0, m1, m2, m3 = _row(joints, j, 0), _row(joints, j, 1), _row(joints, j, 2), _row(joints, j, 3)
        m4, m5, m6, m7 = _row(joints, j, 4), _row(joints, j, 5), _row(joints, j, 6), _row(joints, j, 7)
        m8, m9, m10, m11 = _row(joints, j, 8), _row(joints, j, 9), _row(joints, j, 10), _row(joints, j, 11)
        shares, given = np.uint64(LANES * first), np.uint64(FLOATS * LANES * block)
        slot = np.uint64(LANES * block)
        for i in range(_LANES):
            at = shares + i
            w = (weights[at], weights[at + _ROW[1]], weights[at + _ROW[2]], weights[at + _ROW[3]])
            a0, a1, a2 = _blend(A, i, w, m0), _blend(A, i + _ROW[1], w, m1), _blend(A, i + _ROW[2], w, m2)
            a4, a5, a6 = (
                _blend(A, i + _ROW[4], w, m4),
                _blend(A, i + _ROW[5], w, m5),
                _blend(A, i + _ROW[6], w, m6),
            )
            a8, a9 = _blend(A, i + _ROW[8], w, m8), _blend(A, i + _ROW[9], w, m9)
            a10 = _blend(A, i + _ROW[10], w, m10)
            g = given + i
            x, y, z = floats[g], floats[g + _ROW[1]], floats[g + _ROW[2]]
            px = a0 * x + a1 * y + a2 * z + _blend(A, i + _ROW[3], w, m3) + tx
            py = a4 * x + a5 * y + a6 * z + _blend(A, i + _ROW[7], w, m7) + ty
            pz = a8 * x + a9 * y + a10 * z + _blend(A, i + _ROW[11], w, m11) + tz
            inside = (pz >= model.near) & (pz <= model.far)
            r = _ONE / (pz if inside else _ONE)
            qx, qy = px * r, py * r
            u, v = fx * qx + cx, fy * qy + cy
            qx, qy = _clamp(qx, low_x, high_x), _clamp(qy, low_y, high_y)
            ax, ay = fx * r, fy * r
            k = (ax * (a0 - qx * a8), ax * (a1 - qx * a9), ax * (a2 - qx * a10))
            n = (ay * (a4 - qy * a8), ay * (a5 - qy * a9), ay * (a6 - qy * a10))
            s = (floats[g + _ROW[3]], floats[g + _ROW[4]], floats[g + _ROW[5]],
                 floats[g + _ROW[6]], floats[g + _ROW[7]], floats[g + _ROW[8]])  # fmt: skip
            xx, xy, yy = _quadratic(s, k, k), _quadratic(s, n, k), _quadratic(s, n, n)
            det_before = xx * yy - xy * xy
            xx, yy = xx + model.eps2d, yy + model.eps2d
            det = xx * yy - xy * xy
            seen = inside & (det > _ZERO)
            r = _ONE / (det if seen else _ONE)
            ratio = det_before * r
            kept = np.sqrt(ratio if ratio > _ZERO else _ZERO)
            o = floats[g + _ROW[9]] * (kept if model.antialiased else _ONE)
            seen &= o >= _MIN_ALPHA
            o = o if seen else _ONE
            # Coverage falls below 1/255 where the exponent passes ln(255 o): beyond this box no pixel can change.
            reach = _TWO_LN2 * (np.float32(np.float32(o * _255).view(np.int32)) * _BITS_TO_LOG2 - _LOG2_OFFSET)
            reach = reach if reach > _ZERO else _ZERO
            rx, ry = np.sqrt(reach * xx), np.sqrt(reach * yy)
            x0, x1 = np.ceil(u - rx - _HALF), np.floor(u + rx - _HALF)
            y0, y1 = np.ceil(v - ry - _HALF), np.floor(v + ry - _HALF)
            x0, x1 = (x0 if x0 > _ZERO else _ZERO), (x1 if x1 < last_x else last_x)
            y0, y1 = (y0 if y0 > _ZERO else _ZERO), (y1 if y1 < last_y else last_y)
            seen &= (x0 <= x1) & (y0 <= y1)
            depths[slot + i] = pz if seen else _ZERO
            to = (slot + i) * _8
            records[to] = u
            records[to + _1] = v
            records[to + _2] = -_HALF * _LOG2E * yy * r
            records[to + _3] = _LOG2E * xy * r
            records[to + _4] = -_HALF * _LOG2E * xx * r
            records[to + _5] = o
            records[to + _6] = _pack_span(x0, x1)
            records[to + _7] = _pack_span(y0, y1)


@_kernel
@no_type_check
def _pack_span(first, last):
    """Pack first and last pixel into the bits of a float."""
    return np.int32(np.int32(first) | np.int32(np.int32(last) << _HIGH)).view(np.float32)


@_kernel
@no_type_check
def _unpack_span(span):
    """Unpack what `_pack_span` packed."""
    bits = np.float32(span).view(np.int32)
    return np.int64(bits & _LOW), np.int64(bits >> _HIGH)


@_kernel
@no_type_check
def _illuminate(rest, joints, lamps, lit, queue):
    """Write the colours of a frame for people who have a light: see `synthaug.body.skinning.shade`."""
    floats, weights, own_colors, colors = rest.floats, rest.weights, rest.colors, queue.colors
    A = np.zeros(12 * LANES, np.float32)
    for block in range(len(rest.starts) - 1):
        owner = rest.owners[block]
        if not lit[owner]:
            continue
        _blend_further(rest, joints, block, A)
        first = rest.starts[block]
        j = _offsets(rest.joints, first)
        m0, m1, m2 = _row(joints, j, 0), _row(joints, j, 1), _row(joints, j, 2)
        m4, m5, m6 = _row(joints, j, 4), _row(joints, j, 5), _row(joints, j, 6)
        m8, m9, m10 = _row(joints, j, 8), _row(joints, j, 9), _row(joints, j, 10)
        lx, ly, lz = lamps[owner, 0], lamps[owner, 1], lamps[owner, 2]
        ux, uy, uz = lamps[owner, 3], lamps[owner, 4], lamps[owner, 5]
        k0, k1, k2 = lamps[owner, 6], lamps[owner, 7], lamps[owner, 8]
        g0, g1, g2 = lamps[owner, 12], lamps[owner, 13], lamps[owner, 14]
        s0, s1, s2 = lamps[owner, 9] - g0, lamps[owner, 10] - g1, lamps[owner, 11] - g2
        shares, given = np.uint64(LANES * first), np.uint64(FLOATS * LANES * block)
        slot, paint = np.uint64(LANES * block), np.uint64(3 * LANES * block)
        for i in range(_LANES):
            at = shares + i
            w = (weights[at], weights[at + _ROW[1]], weights[at + _ROW[2]], weights[at + _ROW[3]])
            g = given + i
            x, y, z = floats[g + _ROW[10]], floats[g + _ROW[11]], floats[g + _ROW[12]]
            nx = _blend(A, i, w, m0) * x + _blend(A, i + _ROW[1], w, m1) * y + _blend(A, i + _ROW[2], w, m2) * z
            ny = _blend(A, i + _ROW[4], w, m4) * x + _blend(A, i + _ROW[5], w, m5) * y
            ny += _blend(A, i + _ROW[6], w, m6) * z
            nz = _blend(A, i + _ROW[8], w, m8) * x + _blend(A, i + _ROW[9], w, m9) * y
            nz += _blend(A, i + _ROW[10], w, m10) * z
            square = nx * nx + ny * ny + nz * nz
            r = _ONE / np.sqrt(square if square > _TINY else _TINY)
            up = _HALF + _HALF * r * (nx * ux + ny * uy + nz * uz)
            lambert = ((nx * lx + ny * ly + nz * lz) * r + _WRAP) / (_ONE + _WRAP)
            lambert = lambert if lambert > _ZERO else _ZERO
            to = (slot + i) * _4
            own = paint + i
            colors[to] = own_colors[own] * _clamp(g0 + s0 * up + k0 * lambert, _ZERO, _BRIGHTEST)
            colors[to + _1] = own_colors[own + _ROW[1]] * _clamp(g1 + s1 * up + k1 * lambert, _ZERO, _BRIGHTEST)
            colors[to + _2] = own_colors[own + _ROW[2]] * _clamp(g2 + s2 * up + k2 * lambert, _ZERO, _BRIGHTEST)
            colors[to + _3] = _ZERO


@_kernel
@no_type_check
def _copy_colors(rest, colors):
    """Write the colours without light, [slot, 4]."""
    for block in range(len(rest.owners)):
        for c in range(3):
            for i in range(LANES):
                colors[4 * (LANES * block + i) + c] = rest.colors[LANES * (3 * block + c) + i]


@_kernel
@no_type_check
def _sort(depths, slots, packed, spare):
    """Sort the slots of visible Gaussians, nearest first; they are in the low halves of the result.

    Equal depths keep their order. Positive floats sort as their bits do, so the order is exact, not quantised.
    """
    count, low, high = 0, np.int64(1) << 32, np.int64(0)
    for slot in slots:
        if depths[slot] > _ZERO:
            key = np.int64(np.float32(depths[slot]).view(np.int32))
            packed[count] = (key << 32) | slot
            count += 1
            low, high = min(low, key), max(high, key)
    bits = 0
    while (high - low) >> bits > 0:
        bits += 1
    passes = (bits + _DIGIT - 1) // _DIGIT
    width = (bits + passes - 1) // passes if passes else 0
    starts = np.empty((1 << width) + 1, np.int64)
    for step in range(passes):
        shift, mask = 32 + step * width, (1 << width) - 1
        starts[:] = 0
        for n in range(count):
            starts[(((packed[n] - (low << 32)) >> shift) & mask) + 1] += 1
        for digit in range(mask):
            starts[digit + 1] += starts[digit]
        for n in range(count):
            digit = ((packed[n] - (low << 32)) >> shift) & mask
            spare[starts[digit]] = packed[n]
            starts[digit] += 1
        packed, spare = spare, packed
    return packed[:count]


@_kernel
@no_type_check
def _planes(variant):
    """Number of planes of the framebuffer."""
    return (4, 5, 7)[len(variant.extras)]


@_kernel
@no_type_check
def _stride(variant):
    """Floats from one plane of a row to the next."""
    return np.uint64(PITCH * len(variant.pitch))


@_kernel
@no_type_check
def _clear(order, queue, canvas, variant):
    """Find the box that any Gaussian touches, and make it black and fully transparent."""
    planes, stride = _planes(variant), _stride(variant)
    left, right, top, bottom = LARGEST, -1, LARGEST, -1
    for n in range(len(order)):
        record = np.uint64(order[n] & 0xFFFFFFFF) * _8
        x0, x1 = _unpack_span(queue.records[record + _6])
        y0, y1 = _unpack_span(queue.records[record + _7])
        left, right, top, bottom = min(left, x0), max(right, x1), min(top, y0), max(bottom, y1)
    canvas.box[0], canvas.box[1], canvas.box[2], canvas.box[3] = left, right, top, bottom
    canvas.tiles[:] = _VISITS
    for row in range(top, bottom + 1):
        for plane in range(planes):
            at = np.uint64(row * planes + plane) * stride
            value = _ONE if plane == 3 else _ZERO
            # Pixels beyond the picture's edge are painted too, and must be finite.
            for i in range(np.uint64(left), np.uint64(right + 1 + SPAN)):
                canvas.pixels[at + i] = value


@_kernel
@no_type_check
def _is_dark(canvas, tx, ty, variant):
    """Whether no light passes a tile any more; pixels beyond the box do not count."""
    planes, stride = _planes(variant), _stride(variant)
    left, right, top, bottom = canvas.box[0], canvas.box[1], canvas.box[2], canvas.box[3]
    for row in range(max(TILE * ty, top), min(TILE * ty + TILE, bottom + 1)):
        at = np.uint64(row * planes + 3) * stride
        light = _ZERO
        for i in range(np.uint64(max(TILE * tx, left)), np.uint64(min(TILE * tx + TILE, right + 1))):
            light += max(canvas.pixels[at + i], _ZERO)
        if light > _ZERO:
            return False
    return True


@_kernel
@no_type_check
def _is_hidden(canvas, x0, x1, y0, y1):
    """Whether all tiles of these pixels are finished."""
    for ty in range(y0 // TILE, y1 // TILE + 1):
        for tx in range(x0 // TILE, x1 // TILE + 1):
            if canvas.tiles[ty, tx] != _FINISHED:
                return False
    return True


@_kernel
@no_type_check
def _paint(record, color, dx, dy, max_alpha, pixels, at, extra, variant):  # noqa: PLR0913
    """Add a Gaussian behind SPAN pixels of a row, from `at` on; `dx` and `dy` lead from the first pixel to its centre.

    `extra` is None, (depth,) or (depth, label).
    """
    stride = _stride(variant)
    a, b, o = record[0], record[1] * dy, record[3]
    c = record[2] * dy * dy
    for i in range(_SPAN):
        x = dx - _X[i]
        power = x * (a * x + b) + c
        t = power if power > _MIN_EXPONENT else _MIN_EXPONENT
        # Through integers, since `reassoc` would cancel sums of floats alone.
        bits = np.float32(t + _ROUNDER).view(np.int32)
        f = t - np.float32(np.int32(bits - _ROUNDED))
        fraction = _E0 + f * (_E1 + f * (_E2 + f * (_E3 + f * _E4)))
        scale = np.int32(bits << _MANTISSA).view(np.float32)
        alpha = o * fraction * scale
        alpha = alpha if alpha < max_alpha else max_alpha
        alpha = alpha if (alpha >= _MIN_ALPHA) & (power <= _ZERO) else _ZERO
        p = at + i
        T = pixels[p + _3 * stride]
        light = T if T > _ZERO else _ZERO
        w = alpha * light
        left = light - w
        alive = left > _MIN_TRANSMITTANCE
        w = w if alive else _ZERO
        pixels[p + _3 * stride] = left if alive else -abs(T)
        pixels[p] += w * color[0]
        pixels[p + stride] += w * color[1]
        pixels[p + _2 * stride] += w * color[2]
        if extra is not None:
            pixels[p + _4 * stride] += w * extra[0]
            if len(extra) == 2:
                most, label = pixels[p + _5 * stride], pixels[p + _6 * stride]
                pixels[p + _5 * stride] = w if w > most else most
                pixels[p + _6 * stride] = extra[1] if w > most else label


@_kernel
@no_type_check
def _extra(queue, rest, slot, extras):
    """Values besides colour: None, (depth,) or (depth, label), for an `extras` of none, one or two entries."""
    if len(extras) == 0:
        return None
    if len(extras) == 1:
        return (queue.depths[slot],)
    return (queue.depths[slot], rest.labels[slot])


@_kernel
@no_type_check
def _splat(order, rest, queue, canvas, max_alpha, variant):
    """Paint Gaussians in this order. There are no slices: their reference counts would be atomic in the hot loop."""
    records, colors, pixels = queue.records, queue.colors, canvas.pixels
    pitch = np.uint64(_planes(variant)) * _stride(variant)
    _clear(order, queue, canvas, variant)
    finished = 0
    for n in range(len(order)):
        slot = np.uint64(order[n] & 0xFFFFFFFF)
        r, c = slot * _8, slot * _4
        x0, x1 = _unpack_span(records[r + _6])
        y0, y1 = _unpack_span(records[r + _7])
        if finished > 0 and _is_hidden(canvas, x0, x1, y0, y1):
            continue
        u, v = records[r] - _HALF, records[r + _1] - _HALF
        record = (records[r + _2], records[r + _3], records[r + _4], records[r + _5])
        color = (colors[c], colors[c + _1], colors[c + _2])
        extra = _extra(queue, rest, slot, variant.extras)
        for y in range(y0, y1 + 1):
            row = np.uint64(y) * pitch
            for x in range(x0, x1 + 1, SPAN):
                dx, dy = u - np.float32(x), v - np.float32(y)
                _paint(record, color, dx, dy, max_alpha, pixels, row + np.uint64(x), extra, variant)
        tx, ty = (x0 + x1) // (2 * TILE), (y0 + y1) // (2 * TILE)
        visits = canvas.tiles[ty, tx]
        if visits == 1:
            dark = _is_dark(canvas, tx, ty, variant)
            canvas.tiles[ty, tx] = _FINISHED if dark else _VISITS
            finished += dark
        elif visits > 1:
            canvas.tiles[ty, tx] = visits - 1


@_kernel
@no_type_check
def _to_byte(value):
    """Convert a value of 0..1 to 0..255: halves are rounded up, values out of range are clamped."""
    value = _255 * value + _HALF
    value = value if value > _ZERO else _ZERO
    return np.uint8(value if value < _255 else _255)


@_kernel
@no_type_check
def _write(canvas, buffers, t, variant):
    """Write the touched box of a frame into the output; the rest of it is transparent already."""
    planes, stride, extras, pixels = _planes(variant), _stride(variant), variant.extras, canvas.pixels
    left, right, top, bottom = canvas.box[0], canvas.box[1], canvas.box[2], canvas.box[3]
    height, width = buffers.alpha.shape[2:]
    rgb, alpha = buffers.rgb[t].ravel(), buffers.alpha[t].ravel()
    for y in range(top, bottom + 1):
        row = np.uint64(y * planes) * stride
        for c in range(3):
            at, to = row + np.uint64(c) * stride, np.uint64((c * height + y) * width)
            for x in range(np.uint64(left), np.uint64(right + 1)):
                rgb[to + x] = _to_byte(pixels[at + x])
        at, to = row + _3 * stride, np.uint64(y * width)
        for x in range(np.uint64(left), np.uint64(right + 1)):
            alpha[to + x] = _to_byte(_ONE - abs(pixels[at + x]))
        if len(extras) > 0:
            for x in range(left, right + 1):
                p = row + np.uint64(x)
                cover = _ONE - abs(pixels[p + _3 * stride])
                buffers.depth[t, 0, y, x] = pixels[p + _4 * stride] / cover if cover > _ZERO else _ZERO
                if len(extras) > 1:
                    buffers.labels[t, 0, y, x] = np.int16(pixels[p + _6 * stride])


@_kernel
@no_type_check
def _canvas(height, width, variant):
    """Allocate memory for a picture, not initialised."""
    pixels = np.empty(height * _planes(variant) * np.int64(_stride(variant)), np.float32)
    tiles = np.empty(((height + TILE - 1) // TILE, (width + TILE - 1) // TILE), np.uint8)
    return Canvas(pixels, tiles, np.empty(4, np.int64))


@_kernel
@no_type_check
def _queue(count):
    """Allocate memory for the Gaussians of a frame."""
    records, colors = np.empty(count * _RECORD, np.float32), np.empty(count * 4, np.float32)
    depths = np.empty(count, np.float32)
    return Queue(records, colors, depths, np.empty(count, np.int64), np.empty(count, np.int64))


@_kernel
@no_type_check
def _render_frame(rest, views, t, model, memory, variant):
    """Render one frame into the queue and the canvas of `memory`."""
    queue, canvas = memory
    _project(rest, views.joints[t], views.lenses[t], model, queue)
    _illuminate(rest, views.joints[t], views.lamps[t], views.lit, queue)
    order = _sort(queue.depths, rest.slots, queue.packed, queue.spare)
    _splat(order, rest, queue, canvas, model.max_alpha, variant)


@_kernel
@no_type_check
def render_clip(rest, views, model, buffers, variant):
    """Render a whole clip as uint8."""
    frames, _, height, width = buffers.rgb.shape
    canvas, queue = _canvas(height, width, variant), _queue(len(rest.labels))
    _copy_colors(rest, queue.colors)
    for t in range(frames):
        _render_frame(rest, views, t, model, (queue, canvas), variant)
        _write(canvas, buffers, t, variant)


@_kernel
@no_type_check
def render_clip_framebuffer(rest, views, model, out, variant):
    """Render a clip as float32: premultiplied colour and alpha, [time, 4, height, width], into an array of zeros."""
    frames, _, height, width = out.shape
    canvas, queue = _canvas(height, width, variant), _queue(len(rest.labels))
    planes, stride = _planes(variant), _stride(variant)
    _copy_colors(rest, queue.colors)
    for t in range(frames):
        _render_frame(rest, views, t, model, (queue, canvas), variant)
        left, right, top, bottom = canvas.box[0], canvas.box[1], canvas.box[2], canvas.box[3]
        for y in range(top, bottom + 1):
            row = np.uint64(y * planes) * stride
            for x in range(left, right + 1):
                p = row + np.uint64(x)
                for c in range(3):
                    out[t, c, y, x] = canvas.pixels[p + np.uint64(c) * stride]
                out[t, 3, y, x] = _ONE - abs(canvas.pixels[p + _3 * stride])
