import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation
from skeletonfiles import MEAN, aligned_mm, camera_before, performance, projected, seen

from synthaug.body.hands import hand_pose
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from synthaug.body.skeleton import JOINT, forward_kinematics, joint_positions, move_motion
from synthaug.motions import UnusableClipError
from synthaug.motions.exavatar import ExAvatar
from synthaug.motions.files import recordings
from synthaug.motions.files.paramfiles import ParamFrames, fill_gaps
from synthaug.motions.files.recordings import FlawError
from synthaug.motions.files.smplx_models import NEUTRAL_PELVIS, hand_means, rest_pelvis
from synthaug.motions.fitting.fit import project
from synthaug.motions.lhm import Lhm
from synthaug.structures import Motion, Record
from synthaug.testing.motions import check_motion_source
from synthaug.video import probe_pictures, write_video

VIEW = camera_before()
PARTS = {"root_pose": "global_orient", "body_pose": "body_pose", "jaw_pose": "jaw_pose", "leye_pose": "leye_pose",
         "reye_pose": "reye_pose", "lhand_pose": "left_hand_pose", "rhand_pose": "right_hand_pose"}  # fmt: skip


def record(path, start=0.0, end=60.0):
    return Record(path.name, path, 0, "s", "", start, end)


@pytest.fixture(scope="module")
def waving():
    return performance("hand waving", 0.8)


def in_camera(motion, view=VIEW):
    """The motion in the axes of a camera, `transl` as smplx has it."""
    R = torch.from_numpy(view[:3, :3]).float()
    inside = move_motion(motion, R, torch.from_numpy(view[:3, 3]).float())
    return replace(inside, transl=inside.transl - torch.tensor(NEUTRAL_PELVIS))


def frame_of(motion, k, *, flat):
    fields = {theirs: getattr(motion, ours)[k] for theirs, ours in PARTS.items()}
    if not flat:
        fields["lhand_pose"] = fields["lhand_pose"] - hand_pose("relaxed", "left")
        fields["rhand_pose"] = fields["rhand_pose"] - hand_pose("relaxed", "right")
    return {name: value.tolist() for name, value in fields.items()} | {"trans": motion.transl[k].tolist()}


def write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def exavatar(folder, motion, *, first=0, step=1, view=None, picture=(640, 360)):
    """A subject's directory as ExAvatar's fitting leaves it."""
    smoothed = folder / "smplx_optimized" / "smplx_params_smoothed"
    for k in range(motion.num_frames):
        number = first + k * step
        own = np.eye(4) if view is None else view(k)
        inside = in_camera(motion, own @ VIEW)
        write(smoothed / f"{number}.json", frame_of(inside, k, flat=False) | {"expr": [0.1] * 50})
        write(folder / "cam_params" / f"{number}.json", {
            "R": own[:3, :3].tolist(), "t": own[:3, 3].tolist(), "focal": [500.0, 500.0], "princpt": [330.0, 175.0],
        })  # fmt: skip
    write(folder / "smplx_optimized" / "shape_param.json", [0.5] * 100)
    if picture:
        (folder / "frames").mkdir()
        for k in range(motion.num_frames):
            Image.new("RGB", picture).save(folder / "frames" / f"{first + k * step}.png")
    return folder


def lhm(folder, motion, *, skip=(), pad=0.2, first=1, step=1):
    """A motion's directory as LHM's video2motion leaves it."""
    inside = in_camera(motion)
    width, height = round(640 * (1 + pad)), round(360 * (1 + pad))
    for k in set(range(motion.num_frames)) - set(skip):
        write(folder / "smplx_params" / f"{first + k * step:05d}.json", frame_of(inside, k, flat=True) | {
            "betas": [0.1] * 10, "focal": [500.0, 500.0], "princpt": [width / 2, height / 2],
            "img_size_wh": [width, height], "pad_ratio": pad,
        })  # fmt: skip
    return folder


