"""Laws of footing: feet that stood stand still on every body, on the floor, and nothing above the hips is changed."""

import math

import numpy as np
import pytest
import torch

from synthaug.body import footing
from synthaug.body.retargeting import find_contacts, reenact
from synthaug.body.skeleton import (
    JOINT,
    JOINT_NAMES,
    PARENTS,
    SUPPORTS,
    Skeleton,
    global_rotations,
    joint_positions,
    lowest_heights,
    mean_skeleton,
    resample,
    retarget,
)
from synthaug.motions.actions import perform
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.structures import Motion
from tests.uncompiled import uncompile

MEAN = mean_skeleton()
FEET = torch.tensor([[JOINT[f"{side}_{part}"] for part in ("ankle", "foot")] for side in ("left", "right")])
FLESH = torch.tensor([SUPPORTS["left_ankle"], SUPPORTS["left_foot"]])


def body(thigh: float, shin: float, hips: float) -> Skeleton:
    """The mean body with other legs: what makes planted feet slide under the same angles."""
    joints = MEAN.joints.clone()
    for side in ("left", "right"):
        hip, knee, ankle, foot = (JOINT[f"{side}_{part}"] for part in ("hip", "knee", "ankle", "foot"))
        joints[hip, 0] = MEAN.joints[hip, 0] * hips
        joints[knee] = joints[hip] + thigh * (MEAN.joints[knee] - MEAN.joints[hip])
        joints[ankle] = joints[knee] + shin * (MEAN.joints[ankle] - MEAN.joints[knee])
        joints[foot] = joints[ankle] + MEAN.joints[foot] - MEAN.joints[ankle]
    return Skeleton(joints)


BODIES = [body(1.12, 0.9, 0.9), body(0.85, 1.05, 1.3), body(1.2, 1.2, 1.1), body(0.75, 0.8, 1.0)]


def build(rng: np.random.Generator) -> Skeleton:
    """Somebody whose thighs, shins, trunk and arms are each 15 % shorter to 20 % longer, and hips wider or narrower."""
    thigh, shin, trunk, arm, hips = rng.uniform(0.85, 1.2, 5)
    shares = {"knee": thigh, "ankle": shin, "spine": trunk, "neck": trunk, "collar": trunk, "elbow": arm, "wrist": arm}
    joints = MEAN.joints.clone()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            kind = next((part for part in shares if part in JOINT_NAMES[joint]), "")
            bone = (MEAN.joints[joint] - MEAN.joints[parent]) * shares.get(kind, 1.0)
            bone[0] *= hips if "hip" in JOINT_NAMES[joint] else 1.0
            joints[joint] = joints[parent] + bone
    return Skeleton(joints)


def falling(axis: int, degrees: float, fps: float = 20.0) -> Motion:
    """Somebody who stands with hanging arms, topples like a board within 0.7 s about one axis, and stays there."""
    time = 50
    share = ((torch.arange(time) / fps - 0.6) / 0.7).clamp(0, 1)
    pose = torch.zeros(time, 55, 3)
    pose[:, JOINT["left_shoulder"], 2], pose[:, JOINT["right_shoulder"], 2] = -1.2, 1.2
    pose[:, 0, axis] = math.radians(degrees) * share**2 * (3 - 2 * share)
    still = Motion.from_pose(pose, torch.zeros(time, 3), fps=fps)
    height = -lowest_heights(joint_positions(still, MEAN))
    along = 0.85 * torch.sin(pose[:, 0, axis])
    ahead = torch.stack([-along, height, 0 * along] if axis == 2 else [0 * along, height, along], dim=1)
    return Motion.from_pose(pose, ahead, fps=fps)


def performance(action: str, fps: float) -> Motion:
    motion = perform(action, PerformerStyle(), fps=fps, seconds=3.0)
    return Motion.from_pose(motion.pose.float(), motion.transl.float(), fps=fps)


def slide_and_sink(motion: Motion, source: Motion, target: Skeleton) -> tuple[float, float]:
    """Largest way of a standing point within a frame, and largest depth of a standing sole, metres."""
    standing = find_contacts(joint_positions(source, MEAN), fps=source.fps)
    joints = joint_positions(motion, target)[:, FEET]
    way = joints[..., [0, 2]].diff(dim=0).norm(dim=-1)
    # The ball carries where both stand, and the heel rolls over it.
    carrying = torch.stack([standing[..., 0] & ~standing[..., 1], standing[..., 1]], dim=-1)
    still = carrying[1:] & carrying[:-1]
    depth = (FLESH * target.leg / MEAN.leg - joints[..., 1]).amax(-1)[standing.any(-1)]
    return float(way[still].max()), float(depth.max())


@pytest.mark.parametrize("fps", [30.0, 8.0])
@pytest.mark.parametrize("action", ["walk", "kicking something", "squat down"])
def test_standing_feet_neither_slide_nor_sink_on_any_body(action: str, fps: float) -> None:
    source = performance(action, fps)
    for target in BODIES:
        slide, sink = slide_and_sink(reenact(source, MEAN, target), source, target)
        assert slide < 0.01
        assert sink < 0.01


FALLS = {"on the face": (0, 90.0), "on the back": (0, -90.0), "to the left": (2, -90.0), "to the right": (2, 90.0)}
GROUND = ("lie down", "pick up", "sit down", *FALLS)


