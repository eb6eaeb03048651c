import ast
import fnmatch
import itertools
import re
from functools import cache
from pathlib import Path

import pytest
from binding import unbound
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from synthaug.cli.configs import build_data, build_dataset, compose_config, resolve_config
from synthaug.cli.errors import plain_words
from synthaug.cli.renames import MOVED_KEYS
from synthaug.cli.targets import check_targets
from synthaug.testing.datasets import example_film
from synthaug.video import write_video

CONF = Path(__file__).resolve().parents[1] / "conf"
OPTIONS = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml") if path.name != "config.yaml")
EXPERIMENTS = [path for path in OPTIONS if path.parts[0] == "experiment"]


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


@pytest.mark.parametrize(
    ("arm", "parts"),
    [
        ("without_views", {"camera"}),
        ("without_variation", {"variation", "mirror"}),
        ("without_places", {"background"}),
        ("without_sensor", {"sensor"}),
    ],
)
def test_an_arm_without_a_part_is_full_but_for_it_and_has_it_as_paper_has(arm, parts):
    full, less, paper = (tree_of(["experiment=parts", f"arm={name}"])["synth"] for name in ("full", arm, "paper"))
    assert {key for key in full if full[key] != less.get(key)} == parts
    assert all(less.get(part) == paper.get(part) for part in parts)


def test_full_classic_is_full_with_the_augmentation_and_mixup_of_classic():
    full, both, classic = (tree_of(["experiment=arms", f"arm={name}"]) for name in ("full", "full_classic", "classic"))
    theirs = {"augmentation", "training"}
    assert {key for key in full if full[key] != both[key]} == theirs
    assert all(both[key] == classic[key] for key in theirs)


def test_the_default_binds():
    assert list(unbound(tree_of([]))) == []


NAMED = re.compile(r"(?<![\w.])(?:dataset|protocol|synth|mixture)(?:\.[a-z*]+(?:_[a-z*]+)*_?)+")
"""A setting as messages and pages name it; * stands for what a message fills in."""


