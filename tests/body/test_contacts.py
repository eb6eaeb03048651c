"""Two who act together, on bodies of other sizes."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthaug.body.contacts import reenact_together
from synthaug.body.retargeting import find_contacts, reenact
from synthaug.body.skeleton import JOINT, Skeleton, joint_positions, mean_skeleton, move_motion
from synthaug.structures import Motion

MEAN = mean_skeleton()
HAND = JOINT["right_middle1"]
TURN = torch.diag(torch.tensor([-1.0, 1.0, -1.0]))


def body(size):
    return Skeleton(MEAN.joints * size)


def standing(time=12):
    """Arms at the sides, soles on the floor."""
    pose = torch.zeros(time, 55, 3)
    pose[:, JOINT["left_shoulder"], 2], pose[:, JOINT["right_shoulder"], 2] = -1.3, 1.3
    transl = torch.tensor([[0.0, 0.0, 0.0]]).repeat(time, 1)
    motion = Motion.from_pose(pose, transl, fps=8.0)
    lowest = joint_positions(motion, MEAN)[:, [JOINT["left_foot"], JOINT["right_foot"]], 1].min() - 0.027
    return replace(motion, transl=transl - torch.tensor([0.0, 1.0, 0.0]) * lowest)


def stretching(time=12):
    """The right forearm forward and up, shaking."""
    motion = standing(time)
    body_pose = motion.body_pose.clone()
    body_pose[:, JOINT["right_shoulder"] - 1, 0] = -0.5
    body_pose[:, JOINT["right_elbow"] - 1, 1] = 1.2 + 0.15 * torch.sin(torch.arange(time) * 1.3)
    return replace(motion, body_pose=body_pose)


def meeting(gap=0.0):
    """Two who face each other, their right hands `gap` metres apart all along, give or take the shaking."""
    one = stretching()
    other = move_motion(one, TURN, torch.zeros(3))
    hands = [joint_positions(motion, MEAN)[:, HAND].mean(0) for motion in (one, other)]
    shift = (hands[0] - hands[1]) * torch.tensor([1.0, 0.0, 1.0]) + torch.tensor([0.0, 0.0, gap])
    return [one, move_motion(other, torch.eye(3), shift)]


def hands_apart(motions, bodies):
    one, other = (joint_positions(m, b)[:, HAND] for m, b in zip(motions, bodies, strict=True))
    return one - other


@settings(max_examples=20, deadline=None)
@given(sizes=st.tuples(st.floats(0.85, 1.15), st.floats(0.85, 1.15)), turn=st.floats(-3.1, 3.1))
def test_hands_that_shake_go_on_shaking(sizes, turn):
    R = torch.tensor([[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]])
    motions = [move_motion(motion, R, torch.tensor([0.4, 0.0, -1.0])) for motion in meeting()]
    bodies = [body(size) for size in sizes]
    together = reenact_together(motions, MEAN, bodies)
    apart = hands_apart(together, bodies) - hands_apart(motions, [MEAN, MEAN])
    assert apart.norm(dim=-1).max() < 0.03


def test_alone_they_would_miss_each_other():
    """What the law above is worth: without it hands lie a hand's length apart."""
    motions, bodies = meeting(), [body(0.85), body(1.15)]
    alone = [reenact(motion, MEAN, target) for motion, target in zip(motions, bodies, strict=True)]
    assert (hands_apart(alone, bodies) - hands_apart(motions, [MEAN, MEAN])).norm(dim=-1).min() > 0.12


def test_one_person_is_reenacted_as_alone():
    motion = stretching()
    (one,) = reenact_together([motion], MEAN, [body(0.9)])
    assert torch.equal(one.pose, reenact(motion, MEAN, body(0.9)).pose)


def test_people_of_the_source_s_build_stay_as_they_are():
    motions = meeting()
    for one, made in zip(motions, reenact_together(motions, MEAN, [MEAN, MEAN]), strict=True):
        assert (joint_positions(one, MEAN) - joint_positions(made, MEAN)).norm(dim=-1).max() < 2e-3


@pytest.mark.parametrize("size", [0.85, 1.15])
def test_arms_of_those_who_touch_nobody_keep_their_angles(size):
    motions = meeting(gap=1.0)
    for one, made in zip(motions, reenact_together(motions, MEAN, [body(size)] * 2), strict=True):
        arms = [JOINT[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "elbow", "wrist")]
        assert torch.equal(one.pose[:, arms], made.pose[:, arms])


def test_a_hand_that_touches_moves_no_other_arm_and_no_other_frame():
    """The left arms hang straight all along; the right hands part after half of the time."""
    one, other = meeting()
    leaving = other.transl.clone()
    leaving[6:, 2] += 1.5
    motions, bodies = [one, replace(other, transl=leaving)], [body(0.85), body(1.15)]
    alone = [reenact(motion, MEAN, target).pose for motion, target in zip(motions, bodies, strict=True)]
    together = [motion.pose for motion in reenact_together(motions, MEAN, bodies)]
    arms = {side: [JOINT[f"{side}_{part}"] for part in ("shoulder", "elbow", "wrist")] for side in ("left", "right")}
    for ours, theirs in zip(together, alone, strict=True):
        assert torch.allclose(ours[:, arms["left"]], theirs[:, arms["left"]], atol=1e-3)
        assert torch.allclose(ours[6:, arms["right"]], theirs[6:, arms["right"]], atol=1e-3)
        assert not torch.allclose(ours[:6, arms["right"]], theirs[:6, arms["right"]], atol=0.02)