def test_sources_keep_the_contract(tmp_path, waving):
    check_motion_source(ExAvatar(), record(exavatar(tmp_path / "subject", waving)))
    check_motion_source(Lhm(), record(lhm(tmp_path / "motion", waving)))


@pytest.mark.parametrize("kind", ["exavatar", "lhm"])
def test_motion_comes_back_upright_and_lies_over_the_film(tmp_path, waving, kind):
    if kind == "exavatar":
        reference = ExAvatar().load(record(exavatar(tmp_path / "a", waving)))
        K = np.array([[500.0, 0, 330], [0, 500.0, 175], [0, 0, 1]])
    else:
        reference = Lhm().load(record(lhm(tmp_path / "a", waving)))
        K = np.array([[500.0, 0, 320], [0, 500.0, 180], [0, 0, 1]])
    assert (reference.camera.width, reference.camera.height) == (640, 360)
    wanted = projected(seen(joint_positions(waving, MEAN).double().numpy(), VIEW), K)
    got, _ = project(joint_positions(reference.motion, MEAN), reference.camera)
    # The whole chain of changes of frame is one rigid motion: what is seen does not move.
    assert np.abs(got.numpy() - wanted).max() < 0.05
    assert reference.notes["pitch_deg"] == pytest.approx(8, abs=4)
    assert aligned_mm(reference.motion, waving) < 60
    assert reference.quality > 0.7
    torch.testing.assert_close(reference.motion.left_hand_pose, waving.left_hand_pose, atol=1e-4, rtol=0)
    assert len(reference.motion.betas) == (100 if kind == "exavatar" else 10)


def test_a_moving_camera_moves_and_the_person_does_not(tmp_path, waving):
    def view(k):
        T = np.eye(4)
        T[:3, :3] = Rotation.from_rotvec([0, 0.01 * k, 0]).as_matrix()
        T[:3, 3] = [0.02 * k, 0, 0.01 * k]
        return T

    still = ExAvatar().load(record(exavatar(tmp_path / "a", waving)))
    filmed = ExAvatar().load(record(exavatar(tmp_path / "b", waving, view=view)))
    assert aligned_mm(filmed.motion, still.motion) < 1
    assert (filmed.camera.viewmats[-1] - filmed.camera.viewmats[0]).abs().max() > 0.1
    K = np.array([[500.0, 0, 330], [0, 500.0, 175], [0, 0, 1]])
    wanted = projected(seen(joint_positions(waving, MEAN)[-1].double().numpy(), view(waving.num_frames - 1) @ VIEW), K)
    got, _ = project(joint_positions(filmed.motion, MEAN), filmed.camera)
    assert np.abs(got[-1].numpy() - wanted).max() < 0.05


def test_flat_lists_are_nested_ones_and_missing_parts_are_rests(tmp_path, waving):
    nested, flat = exavatar(tmp_path / "a", waving), exavatar(tmp_path / "b", waving)
    for path in (flat / "smplx_optimized" / "smplx_params_smoothed").glob("*.json"):
        document = {k: np.ravel(v).tolist() for k, v in json.loads(path.read_text()).items() if k not in ("expr",)}
        path.write_text(json.dumps(document))
    one, other = (ExAvatar().load(record(folder)).motion for folder in (nested, flat))
    assert torch.equal(one.pose, other.pose)
    for path in (flat / "smplx_optimized" / "smplx_params_smoothed").glob("*.json"):
        document = json.loads(path.read_text())
        path.write_text(json.dumps({k: document[k] for k in ("root_pose", "body_pose", "trans")}))
    (flat / "smplx_optimized" / "shape_param.json").unlink()
    bare = ExAvatar().load(record(flat)).motion
    torch.testing.assert_close(bare.left_hand_pose[0], hand_pose("relaxed", "left").float())
    assert bare.jaw_pose.abs().max() == 0
    assert bare.betas.abs().max() == 0


