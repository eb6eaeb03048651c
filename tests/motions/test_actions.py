import json
import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.body.limbs import Limb, bend, rig, vector
from synthaug.body.limits import excess
from synthaug.body.mirroring import mirror, mirror_joints
from synthaug.body.skeleton import JOINT, forward_kinematics, joint_positions, lowest_heights, mean_skeleton
from synthaug.motions import UnusableClipError
from synthaug.motions.actions import ACTIONS, Actions, perform
from synthaug.motions.procedural.style import DISJOINT, FAMILIES, PerformerStyle, sample_style, style_of
from synthaug.motions.procedural.timing import minimum_jerk, moves
from synthaug.structures import Motion, Record
from synthaug.testing.motions import check_motion, check_motion_source, same_motion

FPS = 20.0
SECONDS = 2.5
STYLES = [PerformerStyle(yaw=0.0)] + [
    style_of(sample_style(np.random.default_rng(seed), family)) for seed, family in ((1, "street"), (2, "street"))
]
# The cases below share performances: a performance takes some 0.2 s under the type checker.
_DONE: dict[tuple[str, int], tuple[Motion, torch.Tensor]] = {}


def performance(action, style):
    key = (action, style)
    if key not in _DONE:
        motion = perform(action, STYLES[style], fps=FPS, seconds=SECONDS)
        _DONE[key] = motion, joint_positions(motion, mean_skeleton())
    return _DONE[key]


def place(motion, name, side):
    """A landmark's or a hand's contact's position in every frame."""
    T = forward_kinematics(motion, mean_skeleton()).double()
    if name in rig().hands[side].contacts:
        joint, rest = f"{side}_wrist", rig().hands[side].contacts[name]
    else:
        joint, rest = rig().landmarks[name if name in rig().landmarks else f"{side}_{name}"]
    return T[:, JOINT[joint], :3, 3] + T[:, JOINT[joint], :3, :3] @ rest


def test_there_are_enough_actions_with_names_of_their_own():
    assert len(ACTIONS) >= 18
    assert len(set(ACTIONS)) == len(ACTIONS)
    assert not any("/" in name for name in ACTIONS)


@pytest.mark.parametrize("style", range(len(STYLES)))
@pytest.mark.parametrize("action", ACTIONS)
def test_performance_is_a_motion_on_the_floor_within_the_joints_limits(action, style):
    motion, joints = performance(action, style)
    check_motion(motion)
    assert motion.num_frames == round(FPS * SECONDS)
    low = lowest_heights(joints)
    assert low.amin() > -0.02
    if action != "jump up":
        assert low.amax() < 0.02
    # 3 degrees: the tables' own rounding is 5, and arms are blended between poses that keep to them.
    beyond = {name: float(degrees.max()) for name, degrees in excess(motion).items() if degrees.max() > 3}
    assert beyond == {}


@pytest.mark.parametrize("action", [a for a in ACTIONS if a != "lie down"])
def test_feet_that_stand_do_not_slide(action):
    for style in range(len(STYLES)):
        _, joints = performance(action, style)
        for side in ("left", "right"):
            ball = joints[:, JOINT[f"{side}_foot"]]
            down = ball[:, 1] < rig().at(f"{side}_foot")[1] + rig().standing + 0.003
            both = down[1:] & down[:-1]
            speed = (ball[1:] - ball[:-1])[:, [0, 2]].norm(dim=-1) * FPS
            # The foot lands and leaves within a frame: what it travels within the last 3 mm of height is let pass.
            assert speed[both].median() < 0.03 if both.any() else True
            assert (speed[both] < 0.25).float().mean() > 0.9 if both.any() else True


@pytest.mark.parametrize("action", ACTIONS)
def test_movement_is_smooth(action):
    _, joints = performance(action, 0)
    acceleration = (joints[2:] - 2 * joints[1:-1] + joints[:-2]).norm(dim=-1) * FPS**2
    # Pelvis and head of people who land from a jump stay below 5 g; fists of boxers reach 30 g (Walilko, 2005).
    assert acceleration[:, [JOINT["pelvis"], JOINT["head"]]].max() < 50
    assert acceleration.max() < 300


