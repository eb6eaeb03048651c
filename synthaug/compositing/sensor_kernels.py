"""Turn clean frames into what a cheap camera's file shows when it is played: the compiled half of `sensor`.

Serial, without the interpreter's lock, and without chance: where the stored noise begins is an argument. Each frame
goes through these steps:

1. `_shrink`: the tone curve, then the pixels' areas and the blur as one filter down the columns and one along the rows.
2. `_add_noise`: stored noise, rounded as a converter does.
3. `_to_luma`, `_compress`: luma and halved chroma; each 8x8 block's cosine transform is rounded to multiples of its
   quantisation table and turned back, 16 blocks at a time, one in each float32 lane of an AVX-512 register. What a JPEG
   or the key frame of a video loses, it loses here; entropy coding, which loses nothing, is left out.
4. `_play`: bilinear to the full size, luma and chroma each from their own size, as players do; then to RGB.

LLVM vectorises neither a look-up (it cannot tell that the table stays as it is) nor a filter along the rows, so both
filters mix whole rows, and a picture is turned (rows become columns) between them: from `_shrink` to `_play` pictures
are stored column by column. Arrays are flat, since slices' reference counts are atomic operations.
"""

from typing import NamedTuple, no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

SIDE = 8
"""Side of a block, pixels."""
LANES = 16
"""Blocks transformed together."""
MACRO = 16
"""Side in pixels of the square that one chroma block covers."""
TAPS = 4
"""Filters' lengths are multiples of this."""

# No `reassoc`: rounding must stay rounding. No `nnan` and `ninf`, under which a NaN's conversion would be undefined.
_kernel = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})

_ZERO, _QUARTER, _HALF, _ONE = np.float32(0), np.float32(0.25), np.float32(0.5), np.float32(1)
_128, _255 = np.float32(128), np.float32(255)
_SHOT = np.float32(0.5 / 127.5)
_C1, _C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(0.5 * np.cos(k * np.pi / 16)) for k in range(1, 8))
# Unsigned, because numba makes signed indices wrap around, which stops vectorisation.
_0, _1, _2, _3, _4, _5, _6, _7 = (np.uint64(i) for i in range(8))
_ROW, _BLOCK = np.uint64(LANES), np.uint64(SIDE * LANES)
_VALUES = np.uint64(SIDE * SIDE * LANES)
_SIDE, _TILE = np.uint64(SIDE), np.uint64(16)
# Rec. 601, as JPEG has it.
_RED, _GREEN, _BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)
_TO_CB, _TO_CR = np.float32(0.5 / (1 - 0.114)), np.float32(0.5 / (1 - 0.299))
_CB_TO_BLUE, _CR_TO_RED = np.float32(2 * (1 - 0.114)), np.float32(2 * (1 - 0.299))
_CB_TO_GREEN = np.float32(-2 * (1 - 0.114) * 0.114 / 0.587)
_CR_TO_GREEN = np.float32(-2 * (1 - 0.299) * 0.299 / 0.587)


class Filter(NamedTuple):
    """Each new row is a weighted sum of these rows."""

    places: NDArray[np.uint64]  # [row, tap]
    shares: NDArray[np.float32]  # [row, tap]


class Recorder(NamedTuple):
    """Filters that turn a frame into the pixels that are recorded."""

    down: Filter  # of rows
    across: Filter  # of columns


class Tone(NamedTuple):
    """Tone curve and noise."""

    curve: NDArray[np.float32]  # [3, 256]
    sigma: np.float32  # stored noise to standard deviation at mid grey
    noise: NDArray[np.int8]
    starts: NDArray[np.int64]  # [time, 3] where each plane's noise begins


class Player(NamedTuple):
    """Filters that turn decoded pixels into those that are shown; two taps each."""

    down: Filter
    across: Filter


class Codec(NamedTuple):
    """Quantisation tables."""

    luma: NDArray[np.float32]  # two tables spread over lanes: reciprocals, then steps
    chroma: NDArray[np.float32]
    on: bool


class Sizes(NamedTuple):
    """Pixels: of the clip, of what is recorded, and of that in whole macroblocks."""

    height: int
    width: int
    rows: int
    columns: int
    tall: int
    broad: int


