"""`synthaug render`: replay a run's recipes into the cache, or into films that carry them."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.cli.arguments import add_command

if TYPE_CHECKING:
    from synthaug.structures import Recipe


def add_render(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    parser = add_command(commands, "render", _render, "replay recipes into the cache, or into films that carry them")
    parser.add_argument("recipes", type=Path, help="a run's recipes.jsonl; its config.yaml must lie beside it")
    parser.add_argument("--to", type=Path, metavar="DIR", help="write mp4 files there instead of filling the cache")
    parser.add_argument("--shard", default="0/1", metavar="I/N", help="render the I-th of N parts (0/1)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="number of processes (one per core)")


def _render(chosen: argparse.Namespace) -> int:
    from synthaug.cli.configs import load_config, prepare_data
    from synthaug.runs.replay import replay
    from synthaug.runs.withdrawals import read_recipes

    config = chosen.recipes.parent / "config.yaml"
    if not chosen.recipes.is_file() or not config.is_file():
        raise ValueError(
            f"Expected a run's recipes.jsonl with its config.yaml beside it, got '{chosen.recipes}'. "
            "Give the file in the folder that training left."
        )
    recipes = select_shard(read_recipes([chosen.recipes]), chosen.shard)
    data = prepare_data(load_config(config))
    rendered = replay(data, recipes, folder=chosen.to, num_workers=chosen.workers)
    print(f"{rendered} of {len(recipes)} clips rendered, {len(recipes) - rendered} were there already.")
    return 0


def select_shard(recipes: "Sequence[Recipe]", shard: str) -> "list[Recipe]":
    """The recipes of shard "i/n": those whose digest leaves the remainder i, so that shards need not communicate.

    Raises:
        ValueError: If it is not of the form i/n with 0 <= i < n.
    """
    first, _, second = shard.partition("/")
    if not (first.isdigit() and second.isdigit() and int(first) < int(second)):
        raise ValueError(f"Expected --shard to be i/n with 0 <= i < n, got {shard}. Write for example --shard 0/4.")
    return [recipe for recipe in recipes if int(recipe.digest, 16) % int(second) == int(first)]
