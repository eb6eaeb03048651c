"""Report a sweep, from the folder of its runs to the report's files and the terminal."""

import logging
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from synthaug.files import write_atomic
from synthaug.reports.cautions import find_cautions
from synthaug.reports.pages import build_page
from synthaug.reports.reading import read_sweep
from synthaug.reports.results import Results, compute_results
from synthaug.reports.studies import arrange_runs
from synthaug.reports.tables import Table, latex, markdown, runs_csv, summary_table

logger = logging.getLogger(__name__)


def study_results(folder: Path, *, over: Sequence[str] = (), baselines: Sequence[str] = ()) -> Results:
    """The results of the runs below a folder.

    Args:
        folder: Folder of a multirun, or one that contains several.
        over: Overrides that distinguish folds.
        baselines: What arms are compared with, as in `arm=none`; the usual controls if none is named.

    Raises:
        ValueError: If there is no run, or no such baseline.
    """
    return compute_results(arrange_runs(read_sweep(folder), over=over, baselines=baselines))


def write_report(found: Results, to: Path, *, title: str) -> Path:
    """Write report.html, report.md, report.tex and runs.csv; returns the page's path."""
    told = find_cautions(found)
    for name, content in (
        ("report.md", markdown(title, found, told)),
        ("report.tex", latex(found)),
        ("runs.csv", runs_csv(found)),
        ("report.html", build_page(title, found, told)),
    ):
        write_atomic(to / name, content.encode("utf-8", errors="replace"))
    return to / "report.html"


def print_results(found: Results, *, title: str) -> None:
    """Print the tables in the terminal, and why some runs have no figures."""
    console = Console()
    console.print(_rich(summary_table(found), title))
    if found.chance is not None:
        console.print(f"Means over {found.study.unit}s with 95 % intervals; chance {found.chance:.1%}.")
    for one in found.study.unfinished:
        console.print(f"[bold]{escape(one.place)} {one.state}:[/bold] {escape(one.reason)}")
    told = find_cautions(found)
    for caution in told:
        if caution.grave:
            console.print(f"[bold red]{caution.about}.[/bold red] {escape(caution.words)}")
    mild = [caution.about.lower() for caution in told if not caution.grave]
    if mild:
        console.print(f"[yellow]What limits it, see the report:[/yellow] {', '.join(mild)}.")


def print_sweep(folder: Path, *, over: Sequence[str] = (), baselines: Sequence[str] = ()) -> None:
    """Print a sweep's tables in the terminal, from the runs that have finished."""
    print_results(study_results(folder, over=over, baselines=baselines), title=str(folder))


def find_present(folder: Path, baselines: Sequence[str]) -> list[str]:
    """Those baselines, as in `arm=none`, that are among the arms of a sweep that finished; the others are told."""
    runs = read_sweep(folder).runs
    present = []
    for words in baselines:
        name, _, value = words.partition("=")
        values = {run.overrides.get(name) for run in runs}
        if value in values and len(values) > 1:
            present.append(words)
        else:
            logger.warning("Nothing is compared with %s: no such run has finished, or there is nothing else.", words)
    return present


def report_sweep(
    folder: Path, to: Path | None = None, *, over: Sequence[str] = (), baselines: Sequence[str] = ()
) -> Path:
    """Print a sweep's tables and write its report into `to`, or into its own folder; returns the page's path."""
    found = study_results(folder, over=over, baselines=baselines)
    print_results(found, title=str(folder))
    path = write_report(found, to or folder, title="/".join(folder.resolve().parts[-2:]))
    Console().print(f"Report: {path}", soft_wrap=True, markup=False, highlight=False)
    return path


def _rich(table: Table, title: str) -> RichTable:
    shown = RichTable(title=escape(title), title_justify="left")
    for place, name in enumerate(table.columns):
        shown.add_column(escape(name), justify="left" if place < table.words else "right")
    for number, row in enumerate(table.rows):
        if number in table.groups:
            shown.add_section()
        shown.add_row(*map(escape, row))
    return shown
