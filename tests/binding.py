"""Hold a configuration to the signatures of what it constructs, without constructing anything."""

import inspect
from importlib import import_module

PASSED = {"recognizer": {"num_classes"}, "training": {"recognizer"}}
"""Parameters that follow from the data and that the command passes."""


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
