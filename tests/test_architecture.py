"""Who may import whom: every top-level name has a row, and the rows follow the data flow of the package."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "synthaug"
STATIONS = ("motions", "avatars", "cameras", "backgrounds", "renderers")
PURE = {"structures", "files", "levels", "workers", "body", "video"}
"""What every station may use."""

MAY: dict[str, set[str]] = {
    "structures": set(),
    "files": {"structures"},
    "levels": {"structures"},
    "workers": set(),
    "body": {"structures"},
    "video": {"structures", "files"},
    "motions": PURE,
    "avatars": PURE | {"motions", "renderers", "runs"},
    "cameras": PURE,
    "backgrounds": PURE | {"cameras"},
    "renderers": PURE,
    "compositing": PURE,
    "synthesis": PURE | {*STATIONS, "compositing"},
    "datasets": {"structures", "files", "video", "workers"},
    "datamodule": {"structures", "files", "video", "workers", "datasets", "synthesis", "backgrounds", "renderers"},
    "recognizers": {"structures"},
    "training": {"structures", "recognizers"},
    "fewshot": {"structures", "files", "recognizers", "datasets", "synthesis", "datamodule"},
    "reports": {"structures", "files"},
    "demo": PURE | {*STATIONS, "compositing", "datasets"},
    "runs": PURE | {*STATIONS, "compositing", "datasets", "synthesis", "datamodule", "training", "reports"},
    "testing": PURE | {*STATIONS, "datasets", "recognizers"},
    "cli": PURE | {*STATIONS, "datasets", "synthesis", "datamodule", "recognizers", "training", "fewshot", "reports",
                   "runs", "demo", "compositing"},
}  # fmt: skip
INTERFACES_ONLY = ("synthesis", "datamodule")
"""Rooms that know the stations and data sets by their `__init__` alone."""
HEAVY = {
    "gsplat": ("renderers/gsplat.py",),
    "lightning": ("datamodule/", "training/", "fewshot/"),
    "hydra": ("cli/",),
    "omegaconf": ("cli/",),
    "smplx": (),
    "anny": (),
    "mediapipe": ("motions/", "cli/doctor.py"),
}
"""Where a heavy library may be imported."""
WITHOUT_CHANCE: tuple[str, ...] = ("synthesis/staging.py", "compositing/layers.py")
"""Code that renders, and therefore samples nothing."""


def imports(source: str) -> Iterator[str]:
    """Every module that a source names in an import, lazy ones too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def offences(path: Path, source: str) -> Iterator[str]:
    """What a file of the package may not import, and does, each with the reason."""
    room = path.parts[0].removesuffix(".py")
    for name in imports(source):
        root, *rest = name.split(".")
        if root in HEAVY and not str(path).startswith(HEAVY[root] or "nowhere"):
            yield f"{path} imports {name}: {root} belongs to {', '.join(HEAVY[root]) or 'no file'}"
        if root != "synthaug" or not rest or rest[0] == room:
            continue
        if rest[0] not in MAY.get(room, set()):
            yield f"{path} imports {name}: {room} may import {', '.join(sorted(MAY.get(room, set()))) or 'nothing'}"
        if room in INTERFACES_ONLY and rest[0] in (*STATIONS, "datasets") and rest[1:] not in ([], ["leaks"]):
            yield f"{path} imports {name}: {room} knows {rest[0]} by its interface, synthaug.{rest[0]}, alone"
    if str(path).startswith(WITHOUT_CHANCE) and "random" in {
        node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)
    }:
        yield f"{path} uses numpy.random: what renders samples nothing"


FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_downwards(path):
    assert list(offences(path, (PACKAGE / path).read_text())) == []


def test_every_top_level_name_has_a_row():
    assert {path.parts[0].removesuffix(".py") for path in FILES} == set(MAY)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("motions/x.py", "from synthaug.avatars import Avatar"),
        ("renderers/x.py", "import gsplat.cuda\nfrom synthaug.synthesis import Recipe"),
        ("synthesis/x.py", "from synthaug.avatars.anny import AnnyPeople"),
        ("recognizers/x.py", "def f():\n    import synthaug.datasets"),
        ("reports/x.py", "from hydra import compose"),
        ("compositing/layers.py", "import numpy as np\nrng = np.random.default_rng(0)"),
        ("strange/x.py", "import synthaug.files"),
    ],
)
def test_a_bad_import_is_noticed(path, source):
    assert list(offences(Path(path), source))


@pytest.mark.parametrize("name", ["train.py", "evaluate.py"])
def test_entry_files_name_no_concrete_class(name):
    concrete = [f for f in FILES if f.parts[0] in (*STATIONS, "datasets") and f.name != "__init__.py"]
    modules = {"synthaug." + ".".join(path.with_suffix("").parts) for path in concrete}
    assert not modules & set(imports((ROOT / name).read_text()))


def test_interfaces_hold_no_answers():
    for station in (*STATIONS, "datasets", "recognizers"):
        tree = ast.parse((PACKAGE / station / "__init__.py").read_text())
        assert not [name for name in imports(ast.unparse(tree)) if name.startswith(f"synthaug.{station}")], station
