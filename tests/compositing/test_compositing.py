import numpy as np
import pytest
import torch

from synthaug.body.skeleton import JOINT, mean_skeleton
from synthaug.compositing.layers import darken, occlude, occlude_plain, over, over_plain
from synthaug.compositing.shadows import DENSITY, FAINT, contact_shadow
from synthaug.structures import Light, Rendering
from synthaug.testing.cameras import example_camera


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def person(alpha: torch.Tensor, color: torch.Tensor, depth: torch.Tensor | None = None) -> Rendering:
    rgb = (alpha.float() * color.float() / 255 + 0.5).to(torch.uint8)
    return Rendering(rgb=rgb, alpha=alpha, depth=depth)


def standing(*, lift: float = 0.0, frames: int = 2) -> torch.Tensor:
    """A person at rest whose soles touch the floor."""
    joints = mean_skeleton().joints
    sole = float(joints[[JOINT["left_foot"], JOINT["right_foot"]], 1].min()) - 0.025
    return (joints + torch.tensor([0.0, lift - sole, 0.0])).repeat(frames, 1, 1)


def test_over_is_exact_at_alpha_zero_and_one():
    frames, color = noise(3, 3, 9, 14), noise(3, 3, 9, 14, seed=1)
    nobody = person(torch.zeros(3, 1, 9, 14, dtype=torch.uint8), color)
    everywhere = person(torch.full((3, 1, 9, 14), 255, dtype=torch.uint8), color)
    assert torch.equal(over(nobody, frames), frames)
    assert torch.equal(over(everywhere, frames), color)


def test_over_agrees_with_real_numbers_to_rounding():
    frames, alpha, color = noise(4, 3, 20, 30), noise(4, 1, 20, 30, seed=1), noise(4, 3, 20, 30, seed=2)
    rendering = person(alpha, color)
    exact = rendering.rgb.double() + (255 - alpha.double()) * frames.double() / 255
    # One rounding, to the nearest.
    assert float((over(rendering, frames).double() - exact.clamp(max=255)).abs().max()) <= 0.5


def test_the_compiled_over_is_the_plain_one():
    frames, rendering = noise(4, 3, 20, 30), person(noise(4, 1, 20, 30, seed=1), noise(4, 3, 20, 30, seed=2))
    assert torch.equal(over(rendering, frames), over_plain(rendering, frames))


def test_over_black_gives_the_premultiplied_rendering():
    rendering = person(noise(2, 1, 8, 8), noise(2, 3, 8, 8, seed=1))
    assert torch.equal(over(rendering, torch.zeros(2, 3, 8, 8, dtype=torch.uint8)), rendering.rgb)


def test_the_paper_s_white_fringe_does_not_occur():
    alpha = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    a = alpha.double() / 255
    for c, behind in ((0.0, 0.0), (0.0, 1.0), (0.25, 0.5), (1.0, 0.0)):
        color = torch.full((1, 3, 16, 16), round(255 * c), dtype=torch.uint8)
        frames = torch.full((1, 3, 16, 16), round(255 * behind), dtype=torch.uint8)
        c, behind = float(color[0, 0, 0, 0]) / 255, float(frames[0, 0, 0, 0]) / 255
        right = a * c + (1 - a) * behind
        over_white = a * c + (1 - a)
        released = over_white * a + behind * (1 - a)
        # The released code errs by a (1 - a) (1 - c), whatever is behind: up to a quarter of full scale.
        torch.testing.assert_close(released - right, a * (1 - a) * (1 - c))
        ours = over(person(alpha, color), frames).double() / 255
        # Two roundings: of the premultiplied colour, and of the sum.
        assert float((ours - right).abs().max()) <= 1.01 / 255


def test_over_wants_frames_of_the_rendering_s_size():
    with pytest.raises(ValueError, match="Expected frames of the rendering.s shape"):
        over(person(noise(2, 1, 8, 8), noise(2, 3, 8, 8)), noise(2, 3, 8, 9))


