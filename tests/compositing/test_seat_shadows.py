"""Shadows of seats on the floor, and of people on seats: held to the sky that rays find."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.scenes import perform_clip
from synthaug.body.skeleton import joint_positions, mean_skeleton
from synthaug.body.support import find_rests
from synthaug.compositing.shadows import find_spheres, seat_shadow, shade_seat
from synthaug.props.seats import build_seat, sample_seat
from synthaug.structures import Camera, Gaussians
from synthaug.synthesis.visibility import see_past

SIDE = 24


def make_seat(kind, times=1):
    _, clip, _ = perform_clip("sit down", 1)
    [rest] = find_rests(clip, mean_skeleton())
    values = {**sample_seat(np.random.default_rng(0), "studio"), "kind": kind}
    level, top = build_seat(values, rest, room=2.0, spacing=0.04)
    T = torch.eye(4).repeat(times, 1, 1, 1)
    T[:, 0, :3, 3] = torch.tensor([float(rest.hips[0]), 0.0, float(rest.hips[2])])
    return Gaussians(**vars(level), T_world_rest=T), top, joint_positions(clip, mean_skeleton())


def look_down(seat, times=1):
    """A camera 4 m above a seat, which sees 2.7 m of the floor."""
    x, z = (float(seat.T_world_rest[0, 0, axis, 3]) for axis in (0, 2))
    viewmat = torch.tensor([[1.0, 0, 0, -x], [0, 0, 1, -z], [0, -1, 0, 4.0], [0, 0, 0, 1]])
    K = torch.tensor([[1.5 * SIDE, 0, SIDE / 2], [0, 1.5 * SIDE, SIDE / 2], [0, 0, 1]])
    return Camera(viewmat.expand(times, 4, 4).clone(), K.expand(times, 3, 3).clone(), SIDE, SIDE)


def find_floor(view):
    """Points of the floor that the pixels of a view from above see."""
    row, column = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    rays = torch.linalg.inv(view.Ks[0]) @ torch.stack([column, row, torch.ones_like(row)]).flatten(1)
    R, t = view.viewmats[0, :3, :3], view.viewmats[0, :3, 3]
    ways, eye = R.mT @ rays, -R.mT @ t
    return (eye[:, None] + ways * (-eye[1] / ways[1])).mT


def find_sky(points, seat, *, rounds=4):
    """Share of the sky over points of the floor that a seat leaves: rays weighted by their cosine."""
    generator = torch.Generator().manual_seed(0)
    views = torch.eye(4).repeat(len(points), 1, 1)
    views[:, :3, 3] = -points - torch.tensor([0.0, 0.001, 0.0])
    view = Camera(views, torch.eye(3).repeat(len(points), 1, 1), 1, 1)
    still = replace(seat, T_world_rest=seat.T_world_rest[:1].expand(len(points), -1, -1, -1))
    seen = []
    for _ in range(rounds):
        turn, square = torch.rand(2, len(points), 55, generator=generator)
        across, turn = square.sqrt(), 2 * math.pi * turn
        ways = torch.stack([across * turn.cos(), (1 - square).sqrt(), across * turn.sin()], dim=-1)
        seen.append(see_past(points[:, None] + 3 * ways, view, [still]).float().mean(dim=1))
    return torch.stack(seen).mean(dim=0)


@pytest.mark.parametrize(
    ("kind", "mean", "most"), [("stool", 0.02, 0.1), ("chair", 0.04, 0.12), ("bench", 0.04, 0.12), ("sofa", 0.12, 0.35)]
)
def test_the_floor_keeps_the_light_that_rays_find(kind, mean, most):
    seat, _, _ = make_seat(kind)
    view = look_down(seat)
    kept, sky = seat_shadow(seat, view, None).flatten(), find_sky(find_floor(view), seat)
    outside = (find_floor(view)[:, None] - torch.from_numpy(find_spheres(seat)[0]).float())[..., [0, 2]].norm(dim=-1)
    visible = outside.min(dim=1).values > 0.07
    error = (kept - sky)[visible].abs()
    assert float(error.mean()) < mean and float(error.quantile(0.95)) < most
    assert abs(float((kept - sky)[visible].mean())) < 0.03, "neither too dark nor too light on the whole"
    assert float(sky.min()) < 0.6 and float(np.corrcoef(kept[visible], sky[visible])[0, 1]) > 0.8


def test_a_seat_only_darkens_what_is_near_and_a_still_camera_costs_one_view():
    seat, _, _ = make_seat("chair", 3)
    still, moving = look_down(seat, 3), look_down(seat, 3)
    moving.viewmats[1, 2, 3] += 0.5
    one, three = seat_shadow(seat, still, None), seat_shadow(seat, moving, None)
    assert one.shape == (1, 1, SIDE, SIDE) and three.shape == (3, 1, SIDE, SIDE)
    assert torch.equal(three[0], one[0]) and torch.equal(three[2], one[0]) and not torch.equal(three[1], one[0])
    assert float(one.max()) == 1.0 and 0 < float(one.min()) < 0.7
    away = replace(seat, T_world_rest=seat.T_world_rest + torch.tensor([0.0, 0, 0, 30.0]) * torch.eye(4)[:, :1])
    assert bool((seat_shadow(away, still, None) == 1).all())
    hidden = seat_shadow(seat, still, None, depth=torch.full((SIDE, SIDE), 1.0))
    assert bool((hidden == 1).all()), "furniture before the floor stays as it is"


def test_who_sits_darkens_the_seat_about_the_hips():
    seat, top, joints = make_seat("bench")
    shaded = shade_seat(seat, [joints])
    factor = (shaded.colors / seat.colors.clamp(min=1e-6)).mean(dim=1)
    above = (seat.means[:, 1] > top - 0.01) & (seat.normals[:, 1] > 0.9)
    near = above & (seat.means[:, 0].abs() < 0.15)
    far = above & (seat.means[:, 0].abs() > 0.5)
    assert float(factor.max()) <= 1.0 and float(factor[near].mean()) < float(factor[far].mean()) - 0.1
    assert float(factor[far].mean()) > 0.9
    gone = shade_seat(seat, [joints + torch.tensor([9.0, 0, 0])])
    torch.testing.assert_close(gone.colors, seat.colors, atol=0.01, rtol=0)
    assert shade_seat(seat, []).colors.equal(seat.colors)


def test_half_a_clip_on_a_seat_darkens_it_by_half():
    seat, _, joints = make_seat("bench")
    last = joints[-1:]
    away = last + torch.tensor([9.0, 0, 0])

    def lose(one):
        return 1 - (shade_seat(seat, [one]).colors / seat.colors.clamp(min=1e-6)).mean(dim=1) ** 2.2

    whole, half = lose(last.expand(4, -1, -1)), lose(torch.cat([last, last, away, away]))
    torch.testing.assert_close(half, whole / 2, atol=0.02, rtol=0)
