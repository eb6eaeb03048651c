import numpy as np
import pytest
import torch

from synthaug.training.scene_mixing import SceneMixes, SceneMixing, blend_still, find_moving, mix_scenes

FILMED = np.array([True, False, True, True, False, True])


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def moving_square(place, color, size=48, side=14, times=6):
    """A square that moves to the right over a still texture of another colour, and where it is at some time."""
    texture = 0.2 * torch.rand(1, size, size) + torch.tensor([0.1, 0.1, 0.6])[:, None, None]
    video = texture[:, None].repeat(1, times, 1, 1)
    covered = torch.zeros(size, size, dtype=torch.bool)
    for t in range(times):
        left = place + 3 * t
        video[:, t, 16 : 16 + side, left : left + side] = torch.tensor(color)[:, None, None]
        covered[16 : 16 + side, left : left + side] = True
    return video, covered


def test_samples_depend_on_seed_and_step_alone():
    mixing = SceneMixing(still=0.4, merge=0.4, seed=3)
    np.random.seed(0)
    first = [mixing.sample(step, FILMED) for step in range(20)]
    np.random.rand(3)
    again = [mixing.sample(step, FILMED) for step in reversed(range(20))][::-1]
    for a, b in zip(first, again, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert all(np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


def test_only_filmed_clips_are_mixed_and_only_with_other_filmed_ones():
    for step in range(50):
        mixes = SceneMixing(still=0.5, merge=0.5).sample(step, FILMED)
        assert mixes is not None
        assert (mixes.partner[FILMED] != np.flatnonzero(FILMED)).all() and FILMED[mixes.partner[FILMED]].all()
        assert not mixes.merged[~FILMED].any() and not mixes.still[~FILMED].any()
        assert not (mixes.merged & (mixes.still > 0)).any()


def test_shares_are_as_often_as_asked_and_about_one_half():
    found = [SceneMixing(still=0.3, merge=0.2).sample(step, FILMED) for step in range(2000)]
    count = 4 * 2000
    still = np.concatenate([mixes.still[FILMED] for mixes in found if mixes is not None])
    merged = sum(int(mixes.merged.sum()) for mixes in found if mixes is not None)
    # Four standard errors of a binomial share.
    assert (still > 0).sum() / count == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / count))
    assert merged / count == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / count))
    # Beta(a, a) has variance 1 / (8 a + 4).
    assert still[still > 0].std() == pytest.approx(np.sqrt(1 / 1604), rel=0.1)


def test_nothing_happens_by_default_or_to_a_lonely_clip():
    assert SceneMixing().sample(0, FILMED) is None
    assert SceneMixing(still=1.0).sample(0, np.array([True, False])) is None


def test_a_still_frame_takes_contrast_and_no_motion():
    video = torch.randn(2, 3, 5, 8, 8)
    mixed = blend_still(video, torch.tensor([1, 0]), torch.tensor([0.5, 0.99]), torch.tensor([0.25, 0.0]))
    torch.testing.assert_close(mixed[0], 0.75 * video[0] + 0.25 * video[1, :, 2:3])
    assert torch.equal(mixed[1], video[1])
    torch.testing.assert_close(mixed[0].diff(dim=1), 0.75 * video[0].diff(dim=1))


def test_what_moves_is_kept_and_half_of_the_picture():
    videos, places = zip(moving_square(4, [0.9, 0.2, 0.1]), moving_square(10, [0.2, 0.9, 0.1]), strict=True)
    moving = find_moving(torch.stack(videos))
    for found, place in zip(moving, places, strict=True):
        assert found[place].float().mean() > 0.97
        assert found.float().mean() == pytest.approx(0.5)


def test_the_place_comes_from_the_partner():
    videos, places = zip(moving_square(4, [0.9, 0.2, 0.1]), moving_square(10, [0.2, 0.9, 0.1]), strict=True)
    batch = torch.stack(videos)
    before = batch.clone()
    mixes = SceneMixes(np.array([1, 0]), np.zeros(2), np.zeros(2), np.array([True, False]))
    mixed = mix_scenes(batch, mixes)
    kept = find_moving(batch[:1])[0]
    assert torch.equal(mixed[0][..., kept], batch[0][..., kept]) and torch.equal(mixed[1], batch[1])
    assert torch.equal(mixed[0][..., ~kept], batch[1][..., ~kept])
    assert torch.equal(batch, before), "nothing is changed in place"


def test_a_single_frame_has_a_foreground_all_the_same():
    assert find_moving(torch.rand(2, 3, 1, 20, 30)).float().mean() == pytest.approx(0.5)


@pytest.mark.parametrize("shares", [(1.1, 0.0), (0.6, 0.6), (-0.1, 0.0)])
def test_impossible_probabilities_are_answered_in_words(shares):
    with pytest.raises(ValueError, match="Expected training.scenes.still and training.scenes.merge"):
        SceneMixing(*shares)
