"""Joints whose evidence is still are held, and moving ones are as fast and as early as before."""

import numpy as np
import pytest
import torch

from synthaug.body.mirroring import COUNTERPARTS, mirror
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from synthaug.body.skeleton import JOINT, forward_kinematics, mean_skeleton
from synthaug.motions.fitting.landmarks import SITES, landmark_markers
from synthaug.motions.fitting.stillness import Evidence, hold_still, seldom_moving
from synthaug.structures import Motion

FPS, FRAMES = 25.0, 60
SKELETON, MARKERS = mean_skeleton(), landmark_markers()


def standing() -> Motion:
    """Somebody who stands with the arms down."""
    pose = torch.zeros(FRAMES, 55, 3)
    pose[:, JOINT["left_shoulder"], 2], pose[:, JOINT["right_shoulder"], 2] = -1.2, 1.2
    pose[:, JOINT["left_elbow"], 1], pose[:, JOINT["right_elbow"], 1] = -0.3, 0.3
    return Motion.from_pose(pose, torch.zeros(FRAMES, 3), fps=FPS)


def tremble(motion: Motion, degrees: float, *, seed: int = 0) -> Motion:
    """The motion with white noise on every rotation."""
    noise = torch.from_numpy(np.random.default_rng(seed).normal(0, np.radians(degrees), (motion.num_frames, 22, 3)))
    shaken = axis_angle_to_matrix(motion.pose[:, :22]) @ axis_angle_to_matrix(noise.float())
    pose = motion.pose.clone()
    pose[:, :22] = matrix_to_axis_angle(shaken)
    return Motion.from_pose(pose, motion.transl, fps=motion.fps)


def evidence_of(motion: Motion, *, metres: float = 0.008, seed: int = 1) -> Evidence:
    """What a camera in front sees of it, with noise."""
    T = forward_kinematics(motion, SKELETON)[:, :22]
    points = MARKERS.place(T[..., :3, :3], T[..., :3, 3])
    noise = torch.from_numpy(np.random.default_rng(seed).normal(0, metres, points.shape)).float()
    shape = points + noise
    return Evidence(shape[..., :2], shape + noise.flip(0), torch.ones(points.shape[:2]))


def turns_deg(motion: Motion) -> torch.Tensor:
    """Angle by which each joint turns from frame to frame, degrees."""
    R = axis_angle_to_matrix(motion.pose[:, :22].double())
    return matrix_to_axis_angle(R[:-1].mT @ R[1:]).norm(dim=-1).rad2deg()


def test_still_evidence_gives_still_joints() -> None:
    shaken = tremble(standing(), 1.5)
    held = hold_still(shaken, evidence_of(standing()), MARKERS, SKELETON)
    before, after = (turns_deg(motion).square().mean().sqrt() for motion in (shaken, held))
    assert before > 3
    assert after < 0.1


def test_held_joints_are_where_they_were_on_average() -> None:
    shaken = tremble(standing(), 1.5)
    held = hold_still(shaken, evidence_of(standing()), MARKERS, SKELETON)
    R, known = axis_angle_to_matrix(held.pose[:, :22]), axis_angle_to_matrix(standing().pose[:, :22])
    off = matrix_to_axis_angle(R.mT @ known).norm(dim=-1).rad2deg()
    # Sixty frames of 1.5 degrees along each of three axes have a mean that is 0.34 off, a few joints twice as much.
    assert off.square().mean().sqrt() < 0.6


@pytest.mark.parametrize("frames", [1, 4])
def test_a_step_stays_a_step(frames: int) -> None:
    """An arm that is raised within a few frames is raised then: half of the way is done at the same frame."""
    whole = standing()
    share = ((torch.arange(FRAMES) - 30) / frames).clamp(0, 1)
    whole.body_pose[:, JOINT["left_elbow"] - 1, 1] -= 1.4 * share
    held = hold_still(tremble(whole, 0.8), evidence_of(whole), MARKERS, SKELETON)
    bend, known = (motion.body_pose[:, JOINT["left_elbow"] - 1, 1] for motion in (held, whole))
    middle = -0.3 - 0.7
    assert abs(int((bend < middle).int().argmax()) - int((known < middle).int().argmax())) <= 1
    assert (bend - known)[:26].abs().max() < np.radians(3)
    assert (bend - known)[36:].abs().max() < np.radians(3)
    # The rest of the body does not move along.
    legs = [JOINT[f"{side}_{part}"] for side in ("left", "right") for part in ("hip", "knee", "ankle")]
    assert turns_deg(held)[:, legs].square().mean().sqrt() < 0.3


