"""Laws of aligned gravity: clips of one camera agree on up, pictures stay, and cameras that differ keep apart."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from synthaug.body.skeleton import joint_positions, mean_skeleton, move_motion
from synthaug.motions.fitting.energy import project
from synthaug.motions.fitting.placement import FLIP, intrinsics, leveling_rotation
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.synthesis.gravity import ANGLES, AngleEstimate, align_gravity, pool_angles

SKELETON = mean_skeleton()


def measured(truth: float, sd: float, rng: np.random.Generator, prior: float = 15.0) -> AngleEstimate:
    """What a clip says that measures an angle with this deviation, the prior about 0 counted in."""
    x = rng.normal(truth, sd)
    total = sd**-2 + prior**-2
    return AngleEstimate(x * sd**-2 / total, total**-0.5)


def test_one_clip_alone_says_what_it_said() -> None:
    (alone,) = pool_angles([AngleEstimate(7.0, 4.0)], prior=15.0)
    assert (alone.mean, alone.sd) == pytest.approx((7.0, 4.0))


def test_clips_of_one_camera_count_as_one_measurement_of_all() -> None:
    """Known in closed form: precisions add up, the prior counts once."""
    clips = [AngleEstimate(x * 9**-1 / (1 / 9 + 1 / 225), (1 / 9 + 1 / 225) ** -0.5) for x in (9.0, 10.0, 11.0)]
    after = pool_angles(clips, prior=15.0)
    assert [one.mean for one in after] == pytest.approx([10 * 3 / 9 / (3 / 9 + 1 / 225)] * 3)
    assert [one.sd for one in after] == pytest.approx([(3 / 9 + 1 / 225) ** -0.5] * 3)


def test_clips_that_say_nothing_take_what_the_others_say() -> None:
    rng = np.random.default_rng(0)
    silent = [AngleEstimate(0.0, 15.0)] * 2
    after = pool_angles([*silent, *(measured(20.0, 3.0, rng) for _ in range(6))], prior=15.0)
    for one in after[:2]:
        assert abs(one.mean - 20.0) < 3 * one.sd
        assert one.sd < 3.0


def test_deviations_are_honest_and_errors_smaller_than_alone() -> None:
    rng = np.random.default_rng(1)
    scores, before, after = [], [], []
    for _ in range(200):
        truth = rng.normal(0, 10.0)
        clips = [measured(truth, sd, rng) for sd in rng.uniform(3.0, 12.0, 5)]
        found = pool_angles(clips, prior=15.0)
        scores.append((found[0].mean - truth) / found[0].sd)
        before.append(clips[0].mean - truth)
        after.append(found[0].mean - truth)
    assert 0.8 < np.std(scores) < 1.25
    assert np.std(after) < 0.7 * np.std(before)


def test_cameras_under_one_name_keep_apart() -> None:
    """NTU's camera 1 stood elsewhere in each of 17 setups."""
    rng = np.random.default_rng(2)
    truths = [-15.0, 0.0, 15.0, 25.0, -5.0, 10.0]
    after = pool_angles([measured(truth, 2.0, rng) for truth in truths], prior=15.0)
    for one, truth in zip(after, truths, strict=True):
        assert abs(one.mean - truth) < 3 * max(one.sd, 2.0)


