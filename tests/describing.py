"""Write down what an object was constructed with, so that two ways to build it can be compared."""

import functools
import types
from collections.abc import Mapping
from pathlib import Path

import torch


def describe(value):
    """Class and state of an object, recursively, as plain values: lists and tuples are alike, and so are 1 and 1.0."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): describe(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(child) for child in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(describe, value))
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, functools.partial):
        return ["partial", describe(value.func), describe(value.args), describe(value.keywords)]
    if hasattr(value, "__wrapped__"):  # functools.lru_cache, whose contents are no state
        return ["cached", describe(value.__wrapped__)]
    if isinstance(value, (type, types.FunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    return {"class": describe(type(value)), **describe(vars(value))}
