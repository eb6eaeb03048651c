"""Things are turned out of heads: the compiled search against plain tensor arithmetic."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.props.parts.holding import TURNS_DEG
from synthaug.props.parts.skulls import SKULL, SKULL_AXES, Grip, Skull, choose_turn

TIMES, ENOUGH, BETTER = 5, 0.02, 0.005


def turn_plainly(grip, angle):
    """The thing's rotations, turned by one angle."""
    axes = torch.from_numpy(grip.axes)
    spin = axis_angle_to_matrix(axes[..., 1] * angle)
    y = normalize((spin @ axes @ torch.from_numpy(grip.up)[:, None])[..., 0], dim=-1)
    front = (spin @ axes @ torch.from_numpy(grip.front)[:, None])[..., 0]
    z = normalize(front - (front * y).sum(-1, keepdim=True) * y, dim=-1)
    R = torch.stack([torch.linalg.cross(y, z), y, z], dim=-1)
    if grip.tilt >= 0:
        axis = normalize(torch.linalg.cross(y, torch.tensor([0.0, 1.0, 0.0], dtype=y.dtype).expand_as(y)), dim=-1)
        over = (y[:, 1].clamp(-1, 1).arccos() - grip.tilt).clamp(min=0)
        R = axis_angle_to_matrix(axis * over[:, None]) @ R
    return R


def measure_plainly(points, R, at, skull):
    """How deep the deepest point is in any frame."""
    world = torch.einsum("tij,pj->tpi", R, points) + at[:, None]
    local = torch.einsum("tji,tpj->tpi", torch.from_numpy(skull.head), world - torch.from_numpy(skull.eyes)[:, None])
    local = local / skull.size - torch.tensor(SKULL, dtype=R.dtype)
    share = (local / torch.tensor(SKULL_AXES, dtype=R.dtype)).norm(dim=-1)
    return float((local.norm(dim=-1) * (1 / share.clamp(min=1e-3) - 1) * skull.size).max().clamp(min=0))


def choose_plainly(grip, angles, points, skull):
    best = None
    for angle in angles:
        R = turn_plainly(grip, float(angle))
        at = torch.from_numpy(grip.goal) - (R @ torch.from_numpy(grip.grip)[:, None])[..., 0]
        depth = measure_plainly(points, R, at, skull)
        if best is None or depth < best[0] - BETTER:
            best = depth, R, at
        if best[0] <= ENOUGH:
            break
    return best[1:]


@pytest.mark.parametrize("tilt", [-1.0, math.radians(15)])
@pytest.mark.parametrize("seed", range(4))
def test_the_compiled_search_takes_the_turn_that_plain_arithmetic_takes(seed, tilt):
    rng = np.random.default_rng(seed)
    frames = np.linalg.qr(rng.normal(size=(2, TIMES, 3, 3)))[0]
    eyes = rng.normal(size=(TIMES, 3))
    skull = Skull(frames[0], eyes, 1.1)
    # The hand is before the mouth, so that a long thing is in the head one way and not the other.
    goal = eyes + np.einsum("tij,j->ti", frames[0], [0.02, -0.06, 0.07])
    grip = Grip(goal, np.ascontiguousarray(frames[1]), *rng.normal(size=(2, 3)), np.array([0.0, 0.03, 0.01]), tilt)
    points = rng.uniform(-0.5, 0.5, size=(60, 3)) * [0.05, 0.25, 0.05]
    angles = np.radians(TURNS_DEG)
    R, at = choose_turn(grip, angles, points, skull, (ENOUGH, BETTER))
    truth, places = choose_plainly(grip, angles, torch.from_numpy(points), skull)
    np.testing.assert_allclose(R, truth, atol=1e-9)
    np.testing.assert_allclose(at, places, atol=1e-9)
    np.testing.assert_allclose(R @ R.swapaxes(1, 2), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)


def test_what_is_in_no_head_is_not_turned():
    axes = np.broadcast_to(np.eye(3), (TIMES, 3, 3)).copy()
    skull = Skull(axes, np.zeros((TIMES, 3)), 1.0)
    grip = Grip(np.full((TIMES, 3), 0.9), axes, np.array([0.0, 1, 0]), np.array([0.0, 0, 1]), np.zeros(3), -1.0)
    R, at = choose_turn(grip, np.radians(TURNS_DEG), np.zeros((1, 3)), skull, (ENOUGH, BETTER))
    np.testing.assert_allclose(R, axes, atol=1e-12)
    np.testing.assert_allclose(at, 0.9)
