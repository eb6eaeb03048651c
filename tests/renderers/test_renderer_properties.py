"""What holds for every scene: the compiled renderer against the specification, and against bad input.

A pixel may differ from the specification by rounding alone. At the thresholds of the image model rounding decides
between two different values, so the specification is asked again with its thresholds nudged by what rounding can do;
the compiled pixel must lie in the band that it spans.
"""

import dataclasses
import math
from collections.abc import Sequence
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skinning import pose_frame
from synthaug.renderers import Renderer, Splatting
from synthaug.renderers import torch as specification
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.torch import TorchRenderer, concatenate, splat
from synthaug.structures import Camera, Gaussians, Light, PosedGaussians, Rendering
from synthaug.testing.renderers import dot, example_person, example_view

NUDGE = 1e-3
"""What float32 makes of a threshold, relative: 1 - alpha at 0.9999 is rounded by 3e-4, all else by less."""
ROUNDING = 1e-3
"""How far a colour or coverage may lie outside the band before it becomes a byte: a quarter of a step."""

models = st.builds(
    Splatting,
    antialiased=st.booleans(),
    eps2d=st.sampled_from([0.0, 0.05, 1 / 12, 0.3, 4.0]),
    max_alpha=st.floats(0.05, 1.0),
)
sides = st.integers(1, 40)
seeds = st.integers(0, 2**16)
examples = settings(max_examples=25, derandomize=True, deadline=None)


def random_camera(seed: int, *, height: int, width: int, frames: int = 1) -> Camera:
    """3 m before the origin, looking roughly there; two focal lengths, a centre of projection off the middle."""
    rng = np.random.default_rng(seed)
    camera = example_view(frames=frames, height=height, width=width)
    camera.viewmats[:, :3, :3] = (
        axis_angle_to_matrix(torch.tensor(rng.normal(0, 0.1, (frames, 3))).float()) @ (camera.viewmats[:, :3, :3])
    )
    camera.Ks[:, [0, 1], [0, 1]] *= torch.tensor(rng.uniform(0.6, 1.6, (frames, 2))).float()
    return camera


def band(people: Sequence[Gaussians], camera: Camera, splatting: Splatting) -> tuple[Tensor, Tensor]:
    """Least and greatest [r g b alpha depth, height, width] that the specification gives for the first frame."""
    posed = concatenate([pose_frame(person, 0) for person in people])
    wide = PosedGaussians(*(value.double() for value in vars(posed).values()))
    found = []
    for gaussians, nudge in ((posed, 1.0), (wide, 1 - NUDGE), (wide, 1 + NUDGE)):
        with (
            mock.patch.object(specification, "MIN_ALPHA", nudge / 255),
            mock.patch.object(specification, "MIN_TRANSMITTANCE", nudge * 1e-4),
        ):
            values = splat(
                gaussians,
                camera.viewmats[0].to(gaussians.means.dtype),
                camera.Ks[0].to(gaussians.means.dtype),
                height=camera.height,
                width=camera.width,
                splatting=splatting,
            )
        found.append(torch.cat(values).double())
    return torch.stack(found).amin(0), torch.stack(found).amax(0)


def assert_specified(people: Sequence[Gaussians], camera: Camera, splatting: Splatting) -> Rendering:
    """Render people and hold the first frame to the band."""
    rendering = CpuRenderer(splatting).render(people, camera, depth=True)
    assert_in_band(rendering, people, camera, splatting)
    return rendering


