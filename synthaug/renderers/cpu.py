"""The same pictures as `renderers/torch.py` on one core: compiled, serial, without the interpreter's lock.

Between avatars and compositing; runs inside DataLoader workers and threads. Nothing here starts threads of its own:
parallelism is over clips.

How a frame is made:

1. `_project`: 16 Gaussians at a time, which share a short list of joints. Their matrices, with the camera's rotation
   folded in, are blended and applied, so that posed Gaussians never exist in memory.
2. `_order`: radix sort by the exact bits of camera depth, stable, whoever the Gaussians belong to.
3. `_splat`: nearest first, into blocks of 4x4 pixels, whose 16 pixels are one SIMD register. A pixel that has stopped
   carries the sign bit in its transmittance; a block whose pixels all have is left alone.
4. `_write`: touched blocks become uint8.

All kernels are in this one file because numba's cache notices changes of the caller's file only.
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, no_type_check

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from synthaug.renderers import Renderer, Splatting
from synthaug.renderers.checks import check_frames, check_rest
from synthaug.structures import Camera, Gaussians, Rendering, quats_to_matrices

LANES = 16
"""Gaussians projected together, and pixels of a block: the float32 lanes of one AVX-512 register."""
_FAST = {"contract", "reassoc", "nsz", "arcp", "afn"}
"""Fast maths without `nnan` and `ninf`, under which a NaN's comparisons, and so array bounds, would be undefined."""
_kernel = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)

_X = np.arange(LANES, dtype=np.float32) % np.float32(4)
_Y = np.arange(LANES, dtype=np.float32) // np.float32(4)
_ZERO, _HALF, _ONE, _QUARTER = np.float32(0), np.float32(0.5), np.float32(1), np.float32(0.25)
_255 = np.float32(255)
_LOG2E = np.float32(1.4426950408889634)
_MIN_ALPHA = np.float32(1 / 255)
_MIN_TRANSMITTANCE = np.float32(1e-4)
_MARGIN = np.float32(0.3)
# 2**f for f in [-1/2, 1/2], relative error 2.3e-7 in float32: minimax by Lawson's reweighting (tests hold the bound).
_E0, _E1, _E2 = np.float32(1.0000001192092896), np.float32(0.6931469440460205), np.float32(0.24022120237350464)
_E3, _E4, _E5 = np.float32(0.05550713092088699), np.float32(0.009675540961325169), np.float32(0.0013276472454890609)
_BIAS, _MANTISSA = np.int32(127), np.int32(23)
# Coverage of 2**-32 counts as none anyway; at the format's own limit of 2**-126 products become denormal, and each one
# of those costs over a hundred cycles.
_MIN_EXPONENT = np.float32(-32)
# log2(x) <= bits(x) / 2**23 - 127 + 0.08607: a float's bits read as an integer are its logarithm, but for a bulge.
_BITS_TO_LOG2, _LOG2_OFFSET = np.float32(2.0**-23), np.float32(127 - 0.09)
_TWO_LN2 = np.float32(2 * np.log(2))

_ROW = tuple(np.uint64(LANES * i) for i in range(12))
"""Offsets of a block's rows. Unsigned, because numba makes signed indices wrap around, which stops vectorisation."""
_LANES = np.uint64(LANES)
_REST, _RECORD = 10, 16
"""Floats of a Gaussian at rest (mean, covariance, opacity) and projected: a record is one cache line."""
_U, _V, _A, _B, _C, _O, _Z, _X0, _X1, _Y0, _Y1, _RED, _GREEN, _BLUE = range(14)
"""A record: centre, exponent's quadratic form, opacity, depth, first and last block each way, colour."""
_UNTOUCHED, _FINISHED, _VISITS = 255, 0, 8
"""States of a block: never painted; all pixels stopped; otherwise visits until it is next asked whether they have."""
_CHUNK = 128
"""Records gathered at a time: 8 kB, a quarter of a small L1."""
_DIGIT = 11
"""Bits a pass of the radix sort: its 2048 counters fit L1."""


