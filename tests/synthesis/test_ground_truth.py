"""Ground truth: joints where the pinhole puts them, parts where they are, seen or hidden as they are."""

import dataclasses

import pytest
import torch

from synthaug.avatars.anny import AnnyPerson
from synthaug.body.skeleton import JOINT, joint_positions
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Camera, Gaussians, Motion, Rendering
from synthaug.synthesis.ground_truth import GroundTruth, ground_truth


def view(size: int = 96) -> Camera:
    viewmat = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))[None]
    viewmat[:, 1, 3], viewmat[:, 2, 3] = 0.9, 3.0
    focal = 0.7 * size * 3.0 / 1.7
    K = torch.tensor([[[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]])
    return Camera(viewmats=viewmat, Ks=K, width=size, height=size)


@pytest.fixture(scope="module")
def person() -> AnnyPerson:
    return AnnyPerson("studio", 1, gaussians=6000)


def standing(
    person: AnnyPerson, *, x: float = 0.0, z: float = 0.0, turn: float = 0.0
) -> tuple[Gaussians, torch.Tensor]:
    pose = torch.zeros(1, 55, 3)
    pose[:, 0, 1], pose[:, 16, 2], pose[:, 17, 2] = turn, -0.9, 0.9
    motion = Motion.from_pose(pose, torch.tensor([[x, 0.95, z]]), fps=1.0)
    return person.pose(motion), joint_positions(motion, person.skeleton)


def seen(*people: tuple[Gaussians, torch.Tensor], camera: Camera | None = None) -> GroundTruth:
    camera = view() if camera is None else camera
    rendering = CpuRenderer().render([one for one, _ in people], camera, labels=True)
    return ground_truth(rendering, [joints for _, joints in people], camera)


def test_joints_lie_where_the_pinhole_puts_them_and_on_their_own_parts(person: AnnyPerson):
    body, joints = standing(person)
    found = seen((body, joints))
    K, T = view().Ks[0], view().viewmats[0]
    for name in ("left_elbow", "right_knee", "head", "left_wrist"):
        p = T[:3, :3] @ joints[0, JOINT[name]] + T[:3, 3]
        torch.testing.assert_close(found.joints_2d[0, 0, JOINT[name]], (K @ (p / p[2]))[:2])
        torch.testing.assert_close(found.joints_3d[0, 0, JOINT[name]], p)
        assert bool(found.visible[0, 0, JOINT[name]])
    column, row = found.joints_2d[0, 0, JOINT["left_knee"]].long().tolist()
    assert int(found.labels[0, 0, row, column]) - 1 in (JOINT["left_knee"], JOINT["left_hip"], JOINT["left_ankle"])
    assert torch.equal(found.labels != 0, found.mask)


def test_mask_is_where_there_is_somebody(person: AnnyPerson):
    body, joints = standing(person)
    alpha = CpuRenderer().render([body], view()).alpha
    assert torch.equal(seen((body, joints)).mask, alpha >= 128)


def test_whoever_stands_behind_is_not_visible(person: AnnyPerson):
    front, back = standing(person, z=0.8), standing(person)
    both = seen(back, front)
    torso = [JOINT[name] for name in ("pelvis", "spine2", "left_knee", "head")]
    assert not both.visible[0, 0, torso].any() and both.visible[1, 0, torso].all()
    assert int(both.labels.max()) > 55 and seen(back).visible[0, 0, torso].all()
    swapped = seen(front, back)
    assert torch.equal(swapped.visible[0], both.visible[1]) and torch.equal(swapped.mask, both.mask)


def test_an_arm_behind_the_body_is_not_visible(person: AnnyPerson):
    side = seen(standing(person, turn=torch.pi / 2)).visible[0, 0]
    near, far = sorted(("left_elbow", "right_elbow"), key=lambda name: not bool(side[JOINT[name]]))
    assert bool(side[JOINT[near]]) and not bool(side[JOINT[far]])


def test_outside_the_picture_and_behind_the_camera_nothing_is_visible(person: AnnyPerson):
    assert not seen(standing(person, x=9.0)).visible.any()
    assert not seen(standing(person, z=9.0)).visible.any()


def test_nobody_is_a_truth_too():
    found = seen()
    assert not found.mask.any() and found.joints_2d.shape == (0, 1, 55, 2) and found.visible.shape == (0, 1, 55)


def test_what_does_not_belong_together_is_refused(person: AnnyPerson):
    body, joints = standing(person)
    rendering = CpuRenderer().render([body], view(), labels=True)
    with pytest.raises(ValueError, match="Expected a rendering with labels.*labels=True"):
        ground_truth(Rendering(rendering.rgb, rendering.alpha), [joints], view())
    with pytest.raises(ValueError, match="joints of \\[2\\].*rendered together"):
        ground_truth(rendering, [joints.repeat(2, 1, 1)], view())
    assert dataclasses.replace(rendering, depth=None).labels is rendering.labels
