"""`synthaug avatar create`: an avatar of a person out of a short film of them."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from synthaug.cli.avatar_making import USES, Clues, Making, make_avatar, name_person
from synthaug.cli.avatar_people import is_collection, run_people
from synthaug.cli.engines import add_engine, choose_engine

if TYPE_CHECKING:
    from synthaug.avatars.pack.about import About


def add_create(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "films", nargs="+", type=Path, metavar="FILM",
        help="films of one person, whole and alone; or one folder with a folder of films for each person",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, help="the pack, or the folder of packs; pictures are written beside them"
    )
    parser.add_argument("--name", default="", help="name of the identity (the pack's)")
    parser.add_argument(
        "--likeness", default="", metavar="PERSON", help="whose likeness it is, as your data names them"
    )
    parser.add_argument(
        "--agreed", default=None, metavar="USES", help=f"what that person agreed to: none, or of {','.join(USES)}"
    )
    parser.add_argument("--papers", type=Path, help="JSON file with licence, consent, subject, attributes instead")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="silhouettes of every frame, white on black")
    parser.add_argument(
        "--place", type=Path, metavar="FILE", help="picture or film of the place without anybody, camera unmoved"
    )  # fmt: skip
    parser.add_argument("--depth", type=Path, metavar="DIR", help="depth maps of every frame: 16-bit PNG or .npy")
    parser.add_argument("--keypoints", type=Path, metavar="FILE", help="JSON of whole-body keypoints of every frame")
    parser.add_argument("--frames", type=int, default=320, help="frames that are used, the most different (320)")
    parser.add_argument("--side", type=int, default=256, help="side of the pictures learnt from, pixels (256)")
    parser.add_argument("--gaussians", type=int, default=16_000, help="of the finest level, 500 to 40960 (16000)")
    parser.add_argument("--no-levels", action="store_true", help="full detail only")
    parser.add_argument(
        "--motion", nargs="+", default=["video"], metavar=("NAME", "KEY=VALUE"),
        help="where poses come from: an option of synth/motion and its settings, such as exavatar root=fits (video)",
    )  # fmt: skip
    parser.add_argument("--fps", type=float, help="rate of films that are folders of numbered pictures")
    add_engine(parser)


def run_create(chosen: argparse.Namespace) -> int:
    """Make one avatar, or one of every person in a folder; returns the exit status."""
    from synthaug.avatars.pack.format import SUFFIX

    making = Making(
        chosen.frames, chosen.side, chosen.gaussians, not chosen.no_levels, chosen.fps, tuple(chosen.motion)
    )
    if is_collection(chosen.films):
        return run_people(chosen, making)
    if choose_engine(chosen) is not None:
        raise ValueError(
            "Expected a folder with a folder of films for each person for --engine, got films of one person. Leave "
            "--engine out."
        )
    out = chosen.out if chosen.out.name.endswith(SUFFIX) else chosen.out.with_name(f"{chosen.out.name}{SUFFIX}")
    about = describe(chosen, making, chosen.name or out.name.removesuffix(SUFFIX))
    cautions, words = make_avatar(chosen.films, about, out, making=making, clues=clues_of(chosen))
    for caution in cautions:
        print(f"note: {caution}", file=sys.stderr)
    print(words)
    return 0


def clues_of(chosen: argparse.Namespace) -> Clues:
    """What else is known of where the person is."""
    return Clues(chosen.masks, chosen.place, chosen.depth, chosen.keypoints)


def describe(chosen: argparse.Namespace, making: Making, name: str) -> "About":
    """Who it is and what they agreed to.

    Raises:
        ValueError: If nobody says.
    """
    for path in chosen.films:
        if not path.exists():
            raise FileNotFoundError(f"Expected a film in '{path}', found none. Give a file such as anna.mp4.")
    if chosen.papers is None and (not chosen.likeness or chosen.agreed is None):
        raise ValueError(
            "Expected to be told whose likeness this is and what they agreed to, got neither --papers nor both "
            "--likeness and --agreed. Give for example: --likeness anna --agreed training,display (or --agreed none)."
        )
    papers, likeness, agreed = chosen.papers, chosen.likeness, chosen.agreed
    made_of = making.digest(chosen.films, clues_of(chosen))
    return name_person(made_of, chosen.films, name, papers=papers, likeness=likeness, agreed=agreed)
