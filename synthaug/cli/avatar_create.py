"""`synthaug avatar create`: an avatar of a person out of a short film of them."""

import argparse
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthaug.avatars.pack.about import About
    from synthaug.creation import Feature
    from synthaug.creation.creating import Created
    from synthaug.structures import Record, Reference

logger = logging.getLogger(__name__)
USES = ("training", "display", "redistribution")
"""What somebody can agree to; see `Consent`."""


def add_create(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("films", nargs="+", type=Path, metavar="FILM", help="films of one person, whole and alone")
    parser.add_argument("--out", type=Path, required=True, help="the pack; pictures are written beside it")
    parser.add_argument("--name", default="", help="name of the identity (the pack's)")
    parser.add_argument(
        "--likeness", default="", metavar="PERSON", help="whose likeness it is, as your data names them"
    )
    parser.add_argument(
        "--agreed", default=None, metavar="USES", help=f"what that person agreed to: none, or of {','.join(USES)}"
    )
    parser.add_argument("--papers", type=Path, help="JSON file with licence, consent, subject, attributes instead")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="silhouettes of every frame, white on black")
    parser.add_argument("--frames", type=int, default=320, help="frames that are used, the most different (320)")
    parser.add_argument("--side", type=int, default=256, help="side of the pictures learnt from, pixels (256)")
    parser.add_argument("--gaussians", type=int, default=16_000, help="of the finest level, 500 to 40960 (16000)")
    parser.add_argument("--no-levels", action="store_true", help="full detail only")


def run_create(chosen: argparse.Namespace) -> int:
    """Make one avatar; returns the exit status."""
    from synthaug.avatars.pack.format import SUFFIX, write_pack
    from synthaug.cli.avatar_import import finish_pack
    from synthaug.creation.creating import Plan, create_person
    from synthaug.creation.cutting import Choice, cut_films
    from synthaug.creation.rendering import splat_frame

    out = chosen.out if chosen.out.name.endswith(SUFFIX) else chosen.out.with_name(f"{chosen.out.name}{SUFFIX}")
    about = describe(chosen, chosen.name or out.name.removesuffix(SUFFIX))
    if not 16 <= chosen.frames or not 64 <= chosen.side <= 512:
        raise ValueError(
            f"Expected --frames of 16 or more and --side of 64 to 512, got {chosen.frames} and {chosen.side}. Leave "
            "them out for 320 frames of 256 pixels."
        )
    films = [find_person(path) for path in chosen.films]
    cutouts = cut_films(films, Choice(chosen.frames, chosen.side))
    started, kept = time.perf_counter(), out.with_name(f".{out.name.removesuffix(SUFFIX)}.learning.safetensors")
    created = create_person(cutouts, choose_features(chosen.masks), splat_frame, plan=Plan(chosen.gaussians), keep=kept)
    pack = finish_pack(created.pack(about), papers=None, levels=not chosen.no_levels)
    write_pack(out, pack)
    kept.unlink(missing_ok=True)
    sheet = write_sheet(out, created)
    for caution in judge_film(created):
        print(f"note: {caution}", file=sys.stderr)
    held, minutes = created.heldout, (time.perf_counter() - started) / 60
    print(
        f"{out}: {len(pack.levels[0].means):,} Gaussians out of {len(cutouts)} frames in {minutes:.1f} min. Held-out "
        f"frames: {held.psnr:.1f} dB, {held.psnr_refitted:.1f} dB with their poses refitted, overlap of "
        f"silhouettes {held.overlap:.3f}. Look at {sheet}."
    )
    return 0


