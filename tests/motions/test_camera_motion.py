"""Laws of cameras that move: known turns and zooms are recovered, still film stays as it is, crowds are told apart."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import joint_positions, mean_skeleton
from synthaug.motions.fitting.energy import project
from synthaug.motions.fitting.landmarks import Landmarks
from synthaug.motions.fitting.placement import FLIP
from synthaug.motions.pose.camera_motion import (
    Background,
    BackgroundFollower,
    CameraMotion,
    measure_camera,
    measure_focal,
)
from synthaug.motions.pose.reconstruction import FILM_BELIEFS, reference_from_landmarks
from synthaug.motions.pose.scenes import WatchedPerson
from synthaug.structures import Camera
from tests.motions.test_video_motion import landmarks_of, walking

SIZE = (240, 320)
FOCAL = 1.0
COUNT = 30


def lens(zoom: float = 1.0, size: tuple[int, int] = SIZE, focal: float = FOCAL) -> NDArray[np.float64]:
    pixels = focal * SIZE[1] * zoom
    return np.array([[pixels, 0, size[1] / 2], [0, pixels, size[0] / 2], [0, 0, 1]])


def wallpaper(seed: int = 0) -> UInt8[np.ndarray, "height width 3"]:
    """A far-off background, larger than any view: blotches of many sizes."""
    coarse = np.random.default_rng(seed).integers(0, 255, (70, 100, 3), dtype=np.uint8)
    return cv2.resize(coarse, (1000, 700), interpolation=cv2.INTER_CUBIC)


def film(
    turns: NDArray[np.float64], zooms: NDArray[np.float64], *, noise: float = 3.0, focal: float = FOCAL
) -> list[UInt8[np.ndarray, "height width 3"]]:
    """What a camera that turns (rotation vectors) and zooms sees of the wallpaper, with a sensor's noise."""
    paper, rng = wallpaper(), np.random.default_rng(1)
    back = np.linalg.inv(lens(size=paper.shape[:2], focal=focal))
    frames = []
    for turn, zoom in zip(turns, zooms, strict=True):
        clean = cv2.warpPerspective(paper, lens(zoom, focal=focal) @ cv2.Rodrigues(turn)[0] @ back, SIZE[::-1])
        frames.append(np.clip(clean + rng.normal(0, noise, clean.shape), 0, 255).astype(np.uint8))
    return frames


def follow(frames: list[UInt8[np.ndarray, "height width 3"]], boxes: NDArray[np.float64] | None = None) -> Background:
    follower = BackgroundFollower()
    for frame in frames:
        follower.add(frame)
    people = [np.zeros((0, 4)) if boxes is None else boxes] * len(frames)
    return Background(follower.links, people, follower.size)


