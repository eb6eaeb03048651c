"""Contracts of avatars, avatar pools and importers, for synthaug's classes and those of other packages."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from synthaug.avatars import Avatar, AvatarPool
from synthaug.avatars.importers import Importer
from synthaug.avatars.importers.files.checkpoints import content_digest
from synthaug.avatars.pack.format import SUFFIX, read_header, write_pack
from synthaug.avatars.packs import PackedPerson
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import move_motion
from synthaug.body.skinning import pose_frame
from synthaug.structures import Gaussians, Motion


def check_avatar(avatar: Avatar) -> None:
    """Assert the contract of `Avatar`: valid Gaussians, the same every time, that move rigidly with the world.

    Args:
        avatar: Any avatar; it is posed in four frames.

    Raises:
        AssertionError: If the contract is broken; the message says how.
    """
    joints = avatar.skeleton.joints
    assert joints.shape == (55, 3), f"Expected a skeleton of shape (55, 3), got {tuple(joints.shape)}."
    assert float(joints[0].abs().max()) < 1e-4, "the pelvis at rest must be the origin"
    motion = _wriggle(4)
    posed = avatar.pose(motion)
    _check_gaussians(posed, frames=4)
    again = avatar.pose(motion)
    for frame in range(4):
        assert torch.equal(pose_frame(posed, frame).means, pose_frame(again, frame).means), (
            "posing twice must give the same"
        )
    assert avatar.digest and avatar.digest == avatar.digest, "the digest must be stable"
    _check_equivariant(avatar, motion)


def check_avatar_pool(pool: AvatarPool) -> None:
    """Assert the contract of `AvatarPool`: different names, decided by the generator alone, that can be loaded.

    Raises:
        AssertionError: If the contract is broken; the message says how.
    """
    names = pool.sample(3, np.random.default_rng(5))
    assert len(set(names)) == 3, f"Expected three different identities, got {names}."
    assert names == pool.sample(3, np.random.default_rng(5)), "the same generator must sample the same people"
    assert pool.sample(0, np.random.default_rng(5)) == (), "a sample of no people must be empty"
    first, second = pool.load(names[0]), pool.load(names[1])
    assert first.digest != second.digest, "two identities must have two digests"
    assert pool.load(names[0]).digest == first.digest, "loading twice must give the same person"
    assert isinstance(pool.subject(names[0]), str), "subject must be a name, or empty"
    for look_up in (pool.load, pool.subject):
        try:
            look_up("nobody at all")
        except KeyError:
            continue
        raise AssertionError("an unknown identity must raise KeyError")


def check_importer(importer: Importer, source: Path) -> None:
    """Assert the contract of `Importer`: valid packs, the same every time, of people who are avatars.

    Args:
        importer: Any importer.
        source: A file of its format, with one person.

    Raises:
        AssertionError: If the contract is broken; the message says how.
    """
    assert importer.find_people(source) is None, f"Expected one person in '{source}', got a collection."
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}{SUFFIX}" for number in range(2)]
        for path in paths:
            write_pack(path, importer.import_person(source, "somebody"))
        first, second = map(read_header, paths)
        assert first.digest == second.digest, "importing twice must give the same pack"
        assert first.about.name == "somebody", f"Expected the name 'somebody', got {first.about.name!r}."
        assert first.about.provenance.digest == content_digest(source), "provenance.digest must be the source's"
        check_avatar(PackedPerson(paths[0]))


def _wriggle(frames: int) -> Motion:
    """A motion that moves every joint a little and the body much."""
    generator = torch.Generator().manual_seed(0)
    pose = 0.2 * torch.randn(frames, 55, 3, generator=generator)
    transl = torch.randn(frames, 3, generator=generator)
    return Motion.from_pose(pose, transl, fps=30.0)


def _check_gaussians(gaussians: Gaussians, *, frames: int) -> None:
    assert gaussians.num_frames == frames, f"Expected {frames} frames, got {gaussians.num_frames}."
    assert gaussians.T_world_rest.shape[1] == 55, "Expected transforms of 55 joints."
    for name in ("means", "quats", "scales", "opacities", "colors", "weights", "T_world_rest"):
        assert bool(torch.isfinite(getattr(gaussians, name)).all()), f"{name} must be finite"
    torch.testing.assert_close(gaussians.quats.norm(dim=-1), torch.ones(len(gaussians.quats)), rtol=0, atol=1e-4)
    assert bool((gaussians.scales > 0).all()), "scales must be positive"
    for name in ("opacities", "colors"):
        values = getattr(gaussians, name)
        assert 0 <= float(values.min()) and float(values.max()) <= 1, f"{name} must lie in 0..1"
    assert bool((gaussians.weights >= 0).all()), "skinning weights must not be negative"
    torch.testing.assert_close(gaussians.weights.sum(-1), torch.ones(len(gaussians.weights)), rtol=0, atol=1e-4)
    assert 0 <= int(gaussians.joint_ids.min()) and int(gaussians.joint_ids.max()) < 55, "joint_ids must be joints"
    if gaussians.normals is not None:
        torch.testing.assert_close(gaussians.normals.norm(dim=-1), torch.ones(len(gaussians.means)), rtol=0, atol=1e-3)


def _check_equivariant(avatar: Avatar, motion: Motion) -> None:
    """Moving the motion's world moves every Gaussian with it."""
    R = axis_angle_to_matrix(torch.tensor([0.3, 1.1, -0.4]))
    shift = torch.tensor([0.5, -0.2, 2.0])
    still, carried = avatar.pose(motion), avatar.pose(move_motion(motion, R, shift))
    for frame in range(motion.num_frames):
        here, there = pose_frame(still, frame), pose_frame(carried, frame)
        # Float32 over metres and a chain of ten joints: a few micrometres.
        torch.testing.assert_close(there.means, here.means @ R.mT + shift, rtol=0, atol=2e-5)
        torch.testing.assert_close(there.covars, R @ here.covars @ R.mT, rtol=0, atol=2e-7)
