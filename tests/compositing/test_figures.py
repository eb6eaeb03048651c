import json

import cv2
import numpy as np
import pytest
import torch

from synthaug.compositing.figures import BANDS, SIDE, Figures, measure, measure_blocks, to_luma

RNG = np.random.default_rng


def as_video(planes):
    """Grey frames from planes of levels."""
    grey = np.clip(np.round(planes), 0, 255).astype(np.uint8)
    return torch.from_numpy(np.repeat(grey[:, None], 3, axis=1).copy())


def texture(*, side=112, sigma=1.5, strength=45):
    """A still picture with detail of all sizes above sigma."""
    plane = cv2.GaussianBlur(RNG(1).normal(size=(side, side)).astype(np.float32), (0, 0), sigma)
    return 128 + strength * plane / plane.std()


def walking(time, *, side=112):
    """A textured place through which a bright block walks, and where the block is."""
    frames, mask = np.repeat(texture(side=side)[None], time, axis=0), np.zeros((time, side, side), bool)
    for t in range(time):
        mask[t, side // 4 : side * 3 // 4, 20 + 4 * t : 44 + 4 * t] = True
    frames[mask] = 200
    return frames, mask


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("moving", [False, True])
def test_noise_of_a_known_strength_is_read(sigma, moving):
    frames = walking(8)[0] if moving else np.repeat(texture()[None], 8, axis=0)
    noisy = np.repeat(frames[:, None], 3, axis=1) + sigma * RNG(0).normal(size=(8, 1, *frames.shape[1:]))
    video = torch.from_numpy(np.clip(np.round(noisy), 0, 255).astype(np.uint8))
    # Rounding adds 1/12 to the variance: 4 % at one level.
    assert measure(video).noise == pytest.approx(np.sqrt(sigma**2 + 1 / 12), rel=0.05)


def test_a_still_film_has_no_noise_however_somebody_walks():
    assert measure(as_video(np.repeat(texture()[None], 6, axis=0))).noise == 0.0
    assert measure(as_video(walking(6)[0])).noise == 0.0


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_moving_camera_tells_no_noise(step):
    wide = texture(side=160, sigma=1.5)
    panned = np.stack([wide[10:122, 5 + step * t : 117 + step * t] for t in range(6)])
    assert measure(as_video(panned + 2 * RNG(0).normal(size=panned.shape))).noise is None


def test_one_frame_tells_no_noise():
    assert measure(as_video(texture()[None])).noise is None


def test_a_film_of_half_the_rate_repeats_half_of_its_frames_and_keeps_its_noise():
    frames = texture() + 3 * RNG(0).normal(size=(6, 112, 112))
    once, twice = measure(as_video(frames)), measure(as_video(np.repeat(frames, 2, axis=0)))
    assert (once.repeated, twice.repeated) == (0.0, 0.5)
    assert twice.noise == pytest.approx(once.noise, rel=1e-6)


@pytest.mark.parametrize("sigma", [0.4, 0.6, 0.8])
def test_blur_lowers_each_band_as_a_gaussian_s_transfer_says(sigma):
    white = np.clip(RNG(0).normal(128, 30, (1, 256, 256)), 0, 255).astype(np.float32)
    blurred = cv2.GaussianBlur(white[0], (0, 0), sigma)[None]
    before, after = measure(as_video(white)).whole.power, measure(as_video(blurred)).whole.power
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    # What the sampled kernel does, from its taps; the window mixes neighbouring frequencies a little.
    taps = cv2.getGaussianKernel(round(sigma * 6 + 1) | 1, sigma).ravel()
    x = np.arange(len(taps)) - len(taps) // 2
    along = np.abs((taps * np.exp(-2j * np.pi * np.outer(np.fft.fftfreq(SIDE), x))).sum(axis=1))
    transfer = np.outer(along, along) ** 2
    for (low, high), was, now in zip(BANDS, before, after, strict=True):
        ring = (f >= low) & (f <= high)
        assert now / was == pytest.approx(transfer[ring].mean(), rel=0.1)


def test_sharpness_does_not_depend_on_contrast_level_or_noise():
    plain = measure(as_video(np.repeat(texture()[None], 8, axis=0))).whole.sharpness
    faint = measure(as_video(np.repeat(60 + 0.5 * texture()[None], 8, axis=0))).whole.sharpness
    noisy = measure(as_video(texture() + 3 * RNG(0).normal(size=(8, 112, 112)))).whole.sharpness
    assert faint == pytest.approx(plain, rel=0.03)
    assert noisy == pytest.approx(plain, rel=0.03)


def test_people_and_the_rest_are_measured_apart():
    frames, mask = walking(6)
    found = measure(as_video(frames), mask)
    assert found.people.level > found.rest.level > 0.45
    assert measure(as_video(frames)).people is None
    assert measure(as_video(frames), np.ones_like(mask)).rest is None


def test_a_cast_and_a_level_are_those_of_the_colours():
    video = torch.tensor([120, 100, 90], dtype=torch.uint8)[None, :, None, None].expand(2, 3, 32, 32).contiguous()
    luma = 0.299 * 120 + 0.587 * 100 + 0.114 * 90
    whole = measure(video).whole
    assert whole.level == pytest.approx(luma / 255) and whole.contrast == pytest.approx(0, abs=1e-6)
    assert whole.cast == pytest.approx((20 / luma, -10 / luma))
    assert whole.sharpness == 0.0 and whole.shares == (0.0, 0.0, 0.0)


def test_shares_sum_to_one():
    assert sum(measure(as_video(texture()[None])).whole.shares) == pytest.approx(1)


@pytest.mark.parametrize("size", [(96, 40), (40, 96), (16, 16)])
def test_any_shape_of_picture_is_measured(size):
    height, width = size
    assert measure(as_video(texture()[None, :height, :width])).whole.sharpness > 0


@pytest.mark.parametrize("shape", [(0, 3, 32, 32), (4, 3, 15, 40)])
def test_what_is_too_small_is_refused(shape):
    with pytest.raises(ValueError, match="Expected a clip of at least one frame of 16 x 16 pixels"):
        measure(torch.zeros(shape, dtype=torch.uint8))


def test_blocks_show_after_jpeg_and_not_before():
    # Large enough for a border's difference not to be chance: 62 borders of 496 pixels.
    picture = np.clip(texture(side=496, sigma=2), 0, 255).astype(np.uint8)
    found = [abs(measure_blocks(to_luma(as_video(picture[None]))))]
    for quality in (60, 20, 5):
        read = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)
        found.append(measure_blocks(to_luma(as_video(read[None]))))
    assert found[0] < 0.05 and found == sorted(found) and found[-1] > 0.5


def test_figures_survive_json():
    frames, mask = walking(6)
    for figures in (measure(as_video(frames), mask), measure(as_video(frames[:1]))):
        assert Figures.from_plain(json.loads(json.dumps(figures.to_plain()))) == figures
    with pytest.raises((KeyError, TypeError)):
        Figures.from_plain({"whole": None, "people": None, "rest": None, "noise": None, "repeated": 0})
