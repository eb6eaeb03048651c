"""Run the compiled loops of a module as the Python that they are written in: the specification of what numba makes."""

from types import ModuleType

import pytest


def uncompile(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Replace all compiled loops of these modules by their own source, until the test ends."""
    for module in modules:
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
