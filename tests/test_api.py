"""`import synthaug as sa`: names that are imported when they are first used, and that editors and mypy see as well."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import synthaug

SOURCE = Path(synthaug.__file__).read_text()
HEAVY = {"torch", "numpy", "hydra", "omegaconf", "lightning", "numba", "cv2", "mediapipe", "jaxtyping", "rich"}


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def typed_names():
    """What type checkers see: each name, and the module below `synthaug` that it is imported from."""
    (block,) = [node for node in ast.parse(SOURCE).body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname: node.module.removeprefix("synthaug.") for node in imports for alias in node.names}


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, json, synthaug; dir(synthaug); print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(run(code)))
    assert not HEAVY & loaded and not [name for name in loaded if name.startswith("synthaug.")]


def test_type_checkers_see_the_names_that_exist():
    assert typed_names() == synthaug._MODULES
    assert sorted([*synthaug._MODULES, "__version__"]) == sorted(synthaug.__all__)
    assert set(synthaug.__all__) <= set(dir(synthaug))


def test_no_public_name_is_a_folder_s():
    """The import of a folder of that name would put the folder in the name's place."""
    folder = Path(synthaug.__file__).parent
    names = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert not names & set(synthaug.__all__)


@pytest.mark.parametrize("name", sorted(synthaug.__all__))
def test_every_public_name_is_found_and_documented(name):
    value = getattr(synthaug, name)
    assert name == "__version__" or value.__doc__


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'Nobody'"):
        _ = synthaug.Nobody


def test_functions_and_classes_have_real_signatures():
    """Editors show what can be passed: no `**kwargs` anywhere."""
    import inspect

    for name in synthaug._MODULES:
        value = getattr(synthaug, name)
        if inspect.isfunction(value):
            kinds = {one.kind for one in inspect.signature(value).parameters.values()}
            assert kinds <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}, name
