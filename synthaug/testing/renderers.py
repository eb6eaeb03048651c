"""What every renderer owes. For plugin authors and for our own tests."""

import dataclasses

import torch

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.renderers import Renderer, Splatting
from synthaug.renderers.torch import TorchRenderer
from synthaug.structures import Camera, Gaussians, Light, Rendering

SPLATTING = Splatting()
LEAST_PSNR = 45.0
"""Agreement with the specification, dB over the whole picture in uint8.

Rounding alone costs nothing where both round alike, and 48 dB where every value is one step off. A cap on alpha that is
imitated (gsplat) is off by up to 2.5 steps on the shoulders of opaque Gaussians, some tenth of the pixels."""


def example_person(*, count: int = 400, frames: int = 2, seed: int = 0, joints: int = 5, k: int = 3) -> Gaussians:
    """A cloud of random Gaussians about the origin, skinned so much that covariances shear."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    T = torch.eye(4).repeat(frames, joints, 1, 1)
    T[..., :3, :3] = axis_angle_to_matrix((draw(frames, joints, 3) - 0.5) * 0.8)
    T[..., :3, 3] = (draw(frames, joints, 3) - 0.5) * 0.3
    weights = draw(count, k) + 0.01
    return Gaussians(
        means=(draw(count, 3) - 0.5) * 1.6,
        quats=torch.nn.functional.normalize(draw(count, 4) - 0.5, dim=1),
        scales=0.01 + 0.07 * draw(count, 3),
        opacities=0.02 + 0.98 * draw(count),
        colors=draw(count, 3),
        joint_ids=draw(count, joints).argsort(dim=1)[:, :k],
        weights=weights / weights.sum(dim=1, keepdim=True),
        T_world_rest=T,
    )


def with_normals(person: Gaussians) -> Gaussians:
    """The same Gaussians with random normals, so that light does something to them."""
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
    """A camera 3 m before the origin, turned and off centre, with two focal lengths and sides no multiple of 4."""
    T = torch.eye(4).repeat(frames, 1, 1)
    T[:, :3, :3] = axis_angle_to_matrix(torch.tensor([0.1, 0.2, -0.05])) @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    T[:, :3, 3] = torch.tensor([0.1, -0.05, 3.0])
    K = torch.tensor([[1.4 * height, 0, width / 2 + 1.3], [0, 1.5 * height, height / 2 - 2.1], [0, 0, 1]])
    return Camera(viewmats=T, Ks=K.repeat(frames, 1, 1), width=width, height=height)


def psnr(a: torch.Tensor, b: torch.Tensor, *, peak: float = 255.0) -> float:
    """Peak signal to noise ratio, dB; infinite for equal pictures."""
    error = (a.double() - b.double()).square().mean()
    return float(10 * torch.log10(peak**2 / error)) if error > 0 else float("inf")


def check_renderer(renderer: Renderer, *, splatting: Splatting = SPLATTING) -> None:
    """Raise AssertionError unless the renderer keeps its contract.

    Checked: nobody gives a transparent picture; a Gaussian lands where the pinhole says; nearer hides farther, whoever
    comes first; moving the camera is moving the world back; the picture and its depth are the specification's; the
    same scene gives the same bytes; frame counts that differ and values that are not finite are refused.

    Args:
        renderer: To be tested.
        splatting: The image model that it was told to use.
    """
    assert renderer.fingerprint, "a renderer must name itself for the cache"
    _check_nobody(renderer)
    _check_lands(renderer)
    _check_hides(renderer)
    _check_moves(renderer)
    _check_agrees(renderer, splatting)
    _check_refuses(renderer)


def _check_shape(rendering: Rendering, camera: Camera) -> None:
    shape = (len(camera.viewmats), 1, camera.height, camera.width)
    assert rendering.alpha.shape == shape, f"alpha is {tuple(rendering.alpha.shape)}, not {shape}"
    assert rendering.rgb.shape == (shape[0], 3, *shape[2:]), f"rgb is {tuple(rendering.rgb.shape)}"
    assert rendering.rgb.dtype == rendering.alpha.dtype == torch.uint8, "renderings are uint8"
    assert rendering.rgb.device.type == "cpu", "renderings come back to main memory"


def _check_nobody(renderer: Renderer) -> None:
    camera = example_view()
    rendering = renderer.render([], camera, depth=True)
    _check_shape(rendering, camera)
    assert not rendering.rgb.any() and not rendering.alpha.any(), "nobody is there, and something was drawn"
    assert rendering.depth is not None and not rendering.depth.any(), "nobody is there, and there is depth"
    assert renderer.render([], camera).depth is None, "depth was not asked for"


def _check_lands(renderer: Renderer) -> None:
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
        assert off < 0.1, f"a Gaussian that belongs at {expected.tolist()} lies {off:.2f} px off"
        assert rendering.depth is not None
        found = rendering.depth[0, 0][alpha > 0]
        assert torch.allclose(found, p[2].expand_as(found), rtol=1e-3), "depth is not the camera's z"


def _check_hides(renderer: Renderer) -> None:
    camera = example_view(frames=1)
    near, far = dot((0.0, 0.0, 0.5), color=(1.0, 0.0, 0.0)), dot((0.0, 0.0, -0.5), color=(0.0, 0.0, 1.0))
    camera = dataclasses.replace(camera, viewmats=torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))[None])
    camera.viewmats[0, 2, 3] = 3.0
    for people in ([near, far], [far, near]):
        rgb = renderer.render(people, camera).rgb[0]
        y, x = divmod(int(rgb.sum(dim=0).argmax()), camera.width)
        red, blue = int(rgb[0, y, x]), int(rgb[2, y, x])
        assert red > 5 * blue, f"the nearer, red one does not hide the farther, blue one: red {red}, blue {blue}"


def _check_moves(renderer: Renderer) -> None:
    person, camera = example_person(), example_view()
    M = torch.eye(4)
    M[:3, :3], M[:3, 3] = axis_angle_to_matrix(torch.tensor([0.3, -0.5, 0.2])), torch.tensor([0.4, -0.7, 1.1])
    moved = dataclasses.replace(person, T_world_rest=M @ person.T_world_rest)
    follows = dataclasses.replace(camera, viewmats=camera.viewmats @ torch.linalg.inv(M))
    a, b = renderer.render([person], camera), renderer.render([moved], follows)
    # The same picture but for float32's rounding of the two paths, which flips single pixels by a step.
    assert psnr(a.rgb, b.rgb) > 55, "moving world and camera together changed the picture"


def _check_agrees(renderer: Renderer, splatting: Splatting) -> None:
    people = [example_person(seed=seed) for seed in (0, 1)]
    light = Light((0.3, 0.5, -0.7), (0.9, 0.8, 0.7), (0.6, 0.7, 0.8), (0.4, 0.3, 0.1))
    people[1] = dataclasses.replace(with_normals(people[1]), light=light)
    camera = example_view()
    specified = TorchRenderer(splatting).render(people, camera, depth=True)
    rendering = renderer.render(people, camera, depth=True)
    for name in ("rgb", "alpha"):
        value = psnr(getattr(rendering, name), getattr(specified, name))
        assert value > LEAST_PSNR, f"{name} is {value:.1f} dB from the specification; {LEAST_PSNR} dB was wanted"
    solid = specified.alpha > 128
    assert rendering.depth is not None and specified.depth is not None
    off = float((rendering.depth - specified.depth)[solid].abs().mean())
    assert off < 0.01, f"depth is {off:.3f} m from the specification on average; 0.01 m was wanted"
    again = renderer.render(people, camera, depth=True)
    assert torch.equal(again.rgb, rendering.rgb), "the same scene gave another picture"


def _check_refuses(renderer: Renderer) -> None:
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
        raise AssertionError(f"{what} must be refused with a ValueError")
