import inspect
import itertools
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from synthaug.cli import composed
from synthaug.targets import check_targets

CONF = Path(__file__).resolve().parents[1] / "conf"
OPTIONS = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml") if path.name != "config.yaml")
EXPERIMENTS = [path for path in OPTIONS if path.parts[0] == "experiment"]
PASSED = {"recognizer": {"num_classes"}, "training": {"recognizer"}}
"""Parameters that follow from the data and that the entry file passes."""


def target(path):
    module, name = path.rsplit(".", 1)
    return getattr(import_module(module), name)


def unbound(node, where="", passed=frozenset()):
    """Keys that no parameter takes, and parameters that nothing fills."""
    if isinstance(node, list):
        for index, child in enumerate(node):
            yield from unbound(child, f"{where}[{index}]")
    if not isinstance(node, dict):
        return
    for key, child in node.items():
        yield from unbound(child, f"{where}.{key}", PASSED.get(key, frozenset()) if not where else frozenset())
    if "_target_" in node:
        signature = inspect.signature(target(node["_target_"]))
        assert not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()), node["_target_"]
        keys = set(node) - {"_target_", "_partial_"}
        yield from (f"{where}: {key} is no parameter" for key in keys - set(signature.parameters))
        needed = {name for name, p in signature.parameters.items() if p.default is p.empty}
        if node.get("_partial_"):  # what is called later is given its first parameter then
            needed.discard(next(iter(signature.parameters)))
        yield from (f"{where}: {name} is missing" for name in needed - keys - passed)


def tree_of(overrides):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=overrides)
    if OmegaConf.is_missing(config.dataset, "root"):  # first, since other places are given below it
        config.dataset.root = "given"
    for key in OmegaConf.missing_keys(config):  # what users must give, such as dataset.root
        OmegaConf.update(config, key, "given")
    return OmegaConf.to_container(config, resolve=True)


def override_of(option):
    group = "/".join(option.parts[:-1])
    return f"{group}={option.stem}"


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_option_binds(option):
    tree = tree_of([override_of(option)])
    check_targets(tree)
    assert list(unbound(tree)) == []


def choices_of(option):
    """Every combination of the options that an experiment sweeps over; of plain values the last one."""
    tree = OmegaConf.to_container(OmegaConf.load(CONF / option))
    swept = {key: str(values).split(",") for key, values in tree["hydra"]["sweeper"]["params"].items()}
    groups = {path.parts[0] for path in OPTIONS}
    return itertools.product(
        *([f"{key}={value}" for value in (values if key in groups else values[-1:])] for key, values in swept.items())
    )


@pytest.mark.parametrize("option", [path for path in EXPERIMENTS if path.stem != "fewshot_settings"], ids=str)
def test_every_job_of_an_experiment_binds(option):
    for job in choices_of(option):
        tree = tree_of([override_of(option), *job])
        assert list(unbound(tree)) == [], job


def test_the_default_binds():
    assert list(unbound(tree_of([]))) == []


def test_a_slip_is_noticed():
    tree = tree_of([])
    tree["synth"]["identites"] = 3
    del tree["dataset"]["films"]
    assert len(list(unbound(tree))) == 2


@pytest.mark.parametrize("name", ["dataset=toyoda", "synth/avatar=nobody", "synth.identites=3", "protocol"])
def test_unknown_names_are_refused_in_words(name):
    with pytest.raises(ValueError, match="does not compose"):
        composed([name])