def assert_in_band(rendering: Rendering, people: Sequence[Gaussians], camera: Camera, splatting: Splatting) -> None:
    low, high = band(people, camera, splatting)
    found = torch.cat([rendering.rgb[0], rendering.alpha[0]]).double() / 255
    half = 0.5 / 255 + ROUNDING
    over, under = found - high[:4] - half, low[:4] - half - found
    worst = int(torch.maximum(over, under).argmax())
    assert (over <= 0).all() and (under <= 0).all(), (
        f"byte {int(255 * found.flatten()[worst])} at [channel y x] {np.unravel_index(worst, found.shape)}, where "
        f"{255 * float(low[:4].flatten()[worst]):.3f} to {255 * float(high[:4].flatten()[worst]):.3f} was specified"
    )
    assert rendering.depth is not None
    depth = rendering.depth[0].double()
    assert torch.isfinite(depth).all()
    # A pixel that one Gaussian barely reaches may have it or not.
    empty = (low[3:4] == 0) | (depth == 0)
    assert (empty | ((depth < high[4:] * 1.001) & (depth > low[4:] * 0.999))).all()


@examples
@given(
    seed=seeds,
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=3),
    height=sides,
    width=sides,
    splatting=models,
    lit=st.booleans(),
)
def test_random_people_are_rendered_as_specified(
    seed: int, counts: list[int], height: int, width: int, splatting: Splatting, lit: bool
):
    people = [
        example_person(seed=seed + i, count=count, frames=1, joints=3 + i, k=1 + i) for i, count in enumerate(counts)
    ]
    if lit:
        normals = torch.nn.functional.normalize(people[0].means, dim=1)
        light = Light((0.3, -0.8, 0.5), key=(0.7, 0.6, 0.5), sky=(0.5, 0.5, 0.6), ground=(0.3, 0.3, 0.2))
        people[0] = dataclasses.replace(people[0], normals=normals, light=light)
    assert_specified(people, random_camera(seed, height=height, width=width), splatting)


def test_a_picture_of_another_model_is_noticed():
    person, camera = example_person(count=60, frames=1), example_view(frames=1, height=30, width=30)
    people = [dataclasses.replace(person, opacities=torch.ones(60), scales=person.scales + 0.05)]
    for other in (Splatting(eps2d=0.06), Splatting(max_alpha=0.9), Splatting(antialiased=False), Splatting(near=2.4)):
        rendering = CpuRenderer(other).render(people, camera, depth=True)
        with pytest.raises(AssertionError, match="was specified"):
            assert_in_band(rendering, people, camera, Splatting())


@examples
@given(
    seed=seeds,
    # More than any renderer waits before it asks whether a part of the picture has stopped.
    count=st.integers(1, 100),
    max_alpha=st.sampled_from([0.5, 0.9, 0.99, 0.999, 0.9999, 1.0]),
    antialiased=st.booleans(),
    size=st.floats(0.05, 2.0),
)
def test_opaque_gaussians_stop_pixels_where_specified(
    seed: int, count: int, max_alpha: float, antialiased: bool, size: float
):
    person = dataclasses.replace(
        example_person(seed=seed, count=count, frames=1),
        opacities=torch.ones(count),
        scales=torch.full((count, 3), size),
    )
    camera = random_camera(seed, height=21, width=18)
    assert_specified([person], camera, Splatting(antialiased=antialiased, max_alpha=max_alpha))


def square_on(*, height: int, width: int, focal: float = 32.0) -> Camera:
    """At the origin, looking along z; with powers of two for z and focal length, pixels are exact in float32."""
    K = torch.tensor([[focal, 0, 0], [0, focal, 0], [0, 0, 1]])
    return Camera(viewmats=torch.eye(4)[None], Ks=K[None], width=width, height=height)


def still(person: Gaussians) -> Gaussians:
    """The same at rest: one joint that does not move, so that positions are what they are to the last bit."""
    count = len(person.means)
    return dataclasses.replace(
        person,
        joint_ids=torch.zeros(count, 1, dtype=torch.long),
        weights=torch.ones(count, 1),
        T_world_rest=torch.eye(4).repeat(person.num_frames, 1, 1, 1),
    )


