"""Laws of fitting: known motions come back out of their own joints, however these are measured."""

import numpy as np
import pytest
import torch

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import (
    JOINT,
    JOINT_NAMES,
    forward_kinematics,
    global_rotations,
    joint_positions,
    mean_skeleton,
    move_motion,
)
from synthaug.motions.fitting.descent import Waves, descend, energy
from synthaug.motions.fitting.energy import body_kinematics, energy_plain, pack, project
from synthaug.motions.fitting.fit import Beliefs, Subject, fit, fit_many, terms_of
from synthaug.motions.fitting.markers import Sighting, Track, joint_markers, linear_markers, noise, smooth
from synthaug.motions.fitting.placement import intrinsics, level_camera
from synthaug.motions.fitting.starts import analytic_start, kabsch, rotation_onto
from synthaug.structures import Camera, Motion

SKELETON = mean_skeleton()
NAMES = (
    "pelvis", "left_hip", "right_hip", "spine2", "left_knee", "right_knee", "left_ankle", "right_ankle", "spine3",
    "left_foot", "right_foot", "neck", "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_middle1", "right_middle1", "left_middle3", "right_middle3", "left_thumb3",
    "right_thumb3",
)  # fmt: skip
MARKERS = joint_markers(NAMES, SKELETON)
"""The 25 joints of a Kinect skeleton, as stack.md 13 measured with."""