def models(folder, rng):
    """A body model with SMPL-X's keys and shapes of our own making."""
    folder.mkdir()
    vertices = 60
    arrays = {
        "v_template": rng.normal(size=(vertices, 3)), "shapedirs": rng.normal(size=(vertices, 3, 20)),
        "J_regressor": rng.dirichlet(np.ones(vertices), size=55), "hands_meanl": rng.normal(0, 0.2, 45),
        "hands_meanr": rng.normal(0, 0.2, 45),
    }  # fmt: skip
    np.savez(folder / "SMPLX_MALE.npz", **arrays, more=np.array([{"a": 1}], dtype=object))
    return arrays


def test_user_s_own_model_files_give_mean_hands_and_the_rest_pelvis(tmp_path, waving):
    arrays = models(tmp_path / "models", np.random.default_rng(0))
    betas = np.full(10, 0.3)
    vertices = arrays["v_template"] + arrays["shapedirs"][:, :, :10] @ betas
    np.testing.assert_allclose(rest_pelvis(tmp_path / "models", "male", betas), arrays["J_regressor"][0] @ vertices)
    np.testing.assert_allclose(hand_means(tmp_path / "models", "male")[1].ravel(), arrays["hands_meanr"])
    folder = exavatar(tmp_path / "a", waving)
    found = ExAvatar(models=str(tmp_path / "models")).load(record(folder))
    stored = waving.left_hand_pose - hand_pose("relaxed", "left").float()
    wanted = stored + torch.from_numpy(arrays["hands_meanl"]).float().reshape(15, 3)
    torch.testing.assert_close(found.motion.left_hand_pose, wanted, atol=1e-4, rtol=0)
    assert (found.notes["hand_mean"], ExAvatar().load(record(folder)).notes["hand_mean"]) == (1, 0)
    with pytest.raises(FileNotFoundError, match="found no '.*SMPLX_FEMALE.npz'.*set models"):
        ExAvatar(models=str(tmp_path / "models"), gender="female").load(record(folder))


def frames_at(numbers, poses):
    return ParamFrames(tuple(numbers), poses, np.zeros((len(numbers), 3)), ({},) * len(numbers))


def test_frame_numbers_are_a_clock(tmp_path):
    poses = np.zeros((4, 55, 3))
    poses[:, 0, 1] = [0.0, 0.1, 0.2, 0.5]
    clocked = fill_gaps(frames_at((3, 4, 5, 8), poses), fps=30.0)
    torch.testing.assert_close(clocked.motion.global_orient[:, 1], torch.tensor([0, 0.1, 0.2, 0.3, 0.4, 0.5]))
    assert clocked.nearest == (0, 1, 2, 2, 3, 3)
    assert clocked.known.tolist() == [True, True, True, False, False, True]
    every_fifth = fill_gaps(frames_at((0, 5, 10, 20), poses), fps=30.0).motion
    assert every_fifth.fps == 6.0
    assert every_fifth.num_frames == 5
    with pytest.raises(FlawError, match="expected gaps of at most 1 s, frames 6 to 79 are missing, 2.5 s"):
        fill_gaps(frames_at((3, 4, 5, 80), poses), fps=30.0)


READERS = {"lhm": (lhm, Lhm), "exavatar": (exavatar, ExAvatar)}


@pytest.mark.parametrize("kind", READERS)
def test_numbers_say_when_a_motion_begins(tmp_path, waving, kind):
    write_folder, reader = READERS[kind]
    short = Motion.from_pose(waving.pose[:12], waving.transl[:12], fps=30.0)
    late, early = write_folder(tmp_path / "late", short, first=60), write_folder(tmp_path / "early", short)
    # File 60 of a film of 30 fps shows second 2.0, whatever the record calls its beginning.
    for start in (0.0, 1.5, 2.0):
        found = reader().load(record(late, start, 60.0))
        assert found.notes["offset"] == pytest.approx(2.0 - start)
        assert found.motion.num_frames == 12
    inner = reader().load(record(late, 2.1, 2.3))
    assert inner.notes["offset"] == pytest.approx(0.0, abs=1e-9)
    torch.testing.assert_close(inner.motion.body_pose, reader().load(record(early, 0.1, 0.3)).motion.body_pose)
    for start, end in ((0.0, 1.0), (0.0, 2.0), (2.4, 3.0)):
        with pytest.raises(UnusableClipError, match="clip to lie inside the recording, got .* that is of 2 to 2.4 s"):
            reader().load(record(late, start, end))


