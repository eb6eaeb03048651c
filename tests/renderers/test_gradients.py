"""The compiled gradients against finite differences, the specification's autograd, and what fitting needs of them."""

import dataclasses
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from synthaug.body.skinning import pose_frame
from synthaug.renderers import Splatting
from synthaug.renderers import torch as specification
from synthaug.renderers.splatting import gradients
from synthaug.renderers.splatting.checks import check_posed
from synthaug.renderers.splatting.gradients import splat_clip
from synthaug.structures import Camera, Gaussians, Light, PosedGaussians
from synthaug.testing.renderers import dot, example_person, example_view

MODELS = [
    Splatting(),
    Splatting(antialiased=False, eps2d=0.3, max_alpha=0.999),
    Splatting(max_alpha=0.5),
    Splatting(eps2d=0.0, max_alpha=1.0),
]
FITTED = ("means", "quats", "scales", "opacities", "colors", "weights", "T_world_rest")


def leaves(person: Gaussians, dtype: torch.dtype) -> Gaussians:
    """A copy whose fields are leaves that ask for gradients."""
    return dataclasses.replace(
        person, **{name: getattr(person, name).to(dtype, copy=True).requires_grad_() for name in FITTED}
    )


def slopes(
    splat: Callable, person: Gaussians, camera: Camera, splatting: Splatting, *, dtype: torch.dtype
) -> tuple[Tensor, dict[str, Tensor]]:
    """The first frame as [r g b alpha depth], and the gradients of a random sum of it."""
    person = leaves(person, dtype)
    viewmat, K = (value[0].to(dtype, copy=True).requires_grad_() for value in (camera.viewmats, camera.Ks))
    picture = torch.cat(
        splat(pose_frame(person, 0), viewmat, K, height=camera.height, width=camera.width, splatting=splatting)
    )
    weights = torch.randn(picture.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    (weights.to(dtype) * picture).sum().backward()
    found = {name: getattr(person, name).grad for name in FITTED} | {"viewmat": viewmat.grad, "K": K.grad}
    return picture.detach(), found


def scene(seed: int, count: int = 150) -> tuple[Gaussians, Camera]:
    """Dense enough that pixels stop; some Gaussians behind the camera, too faint, opaque, or out of the picture."""
    person = example_person(seed=seed, count=count, frames=1)
    means, opacities = person.means * 1.3, person.opacities.clone()
    means[::17, 2] += 4.0
    opacities[::5], opacities[1::11] = 1.0, 0.003
    return dataclasses.replace(person, means=means, opacities=opacities), example_view(frames=1, height=30, width=37)


@pytest.mark.parametrize("splatting", MODELS)
def test_gradients_are_those_of_finite_differences(splatting: Splatting):
    person, camera = example_person(count=4, frames=1, joints=2, k=2), example_view(frames=1, height=9, width=10)
    # Wide, so that all of them reach all of the picture: no pixel crosses a threshold within a step of 1e-6.
    person = leaves(dataclasses.replace(person, scales=0.4 + person.scales), torch.float64)
    inputs = [getattr(person, name) for name in FITTED]
    inputs += [value[0].double().requires_grad_() for value in (camera.viewmats, camera.Ks)]

    def picture(*fitted: Tensor) -> Tensor:
        *fields, viewmat, K = fitted
        changed = dataclasses.replace(person, **dict(zip(FITTED, fields, strict=True)))
        values = gradients.splat(pose_frame(changed, 0), viewmat, K, height=9, width=10, splatting=splatting)
        return torch.cat(values)

    # What gradcheck does in its fast mode, without its import of torch's distributed tensors, which takes 10 seconds.
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(5, 9, 10, generator=generator, dtype=torch.float64)
    found = torch.autograd.grad((weights * picture(*inputs)).sum(), inputs)
    for chosen, slope in enumerate(found):
        for _ in range(3):
            way = torch.randn(slope.shape, generator=generator, dtype=torch.float64)
            ahead, behind = (
                [value.detach() + (sign * 1e-6 * way if i == chosen else 0) for i, value in enumerate(inputs)]
                for sign in (1, -1)
            )
            difference = float((weights * (picture(*ahead) - picture(*behind))).sum() / 2e-6)
            # Central differences in float64: 1e-12 from the curvature, 1e-9 from rounding over the step.
            assert difference == pytest.approx(float((slope * way).sum()), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("splatting", MODELS)
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_are_the_specifications_in_float64(splatting: Splatting, seed: int):
    person, camera = scene(seed)
    a, found = slopes(gradients.splat, person, camera, splatting, dtype=torch.float64)
    b, truth = slopes(specification.splat, person, camera, splatting, dtype=torch.float64)
    np.testing.assert_allclose(a, b, atol=1e-12)
    for name, value in truth.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-8, atol=1e-9 * float(value.abs().max()), err_msg=name)


@pytest.mark.parametrize("splatting", MODELS)
def test_float32_gradients_are_within_a_thousandth_of_float64s(splatting: Splatting):
    person, camera = scene(2)
    _, found = slopes(gradients.splat, person, camera, splatting, dtype=torch.float32)
    _, truth = slopes(specification.splat, person, camera, splatting, dtype=torch.float64)
    for name, value in truth.items():
        assert found[name].dtype == torch.float32
        # Of float32's rounding in front of the kernels, which moves single pixels over a threshold.
        assert float((found[name] - value).norm() / value.norm()) < 1e-3, name


def test_gradients_reach_people_over_time_through_skinning_and_light():
    camera = example_view(frames=2, height=20, width=24)
    light = Light((0.3, 0.8, 0.5), key=(0.7, 0.6, 0.5), sky=(0.5, 0.5, 0.6), ground=(0.3, 0.3, 0.2))

    def gradients_of(clip: Callable) -> list[Tensor]:
        people = [leaves(example_person(seed=seed, count=60), torch.float32) for seed in (0, 1)]
        normals = torch.nn.functional.normalize(people[0].means.detach(), dim=1).requires_grad_()
        people[0] = dataclasses.replace(people[0], normals=normals, light=light)
        rgb, alpha, depth = clip(people)
        (rgb.square().sum() + (alpha * depth).sum()).backward()
        fields = [getattr(person, name).grad for person in people for name in FITTED]
        return [rgb.detach(), alpha.detach(), depth.detach(), *fields, normals.grad]

    def specified(people: list[Gaussians]) -> list[Tensor]:
        frames = [
            specification.splat(
                specification.concatenate([pose_frame(person, t) for person in people]),
                camera.viewmats[t],
                camera.Ks[t],
                height=20,
                width=24,
                splatting=Splatting(),
            )
            for t in range(2)
        ]
        return [torch.stack(parts) for parts in zip(*frames, strict=True)]

    found = gradients_of(lambda people: splat_clip(people, camera, splatting=Splatting()))
    for a, b in zip(found, gradients_of(specified), strict=True):
        assert a.shape == b.shape
        assert (a - b).norm().item() / b.norm().item() < 1e-3


def test_unseen_gaussians_have_no_gradient():
    camera = example_view(frames=1)
    people = {
        "in view": dot((0.0, 0.0, 0.0), color=(1.0, 0.5, 0.2)),
        "behind the camera": dot((0.0, 0.0, 9.0), color=(1.0, 0.5, 0.2)),
        "beside the picture": dot((9.0, 0.0, 0.0), color=(1.0, 0.5, 0.2)),
        "far too large": dataclasses.replace(
            dot((1e30, 0.0, 0.0), color=(1.0, 1.0, 1.0)), scales=torch.full((1, 3), 1e15)
        ),
        "too faint": dataclasses.replace(dot((0.0, 0.0, 0.1), color=(1.0, 1.0, 1.0)), opacities=torch.tensor([0.003])),
        "a point": dataclasses.replace(dot((0.0, 0.1, 0.1), color=(1.0, 1.0, 1.0)), scales=torch.zeros(1, 3)),
    }
    for what, person in people.items():
        _, found = slopes(gradients.splat, person, camera, Splatting(), dtype=torch.float32)
        for name, value in found.items():
            assert torch.isfinite(value).all(), (what, name)
            assert what == "in view" or not value.any(), (what, name)
        assert bool(found["colors"].any()) == (what == "in view")


def test_what_is_hidden_behind_opaque_walls_has_no_gradient_and_does_not_show():
    camera, splatting = example_view(frames=1), Splatting(antialiased=False)
    # The light left: 1e-2, 2e-4, and at the third every pixel stops.
    walls = [
        dataclasses.replace(
            dot((0.0, 0.0, z), color=(0.5, 0.5, 0.5)),
            scales=torch.full((1, 3), 50.0),
            opacities=torch.tensor([opacity]),
        )
        for z, opacity in ((1.6, 1.0), (1.5, 0.98), (1.4, 1.0))
    ]
    person = leaves(example_person(frames=1), torch.float32)
    rgb, alpha, depth = splat_clip([person, *walls], camera, splatting=splatting)
    alone, _, _ = splat_clip(walls, camera, splatting=splatting)
    assert torch.equal(rgb, alone)
    (rgb.sum() + alpha.sum() + depth.sum()).backward()
    assert not any(getattr(person, name).grad.any() for name in FITTED)


def test_where_the_cap_acts_only_colour_and_depth_have_gradients():
    person = leaves(
        dataclasses.replace(
            dot((0.0, 0.0, 0.0), color=(0.2, 0.4, 0.6)), scales=torch.full((1, 3), 50.0), opacities=torch.ones(1)
        ),
        torch.float32,
    )
    camera = example_view(frames=1)
    rgb, _, _ = gradients.splat(
        pose_frame(person, 0), camera.viewmats[0], camera.Ks[0], height=camera.height, width=camera.width,
        splatting=Splatting(antialiased=False, max_alpha=0.7),
    )  # fmt: skip
    rgb.sum().backward()
    pixels = camera.height * camera.width
    np.testing.assert_allclose(person.colors.grad, torch.full((1, 3), 0.7 * pixels), rtol=1e-4)
    assert not any(getattr(person, name).grad.any() for name in ("means", "quats", "scales", "opacities"))


def adam(leaf: Tensor, memory: list[Tensor], step: int, *, rate: float) -> None:
    """One step of Adam; importing torch.optim takes longer than this whole file."""
    for value, beta, grad in zip(memory, (0.9, 0.99), (leaf.grad, leaf.grad.square()), strict=True):
        value.lerp_(grad, 1 - beta)
    first, second = (value / (1 - beta**step) for value, beta in zip(memory, (0.9, 0.99), strict=True))
    leaf.data -= rate * first / (second.sqrt() + 1e-12)
    leaf.grad = None


def test_fitting_finds_colours_and_places_again():
    truth, camera = example_person(count=40, frames=1, seed=3), example_view(frames=1, height=40, width=48)
    target = [values.detach() for values in splat_clip([truth], camera, splatting=Splatting())]
    generator = torch.Generator().manual_seed(0)
    means = (truth.means + 0.02 * torch.randn(40, 3, generator=generator)).requires_grad_()
    colors = (truth.colors + 0.3 * torch.randn(40, 3, generator=generator)).clamp(0, 1).requires_grad_()
    memory = [[torch.zeros_like(leaf) for _ in range(2)] for leaf in (means, colors)]
    losses = []
    for step in range(1, 81):
        person = dataclasses.replace(truth, means=means, colors=colors)
        found = splat_clip([person], camera, splatting=Splatting())
        loss = sum((a - b).abs().mean() for a, b in zip(found, target, strict=True))
        loss.backward()
        losses.append(loss.item())
        adam(means, memory[0], step, rate=2e-3 * 0.97**step)
        adam(colors, memory[1], step, rate=3e-2 * 0.97**step)
    assert losses[20] < 0.5 * losses[0] and losses[-1] < 0.05 * losses[0]
    # Faint ones and those behind others show too little to be found.
    clear = truth.opacities > 0.5
    for now, true, started in ((means, truth.means, 0.02), (colors, truth.colors, 0.2)):
        assert (now - true)[clear].abs().median().item() < 0.3 * started


def test_nobody_is_transparent_and_has_gradients_without_rows():
    camera = example_view()
    for people in ([], [leaves(example_person(count=0), torch.float32)]):
        rgb, alpha, depth = splat_clip(people, camera, splatting=Splatting())
        assert rgb.shape == (2, 3, camera.height, camera.width) and alpha.shape == depth.shape
        assert not rgb.any() and not alpha.any() and not depth.any()
        if people:
            rgb.sum().backward()
            assert people[0].means.grad.shape == (0, 3)


def test_what_is_kept_for_the_way_back_does_not_grow_with_pairs():
    person, camera = example_person(count=500, frames=1), example_view(frames=1, height=64, width=64)
    sizes = []
    for scale in (0.01, 10.0):  # pixels that each Gaussian covers: a few, or all
        posed = pose_frame(leaves(dataclasses.replace(person, scales=torch.full((500, 3), scale)), torch.float32), 0)
        rgb, _, _ = gradients.splat(
            posed, camera.viewmats[0], camera.Ks[0], height=64, width=64, splatting=Splatting(max_alpha=0.01)
        )
        operation = rgb.grad_fn
        while not hasattr(operation, "kept"):
            operation = operation.next_functions[0][0]
        sizes.append(sum(value.nbytes for value in operation.kept if isinstance(value, np.ndarray)))
    assert max(sizes) <= 500 * (7 * 8 + 4 * 4 + 8) + 64 * 64 * 12


def test_gradients_of_gradients_are_refused():
    person, camera = leaves(example_person(count=5, frames=1), torch.float32), example_view(frames=1)
    rgb, _, _ = splat_clip([person], camera, splatting=Splatting())
    (slope,) = torch.autograd.grad(rgb.square().sum(), person.means, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_threads_find_what_one_finds_alone():
    def found(seed: int) -> Tensor:
        person, camera = scene(seed)
        return slopes(gradients.splat, person, camera, Splatting(), dtype=torch.float32)[1]["means"]

    alone = [found(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert all(torch.equal(a, alone[i % 3]) for i, a in enumerate(pool.map(lambda i: found(i % 3), range(9))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"means": torch.full((7, 3), math.nan)}, "finite numbers in posed.means, got 21 that are NaN"),
        (
            {"colors": torch.zeros(7, 3, dtype=torch.float64)},
            "got torch.float64 for posed.colors and torch.float32 for posed.means",
        ),
        ({"opacities": torch.full((7,), 1.5)}, "Expected posed.opacities from 0 to 1, got 1.5 to 1.5"),
        ({"opacities": torch.full((7,), -2.0)}, "logits"),
    ],
)
def test_impossible_gaussians_are_errors(change: dict[str, Tensor], message: str):
    camera = example_view(frames=1)
    posed: PosedGaussians = dataclasses.replace(pose_frame(example_person(count=7, frames=1), 0), **change)
    with pytest.raises(ValueError, match=message):
        gradients.splat(posed, camera.viewmats[0], camera.Ks[0], height=5, width=5, splatting=Splatting())


def test_shapes_that_disagree_are_errors():
    camera, posed = example_view(frames=1), pose_frame(example_person(count=7, frames=1), 0)
    with pytest.raises(ValueError, match=r"Expected K to have shape \(3, 3\), .* got \(1, 3, 3\)"):
        check_posed(posed, camera.viewmats[0], camera.Ks, height=5, width=5)


def test_impossible_cameras_are_errors():
    camera, posed = example_view(frames=1), pose_frame(example_person(count=7, frames=1), 0)

    def splat(viewmat: Tensor, K: Tensor, *, side: int = 5) -> None:
        gradients.splat(posed, viewmat, K, height=side, width=5, splatting=Splatting())

    viewmat, K = camera.viewmats[0], camera.Ks[0]
    for wrong, message in (
        (lambda: splat(viewmat, -K), "Expected focal lengths of K above 0 pixels, got -75"),
        (lambda: splat(viewmat * math.inf, K), "finite numbers in viewmat"),
        (lambda: splat(viewmat, K, side=0), "at least 1 x 1 pixels, got 5 x 0"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
