import math
import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from synthaug.body.rotations import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    matrix_to_quat,
    quat_to_axis_angle,
    quat_to_matrix,
    rotation_6d_to_matrix,
    slerp,
)
from synthaug.body.skeleton import (
    JOINT,
    JOINT_NAMES,
    PARENTS,
    clearances,
    forward_kinematics,
    joint_positions,
    joint_transforms,
    joint_transforms_plain,
    lowest_heights,
    mean_skeleton,
    move_motion,
    resample,
    rest_to_world,
    retarget,
    skin,
)
from synthaug.body.skeleton import Skeleton as Bones
from synthaug.structures import Motion


def random_motion(seed, *, time=6, angle=0.5, dtype=torch.float32):
    rng = torch.Generator().manual_seed(seed)
    pose = torch.randn(time, 55, 3, generator=rng, dtype=dtype) * angle
    return Motion.from_pose(pose, torch.randn(time, 3, generator=rng, dtype=dtype), fps=12.0)


def naive_positions(motion, skeleton):
    """Each joint's chain walked from the root, matrix by matrix, by scipy."""
    pose, rest = motion.pose.double().numpy(), skeleton.joints.double().numpy()
    out = torch.zeros(motion.num_frames, 55, 3, dtype=torch.float64)
    for frame in range(motion.num_frames):
        for joint in range(55):
            chain = []
            node = joint
            while node >= 0:
                chain.append(node)
                node = PARENTS[node]
            R, p = Rotation.identity(), motion.transl[frame].double().numpy()
            for parent, node in zip(chain[::-1], chain[::-1][1:] + [None], strict=True):
                R = R * Rotation.from_rotvec(pose[frame, parent])
                if node is not None:
                    p = p + R.apply(rest[node] - rest[parent])
            out[frame, joint] = torch.from_numpy(p)
    return out


def test_there_are_55_joints_and_parents_come_first():
    assert len(JOINT_NAMES) == len(set(JOINT_NAMES)) == len(PARENTS) == 55
    assert all(parent < joint for joint, parent in enumerate(PARENTS))


def test_mean_skeleton_is_a_standing_adult():
    joints = mean_skeleton().joints
    assert torch.equal(joints[0], torch.zeros(3))
    assert 0.75 < mean_skeleton().leg < 0.95
    left, right = joints[[JOINT["left_wrist"], JOINT["right_wrist"]]]
    assert left[0] > 0.5 and right[0] < -0.5  # T-pose, left is +x
    mirrored = right * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.allclose(left, mirrored, atol=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-4, 1.0, math.pi - 1e-4, math.pi - 1e-2])
def test_axis_angle_there_and_back(dtype, size):
    axis = torch.nn.functional.normalize(
        torch.randn(200, 3, dtype=dtype, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    back = matrix_to_axis_angle(axis_angle_to_matrix(axis * size))
    # Near pi the axis' sign is a matter of rounding: compare the rotations.
    tolerance = 2e-5 if dtype == torch.float32 else 1e-9
    assert torch.allclose(axis_angle_to_matrix(back), axis_angle_to_matrix(axis * size), atol=tolerance)
    assert back.dtype == dtype


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_rotations_agree_with_scipy(vector):
    ours = axis_angle_to_matrix(torch.tensor([vector], dtype=torch.float64))[0]
    theirs = torch.from_numpy(Rotation.from_rotvec(vector).as_matrix())
    assert torch.allclose(ours, theirs, atol=1e-12)
    assert torch.allclose(quat_to_matrix(matrix_to_quat(theirs)), theirs, atol=1e-12)


def test_axis_angle_has_a_gradient_at_zero():
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(axis_angle_to_matrix, (zero,))


def test_rotation_6d_keeps_rotations():
    R = axis_angle_to_matrix(torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(rotation_6d_to_matrix(R[:, :2].flatten(1)), R, atol=1e-12)


def test_slerp_moves_at_constant_speed():
    a, b = matrix_to_quat(axis_angle_to_matrix(torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]], dtype=torch.float64)))
    for share in (0.0, 0.25, 0.5, 1.0):
        between = quat_to_axis_angle(slerp(a[None], b[None], torch.tensor([[share]], dtype=torch.float64)))
        assert torch.allclose(between, torch.tensor([[0.0, 2 * share, 0.0]], dtype=torch.float64), atol=1e-9)


