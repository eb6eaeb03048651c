"""The specification's pictures with their gradients, compiled: what an avatar is fitted to photographs with.

Between avatars and an optimiser. `splat` takes and gives what `renderers/torch.py`'s does and is differentiable in the
same things; skinning and covariances stay ahead of it, in torch, as `Gaussians.posed`. Serial, and without the
interpreter's lock, so run views in threads.

How a frame and its gradients are made:

1. `_project`: centre, conic, opacity and box of each Gaussian. Numpy orders them by float32 depth, stably.
2. `_blend`: nearest first, each Gaussian over the pixels of its box. Kept for the way back, beside the input: the
   projections, and for each pixel the light that is left and the place in the order at which it stopped. So memory
   grows with Gaussians plus pixels, never with pairs of both.
3. `_unblend`: farthest first. The light before a Gaussian is that after it over 1 - alpha, which is more than 1e-4
   where the Gaussian counts at all. A Gaussian's pixels come one after the other, so its gradients are plain sums.
4. `_unproject`: from a Gaussian's projection to the Gaussian, and summed up to the camera.

Order, box, thresholds, stop and the cap on alpha are constants, as in the specification. All is reckoned in float64,
whatever comes in: one compiled form serves fitting and tests, and scalar code is no faster in float32.

Source:
    Kerbl and others, "3D Gaussian Splatting for Real-Time Radiance Field Rendering", 2023, appendix; Ye and others,
    "gsplat: An Open-Source Library for Gaussian Splatting", 2024, for the gradients of the projection.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from synthaug.body.skinning import pose_frame
from synthaug.renderers import Splatting
from synthaug.renderers.splatting.checks import check_frames, check_posed, check_rest
from synthaug.renderers.torch import FRUSTUM_MARGIN, MIN_ALPHA, MIN_TRANSMITTANCE, together
from synthaug.structures import Camera, Gaussians, PosedGaussians

# No fast maths, unlike in kernels.py: both ways must decide alike at every threshold, to the last bit.
_kernel = numba.njit(nogil=True, cache=True, error_model="numpy")

_U, _V, _A, _B, _C, _O, _Z = range(7)
"""A projection: centre, conic xx xy yy, opacity after antialiasing, depth (0 where culled)."""
_FIELDS, _CHANNELS = 7, 5
"""Floats of a projection; of a pixel: premultiplied red, green, blue, alpha, alpha-weighted depth."""
_GREEN, _BLUE, _ALPHA, _DEPTH = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
"""Channels after red. Unsigned, because numba lets signed indices wrap around at a price."""
_CAMERA = 16
"""Gradients of the camera: rotation row by row (9), translation (3), fx, fy, cx, cy."""


class _Model(NamedTuple):
    """`Splatting` and one frame's camera."""

    R: NDArray[np.float64]  # [3, 3] world to camera
    t: NDArray[np.float64]  # [3]
    lens: NDArray[np.float64]  # [4] fx, fy, cx, cy
    limits: NDArray[np.float64]  # [4] lowest x / z and y / z at which the Jacobian is taken, then highest
    eps2d: float
    max_alpha: float
    near: float
    far: float
    antialiased: bool
    # Not globals: numba's cache would not notice them change in the specification's file.
    min_alpha: float
    min_transmittance: float


class _Posed(NamedTuple):
    """`PosedGaussians` as arrays."""

    means: NDArray[np.float64]  # [gaussian, 3]
    covars: NDArray[np.float64]  # [gaussian, 3, 3]
    opacities: NDArray[np.float64]  # [gaussian]
    colors: NDArray[np.float64]  # [gaussian, 3]


class _Film(NamedTuple):
    """A frame, and what the way back needs of it; rows one after the other."""

    picture: NDArray[np.float64]  # [height * width * _CHANNELS]
    light: NDArray[np.float64]  # [height * width] that still passes
    stops: NDArray[np.int32]  # [height * width] first place in the order that counts no more


