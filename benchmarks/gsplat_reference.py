"""Run the whole GPU path on a CPU: gsplat's own `rasterization`, over its own reference in PyTorch.

gsplat's wheel carries what its CUDA kernels are tested against (`gsplat/cuda/_torch_impl.py`): projection, tiles and
compositing. Here those take the kernels' places below the real `gsplat.rasterization`, so that its signature, its
conventions and its checks are gsplat's and only the arithmetic runs elsewhere. Two gaps of that reference are filled,
each by its documented definition: which Gaussians a pixel meets (a kernel), and compositing along rays (nerfacc).

The last line of `python -m benchmarks.gsplat_reference` is one JSON object: `gsplat_reference_db`, the lowest agreement
with the CPU renderer over some scenes.
"""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from unittest.mock import patch

import torch
from torch import Tensor

from synthaug.renderers import Shot
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.gsplat import GsplatRenderer
from synthaug.testing.renderers import example_person, example_view, psnr, with_normals

_SMALLEST_ALPHA = 1 / 255
_LEAST_LIGHT = 1e-4
"""A pixel that lets less light through is finished; with 1/255 and 0.999 above, the constants of gsplat's kernels."""
_TRIANGLE = torch.tensor([[0, 1, 2], [1, 3, 4], [2, 4, 5]])
"""Where the six numbers of a symmetric matrix stand in it."""


@contextmanager
def gsplat_on_cpu() -> Iterator[None]:
    """Inside, `GsplatRenderer(device="cpu")` renders with gsplat's reference; nothing is compiled.

    Raises:
        ImportError: If gsplat is not installed.
    """
    rendering = importlib.import_module("gsplat.rendering")
    wrapper = importlib.import_module("gsplat.cuda._wrapper")
    reference = importlib.import_module("gsplat.cuda._torch_impl")
    nerfacc = ModuleType("nerfacc")
    nerfacc.render_weight_from_alpha = render_weight_from_alpha  # type: ignore[attr-defined]
    nerfacc.accumulate_along_rays = accumulate_along_rays  # type: ignore[attr-defined]

    def project(
        means: Tensor, covars: Tensor, quats: None, scales: None, *cameras: object, **settings: object
    ) -> object:
        assert quats is None and scales is None and settings.pop("packed") is False
        assert settings.pop("radius_clip") == 0.0 and settings.pop("sparse_grad") is False
        settings.pop("opacities")  # for tighter tiles alone
        return reference._fully_fused_projection(means, covars[..., _TRIANGLE], *cameras, **settings)

    def intersect(*projected: object, segmented: bool, packed: bool, **ids: object) -> object:
        assert not segmented and not packed and ids["image_ids"] is None
        return reference._isect_tiles(*projected)

    def rasterize(*planes: object, packed: bool, absgrad: bool, backgrounds: None) -> object:
        assert not packed and not absgrad
        return reference._rasterize_to_pixels(*planes, backgrounds=backgrounds)

    with (
        patch.object(reference, "accumulate", _with_module(reference.accumulate, nerfacc)),
        patch.object(torch.cuda, "is_available", lambda: True),
        patch.object(wrapper, "rasterize_to_indices_in_range", find_pairs),
        patch.object(rendering, "fully_fused_projection", project),
        patch.object(rendering, "isect_tiles", intersect),
        patch.object(rendering, "isect_offset_encode", reference._isect_offset_encode),
        patch.object(rendering, "rasterize_to_pixels", rasterize),
    ):
        yield


def _with_module(function: Callable[..., object], module: ModuleType) -> Callable[..., object]:
    """The function with a module in the place of the installed one, and no other import undone."""

    def call(*arguments: object) -> object:
        before = sys.modules.get(module.__name__)
        sys.modules[module.__name__] = module
        try:
            return function(*arguments)
        finally:
            del sys.modules[module.__name__]
            if before is not None:
                sys.modules[module.__name__] = before

    return call


