import pytest
import torch
from torchvision.models import get_model

from synthaug.recognizers.resnet3d import ResNet3D
from synthaug.testing.recognizers import check_recognizer


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("arch", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_video_resnet_is_a_recognizer(arch):
    check_recognizer(ResNet3D(5, arch=arch), frames=(4,), size=32)


def test_r3d_takes_8_and_16_frames():
    network = ResNet3D(5).eval()
    with torch.no_grad():
        for time in (8, 16):
            assert network(torch.zeros(1, 3, time, 32, 32)).shape == (1, 5)


@pytest.mark.parametrize("arch", ["r3d_18"])
def test_logits_are_torchvisions(arch):
    network = ResNet3D(5, arch=arch).eval()
    plain = get_model(arch, num_classes=5).eval()
    plain.load_state_dict(network.net.state_dict())
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(clips), plain(clips), rtol=1e-5, atol=1e-6)


def test_unknown_architecture_is_named():
    with pytest.raises(
        ValueError, match="Expected recognizer.arch to be one of r3d_18, mc3_18, r2plus1d_18, got 'r3d_34'"
    ):
        ResNet3D(5, arch="r3d_34")
