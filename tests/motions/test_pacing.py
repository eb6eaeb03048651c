"""Laws of when the networks look, and of what stands in for them between."""

import math

import numpy as np
import pytest
import torch

from synthaug.motions.pose.network import PersonLandmarks, Region
from synthaug.motions.pose.pacing import (
    body_box,
    fill_hands,
    frames_between_looks,
    has_changed,
    interpolate_sights,
    is_abrupt,
    is_fast,
    mark_last,
    region_box,
    shrink_frame,
)

REGION = Region(0.0, 0.0, 10.0, 0.0)


def sight(x: float, *, tall: float = 100.0, visible: float = 1.0) -> PersonLandmarks:
    pixels = np.stack([np.full(33, x), np.linspace(0, tall, 33)], axis=1).astype(np.float32)
    return PersonLandmarks(np.full((33, 3), x / 100, np.float32), pixels, np.full(33, visible, np.float32), REGION)


def picture(seed: int, *, noise: float = 0.0) -> np.ndarray:
    room = np.random.default_rng(0).integers(60, 200, (48, 64, 3)).repeat(10, 0).repeat(10, 1).astype(float)
    return (room + np.random.default_rng(seed).normal(0, noise, room.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("fps", "step"), [(5.0, 1), (15.0, 1), (25.0, 2), (29.97, 2), (60.0, 4), (120.0, 8)])
def test_looks_come_about_fifteen_times_a_second(fps: float, step: int) -> None:
    assert frames_between_looks(fps) == step


def test_the_last_item_is_marked() -> None:
    assert list(mark_last("abc")) == [("a", False), ("b", False), ("c", True)]
    assert list(mark_last([])) == []


@pytest.mark.parametrize("noise", [0.0, 6.0, 20.0])
def test_noise_is_no_change_and_a_hand_that_moves_is(noise: float) -> None:
    before, now = picture(1, noise=noise), picture(2, noise=noise)
    small = shrink_frame(before)
    assert not has_changed(small, shrink_frame(now), height=480)
    now[200:240, 300:330] = 20
    now[200:240, 330:360] = 230
    assert has_changed(small, shrink_frame(now), height=480)
    assert has_changed(small, shrink_frame(now), height=480, inside=(200.0, 100.0, 440.0, 340.0))
    assert not has_changed(small, shrink_frame(now), height=480, inside=(0.0, 250.0, 240.0, 470.0))
    assert not has_changed(small, shrink_frame(now), height=480, outside=[(290.0, 190.0, 370.0, 250.0)])
    assert has_changed(small, shrink_frame(now), height=480, inside=(700.0, 0.0, 900.0, 100.0))  # out of sight: look


def test_a_cut_is_abrupt_and_a_walk_is_not() -> None:
    before = picture(1, noise=5.0)
    walked = picture(2, noise=5.0)
    walked[100:400, 200:280] = 30
    assert not is_abrupt(shrink_frame(before), shrink_frame(walked))
    assert is_abrupt(shrink_frame(before), shrink_frame(255 - walked))


def test_speed_is_measured_in_heights_and_only_where_limbs_are_seen() -> None:
    tall = float(np.ptp(sight(0).pixels[[11, 28], 1]))
    assert is_fast(sight(0), sight(1.3 * tall / 15), seconds=1 / 15)
    assert not is_fast(sight(0), sight(1.1 * tall / 15), seconds=1 / 15)
    assert not is_fast(sight(0, visible=0.1), sight(1.3 * tall / 15), seconds=1 / 15)


def test_between_two_looks_steady_movement_goes_on_and_no_other_goes_beyond_them() -> None:
    looks = [(0, sight(0)), (2, sight(4)), (4, sight(8, visible=0.5)), (6, sight(12))]
    (found,) = interpolate_sights(looks, [3])
    np.testing.assert_allclose(found.pixels[:, 0], 6.0, atol=1e-5)
    np.testing.assert_allclose(found.world, 0.06, atol=1e-6)
    np.testing.assert_allclose(found.visibility, 0.75)
    slipped = [(0, sight(0)), (4, sight(0)), (8, sight(50)), (12, sight(0))]
    inside = [one.pixels[0, 0] for one in interpolate_sights(slipped, [5, 6, 7])]
    assert 0 < inside[0] < inside[1] < inside[2] < 50
    assert interpolate_sights(looks[:2], [1])[0].pixels[0, 0] == pytest.approx(2.0)
    assert interpolate_sights(looks[:2], []) == []


def test_waving_at_two_hertz_keeps_nearly_all_of_its_way() -> None:
    def wave(k: int) -> float:
        return 10 * math.sin(2 * math.pi * 2 * k / 30)

    looks = [(k, sight(wave(k))) for k in range(0, 62, 2)]
    errors = [
        interpolate_sights(looks[n - 1 : n + 3], [looks[n][0] + 1])[0].pixels[0, 0] - wave(looks[n][0] + 1)
        for n in range(1, len(looks) - 2)
    ]
    assert np.abs(errors).max() < 0.1 * 10 and np.sqrt(np.mean(np.square(errors))) < 0.04 * 10


def test_boxes_hold_what_they_are_about() -> None:
    assert region_box(Region(50.0, 40.0, 20.0, 1.0)) == (40.0, 30.0, 60.0, 50.0)
    left, top, right, bottom = body_box(sight(30.0))
    assert left == pytest.approx(20.0) and right == pytest.approx(40.0) and (top, bottom) == pytest.approx((-10, 110))


def test_hands_are_filled_in_between_two_looks_that_found_them() -> None:
    points = torch.full((7, 2, 21, 3), torch.nan)
    points[0], points[2], points[4, 0] = 0.0, 4.0, 8.0
    filled = fill_hands(points, step=2)
    assert (filled[1] == 2.0).all() and (filled[3, 0] == 6.0).all()
    assert filled[3, 1].isnan().all() and filled[5].isnan().all()
    assert torch.equal(fill_hands(points, step=1).isnan(), points.isnan())