@pytest.mark.parametrize("action", GROUND)
def test_bodies_on_the_floor_neither_float_nor_sink_whichever_part_carries_them(action: str) -> None:
    source = falling(*FALLS[action]) if action in FALLS else performance(action, 20.0)
    before = lowest_heights(joint_positions(source, MEAN))
    rng = np.random.default_rng(0)
    for target in [build(rng) for _ in range(10)]:
        size = target.leg / MEAN.leg
        motion = reenact(source, MEAN, target)
        joints = joint_positions(motion, target)
        apart = lowest_heights(joints, scale=size) - before
        assert apart.min() > -0.01
        assert apart.max() < 0.01
        # And it settles hardly less smoothly than with its legs left alone, where it jerks by up to 10 cm, too.
        plain = joint_positions(retarget(source, MEAN, target), target)
        jerks = [path[:, 0, 1].diff(n=2).abs().max() for path in (joints, plain)]
        assert jerks[0] < jerks[1] + 0.05


def test_without_it_feet_slide_on_bodies_with_other_legs() -> None:
    source = performance("walk", 8.0)
    assert max(slide_and_sink(retarget(source, MEAN, target), source, target)[0] for target in BODIES) > 0.01


def test_trunk_arms_and_the_attitude_of_the_feet_are_kept() -> None:
    source = performance("walk", 20.0)
    legs = [JOINT[f"{side}_{part}"] for side in ("left", "right") for part in ("hip", "knee", "ankle")]
    others = [joint for joint in range(55) if joint not in legs]
    after = reenact(source, MEAN, BODIES[0])
    torch.testing.assert_close(after.pose[:, others], source.pose[:, others], atol=0, rtol=0)
    ankles = FEET[:, 0]
    turned = [global_rotations(motion.pose)[:, ankles] for motion in (source, after)]
    torch.testing.assert_close(turned[1], turned[0], atol=1e-4, rtol=0)


def test_on_its_own_body_a_motion_that_stands_right_hardly_changes() -> None:
    source = performance("kicking something", 20.0)
    apart = joint_positions(reenact(source, MEAN, MEAN), MEAN) - joint_positions(source, MEAN)
    assert apart.norm(dim=-1).max() < 0.02


def test_a_floor_that_was_measured_too_high_is_lowered() -> None:
    source = performance("walk", 20.0)
    sunk = Motion.from_pose(source.pose, source.transl - torch.tensor([0.0, 0.08, 0.0]), fps=source.fps)
    level, raised = (reenact(motion, MEAN, BODIES[2]) for motion in (source, sunk))
    assert (level.transl - raised.transl).abs().max() < 0.02


def test_feet_return_to_their_path_without_a_jerk() -> None:
    source = performance("walk", 30.0)
    for target in BODIES:
        ankles = [
            joint_positions(motion, target)[:, FEET[:, 0]]
            for motion in (retarget(source, MEAN, target), reenact(source, MEAN, target))
        ]
        jerks = [path.diff(n=2, dim=0).norm(dim=-1).max() for path in ankles]
        assert jerks[1] < jerks[0] + 0.02  # 2 cm a frame and frame: what a soft landing takes


def test_a_clip_that_starts_over_does_not_hold_on_to_where_it_ended() -> None:
    source = performance("walk", 8.0)
    twice = resample(source, torch.arange(40) / 8.0)
    apart = joint_positions(reenact(twice, MEAN, MEAN), MEAN) - joint_positions(twice, MEAN)
    assert apart.norm(dim=-1).max() < 0.15  # a stride is half a metre


@pytest.mark.parametrize("time", [1, 2])
def test_the_shortest_clips_are_re_enacted_too(time: int) -> None:
    source = performance("walk", 20.0)
    short = Motion.from_pose(source.pose[:time], source.transl[:time], fps=20.0)
    assert reenact(short, MEAN, BODIES[1]).num_frames == time


@pytest.mark.parametrize("stature", [0.8, 1.0, 1.3, 1.7, 2.1])
def test_soles_stay_on_the_floor_on_the_way_to_every_stature_and_back(stature: float) -> None:
    source, other = performance("walk", 20.0), Skeleton(MEAN.joints * stature / 1.7)
    for there in (retarget(source, MEAN, other), reenact(source, MEAN, other)):
        assert lowest_heights(joint_positions(there, other), scale=stature / 1.7).abs().max() < 0.01
        back = retarget(there, other, MEAN)
        assert lowest_heights(joint_positions(back, MEAN)).abs().max() < 0.01


@pytest.mark.parametrize("action", ["walk", "sit down"])
def test_the_compiled_loops_do_what_they_say(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    motion = performance(action, 10.0)
    compiled = reenact(motion, MEAN, BODIES[0])
    uncompile(monkeypatch, footing)
    monkeypatch.setattr("synthaug.body.retargeting.plant_feet", footing.plant_feet)
    plain = reenact(motion, MEAN, BODIES[0])
    # Compiled sums may have another order: a few units of float32's last place.
    torch.testing.assert_close(compiled.pose, plain.pose, atol=2e-6, rtol=0)
    torch.testing.assert_close(compiled.transl, plain.transl, atol=1e-6, rtol=0)
