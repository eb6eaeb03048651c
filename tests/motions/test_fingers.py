"""Laws of fingers: shapes of hands come back from their points, and no hand does what hands cannot."""

import math

import numpy as np
import pytest
import torch

from synthaug.body.hands import SHAPES, hand_pose
from synthaug.body.skeleton import JOINT, forward_kinematics, joint_positions, mean_skeleton
from synthaug.motions.fitting.landmarks import Landmarks
from synthaug.motions.pose.fingers import Hands, add_knuckles, finger_poses
from synthaug.structures import Motion

SKELETON = mean_skeleton()
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
"""In mediapipe's order."""


def performed(shape: str, side: str, turn: np.ndarray) -> Motion:
    """One hand in this shape, the body turned by this axis-angle, so that the hand is seen from anywhere."""
    pose = torch.zeros(1, 55, 3)
    pose[0, 0] = torch.from_numpy(turn).float()
    first = 25 if side == "left" else 40
    pose[0, first : first + 15] = hand_pose(shape, side)
    return Motion.from_pose(pose, torch.zeros(1, 3), fps=20.0)


def points_of(motion: Motion, side: str) -> torch.Tensor:
    """The 21 points of one hand, metres, world frame; tips carry on where the last bone points."""
    T = forward_kinematics(motion, SKELETON)[0]
    rows = [T[JOINT[f"{side}_wrist"], :3, 3]]
    for finger in FINGERS:
        ids = [JOINT[f"{side}_{finger}{k}"] for k in (1, 2, 3)]
        rows += [T[j, :3, 3] for j in ids]
        last = SKELETON.joints[ids[2]] - SKELETON.joints[ids[1]]
        rows.append(T[ids[2], :3, 3] + 0.8 * T[ids[2], :3, :3] @ last)
    return torch.stack(rows)


def seen(motion: Motion, side: str, *, time: int = 1, scale: float = 600.0) -> Hands:
    """The hand as a perfect network sees it; the other one is not seen."""
    points = torch.full((time, 2, 21, 3), torch.nan)
    flipped = points_of(motion, side) * torch.tensor([1.0, -1.0, -1.0])
    points[:, 0 if side == "left" else 1] = scale * (flipped - flipped[:1]) + torch.tensor([200.0, 150.0, 0.0])
    return Hands(points)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_come_back_from_wherever_they_are_seen(shape: str, side: str) -> None:
    rng = np.random.default_rng(len(shape))
    for turn in (np.zeros(3), rng.normal(0, 1, 3), np.array([0.0, math.pi - 1e-3, 0.0]), np.array([math.pi, 0, 0])):
        truth = performed(shape, side, turn)
        poses = finger_poses(seen(truth, side), SKELETON, fps=20.0)
        pose = truth.pose.clone()
        pose[:, 25:40], pose[:, 40:55] = poses
        found = Motion.from_pose(pose, truth.transl, fps=20.0)
        apart = (points_of(found, side) - points_of(truth, side)).norm(dim=-1)
        # Fingers twist a little when they bend and spread at once; ours do not: half a finger's thickness.
        assert apart.max() < 0.008
        other = poses[1] if side == "left" else poses[0]
        assert (other == 0).all()


def test_whatever_is_seen_fingers_stay_within_their_range() -> None:
    points = torch.from_numpy(np.random.default_rng(0).normal(0, 80, (60, 2, 21, 3))).float()
    left, right = finger_poses(Hands(points), SKELETON, fps=20.0)
    for pose in (left, right):
        assert pose.isfinite().all()
        assert pose.norm(dim=-1).max() < math.radians(115)


def test_hands_too_small_for_fingers_rest() -> None:
    hands = seen(performed("fist", "left", np.zeros(3)), "left", scale=60.0)
    assert hands.seen.sum() == 0
    assert (finger_poses(hands, SKELETON, fps=20.0)[0] == 0).all()


def test_a_lost_hand_comes_to_rest_and_a_short_gap_is_bridged() -> None:
    hands = seen(performed("fist", "right", np.zeros(3)), "right", time=40).points.clone()
    hands[10:12] = torch.nan
    hands[20:] = torch.nan
    bent = finger_poses(Hands(hands), SKELETON, fps=20.0)[1].norm(dim=-1).amax(1)
    assert bent[8:14].min() > 0.9 * bent[5]
    assert bent[27:].max() < 1e-3
    assert bent.diff().abs().max() < 0.5 * bent[5]


def test_knuckles_of_seen_hands_replace_the_body_s_guess() -> None:
    motion = performed("flat", "left", np.array([0.0, 0.4, 0.0]))
    joints = joint_positions(motion, SKELETON)[0]
    world, pixels = torch.zeros(1, 33, 3), torch.zeros(1, 33, 2)
    world[0, 15] = joints[JOINT["left_wrist"]] * torch.tensor([1.0, -1.0, -1.0])
    told = add_knuckles(Landmarks(world, pixels, torch.full((1, 33), 0.4)), seen(motion, "left"), SKELETON)
    for landmark, name in ((17, "left_pinky1"), (19, "left_index1")):
        truth = joints[JOINT[name]] * torch.tensor([1.0, -1.0, -1.0])
        torch.testing.assert_close(told.world[0, landmark], truth, atol=1e-4, rtol=0)
        assert told.visibility[0, landmark] > 0.9
    assert torch.equal(told.pixels[0, [18, 20]], pixels[0, [18, 20]])
    assert torch.equal(told.visibility[0, [18, 20]], torch.full((2,), 0.4))
