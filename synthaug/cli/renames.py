"""Rewrite configurations and overrides of version 0.1 with today's names.

A run's folder keeps the configuration that it was trained with, and a script keeps the overrides that somebody once
typed. Both stay usable although classes, settings and options have moved.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from synthaug.structures import Plain

logger = logging.getLogger(__name__)

TARGETS: Mapping[str, str] = {
    "synthaug.augmentation.Augmentation": "synthaug.datamodule.augmentation.Augmentation",
    "synthaug.caching.RenderCache": "synthaug.synthesis.caching.RenderCache",
    "synthaug.datasets.crossed.CrossSubjectView": "synthaug.datasets.protocols.CrossSubjectView",
    "synthaug.datasets.lists.ListSplit": "synthaug.datasets.protocols.ListSplit",
    "synthaug.datasets.ntusplit.NtuOneShot": "synthaug.datasets.ntu.protocols.NtuOneShot",
    "synthaug.datasets.ntusplit.NtuSplit": "synthaug.datasets.ntu.protocols.NtuSplit",
    "synthaug.datasets.surreact.SurreactSplit": "synthaug.datasets.ntu.surreact.SurreactSplit",
    "synthaug.datasets.toyotasplit.ToyotaSplit": "synthaug.datasets.toyota.protocols.ToyotaSplit",
    "synthaug.motions.quality.QualityGate": "synthaug.motions.fitting.quality.QualityGate",
    "synthaug.places.Places": "synthaug.backgrounds.places.Places",
    "synthaug.pseudoreal.Footage": "synthaug.pseudoreal.film.Footage",
    "synthaug.pseudoreal.Pairing": "synthaug.pseudoreal.sets.Pairing",
    "synthaug.pseudoreal.PseudoReal": "synthaug.pseudoreal.film.PseudoReal",
    "synthaug.pseudoreal.Set": "synthaug.pseudoreal.sets.FilmSet",
    "synthaug.recognizers.mixing.Mixing": "synthaug.training.mixing.Mixing",
    "synthaug.recognizers.muon.Muon": "synthaug.training.muon.Muon",
    "synthaug.recognizers.training.Training": "synthaug.training.module.Training",
    "synthaug.renderers.refinement.Refinement": "synthaug.renderers.splatting.refinement.Refinement",
    "synthaug.sensor.Sensor": "synthaug.sensors.camera.CameraSensor",
}
"""Old to new dotted names: every class that a configuration of version 0.1 could name and that has moved since. The
others, such as `synthaug.datamodule.Loading`, are still found where they were."""

MOVED_KEYS: Mapping[str, str] = {
    "synth.ratio": "mixture.ratio",
    "synth.pretrain_batches": "mixture.pretrain_batches",
}
"""Old to new settings, by their dotted place in the whole configuration."""

ADDED_NODES: Mapping[str, Plain] = {
    "mixture": {"_target_": "synthaug.datamodule.BatchMixture", "ratio": 0.5, "balance": "none", "pretrain_batches": 0},
    "rivals": None,
}
"""What version 0.1 did not have, with the values by which it trains as it did."""

OLD_DEFAULTS: Mapping[str, Mapping[str, Plain]] = {
    "synthaug.avatars.anny.AnnyPeople": {"people": 1_000_000},
    "synthaug.datamodule.BatchMixture": {"balance": "none"},
    "synthaug.datamodule.augmentation.Augmentation": {"speed": 0.0},
    "synthaug.recognizers.small.SmallResNet": {"weights": None},
    "synthaug.synthesis.Synthesis": {
        "min_shown": 0.0,
        "min_shown_half_second": 0.0,
        "max_tries": 20,
        "exclude": None,
        "swap": 0.0,
        "film": None,
        "prior": None,
        "strangers": 0,
    },
    "synthaug.training.module.Training": {
        "scenes": {"_target_": "synthaug.training.scene_mixing.SceneMixing", "still": 0.0, "merge": 0.0, "seed": 0}
    },
}
"""Settings that version 0.1 did not state, with the values by which it behaves as it did, by class. The
files of conf/ state them, so that no configuration of today lacks one."""

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "protocol": {"folder": "cross_subject"},
    "synth/motion": {
        "folder": "video",
        "hmdb51": "video",
        "kinetics": "video",
        "ucf101": "video",
        "ntu60": "ntu",
        "ntu120": "ntu",
        "demo_places": "demo",
        "demo_views": "demo",
    },
    "synth/background": {
        "folder": "plates_and_rooms",
        "hmdb51": "plates_and_rooms",
        "kinetics": "plates_and_rooms",
        "ntu60": "plates_and_rooms",
        "ntu120": "plates_and_rooms",
        "toyota": "plates_and_rooms",
        "ucf101": "plates_and_rooms",
        "demo": "places",
        "demo_places": "places",
        "demo_views": "places",
    },
}
"""Old to new options of each group: where several files had the same content, one is left."""


def modernize(tree: Plain) -> Plain:
    """Rewrite a whole resolved configuration with today's names; one of today comes back equal.

    Args:
        tree: The configuration of a run, as plain containers. It is left as it is.

    Returns:
        The same choices under the names and at the places that they have today.
    """
    renamed = _rename_targets(tree)
    if isinstance(renamed, dict) and "synth" in renamed:  # a whole configuration, not a part of one
        if "mixture" not in renamed:  # written by 0.1, whose bar was always on
            _replace_value(renamed, "trainer", "enable_progress_bar", old=True, new=None)
        _add_nodes(renamed)
        for old, new in MOVED_KEYS.items():
            _move_key(renamed, old.split("."), new.split("."))
    return renamed


def modernize_overrides(words: Sequence[str]) -> list[str]:
    """Rewrite the overrides of a command with today's names, and log one sentence for each that changed.

    Args:
        words: As typed, such as `synth.ratio=0.75` or `synth/motion=ntu60`; a sweep's commas are understood.

    Returns:
        The overrides in the same order.
    """
    return [_modernize_override(word) for word in words]


def _rename_targets(node: Plain) -> Plain:
    if isinstance(node, list):
        return [_rename_targets(child) for child in node]
    if not isinstance(node, dict):
        return node
    renamed = {key: _rename_targets(child) for key, child in node.items()}
    target = renamed.get("_target_")
    if isinstance(target, str):
        today = TARGETS.get(target, target)
        renamed = {**OLD_DEFAULTS.get(today, {}), **renamed, "_target_": today}
    return renamed


def _replace_value(tree: dict[str, Any], node: str, key: str, *, old: Plain, new: Plain) -> None:
    if isinstance(tree.get(node), dict) and tree[node].get(key) is old:
        tree[node] = {**tree[node], key: new}


def _add_nodes(tree: dict[str, Any]) -> None:
    for name, node in ADDED_NODES.items():
        if name not in tree:
            tree[name] = dict(node) if isinstance(node, dict) else node


def _move_key(tree: dict[str, Any], old: Sequence[str], new: Sequence[str]) -> None:
    """Move the value at one dotted place to another, if it is there."""
    giver, taker = _node_at(tree, old[:-1]), _node_at(tree, new[:-1])
    if giver is not None and taker is not None and old[-1] in giver:
        taker[new[-1]] = giver.pop(old[-1])


def _node_at(tree: dict[str, Any], place: Sequence[str]) -> dict[str, Any] | None:
    node: Any = tree
    for name in place:
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None


def _modernize_override(word: str) -> str:
    key, equals, value = word.partition("=")
    sign, name = key[: len(key) - len(key.lstrip("+~"))], key.lstrip("+~")
    options = OPTIONS.get(name, {})
    today = ",".join(options.get(option, option) for option in value.split(",")) if options else value
    modern = f"{sign}{MOVED_KEYS.get(name, name)}{equals}{today}"
    if modern != word:
        logger.warning(
            "%s was renamed after version 0.1 and is read as %s. Write the new name from now on.", word, modern
        )
    return modern
