"""The order inside datasets: interface < leaks and indexing < protocols < data sets, which do not know each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthaug import datasets

FOLDER = Path(datasets.__file__).parent
FILES = {path.relative_to(FOLDER) for path in FOLDER.rglob("*.py")}
MAY = {
    "__init__": set(),
    "leaks": {"__init__"},
    "indexing": {"__init__"},
    "protocols": {"__init__", "indexing"},
}
"""What the parts of datasets may import of datasets, their own files apart; anything else there is a data set."""
DATA_SET_MAY = {"__init__", "indexing", "protocols"}


def imports(source: str) -> Iterator[Path]:
    """The files below datasets that a source imports, as `import x` or as `from package import module`."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[:2] == ["synthaug", "datasets"]:
                stem = "/".join(name.split(".")[2:])
                yield from {Path(f"{stem}.py"), Path(stem, "__init__.py")} & FILES


def part_of(path: Path) -> str:
    """The folder or the module right below datasets that a file belongs to."""
    return path.parts[0].removesuffix(".py")


def offences(path: Path, source: str) -> Iterator[str]:
    """What a file of datasets may not import of datasets, and does, each with the reason."""
    allowed = MAY.get(part_of(path), DATA_SET_MAY) | {part_of(path)}
    for other in sorted(set(imports(source))):
        if part_of(other) not in allowed:
            yield f"datasets/{path} imports {other}: {part_of(path)} may import {', '.join(sorted(allowed))}"


@pytest.mark.parametrize("path", sorted(FILES), ids=str)
def test_imports_inside_datasets_point_downwards(path):
    assert list(offences(path, (FOLDER / path).read_text())) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("__init__.py", "from synthaug.datasets.ntu import Ntu"),
        ("__init__.py", "from synthaug.datasets import leaks"),
        ("indexing/x.py", "from synthaug.datasets.protocols.choosing import ShotChoice"),
        ("protocols/x.py", "from synthaug.datasets.toyota.dataset import CLASSES"),
        ("kinetics.py", "import synthaug.datasets.ucf101"),
        ("ntu/x.py", "def f():\n    from synthaug.datasets import folder"),
    ],
)
def test_a_bad_import_inside_datasets_is_noticed(path, source):
    assert list(offences(Path(path), source))


def test_no_module_of_datasets_reaches_itself():
    known = {path: set(imports((FOLDER / path).read_text())) - {path} for path in FILES}
    for path in FILES:
        reached, waiting = set(), [path]
        while waiting:
            new = known[waiting.pop()] - reached
            reached |= new
            waiting += new
        assert path not in reached, f"datasets/{path} imports itself through {sorted(map(str, reached))}"
