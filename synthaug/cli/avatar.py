"""`synthaug avatar`: bring people in, look at them, send them out, and know who must no longer be used.

A part of the command line; what the commands do is in `synthaug.avatars.importers.importing`, imported when one runs.
"""

import argparse
import sys
from pathlib import Path


def add_avatar(commands: "argparse._SubParsersAction") -> None:
    """Add the command and its verbs to a parser's commands."""
    avatar = commands.add_parser("avatar", help="import, inspect, preview, export and check avatar packs")
    verbs = avatar.add_subparsers(required=True, metavar="VERB")
    _add_import(verbs)

    inspect = _verb(verbs, "inspect", _inspect, "counts, bounds, licence, consent and quality of packs")
    inspect.add_argument("packs", nargs="+", type=Path, help="packs, or folders of them")

    preview = _verb(verbs, "preview", _preview, "a turntable film and a contact sheet over a fixed set of motions")
    preview.add_argument("pack", type=Path)
    preview.add_argument("--to", type=Path, default=Path("preview"), metavar="DIR", help="where they are written")

    export = _verb(verbs, "export", _export, "a pack as .ply, or a whole motion as .npz of posed Gaussians")
    export.add_argument("pack", type=Path)
    export.add_argument("--to", type=Path, required=True, metavar="FILE", help=".ply or .npz")
    export.add_argument("--motion", type=Path, help="SMPL-X npz; without it, the canonical pose")
    export.add_argument("--up", choices=("y", "z"), default="y", help="axis of the motion that points up (y)")
    export.add_argument("--frame", type=int, default=0, help="frame of the motion for .ply (0)")

    validate = _verb(verbs, "validate", _validate, "read packs whole and say what is wrong with them")
    validate.add_argument("packs", nargs="+", type=Path, help="packs, or folders of them")

    label = _verb(verbs, "label", _label, "give a pack other papers: licence, consent, subject, attributes")
    label.add_argument("pack", type=Path)
    label.add_argument("--papers", type=Path, required=True, help="JSON file, see docs/avatar-pack.md")

    affected = _verb(verbs, "affected", _affected, "clips that show people whose consent no longer holds")
    affected.add_argument("root", type=Path, help="folder of packs")
    affected.add_argument("recipes", nargs="+", type=Path, help="recipes.jsonl of runs")


def _add_import(verbs: "argparse._SubParsersAction") -> None:
    parser = _verb(verbs, "import", _import, "make a pack of a foreign avatar")
    parser.add_argument("kind", choices=("exavatar", "lhm", "ply", "random_people"))
    parser.add_argument("source", type=Path, help="checkpoint or .ply; for random_people the folder of everything")
    parser.add_argument("--out", type=Path, required=True, help="the pack; for random_people a folder")
    parser.add_argument("--name", default="", help="of the identity (the source's)")
    parser.add_argument("--height", type=float, help="metres, of the bare person; ply needs it")
    parser.add_argument("--identity", type=Path, help="exavatar: the subject's smplx_optimized folder")
    parser.add_argument("--body", type=Path, help="your own SMPLX_*.npz; lhm needs it")
    parser.add_argument("--template", type=Path, help="lhm: dense_sample_points/1_40000.ply")
    parser.add_argument("--betas", type=Path, help="lhm: JSON file with the shape, such as a frame of smplx_params")
    parser.add_argument("--papers", type=Path, help="JSON file with licence, consent, subject, attributes, height")
    parser.add_argument("--hands", choices=("exavatar", "composed"), default="exavatar", help="how fingers turn")
    parser.add_argument("--ignore-unknown", action="store_true", help="exavatar: leave out tensors nobody knows")
    parser.add_argument("--no-levels", action="store_true", help="full detail only")


def _verb(verbs: "argparse._SubParsersAction", name: str, function: object, summary: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(command=function)
    return parser


def _import(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.importers.importing import Wanted, imported
    from synthaug.avatars.pack.format import SUFFIX, write_pack

    wanted = Wanted(
        kind=chosen.kind, name=chosen.name, height=chosen.height, identity=chosen.identity, body=chosen.body,
        template=chosen.template, betas=chosen.betas, papers=chosen.papers, hands=chosen.hands,
        ignore_unknown=chosen.ignore_unknown, levels=not chosen.no_levels,
    )  # fmt: skip
    if chosen.kind == "random_people":
        return _import_tree(chosen.source, chosen.out, wanted)
    pack = imported(chosen.source, wanted)
    out = chosen.out if chosen.out.name.endswith(SUFFIX) else chosen.out.with_name(f"{chosen.out.name}{SUFFIX}")
    write_pack(out, pack)
    for note in pack.about.provenance.notes:
        print(f"note: {note}", file=sys.stderr)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in pack.about.quality.items())
    levels = f"{len(pack.levels)} level{'s' * (len(pack.levels) > 1)}"
    print(f"{out}: {len(pack.levels[0].means):,} Gaussians, {levels} ({figures}).")
    return 0


def _import_tree(source: Path, out: Path, wanted: object) -> int:
    from synthaug.avatars.importers.importing import Wanted
    from synthaug.cli.random_people import import_tree

    assert isinstance(wanted, Wanted)
    outcomes = import_tree(source, out, wanted)
    _print_table(
        [("identity", "outcome")] + [(name, outcome or "imported") for name, outcome in outcomes.items()],
        f"{sum(outcome is None for outcome in outcomes.values())} of {len(outcomes)} identities imported now",
    )
    return 1 if any(outcome and outcome != "there already" for outcome in outcomes.values()) else 0


def _inspect(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.importers.importing import described, found

    for path in found(chosen.packs):
        _print_table([("", str(path)), *described(path).items()], "")
    return 0


def _preview(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.importers.importing import pictures
    from synthaug.avatars.pack.format import SUFFIX
    from synthaug.files import write_atomic
    from synthaug.runs.sheets import encode_png, paint_sheet
    from synthaug.video import write_video

    turntable, rows = pictures(chosen.pack)
    write_video(chosen.to / "turntable.mp4", turntable, fps=16.0)
    write_atomic(
        chosen.to / "contact_sheet.png",
        encode_png(paint_sheet(rows, title=chosen.pack.name.removesuffix(SUFFIX), frames=6, side=192)),
    )
    print(f"{chosen.to / 'turntable.mp4'} and {chosen.to / 'contact_sheet.png'}")
    return 0


def _export(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.importers.importing import exported, read_motion

    motion = None if chosen.motion is None else read_motion(chosen.motion, up=chosen.up)
    print(f"{chosen.to}: {exported(chosen.pack, chosen.to, motion=motion, frame=chosen.frame)}.")
    return 0


def _validate(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.importers.importing import found, problems

    faults = 0
    for path in found(chosen.packs):
        wrong = problems(path)
        faults += any(not text.endswith("not stated") for text in wrong)
        print(f"{path}: {'; '.join(wrong) or 'sound'}")
    return 1 if faults else 0


def _label(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.importers.importing import relabelled

    relabelled(chosen.pack, chosen.papers)
    print(f"{chosen.pack}: papers replaced.")
    return 0


def _affected(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.importers.importing import affected, recipes_of

    recipes = recipes_of(chosen.recipes)
    hit = affected(chosen.root, recipes)
    for recipe, reason in hit:
        print(f"{recipe.key}  {reason}")
    clips = len({recipe.key for recipe, _ in hit})
    print(f"{clips} of {len(recipes)} clips show somebody who may not be used.", file=sys.stderr)
    return 1 if hit else 0


def _print_table(rows: list[tuple[str, str]], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", show_header=True)
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)