def test_forward_kinematics_agrees_with_walking_the_chain():
    motion = random_motion(1, time=3, dtype=torch.float64)
    assert torch.allclose(joint_positions(motion, mean_skeleton()), naive_positions(motion, mean_skeleton()), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_kinematics_agree_with_the_plain_ones(dtype):
    motion = random_motion(11, dtype=dtype)
    local, joints = axis_angle_to_matrix(motion.pose), mean_skeleton().joints.to(dtype)
    fast = joint_transforms(local, motion.transl, mean_skeleton())
    slow = joint_transforms_plain(local, motion.transl, joints)
    # 15 products of rotations in a row: some 15 roundings of numbers around 1.
    assert torch.allclose(fast, slow, atol=40 * torch.finfo(dtype).eps) and fast.dtype == dtype


def test_kinematics_have_a_gradient_where_one_is_asked_for():
    motion = random_motion(12, time=2, dtype=torch.float64)
    local = axis_angle_to_matrix(motion.pose).requires_grad_()
    joint_transforms(local, motion.transl, mean_skeleton())[..., :3, 3].sum().backward()
    assert local.grad is not None and local.grad.abs().sum() > 0


def test_identity_pose_is_the_template():
    motion = Motion.from_pose(torch.zeros(2, 55, 3), torch.zeros(2, 3), fps=1.0)
    T = rest_to_world(motion, mean_skeleton())
    assert torch.allclose(T, torch.eye(4).expand_as(T), atol=1e-6)


def test_skinning_is_rigidly_equivariant():
    motion, skeleton = random_motion(2), mean_skeleton()
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(40, 3, generator=rng)
    ids = torch.randint(0, 55, (40, 4), generator=rng)
    weights = torch.softmax(torch.randn(40, 4, generator=rng), dim=-1)
    R, shift = axis_angle_to_matrix(torch.tensor([0.3, 1.1, -0.4])), torch.tensor([1.0, -2.0, 0.5])
    before = skin(points, ids, weights, rest_to_world(motion, skeleton))
    after = skin(points, ids, weights, rest_to_world(move_motion(motion, R, shift), skeleton))
    assert torch.allclose(after, before @ R.mT + shift, atol=2e-5)


def test_output_dtype_is_input_dtype():
    motion = random_motion(3, dtype=torch.float64)
    assert forward_kinematics(motion, mean_skeleton()).dtype == torch.float64
    assert resample(motion, torch.tensor([0.0, 0.1])).pose.dtype == torch.float64
    assert retarget(motion, mean_skeleton(), mean_skeleton()).transl.dtype == torch.float64


def test_resampling_at_the_frames_changes_nothing():
    motion = random_motion(4)
    again = resample(motion, torch.arange(motion.num_frames) / motion.fps)
    assert torch.allclose(axis_angle_to_matrix(again.pose), axis_angle_to_matrix(motion.pose), atol=1e-4)
    assert torch.allclose(again.transl, motion.transl, atol=1e-6)
    assert again.fps == pytest.approx(motion.fps)


def test_resampling_beyond_the_end_starts_over():
    motion = random_motion(5)
    once = resample(motion, torch.tensor([0.05, 0.2]))
    looped = resample(motion, torch.tensor([0.05, 0.2]) + motion.duration)
    assert torch.allclose(axis_angle_to_matrix(looped.pose), axis_angle_to_matrix(once.pose), atol=1e-4)


def test_retargeting_to_the_same_skeleton_changes_nothing():
    motion = random_motion(6)
    again = retarget(motion, mean_skeleton(), mean_skeleton())
    assert torch.allclose(again.transl, motion.transl, atol=1e-6)
    assert torch.equal(again.pose, motion.pose)


@pytest.mark.parametrize("ratio", [0.8, 1.15])
def test_retargeting_keeps_the_clearance_from_the_floor(ratio):
    motion, source = random_motion(7), mean_skeleton()
    target = Bones(joints=source.joints * ratio)
    after = retarget(motion, source, target)
    before = lowest_heights(joint_positions(motion, source))
    assert torch.allclose(lowest_heights(joint_positions(after, target), scale=ratio), before, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle", [0.0, 1e-6, 1e-3, 1.0, math.pi - 1e-4, 2.0 * math.pi])
def test_compiled_rotations_are_those_of_the_tensor_operations(dtype, angle):
    """Tensors that ask for gradients take the other path: the two are each other's twin."""
    rng = torch.Generator().manual_seed(0)
    axes = torch.nn.functional.normalize(torch.randn(3, 40, 3, generator=rng, dtype=dtype), dim=-1)
    turns, share = angle * axes, torch.rand(3, 40, 1, generator=rng, dtype=dtype)
    twin = turns.clone().requires_grad_()
    R, turned = axis_angle_to_matrix(turns), axis_angle_to_matrix(twin)
    quats, quats_twin = matrix_to_quat(R), matrix_to_quat(turned)
    between = slerp(quats, quats.flip(1), share)
    between_twin = slerp(quats_twin, quats_twin.flip(1), share)
    back, back_twin = quat_to_axis_angle(between), quat_to_axis_angle(between_twin)
    for ours, theirs in ((R, turned), (between.abs(), between_twin.abs()), (back.norm(dim=-1), back_twin.norm(dim=-1))):
        assert theirs.requires_grad and not ours.requires_grad and ours.dtype == dtype
        torch.testing.assert_close(ours, theirs.detach(), atol=2e-3 if dtype == torch.float32 else 1e-7, rtol=0)


def test_clearances_are_the_heights_of_the_lowest_points():
    generator = torch.Generator().manual_seed(3)
    pose = torch.randn(9, 55, 3, generator=generator)
    motion = Motion.from_pose(pose, torch.randn(9, 3, generator=generator), fps=20.0)
    wanted = lowest_heights(joint_positions(motion, mean_skeleton()))
    torch.testing.assert_close(clearances(pose, motion.transl, mean_skeleton()), wanted, atol=1e-5, rtol=0)
    tracked = clearances(pose.requires_grad_(), motion.transl, mean_skeleton())
    torch.testing.assert_close(tracked, wanted, atol=1e-5, rtol=0)


def test_the_compiled_interpolation_is_that_of_quaternions():
    generator = torch.Generator().manual_seed(4)
    pose = 1.2 * torch.randn(7, 55, 3, generator=generator)
    pose[:, :9] = pose[:1, :9] * torch.tensor([0.0, 1e-5, 0.3])[:, None].repeat(3, 1)
    pose[:, 9] = torch.tensor([math.pi - 1e-3, 0.0, 0.0])
    pose[:, 10] = torch.tensor([0.0, 4.0, 0.0])
    motion = Motion.from_pose(pose, torch.zeros(7, 3), fps=10.0)
    times = torch.linspace(0.0, 0.6, 23, dtype=torch.float64)
    tracked = resample(Motion.from_pose(pose.clone().requires_grad_(), torch.zeros(7, 3), fps=10.0), times)
    ours, wanted = (axis_angle_to_matrix(one.pose.detach()) for one in (resample(motion, times), tracked))
    torch.testing.assert_close(ours, wanted, atol=2e-5, rtol=0)


def test_a_motion_hands_back_the_angles_that_it_was_made_of_and_sends_them_once():
    motion = random_motion(3)
    pose = motion.pose
    assert motion.pose is pose
    turned = replace(motion, global_orient=torch.zeros_like(motion.global_orient))
    assert not turned.pose[:, 0].any() and torch.equal(turned.pose[:, 1:], pose[:, 1:])
    again = pickle.loads(pickle.dumps(motion))
    assert "pose" not in vars(again) and torch.equal(again.pose, pose)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_joints_are_those_of_the_whole_body(dtype):
    motion = random_motion(4, dtype=dtype)
    whole = joint_transforms_plain(axis_angle_to_matrix(motion.pose), motion.transl, mean_skeleton().joints.to(dtype))
    torch.testing.assert_close(forward_kinematics(motion, mean_skeleton(), first=22), whole[:, :22])
    torch.testing.assert_close(forward_kinematics(motion, mean_skeleton()), whole)
