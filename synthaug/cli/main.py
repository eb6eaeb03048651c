"""The `synthaug` command: look at, render, extract and check, outside of training.

The only module of the package that composes configurations; everything heavy is imported by the command that needs it.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthaug.cli.avatar import add_avatar
from synthaug.cli.data import add_data

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from synthaug.avatars import Cast
    from synthaug.datamodule.module import SynthAugDataModule
    from synthaug.datasets import ActionDataset
    from synthaug.motions import MotionSource
    from synthaug.renderers import Renderer
    from synthaug.structures import Recipe

_PARTS = ("dataset", "protocol", "synth", "clip", "loading", "mixture", "augmentation")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    chosen = _chosen(arguments)
    try:
        return chosen.command(chosen)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        words = _words(error)
        if words is None:
            raise
        print(f"synthaug: {words}", file=sys.stderr)
        return 2


def _chosen(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    chosen, rest = parser.parse_known_args(arguments)
    # argparse loses overrides that come after an option: they are positional, and so is what stands before it.
    if rest and not ("overrides" in chosen and all("=" in word and word[0] != "-" for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        chosen.overrides = [*chosen.overrides, *rest]
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="synthaug", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    preview = _command(commands, "preview", _preview, "a contact sheet and side-by-side films of what synthesis makes")
    preview.add_argument("--to", type=Path, default=Path("preview"), metavar="DIR", help="where they are written")
    preview.add_argument("--count", type=int, default=8, help="references shown (8)")
    preview.add_argument("--variants", type=int, default=3, help="re-enactments of each (3)")
    _overrides(preview)

    render = _command(commands, "render", _render, "replay recipes into the cache, or into films that carry them")
    render.add_argument("recipes", type=Path, help="a run's recipes.jsonl; its config.yaml is looked for beside it")
    render.add_argument("--to", type=Path, metavar="DIR", help="write mp4 files there instead of filling the cache")
    render.add_argument("--shard", default="0/1", metavar="I/N", help="render the I-th of N parts (0/1)")
    render.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (one a core)")

    cache = _command(commands, "cache", _cache, "look after the rendered people on disk")
    cache.add_argument("verb", choices=("stats", "verify", "gc"))
    cache.add_argument("--root", type=Path, help="the cache's folder; the default run's otherwise")
    cache.add_argument("--max-gb", type=float, default=20.0, help="gc: size to shrink to (20)")

    motion = commands.add_parser("motion", help="extract motions, and look at one", description="Motions.")
    verbs = motion.add_subparsers(required=True, metavar="VERB")
    extract = _command(verbs, "extract", _motion, "extract the motions of training clips and grade them")
    extract.add_argument("--to", type=Path, metavar="DIR", help="also write each motion there as npz")
    _overrides(extract)
    inspect = _command(verbs, "inspect", _inspect, "say what is understood of one recorded motion, and show it")
    inspect.add_argument("file", type=Path, help="a film, a motion file or a motion's folder")
    inspect.add_argument("--kind", help="an option of synth/motion; told from the file otherwise")
    inspect.add_argument("--to", type=Path, default=Path("preview"), metavar="DIR", help="where pictures are written")
    inspect.add_argument("--seconds", type=float, default=10.0, help="of the motion that are shown (10)")
    _overrides(inspect)

    add_data(commands)
    add_avatar(commands)
    licenses = _command(
        commands, "licenses", _licenses, "the terms of what a configuration uses, or of everything known"
    )
    licenses.add_argument("--all", action="store_true", help="everything known, whatever the configuration")
    _overrides(licenses)

    report = _command(commands, "report", _report, "a sweep's tables, figures and doubts, of whatever finished")
    report.add_argument("folder", type=Path, help="a multirun's, or one with several in it")
    report.add_argument("--to", type=Path, metavar="DIR", help="where report.html, .md, .tex and runs.csv go (FOLDER)")
    report.add_argument(
        "--baseline", action="append", default=[], metavar="FACTOR=VALUE", help="compare arms with it; may be repeated"
    )
    report.add_argument(
        "--over", action="append", default=[], metavar="FACTOR", help="what tells folds apart; they are averaged over"
    )

    doctor = _command(commands, "doctor", _doctor, "check that this machine can do everything, and say how to mend it")
    doctor.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


def _command(
    commands: "argparse._SubParsersAction", name: str, function: object, summary: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(command=function)
    return parser


def _overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", help="as for train.py: dataset=folder dataset.root=... seed=1")


def config_folder() -> Path:
    """Where the configurations are: in the wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def composed(overrides: Sequence[str]) -> "DictConfig":
    """The configuration that `train.py` would run with these overrides.

    Raises:
        ValueError: If an override names something that does not exist.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return compose("config", overrides=list(overrides))
    except HydraException as error:
        said = " ".join(str(error).split()) or " ".join(str(error.__cause__).split())
        raise ValueError(
            f"{' '.join(overrides)} was given, which does not compose: {said}. Options as in conf/ were wanted; "
            "a slash selects (synth/renderer=torch), a dot sets (synth.identities=10)."
        ) from error


SET_ANEW = ("loading.", "trainer.", "dataset.root=", "dataset.cache=")
"""What a run's test may set otherwise. All else could test what was trained on, or classes that were never learnt."""


