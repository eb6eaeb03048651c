"""`synthaug data`: read a data set's films once and keep what was found, shrink them, and download weights."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.cli.arguments import add_command, add_overrides
from synthaug.cli.engines import add_engine, choose_engine, do_on
from synthaug.cli.tables import add_plain_row
from synthaug.engines import Doing, Engine, Job

if TYPE_CHECKING:
    from synthaug.datasets.indexing.findings import ScanFinding, ScanLog
    from synthaug.datasets.indexing.scanning import Copies

_MAX_LISTED = 20  # broken films that are listed by name; the rest are counted


def add_data(commands: "argparse._SubParsersAction") -> None:
    """Add the command and its verbs."""
    data = commands.add_parser("data", help="read films once, shrink them, and download weights")
    verbs = data.add_subparsers(required=True, metavar="VERB")

    scan = add_command(verbs, "scan", _scan, "read every film of a data set once; continues where it was stopped")
    scan.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="number of processes (one per core)")
    scan.add_argument("--shrink", type=int, metavar="PIXELS", help="also make smaller copies, of this short side")
    scan.add_argument("--to", type=Path, metavar="DIR", help="where the copies go; set dataset.root to it afterwards")
    add_engine(scan)
    add_overrides(scan)

    weights = add_command(verbs, "weights", _weights, "download pretrained weights, which compute nodes often cannot")
    weights.add_argument("arch", nargs="+", help="torchvision's names, such as resnet18 or r3d_18")


def _scan(chosen: argparse.Namespace) -> int:
    from synthaug.cli.configs import build_dataset, compose_config
    from synthaug.datasets.indexing.scanning import scan
    from synthaug.files import user_cache

    if chosen.workers < 1:
        raise ValueError(f"Expected --workers to be at least 1, got {chosen.workers}. Leave it out for one per core.")
    config = compose_config(chosen.overrides)
    copies = _copies(chosen, root=config.dataset.get("root"))
    own = config.dataset.get("cache")
    cache = Path(own).expanduser() if own else user_cache()
    films, engine = build_dataset(config).films, choose_engine(chosen)
    if engine is not None:
        _scan_on(engine, ScanFilms(tuple(films), cache.absolute(), copies), chosen.outcomes)
    findings = scan(films, cache=cache, copies=copies, workers=chosen.workers)
    _print_findings(findings, title=f"Findings in {cache}")
    if copies is not None:
        print(f"Train on the copies with dataset.root={copies.to}")
    return 0 if any(finding.info for finding in findings) else 1


@dataclass(frozen=True)
class ScanFilms(Job):
    """Films to be read, and copied, by many machines; what they find is what each item's outcome says, as JSON.

    Attributes:
        films: The files.
        cache: Folder of earlier findings.
        copies: Smaller copies to make.
    """

    films: tuple[Path, ...]
    cache: Path
    copies: "Copies | None" = None

    @property
    def title(self) -> str:
        """Of the progress."""
        return "Reading films"

    def list_missing(self) -> list[str]:
        """Paths of the films that no scan has read, or copied, since they last changed."""
        from synthaug.datasets.indexing.scanning import list_unread

        return [str(film) for film in list_unread(self.films, log=self.open_log(), copies=self.copies)]

    def open(self) -> Doing:
        """Look up once what is known; then each film is read by a process of its own, which it may kill."""
        from synthaug.datasets.indexing.scanning import scan_alone

        known = self.open_log().findings()

        def read(film: str) -> str:
            return json.dumps([asdict(one) for one in scan_alone(Path(film), known=known, copies=self.copies)])

        return read

    def open_log(self) -> "ScanLog":
        """The findings of earlier scans."""
        from synthaug.datasets.indexing.findings import ScanLog
        from synthaug.datasets.indexing.index import readers

        return ScanLog(self.cache, readers())


def _scan_on(engine: Engine, job: ScanFilms, outcomes: Path) -> None:
    """Read films elsewhere. Only this process writes the findings: not every shared folder takes lines of many."""
    from synthaug.datasets.indexing.findings import parse_finding

    log = job.open_log()
    for outcome in do_on(engine, job, outcomes):
        for fields in json.loads(outcome.said or "[]"):
            log.add(parse_finding(fields))


def _copies(chosen: argparse.Namespace, *, root: str | None) -> "Copies | None":
    from synthaug.datasets.indexing.scanning import Copies

    if chosen.shrink is None and chosen.to is None:
        return None
    if chosen.shrink is None or chosen.to is None or not root:
        raise ValueError(
            f"Expected --shrink PIXELS, --to DIR and dataset.root=DIR together, got --shrink {chosen.shrink}, --to "
            f"{chosen.to} and dataset.root={root}. Give all three, or neither --shrink nor --to."
        )
    return Copies(Path(root).expanduser().absolute(), chosen.to.expanduser().absolute(), chosen.shrink)


def _print_findings(findings: "Sequence[ScanFinding]", *, title: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from synthaug.datasets.indexing.summary import summarize_findings
    from synthaug.video import LOST

    known = summarize_findings(findings)
    table = Table(title=escape(title), title_justify="left", show_header=False)
    for row in known.rows:
        add_plain_row(table, *row)
    for reason, number in known.broken.items():
        add_plain_row(table, "broken", f"{number:,}: {reason}", style="bold yellow")
    console = Console()
    console.print(table)
    broken = [finding for finding in findings if finding.fault]
    for finding in broken[:_MAX_LISTED]:
        console.print(finding.fault, style="dim", markup=False)
    if len(broken) > _MAX_LISTED:
        console.print(f"and {len(broken) - _MAX_LISTED} more, in quarantine with their reasons.", style="dim")
    damaged = [finding for finding in findings if finding.info and LOST in finding.notes]
    for finding in damaged[:_MAX_LISTED]:
        said = f"{finding.film[0]}: {finding.notes[LOST]} of its pictures cannot be decoded; the others are used."
        console.print(said, style="dim", markup=False)
    if len(damaged) > _MAX_LISTED:
        console.print(f"and {len(damaged) - _MAX_LISTED} more films with such pictures.", style="dim")


def _weights(chosen: argparse.Namespace) -> int:
    from synthaug.recognizers.weights import fetch_weights

    for arch in chosen.arch:
        print(f"{arch}: {fetch_weights(arch)}")
    return 0