def smooth_motion(seed: int, *, time: int = 64, fps: float = 30.0) -> Motion:
    """Sums of slow sines in every joint, within its range: nobody moves so, but nobody moves more freely either."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(time) / fps

    def wave(size: float) -> np.ndarray:
        rate, phase = rng.uniform(0.1, 1.2, 3), rng.uniform(0, 2 * np.pi, 3)
        return size * (rng.normal(size=3)[:, None] * np.sin(2 * np.pi * rate[:, None] * seconds + phase[:, None])).mean(
            0
        )

    sizes = {"spine": 0.2, "neck": 0.35, "head": 0.35, "wrist": 0.4, "ankle": 0.4, "hip": 0.6, "shoulder": 0.9}
    pose = np.zeros((time, 55, 3), np.float32)
    for joint in range(1, 22):
        kind = JOINT_NAMES[joint].removeprefix("left_").removeprefix("right_").rstrip("123")
        pose[:, joint] = np.stack([wave(sizes.get(kind, 0.0)) for _ in range(3)], axis=1)
    for side, sign in (("left", 1), ("right", -1)):
        pose[:, JOINT[f"{side}_shoulder"], 2] -= sign * rng.uniform(0.4, 1.3)
        pose[:, JOINT[f"{side}_elbow"], 1] = -sign * np.clip(rng.uniform(0.3, 1.5) + wave(1.0), 0, 2.3)
        pose[:, JOINT[f"{side}_knee"], 0] = np.clip(rng.uniform(0.2, 1.0) + wave(0.7), 0, 2.2)
    pose[:, 0] = np.stack([wave(0.35), rng.uniform(-3, 3) + wave(1.0), wave(0.25)], axis=1)
    transl = np.stack([wave(0.7), 0.9 + wave(0.1), wave(0.7)], axis=1).astype(np.float32)
    return Motion.from_pose(torch.from_numpy(pose), torch.from_numpy(transl), fps=fps)


def measured(motion: Motion, *, mm: float = 0.0, dropped: float = 0.0, seed: int = 0) -> Track:
    rng = np.random.default_rng([seed, 7])
    points = joint_positions(motion, SKELETON)[:, [JOINT[name] for name in NAMES]]
    points = points + torch.from_numpy(rng.normal(0, mm / 1000, points.shape)).float()
    confidence = torch.from_numpy((rng.random(points.shape[:2]) >= dropped).astype(np.float32))
    return Track(torch.where(confidence[..., None] > 0, points, torch.nan), confidence, motion.fps)


def error_mm(fitted: Motion, truth: Motion) -> float:
    apart = joint_positions(fitted, SKELETON)[:, :22] - joint_positions(truth, SKELETON)[:, :22]
    return 1000 * float(apart.norm(dim=-1).mean())


TRUTHS = [smooth_motion(seed, time=48) for seed in range(5)]


@pytest.mark.parametrize(
    ("mm", "dropped", "most"),
    # The figures of stack.md, section 13, for the recipe that this one has to match.
    [(0.0, 0.0, 4.4), (10.0, 0.0, 8.3), (30.0, 0.0, 18.3), (30.0, 0.1, 20.3)],
)
def test_motions_come_back_out_of_their_joints(mm: float, dropped: float, most: float) -> None:
    fits = fit_many([measured(m, mm=mm, dropped=dropped, seed=k) for k, m in enumerate(TRUTHS)], MARKERS, SKELETON)
    assert np.mean([error_mm(f, m) for f, m in zip(fits, TRUTHS, strict=True)]) <= most


def test_turning_the_world_turns_the_fit() -> None:
    truth = smooth_motion(1, time=24)
    R = axis_angle_to_matrix(torch.tensor([0.0, 1.1, 0.0]))
    shift = torch.tensor([0.5, 0.0, -2.0])
    plain = fit(measured(truth, mm=10), MARKERS, SKELETON)
    track = measured(truth, mm=10)
    turned = fit(Track(track.points @ R.mT + shift, track.confidence, track.fps), MARKERS, SKELETON)
    # Descent stops after a set number of steps, so rounding leaves tenths of a millimetre where the energy is flat.
    assert error_mm(turned, move_motion(plain, R, shift)) < 1.0


def test_clips_do_not_influence_each_other() -> None:
    one, other = measured(smooth_motion(2, time=20), mm=10), measured(smooth_motion(3, time=33), mm=30)
    together = fit_many([other, one], MARKERS, SKELETON)[1]
    assert error_mm(together, fit(one, MARKERS, SKELETON)) < 1.0


def test_the_same_track_gives_the_same_motion() -> None:
    track = measured(smooth_motion(4, time=12), mm=10, dropped=0.1)
    assert torch.equal(fit(track, MARKERS, SKELETON).pose, fit(track, MARKERS, SKELETON).pose)


def test_an_unseen_second_of_one_wrist_is_filled_in() -> None:
    truth = smooth_motion(5, time=48)
    track = measured(truth)
    confidence = track.confidence.clone()
    arm = [NAMES.index(name) for name in ("left_wrist", "left_middle1", "left_middle3", "left_thumb3")]
    confidence[20:40, arm] = 0
    fitted = fit(Track(track.points, confidence, track.fps), MARKERS, SKELETON)
    apart = (joint_positions(fitted, SKELETON) - joint_positions(truth, SKELETON))[:, JOINT["left_wrist"]].norm(dim=-1)
    steps = joint_positions(fitted, SKELETON)[:, JOINT["left_wrist"]].diff(dim=0).norm(dim=-1)
    assert torch.isfinite(fitted.pose).all()
    assert apart[:18].mean() < 0.02
    assert apart[20:40].max() < 0.5  # two forearms: the elbow is seen, the hand may be anywhere about it
    assert steps.max() < 0.15  # 4.5 m/s: a fast hand, but no jump in or out of the gap


def test_a_marker_that_lies_is_outvoted() -> None:
    truth = smooth_motion(6, time=32)
    track = measured(truth, mm=5)
    points = track.points.clone()
    points[10:20, NAMES.index("right_knee")] += torch.tensor([0.6, 0.3, 0.0])
    fitted = fit(Track(points, track.confidence, track.fps), MARKERS, SKELETON)
    apart = (joint_positions(fitted, SKELETON) - joint_positions(truth, SKELETON))[10:20, JOINT["right_knee"]]
    assert apart.norm(dim=-1).mean() < 0.67 / 3  # hip and ankle leave the knee a circle; the lie is 0.67 m away


def test_mean_markers_fit_like_the_joints_they_are_means_of() -> None:
    truth = smooth_motion(7, time=24)
    weights = torch.zeros(len(NAMES), 55)
    for k, name in enumerate(NAMES):
        weights[k, JOINT[name]] = 1
    k = NAMES.index("pelvis")
    weights[k] = 0
    weights[k, [JOINT["left_hip"], JOINT["right_hip"]]] = 0.5
    points = torch.einsum("kj,tji->tki", weights, joint_positions(truth, SKELETON))
    track = Track(points, torch.ones(points.shape[:2]), truth.fps)
    assert error_mm(fit(track, linear_markers(weights, SKELETON), SKELETON), truth) < 4.4


def test_few_markers_are_enough_for_a_plausible_body() -> None:
    truth = smooth_motion(8, time=24)
    names = ("left_shoulder", "right_shoulder", "left_wrist", "right_wrist", "head", "neck")
    points = joint_positions(truth, SKELETON)[:, [JOINT[name] for name in names]]
    fitted = fit(Track(points, torch.ones(points.shape[:2]), truth.fps), joint_markers(names, SKELETON), SKELETON)
    back = joint_positions(fitted, SKELETON)[:, [JOINT[name] for name in names]]
    assert (back - points).norm(dim=-1).median() < 0.05


def test_nothing_measured_is_refused() -> None:
    empty = Track(torch.full((5, len(NAMES), 3), torch.nan), torch.zeros(5, len(NAMES)), 30.0)
    with pytest.raises(ValueError, match=r"at least one marker with confidence.*got none.*filled in"):
        fit(empty, MARKERS, SKELETON)


@pytest.mark.parametrize("time", [1, 2, 3])
def test_the_shortest_clips_are_fitted_too(time: int) -> None:
    truth = smooth_motion(9, time=time)
    assert error_mm(fit(measured(truth), MARKERS, SKELETON), truth) < 10


def test_with_a_picture_place_comes_from_the_picture() -> None:
    truth = move_motion(smooth_motion(10, time=32), torch.eye(3), torch.tensor([0.0, -0.9, -4.0]))
    camera = level_camera(intrinsics(640, 480, 1.0), 640, 480, truth.num_frames)
    points = joint_positions(truth, SKELETON)[:, [JOINT[name] for name in NAMES]]
    pixels, _ = project(points, camera)
    ones = torch.ones(points.shape[:2])
    # The points are given 20 cm aside and half a metre nearer: their shape holds, their place does not.
    wrong = Track(points + torch.tensor([0.2, 0.0, 0.5]), ones, truth.fps, Sighting(pixels, ones, camera))
    fitted = fit(wrong, MARKERS, SKELETON)
    landed, _ = project(joint_positions(fitted, SKELETON)[:, [JOINT[name] for name in NAMES]], camera)
    height = 1.7 * 640 / 4.0
    assert (landed - pixels).norm(dim=-1).median() < 0.01 * height
    assert error_mm(fitted, truth) < 150  # nearly all of it is distance, which only size tells


def test_a_floor_keeps_feet_above_it() -> None:
    truth = smooth_motion(11, time=24)
    track = measured(truth, mm=30)
    low = float(joint_positions(truth, SKELETON)[:, :22, 1].min()) + 0.1
    floor = torch.tensor([0.0, 1.0, 0.0, -low])
    free = joint_positions(fit(track, MARKERS, SKELETON), SKELETON)[:, :22, 1].min()
    held = joint_positions(
        fit(Track(track.points, track.confidence, track.fps, floor=floor), MARKERS, SKELETON), SKELETON
    )[:, :22, 1].min()
    assert held > free + 0.03


def test_body_kinematics_agrees_with_the_whole_skeleton() -> None:
    motion = smooth_motion(12, time=5)
    R, joints = body_kinematics(axis_angle_to_matrix(motion.pose)[:, :22], motion.transl, SKELETON)
    T = forward_kinematics(motion, SKELETON)
    torch.testing.assert_close(joints, T[:, :22, :3, 3])
    torch.testing.assert_close(R, global_rotations(motion.pose)[:, :22])


def test_the_analytic_start_is_near_on_clean_joints() -> None:
    truth = TRUTHS[0]
    track = measured(truth)
    local, root = analytic_start(track.points, track.confidence, MARKERS, SKELETON)
    _, joints = body_kinematics(local, root, SKELETON)
    apart = (joints - joint_positions(truth, SKELETON)[:, :22]).norm(dim=-1)
    assert apart.mean() < 0.03  # three times the 9.9 mm of stack.md: only the start


def test_kabsch_finds_the_rotation() -> None:
    generator = torch.Generator().manual_seed(0)
    rest = torch.randn(6, 3, generator=generator)
    R = axis_angle_to_matrix(torch.randn(4, 3, generator=generator))
    points = torch.einsum("tij,mj->tmi", R, rest) + 5
    eye = torch.eye(3).expand(4, 3, 3)
    torch.testing.assert_close(kabsch(rest, points, torch.ones(4, 6), eye), R, atol=1e-3, rtol=0)
    torch.testing.assert_close(kabsch(rest, points, torch.zeros(4, 6), R), R, atol=1e-5, rtol=0)


def test_turned_onto_turns_one_onto_the_other_even_if_opposite() -> None:
    a = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0]])
    b = torch.tensor([[0.0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0.6, 0.8]])
    R = rotation_onto(a, b)
    torch.testing.assert_close(torch.einsum("tij,tj->ti", R, a), b, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(4), atol=1e-5, rtol=0)


def test_projection_is_the_pinhole() -> None:
    K = torch.tensor([[[100.0, 0, 50], [0, 100, 40], [0, 0, 1]]])
    camera = Camera(viewmats=torch.eye(4)[None], Ks=K, width=100, height=80)
    pixels, depth = project(torch.tensor([[[0.5, -0.25, 2.0]]]), camera)
    torch.testing.assert_close(pixels, torch.tensor([[[75.0, 27.5]]]))
    assert depth.item() == 2.0


@pytest.mark.parametrize("sigma", [0.003, 0.03])
def test_noise_is_found_in_what_moves(sigma: float) -> None:
    truth = smooth_motion(13)
    track = measured(truth, mm=1000 * sigma)
    assert float(noise(track.points, track.confidence)) == pytest.approx(sigma, rel=0.25)


def test_smoothing_keeps_straight_lines_and_fills_gaps() -> None:
    line = torch.linspace(0, 1, 40)[:, None, None].expand(40, 1, 3)
    seen = torch.ones(40, 1)
    seen[10:32] = 0
    points = torch.where(seen[..., None] > 0, line, torch.nan)
    filled, mass = smooth(points, seen, 1.0)
    assert torch.isfinite(filled).all()
    assert (filled[2:-2] - line[2:-2]).abs().max() < 0.1  # four frames' way: edges of a gap are smoothed one-sidedly
    assert mass[20] < 1e-3 < mass[5]


def subject(truth: Motion, *, mm: float, sighted: bool, floor: bool) -> Subject:
    track = measured(truth, mm=mm, dropped=0.1)
    sighting = None
    if sighted:
        camera = level_camera(intrinsics(640, 480, 1.0), 640, 480, truth.num_frames)
        points = joint_positions(truth, SKELETON)[:, [JOINT[name] for name in NAMES]]
        pixels, _ = project(points, camera)
        sighting = Sighting(pixels + 3, torch.ones(points.shape[:2]), camera)
    ground = torch.tensor([0.0, 1.0, 0.0, 0.3]) if floor else None
    return Subject(Track(track.points, track.confidence, track.fps, sighting, ground), MARKERS, SKELETON)


@pytest.mark.parametrize("time", [1, 2, 9])
@pytest.mark.parametrize(("sighted", "floor"), [(False, False), (True, True)])
def test_the_compiled_energy_is_the_plain_one_and_so_is_its_gradient(time: int, sighted: bool, floor: bool) -> None:
    truth = move_motion(smooth_motion(14, time=time), torch.eye(3), torch.tensor([0.0, -0.9, -4.0]))
    generator = torch.Generator().manual_seed(time)
    rows = pack(axis_angle_to_matrix(truth.pose)[:, :22], truth.transl)
    # Off the rotations' own scale, too: descent's unknowns are not orthonormal.
    rows = rows * 1.3 + 0.2 * torch.randn(rows.shape, generator=generator)
    terms = terms_of(subject(truth, mm=20, sighted=sighted, floor=floor), Beliefs(), truth.transl)
    goals = axis_angle_to_matrix(torch.randn(time, 22, 3, generator=generator)).numpy()
    terms = terms._replace(goals=goals, pulls=torch.rand(time, 22, generator=generator).numpy() * 100)
    gradient = np.empty(rows.shape, np.float32)
    value = energy(rows.numpy(), terms, gradient)
    leaf = rows.clone().requires_grad_(True)
    plain = energy_plain(leaf, terms)
    plain.backward()
    assert value == pytest.approx(float(plain.detach()), rel=1e-4)
    assert leaf.grad is not None
    # Single precision adds up thousands of terms in another order.
    torch.testing.assert_close(
        torch.from_numpy(gradient), leaf.grad, rtol=1e-3, atol=1e-4 * float(leaf.grad.abs().max())
    )


def test_descent_lowers_the_energy() -> None:
    truth = smooth_motion(15, time=20)
    whom = subject(truth, mm=10, sighted=False, floor=True)
    rows = pack(axis_angle_to_matrix(truth.pose * 0.8)[:, :22], truth.transl)
    terms = terms_of(whom, Beliefs(), truth.transl)
    flat = Waves(np.eye(20, dtype=np.float32), np.full(rows.shape, 1e-3, np.float32))
    gradient = np.empty(rows.shape, np.float32)
    before = energy(rows.numpy(), terms, gradient)
    some, more = (descend(rows.numpy(), terms, flat, steps)[1] for steps in (5, 60))
    assert more < some < before


def test_long_tracks_are_fitted_in_windows_without_a_seam() -> None:
    truth = smooth_motion(16, time=600)
    fitted = fit(measured(truth, mm=5), MARKERS, SKELETON)
    apart = (joint_positions(fitted, SKELETON) - joint_positions(truth, SKELETON))[:, :22].norm(dim=-1).mean(1)
    assert fitted.num_frames == 600
    assert apart.max() < 0.03
    steps = joint_positions(fitted, SKELETON)[:, :22].diff(n=2, dim=0).norm(dim=-1).amax(1)
    assert steps.max() < 1.5 * joint_positions(truth, SKELETON)[:, :22].diff(n=2, dim=0).norm(dim=-1).max()