def half_hidden() -> tuple[Rendering, torch.Tensor]:
    alpha = torch.zeros(2, 1, 12, 20, dtype=torch.uint8)
    alpha[:, :, 2:10, 3:17] = 255
    rendering = person(alpha, noise(2, 3, 12, 20), depth=3.0 * (alpha > 0))
    scene = torch.full((12, 20), 5.0)
    scene[:, 10:] = 2.0
    return rendering, scene


def test_nearer_things_hide_the_person_and_farther_ones_do_not():
    rendering, scene = half_hidden()
    rest = occlude(rendering, scene)
    assert torch.equal(rest.rgb[..., :9], rendering.rgb[..., :9])
    assert torch.equal(rest.alpha[..., :9], rendering.alpha[..., :9])
    assert int(rest.alpha[..., 11:].max()) == 0
    assert int(rest.rgb[..., 11:].max()) == 0
    assert float(rest.depth[..., 11:].max()) == 0


def test_the_border_of_what_hides_is_one_pixel_soft():
    rendering, scene = half_hidden()
    row = occlude(rendering, scene).alpha[0, 0, 6]
    assert row[8:12].tolist() == [255, 170, 85, 0]  # three pixels of the mean hold 3, 2, 1, 0 visible ones


def test_a_wholly_hidden_person_leaves_no_ghost():
    rendering, _ = half_hidden()
    rest = occlude(rendering, torch.full((12, 20), 1.0))
    assert int(rest.alpha.max()) == int(rest.rgb.max()) == 0


def test_a_person_before_everything_is_untouched():
    rendering, _ = half_hidden()
    assert occlude(rendering, torch.full((12, 20), 9.0)) is rendering