class _Rest(NamedTuple):
    """Gaussians at rest in blocks of 16, sorted so that neighbours share joints."""

    floats: NDArray[np.float32]  # [block, _REST, 16] flat; padding has opacity 0
    starts: NDArray[np.int64]  # [block + 1] into joints
    joints: NDArray[np.int64]  # [entry] joints of a block
    weights: NDArray[np.float32]  # [entry, 16] flat
    colors: NDArray[np.float32]  # [block, 16, 3] flat
    originals: NDArray[np.int64]  # [block, 16] flat: index in the order given; 0 for padding, which is never seen
    slots: NDArray[np.int64]  # [gaussian] where each one went


class _Views(NamedTuple):
    """The camera of every frame, folded into the joints."""

    joints: NDArray[np.float32]  # [time, joint * 12] rest to world, then turned into the camera, 3x4 row by row
    lenses: NDArray[np.float32]  # [time, 7] fx, fy, cx, cy and the camera's translation


class _Model(NamedTuple):
    """`Splatting` and the picture's size in the types that kernels want."""

    width: np.float32
    height: np.float32
    eps2d: np.float32
    max_alpha: np.float32
    near: np.float32
    far: np.float32
    antialiased: bool


class _Film(NamedTuple):
    """What a clip is written to."""

    rgb: NDArray[np.uint8]  # [time, 3, height, width]
    alpha: NDArray[np.uint8]  # [time, 1, height, width]


class _Canvas(NamedTuple):
    """A framebuffer of 4x4 blocks, planar within each."""

    pixels: NDArray[np.float32]  # [block, plane, 16] flat: R, G, B, transmittance and perhaps depth
    states: NDArray[np.uint8]  # [row, column]


@_kernel
@no_type_check
def _blend_joints(rest, joints, block, A):
    """The skinning matrices of 16 Gaussians, [12, 16]."""
    for i in range(12 * LANES):
        A[i] = _ZERO
    for entry in range(rest.starts[block], rest.starts[block + 1]):
        j = 12 * rest.joints[entry]
        m0, m1, m2, m3 = joints[j], joints[j + 1], joints[j + 2], joints[j + 3]
        m4, m5, m6, m7 = joints[j + 4], joints[j + 5], joints[j + 6], joints[j + 7]
        m8, m9, m10, m11 = joints[j + 8], joints[j + 9], joints[j + 10], joints[j + 11]
        base = np.uint64(LANES * entry)
        for i in range(_LANES):
            w = rest.weights[base + i]
            A[i] += w * m0
            A[i + _ROW[1]] += w * m1
            A[i + _ROW[2]] += w * m2
            A[i + _ROW[3]] += w * m3
            A[i + _ROW[4]] += w * m4
            A[i + _ROW[5]] += w * m5
            A[i + _ROW[6]] += w * m6
            A[i + _ROW[7]] += w * m7
            A[i + _ROW[8]] += w * m8
            A[i + _ROW[9]] += w * m9
            A[i + _ROW[10]] += w * m10
            A[i + _ROW[11]] += w * m11


