import math

import cv2
import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from synthaug.compositing.sensor import quantisation, tone_curve
from synthaug.pseudoreal.camera import record_clip
from synthaug.sensors.camera import CameraSensor
from synthaug.testing.renderers import psnr

OFF = {
    "resolution": (1.0, 1.0), "blur": (0.0, 0.0), "exposure": (0.0, 0.0), "balance": 0.0,
    "gamma": (1.0, 1.0), "noise": (0.0, 0.0), "quality": (0, 0),
}  # fmt: skip


def clip(*, frames: int = 3, height: int = 40, width: int = 56) -> torch.Tensor:
    """Smooth colours, as pictures have them."""
    coarse = np.random.default_rng(0).integers(0, 256, (frames, 5, 7, 3), dtype=np.uint8)
    smooth = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC) for frame in coarse]
    return torch.from_numpy(np.stack(smooth)).permute(0, 3, 1, 2).contiguous()


def only(**effect) -> tuple[CameraSensor, dict]:
    sensor = CameraSensor(**{**OFF, **effect})
    return sensor, sensor.sample(np.random.default_rng(3))


def test_no_effect_is_the_identity():
    sensor, values = only()
    assert torch.equal(sensor.apply(clip(), values), clip())
    assert torch.equal(sensor.apply(clip(), {}), clip())


def test_noise_keeps_the_mean_and_has_the_strength_it_says():
    grey = torch.full((16, 3, 96, 96), 128, dtype=torch.uint8)
    sensor, values = only(noise=(0.04, 0.04))
    error = sensor.apply(grey, values).double() - 128
    # 442,368 values: the mean's standard error is 10.2 / 665 = 0.015; four of them, plus the stored noise's own mean.
    assert abs(float(error.mean())) < 0.08
    # Rounding adds 1/12 to the variance of (0.04 x 255)^2 = 104.
    assert float(error.std()) == pytest.approx(0.04 * 255, rel=0.02)


def test_bright_pixels_are_noisier_and_frames_differ():
    sensor, values = only(noise=(0.03, 0.03))
    dark, bright = (
        sensor.apply(torch.full((2, 3, 64, 64), level, dtype=torch.uint8), values).double() for level in (40, 200)
    )
    # Variances (0.5 y / 127.5 + 0.5): 0.657 and 1.284.
    assert float(bright.var() / dark.var()) == pytest.approx(1.284 / 0.657, rel=0.1)
    assert not torch.equal(dark[0], dark[1])


def test_another_seed_is_another_noise():
    sensor, values = only(noise=(0.05, 0.05))
    assert not torch.equal(sensor.apply(clip(), values), sensor.apply(clip(), {**values, "seed": 1}))


def test_one_stop_doubles_the_light():
    curve = tone_curve({"exposure": 1.0})

    def linear(value: float) -> float:
        return ((value / 255 + 0.055) / 1.055) ** 2.4

    for level in (60, 100, 150):
        assert linear(float(curve[0, level])) == pytest.approx(2 * linear(level), rel=1e-4)


def test_balance_acts_on_red_and_blue_alone():
    curve = tone_curve({"balance": [1.1, 1.0, 0.9]})
    np.testing.assert_allclose(curve[1], np.arange(256), atol=1e-3)
    assert curve[0, 128] > 128 > curve[2, 128]


def test_blur_is_the_gaussian_it_says():
    impulse = torch.zeros(1, 3, 31, 31, dtype=torch.uint8)
    impulse[:, :, 15, 15] = 255
    sensor, values = only(blur=(1.0, 1.0))
    row = sensor.apply(impulse, values)[0, 0, 15, 13:18].double()
    x = torch.arange(-2, 3, dtype=torch.float64)
    # Rounding to uint8, and what is cut off beyond three standard deviations: 0.3 % of 40.6.
    torch.testing.assert_close(row, 255 / (2 * math.pi) * torch.exp(-x * x / 2), atol=0.7, rtol=0)


def test_compression_loses_more_at_lower_quality_and_keeps_frames_apart():
    video = clip(height=37, width=53)  # no multiples of a block
    errors = []
    for quality in (95, 60, 15):
        sensor, values = only(quality=(quality, quality))
        errors.append(float((sensor.apply(video, values).double() - video.double()).square().mean()))
    assert errors == sorted(errors)
    assert errors[0] > 0
    for form in (CameraSensor().apply, record_clip):
        assert torch.equal(form(video, {"quality": 40})[1:2], form(video[1:2], {"quality": 40}))


