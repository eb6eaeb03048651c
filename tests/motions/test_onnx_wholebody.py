"""Laws of whole-body models in ONNX files: tiny models of the right signature, whose answers are known."""

import importlib.util
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxfiles import write_detector, write_pose_model

from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton
from synthaug.motions import UnusableClipError
from synthaug.motions.fitting.energy import project
from synthaug.motions.onnx_wholebody import OnnxWholebody
from synthaug.motions.pose.simcc import (
    POINTS,
    BoxModel,
    Crop,
    WholebodyModel,
    cut_crop,
    decode_simcc,
    overlap,
    place_crop,
    read_boxes,
    suppress_duplicates,
)
from synthaug.structures import Record
from synthaug.testing.motions import check_motion_source
from synthaug.video import write_video

needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed (the extra `onnx`)"
)
SIZE = (64, 48)
BODY = np.zeros((POINTS, 2), int)
"""Columns and rows of the keypoints about the hips' middle; nose, eyes and ears, then arms, then legs, then feet."""
BODY[:23] = [
    (0, -17), (1, -18), (-1, -18), (2, -17), (-2, -17), (4, -12), (-4, -12), (6, -6), (-6, -6), (6, 0), (-6, 0),
    (2, 0), (-2, 0), (2, 8), (-2, 8), (2, 16), (-2, 16), (3, 18), (4, 18), (2, 18), (-3, 18), (-4, 18), (-2, 18),
]  # fmt: skip
SEEN = np.where(np.arange(POINTS) < 23, 0.4, 0.0)


def bright(x: float, y: float, *, height: int = 240, width: int = 320) -> np.ndarray:
    """A dark picture with a bright spot about a place in pixels."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 16.0**2))
    return np.repeat(spot[..., None], 3, axis=2).round().astype(np.uint8)


def filmed(path: Path, count: int = 30) -> tuple[Record, np.ndarray]:
    """A film of a spot that walks, and its columns."""
    columns = np.linspace(110.0, 210.0, count)
    frames = np.stack([bright(x, 120.0) for x in columns])
    write_video(path, torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous(), fps=15.0)
    return Record("walk", path, 0, "", "", 0.0, count / 15.0), columns


def test_peaks_are_read_by_the_rule_of_simcc() -> None:
    """The k-th of n bins lies k / n of the crop's side from its corner; the score is the smaller peak."""
    rng = np.random.default_rng(0)
    x, y = np.zeros((POINTS, 96)), np.zeros((POINTS, 128))
    at = np.stack([rng.integers(0, 96, POINTS), rng.integers(0, 128, POINTS)], axis=1)
    peaks = rng.uniform(0.1, 1.2, (POINTS, 2))
    x[np.arange(POINTS), at[:, 0]], y[np.arange(POINTS), at[:, 1]] = peaks.T
    x[0], y[0] = -1.0, -1.0
    points, scores = decode_simcc(x, y, Crop(100.0, 50.0, 60.0, 80.0))
    truth = at / 2.0 / [48, 64] * [60.0, 80.0] + np.array([100.0, 50.0]) - np.array([60.0, 80.0]) / 2
    np.testing.assert_allclose(points[1:], truth[1:])
    np.testing.assert_allclose(scores[1:], peaks[1:].min(1))
    assert scores[0] == 0


def test_crops_are_padded_and_have_the_input_s_aspect() -> None:
    assert place_crop((10.0, 20.0, 50.0, 100.0), SIZE) == Crop(30.0, 60.0, 75.0, 100.0)
    assert place_crop((0.0, 0.0, 120.0, 40.0), SIZE) == Crop(60.0, 20.0, 150.0, 200.0)


def test_crops_are_normalised_in_rgb_and_black_beyond_the_picture() -> None:
    frame = np.full((100, 100, 3), (200, 100, 50), np.uint8)
    planes = cut_crop(frame, Crop(100.0, 50.0, 60.0, 80.0), SIZE)
    inside, outside = planes[:, 30, 4], planes[:, 30, 44]
    mean, deviation = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    np.testing.assert_allclose(inside, ([200, 100, 50] - mean) / deviation, rtol=1e-4)
    np.testing.assert_allclose(outside, -mean / deviation, rtol=1e-4)


