import copy
from pathlib import Path

import pytest
from binding import target, unbound
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from synthaug.cli.configs import config_folder
from synthaug.cli.renames import MOVED_KEYS, OPTIONS, TARGETS, modernize, modernize_overrides
from synthaug.cli.targets import check_targets

WRITTEN = Path(__file__).parent / "written_by_0_1"
"""The config.yaml of three runs, and every `_target_` of conf/, as commit 454b34c wrote them."""
RUNS = {"demo": [], "toyota": ["dataset=toyota"], "full": ["arm=full"]}
STATED = {"toyota": ["synth.background.parts.plates.max_hole=0.12"], "full": ["synth/sensor=camera"]}
"""What they state and today's defaults have otherwise."""


def old(name):
    return OmegaConf.to_container(OmegaConf.load(WRITTEN / f"{name}.yaml"))


def today(overrides):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=overrides), resolve=True)


def names_in(node, key="_target_"):
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    here = {node[key]} if isinstance(node, dict) and key in node else set()
    return here.union(*(names_in(child) for child in children))


@pytest.mark.parametrize("name", RUNS)
def test_an_old_run_s_configuration_is_today_s(name):
    tree = old(name)
    before = copy.deepcopy(tree)
    modern = modernize(tree)
    check_targets(modern)
    assert list(unbound(modern)) == []
    # 0.1 took every recipe, whatever it showed, took nobody out of a film, and knew no strangers.
    settings = ["synth.min_shown=0.0", "synth.min_shown_half_second=0.0", "synth.film=null", "synth.prior=null"]
    assert modern == today([*RUNS[name], *STATED.get(name, []), *settings])
    assert tree == before, "the caller's tree is left as it is"


@pytest.mark.parametrize("name", RUNS)
def test_today_s_configuration_comes_back_equal(name):
    tree = today(RUNS[name])
    assert modernize(tree) == tree


@pytest.mark.parametrize("name", (WRITTEN / "targets.txt").read_text().split())
def test_every_class_that_an_old_configuration_names_is_found(name):
    assert callable(target(modernize({"_target_": name})["_target_"]))


def test_no_new_name_is_an_old_one():
    assert not set(TARGETS) & set(TARGETS.values()) and not set(MOVED_KEYS) & set(MOVED_KEYS.values())


def test_nodes_within_nodes_are_renamed():
    tree = {"a": [{"_target_": "synthaug.places.Places", "inner": {"_target_": "synthaug.pseudoreal.Set"}}]}
    assert names_in(modernize(tree)) == {"synthaug.backgrounds.places.Places", "synthaug.pseudoreal.sets.FilmSet"}


def test_an_old_run_keeps_how_it_mixed():
    tree = old("toyota")
    tree["synth"] |= {"ratio": None, "pretrain_batches": 150}
    modern = modernize(tree)
    expected = {"ratio": None, "balance": "none", "pretrain_batches": 150}
    assert modern["mixture"] == {"_target_": "synthaug.datamodule.BatchMixture", **expected}
    assert not {"ratio", "pretrain_batches"} & set(modern["synth"])


def test_an_old_run_without_synthesis_gets_a_mixture():
    assert modernize({**old("toyota"), "synth": None})["mixture"]["ratio"] == 0.5


def test_a_part_of_a_configuration_stays_a_part():
    assert modernize(part := {"loading": {"batch_size": 4}, "seed": 3}) == part


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("synth.ratio=0.75", "mixture.ratio=0.75"), ("synth.pretrain_batches=150", "mixture.pretrain_batches=150"),
        ("++synth.ratio=null", "++mixture.ratio=null"), ("synth.ratio=0,0.5", "mixture.ratio=0,0.5"),
        ("protocol=folder", "protocol=cross_subject"), ("synth/motion=ntu60", "synth/motion=ntu"),
        ("synth/motion=folder,bvh", "synth/motion=video,bvh"),
        ("synth/background=toyota", "synth/background=plates_and_rooms"),
    ],
)  # fmt: skip
def test_an_old_override_is_read_with_its_new_name_and_says_so(typed, meant, caplog):
    with caplog.at_level("WARNING"):
        assert modernize_overrides(["seed=1", typed]) == ["seed=1", meant]
    assert [record.getMessage() for record in caplog.records] == [
        f"{typed} was renamed after version 0.1 and is read as {meant}. Write the new name from now on."
    ]


@pytest.mark.parametrize(
    "word", ["synth.identities=3", "synth/motion=toyota", "~synth/sensor", "dataset=folder", "synth.ratios=1", "-m"]
)
def test_what_has_not_moved_stays_and_nothing_is_said(word, caplog):
    with caplog.at_level("WARNING"):
        assert modernize_overrides([word]) == [word]
    assert not caplog.records


def test_old_options_are_gone_and_new_ones_are_there():
    for group, options in OPTIONS.items():
        there = {path.stem for path in (config_folder() / group).glob("*.yaml")}
        assert set(options.values()) <= there and not set(options) & there
