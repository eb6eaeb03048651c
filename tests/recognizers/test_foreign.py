from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.models.video import s3d

from synthaug.recognizers.foreign import ForeignNetwork
from synthaug.testing.recognizers import check_recognizer


class Colours(nn.Module):
    """Knows nothing of synthaug."""

    def __init__(self, num_classes):
        super().__init__()
        self.body = nn.Linear(3, 6)
        self.classifier = nn.Linear(6, num_classes)

    def forward(self, video):
        return self.classifier(self.body(video.mean((2, 3, 4))))


class Tokens(nn.Module):
    """As Hugging Face's: eats pixel_values, answers with an object; its classifier sees every frame."""

    def __init__(self, num_labels):
        super().__init__()
        self.classifier = nn.Linear(3, num_labels)

    def forward(self, pixel_values, labels=None):
        return SimpleNamespace(logits=self.classifier(pixel_values.mean((3, 4))).mean(1), loss=None)


class Hidden(Colours):
    """Has a classifier and decides without it."""

    def forward(self, video):
        return torch.zeros(len(video), self.classifier.out_features) + self.body.weight.sum()


def test_a_plain_module_is_a_recognizer():
    check_recognizer(ForeignNetwork(5, module=Colours), size=16)


def test_a_module_of_pixel_values_is_a_recognizer():
    network = ForeignNetwork(5, module=Tokens, classes_argument="num_labels", layout="pixel_values")
    check_recognizer(network, size=16)
    video = torch.randn(2, 3, 4, 8, 8)
    torch.testing.assert_close(network.features(video), video.mean((2, 3, 4)))


def test_features_are_what_the_classifier_sees():
    torch.manual_seed(0)
    network = ForeignNetwork(5, module=Colours)
    video = torch.randn(2, 3, 4, 8, 8)
    assert network.num_features == 6
    assert torch.equal(network.features(video), network.net.body(video.mean((2, 3, 4))))
    assert torch.equal(network.net.classifier(network.features(video)), network(video))
    assert not network.net.classifier._forward_pre_hooks


def test_features_do_not_run_compiled_code_which_ignores_later_hooks():
    network, video = ForeignNetwork(5, module=Colours), torch.randn(2, 3, 4, 8, 8)
    # What torch.compile leaves behind; here type checking breaks the graph, so that hooks would be asked after all.
    network._compiled_call_impl = lambda video: torch.zeros(len(video), 5)
    assert torch.equal(network(video), torch.zeros(2, 5))
    assert torch.equal(network.features(video), network.net.body(video.mean((2, 3, 4))))


def test_weights_are_read_by_the_networks_own_names(tmp_path):
    given = Colours(5)
    torch.save(given.state_dict(), tmp_path / "weights.pth")
    network = ForeignNetwork(4, module=Colours, weights=str(tmp_path / "weights.pth"))
    assert torch.equal(network.net.body.weight, given.body.weight) and network.num_classes == 4


def test_a_made_module_is_refused():
    with pytest.raises(
        ValueError,
        match=r"Expected recognizer.module to be a function .*, got a finished Colours. Set .*_partial_=true",
    ):
        ForeignNetwork(5, module=Colours(5))


def test_a_network_without_a_linear_classifier_is_refused():
    with pytest.raises(
        ValueError, match="Expected a linear layer of width 5, .* in S3D, got none. Set .* or recognizer.head"
    ):
        ForeignNetwork(5, module=s3d)


def test_a_head_that_is_no_linear_layer_is_refused():
    with pytest.raises(ValueError, match="Expected recognizer.head='' to name a linear layer, got a Colours"):
        ForeignNetwork(5, module=Colours, head="").features(torch.zeros(1, 3, 1, 4, 4))


def test_a_classifier_that_is_not_used_is_named():
    with pytest.raises(RuntimeError, match="Expected recognizer.head='classifier' to make the network's logits"):
        ForeignNetwork(5, module=Hidden).features(torch.zeros(1, 3, 1, 4, 4))


def test_other_answers_are_refused():
    class Half(Colours):
        def forward(self, video):
            return super().forward(video)[:, :2]

    with pytest.raises(TypeError, match=r"Expected logits of shape \(1, 5\) from the network, .* got \(1, 2\). Wrap"):
        ForeignNetwork(5, module=Half)(torch.zeros(1, 3, 1, 4, 4))


def test_unknown_layouts_are_refused():
    with pytest.raises(ValueError, match="Expected recognizer.layout to be one of video, pixel_values, got 'nthwc'"):
        ForeignNetwork(5, module=Colours, layout="nthwc")
