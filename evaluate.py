"""Test a run's checkpoint again: `python evaluate.py run=PATH`. Also what both entry files build alike."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf

from synthaug.batches import LoaderMonitor
from synthaug.cli import data_of, loaded
from synthaug.datamodule import SynthAugDataModule
from synthaug.failures import plain_words
from synthaug.recognizers import loops
from synthaug.recognizers.training import Training
from synthaug.runs import leave_after


@dataclass(frozen=True)
class Run:
    """What a configuration builds."""

    data: SynthAugDataModule
    training: Training
    trainer: Trainer


def build(config: DictConfig, folder: Path) -> Run:
    """Prepare the data, then build the recognizer for its classes, with weights that the seed alone decides."""
    data = data_of(config)
    data.prepare_data()
    data.setup("fit")
    torch.manual_seed(config.seed)
    recognizer = instantiate(config.recognizer, num_classes=data.num_classes, _convert_="all")
    loops.compile_forward(recognizer, config.get("compile"))
    kept, logger = loops.keeping(folder, validated=len(data.split.val) > 0), CSVLogger(folder, name="", version="logs")
    trainer = instantiate(config.trainer, callbacks=[kept, loops.resumable(folder), LoaderMonitor()], logger=logger)
    return Run(data, instantiate(config.training, recognizer=recognizer), trainer)


def main(folder: Path) -> None:
    """Test the checkpoint in a run's folder; the report goes into its `evaluation`."""
    if not (folder / "config.yaml").is_file():
        raise SystemExit(f"'{folder}' has no config.yaml; a folder that train.py left was wanted. Give run=PATH.")
    try:
        run = build(loaded(folder / "config.yaml"), folder)
        checkpoint = str(next(path for path in (folder / "best.ckpt", folder / "last.ckpt") if path.exists()))
        predictions = loops.test(run.trainer, run.training, run.data, checkpoint)
        leave_after(run.data, predictions, folder / "evaluation", {"checkpoint": checkpoint})
    except Exception as error:
        words = plain_words(error)
        if words is None:
            raise
        raise SystemExit(f"\n{words}") from error


if __name__ == "__main__":
    main(Path(str(OmegaConf.from_cli(sys.argv[1:]).get("run", ""))))
