"""Light on people: against a plain twin, and what physics asks of it."""

import dataclasses

import numpy as np
import pytest
import torch

from synthaug.body import axis_angle_to_matrix
from synthaug.lighting import BRIGHTEST, NEUTRAL, WRAP, shaded
from synthaug.structures import Gaussians, Light
from synthaug.testing.renderers import example_person


def person_with_normals(*, count: int = 200, frames: int = 3) -> Gaussians:
    person = example_person(count=count, frames=frames)
    normals = torch.randn(count, 3, generator=torch.Generator().manual_seed(1))
    return dataclasses.replace(person, normals=torch.nn.functional.normalize(normals, dim=1))


def plainly_shaded(person: Gaussians, light: Light) -> torch.Tensor:
    """The same in a few lines of torch, float64."""
    assert person.normals is not None
    A = torch.einsum("gk,tgkij->tgij", person.weights.double(), person.T_world_rest[:, person.joint_ids].double())
    n = torch.nn.functional.normalize(torch.einsum("tgij,gj->tgi", A[..., :3, :3], person.normals.double()), dim=-1)
    direction, key, sky, ground = torch.tensor([light.direction, light.key, light.sky, light.ground]).double()
    lambert = ((n @ direction / direction.norm() + WRAP) / (1 + WRAP)).clamp(min=0)
    ambient = torch.lerp(ground, sky, 0.5 + 0.5 * n[..., 1:2])
    return (ambient + key * lambert[..., None]).clamp(0, BRIGHTEST)


@pytest.mark.parametrize("frames", [1, 3, 16, 19])
def test_compiled_light_agrees_with_its_plain_twin(frames: int):
    person = person_with_normals(frames=frames)
    light = Light(direction=(0.3, 0.5, -0.7), key=(0.9, 0.8, 0.7), sky=(0.6, 0.7, 0.8), ground=(0.4, 0.3, 0.1))
    shade = shaded(person, light).shade
    assert shade is not None and shade.shape == (frames, 200, 3)
    np.testing.assert_allclose(shade, plainly_shaded(person, light), atol=2e-6)


def test_people_without_normals_come_back_as_they_are():
    person = example_person()
    assert shaded(person, NEUTRAL) is person


def test_neutral_light_keeps_colours_on_average():
    shade = shaded(person_with_normals(count=5000, frames=1), NEUTRAL).shade
    assert shade is not None
    # 5000 random directions whose shade has a deviation of 0.25: the mean is within 0.01 with room to spare.
    assert float(shade.mean()) == pytest.approx(1.0, abs=0.015)


def test_shade_stays_within_its_bounds():
    glare = Light(direction=(0.0, 1.0, 0.0), key=(9.0, 0.0, 0.0), sky=(0.0, -3.0, 0.5), ground=(0.0, 0.0, 0.5))
    shade = shaded(person_with_normals(), glare).shade
    assert shade is not None
    assert float(shade.min()) == 0
    assert float(shade.max()) == pytest.approx(BRIGHTEST)


def test_what_faces_the_light_is_brighter_than_what_faces_away():
    person = person_with_normals(count=2)
    upright = torch.eye(4).repeat(3, 5, 1, 1)
    normals = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    light = dataclasses.replace(NEUTRAL, direction=(0.0, 0.0, 1.0))
    shade = shaded(dataclasses.replace(person, normals=normals, T_world_rest=upright), light).shade
    assert shade is not None
    assert (shade[:, 0] > shade[:, 1]).all()


def test_turning_person_and_light_together_about_the_vertical_changes_nothing():
    person = person_with_normals()
    T = torch.eye(4)
    T[:3, :3] = axis_angle_to_matrix(torch.tensor([0.0, 1.1, 0.0]))
    turned = dataclasses.replace(person, T_world_rest=T @ person.T_world_rest)
    x, y, z = (T[:3, :3] @ torch.tensor(NEUTRAL.direction)).tolist()
    before = shaded(person, NEUTRAL).shade
    after = shaded(turned, dataclasses.replace(NEUTRAL, direction=(x, y, z))).shade
    assert before is not None and after is not None
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_a_joint_that_the_clip_lacks_is_refused():
    person = person_with_normals()
    with pytest.raises(ValueError, match="joint_ids reach from 0 to 4; 0 to 3 was wanted"):
        shaded(dataclasses.replace(person, T_world_rest=person.T_world_rest[:, :4]), NEUTRAL)


def test_output_dtype_is_input_dtype():
    person = person_with_normals()
    for dtype in (torch.float32, torch.float64):
        shade = shaded(dataclasses.replace(person, means=person.means.to(dtype)), NEUTRAL).shade
        assert shade is not None and shade.dtype == dtype
