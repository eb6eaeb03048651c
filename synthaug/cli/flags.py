"""Flags of a command out of the constructor parameters of a class, and their values."""

import argparse
import inspect
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from synthaug.cli.answers import describe_parameters


def add_flags(parser: argparse.ArgumentParser, cls: type, *, title: str) -> None:
    """Add one flag for each constructor parameter of a class that a command line can give.

    Args:
        parser: Gets the flags.
        cls: The class; its docstring tells what each parameter is.
        title: Of the flags, in the help.

    Raises:
        ValueError: If a parameter that must be given has another type, or has the name of an option of the command.
    """
    texts = describe_parameters(cls)
    group = parser.add_argument_group(title)
    for name, parameter in inspect.signature(cls, eval_str=True).parameters.items():
        needed = parameter.default is inspect.Parameter.empty
        keywords = _keywords_of(parameter.annotation, parameter.default)
        if keywords is None and needed:
            raise ValueError(
                f"Expected {cls.__name__}.{name} to be a Path, str, float, int, bool or Literal, or to have a "
                f"default, got {parameter.annotation}. Change its type."
            )
        if keywords is None:
            continue
        flag = f"--{'no-' if keywords.get('action') == 'store_false' else ''}{name.replace('_', '-')}"
        shown = "" if needed or parameter.default in (None, True, False) else f" ({parameter.default})"
        text = f"{texts.get(name, '')}{shown}".replace("%", "%%")
        try:
            group.add_argument(flag, dest=_name_flag(cls, name), help=text, required=needed, **keywords)
        except argparse.ArgumentError as error:
            raise ValueError(
                f"Expected {cls.__name__} to have no parameter {name!r}, which the command has itself. Rename it."
            ) from error


def _keywords_of(hint: Any, default: Any) -> dict[str, Any] | None:
    """Arguments of `add_argument` for a parameter's type; None if a command line cannot give it."""
    kinds = [hint]
    if get_origin(hint) in (UnionType, Union):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    if len(kinds) != 1:
        return None
    kind = kinds[0]
    given = None if default is inspect.Parameter.empty else default
    if kind is bool and default is not inspect.Parameter.empty:
        return {"action": "store_false" if default else "store_true"}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind), "default": given}
    metavar = {Path: "PATH", str: "TEXT", float: "NUMBER", int: "NUMBER"}
    return {"type": kind, "default": given, "metavar": metavar[kind]} if kind in metavar else None


def read_flags(chosen: argparse.Namespace, cls: type) -> dict[str, Any]:
    """What the flags of `add_flags` say, by the name of the parameter."""
    names = inspect.signature(cls).parameters
    return {name: value for name in names if (value := getattr(chosen, _name_flag(cls, name), _NONE)) is not _NONE}


def _name_flag(cls: type, name: str) -> str:
    """Where the value of a flag is kept: apart from all others."""
    return f"{cls.__name__}: {name}"


_NONE = object()
