"""Training and testing with Lightning's Trainer: which checkpoint counts, and what a run says of itself.

Between an entry file's Trainer and the training module.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from pathlib import Path

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher

from synthaug.recognizers import Recognizer
from synthaug.recognizers.weights import read_state
from synthaug.structures import Plain
from synthaug.training.module import Training

TRAINER_OPTIONS = tuple(signature(Trainer).parameters)
"""What `trainer.NAME` may set."""


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


RESUME = "resume.ckpt"
"""What a requeued run goes on from, in its folder."""
_PATIENCE = timedelta(minutes=2)
"""Of training that a killed run may lose."""


def resumable(folder: Path, *, every_n_train_steps: int | None = None) -> ModelCheckpoint:
    """Keeps the newest state of training as `resume.ckpt`, so that a run that was killed can go on.

    Args:
        folder: Where.
        every_n_train_steps: How often; None saves every two minutes.
    """
    return ModelCheckpoint(
        dirpath=folder,
        filename=Path(RESUME).stem,
        every_n_train_steps=every_n_train_steps,
        train_time_interval=_PATIENCE if every_n_train_steps is None else None,
        enable_version_counter=False,
    )


def compile_forward(recognizer: Recognizer, mode: str | None) -> None:
    """Let torch compile what a recognizer does when it is called, in place; None leaves it. Names of weights stay.

    Args:
        recognizer: Changed in place.
        mode: torch.compile's: default, reduce-overhead, max-autotune.

    Raises:
        ValueError: If there is no such mode.
    """
    if mode is None:
        return
    if mode not in (modes := ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")):
        raise ValueError(f"compile={mode!r} was given; one of {', '.join(modes)}, or null, was wanted. Choose one.")
    recognizer.compile(mode=mode)


def starting_point(ckpt_path: str | None, folder: Path) -> str | None:
    """The checkpoint that training goes on from, or None for the beginning.

    Args:
        ckpt_path: "auto": the run's own newest state, where it left one; None: the beginning; else a file.
        folder: The run's.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if ckpt_path is None:
        return None
    if ckpt_path == "auto":
        own = folder / RESUME
        return str(own) if own.is_file() else None
    if not Path(ckpt_path).is_file():
        raise FileNotFoundError(
            f"ckpt_path={ckpt_path} was given, and there is no such file; a checkpoint of Lightning's was wanted. "
            "Correct it, or give ckpt_path=auto to go on where a run in the same folder ended, or null to begin."
        )
    return ckpt_path


def kept_checkpoint(folder: Path) -> str:
    """The checkpoint that a run is judged by.

    Raises:
        FileNotFoundError: If it left none.
    """
    for path in (folder / "best.ckpt", folder / "last.ckpt"):
        if path.is_file():
            return str(path)
    failure = folder / "failure.txt"
    reason = f" It failed: {failure.read_text().strip()}" if failure.is_file() else ""
    raise FileNotFoundError(
        f"'{folder}' holds no checkpoint; best.ckpt or last.ckpt was wanted, as a run leaves them that came to its "
        f"first validation or to its end.{reason} Train it again, with ckpt_path=auto if it was cut off."
    )


def check_launch(trainer: Trainer, *, sweeping: bool) -> None:
    """Refuse a sweep whose jobs would start the command again for each process, and so the whole sweep.

    Raises:
        ValueError: With the choices that there are.
    """
    if sweeping and isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
        raise ValueError(
            f"A multirun was given together with {trainer.world_size} processes that are started by running the "
            "command anew, which would start the whole sweep in each; one process a job, or processes started in "
            "another way, were wanted. Set trainer.devices=1 (and let the launcher give each job its device), or "
            "trainer.strategy=ddp_fork or ddp_spawn, or run the jobs one by one without -m."
        )


def exported(checkpoint: str, metadata: Mapping[str, str]) -> bytes:
    """The recognizer in a checkpoint as a safetensors file, to be named by `recognizer.weights`.

    Args:
        checkpoint: One that `Trainer.fit` left.
        metadata: What the file says of itself.
    """
    from safetensors.torch import save

    state = read_state(Path(checkpoint))
    names = {name: name.removeprefix("recognizer.") for name in state if name.startswith("recognizer.")}
    # Tied weights share memory, which the format does not know: each name gets its own.
    return save({short: state[name].clone().contiguous() for name, short in names.items()}, dict(metadata))


@dataclass(frozen=True)
class Fitted:
    """What a training came to.

    Attributes:
        steps: Optimizer steps taken.
        batches: Batches that each process took for them.
        processes: That trained together.
        seconds: Wall clock, with that of the earlier attempts that it went on from.
        checkpoint: The one that counts.
    """

    steps: int
    batches: int
    processes: int
    seconds: float
    checkpoint: str


def fit(trainer: Trainer, training: Training, data: LightningDataModule, ckpt_path: str | None = None) -> Fitted:
    """Train for as many steps as the trainer is set to, from the beginning or from a checkpoint."""
    start = time.perf_counter()
    trainer.fit(training, datamodule=data, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
    kept = trainer.checkpoint_callback
    assert isinstance(kept, ModelCheckpoint) and kept.dirpath is not None
    # Of the last checkpoint processes that were forked tell nothing to the one that is left.
    path = kept.best_model_path or kept.last_model_path or kept_checkpoint(Path(kept.dirpath))
    taken = training.taken
    seconds = round(time.perf_counter() - start + taken.earlier_seconds, 1)
    return Fitted(taken.steps, taken.batches, trainer.num_devices * trainer.num_nodes, seconds, path)


def test(trainer: Trainer, training: Training, data: LightningDataModule, checkpoint: str) -> list[dict[str, Plain]]:
    """What the checkpoint says of each test clip. The file is read as tensors and plain values, never as code.

    Processes that a strategy forks or spawns end with what they tested, so the one that is left tests then.
    """
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        trainer = Trainer(
            accelerator=trainer.accelerator, devices=1, precision=trainer.precision, logger=trainer.logger or False,
            accumulate_grad_batches=trainer.accumulate_grad_batches,
        )  # fmt: skip
    trainer.test(training, datamodule=data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    return training.predictions