class _Buffers(NamedTuple):
    """Memory of one clip, used again for each frame; all flat."""

    toned: NDArray[np.float32]  # [height, width]
    mixed: NDArray[np.float32]  # [rows, width], then [width, tall]
    turned: NDArray[np.float32]  # [width, rows]
    planes: NDArray[np.float32]  # [3, broad, tall]: R, G, B, later Y, Cb, Cr
    halves: NDArray[np.float32]  # [2, broad / 2, tall / 2] chroma
    wide: NDArray[np.float32]  # [3, tall, width]
    lines: NDArray[np.float32]  # [width]
    work: NDArray[np.float32]  # 16 blocks, then both tables


@_kernel
@no_type_check
def mix_areas(length, small, weights, taps):
    """The filter that averages over each of `small` equal areas and then blurs between them; edges repeat."""
    scale, reach = length / small, len(weights) // 2
    places, shares = np.empty((small, taps), np.uint64), np.zeros((small, taps), np.float32)
    for i in range(small):
        # A millionth: an area may begin at a whole number, but for rounding.
        first = int(max(i - reach, 0) * scale + 1e-6)
        for k in range(taps):
            places[i, k] = min(first + k, length - 1)
        for j in range(len(weights)):
            start = min(max(i - reach + j, 0), small - 1) * scale
            k = int(start + 1e-6)
            while k < min(start + scale - 1e-6, length):
                shares[i, k - first] += weights[j] * (min(k + 1, start + scale) - max(k, start)) / scale
                k += 1
    return Filter(places, shares)


@_kernel
@no_type_check
def _transpose(source, at, rows, columns, pitch, out):
    """Rows become columns, square by square so that both sides stay in the nearest cache."""
    at, rows, columns, pitch = np.uint64(at), np.uint64(rows), np.uint64(columns), np.uint64(pitch)
    for top in range(_0, rows, _TILE):
        bottom = min(top + _TILE, rows)
        for left in range(_0, columns, _TILE):
            right = min(left + _TILE, columns)
            for x in range(left, right):
                for y in range(top, bottom):
                    out[x * rows + y] = source[at + y * pitch + x]


@_kernel
@no_type_check
def _mix_rows(source, lanes, rows, out, start, pitch):
    """Each new row from four or more old ones; the first eight in one pass, so that it is not read again."""
    lanes, start, pitch = np.uint64(lanes), np.uint64(start), np.uint64(pitch)
    places, shares = rows.places, rows.shares
    taps = np.uint64(places.shape[1])
    for i in range(np.uint64(places.shape[0])):
        to = start + i * pitch
        a, b, c, d = places[i, _0] * lanes, places[i, _1] * lanes, places[i, _2] * lanes, places[i, _3] * lanes
        p, q, r, s = shares[i, _0], shares[i, _1], shares[i, _2], shares[i, _3]
        if taps == _4:
            for x in range(lanes):
                out[to + x] = p * source[a + x] + q * source[b + x] + r * source[c + x] + s * source[d + x]
            continue
        e, f, g, h = places[i, _4] * lanes, places[i, _5] * lanes, places[i, _6] * lanes, places[i, _7] * lanes
        t, u, v, w = shares[i, _4], shares[i, _5], shares[i, _6], shares[i, _7]
        for x in range(lanes):
            # Four and four, as further passes add them: other brackets would round otherwise.
            first = p * source[a + x] + q * source[b + x] + r * source[c + x] + s * source[d + x]
            out[to + x] = first + (t * source[e + x] + u * source[f + x] + v * source[g + x] + w * source[h + x])
        for k in range(_4 + _4, taps, _4):
            a, b = places[i, k] * lanes, places[i, k + _1] * lanes
            c, d = places[i, k + _2] * lanes, places[i, k + _3] * lanes
            p, q, r, s = shares[i, k], shares[i, k + _1], shares[i, k + _2], shares[i, k + _3]
            for x in range(lanes):
                out[to + x] += p * source[a + x] + q * source[b + x] + r * source[c + x] + s * source[d + x]


@_kernel
@no_type_check
def _interpolate_row(source, start, pitch, rows, i, lanes, out, to):  # noqa: PLR0913
    """A new row from two old ones."""
    a, b = start + rows.places[i, _0] * pitch, start + rows.places[i, _1] * pitch
    share = rows.shares[i, _1]
    for x in range(lanes):
        out[to + x] = source[a + x] + share * (source[b + x] - source[a + x])


