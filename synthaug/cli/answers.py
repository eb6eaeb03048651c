"""Find the classes that implement an interface, in synthaug (one for each file) and in other packages.

Sources are parsed and not imported, so that listing the classes takes milliseconds. The environment variable
SYNTHAUG_TARGETS names the other packages: SYNTHAUG_TARGETS=mylab.
"""

import ast
import inspect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """A class that implements an interface.

    Attributes:
        name: What a user types: the file's name for synthaug's own, the dotted path of the class for others.
        target: Dotted path of the class.
        summary: First line of its docstring.
    """

    name: str
    target: str
    summary: str

    def load(self) -> type:
        """Import the class."""
        module, _, name = self.target.rpartition(".")
        loaded: type = getattr(import_module(module), name)
        return loaded


def find_answers(interface: str) -> dict[str, Answer]:
    """All classes that implement an interface, by name: synthaug's own in order of their files, then those of others.

    Args:
        interface: Dotted path of an abstract class, such as "synthaug.motions.MotionSource". synthaug's own classes are
            in the files beside it.

    Raises:
        ValueError: If SYNTHAUG_TARGETS names a package that cannot be found.
    """
    package, _, base = interface.rpartition(".")
    own = [
        Answer(module.rpartition(".")[2], f"{module}.{name}", summary)
        for module, path in _modules_in(package)
        if module.count(".") == package.count(".") + 1 and path.stem != "__init__"
        for name, summary in _classes_with_base(path, base)
    ]
    foreign = [
        Answer(f"{module}.{name}", f"{module}.{name}", summary)
        for allowed in foreign_packages()
        for module, path in _modules_in(allowed)
        for name, summary in _classes_with_base(path, base)
    ]
    return {answer.name: answer for answer in [*own, *foreign]}


def load_answer(interface: str, name: str) -> type:
    """The class with this name: one that is listed, or any subclass at a dotted path in an allowed package.

    Raises:
        ValueError: If there is none; the message lists the classes.
    """
    module, _, base = interface.rpartition(".")
    answers = find_answers(interface)
    if name in answers:
        return answers[name].load()
    if name.startswith(tuple(f"{package}." for package in foreign_packages())):
        loaded = Answer(name, name, "").load()
        if isinstance(loaded, type) and issubclass(loaded, getattr(import_module(module), base)):
            return loaded
    raise ValueError(
        f"Expected one of {', '.join(answers)}, or the dotted path of your own {base}, got {name!r}. Choose one; name "
        "the package of your own class in the environment: SYNTHAUG_TARGETS=mylab."
    )


def foreign_packages() -> list[str]:
    """Packages besides synthaug whose classes may be used, from the environment."""
    return [package for package in os.environ.get("SYNTHAUG_TARGETS", "").split(",") if package]


def describe_parameters(cls: type) -> dict[str, str]:
    """What a class docstring says of each constructor parameter, under Attributes or Args, on one line."""
    texts: dict[str, str] = {}
    name, inside = "", False
    for line in inspect.cleandoc(cls.__doc__ or "").splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent == 0:
            inside = line.strip() in ("Attributes:", "Args:")
        elif inside and indent == 4:
            name, _, text = line.strip().partition(":")
            texts[name] = text.strip()
        elif inside and line.strip():
            texts[name] += f" {line.strip()}"
    return texts


def _modules_in(package: str) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of a module, or of every module below a package; nothing is imported."""
    top, *inside = package.split(".")
    spec = find_spec(top)
    if spec is None:
        raise ValueError(
            f"Expected SYNTHAUG_TARGETS to name installed packages, found no {top!r}. Install it, or set PYTHONPATH."
        )
    if spec.submodule_search_locations is None:
        yield package, Path(spec.origin or "")
        return
    for location in map(Path, spec.submodule_search_locations):
        folder = location.joinpath(*inside)
        if inside and folder.with_suffix(".py").is_file():
            yield package, folder.with_suffix(".py")
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if all(part.isidentifier() for part in parts):
                yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def _classes_with_base(path: Path, base: str) -> list[tuple[str, str]]:
    """Name and first docstring line of a file's public classes with a base of this name."""
    try:
        source = path.read_text("utf-8")
        tree = ast.parse(source) if base in source else ast.Module([], [])
    except (OSError, ValueError, SyntaxError):
        return []  # a file that Python cannot read has no classes
    return [
        (node.name, (ast.get_docstring(node) or "").partition("\n")[0])
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and any(ast.unparse(kind).rpartition(".")[2] == base for kind in node.bases)
    ]
