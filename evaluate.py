"""Test a run's checkpoint again: `python evaluate.py run=PATH`. Also what both entry files build alike."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf

from synthaug.cli import data_of
from synthaug.datamodule import SynthAugDataModule
from synthaug.failures import plain_words
from synthaug.recognizers.training import Training
from synthaug.runs import leave_after


@dataclass(frozen=True)
class Run:
    """What a configuration builds."""

    data: SynthAugDataModule
    training: Training
    trainer: Trainer


def build(config: DictConfig, folder: Path) -> Run:
    """Prepare the data, then build the recognizer for its classes, its weights drawn by the seed alone."""
    data = data_of(config)
    data.prepare_data()
    data.setup("fit")
    torch.manual_seed(config.seed)
    recognizer = instantiate(config.recognizer, num_classes=data.num_classes, _convert_="all")
    # Without a validation split nothing but the end of training chooses the checkpoint; test clips never do.
    chosen = {"monitor": "val/mean_class_accuracy", "mode": "max"} if data.split.val else {}
    keeping = ModelCheckpoint(dirpath=folder, filename="best", save_last=True, enable_version_counter=False, **chosen)
    trainer = instantiate(config.trainer, callbacks=[keeping], logger=CSVLogger(folder, name="", version="logs"))
    return Run(data, instantiate(config.training, recognizer=recognizer), trainer)


def fitted(run: Run) -> dict[str, object]:
    """Train; returns facts about the training, the chosen checkpoint among them."""
    start = time.perf_counter()
    run.trainer.fit(run.training, datamodule=run.data)
    keeping = run.trainer.checkpoint_callback
    path = keeping.best_model_path or keeping.last_model_path
    return {"steps": run.trainer.global_step, "seconds": round(time.perf_counter() - start, 1), "checkpoint": path}


def test(run: Run, checkpoint: str) -> list:
    """Predictions for the test clips, each once."""
    run.trainer.test(run.training, datamodule=run.data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    return run.training.predictions


if __name__ == "__main__":
    arguments = OmegaConf.from_cli(sys.argv[1:])
    folder = Path(str(arguments.get("run", "")))
    if not (folder / "config.yaml").is_file():
        raise SystemExit(f"run={folder} has no config.yaml; a folder that train.py left was wanted. Give run=PATH.")
    try:
        run = build(OmegaConf.load(folder / "config.yaml"), folder)
        checkpoint = str(folder / ("best.ckpt" if (folder / "best.ckpt").exists() else "last.ckpt"))
        leave_after(run.data, test(run, checkpoint), folder / "evaluation", {"checkpoint": checkpoint})
    except Exception as error:
        raise SystemExit(plain_words(error)) if plain_words(error) else error
