"""`synthaug preview`: a contact sheet and side-by-side films of what synthesis makes, before any training."""

import argparse
from pathlib import Path

from synthaug.cli.arguments import add_command, add_overrides

_COMPARED = 24
"""Synthetic clips that are measured against their film."""


def add_preview(commands: "argparse._SubParsersAction") -> None:
    """Add the command."""
    summary = "a contact sheet and side-by-side films of what synthesis makes"
    parser = add_command(commands, "preview", _preview, summary)
    parser.add_argument("--to", type=Path, default=Path("preview"), metavar="DIR", help="where they are written")
    parser.add_argument("--count", type=int, default=8, help="references shown (8)")
    parser.add_argument("--variants", type=int, default=3, help="re-enactments of each (3)")
    add_overrides(parser)


def _preview(chosen: argparse.Namespace) -> int:
    from synthaug.cli.configs import compose_config, prepare_data

    config = compose_config(chosen.overrides)
    # Heavy imports come after the configuration was composed: mistakes are reported at once.
    from synthaug.files import write_atomic
    from synthaug.progress import say
    from synthaug.runs.likeness import choose_recipes, compare, measure_pairs, write_line, write_table
    from synthaug.runs.previews import make_rows
    from synthaug.runs.sheets import encode_png, join_strips, paint_sheet
    from synthaug.video import write_video

    data = prepare_data(config)
    say(f"Rendering {chosen.variants} re-enactments of each of {chosen.count} clips.")
    rows = make_rows(data, count=chosen.count, variants=chosen.variants)
    title = f"{len(data.split.train)} clips of the data set, {len(data.recipes())} synthetic ones"
    synthesizer, likeness = data.synthesizer, []
    if synthesizer is not None and len(synthesizer):
        likeness = compare(measure_pairs(synthesizer, choose_recipes(synthesizer, _COMPARED)))
    note = write_line(likeness) if likeness else ""
    write_atomic(chosen.to / "contact_sheet.png", encode_png(paint_sheet(rows, title=title, note=note)))
    for number, row in enumerate(rows):
        film = join_strips(row.strips, side=max(row.strips[0].video.shape[2], 224))
        write_video(chosen.to / f"{number:02d}.mp4", film, fps=data.clip.fps, metadata={"comment": row.caption})
    if likeness:
        print(write_table(likeness))
    print(f"{chosen.to / 'contact_sheet.png'} and {len(rows)} films beside it.")
    return 0
