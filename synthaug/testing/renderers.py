"""The contract of a renderer, with example people and views, for plugin authors and our own tests."""

import dataclasses

import torch

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.renderers import Renderer, Splatting
from synthaug.renderers.torch import TorchRenderer
from synthaug.structures import Camera, Gaussians, Light, Rendering

SPLATTING = Splatting()
MIN_PSNR = 45.0
"""Smallest agreement with the specification: dB over the whole picture in uint8.

Pictures in which every value is one step off agree to 48 dB. An imitated limit of alpha (gsplat) is off by up to 2.5
steps on the shoulders of opaque Gaussians, which are about a tenth of the pixels."""


def example_person(*, count: int = 400, frames: int = 2, seed: int = 0, joints: int = 5, k: int = 3) -> Gaussians:
    """A cloud of random Gaussians about the origin, with skinning that shears covariances."""
    generator = torch.Generator().manual_seed(seed)

    def sample(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    T = torch.eye(4).repeat(frames, joints, 1, 1)
    T[..., :3, :3] = axis_angle_to_matrix((sample(frames, joints, 3) - 0.5) * 0.8)
    T[..., :3, 3] = (sample(frames, joints, 3) - 0.5) * 0.3
    weights = sample(count, k) + 0.01
    return Gaussians(
        means=(sample(count, 3) - 0.5) * 1.6,
        quats=torch.nn.functional.normalize(sample(count, 4) - 0.5, dim=1),
        scales=0.01 + 0.07 * sample(count, 3),
        opacities=0.02 + 0.98 * sample(count),
        colors=sample(count, 3),
        joint_ids=sample(count, joints).argsort(dim=1)[:, :k],
        weights=weights / weights.sum(dim=1, keepdim=True),
        T_world_rest=T,
    )


def with_normals(person: Gaussians) -> Gaussians:
    """The same Gaussians with random normals, so that light has an effect."""
    normals = torch.randn(len(person.means), 3, generator=torch.Generator().manual_seed(1))
    return dataclasses.replace(person, normals=torch.nn.functional.normalize(normals, dim=1))


def dot(position: tuple[float, float, float], *, color: tuple[float, float, float], frames: int = 1) -> Gaussians:
    """One round Gaussian of 4 cm, nearly opaque, that does not move."""
    return Gaussians(
        means=torch.tensor([position]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.full((1, 3), 0.04),
        opacities=torch.tensor([0.95]),
        colors=torch.tensor([color]),
        joint_ids=torch.zeros(1, 1, dtype=torch.long),
        weights=torch.ones(1, 1),
        T_world_rest=torch.eye(4).repeat(frames, 1, 1, 1),
    )


def example_view(*, frames: int = 2, height: int = 50, width: int = 61) -> Camera:
    """A camera 3 m from the origin, turned and off centre, with two focal lengths and sides that 4 does not divide."""
    T = torch.eye(4).repeat(frames, 1, 1)
    T[:, :3, :3] = axis_angle_to_matrix(torch.tensor([0.1, 0.2, -0.05])) @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    T[:, :3, 3] = torch.tensor([0.1, -0.05, 3.0])
    K = torch.tensor([[1.4 * height, 0, width / 2 + 1.3], [0, 1.5 * height, height / 2 - 2.1], [0, 0, 1]])
    return Camera(viewmats=T, Ks=K.repeat(frames, 1, 1), width=width, height=height)


def psnr(a: torch.Tensor, b: torch.Tensor, *, peak: float = 255.0) -> float:
    """Peak signal to noise ratio in dB; infinite for equal pictures."""
    error = (a.double() - b.double()).square().mean()
    return float(10 * torch.log10(peak**2 / error)) if error > 0 else float("inf")


def check_renderer(renderer: Renderer, *, splatting: Splatting = SPLATTING) -> None:
    """Raise AssertionError unless the renderer keeps its contract.

    Checked: no people give a transparent picture; a Gaussian lands where the pinhole camera projects it; nearer
    Gaussians hide farther ones in any order; moving the camera is the same as moving the world the other way; picture
    and depth agree with the specification; the same scene gives the same bytes; differing frame counts and values that
    are not finite raise a ValueError.

    Args:
        renderer: The renderer to check.
        splatting: The image model that it uses.

    Raises:
        AssertionError: If the contract is broken; the message says how.
    """
    assert renderer.fingerprint, "Expected a fingerprint that names the renderer for the cache, got an empty one."
    _check_without_people(renderer)
    _check_projection(renderer)
    _check_occlusion(renderer)
    _check_moved_world(renderer)
    _check_agreement(renderer, splatting)
    _check_errors(renderer)


def _check_shape(rendering: Rendering, camera: Camera) -> None:
    shape = (len(camera.viewmats), 1, camera.height, camera.width)
    assert rendering.alpha.shape == shape, f"Expected alpha of shape {shape}, got {tuple(rendering.alpha.shape)}."
    expected = (shape[0], 3, *shape[2:])
    assert rendering.rgb.shape == expected, f"Expected rgb of shape {expected}, got {tuple(rendering.rgb.shape)}."
    types = (rendering.rgb.dtype, rendering.alpha.dtype)
    assert types == (torch.uint8, torch.uint8), f"Expected rgb and alpha in uint8, got {types}."
    assert rendering.rgb.device.type == "cpu", f"Expected rgb in main memory, got {rendering.rgb.device}."


def _check_without_people(renderer: Renderer) -> None:
    camera = example_view()
    rendering = renderer.render([], camera, depth=True)
    _check_shape(rendering, camera)
    assert not rendering.rgb.any() and not rendering.alpha.any(), "Expected a transparent picture without people."
    assert rendering.depth is not None and not rendering.depth.any(), "Expected depth 0 without people."
    assert renderer.render([], camera).depth is None, "Expected depth None if it is not requested."


def _check_projection(renderer: Renderer) -> None:
    camera = example_view(frames=1, height=80, width=100)
    for position in ((0.0, 0.0, 0.0), (0.31, 0.22, 0.4), (-0.4, -0.3, -0.5)):
        rendering = renderer.render([dot(position, color=(1.0, 1.0, 1.0))], camera, depth=True)
        _check_shape(rendering, camera)
        p = camera.viewmats[0, :3, :3] @ torch.tensor(position) + camera.viewmats[0, :3, 3]
        expected = (camera.Ks[0] @ (p / p[2]))[:2]
        alpha = rendering.alpha[0, 0].double()
        ys, xs = torch.meshgrid(torch.arange(80) + 0.5, torch.arange(100) + 0.5, indexing="ij")
        centre = torch.stack([(alpha * xs).sum(), (alpha * ys).sum()]) / alpha.sum()
        off = float((centre - expected).norm())
        assert off < 0.1, f"Expected a Gaussian at pixel {expected.tolist()}, got one {off:.2f} px away."
        assert rendering.depth is not None
        found = rendering.depth[0, 0][alpha > 0]
        assert torch.allclose(found, p[2].expand_as(found), rtol=1e-3), "Expected the camera's z as depth."


def _check_occlusion(renderer: Renderer) -> None:
    camera = example_view(frames=1)
    near, far = dot((0.0, 0.0, 0.5), color=(1.0, 0.0, 0.0)), dot((0.0, 0.0, -0.5), color=(0.0, 0.0, 1.0))
    camera = dataclasses.replace(camera, viewmats=torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))[None])
    camera.viewmats[0, 2, 3] = 3.0
    for people in ([near, far], [far, near]):
        rgb = renderer.render(people, camera).rgb[0]
        y, x = divmod(int(rgb.sum(dim=0).argmax()), camera.width)
        red, blue = int(rgb[0, y, x]), int(rgb[2, y, x])
        assert red > 5 * blue, f"Expected the nearer, red Gaussian to hide the blue one, got red {red}, blue {blue}."