@_kernel
@no_type_check
def _shrink(video, at, curve, lens, sizes, buffers, c):
    """One channel of a frame: toned, at the recorded size, blurred; 0..255, column by column."""
    toned, at = buffers.toned, np.uint64(at)
    for i in range(np.uint64(sizes.height * sizes.width)):
        toned[i] = curve[video[at + i]]
    _mix_rows(toned, sizes.width, lens.down, buffers.mixed, 0, sizes.width)
    _transpose(buffers.mixed, 0, sizes.rows, sizes.width, sizes.width, buffers.turned)
    _mix_rows(buffers.turned, sizes.rows, lens.across, buffers.planes, c * sizes.broad * sizes.tall, sizes.tall)


@_kernel
@no_type_check
def _add_noise(planes, c, tone, start, sizes):
    """Add noise to one plane; then repeat its edges to whole macroblocks."""
    rows, columns, tall = np.uint64(sizes.rows), sizes.columns, np.uint64(sizes.tall)
    first = np.uint64(c * sizes.broad) * tall
    noise, sigma, places = tone.noise, tone.sigma, tone.noise.shape[0] - sizes.rows
    for x in range(columns):
        to, at = first + np.uint64(x) * tall, np.uint64((start + x * sizes.rows) % places)
        for y in range(rows):
            value = planes[to + y]
            # Half of the variance at mid grey is shot noise, which grows with the light.
            value += sigma * np.sqrt(value * _SHOT + _HALF) * np.float32(noise[at + y])
            value = value if value > _ZERO else _ZERO
            planes[to + y] = np.floor((value if value < _255 else _255) + _HALF)
        for y in range(rows, tall):
            planes[to + y] = planes[to + rows - _1]
    last = first + np.uint64(columns - 1) * tall
    for x in range(columns, sizes.broad):
        to = first + np.uint64(x) * tall
        for y in range(tall):
            planes[to + y] = planes[last + y]


@_kernel
@no_type_check
def _to_luma(buffers, sizes):
    """R, G, B become Y, Cb, Cr about zero; chroma is averaged over 2 x 2 pixels."""
    planes, halves = buffers.planes, buffers.halves
    tall, area = np.uint64(sizes.tall), np.uint64(sizes.broad * sizes.tall)
    for i in range(area):
        r, b = planes[i], planes[area + area + i]
        luma = _RED * r + _GREEN * planes[area + i] + _BLUE * b
        planes[i] = luma - _128
        planes[area + i] = (b - luma) * _TO_CB
        planes[area + area + i] = (r - luma) * _TO_CR
    half = tall // _2
    for x in range(np.uint64(sizes.broad)):
        a, to = area + _2 * x * tall, x * half
        b = a + tall
        for y in range(half):
            k = y + y
            halves[to + y] = _QUARTER * ((planes[a + k] + planes[a + k + _1]) + (planes[b + k] + planes[b + k + _1]))


@_kernel
@no_type_check
def _cosines(x0, x1, x2, x3, x4, x5, x6, x7):  # noqa: PLR0913
    """Orthonormal cosine transform of eight values: even and odd halves."""
    s0, s1, s2, s3 = x0 + x7, x1 + x6, x2 + x5, x3 + x4
    d0, d1, d2, d3 = x0 - x7, x1 - x6, x2 - x5, x3 - x4
    e0, e1, e2, e3 = s0 + s3, s1 + s2, s0 - s3, s1 - s2
    return (
        (e0 + e1) * _C4,
        d0 * _C1 + d1 * _C3 + d2 * _C5 + d3 * _C7,
        e2 * _C2 + e3 * _C6,
        d0 * _C3 - d1 * _C7 - d2 * _C1 - d3 * _C5,
        (e0 - e1) * _C4,
        d0 * _C5 - d1 * _C1 + d2 * _C7 + d3 * _C3,
        e2 * _C6 - e3 * _C2,
        d0 * _C7 - d1 * _C5 + d2 * _C3 - d3 * _C1,
    )


@_kernel
@no_type_check
def _inverse_cosines(y0, y1, y2, y3, y4, y5, y6, y7):  # noqa: PLR0913
    """The transpose of `_cosines`, which is its inverse."""
    p, q = (y0 + y4) * _C4, (y0 - y4) * _C4
    r, s = y2 * _C2 + y6 * _C6, y2 * _C6 - y6 * _C2
    e0, e1, e2, e3 = p + r, q + s, q - s, p - r
    o0 = y1 * _C1 + y3 * _C3 + y5 * _C5 + y7 * _C7
    o1 = y1 * _C3 - y3 * _C7 - y5 * _C1 - y7 * _C5
    o2 = y1 * _C5 - y3 * _C1 + y5 * _C7 + y7 * _C3
    o3 = y1 * _C7 - y3 * _C5 + y5 * _C3 - y7 * _C1
    return e0 + o0, e1 + o1, e2 + o2, e3 + o3, e3 - o3, e2 - o2, e1 - o1, e0 - o0


