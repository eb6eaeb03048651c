"""Test a run's checkpoint again: `python evaluate.py run=PATH [loading.test_clips=10]`. Also what both entry files use.

The run's own configuration counts; how clips are loaded, on what machine, and where the data lie may be set anew.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig

from synthaug.cli.errors import plain_words
from synthaug.cli.main import data_of, loaded
from synthaug.datamodule.batches import LoaderMonitor
from synthaug.datamodule.module import SynthAugDataModule
from synthaug.runs.folder import leave_after
from synthaug.training import loops
from synthaug.training.module import Training


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
    kept = loops.make_checkpointing(folder, validated=len(data.split.val) > 0)
    callbacks = [kept, loops.make_resume_checkpointing(folder), LoaderMonitor()]
    trainer = instantiate(config.trainer, callbacks=callbacks, logger=CSVLogger(folder, name="", version="logs"))
    return Run(data, instantiate(config.training, recognizer=recognizer), trainer)


def main(folder: Path, overrides: Sequence[str] = ()) -> None:
    """Test the checkpoint in a run's folder, loaded as `overrides` say; the report goes into its `evaluation`."""
    if not (folder / "config.yaml").is_file():
        raise SystemExit(f"'{folder}' has no config.yaml; a folder that train.py left was wanted. Give run=PATH.")
    try:
        checkpoint = loops.find_checkpoint(folder)
        run = build(loaded(folder / "config.yaml", overrides), folder / "evaluation")
        predictions = loops.test(run.trainer, run.training, run.data, checkpoint)
        leave_after(
            run.data, predictions, folder / "evaluation", {"checkpoint": checkpoint, "overrides": list(overrides)}
        )
    except Exception as error:
        words = plain_words(error)
        if words is None:
            raise
        raise SystemExit(f"\n{words}") from error


if __name__ == "__main__":
    given = [words for words in sys.argv[1:] if not words.startswith("run=")]
    main(Path(next((words[4:] for words in sys.argv[1:] if words.startswith("run=")), "")), given)
