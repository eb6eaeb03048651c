"""Finds, downloads and loads pretrained weights. Files are read as plain tensors; code in them is refused, not run."""

import logging
import pickle
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

log = logging.getLogger(__name__)

ARCHITECTURES = ("resnet18", "resnet50", "r3d_18", "mc3_18", "r2plus1d_18", "mvit_v2_s", "swin3d_t")
"""torchvision's names of networks with published weights: from ImageNet-1K for resnet*, otherwise Kinetics-400."""

SYNTHETIC = "synthetic"
"""Value of `recognizer.weights` for weights that this package made of synthetic clips alone, and ships."""

CONNECT_SECONDS = 10.0
"""Longest wait for a server's answer: firewalls of compute nodes often drop packets instead of refusing them."""


class WeightsNotFoundError(FileNotFoundError):
    """Pretrained weights are missing; the message says where they should be, and how to get them."""


class WeightsMismatchError(ValueError):
    """A file holds no weights, or weights that do not fit the network."""


def weights_location(arch: str) -> Path:
    """Path of torchvision's weights for `arch`, in torch hub's own folder, so that both share one copy.

    `TORCH_HOME` moves the folder.

    Raises:
        ValueError: If `arch` is not in `ARCHITECTURES`.
    """
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_url_of(arch)).name


def fetch_weights(arch: str, *, progress: bool = True) -> Path:
    """Download torchvision's weights for `arch` to `weights_location`, unless they are there.

    The file's name contains the first digits of its SHA-256, which are checked.

    Raises:
        ValueError: If `arch` is not in `ARCHITECTURES`.
        WeightsNotFoundError: If they cannot be downloaded.
    """
    location, url = weights_location(arch), _url_of(arch)
    if location.is_file():
        return location
    try:
        # torch.hub waits forever for a silent server; this request has a time limit.
        urlopen(Request(url, method="HEAD"), timeout=CONNECT_SECONDS).close()
        location.parent.mkdir(parents=True, exist_ok=True)
        digits = location.stem.rpartition("-")[2]
        torch.hub.download_url_to_file(url, str(location), hash_prefix=digits, progress=progress)
    except (URLError, OSError, RuntimeError) as error:  # RuntimeError: the checksum differs
        raise WeightsNotFoundError(
            f"No pretrained weights of {arch} at {location}, and they could not be downloaded ({error}). Run "
            f"`synthaug data weights {arch}` on a machine with a network and copy the file there (TORCH_HOME moves the "
            "folder), or set recognizer.weights=PATH, or recognizer.weights=null to train from scratch."
        ) from error
    return location


