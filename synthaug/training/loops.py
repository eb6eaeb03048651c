"""Trains and tests with Lightning's Trainer: which checkpoints are kept, resumed from and tested."""

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
from synthaug.training.console import ProgressLines
from synthaug.training.module import Training

TRAINER_OPTIONS = tuple(signature(Trainer).parameters)
"""Names that `trainer.NAME=...` may set."""


def make_checkpointing(folder: Path, *, validated: bool) -> ModelCheckpoint:
    """Make the callback that keeps the checkpoint to test, as `best.ckpt`, and the last one, as `last.ckpt`.

    Args:
        folder: Where the files go.
        validated: Whether there are validation clips. If so, the best is the (earliest) checkpoint with the highest
            mean class accuracy on them; otherwise it is the one at the end of training. Test clips never decide.
    """
    monitor = "val/mean_class_accuracy" if validated else None
    return ModelCheckpoint(
        dirpath=folder, filename="best", monitor=monitor, mode="max", save_last=True, enable_version_counter=False
    )


RESUME = "resume.ckpt"
"""File in a run's folder that a restarted run continues from."""
RESUME_INTERVAL = timedelta(minutes=2)
"""Most training time that a killed run loses."""


def make_resume_checkpointing(folder: Path, *, every_n_train_steps: int | None = None) -> ModelCheckpoint:
    """Make the callback that keeps the newest state of training as `resume.ckpt`, so that a killed run can continue.

    Args:
        folder: Where the file goes.
        every_n_train_steps: How often it is saved; None saves every two minutes.
    """
    return ModelCheckpoint(
        dirpath=folder,
        filename=Path(RESUME).stem,
        every_n_train_steps=every_n_train_steps,
        train_time_interval=RESUME_INTERVAL if every_n_train_steps is None else None,
        enable_version_counter=False,
    )


