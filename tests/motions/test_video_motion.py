"""Laws of motion out of film: without the network where its landmarks can be made, with it on a few short films."""

import csv
import importlib.metadata
import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import JOINT, joint_positions, lowest_heights, mean_skeleton, move_motion
from synthaug.motions import UnusableClipError
from synthaug.motions.fitting.energy import body_kinematics, project
from synthaug.motions.fitting.landmarks import LIMBS, USED, Landmarks, body_shapes, landmark_markers
from synthaug.motions.fitting.markers import NUM_BODY
from synthaug.motions.fitting.placement import estimate_tilt, intrinsics, level_camera, leveling_rotation, place_shapes
from synthaug.motions.pose.network import MediapipeNetwork
from synthaug.motions.pose.reconstruction import (
    FILM_BELIEFS,
    Gate,
    find_runs,
    reconstruct_beside,
    reference_from_landmarks,
)
from synthaug.motions.pose.scenes import WatchedPerson
from synthaug.motions.pose.unseen import stand_unseen_legs
from synthaug.motions.video import VideoMotion
from synthaug.structures import Camera, Motion, Record
from synthaug.testing.motions import check_motion_source
from synthaug.video import write_video

SKELETON = mean_skeleton()
SIZE = (240, 320)
QUICK = replace(FILM_BELIEFS, iterations=12)
"""Clean landmarks start near their minimum; the rest of the usual 40 steps is for film."""
needs_mediapipe = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed (the extra `pose`)"
)


def walking(time: int = 30) -> Motion:
    """Somebody who crosses the picture four metres away, arms and legs swinging; level camera's frame."""
    swing = torch.sin(torch.arange(time) / 30 * 2 * torch.pi)
    pose = torch.zeros(time, 55, 3)
    for side, sign in (("left", 1), ("right", -1)):
        pose[:, JOINT[f"{side}_shoulder"], 2] = -sign * 1.2
        pose[:, JOINT[f"{side}_shoulder"], 1] = -0.5 * swing
        pose[:, JOINT[f"{side}_elbow"], 1] = -sign * 0.5
        pose[:, JOINT[f"{side}_hip"], 0] = -sign * 0.4 * swing
        pose[:, JOINT[f"{side}_knee"], 0] = 0.4 + sign * 0.3 * swing
    pose[:, 0, 1] = 0.6
    transl = torch.stack([torch.linspace(-0.8, 0.8, time), torch.full((time,), -0.2), torch.full((time,), -4.0)], dim=1)
    return Motion.from_pose(pose, transl, fps=30.0)


def landmarks_of(motion: Motion, camera: Camera) -> Landmarks:
    """What a perfect network would say; `camera` is at the origin of the motion's world and level."""
    R, joints = body_kinematics(axis_angle_to_matrix(motion.pose)[:, :NUM_BODY], motion.transl, SKELETON)
    points = landmark_markers().place(R, joints)
    pixels = torch.zeros(len(points), 33, 2)
    world = torch.zeros(len(points), 33, 3)
    pixels[:, list(USED)], _ = project(points, camera)
    hips = points[:, [USED.index(23), USED.index(24)]].mean(1, keepdim=True)
    world[:, list(USED)] = (points - hips) * torch.tensor([1.0, -1.0, -1.0])
    return Landmarks(world, pixels, torch.ones(len(points), 33))


def seen_walking(time: int = 30) -> tuple[Motion, Landmarks]:
    motion = walking(time)
    return motion, landmarks_of(motion, level_camera(intrinsics(SIZE[1], SIZE[0], 1.0), SIZE[1], SIZE[0], time))


def without(seen: Landmarks, frames: slice) -> Landmarks:
    world, pixels, visibility = seen.world.clone(), seen.pixels.clone(), seen.visibility.clone()
    world[frames], pixels[frames], visibility[frames] = torch.nan, torch.nan, 0
    return Landmarks(world, pixels, visibility)


def test_a_reenactment_lands_where_the_person_stood() -> None:
    _, seen = seen_walking()
    reference = reference_from_landmarks(WatchedPerson(seen, 30.0, SIZE), focal=1.0, beliefs=QUICK, name="walk")
    pixels, depth = project(joint_positions(reference.motion, SKELETON), reference.camera)
    limbs = [landmark_markers().frames[USED.index(k)] for k in LIMBS]
    height = 1.7 * SIZE[1] / 4.0
    assert ((pixels[:, limbs] - seen.pixels[:, list(LIMBS)]).norm(dim=-1) / height).median() < 0.02
    assert reference.notes["reprojection"] < 0.02
    assert (depth - 4.0).abs().median() < 0.5
    assert reference.quality is not None and reference.quality > 0.8


