"""Options of commands whose work other machines can do: `--engine` and the fields of each engine."""

import argparse
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.cli.answers import find_answers, load_answer
from synthaug.cli.flags import add_flags, read_flags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synthaug.engines import Engine, Job, Outcome

INTERFACE = "synthaug.engines.Engine"
_MAX_LISTED = 5


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add --engine, --outcomes and the options of every engine."""
    answers = find_answers(INTERFACE)
    group = parser.add_argument_group("on many machines that see the same folders")
    group.add_argument("--engine", metavar="NAME", help=f"{' or '.join(answers)}; without it, this machine alone")
    about = "with --engine, gets one line of JSON for each item (outcomes.jsonl)"
    group.add_argument("--outcomes", type=Path, default=Path("outcomes.jsonl"), metavar="FILE", help=about)
    for answer in answers.values():
        add_flags(parser, answer.load(), title=f"with --engine {answer.name}")


def choose_engine(chosen: argparse.Namespace) -> "Engine | None":
    """The engine that a command line asks for; None for this machine.

    Raises:
        ValueError: If there is no such engine, or an option of another one is given.
    """
    kind = None if chosen.engine is None else load_answer(INTERFACE, chosen.engine)
    for name, answer in find_answers(INTERFACE).items():
        other = answer.load()
        if other is kind:
            continue
        usual = {key: parameter.default for key, parameter in inspect.signature(other).parameters.items()}
        for key, value in read_flags(chosen, other).items():
            if value != usual[key]:
                raise ValueError(
                    f"Expected --{key.replace('_', '-')} with --engine {name} alone, got it with "
                    f"{'none' if kind is None else f'--engine {chosen.engine}'}. Add --engine {name}, or leave it out."
                )
    if kind is None:
        return None
    engine: Engine = kind(**read_flags(chosen, kind))
    return engine


def do_on(engine: "Engine", job: "Job", log: Path) -> "Iterator[Outcome]":
    """Do what is missing of a job, with a progress line; tells in the end how it went, and which items failed.

    Args:
        engine: Where.
        job: What.
        log: Gets one line for each item.

    Yields:
        Each outcome, once it is known.
    """
    from synthaug.engines import run_job
    from synthaug.progress import track

    items, failed = job.list_missing(), []
    for outcome in track(run_job(engine, job, items, log=log), job.title, len(items)):
        failed += [outcome] if outcome.fault else []
        yield outcome
    for outcome in failed[:_MAX_LISTED]:
        print(f"{outcome.item}: {outcome.fault}", file=sys.stderr)
    if len(failed) > _MAX_LISTED:
        print(f"and {len(failed) - _MAX_LISTED} more, in {log}.", file=sys.stderr)
    done = f"{len(items) - len(failed)} of {len(items)} done now, {len(failed)} failed; see {log}."
    print(done if items else "Nothing was missing.")
