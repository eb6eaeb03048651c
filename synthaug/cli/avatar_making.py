"""Make an avatar of one person out of films of them: what `synthaug avatar create` does for each."""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synthaug.avatars.pack.about import About
    from synthaug.creation import Feature
    from synthaug.creation.creating import Created
    from synthaug.motions import MotionSource
    from synthaug.structures import Record, Reference

logger = logging.getLogger(__name__)
PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of a picture of an empty place."""
USES = ("training", "display", "redistribution")
"""What somebody can agree to; see `Consent`."""


@dataclass(frozen=True)
class Making:
    """How avatars are made: the options of the command.

    Attributes:
        frames: Frames that are used.
        side: Side of the pictures learnt from, pixels.
        gaussians: Of the finest level.
        levels: Whether levels of detail are added.
        fps: Numbers a second of films that are folders of numbered pictures.
        motion: Where the person's poses come from: an option of synth/motion and perhaps its settings, such as
            ("exavatar", "root=fits"). They have to be those of the very film, with its camera.
    """

    frames: int = 320
    side: int = 256
    gaussians: int = 16_000
    levels: bool = True
    fps: float | None = None
    motion: tuple[str, ...] = ("video",)

    def __post_init__(self) -> None:
        if not 16 <= self.frames or not 64 <= self.side <= 512:
            raise ValueError(
                f"Expected --frames of 16 or more and --side of 64 to 512, got {self.frames} and {self.side}. Leave "
                "them out for 320 frames of 256 pixels."
            )
        if wrong := [word for word in self.motion[1:] if "=" not in word]:
            raise ValueError(
                f"Expected settings such as root=fits after --motion {self.motion[0]}, got {wrong[0]!r}. Give films "
                "before --motion."
            )

    def digest(self, films: "Sequence[Path]", clues: "Clues") -> str:
        """What an avatar is made of: the films, clues, and where poses come from if not from the films alone."""
        from synthaug.files import digest_of

        more = (*(() if self.motion == ("video",) else self.motion), *clues.list_files())
        return digest_of(digest_films(films), *more) if more else digest_films(films)

    def build_motion(self) -> "MotionSource":
        """What finds the person's poses."""
        from synthaug.cli.configs import build_motion, compose_config

        name, *settings = self.motion
        return build_motion(compose_config([f"synth/motion={name}", *(f"synth.motion.{word}" for word in settings)]))


@dataclass(frozen=True)
class Clues:
    """Files that say more of where a person is in a film; None where there are none.

    Attributes:
        masks: Folder of silhouettes, in place of those that the network finds.
        place: Picture or film of the place without anybody, by the same unmoved camera.
        depth: Folder of depth maps, one for each frame.
        keypoints: JSON file of whole-body keypoints, which say which poses to trust.
    """

    masks: Path | None = None
    place: Path | None = None
    depth: Path | None = None
    keypoints: Path | None = None

    @staticmethod
    def beside(films: Path) -> "Clues":
        """Those that lie in a person's folder: `masks/`, `place.*`, `depth/` and `keypoints.json`."""
        from synthaug.video import SUFFIXES

        kinds = (*PICTURES, *SUFFIXES)
        place = next((path for path in sorted(films.glob("place.*")) if path.suffix.lower() in kinds), None)
        masks, depth, keypoints = films / "masks", films / "depth", films / "keypoints.json"
        return Clues(
            masks if masks.is_dir() else None, place, depth if depth.is_dir() else None,
            keypoints if keypoints.is_file() else None,
        )  # fmt: skip

    def list_files(self) -> list[str]:
        """Names and contents of all files, by which other clues are known; none if there are no clues.

        Contents and not sizes: arrays of depth of one film have one size.

        Raises:
            ValueError: If a clue is not there, or is a folder in the place of a file or the other way round.
        """
        from synthaug.avatars.importers.files.checkpoints import content_digest

        self._check_kinds()
        given = [path for path in (self.masks, self.place, self.depth, self.keypoints) if path is not None]
        inside = [one for path in given for one in (sorted(path.iterdir()) if path.is_dir() else [path])]
        files = [one for one in inside if one.is_file() and one.name[0] != "."]
        return [f"{one.parent.name}/{one.name} {content_digest(one)}" for one in files]

    def _check_kinds(self) -> None:
        """Told at once: finding the person in the film takes minutes."""
        for name, path, what in (
            ("masks", self.masks, "folder"), ("place", self.place, "file"), ("depth", self.depth, "folder"),
            ("keypoints", self.keypoints, "file"),
        ):  # fmt: skip
            if path is not None and not (path.is_dir() if what == "folder" else path.is_file()):
                got = "a folder" if path.is_dir() else "a file" if path.exists() else "nothing"
                raise ValueError(
                    f"Expected a {what} for --{name} in '{path}', got {got}. Correct the path, or leave it out."
                )

    def features(self) -> "list[Feature]":
        """What says where the person is: masks or else the network, and what else is given."""
        from synthaug.creation.features.depths import DepthFolder
        from synthaug.creation.features.keypoints import KeypointFile
        from synthaug.creation.features.masks import MaskFolder
        from synthaug.creation.features.plate import EmptyPlace
        from synthaug.creation.features.silhouettes import Silhouettes

        found: list[Feature] = [Silhouettes() if self.masks is None else MaskFolder(self.masks)]
        found += [] if self.place is None else [EmptyPlace(self.place)]
        found += [] if self.depth is None else [DepthFolder(self.depth)]
        return found if self.keypoints is None else [*found, KeypointFile(self.keypoints)]


