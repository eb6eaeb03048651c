"""The order inside motions: interface < procedural, fitting < files < pose < answers; no circle there nor in body."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import synthaug

PACKAGE = Path(synthaug.__file__).parent
LEVELS = {"__init__": 0, "procedural": 1, "fitting": 1, "files": 2, "pose": 3}
"""The parts of motions by level. Every other file is an answer and lies above all parts."""
ANSWER = 4


def modules_of(room: str) -> dict[str, str]:
    """The source of each module of a room, by dotted name; an interface has the name of its folder."""
    return {
        ".".join(("synthaug", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): (
            path.read_text()
        )
        for path in sorted((PACKAGE / room).rglob("*.py"))
    }


def imports(source: str, known: Mapping[str, str]) -> Iterator[str]:
    """The known modules that a source imports, lazily too, as `import x` or as `from package import module`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in known or node.module in known:
                    yield name if name in known else node.module


def part_of(module: str) -> str:
    """The folder or module right below motions that a module belongs to."""
    return (module.split(".")[2:] or ["__init__"])[0]


def offences(module: str, source: str, known: Mapping[str, str]) -> Iterator[str]:
    """Imports inside motions that go upwards, or sideways to another part or answer, each with the reason."""
    own = part_of(module)
    level = LEVELS.get(own, ANSWER)
    for name in sorted(set(imports(source, known))):
        other = part_of(name)
        goal = LEVELS.get(other, ANSWER)
        if other == own or goal < level:
            continue
        if goal == level == ANSWER:
            yield f"{module} imports {name}: answers do not import each other; move what both need into a part"
        elif goal == ANSWER:
            yield f"{module} imports {name}: {own} is a part of answers and imports none; move that into a part"
        else:
            yield f"{module} imports {name}: the order is procedural, fitting < files < pose < answers; move it down"


def circle(sources: Mapping[str, str]) -> list[str]:
    """Modules that import each other in a circle, the first one also last; empty if there is none."""
    graph = {module: set(imports(source, sources)) - {module} for module, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


MOTIONS = modules_of("motions")


@pytest.mark.parametrize("module", MOTIONS)
def test_imports_inside_motions_point_downwards(module):
    assert list(offences(module, MOTIONS[module], MOTIONS)) == []


@pytest.mark.parametrize("room", ["body", "motions"])
def test_no_module_reaches_itself(room):
    assert circle(modules_of(room)) == []


@pytest.mark.parametrize(
    ("part", "source", "words"),
    [
        ("fitting.x", "from synthaug.motions.files.recordings import FlawError", "files.recordings: the order is"),
        ("fitting.x", "from synthaug.motions.procedural.timing import ease", "procedural.timing: the order is"),
        ("files.x", "def f():\n    import synthaug.motions.pose.network", "pose.network: the order is"),
        ("pose.x", "from synthaug.motions import video", "video: pose is a part of answers"),
        ("x", "from synthaug.motions.video import VideoMotion", "video: answers do not import each other"),
        ("__init__", "from synthaug.motions.video import VideoMotion", "video: __init__ is a part"),
    ],
)
def test_an_upward_import_inside_motions_is_noticed(part, source, words):
    (said,) = offences(f"synthaug.motions.{part}".removesuffix(".__init__"), source, MOTIONS)
    assert said.startswith(f"synthaug.motions.{part}".removesuffix(".__init__") + " imports synthaug.motions.")
    assert words in said


def test_a_circle_is_noticed():
    sources = {"a": "import b", "b": "def f():\n    from c import x", "c": "from a import y", "d": "import a"}
    found = circle(sources)
    assert set(found) == {"a", "b", "c"} and found[0] == found[-1]