@settings(max_examples=15, deadline=None)
@given(size=st.floats(0.85, 1.15))
def test_alike_people_meet_at_a_distance_of_their_size(size):
    motions = meeting(gap=0.6)
    made = reenact_together(motions, MEAN, [body(size)] * 2)
    before, after = ((pair[0].transl - pair[1].transl)[:, [0, 2]].norm(dim=-1) for pair in (motions, made))
    assert torch.allclose(after, size * before, atol=1e-4)


def test_who_walks_up_to_somebody_arrives_and_his_feet_hold():
    from synthaug.motions.actions import perform
    from synthaug.motions.procedural.style import PerformerStyle

    walk = perform("walk", PerformerStyle(), fps=25.0, seconds=2.0)
    walk = Motion.from_pose(walk.pose.float(), walk.transl.float(), fps=25.0)
    host = standing(walk.num_frames)
    host = move_motion(replace(host, fps=25.0), torch.eye(3), walk.transl[-1] * torch.tensor([1.0, 0, 1.0]) + 0.5)
    host = replace(
        host, transl=host.transl * torch.tensor([1.0, 0, 1.0]) + standing(1).transl[0] * torch.tensor([0, 1.0, 0])
    )
    bodies = [body(0.88), body(1.1)]
    made = reenact_together([walk, host], MEAN, bodies)
    size = 0.99
    gaps = [(pair[1].transl - pair[0].transl)[-1, [0, 2]].norm() for pair in ((walk, host), made)]
    assert abs(gaps[1] - size * gaps[0]) < 0.02
    joints = joint_positions(made[0], bodies[0])
    standing_points = find_contacts(joint_positions(walk, MEAN), fps=25.0)
    feet = joints[:, [[JOINT["left_ankle"], JOINT["left_foot"]], [JOINT["right_ankle"], JOINT["right_foot"]]]]
    held = standing_points[1:, :, 1] & standing_points[:-1, :, 1]
    slide = (feet[1:, :, 1] - feet[:-1, :, 1])[..., [0, 2]].norm(dim=-1)[held] * 25
    assert slide.median() < 0.05


@settings(max_examples=20, deadline=None)
@given(far=st.floats(0.0, 0.6))
def test_letting_go_is_gradual(far):
    """No step anywhere between touching and not: a hand that leaves another's shoulder does not snap back."""
    bodies = [body(0.85), body(1.15)]
    near, next_to_it = (hands_apart(reenact_together(meeting(gap), MEAN, bodies), bodies) for gap in (far, far + 0.01))
    assert (near - next_to_it).norm(dim=-1).max() < 0.05


def test_a_place_out_of_reach_is_reached_for():
    one, other = meeting(gap=0.1)
    bodies = [body(0.6), body(0.6)]
    made = reenact_together([one, other], MEAN, bodies)
    assert all(motion.pose.isfinite().all() for motion in made)
    straight = standing()
    body_pose = straight.body_pose.clone()
    body_pose[:, JOINT["right_shoulder"] - 1, 1] = 1.4  # a straight arm, forward
    pointing = replace(straight, body_pose=body_pose)
    hand = joint_positions(pointing, MEAN)[0, HAND]
    target = move_motion(standing(), TURN, hand * torch.tensor([1.0, 0.0, 1.0]) + torch.tensor([0.0, 0.0, 0.15]))
    made = reenact_together([pointing, target], MEAN, [body(1.15), body(0.9)])
    assert all(motion.pose.isfinite().all() for motion in made)


@pytest.mark.parametrize("sizes", [(0.9, 1.1, 1.0), (1.12, 0.92, 0.9)])
def test_three_keep_their_places_and_their_touch(sizes):
    """Two shake hands, and a third lays a hand on one of them: both go on at other sizes."""
    pair = meeting()
    third = move_motion(stretching(), TURN, torch.zeros(3))
    hand, body_of = joint_positions(third, MEAN)[:, HAND].mean(0), joint_positions(pair[0], MEAN).mean(0)
    # Beside the joint of the trunk or the free arm that is about as high as the hand.
    held = min(
        (JOINT[name] for name in ("spine2", "spine3", "left_shoulder", "left_elbow")),
        key=lambda joint: abs(float(body_of[joint, 1] - hand[1])),
    )
    shift = (body_of[held] - hand) * torch.tensor([1.0, 0.0, 1.0]) + torch.tensor([0.06, 0.0, -0.06])
    people = [*pair, move_motion(third, torch.eye(3), shift)]
    bodies = [body(size) for size in sizes]
    together = reenact_together(people, MEAN, bodies)
    shaking = hands_apart(together[:2], bodies[:2]) - hands_apart(pair, [MEAN] * 2)
    assert float(shaking.norm(dim=-1).max()) < 0.03

    def touch(motions, skeletons):
        places = [joint_positions(one, who) for one, who in zip(motions, skeletons, strict=True)]
        return places[2][:, HAND] - places[0][:, held]

    assert float((touch(together, bodies) - touch(people, [MEAN] * 3)).norm(dim=-1).median()) < 0.04
    size = sum(sizes) / 3
    for one in range(3):
        for other in range(one):
            before, after = (
                (people[one].transl - people[other].transl)[:, [0, 2]],
                (together[one].transl - together[other].transl)[:, [0, 2]],
            )
            assert torch.allclose(after, size * before, atol=0.03)