def test_people_out_of_film_stand_on_the_floor_with_y_up() -> None:
    _, seen = seen_walking()
    reference = reference_from_landmarks(WatchedPerson(seen, 30.0, SIZE), beliefs=QUICK, name="walk")
    heights = lowest_heights(joint_positions(reference.motion, SKELETON))
    assert heights.quantile(0.1).abs() < 0.03
    assert (joint_positions(reference.motion, SKELETON)[:, JOINT["head"], 1] > 1.2).all()
    # One view, the same in all frames, and upright: the picture's down is the world's down.
    assert torch.equal(reference.camera.viewmats, reference.camera.viewmats[:1].expand_as(reference.camera.viewmats))
    assert reference.camera.viewmats[0, 1, 1] < -0.8


@pytest.mark.parametrize("pitch_deg", [0.0, 15.0])
def test_a_camera_that_looks_down_is_found_out(pitch_deg: float) -> None:
    tipped = move_motion(walking(), leveling_rotation(pitch_deg).mT, torch.zeros(3))
    # Knees are bent and cameras are believed level within 15 degrees: the guess lags behind the truth.
    assert estimate_tilt(tipped, SKELETON).pitch_deg == pytest.approx(pitch_deg, abs=7)


def test_placement_solves_the_pinhole() -> None:
    motion, seen = seen_walking(10)
    K = intrinsics(SIZE[1], SIZE[0], 1.0)
    root = place_shapes(
        body_shapes(seen, K, SKELETON), seen.pixels[:, list(USED)], torch.ones(10, len(USED)), K, smoothing=2.0
    )
    hips = joint_positions(motion, SKELETON)[:, [JOINT["left_hip"], JOINT["right_hip"]]].mean(1)
    assert (root - hips).norm(dim=-1).mean() < 0.15


def test_short_gaps_are_bridged_and_long_ones_cut() -> None:
    _, seen = seen_walking(60)
    gate = Gate(gap=0.5)
    assert find_runs(without(seen, slice(20, 30)), fps=30.0, gate=gate) == [(0, 60)]
    assert find_runs(without(seen, slice(10, 40)), fps=30.0, gate=gate) == [(40, 60)]
    assert find_runs(without(seen, slice(0, 60)), fps=30.0, gate=gate) == [(0, 0)]


def test_somebody_who_comes_back_performs_again() -> None:
    motion, seen = seen_walking(60)
    seen = without(seen, slice(18, 40))
    assert find_runs(seen, fps=30.0, gate=Gate(least=0.5)) == [(40, 60), (0, 18)]
    assert find_runs(seen, fps=30.0, gate=Gate(least=0.61)) == [(40, 60)]
    watched = WatchedPerson(seen, 30.0, SIZE)
    # Neither run fills 60 % of the clip: before, it gave nothing.
    later = reference_from_landmarks(watched, beliefs=QUICK, gate=Gate(least=0.5), name="twice")
    (earlier,) = later.others
    assert [one.notes["offset"] for one in (later, earlier)] == pytest.approx([40 / 30, 0.0])
    assert [one.motion.num_frames for one in (later, earlier)] == [20, 18]
    for one, first in ((later, 40), (earlier, 0)):
        pixels, _ = project(joint_positions(one.motion, SKELETON)[:, :22], one.camera)
        view = level_camera(intrinsics(SIZE[1], SIZE[0], 1.0), SIZE[1], SIZE[0], one.motion.num_frames)
        truth, _ = project(joint_positions(motion, SKELETON)[first : first + one.motion.num_frames, :22], view)
        assert (pixels - truth).norm(dim=-1).median() < 0.04 * 1.7 * SIZE[1] / 4
    with pytest.raises(UnusableClipError, match=r"in at least 90% of .*, or for 0.8 s, got 33%, for 0.7 s"):
        reference_from_landmarks(watched, beliefs=QUICK, gate=Gate(least=0.8, detection=0.9), name="twice")


