"""The light of a place on the people in it. Pure; between avatars and renderers.

Colours of avatars carry the light of their own photographs already; what is added here is gentle and relative to it.
"""

import dataclasses
from typing import NamedTuple, no_type_check

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from synthaug.structures import Gaussians, Light

NEUTRAL = Light(direction=(0.3, 0.8, 0.52), key=(0.6, 0.6, 0.6), sky=(0.9, 0.9, 0.9), ground=(0.65, 0.65, 0.65))
"""A bright, even room with a window above and before the person: shade is 1 averaged over all directions."""
WRAP = 0.5
"""How far light reaches beyond the terminator, as the cosine at which it ends: skin and cloth scatter."""
BRIGHTEST = 1.6
"""Cap on shade. Beyond it the colours of fitted avatars clip to flat white at uint8."""

LANES = 16
"""Frames worked on together, padded: one AVX-512 register of float32."""
_LANES, _ROW = np.uint64(LANES), tuple(np.uint64(LANES * i) for i in range(9))
_kernel = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_WRAP, _BRIGHTEST, _TINY = np.float32(WRAP), np.float32(BRIGHTEST), np.float32(1e-12)


class _Bones(NamedTuple):
    """What turns normals."""

    normals: NDArray[np.float32]  # [gaussian, 3]
    joint_ids: NDArray[np.int64]  # [gaussian, k]
    weights: NDArray[np.float32]  # [gaussian, k]
    rotations: NDArray[np.float32]  # [joint, time / 16, 9, 16] flat, so that 16 frames are one register
    joints: int


def shaded(gaussians: Gaussians, light: Light) -> Gaussians:
    """The person as this light shows them: `shade` filled from normals that turn with the joints.

    The surroundings light each normal by how far it looks up (hemisphere light), the distant light by a Lambert term
    wrapped around the terminator. Nothing casts shadows. The factor multiplies display-referred colours as they are.
    Whatever shade there was is replaced.

    Args:
        gaussians: Without normals they come back as the same object, for nobody can relight them.
        light: World frame.

    Returns:
        The same Gaussians with `shade` in [0, BRIGHTEST].

    Raises:
        ValueError: If a joint does not exist.

    Source:
        Green, "Real-Time Approximations to Subsurface Scattering", GPU Gems, 2004 (wrapped diffuse).
    """
    if gaussians.normals is None:
        return gaussians
    joints = gaussians.T_world_rest.shape[1]
    ids = gaussians.joint_ids
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < joints:
        raise ValueError(
            f"joint_ids reach from {int(ids.min())} to {int(ids.max())}; 0 to {joints - 1} was wanted, for "
            f"T_world_rest has {joints} joints. Fill unused slots with joint 0, weight 0."
        )
    shade = np.empty((gaussians.num_frames, len(gaussians.means), 3), np.float32)
    lamp = np.array([light.direction, light.key, light.sky, light.ground], np.float32)
    lamp[0] /= max(float(np.linalg.norm(lamp[0])), 1e-6)
    _shade(_bones(gaussians), lamp, shade)
    return dataclasses.replace(gaussians, shade=torch.from_numpy(shade).to(gaussians.means))


def _bones(gaussians: Gaussians) -> _Bones:
    assert gaussians.normals is not None
    R = gaussians.T_world_rest[:, :, :3, :3].numpy(force=True)
    frames, joints = R.shape[:2]
    padded = np.zeros((-(-frames // LANES) * LANES, joints, 9), np.float32)
    padded[:frames] = R.reshape(frames, joints, 9)
    rotations = padded.reshape(-1, LANES, joints, 9).transpose(2, 0, 3, 1)
    return _Bones(
        normals=np.ascontiguousarray(gaussians.normals.numpy(force=True), np.float32),
        joint_ids=np.ascontiguousarray(gaussians.joint_ids.numpy(force=True), np.int64),
        weights=np.ascontiguousarray(gaussians.weights.numpy(force=True), np.float32),
        rotations=np.ascontiguousarray(rotations).ravel(),
        joints=joints,
    )


@_kernel
@no_type_check
def _turn(bones, i, block, normal):
    """The normal of Gaussian `i` in 16 frames, [3, 16], not normalised."""
    normal[:] = _ZERO
    slots = bones.joint_ids.shape[1]
    blocks = bones.rotations.size // (bones.joints * 9 * LANES)
    for k in range(slots):
        w = bones.weights[i, k]
        x, y, z = w * bones.normals[i, 0], w * bones.normals[i, 1], w * bones.normals[i, 2]
        at = np.uint64((bones.joint_ids[i, k] * blocks + block) * 9 * LANES)
        R = bones.rotations
        for t in range(_LANES):
            r = at + t
            normal[t] += R[r] * x + R[r + _ROW[1]] * y + R[r + _ROW[2]] * z
            normal[t + _ROW[1]] += R[r + _ROW[3]] * x + R[r + _ROW[4]] * y + R[r + _ROW[5]] * z
            normal[t + _ROW[2]] += R[r + _ROW[6]] * x + R[r + _ROW[7]] * y + R[r + _ROW[8]] * z


@_kernel
@no_type_check
def _light(normal, lamp, factor):
    """The factors of one Gaussian in 16 frames, [3, 16]."""
    lx, ly, lz = lamp[0, 0], lamp[0, 1], lamp[0, 2]
    for t in range(_LANES):
        x, y, z = normal[t], normal[t + _ROW[1]], normal[t + _ROW[2]]
        square = x * x + y * y + z * z
        r = _ONE / np.sqrt(square if square > _TINY else _TINY)
        factor[t] = _HALF + _HALF * y * r
        lit = (x * lx + y * ly + z * lz) * r + _WRAP
        factor[t + _ROW[1]] = (lit if lit > _ZERO else _ZERO) / (_ONE + _WRAP)
    r0, r1, r2 = lamp[2, 0] - lamp[3, 0], lamp[2, 1] - lamp[3, 1], lamp[2, 2] - lamp[3, 2]
    for t in range(_LANES):
        up, lit = factor[t], factor[t + _ROW[1]]
        red, green, blue = (
            lamp[3, 0] + r0 * up + lamp[1, 0] * lit,
            lamp[3, 1] + r1 * up + lamp[1, 1] * lit,
            lamp[3, 2] + r2 * up + lamp[1, 2] * lit,
        )
        factor[t] = min(red if red > _ZERO else _ZERO, _BRIGHTEST)
        factor[t + _ROW[1]] = min(green if green > _ZERO else _ZERO, _BRIGHTEST)
        factor[t + _ROW[2]] = min(blue if blue > _ZERO else _ZERO, _BRIGHTEST)


@_kernel
@no_type_check
def _shade(bones, lamp, shade):
    """Fill `shade` [time, gaussian, 3]; `lamp` is direction, key, sky, ground."""
    frames, count, _ = shade.shape
    normal, factor = np.empty(3 * LANES, np.float32), np.empty(3 * LANES, np.float32)
    for block in range((frames + LANES - 1) // LANES):
        first = block * LANES
        for i in range(count):
            _turn(bones, i, block, normal)
            _light(normal, lamp, factor)
            for t in range(first, min(first + LANES, frames)):
                for c in range(3):
                    shade[t, i, c] = factor[c * LANES + t - first]