@pytest.mark.parametrize("action", ACTIONS[::4])
def test_same_style_same_motion_and_other_style_other_motion(action):
    motion, joints = performance(action, 1)
    assert same_motion(motion, perform(action, STYLES[1], fps=FPS, seconds=SECONDS))
    centred = [j - j[:, :1] for j in (joints, performance(action, 2)[1])]
    assert (centred[0] - centred[1]).norm(dim=-1).amax() > 0.05


@pytest.mark.parametrize("action", ["drink water", "walk"])
def test_left_handed_are_the_mirror_image_of_the_right_handed(action):
    right = perform(action, replace(STYLES[1], handedness="right", yaw=0.0), fps=FPS, seconds=2.0)
    left = perform(action, replace(STYLES[1], handedness="left", yaw=0.0), fps=FPS, seconds=2.0)
    expected = mirror_joints(joint_positions(right, mean_skeleton()))
    # The skeleton is symmetric to a tenth of a millimetre.
    torch.testing.assert_close(joint_positions(left, mean_skeleton()), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("action", "hand", "goal", "near"),
    [
        ("drink water", "grip", "mouth", 0.06),
        ("eat meal", "fingertips", "mouth", 0.05),
        ("phone call", "palm", "ear", 0.06),
        ("salute", "fingertips", "temple", 0.06),
        ("touch head", "fingertips", "temple", 0.07),
    ],
)
def test_hand_reaches_the_face(action, hand, goal, near):
    for style in range(len(STYLES)):
        motion, _ = performance(action, style)
        side = STYLES[style].handedness
        distance = (place(motion, hand, side) - place(motion, goal, side)).norm(dim=-1)
        assert distance.min() < near
        assert distance[0] > 0.3


@pytest.mark.parametrize("action", ["clapping", "put palms together"])
def test_palms_meet(action):
    for style in range(len(STYLES)):
        motion, _ = performance(action, style)
        gap = (place(motion, "palm", "left") - place(motion, "palm", "right")).norm(dim=-1)
        assert gap.min() < 0.03
        assert gap[0] > 0.3


def test_pelvis_sinks_where_the_action_sinks_it():
    depth = {"sit down": 0.35, "lie down": 0.75, "squat down": 0.25, "pick up": 0.2}
    for action, least in depth.items():
        for style in range(len(STYLES)):
            height = performance(action, style)[1][:, 0, 1]
            assert height[0] - height.min() > least, action
    rise = performance("stand up", 0)[1][:, 0, 1]
    assert rise[-1] - rise[0] > 0.35


def test_seat_is_a_chair_high():
    _, joints = performance("sit down", 0)
    assert joints[-1, 0, 1] == pytest.approx(0.45 + 0.095, abs=0.02)


def test_lying_body_is_low_throughout():
    for style in range(len(STYLES)):
        _, joints = performance("lie down", style)
        assert joints[-1, :22, 1].max() < 0.6
        assert joints[-1, [JOINT["pelvis"], JOINT["neck"]], 1].max() < 0.4


def test_jump_is_a_throw_under_gravity():
    _, joints = performance("jump up", 0)
    fine = perform("jump up", STYLES[0], fps=100, seconds=SECONDS)
    low = lowest_heights(joint_positions(fine, mean_skeleton()))
    flying = (low > 0.02).nonzero()[:, 0]
    assert low.max() > 0.12
    assert len(flying) == flying[-1] - flying[0] + 1
    fall = (low[2:] - 2 * low[1:-1] + low[:-2])[flying[2] : flying[-3]] * 100**2
    torch.testing.assert_close(fall, torch.full_like(fall, -9.81), atol=0.5, rtol=0)