@pytest.mark.parametrize("kind", READERS)
def test_numbers_count_the_frames_of_the_film(tmp_path, waving, kind):
    write_folder, reader = READERS[kind]
    short = Motion.from_pose(waving.pose[:12], waving.transl[:12], fps=30.0)
    write_folder(tmp_path / "clip", short, first=60, step=2)
    write_video(tmp_path / "clip.mp4", torch.zeros(100, 3, 32, 32, dtype=torch.uint8), fps=20.0)
    film = record(tmp_path / "clip.mp4", 3.0, 60.0)
    found = reader().load(film)
    assert (found.motion.fps, found.motion.num_frames) == (10.0, 12)
    assert found.notes["offset"] == pytest.approx(0.0, abs=1e-9)
    # Who took 40 frames a second out of the film says so.
    assert reader(fps=40.0).load(replace(film, start=0.0)).notes["offset"] == pytest.approx(1.5)


@pytest.mark.parametrize("kind", READERS)
def test_numbered_pictures_are_the_film_of_a_motion(tmp_path, waving, kind):
    write_folder, reader = READERS[kind]
    short = Motion.from_pose(waving.pose[:12], waving.transl[:12], fps=30.0)
    write_folder(tmp_path / "motions" / "clip", short, first=60, step=2)
    film = tmp_path / "films" / "clip"
    film.mkdir(parents=True)
    for number in range(100):
        cv2.imwrite(str(film / f"{number:05d}.jpg"), np.zeros((16, 16, 3), np.uint8))
    probe_pictures(film, fps=20)
    found = reader(root=str(tmp_path / "motions")).load(record(film, 3.0, 60.0))
    assert (found.motion.fps, found.motion.num_frames) == (10.0, 12)
    assert found.notes["offset"] == pytest.approx(0.0, abs=1e-9)


def test_names_with_words_and_zeros_are_frames_too(tmp_path, waving):
    short = Motion.from_pose(waving.pose[:5], waving.transl[:5], fps=30.0)
    plain, named = exavatar(tmp_path / "plain", short, first=9), exavatar(tmp_path / "named", short, first=9)
    for path in sorted(named.rglob("*.json")) + sorted(named.rglob("*.png")):
        if path.stem.isdigit():
            path.rename(path.with_name(f"frame_{int(path.stem):06d}{path.suffix}"))
    one, other = (ExAvatar().load(record(folder)) for folder in (plain, named))
    assert torch.equal(one.motion.pose, other.motion.pose)
    assert other.notes["offset"] == pytest.approx(0.3)
    smoothed = named / "smplx_optimized" / "smplx_params_smoothed"
    (smoothed / "shot_000009.json").write_text("{}")
    with pytest.raises(UnusableClipError, match="frames of one film in a folder, got frame_000009.json and shot_0"):
        ExAvatar().load(record(named))


@pytest.mark.parametrize("kind", READERS)
def test_who_walks_out_and_comes_back_appears_twice(tmp_path, waving, kind):
    write_folder, reader = READERS[kind]
    first, second = (Motion.from_pose(waving.pose[k : k + 9], waving.transl[k : k + 9], fps=30.0) for k in (0, 12))
    folder = write_folder(tmp_path / "a", first, first=1)
    alone = reader().load(record(write_folder(tmp_path / "b", second, first=91), 3.0, 4.0))
    for path in sorted((tmp_path / "b").rglob("*.*")):
        if path.stem.isdigit():
            path.rename(folder / path.relative_to(tmp_path / "b"))
    early, late = reader().load(record(folder, 0.0, 1.0)), reader().load(record(folder, 2.5, 4.0))
    assert (early.notes["offset"], late.notes["offset"]) == (pytest.approx(0.0), pytest.approx(0.5))
    assert early.motion.num_frames == late.motion.num_frames == 9
    torch.testing.assert_close(late.motion.body_pose, alone.motion.body_pose)
    with pytest.raises(UnusableClipError, match="expected gaps of at most 1 s, frames 10 to 90 are missing, 2.7 s"):
        reader().load(record(folder, 0.0, 4.0))
    with pytest.raises(UnusableClipError, match="expected gaps of at most 1 s|inside the recording"):
        reader().load(record(folder, 1.0, 2.0))


