"""`synthaug export`: hand on a run's synthetic clips with masks, joints, recipes and papers, for other libraries."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.cli.arguments import add_command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from synthaug.exports import Export, Papers
    from synthaug.runs.stores import Bucket
    from synthaug.structures import Recipe

LAYOUTS = ("videofolder", "webdataset", "litdata")
"""Each has a file in `synthaug.exports`."""


def add_export(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    summary = "hand on a run's synthetic clips with masks, joints, recipes and papers, for other libraries"
    parser = add_command(commands, "export", _export, summary)
    parser.add_argument("run", type=Path, help="the folder that training left, with recipes.jsonl and config.yaml")
    parser.add_argument("--to", required=True, choices=LAYOUTS, help="the library that is to read it")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="the folder to make (RUN/exports/LAYOUT)")
    parser.add_argument("--send", metavar="URL", help="send it to an object store once it is whole: s3://BUCKET/DIR")
    parser.add_argument("--mb", type=float, help="megabytes of a tar (1000) or a chunk (64)")
    parser.add_argument(
        "--forbidden", choices=("refuse", "leave-out", "own-use"), default="refuse",
        help="what to do if people do not agree to being handed on (refuse)",
    )  # fmt: skip
    parser.add_argument(
        "--renderer",
        choices=("run", "cpu"),
        default="run",
        help="the run's own, or the CPU's, which labels parts",
    )
    parser.add_argument("--shard", default="0/1", metavar="I/N", help="render the I-th of N parts (0/1)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="number of processes (one per core)")


def _export(chosen: argparse.Namespace) -> int:
    import datetime

    from omegaconf import OmegaConf

    from synthaug import __version__
    from synthaug.cli.configs import build_stations, load_config, prepare_data
    from synthaug.cli.render import select_shard
    from synthaug.exports import MANIFEST
    from synthaug.exports.parts.walk import Handover, export
    from synthaug.runs.papers import choose_recipes, gather_papers
    from synthaug.runs.stores import send_folder

    layout, recipes = _choose_layout(chosen.to, chosen.mb), _read_run(chosen.run)
    select_shard([], chosen.shard)  # a mistake in it is told before anything is read
    bucket = None if chosen.send is None else _open_bucket(chosen.send)
    tree, folder = load_config(chosen.run / "config.yaml"), chosen.folder or chosen.run / "exports" / chosen.to
    _refuse_pack(tree, chosen.run)
    _choose_renderer(tree, chosen.renderer)
    # Consent is looked at before films and motions are prepared, which takes long.
    identities = [actor.identity for recipe in recipes for actor in recipe.actors]
    plain, today = OmegaConf.to_container(tree, resolve=True), datetime.date.today()
    papers = gather_papers(build_stations(tree)[1], identities, plain, today=today)
    kept, left_out = choose_recipes(recipes, papers, chosen.forbidden)
    _leave_out_people(tree, [actor.identity for recipe in kept for actor in recipe.actors])
    data = prepare_data(tree)
    assert data.synthesizer is not None
    handover = Handover(
        data.synthesizer, tuple(kept), tuple(data.class_names), papers, f"synthaug {__version__}", left_out,
        own_use=chosen.forbidden == "own-use" and any(one.kept_back for one in papers.people.values()),
    )  # fmt: skip
    shard, to = select_shard(kept, chosen.shard), folder.expanduser().resolve()
    done = export(handover, layout, to, recipes=shard, num_workers=chosen.workers)
    _print_terms(papers, left_out)
    print(f"{done.rendered} clips rendered. " + _tell(done.missing, done.whole, len(kept), folder))
    if done.whole and bucket is not None:
        sent = send_folder(to, bucket, last=MANIFEST)
        print(f"{sent} files sent to {bucket.url}.")
    return 0


def _open_bucket(url: str) -> "Bucket":
    from synthaug.runs.stores import Bucket, open_store

    bucket = open_store(url)
    if not isinstance(bucket, Bucket):
        raise ValueError(f"Expected --send to be an address such as s3://bucket/folder, got {url}. Write it whole.")
    bucket.list_sizes()  # what is wrong with it is told before anything is rendered
    return bucket


def _print_terms(papers: "Papers", left_out: dict[str, int]) -> None:
    for reason, count in left_out.items():
        print(f"Left out: {count} clips ({reason}).")
    for terms in papers.sources:
        if not terms.share.startswith("yes"):
            print(f"Before you pass it on: {terms.name} ({terms.part}), sharing: {terms.share}.")


def _tell(missing: int, whole: bool, count: int, folder: Path) -> str:
    if whole:
        return f"{folder} is whole, with {count} clips; {folder / 'README.md'} says how to read it."
    return f"{missing} of {count} clips are missing: other shards render them, and the last one makes {folder}."


def _choose_layout(name: str, megabytes: float | None) -> "Export":
    if megabytes is not None and (name == "videofolder" or not megabytes > 0):
        raise ValueError(
            f"Expected --mb to be above 0, with --to webdataset or --to litdata, got --mb {megabytes:g} with --to "
            f"{name}. Leave it out, or change it."
        )
    from synthaug.exports.litdata import LitData
    from synthaug.exports.videofolder import VideoFolder
    from synthaug.exports.webdataset import WebDataset

    if name == "videofolder":
        return VideoFolder()
    layout = WebDataset if name == "webdataset" else LitData
    return layout() if megabytes is None else layout(megabytes=megabytes)


def _read_run(run: Path) -> "list[Recipe]":
    from synthaug.runs.withdrawals import read_recipes

    if not (run / "recipes.jsonl").is_file() or not (run / "config.yaml").is_file():
        raise ValueError(
            f"Expected the folder of a run with recipes.jsonl and config.yaml, got '{run}'. Give the folder that "
            "`synthaug train` left."
        )
    recipes = read_recipes([run / "recipes.jsonl"])
    if not recipes:
        raise ValueError(
            f"Expected recipes of synthetic clips in '{run}', got filmed clips alone. Give another run's folder."
        )
    return list({recipe.digest: recipe for recipe in recipes}.values())


def _refuse_pack(config: "DictConfig", run: Path) -> None:
    if config.get("pack") is not None:
        raise ValueError(
            f"Expected a run that rendered its synthetic clips, got '{run}', which read them from {config.pack.root}. "
            "Hand that folder on, or export the run that it was made of."
        )
    if str((config.get("synth") or {}).get("_target_")).startswith("synthaug.foreign."):
        raise ValueError(
            f"Expected a run that rendered its synthetic clips, got '{run}', which read another generator's from "
            f"{config.synth.root}. Hand that folder on, if its licence and the people allow it."
        )
    if config.get("synth") is None:
        raise ValueError(f"Expected a run with synth, got '{run}' with synth=null. Give another run's folder.")


def _leave_out_people(config: "DictConfig", identities: Sequence[str]) -> None:
    """Ask for no more people than the clips show: a pool from which people withdrew may have no others."""
    if not identities:
        raise ValueError("Expected clips of people who may be shown, got none that is left. Give another run's folder.")
    config.synth.identities = min(config.synth.identities, len(set(identities)))


def _choose_renderer(config: "DictConfig", name: str) -> None:
    """Let the CPU render a run that a GPU rendered: gsplat's kernels label no parts."""
    if name == "cpu":
        from omegaconf import OmegaConf

        OmegaConf.update(config, "synth.renderer", {"_target_": "synthaug.renderers.cpu.CpuRenderer"}, merge=False)