@_kernel
@no_type_check
def _variances(posed, g, model, p, M):
    """Fill the camera-frame centre `p` and the projection's Jacobian times rotation `M`; give xx, xy, yy undilated.

    Where the centre is not between near and far, of one at depth 1 instead, so that nothing is divided by zero.
    """
    R, lens, limits = model.R, model.lens, model.limits
    for i in range(3):
        p[i] = R[i, 0] * posed.means[g, 0] + R[i, 1] * posed.means[g, 1] + R[i, 2] * posed.means[g, 2] + model.t[i]
    inverse = 1.0 / p[2] if (p[2] >= model.near) & (p[2] <= model.far) else 1.0
    for axis in range(2):
        q = min(max(p[axis] * inverse, limits[axis]), limits[2 + axis])
        for j in range(3):
            M[axis, j] = lens[axis] * inverse * (R[axis, j] - q * R[2, j])
    xx, xy, yy = 0.0, 0.0, 0.0
    for i in range(3):
        for j in range(3):
            s = posed.covars[g, i, j]
            xx += M[0, i] * s * M[0, j]
            xy += M[0, i] * s * M[1, j]
            yy += M[1, i] * s * M[1, j]
    return xx, xy, yy


@_kernel
@no_type_check
def _span(centre, reach, side):
    """First and last pixel, of `side`, that a box touches; last before first where none."""
    low, high = centre - reach - 0.5, centre + reach - 0.5
    # Cut as floats, since what is no number or too large for an integer turns into anything. NaN gives all pixels.
    first = 0 if not low > 0 else (side if low > side - 1 else int(math.ceil(low)))
    last = side - 1 if not high < side - 1 else (-1 if high < 0 else int(math.floor(high)))
    return first, last


@_kernel
@no_type_check
def _project(posed, model, size, seen, boxes):
    """The projections [gaussian, _FIELDS], and first and last pixel each way of their boxes."""
    p, M, lens = np.empty(3), np.empty((2, 3)), model.lens
    for g in range(len(seen)):
        seen[g, _Z] = 0.0
        xx, xy, yy = _variances(posed, g, model, p, M)
        before = xx * yy - xy * xy
        xx += model.eps2d
        yy += model.eps2d
        det = xx * yy - xy * xy
        if not ((p[2] >= model.near) & (p[2] <= model.far) & (det > 0)):
            continue
        o = posed.opacities[g]
        if model.antialiased:
            o *= math.sqrt(max(before / det, 0.0))
        if not o >= model.min_alpha:
            continue
        seen[g, _U], seen[g, _V] = lens[0] * p[0] / p[2] + lens[2], lens[1] * p[1] / p[2] + lens[3]
        seen[g, _A], seen[g, _B], seen[g, _C], seen[g, _O] = yy / det, -xy / det, xx / det, o
        # Beyond this many standard deviations coverage is below the threshold; with slack for rounding.
        reach = 1.001 * math.sqrt(2 * math.log(o / model.min_alpha))
        boxes[g, 0], boxes[g, 1] = _span(seen[g, _U], reach * math.sqrt(xx) + 0.001, size[1])
        boxes[g, 2], boxes[g, 3] = _span(seen[g, _V], reach * math.sqrt(yy) + 0.001, size[0])
        if (boxes[g, 0] <= boxes[g, 1]) & (boxes[g, 2] <= boxes[g, 3]):
            seen[g, _Z] = p[2]


@_kernel
@no_type_check
def _exponent(dx, dy, a, b, c):
    """What a Gaussian's coverage falls off with at an offset, before its sign."""
    return 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy


@_kernel
@no_type_check
def _blend(seen, boxes, colors, model, size, film):
    """Lay each Gaussian behind those before it; all come in the order of depth, and so side by side in memory."""
    picture, light, stops = film
    for g in range(len(seen)):
        u, v, o, z = seen[g, _U], seen[g, _V], seen[g, _O], seen[g, _Z]
        a, b, c = seen[g, _A], seen[g, _B], seen[g, _C]
        red, green, blue = colors[g, 0], colors[g, 1], colors[g, 2]
        for y in range(boxes[g, 2], boxes[g, 3] + 1):
            for x in range(boxes[g, 0], boxes[g, 1] + 1):
                i = np.uint64(y * size[1] + x)
                if stops[i] < g:
                    continue
                sigma = _exponent(u - (x + 0.5), v - (y + 0.5), a, b, c)
                alpha = min(o * math.exp(-sigma), model.max_alpha)
                if not ((sigma >= 0) & (alpha >= model.min_alpha)):
                    continue
                after = light[i] * (1.0 - alpha)
                if not after > model.min_transmittance:
                    stops[i] = g
                    continue
                w = alpha * light[i]
                light[i] = after
                k = np.uint64(_CHANNELS) * i
                picture[k] += w * red
                picture[k + _GREEN] += w * green
                picture[k + _BLUE] += w * blue
                picture[k + _ALPHA] += w
                picture[k + _DEPTH] += w * z


