"""Laws of performances in step: alignment undoes a change of tempo and of place, and a blend lies between."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.body.blending import align, blend, middle_of
from synthaug.body.mirroring import mirror
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import clearances, joint_positions, mean_skeleton, move_motion, resample
from synthaug.motions.actions import Actions, perform
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.structures import Motion, Record
from synthaug.testing.motions import frame_times


@pytest.fixture(scope="module")
def kick():
    return perform("kicking something", PerformerStyle(), fps=20, seconds=3.0)


def test_a_performance_is_in_step_with_itself(kick):
    match = align(kick, kick)
    np.testing.assert_allclose(match.partner, match.lead, atol=1e-9)
    torch.testing.assert_close(match.R, torch.eye(3), atol=1e-6, rtol=0)
    assert match.shift.norm() < 1e-6 and match.distance < 1e-6


def test_another_tempo_and_another_place_are_undone(kick):
    last = (kick.num_frames - 1) / kick.fps
    x = torch.linspace(0, 1, 80, dtype=torch.float64)
    seconds = last * (x + 0.15 * torch.sin(2 * math.pi * x) / math.pi)
    turn = axis_angle_to_matrix(torch.tensor([0.0, 2.0, 0.0]))
    other = move_motion(replace(resample(kick, seconds, loop=False), fps=20.0), turn, torch.tensor([3.0, 0.0, -1.0]))
    match = align(kick, other)
    assert match.distance < 0.03
    assert (np.diff(match.partner) > 0).all() and (np.diff(match.lead) > 0).all()
    assert match.partner[0] == 0 and match.partner[-2] == pytest.approx(79 / 20)
    torch.testing.assert_close(match.R @ turn, torch.eye(3), atol=0.02, rtol=0)
    times = frame_times(kick)
    mixed = blend(kick, resample(other, match.at(times), loop=False), 0.5, match)
    apart = joint_positions(mixed, mean_skeleton()) - joint_positions(kick, mean_skeleton())
    assert apart.norm(dim=-1).mean() < 0.02


def test_a_blend_lies_between_and_keeps_off_the_floor():
    one, other = (perform("sit down", PerformerStyle(amplitude=a), fps=20, seconds=3.0) for a in (0.9, 1.1))
    match = align(one, other)
    partner = resample(other, match.at(frame_times(one)), loop=False)
    assert blend(one, partner, 0.0, match) is one
    last = blend(one, partner, 1.0, match)
    theirs = move_motion(partner, match.R, match.shift)
    places = [joint_positions(motion, mean_skeleton()) for motion in (last, theirs)]
    torch.testing.assert_close(places[0], places[1], atol=1e-4, rtol=0)
    half = blend(one, partner, 0.5, match)
    heights = [clearances(motion.pose, motion.transl, mean_skeleton()) for motion in (one, half, theirs)]
    torch.testing.assert_close(heights[1], (heights[0] + heights[2]) / 2, atol=1e-4, rtol=0)
    assert half.fps == one.fps and half.num_frames == one.num_frames


def test_other_hands_are_told_from_other_styles():
    takes = [Actions().load(Record(f"phone call/studio/{n}", Path(), 0, "", "", 0.0, 3.0)).motion for n in range(6)]
    match = [align(takes[0], motion).distance for motion in takes[1:]]
    hands = [align(takes[0], mirror(motion)).distance for motion in takes[1:]]
    assert all(min(pair) < 0.08 < max(pair) for pair in zip(match, hands, strict=True))


def test_the_middle_is_where_half_of_the_movement_is_done():
    pose = torch.zeros(41, 55, 3)
    pose[30:, 16, 2] = torch.linspace(0, 1, 11)
    moving = Motion.from_pose(pose, torch.zeros(41, 3), fps=10.0)
    assert middle_of(moving) == pytest.approx(3.5, abs=0.06)
    assert middle_of(Motion.from_pose(torch.zeros(41, 55, 3), torch.zeros(41, 3), fps=10.0)) == pytest.approx(2.05)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_motions_have_a_middle_and_a_match(kick, frames):
    short = Motion.from_pose(kick.pose[:frames], kick.transl[:frames], fps=20.0)
    assert 0 <= middle_of(short) <= short.duration
    assert align(short, kick).at(torch.tensor([0.0])).isfinite().all()
