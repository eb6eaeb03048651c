import dataclasses

import numpy as np
import pytest
import torch

from synthaug.avatars.pack.exporting import export_pack, pose_pack
from synthaug.avatars.pack.format import SUFFIX, Extras, write_pack
from synthaug.avatars.pack.splats import read_ply
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skinning import pose_frame
from synthaug.structures import Motion


def wave(frames=3):
    pose = 0.2 * torch.randn(frames, 55, 3, generator=torch.Generator().manual_seed(0))
    return Motion.from_pose(pose, torch.randn(frames, 3), fps=30.0)


def test_the_canonical_export_is_the_pack(tmp_path, path, pack):
    export_pack(path, tmp_path / "x.ply")
    splats, level = read_ply(tmp_path / "x.ply"), pack.levels[0]
    np.testing.assert_allclose(splats.means, level.means, atol=1e-6)
    np.testing.assert_allclose(splats.scales, level.scales, rtol=1e-4)
    np.testing.assert_allclose(splats.colors, level.colors, atol=1e-5)


def test_the_posed_exports_are_the_posed_person(tmp_path, path, pack):
    motion = wave()
    truth = dataclasses.replace(pack.levels[0], T_world_rest=pack.rig.transforms(motion))
    export_pack(path, tmp_path / "x.npz", motion=motion)
    export_pack(path, tmp_path / "x.ply", motion=motion, frame=1)
    splats, arrays = read_ply(tmp_path / "x.ply"), np.load(tmp_path / "x.npz", allow_pickle=False)
    for frame in range(3):
        np.testing.assert_allclose(arrays["means"][frame], pose_frame(truth, frame).means, atol=1e-6)
        np.testing.assert_allclose(arrays["covariances"][frame], pose_frame(truth, frame).covars, atol=1e-7)
    np.testing.assert_allclose(splats.means, pose_frame(truth, 1).means, atol=1e-5)
    again = dataclasses.replace(
        pack.levels[0], quats=torch.from_numpy(splats.quats), scales=torch.from_numpy(splats.scales)
    )
    identity = torch.eye(4).expand(1, 55, 4, 4)
    covars = pose_frame(dataclasses.replace(again, T_world_rest=identity), 0).covars
    torch.testing.assert_close(covars, pose_frame(truth, 1).covars, rtol=0, atol=2e-6)


def test_impossible_exports_are_refused(tmp_path, path):
    for to, motion, frame, reason in (
        ("x.obj", None, 0, "Expected --to to end in .ply"),
        ("x.npz", None, 0, "in .npz with --motion"),
        ("x.ply", wave(), 7, "0 to 2"),
    ):
        with pytest.raises(ValueError, match=reason):
            export_pack(path, tmp_path / to, motion=motion, frame=frame)


def test_expressions_and_correctives_move_what_they_name(tmp_path, pack):
    count, motion = len(pack.levels[0].means), wave()
    motion = dataclasses.replace(motion, expression=torch.ones(3, 10))
    dirs, features = torch.randn(count, 3, 2), 0.01 * torch.randn(2, 486)
    extras = Extras(
        expression_rows=torch.tensor([4, 9], dtype=torch.int32), expression_dirs=0.01 * torch.ones(2, 3, 5),
        corrective_dirs=dirs, corrective_features=features,
    )  # fmt: skip
    feature = (axis_angle_to_matrix(motion.pose[1, 1:]) - torch.eye(3)).flatten()
    expected = pack.levels[0].means + dirs @ (features @ feature)
    expected[[4, 9]] += 0.05
    moved = dataclasses.replace(pack, extras=extras)
    torch.testing.assert_close(pose_pack(moved, motion, 1).means, expected)
    write_pack(tmp_path / f"p{SUFFIX}", moved)
    still, means = dataclasses.replace(motion, expression=torch.zeros(3, 10)), []
    for one, said in ((motion, "coefficients of the pack's own basis"), (still, "Gaussians")):
        assert export_pack(tmp_path / f"p{SUFFIX}", tmp_path / "p.npz", motion=one).endswith(said)
        means.append(np.load(tmp_path / "p.npz", allow_pickle=False)["means"])
    assert np.flatnonzero((np.abs(means[0] - means[1]) > 1e-3).any((0, 2))).tolist() == [4, 9]
