import json

import pytest
import torch
from safetensors import safe_open

from synthaug.motions.actions import ACTIONS
from synthaug.recognizers.resnet import ResNet2D
from synthaug.recognizers.small import SYNTHETIC_WEIGHTS, SmallResNet, crop_to_movement, movement, moving_convolution
from synthaug.recognizers.weights import WeightsNotFoundError
from synthaug.testing.recognizers import check_recognizer


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def video(batch=2, time=8, size=48):
    return torch.randn(batch, 3, time, size, size, generator=torch.Generator().manual_seed(1))


def test_small_resnet_is_a_recognizer():
    check_recognizer(SmallResNet(5))


@pytest.mark.parametrize("size", [(112, 112), (97, 130)])
def test_any_size_will_do(size):
    with torch.no_grad():
        assert SmallResNet(5).eval()(torch.randn(1, 3, 4, *size)).shape == (1, 5)


def test_order_matters():
    network = SmallResNet(5).eval()
    for stage in network.stages:
        torch.nn.init.ones_(stage.norm2.weight)  # it starts at nothing, and the shift is in the branch
    with torch.no_grad():
        forwards, backwards = network.features(video()), network.features(video().flip(2))
        assert (forwards - backwards).norm() > 0.05 * forwards.norm()  # rounding alone would be some 1e-6


def test_one_field_is_the_plain_average():
    fine, coarse = SmallResNet(5, grid=(2, 4, 4)).eval(), SmallResNet(5, grid=(1, 1, 1)).eval()
    coarse.load_state_dict(fine.state_dict() | {"fc.weight": coarse.fc.weight, "fc.bias": coarse.fc.bias})
    with torch.no_grad():  # at 128 px the last stage is 4 by 4, so all fields are equally large
        fields = fine.features(video(size=128)).unflatten(1, (128, 2 * 4 * 4))
        torch.testing.assert_close(coarse.features(video(size=128)), fields.mean(2), rtol=1e-4, atol=1e-5)


def test_a_still_background_is_nothing():
    clips = video(time=4)
    moved = movement(clips)
    torch.testing.assert_close(movement(clips + torch.randn(2, 3, 1, 48, 48)), moved, rtol=1e-4, atol=1e-4)
    assert torch.equal(movement(torch.ones(1, 3, 4, 8, 8)), torch.zeros(1, 6, 4, 8, 8))


def test_contrast_is_no_evidence():
    clips = video(time=4)
    torch.testing.assert_close(movement(0.5 * clips), movement(clips), rtol=1e-4, atol=1e-5)


def test_movement_is_the_literal_difference():
    clips = video(batch=1, time=3)
    deviation = torch.stack([clips[0, :, t] - clips[0].mean(1) for t in range(3)], 1)
    change = torch.stack([torch.zeros(3, 48, 48), clips[0, :, 1] - clips[0, :, 0], clips[0, :, 2] - clips[0, :, 1]], 1)
    expected = torch.cat([deviation, change]) / deviation.std(correction=0)
    torch.testing.assert_close(movement(clips)[0], expected, rtol=1e-4, atol=1e-5)


def test_weights_come_from_a_path_only(tmp_path):
    saved = SmallResNet(5)
    torch.save(saved.state_dict(), tmp_path / "small.pth")
    loaded = SmallResNet(5, weights=str(tmp_path / "small.pth"))
    assert torch.equal(saved.stem[0].weight, loaded.stem[0].weight)
    with pytest.raises(WeightsNotFoundError, match="got DEFAULT, and SmallResNet has no published weights"):
        SmallResNet(5, weights="DEFAULT")


