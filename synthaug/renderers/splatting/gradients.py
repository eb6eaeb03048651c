"""The specification's pictures with gradients, compiled: for fitting avatars to photographs and levels to people.

`splat` has the arguments, results and derivatives of `renderers/torch.py`'s `splat`. Skinning and covariances stay in
torch, in `synthaug.body.skinning.pose_frame`. The loops are in `splatting/gradient_kernels.py`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from synthaug.body.skinning import pose_frame
from synthaug.renderers import Splatting
from synthaug.renderers.splatting.checks import check_frames, check_posed, check_rest
from synthaug.renderers.splatting.gradient_kernels import (
    CAMERA,
    CHANNELS,
    DEPTH,
    FIELDS,
    FrameBuffers,
    FrameModel,
    PosedArrays,
    blend,
    project,
    unblend,
    unproject,
)
from synthaug.renderers.torch import FRUSTUM_MARGIN, MIN_ALPHA, MIN_TRANSMITTANCE, concatenate
from synthaug.structures import Camera, Gaussians, PosedGaussians


class _Splat(torch.autograd.Function):
    """The kernels as one operation: size, model, four tensors of Gaussians, viewmat and K give a picture."""

    @staticmethod
    def forward(ctx: Any, size: tuple[int, int], splatting: Splatting, *tensors: Tensor) -> Tensor:
        """Project, sort and blend; keep what the backward pass needs, for each Gaussian and each pixel."""
        posed, model = PosedArrays(*map(_array, tensors[:4])), _model(tensors[4], tensors[5], size, splatting)
        count, pixels = len(posed.means), size[0] * size[1]
        seen, boxes = np.empty((count, FIELDS)), np.empty((count, 4), np.int32)
        project(posed, model, size, seen, boxes)
        depths = seen[:, DEPTH].astype(np.float32)
        order = np.argsort(depths, kind="stable")
        order = order[np.searchsorted(depths[order], 0, side="right") :]
        buffers = FrameBuffers(np.zeros(pixels * CHANNELS), np.ones(pixels), np.full(pixels, len(order), np.int32))
        seen, boxes = seen[order], boxes[order]
        blend(seen, boxes, posed.colors[order], model, size, buffers)
        ctx.save_for_backward(*tensors)
        ctx.kept = (size, splatting, order, seen, boxes, buffers.light, buffers.stops)
        return torch.from_numpy(buffers.picture.reshape(*size, CHANNELS)).to(tensors[0].dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, picture: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of tensors, viewmat and K from that of the picture, farthest Gaussian first."""
        tensors = ctx.saved_tensors
        size, splatting, order, seen, boxes, light, stops = ctx.kept
        posed, model = PosedArrays(*map(_array, tensors[:4])), _model(tensors[4], tensors[5], size, splatting)
        count = len(posed.means)
        sorted_, grads, camera = np.empty((len(seen), FIELDS + 3)), np.zeros((count, FIELDS + 3)), np.zeros(CAMERA)
        buffers = FrameBuffers(_array(picture).reshape(-1), light.copy(), stops)
        unblend(seen, boxes, posed.colors[order], model, size, buffers, sorted_)
        grads[order] = sorted_
        given = PosedArrays(np.zeros_like(posed.means), np.zeros_like(posed.covars), np.zeros(count), grads[:, FIELDS:])
        unproject(posed, model, grads, given, camera)
        found = [torch.from_numpy(array) for array in (*given, *_camera_gradients(camera))]
        return None, None, *(grad.to(tensor.dtype) for grad, tensor in zip(found, tensors, strict=True))


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float64)


def _model(viewmat: Tensor, K: Tensor, size: tuple[int, int], splatting: Splatting) -> FrameModel:
    T, lens = _array(viewmat), _array(K)[[0, 1, 0, 1], [0, 1, 2, 2]]
    sides = np.array([size[1], size[0]])
    margins = FRUSTUM_MARGIN * 0.5 * sides
    edges = np.concatenate([-margins, sides + margins]) - np.tile(lens[2:], 2)
    return FrameModel(
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
    """Render one frame, differentiable in everything that the specification's `splat` is, the camera included.

    A Gaussian that touches no pixel, or lies behind others at which all its pixels have stopped, has gradient zero.
    Second derivatives raise a RuntimeError.

    Args:
        posed: Gaussians in the world frame, in main memory; all float32 or all float64, as the result.
        viewmat: World to camera.
        K: Intrinsics in pixels; skew is ignored, as in gsplat.
        height: Height of the picture, pixels.
        width: Width of the picture, pixels.
        splatting: The image model.

    Returns:
        Premultiplied colour; alpha; the alpha-weighted mean of camera z in metres, 0 where alpha is 0.

    Raises:
        ValueError: If shapes, precisions or devices disagree, a value is not finite, an opacity lies outside 0..1, a
            focal length is not positive, or the picture has no pixels.
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
    """Render all frames of people together, differentiable in all fields of `Gaussians` but `joint_ids`.

    Memory grows with frames times Gaussians: fit a few frames in a step, cut out of people and camera alike.

    Args:
        people: Each with as many frames as the camera. No people give a transparent picture.
        camera: One view for each frame.
        splatting: The image model.

    Returns:
        Premultiplied colour; alpha; depth as `splat` returns it.

    Raises:
        ValueError: If frame counts or shapes differ, or a value is out of range or not finite.
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
            concatenate([pose_frame(person, t) for person in people]),
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
