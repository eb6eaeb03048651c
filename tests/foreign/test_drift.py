"""Drift is small where a clip does what its reference does, and large where it does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.body.mirroring import mirror
from synthaug.body.skeleton import move_motion
from synthaug.foreign.drift import find_lag, measure_drift
from synthaug.foreign.settings import ForeignClips
from synthaug.motions.actions import ACTIONS, Actions
from synthaug.structures import Motion, Record, Reference

ONE_SIDED = ("drink water", "phone call", "hand waving", "salute", "point to something", "check time", "touch head")
"""Actions of one arm, whose mirror image is another motion."""
MAX_POSE, MAX_LIMB = 0.1, 0.15
"""The defaults of `ForeignClips`."""


def perform(action, *, performer=1):
    record = Record(f"{action}/studio/{performer}", Path(action), ACTIONS.index(action), "", "", 0.0, 4.0)
    return replace(Actions().load(record), notes={})


def as_found(reference, *, degrees=2.0, seed=0):
    """What a detector finds: each joint off by some degrees all the time, and by half as much at each instant."""
    rng, size = torch.Generator().manual_seed(seed), np.radians(degrees)
    pose = reference.motion.pose.clone()
    pose[:, :22] += size * torch.randn(22, 3, generator=rng) + size / 2 * torch.randn(len(pose), 22, 3, generator=rng)
    return replace(reference, motion=Motion.from_pose(pose.float(), reference.motion.transl, fps=reference.motion.fps))


def kept(theirs, ours, **how):
    drift = measure_drift(theirs, ours, **how)
    return drift is not None and drift.pose <= MAX_POSE and drift.limb <= MAX_LIMB


def test_the_bounds_are_the_defaults():
    assert (ForeignClips.max_drift, ForeignClips.max_limb) == (MAX_POSE, MAX_LIMB)


def test_a_motion_has_no_drift_from_itself():
    one = perform("hand waving")
    drift = measure_drift(one, one)
    assert drift.pose < 1e-5 and drift.limb < 1e-5


@pytest.mark.parametrize("action", ACTIONS[::3])
def test_what_a_detector_errs_by_is_kept(action):
    one = perform(action)
    assert kept(as_found(one), one)


def test_other_actions_are_left_out_and_the_mean_alone_would_keep_them():
    pairs = [(perform(one), perform(other)) for one, other in zip(ONE_SIDED, ACTIONS[9:16], strict=True)]
    drifts = [measure_drift(as_found(other), one) for one, other in pairs]
    assert np.mean([drift.limb > MAX_LIMB for drift in drifts]) > 0.7
    assert np.mean([drift.pose > MAX_POSE for drift in drifts]) < 0.3


@pytest.mark.parametrize("action", ONE_SIDED)
def test_the_other_arm_is_left_out(action):
    one = perform(action)
    assert not kept(replace(one, motion=mirror(one.motion)), one)


@pytest.mark.parametrize("late", [0.6, -0.6])
def test_a_clip_at_another_time_is_found_out_with_its_lag(late):
    one = perform("hand waving")
    assert kept(as_found(one), one) and not kept(as_found(one), one, ahead=-late * 1.5)
    found, there = find_lag(as_found(one, degrees=0.5), one, ahead=late)
    assert found == pytest.approx(late, abs=0.11) and there < 0.02


def test_size_and_place_in_the_picture_and_another_lens_do_not_count():
    one = perform("salute")
    farther = move_motion(one.motion, torch.eye(3), torch.tensor([0.3, 0.0, 0.0]))
    camera = replace(one.camera, Ks=one.camera.Ks * torch.tensor([[0.8], [0.8], [1.0]]))
    assert measure_drift(Reference(farther, camera), one).pose < 0.02


def test_another_view_is_compared_in_space():
    one = perform("hand waving")
    turn = torch.tensor(np.radians(50.0))
    R = torch.tensor([[turn.cos(), 0, turn.sin()], [0, 1, 0], [-turn.sin(), 0, turn.cos()]]).float()
    turned = replace(one, motion=move_motion(one.motion, R, torch.zeros(3)))
    assert not kept(turned, one) and kept(as_found(turned), one, same_view=False)
    still = Motion.from_pose(
        one.motion.pose[:1].expand(len(one.motion.pose), -1, -1), one.motion.transl, fps=one.motion.fps
    )
    assert not kept(replace(turned, motion=move_motion(still, R, torch.zeros(3))), one, same_view=False)


def test_what_is_not_seen_together_is_not_compared():
    one = perform("bow")
    assert measure_drift(one, one, ahead=3.5) is None
    out = replace(one, motion=move_motion(one.motion, torch.eye(3), torch.tensor([50.0, 0.0, 0.0])))
    assert measure_drift(out, one) is None