@examples
@given(
    u=st.integers(-20, 100),
    v=st.integers(-20, 100),
    pixels=st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 7.0]),
    height=sides,
    width=sides,
    splatting=models,
)
def test_a_gaussian_on_the_border_of_a_pixel_or_block_is_rendered_as_specified(
    u: int, v: int, pixels: float, height: int, width: int, splatting: Splatting
):
    # Steps of half a pixel: corners and centres of pixels, hence of blocks of any size, in and around the picture.
    person = dataclasses.replace(
        still(dot((u / 2 / 16, v / 2 / 16, 2.0), color=(1.0, 0.6, 0.3))), scales=torch.full((1, 3), pixels / 16)
    )
    assert_specified([person], square_on(height=height, width=width), splatting)


@examples
@given(
    seed=seeds,
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    planes=st.integers(1, 3),
    antialiased=st.booleans(),
)
def test_equal_depths_are_rendered_in_the_order_given(seed: int, counts: list[int], planes: int, antialiased: bool):
    rng, people = np.random.default_rng(seed), []
    for i, count in enumerate(counts):
        person = still(example_person(seed=seed + i, count=count, frames=1))
        means = np.stack([*rng.uniform(0, 2, (2, count)), 2.0 + rng.integers(0, planes, count)], axis=1)
        people.append(
            dataclasses.replace(
                person,
                means=torch.tensor(means).float(),
                scales=person.scales + 0.1,
                opacities=torch.full((count,), 0.6),
            )
        )
    assert_specified(people, square_on(height=30, width=27), Splatting(antialiased=antialiased))


@examples
@given(seed=seeds, count=st.integers(1, 30), antialiased=st.booleans(), far=st.sampled_from([1.0, 1e10]))
def test_people_who_cross_the_near_and_far_planes_are_rendered_as_specified(
    seed: int, count: int, antialiased: bool, far: float
):
    # 0.5 and 1 are floats, and positions are multiples of 1/16, so that some lie in the planes themselves.
    person = still(example_person(seed=seed, count=count, frames=1))
    means = (person.means * 8).round() / 16 + torch.tensor([0.25, 0.25, 0.5])
    camera = square_on(height=24, width=29, focal=16.0)
    assert_specified(
        [dataclasses.replace(person, means=means)], camera, Splatting(near=0.5, far=far, antialiased=antialiased)
    )


@examples
@given(seed=seeds, frames=st.integers(1, 3), people=st.integers(0, 2), size=st.tuples(sides, sides))
def test_a_clip_is_its_frames(seed: int, frames: int, people: int, size: tuple[int, int]):
    cast = [example_person(seed=seed + i, count=20, frames=frames) for i in range(people)]
    camera = random_camera(seed, frames=frames, height=size[0], width=size[1])
    clip = CpuRenderer().render(cast, camera, depth=True)
    assert clip.rgb.shape == (frames, 3, *size) and clip.alpha.shape == (frames, 1, *size)
    for t in range(frames):
        still_cast = [dataclasses.replace(person, T_world_rest=person.T_world_rest[t : t + 1]) for person in cast]
        view = dataclasses.replace(camera, viewmats=camera.viewmats[t : t + 1], Ks=camera.Ks[t : t + 1])
        frame = CpuRenderer().render(still_cast, view, depth=True)
        assert torch.equal(frame.rgb[0], clip.rgb[t]) and torch.equal(frame.alpha[0], clip.alpha[t])
        assert frame.depth is not None and clip.depth is not None and torch.equal(frame.depth[0], clip.depth[t])


@examples
@given(
    seed=seeds,
    magnitudes=st.tuples(*[st.sampled_from([0.0, 1e-30, 1e-8, 1.0, 1e6, 1e18, 1e38])] * 3),
    splatting=models,
)
def test_finite_values_of_any_size_give_pictures_without_nan(
    seed: int, magnitudes: tuple[float, float, float], splatting: Splatting
):
    person, camera = example_person(seed=seed, count=20, frames=1), random_camera(seed, height=9, width=13)
    place, size, color = magnitudes
    means, scales = person.means.clone(), person.scales.clone()
    means[::2], scales[::3] = means[::2] * place, scales[::3] * size
    person = dataclasses.replace(person, means=means, scales=scales, colors=person.colors * min(color, 1e6))
    rendering = CpuRenderer(splatting).render([person], camera, depth=True)
    assert rendering.depth is not None and torch.isfinite(rendering.depth).all()
    assert (rendering.depth >= 0).all()
    assert not rendering.rgb[(rendering.alpha == 0).expand_as(rendering.rgb) & (color <= 1)].gt(1).any()


