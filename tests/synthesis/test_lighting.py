"""Light on people: what physics asks of it. That renderers apply it, their own tests say."""

import dataclasses

import numpy as np
import pytest
import torch

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skinning import pose_frame, shade
from synthaug.structures import Light
from synthaug.testing.renderers import example_person, with_normals

NEUTRAL = Light(direction=(0.3, 0.8, 0.52), key=(0.6, 0.6, 0.6), sky=(0.9, 0.9, 0.9), ground=(0.65, 0.65, 0.65))
"""A bright, even room with a window above and before the person: shade is 1 averaged over all directions."""


def directions(count: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(0)), dim=1)


def test_neutral_light_keeps_colours_on_average():
    # 5000 random directions whose shade has a deviation of 0.25: the mean is within 0.01 with room to spare.
    assert float(shade(NEUTRAL, directions(5000)).mean()) == pytest.approx(1.0, abs=0.015)


def test_shade_stays_within_its_bounds():
    glare = Light(direction=(0.0, 1.0, 0.0), key=(9.0, 0.0, 0.0), sky=(0.0, -3.0, 0.5), ground=(0.0, 0.0, 0.5))
    factors = shade(glare, directions(200))
    assert float(factors.min()) == 0
    assert float(factors.max()) == pytest.approx(Light.BRIGHTEST)


def test_what_faces_the_light_is_brighter_than_what_faces_away():
    light = dataclasses.replace(NEUTRAL, direction=(0.0, 0.0, 1.0))
    towards, away = shade(light, torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]))
    assert (towards > away).all()


def test_length_of_normals_and_of_the_direction_does_not_matter():
    normals = directions(50)
    longer = dataclasses.replace(NEUTRAL, direction=(0.6, 1.6, 1.04))
    np.testing.assert_allclose(shade(longer, 3 * normals), shade(NEUTRAL, normals), atol=1e-6)


def test_turning_person_and_light_together_about_the_vertical_changes_nothing():
    person = dataclasses.replace(with_normals(example_person()), light=NEUTRAL)
    T = torch.eye(4)
    T[:3, :3] = axis_angle_to_matrix(torch.tensor([0.0, 1.1, 0.0]))
    x, y, z = (T[:3, :3] @ torch.tensor(NEUTRAL.direction)).tolist()
    turned = dataclasses.replace(
        person, T_world_rest=T @ person.T_world_rest, light=dataclasses.replace(NEUTRAL, direction=(x, y, z))
    )
    np.testing.assert_allclose(pose_frame(turned, 1).colors, pose_frame(person, 1).colors, atol=1e-5)


def test_people_without_normals_keep_their_colours():
    person = dataclasses.replace(example_person(), light=NEUTRAL)
    assert torch.equal(pose_frame(person, 0).colors, person.colors)