def make_avatar(
    paths: "Sequence[Path]", about: "About", out: Path, *, making: Making, clues: Clues = Clues()
) -> tuple[list[str], str]:
    """Make an avatar out of films of one person, and write its pack and a picture of it.

    Args:
        paths: The films.
        about: Who it is, and what they agreed to.
        out: The pack.
        making: How.
        clues: What else is known of where the person is.

    Returns:
        What the films lack, and what was made, in words.

    Raises:
        ValueError: If a film cannot be read, or shows nobody well enough.
    """
    from synthaug.avatars.pack.format import SUFFIX, write_pack
    from synthaug.cli.avatar_import import finish_pack
    from synthaug.creation.creating import Plan, create_person
    from synthaug.creation.cutting import Choice, cut_films
    from synthaug.creation.rendering import splat_frame

    source = making.build_motion()
    films = [find_person(path, source, making.fps) for path in paths]
    cutouts = cut_films(films, Choice(making.frames, making.side))
    started, kept = time.perf_counter(), out.with_name(f".{out.name.removesuffix(SUFFIX)}.learning.safetensors")
    created = create_person(cutouts, clues.features(), splat_frame, plan=Plan(making.gaussians), keep=kept)
    pack = finish_pack(created.pack(about), papers=None, levels=making.levels)
    sheet = write_sheet(out, created)
    write_pack(out, pack)
    kept.unlink(missing_ok=True)
    held, minutes = created.heldout, (time.perf_counter() - started) / 60
    return judge_film(created), (
        f"{out}: {len(pack.levels[0].means):,} Gaussians out of {len(cutouts)} frames in {minutes:.1f} min. Held-out "
        f"frames: {held.psnr:.1f} dB, {held.psnr_refitted:.1f} dB with their poses refitted, overlap of "
        f"silhouettes {held.overlap:.3f}. Look at {sheet}."
    )


def name_person(
    made_of: str, films: "Sequence[Path]", name: str, *, papers: Path | None, likeness: str, agreed: str | None
) -> "About":
    """Who somebody is and what they agreed to, by their papers, or else by name and uses.

    Args:
        made_of: Digest of what the avatar is made of: `Making.digest`.
        films: The films, which are named.
        name: Of the identity.
        papers: A file with papers; None has none.
        likeness: Whose it is.
        agreed: Uses, with commas, or none; None if papers say it.

    Raises:
        ValueError: If the papers or the uses are none.
    """
    from importlib.metadata import version

    from synthaug.avatars.pack.about import About, Consent, Provenance
    from synthaug.avatars.pack.papers import apply_papers

    names = ", ".join(path.name for path in films)
    about = About(name, Provenance("film", names, made_of, f"synthaug {version('synthaug')}"))
    if papers is not None:
        return apply_papers(about, papers)
    uses = [] if agreed in (None, "none") else str(agreed).split(",")
    if not set(uses) <= set(USES):
        raise ValueError(
            f"Expected --agreed to be none, or some of {','.join(USES)}, got {agreed!r}. Separate uses by "
            "commas, without blanks."
        )
    consent = Consent(training="training" in uses, display="display" in uses, redistribution="redistribution" in uses)
    return replace(about, subject=likeness, consent=consent)


def digest_films(films: "Sequence[Path]") -> str:
    """A digest of the content of films; of one film that is a file, that of the file."""
    from synthaug.avatars.importers.files.checkpoints import content_digest
    from synthaug.files import digest_of
    from synthaug.video import find_series

    parts = [
        digest_of(*map(content_digest, find_series(film).files)) if film.is_dir() else content_digest(film)
        for film in films
    ]
    return parts[0] if len(parts) == 1 else digest_of(*parts)


def find_person(path: Path, source: "MotionSource", fps: float | None = None) -> "tuple[Record, Reference]":
    """The film as one record, and the motion of the person in it.

    Args:
        path: The film.
        source: Finds it, with the camera that saw it.
        fps: Its rate, where it is a folder of numbered pictures.

    Raises:
        CreationError: If it shows several people or none.
    """
    from synthaug.creation import CreationError
    from synthaug.motions import UnusableClipError
    from synthaug.structures import Record
    from synthaug.video import probe, probe_pictures

    info = probe(path) if fps is None or not path.is_dir() else probe_pictures(path, fps=fps)
    record = Record(path.stem, path, 0, "", "", 0.0, info.duration)
    try:
        reference = source.load(record)
    except UnusableClipError as error:
        raise CreationError(f"'{path.name}' shows nobody well enough for an avatar. {error}") from error
    people = round(reference.notes.get("people", 1.0))
    if people > 1:
        logger.warning(
            "'%s' shows %d people; the one who moves most is taken. Cut the film to one person if it is another.",
            path.name, people,
        )  # fmt: skip
    return record, reference


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