@examples
@given(seed=seeds, count=st.integers(1, 20), length=st.floats(1e-3, 1e3))
def test_quaternions_of_any_length_are_the_same_rotation(seed: int, count: int, length: float):
    person, camera = example_person(seed=seed, count=count, frames=1), random_camera(seed, height=20, width=20)
    stretched = dataclasses.replace(person, quats=person.quats * length)
    a, b = (CpuRenderer().render([p], camera, depth=True) for p in (person, stretched))
    assert ((a.rgb.int() - b.rgb.int()).abs() <= 1).all()


@pytest.mark.parametrize("antialiased", [True, False])
def test_flat_and_pointlike_gaussians_are_rendered_as_specified(antialiased: bool):
    person, camera = example_person(count=20, frames=1), example_view(frames=1, height=30, width=30)
    for flat in ([1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]):
        thin = dataclasses.replace(person, scales=person.scales * torch.tensor(flat))
        rendering = assert_specified([thin], camera, Splatting(antialiased=antialiased))
        # A point covers nothing of a pixel. In classic mode it is as large as the dilation.
        assert bool(rendering.alpha.any()) == (not antialiased or sum(flat) == 2)


def test_a_clip_of_no_frames_has_none():
    for people in ([], [example_person(frames=0)]):
        rendering = CpuRenderer().render(people, example_view(frames=0, height=5, width=7))
        assert rendering.rgb.shape == (0, 3, 5, 7)


@pytest.mark.parametrize("renderer", [CpuRenderer(), TorchRenderer()])
def test_no_people_no_gaussians_and_none_in_view_are_transparent(renderer: Renderer):
    camera = example_view()
    behind = example_person()
    behind = dataclasses.replace(behind, means=behind.means + torch.tensor([0.0, 0.0, 50.0]))
    faint = dataclasses.replace(example_person(), opacities=torch.zeros(400))
    for people in ([], [example_person(count=0)], [behind], [faint], [behind, example_person(count=0), faint]):
        rendering = renderer.render(people, camera, depth=True)
        assert rendering.depth is not None
        assert not rendering.rgb.any() and not rendering.alpha.any() and not rendering.depth.any()


def forged(person: Gaussians, **fields: Tensor) -> Gaussians:
    """A person whose fields break the types that tests check and users may."""
    copy = dataclasses.replace(person)
    for name, value in fields.items():
        object.__setattr__(copy, name, value)
    return copy


