import hashlib
import logging
import pickle
from urllib.error import URLError

import pytest
import torch
from torchvision.models import resnet18

from synthaug.recognizers import weights
from synthaug.recognizers.resnet import ResNet2D
from synthaug.recognizers.weights import (
    ARCHITECTURES,
    WeightsMismatchError,
    WeightsNotFoundError,
    fetch_weights,
    load_weights,
    read_state,
    weights_location,
)


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty cache, and no network."""
    torch.set_num_threads(1)
    torch.manual_seed(0)

    def offline(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(weights, "urlopen", offline)
    return tmp_path / "hub"


def test_weights_lie_where_torch_hub_keeps_them(hub):
    for arch in ARCHITECTURES:
        assert weights_location(arch).parent == hub / "hub" / "checkpoints"
        assert weights_location(arch).name.startswith(arch)


def test_unknown_architecture_is_named():
    with pytest.raises(ValueError, match=r"Expected a network with published weights \(resnet18, .*got 'resnet7'"):
        weights_location("resnet7")


def test_offline_default_says_where_and_how_to_bring_them():
    with pytest.raises(WeightsNotFoundError) as raised:
        ResNet2D(5, weights="DEFAULT")
    message = str(raised.value)
    assert "No pretrained weights of resnet18 at" in message
    assert str(weights_location("resnet18")) in message
    assert "no route to host" in message
    assert "synthaug data weights resnet18" in message
    assert "weights=null" in message


def test_offline_default_is_read_from_the_cache(monkeypatch):
    published = resnet18(num_classes=1000).state_dict()
    weights_location("resnet18").parent.mkdir(parents=True)
    torch.save(published, weights_location("resnet18"))
    network = ResNet2D(5, weights="DEFAULT")
    assert torch.equal(network.net.layer4[1].conv2.weight, published["layer4.1.conv2.weight"])
    assert network.num_classes == 5


def test_fetched_weights_are_checked_and_kept(monkeypatch, tmp_path):
    content = b"weights"
    digits = hashlib.sha256(content).hexdigest()[:8]
    source = tmp_path / f"resnet18-{digits}.pth"
    source.write_bytes(content)
    monkeypatch.undo()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(weights, "_url_of", lambda arch: source.as_uri())
    location = fetch_weights("resnet18", progress=False)
    assert location == weights_location("resnet18")
    assert location.read_bytes() == content

    location.unlink()
    source.write_bytes(b"something else")
    with pytest.raises(WeightsNotFoundError, match="invalid hash value"):
        fetch_weights("resnet18", progress=False)
    assert not location.exists()


def test_path_gives_back_what_was_saved(tmp_path):
    saved = ResNet2D(5)
    for number, state in enumerate(
        [
            saved.state_dict(),
            saved.net.state_dict(),
            {"state_dict": {f"recognizer.{name}": value for name, value in saved.state_dict().items()}},
        ]
    ):
        path = tmp_path / f"{number}.pth"
        torch.save(state, path)
        loaded = ResNet2D(5, weights=str(path))
        assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in saved.state_dict().items())


def test_the_classifier_is_trained_from_scratch_for_other_classes_and_says_so(tmp_path, caplog):
    saved = ResNet2D(7)
    torch.save(saved.state_dict(), tmp_path / "seven.pth")
    with caplog.at_level(logging.INFO):
        loaded = ResNet2D(5, weights=str(tmp_path / "seven.pth"))
    assert loaded.num_classes == 5
    assert torch.equal(saved.net.conv1.weight, loaded.net.conv1.weight)
    assert "7 classes instead of 5, so the classifier is trained from scratch" in caplog.text


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(ResNet2D(5).state_dict(), tmp_path / "eighteen.pth")
    with pytest.raises(WeightsMismatchError, match=r"another network: \d+ names are missing"):
        ResNet2D(5, depth=50, weights=str(tmp_path / "eighteen.pth"))
    state = ResNet2D(5).state_dict()
    state["net.conv1.weight"] = state["net.conv1.weight"][:, :1]
    torch.save(state, tmp_path / "grey.pth")
    with pytest.raises(WeightsMismatchError, match=r"conv1.weight \(64, 1, 7, 7\) for \(64, 3, 7, 7\)"):
        ResNet2D(5, weights=str(tmp_path / "grey.pth"))


def test_missing_file_is_named():
    with pytest.raises(WeightsNotFoundError, match=r"No such file: recognizer.weights=nowhere.pth. Correct the path"):
        ResNet2D(5, weights="nowhere.pth")


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code in a weight file was run')",))


def test_files_that_are_no_state_dict_are_refused_and_not_run(tmp_path):
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"fc.weight": Bomb()}, protocol=2))
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("bomb", "text", "empty"):
        with pytest.raises(WeightsMismatchError, match=f"Expected plain tensors in recognizer.weights=.*{name}.pth"):
            read_state(tmp_path / f"{name}.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(WeightsMismatchError, match=r"Expected a state dict in recognizer.weights=.*list.pth"):
        read_state(tmp_path / "list.pth")


def test_safetensors_are_read_where_the_library_is(tmp_path):
    path = tmp_path / "saved.safetensors"
    try:
        from safetensors.torch import save_file
    except ImportError:
        path.write_bytes(b"")
        with pytest.raises(
            WeightsMismatchError, match="needs safetensors, which is not installed. Run `uv pip install safetensors`"
        ):
            read_state(path)
    else:
        save_file({"a": torch.ones(2)}, path)
        assert torch.equal(read_state(path)["a"], torch.ones(2))
        path.write_bytes(b"")
        with pytest.raises(WeightsMismatchError, match="Expected a safetensors file in recognizer.weights="):
            read_state(path)


def test_default_is_refused_where_nobody_published_any():
    with pytest.raises(WeightsNotFoundError, match="got DEFAULT, and Linear has no published weights"):
        load_weights(torch.nn.Linear(1, 1), "DEFAULT")
