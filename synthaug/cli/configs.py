"""Compose configurations, load those of earlier runs, and build what they describe.

Only this file composes with Hydra; the classes themselves get plain values. Each function imports the heavy libraries
that it needs, so that a command that needs none starts at once.
"""

import contextlib
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.cli.overrides import (
    Catalogue,
    check_words,
    explain_respelt,
    explain_unknown,
    first_of_sweeps,
    has_respelt_numbers,
    is_option,
    spread_sweep,
)

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from omegaconf import DictConfig

    from synthaug.avatars import AvatarPool
    from synthaug.datamodule.module import SynthAugDataModule
    from synthaug.datasets import ActionDataset
    from synthaug.motions import MotionSource
    from synthaug.renderers import Renderer
    from synthaug.runs.convergence import Doubling
    from synthaug.runs.probing import LinearProbe
    from synthaug.training.module import Training

DATA_PARTS = ("dataset", "protocol", "synth", "clip", "loading", "mixture", "augmentation", "pack")
"""Nodes of a configuration that the data module is built of."""
SETTABLE = ("loading.", "trainer.", "dataset.root=", "dataset.cache=")
"""What a test of a run may change. Changing anything else could test clips that were trained on, or unknown classes."""


def config_folder() -> Path:
    """Where the configurations are: inside the package of a wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def compose_config(overrides: Sequence[str]) -> "DictConfig":
    """The configuration that training would run with these overrides.

    Raises:
        ValueError: If an override names something that does not exist, or Hydra would read it as something else.
    """
    from synthaug.cli.renames import modernize_overrides

    words = modernize_overrides(overrides)
    refuse_null_options(words)
    check_words(words)
    return _compose(words)


def check_training_words(words: Sequence[str], *, multirun: bool, folder: str | None = None) -> None:
    """Refuse the words of a training that Hydra cannot compose, or would read as something else.

    Args:
        words: NAME=VALUE words, under today's names.
        multirun: Whether commas sweep. Of a sweep, the first job is composed.
        folder: Another folder of configurations: `--config-dir`.

    Raises:
        ValueError: If there is one; the message says what to write instead.
    """
    refuse_null_options(words)
    check_words(words, multirun=multirun)
    own = any(word.lstrip("+").startswith("hydra.searchpath=") for word in words)
    searched = [] if folder is None or own else [f"hydra.searchpath=['file://{os.path.abspath(folder)}']"]
    _compose([*first_of_sweeps(words), *searched], swept=words)


def _compose(words: Sequence[str], swept: Sequence[str] = ()) -> "DictConfig":
    """Compose words that Hydra can read; explain those that it refuses or whose numbers it respells.

    Args:
        words: Those of one job.
        swept: Those of the whole sweep, in which every option has to exist; empty if there is none.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        searched = [word for word in words if word.lstrip("+").startswith("hydra.searchpath=")]
        catalogue = Catalogue(GlobalHydra.instance().config_loader(), searched)
        chosen = [word for word in words if is_option(word, catalogue)] + searched
        try:
            config = compose("config", overrides=list(words))
        except HydraException as error:
            with contextlib.suppress(HydraException):
                if (known := explain_unknown(words, catalogue, None)) is None:
                    before = compose("config", overrides=chosen, return_hydra_config=True)
                    known = explain_unknown(words, catalogue, before)
                if known is not None:
                    raise ValueError(known) from error
            reason = " ".join(str(error).split()) or " ".join(str(error.__cause__).split())
            raise ValueError(
                f"{' '.join(words)} does not compose: {reason}. Use the options of conf/: a slash selects "
                "(synth/renderer=torch), a dot sets (synth.identities=10)."
            ) from error
        every = [one for word in swept for one in spread_sweep(word)]
        if (unknown := explain_unknown(every, catalogue, None)) is not None:
            raise ValueError(unknown)
        typed = swept or words
        if has_respelt_numbers(typed) and (why := explain_respelt(typed, compose("config", overrides=chosen))):
            raise ValueError(why)
        return config