NAN, FEW = math.nan, example_person(count=7)
BAD_PEOPLE = {
    "means of NaN": ({"means": torch.full((7, 3), NAN)}, r"numbers in Gaussians\.means, got 21 that are NaN"),
    "scales of infinity": ({"scales": torch.full((7, 3), math.inf)}, r"Gaussians\.scales, got 21"),
    "log scales": (
        {"scales": torch.full((7, 3), -4.0)},
        r"Gaussians\.scales to be .* got -4\. .* take their exponential",
    ),
    "quaternions of NaN": ({"quats": torch.full((7, 4), NAN)}, r"Gaussians\.quats, got 28"),
    "no direction": ({"quats": torch.zeros(7, 4)}, r"Gaussians\.quats to be rotations, got a quaternion of length 0"),
    "logits": ({"opacities": torch.linspace(-3, 3, 7)}, r"Gaussians\.opacities from 0 to 1, got -3 to 3\. .* sigmoid"),
    "colours of NaN": ({"colors": torch.full((7, 3), NAN)}, r"Gaussians\.colors, got 21"),
    "weights of NaN": ({"weights": torch.full((7, 3), NAN)}, r"Gaussians\.weights, got 21"),
    "too few means": ({"means": torch.zeros(6, 3)}, r"means to have shape \(7, 3\), .* got \(6, 3\)"),
    "flat opacities": ({"opacities": torch.zeros(7, 1)}, r"opacities to have shape \(7,\), .* got \(7, 1\)"),
    "one joint each": (
        {"joint_ids": torch.zeros(7, dtype=torch.long)},
        r"joint_ids to be \[gaussian k\], got shape \(7,\)",
    ),
    "no such joint": ({"joint_ids": torch.full((7, 3), 5)}, r"joint_ids from 0 to 4, .* got 5 to 5"),
    "joint below 0": ({"joint_ids": torch.full((7, 3), -1)}, r"joint_ids from 0 to 4, .* got -1 to -1"),
    "joints of NaN": ({"T_world_rest": torch.full((2, 5, 4, 4), NAN)}, r"people\[0\]\.T_world_rest, got 160"),
    "3x4 joints": (
        {"T_world_rest": torch.zeros(2, 5, 3, 4)},
        r"T_world_rest to be \[time joint 4 4\], got shape \(2, 5, 3, 4\)",
    ),
    "other frames": ({"T_world_rest": torch.zeros(3, 5, 4, 4)}, r"as many frames as the camera \(2\), got 3"),
}
BAD_CAMERAS = {
    "viewmats of NaN": ({"viewmats": torch.full((2, 4, 4), NAN)}, r"camera\.viewmats, got 32"),
    "Ks of NaN": ({"Ks": torch.full((2, 3, 3), NAN)}, r"camera\.Ks, got 18"),
    "no lens": ({"Ks": torch.zeros(2, 3, 3)}, r"focal lengths of camera\.Ks above 0 pixels, got 0"),
    "3x4 viewmats": (
        {"viewmats": torch.zeros(2, 3, 4)},
        r"viewmats \[time 4 4\] and .*Ks \[time 3 3\], got shapes \(2, 3, 4\)",
    ),
    "one K": ({"Ks": torch.eye(3)[None]}, r"viewmats \[time 4 4\] and .*Ks \[time 3 3\], got .* and \(1, 3, 3\)"),
    "0 x 0": ({"width": 0, "height": 0}, r"at least 1 x 1 pixels, got 0 x 0"),
    "upside down": ({"height": -5}, r"at least 1 x 1 pixels, got 61 x -5"),
}


@pytest.mark.parametrize("renderer", [CpuRenderer(), TorchRenderer()])
@pytest.mark.parametrize(("fields", "message"), BAD_PEOPLE.values(), ids=BAD_PEOPLE)
def test_impossible_people_are_errors_that_name_field_and_rule(
    renderer: Renderer, fields: dict[str, Tensor], message: str
):
    with pytest.raises(ValueError, match=message):
        renderer.render([forged(FEW, **fields)], example_view())


@pytest.mark.parametrize("renderer", [CpuRenderer(), TorchRenderer()])
@pytest.mark.parametrize(("fields", "message"), BAD_CAMERAS.values(), ids=BAD_CAMERAS)
def test_impossible_cameras_are_errors_that_name_field_and_rule(renderer: Renderer, fields: dict, message: str):
    camera = dataclasses.replace(example_view())
    for name, value in fields.items():
        object.__setattr__(camera, name, value)
    with pytest.raises(ValueError, match=message):
        renderer.render([FEW], camera)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("eps2d", -0.1, "0 or more"),
        ("eps2d", NAN, "0 or more"),
        ("max_alpha", 0.0, "more than 0 and at most 1"),
        ("max_alpha", 1.5, "more than 0 and at most 1"),
        ("near", 0.0, "more than 0 metres"),
        ("far", 0.001, "at least near=0.01"),
    ],
)
def test_impossible_image_models_are_errors_that_name_field_and_rule(name: str, value: float, rule: str):
    with pytest.raises(ValueError, match=f"Expected {name} of Splatting to be {rule}.*, got {value}"):
        Splatting(**{name: value})