def _check_moved_world(renderer: Renderer) -> None:
    person, camera = example_person(), example_view()
    M = torch.eye(4)
    M[:3, :3], M[:3, 3] = axis_angle_to_matrix(torch.tensor([0.3, -0.5, 0.2])), torch.tensor([0.4, -0.7, 1.1])
    moved = dataclasses.replace(person, T_world_rest=M @ person.T_world_rest)
    follows = dataclasses.replace(camera, viewmats=camera.viewmats @ torch.linalg.inv(M))
    a, b = renderer.render([person], camera), renderer.render([moved], follows)
    # The same picture, except that float32 rounds the two paths differently and moves single pixels by a step.
    assert psnr(a.rgb, b.rgb) > 55, "Expected the same picture when world and camera move together."


def _check_agreement(renderer: Renderer, splatting: Splatting) -> None:
    people = [example_person(seed=seed) for seed in (0, 1)]
    light = Light((0.3, 0.5, -0.7), (0.9, 0.8, 0.7), (0.6, 0.7, 0.8), (0.4, 0.3, 0.1))
    people[1] = dataclasses.replace(with_normals(people[1]), light=light)
    camera = example_view()
    specified = TorchRenderer(splatting).render(people, camera, depth=True)
    rendering = renderer.render(people, camera, depth=True)
    for name in ("rgb", "alpha"):
        value = psnr(getattr(rendering, name), getattr(specified, name))
        assert value > MIN_PSNR, (
            f"Expected {name} of a PSNR of {MIN_PSNR} dB or more against the specification, got {value:.1f}."
        )
    solid = specified.alpha > 128
    assert rendering.depth is not None and specified.depth is not None
    off = float((rendering.depth - specified.depth)[solid].abs().mean())
    assert off < 0.01, f"Expected depth within 0.01 m of the specification on average, got {off:.3f} m."
    again = renderer.render(people, camera, depth=True)
    assert torch.equal(again.rgb, rendering.rgb), "Expected the same picture for the same scene."


def _check_errors(renderer: Renderer) -> None:
    camera, person = example_view(), example_person(count=10)
    bad = person.T_world_rest.clone()
    bad[1, 0, 0, 3] = float("nan")
    holes = person.means.clone()
    holes[3, 1] = float("inf")
    for wrong, what in (
        (example_person(count=10, frames=3), "another number of frames"),
        (dataclasses.replace(person, T_world_rest=bad), "NaN joints"),
        (dataclasses.replace(person, means=holes), "infinite means"),
    ):
        try:
            renderer.render([wrong], camera)
        except ValueError:
            continue
        raise AssertionError(f"Expected a ValueError for {what}, got none.")