def test_fast_movement_keeps_its_speed() -> None:
    whole = standing()
    wave = torch.sin(2 * torch.pi * 2.5 * torch.arange(FRAMES) / FPS)
    whole.body_pose[:, JOINT["left_elbow"] - 1, 1] -= 0.6 + 0.6 * wave
    held = hold_still(whole, evidence_of(whole), MARKERS, SKELETON)
    joint = JOINT["left_elbow"]
    # Waving at 2.5 Hz, as fast as people do, loses less than a tenth, at its turning points.
    assert turns_deg(held)[5:-5, joint].mean() > 0.9 * turns_deg(whole)[5:-5, joint].mean()


def test_time_has_no_direction() -> None:
    """What is held of a film that runs backwards is what is held of the film, backwards: nothing lags."""
    whole = standing()
    whole.body_pose[:, JOINT["left_elbow"] - 1, 1] -= ((torch.arange(FRAMES) - 20) / 8).clamp(0, 1)
    shaken, seen = tremble(whole, 1.0), evidence_of(whole)
    there = hold_still(shaken, seen, MARKERS, SKELETON)
    back = hold_still(
        Motion.from_pose(shaken.pose.flip(0), shaken.transl.flip(0), fps=FPS),
        Evidence(seen.seen.flip(0), seen.shape.flip(0), seen.confidence.flip(0)), MARKERS, SKELETON,
    )  # fmt: skip
    apart = axis_angle_to_matrix(there.pose[:, :22]) - axis_angle_to_matrix(back.pose[:, :22].flip(0))
    assert apart.abs().max() < 1e-4


def test_the_mirror_image_is_held_alike() -> None:
    whole = standing()
    whole.body_pose[:, JOINT["left_elbow"] - 1, 1] -= ((torch.arange(FRAMES) - 20) / 8).clamp(0, 1)
    shaken, seen = tremble(whole, 1.0), evidence_of(whole)
    other = [
        next(k for k, site in enumerate(SITES) if (site[1], site[2]) == (_swap(joint), (-x, y, z)))
        for _, joint, (x, y, z), _ in SITES
    ]
    image = Evidence(
        seen.seen[:, other] * torch.tensor([-1.0, 1.0]), seen.shape[:, other] * torch.tensor([-1.0, 1.0, 1.0]),
        seen.confidence[:, other],
    )  # fmt: skip
    ours = mirror(hold_still(shaken, seen, MARKERS, SKELETON))
    theirs = hold_still(mirror(shaken), image, MARKERS, SKELETON)
    apart = axis_angle_to_matrix(ours.pose[:, :22]) - axis_angle_to_matrix(theirs.pose[:, :22])
    assert apart.abs().max() < 1e-4
    assert COUNTERPARTS[JOINT["left_elbow"]] == JOINT["right_elbow"]


def _swap(name: str) -> str:
    return name.replace("left", "#").replace("right", "left").replace("#", "right")


def test_a_path_without_cost_is_unchanged_and_one_that_costs_everything_is_flat() -> None:
    values = np.random.default_rng(0).normal(size=(40, 4))
    assert np.allclose(seldom_moving(values, np.zeros(39)), values)
    flat = seldom_moving(values, np.full(39, 1e6))
    assert np.ptp(flat, axis=0).max() < 1e-3
    assert np.allclose(flat.mean(0), values.mean(0), atol=1e-2)


def test_unseen_parts_are_held() -> None:
    """Confidence below a half says nothing: a detector invents limbs, and they would tremble."""
    shaken = tremble(standing(), 3.0)
    seen = evidence_of(shaken)
    held = hold_still(shaken, Evidence(seen.seen, seen.shape, 0.3 * seen.confidence), MARKERS, SKELETON)
    assert turns_deg(held).square().mean().sqrt() < 0.2
