"""Add commands and their common arguments to a parser, and read what follows a command."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

Command = Callable[[argparse.Namespace], int]
"""Runs a command with its parsed arguments; returns the exit status."""


def add_command(
    commands: "argparse._SubParsersAction", name: str, function: Command, summary: str
) -> argparse.ArgumentParser:
    """Add a command that calls `function`; its arguments are added to the parser that is returned."""
    parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(command=function)
    return parser


def add_overrides(
    parser: argparse.ArgumentParser, help: str = "as for training: dataset=folder dataset.root=DIR seed=1"
) -> None:
    """Let a command take NAME=VALUE words, before and after its options, as `overrides`."""
    parser.add_argument("overrides", nargs="*", metavar="NAME=VALUE", help=help)


def split_run(words: Sequence[str]) -> tuple[Path, list[str]]:
    """The folder that `run=FOLDER` names among words, and the other words.

    Raises:
        ValueError: If no folder of a run is named.
    """
    folders = [word.removeprefix("run=") for word in words if word.startswith("run=")]
    rest = [word for word in words if not word.startswith("run=")]
    if len(folders) != 1:
        raise ValueError(
            f"Expected run=FOLDER once, got {' '.join(words) or 'nothing'}. Give the folder that a training left, "
            "such as run=runs/2025-01-31/12-00-00-000000."
        )
    folder = Path(folders[0]).expanduser()
    if not (folder / "config.yaml").is_file():
        raise ValueError(
            f"Expected run= to be a folder with a config.yaml, as training leaves it, got run={folder}. Check the path."
        )
    return folder, rest
