"""The compiled renderer against the specification, and what only it can get wrong: layouts, sorting, bounds, memory."""

import dataclasses
import gc
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from synthaug.body.skinning import pose_frame
from synthaug.renderers import Splatting, cpu
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.splatting import kernels
from synthaug.renderers.torch import TorchRenderer, concatenate, splat
from synthaug.structures import Camera, Gaussians, Light
from synthaug.testing.renderers import check_renderer, dot, example_person, example_view, psnr, with_normals


def before_quantisation(people: list[Gaussians], camera: Camera, splatting: Splatting) -> torch.Tensor:
    """The first frame's framebuffer as [r g b alpha, height, width], of the kernels."""
    return cpu.render_framebuffer(people, camera, splatting)[0]


def specified(people: list[Gaussians], camera: Camera, splatting: Splatting) -> torch.Tensor:
    """The same by the specification in float64."""
    posed = concatenate([pose_frame(person, 0) for person in people])
    posed = type(posed)(**{f.name: getattr(posed, f.name).double() for f in dataclasses.fields(posed)})
    rgb, alpha, _ = splat(
        posed,
        camera.viewmats[0].double(),
        camera.Ks[0].double(),
        height=camera.height,
        width=camera.width,
        splatting=splatting,
    )
    return torch.cat([rgb, alpha])


def test_cpu_renderer_is_a_renderer():
    check_renderer(CpuRenderer())


@pytest.mark.parametrize("splatting", [Splatting(), Splatting(antialiased=False, eps2d=0.3, max_alpha=0.999)])
@pytest.mark.parametrize("size", [(50, 61), (1, 1), (33, 7), (64, 64)])
def test_cpu_agrees_with_float64_before_quantisation(splatting: Splatting, size: tuple[int, int]):
    camera = example_view(frames=1, height=size[0], width=size[1])
    people = [example_person(frames=1, count=300, seed=seed) for seed in (0, 1)]
    # 90 dB: float32 itself has 138 dB, and pixels that cross a threshold of 1/255 between the two cost the rest.
    assert psnr(before_quantisation(people, camera, splatting), specified(people, camera, splatting), peak=1.0) > 90


@pytest.mark.parametrize("splatting", [Splatting(), Splatting(antialiased=False, eps2d=0.3, max_alpha=0.999)])
def test_uint8_is_off_by_one_step_at_most_but_for_a_handful_of_thresholds(splatting: Splatting):
    people = [example_person(seed=seed, count=700, joints=20, k=4) for seed in (2, 3)]
    camera = example_view(height=97, width=130)
    a, b = (R(splatting).render(people, camera, depth=True) for R in (CpuRenderer, TorchRenderer))
    difference = (torch.cat([a.rgb, a.alpha], 1).int() - torch.cat([b.rgb, b.alpha], 1).int()).abs()
    assert int(difference.max()) <= 2
    assert int((difference > 1).sum()) <= 5
    assert a.depth is not None and b.depth is not None
    np.testing.assert_allclose(a.depth, b.depth, atol=2e-3)


def test_opaque_gaussians_stop_light_where_the_specification_stops_it():
    person = dataclasses.replace(example_person(count=600), opacities=torch.ones(600))
    for max_alpha in (0.99, 0.999):
        splatting = Splatting(antialiased=False, max_alpha=max_alpha)
        a, b = before_quantisation([person], example_view(), splatting), specified([person], example_view(), splatting)
        # Float32 excludes a second full Gaussian by a hair that float64 may not see: (1 - 0.99)^2 against 1e-4.
        assert ((a - b).abs() > 0.0101).sum() == 0
        assert psnr(a, b, peak=1.0) > 55


def test_opacity_just_under_one_step_is_not_rendered_and_just_over_is():
    renderer, camera = CpuRenderer(Splatting(antialiased=False)), example_view(frames=1)
    for opacity, alpha in ((0.999 / 255, 0), (1.001 / 255, 1)):
        person = dataclasses.replace(dot((0.0, 0.0, 0.0), color=(1.0, 1.0, 1.0)), scales=torch.full((1, 3), 1.0))
        person = dataclasses.replace(person, opacities=torch.tensor([opacity]))
        assert int(renderer.render([person], camera).alpha.max()) == alpha


