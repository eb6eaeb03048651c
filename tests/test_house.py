"""What `python -m benchmarks.house` counts, on packages made for it and on our own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.architecture import PACKAGE, find_circles
from benchmarks.house import find_functions, find_loose, find_unruled, is_compiled, measure

ROWS = ("loose", "circles", "upward", "unruled", "longest_function", "widest", "longest_module", "wanted", "yamls")


def package(folder: Path, **files: str) -> Path:
    """A package of these files; two underscores in a name are a folder."""
    for name, source in {"__init__": "", **files}.items():
        path = folder / "made" / f"{name if name == '__init__' else name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        if path.parent.name != "made":
            (path.parent / "__init__.py").touch()
    return folder / "made"


def test_two_modules_that_import_each_other_are_a_circle(tmp_path: Path):
    made = package(tmp_path, a="import made.b", b="from made import a", c="import made.a")
    assert find_circles(made) == [["made.a", "made.b"]]


def test_a_circle_may_be_long_and_there_may_be_two(tmp_path: Path):
    made = package(
        tmp_path, a="import made.b", b="import made.c", c="import made.a", d="import made.e", e="import made.d"
    )
    assert find_circles(made) == [["made.a", "made.b", "made.c"], ["made.d", "made.e"]]


def test_a_lazy_import_closes_a_circle(tmp_path: Path):
    made = package(tmp_path, a="def f():\n    from made.b import g", b="import made.a\n\ndef g(): ...")
    assert find_circles(made) == [["made.a", "made.b"]]


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_an_import_for_types_closes_none(tmp_path: Path, test: str):
    made = package(tmp_path, a=f"import typing\nif {test}:\n    from made.b import B", b="import made.a")
    assert find_circles(made) == []


def test_what_types_do_not_need_counts(tmp_path: Path):
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    from made.b import B"
    assert find_circles(package(tmp_path, a=source, b="import made.a")) == [["made.a", "made.b"]]


def test_a_name_of_a_folder_is_its_interface_and_a_module_of_it_is_not(tmp_path: Path):
    interface = "from made.room.answer import Answer"
    made = package(tmp_path / "name", room__answer="from made.room import Base")
    (made / "room" / "__init__.py").write_text(interface)
    assert find_circles(made) == [["made.room", "made.room.answer"]]
    made = package(tmp_path / "module", room__answer="from made.room import part", room__part="")
    (made / "room" / "__init__.py").write_text(interface)
    assert find_circles(made) == []


def test_one_module_alone_is_no_circle(tmp_path: Path):
    assert find_circles(package(tmp_path, a="import made.a\nimport os")) == []


def test_loose_files_and_names_without_a_rule_are_found(tmp_path: Path):
    made = package(tmp_path, structures="", strange="", odd__part="", body__part="")
    assert find_loose(made) == ["strange.py", "structures.py"]
    assert find_unruled(made) == ["odd", "strange"]


def test_a_function_is_as_long_as_its_signature_docstring_and_body(tmp_path: Path):
    path = package(tmp_path, a='@decorated\ndef f(\n    x,\n):\n    """Words."""\n\n    return x\n\n\ny = 1\n') / "a.py"
    (function,) = find_functions(path)
    assert (function.place, function.lines, function.compiled) == ("a.py:f", 6, False)


def test_every_kind_of_parameter_counts_but_self(tmp_path: Path):
    source = "class A:\n    def f(self, a, /, b, *c, d=1, **e):\n        def g(cls): ..."
    functions = {one.place: one.parameters for one in find_functions(package(tmp_path, a=source) / "a.py")}
    assert functions == {"a.py:f": 5, "a.py:g": 0}


@pytest.mark.parametrize("decorator", ["numba.njit", "numba.njit(cache=True)", "_fast", "_fast(inline=True)"])
def test_what_numba_compiles_is_told_from_what_it_does_not(tmp_path: Path, decorator: str):
    source = f"_fast = numba.njit(nogil=True)\n\n@{decorator}\ndef f(x):\n    return x\n"
    path = package(tmp_path, a=source) / "a.py"
    assert [one.compiled for one in find_functions(path)] == [True] and is_compiled(path)
    path = package(tmp_path, a=source + "\n\ndef g(x):\n    return x\n") / "a.py"
    assert [one.compiled for one in find_functions(path)] == [True, False] and not is_compiled(path)


def test_a_package_is_measured(tmp_path: Path):
    kernel = "@numba.njit\ndef k(a, b, c):\n" + "    a += 1\n" * 30
    said = 'raise ValueError("x was wanted")\nraise ValueError("these were wanted")\nwanted = 1\n'
    made = package(tmp_path, structures=said, recognizers="import synthaug.datasets", room__kernels=kernel,
                   room__a="def f(a, b):\n    return a\n")  # fmt: skip
    for name in ("a.yaml", "b/c.yaml", "d.txt"):
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).touch()
    figures = measure(made, tmp_path / "conf")
    assert {name: figure.value for name, figure in figures.items()} == {
        "loose": 2, "circles": 0, "upward": 1, "unruled": 1, "longest_function": 2, "widest": 2, "longest_module": 3,
        "wanted": 2, "yamls": 2,
    }  # fmt: skip
    assert "kernels.py" in figures["longest_module"].where and "recognizers" in figures["upward"].where


def test_the_command_ends_with_its_figures_as_json():
    command = [sys.executable, "-m", "benchmarks.house"]
    lines = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True).stdout.splitlines()
    figures = json.loads(lines[-1])
    assert tuple(figures) == ROWS and all(isinstance(value, int) for value in figures.values())
