import pytest
import torch
from torchvision.models import get_model

from synthaug.recognizers.transformer import VideoTransformer
from synthaug.testing.recognizers import check_recognizer


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("arch", ["mvit_v2_s", "swin3d_t"])
def test_video_transformer_is_a_recognizer(arch):
    # MViT's relative positions and its token of the class need no particular size.
    check_recognizer(VideoTransformer(5, arch=arch), frames=(4,), size=64)


@pytest.mark.parametrize(("arch", "size"), [("mvit_v2_s", (16, 224)), ("swin3d_t", (4, 64))])
def test_logits_are_torchvisions(arch, size):
    network = VideoTransformer(5, arch=arch).eval()
    plain = get_model(arch, num_classes=5).eval()
    plain.load_state_dict(network.net.state_dict())
    clips = torch.randn(1, 3, size[0], size[1], size[1])
    with torch.no_grad():
        torch.testing.assert_close(network(clips), plain(clips), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arch", ["mvit_v2_s", "swin3d_t"])
def test_weights_for_other_classes_keep_all_but_the_classifier(arch, tmp_path):
    given = get_model(arch, num_classes=7)
    torch.save(given.state_dict(), tmp_path / "weights.pth")
    network = VideoTransformer(3, arch=arch, weights=str(tmp_path / "weights.pth"))
    assert network.num_classes == 3 and network.num_features == 768
    for name, value in given.state_dict().items():
        if not name.startswith("head"):
            assert torch.equal(network.net.state_dict()[name], value), name


def test_unknown_architecture_is_named():
    with pytest.raises(ValueError, match="Expected recognizer.arch to be one of mvit_v2_s, swin3d_t, got 'vit'"):
        VideoTransformer(5, arch="vit")
