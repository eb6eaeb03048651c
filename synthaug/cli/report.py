"""`synthaug report`: a sweep's tables, figures and doubts, of whatever runs have finished."""

import argparse
from pathlib import Path

from synthaug.cli.arguments import add_command


def add_report(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    summary = "a sweep's tables, figures and doubts, of whatever finished"
    parser = add_command(commands, "report", _report, summary)
    parser.add_argument("folder", type=Path, help="a multirun's, or one with several in it")
    parser.add_argument("--to", type=Path, metavar="DIR", help="where report.html, .md, .tex and runs.csv go (FOLDER)")
    parser.add_argument(
        "--baseline", action="append", default=[], metavar="FACTOR=VALUE", help="compare arms with it; may be repeated"
    )
    parser.add_argument(
        "--over", action="append", default=[], metavar="FACTOR", help="what tells folds apart; they are averaged over"
    )


def _report(chosen: argparse.Namespace) -> int:
    from synthaug.reports import report_sweep

    report_sweep(chosen.folder, chosen.to, over=chosen.over, baselines=chosen.baseline)
    return 0
