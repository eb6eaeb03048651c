"""`synthaug report`: tables, figures and cautions of a sweep, from the runs that have finished."""

import argparse
from pathlib import Path

from synthaug.cli.arguments import add_command


def add_report(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    summary = "tables, figures and cautions of a sweep, from the runs that have finished"
    parser = add_command(commands, "report", _report, summary)
    parser.add_argument("folder", type=Path, help="folder of a multirun, or of several")
    parser.add_argument("--to", type=Path, metavar="DIR", help="where report.html, .md, .tex and runs.csv go (FOLDER)")
    parser.add_argument(
        "--baseline", action="append", default=[], metavar="FACTOR=VALUE", help="compare arms with it; may be repeated"
    )
    parser.add_argument(
        "--over", action="append", default=[], metavar="FACTOR", help="what distinguishes folds; they are averaged over"
    )


def _report(chosen: argparse.Namespace) -> int:
    from synthaug.reports import report_sweep

    report_sweep(chosen.folder, chosen.to, over=chosen.over, baselines=chosen.baseline)
    return 0