def loaded(path: Path, overrides: Sequence[str] = ()) -> "DictConfig":
    """The configuration in a run's folder, resolved as it was, but for these settings.

    Raises:
        ValueError: If the file is no configuration, or a setting is none of SET_ANEW.
    """
    from omegaconf import DictConfig, OmegaConf

    config = OmegaConf.load(path)
    if not isinstance(config, DictConfig):
        raise ValueError(f"'{path}' is a list; the config.yaml of a run was wanted. Give a folder that train.py left.")
    closed = [words for words in overrides if "=" not in words or not words.startswith(SET_ANEW)]
    if closed:
        raise ValueError(
            f"{' '.join(closed)} was given; loading.NAME=VALUE, trainer.NAME=VALUE, dataset.root=DIR or "
            "dataset.cache=DIR was wanted: all else is as it was trained. Train anew to change it."
        )
    _refuse_slips(overrides)
    moved = config.dataset.get("root") if "dataset" in config else None
    config.merge_with_dotlist(list(overrides))
    if moved is None or moved == config.dataset.root:
        return config
    # The file is resolved: what lay below the data set's folder, such as lists and skeletons, moves with it.
    return OmegaConf.create(_moved(OmegaConf.to_container(config), str(moved), str(config.dataset.root)))


def _refuse_slips(overrides: Sequence[str]) -> None:
    """Refuse names that neither Loading nor Lightning's Trainer knows."""
    from synthaug.datamodule.module import Loading
    from synthaug.training.loops import TRAINER_OPTIONS

    known = {"loading": [*Loading.__dataclass_fields__], "trainer": [*TRAINER_OPTIONS]}
    for words in overrides:
        part, _, name = words.partition("=")[0].partition(".")
        if part in known and name.split(".")[0] not in known[part]:
            near = get_close_matches(name, known[part], n=1)
            raise ValueError(
                f"{words} was given; one of {part}'s names was wanted: {', '.join(known[part])}."
                f"{f' Did you mean {part}.{near[0]}?' if near else ' Choose from these.'}"
            )


