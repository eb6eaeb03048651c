import numpy as np
import pytest
import torch

from synthaug.body.limits import excess
from synthaug.body.skeleton import joint_positions, lowest_heights, mean_skeleton
from synthaug.motions.procedural.random_poses import move_randomly


@pytest.fixture(scope="module")
def motions():
    torch.set_num_threads(1)
    return [move_randomly(np.random.default_rng(seed), fps=25, seconds=4) for seed in range(40)]


def test_equal_seeds_move_alike_and_others_do_not(motions):
    again = move_randomly(np.random.default_rng(3), fps=25, seconds=4)
    assert torch.equal(again.pose, motions[3].pose) and torch.equal(again.transl, motions[3].transl)
    assert not torch.equal(motions[3].pose, motions[4].pose)


def test_joints_stay_within_their_ranges(motions):
    for motion in motions:
        assert max(float(value.max()) for value in excess(motion).values()) < 0.5


def test_the_lowest_point_is_on_the_floor(motions):
    for motion in motions:
        heights = lowest_heights(joint_positions(motion, mean_skeleton()))
        torch.testing.assert_close(heights, torch.zeros_like(heights), atol=1e-4, rtol=0)


def test_pace_is_a_person_s(motions):
    # Hands of people who gesture and throw reach 1 to 8 m/s; a leap between frames would be far beyond.
    speeds = []
    for motion in motions:
        places = joint_positions(motion, mean_skeleton())[:, :22]
        speeds.append(float(((places[1:] - places[:-1]).norm(dim=-1) * motion.fps).max()))
    assert 1.0 < np.median(speeds) < 8.0 and max(speeds) < 16.0


def test_poses_cover_more_than_standing(motions):
    places = torch.cat([joint_positions(motion, mean_skeleton())[:, :22] for motion in motions])
    hips, head = places[:, 0, 1], places[:, 15, 1]
    hands = places[:, [20, 21], 1].amax(1)
    assert float(hips.min()) < 0.55 and float((hips > 0.75).float().mean()) > 0.3
    assert float((hands > head).float().mean()) > 0.03 and float((hands < hips + 0.2).float().mean()) > 0.1


def test_a_single_frame_is_a_motion():
    assert move_randomly(np.random.default_rng(0), fps=10, seconds=0.1).num_frames == 1
    with pytest.raises(ValueError, match="Expected a positive fps"):
        move_randomly(np.random.default_rng(0), fps=10, seconds=0.01)