def test_walk_covers_ground_within_the_room():
    for style in range(len(STYLES)):
        _, joints = performance("walk", style)
        path = joints[:, 0, [0, 2]]
        length = (path[1:] - path[:-1]).norm(dim=-1).sum()
        assert 0.5 < length / SECONDS < 2.2
        assert torch.cdist(path, path).max() < 3.2


def test_long_walk_stays_within_the_room():
    path = perform("walk", PerformerStyle(speed=1.4), fps=10, seconds=20).transl[:, [0, 2]]
    assert torch.cdist(path, path).max() < 3.2


def test_performer_faces_the_style_s_yaw():
    for yaw in (0.0, 0.7):
        joints = joint_positions(perform("salute", PerformerStyle(yaw=yaw), fps=5, seconds=2), mean_skeleton())
        left = (joints[:, JOINT["left_hip"]] - joints[:, JOINT["right_hip"]]).mean(dim=0)
        assert math.atan2(-float(left[2]), float(left[0])) == pytest.approx(yaw, abs=0.1)


def test_frame_rate_does_not_change_the_movement():
    slow = joint_positions(perform("throw", STYLES[0], fps=10, seconds=2), mean_skeleton())
    fast = joint_positions(perform("throw", STYLES[0], fps=20, seconds=2), mean_skeleton())
    # The middle of the path, which is brought over the origin, is known only to a frame.
    torch.testing.assert_close(slow - slow[:1, :1], fast[::2] - fast[:1, :1], atol=1e-3, rtol=0)


def test_short_and_single_frames_are_performed():
    for action in ("jump up", "lie down", "read", "walk"):
        check_motion(perform(action, PerformerStyle(), fps=8, seconds=0.25))
    assert perform("walk", PerformerStyle(), fps=8, seconds=0.125).num_frames == 1


def test_families_are_disjoint_where_they_say_so():
    assert set(DISJOINT) <= {f.name for f in fields(PerformerStyle)}
    for name in DISJOINT:
        for low, high in FAMILIES["studio"][name]:
            assert all(high < a or b < low for a, b in FAMILIES["street"][name])


@pytest.mark.parametrize("family", FAMILIES)
def test_sampled_styles_survive_json_and_lie_in_their_ranges(family):
    sampled = [sample_style(np.random.default_rng(seed), family) for seed in range(40)]
    assert sampled[3] == sample_style(np.random.default_rng(3), family)
    for values in sampled:
        assert json.loads(json.dumps(values)) == values
        style = style_of(values)
        for name, intervals in FAMILIES[family].items():
            assert any(low <= getattr(style, name) <= high for low, high in intervals)
    assert {values["handedness"] for values in sampled} == {"left", "right"}


def test_values_and_style_perform_alike():
    values = sample_style(np.random.default_rng(4), "street")
    assert same_motion(perform("bow", values, fps=5, seconds=2), perform("bow", style_of(values), fps=5, seconds=2))


def test_source_keeps_the_contract_and_parses_its_keys():
    record = Record("hand waving/studio/3", Path("nowhere"), ACTIONS.index("hand waving"), "3", "", 0.0, 2.0)
    source = Actions(fps=10)
    check_motion_source(source, record, reads_files=False)
    reference = source.load(record)
    assert reference.quality is None
    assert reference.motion.num_frames == 20
    style = sample_style(np.random.default_rng(3), "studio")
    assert same_motion(reference.motion, perform("hand waving", style, fps=10, seconds=2.0))
    assert same_motion(reference.motion, source.load(replace(record, key="demo/hand waving/studio/3")).motion)


def test_camera_of_the_source_sees_the_whole_performer():
    for action in ("walk", "cheer up", "lie down"):
        reference = Actions(fps=5).load(Record(f"{action}/street/2", Path(), 0, "", "", 0.0, 3.0))
        points = joint_positions(reference.motion, mean_skeleton())
        points = torch.cat([points, torch.ones_like(points[..., :1])], dim=-1)
        seen = (reference.camera.viewmats[:, None] @ points[..., None])[..., :3, 0]
        assert seen[..., 2].min() > 0.5
        pixels = (reference.camera.Ks[:, None] @ seen[..., None])[..., 0]
        pixels = pixels[..., :2] / pixels[..., 2:]
        assert ((pixels > 0) & (pixels < 224)).float().mean() > 0.95