def test_equal_depths_keep_the_order_of_the_gaussians():
    camera = dataclasses.replace(example_view(frames=1), viewmats=torch.eye(4)[None])
    count, generator = 100, torch.Generator().manual_seed(0)
    person = example_person(count=count, frames=1)
    places = torch.rand(count, 3, generator=generator) - 0.5
    places[:, 2] = 3.0
    person = dataclasses.replace(
        person,
        means=places,
        scales=torch.full((count, 3), 0.2),
        T_world_rest=torch.eye(4).repeat(1, 5, 1, 1),
        # Powers of two add up without rounding, so that equal depths stay equal.
        weights=torch.tensor([[0.5, 0.25, 0.25]]).repeat(count, 1),
    )
    a, b = before_quantisation([person], camera, Splatting()), specified([person], camera, Splatting())
    assert psnr(a, b, peak=1.0) > 90
    backwards = dataclasses.replace(
        person, colors=person.colors.flip(0), means=places.flip(0), opacities=person.opacities.flip(0)
    )
    assert psnr(before_quantisation([backwards], camera, Splatting()), a, peak=1.0) < 40


def test_order_is_the_stable_order_of_floats():
    generator = np.random.default_rng(0)
    for count in (0, 1, 5000):
        depths = generator.choice([0.0, 0.5, 1.0, 3.0, 1e9], count).astype(np.float32)
        depths[::3] = generator.lognormal(0, 3, len(depths[::3]))
        slots = generator.permutation(count)
        queue = kernels._sort(depths, slots, np.empty(count, np.int64), np.empty(count, np.int64)) & 0xFFFFFFFF
        seen = slots[depths[slots] > 0]
        np.testing.assert_array_equal(queue, seen[np.argsort(depths[seen], kind="stable")])


def test_fast_exponential_is_right_to_its_stated_error():
    # One round opaque Gaussian seen square on: every pixel is the closed form.
    camera = Camera(
        viewmats=torch.eye(4)[None], Ks=torch.eye(3)[None] * torch.tensor([100, 100, 1.0]), width=64, height=64
    )
    camera.Ks[0, :2, 2] = 0.25
    person = dataclasses.replace(dot((0.0, 0.0, 1e4), color=(1.0, 1.0, 1.0)), scales=torch.full((1, 3), 1500.0))
    splatting = Splatting(antialiased=False, eps2d=0.0)
    alpha = before_quantisation([person], camera, splatting)[3]
    x = (torch.arange(64) + 0.5 - 0.25).double()
    truth = 0.95 * torch.exp(-0.5 * (x[:, None] ** 2 + x**2) / 15**2)
    seen = truth > 1.01 / 255
    # 2.6e-6 of the polynomial, and float32's rounding of the exponent (up to 8 in base 2) and of 1 - T.
    np.testing.assert_allclose(alpha[seen], truth[seen], rtol=6e-6, atol=2e-7)


def test_gaussians_around_every_border_and_behind_the_camera_stay_inside_the_picture():
    person = example_person(count=3000, seed=5)
    person = dataclasses.replace(person, means=person.means * 8, scales=person.scales * 4)
    for size in ((5, 3), (50, 61)):
        camera = example_view(height=size[0], width=size[1])
        a, b = CpuRenderer().render([person], camera), TorchRenderer().render([person], camera)
        assert psnr(a.rgb, b.rgb) > 55


def test_enormous_but_finite_values_neither_crash_nor_write_out_of_bounds():
    person = example_person(count=64)
    means, scales = person.means.clone(), person.scales.clone()
    means[::2] *= 1e30
    scales[::3] = 1e25
    CpuRenderer().render([dataclasses.replace(person, means=means, scales=scales)], example_view())


