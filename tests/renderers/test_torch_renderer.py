"""The specification against an independent truth: section by section, pixel by pixel, in float64."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from synthaug.body.skinning import pose_frame
from synthaug.renderers import Splatting
from synthaug.renderers.torch import TorchRenderer, project, splat, to_uint8
from synthaug.structures import Camera, Gaussians, PosedGaussians
from synthaug.testing.renderers import check_renderer, example_person, example_view, psnr


def brute_force(posed: PosedGaussians, camera: Camera, splatting: Splatting) -> np.ndarray:
    """The image model as its authors wrote it down, one Gaussian after the other: [height, width, r g b T]."""
    K = camera.Ks[0].double().numpy()
    R, t = camera.viewmats[0, :3, :3].double().numpy(), camera.viewmats[0, :3, 3].double().numpy()
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    W, H = camera.width, camera.height
    means, covars = posed.means.double().numpy(), posed.covars.double().numpy()
    opacities, colors = posed.opacities.double().numpy(), posed.colors.double().numpy()
    centres = means @ R.T + t
    py, px = np.meshgrid(np.arange(H) + 0.5, np.arange(W) + 0.5, indexing="ij")
    out, T, stopped = np.zeros((H, W, 3)), np.ones((H, W)), np.zeros((H, W), bool)
    for g in np.argsort(centres[:, 2].astype(np.float32), kind="stable"):
        x, y, z = centres[g]
        if z < splatting.near or z > splatting.far:
            continue
        tan_x, tan_y = 0.5 * W / fx, 0.5 * H / fy
        tx = z * min((W - cx) / fx + 0.3 * tan_x, max(-(cx / fx + 0.3 * tan_x), x / z))
        ty = z * min((H - cy) / fy + 0.3 * tan_y, max(-(cy / fy + 0.3 * tan_y), y / z))
        J = np.array([[fx / z, 0, -fx * tx / z**2], [0, fy / z, -fy * ty / z**2]])
        S = J @ R @ covars[g] @ R.T @ J.T
        before = np.linalg.det(S)
        S = S + splatting.eps2d * np.eye(2)
        after = np.linalg.det(S)
        if after <= 0:
            continue
        opacity = opacities[g] * (math.sqrt(max(0.0, before / after)) if splatting.antialiased else 1.0)
        if opacity < 1 / 255:
            continue
        d = np.stack([fx * x / z + cx - px, fy * y / z + cy - py], axis=-1)
        sigma = 0.5 * np.einsum("hwi,ij,hwj->hw", d, np.linalg.inv(S), d)
        alpha = np.minimum(splatting.max_alpha, opacity * np.exp(-sigma))
        alpha = np.where(alpha < 1 / 255, 0.0, alpha)
        stopped |= (alpha > 0) & (T * (1 - alpha) <= 1e-4)
        alpha = np.where(stopped, 0.0, alpha)
        out += (T * alpha)[..., None] * colors[g]
        T = T * (1 - alpha)
    return np.concatenate([out, T[..., None]], axis=-1)


def double(posed: PosedGaussians) -> PosedGaussians:
    return PosedGaussians(**{f.name: getattr(posed, f.name).double() for f in dataclasses.fields(posed)})


@pytest.mark.parametrize("splatting", [Splatting(), Splatting(antialiased=False, eps2d=0.3, max_alpha=0.999)])
@pytest.mark.parametrize("seed", [0, 1])
def test_splat_is_the_image_model_in_float64(splatting: Splatting, seed: int):
    camera = example_view(frames=1)
    posed = double(pose_frame(example_person(seed=seed, frames=1, count=300), 0))
    truth = brute_force(posed, camera, splatting)
    viewmat, K = camera.viewmats[0].double(), camera.Ks[0].double()
    rgb, alpha, _ = splat(posed, viewmat, K, height=camera.height, width=camera.width, splatting=splatting)
    assert rgb.dtype == torch.float64
    np.testing.assert_allclose(rgb.permute(1, 2, 0).numpy(), truth[..., :3], atol=1e-12)
    np.testing.assert_allclose(1 - alpha[0].numpy(), truth[..., 3], atol=1e-12)


def test_projection_agrees_with_gsplat():
    implementation = pytest.importorskip("gsplat.cuda._torch_impl")
    camera, posed = example_view(frames=1), double(pose_frame(example_person(frames=1), 0))
    seen = project(
        posed,
        camera.viewmats[0].double(),
        camera.Ks[0].double(),
        height=camera.height,
        width=camera.width,
        splatting=Splatting(antialiased=False, eps2d=0.3),
    )
    _, means2d, depths, conics, _ = implementation._fully_fused_projection(
        posed.means,
        posed.covars,
        camera.viewmats.double(),
        camera.Ks.double(),
        width=camera.width,
        height=camera.height,
        eps2d=0.3,
    )
    order = torch.argsort(depths[0].float(), stable=True)
    assert len(order) == len(seen.depths)
    np.testing.assert_allclose(seen.means2d, means2d[0, order], rtol=1e-9)
    np.testing.assert_allclose(seen.conics, conics[0, order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(seen.depths, depths[0, order], rtol=1e-12)


def test_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(3)
    camera = Camera(
        viewmats=torch.eye(4, dtype=torch.float64)[None],
        Ks=torch.tensor([[[9.0, 0, 3.3], [0, 9.0, 2.8], [0, 0, 1]]], dtype=torch.float64),
        width=7,
        height=6,
    )
    # Wide and faint, so that no pixel lies at a threshold: the model is smooth between them.
    means = torch.tensor([[0.1, 0.0, 3.0], [-0.2, 0.1, 3.5]], dtype=torch.float64)
    factors = 0.8 * torch.eye(3, dtype=torch.float64) + 0.1 * torch.rand(2, 3, 3, generator=generator).double()
    opacities = torch.tensor([0.6, 0.5], dtype=torch.float64)
    colors = torch.rand(2, 3, generator=generator).double()

    def picture(means, factors, opacities, colors):
        posed = PosedGaussians(means, factors @ factors.mT, opacities, colors)
        values = splat(posed, camera.viewmats[0], camera.Ks[0], height=6, width=7, splatting=Splatting())
        return torch.cat(values)

    # By hand, since torch.autograd.gradcheck imports torch's distributed tensors, which takes longer than all the rest.
    inputs = [means, factors, opacities, colors]
    ways = [torch.randn(value.shape, generator=generator, dtype=torch.float64) for value in inputs]
    weights = torch.randn(5, 6, 7, generator=generator, dtype=torch.float64)
    for chosen in range(4):
        leaf = inputs[chosen].clone().requires_grad_()
        (weights * picture(*inputs[:chosen], leaf, *inputs[chosen + 1 :])).sum().backward()
        step = 1e-6 * ways[chosen]
        ahead, behind = (
            (weights * picture(*inputs[:chosen], inputs[chosen] + sign * step, *inputs[chosen + 1 :])).sum()
            for sign in (1, -1)
        )
        # Central differences in float64: an error of 1e-12 from the curvature, 1e-10 from rounding over the step.
        assert float((ahead - behind) / 2e-6) == pytest.approx(float((leaf.grad * ways[chosen]).sum()), rel=1e-6)


def test_opacity_just_under_one_step_is_not_rendered_and_just_over_is():
    def alpha_of(opacity: float) -> float:
        posed = PosedGaussians(
            means=torch.zeros(1, 3),
            covars=0.04 * torch.eye(3)[None],
            opacities=torch.tensor([opacity]),
            colors=torch.ones(1, 3),
        )
        viewmat = torch.eye(4)
        viewmat[2, 3] = 2.0
        K = torch.tensor([[20.0, 0, 3.5], [0, 20.0, 3.5], [0, 0, 1]])
        _, alpha, _ = splat(posed, viewmat, K, height=7, width=7, splatting=Splatting(antialiased=False))
        return float(alpha.max())

    assert alpha_of(0.999 / 255) == 0
    assert alpha_of(1.001 / 255) == pytest.approx(1.001 / 255, rel=1e-5)


def test_halves_are_rounded_up():
    values = torch.tensor([0.0, 0.4999, 0.5, 254.5, 255.0, 300.0, -3.0]) / 255
    assert to_uint8(values).tolist() == [0, 0, 1, 255, 255, 255, 0]


def test_torch_renderer_is_a_renderer():
    check_renderer(TorchRenderer())


def test_float32_stays_close_to_float64():
    camera, person = example_view(frames=1), example_person(frames=1)
    arguments = {"height": camera.height, "width": camera.width, "splatting": Splatting()}
    single = splat(pose_frame(person, 0), camera.viewmats[0], camera.Ks[0], **arguments)
    posed = double(pose_frame(person, 0))
    exact = splat(posed, camera.viewmats[0].double(), camera.Ks[0].double(), **arguments)
    # 90 dB: float32 has 138 dB; single pixels that cross a threshold of 1/255 cost the rest.
    assert psnr(single[0], exact[0], peak=1.0) > 90


def test_no_gaussians_at_all_give_a_transparent_picture():
    camera = example_view()
    nobody: Gaussians = example_person(count=0)
    rendering = TorchRenderer().render([nobody], camera)
    assert not rendering.alpha.any()
