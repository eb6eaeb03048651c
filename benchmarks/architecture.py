"""Who may import whom in the package: the rules as a table, the imports that break them, and import circles.

`tests/test_architecture.py` holds the package to the rules, and `benchmarks/house.py` counts what breaks them.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

PACKAGE = Path(__file__).resolve().parents[1] / "synthaug"
STATIONS = ("motions", "avatars", "props", "cameras", "backgrounds", "renderers", "sensors")
PURE = {"structures", "files", "remote", "levels", "workers", "progress", "body", "video"}
"""What every station may use."""

MAY: dict[str, set[str]] = {
    "structures": set(),
    "files": {"structures"},
    "remote": {"files"},
    "levels": {"structures", "body"},
    "workers": set(),
    "progress": set(),
    "body": {"structures"},
    "video": {"structures", "files", "remote"},
    "motions": PURE,
    "avatars": PURE,
    "props": PURE | {"avatars"},
    "cameras": PURE,
    "backgrounds": PURE | {"cameras"},
    "renderers": PURE,
    "compositing": PURE,
    "sensors": PURE | {"compositing"},
    "synthesis": PURE | {*STATIONS, "compositing"},
    "exports": {"structures", "files", "video", "workers", "progress", "synthesis"},
    "engines": {"files", "workers"},
    "datasets": {"structures", "files", "remote", "video", "workers", "progress", "pseudoreal"},
    "foreign": PURE | {"motions", "datasets", "synthesis", "exports"},
    "datamodule": {"structures", "files", "video", "workers", "datasets", "synthesis", "backgrounds", "renderers",
                   "fewshot", "exports", "foreign"},
    "recognizers": {"structures"},
    "training": {"structures", "progress", "recognizers"},
    "fewshot": {"structures", "recognizers"},
    "pretraining": PURE | {*STATIONS, "synthesis", "recognizers", "training", "defaults"},
    "creation": PURE | {*STATIONS, "compositing"},
    "reports": {"structures", "files"},
    "pseudoreal": PURE | {*STATIONS, "compositing"},
    "runs": PURE | {*STATIONS, "compositing", "datasets", "synthesis", "datamodule", "training", "reports",
             "recognizers", "fewshot", "exports", "foreign"},
    "testing": PURE | {*STATIONS, "datasets", "recognizers"},
    "cli": PURE | {*STATIONS, "datasets", "synthesis", "datamodule", "recognizers", "training", "fewshot", "reports",
                   "runs", "pseudoreal", "compositing", "creation", "exports", "engines"},
    "defaults": PURE | {*STATIONS, "datasets", "synthesis", "datamodule", "pseudoreal"},
}  # fmt: skip
"""What each top-level name of the package may import, beside itself and other packages."""
INTERFACES_ONLY = ("synthesis", "datamodule")
"""Rooms that know the stations and data sets by their `__init__` alone."""
HEAVY = {
    "gsplat": ("renderers/gsplat.py",),
    "lightning": ("datamodule/", "training/", "cli/"),
    "torchmetrics": ("training/",),
    "hydra": ("cli/",),
    "omegaconf": ("cli/",),
    "smplx": (),
    "anny": (),
    "mediapipe": ("motions/", "backgrounds/plate/silhouettes.py", "cli/doctor.py"),
    "onnxruntime": ("motions/pose/simcc.py",),
    "litdata": ("exports/litdata.py",),
    "webdataset": (),
    "ray": ("engines/ray.py",),
    "submitit": ("engines/slurm.py",),
    "pyarrow": (),
}
"""Where a heavy library may be imported."""
LAZY = ("__init__.py",)
"""Files that import nothing but the standard library: `import synthaug` takes milliseconds and needs no torch."""
WITHOUT_CHANCE = ("synthesis/staging.py", "synthesis/synthesizer.py", "compositing/")
"""Code that renders, and therefore samples nothing."""
CHANCE = {"random", "rng", "default_rng", "Generator", "manual_seed", "rand", "randn", "randint", "randperm"}
"""Names by which a source samples from numpy's, torch's or Python's generators."""


