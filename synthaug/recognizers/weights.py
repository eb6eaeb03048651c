"""Pretrained weights: where they lie, how they are brought, how they are read into a network.

Below the recognizers. Files are read as plain tensors; code in them is refused, not run.
"""

import logging
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

log = logging.getLogger(__name__)

ARCHITECTURES = ("resnet18", "resnet50", "r3d_18", "mc3_18", "r2plus1d_18", "mvit_v2_s", "swin3d_t")
"""Names for which torchvision publishes weights, as it spells them: of ImageNet-1K for frames, of Kinetics-400 else."""

CONNECT_SECONDS = 10.0
"""Patience with a server that does not answer: compute nodes often drop packets instead of refusing them."""


class WeightsNotFoundError(FileNotFoundError):
    """Pretrained weights are not where they were looked for; the message says where, and how to bring them."""


class WeightsMismatchError(ValueError):
    """A file of weights does not fit the network, or is none."""


def weights_location(arch: str) -> Path:
    """Where torchvision's weights for `arch` lie, or would: torch hub's own folder, so that both share one copy.

    `TORCH_HOME` moves it.

    Raises:
        ValueError: If `arch` is none of `ARCHITECTURES`.
    """
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_address(arch)).name


def fetch_weights(arch: str, *, progress: bool = True) -> Path:
    """Bring torchvision's weights for `arch` to `weights_location`, unless they are there.

    The file's name carries the first digits of its SHA-256, which are checked before it takes its place.

    Raises:
        ValueError: If `arch` is none of `ARCHITECTURES`.
        WeightsNotFoundError: If they cannot be had.
    """
    location, address = weights_location(arch), _address(arch)
    if location.is_file():
        return location
    try:
        # torch.hub waits for ever on a silent server; this asks first, with a limit.
        urlopen(Request(address, method="HEAD"), timeout=CONNECT_SECONDS).close()
        location.parent.mkdir(parents=True, exist_ok=True)
        digits = location.stem.rpartition("-")[2]
        torch.hub.download_url_to_file(address, str(location), hash_prefix=digits, progress=progress)
    except (URLError, OSError, RuntimeError) as error:  # RuntimeError: the checksum differs
        raise WeightsNotFoundError(
            f"weights=DEFAULT: the pretrained weights of {arch} are not at {location}, and could not be downloaded "
            f"({error}). Run `synthaug data weights {arch}` where there is a network and copy the file there "
            "(TORCH_HOME moves the folder); or give weights=PATH, or weights=null to train from scratch."
        ) from error
    return location


def load_weights(
    network: nn.Module,
    weights: str,
    *,
    arch: str | None = None,
    head: str = "fc",
    renamed: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict,
) -> None:
    """Read weights into a network, whose classifier keeps its own if the classes differ.

    Args:
        network: Changed in place.
        weights: DEFAULT, or the path of a state dict (.pth, .pt, .ckpt or .safetensors). Our own checkpoints and
            recognizers, whose names carry prefixes, are understood too.
        arch: torchvision's name for the network; None if there are no published weights for it.
        head: What the network calls its linear classifier.
        renamed: Translates the names of others.

    Raises:
        WeightsNotFoundError: If there is no such file, and for DEFAULT none to be had.
        WeightsMismatchError: If the file is no state dict, or does not fit.
    """
    if weights != "DEFAULT":
        path = Path(weights)
    elif arch is None:
        raise WeightsNotFoundError(
            f"weights=DEFAULT was given, but nobody has published weights for {type(network).__name__}. "
            "Give weights=PATH, or weights=null to train from scratch."
        )
    else:
        path = fetch_weights(arch)
    _fill(network, renamed(_without_prefix(read_state(path))), path, head)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a file, by name; nothing in the file is executed.

    Raises:
        WeightsNotFoundError: If there is no such file.
        WeightsMismatchError: If it is no state dict, or needs a library that is not installed.
    """
    if not path.is_file():
        raise WeightsNotFoundError(
            f"weights={path}: there is no such file. A state dict (.pth, .pt, .ckpt or .safetensors) was wanted. "
            "Correct the path, or give weights=DEFAULT or weights=null."
        )
    state: object = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for inner in ("state_dict", "model_state"):  # in a checkpoint of Lightning's, of PySlowFast's
        if isinstance(state, dict) and isinstance(state.get(inner), dict):
            state = state[inner]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsMismatchError(
            f"weights={path} holds no tensors by name. A state dict was wanted, as "
            "torch.save(recognizer.state_dict(), path) writes it. Save it so, or give weights=null."
        )
    return state


def _address(arch: str) -> str:
    if arch not in ARCHITECTURES:
        raise ValueError(
            f"There are no published weights for {arch!r}. One of {', '.join(ARCHITECTURES)} was wanted. "
            "Choose one, or name a file of your own with weights=PATH."
        )
    return str(get_model_weights(arch)["DEFAULT"].url)


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or ["it is empty"])[0]
        raise WeightsMismatchError(
            f"weights={path} could not be read as plain tensors ({reason}). A state dict "
            "that loads under weights_only=True was wanted, since other files can carry code. Save "
            "recognizer.state_dict() alone."
        ) from error


def _read_safetensors(path: Path) -> object:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsMismatchError(
            f"weights={path} is a safetensors file, and safetensors is not installed. Install it "
            "(`uv pip install safetensors`), or give a .pth."
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsMismatchError(
            f"weights={path} is no safetensors file ({error}). One was wanted, by its name. Was it cut short?"
        ) from error


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as the network itself has them: `recognizer.` is Training's, beside what only training needs."""
    plain = {name.removeprefix("recognizer."): value for name, value in state.items() if name.startswith("recognizer.")}
    plain = plain or dict(state)
    if all(name.startswith("net.") for name in plain):
        plain = {name.removeprefix("net."): value for name, value in plain.items()}
    return plain


def _fill(network: nn.Module, state: dict[str, Tensor], path: Path, head: str) -> None:
    wanted = network.state_dict()
    weight, bias = f"{head}.weight", f"{head}.bias"
    if weight in state and weight in wanted and state[weight].shape[0] != wanted[weight].shape[0]:
        log.info(
            "%s: %d classes where %d are wanted, so the classifier starts afresh.",
            path,
            state[weight].shape[0],
            wanted[weight].shape[0],
        )
        state = state | {name: value for name, value in wanted.items() if name in (weight, bias)}
    missing = sorted(wanted.keys() - state.keys())
    surplus = sorted(state.keys() - wanted.keys())
    misshapen = sorted(
        f"{name} {tuple(state[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted.keys() & state.keys()
        if state[name].shape != wanted[name].shape
    )
    if missing or surplus or misshapen:
        raise WeightsMismatchError(
            f"weights={path} is for another network: {len(missing)} names are missing {missing[:3]}, {len(surplus)} "
            f"are unknown {surplus[:3]}, {len(misshapen)} have another shape {misshapen[:3]}. The weights of "
            f"{type(network).__name__} with {len(wanted)} names were wanted. Choose the recognizer that they were "
            "saved from, or other weights."
        )
    network.load_state_dict(state)
