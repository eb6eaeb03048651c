"""Bring what one joint moves into the layout of `kernels`: the Gaussians of things and seats, new in every clip."""

import math
from typing import no_type_check

import numba

from synthaug.renderers.splatting.kernels import LANES

SHORTEST = 2e-6
"""Length of a quaternion below which `checks.check_rest` is asked: it allows half of that."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def fill_rigid(gaussians, out):
    """Fill [block, column, lane] arrays: mean, covariance, opacity and normal; colour; weight on the one joint.

    Lanes without a Gaussian are zeros in the first; the other arrays have to be zeros before.

    Args:
        gaussians: Means, quaternions, scales, opacities, colours, weights and normals, as in `Gaussians`.
        out: The three arrays.

    Returns:
        Whether all is finite and within the bounds of `checks.check_rest`, found in the same pass, since a seat is new
        in every clip. In doubt it is not.
    """
    means, quats, scales, opacities, colors, weights, normals = gaussians
    floats, planes, shares = out
    count = len(means)
    bad, total = False, 0.0
    for i in range(len(floats) * LANES):
        block, lane = i // LANES, i % LANES
        if i >= count:
            floats[block, :, lane] = 0
            continue
        w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
        size = math.sqrt(w * w + x * x + y * y + z * z)
        bad |= not size >= SHORTEST
        size = 1 / max(size, 1e-12)
        w, x, y, z = w * size, x * size, y * size, z * size
        a, b, c = scales[i, 0], scales[i, 1], scales[i, 2]
        bad |= not (a >= 0 and b >= 0 and c >= 0 and opacities[i] >= 0 and opacities[i] <= 1)
        # What is not finite times 0 is NaN, which no sum gets rid of.
        total += 0 * (w + x + y + z + a + b + c + weights[i, 0])
        m00, m01, m02 = (1 - 2 * (y * y + z * z)) * a, 2 * (x * y - w * z) * b, 2 * (x * z + w * y) * c
        m10, m11, m12 = 2 * (x * y + w * z) * a, (1 - 2 * (x * x + z * z)) * b, 2 * (y * z - w * x) * c
        m20, m21, m22 = 2 * (x * z - w * y) * a, 2 * (y * z + w * x) * b, (1 - 2 * (x * x + y * y)) * c
        floats[block, 3, lane] = m00 * m00 + m01 * m01 + m02 * m02
        floats[block, 4, lane] = m00 * m10 + m01 * m11 + m02 * m12
        floats[block, 5, lane] = m00 * m20 + m01 * m21 + m02 * m22
        floats[block, 6, lane] = m10 * m10 + m11 * m11 + m12 * m12
        floats[block, 7, lane] = m10 * m20 + m11 * m21 + m12 * m22
        floats[block, 8, lane] = m20 * m20 + m21 * m21 + m22 * m22
        floats[block, 9, lane] = opacities[i]
        for k in range(3):
            floats[block, k, lane] = means[i, k]
            floats[block, 10 + k, lane] = normals[i, k]
            planes[block, k, lane] = colors[i, k]
            total += 0 * (means[i, k] + normals[i, k] + colors[i, k])
        shares[block, 0, lane] = weights[i, 0]
    return total == 0 and not bad