class Import(NamedTuple):
    """One name of an import statement."""

    module: str
    name: str
    """What is taken out of the module; empty for `import module`."""

    def resolve(self, modules: Mapping[str, Path]) -> str:
        """The module that is imported: `from package import module` names a module, not the package."""
        whole = f"{self.module}.{self.name}"
        return whole if whole in modules else self.module


def find_modules(package: Path) -> dict[str, Path]:
    """Every module of a package folder by its dotted name; a folder's name is its `__init__`."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def find_imports(source: str, *, types: bool = True) -> Iterator[Import]:
    """Every absolute import of a source, those inside functions too.

    Args:
        source: Python.
        types: Whether imports under `if TYPE_CHECKING` count.
    """
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (Import(node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.If) and not types and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def find_names(source: str) -> Iterator[str]:
    """Every name, argument and attribute of a source, and every part of its imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name):
            yield node.id
    for one in find_imports(source):
        yield from (*one.module.split("."), one.name)


def find_offences(path: Path, source: str) -> Iterator[str]:
    """The imports of one file that break a rule, each with the reason.

    Args:
        path: Path of the file, below the package.
        source: What the file contains.
    """
    room = path.parts[0].removesuffix(".py")
    if str(path) in LAZY:
        yield from _find_eager_imports(path, source)
        return
    for name in dict.fromkeys(one.resolve(_MODULES) for one in find_imports(source)):
        root, *rest = name.split(".")
        if root in HEAVY and not str(path).startswith(HEAVY[root] or "nowhere"):
            yield f"{path} imports {name}: {root} belongs to {', '.join(HEAVY[root]) or 'no file'}"
        if root != "synthaug" or not rest or rest[0] == room:
            continue
        yield from (f"{path} imports {name}: {reason}" for reason in _find_reasons(path, room, rest))
    if str(path).startswith(WITHOUT_CHANCE):
        for name in sorted(CHANCE & set(find_names(source))):
            yield f"{path} uses {name}: what renders samples nothing"


def _find_reasons(path: Path, room: str, rest: list[str]) -> Iterator[str]:
    """Why a file must not import this module of another folder, given by its parts below the package."""
    if rest[0] not in MAY.get(room, set()):
        yield f"{room} may import {', '.join(sorted(MAY.get(room, set()))) or 'nothing'}"
    if (room, rest[0]) == ("datasets", "pseudoreal") and path != Path("datasets/demo.py"):
        yield "only datasets/demo.py has its film made, by synthaug.pseudoreal"
    if (room, rest[0]) == ("datamodule", "fewshot") and rest[1:] != ["episodes"]:
        yield "datamodule knows the tasks of fewshot, synthaug.fewshot.episodes, alone"
    if room in INTERFACES_ONLY and rest[0] in (*STATIONS, "datasets") and rest[1:] not in ([], ["leaks"]):
        yield f"{room} knows {rest[0]} by its interface, synthaug.{rest[0]}, alone"


def _find_eager_imports(path: Path, source: str) -> Iterator[str]:
    for one in find_imports(source, types=False):
        if one.module.split(".")[0] not in sys.stdlib_module_names:
            yield f"{path} imports {one.module}: public names are imported when they are first used"


def find_circles(package: Path) -> list[list[str]]:
    """Sets of modules that import each other, directly or through others; type imports do not count.

    Importing a name from a folder counts as importing its `__init__`. Importing a module from a folder counts as
    importing that module alone, although Python runs the folder's `__init__` first.
    """
    modules = find_modules(package)
    numbers = {name: number for number, name in enumerate(modules)}
    edges = {
        (numbers[name], numbers[target])
        for name, path in modules.items()
        for target in (one.resolve(modules) for one in find_imports(path.read_text(), types=False))
        if target in modules and target != name
    }
    rows, columns = zip(*edges, strict=True) if edges else ((), ())
    matrix = csr_array(([1] * len(edges), (rows, columns)), shape=(len(modules), len(modules)))
    count, labels = connected_components(matrix, connection="strong")
    groups: list[list[str]] = [[] for _ in range(count)]
    for name, label in zip(modules, labels, strict=True):
        groups[label].append(name)
    return [group for group in groups if len(group) > 1]


_MODULES = find_modules(PACKAGE)