def _moved(tree: Any, old: str, new: str, *, name: str = "") -> Any:
    """A configuration in which each place at or below `old` is the same place at or below `new`."""
    if isinstance(tree, dict):
        return {key: _moved(value, old, new, name=str(key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_moved(value, old, new, name=name) for value in tree]
    # A folder's bare name may be a class's or a person's as well.
    same = tree == old and ("/" in old or name == "root")
    if same or (isinstance(tree, str) and tree.startswith(f"{old.rstrip('/')}/")):
        return new + tree[len(old) :]
    return tree


def resolved(config: "DictConfig") -> str:
    """The whole configuration as YAML, each interpolation filled in.

    Raises:
        ValueError: If a value was not given that has no default.
    """
    from omegaconf import OmegaConf

    _refuse_gaps(config, *map(str, config))
    return OmegaConf.to_yaml(config, resolve=True)


def data_of(config: "DictConfig") -> "SynthAugDataModule":
    """The data module that a configuration describes, not yet prepared. Foreign targets are refused first."""
    from hydra.utils import instantiate

    from synthaug.datamodule.module import SynthAugDataModule

    _refuse_gaps(config, *_PARTS)
    _refuse_foreign(config)
    parts = {name: instantiate(config[name], _convert_="all") for name in _PARTS}
    return SynthAugDataModule(parts.pop("dataset"), parts.pop("protocol"), **parts, seed=config.seed)


def dataset_of(config: "DictConfig") -> "ActionDataset":
    """The data set alone that a configuration describes, not yet prepared. Foreign targets are refused first."""
    from hydra.utils import instantiate

    _refuse_gaps(config, "dataset")
    _refuse_foreign(config)
    return instantiate(config.dataset, _convert_="all")


def _refuse_gaps(config: "DictConfig", *parts: str) -> None:
    from omegaconf import OmegaConf

    gaps = sorted(key for key in OmegaConf.missing_keys(config) if key.split(".")[0] in parts)
    if gaps:
        raise ValueError(
            f"Nothing was given for {' and '.join(gaps)}; a value was wanted, since there is no default. Set "
            f"{' '.join(f'{key}=VALUE' for key in gaps)} behind the command; the files in conf/ say what is meant."
        )


def _refuse_foreign(config: "DictConfig") -> None:
    from omegaconf import OmegaConf

    from synthaug.cli.targets import check_targets

    also = [f"{package}." for package in os.environ.get("SYNTHAUG_TARGETS", "").split(",") if package]
    check_targets(OmegaConf.to_container(config, resolve=True), also=also)


def _prepared(config: "DictConfig") -> "SynthAugDataModule":
    data = data_of(config)
    data.prepare_data()
    data.setup("fit")
    return data


def _preview(chosen: argparse.Namespace) -> int:
    from synthaug.files import write_atomic
    from synthaug.runs.folder import png
    from synthaug.runs.previews import rows
    from synthaug.runs.sheets import sheet, side_by_side
    from synthaug.video import write_video

    data = _prepared(composed(chosen.overrides))
    shown = rows(data, count=chosen.count, variants=chosen.variants)
    title = f"{len(data.split.train)} clips of the data set, {len(data.recipes())} synthetic ones"
    write_atomic(chosen.to / "contact_sheet.png", png(sheet(shown, title=title)))
    for number, row in enumerate(shown):
        film = side_by_side(row.strips, side=max(row.strips[0].video.shape[2], 224))
        write_video(chosen.to / f"{number:02d}.mp4", film, fps=data.clip.fps, metadata={"comment": row.caption})
    print(f"{chosen.to / 'contact_sheet.png'} and {len(shown)} films beside it.")
    return 0


def _render(chosen: argparse.Namespace) -> int:
    from synthaug.runs.replay import replay

    beside = chosen.recipes.parent / "config.yaml"
    if not chosen.recipes.is_file() or not beside.is_file():
        raise ValueError(
            f"'{chosen.recipes}' was given; a run's recipes.jsonl with its config.yaml beside it was wanted. "
            "Give the file in the folder that train.py left."
        )
    recipes = part_of(_recipes(chosen.recipes), chosen.shard)
    data = _prepared(loaded(beside))
    made = replay(data, recipes, folder=chosen.to, num_workers=chosen.workers)
    print(f"{made} of {len(recipes)} clips rendered, {len(recipes) - made} were there already.")
    return 0


def _recipes(path: Path) -> "list[Recipe]":
    from synthaug.structures import Recipe

    return [Recipe.from_json(line) for line in path.read_text().splitlines() if line.strip()]


def part_of(recipes: "Sequence[Recipe]", shard: str) -> "list[Recipe]":
    """The recipes of shard "i/n": those whose digest leaves the remainder i, so that nobody need coordinate.

    Raises:
        ValueError: If it is not of the form i/n with 0 <= i < n.
    """
    first, _, second = shard.partition("/")
    if not (first.isdigit() and second.isdigit() and int(first) < int(second)):
        raise ValueError(f"--shard {shard} was given; i/n with 0 <= i < n was wanted, such as 0/4.")
    return [recipe for recipe in recipes if int(recipe.digest, 16) % int(second) == int(first)]


def _cache(chosen: argparse.Namespace) -> int:
    from synthaug.synthesis.caching import RenderCache

    cache = RenderCache(chosen.root, max_gb=chosen.max_gb)
    if chosen.verb == "gc":
        removed = cache.collect()
        print(f"{removed.entries} entries, {removed.bytes / 1e6:.1f} MB, removed from {cache.root}.")
    if chosen.verb == "verify":
        damaged = cache.verify()
        for key, reason in damaged.items():
            print(f"{key}: {reason}")
        print(
            f"{len(damaged)} of {cache.stats().entries} entries are damaged; reading one removes and renders it again."
        )
        return 1 if damaged else 0
    stats = cache.stats()
    print(f"{cache.root}: {stats.entries} entries, {stats.bytes / 1e6:.1f} MB")
    return 0


def _motion(chosen: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from synthaug.files import write_reference

    data = _prepared(composed(chosen.overrides))
    synthesizer = data.synthesizer
    if synthesizer is None:
        raise ValueError("synth=null extracts nothing; a synth group was wanted. Leave it out of the overrides.")
    references = synthesizer.references
    table = Table(
        title=f"{len(references.records)} motions, {len(references.dropped)} clips without", title_justify="left"
    )
    for column in ("clip", "seconds", "quality", "notes"):
        table.add_column(column)
    for record in references.records:
        take = references.by_key[record.key]
        grade = "known" if take.quality is None else f"{take.quality:.2f}"
        notes = ", ".join(f"{name} {value:.3g}" for name, value in take.notes.items())
        table.add_row(record.key, f"{take.motion.duration:.1f}", grade, notes)
        if chosen.to is not None:
            write_reference(chosen.to / f"{record.key.replace('/', '_')}.npz", take)
    for key, reason in references.dropped.items():
        table.add_row(key, "-", "-", reason, style="dim")
    Console().print(table)
    return 0


def _inspect(chosen: argparse.Namespace) -> int:
    import numpy
    from rich.console import Console
    from rich.table import Table

    from synthaug.motions.detection import recognised

    kind = chosen.kind or recognised(chosen.file)
    # Heavy imports come after the file was found and recognised: mistakes are told at once.
    from synthaug.files import write_atomic
    from synthaug.runs.folder import png
    from synthaug.runs.inspection import Preview, facts, film_of, rows_of, views, whole_record
    from synthaug.runs.sheets import sheet, side_by_side
    from synthaug.video import write_video

    preview = Preview(seconds=chosen.seconds)
    source, cast, renderer = _stations(composed([f"synth/motion={kind}", *chosen.overrides]))
    reference = source.load(whole_record(chosen.file))
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts(reference, kind=kind, path=chosen.file):
        table.add_row(name, value, style="bold yellow" if name == "look at" else None)
    Console().print(table)
    (identity,) = cast.draw(1, numpy.random.default_rng(0))
    strips = views(reference, cast.load(identity), renderer, preview=preview, film=film_of(chosen.file))
    title = f"{chosen.file.name}: {kind}, {reference.motion.duration:.2f} s"
    at = chosen.to / chosen.file.stem
    write_atomic(at.with_suffix(".png"), png(sheet(rows_of(strips), title=title, frames=8, side=160)))
    rate = len(strips[0].video) / min(chosen.seconds, reference.motion.duration)
    write_video(at.with_suffix(".mp4"), side_by_side(strips, side=preview.side), fps=rate)
    print(f"{at.with_suffix('.png')} and {at.with_suffix('.mp4')}")
    return 0


def _stations(config: "DictConfig") -> "tuple[MotionSource, Cast, Renderer]":
    """The motion source, the cast and the renderer of a configuration. Foreign targets are refused first."""
    from hydra.utils import instantiate

    _refuse_gaps(config, "dataset", "synth")  # motions lie beside a data set's films
    _refuse_foreign(config)
    return tuple(instantiate(config.synth[name], _convert_="all") for name in ("motion", "avatar", "renderer"))


def _licenses(chosen: argparse.Namespace) -> int:
    from omegaconf import OmegaConf
    from rich.console import Console
    from rich.table import Table

    from synthaug.reports.licences import TABLE, pack_roots, used

    config = composed(chosen.overrides)
    tree = OmegaConf.to_container(config, resolve=False)
    table = Table(title="A summary, no legal advice; see docs/licences.md", title_justify="left")
    for column in ("source", "licence", "keep", "share", "train", "where"):
        table.add_column(column, overflow="fold")
    for terms in TABLE if chosen.all else used(tree):
        table.add_row(terms.name, terms.licence, terms.keep, terms.share, terms.train, terms.source)
    for root in pack_roots(tree):
        from synthaug.avatars.importers.importing import licences_of

        for name, licence in licences_of(Path(root)).items():
            table.add_row(f"pack {name}", licence.name, "", "", licence.terms, licence.source)
    Console().print(table)
    return 0


def _report(chosen: argparse.Namespace) -> int:
    from synthaug.reports import report_sweep

    report_sweep(chosen.folder, chosen.to, over=chosen.over, baselines=chosen.baseline)
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    from synthaug.cli.doctor import examine, print_findings

    findings = examine()
    print_findings(findings, as_json=chosen.json)
    return 0 if all(finding.well or not finding.needed for finding in findings) else 1


def _words(error: Exception) -> str | None:
    from synthaug.cli.errors import plain_words

    return plain_words(error)


if __name__ == "__main__":
    raise SystemExit(main())
