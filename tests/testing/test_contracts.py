"""The public contracts: every check can be imported from `synthaug.testing`, lazily, and a test uses it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug import testing

TESTS = Path(__file__).resolve().parents[1]
FOLDER = Path(testing.__file__).parent
CHECKS = sorted(
    (path.stem, node.name)
    for path in FOLDER.glob("*.py")
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
)


def names_used(path: Path) -> set[str]:
    """Names that a test file calls, imports excepted."""
    return {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}


def test_every_check_is_exported_and_nothing_else():
    assert testing.__all__ == sorted(name for _, name in CHECKS)
    assert set(testing.__all__) <= set(dir(testing))


@pytest.mark.parametrize(("module", "name"), CHECKS)
def test_an_exported_check_is_its_module_s(module, name):
    defined = __import__(f"synthaug.testing.{module}", fromlist=[name])
    assert getattr(testing, name) is getattr(defined, name)


def test_type_checkers_see_every_check():
    tree = ast.parse((FOLDER / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imported = [(node.module, alias.name) for node in ast.walk(blocks[0]) if isinstance(node, ast.ImportFrom)
                for alias in node.names]  # fmt: skip
    assert sorted(imported) == sorted((f"synthaug.testing.{module}", name) for module, name in CHECKS)


def test_every_check_is_used_by_a_test():
    used = set().union(*(names_used(path) for path in TESTS.rglob("test_*.py")))
    assert {name for _, name in CHECKS} <= used


def test_a_name_that_is_none_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'check_nothing'"):
        testing.check_nothing  # noqa: B018


def test_importing_the_contracts_imports_none_of_what_they_check():
    code = "import sys; from synthaug import testing; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "synthaug.structures"} & set(loaded)
