import numpy as np
import torch
from fakes import camera

from synthaug.body.skeleton import joint_positions, mean_skeleton
from synthaug.compositing.silhouettes import mask_people
from synthaug.renderers.cpu import CpuRenderer


def test_a_mask_covers_the_rendered_person_and_little_else(tmp_path):
    from fakes import BeadPeople, Waves

    from synthaug.structures import Record

    motion = Waves().load(Record("a", tmp_path, 0, "s", "", 0.0, 0.4)).motion
    avatar, view = BeadPeople().load("bead-1"), camera(motion.num_frames, side=112)
    alpha = CpuRenderer().render((avatar.pose(motion),), view).alpha[:, 0].numpy() > 127
    mask = mask_people([joint_positions(motion, mean_skeleton())], view)
    assert mask.shape == alpha.shape
    assert (mask & alpha).sum() / alpha.sum() > 0.95
    # Beads are thinner than people.
    assert mask.sum() < 6 * alpha.sum()


def test_nobody_and_people_behind_the_camera_are_nowhere():
    view = camera(2)
    assert not mask_people([], view).any() and mask_people([], view).shape == (2, 64, 64)
    behind = torch.zeros(2, 55, 3) + torch.tensor([0.0, 1.0, 10.0])
    assert not mask_people([behind], view).any()


def test_somebody_far_outside_the_picture_is_no_error():
    beside = mean_skeleton().joints[None].repeat(2, 1, 1) + torch.tensor([1e4, 0.0, 0.0])
    assert np.count_nonzero(mask_people([beside], camera(2))) == 0
