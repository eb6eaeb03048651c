"""Laws of cuts: found where they are, and nowhere else."""

import cv2
import numpy as np
import pytest

from synthaug.motions.pose.shots import colour_shares, find_cuts, hellinger, make_thumbnail, split_shots


def scene(seed: int, frames: int, *, drift: int = 0) -> list[np.ndarray]:
    """A room of large patches, with noise, somebody crossing it, and a camera that pans by so many pixels a frame."""
    rng = np.random.default_rng(seed)
    room = cv2.resize(rng.integers(0, 256, (5, 12, 3), np.uint8), (400, 120), interpolation=cv2.INTER_LINEAR)
    pictures = []
    for k in range(frames):
        picture = room[:, drift * k : drift * k + 160].copy()
        picture[40:110, 10 + 4 * k : 40 + 4 * k] = (220, 40, 60)
        noise = rng.normal(0, 4, picture.shape)
        pictures.append((picture + noise).clip(0, 255).astype(np.uint8))
    return pictures


def cuts_of(frames: list[np.ndarray]) -> tuple[int, ...]:
    return find_cuts([make_thumbnail(frame) for frame in frames])


def test_every_cut_is_found_at_its_frame() -> None:
    assert cuts_of(scene(0, 20) + scene(1, 12) + scene(2, 15, drift=3)) == (20, 32)


@pytest.mark.parametrize("drift", [0, 2, 6])
def test_movement_and_pans_are_no_cuts(drift: int) -> None:
    assert cuts_of(scene(3, 30, drift=drift)) == ()


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length: int) -> None:
    frames = scene(4, 24)
    for k in range(10, 10 + length):
        frames[k] = np.full_like(frames[k], 250)
    assert cuts_of(frames) == ()


def test_slow_changes_of_light_are_no_cuts() -> None:
    frames = [(frame * (1 - 0.02 * k)).astype(np.uint8) for k, frame in enumerate(scene(5, 30))]
    assert cuts_of(frames) == ()


@pytest.mark.parametrize("gains", [(0.72, 0.72, 0.72), (1.25, 1.1, 0.8)])
def test_exposure_and_white_balance_that_jump_are_no_cuts(gains: tuple[float, float, float]) -> None:
    lit = [(0.2 + 0.6 * frame / 255) * 255 for frame in scene(8, 24)]
    lit = [frame * (gains if k >= 11 else (1, 1, 1)) for k, frame in enumerate(lit)]
    frames = [np.clip(frame, 0, 255).astype(np.uint8) for frame in lit]
    # A darker picture of another place is a cut.
    other = [(frame * 0.7).astype(np.uint8) for frame in scene(9, 24)]
    assert cuts_of(frames) == ()
    assert cuts_of(frames[:18] + other) == (18,)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_shortest_films_have_shots_too(count: int) -> None:
    assert cuts_of(scene(6, count)) == ()
    assert split_shots((), count) == ([(0, count)] if count else [])


def test_shots_part_the_film() -> None:
    assert split_shots((20, 32), 47) == [(0, 20), (20, 32), (32, 47)]


def test_colours_compare_from_alike_to_apart() -> None:
    red, blue = (np.tile(np.array([colour], np.uint8), (50, 1)) for colour in ((250, 0, 0), (0, 0, 250)))
    half = np.concatenate([red, blue])
    assert hellinger(colour_shares(red), colour_shares(red)) == pytest.approx(0, abs=1e-3)
    assert hellinger(colour_shares(red), colour_shares(blue)) == pytest.approx(1)
    # The coefficient of one colour against an even mix of two is the root of a half.
    assert hellinger(colour_shares(red), colour_shares(half)) == pytest.approx((1 - 0.5**0.5) ** 0.5)
