"""`synthaug avatar`: import people, look at them, export them, and list clips of people who may no longer be used."""

import argparse
import sys
from pathlib import Path

from synthaug.cli.arguments import add_command
from synthaug.cli.avatar_create import add_create, run_create
from synthaug.cli.avatar_import import ImportParser, add_import, run_import


def add_avatar(commands: "argparse._SubParsersAction") -> None:
    """Add the command and its verbs to a parser's commands."""
    avatar = commands.add_parser("avatar", help="make, import, inspect, preview, export and check avatar packs")
    verbs = avatar.add_subparsers(required=True, metavar="VERB", parser_class=ImportParser)
    add_create(add_command(verbs, "create", run_create, "make a pack of a person out of a short film of them"))
    add_import(add_command(verbs, "import", run_import, "make a pack of a foreign avatar"))

    inspect = add_command(verbs, "inspect", _inspect, "counts, bounds, licence, consent and quality of packs")
    inspect.add_argument("packs", nargs="+", type=Path, help="packs, or folders of them")

    preview = add_command(
        verbs, "preview", _preview, "a turntable film and a contact sheet over a fixed set of motions"
    )
    preview.add_argument("pack", type=Path)
    preview.add_argument("--to", type=Path, default=Path("preview"), metavar="DIR", help="where they are written")

    export = add_command(verbs, "export", _export, "a pack as .ply, or a whole motion as .npz of posed Gaussians")
    export.add_argument("pack", type=Path)
    export.add_argument("--to", type=Path, required=True, metavar="FILE", help=".ply or .npz")
    export.add_argument("--motion", type=Path, help="SMPL-X npz; without it, the canonical pose")
    export.add_argument("--up", choices=("y", "z"), default="y", help="axis of the motion that points up (y)")
    export.add_argument("--frame", type=int, default=0, help="frame of the motion for .ply (0)")

    validate = add_command(verbs, "validate", _validate, "read packs completely and say what is wrong with them")
    validate.add_argument("packs", nargs="+", type=Path, help="packs, or folders of them")

    label = add_command(verbs, "label", _label, "replace the papers of a pack: licence, consent, subject, attributes")
    label.add_argument("pack", type=Path)
    label.add_argument("--papers", type=Path, required=True, help="JSON file, see docs/avatar-pack.md")

    affected = add_command(verbs, "affected", _affected, "clips that show people whose consent no longer holds")
    affected.add_argument("root", type=Path, help="folder of packs")
    affected.add_argument("recipes", nargs="+", type=Path, help="recipes.jsonl of runs")


def _inspect(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.pack.description import describe_pack, find_packs
    from synthaug.cli.tables import print_table

    for path in find_packs(chosen.packs):
        print_table([("", str(path)), *describe_pack(path).items()])
    return 0


def _preview(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.pack.format import SUFFIX
    from synthaug.files import write_atomic
    from synthaug.runs.avatar_pictures import render_pictures
    from synthaug.runs.sheets import encode_png, paint_sheet
    from synthaug.video import write_video

    turntable, rows = render_pictures(chosen.pack)
    write_video(chosen.to / "turntable.mp4", turntable, fps=16.0)
    write_atomic(
        chosen.to / "contact_sheet.png",
        encode_png(paint_sheet(rows, title=chosen.pack.name.removesuffix(SUFFIX), frames=6, side=192)),
    )
    print(f"{chosen.to / 'turntable.mp4'} and {chosen.to / 'contact_sheet.png'}")
    return 0


def _export(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.pack.exporting import export_pack
    from synthaug.motions.smplx_npz import Axes, read_smplx_npz

    motion = None if chosen.motion is None else read_smplx_npz(chosen.motion, Axes(up=chosen.up))
    print(f"{chosen.to}: {export_pack(chosen.pack, chosen.to, motion=motion, frame=chosen.frame)}.")
    return 0


def _validate(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.pack.description import find_packs, find_problems

    faults = 0
    for path in find_packs(chosen.packs):
        problems = find_problems(path)
        faults += any(not text.endswith("not stated") for text in problems)
        print(f"{path}: {'; '.join(problems) or 'valid'}")
    return 1 if faults else 0


def _label(chosen: argparse.Namespace) -> int:
    from synthaug.avatars.pack.papers import label_pack

    label_pack(chosen.pack, chosen.papers)
    print(f"{chosen.pack}: papers replaced.")
    return 0


def _affected(chosen: argparse.Namespace) -> int:
    from synthaug.runs.withdrawals import find_withdrawn, read_recipes

    recipes = read_recipes(chosen.recipes)
    hits = find_withdrawn(chosen.root, recipes)
    for recipe, reason in hits:
        print(f"{recipe.key}  {reason}")
    clips = len({recipe.key for recipe, _ in hits})
    print(f"{clips} of {len(recipes)} clips show somebody who may not be used.", file=sys.stderr)
    return 1 if hits else 0
