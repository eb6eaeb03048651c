"""`synthaug motion`: extract the motions of training clips, and look at one recorded motion."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.cli.arguments import add_command, add_overrides
from synthaug.cli.engines import add_engine, choose_engine, do_on
from synthaug.cli.tables import add_plain_row
from synthaug.engines import Doing, Job

if TYPE_CHECKING:
    from synthaug.synthesis.references import Extraction

MOTION_SOURCE = "synthaug.motions.MotionSource"


def add_motion(commands: "argparse._SubParsersAction") -> None:
    """Add the command and its verbs."""
    motion = commands.add_parser("motion", help="extract motions, and look at one", description="Motions.")
    verbs = motion.add_subparsers(required=True, metavar="VERB")
    extract = add_command(verbs, "extract", _extract, "extract the motions of training clips and grade them")
    extract.add_argument("--to", type=Path, metavar="DIR", help="also write each motion there as npz")
    about = "extract one part of the clips, as in 2/4: several machines that share a cache do one each"
    extract.add_argument("--shard", metavar="NUMBER/COUNT", help=about)
    add_engine(extract)
    add_overrides(extract)
    inspect = add_command(verbs, "inspect", _inspect, "describe one recorded motion as synthaug reads it, and show it")
    inspect.add_argument("file", type=Path, help="a film, a motion file or a motion's folder")
    inspect.add_argument("--kind", help="an option of synth/motion, or a class of your own; recognized otherwise")
    inspect.add_argument("--to", type=Path, default=Path("preview"), metavar="DIR", help="where pictures are written")
    inspect.add_argument("--seconds", type=float, default=10.0, help="length of the motion that is shown (10)")
    add_overrides(inspect)


def _extract(chosen: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from synthaug.cli.configs import build_data, compose_config, prepare_data
    from synthaug.files import write_reference

    shard, engine = None if chosen.shard is None else _parse_shard(chosen), choose_engine(chosen)
    if engine is not None and shard is not None:
        raise ValueError("Expected --engine or --shard, got both: engines divide the work themselves. Leave out one.")
    if engine is not None:
        # What they leave in the cache is what the table below is made of; what they could not extract fails there.
        for _ in do_on(engine, ExtractMotions(tuple(chosen.overrides)), chosen.outcomes):
            pass
    config = compose_config(chosen.overrides)
    if shard is None:
        data = prepare_data(config)
        synthesizer = data.synthesizer
        if data.packed is not None:
            raise ValueError("Expected synth to re-enact motions, got finished clips. Choose synth=default.")
        if synthesizer is None:
            raise ValueError("Expected a configuration with synth, got synth=null. Leave synth=null out.")
        references, part = synthesizer.references, ""
    else:
        references, part = build_data(config).extract_motions(shard), f"shard {shard[0]}/{shard[1]}: "
    title = f"{part}{len(references.records)} motions, {len(references.dropped)} clips without"
    table = Table("clip", "seconds", "quality", "notes", title=title, title_justify="left")
    for record in references.records:
        reference = references.by_key[record.key]
        grade = "known" if reference.quality is None else f"{reference.quality:.2f}"
        notes = ", ".join(f"{name} {value:.3g}" for name, value in reference.notes.items())
        add_plain_row(table, record.key, f"{reference.motion.duration:.1f}", grade, notes)
        if chosen.to is not None:
            write_reference(chosen.to / f"{record.key.replace('/', '_')}.npz", reference)
    for key, reason in references.dropped.items():
        add_plain_row(table, key, "-", "-", reason, style="dim")
    Console().print(table)
    return 0


@dataclass(frozen=True)
class ExtractMotions(Job):
    """The training clips of a configuration, by key, to be extracted by many machines.

    Attributes:
        overrides: The configuration, as for training.
    """

    overrides: tuple[str, ...]

    @property
    def title(self) -> str:
        """Of the progress."""
        return "Extracting motions"

    def list_missing(self) -> list[str]:
        """Keys of the clips of which the cache holds neither a motion nor why there is none."""
        return self._open().list_missing()

    def open(self) -> Doing:
        """Prepare the data set once; then each key's motion goes to the cache."""
        return self._open().extract

    def _open(self) -> "Extraction":
        from synthaug.cli.configs import build_data, compose_config

        return build_data(compose_config(self.overrides)).open_extraction()


def _parse_shard(chosen: argparse.Namespace) -> tuple[int, int]:
    """Number and count of `--shard 2/4`."""
    number, _, count = chosen.shard.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise ValueError(f"Expected --shard as NUMBER/COUNT, as in 2/4, got {chosen.shard!r}. Correct --shard.")
    if chosen.to is not None:
        raise ValueError(
            "Expected --shard or --to, got both: cameras are aligned when all motions are there. Extract all shards, "
            "then run once more with --to and without --shard."
        )
    return int(number), int(count)


def select_source(kind: str) -> list[str]:
    """Overrides that select a motion source: an option of synth/motion, or a class of another package."""
    if "." not in kind:
        return [f"synth/motion={kind}"]
    return ["synth/motion=sidecar", f"synth.motion._target_={kind}"]  # sidecar.yaml has no other keys


def _inspect(chosen: argparse.Namespace) -> int:
    from synthaug.cli.answers import find_answers
    from synthaug.motions.detection import recognize
    from synthaug.progress import say

    sources = {} if chosen.kind else {name: answer.load() for name, answer in find_answers(MOTION_SOURCE).items()}
    kind = chosen.kind or recognize(chosen.file, sources)
    say(f"Reading {chosen.file} as {kind}.")
    # Heavy imports come after the file was found and recognized: mistakes are reported at once.
    import numpy
    from rich.console import Console
    from rich.table import Table

    from synthaug.cli.configs import build_stations, compose_config
    from synthaug.files import write_atomic
    from synthaug.runs.inspection import (
        MotionPreview,
        describe_motion,
        find_film,
        one_row_each,
        show_views,
        whole_record,
    )
    from synthaug.runs.sheets import encode_png, join_strips, paint_sheet
    from synthaug.video import write_video

    preview = MotionPreview(seconds=chosen.seconds)
    source, avatars, renderer = build_stations(compose_config([*select_source(kind), *chosen.overrides]))
    reference = source.load(whole_record(chosen.file))
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in describe_motion(reference, kind=kind, path=chosen.file):
        add_plain_row(table, name, value, style="bold yellow" if name == "look at" else None)
    Console().print(table)
    (identity,) = avatars.sample(1, numpy.random.default_rng(0))
    strips = show_views(reference, avatars.load(identity), renderer, preview=preview, film=find_film(chosen.file))
    title = f"{chosen.file.name}: {kind}, {reference.motion.duration:.2f} s"
    sheet = paint_sheet(one_row_each(strips), title=title, frames=8, side=160)
    at = chosen.to / chosen.file.stem
    write_atomic(at.with_suffix(".png"), encode_png(sheet))
    fps = len(strips[0].video) / min(chosen.seconds, reference.motion.duration)
    write_video(at.with_suffix(".mp4"), join_strips(strips, side=preview.side), fps=fps)
    print(f"{at.with_suffix('.png')} and {at.with_suffix('.mp4')}")
    return 0
