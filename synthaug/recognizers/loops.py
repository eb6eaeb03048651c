"""Training and testing with Lightning's Trainer: which checkpoint counts, and what a run says of itself.

Between an entry file's Trainer and the training module.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from synthaug.recognizers.training import Training
from synthaug.structures import Plain


def keeping(folder: Path, *, validated: bool) -> ModelCheckpoint:
    """Keeps the checkpoint that a run is judged by, as `best.ckpt`, and the last one, as `last.ckpt`.

    Args:
        folder: Where.
        validated: Whether there are validation clips: then their mean class accuracy chooses, the earliest of equals.
            Without any, nothing but the end of training does. Test clips never choose.
    """
    monitor = "val/mean_class_accuracy" if validated else None
    return ModelCheckpoint(
        dirpath=folder, filename="best", monitor=monitor, mode="max", save_last=True, enable_version_counter=False
    )


@dataclass(frozen=True)
class Fitted:
    """What a training came to.

    Attributes:
        steps: Optimizer steps taken.
        seconds: Wall clock.
        checkpoint: The one that counts.
    """

    steps: int
    seconds: float
    checkpoint: str


def fit(trainer: Trainer, training: Training, data: LightningDataModule) -> Fitted:
    """Train for as many steps as the trainer is set to."""
    start = time.perf_counter()
    trainer.fit(training, datamodule=data)
    kept = trainer.checkpoint_callback
    assert isinstance(kept, ModelCheckpoint)
    path = kept.best_model_path or kept.last_model_path
    return Fitted(trainer.global_step, round(time.perf_counter() - start, 1), path)


def test(trainer: Trainer, training: Training, data: LightningDataModule, checkpoint: str) -> list[dict[str, Plain]]:
    """What the checkpoint says of each test clip. The file is read as tensors and plain values, never as code."""
    trainer.test(training, datamodule=data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    return training.predictions
