"""`synthaug avatar import FORMAT FILE`: the formats and their flags come from the importers, without a list of them."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.cli.answers import find_answers, load_answer
from synthaug.cli.engines import add_engine, choose_engine, do_on
from synthaug.cli.flags import add_flags, read_flags
from synthaug.engines import Doing, Job

if TYPE_CHECKING:
    from synthaug.avatars.importers import Importer
    from synthaug.avatars.pack.format import Pack

logger = logging.getLogger(__name__)
INTERFACE = "synthaug.avatars.importers.Importer"
OUTCOMES = "outcomes.json"
"""Written into the folder of packs: what happened to each person of a collection."""


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
    add_engine(parser)
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
        importer = load_answer(INTERFACE, name)
        add_flags(parser, importer, title=f"options of {importer.__name__}")
    except (ValueError, ImportError, AttributeError) as error:
        parser.error(str(error))


@dataclass(frozen=True)
class ImportPeople(Job):
    """Avatars of one format to be imported: one, here, or those of a collection, perhaps by many machines.

    Attributes:
        format: Name of the importer.
        options: What its flags say.
        source: The file, or the folder of the collection.
        out: The pack, or the folder of packs.
        papers: JSON file that replaces the papers.
        levels: Whether levels of detail are added.
    """

    format: str
    options: dict[str, Any]
    source: Path
    out: Path
    papers: Path | None = None
    levels: bool = True

    @property
    def title(self) -> str:
        """Of the progress."""
        return "Importing people"

    def list_missing(self) -> list[str]:
        """Names of the people without a pack of their source."""
        people = self.build().find_people(self.source) or {}
        return [name for name, source in people.items() if not _is_there(source, self.locate(name))]

    def open(self) -> Doing:
        """Look for the people once; then each name's pack is written."""
        from synthaug.avatars.pack.format import write_pack

        importer = self.build()
        people = importer.find_people(self.source) or {}

        def import_one(name: str) -> str:
            write_pack(self.locate(name), self.read(importer, people[name], name))
            return ""

        return import_one

    def build(self) -> "Importer":
        """The importer."""
        importer: Importer = load_answer(INTERFACE, self.format)(**self.options)
        return importer

    def locate(self, name: str) -> Path:
        """Where a person's pack is, or will be."""
        from synthaug.avatars.pack.format import SUFFIX

        return self.out / f"{name}{SUFFIX}"

    def read(self, importer: "Importer", source: Path, name: str) -> "Pack":
        """Make the pack of a source."""
        return finish_pack(importer.import_person(source, name), papers=self.papers, levels=self.levels)


def run_import(chosen: argparse.Namespace) -> int:
    """Import one person, or every person of a collection; returns the exit status."""
    options = read_flags(chosen, load_answer(INTERFACE, chosen.format))
    job = ImportPeople(chosen.format, options, chosen.source, chosen.out, chosen.papers, not chosen.no_levels)
    engine, importer = choose_engine(chosen), job.build()
    people = importer.find_people(chosen.source)
    if people is not None and chosen.name:
        raise ValueError(f"Expected no --name for a collection, got {chosen.name!r}. Leave it out.")
    if people is None and engine is not None:
        raise ValueError("Expected a collection of people for --engine, got one person. Leave --engine out.")
    if people is None:
        return _import_one(job, importer, chosen.name)
    if engine is None:
        return _tell(import_people(people, chosen.out, lambda source, name: job.read(importer, source, name)))
    done = {outcome.item: outcome.fault or None for outcome in do_on(engine, job, chosen.outcomes)}
    outcomes = {name: done.get(name, "there already") for name in people}
    _keep_outcomes(outcomes, chosen.out)
    return _tell(outcomes)


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


def _import_one(job: ImportPeople, importer: "Importer", name: str) -> int:
    from synthaug.avatars.pack.format import SUFFIX, write_pack

    pack = job.read(importer, job.source, name or job.source.stem)
    out = job.out if job.out.name.endswith(SUFFIX) else job.out.with_name(f"{job.out.name}{SUFFIX}")
    write_pack(out, pack)
    for note in pack.about.provenance.notes:
        print(f"note: {note}", file=sys.stderr)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in pack.about.quality.items())
    levels = f"{len(pack.levels)} level{'s' * (len(pack.levels) > 1)}"
    print(f"{out}: {len(pack.levels[0].means):,} Gaussians, {levels} ({figures}).")
    return 0


def _tell(outcomes: Mapping[str, str | None]) -> int:
    from synthaug.cli.tables import print_table

    print_table(
        [("identity", "outcome")] + [(name, outcome or "imported") for name, outcome in outcomes.items()],
        f"{sum(outcome is None for outcome in outcomes.values())} of {len(outcomes)} identities imported now",
    )
    return 1 if any(outcome and outcome != "there already" for outcome in outcomes.values()) else 0


def _keep_outcomes(outcomes: Mapping[str, str | None], folder: Path) -> None:
    from synthaug.files import write_atomic

    write_atomic(folder / OUTCOMES, json.dumps(outcomes, indent=1).encode())


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

    outcomes: dict[str, str | None] = {}
    for name, source in people.items():
        outcomes[name] = _import_person(name, source, out / f"{name}{SUFFIX}", read)
        logger.info("%s: %s", name, outcomes[name] or "imported")
        _keep_outcomes(outcomes, out)
    return outcomes


def _import_person(name: str, source: Path, out: Path, read: Callable[[Path, str], "Pack"]) -> str | None:
    from synthaug.avatars.pack.format import write_pack

    try:
        if _is_there(source, out):
            return "there already"
        write_pack(out, read(source, name))
    except (ValueError, OSError, MemoryError) as error:
        return str(error)
    return None


def _is_there(source: Path, out: Path) -> bool:
    from synthaug.avatars.importers.files.checkpoints import content_digest

    return out.exists() and read_source_digest(out) == content_digest(source)


def read_source_digest(pack: Path) -> str:
    """The digest of what a pack was made of; empty if there is no such pack."""
    from synthaug.avatars.pack.about import PackError
    from synthaug.avatars.pack.format import read_header

    try:
        return read_header(pack).about.provenance.digest
    except (PackError, FileNotFoundError):
        return ""
