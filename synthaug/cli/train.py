"""`synthaug train`: compose, build, fit, test and report; one run, or with -m a sweep of them."""

import argparse
import contextlib
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from synthaug.cli.configs import RunParts
    from synthaug.datamodule.module import SynthAugDataModule
    from synthaug.runs.convergence import Trials
    from synthaug.structures import Plain
    from synthaug.training.loops import FitResult


def add_train(commands: "argparse._SubParsersAction") -> None:
    """Add the command. All words after it are Hydra's: NAME=VALUE, -m, --cfg job, --config-dir, --help."""
    # No word begins with a NUL, so argparse takes none for an option of its own.
    parser = commands.add_parser("train", help="train on filmed and synthetic clips", add_help=False, prefix_chars="\0")
    parser.add_argument("words", nargs="*")
    parser.set_defaults(command=_train)


def _train(chosen: argparse.Namespace) -> int:
    # hydra.main would read sys.argv, and Lightning reads it once more to start the other processes of a run: it has to
    # stay the whole command. So Hydra is given its words in the way that hydra.main gives them, as of 1.3.
    from hydra import version
    from hydra._internal.utils import _run_hydra, get_args_parser

    from synthaug.cli.configs import check_training_words, config_folder
    from synthaug.cli.renames import modernize_overrides
    from synthaug.cli.stopping import stop_by_signals
    from synthaug.cli.warming import compile_beside

    parser = get_args_parser()
    words = parser.parse_args(chosen.words)
    _refuse_together(words)
    words.overrides = modernize_overrides(words.overrides)
    if not (words.help or words.hydra_help or words.shell_completion or words.config_name or words.config_path):
        check_training_words(words.overrides, multirun=words.multirun, folder=words.config_dir)
    version.setbase("1.3")
    told = words.help or words.hydra_help or words.shell_completion or words.cfg or words.info
    with stop_by_signals(), contextlib.nullcontext() if told else compile_beside():
        _run_hydra(words, parser, run_job, str(config_folder()), "config")
    return 0


def _refuse_together(words: argparse.Namespace) -> None:
    """Refuse what Hydra would answer with a traceback: two commands at once, and a folder that is not there."""
    commands = {"-m": words.multirun, "--cfg": words.cfg, "--info": words.info, "--run": words.run}
    given = [name for name, value in commands.items() if value]
    if len(given) > 1:
        raise ValueError(f"Expected one of {', '.join(commands)}, got {' and '.join(given)}. Leave all but one out.")
    if words.config_dir is not None and not Path(words.config_dir).is_dir():
        raise ValueError(f"Expected --config-dir to be a folder, got {words.config_dir}. Correct the path.")


def run_job(config: "DictConfig") -> float:
    """Train and test as a configuration says; returns the mean class accuracy on test clips, for sweepers to maximize.

    Hydra calls it, in this process or, by a launcher, in others: it has to be importable by name.
    """
    import logging

    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from synthaug.cli.errors import plain_words
    from synthaug.cli.stopping import end_with_leader, remember_place
    from synthaug.runs.folder import leave_failure

    end_with_leader()
    folder = Path(HydraConfig.get().runtime.output_dir)
    remember_place("hydra.run.dir", folder)
    try:
        return _train_and_test(config, folder)
    except Exception as error:
        words = plain_words(error)
        leave_failure(folder, words or repr(error))
        if HydraConfig.get().mode == RunMode.MULTIRUN:  # the other jobs and the report continue
            logging.getLogger(__name__).error(words or "This job failed.", exc_info=None if words else error)
            return float("nan")
        if words is None:
            raise
        raise SystemExit(f"\n{words}") from error


def _fit(config: "DictConfig", run: "RunParts", folder: Path) -> "tuple[FitResult, dict[str, Plain]]":
    """Train by steps or fit the classifier alone; what metrics.json says of the fit."""
    from synthaug.runs.probing import fit_probe
    from synthaug.training import loops

    if run.probe is None:
        start = loops.find_start(config.ckpt_path, folder)
        return loops.fit(run.trainer, run.training, run.data, start), {}
    if config.ckpt_path not in (None, "auto"):
        raise ValueError(
            f"Expected no checkpoint for probe=exact, which takes no steps, got ckpt_path={config.ckpt_path}. Set "
            "recognizer.weights to what its backbone starts from."
        )
    loops.check_alone(run.trainer, "probe=exact, which fits to all clips at once")
    found = fit_probe(run.probe, run.training, run.data, device=run.trainer.strategy.root_device)
    checkpoint = loops.leave_checkpoint(run.trainer, run.training, folder)
    facts: dict[str, Plain] = {
        "decay": found.decay, "grade": found.grade, "filmed_exposure": found.filmed_exposure,
    }  # fmt: skip
    return loops.FitResult(0, 0, 1, found.seconds, checkpoint), facts


