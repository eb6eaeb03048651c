import json
import math

import cv2
import numpy as np
import pytest
import torch

from synthaug.sensor import Sensor, tone_curve

OFF = {
    "resolution": (1.0, 1.0), "blur": (0.0, 0.0), "exposure": (0.0, 0.0), "balance": 0.0,
    "gamma": (1.0, 1.0), "noise": (0.0, 0.0), "quality": (0, 0),
}  # fmt: skip


def clip(*, frames: int = 3, height: int = 40, width: int = 56) -> torch.Tensor:
    """Smooth colours, as pictures have them."""
    coarse = np.random.default_rng(0).integers(0, 256, (frames, 5, 7, 3), dtype=np.uint8)
    smooth = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC) for frame in coarse]
    return torch.from_numpy(np.stack(smooth)).permute(0, 3, 1, 2).contiguous()


def only(**effect) -> tuple[Sensor, dict]:
    sensor = Sensor(**{**OFF, **effect})
    return sensor, sensor.sample(np.random.default_rng(3))


def test_no_effect_is_the_identity():
    sensor, values = only()
    assert torch.equal(sensor.apply(clip(), values), clip())
    assert torch.equal(sensor.apply(clip(), {}), clip())


def test_applying_draws_nothing_and_values_survive_json():
    sensor = Sensor()
    for seed in range(8):
        values = sensor.sample(np.random.default_rng(seed))
        first = sensor.apply(clip(), values)
        sensor.apply(clip(), sensor.sample(np.random.default_rng(99)))
        assert torch.equal(sensor.apply(clip(), json.loads(json.dumps(values, allow_nan=False))), first)
        assert first.shape == clip().shape
        assert first.dtype == torch.uint8
        assert sensor.sample(np.random.default_rng(seed)) == values


def test_the_clip_is_not_changed_in_place():
    video = clip()
    sensor, values = only(noise=(0.1, 0.1))
    sensor.apply(video, values)
    assert torch.equal(video, clip())


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
    # Rounding to uint8, and OpenCV's kernel in 8-bit fixed point.
    torch.testing.assert_close(row, 255 / (2 * math.pi) * torch.exp(-x * x / 2), atol=1.6, rtol=0)


def test_compression_loses_more_at_lower_quality_and_keeps_frames_apart():
    video = clip(height=37, width=53)  # no multiples of a block
    errors = []
    for quality in (95, 60, 15):
        sensor, values = only(quality=(quality, quality))
        errors.append(float((sensor.apply(video, values).double() - video.double()).square().mean()))
    assert errors == sorted(errors)
    assert errors[0] > 0
    sensor, values = only(quality=(40, 40))
    alone = sensor.apply(video[1:2], values)
    assert torch.equal(sensor.apply(video, values)[1:2], alone)


def test_low_resolution_keeps_the_size_and_loses_detail():
    checks = (torch.arange(40)[:, None] + torch.arange(56)) % 2 * 255
    video = checks.to(torch.uint8).expand(2, 3, 40, 56).contiguous()
    sensor, values = only(resolution=(0.5, 0.5))
    out = sensor.apply(video, values)
    assert out.shape == video.shape
    assert float(out.double().std()) < 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"blur": (1.0, 0.5)},
        {"quality": (50, 101)},
        {"resolution": (0.0, 1.0)},
        {"noise": (-0.1, 0.1)},
        {"gamma": (1.0,)},
    ],
)
def test_impossible_ranges_are_refused(wrong):
    with pytest.raises(ValueError, match="two numbers in order between"):
        Sensor(**wrong)
