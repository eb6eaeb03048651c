"""`synthaug render`: replay a run's recipes into the cache, or into films that carry them."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.cli.arguments import add_command
from synthaug.cli.engines import add_engine, choose_engine, do_on
from synthaug.engines import Doing, Job

if TYPE_CHECKING:
    from synthaug.runs.stores import Store
    from synthaug.structures import Recipe


def add_render(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    parser = add_command(commands, "render", _render, "replay recipes into the cache, or into films that carry them")
    parser.add_argument("recipes", type=Path, help="a run's recipes.jsonl; its config.yaml must lie beside it")
    parser.add_argument(
        "--to", metavar="DIR", help="write mp4 files there, or to s3://BUCKET/DIR, instead of filling the cache"
    )
    parser.add_argument("--shard", default="0/1", metavar="I/N", help="render the I-th of N parts (0/1)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="number of processes (one per core)")
    add_engine(parser)


def _render(chosen: argparse.Namespace) -> int:
    from synthaug.cli.configs import load_config, prepare_data
    from synthaug.runs.replay import replay
    from synthaug.runs.stores import open_store
    from synthaug.runs.withdrawals import read_recipes

    config = chosen.recipes.parent / "config.yaml"
    if not chosen.recipes.is_file() or not config.is_file():
        raise ValueError(
            f"Expected a run's recipes.jsonl with its config.yaml beside it, got '{chosen.recipes}'. "
            "Give the file in the folder that training left."
        )
    engine, store = choose_engine(chosen), None if chosen.to is None else open_store(chosen.to)
    if engine is not None:
        job = RenderRecipes(chosen.recipes.absolute(), store, chosen.shard)
        return max((bool(outcome.fault) for outcome in do_on(engine, job, chosen.outcomes)), default=0)
    recipes = select_shard(read_recipes([chosen.recipes]), chosen.shard)
    data = prepare_data(load_config(config))
    rendered = replay(data, recipes, store=store, num_workers=chosen.workers)
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


@dataclass(frozen=True)
class RenderRecipes(Job):
    """The recipes of a run, by digest, to be rendered by many machines.

    Attributes:
        recipes: The run's recipes.jsonl, with its config.yaml beside it.
        store: Where films are kept; None fills the cache.
        shard: Which of them, as of `select_shard`.
    """

    recipes: Path
    store: "Store | None" = None
    shard: str = "0/1"

    @property
    def title(self) -> str:
        """Of the progress."""
        return "Rendering"

    def list_missing(self) -> list[str]:
        """Digests of recipes without a film; with the cache all of them, since only who renders them knows its keys."""
        from synthaug.runs.withdrawals import read_recipes

        there = {Path(name).stem for name in (self.store.list_sizes() if self.store is not None else ())}
        digests = [recipe.digest for recipe in select_shard(read_recipes([self.recipes]), self.shard)]
        return [digest for digest in digests if digest not in there]

    def open(self) -> Doing:
        """Prepare the run's data once; then each digest is rendered unless it is there."""
        from synthaug.cli.configs import load_config, prepare_data
        from synthaug.runs.replay import RecipeJobs
        from synthaug.runs.withdrawals import read_recipes

        data = prepare_data(load_config(self.recipes.parent / "config.yaml"))
        jobs = RecipeJobs.of(data, read_recipes([self.recipes]), self.store)
        places = jobs.index_by_digest()

        def render(digest: str) -> str:
            return "" if jobs[places[digest]] else "was there"

        return render