def find_pairs(  # noqa: PLR0913  # gsplat's signature
    start: int, end: int, transmittances: Tensor, means2d: Tensor, conics: Tensor, opacities: Tensor, width: int,
    height: int, tile_size: int, offsets: Tensor, flatten_ids: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Which Gaussians each pixel meets, nearest first, until it lets no light through; pixels in order.

    `gsplat.rasterize_to_indices_in_range` by its documentation.

    Args:
        start: First batch of tile_size^2 Gaussians of each tile.
        end: The batch after the last.
        transmittances: Light that the pixels still let through. [..., height, width]
        means2d: Centres in pixels. [..., N, 2]
        conics: Inverse covariances: xx, xy, yy. [..., N, 3]
        opacities: Opacities. [..., N]
        width: Width of the picture.
        height: Height of the picture.
        tile_size: Side of a tile in pixels.
        offsets: Where each tile's list begins in flatten_ids. [..., rows, columns]
        flatten_ids: Gaussians of all tiles, nearest first: picture * N + Gaussian.

    Returns:
        Gaussian, pixel and picture of each pair.
    """
    count = means2d.shape[-2]
    means2d, conics, opacities = means2d.reshape(-1, 2), conics.reshape(-1, 3), opacities.reshape(-1)
    light = transmittances.reshape(-1, height, width)
    bounds = [*offsets.flatten().tolist(), len(flatten_ids)]
    tiles = torch.cartesian_prod(*(torch.arange(side) for side in (len(light), *offsets.shape[-2:])))
    gaussians, pixels, pictures = [], [], []
    for (picture, row, column), first, last in zip(tiles.tolist(), bounds[:-1], bounds[1:], strict=True):
        block = tile_size**2
        ids = flatten_ids[first:last][start * block : end * block].long()
        ys = torch.arange(row * tile_size, min((row + 1) * tile_size, height))
        xs = torch.arange(column * tile_size, min((column + 1) * tile_size, width))
        place = torch.cartesian_prod(ys, xs)
        dx, dy = (place[:, 1 - axis, None] + 0.5 - means2d[ids, axis] for axis in (0, 1))
        xx, xy, yy = conics[ids].unbind(1)
        exponent = 0.5 * (xx * dx**2 + yy * dy**2) + xy * dx * dy
        alpha = (opacities[ids] * torch.exp(-exponent)).clamp(max=0.999)
        alpha = torch.where((exponent < 0) | (alpha < _SMALLEST_ALPHA), 0.0, alpha)
        left = light[picture, place[:, 0], place[:, 1], None] * (1 - alpha).cumprod(1)
        pixel, member = ((alpha > 0) & (left > _LEAST_LIGHT)).nonzero(as_tuple=True)
        gaussians.append(ids[member] - picture * count)
        pixels.append(place[pixel, 0] * width + place[pixel, 1])
        pictures.append(torch.full_like(pixel, picture))
    found = torch.cat(gaussians), torch.cat(pixels), torch.cat(pictures)
    order = (found[2] * height * width + found[1]).argsort(stable=True)
    return found[0][order], found[1][order], found[2][order]


def render_weight_from_alpha(alphas: Tensor, *, ray_indices: Tensor, n_rays: int) -> tuple[Tensor, Tensor]:
    """Weight and transmittance of each sample of its ray: T_i = prod_{j<i} (1 - a_j), w_i = T_i a_i, as nerfacc's."""
    passed = torch.log1p(-alphas.double())
    before = passed.cumsum(0) - passed
    first = torch.searchsorted(ray_indices, torch.arange(n_rays)).clamp(max=max(len(alphas) - 1, 0))
    transmittance = (before - before[first][ray_indices]).exp().to(alphas.dtype)
    return transmittance * alphas, transmittance


def accumulate_along_rays(weights: Tensor, values: Tensor | None, *, ray_indices: Tensor, n_rays: int) -> Tensor:
    """Sum of weights times values along each ray, as nerfacc's; of weights alone without values: [n_rays, D]."""
    terms = weights[:, None] * (values if values is not None else 1)
    return terms.new_zeros(n_rays, terms.shape[1]).index_add(0, ray_indices, terms)


def measure() -> dict[str, float]:
    """Agreement of the GPU path with the CPU renderer, dB: one person, a crowd with light, and several clips."""
    view, wide = example_view(frames=2), example_view(frames=2, height=40, width=72)
    people = [example_person(count=250, seed=seed) for seed in range(3)]
    crowd = Shot((people[0], with_normals(people[1])), view, depth=True)
    shots = [Shot((people[0],), view), crowd, Shot((people[2],), wide), Shot((people[1],), view)]
    with gsplat_on_cpu():
        found = GsplatRenderer(device="cpu").render_clips(shots)
    lowest = float("inf")
    for shot, rendering in zip(shots, found, strict=True):
        expected = CpuRenderer().render(shot.people, shot.camera, depth=shot.depth)
        lowest = min(lowest, psnr(rendering.rgb, expected.rgb), psnr(rendering.alpha, expected.alpha))
    return {"gsplat_reference_db": round(lowest, 1)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure()))
