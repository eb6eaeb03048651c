"""Training and testing with Lightning's Trainer: which checkpoint counts, and what a run says of itself.

Between an entry file's Trainer and the training module.
"""

import time
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
    chosen = {"monitor": "val/mean_class_accuracy", "mode": "max"} if validated else {}
    return ModelCheckpoint(dirpath=folder, filename="best", save_last=True, enable_version_counter=False, **chosen)


def fit(trainer: Trainer, training: Training, data: LightningDataModule) -> dict[str, Plain]:
    """Train; returns steps taken, seconds, and the path of the checkpoint that counts."""
    start = time.perf_counter()
    trainer.fit(training, datamodule=data)
    kept = trainer.checkpoint_callback
    assert isinstance(kept, ModelCheckpoint)
    path = kept.best_model_path or kept.last_model_path
    return {"steps": trainer.global_step, "seconds": round(time.perf_counter() - start, 1), "checkpoint": path}


def test(trainer: Trainer, training: Training, data: LightningDataModule, checkpoint: str) -> list[dict[str, Plain]]:
    """What the checkpoint says of each test clip. The file is read as tensors and plain values, never as code."""
    trainer.test(training, datamodule=data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    return training.predictions
