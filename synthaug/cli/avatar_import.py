"""`synthaug avatar import FORMAT FILE`: the formats and their flags come from the importers, without a list of them."""

import argparse
import inspect
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from synthaug.cli.answers import describe_parameters, find_answers, load_answer

if TYPE_CHECKING:
    from synthaug.avatars.importers import Importer
    from synthaug.avatars.pack.format import Pack

logger = logging.getLogger(__name__)
INTERFACE = "synthaug.avatars.importers.Importer"
OUTCOMES = "outcomes.json"
"""Written into the folder of packs: what happened to each person of a collection."""
_PREFIX = "importer_"
"""Prefix of the destinations of an importer's own flags, so that they do not collide with others."""


class ImportParser(argparse.ArgumentParser):
    """A parser to which functions add flags that depend on the command line, just before it is parsed."""

    offer: Callable[["ImportParser", Sequence[str]], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse after the flags were added."""
        if self.offer is not None:
            offer, self.offer = self.offer, None
            offer(self, args or ())
        return super().parse_known_args(args, namespace)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every import; those of a format are added when the command line names it."""
    assert isinstance(parser, ImportParser)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("format", metavar="FORMAT", help="one of the formats below")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the file, or the folder of a collection")
    parser.add_argument("--out", type=Path, required=True, help="the pack; for a collection, the folder of packs")
    parser.add_argument("--name", default="", help="name of the identity (the source's)")
    parser.add_argument("--papers", type=Path, help="JSON file with licence, consent, subject, attributes, height")
    parser.add_argument("--no-levels", action="store_true", help="full detail only")
    parser.offer = offer_format


def offer_format(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the flags of the format that the words name, and list all formats in the help."""
    answers = find_answers(INTERFACE)
    width = max(map(len, answers))
    listed = "\n".join(f"  {name:<{width}}  {answer.summary}" for name, answer in answers.items())
    parser.epilog = f"formats:\n{listed}\n\n`synthaug avatar import FORMAT --help` lists the flags of one."
    plain = [word for word in words if not word.startswith("-")]
    name = next((word for word in plain if word in answers), plain[0] if plain else None)
    if name is None:
        return
    try:
        add_flags(parser, load_answer(INTERFACE, name))
    except (ValueError, ImportError, AttributeError) as error:
        parser.error(str(error))


def add_flags(parser: argparse.ArgumentParser, importer: type) -> None:
    """Add one flag for each constructor parameter of an importer that a command line can give.

    Raises:
        ValueError: If a parameter that must be given has another type, or has the name of a common option.
    """
    texts = describe_parameters(importer)
    group = parser.add_argument_group(f"options of {importer.__name__}")
    for name, parameter in inspect.signature(importer, eval_str=True).parameters.items():
        needed = parameter.default is inspect.Parameter.empty
        keywords = _keywords_of(parameter.annotation, parameter.default)
        if keywords is None and needed:
            raise ValueError(
                f"Expected {importer.__name__}.{name} to be a Path, str, float, int, bool or Literal, or to have a "
                f"default, got {parameter.annotation}. Change its type."
            )
        if keywords is None:
            continue
        flag = f"--{'no-' if keywords.get('action') == 'store_false' else ''}{name.replace('_', '-')}"
        shown = "" if needed or parameter.default in (None, True, False) else f" ({parameter.default})"
        text = f"{texts.get(name, '')}{shown}".replace("%", "%%")
        try:
            group.add_argument(flag, dest=f"{_PREFIX}{name}", help=text, required=needed, **keywords)
        except argparse.ArgumentError as error:
            raise ValueError(
                f"Expected {importer.__name__} to have no parameter {name!r}, which every import has. Rename it."
            ) from error


def _keywords_of(hint: Any, default: Any) -> dict[str, Any] | None:
    """Arguments of `add_argument` for a parameter's type; None if a command line cannot give it."""
    kinds = [hint]
    if get_origin(hint) in (UnionType, Union):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    if len(kinds) != 1:
        return None
    kind = kinds[0]
    given = None if default is inspect.Parameter.empty else default
    if kind is bool and default is not inspect.Parameter.empty:
        return {"action": "store_false" if default else "store_true"}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind), "default": given}
    metavar = {Path: "PATH", str: "TEXT", float: "NUMBER", int: "NUMBER"}
    return {"type": kind, "default": given, "metavar": metavar[kind]} if kind in metavar else None


