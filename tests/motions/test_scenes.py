"""Laws of the scene told by film: parametric actions before known cameras, seen as a detector would see them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import joint_positions, lowest_heights, mean_skeleton
from synthaug.motions.actions import Actions
from synthaug.motions.fitting.energy import body_kinematics, project
from synthaug.motions.fitting.landmarks import USED, Landmarks, landmark_markers
from synthaug.motions.fitting.markers import NUM_BODY
from synthaug.motions.fitting.placement import FLIP, intrinsics, leveling_rotation
from synthaug.motions.fitting.starts import rotation_onto
from synthaug.motions.pose.reconstruction import FILM_BELIEFS, reference_from_landmarks
from synthaug.motions.pose.scenes import (
    PRIOR_HEIGHT,
    PRIOR_LOG_FOCAL,
    PRIOR_PITCH_DEG,
    PRIOR_ROLL_DEG,
    PRIOR_VIEW_DEG,
    Standpoint,
    WatchedPerson,
    estimate_standpoint,
)
from synthaug.structures import Camera, Motion, Record

SKELETON = mean_skeleton()
SIZE = (480, 640)
PRIOR_FOCAL = 0.5 / math.tan(math.radians(PRIOR_VIEW_DEG) / 2)


SEEN = (
    # Action, focal length, pitch, height, distance.
    ("walk", 0.65, -5.0, 0.9, 4.0),
    ("walk", 0.9, 15.0, 2.4, 5.6),
    ("walk", 1.2, 30.0, 2.8, 4.5),
    ("hand waving", 0.65, 0.0, 1.5, 4.0),
    ("hand waving", 0.9, 15.0, 1.5, 2.5),
    ("sit down", 0.65, 15.0, 2.4, 5.6),
    ("sit down", 0.9, 30.0, 2.4, 3.0),
    ("throw", 0.9, -5.0, 0.9, 4.0),
    ("throw", 1.2, 15.0, 2.4, 5.6),
)


def performed(action: str, seed: int) -> Motion:
    motion = Actions(fps=12.5).load(Record(f"{action}/street/{seed}", Path(), 0, "", "", 0.0, 4.0)).motion
    return Motion.from_pose(motion.pose.float(), motion.transl.float(), fps=motion.fps)


def camera_at(*, focal: float, pitch_deg: float, height: float, distance: float = 4.0, roll_deg: float = 0.0) -> Camera:
    """Looks along -z from this height and so far before the origin."""
    T_world_level = torch.eye(4)
    T_world_level[:3, :3] = leveling_rotation(pitch_deg, roll_deg)
    T_world_level[:3, 3] = torch.tensor([0.0, height, distance])
    K = intrinsics(SIZE[1], SIZE[0], focal)
    return Camera((FLIP @ torch.linalg.inv(T_world_level))[None], K[None], SIZE[1], SIZE[0])


def watched(motion: Motion, camera: Camera, rng: np.random.Generator, *, noise: float = 1.0) -> WatchedPerson:
    """What a detector says: shapes as if it looked straight at the hips, with noise and a lean of its own."""
    R, joints = body_kinematics(axis_angle_to_matrix(motion.pose)[:, :NUM_BODY], motion.transl, SKELETON)
    points = landmark_markers().place(R, joints)
    time = len(points)
    camera = replace(camera, viewmats=camera.viewmats.expand(time, 4, 4), Ks=camera.Ks.expand(time, 3, 3))
    pixels, depth = project(points, camera)
    inside = points @ camera.viewmats[:, :3, :3].mT + camera.viewmats[:, None, :3, 3]
    hips = inside[:, [USED.index(23), USED.index(24)]].mean(1, keepdim=True)
    ahead = torch.tensor([0.0, 0.0, 1.0]).expand(time, 3)
    turn = rotation_onto(torch.nn.functional.normalize(hips[:, 0], dim=-1), ahead)
    bias = axis_angle_to_matrix(torch.tensor([noise * rng.normal(0, math.radians(3)), 0.0, 0.0]))
    shape = torch.einsum("ij,tjk,tmk->tmi", bias, turn, inside - hips)
    shape = shape + torch.from_numpy(noise * rng.normal(0, 0.02, shape.shape)).float()
    person = 1.7 * camera.Ks[0, 0, 0] / depth.mean()
    pixels = pixels + torch.from_numpy(noise * rng.normal(0, 0.008, pixels.shape)).float() * person
    world, found = torch.zeros(time, 33, 3), torch.zeros(time, 33, 2)
    world[:, list(USED)], found[:, list(USED)] = shape, pixels
    return WatchedPerson(Landmarks(world, found, torch.ones(time, 33)), motion.fps, SIZE)


@pytest.fixture(scope="module")
def told() -> list[tuple[tuple[str, float, float, float, float], Standpoint]]:
    """What is made of each case of SEEN."""
    rows = []
    for seed, (action, focal, pitch, height, away) in enumerate(SEEN):
        camera = camera_at(focal=focal, pitch_deg=pitch, height=height, distance=away)
        clip = watched(performed(action, seed), camera, np.random.default_rng(seed))
        rows.append(((action, focal, pitch, height, away), estimate_standpoint([clip], SKELETON)))
    return rows


def test_errors_are_within_bounds(told) -> None:
    for (action, focal, pitch, height, _), found in told:
        # Who walks tells pitch by the floor, who stays by the lean alone, in which the detector is 3 degrees off.
        assert found.pitch_deg == pytest.approx(pitch, abs=5 if action == "walk" else 10), action
        assert found.height == pytest.approx(height, rel=0.2 if action == "walk" else 0.5), action
        assert found.focal == pytest.approx(focal, rel=0.4), action
        assert found.roll_deg == pytest.approx(0, abs=2.5), action


def test_errors_are_as_large_as_said(told) -> None:
    z = np.array(
        [
            (
                math.log(found.focal / focal) * found.focal / found.focal_sd,
                (found.pitch_deg - pitch) / found.pitch_sd_deg,
                math.log(found.height / height) * found.height / found.height_sd,
                found.roll_deg / found.roll_sd_deg,
            )
            for (_, focal, pitch, height, _), found in told
        ]
    )
    # Three deviations for the worst of 36; 1.6 for the root mean square of nine: one in a thousand has more.
    assert np.abs(z).max() < 3
    assert np.sqrt((z**2).mean(0)).max() < 1.6


def test_a_walker_before_a_known_lens_tells_pitch_roll_and_height() -> None:
    camera = camera_at(focal=0.8, pitch_deg=12.0, height=1.8, distance=5.0, roll_deg=4.0)
    clip = watched(performed("walk", 1), camera, np.random.default_rng(0), noise=0.0)
    found = estimate_standpoint([clip], SKELETON, focal=0.8)
    assert (found.focal, found.focal_sd) == (pytest.approx(0.8), pytest.approx(0, abs=1e-6))
    assert found.pitch_deg == pytest.approx(12, abs=2)
    assert found.height == pytest.approx(1.8, rel=0.1)
    # Held towards level by the prior: four degrees are two deviations of it.
    assert 2.5 < found.roll_deg < 4.5
    assert found.evidence > 0.8


def test_clips_of_one_camera_tell_more_together() -> None:
    camera = camera_at(focal=0.7, pitch_deg=15.0, height=2.2, distance=5.0)
    rng = np.random.default_rng(5)
    clips = [watched(performed("walk", seed), camera, rng) for seed in range(3)]
    alone, together = estimate_standpoint(clips[:1], SKELETON), estimate_standpoint(clips, SKELETON)
    assert together.pitch_sd_deg < alone.pitch_sd_deg
    assert together.height_sd / together.height < alone.height_sd / alone.height
    assert together.pitch_deg == pytest.approx(15, abs=5)


def unseen_legs(clip: WatchedPerson) -> WatchedPerson:
    visibility = clip.seen.visibility.clone()
    visibility[:, 25:] = 0.1
    return replace(clip, seen=replace(clip.seen, visibility=visibility))


def nobody(clip: WatchedPerson) -> WatchedPerson:
    gone = torch.full_like(clip.seen.pixels, torch.nan)
    return replace(clip, seen=Landmarks(torch.full_like(clip.seen.world, torch.nan), gone, 0 * clip.seen.visibility))


def asleep(clip: WatchedPerson) -> WatchedPerson:
    """The picture turned by a quarter: a person who lies throughout."""
    x, y = clip.seen.pixels.unbind(-1)
    wx, wy, wz = clip.seen.world.unbind(-1)
    pixels, world = torch.stack([y, 480 - x + 80], -1), torch.stack([wy, -wx, wz], -1)
    return replace(clip, seen=Landmarks(world, pixels, clip.seen.visibility))


@pytest.mark.parametrize("spoilt", [unseen_legs, nobody, asleep, None])
def test_what_tells_nothing_leaves_the_stated_prior(spoilt) -> None:
    camera = camera_at(focal=0.8, pitch_deg=20.0, height=2.2)
    clips = [] if spoilt is None else [spoilt(watched(performed("walk", 0), camera, np.random.default_rng(0)))]
    found = estimate_standpoint(clips, SKELETON)
    assert found.evidence == 0
    assert found.focal == pytest.approx(PRIOR_FOCAL, rel=0.01)
    assert found.focal_sd == pytest.approx(PRIOR_FOCAL * PRIOR_LOG_FOCAL, rel=0.05)
    assert (found.pitch_deg, found.roll_deg) == (pytest.approx(0, abs=0.3), 0)
    assert found.pitch_sd_deg == pytest.approx(PRIOR_PITCH_DEG, rel=0.05)
    assert found.roll_sd_deg == PRIOR_ROLL_DEG
    assert found.height == pytest.approx(PRIOR_HEIGHT[0], rel=0.01)
    assert found.height_sd == pytest.approx(PRIOR_HEIGHT[0] * PRIOR_HEIGHT[1], rel=0.05)


def test_less_film_leaves_more_open() -> None:
    camera = camera_at(focal=0.8, pitch_deg=20.0, height=2.2)
    clip = watched(performed("walk", 0), camera, np.random.default_rng(0))
    whole, glance = (
        estimate_standpoint([clip], SKELETON),
        estimate_standpoint([replace(clip, seen=clip.seen.between(10, 12))], SKELETON),
    )
    assert glance.pitch_sd_deg > 1.3 * whole.pitch_sd_deg
    assert abs(glance.pitch_deg - 20) < 3 * glance.pitch_sd_deg


def test_pictures_of_two_sizes_are_no_one_camera() -> None:
    clip = watched(performed("walk", 0), camera_at(focal=0.8, pitch_deg=0.0, height=1.5), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"pictures of one size, got .*\(240, 320\).*Group"):
        estimate_standpoint([clip, replace(clip, size=(240, 320))], SKELETON)


@pytest.mark.parametrize("action", ["lie down", "walk"])
def test_people_out_of_film_stay_on_the_floor_though_the_camera_looks_down(action: str) -> None:
    camera = camera_at(focal=0.8, pitch_deg=20.0, height=2.2, distance=4.5)
    clip = watched(performed(action, 3), camera, np.random.default_rng(1))
    beliefs = replace(FILM_BELIEFS, iterations=20)
    reference = reference_from_landmarks(clip, name=action, beliefs=beliefs)
    heights = lowest_heights(joint_positions(reference.motion, SKELETON))
    # Sunk and floating alike: a hand's breadth at worst, as distances are 6 % off and the camera 2.2 m up.
    assert heights.abs().max() < 0.15
    assert heights.abs().median() < 0.05
    notes = reference.notes
    assert abs(notes["pitch_deg"] - 20) < 3 * notes["pitch_sd_deg"]
    assert abs(notes["camera_height"] - 2.2) < 3 * notes["camera_height_sd"]
    # The view that is handed on is the estimated one: so high, looking down by so much.
    T_world_camera = torch.linalg.inv(reference.camera.viewmats[0])
    assert T_world_camera[1, 3] == pytest.approx(notes["camera_height"], abs=1e-3)
    assert -T_world_camera[1, 2] == pytest.approx(math.sin(math.radians(notes["pitch_deg"])), abs=1e-4)
    assert float(reference.camera.Ks[0, 0, 0]) == pytest.approx(notes["focal"] * 640, rel=1e-4)