@_kernel
@no_type_check
def _load_eight(work, at, stride):
    return (
        work[at], work[at + stride], work[at + _2 * stride], work[at + _3 * stride],
        work[at + _4 * stride], work[at + _5 * stride], work[at + _6 * stride],
        work[at + _7 * stride],
    )  # fmt: skip


@_kernel
@no_type_check
def _store_eight(work, at, stride, values):
    work[at] = values[0]
    work[at + stride] = values[1]
    work[at + _2 * stride] = values[2]
    work[at + _3 * stride] = values[3]
    work[at + _4 * stride] = values[4]
    work[at + _5 * stride] = values[5]
    work[at + _6 * stride] = values[6]
    work[at + _7 * stride] = values[7]


@_kernel
@no_type_check
def _round_eight(work, at, stride, values):
    """The nearest multiples of the table's steps."""
    inverse = _load_eight(work, _VALUES + at, stride)
    step = _load_eight(work, _VALUES + _VALUES + at, stride)
    return (
        np.rint(values[0] * inverse[0]) * step[0], np.rint(values[1] * inverse[1]) * step[1],
        np.rint(values[2] * inverse[2]) * step[2], np.rint(values[3] * inverse[3]) * step[3],
        np.rint(values[4] * inverse[4]) * step[4], np.rint(values[5] * inverse[5]) * step[5],
        np.rint(values[6] * inverse[6]) * step[6], np.rint(values[7] * inverse[7]) * step[7],
    )  # fmt: skip


@_kernel
@no_type_check
def _quantise(work):
    """16 blocks, [row, column, lane]: transformed, rounded, and transformed back."""
    for y in range(SIDE):
        first = np.uint64(y) * _BLOCK
        for lane in range(_ROW):
            _store_eight(work, first + lane, _ROW, _cosines(*_load_eight(work, first + lane, _ROW)))
    for at in range(_BLOCK):
        rounded = _round_eight(work, at, _BLOCK, _cosines(*_load_eight(work, at, _BLOCK)))
        _store_eight(work, at, _BLOCK, _inverse_cosines(*rounded))
    for y in range(SIDE):
        first = np.uint64(y) * _BLOCK
        for lane in range(_ROW):
            _store_eight(work, first + lane, _ROW, _inverse_cosines(*_load_eight(work, first + lane, _ROW)))


