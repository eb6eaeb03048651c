"""The `synthaug` command: train, evaluate, look at, render and check.

Only the parser and the error boundary are here. Each command has a file, and imports what is heavy when it runs.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from synthaug.cli.avatar import add_avatar
from synthaug.cli.cache import add_cache
from synthaug.cli.data import add_data
from synthaug.cli.doctor import add_doctor
from synthaug.cli.episodes import add_episodes
from synthaug.cli.errors import plain_words
from synthaug.cli.evaluate import add_evaluate
from synthaug.cli.export import add_export
from synthaug.cli.gallery import add_gallery
from synthaug.cli.licenses import add_licenses
from synthaug.cli.motion import add_motion
from synthaug.cli.preview import add_preview
from synthaug.cli.render import add_render
from synthaug.cli.report import add_report
from synthaug.cli.train import add_train

_COMMANDS = (
    add_train,
    add_evaluate,
    add_episodes,
    add_report,
    add_preview,
    add_gallery,
    add_render,
    add_export,
    add_motion,
    add_avatar,
    add_data,
    add_cache,
    add_licenses,
    add_doctor,
)
"""In the order of the help text."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 2 for a user's mistake, which is explained without a traceback."""
    if os.environ.get("SYNTHAUG_TARGETS") and "" not in sys.path:
        sys.path.insert(0, "")  # as `python train.py` would: packages named there may lie in the working folder
    try:
        chosen = _parse(arguments)
        return chosen.command(chosen)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        words = plain_words(error)
        if words is None:
            raise
        print(f"synthaug: {words}", file=sys.stderr)
        return 2


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="synthaug", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in _COMMANDS:
        add(commands)
    chosen, rest = parser.parse_known_args(arguments)
    # argparse does not assign positional words that follow an option if others precede it, as overrides may.
    if rest and not ("overrides" in chosen and all("=" in word and word[0] != "-" for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        chosen.overrides = [*chosen.overrides, *rest]
    return chosen


if __name__ == "__main__":
    raise SystemExit(main())
