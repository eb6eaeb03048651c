"""What Lightning iterates: collated clips as normalised batches, in the layout that the recognizer eats.

Between the data module's loaders and training. The one permutation to channel-first video and the one normalisation are
here.
"""

import functools
import time
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace

import lightning
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from synthaug.datamodule.gpu import Drawing
from synthaug.datamodule.order import InOrder, MixedBatches
from synthaug.structures import Batch

LAYOUTS = ("video", "tuple", "pixel_values")
_STEPS = 50
"""Over which times are averaged: Lightning's own interval between two logs."""
_MEAN = (0.43216, 0.394666, 0.37645)
_STD = (0.22803, 0.22145, 0.216989)
"""Of Kinetics-400, as torchvision's video weights were trained with."""


class Batches:
    """What Lightning iterates: normalised batches in the user's layout, resumable by consumed batches.

    A wrapper around the loader and not a hook of the data module, so that `on_after_batch_transfer` stays the user's.
    Where the renderer draws on a GPU, workers send staged recipes, and whole batches are drawn here, one ahead.

    Args:
        loader: Gives collated uint8 batches.
        order: The loader's batch sampler, told which epoch it is.
        layout: One of LAYOUTS.
        drawing: Draws what workers left undrawn; None where they draw.
        device: Where batches are delivered.
    """

    def __init__(
        self,
        loader: DataLoader,
        order: MixedBatches | InOrder,
        *,
        layout: str,
        drawing: Drawing | None,
        device: torch.device,
    ) -> None:
        self.loader = loader
        self.order = order
        self.layout = layout
        self.drawing = drawing
        self.device = device
        self.epoch = 0
        self.consumed = 0
        self._placed = False
        self._told: int | None = None
        self._times: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch | tuple[Tensor, Tensor]]:
        self._turn()
        asked = time.perf_counter()
        for batch in self._whole():
            done = arranged(_moved(batch, self.device), self.layout)
            given = time.perf_counter()
            self._note("wait", given - asked)
            self.consumed += 1
            yield done
            asked = time.perf_counter()
            self._note("step", asked - given)

    @property
    def milliseconds(self) -> dict[str, float]:
        """Means over the last steps: `wait` for a batch, `step` from one to the next, `render` where a GPU draws.

        By the host's clock: a step that only queues work for a GPU looks short until the queue is full.
        """
        return {name: 1e3 * sum(times) / len(times) for name, times in self._times.items()}

    def _whole(self) -> Iterator[Batch]:
        if self.drawing is None:
            yield from self.loader
            return
        for batch, seconds in self.drawing.whole(self.loader):
            self._note("render", seconds)
            yield batch

    def _note(self, name: str, seconds: float) -> None:
        self._times.setdefault(name, deque(maxlen=_STEPS)).append(seconds)

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Where Lightning looks for `set_epoch`: at the sampler of a loader's batch sampler."""
        return SimpleNamespace(sampler=self)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; a loaded state that stands in the middle of it stays there."""
        self._told = epoch

    def _turn(self) -> None:
        """Begin the epoch that we were told or the next one, or go on in the one that a loaded state stands in.

        An iterator that was left early ends its epoch too: Lightning never asks for more than the last batch, and so
        never reaches an iterator's end. And it loads no loader's state from an epoch's end, but tells the epoch.
        """
        epoch = self.epoch
        if self._told is not None:
            epoch = self._told
        elif self.consumed >= len(self) or (self.consumed > 0 and not self._placed):
            epoch += 1
        if epoch != self.epoch or not self._placed:
            self.epoch, self.consumed = epoch, 0
        self._placed, self._told = False, None
        self.order.epoch, self.order.start = self.epoch, self.consumed

    def state_dict(self) -> dict[str, int]:
        """Where training stands, in consumed batches, not in prefetched ones."""
        return {"epoch": self.epoch, "consumed": self.consumed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state_dict` was taken."""
        self.epoch, self.consumed = state["epoch"], state["consumed"]
        self._placed = True


def arranged(batch: Batch, layout: str) -> Batch | tuple[Tensor, Tensor]:
    """A collated uint8 batch, normalised, in one of LAYOUTS."""
    video, label = batch["video"], batch["label"]
    assert isinstance(video, Tensor) and isinstance(label, Tensor)
    if layout == "pixel_values":
        return {"pixel_values": normalized(video), "labels": label}
    mean, std = _standard(video.device)
    pixels = _standardised(video.transpose(1, 2).contiguous(), (mean[:, None], std[:, None]))
    return (pixels, label) if layout == "tuple" else {**batch, "video": pixels}


def normalized(video: UInt8[Tensor, "batch time 3 height width"]) -> Float[Tensor, "batch time 3 height width"]:
    """Standardised by the mean and deviation of Kinetics-400, as torchvision's video weights expect."""
    return _standardised(video, _standard(video.device))


def _standardised(video: Tensor, standard: tuple[Tensor, Tensor]) -> Tensor:
    mean, std = standard
    # In place: a batch is tens of megabytes, whose first touch costs more than the arithmetic.
    return video.float().sub_(mean).div_(std)


@functools.cache
def _standard(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of a pixel in 0..255, sent once: every sending would wait for the device's whole queue."""
    mean, std = (torch.tensor(values, device=device)[:, None, None] * 255 for values in (_MEAN, _STD))
    return mean, std


def _moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; from pinned memory this waits for nothing."""
    if device.type == "cpu":
        return batch
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }


class LoaderMonitor(lightning.Callback):
    """Logs what training waits for: loader/wait_ms, loader/step_ms and, where a GPU draws, loader/render_ms.

    A callback for `Trainer(callbacks=[LoaderMonitor()])`, as Lightning's own monitors of devices and learning rates
    are; the LightningModule need not know. See `Batches.milliseconds`.
    """

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Log the means over the last steps.

        Raises:
            TypeError: If the trainer's batches are not a SynthAugDataModule's.
        """
        batches = trainer.train_dataloader
        if not isinstance(batches, Batches):
            raise TypeError(
                f"LoaderMonitor found a train dataloader of type {type(batches).__name__}; the Batches of a "
                "SynthAugDataModule were wanted. Fit with trainer.fit(module, datamodule=...), or leave it out."
            )
        pl_module.log_dict({f"loader/{name}_ms": value for name, value in batches.milliseconds.items()})
