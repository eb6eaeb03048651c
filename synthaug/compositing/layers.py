"""Lay rendered people over backgrounds: the operator over, occlusion by the scene, darkening. Pure functions.

Compiled loops process CPU tensors. On other devices the `_plain` tensor forms run; tests check that both give the same
pixels.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.structures import Rendering


def over(rendering: Rendering, frames: UInt8[Tensor, "time 3 height width"]) -> UInt8[Tensor, "time 3 height width"]:
    """A rendering laid over frames, once.

    `rendering.rgb` is multiplied by alpha already; multiplying again would give people the dark fringe of the
    paper's released code. Values are blended as sRGB, because avatars are fitted to sRGB photographs. Where alpha is 0
    the background comes back exactly, where it is 255 the person.

    Args:
        rendering: The people.
        frames: Opaque, of the rendering's size.

    Returns:
        Opaque frames, rounded to the nearest value.

    Source:
        Porter and Duff, "Compositing Digital Images", SIGGRAPH 1984 (the operator *over*).
    """
    if rendering.rgb.shape != frames.shape:
        raise ValueError(
            f"Expected frames of the rendering's shape {tuple(rendering.rgb.shape)}, got {tuple(frames.shape)}. "
            "Ask the background for the rendering's frames and size."
        )
    if frames.device.type != "cpu":
        return over_plain(rendering, frames)
    out = torch.empty(frames.shape, dtype=torch.uint8)
    # A still place is one frame, seen over and over.
    behind = frames[:1] if frames.stride(0) == 0 else frames
    _over(
        rendering.rgb.contiguous().numpy(), rendering.alpha.contiguous().numpy(), behind.contiguous().numpy(),
        out.numpy(),
    )  # fmt: skip
    return out


def over_plain(
    rendering: Rendering, frames: UInt8[Tensor, "time 3 height width"]
) -> UInt8[Tensor, "time 3 height width"]:
    """`over` on any device: the same pixels by tensor arithmetic."""
    # (x + 128 + (x + 128 >> 8)) >> 8 is x / 255 rounded to the nearest, exactly, for 0 <= x <= 255^2.
    product = frames.int() * (255 - rendering.alpha.int()) + 128
    return (rendering.rgb + (product + (product >> 8) >> 8)).clamp(max=255).to(torch.uint8)


@no_type_check
@numba.njit(nogil=True, cache=True)
def _over(rgb, alpha, frames, out):
    times, channels, height, width = rgb.shape
    size = height * width
    for t in range(times):
        covered, place = alpha[t].reshape(size), t if len(frames) > 1 else 0
        for c in range(channels):
            person, behind, laid = rgb[t, c].reshape(size), frames[place, c].reshape(size), out[t, c].reshape(size)
            for i in range(size):
                product = np.uint16(np.uint16(behind[i]) * np.uint16(np.uint16(255) - covered[i]) + np.uint16(128))
                share = np.uint16(np.uint16(product + np.uint16(product >> np.uint16(8))) >> np.uint16(8))
                laid[i] = np.uint8(min(np.uint16(person[i] + share), np.uint16(255)))


def occlude(rendering: Rendering, depth: Float[Tensor, "height width"]) -> Rendering:
    """The rendering without what nearer things of the scene hide.

    The border of what hides is softened over one pixel, within the person alone: the silhouette of a wholly hidden
    person leaves no ghost.

    Args:
        rendering: The people, with depth.
        depth: Camera depth of the scene, metres.
    """
    if rendering.depth is None:
        raise ValueError(
            "Expected a rendering with depth, to tell what is nearer, got one without. Render with depth=True."
        )
    if rendering.rgb.device.type != "cpu":
        return occlude_plain(rendering, depth)
    present = (rendering.alpha.contiguous().numpy(), rendering.depth.float().contiguous().numpy())
    nearer = depth.float().contiguous().numpy()
    boxes = np.empty((len(rendering.alpha), 4), np.int64)
    if not _behind(*present, nearer, boxes):
        return rendering
    rgb, alpha, distance = rendering.rgb.clone(), rendering.alpha.clone(), rendering.depth.float().clone()
    _hide(*present, nearer, boxes, (rgb.numpy(), alpha.numpy(), distance.numpy()))
    return Rendering(rgb=rgb, alpha=alpha, depth=distance.to(rendering.depth), labels=rendering.labels)


def occlude_plain(rendering: Rendering, depth: Float[Tensor, "height width"]) -> Rendering:
    """`occlude` on any device: the same pixels by tensor arithmetic."""
    assert rendering.depth is not None
    weight = rendering.alpha.float()
    behind = (rendering.alpha > 0) & (rendering.depth > depth)
    shown = torch.nn.functional.avg_pool2d(weight * ~behind, 3, stride=1, padding=1)
    total = torch.nn.functional.avg_pool2d(weight, 3, stride=1, padding=1)
    share = shown / total.clamp(min=1e-6)
    rgb, alpha = ((values * share + 0.5).to(torch.uint8) for values in (rendering.rgb, rendering.alpha))
    return Rendering(rgb=rgb, alpha=alpha, depth=rendering.depth * (alpha > 0), labels=rendering.labels)


@no_type_check
@numba.njit(nogil=True, cache=True)
def _behind(alpha, distance, scene, boxes):
    """The box of what is hidden in each frame: rows from, to, columns from, to. And whether anything is."""
    times, _, height, width = alpha.shape
    found = False
    for t in range(times):
        top, bottom, left, right = height, 0, width, 0
        for row in range(height):
            here, far, near = alpha[t, 0, row], distance[t, 0, row], scene[row]
            count = np.int32(0)
            for i in range(width):
                count += np.int32((far[i] > near[i]) & (here[i] > 0))
            if count == 0:
                continue
            top, bottom = min(top, row), row + 1
            for i in range(width):
                if far[i] > near[i] and here[i] > 0:
                    left, right = min(left, i), max(right, i + 1)
        boxes[t] = (top, bottom, left, right)
        found |= bottom > top
    return found


@no_type_check
@numba.njit(nogil=True, cache=True)
def _hide(alpha, distance, scene, boxes, left):
    """Take away what is hidden from a copy of colour, alpha and depth: in its box and one pixel around it."""
    rgb, covered, depth = left
    times, _, height, width = alpha.shape
    for t in range(times):
        for row in range(max(boxes[t, 0] - 1, 0), min(boxes[t, 1] + 1, height)):
            for i in range(max(boxes[t, 2] - 1, 0), min(boxes[t, 3] + 1, width)):
                if alpha[t, 0, row, i] == 0:
                    continue
                seen, total = 0, 0
                for r in range(max(row - 1, 0), min(row + 2, height)):
                    for c in range(max(i - 1, 0), min(i + 2, width)):
                        weight = np.int64(alpha[t, 0, r, c])
                        total += weight
                        seen += weight * (distance[t, 0, r, c] <= scene[r, c])
                if seen == total:
                    continue
                share = np.float32(seen) / np.float32(total)
                for c in range(3):
                    rgb[t, c, row, i] = np.uint8(rgb[t, c, row, i] * share + np.float32(0.5))
                covered[t, 0, row, i] = np.uint8(covered[t, 0, row, i] * share + np.float32(0.5))
                if covered[t, 0, row, i] == 0:
                    depth[t, 0, row, i] = 0


def darken(
    frames: UInt8[Tensor, "time 3 height width"], factor: Float[Tensor, "time 1 height width"]
) -> UInt8[Tensor, "time 3 height width"]:
    """Frames darkened by a factor on their light.

    The factor is one on linear light; sRGB values scale by about its 2.2nd root, and a factor of 1 changes nothing.
    """
    if frames.device.type != "cpu":
        return (frames * factor.clamp(0, 1) ** (1 / 2.2) + 0.5).to(torch.uint8)
    out = torch.empty_like(frames, memory_format=torch.contiguous_format)
    _darken(frames.contiguous().numpy(), factor.contiguous().numpy(), out.numpy())
    return out


# 1024 steps of the factor: finer than a step of uint8 anywhere above a factor of 1e-3.
_ROOTS = (np.linspace(0, 1, 1025) ** (1 / 2.2)).astype(np.float32)


@no_type_check
@numba.njit(nogil=True, cache=True)
def _darken(frames, factor, out):
    times, channels, height, width = frames.shape
    for t in range(times):
        for c in range(channels):
            for row in range(height):
                for i in range(width):
                    kept = min(max(factor[t, 0, row, i], np.float32(0)), np.float32(1))
                    root = _ROOTS[int(kept * np.float32(1024) + np.float32(0.5))]
                    out[t, c, row, i] = np.uint8(np.float32(frames[t, c, row, i]) * root + np.float32(0.5))