def load_weights(
    network: nn.Module,
    weights: str,
    *,
    arch: str | None = None,
    synthetic: Path | None = None,
    head: str = "fc",
    translate: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict,
) -> None:
    """Load weights into a network; its classifier keeps its own if the file has none, or one of other classes' number.

    Args:
        network: Changed in place.
        weights: DEFAULT, "synthetic", or the path of a state dict (.pth, .pt, .ckpt or .safetensors), also of our own
            checkpoints and recognizers, whose names have prefixes.
        arch: torchvision's name of the network; None if it has no published weights.
        synthetic: Weights out of synthesis alone that the package ships for this network; None if there are none.
        head: The network's name for its linear classifier.
        translate: Translates names of other libraries into the network's.

    Raises:
        WeightsNotFoundError: If there is no such file, or DEFAULT cannot be downloaded.
        WeightsMismatchError: If the file is not a state dict, or does not fit.
    """
    if weights == SYNTHETIC:
        path = _require_synthetic(network, synthetic)
    elif weights != "DEFAULT":
        path = Path(weights).expanduser()
    elif arch is None:
        raise WeightsNotFoundError(
            f"Expected recognizer.weights=PATH or null, got DEFAULT, and {type(network).__name__} has no published "
            "weights. Set recognizer.weights=PATH, or recognizer.weights=null to train from scratch."
        )
    else:
        path = fetch_weights(arch)
    _fill_network(network, translate(_strip_prefixes(read_state(path))), path, head)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors in a file, by name; nothing in the file is executed.

    Raises:
        WeightsNotFoundError: If there is no such file.
        WeightsMismatchError: If it is not a state dict, or needs a library that is not installed.
    """
    if not path.is_file():
        raise WeightsNotFoundError(
            f"No such file: recognizer.weights={path}. Correct the path of the state dict (.pth, .pt, .ckpt or "
            ".safetensors), or set recognizer.weights to DEFAULT or null."
        )
    state: object = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for inner in ("state_dict", "model_state"):  # keys of Lightning's and of PySlowFast's checkpoints
        if isinstance(state, dict) and isinstance(state.get(inner), dict):
            state = state[inner]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsMismatchError(
            f"Expected a state dict in recognizer.weights={path}, got something else. Save one with "
            "torch.save(recognizer.state_dict(), path), or set recognizer.weights=null."
        )
    return state


def _require_synthetic(network: nn.Module, synthetic: Path | None) -> Path:
    if synthetic is None:
        raise WeightsNotFoundError(
            "Expected a recognizer with weights out of synthesis alone for recognizer.weights=synthetic, got "
            f"{type(network).__name__} in this form. Set recognizer=small, make weights with "
            "scripts/pretrain_recognizer.py, or set recognizer.weights to DEFAULT, PATH or null."
        )
    return synthetic


def _url_of(arch: str) -> str:
    if arch not in ARCHITECTURES:
        raise ValueError(
            f"Expected a network with published weights ({', '.join(ARCHITECTURES)}), got {arch!r}. Choose one of "
            "them, or set recognizer.weights to the path of a file."
        )
    return str(get_model_weights(arch)["DEFAULT"].url)


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError,
            OverflowError, AssertionError, MemoryError, OSError, struct.error) as error:  # fmt: skip
        reason = (str(error).splitlines() or ["it is empty"])[0]
        raise WeightsMismatchError(
            f"Expected plain tensors in recognizer.weights={path}, which torch.load(..., weights_only=True) can read, "
            f"got an error ({reason}). Other files can run code, so save recognizer.state_dict() alone."
        ) from error


def _read_safetensors(path: Path) -> object:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsMismatchError(
            f"recognizer.weights={path} needs safetensors, which is not installed. Run `uv pip install safetensors`, "
            "or use a .pth file."
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsMismatchError(
            f"Expected a safetensors file in recognizer.weights={path}, got an error ({error}). Check that the file is "
            "complete."
        ) from error


def _strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strip `recognizer.`, which Training adds (dropping its other tensors), and `net.`, which some recognizers add."""
    plain = {name.removeprefix("recognizer."): value for name, value in state.items() if name.startswith("recognizer.")}
    plain = plain or dict(state)
    if all(name.startswith("net.") for name in plain):
        plain = {name.removeprefix("net."): value for name, value in plain.items()}
    return plain


def _fill_network(network: nn.Module, state: dict[str, Tensor], path: Path, head: str) -> None:
    expected = network.state_dict()
    weight, bias = f"{head}.weight", f"{head}.bias"
    if weight not in state and bias not in state:
        log.info("%s has no classifier, so it is trained from scratch.", path)
        state = state | {name: value for name, value in expected.items() if name in (weight, bias)}
    elif weight in state and weight in expected and state[weight].shape[0] != expected[weight].shape[0]:
        log.info(
            "%s has %d classes instead of %d, so the classifier is trained from scratch.",
            path,
            state[weight].shape[0],
            expected[weight].shape[0],
        )
        state = state | {name: value for name, value in expected.items() if name in (weight, bias)}
    missing = sorted(expected.keys() - state.keys())
    surplus = sorted(state.keys() - expected.keys())
    misshapen = sorted(
        f"{name} {tuple(state[name].shape)} for {tuple(expected[name].shape)}"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name].shape
    )
    if missing or surplus or misshapen:
        raise WeightsMismatchError(
            f"Expected weights of {type(network).__name__} with {len(expected)} names in recognizer.weights={path}, "
            f"got those of another network: {len(missing)} names are missing {missing[:3]}, {len(surplus)} are unknown "
            f"{surplus[:3]}, {len(misshapen)} have another shape {misshapen[:3]}. Choose the recognizer that they were "
            "saved from, or other weights."
        )
    network.load_state_dict(state)
