"""Count what the layout of the package promises: `python -m benchmarks.house`.

Prints a table with the targets and where each figure comes from, then one JSON object:

loose              files directly under the package, `__init__` apart
circles            sets of modules that import each other, lazy imports included and type imports not
upward             imports that break the rules of `benchmarks/architecture.py`
unruled            top-level names without a rule
longest_function   lines from `def` to its end, signature and docstring included
widest             parameters of one function, `self` and `cls` apart
longest_module     lines
wanted             "was wanted" and "were wanted" in the package
yamls              YAML files under conf/

Functions that numba compiles are left out of the longest function and the widest signature, and modules that consist of
them, such as the ray caster, of the longest module: the table names them.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.architecture import MAY, PACKAGE, find_circles, find_modules, find_offences

CONF = PACKAGE.parent / "conf"
WANTED = re.compile(r"\bw(?:as|ere) wanted\b")


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    value: int
    target: int
    where: str


@dataclass(frozen=True)
class Function:
    """A function of the package: where it is, and what is counted of it."""

    place: str
    lines: int
    parameters: int
    compiled: bool


def find_loose(package: Path) -> list[str]:
    """Files directly under the package, `__init__` apart."""
    return sorted(path.name for path in package.glob("*.py") if path.name != "__init__.py")


def find_unruled(package: Path) -> list[str]:
    """Top-level names of the package without a row in the table of rules."""
    folders = {path.parent.name for path in package.glob("*/*.py")}
    return sorted(({name.removesuffix(".py") for name in find_loose(package)} | folders) - set(MAY))


def find_functions(path: Path) -> list[Function]:
    """Every function of a file, methods and inner functions too."""
    tree = ast.parse(path.read_text())
    # Names such as `_kernel = numba.njit(...)`, which decorate as numba.njit itself does.
    names = {"njit"} | {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith(("numba.njit(", "njit("))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return [
        Function(
            place=f"{path.name}:{node.name}",
            lines=(node.end_lineno or node.lineno) - node.lineno + 1,
            parameters=_count_parameters(node.args),
            compiled=any(_decorates_with(decorator, names) for decorator in node.decorator_list),
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _count_parameters(arguments: ast.arguments) -> int:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return sum(one is not None and one.arg not in ("self", "cls") for one in every)


def _decorates_with(decorator: ast.expr, names: set[str]) -> bool:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(call).removeprefix("numba.") in names


def is_compiled(path: Path) -> bool:
    """Whether numba compiles nine tenths or more of what a file has in functions: a module of kernels."""
    functions = find_functions(path)
    compiled = sum(one.lines for one in functions if one.compiled)
    return compiled > 0 and compiled >= 0.9 * sum(one.lines for one in functions)


def count_wanted(package: Path) -> dict[str, int]:
    """How often each file says "was wanted" or "were wanted"; files that do not are left out."""
    counts = {str(path.relative_to(package)): len(WANTED.findall(path.read_text())) for path in package.rglob("*.py")}
    return {name: count for name, count in sorted(counts.items(), key=lambda item: -item[1]) if count}


def measure(package: Path, conf: Path) -> dict[str, Figure]:
    """All figures of a package, by name."""
    loose, unruled, circles = find_loose(package), find_unruled(package), find_circles(package)
    paths = list(find_modules(package).values())
    kernels = [path for path in paths if is_compiled(path)]
    offences = [one for path in paths for one in _find_offences_of(package, path)]
    functions = [one for path in paths for one in find_functions(path) if not one.compiled]
    longest, widest = max(functions, key=lambda one: one.lines), max(functions, key=lambda one: one.parameters)
    modules = {path: len(path.read_text().splitlines()) for path in paths if path not in kernels}
    module = max(modules, key=lambda path: modules[path])
    wanted, apart = count_wanted(package), ", ".join(sorted(path.name for path in kernels))
    return {
        "loose": Figure(len(loose), 8, ", ".join(loose)),
        "circles": Figure(len(circles), 0, "; ".join(" and ".join(circle) for circle in circles)),
        "upward": Figure(len(offences), 0, "; ".join(offences)),
        "unruled": Figure(len(unruled), 0, ", ".join(unruled)),
        "longest_function": Figure(longest.lines, 60, longest.place),
        "widest": Figure(widest.parameters, 8, widest.place),
        "longest_module": Figure(modules[module], 450, f"{module.relative_to(package)}; left out: {apart or 'none'}"),
        "wanted": Figure(sum(wanted.values()), 0, ", ".join(f"{name} {count}" for name, count in wanted.items())),
        "yamls": Figure(len(list(conf.rglob("*.yaml"))), 140, ""),
    }


def _find_offences_of(package: Path, path: Path) -> Iterator[str]:
    yield from find_offences(path.relative_to(package), path.read_text())


def main() -> None:
    figures = measure(PACKAGE, CONF)
    table = Table("figure", "value", "target", "where")
    for name, figure in figures.items():
        met = "" if figure.value <= figure.target else "bold red"
        where = figure.where if len(figure.where) <= 300 else figure.where[:300] + " ..."
        table.add_row(name, str(figure.value), str(figure.target), where, style=met)
    Console().print(table)
    print(json.dumps({name: figure.value for name, figure in figures.items()}))


if __name__ == "__main__":
    main()