@needs_onnx
@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_many_crops_at_once_say_what_each_says_alone(tmp_path, batch) -> None:
    model = WholebodyModel(write_pose_model(tmp_path / "pose.onnx", BODY, SEEN, batch=batch))
    single = WholebodyModel(write_pose_model(tmp_path / "one.onnx", BODY, SEEN, batch=1))
    assert model.size == SIZE
    spots = [(60.0 + 9 * k, 100.0 + 2 * k) for k in range(19)]
    jobs = [(bright(*spot), (spot[0] - 60, spot[1] - 90, spot[0] + 50, spot[1] + 80)) for spot in spots]
    points, scores = model.look(jobs)
    assert points.shape == (19, POINTS, 2) and model.look([])[0].shape == (0, POINTS, 2)
    for k, job in enumerate(jobs):
        alone = single.look([job])
        np.testing.assert_array_equal(points[k], alone[0][0])
        np.testing.assert_allclose(scores[k], alone[1][0], rtol=1e-5)
        # The hips' middle is where the spot is, within a pixel of the input.
        crop = place_crop(job[1], SIZE)
        pixel = crop.width / SIZE[1]
        assert np.abs(points[k, [11, 12]].mean(0) - spots[k]).max() < pixel
        np.testing.assert_allclose(points[k, 5] - points[k, 11], np.array([2, -12]) * pixel, atol=1e-6)


@needs_onnx
@pytest.mark.parametrize("detector", [False, True])
def test_motion_follows_who_is_filmed(tmp_path, detector) -> None:
    record, columns = filmed(tmp_path / "walk.mp4")
    model = write_pose_model(tmp_path / "pose.onnx", BODY, SEEN)
    boxes = np.array([[[10.0, 10.0, 60.0, 60.0, 0.9]]], np.float32)
    finder = write_detector(tmp_path / "boxes.onnx", {"dets": boxes, "labels": np.zeros((1, 1), np.int64)})
    source = OnnxWholebody(model=str(model), detector=str(finder) if detector else None)
    found = source.load(record)
    assert found.motion.num_frames == 30 and found.motion.fps == pytest.approx(15.0)
    assert found.notes["people"] == 1 and found.notes["reprojection"] < 0.05
    hips = joint_positions(found.motion, mean_skeleton())[:, [JOINT["left_hip"], JOINT["right_hip"]]].mean(1)
    pixels, _ = project(hips[:, None], found.camera)
    assert np.abs(pixels[:, 0, 0].numpy() - columns).mean() < 8
    again = pickle.loads(pickle.dumps(source))
    assert again.fingerprint == source.fingerprint
    assert torch.equal(again.load(record).motion.pose, found.motion.pose)


@needs_onnx
def test_it_is_a_motion_source(tmp_path) -> None:
    record, _ = filmed(tmp_path / "walk.mp4", 20)
    model = write_pose_model(tmp_path / "pose.onnx", BODY, SEEN)
    check_motion_source(OnnxWholebody(model=str(model)), record)
    slow = OnnxWholebody(model=str(model), rate=5.0)
    assert slow.fingerprint != OnnxWholebody(model=str(model)).fingerprint
    assert slow.load(record).motion.fps == pytest.approx(5.0)
    other = write_pose_model(tmp_path / "other.onnx", BODY, 0.9 * SEEN)
    assert OnnxWholebody(model=str(other)).fingerprint != OnnxWholebody(model=str(model)).fingerprint


@needs_onnx
def test_film_of_nobody_is_refused(tmp_path) -> None:
    video = torch.zeros(10, 3, 240, 320, dtype=torch.uint8)
    write_video(tmp_path / "dark.mp4", video, fps=15.0)
    model = write_pose_model(tmp_path / "pose.onnx", BODY, SEEN)
    record = Record("dark", tmp_path / "dark.mp4", 0, "", "", 0.0, 0.6)
    with pytest.raises(UnusableClipError, match="found nobody"):
        OnnxWholebody(model=str(model)).load(record)


