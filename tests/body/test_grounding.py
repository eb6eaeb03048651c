"""Nobody floats or sinks, and whoever jumps still does."""

from dataclasses import replace

import pytest
import torch

from synthaug.body.grounding import OffFloorError, floor_offsets, ground, stature
from synthaug.body.skeleton import JOINT, joint_positions, lowest_heights, mean_skeleton
from synthaug.structures import Motion

FPS = 10.0


def standing(time: int = 30) -> Motion:
    pose = torch.zeros(time, 55, 3)
    pose[:, JOINT["left_shoulder"], 2], pose[:, JOINT["right_shoulder"], 2] = -1.2, 1.2
    motion = Motion.from_pose(pose, torch.zeros(time, 3), fps=FPS)
    return shifted(motion, -lowest(motion))


def shifted(motion: Motion, heights: torch.Tensor) -> Motion:
    transl = motion.transl.clone()
    transl[:, 1] += heights
    return replace(motion, transl=transl)


def lowest(motion: Motion) -> torch.Tensor:
    return lowest_heights(joint_positions(motion, mean_skeleton()))


def test_whoever_is_on_the_floor_stays_as_they_are():
    motion = standing()
    assert ground([motion])[0] is motion
    near = shifted(motion, torch.full((30,), 0.03))
    assert ground([near])[0] is near, "within the tolerance"
    assert 1.6 < stature(mean_skeleton()) < 1.9


@pytest.mark.parametrize("height", [0.3, 0.8, -0.3])
def test_whoever_hangs_or_sinks_is_put_on_the_floor(height):
    motion = standing()
    grounded = ground([shifted(motion, torch.full((30,), height))])[0]
    torch.testing.assert_close(lowest(grounded), torch.zeros(30), atol=1e-4, rtol=0)
    assert torch.equal(grounded.pose, motion.pose)


def test_a_fall_ends_on_the_floor_though_its_source_left_it_hanging():
    """Upright on the floor, then lying half a metre above it, as a level guess of a tilted camera leaves it."""
    motion = standing(40)
    rise = torch.zeros(40)
    rise[15:25], rise[25:] = torch.linspace(0, 0.5, 10), 0.5
    grounded = lowest(ground([shifted(motion, rise)])[0])
    assert grounded.abs().max() < 0.12 and grounded[27:].abs().max() < 1e-3 and grounded[:10].abs().max() < 1e-3


def test_a_jump_is_kept_and_so_is_a_jump_of_somebody_who_hangs():
    motion = standing()
    up = torch.zeros(30)
    up[12:18] = 0.35 * torch.sin(torch.linspace(0.3, torch.pi - 0.3, 6))
    jump = shifted(motion, up)
    assert ground([jump])[0] is jump
    torch.testing.assert_close(lowest(ground([shifted(jump, torch.full((30,), 0.4))])[0]), up, atol=1e-4, rtol=0)


def test_a_step_that_dips_for_a_moment_lifts_nobody():
    dip = torch.zeros(30)
    dip[10:12] = -0.2
    motion = shifted(standing(), dip)
    assert ground([motion])[0] is motion
    assert floor_offsets(motion, mean_skeleton()).abs().max() < 1e-5


def test_people_who_act_together_move_together():
    one, other = standing(), shifted(standing(), torch.full((30,), 0.2))
    up = torch.full((30,), 0.5)
    first, second = ground([shifted(one, up), shifted(other, up)])
    torch.testing.assert_close(lowest(first), torch.zeros(30), atol=1e-4, rtol=0)
    torch.testing.assert_close(lowest(second), torch.full((30,), 0.2), atol=1e-4, rtol=0)


def test_what_cannot_be_placed_is_refused():
    with pytest.raises(OffFloorError, match=r"Expected motions within .* m of the floor, got one 1\.50 m off it"):
        ground([shifted(standing(), torch.full((30,), 1.5))])


def test_one_frame_is_enough():
    one = shifted(standing(1), torch.tensor([0.4]))
    assert float(lowest(ground([one])[0])[0]) == pytest.approx(0.0, abs=1e-4)
