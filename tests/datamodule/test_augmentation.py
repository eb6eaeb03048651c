"""Ordinary augmentation: sampled once for each clip; operations agree with PIL."""

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from synthaug.datamodule.augmentation import Augmentation, LabelledAugmentation
from synthaug.datamodule.clips import FilmedClips
from synthaug.datamodule.randaugment import OPERATIONS, apply_operations, sample_operations
from synthaug.structures import ClipFormat, Record
from synthaug.video import write_video


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(20, 200, (6, 6, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((48, 48), Image.Resampling.BICUBIC))


def ours(picture, *operations):
    video = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]
    return apply_operations(video, operations)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("operations", "theirs"),
    [
        (["equalize", 0.5], ImageOps.equalize),
        (["autocontrast", 0.5], ImageOps.autocontrast),
        (["posterize", 0.5], lambda image: ImageOps.posterize(image, 6)),
        (["solarize", 0.5], lambda image: ImageOps.solarize(image, 128)),
        (["brightness", -0.5], lambda image: ImageEnhance.Brightness(image).enhance(0.55)),
        (["color", 1.0], lambda image: ImageEnhance.Color(image).enhance(1.9)),
    ],
)
def test_operations_are_those_of_pil(picture, operations, theirs):
    expected = np.asarray(theirs(Image.fromarray(picture))).astype(int)
    assert np.abs(ours(picture, *operations).astype(int) - expected).max() <= 2


@pytest.mark.parametrize(("name", "axis"), [("translate_x", 1), ("translate_y", 0)])
def test_a_shift_moves_the_picture_and_brings_in_black(picture, name, axis):
    shifted = ours(picture, name, 1.0)
    far = round(0.3 * 48)
    kept = np.take(shifted, range(far, 48), axis)
    assert np.array_equal(kept, np.take(picture, range(48 - far), axis))
    assert not np.take(shifted, range(far), axis).any()


def test_directions_go_both_ways_and_strength_is_as_set():
    rng = np.random.default_rng(0)
    sampled = [sample_operations(rng, num_ops=2, magnitude=9) for _ in range(500)]
    strengths = {name: {one[k + 1] for one in sampled for k in (0, 2) if one[k] == name} for name in OPERATIONS}
    for name, (_, signed) in OPERATIONS.items():
        assert strengths[name] == ({0.3, -0.3} if signed else {0.3})


@pytest.mark.parametrize("seed", range(30))
def test_every_frame_is_changed_alike(picture, seed):
    augmentation = Augmentation(crop=0.7, flip=0.5, color=0.3, num_ops=3, magnitude=15)
    values = augmentation.sample(np.random.default_rng(seed))
    assert json.loads(json.dumps(values)) == values
    still = torch.from_numpy(picture.copy()).permute(2, 0, 1).expand(4, 3, 48, 48)
    out = augmentation.apply(still, values)
    assert out.shape == still.shape and out.dtype == torch.uint8
    assert all(torch.equal(frame, out[0]) for frame in out)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"num_ops": -1}, "Expected augmentation.num_ops of 0 or more and magnitude from 0 to 30, got num_ops=-1"),
        ({"magnitude": 31}, "got num_ops=0 and magnitude=31"),
        ({"crop": 0.0}, r"Expected augmentation.crop in \(0, 1\].*got crop=0.0"),
        ({"flip": 1.5}, r"flip in \[0, 1\].*got crop=0.8, flip=1.5"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Augmentation(**wrong)


def film_of_numbers(tmp_path, *, seconds=4.0):
    """Two seconds and more of film whose frames are as bright as their number, and how to cut clips from it."""
    path = tmp_path / "numbers.mp4"
    frames = torch.arange(round(seconds * 10), dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 16, 16)
    write_video(path, torch.zeros(frames.shape, dtype=torch.uint8), fps=10.0)
    record = Record("numbers", path, 0, "ann", "", 0.0, seconds)
    return record, FilmedClips((record,), ClipFormat(num_frames=5, fps=5.0, size=16), {path: frames})


def test_faster_clips_show_more_of_the_film(tmp_path):
    record, filmed = film_of_numbers(tmp_path)
    plain, fast, slow = (filmed.read(record, 0.0, speed=speed).video[:, 0, 0, 0].tolist() for speed in (1.0, 2.0, 0.5))
    assert plain == [0, 2, 4, 6, 8] and fast == [0, 4, 8, 12, 16] and slow == [0, 1, 2, 3, 4]
    # However fast, the last window ends where the film does.
    assert [filmed.read(record, 1.0, speed=speed).video[-1, 0, 0, 0].item() for speed in (1.0, 2.0)] == [38, 36]


def test_speeds_are_sampled_on_both_sides_of_one_and_never_without_being_asked_for():
    rng = np.random.default_rng(0)
    sampled = [LabelledAugmentation(Augmentation(speed=0.3), {}).sample_speed(rng) for _ in range(200)]
    assert np.exp(-0.3) <= min(sampled) < 0.85 and 1.2 < max(sampled) <= np.exp(0.3)
    assert abs(np.log(sampled).mean()) < 0.05
    # Who does not ask for it gets the random numbers of before.
    state = rng.bit_generator.state
    assert LabelledAugmentation(Augmentation(), {}).sample_speed(rng) == 1.0
    assert LabelledAugmentation(None, {}).sample_speed(rng) == 1.0
    assert rng.bit_generator.state == state
    with pytest.raises(ValueError, match="Expected augmentation.speed from 0 to below 1, got 1.5"):
        Augmentation(speed=1.5)
