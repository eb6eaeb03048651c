"""`synthaug gallery`: a page on which a person looks at a run's clips and motions, and marks the bad ones."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.cli.arguments import add_command, add_overrides

if TYPE_CHECKING:
    from omegaconf import DictConfig


def add_gallery(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    summary = (
        "a page of a run's clips beside the film and the motion that they re-enact, to look at and to mark bad ones"
    )
    parser = add_command(commands, "gallery", _gallery, summary)
    parser.add_argument("run", type=Path, help="folder of a run, with its config.yaml and recipes.jsonl")
    parser.add_argument("--to", type=Path, metavar="DIR", help="where page and films are written (RUN/gallery)")
    parser.add_argument("--limit", type=int, default=12, metavar="N", help="clips of each class, 0 for all (12)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="number of processes (one per core)")
    add_overrides(parser, "where the data are now: dataset.root=DIR")


def _gallery(chosen: argparse.Namespace) -> int:
    config_file, recipes_file = chosen.run / "config.yaml", chosen.run / "recipes.jsonl"
    if not config_file.is_file() or not recipes_file.is_file():
        raise ValueError(
            f"Expected a run's folder with config.yaml and recipes.jsonl, got '{chosen.run}'. Give the folder that "
            "training left."
        )
    if chosen.limit < 0 or chosen.workers < 0:
        raise ValueError(
            f"Expected --limit and --workers to be 0 or more, got {chosen.limit} and {chosen.workers}. Correct them."
        )
    from synthaug.cli.configs import load_config, prepare_data
    from synthaug.runs.withdrawals import read_recipes

    config = load_config(config_file, chosen.overrides)
    recipes = read_recipes([recipes_file])
    from synthaug.runs.gallery.making import make_gallery

    folder = chosen.to or chosen.run / "gallery"
    shown, made = make_gallery(
        prepare_data(config), recipes, folder, title=f"Clips of {chosen.run.resolve().name}",
        limit=chosen.limit, terms=_list_terms(config), num_workers=chosen.workers,
    )  # fmt: skip
    print(f"{folder / 'index.html'} shows {shown} of {len(recipes)} clips; {made} films made, {shown - made} kept.")
    print(
        "It shows filmed people: keep it where their film may be kept. Marks are saved by the page for synth.exclude=."
    )
    return 0


def _list_terms(config: "DictConfig") -> list[tuple[str, str, str, str]]:
    """The sources of a configuration: name, licence, whether they may be shared, and trained on."""
    from omegaconf import OmegaConf

    from synthaug.avatars.pack.description import read_licences
    from synthaug.reports.licences import find_pack_roots, select_terms

    tree = OmegaConf.to_container(config, resolve=True)
    assert isinstance(tree, dict)
    terms = [(one.name, one.licence, one.share, one.train) for one in select_terms(tree)]
    packs = [pair for root in find_pack_roots(tree) for pair in read_licences(Path(root)).items()]
    return terms + [(f"pack {name}", licence.name, licence.terms, licence.terms) for name, licence in packs]