def _find_steps(config: "DictConfig", folder: Path) -> "Trials | None":
    """How many steps training takes, as training people who are left out tell; None leaves trainer.max_steps."""
    from synthaug.cli.configs import build_convergence, build_run, prepare_data
    from synthaug.runs.convergence import check_trials, choose_steps, list_groups
    from synthaug.runs.probing import group_records
    from synthaug.training import loops

    doubling = build_convergence(config)
    if doubling is None:
        return None
    data = prepare_data(config)
    group_of = group_records(data.split.train)

    def measure(steps: int, group: str | None) -> float:
        held = [key for key, one in group_of.items() if one == group]
        with TemporaryDirectory(prefix="synthaug-convergence-") as away:
            run = build_run(_with_steps(config, steps), Path(away), prepare_data(config, held))
            loops.check_alone(run.trainer, "convergence, whose trials are run one after the other")
            return loops.fit_and_validate(run.trainer, run.training, run.data)

    groups = list_groups(doubling, data.split.train, data.split.val)
    check_trials(
        groups, ckpt_path=config.ckpt_path, packed=config.get("pack") is not None, likenesses=_list_likenesses(data)
    )
    return choose_steps(doubling, config.trainer.max_steps, groups, measure, kept=folder / "convergence.json")


def _list_likenesses(data: "SynthAugDataModule") -> dict[str, str]:
    """Who of the data set each synthetic person looks like, of those who are not made anew for each trial's film."""
    found: dict[str, str] = {}
    if data.synth is None or data.synthesizer is None:
        return found
    for identity in data.synthesizer.identities:
        with contextlib.suppress(KeyError):  # made of the training film, which the pool has not seen
            found[identity] = data.synth.avatar.subject(identity)
    return found


def _with_steps(config: "DictConfig", steps: int) -> "DictConfig":
    """The same with this many steps, and one validation at their end."""
    from omegaconf import open_dict

    changed = config.copy()
    with open_dict(changed):
        changed.trainer.max_steps = steps
        # Lightning takes an interval as one of an epoch, which may be shorter, unless epochs are told not to matter.
        changed.trainer.check_val_every_n_epoch = None
        changed.trainer.val_check_interval = steps * changed.trainer.get("accumulate_grad_batches", 1)
    return changed


def _train_and_test(config: "DictConfig", folder: Path) -> float:
    from dataclasses import asdict

    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from synthaug.cli.configs import build_run, resolve_config
    from synthaug.runs.folder import begin_run, find_finished, leave_after, leave_before, leave_weights
    from synthaug.training import loops

    start = time.perf_counter()
    resolved = resolve_config(config)
    if (accuracy := find_finished(folder, resolved)) is not None:
        return accuracy
    begin_run(folder, resolved)
    trials = _find_steps(config, folder)
    run = build_run(config if trials is None else _with_steps(config, trials.steps), folder)
    loops.check_launch(run.trainer, sweeping=HydraConfig.get().mode == RunMode.MULTIRUN)
    loops.check_processes(run.trainer, val=len(run.data.split.val), test=len(run.data.split.test))
    if run.trainer.is_global_zero:
        leave_before(run.data, folder)
    fitted, probed = _fit(config, run, folder)
    predictions = loops.test(run.trainer, run.training, run.data, fitted.checkpoint)
    if not run.trainer.is_global_zero:  # one of several processes writes
        return float("nan")
    facts = {**asdict(fitted), **probed, "seed": config.seed, "overrides": list(HydraConfig.get().overrides.task)}
    facts["convergence"] = None if trials is None else asdict(trials)
    facts["seconds_in_all"] = round(time.perf_counter() - start, 1)
    scores = leave_after(run.data, predictions, folder, facts)
    leave_weights(run.data, fitted.checkpoint, folder)
    return scores.mean_class_accuracy