@pytest.mark.parametrize("key", ["walk", "walk/studio", "fly/studio/1", "walk/opera/1", "walk/studio/x", ""])
def test_other_keys_are_refused_with_the_form_wanted(key):
    with pytest.raises(UnusableClipError, match="Expected the record's key to be '<action>/<family>/<seed>', got"):
        Actions().load(Record(key, Path(), 0, "", "", 0.0, 1.0))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="action to be one of drink water.*got 'fly'. Choose"):
        perform("fly", PerformerStyle(), fps=10, seconds=1)
    with pytest.raises(ValueError, match="at least one frame.*got .*Correct"):
        perform("walk", PerformerStyle(), fps=10, seconds=0.01)
    with pytest.raises(ValueError, match="family to be one of studio, street, got 'opera'"):
        sample_style(np.random.default_rng(0), "opera")
    with pytest.raises(ValueError, match="out of speed, .*got 'spede'"):
        style_of({"spede": 1.0})
    with pytest.raises(ValueError, match="Expected speed to be a float, got 'fast'"):
        style_of({"speed": "fast"})
    with pytest.raises(ValueError, match="handedness to be 'left' or 'right', got 'middle'"):
        PerformerStyle(handedness="middle")
    with pytest.raises(ValueError, match="positive speed"):
        PerformerStyle(speed=0.0)
    with pytest.raises(ValueError, match="repetitions=99"):
        PerformerStyle(repetitions=99)
    with pytest.raises(ValueError, match="Expected fps to be a positive number, got 0"):
        Actions(fps=0)


def test_mirror_twice_is_the_motion_and_reflects_every_joint():
    motion = perform("throw", STYLES[2], fps=10, seconds=2)
    torch.testing.assert_close(mirror(mirror(motion)).pose, motion.pose, atol=0, rtol=0)
    joints = joint_positions(motion, mean_skeleton())
    torch.testing.assert_close(
        joint_positions(mirror(motion), mean_skeleton()), mirror_joints(joints), atol=2e-3, rtol=0
    )


def test_two_bones_reach_what_is_within_reach_and_point_where_they_should():
    generator = torch.Generator().manual_seed(0)
    limb = Limb(upper=vector(0.3, 0.01, 0), lower=vector(0.25, -0.02, 0.01), hinge=vector(0, -1, 0))
    goals = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator, dtype=torch.float64), dim=-1)
    goals = goals * (0.25 + 0.25 * torch.rand(50, 1, generator=generator, dtype=torch.float64))
    poles = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    upper, lower = bend(limb, goals, poles, flexion_deg=150.0)
    elbow = upper @ limb.upper
    torch.testing.assert_close(elbow + lower @ limb.lower, goals, atol=1e-9, rtol=0)
    across = poles - (poles * goals).sum(-1, keepdim=True) * goals / goals.square().sum(-1, keepdim=True)
    assert ((elbow * across).sum(-1) > 0).all()
    torch.testing.assert_close(upper.mT @ upper, torch.eye(3, dtype=torch.float64).expand(50, 3, 3))


def test_minimum_jerk_rests_at_both_ends_and_moves_pass_through_their_goals():
    x = torch.linspace(0, 1, 101, dtype=torch.float64, requires_grad=True)
    value = minimum_jerk(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert value[0] == 0 and value[-1] == 1 and slope[0] == 0 and slope[-1].abs() < 1e-12
    assert slope.max() == pytest.approx(1.875)
    u = torch.tensor([0.0, 0.2, 0.4, 1.0], dtype=torch.float64)
    assert moves(u, 1.0, (0.0, 0.2, 3.0), (0.2, 0.4, -1.0)).tolist() == pytest.approx([1.0, 3.0, -1.0, -1.0])