def test_nobody_in_view_is_transparent():
    person = example_person()
    behind = dataclasses.replace(person, means=person.means + torch.tensor([0.0, 0.0, 100.0]))
    for people in ([behind], [example_person(count=0)], [behind, example_person(count=0)]):
        rendering = CpuRenderer().render(people, example_view(), depth=True)
        assert not rendering.rgb.any() and not rendering.alpha.any()
        assert rendering.depth is not None and not rendering.depth.any()


def test_one_gaussian_can_fill_the_frame():
    person = dataclasses.replace(dot((0.0, 0.0, 0.0), color=(0.2, 0.4, 0.6)), scales=torch.full((1, 3), 50.0))
    rendering = CpuRenderer(Splatting(antialiased=False)).render([person], example_view(frames=1))
    assert rendering.alpha.min() == rendering.alpha.max() == math.floor(0.95 * 255 + 0.5)


def test_two_people_are_sorted_as_one():
    people = [example_person(seed=0), example_person(seed=1)]
    one_way, other_way = (CpuRenderer().render(p, example_view()) for p in (people, people[::-1]))
    assert torch.equal(one_way.rgb, other_way.rgb)
    assert psnr(one_way.rgb, TorchRenderer().render(people, example_view()).rgb) > 55


def test_pictures_larger_than_a_thousand_pixels_are_rendered():
    camera = example_view(frames=1).scaled(height=1090, width=2050)
    person = example_person(frames=1, count=300)
    small = example_view(frames=1).scaled(height=109, width=205)
    large = CpuRenderer(Splatting(eps2d=100 / 12)).render([person], camera).rgb
    # Blurred as much by eps2d, the large picture seen from afar is the small one.
    shrunk = torch.nn.functional.avg_pool2d(large[..., :2050].float(), 10)
    assert psnr(shrunk, CpuRenderer(Splatting(eps2d=1 / 12)).render([person], small).rgb) > 35


def test_light_multiplies_colors_by_its_shade():
    camera, light = example_view(), Light((0.3, 0.5, -0.7), (0.9, 0.8, 0.7), (0.6, 0.7, 0.8), (0.4, 0.3, 0.1))
    people = [with_normals(example_person(seed=seed, count=300)) for seed in (0, 1, 2)]
    lights = (light, None, dataclasses.replace(light, direction=(0.0, -2.0, 0.1)))
    people = [dataclasses.replace(person, light=own) for person, own in zip(people, lights, strict=True)]
    a, b = before_quantisation(people, camera, Splatting()), specified(people, camera, Splatting())
    assert psnr(a, b, peak=1.0) > 90
    plain = before_quantisation([dataclasses.replace(person, light=None) for person in people], camera, Splatting())
    assert psnr(a, plain, peak=1.0) < 40


def test_light_without_normals_does_nothing():
    person, light = example_person(), Light((0.0, 1.0, 0.0), (0.1, 0.1, 0.1), (0.2, 0.2, 0.2), (0.0, 0.0, 0.0))
    lit = dataclasses.replace(person, light=light)
    assert torch.equal(
        CpuRenderer().render([lit], example_view()).rgb, CpuRenderer().render([person], example_view()).rgb
    )


def test_labels_are_those_of_the_specification():
    camera = example_view()
    people = [example_person(seed=seed, count=250, joints=20, k=4) for seed in (3, 4)]
    a, b = (R().render(people, camera, labels=True, depth=True) for R in (CpuRenderer, TorchRenderer))
    assert a.labels is not None and b.labels is not None
    # Two Gaussians that contribute equally but for rounding may change places.
    assert float((a.labels == b.labels).float().mean()) > 0.999
    assert set(a.labels.unique().tolist()) <= set(range(41)) and int(a.labels.max()) > 20
    assert torch.equal(a.labels == 0, b.labels == 0)
    assert CpuRenderer().render(people, camera).labels is None


@pytest.mark.parametrize("width", [1, 7, 120, 121, 249, 569])
def test_every_width_of_picture_is_rendered_alike(width: int):
    """Rows are laid out for few widths; each gives what the specification gives."""
    camera = dataclasses.replace(example_view(frames=1), width=width, height=13)
    person = dataclasses.replace(example_person(frames=1, count=80), scales=torch.full((80, 3), 0.1))
    camera.Ks[:, 0, 2], camera.Ks[:, 1, 2] = width / 2, 6.5
    a, b = before_quantisation([person], camera, Splatting()), specified([person], camera, Splatting())
    assert psnr(a, b, peak=1.0) > 90


