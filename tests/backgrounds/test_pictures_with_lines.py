"""Pictures without depth: up by their straight lines, who stands there, and pictures whose lines say nothing."""

import math

import cv2
import numpy as np
import pytest
import torch

from benchmarks.grounds import aim, photograph
from synthaug.backgrounds.images import Images
from synthaug.backgrounds.picture.floors import NoFloorError
from synthaug.backgrounds.picture.lines import find_horizon, pitch_and_roll
from synthaug.testing.backgrounds import check_background
from synthaug.testing.cameras import example_camera

SIZE = (360, 480)


def camera_at(pitch_deg, roll_deg=0.0, height=1.5):
    """A camera in the middle of a room of 6 m that looks down."""
    ahead = np.array([0.3, height - math.tan(math.radians(pitch_deg)), -1.0])
    return aim(np.array([0.0, height, 1.5]), ahead + [0, 0, 1.5], roll_deg=roll_deg, fov_deg=65, size=SIZE)


def up_of(camera):
    return camera.viewmats[0, :3, :3].double().numpy() @ [0.0, 1.0, 0.0]


def draw_room(camera, *, boxes=8):
    """Edges of a room and of boxes in it, as a camera sees them: lines along three directions."""
    picture = np.full((*SIZE, 3), 160, np.uint8)
    rng = np.random.default_rng(3)
    corners = [((-3, 0, -3), (3, 2.6, 3))]
    for _ in range(boxes):
        low = np.array([rng.uniform(-2.5, 2), 0, rng.uniform(-2.8, -0.5)])
        corners.append((tuple(low), tuple(low + rng.uniform(0.4, 1.4, 3))))
    for low, high in corners:
        ends = np.array([low, high])
        for axis in range(3):
            for a in (0, 1):
                for b in (0, 1):
                    one = np.empty((2, 3))
                    one[:, axis] = ends[:, axis]
                    one[:, (axis + 1) % 3], one[:, (axis + 2) % 3] = ends[a, (axis + 1) % 3], ends[b, (axis + 2) % 3]
                    _draw(picture, camera, one, tuple(int(v) for v in rng.integers(0, 100, 3)))
    return picture


def _draw(picture, camera, ends, color):
    viewmat, K = camera.viewmats[0].double().numpy(), camera.Ks[0].double().numpy()
    seen = ends @ viewmat[:3, :3].T + viewmat[:3, 3]
    if seen[:, 2].max() < 0.1:
        return
    near = seen[:, 2] < 0.1
    if near.any():  # cut off at the camera
        inner, outer = seen[~near][0], seen[near][0]
        seen[near] = inner + (outer - inner) * (inner[2] - 0.1) / (inner[2] - outer[2])
    pixels = (seen @ K.T)[:, :2] / seen[:, 2:]
    first, last = (tuple(int(round(16 * (v - 0.5))) for v in pixel) for pixel in pixels)
    cv2.line(picture, first, last, color, 2, cv2.LINE_AA, shift=4)


@pytest.mark.parametrize("pitch", [-12.0, 0.0, 9.0, 28.0])
@pytest.mark.parametrize("roll", [-7.0, 0.0, 4.0])
def test_up_is_where_the_edges_of_a_room_point(pitch, roll):
    camera = camera_at(pitch, roll)
    horizon = find_horizon(draw_room(camera), camera.Ks[0].double().numpy())
    (found_pitch, found_roll), (true_pitch, true_roll) = pitch_and_roll(horizon.up), pitch_and_roll(up_of(camera))
    assert found_pitch == pytest.approx(true_pitch, abs=0.5) and found_roll == pytest.approx(true_roll, abs=0.5)
    assert np.linalg.norm(horizon.up) == pytest.approx(1)


def test_rendered_rooms_are_read_as_they_were_photographed():
    shots = [photograph(seed, size=(480, 640)) for seed in range(4)]
    horizons = [find_horizon(shot.picture, shot.camera.Ks[0].double().numpy()) for shot in shots]
    errors = [
        np.subtract(pitch_and_roll(horizon.up), pitch_and_roll(up_of(shot.camera)))
        for horizon, shot in zip(horizons, shots, strict=True)
    ]
    doubts = [horizon.doubt_deg for horizon in horizons]
    assert np.abs(errors).max() < 0.5
    # What the picture says of its own error is of the error's size: some four of their standard deviations at most.
    assert (np.abs(errors) < 4 * np.array(doubts) + 0.05).all()