def test_boxes_of_a_grid_are_read_by_the_rule_of_yolox() -> None:
    grid = np.zeros((1, 8 * 8 + 4 * 4 + 2 * 2, 7), np.float32)
    grid[0, 8 * 3 + 5] = [0.5, 0.25, np.log(2.0), np.log(4.0), 0.9, 0.8, 0.1]
    grid[0, 64 + 4 * 1 + 2] = [0.0, 0.5, 0.0, np.log(0.5), 0.5, 0.9, 0.0]
    boxes, scores = read_boxes([grid], (64, 64))
    np.testing.assert_allclose(boxes[29], [44 - 8, 26 - 16, 44 + 8, 26 + 16], atol=1e-4)
    np.testing.assert_allclose(boxes[70], [32 - 8, 24 - 4, 32 + 8, 24 + 4], atol=1e-4)
    assert scores[29] == pytest.approx(0.72) and scores[70] == pytest.approx(0.45)
    assert suppress_duplicates(boxes, scores) == [29, 70]


def test_of_boxes_that_overlap_the_best_is_kept() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [40, 0, 50, 10]], float)
    assert overlap((0.0, 0.0, 10.0, 10.0), (5.0, 0.0, 15.0, 10.0)) == pytest.approx(1 / 3)
    assert overlap((0.0, 0.0, 10.0, 10.0), (10.0, 0.0, 15.0, 10.0)) == 0
    assert suppress_duplicates(boxes, np.array([0.6, 0.9, 0.7, 0.1])) == [1, 2]


@needs_onnx
def test_boxes_are_told_in_pixels_of_the_picture_and_only_of_people(tmp_path) -> None:
    dets = np.array([[[0, 6, 32, 38, 0.5], [10, 10, 20, 20, 0.9], [2, 2, 4, 4, 0.1]]], np.float32)
    labels = np.array([[0, 7, 0]], np.int64)
    model = BoxModel(write_detector(tmp_path / "boxes.onnx", {"dets": dets, "labels": labels}))
    assert model.find(np.zeros((128, 256, 3), np.uint8)) == [(0.0, 24.0, 128.0, 152.0)]


@needs_onnx
def test_files_that_are_no_such_model_are_named_with_where_such_models_are_had(tmp_path) -> None:
    few = write_pose_model(tmp_path / "few.onnx", BODY[:17], SEEN[:17])
    with pytest.raises(ValueError, match=r"of 133 keypoints, got input .*\[.*17, 96\].*open-mmlab/mmpose.*licence"):
        WholebodyModel(few)
    finder = write_detector(tmp_path / "boxes.onnx", {"dets": np.zeros((1, 1, 5), np.float32)})
    with pytest.raises(ValueError, match="whole-body pose model.*got input"):
        WholebodyModel(finder)
    with pytest.raises(ValueError, match="multiples of 32"):
        BoxModel(write_detector(tmp_path / "odd.onnx", {"dets": np.zeros((1, 1, 5), np.float32)}, size=(60, 64)))
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match="to be an ONNX model, got an error of onnxruntime.*DWPose"):
        WholebodyModel(tmp_path / "text.onnx")
    with pytest.raises(ValueError, match="Install onnxruntime-gpu .* or set synth.motion.device=cpu"):
        WholebodyModel(few, device="cuda")


def test_a_missing_file_and_a_missing_library_are_told(tmp_path, monkeypatch) -> None:
    absent = OnnxWholebody(model=str(tmp_path / "absent.onnx"))
    for ask in (lambda: absent.fingerprint, lambda: WholebodyModel(tmp_path / "absent.onnx")):
        with pytest.raises(FileNotFoundError, match="No such file: .*absent.onnx.*synth.motion.model"):
            ask()
    model = write_pose_model(tmp_path / "pose.onnx", BODY, SEEN)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="Install the extra `onnx`"):
        WholebodyModel(model)


@pytest.mark.parametrize("wrong", [{"device": "tpu"}, {"rate": 0.0}, {"person": -1}, {"focal": 0.1}])
def test_settings_that_cannot_be_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match="Correct|Expected"):
        OnnxWholebody(model="pose.onnx", **wrong)