def compile_forward(recognizer: Recognizer, mode: str | None) -> None:
    """Compile a recognizer's forward pass in place, with torch.compile. Names of weights stay.

    Args:
        recognizer: Changed in place.
        mode: Mode of torch.compile (default, reduce-overhead, max-autotune); None does not compile.

    Raises:
        ValueError: If there is no such mode.
    """
    if mode is None:
        return
    if mode not in (modes := ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")):
        raise ValueError(f"Expected compile to be null or one of {', '.join(modes)}, got {mode!r}. Choose one of them.")
    recognizer.compile(mode=mode)


def find_start(ckpt_path: str | None, folder: Path) -> str | None:
    """Find the checkpoint that training continues from; None starts from the beginning.

    Args:
        ckpt_path: "auto" takes the run's own newest state, if there is one; None starts from the beginning; anything
            else is the path of a checkpoint.
        folder: The run's folder.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if ckpt_path is None:
        return None
    if ckpt_path == "auto":
        own = folder / RESUME
        return str(own) if own.is_file() else None
    path = Path(ckpt_path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"No such file: ckpt_path={ckpt_path}. Correct the path, or set ckpt_path=auto to continue an earlier run "
            "in the same folder, or ckpt_path=null to start from the beginning."
        )
    return str(path)


def find_checkpoint(folder: Path) -> str:
    """Find the checkpoint of a run to test: the best one, else the last one.

    Raises:
        FileNotFoundError: If there is neither.
    """
    for path in (folder / "best.ckpt", folder / "last.ckpt"):
        if path.is_file():
            return str(path)
    failure = folder / "failure.txt"
    reason = f" The run failed: {failure.read_text().strip()}" if failure.is_file() else ""
    raise FileNotFoundError(
        f"Expected best.ckpt or last.ckpt in '{folder}', got neither. A run writes them at its first validation or at "
        f"its end.{reason} Train it again, with ckpt_path=auto if it was interrupted."
    )


def check_launch(trainer: Trainer, *, sweeping: bool) -> None:
    """Refuse a multirun whose jobs would run the command again for each process, and with it the whole multirun.

    Raises:
        ValueError: If they would; the message names the possible settings.
    """
    if sweeping and isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
        raise ValueError(
            f"Expected one process per job in a multirun, got {trainer.world_size} that are started by running the "
            "command again, which would start the whole multirun in each. Set trainer.devices=1 (the launcher can give "
            "each job a device), or trainer.strategy=ddp_fork or ddp_spawn, or run the jobs one by one without -m."
        )


def check_processes(trainer: Trainer, *, val: int, test: int) -> None:
    """Refuse more processes than held-out clips before they are started: each needs one, since they wait for another.

    Args:
        trainer: Its processes share the validation; they share the test too, unless they are forked or spawned.
        val: Number of validation clips; 0 if there are none.
        test: Number of test clips.

    Raises:
        ValueError: If there are too many processes; the message says how many there may be.
    """
    tested = 1 if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher) else trainer.world_size
    for clips, processes, noun in ((val, trainer.world_size, "validation"), (test, tested, "test")):
        if 0 < clips < processes:
            raise ValueError(
                f"Expected at least one {noun} clip for each process, got {clips} for {processes} processes. Set "
                f"trainer.devices={clips} and trainer.num_nodes=1, or move more clips to the {noun} part."
            )


def export_recognizer(checkpoint: str, metadata: Mapping[str, str]) -> bytes:
    """Export the recognizer in a checkpoint as the content of a safetensors file, for `recognizer.weights=PATH`.

    Args:
        checkpoint: Path of a checkpoint that `Trainer.fit` left.
        metadata: Facts that the file carries.
    """
    from safetensors.torch import save

    state = read_state(Path(checkpoint))
    names = {name: name.removeprefix("recognizer.") for name in state if name.startswith("recognizer.")}
    # The format does not support tied weights, which share memory: each name gets a copy.
    return save({short: state[name].clone().contiguous() for name, short in names.items()}, dict(metadata))


@dataclass(frozen=True)
class FitResult:
    """What a training took, and its checkpoint.

    Attributes:
        steps: Number of optimizer steps.
        batches: Number of batches that each process used.
        processes: Number of processes that trained together.
        seconds: Wall clock time, with that of earlier attempts that it continued.
        checkpoint: Path of the checkpoint to test.
    """

    steps: int
    batches: int
    processes: int
    seconds: float
    checkpoint: str


def fit(trainer: Trainer, training: Training, data: LightningDataModule, ckpt_path: str | None = None) -> FitResult:
    """Train for the steps that the trainer is set to, from the beginning or from a checkpoint."""
    start = time.perf_counter()
    trainer.fit(training, datamodule=data, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
    kept = trainer.checkpoint_callback
    assert isinstance(kept, ModelCheckpoint) and kept.dirpath is not None
    # Forked processes do not report the last checkpoint's path to the process that started them.
    path = kept.best_model_path or kept.last_model_path or find_checkpoint(Path(kept.dirpath))
    progress = training.progress
    seconds = round(time.perf_counter() - start + progress.earlier_seconds, 1)
    return FitResult(progress.steps, progress.batches, trainer.num_devices * trainer.num_nodes, seconds, path)


def check_alone(trainer: Trainer, what: str) -> None:
    """Refuse several processes.

    Args:
        trainer: Has them.
        what: What needs one process, and why: "probe=exact, which fits to all clips at once".

    Raises:
        ValueError: If there are more than one.
    """
    if trainer.world_size > 1:
        raise ValueError(
            f"Expected one process for {what}, got {trainer.world_size}. Set trainer.devices=1 trainer.num_nodes=1."
        )


def fit_and_validate(trainer: Trainer, training: Training, data: LightningDataModule) -> float:
    """Train from the beginning; the mean class accuracy on the validation part at the last validation.

    Raises:
        ValueError: If something else than the steps ended the training.
    """
    trainer.fit(training, datamodule=data)
    found = trainer.callback_metrics.get("val/mean_class_accuracy")
    if trainer.global_step != trainer.max_steps or found is None:
        raise ValueError(
            f"Expected trials of convergence to end after {trainer.max_steps} steps and with a validation, got one "
            f"that ended after {trainer.global_step}{' without' if found is None else ''}. Leave out what ends "
            "training earlier or validates less, such as trainer.max_epochs, max_time and limit_val_batches."
        )
    return float(found)


def leave_checkpoint(trainer: Trainer, training: Training, folder: Path) -> str:
    """Write a module that was not trained by steps as `best.ckpt`; returns the file's path."""
    path = str(folder / "best.ckpt")
    trainer.strategy.connect(training)
    trainer.save_checkpoint(path, weights_only=False)
    return path


def test(trainer: Trainer, training: Training, data: LightningDataModule, checkpoint: str) -> list[dict[str, Plain]]:
    """Predict every test clip with a checkpoint, which is read as tensors and plain values, never as code.

    Predictions in processes that a strategy forks or spawns would be lost with them, so one process tests then.
    """
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        trainer = Trainer(
            accelerator=trainer.accelerator,
            devices=1,
            precision=trainer.precision,
            logger=trainer.logger or False,
            accumulate_grad_batches=trainer.accumulate_grad_batches,
            enable_progress_bar=trainer.progress_bar_callback is not None,
            callbacks=[one for one in trainer.callbacks if isinstance(one, ProgressLines)],  # type: ignore[attr-defined]
        )
    trainer.test(training, datamodule=data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    return training.predictions
