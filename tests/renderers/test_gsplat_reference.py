"""The GPU path without a GPU: gsplat's real `rasterization` over the reference in PyTorch that its wheel carries."""

import dataclasses
import importlib
import inspect
from collections.abc import Iterator

import pytest
import torch

from benchmarks.gsplat_reference import accumulate_along_rays, gsplat_on_cpu, render_weight_from_alpha
from synthaug.renderers import Shot, Splatting
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.gsplat import GsplatRenderer
from synthaug.structures import Light
from synthaug.testing.renderers import MIN_PSNR, check_renderer, dot, example_person, example_view, psnr, with_normals

pytest.importorskip("gsplat")


@pytest.fixture
def on_cpu() -> Iterator[None]:
    with gsplat_on_cpu():
        yield


@pytest.mark.parametrize("antialiased", [True, False])
def test_the_gpu_path_keeps_the_contract_of_a_renderer(on_cpu: None, antialiased: bool):
    splatting = Splatting(antialiased=antialiased)
    check_renderer(GsplatRenderer(splatting, device="cpu"), splatting=splatting)


def test_clips_people_lights_and_sizes_in_one_batch_are_the_cpu_renderers(on_cpu: None):
    view, wide = example_view(frames=2), example_view(frames=2, height=37, width=70)
    light = Light((0.3, 0.5, -0.7), (0.9, 0.8, 0.7), (0.6, 0.7, 0.8), (0.4, 0.3, 0.1))
    plain = example_person(count=200, seed=1)
    lit = dataclasses.replace(with_normals(example_person(count=150, joints=7, k=2, seed=2)), light=light)
    shots = [Shot((plain,), view), Shot((lit, plain), view), Shot((lit,), wide, depth=True), Shot((), wide)]
    for shot, found in zip(shots, GsplatRenderer(device="cpu").render_clips(shots), strict=True):
        expected = CpuRenderer().render(shot.people, shot.camera, depth=shot.depth)
        assert psnr(found.rgb, expected.rgb) > MIN_PSNR and psnr(found.alpha, expected.alpha) > MIN_PSNR
        if shot.depth:
            assert found.depth is not None and expected.depth is not None
            solid = expected.alpha > 128
            assert float((found.depth - expected.depth)[solid].abs().mean()) < 0.01


@pytest.mark.parametrize("limit", [0.9, 0.99])
def test_a_lower_limit_of_alpha_is_kept_at_the_centre_of_a_gaussian(on_cpu: None, limit: float):
    opaque = dataclasses.replace(dot((0.0, 0.0, 0.0), color=(1.0, 1.0, 1.0)), opacities=torch.tensor([1.0]))
    large = dataclasses.replace(opaque, scales=torch.full((1, 3), 0.3))
    found = GsplatRenderer(Splatting(max_alpha=limit), device="cpu").render([large], example_view(frames=1))
    assert abs(int(found.alpha.max()) - 255 * limit) <= 1  # no pixel's centre is the Gaussian's


def test_people_behind_the_camera_and_beyond_the_picture_are_left_out(on_cpu: None):
    view = example_view(frames=1)
    away = [dot((0.0, 0.0, 5.0), color=(1.0, 0.0, 0.0)), dot((9.0, 0.0, 0.0), color=(0.0, 1.0, 0.0))]
    assert not GsplatRenderer(device="cpu").render(away, view).alpha.any()


def test_a_convention_that_is_wrong_is_found(on_cpu: None, monkeypatch: pytest.MonkeyPatch):
    """The test of the tests: transposed views, as row-major libraries have them, are no picture of the person."""
    rendering = importlib.import_module("gsplat.rendering")
    right = rendering.fully_fused_projection

    def transpose(means, covars, quats, scales, viewmats, *rest, **settings):
        turned = viewmats.clone()
        turned[..., :3, :3] = viewmats[..., :3, :3].mT
        return right(means, covars, quats, scales, turned, *rest, **settings)

    monkeypatch.setattr(rendering, "fully_fused_projection", transpose)
    people, view = [example_person(count=200)], example_view()
    assert psnr(GsplatRenderer(device="cpu").render(people, view).rgb, CpuRenderer().render(people, view).rgb) < 30


def test_our_arguments_are_those_of_the_installed_gsplat():
    from gsplat import rasterization

    known = set(inspect.signature(rasterization).parameters)
    assert {"means", "quats", "scales", "covars", "opacities", "colors", "viewmats", "Ks", "near_plane", "far_plane",
            "eps2d", "packed", "render_mode", "rasterize_mode"} <= known  # fmt: skip


def test_compositing_along_rays_is_the_closed_form():
    alphas = torch.tensor([0.5, 0.25, 0.9, 0.1, 0.2, 0.3])
    rays = torch.tensor([0, 0, 0, 2, 2, 3])  # ray 1 meets nothing
    weights, light = render_weight_from_alpha(alphas, ray_indices=rays, n_rays=4)
    torch.testing.assert_close(light, torch.tensor([1, 0.5, 0.375, 1, 0.9, 1]))
    torch.testing.assert_close(weights, light * alphas)
    values = torch.arange(6.0)[:, None]
    summed = accumulate_along_rays(weights, values, ray_indices=rays, n_rays=4)
    torch.testing.assert_close(summed[:, 0], torch.tensor([0.125 + 2 * 0.3375, 0, 0.3 + 4 * 0.18, 1.5]))
    torch.testing.assert_close(
        accumulate_along_rays(weights, None, ray_indices=rays, n_rays=4)[:, 0],
        1 - torch.tensor([0.5 * 0.75 * 0.1, 1, 0.9 * 0.8, 0.7]),
    )
