"""The canonical person: points on the body, moved by shape and clothes."""

import pytest
import torch

from synthaug.avatars.procedural.figure import figure, points
from synthaug.body.skeleton import JOINT
from synthaug.creation.person import Unknowns, dress_surface
from synthaug.creation.surface import BETAS, Build, build_surface
from synthaug.structures import Motion

SURFACE = build_surface(1_000)


def test_points_follow_the_body_that_the_procedural_people_have() -> None:
    """Independent truth: the mesh of the same coefficients, which other code poses."""
    betas = torch.zeros(BETAS)
    betas[:3] = torch.tensor([1.0, -0.8, 0.5])
    build = Build(betas, torch.zeros(SURFACE.modes.shape[1]))
    bare = SURFACE.places(build, torch.stack([torch.zeros(1_000), torch.zeros(1_000), -SURFACE.worn], dim=1))
    body = figure(torch.cat([betas, torch.zeros(14)]).numpy())
    known = torch.from_numpy(points().on(body.vertices)[:1_000])
    assert (bare - known).abs().max() < 1e-4
    assert (SURFACE.skeleton(build).joints - torch.from_numpy(body.joints)).abs().max() < 1e-4


def test_twins_lie_on_the_other_side() -> None:
    image = SURFACE.rest * torch.tensor([-1.0, 1.0, 1.0])
    apart = (SURFACE.rest[SURFACE.twins] - image).norm(dim=1)
    assert apart.median() < 0.02


def test_a_person_in_the_t_pose_is_a_body() -> None:
    rest = Motion.from_pose(torch.zeros(1, 55, 3), torch.zeros(1, 3), fps=1.0)
    person = dress_surface(SURFACE, Unknowns.start(SURFACE, 1), rest)
    assert (person.weights.sum(1) - 1).abs().max() < 1e-4
    assert (person.quats.norm(dim=1) - 1).abs().max() < 1e-5
    height = person.means[:, 1].max() - person.means[:, 1].min()
    assert 1.5 < height < 2.0
    assert SURFACE.skeleton(Build.mean()).joints[JOINT["pelvis"]].abs().max() < 1e-6


def test_too_many_gaussians_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected 500 to 40960 Gaussians, got 50000"):
        build_surface(50_000)
