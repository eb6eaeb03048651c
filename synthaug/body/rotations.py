"""Convert and interpolate rotations as axis-angles, matrices and quaternions (wxyz), in radians. Pure functions.

Compiled loops do the work where no gradient is needed.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor


def can_compile(*tensors: Tensor) -> bool:
    """Whether compiled loops can process these tensors: in main memory, floating point, without gradients.

    A clip has a few thousand rotations, for which a chain of tensor operations costs thirty times the arithmetic.
    """
    tracking = torch.is_grad_enabled()
    # No generator: each of its steps is a call, and clips ask this a dozen times.
    for tensor in tensors:
        if not tensor.is_cpu or not tensor.is_floating_point() or (tracking and tensor.requires_grad):
            return False
    return True


def rows_of(tensor: Tensor, axes: int) -> NDArray[np.floating]:
    """The last axes of a tensor as rows of an array."""
    return np.ascontiguousarray(tensor.detach().numpy()).reshape(-1, *tensor.shape[tensor.ndim - axes :])


def axis_angle_to_matrix(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of axis-angle vectors (Rodrigues' formula), smooth through zero."""
    if can_compile(axis_angle):
        rows = rows_of(axis_angle, 1)
        out = np.empty((len(rows), 3, 3), rows.dtype)
        write_matrices(rows, out)
        return torch.from_numpy(out).reshape(*axis_angle.shape, 3)
    square = (axis_angle * axis_angle).sum(-1)
    # Below 1e-8 rad^2 the series is exact to the last bit of float32 and its gradient is finite.
    small = square < 1e-8
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    sinc = torch.where(small, 1 - square / 6, angle.sin() / angle)
    cosc = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / angle**2)
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    K = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sinc[..., None, None] * K + cosc[..., None, None] * (K @ K)