def refuse_null_options(words: Sequence[str]) -> None:
    """Refuse `synth/sensor=null`, for which Hydra prints a traceback: a slash selects a file, and null is not a file.

    Raises:
        ValueError: If there is one; the message says what to write instead.
    """
    for word in words:
        name, _, value = word.lstrip("+").partition("=")
        group = name.partition("@")[0]
        if not group or "null" not in re.split(r"[,\s]+", value.lower()):
            continue
        if "/" in group:
            setting = f"{group.replace('/', '.')}=null"
            advice = (
                f"Write {setting}." if value.lower() == "null" else f"Sweep over names, and run {setting} by itself."
            )
            raise ValueError(f"Expected an option name after {group}=, got {value}. {advice}")
        if not group.startswith(".") and (config_folder() / group).is_dir():
            options = ", ".join(sorted(path.stem for path in (config_folder() / group).glob("*.yaml")))
            raise ValueError(f"Expected an option name after {group}=, got {value}. Leave it out, or take {options}.")


def load_config(path: Path, overrides: Sequence[str] = ()) -> "DictConfig":
    """The configuration in a run's folder under today's names, with the few settings that a test may change.

    Raises:
        ValueError: If the file is not a configuration, or a setting is not one of SETTABLE.
    """
    from omegaconf import DictConfig, OmegaConf

    from synthaug.cli.renames import modernize

    config = OmegaConf.load(path)
    if not isinstance(config, DictConfig):
        raise ValueError(f"Expected '{path}' to be the config.yaml of a run, got a list. Give a folder of a run.")
    closed = [word for word in overrides if "=" not in word or not word.startswith(SETTABLE)]
    if closed:
        raise ValueError(
            "Expected loading.NAME=VALUE, trainer.NAME=VALUE, dataset.root=DIR or dataset.cache=DIR, got "
            f"{' '.join(closed)}. Train again to change anything else."
        )
    _refuse_unknown_names(overrides)
    tree = modernize(OmegaConf.to_container(config))
    assert isinstance(tree, dict)
    config = OmegaConf.create(tree)
    old_root = config.dataset.get("root") if "dataset" in config else None
    texts = dict(word.split("=", 1) for word in overrides if word.startswith(("dataset.root=", "dataset.cache=")))
    config.merge_with_dotlist([word for word in overrides if word.partition("=")[0] not in texts])
    for place, text in texts.items():  # paths: YAML would read ~ as null, and 2024_11 as a number
        OmegaConf.update(config, place, text[1:-1] if text[:1] == text[-1:] and text[:1] in ("'", '"') else text)
    if old_root is None or old_root == config.dataset.root:
        return config
    # The file is resolved: what lay below the data set's folder, such as lists and skeletons, moves with it.
    return OmegaConf.create(_move_paths(OmegaConf.to_container(config), str(old_root), str(config.dataset.root)))


def _refuse_unknown_names(overrides: Sequence[str]) -> None:
    """Refuse names that neither Loading nor Lightning's Trainer knows."""
    from synthaug.datamodule.module import Loading
    from synthaug.training.loops import TRAINER_OPTIONS

    known = {"loading": [*Loading.__dataclass_fields__], "trainer": [*TRAINER_OPTIONS]}
    for word in overrides:
        part, _, name = word.partition("=")[0].partition(".")
        if part in known and name.split(".")[0] not in known[part]:
            near = get_close_matches(name, known[part], n=1)
            advice = f"Did you mean {part}.{near[0]}?" if near else "Choose one of these."
            raise ValueError(f"Expected one of {part}'s names ({', '.join(known[part])}), got {word}. {advice}")


