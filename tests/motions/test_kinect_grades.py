"""Laws of grades on sensors as they are: honest recordings pass, planted mistakes do not, fits bend no joint."""

import numpy as np
import pytest
import torch
from skeletonfiles import MEAN, ntu_body, ntu_file, performance

from benchmarks.kinect import ARMS, FEET, KinectRecording, imitate_kinect, track_of
from synthaug.body.limits import excess, keep_within
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from synthaug.body.skeleton import JOINT
from synthaug.motions.fitting.corruption import CORRUPTIONS
from synthaug.motions.fitting.fit import fit_many
from synthaug.motions.fitting.layouts import NTU_25
from synthaug.motions.fitting.markers import Track
from synthaug.motions.fitting.quality import Quality, assess
from synthaug.motions.fitting.recovery import recover
from synthaug.motions.ntu_skeleton import NtuSkeleton
from synthaug.structures import Motion, Record

ACTIONS = ("drink water", "read", "hand waving", "walk")


def recorded(action: str, seed: int, *, inferred: float) -> KinectRecording:
    motion = performance(action, 2.0)
    return imitate_kinect(motion, np.random.default_rng(seed), inferred=inferred, side=("left", "right")[seed % 2])


def graded(recording: KinectRecording) -> tuple[float, dict[str, float]]:
    (found,) = recover([track_of(recording)])
    return found.quality, found.notes


@pytest.mark.parametrize("inferred", [0.5, 0.9])
@pytest.mark.parametrize(("seed", "action"), list(enumerate(ACTIONS)))
def test_a_kinects_habits_are_no_faults(action: str, seed: int, inferred: float) -> None:
    quality, notes = graded(recorded(action, seed, inferred=inferred))
    assert quality >= 0.7
    assert notes["part_life"] == 1.0


def test_feet_that_stand_exactly_still_are_no_fault() -> None:
    recording = recorded("drink water", 1, inferred=0.5)
    recording.points[:, list(FEET)] = recording.points[0, list(FEET)]
    quality, notes = graded(recording)
    assert quality >= 0.7
    assert notes["part_life"] == 1.0


def test_an_inferred_arm_that_hangs_rigidly_on_its_shoulder_is_no_fault_but_a_measured_one_is() -> None:
    recording = recorded("read", 0, inferred=0.8)
    shoulder, arm = 8, list(ARMS["left"])
    guessed = np.flatnonzero(recording.states[:, arm[0]] == 1)
    recording.points[np.ix_(guessed, arm)] = (
        recording.points[guessed[0], arm]
        - recording.points[guessed[0], shoulder]
        + recording.points[guessed, [shoulder]][:, None]
    )
    honest, notes = graded(recording)
    assert notes["part_life"] == 1.0
    recording.states[:] = 2
    claimed, notes = graded(recording)
    assert notes["part_life"] < 0.2
    assert claimed < 0.2 < 0.6 < honest


def judged(track: Track) -> Quality:
    markers = NTU_25.markers(MEAN)
    (motion,) = fit_many([track], markers, MEAN)
    return assess(track, motion, markers, MEAN)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_mistakes_in_a_kinects_recording_are_told_apart(kind: str) -> None:
    honest, spoilt = [], []
    for seed, action in enumerate(ACTIONS):
        whole = track_of(recorded(action, seed, inferred=0.5))
        confidence = whole.confidence[:, NTU_25.points] * NTU_25.trust
        track = Track(whole.points[:, NTU_25.points], confidence, 30.0)
        honest.append(judged(track).score)
        planted = CORRUPTIONS[kind](track, NTU_25.markers(MEAN), np.random.default_rng([5, seed]))
        spoilt.append(judged(planted).score)
    assert np.mean([good > bad for good in honest for bad in spoilt]) >= 0.95


def test_a_recording_on_disk_is_graded_as_it_is(tmp_path) -> None:
    recording = recorded("drink water", 3, inferred=0.7)
    points = recording.points * [1, 1, -1] + [0, -0.9, 3.0]
    pixels = points[..., :2] / points[..., 2:] * [1060, -1060] + [960, 540]
    rows = zip(points, pixels, recording.states, strict=True)
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text(ntu_file([[ntu_body(p, q, states=s)] for p, q, s in rows]))
    assert NtuSkeleton().load(Record("a", path, 0, "", "", 0.0, 60.0)).quality >= 0.7


def test_fits_end_within_the_ranges_of_joints() -> None:
    # A forearm 40 degrees out of the elbow's plane and a head on the shoulder: no person can, and no fit may.
    recording = recorded("read", 0, inferred=0.5)
    rng = np.random.default_rng(0)
    recording.points[:, [6, 7, 10, 11, 3]] += rng.normal(0, 0.12, (5, 3))
    (found,) = recover([track_of(recording)])
    assert max(float(degrees.max()) for degrees in excess(found.motion).values()) < 0.5


def test_rotations_are_kept_within_their_range_and_others_left_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    local = axis_angle_to_matrix(0.8 * torch.randn(200, 22, 3, generator=generator).double())
    held = torch.cat([keep_within(frame[None]) for frame in local])
    torch.testing.assert_close(held @ held.mT, torch.eye(3).double().expand_as(held), atol=1e-9, rtol=0)
    pose = torch.cat([matrix_to_axis_angle(held), torch.zeros(200, 33, 3)], dim=1)
    beyond = excess(Motion.from_pose(pose, torch.zeros(200, 3), fps=30.0))
    assert max(float(degrees.max()) for degrees in beyond.values()) < 1.0
    for name, degrees in excess(_motion_of(local)).items():
        untouched = degrees == 0
        torch.testing.assert_close(held[untouched, JOINT[name]], local[untouched, JOINT[name]], atol=1e-12, rtol=0)
    torch.testing.assert_close(held[:, 0], local[:, 0])


def test_a_joint_that_turns_right_round_is_not_torn() -> None:
    angles = torch.linspace(0, 2 * np.pi, 60).double()
    pose = torch.zeros(60, 22, 3).double()
    pose[:, JOINT["left_shoulder"], 0] = angles
    local = axis_angle_to_matrix(pose)
    held = keep_within(local)
    steps = (held[1:] - held[:-1]).norm(dim=(-1, -2))
    assert float(steps.max()) < 1.5 * float((local[1:] - local[:-1]).norm(dim=(-1, -2)).max())


def _motion_of(local: torch.Tensor) -> Motion:
    pose = torch.cat([matrix_to_axis_angle(local), torch.zeros(len(local), 33, 3)], dim=1)
    return Motion.from_pose(pose, torch.zeros(len(local), 3), fps=30.0)