def matrix_to_quat(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions (wxyz, w >= 0) of rotation matrices, stable at every angle.

    Source:
        Shepperd, "Quaternion from rotation matrix", 1978: divide by the largest of the four.
    """
    if can_compile(R):
        rows = rows_of(R, 2)
        out = np.empty((len(rows), 4), rows.dtype)
        write_quats(rows, out)
        return torch.from_numpy(out).reshape(*R.shape[:-2], 4)
    m = [[R[..., i, j] for j in range(3)] for i in range(3)]
    squares = torch.stack(
        [
            1 + m[0][0] + m[1][1] + m[2][2],
            1 + m[0][0] - m[1][1] - m[2][2],
            1 - m[0][0] + m[1][1] - m[2][2],
            1 - m[0][0] - m[1][1] + m[2][2],
        ],
        dim=-1,
    )
    candidates = torch.stack(
        [
            torch.stack([squares[..., 0], m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]], dim=-1),
            torch.stack([m[2][1] - m[1][2], squares[..., 1], m[1][0] + m[0][1], m[0][2] + m[2][0]], dim=-1),
            torch.stack([m[0][2] - m[2][0], m[1][0] + m[0][1], squares[..., 2], m[2][1] + m[1][2]], dim=-1),
            torch.stack([m[1][0] - m[0][1], m[0][2] + m[2][0], m[2][1] + m[1][2], squares[..., 3]], dim=-1),
        ],
        dim=-2,
    )
    best = squares.argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quat = torch.nn.functional.normalize(candidates.gather(-2, best).squeeze(-2), dim=-1)
    return torch.where(quat[..., :1] < 0, -quat, quat)


def quat_to_matrix(quats: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of quaternions (wxyz), which are normalised first, as gsplat does."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def quat_to_axis_angle(quat: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Axis-angle vectors, of length at most pi, of unit quaternions (wxyz)."""
    if can_compile(quat):
        rows = rows_of(quat, 1)
        out = np.empty((len(rows), 3), rows.dtype)
        write_axis_angles(rows, out)
        return torch.from_numpy(out).reshape(*quat.shape[:-1], 3)
    quat = torch.where(quat[..., :1] < 0, -quat, quat)
    sine = quat[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quat[..., :1])
    # angle / sine tends to 2 / w at zero.
    factor = torch.where(sine < 1e-6, 2 / quat[..., :1].clamp(min=1e-6), angle / sine.clamp(min=1e-12))
    return quat[..., 1:] * factor


def matrix_to_axis_angle(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis-angle vectors, of length at most pi, of rotation matrices."""
    return quat_to_axis_angle(matrix_to_quat(R))


def rotation_6d_to_matrix(d6: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices from their first two rows, orthonormalised.

    Source:
        Zhou and others, "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019.
    """
    a, b = d6[..., :3], d6[..., 3:]
    x = torch.nn.functional.normalize(a, dim=-1)
    y = torch.nn.functional.normalize(b - (x * b).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-2)


def slerp(
    a: Float[Tensor, "*batch 4"], b: Float[Tensor, "*batch 4"], t: Float[Tensor, "*batch 1"]
) -> Float[Tensor, "*batch 4"]:
    """Spherical interpolation of unit quaternions along the shorter arc.

    Source:
        Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985.
    """
    if can_compile(a, b, t) and a.dtype == b.dtype == t.dtype:
        ours, theirs = torch.broadcast_tensors(a, b)
        out = np.empty((ours.numel() // 4, 4), a.detach().numpy().dtype)
        write_slerp(rows_of(ours, 1), rows_of(theirs, 1), rows_of(t.expand(*ours.shape[:-1], 1), 1), out)
        return torch.from_numpy(out).reshape(ours.shape)
    dot = (a * b).sum(-1, keepdim=True)
    b = torch.where(dot < 0, -b, b)
    angle = torch.acos(dot.abs().clamp(max=1))
    sine = angle.sin()
    near = sine < 1e-4
    safe = torch.where(near, torch.ones_like(sine), sine)
    wa = torch.where(near, 1 - t, ((1 - t) * angle).sin() / safe)
    wb = torch.where(near, t, (t * angle).sin() / safe)
    return torch.nn.functional.normalize(wa * a + wb * b, dim=-1)


compile_loop = numba.njit(nogil=True, cache=True, error_model="numpy")
"""Compiles a loop. Its cache notices only changes of a caller's own file: after a change, touch callers elsewhere."""


@no_type_check
@compile_loop
def write_matrices(axis_angles, out):
    """See `axis_angle_to_matrix`."""
    for n in range(len(axis_angles)):
        x, y, z = axis_angles[n, 0], axis_angles[n, 1], axis_angles[n, 2]
        square = x * x + y * y + z * z
        if square < 1e-8:
            sinc, cosc = 1 - square / 6, 0.5 - square / 24
        else:
            angle = np.sqrt(square)
            sinc, cosc = np.sin(angle) / angle, (1 - np.cos(angle)) / square
        out[n, 0, 0], out[n, 1, 1], out[n, 2, 2] = (
            1 - cosc * (y * y + z * z), 1 - cosc * (x * x + z * z), 1 - cosc * (x * x + y * y),
        )  # fmt: skip
        out[n, 0, 1], out[n, 1, 0] = cosc * x * y - sinc * z, cosc * x * y + sinc * z
        out[n, 0, 2], out[n, 2, 0] = cosc * x * z + sinc * y, cosc * x * z - sinc * y
        out[n, 1, 2], out[n, 2, 1] = cosc * y * z - sinc * x, cosc * y * z + sinc * x


@no_type_check
@compile_loop
def write_quats(matrices, out):
    """See `matrix_to_quat`."""
    for n in range(len(matrices)):
        m = matrices[n]
        a, b, c = m[0, 0], m[1, 1], m[2, 2]
        trace = a + b + c
        if trace >= a and trace >= b and trace >= c:
            w, x, y, z = 1 + trace, m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
        elif a >= b and a >= c:
            w, x, y, z = m[2, 1] - m[1, 2], 1 + a - b - c, m[1, 0] + m[0, 1], m[0, 2] + m[2, 0]
        elif b >= c:
            w, x, y, z = m[0, 2] - m[2, 0], m[1, 0] + m[0, 1], 1 - a + b - c, m[2, 1] + m[1, 2]
        else:
            w, x, y, z = m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[2, 1] + m[1, 2], 1 - a - b + c
        length = np.sqrt(w * w + x * x + y * y + z * z)
        scale = (-1 if w < 0 else 1) / (length if length > 1e-12 else 1e-12)
        out[n, 0], out[n, 1], out[n, 2], out[n, 3] = w * scale, x * scale, y * scale, z * scale


@no_type_check
@compile_loop
def write_axis_angles(quats, out):
    """See `quat_to_axis_angle`."""
    for n in range(len(quats)):
        sign = -1 if quats[n, 0] < 0 else 1
        w, x, y, z = sign * quats[n, 0], sign * quats[n, 1], sign * quats[n, 2], sign * quats[n, 3]
        sine = np.sqrt(x * x + y * y + z * z)
        factor = 2 / max(w, 1e-6) if sine < 1e-6 else 2 * np.arctan2(sine, w) / sine
        out[n, 0], out[n, 1], out[n, 2] = x * factor, y * factor, z * factor


@no_type_check
@compile_loop
def write_slerp(ours, theirs, shares, out):
    """See `slerp`."""
    for n in range(len(ours)):
        dot, t = 0 * ours[n, 0], shares[n, 0]
        for i in range(4):
            dot += ours[n, i] * theirs[n, i]
        angle = np.arccos(min(abs(dot), 1.0))
        sine = np.sin(angle)
        wa, wb = 1 - t, t
        if sine >= 1e-4:
            wa, wb = np.sin((1 - t) * angle) / sine, np.sin(t * angle) / sine
        wb = -wb if dot < 0 else wb
        square = 0 * dot
        for i in range(4):
            out[n, i] = wa * ours[n, i] + wb * theirs[n, i]
            square += out[n, i] * out[n, i]
        length = max(np.sqrt(square), 1e-12)
        for i in range(4):
            out[n, i] /= length


@no_type_check
@compile_loop
def write_quat(axis_angle, out):
    """Unit quaternion of one axis-angle vector."""
    x, y, z = axis_angle[0], axis_angle[1], axis_angle[2]
    square = x * x + y * y + z * z
    if square < 1e-8:
        out[0], factor = 1 - square / 8, 0.5 - square / 48
    else:
        angle = np.sqrt(square)
        out[0], factor = np.cos(angle / 2), np.sin(angle / 2) / angle
    out[1], out[2], out[3] = factor * x, factor * y, factor * z