@pytest.mark.parametrize("still", [False, True])
def test_the_stem_convolves_movement(still):
    clips = video(time=5) if not still else video(time=1).repeat(1, 1, 5, 1, 1)
    convolution = SmallResNet(5).stem[0]
    expected = convolution(movement(clips).transpose(1, 2).flatten(0, 1))
    ours = moving_convolution(clips, convolution)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    gradients = [torch.autograd.grad(out.square().sum(), convolution.weight)[0] for out in (ours, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def test_whole_frames_show_what_never_moves():
    check_recognizer(SmallResNet(5, still=True))
    picture = torch.randn(2, 3, 1, 48, 48, generator=torch.Generator().manual_seed(5)).expand(2, 3, 6, 48, 48)
    with torch.no_grad():
        blind, seeing = (SmallResNet(5, still=still).eval().features(picture) for still in (False, True))
    torch.testing.assert_close(blind[0], blind[1], rtol=0, atol=1e-4)  # rounding, of convolved frames, is 1e-6
    assert (seeing[0] - seeing[1]).norm() > 0.05 * seeing.norm()


def waving(x, y, size, side=96):
    """A textured square of this size about (x, y), whose right half blinks, before a still noisy picture."""
    rng = torch.Generator().manual_seed(0)
    clip = torch.rand(3, 1, side, side, generator=rng).repeat(1, 6, 1, 1)
    clip += 0.01 * torch.randn(3, 6, side, side, generator=rng)
    ramp = torch.linspace(0, 1, size)[None, None, :, None].expand(3, 6, size, size)
    blink = torch.tensor([0.0, 1.0] * 3)[None, :, None, None]
    clip[:, :, y - size // 2 : y + size // 2, x - size // 2 : x + size // 2] = 2 * ramp + 3 * blink
    return clip


def test_focus_finds_what_moves_wherever_it_is_and_however_large():
    clips = torch.stack([waving(48, 48, 32), waving(30, 60, 32), waving(60, 40, 24), waving(44, 50, 40)])
    seen = crop_to_movement(clips, 40)
    assert seen.shape == (4, 3, 6, 40, 40)
    inner = seen[:, :, :, 12:28, 12:28]  # the moving square fills more than the middle
    for other in inner[1:]:
        torch.testing.assert_close(other, inner[0], rtol=0, atol=0.3)
    assert (seen[0] - crop_to_movement(clips[:1], 40)[0]).abs().max() == 0  # whoever else is in the batch


def test_focus_on_nothing_is_the_whole_picture():
    still = torch.rand(2, 3, 1, 64, 64).repeat(1, 1, 5, 1, 1)
    torch.testing.assert_close(crop_to_movement(still, 64), still, rtol=0, atol=1e-4)


def test_focus_keeps_proportions_and_stays_in_the_picture():
    wide = torch.nn.functional.pad(waving(10, 48, 16), (0, 60))[None]  # 96 high, 156 wide, at the left edge
    alone = waving(10, 48, 16)[None]
    torch.testing.assert_close(crop_to_movement(wide, 40), crop_to_movement(alone, 40), rtol=0, atol=0.35)


def test_a_focused_resnet_is_a_recognizer():
    check_recognizer(SmallResNet(5, focus=48))


def test_weights_out_of_synthesis_are_shipped_for_the_network_that_looks_at_movement():
    first, second = (SmallResNet(5, focus=64, weights="synthetic") for _ in range(2))
    apart = {name for name, value in first.state_dict().items() if not torch.equal(value, second.state_dict()[name])}
    assert apart == {"fc.weight", "fc.bias"}
    assert sum(value.numel() for value in first.state_dict().values()) > 200_000
    assert all(value.isfinite().all() for value in first.state_dict().values())
    for other in ({"focus": None}, {"focus": 64, "still": True}, {"focus": 64, "widths": (16, 32)}):
        with pytest.raises(
            WeightsNotFoundError, match="for recognizer.weights=synthetic, got SmallResNet in this form"
        ):
            SmallResNet(5, weights="synthetic", **other)
    with pytest.raises(WeightsNotFoundError, match="for recognizer.weights=synthetic, got ResNet"):
        ResNet2D(5, depth=18, weights="synthetic")


def test_the_model_card_says_how_the_weights_were_made():
    with safe_open(SYNTHETIC_WEIGHTS, "pt") as file:
        facts = file.metadata()
    card = SYNTHETIC_WEIGHTS.with_name("SMALL.md").read_text()
    arguments = json.loads(facts["arguments"])
    assert facts["made_by"] == "scripts/pretrain_recognizer.py"
    assert f"python {facts['made_by']} {arguments['recognizer']} --steps {arguments['steps']}" in card
    assert not set(ACTIONS) - set(card.split("`")), "The card names every action that was learnt."
    assert SYNTHETIC_WEIGHTS.stat().st_size < 1_000_000