def _move_paths(tree: Any, old: str, new: str, *, name: str = "") -> Any:
    """A configuration in which each place at or below `old` is the same place at or below `new`."""
    if isinstance(tree, dict):
        return {key: _move_paths(value, old, new, name=str(key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_move_paths(value, old, new, name=name) for value in tree]
    # A folder's bare name may be a class's or a person's as well.
    same = tree == old and ("/" in old or name == "root")
    if same or (isinstance(tree, str) and tree.startswith(f"{old.rstrip('/')}/")):
        return new + tree[len(old) :]
    return tree


def resolve_config(config: "DictConfig") -> str:
    """The whole configuration as YAML, each interpolation filled in.

    Raises:
        ValueError: If a value is missing that has no default.
    """
    from omegaconf import OmegaConf

    _refuse_gaps(config, *map(str, config))
    return OmegaConf.to_yaml(config, resolve=True)


def build_data(config: "DictConfig") -> "SynthAugDataModule":
    """The data module that a configuration describes, not yet prepared. Foreign targets are refused first."""
    from hydra.utils import instantiate

    from synthaug.datamodule.module import SynthAugDataModule

    _refuse_gaps(config, *DATA_PARTS)
    _refuse_foreign_targets(config, *DATA_PARTS)
    places = {name: name for name in DATA_PARTS if name != "pack"}
    if config.get("pack") is not None:
        places["synth"] = "pack"  # finished clips: nothing of synth is built
    parts = {name: instantiate(config[place], _convert_="all") for name, place in places.items()}
    return SynthAugDataModule(parts.pop("dataset"), parts.pop("protocol"), **parts, seed=config.seed)


def prepare_data(config: "DictConfig", left_out: Collection[str] = ()) -> "SynthAugDataModule":
    """The data module that a configuration describes, ready to give training clips. Says first what it will do.

    Args:
        config: Composed, or loaded from a run.
        left_out: Keys of training clips that the validation shows instead, with nobody tested; none changes nothing.
    """
    from synthaug.datasets.protocols import LeftOut
    from synthaug.progress import say

    _refuse_gaps(config, *DATA_PARTS)
    name, root = config.dataset._target_.rpartition(".")[2], config.dataset.get("root")
    say(f"Preparing films, motions and people of {name}{'' if root is None else f' in {root}'}.")
    data = build_data(config)
    if left_out:
        data.protocol = LeftOut(data.protocol, left_out)
    data.prepare_data()
    data.setup("fit")
    return data


def build_dataset(config: "DictConfig") -> "ActionDataset":
    """The data set alone that a configuration describes, not yet prepared. Foreign targets are refused first."""
    from hydra.utils import instantiate

    _refuse_gaps(config, "dataset")
    _refuse_foreign_targets(config, "dataset")
    return instantiate(config.dataset, _convert_="all")


def build_motion(config: "DictConfig") -> "MotionSource":
    """The motion source of a configuration. Foreign targets are refused first."""
    from hydra.utils import instantiate

    _refuse_gaps(config, "synth")
    _refuse_foreign_targets(config, "synth")
    return instantiate(config.synth.motion, _convert_="all")


def build_stations(config: "DictConfig") -> "tuple[MotionSource, AvatarPool, Renderer]":
    """The motion source, the people and the renderer of a configuration. Foreign targets are refused first."""
    from hydra.utils import instantiate

    _refuse_gaps(config, "dataset", "synth")  # motions lie beside a data set's films
    _refuse_foreign_targets(config, "synth")
    return tuple(instantiate(config.synth[name], _convert_="all") for name in ("motion", "avatar", "renderer"))


def build_convergence(config: "DictConfig") -> "Doubling | None":
    """How the number of steps is chosen; None if `trainer.max_steps` is that number.

    Raises:
        ValueError: If there are no steps to choose.
    """
    from hydra.utils import instantiate

    if config.get("convergence") is None:
        return None
    _refuse_foreign_targets(config, "convergence")
    if config.get("probe") is not None or config.trainer.max_steps < 1:
        raise ValueError(
            f"Expected steps to choose below trainer.max_steps, got trainer.max_steps={config.trainer.max_steps}"
            f"{' and probe=exact, which takes none' if config.get('probe') is not None else ''}. Leave convergence "
            "out, or set trainer.max_steps to the most steps that a run may take."
        )
    doubling: Doubling = instantiate(config.convergence, _convert_="all")
    first = min(doubling.first, config.trainer.max_steps)
    before, batches = config.mixture.pretrain_batches, first * config.trainer.get("accumulate_grad_batches", 1)
    if before >= batches:
        raise ValueError(
            "Expected every trial of convergence to see film after the synthetic batches of mixture.pretrain_batches, "
            f"got pretrain_batches={before} and a first trial of {batches} batches. Lower mixture.pretrain_batches, or "
            "raise convergence.first and trainer.max_steps."
        )
    return doubling


@dataclass(frozen=True)
class RunParts:
    """What a configuration builds for a run: data, training module, Lightning's Trainer, and the probe in its place."""

    data: "SynthAugDataModule"
    training: "Training"
    trainer: "Trainer"
    probe: "LinearProbe | None"


def build_run(config: "DictConfig", folder: Path, data: "SynthAugDataModule | None" = None) -> RunParts:
    """Prepare the data, then build the recognizer for its classes, with weights that the seed alone decides.

    Args:
        config: Composed, or loaded from a run.
        folder: Where checkpoints and logs go.
        data: Data that is ready; None prepares what the configuration describes.
    """
    import sys

    import torch
    from hydra.utils import instantiate
    from lightning.pytorch.loggers import CSVLogger

    from synthaug.datamodule.batches import LoaderMonitor
    from synthaug.training import loops
    from synthaug.training.console import choose_progress, silence_tips

    _refuse_foreign_targets(config, "recognizer", "training", "trainer", "probe")
    silence_tips()
    data = prepare_data(config) if data is None else data
    torch.manual_seed(config.seed)
    recognizer = instantiate(config.recognizer, num_classes=data.num_classes, _convert_="all")
    loops.compile_forward(recognizer, config.get("compile"))
    best = loops.make_checkpointing(folder, validated=len(data.split.val) > 0)
    # Lightning writes its bar to stdout.
    bar, lines = choose_progress(config.trainer.get("enable_progress_bar"), terminal=sys.stdout.isatty())
    callbacks = [best, loops.make_resume_checkpointing(folder), LoaderMonitor(), *lines]
    logger = CSVLogger(folder, name="", version="logs")
    trainer = instantiate(config.trainer, callbacks=callbacks, logger=logger, enable_progress_bar=bar)
    training, probe = instantiate(config.training, recognizer=recognizer), config.get("probe")
    return RunParts(data, training, trainer, None if probe is None else instantiate(probe, _convert_="all"))


def _refuse_gaps(config: "DictConfig", *parts: str) -> None:
    """Refuse settings without a value, and a data set's folder that is none: that is told first."""
    gaps = [key for key in _find_gaps(config) if key.split(".")[0] in parts]
    folder = _explain_folder(config) if "dataset" in parts else ""
    if gaps:
        raise ValueError(
            f"{folder}Expected a value for {' and '.join(gaps)} ({'it has' if len(gaps) == 1 else 'they have'} no "
            f"default), got none. Add {' '.join(f'{key}=VALUE' for key in gaps)} to the command; the files in conf/ "
            "explain each."
        )
    if folder.startswith("Expected"):
        raise ValueError(folder.strip())


def _explain_folder(config: "DictConfig") -> str:
    """What is wrong with dataset.root, if it is set; a folder that is not there is explained by the data set itself."""
    from omegaconf import OmegaConf

    from synthaug.remote import MARK

    root = OmegaConf.select(config, "dataset.root", default=None, throw_on_missing=False)
    if root is None:
        return ""
    if not isinstance(root, str) or not root:
        return (
            f"Expected dataset.root to be a folder, got {f'the number {root}' if root != '' else 'an empty text'}. "
            f"Write dataset.root=./{root}, or the whole path. "
        )
    if MARK in root or Path(root).expanduser().is_dir():
        return ""
    return f"No such folder: dataset.root={root!r}. Correct it. "


def _find_gaps(config: "DictConfig") -> list[str]:
    """Every setting without a value, sorted; refuses one whose value stands for a setting that does not exist."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return sorted(OmegaConf.missing_keys(config))
    except OmegaConfBaseException as error:
        reason = str(error.msg).splitlines()[0]
        raise ValueError(
            f"Expected each ${{...}} to name a setting, got {error.full_key} with another ({reason}). Correct it, or "
            "write \\${ for a text that contains ${."
        ) from error


def _refuse_foreign_targets(config: "DictConfig", *parts: str) -> None:
    """Check every name of the configuration, and what the names of these parts lead to."""
    from omegaconf import OmegaConf

    from synthaug.cli.targets import check_names, check_origins, check_targets

    also = [f"{package}." for package in os.environ.get("SYNTHAUG_TARGETS", "").split(",") if package]
    tree = OmegaConf.to_container(config, resolve=True)
    assert isinstance(tree, dict)
    check_targets(tree, also=also)
    for part in parts:
        check_origins(tree.get(part))
        check_names(tree.get(part), place=part)
