"""Who may import whom: every top-level name has a row, and the rows follow the data flow of the package."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
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


PARTS_OF_MOTIONS = {"__init__": 0, "procedural": 1, "fitting": 1, "files": 2, "pose": 3}
"""Levels inside motions. Every other file is an answer and lies above all parts."""
ANSWER = 4


def _part_of_motions(name: str) -> str:
    """The part of `motions` that a module belongs to; an answer is a part of its own."""
    return name.split(".")[0] or "__init__"


def offences_in_motions(path: Path, source: str) -> Iterator[str]:
    """Imports inside motions that go upwards, or sideways to another part or answer, each with the reason."""
    own = path.with_suffix("").parts[1]
    level = PARTS_OF_MOTIONS.get(own, ANSWER)
    for name in imports(source):
        if not f"{name}.".startswith("synthaug.motions."):
            continue
        other = _part_of_motions(name.removeprefix("synthaug.motions").removeprefix("."))
        goal = PARTS_OF_MOTIONS.get(other, ANSWER)
        if other == own or goal < level:
            continue
        if goal == ANSWER and level == ANSWER:
            yield f"{path} imports {name}: answers do not import each other; move what both need into a part"
        elif goal == ANSWER:
            yield f"{path} imports {name}: {own} is a part of answers and imports none; move what it needs into a part"
        else:
            yield f"{path} imports {name}: the order is procedural, fitting < files < pose < answers; move it down"


def circles(sources: Mapping[str, str]) -> list[str]:
    """Modules of a room that import each other in a circle, the first one also last; empty if there is none."""
    graph = {module: {name for name in imports(source) if name in sources} for module, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _sources(room: str) -> dict[str, str]:
    """The source of each module of a room, by dotted name; the interface has the room's own name."""
    return {
        ".".join(("synthaug", *path.with_suffix("").parts)).removesuffix(".__init__"): (PACKAGE / path).read_text()
        for path in FILES
        if path.parts[0] == room
    }


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] == "motions"], ids=str)
def test_parts_of_motions_never_import_upwards(path):
    assert list(offences_in_motions(path, (PACKAGE / path).read_text())) == []


@pytest.mark.parametrize("room", ["body", "motions"])
def test_modules_do_not_import_in_a_circle(room):
    assert circles(_sources(room)) == []


@pytest.mark.parametrize(
    ("path", "source", "words"),
    [
        ("motions/fitting/x.py", "from synthaug.motions.files.recordings import FlawError", "the order is"),
        ("motions/fitting/x.py", "from synthaug.motions.procedural.timing import ease", "the order is"),
        ("motions/files/x.py", "def f():\n    import synthaug.motions.pose.network", "the order is"),
        ("motions/pose/x.py", "from synthaug.motions.video import VideoMotion", "pose is a part of answers"),
        ("motions/x.py", "from synthaug.motions.video import VideoMotion", "answers do not import each other"),
        ("motions/__init__.py", "from synthaug.motions.video import VideoMotion", "imports none"),
    ],
)
def test_an_upward_import_in_motions_is_noticed(path, source, words):
    (said,) = offences_in_motions(Path(path), source)
    assert said.startswith(f"{path} imports {next(imports(source))}: ") and words in said


def test_a_circle_is_noticed():
    sources = {"a": "import b", "b": "def f():\n    from c import x", "c": "from a import y", "d": "import a"}
    found = circles(sources)
    assert set(found) == {"a", "b", "c"} and found[0] == found[-1]