@_kernel
@no_type_check
def _to_camera(floats, A, lens, model, centred):
    """Centres and covariances of 16 Gaussians in the picture, [6, 16]: u, v, z, xx, xy, yy; z is 0 where culled.

    `floats` starts at the block's own rows.
    """
    fx, fy, cx, cy, tx, ty, tz = lens[0], lens[1], lens[2], lens[3], lens[4], lens[5], lens[6]
    margin_x, margin_y = _MARGIN * _HALF * model.width / fx, _MARGIN * _HALF * model.height / fy
    low_x, high_x = -(cx / fx + margin_x), (model.width - cx) / fx + margin_x
    low_y, high_y = -(cy / fy + margin_y), (model.height - cy) / fy + margin_y
    for i in range(_LANES):
        x, y, z = floats[i], floats[i + _ROW[1]], floats[i + _ROW[2]]
        a0, a1, a2 = A[i], A[i + _ROW[1]], A[i + _ROW[2]]
        a4, a5, a6 = A[i + _ROW[4]], A[i + _ROW[5]], A[i + _ROW[6]]
        a8, a9, a10 = A[i + _ROW[8]], A[i + _ROW[9]], A[i + _ROW[10]]
        px = a0 * x + a1 * y + a2 * z + A[i + _ROW[3]] + tx
        py = a4 * x + a5 * y + a6 * z + A[i + _ROW[7]] + ty
        pz = a8 * x + a9 * y + a10 * z + A[i + _ROW[11]] + tz
        inside = (pz >= model.near) & (pz <= model.far)
        r = _ONE / (pz if inside else _ONE)
        qx, qy = px * r, py * r
        centred[i] = fx * qx + cx
        centred[i + _ROW[1]] = fy * qy + cy
        centred[i + _ROW[2]] = pz if inside else _ZERO
        qx = qx if qx > low_x else low_x
        qx = qx if qx < high_x else high_x
        qy = qy if qy > low_y else low_y
        qy = qy if qy < high_y else high_y
        k0, k1, k2 = a0 - qx * a8, a1 - qx * a9, a2 - qx * a10
        n0, n1, n2 = a4 - qy * a8, a5 - qy * a9, a6 - qy * a10
        s0, s1, s2 = floats[i + _ROW[3]], floats[i + _ROW[4]], floats[i + _ROW[5]]
        s3, s4, s5 = floats[i + _ROW[6]], floats[i + _ROW[7]], floats[i + _ROW[8]]
        h0, h1, h2 = s0 * k0 + s1 * k1 + s2 * k2, s1 * k0 + s3 * k1 + s4 * k2, s2 * k0 + s4 * k1 + s5 * k2
        ax, ay = fx * r, fy * r
        centred[i + _ROW[3]] = ax * ax * (k0 * h0 + k1 * h1 + k2 * h2)
        centred[i + _ROW[4]] = ax * ay * (n0 * h0 + n1 * h1 + n2 * h2)
        h0, h1, h2 = s0 * n0 + s1 * n1 + s2 * n2, s1 * n0 + s3 * n1 + s4 * n2, s2 * n0 + s4 * n1 + s5 * n2
        centred[i + _ROW[5]] = ay * ay * (n0 * h0 + n1 * h1 + n2 * h2)


@_kernel
@no_type_check
def _to_footprints(opacities, centred, model, found):
    """What blending needs of 16 Gaussians, [11, 16], rows in the order of a record; depth is 0 where culled."""
    for i in range(_LANES):
        u, v, z = centred[i], centred[i + _ROW[1]], centred[i + _ROW[2]]
        xx, xy, yy = centred[i + _ROW[3]], centred[i + _ROW[4]], centred[i + _ROW[5]]
        det_before = xx * yy - xy * xy
        xx += model.eps2d
        yy += model.eps2d
        det = xx * yy - xy * xy
        seen = (z > _ZERO) & (det > _ZERO)
        r = _ONE / (det if seen else _ONE)
        ratio = det_before * r
        kept = np.sqrt(ratio if ratio > _ZERO else _ZERO)
        o = opacities[i] * (kept if model.antialiased else _ONE)
        seen &= o >= _MIN_ALPHA
        o = o if seen else _ONE
        # Coverage falls below 1/255 where the exponent passes ln(255 o): the box beyond which no pixel can change.
        reach = _TWO_LN2 * (np.float32(np.float32(o * _255).view(np.int32)) * _BITS_TO_LOG2 - _LOG2_OFFSET)
        reach = reach if reach > _ZERO else _ZERO
        rx, ry = np.sqrt(reach * xx), np.sqrt(reach * yy)
        x0, x1 = np.ceil(u - rx - _HALF), np.floor(u + rx - _HALF)
        y0, y1 = np.ceil(v - ry - _HALF), np.floor(v + ry - _HALF)
        x0 = x0 if x0 > _ZERO else _ZERO
        y0 = y0 if y0 > _ZERO else _ZERO
        x1 = x1 if x1 < model.width - _ONE else model.width - _ONE
        y1 = y1 if y1 < model.height - _ONE else model.height - _ONE
        seen &= (x0 <= x1) & (y0 <= y1)
        found[i] = u
        found[i + _ROW[1]] = v
        found[i + _ROW[2]] = -_HALF * _LOG2E * yy * r
        found[i + _ROW[3]] = _LOG2E * xy * r
        found[i + _ROW[4]] = -_HALF * _LOG2E * xx * r
        found[i + _ROW[5]] = o
        found[i + _ROW[6]] = z if seen else _ZERO
        found[i + _ROW[7]] = np.floor(x0 * _QUARTER)
        found[i + _ROW[8]] = np.floor(x1 * _QUARTER)
        found[i + _ROW[9]] = np.floor(y0 * _QUARTER)
        found[i + _ROW[10]] = np.floor(y1 * _QUARTER)


