import pytest
import torch
from torchvision.models import resnet18, resnet50

from synthaug.recognizers.resnet import ResNet2D
from synthaug.recognizers.shift import temporal_shift
from synthaug.testing.recognizers import check_recognizer


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def video(batch=2, time=4, size=32):
    return torch.randn(batch, 3, time, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("temporal", "frames"), [("average", (2,)), ("shift", (8, 16))])
def test_resnet_is_a_recognizer(temporal, frames):
    check_recognizer(ResNet2D(5, temporal=temporal), frames=frames, size=32)


def test_resnet_of_50_layers_has_2048_features():
    network = ResNet2D(5, depth=50, temporal="shift").eval()
    with torch.no_grad():
        assert network.features(video(1)).shape == (1, 2048) == (1, network.num_features)


@pytest.mark.parametrize(("depth", "builder"), [(18, resnet18), (50, resnet50)])
def test_average_is_the_mean_of_frames_through_torchvision(depth, builder):
    network = ResNet2D(5, depth=depth).eval()
    plain = builder(num_classes=5).eval()
    plain.load_state_dict(network.net.state_dict())
    clips = video(time=3)
    with torch.no_grad():
        frames = torch.stack([plain(clips[:, :, t]) for t in range(3)])
        torch.testing.assert_close(network(clips), frames.mean(0), rtol=1e-4, atol=1e-5)


def test_features_of_a_still_clip_are_those_of_its_frame():
    network = ResNet2D(5).eval()
    with torch.no_grad():
        frame = video(time=1)
        torch.testing.assert_close(
            network.features(frame.expand(-1, -1, 4, -1, -1)), network.features(frame), rtol=1e-4, atol=1e-5
        )


def test_shifting_nothing_is_averaging():
    shift = ResNet2D(5, temporal="shift", shift_share=0.0).eval()
    average = ResNet2D(5, temporal="average").eval()
    average.load_state_dict(shift.state_dict())
    with torch.no_grad():
        assert torch.equal(shift(video()), average(video()))


@pytest.mark.parametrize("depth", [18, 50])
def test_shift_is_torchvisions_block_after_hooks_that_shift(depth):
    network = ResNet2D(5, depth=depth, temporal="shift").eval()
    clips = video(time=4)

    def shifted(module, inputs):
        return temporal_shift(inputs[0], time=4, channels=inputs[0].shape[1] // 8)

    with torch.no_grad():
        ours = network(clips)
        for stage in (network.net.layer1, network.net.layer2, network.net.layer3, network.net.layer4):
            for block in stage:
                block.conv1.register_forward_pre_hook(shifted)
        hooked = network.net(clips.transpose(1, 2).flatten(0, 1)).unflatten(0, (-1, 4)).mean(1)
    torch.testing.assert_close(ours, hooked, rtol=1e-4, atol=1e-5)


def test_order_matters_to_shift_and_not_to_average():
    clips = video()
    backwards = clips.flip(2)
    with torch.no_grad():
        average = ResNet2D(5).eval()
        torch.testing.assert_close(average(clips), average(backwards), rtol=1e-4, atol=1e-5)
        shift = ResNet2D(5, temporal="shift").eval()
        assert not torch.allclose(shift(clips), shift(backwards), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 34}, "Expected recognizer.depth to be 18 or 50, got 34"),
        ({"temporal": "lstm"}, "Expected recognizer.temporal to be 'average' or 'shift', got 'lstm'"),
        ({"shift_share": 0.6}, "Expected recognizer.shift_share from 0 to 0.5, .* got 0.6"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNet2D(5, **arguments)