def test_a_jump_to_somebody_else_ends_the_run() -> None:
    _, seen = seen_walking(40)
    pixels = seen.pixels.clone()
    pixels[25:, :, 0] += 150
    assert find_runs(replace(seen, pixels=pixels), fps=30.0, gate=Gate()) == [(0, 25)]


def crowd_of(*places, time=30):
    """People who walk in one room before one level camera, each seen as a perfect network would; metres from it."""
    camera = level_camera(intrinsics(SIZE[1], SIZE[0], 1.0), SIZE[1], SIZE[0], time)
    motions = [replace(walking(time), transl=walking(time).transl + torch.tensor(place)) for place in places]
    return motions, [WatchedPerson(landmarks_of(motion, camera), 30.0, SIZE) for motion in motions]


def test_others_stand_beside_the_acting_person_as_the_film_shows_them() -> None:
    motions, watched = crowd_of((0.0, 0.0, 0.0), (0.9, 0.0, -0.4), (-1.5, 0.0, -5.0))
    lead = reference_from_landmarks(watched[0], name="x", focal=1.0, beliefs=QUICK, beside=watched[1:])
    alone, near, everybody = (
        reconstruct_beside(watched[1:], lead, word, beliefs=QUICK) for word in ("never", "near", "all")
    )
    assert alone is lead and [len(one.companions) for one in (near, everybody)] == [1, 2]
    assert near.quality == min(lead.quality, near.notes["companion_quality"])
    assert torch.equal(near.motion.transl, lead.motion.transl)
    for companion, true, tolerance in zip(everybody.companions, motions[1:], (0.15, 0.6), strict=True):
        # Where they are to the acting person, and in the picture.
        away = (companion.transl - lead.motion.transl).mean(0)[[0, 2]]
        assert away.tolist() == pytest.approx((true.transl - motions[0].transl).mean(0)[[0, 2]].tolist(), abs=tolerance)
        pixels, _ = project(joint_positions(companion, SKELETON), lead.camera)
        straight = level_camera(intrinsics(SIZE[1], SIZE[0], 1.0), SIZE[1], SIZE[0], 30)
        wanted, _ = project(joint_positions(true, SKELETON), straight)
        assert float((pixels - wanted)[:, :NUM_BODY].norm(dim=-1).median()) < 8
        assert float(lowest_heights(joint_positions(companion, SKELETON)).abs().median()) < 0.05


def test_who_is_there_for_less_than_the_gate_asks_is_no_companion() -> None:
    _, watched = crowd_of((0.0, 0.0, 0.0), (0.9, 0.0, 0.0))
    lead = reference_from_landmarks(watched[0], name="x", focal=1.0, beliefs=QUICK)
    brief = replace(watched[1], seen=without(watched[1].seen, slice(0, 16)))
    assert reconstruct_beside([brief], lead, "all", beliefs=QUICK).companions == ()
    assert len(reconstruct_beside([brief], lead, "all", gate=Gate(detection=0.4), beliefs=QUICK).companions) == 1


def test_who_performs_again_has_company_each_time_from_the_same_frames() -> None:
    _, watched = crowd_of((0.0, 0.0, 0.0), (0.9, 0.0, 0.0), time=90)
    gone = replace(watched[0], seen=without(watched[0].seen, slice(35, 55)))
    lead = reference_from_landmarks(gone, name="x", focal=1.0, beliefs=QUICK)
    (second,) = lead.others
    for take in (lead, second):
        (companion,) = reconstruct_beside(watched[1:], take, "all", beliefs=QUICK).companions
        assert companion.num_frames == take.motion.num_frames
        away = (companion.transl - take.motion.transl)[:, [0, 2]].norm(dim=-1)
        assert away.tolist() == pytest.approx([0.9] * len(away), abs=0.25)


