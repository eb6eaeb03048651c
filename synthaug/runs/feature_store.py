"""Features of clips, kept on disk by the clips' pixels: any run may use what another computed."""

import io
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.datamodule.batches import normalize
from synthaug.files import digest_of, write_atomic
from synthaug.recognizers import Recognizer


class FeatureStore:
    """Features of clips, kept on disk by the clips' pixels and the network: any run may use what another computed.

    Args:
        folder: Where they are kept. Damaged files are made anew.
        recognizer: Computes those that are not there.
    """

    def __init__(self, folder: Path, recognizer: Recognizer) -> None:
        self.folder = folder
        self.recognizer = recognizer
        self._network = digest_network(recognizer)
        self._device = next(recognizer.parameters()).device

    @torch.no_grad()
    def look(self, videos: UInt8[Tensor, "batch time 3 height width"]) -> Float[Tensor, "batch feature"]:
        """The features of these clips, in evaluation mode."""
        paths = [self._path(video) for video in videos]
        found = [self._read(path) for path in paths]
        missing = [place for place, vector in enumerate(found) if vector is None]
        if missing:
            pixels = normalize(videos[missing].to(self._device)).transpose(1, 2).contiguous()
            for place, vector in zip(missing, self.recognizer.features(pixels).float().cpu(), strict=True):
                found[place] = vector
                content = io.BytesIO()
                np.save(content, vector.numpy(), allow_pickle=False)
                write_atomic(paths[place], content.getvalue())
        return torch.stack([vector for vector in found if vector is not None])

    def _path(self, video: UInt8[Tensor, "time 3 height width"]) -> Path:
        name = digest_of(self._network, video)
        return self.folder / name[:2] / f"{name}.npy"

    def _read(self, path: Path) -> Float[Tensor, " feature"] | None:
        try:
            vector = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        whole = vector.shape == (self.recognizer.num_features,) and vector.dtype == np.float32
        return torch.from_numpy(vector) if whole else None


def digest_network(recognizer: Recognizer) -> str:
    """Names what a recognizer's features depend on: its class, settings and weights, but not its classifier."""
    own = {id(tensor) for tensor in recognizer.classifier.parameters()}
    plain = (int, float, str, bool, tuple, type(None))
    settings = sorted((k, v) for k, v in vars(recognizer).items() if isinstance(v, plain) and k != "training")
    parts: list[str | Tensor] = [f"{type(recognizer).__module__}.{type(recognizer).__qualname__}", repr(settings)]
    for name, tensor in (*recognizer.named_parameters(), *recognizer.named_buffers()):
        if id(tensor) not in own:
            parts += [name, tensor]
    return digest_of(*parts)
