"""The jaw follows the mouth that is seen: closed forms, and a film of somebody whose jaw is known."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import Tensor

from synthaug.avatars.anny import AnnyPeople
from synthaug.body.skeleton import JOINT, mean_skeleton, retarget
from synthaug.compositing.layers import over
from synthaug.levels import Pyramid
from synthaug.motions.actions import perform
from synthaug.motions.fitting.placement import intrinsics
from synthaug.motions.pose.mouth import FACE_POINTS, jaw_pose
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.motions.video import VideoMotion
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import Camera, Motion, Record
from synthaug.video import write_video


def faces(gaps: Tensor, *, size: float = 100.0) -> Tensor:
    """Faces whose eyes are so many pixels apart, and whose lips are apart by these shares of that."""
    points = torch.zeros(len(gaps), FACE_POINTS, 3)
    points[:, 263, 0] = size
    points[:, 14, 1] = gaps * size
    return points


def test_the_jaw_turns_as_a_hinge_whose_lips_are_nine_centimetres_away() -> None:
    gaps = torch.tensor([0.0, 0.0, 0.0, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4, 0.0, 0.0])
    found = jaw_pose(faces(gaps))
    assert torch.allclose(found[:, 0].sin() * 0.09, gaps * 0.089, atol=1e-6) and not found[:, 1:].any()
    # As wide in a small picture, or turned to the side in depth.
    assert torch.allclose(jaw_pose(faces(gaps, size=30.0)), found, atol=1e-6)
    assert torch.allclose(jaw_pose(faces(gaps)[..., [2, 1, 0]]), found, atol=1e-6)
    # Nobody opens the mouth further than people can.
    assert float(jaw_pose(faces(gaps * 5)).max()) == pytest.approx(0.5)


def test_closed_lips_and_single_errors_are_closed() -> None:
    gaps = torch.full((20,), 0.03)
    gaps[7] = 0.4
    assert not jaw_pose(faces(gaps)).any()


@pytest.mark.parametrize("step", [1, 2, 4])
def test_frames_between_looks_and_without_a_face_are_bridged(step: int) -> None:
    gaps = 0.1 + 0.1 * torch.sin(torch.arange(48) / 48 * 6.28 - 1.57)
    whole, points = jaw_pose(faces(gaps)), faces(gaps)
    skipped = torch.arange(48) % step != 0
    points[skipped] = torch.nan
    points[16:24] = torch.nan
    assert torch.allclose(jaw_pose(points, step=step), whole, atol=0.01 * (1 + step))
    assert not jaw_pose(torch.full_like(points, torch.nan), step=step).any()
    # Three looks in forty-eight are no evidence.
    points[12:] = torch.nan
    assert not jaw_pose(points, step=step).any()


@pytest.mark.pose
@pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed (the extra `pose`)"
)
def test_somebody_before_a_webcam_opens_the_mouth_when_the_person_filmed_does(tmp_path) -> None:
    frames, fps, size = 24, 12.0, (480, 640)
    truth = (0.22 - 0.22 * torch.cos(torch.arange(frames) / frames * 4 * np.pi)).float()
    motion = perform("clapping", PerformerStyle(), fps=fps, seconds=frames / fps)
    pose = motion.pose.float()
    pose[:, JOINT["jaw"]] = torch.stack([truth, 0 * truth, 0 * truth], dim=-1)
    person = AnnyPeople(family="studio", levels=Pyramid(refine=None)).load("studio-000004")
    moved = retarget(Motion.from_pose(pose, motion.transl.float(), fps=fps), mean_skeleton(), person.skeleton)
    viewmat = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 1.35], [0, 0, -1, 1.5], [0, 0, 0, 1]])
    K = intrinsics(size[1], size[0], 0.9)
    camera = Camera(viewmat.expand(frames, 4, 4), K.expand(frames, 3, 3), size[1], size[0])
    rendered = CpuRenderer().render([person.pose(moved)], camera)
    path = tmp_path / "signer.mp4"
    write_video(path, over(rendered, torch.full((frames, 3, *size), 150, dtype=torch.uint8)), fps=fps)
    record = Record(key="signer", path=path, label=0, subject="", camera="", start=0.0, end=frames / fps)
    found = VideoMotion(warm_up=0.0, iterations=5).load(record)
    first = round(found.notes["offset"] * fps)
    opened = found.motion.jaw_pose[:, 0]
    assert found.notes["face"] > 0.9
    assert float(np.corrcoef(opened, truth[first : first + len(opened)])[0, 1]) > 0.6
    # Not as wide: the lips of the avatar are skinned to more than its jaw.
    assert 0.1 < float(opened.max()) < 0.5