def textured(*, frames: int = 2, height: int = 96, width: int = 112) -> torch.Tensor:
    """Contrast that falls with frequency, as photographs have it, and sharp edges."""
    rng = np.random.default_rng(1)
    pictures = np.full((frames, height, width, 3), 128, np.float32)
    for picture in pictures:
        for cells, contrast in ((4, 90), (12, 50), (40, 30), (100, 15)):
            coarse = rng.random((cells, cells, 3), dtype=np.float32) - 0.5
            picture += contrast * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cv2.circle(picture, (width // 2, height // 2), height // 4, (200, 160, 120), -1)
    return torch.from_numpy(pictures.clip(0, 255).astype(np.uint8)).permute(0, 3, 1, 2).contiguous()


def through_jpeg(video: torch.Tensor, quality: int) -> torch.Tensor:
    frames = []
    for frame in video.permute(0, 2, 3, 1).numpy():
        _, data = cv2.imencode(".jpg", frame[..., ::-1].copy(), [cv2.IMWRITE_JPEG_QUALITY, quality])
        frames.append(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("quality", [10, 35, 60, 90, 100])
@pytest.mark.parametrize("sides", [(96, 112), (37, 53)], ids=str)
def test_compression_is_a_jpeg_s_without_the_file(quality, sides):
    video = textured(height=sides[0], width=sides[1])
    ours, truth = CameraSensor().apply(video, {"quality": quality}), through_jpeg(video, quality)
    # What JPEG itself loses is 21 to 33 dB; the rest is its rounding of samples to integers between the stages.
    assert psnr(ours, truth) > 38
    assert psnr(ours, truth) > psnr(video, truth) + 10
    # Without chroma, the few coefficients that are half a step from two multiples: one of 60 alone is 48 dB here.
    grey = video[:, :1].expand(-1, 3, -1, -1).contiguous()
    assert psnr(CameraSensor().apply(grey, {"quality": quality}), through_jpeg(grey, quality)) > 44


def test_blocks_are_rounded_in_the_cosine_transform_of_scipy():
    grey = textured(height=32, width=48)[:, :1].expand(-1, 3, -1, -1).contiguous()
    steps = quantisation(30)[0].reshape(8, 8).astype(np.float64)
    blocks = grey[:, 0].numpy().astype(np.float64).reshape(2, 4, 8, 6, 8).swapaxes(2, 3) - 128
    rounded = np.round(dctn(blocks, axes=(3, 4), norm="ortho") / steps) * steps
    truth = idctn(rounded, axes=(3, 4), norm="ortho").swapaxes(2, 3).reshape(2, 32, 48) + 128
    difference = CameraSensor().apply(grey, {"quality": 30})[:, 1].numpy() - truth.clip(0, 255)
    # Rounding to uint8. A coefficient within float32 of a half may round the other way: one block at the most.
    assert (np.abs(difference) > 0.51).mean() <= 64 / difference.size


def test_tables_are_those_of_libjpeg():
    for quality in (1, 25, 50, 75, 100):
        _, data = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
        raw, ours = data.tobytes(), quantisation(quality)
        zigzag = sorted(range(64), key=lambda i: (s := i // 8 + i % 8, i // 8 if s % 2 else i % 8))
        starts = [i for i in range(len(raw) - 1) if raw[i : i + 2] == b"\xff\xdb"]
        tables = b"".join(raw[i + 4 : i + 2 + int.from_bytes(raw[i + 2 : i + 4], "big")] for i in starts)
        for table in range(2):
            written = tables[65 * table + 1 : 65 * table + 65]
            assert [int(ours[table][place]) for place in zigzag] == list(written)


def test_the_best_quality_is_nearly_the_identity():
    grey = textured()[:, :1].expand(-1, 3, -1, -1).contiguous()
    # All steps are 1: an error of 1/12 in each coefficient and each pixel, 55.9 dB in all.
    assert psnr(CameraSensor().apply(grey, {"quality": 100}), grey) > 55


def test_lower_quality_never_brings_the_picture_nearer():
    video = textured()
    decibels = [psnr(CameraSensor().apply(video, {"quality": quality}), video) for quality in range(5, 101, 5)]
    assert decibels == sorted(decibels)


def test_the_fast_model_s_pictures_are_the_codec_s():
    video, sensor = textured(height=112), CameraSensor()
    for seed in range(6):
        values = {**sensor.sample(np.random.default_rng(seed)), "noise": 0.0}
        fast, slow = sensor.apply(video, values), record_clip(video, values)
        assert psnr(fast, slow) > 30
        # As far from the clean picture, to half a decibel, as the codec's is.
        assert psnr(fast, video) == pytest.approx(psnr(slow, video), abs=0.5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 7), (2, 1, 19), (3, 17, 8), (1, 16, 16), (0, 8, 8)], ids=str)
@pytest.mark.parametrize("quality", [0, 50])
def test_any_size_and_any_length_stay_what_they_are(shape, quality):
    times, height, width = shape
    flat = torch.full((times, 3, height, width), 100, dtype=torch.uint8)
    values = {"resolution": 0.7, "blur": 0.6, "quality": quality}
    out = CameraSensor().apply(flat, values)
    # A flat picture has nothing to lose but what its mean is rounded to, step 16 of eight times it.
    assert int((out.int() - flat.int()).abs().max() if times else 0) <= (1 if quality else 0)
    assert torch.equal(CameraSensor().apply(flat, values), out)


def test_a_frame_does_not_depend_on_the_others():
    video, sensor = textured(frames=3), CameraSensor()
    values = {"resolution": 0.8, "blur": 0.5, "quality": 50, "noise": 0.02, "seed": 7}
    assert torch.equal(sensor.apply(video, values)[:1], sensor.apply(video[:1], values))


def test_impossible_values_are_refused():
    with pytest.raises(ValueError, match=r"recipe's sensor\.quality to be a number between 0 and 100, got 101"):
        CameraSensor().apply(clip(), {"quality": 101})
    with pytest.raises(ValueError, match=r"Expected a recipe's sensor\.blur .*, got nan"):
        record_clip(clip(), {"blur": math.nan})
    with pytest.raises(ValueError, match=r"Expected a recipe's sensor\.noise .*, got 'much'"):
        CameraSensor().apply(clip(), {"noise": "much"})
    with pytest.raises(ValueError, match=r"sensor\.balance to be three gains between 0 and 2, got \[1\.0, 1\.0\]"):
        CameraSensor().apply(clip(), {"balance": [1.0, 1.0]})


def test_low_resolution_keeps_the_size_and_loses_detail():
    checks = (torch.arange(40)[:, None] + torch.arange(56)) % 2 * 255
    video = checks.to(torch.uint8).expand(2, 3, 40, 56).contiguous()
    sensor, values = only(resolution=(0.5, 0.5))
    out = sensor.apply(video, values)
    assert out.shape == video.shape
    assert float(out.double().std()) < 2


def mean_over_areas(length: int, small: int, sigma: float) -> np.ndarray:
    """The weights of every old pixel in every recorded one, [small, length]: areas averaged, then blurred."""
    edges = np.arange(small + 1) * length / small
    old = np.arange(length)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    areas = overlap.clip(0) * small / length
    if sigma == 0:
        return areas
    reach = max(round(3 * sigma), 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    blurred = np.zeros_like(areas)
    for offset, weight in zip(range(-reach, reach + 1), weights / weights.sum(), strict=True):
        blurred += weight * areas[np.clip(np.arange(small) + offset, 0, small - 1)]
    return blurred


def between_pixels(length: int, small: int) -> np.ndarray:
    """The weights of every recorded pixel in every shown one, [length, small], bilinear about their centres."""
    places = (np.arange(length) + 0.5) * small / length - 0.5
    return np.maximum(0, 1 - np.abs(np.clip(places, 0, small - 1)[:, None] - np.arange(small)))


@pytest.mark.parametrize("sigma", [0.0, 0.4, 0.7, 2.0])
def test_recording_and_playing_are_the_filters_that_they_say(sigma):
    # One, two, three and more groups of four taps: each has a loop of its own.
    # 43 of 56 rows and 55 of 72 columns: simple ratios would leave many values exactly between two integers.
    video = textured(height=56, width=72)
    down, across = mean_over_areas(56, 43, sigma), mean_over_areas(72, 55, sigma)
    recorded = np.floor(down @ video.numpy().astype(np.float64) @ across.T + 0.5)
    truth = between_pixels(56, 43) @ recorded @ between_pixels(72, 55).T
    difference = np.abs(CameraSensor().apply(video, {"resolution": 0.77, "blur": sigma}).numpy() - truth)
    # Rounding to uint8, but for recorded pixels that float32 rounds the other way: one step over a pixel's surround.
    assert (difference > 0.501).mean() < 1e-3
    assert difference.max() < 1.51