@_kernel
@no_type_check
def _unblend(seen, boxes, colors, model, size, film, grads):
    """Gradients of the projections and colours, [gaussian, _FIELDS + 3], from that of the picture in `film.picture`.

    `film.light` is brought back to what it was before the first Gaussian.
    """
    picture, light, stops = film
    # Of each pixel: its gradient times what the Gaussians farther than the present one have given it.
    behind = np.zeros_like(light)
    for g in range(len(seen) - 1, -1, -1):
        u, v, o, z = seen[g, _U], seen[g, _V], seen[g, _O], seen[g, _Z]
        a, b, c = seen[g, _A], seen[g, _B], seen[g, _C]
        red, green, blue = colors[g, 0], colors[g, 1], colors[g, 2]
        du, dv, da, db, dc, do, dz, dred, dgreen, dblue = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for y in range(boxes[g, 2], boxes[g, 3] + 1):
            for x in range(boxes[g, 0], boxes[g, 1] + 1):
                i = np.uint64(y * size[1] + x)
                if stops[i] <= g:
                    continue
                dx, dy = u - (x + 0.5), v - (y + 0.5)
                sigma = _exponent(dx, dy, a, b, c)
                falloff = math.exp(-sigma)
                alpha = min(o * falloff, model.max_alpha)
                if not ((sigma >= 0) & (alpha >= model.min_alpha)):
                    continue
                kept = 1.0 / (1.0 - alpha)
                before = light[i] * kept
                light[i] = before
                w = alpha * before
                k = np.uint64(_CHANNELS) * i
                p0, p1, p2 = picture[k], picture[k + _GREEN], picture[k + _BLUE]
                p3, p4 = picture[k + _ALPHA], picture[k + _DEPTH]
                dred += w * p0
                dgreen += w * p1
                dblue += w * p2
                dz += w * p4
                value = p0 * red + p1 * green + p2 * blue + p3 + p4 * z
                dalpha = before * value - behind[i] * kept
                behind[i] += w * value
                if o * falloff > model.max_alpha:
                    continue
                do += dalpha * falloff
                dsigma = -dalpha * alpha
                du += dsigma * (a * dx + b * dy)
                dv += dsigma * (b * dx + c * dy)
                da += 0.5 * dsigma * dx * dx
                db += dsigma * dx * dy
                dc += 0.5 * dsigma * dy * dy
        grads[g, _U], grads[g, _V], grads[g, _A], grads[g, _B], grads[g, _C] = du, dv, da, db, dc
        grads[g, _O], grads[g, _Z] = do, dz
        grads[g, _FIELDS], grads[g, _FIELDS + 1], grads[g, _FIELDS + 2] = dred, dgreen, dblue


@_kernel
@no_type_check
def _undilate(xx, xy, yy, opacity, found, model):
    """Gradients of the undilated variances and of the opacity, from those of conic and opacity in `found`."""
    before = xx * yy - xy * xy
    wide_x, wide_y = xx + model.eps2d, yy + model.eps2d
    inverse = 1.0 / (wide_x * wide_y - xy * xy)
    da, db, dc, do = found[_A], found[_B], found[_C], found[_O]
    ddet = -(da * wide_y - db * xy + dc * wide_x) * inverse * inverse
    dbefore = 0.0
    if model.antialiased:
        ratio = before * inverse
        kept = math.sqrt(max(ratio, 0.0))
        dratio = 0.5 * do * opacity / kept if kept > 0 else 0.0
        dbefore = dratio * inverse
        ddet -= dratio * ratio * inverse
        do *= kept
    dxx = dc * inverse + ddet * wide_y + dbefore * yy
    dyy = da * inverse + ddet * wide_x + dbefore * xx
    return dxx, -db * inverse - 2 * xy * (ddet + dbefore), dyy, do


@_kernel
@no_type_check
def _unlens(axis, p, R, dm, found, model, camera):
    """Gradients of one coordinate of the centre and of 1 / z, from that of `M`'s row and of the picture's coordinate.

    The row is focal / z times (rotation's row - q times its last), q being coordinate / z within limits.
    """
    inverse, focal = 1.0 / p[2], model.lens[axis]
    free = p[axis] * inverse
    q = min(max(free, model.limits[axis]), model.limits[2 + axis])
    dscale, dq = 0.0, 0.0
    for j in range(3):
        dscale += dm[axis, j] * (R[axis, j] - q * R[2, j])
        dq -= focal * inverse * dm[axis, j] * R[2, j]
        camera[3 * axis + j] += focal * inverse * dm[axis, j]
        camera[6 + j] -= focal * inverse * q * dm[axis, j]
    # The limits are (some fixed edge - c) / focal, hence what the camera gets from them.
    limited = dq / focal if free != q else 0.0
    camera[12 + axis] += dscale * inverse + found[axis] * free - limited * q
    camera[14 + axis] += found[axis] - limited
    dfree = found[axis] * focal + (dq if free == q else 0.0)
    return dfree * inverse, dscale * focal + dfree * p[axis]