def test_compiled_occlusion_is_the_plain_one():
    alpha, depth = noise(3, 1, 20, 30), torch.rand(3, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    rendering = person(alpha, noise(3, 3, 20, 30, seed=1), depth=depth * (alpha > 0))
    fast, plain = (form(rendering, torch.full((20, 30), 0.5)) for form in (occlude, occlude_plain))
    # Sums of integers against means of floats: a half may be rounded either way.
    assert int((fast.alpha.int() - plain.alpha.int()).abs().max()) <= 1
    assert int((fast.rgb.int() - plain.rgb.int()).abs().max()) <= 1


def test_hiding_needs_depth():
    with pytest.raises(ValueError, match="depth=True"):
        occlude(person(noise(1, 1, 4, 4), noise(1, 3, 4, 4)), torch.ones(4, 4))


LIGHTS = {
    "surroundings": None,
    "window": Light(direction=(0.6, 0.64, 0.48), key=(0.9, 0.9, 0.8), sky=(0.5,) * 3, ground=(0.3,) * 3),
}


@pytest.mark.parametrize("light", LIGHTS.values(), ids=LIGHTS)
def test_a_shadow_only_darkens_and_only_the_floor(light):
    camera = example_camera(frames=2, height=96, width=96)
    factor = contact_shadow(standing(), camera, light)
    assert factor.shape == (2, 1, 96, 96)
    assert float(factor.max()) <= 1
    assert float(factor.min()) >= 0
    # A level camera sees no floor above the middle row.
    assert torch.equal(factor[:, :, :48], torch.ones(2, 1, 48, 96))


def test_standing_feet_darken_the_floor_below_them_most():
    camera = example_camera(frames=2, height=192, width=192, distance=3.5)
    joints = standing()
    factor = contact_shadow(joints, camera, None)[0, 0]
    darkest = int(factor.argmin())
    place = torch.tensor([darkest % 192 + 0.5, darkest // 192 + 0.5])
    feet = joints[0, [JOINT["left_foot"], JOINT["right_foot"]]] * torch.tensor([1.0, 0.0, 1.0])
    seen = camera.viewmats[0, :3, :3] @ feet.T + camera.viewmats[0, :3, 3:]
    pixels = (camera.Ks[0] @ seen)[:2] / seen[2]
    # Within the length of a foot, which is 25 cm or about 15 pixels here.
    assert float((pixels - place[:, None]).norm(dim=0).min()) < 15
    assert float(factor.min()) < 0.5


def test_a_raised_person_casts_less():
    camera = example_camera(frames=2, height=96, width=96)
    darkness = [float((1 - contact_shadow(standing(lift=lift), camera, None)).sum()) for lift in (0.0, 0.1, 0.3, 1.0)]
    assert darkness == sorted(darkness, reverse=True)
    assert darkness[3] < darkness[0] / 2


def test_no_strength_no_shadow_and_one_sphere_blocks_what_the_closed_form_says():
    camera = example_camera(frames=2, height=96, width=96)
    assert torch.equal(contact_shadow(standing(), camera, None, strength=0.0), torch.ones(2, 1, 96, 96))
    # All joints in one point: every sphere sits at height h above the origin of the floor.
    h = 2.0
    joints = torch.tensor([0.0, h, 0.0]).expand(2, 55, 3)
    factor = contact_shadow(joints, camera, None)[0, 0]
    radii = [0.14, 0.14, 0.15, 0.11] + 2 * [
        0.045, 0.05, 0.045, 0.03, 0.05, 0.06, 0.065, 0.075, 0.085, 0.06, 0.05, 0.045, 0.04, 0.035, 0.04
    ]  # fmt: skip
    ray = torch.linalg.inv(camera.Ks[0]) @ torch.tensor([48.5, 90.5, 1.0])
    depth = 1.2 / ray[1]
    distance = torch.stack([ray[0] * depth, torch.tensor(h), 3.0 - depth]).norm()
    expected = torch.stack([1 - (r * r * h / distance**3 - FAINT).clamp(min=0) for r in radii]).prod() ** DENSITY
    # Bilinear between every fourth pixel, which errs by less than a tenth of a step of uint8 at this height.
    assert float(factor[90, 48]) == pytest.approx(float(expected), abs=4e-4)


def test_a_distant_light_throws_the_shadow_away_from_itself():
    camera = example_camera(frames=2, height=96, width=96)
    from_left = Light(direction=(-0.8, 0.6, 0.0), key=(2.0,) * 3, sky=(0.2,) * 3, ground=(0.2,) * 3)
    darkness = (1 - contact_shadow(standing(), camera, from_left))[0, 0].sum(0)
    assert float(darkness[48:].sum()) > 1.5 * float(darkness[:48].sum())


def test_what_stands_on_the_floor_is_not_darkened():
    camera = example_camera(frames=2, height=96, width=96)
    rays = torch.linalg.inv(camera.Ks[0]) @ torch.stack([torch.zeros(96), torch.arange(96) + 0.5, torch.ones(96)])
    floor = (1.2 / rays[1].clamp(min=1e-3))[:, None].expand(96, 96)
    free = contact_shadow(standing(), camera, None)
    torch.testing.assert_close(contact_shadow(standing(), camera, None, depth=floor.contiguous()), free)
    assert torch.equal(contact_shadow(standing(), camera, None, depth=floor * 0.8), torch.ones_like(free))


def test_a_factor_of_one_changes_nothing_and_the_compiled_form_is_the_plain_one():
    frames = noise(2, 3, 9, 11)
    assert torch.equal(darken(frames, torch.ones(2, 1, 9, 11)), frames)
    factor = torch.rand(2, 1, 9, 11, generator=torch.Generator().manual_seed(0))
    plain = frames * factor ** (1 / 2.2)
    # The table has 1024 steps; below a factor of 0.01 its root is steep.
    difference = (darken(frames, factor).double() - plain.double()).abs()
    assert float(difference[(factor > 0.01).expand_as(frames)].max()) <= 0.5 + 255 * 0.5 / 1024 / 2.2 * 0.01 ** (
        -1.2 / 2.2
    )