def reference(pitch: float, sd: float, *, true_pitch: float, key: int = 0) -> Reference:
    """Somebody who stands upright, seen by a camera whose pitch was estimated so, and is another in truth."""
    pose = torch.zeros(3, 55, 3)
    pose[:, 0] = torch.tensor([0.0, 0.5 * key, 0.0])
    R = leveling_rotation(pitch) @ leveling_rotation(true_pitch).mT
    upright = axis_angle_to_matrix(pose[:, 0])
    motion = Motion.from_pose(pose, torch.tensor([[0.1, 0.9, 0.2]]).repeat(3, 1), fps=20.0)
    pose[:, 0] = matrix_to_axis_angle(R @ upright)
    motion = Motion.from_pose(pose, motion.transl @ R.mT, fps=20.0)
    T_world_level = torch.eye(4)
    T_world_level[:3, :3] = leveling_rotation(pitch)
    T_world_level[:3, 3] = torch.tensor([0.0, 1.5, 4.0])
    viewmat = FLIP @ torch.linalg.inv(T_world_level)
    camera = Camera(viewmat.repeat(3, 1, 1), intrinsics(640, 480, 0.9).repeat(3, 1, 1), 640, 480)
    notes = {"pitch_deg": pitch, "pitch_sd_deg": sd, "roll_deg": 0.0, "roll_sd_deg": ANGLES["roll"]}
    companion = move_motion(motion, torch.eye(3), torch.tensor([0.7, 0.0, 0.2]))
    return Reference(motion, camera, 0.8, notes, (companion,))


def records(cameras: list[str]) -> list[Record]:
    return [Record(str(k), Path("a.mp4"), 0, "", camera, 0.0, 1.0) for k, camera in enumerate(cameras)]


def test_who_was_tipped_stands_upright_again_and_no_picture_changes() -> None:
    references = {str(k): reference(20.0, 1.0, true_pitch=20.0, key=k) for k in range(4)} | {
        "4": reference(0.0, 15.0, true_pitch=20.0)
    }
    after = align_gravity(records(["kitchen"] * 5), references)
    tipped, upright = (axis_angle_to_matrix(one["4"].motion.global_orient)[0, 1, 1] for one in (references, after))
    assert tipped < math.cos(math.radians(19))
    assert upright > math.cos(math.radians(2))
    assert after["4"].notes["pitch_deg"] == pytest.approx(20.0, abs=1.0)
    assert after["4"].notes["pitch_sd_deg"] < 1.5
    assert after["4"].notes["camera_clips"] == 5
    for key, before in references.items():
        for who in (0, 1):
            pixels = [
                project(joint_positions(one.people[who], SKELETON), one.camera)[0] for one in (before, after[key])
            ]
            torch.testing.assert_close(pixels[1], pixels[0], atol=0.02, rtol=0)


def test_the_camera_s_new_view_is_its_new_pitch() -> None:
    references = {"0": reference(0.0, 15.0, true_pitch=0.0), "1": reference(30.0, 0.5, true_pitch=30.0)}
    after = align_gravity(records(["a", "a"]), references)
    down = -float(after["0"].camera.viewmats[0, 2, 1])
    assert down == pytest.approx(math.sin(math.radians(after["0"].notes["pitch_deg"])), abs=1e-4)


def test_other_cameras_unnamed_ones_and_known_motions_stay_as_they_are() -> None:
    references = {str(k): reference(10.0 * k, 3.0, true_pitch=0.0) for k in range(3)}
    known = Reference(references["0"].motion, references["0"].camera)
    for cameras, given in (
        (["a", "b", "c"], references),
        (["", "", ""], references),
        (["a", "a", "a"], {key: known for key in references}),
    ):
        assert all(align_gravity(records(cameras), given)[key] is one for key, one in given.items())


def test_a_camera_that_turns_keeps_its_own_gravity() -> None:
    """It has no one pitch to share; those at rest beside it still agree with one another."""
    clips = [
        reference(0.0, 12.0, true_pitch=18.0, key=0),
        *(reference(18.0, 2.0, true_pitch=18.0, key=k) for k in (1, 2)),
    ]
    turned = clips[0].camera.viewmats.clone()
    turned[1:, :3, :3] = axis_angle_to_matrix(torch.tensor([0.0, 0.2, 0.0])) @ turned[1:, :3, :3]
    moving = replace(clips[0], camera=replace(clips[0].camera, viewmats=turned))
    named = records(["hall", "hall", "hall"])
    found = align_gravity(named, dict(zip([one.key for one in named], [moving, *clips[1:]], strict=True)))
    assert found[named[0].key] is moving
    assert found[named[1].key].notes["camera_clips"] == 2