def test_legs_that_no_frame_shows_stand_whatever_the_network_makes_up() -> None:
    """Somebody who fills the picture: the same arms, and straight legs in place of a crouch that changes."""
    motion = replace(walking(), transl=walking().transl * 0.2 + torch.tensor([0.0, -0.2, -0.6]))
    seen = landmarks_of(motion, level_camera(intrinsics(SIZE[1], SIZE[0], 1.0), SIZE[1], SIZE[0], 30))
    assert not seen.inside(SIZE)[:, [25, 26]].any() and seen.inside(SIZE)[:, [11, 12, 23, 24]].all()
    rng = np.random.default_rng(0)
    world, pixels, visibility = seen.world.clone(), seen.pixels.clone(), seen.visibility.clone()
    for first in (25, 27, 29, 31):
        crouch = torch.from_numpy(rng.normal(0, 0.05, (30, 2, 3))).float() + torch.tensor([0.25, 0.05, -0.3])
        world[:, first : first + 2] = world[:, 23:25] + crouch
        pixels[:, first : first + 2] = pixels[:, 23:25] + torch.tensor([20.0, 60.0])
        visibility[:, first : first + 2] = 0.35
    spoilt = WatchedPerson(Landmarks(world, pixels, visibility), 30.0, SIZE)
    close = reference_from_landmarks(spoilt, name="x", focal=1.0, gate=Gate(limb_variation=1.0), beliefs=QUICK)
    joints = [JOINT[f"{side}_{name}"] - 1 for side in ("left", "right") for name in ("knee", "hip")]
    assert float(close.motion.body_pose[:, joints].norm(dim=-1).max()) < math.radians(25)
    assert float(close.motion.body_pose[:, joints].diff(dim=0).norm(dim=-1).max()) < math.radians(3)
    arms = [JOINT[f"{side}_{name}"] - 1 for side in ("left", "right") for name in ("shoulder", "elbow")]
    turned = close.motion.body_pose[:, arms] - motion.body_pose[:, arms]
    assert float(turned.norm(dim=-1).median()) < math.radians(12)
    pixels, _ = project(joint_positions(close.motion, SKELETON), close.camera)
    hands = [JOINT["left_wrist"], JOINT["right_wrist"]]
    assert float((pixels[:, hands] - seen.pixels[:, [15, 16]]).norm(dim=-1).median()) < 5
    # Who is seen down to the knees keeps what was seen.
    whole = seen_walking()[1]
    assert stand_unseen_legs(whole, SIZE) is whole
    # Nor does anybody stand who lies with the legs beyond the picture's edge.
    lying = Landmarks(world[..., [1, 0, 2]], seen.pixels, seen.visibility)
    assert not lying.inside(SIZE)[:, [25, 26]].any() and stand_unseen_legs(lying, SIZE) is lying


def test_no_floor_is_above_the_camera() -> None:
    """Only somebody's raised upper part is seen, above the camera's height."""
    motion = replace(walking(), transl=walking().transl + torch.tensor([0.0, 2.0, 0.0]))
    seen = landmarks_of(motion, level_camera(intrinsics(SIZE[1], SIZE[0], 1.0), SIZE[1], SIZE[0], 30))
    reference = reference_from_landmarks(
        WatchedPerson(seen, 30.0, SIZE), name="x", focal=1.0, gate=Gate(visibility=0.0, reprojection=1.0), beliefs=QUICK
    )
    viewmats = reference.camera.viewmats
    heights = -(viewmats[:, :3, :3].mT @ viewmats[:, :3, 3:])[:, 1, 0]
    assert float(heights.min()) >= 0.1 - 1e-4


def test_a_cut_beginning_is_told() -> None:
    _, seen = seen_walking(60)
    reference = reference_from_landmarks(
        WatchedPerson(without(seen, slice(0, 18)), 30.0, SIZE), beliefs=QUICK, name="late"
    )
    assert reference.notes["offset"] == pytest.approx(0.6)
    assert reference.motion.num_frames == 42


def test_worse_film_has_worse_quality() -> None:
    _, seen = seen_walking()
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 1, seen.pixels.shape)).float()
    worse = Landmarks(
        seen.world + 0.05 * torch.nn.functional.pad(noise, (0, 1)), seen.pixels + 2 * noise, seen.visibility * 0.7
    )
    good, bad = (
        reference_from_landmarks(WatchedPerson(each, 30.0, SIZE), beliefs=QUICK, name="walk") for each in (seen, worse)
    )
    assert good.quality is not None and bad.quality is not None and bad.quality < good.quality - 0.1


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (lambda s: without(s, slice(5, 30)), r"in at least 60% of the frames of .*got 17%.*Choose"),
        (lambda s: replace(s, visibility=s.visibility * 0.1), r"at least 35% visible on average, got 10%.*Choose"),
        (
            lambda s: replace(s, world=s.world * (1 + torch.arange(30) % 2 * 2)[:, None, None]),
            r"keep their length within 30%, got 50%.*leave the clip out",
        ),
        (
            lambda s: replace(
                s, pixels=s.pixels[torch.randperm(30, generator=torch.Generator().manual_seed(0))].flip(1)
            ),
            r"within 5% of a person's height.*leave the clip out|Expected one run with a person",
        ),
    ],
)
def test_useless_clips_say_what_was_expected_seen_and_to_be_done(spoilt, words) -> None:
    _, seen = seen_walking()
    with pytest.raises(UnusableClipError, match=words):
        reference_from_landmarks(WatchedPerson(spoilt(seen), 30.0, SIZE), beliefs=QUICK, name="clip")


