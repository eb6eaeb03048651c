"""Check which callables a configuration names, before anything is instantiated.

A configuration is data until it names a callable: a run's config.yaml from elsewhere must not run foreign code.
"""

from collections.abc import Sequence

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
        ForbiddenTargetError: Naming the node and its target.
    """
    prefixes = (*ALLOWED, *also)
    stack: list[tuple[str, Plain]] = [("", tree)]
    while stack:
        where, node = stack.pop()
        if isinstance(node, list):
            stack += [(f"{where}[{index}]", child) for index, child in enumerate(node)]
        if not isinstance(node, dict):
            continue
        stack += [(f"{where}.{key}" if where else key, child) for key, child in node.items()]
        target = node.get("_target_")
        if target is not None and not (isinstance(target, str) and target.startswith(prefixes)):
            raise ForbiddenTargetError(
                f"Expected the _target_ of {where or 'the configuration'} to begin with {', '.join(prefixes)}, got "
                f"{target!r}. For classes of your own, name their package in the environment: SYNTHAUG_TARGETS=mylab."
            )
