"""The compiled loops of the differentiable renderer: one frame of Gaussians, and the backward pass.

`splatting/gradients.py` calls them from PyTorch. They run serially, without the interpreter's lock, so views can be
rendered in threads.

Steps of a frame and its gradients:

1. `project`: centre, conic, opacity and box of each Gaussian. The caller sorts them by float32 depth, stably.
2. `blend`: nearest first, each Gaussian over the pixels of its box. The backward pass needs the input, projections, and
   for each pixel the light that is left and the place in the order at which it stopped. So memory grows with Gaussians
   plus pixels, never with pairs of both.
3. `unblend`: farthest first. The light before a Gaussian is the light after it over 1 - alpha, which is more than 1e-4
   where the Gaussian counts at all. The pixels of a Gaussian come one after the other, so its gradients are plain sums.
4. `unproject`: from the projection of a Gaussian to the Gaussian, and summed up to the camera.

Order, box, thresholds, stop and the limit of alpha are constants, as in the specification. All is computed in float64,
whatever the input: one compiled form serves fitting and tests, and scalar code is no faster in float32.

All kernels are in this one file because numba's cache notices changes of the caller's file only.

Source:
    Kerbl and others, "3D Gaussian Splatting for Real-Time Radiance Field Rendering", 2023, appendix; Ye and others,
    "gsplat: An Open-Source Library for Gaussian Splatting", 2024, for the gradients of the projection.
"""

import math
from typing import NamedTuple, no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

# No fast maths, unlike in kernels.py: both ways must decide the same at every threshold, to the last bit.
_kernel = numba.njit(nogil=True, cache=True, error_model="numpy")

_U, _V, _A, _B, _C, _O, DEPTH = range(7)
"""Fields of a projection: centre, conic xx xy yy, opacity after antialiasing, depth (0 where culled)."""
FIELDS, CHANNELS = 7, 5
"""Numbers of a projection, and of a pixel: premultiplied red, green, blue, alpha, alpha-weighted depth."""
_GREEN, _BLUE, _ALPHA, _WEIGHTED_DEPTH = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
"""Channels after red. Unsigned, because numba lets signed indices wrap around, which costs time."""
CAMERA = 16
"""Numbers of the camera's gradient: rotation row by row (9), translation (3), fx, fy, cx, cy."""


class FrameModel(NamedTuple):
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
    # Not globals: numba's cache would not notice changes in the specification's file.
    min_alpha: float
    min_transmittance: float


class PosedArrays(NamedTuple):
    """`PosedGaussians` as arrays."""

    means: NDArray[np.float64]  # [gaussian, 3]
    covars: NDArray[np.float64]  # [gaussian, 3, 3]
    opacities: NDArray[np.float64]  # [gaussian]
    colors: NDArray[np.float64]  # [gaussian, 3]


class FrameBuffers(NamedTuple):
    """A frame, and what the backward pass needs; rows one after the other."""

    picture: NDArray[np.float64]  # [height * width * CHANNELS]
    light: NDArray[np.float64]  # [height * width] transmittance that is left
    stops: NDArray[np.int32]  # [height * width] first place in the order that no longer counts


@_kernel
@no_type_check
def _variances(posed, g, model, p, M):
    """Fill the centre `p` in the camera frame and `M`, the projection's Jacobian times rotation; return xx, xy, yy.

    The variances are those before `eps2d` is added. A centre that is not between near and far counts as one at depth 1,
    so that nothing is divided by zero.
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
    """First and last of `side` pixels that a box touches; last before first where it touches none."""
    low, high = centre - reach - 0.5, centre + reach - 0.5
    # Limited as floats, since NaN or a number too large for an integer turns into anything. NaN gives all pixels.
    first = 0 if not low > 0 else (side if low > side - 1 else int(math.ceil(low)))
    last = side - 1 if not high < side - 1 else (-1 if high < 0 else int(math.floor(high)))
    return first, last


@_kernel
@no_type_check
def project(posed, model, size, seen, boxes):
    """Fill the projections [gaussian, FIELDS] and their boxes: first and last column, first and last row."""
    p, M, lens = np.empty(3), np.empty((2, 3)), model.lens
    for g in range(len(seen)):
        seen[g, DEPTH] = 0.0
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
        # Beyond this many standard deviations coverage is below the threshold; with some slack for rounding.
        reach = 1.001 * math.sqrt(2 * math.log(o / model.min_alpha))
        boxes[g, 0], boxes[g, 1] = _span(seen[g, _U], reach * math.sqrt(xx) + 0.001, size[1])
        boxes[g, 2], boxes[g, 3] = _span(seen[g, _V], reach * math.sqrt(yy) + 0.001, size[0])
        if (boxes[g, 0] <= boxes[g, 1]) & (boxes[g, 2] <= boxes[g, 3]):
            seen[g, DEPTH] = p[2]


@_kernel
@no_type_check
def _exponent(dx, dy, a, b, c):
    """Minus the exponent of a Gaussian's coverage at an offset."""
    return 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy


@_kernel
@no_type_check
def blend(seen, boxes, colors, model, size, buffers):
    """Add each Gaussian behind those before it; the arrays are in the order of depth."""
    picture, light, stops = buffers
    for g in range(len(seen)):
        u, v, o, z = seen[g, _U], seen[g, _V], seen[g, _O], seen[g, DEPTH]
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
                k = np.uint64(CHANNELS) * i
                picture[k] += w * red
                picture[k + _GREEN] += w * green
                picture[k + _BLUE] += w * blue
                picture[k + _ALPHA] += w
                picture[k + _WEIGHTED_DEPTH] += w * z


@_kernel
@no_type_check
def unblend(seen, boxes, colors, model, size, buffers, grads):
    """Fill the gradients of projections and colours, [gaussian, FIELDS + 3], from the picture's in `buffers.picture`.

    `buffers.light` goes back to its value before the first Gaussian.
    """
    picture, light, stops = buffers
    # Of each pixel: its gradient times the share of all Gaussians that are farther than the present one.
    behind = np.zeros_like(light)
    for g in range(len(seen) - 1, -1, -1):
        u, v, o, z = seen[g, _U], seen[g, _V], seen[g, _O], seen[g, DEPTH]
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
                k = np.uint64(CHANNELS) * i
                p0, p1, p2 = picture[k], picture[k + _GREEN], picture[k + _BLUE]
                p3, p4 = picture[k + _ALPHA], picture[k + _WEIGHTED_DEPTH]
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
        grads[g, _O], grads[g, DEPTH] = do, dz
        grads[g, FIELDS], grads[g, FIELDS + 1], grads[g, FIELDS + 2] = dred, dgreen, dblue


@_kernel
@no_type_check
def _undilate(xx, xy, yy, opacity, found, model):
    """Gradients of the variances before `eps2d` and of the opacity, from those of conic and opacity in `found`."""
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
    """Gradients of one coordinate of the centre and of 1 / z, from those of `M`'s row and of the picture's coordinate.

    The row is focal / z times (the rotation's row - q times its last row), where q is coordinate / z within limits.
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
    # The limits are (a fixed edge - c) / focal, so the camera has gradients through them.
    limited = dq / focal if free != q else 0.0
    camera[12 + axis] += dscale * inverse + found[axis] * free - limited * q
    camera[14 + axis] += found[axis] - limited
    dfree = found[axis] * focal + (dq if free == q else 0.0)
    return dfree * inverse, dscale * focal + dfree * p[axis]


@_kernel
@no_type_check
def unproject(posed, model, grads, given, camera):
    """Write the gradients of means, covariances and opacities into `given`, and the camera's sum into `camera`."""
    p, M, dm, R = np.empty(3), np.empty((2, 3)), np.empty((2, 3)), model.R
    for g in range(len(grads)):
        found = grads[g]
        if not _is_nonzero(found):
            continue  # unseen: the gradient is zero, even where an overflow made a value infinite
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
        dp = (dx, dy, found[DEPTH] - (from_x + from_y) / (p[2] * p[2]))
        for i in range(3):
            given.means[g, i] = R[0, i] * dp[0] + R[1, i] * dp[1] + R[2, i] * dp[2]
            camera[9 + i] += dp[i]
            for j in range(3):
                camera[3 * i + j] += dp[i] * posed.means[g, j]


@_kernel
@no_type_check
def _is_nonzero(values):
    for value in values:
        if value != 0:
            return True
    return False