@_kernel
@no_type_check
def _project(rest, joints, lens, model, shade, records, depths):  # noqa: PLR0913
    """All Gaussians of a frame: `depths` (0 where culled) and `records` (undefined there)."""
    A, centred = np.empty(12 * LANES, np.float32), np.empty(6 * LANES, np.float32)
    found = np.empty(11 * LANES, np.float32)
    for block in range(len(rest.starts) - 1):
        _blend_joints(rest, joints, block, A)
        floats = rest.floats[block * _REST * LANES :]
        _to_camera(floats, A, lens, model, centred)
        _to_footprints(floats[9 * LANES :], centred, model, found)
        for lane in range(LANES):
            slot = block * LANES + lane
            depths[slot] = found[_Z * LANES + lane]
            base = slot * _RECORD
            for field in range(11):
                records[base + field] = found[field * LANES + lane]
            for c in range(3):
                color = rest.colors[3 * slot + c]
                if len(shade) > 0:
                    color *= shade[rest.originals[slot], c]
                records[base + _RED + c] = color


@_kernel
@no_type_check
def _order(depths, slots, packed, spare):
    """Slots of what is seen, nearest first, in the low halves of the returned array; equal depths keep their order.

    Positive floats sort as their bits do, so this is the exact order, not one of quantised depths.
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
def _clear(pixels, at, planes):
    """Make the block at `at` black with all light passing."""
    for plane in range(planes):
        value = _ONE if plane == 3 else _ZERO
        row = at + np.uint64(plane * LANES)
        for i in range(_LANES):
            pixels[row + i] = value


@_kernel
@no_type_check
def _light(pixels, at):
    """Light that still passes the block at `at`; stopped pixels count nothing."""
    light = _ZERO
    for i in range(_LANES):
        light += max(pixels[at + _ROW[3] + i], _ZERO)
    return light


@_kernel
@no_type_check
def _paint(records, base, center, max_alpha, pixels, at, depth):  # noqa: PLR0913
    """Lay the Gaussian at `base` behind what is in the block at `at`; `center` is that of the block's first pixel.

    No slices, whose reference counts would be atomic operations in the hottest loop.
    """
    u, v, o, z = records[base + _U] - center[0], records[base + _V] - center[1], records[base + _O], records[base + _Z]
    a, b, c = records[base + _A], records[base + _B], records[base + _C]
    red, green, blue = records[base + _RED], records[base + _GREEN], records[base + _BLUE]
    for i in range(_LANES):
        dx, dy = u - _X[i], v - _Y[i]
        power = dx * (a * dx + b * dy) + c * dy * dy
        t = power if power > _MIN_EXPONENT else _MIN_EXPONENT
        whole = np.floor(t + _HALF)
        f = t - whole
        fraction = _E0 + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * _E5))))
        scale = np.int32(np.int32(np.int32(whole) + _BIAS) << _MANTISSA).view(np.float32)
        alpha = o * fraction * scale
        alpha = alpha if alpha < max_alpha else max_alpha
        alpha = alpha if (alpha >= _MIN_ALPHA) & (power <= _ZERO) else _ZERO
        p = at + i
        T = pixels[p + _ROW[3]]
        light = T if T > _ZERO else _ZERO
        w = alpha * light
        left = light - w
        alive = left > _MIN_TRANSMITTANCE
        w = w if alive else _ZERO
        pixels[p + _ROW[3]] = left if alive else -abs(T)
        pixels[p] += w * red
        pixels[p + _ROW[1]] += w * green
        pixels[p + _ROW[2]] += w * blue
        if depth is not None:
            pixels[p + _ROW[4]] += w * z


@_kernel
@no_type_check
def _gather(queue, records, nearby):
    """Copy the next records side by side: many cache misses at a time here, instead of one by one between paintings."""
    for n in range(len(queue)):
        source, target = np.uint64((queue[n] & 0xFFFFFFFF) * _RECORD), np.uint64(n * _RECORD)
        for field in range(np.uint64(_RECORD)):
            nearby[target + field] = records[source + field]


@_kernel
@no_type_check
def _splat(queue, records, canvas, max_alpha, depth):
    """Paint the Gaussians of `queue` in its order."""
    planes = 4 if depth is None else 5
    columns = canvas.states.shape[1]
    pixels, states = canvas.pixels, canvas.states
    nearby = np.empty(_CHUNK * _RECORD, np.float32)
    for n in range(len(queue)):
        if n % _CHUNK == 0:
            _gather(queue[n : n + _CHUNK], records, nearby)
        base = (n % _CHUNK) * _RECORD
        x0, x1 = np.int64(nearby[base + _X0]), np.int64(nearby[base + _X1])
        y0, y1 = np.int64(nearby[base + _Y0]), np.int64(nearby[base + _Y1])
        for by in range(y0, y1 + 1):
            for bx in range(x0, x1 + 1):
                state = states[by, bx]
                if state == _FINISHED:
                    continue
                at = np.uint64((by * columns + bx) * planes * LANES)
                if state == _UNTOUCHED:
                    _clear(pixels, at, planes)
                    state = _VISITS
                center = (np.float32(4 * bx) + _HALF, np.float32(4 * by) + _HALF)
                _paint(nearby, base, center, max_alpha, pixels, at, depth)
                state -= 1
                if state == _FINISHED and _light(pixels, at) > _ZERO:
                    state = _VISITS
                states[by, bx] = state


@_kernel
@no_type_check
def _to_byte(value):
    """A value of 0..1 as 0..255, halves rounded up, the rest of the line cut off."""
    value = _255 * value + _HALF
    value = value if value > _ZERO else _ZERO
    return np.uint8(value if value < _255 else _255)


@_kernel
@no_type_check
def _write(canvas, rgb, alpha, depth):
    """Bring the touched blocks of a frame to where they are wanted; the rest is transparent already."""
    planes = 4 if depth is None else 5
    height, width = alpha.shape[1:]
    rows, columns = canvas.states.shape
    for by in range(rows):
        for bx in range(columns):
            if canvas.states[by, bx] == _UNTOUCHED:
                continue
            at = (by * columns + bx) * planes * LANES
            for y in range(4 * by, min(4 * by + 4, height)):
                for x in range(4 * bx, min(4 * bx + 4, width)):
                    i = at + 4 * (y - 4 * by) + x - 4 * bx
                    cover = _ONE - abs(canvas.pixels[i + 3 * LANES])
                    rgb[0, y, x] = _to_byte(canvas.pixels[i])
                    rgb[1, y, x] = _to_byte(canvas.pixels[i + LANES])
                    rgb[2, y, x] = _to_byte(canvas.pixels[i + 2 * LANES])
                    alpha[0, y, x] = _to_byte(cover)
                    if depth is not None and cover > _ZERO:
                        depth[0, y, x] = canvas.pixels[i + 4 * LANES] / cover


@_kernel
@no_type_check
def _render(rest, views, model, film, shade, depth):
    """A whole clip. `shade` has no Gaussians where nobody is shaded; `depth` is None where it is not wanted.

    Depth is a plane of its own in the framebuffer, so the kernels are compiled once with and once without.
    """
    frames, _, height, width = film.rgb.shape
    count = len(rest.originals)
    rows, columns = (height + 3) // 4, (width + 3) // 4
    planes = 4 if depth is None else 5
    canvas = _Canvas(np.empty(rows * columns * planes * LANES, np.float32), np.empty((rows, columns), np.uint8))
    records, depths = np.empty(count * _RECORD, np.float32), np.empty(count, np.float32)
    packed, spare = np.empty(count, np.int64), np.empty(count, np.int64)
    for t in range(frames):
        canvas.states[:] = _UNTOUCHED
        _project(rest, views.joints[t], views.lenses[t], model, shade[t], records, depths)
        queue = _order(depths, rest.slots, packed, spare)
        _splat(queue, records, canvas, model.max_alpha, None if depth is None else depth[t])
        _write(canvas, film.rgb[t], film.alpha[t], None if depth is None else depth[t])


@dataclass(frozen=True)
class CpuRenderer(Renderer):
    """Draws on one core, fast enough for DataLoader workers; agrees with the specification to one step of uint8.

    Serial on purpose: it holds no lock and starts no threads, so run several in processes or threads over clips.

    Attributes:
        splatting: The image model.
    """

    splatting: Splatting = Splatting()

    @property
    def fingerprint(self) -> str:
        """Names the renderer and its image model."""
        return f"cpu 1 {self.splatting}"

    def render(self, people: Sequence[Gaussians], camera: Camera, *, depth: bool = False) -> Rendering:
        """Draw people together; see `Renderer.render`."""
        check_frames(people, camera)
        shape = (len(camera.viewmats), 1, camera.height, camera.width)
        film = _Film(rgb=np.zeros((shape[0], 3, *shape[2:]), np.uint8), alpha=np.zeros(shape, np.uint8))
        depths = np.zeros(shape, np.float32) if depth else None
        if people:
            rest = _together([_prepared(person) for person in people], [p.T_world_rest.shape[1] for p in people])
            _render(rest, _views(people, camera), _model(self.splatting, camera), film, _shade(people), depths)
        return Rendering(
            rgb=torch.from_numpy(film.rgb),
            alpha=torch.from_numpy(film.alpha),
            depth=None if depths is None else torch.from_numpy(depths),
        )


def _model(splatting: Splatting, camera: Camera) -> _Model:
    return _Model(
        width=np.float32(camera.width),
        height=np.float32(camera.height),
        eps2d=np.float32(splatting.eps2d),
        max_alpha=np.float32(splatting.max_alpha),
        near=np.float32(splatting.near),
        far=np.float32(splatting.far),
        antialiased=splatting.antialiased,
    )


def _views(people: Sequence[Gaussians], camera: Camera) -> _Views:
    """Turn all joints into the camera in float64, since people may stand far from the world's origin.

    The camera's translation stays apart: blended with the joints, it would be off where weights miss a sum of 1.
    """
    T = np.concatenate([person.T_world_rest.numpy(force=True)[:, :, :3] for person in people], axis=1)
    viewmats, Ks = camera.viewmats.numpy(force=True).astype(np.float64), camera.Ks.numpy(force=True)
    joints = viewmats[:, None, :3, :3] @ T.astype(np.float64)
    lenses = np.concatenate([Ks[:, [0, 1, 0, 1], [0, 1, 2, 2]], viewmats[:, :3, 3]], axis=1)
    return _Views(joints.reshape(len(T), -1).astype(np.float32), lenses.astype(np.float32))


def _shade(people: Sequence[Gaussians]) -> NDArray[np.float32]:
    """The shade of all, [time, gaussian, 3]; without Gaussians where nobody has any."""
    frames = people[0].num_frames
    if all(person.shade is None for person in people):
        return np.zeros((frames, 0, 3), np.float32)
    parts = [torch.ones(frames, len(p.means), 3) if p.shade is None else p.shade for p in people]
    return np.ascontiguousarray(torch.cat(parts, dim=1).numpy(force=True), dtype=np.float32)


_MEMORY = 64
"""People kept prepared: more than a cast has that is worth revisiting; an 8 k person takes 1 MB."""
_memory: dict[tuple[int, ...], tuple[tuple["weakref.ref[torch.Tensor]", ...], tuple[int, ...], _Rest]] = {}


def _prepared(person: Gaussians) -> _Rest:
    """The person's Gaussians in the kernels' layout, remembered as long as the very same tensors come again.

    A tensor changed in place counts as another one (torch keeps a version number for autograd).
    """
    shape = (person.means, person.quats, person.scales)
    tensors = (*shape, person.opacities, person.colors, person.joint_ids, person.weights)
    joints = person.T_world_rest.shape[1]
    key, versions = (joints, *map(id, tensors)), tuple(tensor._version for tensor in tensors)
    found = _memory.get(key)
    if found and found[1] == versions and all(ref() is tensor for ref, tensor in zip(found[0], tensors, strict=True)):
        return found[2]
    check_rest(person)
    rest = _prepare(person)
    for old in [k for k, (refs, _, _) in list(_memory.items()) if any(ref() is None for ref in refs)]:
        _memory.pop(old, None)
    for old in list(_memory)[: max(0, len(_memory) - _MEMORY + 1)]:
        _memory.pop(old, None)
    _memory[key] = (tuple(map(weakref.ref, tensors)), versions, rest)
    return rest


def _prepare(person: Gaussians) -> _Rest:
    """Sort by joints, pad to blocks of 16, and list each block's joints with everyone's weights on them."""
    count, k = person.joint_ids.shape
    ids = person.joint_ids.numpy(force=True).astype(np.int64)
    weights = person.weights.numpy(force=True).astype(np.float32)
    strongest = np.take_along_axis(ids, weights.argmax(axis=1)[:, None], axis=1) if k else ids
    used = np.sort(np.where(weights != 0, ids, strongest), axis=1)
    order = np.lexsort((*used.T[::-1], strongest[:, 0])) if k else np.arange(count)
    blocks = -(-count // LANES)
    originals = np.zeros(blocks * LANES, np.int64)
    originals[:count] = order
    colors = np.zeros((blocks * LANES, 3), np.float32)
    colors[:count] = person.colors.numpy(force=True)[order]

    M = quats_to_matrices(person.quats) * person.scales[:, None, :]
    S = (M @ M.mT).numpy(force=True).astype(np.float32)[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]
    rows = np.column_stack([person.means.numpy(force=True), S, person.opacities.numpy(force=True)])
    floats = np.zeros((blocks * LANES, _REST), np.float32)
    floats[:count] = rows[order]

    # One entry for each pair of a block and a joint that moves any of its Gaussians.
    block, lane = np.divmod(np.arange(count).repeat(k), LANES)
    entered = weights[order].ravel() != 0
    stride = int(ids.max(initial=0)) + 1
    pairs, entry = np.unique((block * stride + ids[order].ravel())[entered], return_inverse=True)
    shares = np.bincount(entry * LANES + lane[entered], weights[order].ravel()[entered], len(pairs) * LANES)
    return _Rest(
        floats=np.ascontiguousarray(floats.reshape(blocks, LANES, _REST).transpose(0, 2, 1)).ravel(),
        starts=np.searchsorted(pairs // stride, np.arange(blocks + 1)),
        joints=pairs % stride,
        weights=shares.astype(np.float32),
        colors=colors.ravel(),
        originals=originals,
        slots=np.argsort(order),
    )


def _together(people: Sequence[_Rest], joints: Sequence[int]) -> _Rest:
    """Several people as one, so that one depth order settles who hides whom."""
    if len(people) == 1:
        return people[0]
    first = np.cumsum([0, *(len(person.slots) for person in people)])
    places = np.cumsum([0, *(len(person.originals) for person in people)])
    entries = np.cumsum([0, *(len(person.joints) for person in people)])
    moved = np.cumsum([0, *joints])
    starts = [person.starts[:-1] + entries[i] for i, person in enumerate(people)]
    return _Rest(
        floats=np.concatenate([person.floats for person in people]),
        starts=np.concatenate([*starts, entries[-1:]]),
        joints=np.concatenate([person.joints + moved[i] for i, person in enumerate(people)]),
        weights=np.concatenate([person.weights for person in people]),
        colors=np.concatenate([person.colors for person in people]),
        originals=np.concatenate([person.originals + first[i] for i, person in enumerate(people)]),
        slots=np.concatenate([person.slots + places[i] for i, person in enumerate(people)]),
    )