def describe(chosen: argparse.Namespace, name: str) -> "About":
    """Who it is and what they agreed to.

    Raises:
        ValueError: If nobody says.
    """
    from importlib.metadata import version

    from synthaug.avatars.importers.files.checkpoints import content_digest
    from synthaug.avatars.pack.about import About, Consent, Provenance
    from synthaug.avatars.pack.papers import apply_papers

    for path in chosen.films:
        if not path.is_file():
            raise FileNotFoundError(f"Expected a film in '{path}', found none. Give a file such as anna.mp4.")
    names = ", ".join(path.name for path in chosen.films)
    provenance = Provenance("film", names, content_digest(chosen.films[0]), f"synthaug {version('synthaug')}")
    about = About(name, provenance)
    if chosen.papers is not None:
        return apply_papers(about, chosen.papers)
    if not chosen.likeness or chosen.agreed is None:
        raise ValueError(
            "Expected to be told whose likeness this is and what they agreed to, got neither --papers nor both "
            "--likeness and --agreed. Give for example: --likeness anna --agreed training,display (or --agreed none)."
        )
    uses = [] if chosen.agreed == "none" else chosen.agreed.split(",")
    if not set(uses) <= set(USES):
        raise ValueError(
            f"Expected --agreed to be none, or some of {','.join(USES)}, got {chosen.agreed!r}. Separate uses by "
            "commas, without blanks."
        )
    consent = Consent(training="training" in uses, display="display" in uses, redistribution="redistribution" in uses)
    return replace(about, subject=chosen.likeness, consent=consent)


def find_person(path: Path) -> "tuple[Record, Reference]":
    """The film as one record, and the motion of the person in it.

    Raises:
        CreationError: If it shows several people or none.
    """
    from synthaug.creation import CreationError
    from synthaug.motions import UnusableClipError
    from synthaug.motions.video import VideoMotion
    from synthaug.structures import Record
    from synthaug.video import probe

    record = Record(path.stem, path, 0, "", "", 0.0, probe(path).duration)
    try:
        reference = VideoMotion().load(record)
    except UnusableClipError as error:
        raise CreationError(f"'{path.name}' shows nobody well enough for an avatar. {error}") from error
    people = round(reference.notes.get("people", 1.0))
    if people > 1:
        logger.warning(
            "'%s' shows %d people; the one who moves most is taken. Cut the film to one person if it is another.",
            path.name, people,
        )  # fmt: skip
    return record, reference


def choose_features(masks: Path | None) -> "list[Feature]":
    """What says where the person is: a folder of masks if one is given, else the network."""
    from synthaug.creation.features.masks import MaskFolder
    from synthaug.creation.features.silhouettes import Silhouettes

    return [Silhouettes()] if masks is None else [MaskFolder(masks)]


def judge_film(created: "Created") -> list[str]:
    """What the film lacks, in words."""
    names = ("front", "right side", "back", "left side")
    missing = [name for name, share in zip(names, created.views, strict=True) if share < 0.02]
    cautions = []
    if missing:
        cautions.append(
            f"the film never shows the person's {' and '.join(missing)}: these were coloured from what lies nearest. "
            "Film the person turning around once."
        )
    seen = float(created.seen.float().mean())
    if seen < 0.6:
        cautions.append(f"the film shows {seen:.0%} of the surface. Film arms away from the body, and all sides.")
    if created.heldout.psnr_refitted < 22:
        cautions.append(
            f"held-out frames are met by {created.heldout.psnr_refitted:.1f} dB; 22 or more look alike. Film sharper, "
            "slower, and before a background of another colour."
        )
    return cautions


def write_sheet(out: Path, created: "Created") -> Path:
    """Held-out frames beside the avatar in them; returns the file."""
    from synthaug.avatars.pack.format import SUFFIX
    from synthaug.files import write_atomic
    from synthaug.runs.sheets import SheetRow, Strip, encode_png, paint_sheet

    name = out.name.removesuffix(SUFFIX)
    film, ours, free = created.heldout.pictures
    rows = [
        SheetRow("held-out frames", (Strip("film", film),)),
        SheetRow("the avatar, poses of the film", (Strip("", free),)),
        SheetRow("the avatar, poses refitted", (Strip("", ours),)),
    ]
    path = out.with_name(f"{name}.png")
    write_atomic(path, encode_png(paint_sheet(rows, title=name, frames=min(6, len(film)), side=192)))
    return path