def test_weights_that_do_not_add_up_are_taken_as_posed_takes_them():
    person = example_person()
    person = dataclasses.replace(person, weights=person.weights * 0.97)
    a, b = CpuRenderer().render([person], example_view()), TorchRenderer().render([person], example_view())
    assert psnr(a.rgb, b.rgb) > 55


def test_preparation_is_remembered_for_the_same_tensors_only():
    person = example_person()
    first = cpu._prepare_once(person)
    assert cpu._prepare_once(dataclasses.replace(person, T_world_rest=person.T_world_rest.clone())) is first
    assert cpu._prepare_once(dataclasses.replace(person, colors=person.colors.clone())) is not first
    person.colors.mul_(0.5)
    assert cpu._prepare_once(person) is not first


def test_memory_of_people_is_bounded_and_lets_go(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cpu, "_MAX_PREPARED", 4)
    people = [example_person(count=5, seed=seed) for seed in range(cpu._MAX_PREPARED + 5)]
    for person in people:
        cpu._prepare_once(person)
    assert len(cpu._prepared_people) <= cpu._MAX_PREPARED
    del people, person
    gc.collect()
    kept = example_person(count=5)
    cpu._prepare_once(kept)
    assert sum(all(ref() is not None for ref in refs) for refs, _, _ in cpu._prepared_people.values()) == 1


def test_a_joint_that_the_clip_lacks_is_refused():
    person = example_person(joints=5)
    CpuRenderer().render([person], example_view())
    fewer = dataclasses.replace(person, T_world_rest=person.T_world_rest[:, :4])
    with pytest.raises(ValueError, match="Expected Gaussians.joint_ids from 0 to 3, .* got 0 to 4"):
        CpuRenderer().render([fewer], example_view())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"T_world_rest": torch.full((2, 5, 4, 4), math.nan)}, "T_world_rest, got .* NaN"),
        ({"T_world_rest": torch.zeros(3, 5, 4, 4)}, r"as many frames as the camera \(2\), got 3"),
        ({"opacities": torch.full((400,), math.inf)}, "opacities, got 400 that"),
        ({"normals": torch.full((400, 3), math.nan)}, "normals, got 1200 that"),
        ({"light": Light((0.0, math.nan, 0.0), (1.0,) * 3, (1.0,) * 3, (1.0,) * 3)}, "light, got 1 that"),
    ],
)
def test_what_would_break_the_kernels_is_an_error(change: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        CpuRenderer().render([dataclasses.replace(example_person(), **change)], example_view())


def test_impossible_cameras_are_errors():
    camera = example_view()
    with pytest.raises(ValueError, match="Expected finite numbers in camera.Ks"):
        CpuRenderer().render([], dataclasses.replace(camera, Ks=camera.Ks * math.nan))
    with pytest.raises(ValueError, match="at least 1 x 1 pixels, got 0 x 50"):
        CpuRenderer().render([], dataclasses.replace(camera, width=0))


def test_threads_render_what_one_renders_alone():
    people = [example_person(seed=seed) for seed in range(4)]
    camera, renderer = example_view(), CpuRenderer()
    alone = [renderer.render([person], camera).rgb for person in people]
    with ThreadPoolExecutor(4) as pool:
        together_ = pool.map(lambda i: renderer.render([people[i % 4]], camera).rgb, range(16))
    assert all(torch.equal(rgb, alone[i % 4]) for i, rgb in enumerate(together_))


def test_renderer_survives_pickling_and_names_its_settings():
    renderer = CpuRenderer(Splatting(eps2d=0.3))
    again = pickle.loads(pickle.dumps(renderer))
    assert again == renderer and again.fingerprint == renderer.fingerprint
    assert renderer.fingerprint != CpuRenderer().fingerprint