def test_two_files_far_apart_are_no_motion():
    with pytest.raises(FlawError, match="expected gaps of at most 1 s, frames 1 to 499 are missing"):
        fill_gaps(frames_at((0, 500), np.zeros((2, 55, 3))), fps=30.0)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from([0.0, 1e-9, 1e-5, 1e-3, 1.0, np.pi - 1e-4, np.pi - 1e-7, np.pi]), st.integers(0, 9))
def test_rotations_near_0_and_pi_pass_through(angle, seed):
    axis = np.random.default_rng(seed).normal(size=(2, 55, 3))
    poses = angle * axis / np.linalg.norm(axis, axis=-1, keepdims=True)
    motion = fill_gaps(frames_at((0, 1), poses), fps=30.0).motion
    wanted = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix().reshape(2, 55, 3, 3)
    np.testing.assert_allclose(axis_angle_to_matrix(motion.pose).numpy(), wanted, atol=2e-6)


def test_frames_that_lhm_lost_are_filled_in(tmp_path, waving):
    reference = Lhm().load(record(lhm(tmp_path / "a", waving, skip=(5, 6, 11))))
    assert reference.motion.num_frames == waving.num_frames
    whole = Lhm().load(record(lhm(tmp_path / "b", waving))).motion
    assert aligned_mm(reference.motion, whole) < 20
    assert reference.notes["part_detection"] < 1


def test_film_finds_its_motion_and_size_is_the_pictures_or_twice_the_centre(tmp_path, waving):
    exavatar(tmp_path / "motions" / "clip", waving, picture=None)
    film = tmp_path / "films" / "clip.mp4"
    found = ExAvatar(root=str(tmp_path / "motions")).load(record(film, 0.1, 0.5))
    assert found.motion.num_frames == 12
    assert (found.camera.width, found.camera.height) == (660, 350)
    # A subject's film lies in its directory.
    inside = ExAvatar().load(record(tmp_path / "motions" / "clip" / "video.mp4", 0.1, 0.5))
    assert torch.equal(inside.motion.pose, found.motion.pose)
    with pytest.raises(FileNotFoundError, match="found no folder '.*films/clip/smplx.*Set root"):
        ExAvatar().load(record(film))


def edit(path, **changes):
    document = json.loads(path.read_text())
    document.update(changes)
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))


