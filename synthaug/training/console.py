"""Report the progress of training in lines where there is no terminal, and hide Lightning's own tips."""

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from typing import final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from synthaug.progress import Clock, Pace, describe_progress, say

_RANK_ZERO = "lightning.pytorch.utilities.rank_zero"  # the logger of Lightning's rank_zero_info
_TIPS = (
    "💡 Tip", "GPU available: ", "TPU available: ", "HPU available: ", "`Trainer.fit` stopped: `max_steps",
    "Restoring states from the checkpoint path at ", "Loaded model weights from the checkpoint at ",
)  # fmt: skip
"""Beginnings of messages that Lightning logs for every run."""
_WARNINGS = (
    # A protocol without a validation part is a choice; the run says how it takes its best checkpoint then.
    r"Total length of `Batches` across ranks is zero",
    # Ours is a few batches long, and CSVLogger writes them all.
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # The configuration is written into the run's folder first.
    r"Checkpoint directory .* exists and is not empty",
    # Lightning's own use of torch, as of 2.6.6.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # Workers are chosen by loading.num_workers; `doctor` and the monitor say what a run waits for.
    r"The '(train|val|test)_dataloader' does not have many workers",
)
"""Warnings of Lightning about what our own data module and trainer do on purpose."""


class _Tips(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_TIPS)


_tips = _Tips()


def silence_tips() -> None:
    """Drop what Lightning logs and warns for every run of ours, in this process and those that it forks.

    What it says about a user's own settings is still shown. Calling it again changes nothing.
    """
    logging.getLogger(_RANK_ZERO).addFilter(_tips)
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def choose_progress(bar: bool | None, *, terminal: bool) -> "tuple[bool, list[ProgressLines]]":
    """Whether the trainer shows a progress bar, and the callback that logs lines instead, if any.

    Args:
        bar: What the user set: `trainer.enable_progress_bar`. None takes the bar on a terminal, and lines elsewhere.
        terminal: Whether there is one.
    """
    if bar is not None:
        return bar, []
    return terminal, [] if terminal else [ProgressLines()]


@final
class ProgressLines(Callback):
    """Logs how far training and testing are, at the intervals of `synthaug.progress`.

    For runs without a terminal, in which a progress bar would fill the log. If there are several processes, only the
    main one logs.

    Args:
        clock: Tells the time; None is the system's.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._make_pace: Callable[[], Pace] = Pace if clock is None else lambda: Pace(clock)
        self._fit = self._held_out = self._make_pace()
        self._first = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count, from the step at which a resumed run continues."""
        self._fit, self._first = self._make_pace(), trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Log the step, the number of steps, the loss and the time left, if a line is due."""
        step = trainer.global_step
        # The loss is read from the device for lines alone, since reading waits for the step to end.
        if step > self._first and trainer.is_global_zero and self._fit.is_due():
            words = describe_progress(step, _total_steps(trainer), self._fit.seconds, done=self._first)
            say(f"Training: step {words}{_describe_loss(outputs)}")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._held_out = self._make_pace()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Tell the batch, of how many, if that is due."""
        self._tell_batches("Validating", trainer, batch_idx, trainer.num_val_batches[dataloader_idx])

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._held_out = self._make_pace()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Tell the batch, of how many, if that is due."""
        self._tell_batches("Testing", trainer, batch_idx, trainer.num_test_batches[dataloader_idx])

    def _tell_batches(self, verb: str, trainer: Trainer, index: int, total: int | float) -> None:
        if trainer.is_global_zero and self._held_out.is_due():
            whole = int(total) if math.isfinite(total) else None
            say(f"{verb}: batch {describe_progress(index + 1, whole, self._held_out.seconds)}")


def _total_steps(trainer: Trainer) -> int | None:
    total = trainer.estimated_stepping_batches
    return int(total) if math.isfinite(total) and total > 0 else None


def _describe_loss(outputs: object) -> str:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    return f", loss {loss.item():.3f}" if isinstance(loss, torch.Tensor) and loss.numel() == 1 else ""