def test_settings_are_in_the_fingerprint(monkeypatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.10.21")
    prints = {
        VideoMotion().fingerprint,
        VideoMotion(focal=0.8).fingerprint,
        VideoMotion(person=1).fingerprint,
        VideoMotion(warm_up=0.5).fingerprint,
        VideoMotion(gate=Gate(gap=0.2)).fingerprint,
        VideoMotion(iterations=10).fingerprint,
    }
    assert len(prints) == 6
    assert all("0.10.21" in name for name in prints)
    assert VideoMotion().fingerprint == VideoMotion().fingerprint


def test_without_mediapipe_the_extra_is_named(monkeypatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setattr(importlib.metadata, "version", absent)
    words = r"Expected mediapipe 0\.10\.21 .*mediapipe is not installed.*extra `pose`"
    with pytest.raises(ImportError, match=words):
        MediapipeNetwork()
    with pytest.raises(ImportError, match=words):
        _ = VideoMotion().fingerprint


def test_a_missing_film_is_named(tmp_path) -> None:
    record = Record(key="k", path=tmp_path / "gone.mp4", label=0, subject="", camera="", start=0.0, end=1.0)
    with pytest.raises(FileNotFoundError, match=r"No such file: .*gone\.mp4.*Check"):
        VideoMotion().load(record)


@pytest.mark.parametrize("options", [{"focal": 0.0}, {"person": -1}, {"warm_up": -1.0}, {"iterations": 0}])
def test_impossible_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"Expected focal between .*got focal=.*Correct"):
        VideoMotion(**options)


@pytest.mark.pose
@needs_mediapipe
def test_film_without_a_person_is_unusable(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 3, 96, 128), dtype=np.uint8)
    write_video(tmp_path / "noise.mp4", torch.from_numpy(noise), fps=16.0)
    record = Record(key="noise", path=tmp_path / "noise.mp4", label=0, subject="", camera="", start=0.0, end=0.5)
    with pytest.raises(UnusableClipError, match=r"Expected one run with a person.*got 0%.*Choose"):
        VideoMotion().load(record)


def _row(root: Path, file: str, label: str) -> Record:
    with open(root / "clips.csv", newline="") as lines:
        row = next(row for row in csv.DictReader(lines) if row["file"] == file and row["class"] == label)
    start = float(row["t0"])
    return Record(key=file, path=root / file, label=0, subject="", camera="", start=start, end=start + 0.3)


@pytest.mark.pose
@needs_mediapipe
def test_real_film_gives_a_motion_that_lands_on_it(shared_data) -> None:
    root = shared_data / "gmdcsa24"
    if not root.is_dir():
        pytest.skip("shared/data/gmdcsa24 is absent")
    record = _row(root, "Subject 3/ADL/07.mp4", "Exercising")
    source = VideoMotion(warm_up=0.0, iterations=15)
    check_motion_source(source, record)
    assert source.load(record).notes["reprojection"] < 0.02


@pytest.mark.pose
@needs_mediapipe
def test_a_body_cut_at_the_thighs_still_lands(shared_data) -> None:
    path = shared_data / "intel_asl" / "asl_gestures" / "again.mkv"
    if not path.exists():
        pytest.skip("shared/data/intel_asl is absent")
    record = Record(key="again", path=path, label=0, subject="", camera="", start=0.5, end=0.9)
    reference = VideoMotion(warm_up=0.2, iterations=15).load(record)
    assert reference.notes["reprojection"] < 0.04
    assert reference.notes["inside"] < 0.95
