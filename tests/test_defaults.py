"""The defaults of conf/, of the classes that it names, and of `synthaug.defaults` are the same."""

import dataclasses
import inspect
from functools import cache

import pytest
from binding import target
from describing import describe
from hydra.utils import instantiate
from omegaconf import OmegaConf

import synthaug as sa
from synthaug.cli.configs import build_data, compose_config
from synthaug.cli.renames import OLD_DEFAULTS

COMMANDS = {
    "film of one's own": ["dataset=folder", "dataset.root=films", "protocol.test_subjects=[ann]"],
    "the demo": ["dataset=demo"],
}
"""Overrides that leave every choice but the data set to the defaults of conf/."""
PARTS = ("dataset", "protocol", "synth", "clip", "loading", "mixture", "augmentation", "seed")
DELIBERATE = {
    "protocol.val_subjects": "the demo's own people; sa.demo says the same",
    "protocol.n_shot": "few enough of the demo's clips for synthesis to help; sa.demo says the same",
    "recognizer.focus": "the class is the network itself, of which small.yaml and small_frames.yaml are two uses",
    "synth.sensor": "Synthesis knows no concrete class; arms without a sensor leave it out",
    "synth.film": "Synthesis knows no concrete class; used where synth.swap is above 0",
    "synth.prior": "Synthesis knows no concrete class; used where synth.strangers is above 0",
    "synth.background.camera.azimuth_deg": "a stock of places is seen less from the side; sa.demo says the same",
    "synth.background.weights": "conf writes equal shares out, so that they can be set",
}
"""Settings that conf/ gives another value than the class, by their dotted place (all below it too), with the reason."""


@cache
def composed(command):
    config = compose_config(COMMANDS[command])
    return OmegaConf.to_container(config, resolve=True)


def defaults_of(name):
    """Each parameter of a class or function that has a default, with it."""
    called = target(name)
    parameters = inspect.signature(called).parameters.values()
    found = {one.name: one.default for one in parameters if one.default is not one.empty}
    if dataclasses.is_dataclass(called):
        factories = {one.name: one.default_factory for one in dataclasses.fields(called)}
        found |= {name: make() for name, make in factories.items() if make is not dataclasses.MISSING}
    return found


def value_of(node):
    return describe(instantiate(node, _convert_="all") if isinstance(node, dict) else node)


def differing(node, where=""):
    """Dotted places of settings whose value is not the default of the parameter that takes it."""
    if not isinstance(node, dict):
        return
    name = node.get("_target_", "")
    defaults = defaults_of(name) if name.startswith("synthaug.") else {}
    for key, child in node.items():
        place = f"{where}.{key}".strip(".")
        if isinstance(child, dict) and not (key in defaults and defaults[key] is None):
            yield from differing(child, place)
        elif key in defaults and value_of(child) != described_default(defaults[key], name, key):
            yield place


def described_default(default, name, key):
    """What a constructor makes of a default of None is what counts, where it makes something."""
    made = {("synthaug.datasets.demo.Demo", "films"): lambda: sa.PseudoReal()}
    return describe(made[name, key]() if default is None and (name, key) in made else default)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_class_s_defaults_are_those_of_conf(command):
    found = {place for place in differing(composed(command)) if not place.startswith("hydra")}
    undeclared = {place for place in found if not any(f"{place}.".startswith(f"{known}.") for known in DELIBERATE)}
    assert undeclared == set()
    assert {"recognizer.focus"} <= found  # the walk notices differences


def test_every_deliberate_difference_is_one():
    found = [place for command in COMMANDS for place in differing(composed(command))]
    idle = [known for known in DELIBERATE if not any(f"{place}.".startswith(f"{known}.") for place in found)]
    assert idle == []


@pytest.mark.parametrize(("key", "other"), [("loading.batch_size", 16), ("synth.crop", None), ("clip.fps", 8.0)])
def test_a_default_that_differs_is_noticed(key, other):
    config = OmegaConf.create(composed("film of one's own"))
    OmegaConf.update(config, key, other)
    assert key in set(differing(OmegaConf.to_container(config)))


def test_the_default_synthesis_is_that_of_conf():
    config = OmegaConf.create(composed("film of one's own"))
    assert describe(sa.default_synthesis()) == describe(instantiate(config.synth, _convert_="all"))


def test_the_demo_is_that_of_conf():
    ours, theirs = sa.demo(), build_data(OmegaConf.create(composed("the demo")))
    for part in PARTS:
        assert describe(getattr(ours, part)) == describe(getattr(theirs, part)), part
    assert describe(sa.Demo()) == describe(theirs.dataset)


def test_a_data_module_s_defaults_are_those_of_conf(tmp_path):
    config = OmegaConf.create(composed("film of one's own"))
    defaults = {one.name: one.default for one in inspect.signature(sa.SynthAugDataModule).parameters.values()}
    assert defaults.pop("synth") is None, "filmed clips alone, until somebody asks for more"
    for part in ("clip", "loading", "mixture", "augmentation"):
        assert describe(defaults[part]) == value_of(OmegaConf.to_container(config[part])), part
    assert defaults["seed"] == config.seed


def test_a_function_s_numbers_are_those_of_conf():
    config = composed("film of one's own")
    for name, place in (("default_synthesis", config["synth"]), ("default_avatars", config["synth"]["avatar"])):
        defaults = {key: one.default for key, one in inspect.signature(getattr(sa, name)).parameters.items()}
        numbers = {key: value for key, value in defaults.items() if not isinstance(place[key], dict)}
        assert len(numbers) == 3 and numbers == {key: place[key] for key in numbers}


@pytest.mark.parametrize(
    ("given", "place"),
    [({"identities": 3}, "synth.identities=3"), ({"seed": 5}, "seed=5"), ({"n_shot": None}, "protocol.n_shot=null")],
)
def test_what_is_passed_to_the_demo_is_what_a_command_sets(given, place):
    theirs = build_data(compose_config(["dataset=demo", place]))
    ours = sa.demo(**given)
    for part in PARTS:
        assert describe(getattr(ours, part)) == describe(getattr(theirs, part)), part


def test_parts_that_are_given_take_the_place_of_the_defaults():
    from synthaug.backgrounds.plain import Plain
    from synthaug.cameras.original import Original
    from synthaug.motions.sidecar import Sidecar

    parts = {"motion": Sidecar(), "camera": Original(), "background": Plain(), "avatar": sa.default_avatars(people=3)}
    synth, default = sa.default_synthesis(**parts, per_class=7), sa.default_synthesis()
    assert all(getattr(synth, name) is part for name, part in parts.items()) and synth.per_class == 7
    rest = {one.name for one in dataclasses.fields(synth)} - set(parts) - {"per_class"}
    assert all(describe(getattr(synth, name)) == describe(getattr(default, name)) for name in rest)


def test_conf_states_every_setting_whose_default_has_changed():
    """Otherwise reading a configuration of today would put the default of version 0.1 in its place."""

    def nodes(node):
        if isinstance(node, dict):
            yield node
            for child in node.values():
                yield from nodes(child)

    seen = 0
    for command in COMMANDS:
        for node in nodes(composed(command)):
            known = OLD_DEFAULTS.get(node.get("_target_"), {})
            assert set(known) <= set(node)
            seen += bool(known)
    assert seen
