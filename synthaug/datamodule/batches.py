"""Turns collated uint8 clips into the normalised batches that Lightning iterates, in the layout of the recognizer.

The package's only permutation to channel-first video and its only normalisation are here.
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

from synthaug.datamodule.gpu import BatchRendering
from synthaug.datamodule.order import HeldOutBatches, MixedBatches
from synthaug.structures import VIDEO_MEAN, VIDEO_STD, Batch

LAYOUTS = ("video", "tuple", "pixel_values")
TIMING_WINDOW = 50
"""Number of steps over which times are averaged: Lightning's own interval between two logs."""


class Batches:
    """Iterates normalised batches in the user's layout, and can resume after the last batch that was used.

    It wraps the loader instead of being a hook of the data module, so that `on_after_batch_transfer` stays free for the
    user. With a GPU renderer, workers send clips that are not rendered yet, and whole batches are rendered here, one
    batch ahead.

    Args:
        loader: Gives collated uint8 batches.
        order: The loader's batch sampler; its `epoch` and `start` are set here.
        layout: One of LAYOUTS.
        rendering: Renders the clips that workers left pending; None if workers render themselves.
        device: Where batches are delivered.
    """

    def __init__(
        self,
        loader: DataLoader,
        order: MixedBatches | HeldOutBatches,
        *,
        layout: str,
        rendering: BatchRendering | None,
        device: torch.device,
    ) -> None:
        self.loader = loader
        self.order = order
        self.layout = layout
        self.rendering = rendering
        self.device = device
        self.epoch = 0
        self.consumed = 0
        self._resuming = False
        self._next_epoch: int | None = None
        self._times: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch | tuple[Tensor, Tensor]]:
        self._start_epoch()
        requested = time.perf_counter()
        for batch in self._rendered_batches():
            arranged = arrange_batch(_move_batch(batch, self.device), self.layout)
            delivered = time.perf_counter()
            self._record_time("wait", delivered - requested)
            self.consumed += 1
            yield arranged
            requested = time.perf_counter()
            self._record_time("step", requested - delivered)

    @property
    def milliseconds(self) -> dict[str, float]:
        """Means over the last steps: `wait` for a batch, `step` between batches, `render` if a GPU renders them.

        Measured by the host's clock: a step that only queues work for a GPU looks short until the queue is full.
        """
        return {name: 1e3 * sum(times) / len(times) for name, times in self._times.items()}

    def _rendered_batches(self) -> Iterator[Batch]:
        if self.rendering is None:
            yield from self.loader
            return
        for batch, seconds in self.rendering.complete_batches(self.loader):
            self._record_time("render", seconds)
            yield batch

    def _record_time(self, name: str, seconds: float) -> None:
        self._times.setdefault(name, deque(maxlen=TIMING_WINDOW)).append(seconds)

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Lightning calls `set_epoch` on the sampler of a loader's batch sampler: that is this object."""
        return SimpleNamespace(sampler=self)

    def set_epoch(self, epoch: int) -> None:
        """Set which epoch comes next. A loaded state in the middle of that epoch is kept."""
        self._next_epoch = epoch

    def _start_epoch(self) -> None:
        """Start the epoch set by `set_epoch`, else the next one, or continue the one of a loaded state.

        Leaving an iterator early ends its epoch as well: Lightning never asks for more than the last batch, and so
        never exhausts an iterator. Nor does it load a loader's state that was saved at the end of an epoch; it only
        sets the epoch.
        """
        epoch = self.epoch
        if self._next_epoch is not None:
            epoch = self._next_epoch
        elif self.consumed >= len(self) or (self.consumed > 0 and not self._resuming):
            epoch += 1
        if epoch != self.epoch or not self._resuming:
            self.epoch, self.consumed = epoch, 0
        self._resuming, self._next_epoch = False, None
        self.order.epoch, self.order.start = self.epoch, self.consumed

    def state_dict(self) -> dict[str, int]:
        """Where training is: the epoch, and the batches that were used (not those that were prefetched)."""
        return {"epoch": self.epoch, "consumed": self.consumed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from a state that `state_dict` gave."""
        self.epoch, self.consumed = state["epoch"], state["consumed"]
        self._resuming = True


def arrange_batch(batch: Batch, layout: str) -> Batch | tuple[Tensor, Tensor]:
    """Normalise a collated uint8 batch and arrange it in one of LAYOUTS."""
    video, label = batch["video"], batch["label"]
    assert isinstance(video, Tensor) and isinstance(label, Tensor)
    if layout == "pixel_values":
        return {"pixel_values": normalize(video), "labels": label}
    mean, std = _mean_and_std(video.device)
    pixels = _standardize(video.transpose(1, 2).contiguous(), mean[:, None], std[:, None])
    return (pixels, label) if layout == "tuple" else {**batch, "video": pixels}


def normalize(video: UInt8[Tensor, "batch time 3 height width"]) -> Float[Tensor, "batch time 3 height width"]:
    """Normalise by the mean and standard deviation of Kinetics-400, as torchvision's video weights expect."""
    return _standardize(video, *_mean_and_std(video.device))


def _standardize(video: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    # In place: a batch is tens of megabytes, and allocating it again costs more than the arithmetic.
    return video.float().sub_(mean).div_(std)


@functools.cache
def _mean_and_std(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of pixels in 0..255. Copied to a device once: each copy waits for all work queued there."""
    mean, std = (torch.tensor(values, device=device)[:, None, None] * 255 for values in (VIDEO_MEAN, VIDEO_STD))
    return mean, std


def _move_batch(batch: Batch, device: torch.device) -> Batch:
    """Copy a batch to a device; from pinned memory the copy is asynchronous."""
    if device.type == "cpu":
        return batch
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }


class LoaderMonitor(lightning.Callback):
    """Logs what training waits for: loader/wait_ms, loader/step_ms and, if a GPU renders, loader/render_ms.

    Used as `Trainer(callbacks=[LoaderMonitor()])`, like Lightning's `LearningRateMonitor`; the LightningModule needs no
    change. `Batches.milliseconds` says what the numbers mean.
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
                "LoaderMonitor expected the train dataloader of a SynthAugDataModule, got "
                f"{type(batches).__name__}. Fit with trainer.fit(module, datamodule=...), or leave LoaderMonitor out."
            )
        pl_module.log_dict({f"loader/{name}_ms": value for name, value in batches.milliseconds.items()})