def swing(kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turns and zooms of a second of film."""
    t = np.linspace(0, 1, COUNT)
    turns, zooms = np.zeros((COUNT, 3)), np.ones(COUNT)
    if kind == "pan":
        turns[:, 1] = np.radians(20) * t
    if kind == "zoom":
        zooms = np.exp(0.5 * t)
    if kind == "shake":
        for axis, (size, rate) in enumerate(((1.5, 5), (2.0, 3), (1.0, 4))):
            turns[:, axis] = np.radians(size) * np.sin(2 * np.pi * rate * t)
    if kind == "all":
        turns = np.radians([[5.0, -15.0, 4.0]]) * np.sin(4 * t)[:, None]
        zooms = np.exp(-0.3 * t)
    return turns, zooms


def errors(found: CameraMotion, turns: NDArray[np.float64], zooms: NDArray[np.float64]) -> tuple[float, float]:
    """Largest error of the turn against the first frame, degrees, and of the zoom, as a share."""
    truth = np.stack([cv2.Rodrigues(turn)[0] for turn in turns])
    apart = found.rotations @ (truth @ truth[0].T).swapaxes(1, 2)
    angles = np.degrees(np.arccos(np.clip((apart.trace(axis1=1, axis2=2) - 1) / 2, -1, 1)))
    return float(angles.max()), float(np.abs(found.zooms / (zooms / zooms[0]) - 1).max())


@pytest.mark.parametrize("kind", ["pan", "zoom", "shake", "all"])
def test_known_turns_and_zooms_are_recovered(kind: str) -> None:
    turns, zooms = swing(kind)
    found = measure_camera(follow(film(turns, zooms)), focal=FOCAL)
    turn, zoom = errors(found, turns, zooms)
    assert found.moves and found.grade() == 1.0
    assert turn < 0.3 and zoom < 0.01


def test_people_before_the_background_do_not_turn_the_camera() -> None:
    """A large thing that crosses the picture moves neither a camera at rest nor one that pans, box or no box."""
    turns, zooms = swing("pan")
    for moving in (False, True):
        frames = film(turns if moving else 0 * turns, zooms)
        for k, frame in enumerate(frames):
            frame[60:220, 20 + 6 * k : 110 + 6 * k] = wallpaper(5)[60:220, 20:110]
        found = measure_camera(follow(frames), focal=FOCAL)
        assert found.moves == moving
        assert errors(found, turns if moving else 0 * turns, zooms)[0] < 0.5


def test_a_camera_at_rest_moves_nothing_at_all() -> None:
    turns, zooms = swing("still")
    found = measure_camera(follow(film(turns, zooms, noise=6.0)), focal=FOCAL)
    seen = landmarks_of(walking(COUNT), Camera(FLIP.expand(COUNT, 4, 4), torch.eye(3).expand(COUNT, 3, 3), *SIZE))
    assert not found.moves and found.grade() == 1.0
    assert found.hold(seen, SIZE) is seen


def test_a_bare_wall_costs_nothing() -> None:
    plain = [np.full((*SIZE, 3), 128, np.uint8)] * COUNT
    found = measure_camera(follow(plain), focal=FOCAL)
    assert not found.moves and found.grade() == 1.0


def test_a_crowd_without_a_background_lowers_the_grade() -> None:
    """Patches that all go their own way agree with no camera."""
    rng = np.random.default_rng(2)
    paper = wallpaper(3)
    places = rng.uniform(0, 200, (60, 2))
    ways = rng.normal(0, 4, (60, 2))
    frames = []
    for k in range(COUNT):
        frame = np.full((*SIZE, 3), 90, np.uint8)
        for number, (place, way) in enumerate(zip(places, ways, strict=True)):
            x, y = ((place + k * way) % 280).astype(int).tolist()
            y = y % 200
            cut = paper[10 * (number % 60) : 10 * (number % 60) + 40, 15 * number : 15 * number + 40]
            frame[y : y + 40, x : x + cut.shape[1]] = cut[: SIZE[0] - y]
        frames.append(frame)
    assert measure_camera(follow(frames), focal=FOCAL).grade() < 0.5


def moving_camera(turns: NDArray[np.float64], zooms: NDArray[np.float64]) -> Camera:
    """The level camera of `walking`, turned and zoomed."""
    T = torch.eye(4).repeat(COUNT, 1, 1)
    T[:, :3, :3] = axis_angle_to_matrix(torch.from_numpy(turns).float())
    Ks = torch.stack([torch.from_numpy(lens(zoom)).float() for zoom in zooms])
    return Camera(T @ FLIP, Ks, SIZE[1], SIZE[0])


def look(turns: NDArray[np.float64], zooms: NDArray[np.float64]) -> WatchedPerson:
    """A perfect network's landmarks of somebody who walks before this camera, and its background."""
    camera = moving_camera(turns, zooms)
    motion = walking(COUNT)
    seen = landmarks_of(motion, camera)
    # The network sees shapes along the line to the person, in the picture's own axes.
    held = landmarks_of(motion, moving_camera(0 * turns, 1 + 0 * zooms))
    roll = torch.from_numpy(turns[:, 2]).float()
    x, y, z = held.world.unbind(-1)
    cos, sin = roll.cos()[:, None], roll.sin()[:, None]
    seen = Landmarks(torch.stack([cos * x - sin * y, sin * x + cos * y, z], -1), seen.pixels, seen.visibility)
    return WatchedPerson(seen, 30.0, SIZE, follow(film(turns, zooms)))


def path(found: Float[torch.Tensor, "time 3"]) -> Float[torch.Tensor, "time 3"]:
    return found - found.mean(0)


@pytest.mark.parametrize("kind", ["pan", "zoom", "shake"])
def test_the_persons_motion_is_the_persons(kind: str) -> None:
    """A camera that moves gives nearly the path that a still one gives, and its views land on the film's pixels."""
    quick = replace(FILM_BELIEFS, iterations=12)
    turns, zooms = swing(kind)
    watched = look(turns, zooms)
    found = reference_from_landmarks(watched, name="moving", focal=FOCAL, beliefs=quick)
    still = reference_from_landmarks(look(0 * turns, 1 + 0 * zooms), name="still", focal=FOCAL, beliefs=quick)
    ours, theirs = (joint_positions(one.motion, mean_skeleton())[:, :22] for one in (found, still))
    # The two worlds may be turned against each other about the vertical: compare lengths along the path.
    a, b = (path(joints[:, 0]).norm(dim=-1) for joints in (ours, theirs))
    assert float((a - b).abs().max()) < 0.12
    assert found.notes["part_camera"] == still.notes["part_camera"] == 1.0
    pixels, _ = project(ours, found.camera)
    truth, _ = project(joint_positions(walking(COUNT), mean_skeleton())[:, :22], moving_camera(turns, zooms))
    assert float((pixels - truth).norm(dim=-1).median()) < 4.0


def test_background_does_not_change_still_film() -> None:
    """Whether the background was looked at or not: the same bits."""
    turns, zooms = swing("still")
    watched = look(turns, zooms)
    quick = replace(FILM_BELIEFS, iterations=4)
    one = reference_from_landmarks(watched, name="still", focal=None, beliefs=quick)
    other = reference_from_landmarks(replace(watched, background=None), name="still", focal=None, beliefs=quick)
    assert torch.equal(one.motion.pose, other.motion.pose) and torch.equal(one.motion.transl, other.motion.transl)
    assert torch.equal(one.camera.viewmats, other.camera.viewmats) and torch.equal(one.camera.Ks, other.camera.Ks)
    assert one.quality == other.quality


@pytest.mark.parametrize("focal", [0.6, 1.4, 3.0])
def test_a_pan_tells_the_lens(focal: float) -> None:
    """Within a grid step, from the same shift of the picture; what stays in place tells nothing."""
    t = np.linspace(0, 1, COUNT)
    turns = np.stack([0.05 / focal * np.sin(5 * t), 0.35 / focal * t, 0 * t], axis=1)
    found = measure_focal(follow(film(turns, np.ones(COUNT), focal=focal)))
    assert found == pytest.approx(focal, rel=0.2)
    assert measure_focal(follow(film(0 * turns, np.ones(COUNT)))) is None


def test_shots_start_anywhere() -> None:
    """A shot that begins between two key frames gives the same camera as the whole film does there."""
    turns, zooms = swing("all")
    whole = follow(film(turns, zooms))
    part = measure_camera(whole.between(7, COUNT), focal=FOCAL)
    turn, zoom = errors(part, turns[7:], zooms[7:])
    assert turn < 0.4 and zoom < 0.015