FRAME = "smplx_optimized/smplx_params_smoothed/3.json"
DAMAGE = {
    "truncated": (
        lambda f: (f / FRAME).write_text((f / FRAME).read_text()[:200]),
        "3.json expected .* line 1 is not JSON",
    ),
    "empty": (lambda f: (f / FRAME).write_text(""), "3.json expected a recording, got an empty file"),
    "list": (lambda f: (f / FRAME).write_text("[1, 2]"), "expected the document to be an object, got a list"),
    "deep": (lambda f: (f / FRAME).write_text("[" * 100000), "nested thousands deep|not JSON"),
    "no trans": (lambda f: edit(f / FRAME, trans=None), "expected trans in every frame, found none"),
    "long": (lambda f: edit(f / FRAME, body_pose=[0.0] * 66), "expected 63 numbers in body_pose, got 66"),
    "ragged": (
        lambda f: edit(f / FRAME, body_pose=[[0.0], [1.0, 2.0]]),
        "expected numbers in body_pose, got a ragged list",
    ),
    "words": (lambda f: edit(f / FRAME, root_pose=["a", "b", "c"]), "expected numbers in root_pose, got"),
    "nan": (
        lambda f: edit(f / FRAME, root_pose=[0.0, float("nan"), 0.0]),
        "expected finite numbers in root_pose, got nan",
    ),
    "twice": (
        lambda f: write(f / FRAME.replace("3.json", "03.json"), {}),
        "one file for each frame, got .* for frame 3",
    ),
    "no frames": (lambda f: [p.unlink() for p in (f / FRAME).parent.glob("*")], "files named by frame in .*, got 0"),
    "no camera": (lambda f: (f / "cam_params/3.json").unlink(), "found no cam_params/3.json"),
    "no cameras": (
        lambda f: (f / "cam_params").rename(f / "sparse"),
        "expected cam_params/ .*found no such folder.*COLMAP's",
    ),
    "no rotation": (
        lambda f: edit(f / "cam_params/3.json", R=np.ones((3, 3)).tolist()),
        "expected R of cam_params/3.json to be a rotation",
    ),
    "focal": (lambda f: edit(f / "cam_params/3.json", focal=[-1, 5]), "as focal of cam_params/3.json, got"),
    "picture": (lambda f: (f / "frames/0.png").write_text("no"), "expected frames/0.png to be a picture"),
    "betas": (lambda f: (f / "smplx_optimized/shape_param.json").write_text("{}"), "expected a list of 1 to 400 betas"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_in_an_exavatar_directory_is_named(tmp_path, waving, kind):
    folder = exavatar(tmp_path / "subject", Motion.from_pose(waving.pose[:6], waving.transl[:6], fps=30.0))
    change, words = DAMAGE[kind]
    change(folder)
    with pytest.raises(UnusableClipError, match=f"Cannot read a motion from '.*subject': .*({words}).*Replace"):
        ExAvatar().load(record(folder))


def test_damage_in_an_lhm_directory_is_named(tmp_path, waving):
    short = Motion.from_pose(waving.pose[:4], waving.transl[:4], fps=30.0)
    for number, (changes, words) in enumerate(
        [
            ({"focal": [0, 500]}, "as focal of frame 2 .*got"),
            ({"pad_ratio": -3}, "positive pixels as focal .* and -3"),
            ({"img_size_wh": [900, 432]}, "expected one img_size_wh for the whole clip"),
            ({"img_size_wh": [1e9, 1e9]}, "pixels a side, got 8.33.* by 8.33"),
            ({"betas": [1]}, None),
        ]
    ):
        folder = lhm(tmp_path / str(number), short)
        edit(folder / "smplx_params" / "00002.json", **changes)
        if words is None:  # betas of the first frame are the clip's
            Lhm().load(record(folder))
            continue
        with pytest.raises(UnusableClipError, match=f"Cannot read a motion from .*{words}"):
            Lhm().load(record(folder))


def test_huge_documents_are_refused(tmp_path, waving, monkeypatch):
    folder = exavatar(tmp_path / "a", Motion.from_pose(waving.pose[:3], waving.transl[:3], fps=30.0))
    monkeypatch.setattr(recordings, "MAX_BYTES", 100)
    with pytest.raises(UnusableClipError, match=r"in smplx_params_smoothed/0.json expected at most 100 bytes, got \d+"):
        ExAvatar().load(record(folder))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="Expected gender to be .*got 'other'"):
        ExAvatar(gender="other")
    with pytest.raises(ValueError, match="Expected fps to be a positive number, got 0.0"):
        Lhm(fps=0.0)


def test_upright_is_pi_about_x_in_the_camera_s_axes(tmp_path):
    # ExAvatar's own check: who stands upright before a level camera has a root pose of half a turn about x.
    pose = torch.zeros(3, 55, 3)
    pose[:, 0, 0] = np.pi
    T = forward_kinematics(Motion.from_pose(pose, torch.tensor([[0, 0, 3.0]]).repeat(3, 1), fps=30.0), MEAN)
    assert (T[0, JOINT["head"], 1, 3] < T[0, 0, 1, 3]) and matrix_to_axis_angle(T[0, 0, :3, :3]).norm() > 3.1
