"""`synthaug licenses`: the terms of what a configuration uses, or of everything known."""

import argparse
from pathlib import Path

from synthaug.cli.arguments import add_command, add_overrides


def add_licenses(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    summary = "the terms of what a configuration uses, or of everything known"
    parser = add_command(commands, "licenses", _licenses, summary)
    parser.add_argument("--all", action="store_true", help="everything known, whatever the configuration")
    add_overrides(parser)


def _licenses(chosen: argparse.Namespace) -> int:
    from omegaconf import OmegaConf
    from rich.console import Console
    from rich.table import Table

    from synthaug.cli.configs import compose_config
    from synthaug.cli.tables import add_plain_row
    from synthaug.reports.licences import TABLE, find_pack_roots, select_terms

    config = compose_config(chosen.overrides)
    tree = OmegaConf.to_container(config, resolve=False)
    table = Table(title="A summary, not legal advice; see docs/licences.md", title_justify="left")
    for column in ("source", "licence", "keep", "share", "train", "where"):
        table.add_column(column, overflow="fold")
    for terms in TABLE if chosen.all else select_terms(tree):
        add_plain_row(table, terms.name, terms.licence, terms.keep, terms.share, terms.train, terms.source)
    for root in find_pack_roots(tree):
        from synthaug.avatars.pack.description import read_licences

        for name, licence in read_licences(Path(root)).items():
            add_plain_row(table, f"pack {name}", licence.name, "", "", licence.terms, licence.source)
    Console().print(table)
    return 0
