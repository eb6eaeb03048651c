"""Laws of estimates made out of truth."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton
from synthaug.motions import MotionSource
from synthaug.motions.actions import Actions
from synthaug.motions.estimated import EstimatedMotion, estimate, refit, sample_errors
from synthaug.motions.fitting.placement import intrinsics, level_camera
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.testing.motions import check_motion, check_motion_source


def waving(time: int = 24) -> Reference:
    """Somebody who stands three metres before the camera and waves, with fists."""
    pose = torch.zeros(time, 55, 3)
    swing = torch.sin(torch.arange(time) / 30 * 6.0)
    pose[:, JOINT["left_shoulder"], 2] = -1.2
    pose[:, JOINT["right_shoulder"], 2] = 1.2
    pose[:, JOINT["left_elbow"], 1] = -1.4 - 0.5 * swing
    pose[:, JOINT["left_shoulder"], 1] = 0.3 * swing
    pose[:, JOINT["left_middle1"], 2] = -1.0
    transl = torch.zeros(time, 3)
    transl[:, 1] = 0.945
    camera = level_camera(intrinsics(320, 240, 1.0), 320, 240, time)
    viewmats = camera.viewmats.clone()
    viewmats[:, :3, 3] = torch.tensor([0.0, 1.2, 3.0])
    return Reference(Motion.from_pose(pose, transl, fps=30.0), Camera(viewmats, camera.Ks, 320, 240))


class Waving(MotionSource):
    @property
    def fingerprint(self) -> str:
        return "waving"

    def reads(self, record: Record) -> tuple[Path, ...]:
        return ()

    def load(self, record: Record) -> Reference:
        return waving(12)


RECORD = Record(key="a", path=Path("a.mp4"), label=0, subject="s", camera="", start=0.0, end=0.4)


def test_estimated_motion_is_a_motion_source() -> None:
    check_motion_source(EstimatedMotion(Waving()), RECORD, reads_files=False)


def test_an_estimate_keeps_length_rate_and_camera_and_loses_the_hands() -> None:
    truth = waving()
    guess = estimate(truth, rng=np.random.default_rng(0))
    check_motion(guess.motion)
    assert guess.motion.num_frames == truth.motion.num_frames
    assert guess.motion.fps == truth.motion.fps
    assert torch.equal(guess.camera.viewmats, truth.camera.viewmats)
    assert not guess.motion.left_hand_pose.any()
    assert guess.quality is not None and 0 < guess.quality < 1


def test_an_estimate_is_as_wrong_as_asked() -> None:
    truth = Actions().load(Record("hand waving/studio/1", Path("none"), 0, "s", "", 0.0, 2.0))
    fine, rough = (estimate(truth, rng=np.random.default_rng(0), noise_mm=mm) for mm in (5.0, 40.0))
    # Fitting takes out part of the mistakes; drift and depth stay.
    assert 0.001 < fine.notes["error"] < 0.015 < rough.notes["error"] < 0.08
    # Grades tell what no person does from what people do, not 5 mm from 40.
    useless = estimate(truth, rng=np.random.default_rng(0), noise_mm=150.0)
    assert fine.quality is not None and useless.quality is not None and useless.quality < 0.5 < fine.quality


def test_each_record_has_its_own_mistakes_and_each_seed_others() -> None:
    loaded = [
        EstimatedMotion(Waving(), seed=seed).load(replace(RECORD, key=key)).motion.pose
        for seed, key in ((0, "a"), (0, "b"), (1, "a"))
    ]
    assert not torch.equal(loaded[0], loaded[1])
    assert not torch.equal(loaded[0], loaded[2])


def test_settings_and_truth_are_in_the_fingerprint() -> None:
    prints = {
        EstimatedMotion(Waving(), noise_mm=float(mm), dropout=share, spoiled=wrong, seed=seed).fingerprint
        for mm, share, wrong, seed in (
            (15.0, 0.05, 0.0, 0), (16.0, 0.05, 0.0, 0), (15.0, 0.06, 0.0, 0), (15.0, 0.05, 0.0, 1), (15.0, 0.05, 0.1, 0)
        )
    }  # fmt: skip
    assert len(prints) == 5
    assert all("waving" in name for name in prints)


def test_slips_have_the_size_and_share_asked_for() -> None:
    slips = sample_errors(np.random.default_rng(0), num_frames=3000, fps=30.0, noise_mm=15.0, dropout=0.05)
    assert slips.errors.square().mean().sqrt().item() == pytest.approx(0.015, rel=0.05)
    # 24 markers x 400 bursts: the share is known to a tenth of itself.
    assert slips.unseen.float().mean().item() == pytest.approx(0.05, rel=0.2)
    across, depth = slips.errors[..., 0].std(), slips.errors[..., 2].std()
    assert depth / across == pytest.approx(1.6, rel=0.1)


def test_mistakes_drift_rather_than_shake() -> None:
    errors = sample_errors(np.random.default_rng(1), num_frames=3000, fps=30.0, noise_mm=15.0, dropout=0.0).errors
    together = (errors[1:] * errors[:-1]).mean() / errors.square().mean()
    # 0.7 of the variance keeps exp(-1 / (30 x 0.15)) of itself from frame to frame.
    assert together.item() == pytest.approx(0.7 * 0.8007, abs=0.05)


def test_depth_errors_lie_along_the_line_of_sight() -> None:
    truth = waving(6)
    turn = torch.eye(4)
    turn[:3, :3] = axis_angle_to_matrix(torch.tensor([0.0, torch.pi / 2, 0.0]))
    aside = Camera(truth.camera.viewmats @ turn, truth.camera.Ks, 320, 240)
    slips = sample_errors(np.random.default_rng(0), num_frames=6, fps=30.0, noise_mm=0.0, dropout=0.0)
    deep = replace(slips, errors=slips.errors + torch.tensor([0.0, 0.0, 0.3]))
    skeleton = mean_skeleton()
    for camera, axis in ((truth.camera, 2), (aside, 0)):
        shifted = refit(replace(truth, camera=camera), deep).motion
        moved = (
            (joint_positions(shifted, skeleton) - joint_positions(truth.motion, skeleton))[:, :22].mean((0, 1)).abs()
        )
        assert moved[axis] == pytest.approx(0.3, abs=0.03)
        assert moved[[k for k in range(3) if k != axis]].max() < 0.03


def test_even_a_blind_estimator_gives_a_motion() -> None:
    check_motion(estimate(waving(3), rng=np.random.default_rng(0), dropout=0.999).motion)


def test_spoiled_estimates_are_wrong_and_their_grade_says_so() -> None:
    truth = Actions().load(Record("hand waving/studio/1", Path("none"), 0, "s", "", 0.0, 4.0))
    seeds = range(8)
    fine, spoiled = (
        [estimate(truth, rng=np.random.default_rng(seed), spoiled=share) for seed in seeds] for share in (0.0, 1.0)
    )
    assert max(one.notes["error"] for one in fine) < 0.03 < max(one.notes["error"] for one in spoiled)
    grades, lowered = (np.array([one.quality for one in found]) for found in (fine, spoiled))
    assert np.median(lowered) < 0.25 < np.median(grades)
    half = [
        torch.equal(estimate(truth, rng=np.random.default_rng(seed), spoiled=0.5).motion.pose, fine[seed].motion.pose)
        for seed in seeds
    ]
    assert 0 < sum(half) < len(half)  # by chance, and the others keep their mistakes


@pytest.mark.parametrize(
    ("noise_mm", "dropout", "spoiled"), [(-1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, -0.1, 0.0), (1.0, 0.0, 1.1)]
)
def test_impossible_mistakes_are_refused(noise_mm: float, dropout: float, spoiled: float) -> None:
    with pytest.raises(ValueError, match=r"Expected noise_mm of 0 or more.*got noise_mm=.*Correct"):
        EstimatedMotion(Waving(), noise_mm=noise_mm, dropout=dropout, spoiled=spoiled)


def test_keys_are_told_apart_by_content_not_by_hash_seed() -> None:
    digest = hashlib.blake2b(b"a", digest_size=16).digest()
    rng = np.random.default_rng([0, *np.frombuffer(digest, dtype="<u4").tolist()])
    by_hand = estimate(waving(12), rng=rng)
    assert torch.equal(by_hand.motion.pose, EstimatedMotion(Waving()).load(RECORD).motion.pose)