def run_import(chosen: argparse.Namespace) -> int:
    """Import one person, or every person of a collection; returns the exit status."""
    options = {name.removeprefix(_PREFIX): value for name, value in vars(chosen).items() if name.startswith(_PREFIX)}
    importer: Importer = load_answer(INTERFACE, chosen.format)(**options)
    people = importer.find_people(chosen.source)
    if people is not None and chosen.name:
        raise ValueError(f"Expected no --name for a collection, got {chosen.name!r}. Leave it out.")

    def read(source: Path, name: str) -> "Pack":
        return finish_pack(importer.import_person(source, name), papers=chosen.papers, levels=not chosen.no_levels)

    return _import_one(chosen, read) if people is None else _import_all(people, chosen.out, read)


def finish_pack(pack: "Pack", *, papers: Path | None, levels: bool) -> "Pack":
    """Add papers and levels of detail to what an importer has read."""
    from synthaug.avatars.pack.format import with_about
    from synthaug.avatars.pack.levels import add_levels
    from synthaug.avatars.pack.papers import apply_papers
    from synthaug.levels import Pyramid
    from synthaug.renderers.splatting.refinement import Refinement

    if papers is not None:
        pack = with_about(pack, apply_papers(pack.about, papers))
    return add_levels(pack, Pyramid(refine=Refinement())) if levels else pack


def _import_one(chosen: argparse.Namespace, read: Callable[[Path, str], "Pack"]) -> int:
    from synthaug.avatars.pack.format import SUFFIX, write_pack

    pack = read(chosen.source, chosen.name or chosen.source.stem)
    out = chosen.out if chosen.out.name.endswith(SUFFIX) else chosen.out.with_name(f"{chosen.out.name}{SUFFIX}")
    write_pack(out, pack)
    for note in pack.about.provenance.notes:
        print(f"note: {note}", file=sys.stderr)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in pack.about.quality.items())
    levels = f"{len(pack.levels)} level{'s' * (len(pack.levels) > 1)}"
    print(f"{out}: {len(pack.levels[0].means):,} Gaussians, {levels} ({figures}).")
    return 0


def _import_all(people: dict[str, Path], out: Path, read: Callable[[Path, str], "Pack"]) -> int:
    from synthaug.cli.tables import print_table

    outcomes = import_people(people, out, read)
    print_table(
        [("identity", "outcome")] + [(name, outcome or "imported") for name, outcome in outcomes.items()],
        f"{sum(outcome is None for outcome in outcomes.values())} of {len(outcomes)} identities imported now",
    )
    return 1 if any(outcome and outcome != "there already" for outcome in outcomes.values()) else 0


def import_people(people: dict[str, Path], out: Path, read: Callable[[Path, str], "Pack"]) -> dict[str, str | None]:
    """Import every person of a collection, except those whose pack is there already, of the same source.

    What happened to each is also written to `outcomes.json`, after every person, so that an import can be resumed.

    Args:
        people: Source of each person, by name.
        out: Folder of packs.
        read: Makes a pack of a source and a name.

    Returns:
        For each name None (imported now), "there already", or why it failed.
    """
    from synthaug.avatars.pack.format import SUFFIX
    from synthaug.files import write_atomic

    outcomes: dict[str, str | None] = {}
    for name, source in people.items():
        outcomes[name] = _import_person(name, source, out / f"{name}{SUFFIX}", read)
        logger.info("%s: %s", name, outcomes[name] or "imported")
        write_atomic(out / OUTCOMES, json.dumps(outcomes, indent=1).encode())
    return outcomes


def _import_person(name: str, source: Path, out: Path, read: Callable[[Path, str], "Pack"]) -> str | None:
    from synthaug.avatars.importers.files.checkpoints import content_digest
    from synthaug.avatars.pack.format import write_pack

    try:
        if out.exists() and _source_digest(out) == content_digest(source):
            return "there already"
        write_pack(out, read(source, name))
    except (ValueError, OSError, MemoryError) as error:
        return str(error)
    return None


def _source_digest(pack: Path) -> str:
    from synthaug.avatars.pack.about import PackError
    from synthaug.avatars.pack.format import read_header

    try:
        return read_header(pack).about.provenance.digest
    except PackError:
        return ""
