"""A person is learnt from pictures of a person whose Gaussians are known."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from synthaug.body.skeleton import JOINT, joint_positions
from synthaug.body.skinning import pose_frame
from synthaug.creation.filling import count_seen, fill_unseen, measure_sight
from synthaug.creation.learning import WIDTHS, Course, LearningState, Lesson, Stage, learn, refit_poses, ssim
from synthaug.creation.person import Unknowns, dress_surface, pose_person
from synthaug.creation.rendering import splat_frame
from synthaug.creation.saving import load_state, save_state
from synthaug.creation.sightings import Sightings
from synthaug.creation.surface import Build, build_surface
from synthaug.structures import Camera, Motion

SURFACE = build_surface(800)
FRAMES, SIZE = 8, 48
COURSE = Course(stages=(Stage(48, 120, 1.0, poses=False),))


def turning(frames: int = FRAMES) -> Motion:
    """Once around, arms half down."""
    pose = torch.zeros(frames, 55, 3)
    pose[:, JOINT["left_shoulder"], 2], pose[:, JOINT["right_shoulder"], 2] = -0.9, 0.9
    pose[:, 0, 1] = torch.arange(frames) / frames * 2 * math.pi
    return Motion.from_pose(pose, torch.zeros(frames, 3), fps=8.0)


def view(frames: int = FRAMES) -> Camera:
    """Three metres in front."""
    viewmat = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, -0.2], [0, 0, -1, 3.0], [0, 0, 0, 1]])
    K = torch.tensor([[1.5 * SIZE, 0, SIZE / 2], [0, 1.5 * SIZE, SIZE / 2], [0, 0, 1]])
    return Camera(viewmat.repeat(frames, 1, 1), K.repeat(frames, 1, 1), SIZE, SIZE)


def known_person() -> Unknowns:
    """Red on the left, blue on the right, green below the hips."""
    unknowns = Unknowns.start(SURFACE, FRAMES)
    left = SURFACE.rest[:, 0] > 0
    unknowns.colors = torch.where(left[:, None], torch.tensor([0.8, 0.2, 0.2]), torch.tensor([0.2, 0.2, 0.8]))
    unknowns.colors[SURFACE.rest[:, 1] < -0.1] = torch.tensor([0.2, 0.7, 0.3])
    return unknowns


def film(unknowns: Unknowns, motion: Motion) -> Sightings:
    camera, pictures, masks = view(len(motion.transl)), [], []
    for frame in range(motion.num_frames):
        row = slice(frame, frame + 1)
        one = replace(camera, viewmats=camera.viewmats[row], Ks=camera.Ks[row])
        rgb, alpha = splat_frame(pose_frame(pose_person(SURFACE, unknowns, motion, frame), 0), one)
        pictures.append((rgb + (1 - alpha) * 0.6).mul(255).round().to(torch.uint8))
        masks.append(alpha[0])
    mask = torch.stack(masks)
    times = torch.arange(motion.num_frames) / motion.fps
    return Sightings(
        torch.stack(pictures), mask, torch.ones_like(mask).bool(), camera, motion, times, (0,) * motion.num_frames
    )


SEEN = film(known_person(), turning())
LESSON = Lesson(SURFACE, SEEN, splat_frame, COURSE)


def run(state: LearningState, course: Course = COURSE, *, until: int | None = None) -> float:
    psnr = 0.0
    for progress in learn(Lesson(SURFACE, SEEN, splat_frame, course), state):
        psnr = progress.psnr
        if progress.done == until:
            break
    return psnr


def test_colours_are_found_from_all_sides() -> None:
    state = LearningState(Unknowns.start(SURFACE, FRAMES))
    run(state)
    sight = measure_sight(LESSON, state.unknowns)
    apart = (state.unknowns.colors - known_person().colors).abs().mean(1)
    assert count_seen(sight).float().mean() > 0.6
    assert apart[sight > sight.median()].median() < 0.08


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, first = (LearningState(Unknowns.start(SURFACE, FRAMES)) for _ in range(2))
    course = replace(COURSE, stages=(Stage(32, 10, 1.0, poses=False), Stage(48, 10, 0.5, poses=True)))
    run(whole, course)
    run(first, course, until=13)
    save_state(tmp_path / "state.safetensors", first, "film")
    again = load_state(tmp_path / "state.safetensors", "film")
    assert again is not None and again.done == 13
    run(again, course)
    for name, value in vars(whole.unknowns).items():
        assert torch.equal(value, getattr(again.unknowns, name)), name


def test_a_state_of_other_film_or_a_torn_one_is_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    assert load_state(path, "film") is None
    save_state(path, LearningState(Unknowns.start(SURFACE, FRAMES)), "film")
    assert load_state(path, "another") is None
    path.write_bytes(path.read_bytes()[:1000])
    assert load_state(path, "film") is None


def test_wrong_poses_are_mended_by_pictures() -> None:
    """An arm that was found 15 degrees too high is lowered."""
    wrong, joint, wrist = turning(), JOINT["left_shoulder"], JOINT["left_wrist"]
    skeleton = SURFACE.skeleton(Build.mean())
    wrong.body_pose[:, joint - 1, 2] += math.radians(15)
    seen = replace(LESSON, sightings=replace(SEEN, motion=wrong))
    mended = refit_poses(seen, known_person(), steps=60, size=SIZE)
    front = [0, FRAMES // 2]
    pose = wrong.pose.clone()
    before = joint_positions(wrong, skeleton)[front, wrist]
    pose[:, :22] += mended.turns
    after = joint_positions(Motion.from_pose(pose, wrong.transl + mended.shifts, fps=8.0), skeleton)[front, wrist]
    truth = joint_positions(turning(), skeleton)[front, wrist]
    assert (before - truth).norm(dim=-1).min() > 0.1
    assert (after - truth)[:, :2].norm(dim=-1).max() < 0.04  # depth is not seen in one picture


def test_the_unseen_takes_the_colour_of_its_mirror_image() -> None:
    known = known_person()
    known.colors = torch.where(SURFACE.rest[:, 1:2] > 0, 0.9, 0.1).repeat(1, 3)
    truth = known.colors.clone()
    hidden = SURFACE.rest[:, 0] > 0.3
    known.colors[hidden] = 0.5
    filled = fill_unseen(SURFACE, known, ~hidden)
    assert (filled.colors[hidden] - truth[hidden]).abs().mean() < 0.05
    assert torch.equal(filled.colors[~hidden], truth[~hidden])


def test_sight_counts_pixels() -> None:
    """Independent truth: all shares of a picture's pixels sum to its alpha."""
    known = known_person()
    sight = measure_sight(LESSON, known)
    assert torch.isclose(sight.sum(), SEEN.masks.square().sum(), rtol=1e-3)