@_kernel
@no_type_check
def _compress(values, start, size, table, work):
    """All blocks of a plane in place, 16 at a time."""
    rows, columns = size
    down, pitch, start = columns // SIDE, np.uint64(columns), np.uint64(start)
    count = down * (rows // SIDE)
    for i in range(np.uint64(table.shape[0])):
        work[_VALUES + i] = table[i]
    for first in range(0, count, LANES):
        present = min(count - first, LANES)
        for lane in range(present):
            block, to = first + lane, np.uint64(lane)
            corner = start + np.uint64(block // down * SIDE) * pitch + np.uint64(block % down * SIDE)
            for y in range(_SIDE):
                for x in range(_SIDE):
                    work[y * _BLOCK + x * _ROW + to] = values[corner + y * pitch + x]
        _quantise(work)
        for lane in range(present):
            block, to = first + lane, np.uint64(lane)
            corner = start + np.uint64(block // down * SIDE) * pitch + np.uint64(block % down * SIDE)
            for y in range(_SIDE):
                for x in range(_SIDE):
                    values[corner + y * pitch + x] = work[y * _BLOCK + x * _ROW + to]


@_kernel
@no_type_check
def _widen(values, start, size, player, sizes, buffers, c):
    """A decoded plane, stored by columns, to the full width, stored by rows."""
    tall, width, mixed, turned = np.uint64(size), np.uint64(sizes.width), buffers.mixed, buffers.wide
    for x in range(width):
        _interpolate_row(values, np.uint64(start), tall, player.across, x, tall, mixed, x * tall)
    first = np.uint64(c * sizes.tall * sizes.width)
    for left in range(_0, width, _TILE):
        right = min(left + _TILE, width)
        for top in range(_0, tall, _SIDE):
            for y in range(top, top + _SIDE):
                for x in range(left, right):
                    turned[first + y * width + x] = mixed[x * tall + y]


@_kernel
@no_type_check
def _show(lines, at, out, to, width):
    for x in range(width):
        value = lines[at + x] + _HALF
        value = value if value > _ZERO else _ZERO
        out[to + x] = np.uint8(value if value < _255 else _255)


@_kernel
@no_type_check
def _between(source, a, b, share):
    return source[a] + share * (source[b] - source[a])


@_kernel
@no_type_check
def _to_shown(value):
    value = value if value > _ZERO else _ZERO
    return np.uint8(value if value < _255 else _255)


@_kernel
@no_type_check
def _show_colors(wide, bright, tinted, y, sizes, out, to):
    """A row of RGB from Y, Cb, Cr, each between two of its own rows, in one loop: nothing passes through memory."""
    width, area = np.uint64(sizes.width), np.uint64(sizes.height * sizes.width)
    plane = np.uint64(sizes.tall) * width
    a, b, share = bright.places[y, _0] * width, bright.places[y, _1] * width, bright.shares[y, _1]
    c, d, part = tinted.places[y, _0] * width + plane, tinted.places[y, _1] * width + plane, tinted.shares[y, _1]
    green, blue = to + area, to + area + area
    for x in range(width):
        luma = _between(wide, a + x, b + x, share)
        cb = _between(wide, c + x, d + x, part)
        cr = _between(wide, c + plane + x, d + plane + x, part)
        out[to + x] = _to_shown(luma + _CR_TO_RED * cr + (_128 + _HALF))
        out[green + x] = _to_shown(luma + _CB_TO_GREEN * cb + _CR_TO_GREEN * cr + (_128 + _HALF))
        out[blue + x] = _to_shown(luma + _CB_TO_BLUE * cb + (_128 + _HALF))


@_kernel
@no_type_check
def _play(buffers, players, compressed, sizes, out, at):
    """The decoded planes of a frame at the full size."""
    width, area = np.uint64(sizes.width), np.uint64(sizes.height * sizes.width)
    plane = sizes.broad * sizes.tall
    # One call for all planes, since numba would compile every further call separately.
    for c in range(3):
        halved = 1 if compressed and c > 0 else 0
        values = buffers.halves if halved else buffers.planes
        start = (c - 1) * (plane // 4) if halved else c * plane
        _widen(values, start, sizes.tall // (1 + halved), players[halved], sizes, buffers, c)
    for y in range(np.uint64(sizes.height)):
        to = np.uint64(at) + y * width
        if compressed:
            _show_colors(buffers.wide, players[0].down, players[1].down, y, sizes, out, to)
        else:
            for c in range(_3):
                first = c * np.uint64(sizes.tall) * width
                _interpolate_row(buffers.wide, first, width, players[0].down, y, width, buffers.lines, _0)
                _show(buffers.lines, _0, out, to + c * area, width)


@_kernel
@no_type_check
def record(video, lens, tone, codec, players, sizes, out):
    """A whole clip, [time, 3, height, width] uint8 flat, into `out`."""
    area, plane = sizes.height * sizes.width, sizes.broad * sizes.tall
    buffers = _Buffers(
        np.empty(area, np.float32), np.empty(max(sizes.rows, sizes.tall) * sizes.width, np.float32),
        np.empty(sizes.rows * sizes.width, np.float32), np.empty(3 * plane, np.float32),
        np.empty(plane // 2, np.float32), np.empty(3 * sizes.tall * sizes.width, np.float32),
        np.empty(sizes.width, np.float32), np.empty(3 * SIDE * SIDE * LANES, np.float32),
    )  # fmt: skip
    # Lanes that no block ever fills are transformed with the others.
    buffers.work[:] = _ZERO
    for t in range(tone.starts.shape[0]):
        for c in range(3):
            _shrink(video, (3 * t + c) * area, tone.curve[c], lens, sizes, buffers, c)
            _add_noise(buffers.planes, c, tone, tone.starts[t, c], sizes)
        if codec.on:
            _to_luma(buffers, sizes)
            for c in range(3):
                values, table = (buffers.planes, codec.luma) if c == 0 else (buffers.halves, codec.chroma)
                half = 1 if c == 0 else 2
                first = 0 if c == 0 else (c - 1) * (plane // 4)
                _compress(values, first, (sizes.broad // half, sizes.tall // half), table, buffers.work)
        _play(buffers, players, codec.on, sizes, out, 3 * t * area)
