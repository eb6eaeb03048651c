"""Write down what an object was constructed with, so that two ways to build it can be compared."""

import functools
import tempfile
import types
from collections.abc import Mapping
from pathlib import Path

import torch


def describe(value):
    """Class and state of an object, recursively, as plain values: lists and tuples are alike, and so are 1 and 1.0."""
    if isinstance(value, Mapping):
        return {str(key): describe(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(child) for child in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, functools.partial):
        return ["partial", describe(value.func), describe(value.args), describe(value.keywords)]
    if hasattr(value, "__wrapped__"):  # functools.lru_cache, whose contents are no state
        return ["cached", describe(value.__wrapped__)]
    if isinstance(value, (type, types.FunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    if value is None or isinstance(value, (str, bool, int, float, Path)):
        return value
    return {"class": describe(type(value)), **describe(state_of(value))}


def state_of(value):
    """An object's attributes. Folders that it makes for itself have another name each time, which is left out."""
    state = dict(vars(value))
    own = {folder.name for folder in state.values() if isinstance(folder, tempfile.TemporaryDirectory)}
    for name, part in state.items():
        if isinstance(part, tempfile.TemporaryDirectory) or str(part) in own:
            state[name] = "a temporary folder"
    return state
