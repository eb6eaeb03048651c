"""`synthaug data`: read a data set's films once and know them, make small copies, and bring weights.

A part of the command line; what the commands do is in `synthaug.datasets.indexing.scanning`, imported when one runs.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthaug.datasets.indexing.findings import ScanFinding
    from synthaug.datasets.indexing.scanning import Copies

_NAMED = 20  # broken films that are listed before they are counted


def add_data(commands: "argparse._SubParsersAction") -> None:
    """Add the command and its verbs to a parser's commands."""
    data = commands.add_parser("data", help="read films once, shrink them, and bring what nodes cannot download")
    verbs = data.add_subparsers(required=True, metavar="VERB")

    scan = _verb(verbs, "scan", _scan, "read every film of a data set once; goes on where it was stopped")
    scan.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (one a core)")
    scan.add_argument("--shrink", type=int, metavar="PIXELS", help="also make smaller copies, of this short side")
    scan.add_argument("--to", type=Path, metavar="DIR", help="where the copies go; set dataset.root to it afterwards")
    scan.add_argument("overrides", nargs="*", help="as for train.py: dataset=folder dataset.root=...")

    weights = _verb(verbs, "weights", _weights, "bring pretrained weights, which compute nodes cannot download")
    weights.add_argument("arch", nargs="+", help="torchvision's names, such as resnet18 or r3d_18")


def _verb(verbs: "argparse._SubParsersAction", name: str, function: object, summary: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(command=function)
    return parser


def _scan(chosen: argparse.Namespace) -> int:
    from synthaug.cli.main import composed, dataset_of
    from synthaug.datasets.indexing.scanning import scan
    from synthaug.files import user_cache

    if chosen.workers < 1:
        raise ValueError(f"--workers {chosen.workers} was given; at least 1 was wanted. Leave it out for one a core.")
    config = composed(chosen.overrides)
    copies = _copies(chosen, root=config.dataset.get("root"))
    given = config.dataset.get("cache")
    cache = Path(given).expanduser() if given else user_cache()
    findings = scan(dataset_of(config).films, cache=cache, copies=copies, workers=chosen.workers)
    _print(findings, title=f"Findings in {cache}")
    if copies is not None:
        print(f"Train on the copies with dataset.root={copies.to}")
    return 0 if any(finding.info for finding in findings) else 1


def _copies(chosen: argparse.Namespace, *, root: str | None) -> "Copies | None":
    from synthaug.datasets.indexing.scanning import Copies

    if chosen.shrink is None and chosen.to is None:
        return None
    if chosen.shrink is None or chosen.to is None or not root:
        raise ValueError(
            f"--shrink {chosen.shrink}, --to {chosen.to} and dataset.root={root} were given. Pixels of the short side, "
            "a folder for the copies, and a data set that has a folder were wanted. Give all three."
        )
    return Copies(Path(root).expanduser().absolute(), chosen.to.expanduser().absolute(), chosen.shrink)


def _print(findings: "Sequence[ScanFinding]", *, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from synthaug.datasets.indexing.summary import summarize_findings

    told = summarize_findings(findings)
    table = Table(title=title, title_justify="left", show_header=False)
    for row in told.rows:
        table.add_row(*row)
    for reason, number in told.broken.items():
        table.add_row("broken", f"{number:,}: {reason}", style="bold yellow")
    console = Console()
    console.print(table)
    broken = [finding for finding in findings if finding.fault]
    for finding in broken[:_NAMED]:
        console.print(finding.fault, style="dim", markup=False)
    if len(broken) > _NAMED:
        console.print(f"and {len(broken) - _NAMED} more, in quarantine with their reasons.", style="dim")


def _weights(chosen: argparse.Namespace) -> int:
    from synthaug.recognizers.weights import fetch_weights

    for arch in chosen.arch:
        print(f"{arch}: {fetch_weights(arch)}")
    return 0
