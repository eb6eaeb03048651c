import numpy as np
import pytest
import torch

from synthaug.compositing.look import apply_look, repeat_frames
from synthaug.sensors.camera import noise_bank

VALUES = {
    "people": {"blur": 1.0, "exposure": -0.5}, "guest": {"sharpen": 0.8, "exposure": 0.3},
    "place": {"blur": 0.6, "balance": [1.1, 0.95, 1.0]}, "noise": 0.01, "quality": 60, "rate": 1.0, "seed": 3,
}  # fmt: skip


def clip(time=6):
    frames = np.random.default_rng(0).integers(20, 230, (1, 3, 48, 64), dtype=np.uint8).repeat(time, axis=0)
    people = torch.zeros(time, 1, 48, 64, dtype=torch.uint8)
    people[:, :, 12:36, 24:40] = 255
    return torch.from_numpy(frames), people


def look(filmed, values=VALUES, people=True):
    video, alpha = clip()
    return apply_look(video, alpha if people else None, filmed, values, noise=noise_bank())


@pytest.mark.parametrize("filmed", ["", "still", "moving"])
def test_no_effect_is_the_identity(filmed):
    assert torch.equal(look(filmed, {}), clip()[0])
    assert torch.equal(look(filmed, {"seed": 4}, people=False), clip()[0])


def test_moving_film_keeps_its_pixels_away_from_people():
    out, (video, _) = look("moving"), clip()
    assert torch.equal(out[..., :18], video[..., :18]) and torch.equal(out[..., 46:], video[..., 46:])
    assert not torch.equal(out[..., 24:40], video[..., 24:40])


def test_a_still_picture_of_film_gains_noise_alone():
    # Stored noise has a mean below 1e-3: over 6 frames of 600 pixels its error is 0.04 levels.
    error = (look("still").float() - clip()[0].float())[..., :18]
    assert float(error.mean().abs()) < 0.15
    assert float(error.std()) == pytest.approx(2.55, rel=0.1)
    quiet = look("still", {**VALUES, "noise": 0.0})
    assert torch.equal(quiet[..., :18], clip()[0][..., :18])


def test_rendered_places_take_the_place_s_look_and_people_their_own():
    plain = {name: value for name, value in VALUES.items() if name not in ("noise", "quality")}
    both, place = look("", plain), look("", {**plain, "people": VALUES["place"]})
    assert torch.equal(both[..., :18], place[..., :18])
    assert float(both[:, :, 16:32, 28:36].float().mean()) < float(place[:, :, 16:32, 28:36].float().mean()) - 5


def test_people_over_film_have_a_tone_of_their_own():
    plain = {"people": {"exposure": -2.0}, "guest": {}}
    assert torch.equal(look("still", plain), clip()[0])
    assert not torch.equal(look("", plain), clip()[0])


def test_sharpening_undoes_some_of_a_blur():
    soft = look("", {"place": {"blur": 0.7}}, people=False)
    sharp = apply_look(soft, None, "", {"place": {"sharpen": 1.0}}, noise=noise_bank())
    far, near = ((one.float() - clip()[0].float()).square().mean() for one in (soft, sharp))
    assert near < 0.8 * far


def test_frames_repeat_as_a_slower_film_has_them():
    video = torch.arange(6, dtype=torch.uint8)[:, None, None, None].expand(6, 3, 2, 2)
    assert repeat_frames(video, 1.0) is video
    for rate, shown in ((0.5, [0, 0, 2, 2, 4, 4]), (0.6667, [0, 0, 2, 3, 3, 5]), (0.3333, [0, 0, 0, 3, 3, 3])):
        assert repeat_frames(video, rate)[:, 0, 0, 0].tolist() == shown


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"rate": 0.0}, "rate"), ({"people": 3}, "people"), ({"place": {"blur": -1.0}}, "blur"),
        ({"noise": 2.0}, "noise"), ({"guest": {"sharpen": 9.0}}, "guest.sharpen"),
        ({"people": {"balance": [1.0]}}, "balance"),
    ],
)  # fmt: skip
def test_values_that_no_sensor_samples_are_refused(wrong, named):
    with pytest.raises(ValueError, match=rf"Expected a recipe's sensor\.{named}"):
        look("", wrong)