def said_in(path):
    """What a page says, or a module's texts: an attribute `dataset.records` of code is no setting."""
    if path.suffix == ".md":
        return path.read_text()
    texts, inner = [], set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            inner.update(map(id, node.values))
            texts.append("".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            texts.append(node.value)
    return "\n".join(texts)


@cache
def settings():
    """Every place that some option can be set at, by its dotted name."""
    found = set()
    for option in [*OPTIONS, Path("config.yaml")]:
        globally = (CONF / option).read_text().startswith("# @package _global_")
        where = "" if globally else ".".join(option.parts[:-1])
        nodes = [(where, OmegaConf.to_container(OmegaConf.load(CONF / option)))]
        while nodes:
            where, node = nodes.pop()
            found.add(where)
            nodes += (
                [(f"{where}.{key}".strip("."), child) for key, child in node.items()] if isinstance(node, dict) else []
            )
    return found


def unsettable(texts):
    return {name for name in NAMED.findall(texts) if not fnmatch.filter(settings(), name)}


KNOWS_OLD_NAMES = ("renames.py", "studies.py")
"""Modules that read what version 0.1 wrote, and so name settings that have moved since."""


@pytest.mark.parametrize("folder", ["synthaug", "docs", "."])
def test_every_setting_that_is_named_to_users_can_be_set(folder):
    """Hydra refuses at the command line what no YAML has, however well the class would take it."""
    root = CONF.parent / folder
    pages = [*(root.rglob("*.md") if folder == "docs" else root.glob("*.md"))]
    pages += root.rglob("*.py") if folder == "synthaug" else ()
    pages = [page for page in pages if page.name not in ("CHANGELOG.md", "DESIGN.md")]
    assert pages
    found = {page.name: unsettable(said_in(page)) for page in pages}
    for name in KNOWS_OLD_NAMES:
        found[name] = found.get(name, set()) - set(MOVED_KEYS)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_a_setting_that_no_option_has_is_noticed(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("dataset.records\nf'Set protocol.val_{x} or synth.motion.persons=1.'\n'dataset.cash'")
    assert unsettable(said_in(path)) == {"synth.motion.persons", "dataset.cash"}


def test_a_slip_is_noticed():
    tree = tree_of([])
    tree["synth"]["identites"] = 3
    del tree["synth"]["motion"]
    assert len(list(unbound(tree))) == 2


@pytest.mark.parametrize("name", ["dataset=toyoda", "synth/avatar=nobody", "synth.identites=3", "protocol"])
def test_unknown_names_are_refused_in_words(name):
    with pytest.raises(ValueError, match="does not compose"):
        compose_config([name])


@pytest.mark.parametrize(
    ("overrides", "part", "gaps"),
    [
        (["dataset=folder"], None, ["dataset.root", "protocol.test_subjects"]),
        (["dataset=folder", "dataset.root=films"], None, ["protocol.test_subjects"]),
        (["dataset=folder"], build_dataset, ["dataset.root"]),
        (["dataset=folder", "dataset.root=films"], build_data, ["protocol.test_subjects"]),
        (["recognizer=module"], None, ["recognizer.module"]),
        (["synth/avatar=packs"], build_data, ["synth.avatar.root"]),
    ],
)
def test_what_is_left_to_fill_in_is_asked_for_by_name(overrides, part, gaps):
    with pytest.raises(ValueError, match="no default") as raised:
        (part or resolve_config)(compose_config(overrides))
    assert all(f"{gap}=VALUE" in str(raised.value) for gap in gaps)
    assert str(raised.value).count("=VALUE") == len(gaps)


def test_what_a_part_does_not_need_is_not_asked_for(tmp_path):
    """A folder is scanned before anyone knows who is to be tested."""
    (tmp_path / "wave").mkdir()
    write_video(tmp_path / "wave" / "a.mp4", example_film(8), fps=8.0)
    assert build_dataset(compose_config(["dataset=folder", f"dataset.root={tmp_path}"])) is not None


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("toyota", "project.inria.fr"), ("ntu60", "rose1.ntu.edu.sg"), ("ntu120", "rose1.ntu.edu.sg"),
        ("ucf101", "UCF101.rar"), ("hmdb51", "hmdb51_org.rar"), ("kinetics", "tables"),
    ],
)  # fmt: skip
def test_a_set_that_is_not_there_says_where_it_was_looked_for_and_where_to_ask(name, where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = compose_config([f"dataset={name}", "synth.identities=10"])
    assert "data/" in resolve_config(config)
    with pytest.raises(InstantiationException, match=re.escape(f"data/{name}")) as raised:
        build_dataset(config)
    assert where in plain_words(raised.value)


DATASETS = sorted(path.stem for path in OPTIONS if path.parts[0] == "dataset")
CHOSEN = {
    "protocol": "synthaug.datasets.protocols.Holdout",
    "synth/motion": "synthaug.motions.smplx_npz.SmplxNpz",
    "synth/background": "synthaug.backgrounds.images.Images",
}
"""What `protocol=holdout synth/motion=smplx_npz synth/background=images` construct: no data set chooses them itself."""
TYPED = ["protocol=holdout", "synth/motion=smplx_npz", "synth/background=images"]


def targets_of(tree):
    return {
        "protocol": tree["protocol"]["_target_"],
        "synth/motion": tree["synth"]["motion"]["_target_"],
        "synth/background": tree["synth"]["background"]["_target_"],
    }


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_data_set_carries_its_protocol_motion_and_background_and_what_is_typed_wins(dataset):
    header, named = OmegaConf.load(CONF / "dataset" / f"{dataset}.yaml"), {}
    assert (CONF / "dataset" / f"{dataset}.yaml").read_text().startswith("# @package _global_\n")
    assert set(header) <= {"defaults", "dataset"}
    for parent in ["demo", dataset] if "demo" in header.get("defaults", []) else [dataset]:
        for entry in OmegaConf.load(CONF / "dataset" / f"{parent}.yaml").get("defaults", []):
            if not isinstance(entry, str):
                named |= {key.removeprefix("override /"): option for key, option in entry.items()}
    chosen = {"protocol": "cross_subject", "synth/motion": "video", "synth/background": "plates_and_rooms"} | named
    assert set(chosen) == set(CHOSEN)
    assert tree_of([f"dataset={dataset}"]) == tree_of([f"dataset={dataset}", *(f"{k}={v}" for k, v in chosen.items())])
    assert targets_of(tree_of([f"dataset={dataset}", *TYPED])) == CHOSEN


@pytest.mark.parametrize("option", [path for path in EXPERIMENTS if path.stem != "gate"], ids=str)
def test_what_is_typed_wins_in_experiments_too(option):
    experiment = override_of(option)
    assert targets_of(tree_of([experiment, *TYPED])) == CHOSEN
    other = tree_of([experiment, "dataset=toyota"])
    assert other["dataset"]["_target_"] == "synthaug.datasets.toyota.Toyota"
    assert targets_of(other)["protocol"] == "synthaug.datasets.toyota.protocols.ToyotaSplit"


def test_an_experiment_s_own_data_set_brings_its_protocol_and_its_own_motion_comes_before_a_data_set_s():
    assert tree_of(["experiment=views"])["protocol"] == tree_of(["dataset=demo_views"])["protocol"]
    spoiled = tree_of(["experiment=gate"])["synth"]["motion"]
    assert spoiled["spoiled"] == 0.4 and spoiled == tree_of(["experiment=gate", "dataset=toyota"])["synth"]["motion"]
    typed = tree_of(["experiment=gate", "dataset=toyota", "synth/motion=toyota"])["synth"]["motion"]
    assert typed == tree_of(["dataset=toyota"])["synth"]["motion"]


def test_an_arm_comes_before_a_data_set_and_what_is_typed_before_both():
    flat = tree_of(["synth/background=flat"])["synth"]["background"]
    for dataset in ("demo", "toyota"):
        assert tree_of([f"dataset={dataset}", "arm=paper"])["synth"]["background"] == flat
        typed = tree_of([f"dataset={dataset}", "arm=paper", "synth/background=images"])
        assert targets_of(typed)["synth/background"] == CHOSEN["synth/background"]


@pytest.mark.parametrize(("name", "part"), [("demo_views", "views"), ("demo_places", "pairing")])
def test_a_variant_of_the_demo_is_the_demo_but_for_its_part_and_protocol(name, part):
    variant, demo = tree_of([f"dataset={name}"]), tree_of([])
    assert variant["dataset"]["films"]["stage"].pop(part) and part not in demo["dataset"]["films"]["stage"]
    assert variant.pop("protocol") != demo.pop("protocol")
    assert variant == demo


def test_no_two_options_of_a_group_say_the_same():
    said = {}
    for option in OPTIONS:
        node = OmegaConf.to_container(OmegaConf.load(CONF / option)) or {}
        said.setdefault((option.parts[:-1], repr(sorted(node.items()))), []).append(option.stem)
    alike = [names for (group, _), names in said.items() if len(names) > 1]
    assert alike == []


def test_conf_holds_few_files_and_nothing_else():
    files = {path.relative_to(CONF) for path in CONF.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in files if path.suffix != ".yaml"} == {Path("__init__.py")}
    assert len(files) - 1 <= 140


def test_a_pack_is_read_in_the_place_of_synth(tmp_path):
    from synthaug.exports.litdata import LitDataPack

    data = build_data(compose_config(["pack=litdata", f"pack.root={tmp_path}"]))
    assert isinstance(data.pack, LitDataPack) and data.pack.root == str(tmp_path) and data.synth is None
    assert build_data(compose_config([])).pack is None
    with pytest.raises(ValueError, match=r"pack\.root"):
        build_data(compose_config(["pack=litdata"]))
