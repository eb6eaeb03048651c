"""Levels of detail: what merging keeps, how near its pictures are to the truth, and which level a picture takes."""

import dataclasses

import numpy as np
import pytest
import torch

from synthaug.avatars.anny import AnnyPeople, AnnyPerson
from synthaug.body.rotations import quat_to_matrix
from synthaug.levels import PER_PIXEL, Pyramid, build_levels, choose_level, level_of, merge
from synthaug.renderers import Splatting
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.splatting.refinement import Refinement
from synthaug.structures import Camera, Gaussians, Level, Motion
from synthaug.testing.renderers import example_person, psnr, with_normals


@pytest.fixture(scope="module")
def person() -> Gaussians:
    """A person of 12,000 Gaussians with two levels, standing with the arms a little down."""
    pose = torch.zeros(1, 55, 3)
    pose[:, 16, 2], pose[:, 17, 2] = -1.0, 1.0
    still = Motion.from_pose(pose, torch.tensor([[0.0, 0.9, 0.0]]), fps=1.0)
    return Pyramid((6000, 2500), refine=None).add_levels(AnnyPerson("studio", 1, gaussians=12_000).pose(still))


def view(size: int, *, distance: float = 3.0) -> Camera:
    """From in front, the person filling 70 percent of the height at 3 m."""
    viewmat = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))[None]
    viewmat[:, 1, 3], viewmat[:, 2, 3] = 0.9, distance
    focal = 0.7 * size * 3.0 / 1.7
    K = torch.tensor([[[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]])
    return Camera(viewmats=viewmat, Ks=K, width=size, height=size)


def over_grey(people: Gaussians, camera: Camera, splatting: Splatting) -> torch.Tensor:
    rendering = CpuRenderer(splatting).render([people], camera)
    return rendering.rgb.double() + (1 - rendering.alpha.double() / 255) * 128


def masses(level: Level) -> torch.Tensor:
    wide = level.scales.double().sort(dim=1).values
    return level.opacities * wide[:, 1] * wide[:, 2]


def test_levels_are_nearer_to_the_truth_than_all_gaussians_with_stock_settings(person: Gaussians):
    """The truth is full detail at eight times the size, box-averaged, as a sensor would."""
    everything = Splatting(per_pixel=None)
    large = over_grey(person, view(8 * 112), everything)
    truth = torch.nn.functional.avg_pool2d(large, 8)
    stock = psnr(over_grey(person, view(112), Splatting(antialiased=False, eps2d=0.3, per_pixel=None)), truth)
    fine, coarse = (psnr(over_grey(person.at(level), view(112), everything), truth) for level in person.levels)
    assert fine > coarse > stock + 3
    assert fine > 38 and coarse > 34


def test_chosen_level_is_what_the_renderer_renders(person: Gaussians):
    camera = view(112)
    chosen = choose_level(person, camera, PER_PIXEL)
    assert 2000 < len(chosen.means) < 3500
    plain = CpuRenderer(Splatting(per_pixel=None))
    assert torch.equal(CpuRenderer().render([person], camera).rgb, plain.render([chosen], camera).rgb)
    assert not torch.equal(plain.render([person], camera).rgb, plain.render([chosen], camera).rgb)


def test_larger_and_nearer_pictures_take_finer_levels(person: Gaussians):
    def count(camera: Camera, per_pixel: float | None = PER_PIXEL) -> int:
        return len(choose_level(person, camera, per_pixel).means)

    assert count(view(48)) < count(view(224)) < count(view(500))
    assert count(view(170)) < count(view(170, distance=2.0)) < count(view(170, distance=0.7))
    assert count(view(16), None) == count(view(2000)) == 12_000
    # A camera inside the person asks for the finest, not for infinitely many.
    assert count(view(170, distance=-1.0)) == 12_000


def test_a_clip_has_one_level_throughout(person: Gaussians):
    """That of its nearest frame, for levels that change would flicker."""
    T = person.T_world_rest.repeat(2, 1, 1, 1)
    far, near = view(170), view(170, distance=0.7)
    both = Camera(torch.cat([far.viewmats, near.viewmats]), far.Ks.repeat(2, 1, 1), 170, 170)
    assert len(choose_level(dataclasses.replace(person, T_world_rest=T), both, PER_PIXEL).means) == 12_000


def test_people_without_levels_are_rendered_as_they_are():
    person = example_person()
    assert choose_level(person, view(64), PER_PIXEL) is person


def test_merging_keeps_place_and_colour_where_nothing_is_saturated():
    thin = dataclasses.replace(example_person(count=400, joints=2, k=1), opacities=torch.full((400,), 0.05))
    whole = level_of(thin)
    level = merge(whole, 40)
    before, after = masses(whole), masses(level)
    np.testing.assert_allclose(after.sum(), before.sum(), rtol=1e-4)
    for name in ("means", "colors"):
        was = (before[:, None] * getattr(whole, name)).sum(0) / before.sum()
        now = (after[:, None] * getattr(level, name)).sum(0) / after.sum()
        np.testing.assert_allclose(now, was, atol=1e-4)


def test_levels_are_sound(person: Gaussians):
    for level, count in zip(person.levels, (6000, 2500), strict=True):
        assert abs(len(level.means) - count) < 0.1 * count
        np.testing.assert_allclose(level.quats.norm(dim=1), 1, atol=1e-5)
        np.testing.assert_allclose(level.weights.sum(1), 1, atol=1e-5)
        assert level.normals is not None
        np.testing.assert_allclose(level.normals.norm(dim=1), 1, atol=1e-4)
        assert float(level.scales.min()) > 0 and float(level.opacities.max()) <= 0.9701
        assert all(bool(torch.isfinite(value).all()) for value in vars(level).values())


def test_the_same_person_gives_the_same_levels():
    rest = level_of(with_normals(example_person(count=500)))
    for a, b in zip(build_levels(rest, (200, 50)), build_levels(rest, (200, 50)), strict=True):
        assert torch.equal(a.means, b.means) and torch.equal(a.quats, b.quats)


def test_refined_levels_look_more_like_the_whole_in_views_that_they_have_not_seen(person: Gaussians):
    turns = torch.linspace(0, 2 * torch.pi, 9)[:-1]
    poses = torch.zeros(8, 55, 3)
    poses[:, 16, 2], poses[:, 17, 2] = -1.0 + 0.3 * turns.sin(), 1.0 + 0.3 * turns.cos()
    seen = AnnyPerson("studio", 1, gaussians=12_000).pose(Motion.from_pose(poses, torch.zeros(8, 3), fps=1.0))
    coarse = person.levels[-1]
    better = Refinement(steps=25)(seen, coarse)
    everything = Splatting(per_pixel=None)
    truth = torch.nn.functional.avg_pool2d(over_grey(person, view(8 * 112), everything), 8)
    before, after = (psnr(over_grey(person.at(level), view(112), everything), truth) for level in (coarse, better))
    assert after > before + 1
    assert torch.equal(better.weights, coarse.weights) and better.normals is coarse.normals
    again = Refinement(steps=25)(seen, coarse)
    assert torch.equal(again.colors, better.colors) and torch.equal(again.means, better.means)


def test_a_pyramid_names_all_that_decides_it():
    plain, refined = Pyramid(refine=None), Pyramid(refine=Refinement())
    others = Pyramid((5,), refine=None), Pyramid(refine=Refinement(steps=2))
    assert len({one.fingerprint for one in (plain, refined, *others)}) == 4
    assert Pyramid(refine=None, refine_below=7).fingerprint == plain.fingerprint


def test_two_gaussians_merge_by_their_moments():
    """The closed form: equal masses half a metre apart on one axis."""
    one = example_person(count=1, k=1)
    pair = Level(
        means=torch.tensor([[-0.25, 0.0, 0.0], [0.25, 0.0, 0.0]]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 2),
        scales=torch.tensor([[0.3, 0.2, 0.1]] * 2),
        opacities=torch.full((2,), 0.1),
        colors=torch.tensor([[0.0, 0.2, 1.0], [1.0, 0.4, 1.0]]),
        joint_ids=one.joint_ids.repeat(2, 1),
        weights=torch.ones(2, 1),
    )
    level = merge(pair, 1)
    np.testing.assert_allclose(level.means, [[0, 0, 0]], atol=1e-7)
    np.testing.assert_allclose(level.colors, [[0.5, 0.3, 1.0]], atol=1e-6)
    M = quat_to_matrix(level.quats) * level.scales[:, None, :]
    np.testing.assert_allclose((M @ M.mT)[0], np.diag([0.3**2 + 0.25**2, 0.2**2, 0.1**2]), atol=1e-6)
    # Twice the mass of one, on a wider ellipse.
    wide = np.sqrt(0.3**2 + 0.25**2) * 0.2
    assert float(level.opacities[0]) == pytest.approx(min(0.1, 2 * 0.1 * 0.3 * 0.2 / wide), rel=1e-5)
    assert level.normals is None


def test_what_moves_differently_is_never_merge():
    person = example_person(count=300, joints=6, k=1)
    level = merge(level_of(person), 12)
    assert set(level.joint_ids[:, 0].tolist()) == set(person.joint_ids[:, 0].tolist())
    for joint in range(6):
        own, theirs = level.joint_ids[:, 0] == joint, person.joint_ids[:, 0] == joint
        if bool(own.any()):
            assert bool((level.means[own].amax(0) <= person.means[theirs].amax(0) + 1e-6).all())


def test_no_gaussians_at_all_are_refused():
    with pytest.raises(ValueError, match="Expected count to be 1 or more, got 0"):
        merge(level_of(example_person(count=10)), 0)


def test_people_with_levels_are_kept_in_the_cache_and_come_back_the_same(own_cache):
    before = set((own_cache / "avatars").glob("anny-*"))
    first = AnnyPeople(gaussians=3000, levels=Pyramid(refine=None)).load("studio-000007")
    assert len(set((own_cache / "avatars").glob("anny-*")) - before) == 1
    assert len(first.pose(_still()).levels) == 1
    again = AnnyPeople(gaussians=3000, levels=Pyramid(refine=None)).load("studio-000007")
    assert again.digest == first.digest != AnnyPeople(gaussians=3000, levels=None).load("studio-000007").digest
    assert torch.equal(again.pose(_still()).means, first.pose(_still()).means)
    assert torch.equal(again.pose(_still()).levels[0].means, first.pose(_still()).levels[0].means)


def test_a_damaged_kept_person_is_built_again_and_said(own_cache, caplog):
    name, people = "studio-000008", AnnyPeople(gaussians=3000, levels=Pyramid(refine=None))
    whole = people.load(name).pose(_still()).means.clone()
    del people
    for path in (own_cache / "avatars").glob("anny-*"):
        path.write_bytes(path.read_bytes()[:500])
    assert torch.equal(AnnyPeople(gaussians=3000, levels=Pyramid(refine=None)).load(name).pose(_still()).means, whole)
    assert "damaged" in caplog.text


def _still() -> Motion:
    return Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0)
