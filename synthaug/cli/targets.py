"""Check which callables a configuration names, before anything is instantiated.

A configuration is data until it names a callable: a run's config.yaml from elsewhere must not run foreign code.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.metadata import version
from inspect import signature
from pkgutil import resolve_name

from synthaug.structures import Plain

ALLOWED = ("synthaug.", "torch.optim.", "torchvision.models.", "lightning.pytorch.")
"""Prefixes of our own code and of the libraries' harmless parts. `torch.` as a whole would admit `torch.load`."""


class ForbiddenTargetError(ValueError):
    """A configuration names a callable outside the allowed prefixes."""


def check_targets(tree: Plain, *, also: Sequence[str] = ()) -> None:
    """Refuse a configuration that names a callable from anywhere else.

    Args:
        tree: The composed configuration, as plain containers.
        also: Further prefixes that the caller allows, each ending in a dot. Never read from a config.

    Raises:
        ForbiddenTargetError: If there is one; the message names the node and its target.
    """
    prefixes = (*ALLOWED, *also)
    for where, target in find_targets(tree):
        if not (isinstance(target, str) and target.startswith(prefixes)):
            raise ForbiddenTargetError(
                f"Expected the _target_ of {where or 'the configuration'} to begin with {', '.join(prefixes)}, got "
                f"{target!r}. For classes of your own, name their package in the environment: SYNTHAUG_TARGETS=mylab."
            )


def check_origins(tree: Plain) -> None:
    """Refuse allowed names that lead to something else, such as `synthaug.files.shutil.rmtree`, or to nothing.

    Imports what the configuration names, so call it right before instantiating.

    Args:
        tree: A part of a configuration that passed `check_targets`, as plain containers.

    Raises:
        ForbiddenTargetError: If a name begins like one of ours and leads to another library's callable.
        ValueError: If this version has nothing of that name.
    """
    for where, target in find_targets(tree):
        if not (isinstance(target, str) and target.startswith(ALLOWED)):
            continue
        try:
            origin = getattr(resolve_name(target), "__module__", None)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"Expected the _target_ of {where or 'the configuration'} to exist in synthaug {version('synthaug')} "
                f"or the installed libraries, got {target!r}. Use the version that trained the run, or train it again."
            ) from error
        if not f"{origin}.".startswith(ALLOWED):
            raise ForbiddenTargetError(
                f"Expected the _target_ of {where or 'the configuration'} to be defined in {', '.join(ALLOWED)}, got "
                f"{target!r}, which belongs to {origin}. Name the class where it is defined."
            )


def check_names(tree: Plain, *, place: str) -> None:
    """Refuse keys that are no parameters of the class that their node names: slips in files, or after a +.

    Imports what the configuration names, so call it after `check_targets`.

    Args:
        tree: A part of a configuration that passed `check_targets`, as plain containers.
        place: The part's dotted place, for the message.

    Raises:
        ValueError: If there is one; the message names the nearest parameter.
    """
    for where, node in _nodes(tree):
        target = node.get("_target_")
        try:
            parameters = signature(resolve_name(target)).parameters if isinstance(target, str) else {}
        except (ImportError, AttributeError, ValueError, TypeError):
            continue  # instantiation says what is wrong
        if not parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            continue
        for key in node:
            if not str(key).startswith("_") and key not in parameters:
                at = ".".join(filter(None, (place, where)))
                near = get_close_matches(str(key), parameters, n=1)
                advice = f"Did you mean {at}.{near[0]}?" if near else f"It has {', '.join(parameters)}."
                raise ValueError(f"Expected {at} to hold parameters of {target} alone, got {key}. {advice}")


def find_targets(tree: Plain) -> Iterator[tuple[str, Plain]]:
    """Every `_target_` of a configuration, after the dotted place of its node."""
    yield from ((where, node["_target_"]) for where, node in _nodes(tree) if node.get("_target_") is not None)


def _nodes(tree: Plain) -> Iterator[tuple[str, dict[str, Plain]]]:
    stack: list[tuple[str, Plain]] = [("", tree)]
    while stack:
        where, node = stack.pop()
        if isinstance(node, list):
            stack += [(f"{where}[{index}]", child) for index, child in enumerate(node)]
        if isinstance(node, dict):
            stack += [(f"{where}.{key}" if where else str(key), child) for key, child in node.items()]
            yield where, node