@_kernel
@no_type_check
def _unproject(posed, model, grads, given, camera):
    """Gradients of means, covariances and opacities into `given`, and of the camera, summed, into `camera`."""
    p, M, dm, R = np.empty(3), np.empty((2, 3)), np.empty((2, 3)), model.R
    for g in range(len(grads)):
        found = grads[g]
        if not _any(found):
            continue  # unseen: zero, even where overflow has made something of it infinite
        xx, xy, yy = _variances(posed, g, model, p, M)
        dxx, dxy, dyy, given.opacities[g] = _undilate(xx, xy, yy, posed.opacities[g], found, model)
        dm[:] = 0.0
        for i in range(3):
            for j in range(3):
                s = posed.covars[g, i, j]
                given.covars[g, i, j] = dxx * M[0, i] * M[0, j] + dxy * M[0, i] * M[1, j] + dyy * M[1, i] * M[1, j]
                dm[0, i] += s * (dxx * M[0, j] + dxy * M[1, j])
                dm[0, j] += s * dxx * M[0, i]
                dm[1, i] += s * dyy * M[1, j]
                dm[1, j] += s * (dyy * M[1, i] + dxy * M[0, i])
        dx, from_x = _unlens(0, p, R, dm, found, model, camera)
        dy, from_y = _unlens(1, p, R, dm, found, model, camera)
        dp = (dx, dy, found[_Z] - (from_x + from_y) / (p[2] * p[2]))
        for i in range(3):
            given.means[g, i] = R[0, i] * dp[0] + R[1, i] * dp[1] + R[2, i] * dp[2]
            camera[9 + i] += dp[i]
            for j in range(3):
                camera[3 * i + j] += dp[i] * posed.means[g, j]


@_kernel
@no_type_check
def _any(values):
    for value in values:
        if value != 0:
            return True
    return False


class _Splat(torch.autograd.Function):
    """The kernels as one operation: size, model, four tensors of Gaussians, viewmat, K -> picture [pixel, channel]."""

    @staticmethod
    def forward(ctx: Any, size: tuple[int, int], splatting: Splatting, *tensors: Tensor) -> Tensor:
        """Project, sort and blend; keep what the way back needs, by Gaussian and by pixel."""
        posed, model = _Posed(*map(_array, tensors[:4])), _model(tensors[4], tensors[5], size, splatting)
        count, pixels = len(posed.means), size[0] * size[1]
        seen, boxes = np.empty((count, _FIELDS)), np.empty((count, 4), np.int32)
        _project(posed, model, size, seen, boxes)
        depths = seen[:, _Z].astype(np.float32)
        order = np.argsort(depths, kind="stable")
        order = order[np.searchsorted(depths[order], 0, side="right") :]
        film = _Film(np.zeros(pixels * _CHANNELS), np.ones(pixels), np.full(pixels, len(order), np.int32))
        seen, boxes = seen[order], boxes[order]
        _blend(seen, boxes, posed.colors[order], model, size, film)
        ctx.save_for_backward(*tensors)
        ctx.kept = (size, splatting, order, seen, boxes, film.light, film.stops)
        return torch.from_numpy(film.picture.reshape(*size, _CHANNELS)).to(tensors[0].dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, picture: Tensor) -> tuple[Tensor | None, ...]:
        """From the gradient of the picture, farthest Gaussian first, to those of tensors, viewmat and K."""
        tensors = ctx.saved_tensors
        size, splatting, order, seen, boxes, light, stops = ctx.kept
        posed, model = _Posed(*map(_array, tensors[:4])), _model(tensors[4], tensors[5], size, splatting)
        count = len(posed.means)
        sorted_, grads, camera = np.empty((len(seen), _FIELDS + 3)), np.zeros((count, _FIELDS + 3)), np.zeros(_CAMERA)
        film = _Film(_array(picture).reshape(-1), light.copy(), stops)
        _unblend(seen, boxes, posed.colors[order], model, size, film, sorted_)
        grads[order] = sorted_
        given = _Posed(np.zeros_like(posed.means), np.zeros_like(posed.covars), np.zeros(count), grads[:, _FIELDS:])
        _unproject(posed, model, grads, given, camera)
        found = [torch.from_numpy(array) for array in (*given, *_camera_gradients(camera))]
        return None, None, *(grad.to(tensor.dtype) for grad, tensor in zip(found, tensors, strict=True))


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float64)