def test_ssim_agrees_with_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    a = torch.from_numpy(rng.random((3, 40, 50), np.float32))
    b = (a + torch.from_numpy(rng.normal(0, 0.1, (3, 40, 50)).astype(np.float32))).clamp(0, 1)
    whole = structural_similarity_index_measure(b[None], a[None], data_range=1.0, return_full_image=True)
    inner = (slice(5, -5), slice(5, -5))  # the two fill up differently beyond the edges
    assert (ssim(a, b)[inner] - whole[1][0].mean(0)[inner]).abs().max() < 1e-5


def test_frames_do_not_share_corrections() -> None:
    state = LearningState(Unknowns.start(SURFACE, FRAMES))
    run(state, replace(COURSE, stages=(Stage(48, 3, 1.0, poses=True),)))
    moved = state.unknowns.turns.abs().amax((1, 2)) > 0
    assert int(moved.sum()) == 3


def test_a_motion_moves_the_person() -> None:
    person = dress_surface(SURFACE, known_person(), turning())
    assert person.T_world_rest.shape == (FRAMES, 55, 4, 4)


def test_no_gaussian_grows_into_a_thorn() -> None:
    state = LearningState(Unknowns.start(SURFACE, FRAMES))
    state.unknowns.log_scales[::7] += 5
    state.unknowns.log_scales[1::7] -= 9
    run(state, Course(stages=(Stage(24, 3, 1.0, poses=False),)))
    share = state.unknowns.log_scales.exp() / SURFACE.spacing[:, None]
    assert WIDTHS[0] * 0.999 <= float(share.min()) and float(share.max()) <= WIDTHS[1] * 1.001