@pytest.mark.parametrize("kind", ["even", "noise", "strokes", "one pixel"])
def test_pictures_that_are_not_built_of_straight_lines_are_refused_in_words(kind):
    rng = np.random.default_rng(0)
    picture = {
        "even": np.full((*SIZE, 3), 90, np.uint8),
        "noise": rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8),
        "strokes": np.full((*SIZE, 3), 128, np.uint8),
        "one pixel": np.zeros((1, 1, 3), np.uint8),
    }[kind]
    if kind == "strokes":
        for _ in range(60):
            ends = rng.integers(0, 480, (2, 2)).tolist()
            cv2.line(picture, tuple(ends[0]), tuple(ends[1]), rng.integers(0, 255, 3).tolist(), 2)
    K = np.array([[400.0, 0, picture.shape[1] / 2], [0, 400.0, picture.shape[0] / 2], [0, 0, 1]])
    with pytest.raises(NoFloorError, match="It is shown flat"):
        find_horizon(picture, K)


def test_a_guessed_lens_leaves_more_doubt_the_more_the_camera_looks_down():
    doubts = []
    for pitch in (0.0, 12.0):
        camera = camera_at(pitch)
        K, picture = camera.Ks[0].double().numpy(), draw_room(camera)
        known, guessed = (find_horizon(picture, K, focal_doubt=doubt).doubt_deg[0] for doubt in (0.0, 0.15))
        doubts.append(guessed - known)
    assert doubts[0] < 0.1 < 1.0 < doubts[1]
    steep = camera_at(35.0)
    with pytest.raises(NoFloorError, match="Expected straight lines that tell pitch and roll to"):
        find_horizon(draw_room(steep), steep.Ks[0].double().numpy(), focal_doubt=0.15)


def save(root, pitch=8.0):
    root.mkdir(exist_ok=True)
    cv2.imwrite(str(root / "a.png"), draw_room(camera_at(pitch)))
    (root / "captions.csv").write_text("file,fov_deg\na.png,65\n")
    return root


def test_people_stand_upright_in_the_lower_part_of_the_picture(tmp_path):
    images = Images(save(tmp_path, pitch=8.0), lines=True)
    images.prepare([])
    assert images.refused == {}
    camera = example_camera(frames=2, height=120, width=120)
    for seed in range(6):
        values = images.sample(np.random.default_rng(seed))
        scene = images.scene(values, camera)
        assert scene.camera is not None and scene.spot is not None and scene.depth is not None
        foot = torch.tensor([scene.spot])
        head = foot + torch.tensor([[0.0, 1.75, 0.0]])
        (at_foot, at_head), depths = _pixels(torch.cat([foot, head]), scene.camera)
        assert 0 <= at_head[1] < at_foot[1] <= 120 and 0 <= at_foot[0] <= 120
        # Nothing is in front of them: at the feet the floor itself, elsewhere what is farther.
        row, column = min(int(at_foot[1]), 119), min(int(at_foot[0]), 119)
        assert float(scene.depth[row, column]) > 0.95 * depths[0]
        assert float(scene.depth[int(at_head[1]), int(at_head[0])]) > depths[1]
    check_background(images)


def _pixels(points, camera):
    seen = points @ camera.viewmats[0, :3, :3].mT + camera.viewmats[0, :3, 3]
    pixels = (seen @ camera.Ks[0].mT)[:, :2] / seen[:, 2:]
    return pixels.tolist(), seen[:, 2].tolist()


def test_recipes_without_a_spot_stay_flat_and_pictures_without_lines_are(tmp_path, caplog):
    images = Images(save(tmp_path), lines=True)
    camera = example_camera()
    old = {"file": "a.png", "zoom": 1.0, "x": 0.5, "y": 0.5}
    plain = Images(tmp_path)
    assert torch.equal(images.scene(old, camera).frames, plain.scene(old, camera).frames)
    assert images.scene(old, camera).camera is None and "spot" not in plain.sample(np.random.default_rng(0))
    assert images.fingerprint != plain.fingerprint
    cv2.imwrite(str(tmp_path / "b.png"), np.full((*SIZE, 3), 90, np.uint8))
    images = Images(tmp_path, lines=True)
    with caplog.at_level("INFO"):
        images.prepare([])
    assert set(images.refused) == {"b.png"} and "1 of 2 pictures without depth give no place to stand" in caplog.text
    assert "Straight lines give the floor of 1 of 2 pictures, with a median doubt of" in caplog.text
    assert images.scene({**old, "file": "b.png", "spot": 0.5}, camera).camera is None


def test_pictures_that_only_one_library_reads_have_a_usual_lens(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tif"), draw_room(camera_at(8.0)).astype(np.float32) / 255)
    images = Images(tmp_path, lines=True, fov_deg=65)
    images.prepare([])
    assert images.refused == {}


def test_a_camera_that_looks_up_is_told_so(tmp_path):
    images = Images(save(tmp_path, pitch=-20.0), lines=True)
    images.prepare([])
    assert "a camera that looks up by" in images.refused["a.png"]