def _model(viewmat: Tensor, K: Tensor, size: tuple[int, int], splatting: Splatting) -> _Model:
    T, lens = _array(viewmat), _array(K)[[0, 1, 0, 1], [0, 1, 2, 2]]
    sides = np.array([size[1], size[0]])
    margins = FRUSTUM_MARGIN * 0.5 * sides
    edges = np.concatenate([-margins, sides + margins]) - np.tile(lens[2:], 2)
    return _Model(
        R=np.ascontiguousarray(T[:3, :3]),
        t=np.ascontiguousarray(T[:3, 3]),
        lens=lens,
        limits=edges / np.tile(lens[:2], 2),
        eps2d=float(splatting.eps2d),
        max_alpha=float(splatting.max_alpha),
        near=float(splatting.near),
        far=float(splatting.far),
        antialiased=splatting.antialiased,
        min_alpha=MIN_ALPHA,
        min_transmittance=MIN_TRANSMITTANCE,
    )


def _camera_gradients(camera: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    T, K = np.zeros((4, 4)), np.zeros((3, 3))
    T[:3, :3], T[:3, 3] = camera[:9].reshape(3, 3), camera[9:12]
    K[[0, 1, 0, 1], [0, 1, 2, 2]] = camera[12:]
    return T, K


def splat(
    posed: PosedGaussians,
    viewmat: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    *,
    height: int,
    width: int,
    splatting: Splatting,
) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "1 height width"], Float[Tensor, "1 height width"]]:
    """One frame, with gradients for everything that the specification's `splat` has them for, camera included.

    A Gaussian that touches no pixel, or lies behind others at which every pixel has stopped, has gradient zero.
    Gradients of gradients are not there and raise.

    Args:
        posed: World frame, in main memory; all in the precision of the result, float32 or float64.
        viewmat: World to camera.
        K: Intrinsics, pixels; skew is ignored, as in gsplat.
        height: Pixels.
        width: Pixels.
        splatting: The image model.

    Returns:
        Premultiplied colour; alpha; the alpha-weighted mean of camera z in metres, 0 where alpha is 0.

    Raises:
        ValueError: If shapes, precisions or devices disagree, a value is not finite, an opacity lies outside 0..1, a
            focal length is not positive, or the picture has no inside.
    """
    check_posed(posed, viewmat, K, height=height, width=width)
    tensors = (posed.means, posed.covars, posed.opacities, posed.colors, viewmat, K)
    picture = _Splat.apply((height, width), splatting, *tensors).permute(2, 0, 1)
    rgb, alpha, weighted = picture[:3], picture[3:4], picture[4:5]
    covered = alpha > 0
    return rgb, alpha, torch.where(covered, weighted / torch.where(covered, alpha, 1.0), 0.0)


def splat_clip(
    people: Sequence[Gaussians], camera: Camera, *, splatting: Splatting
) -> tuple[
    Float[Tensor, "time 3 height width"], Float[Tensor, "time 1 height width"], Float[Tensor, "time 1 height width"]
]:
    """All frames of people together, through skinning, with gradients for all that `Gaussians` holds but `joint_ids`.

    What is kept for the way back grows with frames times Gaussians: fit a few frames a step, cut out of people and
    camera alike.

    Args:
        people: All with as many frames as the camera. None at all gives a transparent picture.
        camera: One view for each frame.
        splatting: The image model.

    Returns:
        Premultiplied colour; alpha; depth as of `splat`.

    Raises:
        ValueError: If frame counts or shapes differ or a value is none that a renderer takes.
    """
    check_frames(people, camera)
    for person in people:
        check_rest(person)
    shape = (len(camera.viewmats), 1, camera.height, camera.width)
    if not people or not shape[0]:
        empty = camera.viewmats.new_zeros(shape)
        return empty.expand(-1, 3, -1, -1), empty, empty
    frames = [
        splat(
            together([pose_frame(person, t) for person in people]),
            camera.viewmats[t],
            camera.Ks[t],
            height=camera.height,
            width=camera.width,
            splatting=splatting,
        )
        for t in range(shape[0])
    ]
    rgb, alpha, depth = zip(*frames, strict=True)
    return torch.stack(rgb), torch.stack(alpha), torch.stack(depth)
