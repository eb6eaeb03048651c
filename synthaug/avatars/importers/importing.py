"""Avatar packs from outside: importing with papers, describing, showing, exporting, and who must no longer be used.

For the command line; above the avatars, a renderer and the parametric actions.
"""

import datetime
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.avatars.importers.checkpoints import read_json
from synthaug.avatars.importers.exavatar import Importing, import_exavatar
from synthaug.avatars.importers.lhm import import_lhm
from synthaug.avatars.importers.ply import Splats, write_ply
from synthaug.avatars.importers.scan import import_ply
from synthaug.avatars.importers.smplx_body import MAX_BETAS
from synthaug.avatars.pack.about import About, Consent, Licence, PackError, from_plain
from synthaug.avatars.pack.format import SUFFIX, Pack, PackFile, read_header, read_pack, with_about, write_pack
from synthaug.avatars.pack.rig import rehearsal
from synthaug.avatars.packs import PackedPerson, Packs
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_quat
from synthaug.body.skeleton import JOINT, mean_skeleton, retarget
from synthaug.body.skinning import pose_frame
from synthaug.files import write_atomic
from synthaug.levels import Pyramid
from synthaug.motions.actions import Actions
from synthaug.motions.smplx_npz import Axes, read_smplx_npz
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.splatting.refinement import Refinement
from synthaug.runs.sheets import SheetRow, Strip
from synthaug.structures import Camera, Gaussians, Motion, Recipe, Record

KINDS = ("exavatar", "lhm", "ply")
"""What can be imported, one file at a time; trees of many go through `random_people`."""
SHOWN = ("hand waving", "cheer up", "squat down", "kicking something", "throw", "walk")
"""Actions of the contact sheet: arms up, legs bent and spread, the trunk turned; all on the spot."""
MAX_EXPORT_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Wanted:
    """What an import is told.

    Attributes:
        kind: One of KINDS.
        name: Of the identity; empty takes the source's name.
        height: Of the bare person, metres; `ply` needs it.
        identity: ExAvatar's `smplx_optimized` folder.
        body: The user's SMPL-X file; `lhm` needs it.
        template: LHM's point template.
        betas: `lhm`: JSON file with the person's shape, a list or LHM's smplx_params with `betas`; None is the mean.
        papers: JSON file with licence, consent, subject, attributes or height.
        hands: "exavatar" or "composed".
        ignore_unknown: Leave out what an ExAvatar checkpoint has beside.
        levels: Add levels of detail.
    """

    kind: str
    name: str = ""
    height: float | None = None
    identity: Path | None = None
    body: Path | None = None
    template: Path | None = None
    betas: Path | None = None
    papers: Path | None = None
    hands: str = "exavatar"
    ignore_unknown: bool = False
    levels: bool = True


def imported(source: Path, wanted: Wanted) -> Pack:
    """A pack of a foreign file, with its papers and levels of detail.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If something is missing or cannot be read; the message says what.
    """
    pack = _of_kind(source, wanted, wanted.name or source.stem)
    if wanted.papers is not None:
        pack = with_about(pack, with_papers(pack.about, wanted.papers))
    return detailed(pack) if wanted.levels else pack


def betas_of(path: Path) -> Float[Tensor, " beta"]:
    """Shape coefficients of a JSON file: a list of numbers, or an object that has one as `betas`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no such list.
    """
    plain = read_json(path)
    values = plain.get("betas") if isinstance(plain, dict) else plain
    numbers = [float(v) for v in values if isinstance(v, int | float)] if isinstance(values, list) else []
    if not isinstance(values, list) or not 1 <= len(numbers) == len(values) <= MAX_BETAS:
        raise ValueError(
            f"'{path}' holds no shape; a JSON list of 1 to {MAX_BETAS} numbers, or an object with one as 'betas', was "
            "wanted. Give a frame of LHM's smplx_params, say."
        )
    return torch.tensor(numbers, dtype=torch.float64)


def _of_kind(source: Path, wanted: Wanted, name: str) -> Pack:
    if wanted.kind == "exavatar":
        return import_exavatar(
            source, name, Importing(wanted.identity, wanted.body, wanted.hands, wanted.ignore_unknown)
        )
    if wanted.kind == "lhm":
        if wanted.body is None:
            raise ValueError(
                "lhm was given without a body; your own SMPLX_NEUTRAL.npz was wanted. Give it with --body."
            )
        betas = None if wanted.betas is None else betas_of(wanted.betas)
        return import_lhm(source, name, body=wanted.body, template=wanted.template, betas=betas)
    if wanted.kind == "ply":
        if wanted.height is None:
            raise ValueError(
                "ply was given without a height; a splat has no scale of its own. Give --height 1.75, say."
            )
        return import_ply(source, name, height=wanted.height)
    raise ValueError(f"kind {wanted.kind!r} was given; one of {', '.join(KINDS)} was wanted. Choose one.")


def detailed(pack: Pack) -> Pack:
    """The pack with ever coarser levels after its finest, taught to look like it in many poses."""
    finest = replace(pack.levels[0], levels=())
    posed = replace(finest, T_world_rest=pack.rig.transforms(rehearsal()))
    person = Pyramid(refine=Refinement()).add_levels(posed)
    return replace(pack, levels=(finest, *(person.at(level) for level in person.levels)))


def with_papers(about: About, path: Path) -> About:
    """What is known about a person, with what a JSON file says.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it is no such JSON.
    """
    plain = read_json(path)
    allowed = ("licence", "consent", "subject", "attributes", "height", "name")
    if not isinstance(plain, dict) or not set(plain) <= set(allowed):
        raise ValueError(f"'{path}' was given; a JSON object with some of {', '.join(allowed)} was wanted. Correct it.")
    known = {name: value for name, value in vars(about).items() if name in allowed}
    parts = {"licence": Licence, "consent": Consent}
    try:
        told = {
            name: from_plain(parts[name], value, where=name) if name in parts else value
            for name, value in plain.items()
        }
        return replace(about, **{**known, **told})
    except (ValueError, TypeError) as error:
        raise ValueError(f"'{path}' cannot be used: {error}. See docs/avatar-pack.md. Correct it.") from error


def described(path: Path) -> dict[str, str]:
    """What a person wants to know about a pack, line by line.

    Raises:
        FileNotFoundError: If it is not there.
        PackError: If it is damaged.
    """
    file = PackFile(path)
    about, level = file.header.about, file.level(0)
    low, high = level.means.amin(0).tolist(), level.means.amax(0).tolist()
    consent = about.consent
    objection = consent.objection(datetime.date.today())
    lines = {
        "name": about.name,
        "digest": file.header.digest,
        "Gaussians": ", ".join(f"{count:,}" for count in file.header.counts),
        "bounds, m": " to ".join("(" + ", ".join(f"{value:.2f}" for value in corner) + ")" for corner in (low, high)),
        "height, m": "not recorded" if about.height is None else f"{about.height:.3f}",
        "hands": about.hands,
        "from": " ".join(part for part in (about.provenance.kind, about.provenance.source) if part),
        "made by": about.provenance.tool,
        "notes": "; ".join(about.provenance.notes) or "none",
        "licence": ". ".join(part for part in (about.licence.name, about.licence.terms) if part),
        "consent": objection or ", ".join(_stated(consent)) or "not stated",
        "contact": consent.contact or "not stated",
        "subject": about.subject or "of no data set",
        "attributes": ", ".join(f"{key} {value}" for key, value in about.attributes.items()) or "none",
    }
    return {**lines, **{key: f"{value:.4g}" for key, value in about.quality.items()}}


def _stated(consent: Consent) -> Iterable[str]:
    for use in ("training", "display", "redistribution"):
        answer = getattr(consent, use)
        if answer is not None:
            yield use if answer else f"no {use}"
    if consent.expires:
        yield f"until {consent.expires}"


def found(paths: Sequence[Path]) -> list[Path]:
    """Packs that are named, or lie below the folders that are named.

    Raises:
        FileNotFoundError: If there is none.
    """
    packs = [pack for path in paths for pack in (sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path])]
    if not packs:
        raise FileNotFoundError(f"{', '.join(map(str, paths))} has no avatar pack. Files *{SUFFIX} were wanted.")
    return packs


def problems(path: Path) -> list[str]:
    """What is wrong with a pack: damage, consent that does not hold, papers that say nothing."""
    try:
        about = read_pack(path).about
    except (PackError, FileNotFoundError) as error:
        return [str(error)]
    objection = about.consent.objection(datetime.date.today())
    unstated = [f"{name} is not stated" for name, said in (("licence", about.licence != Licence()),) if not said]
    return ([f"may not be used: {objection}"] if objection else []) + unstated


def recipes_of(paths: Sequence[Path]) -> list[Recipe]:
    """The recipes of some runs.

    Raises:
        ValueError: If a file is not there, or holds something else.
    """
    found: list[Recipe] = []
    for path in paths:
        try:
            found += [Recipe.from_json(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise ValueError(
                f"'{path}' cannot be read as recipes ({error}). The recipes.jsonl of a run was wanted. Check the path."
            ) from error
    return found


def affected(root: Path, recipes: Iterable[Recipe]) -> list[tuple[Recipe, str]]:
    """Recipes that show somebody who may no longer be used, or whose pack is gone; each with the reason."""
    cast = Packs(root)
    reasons = {**{name: None for name in cast.headers}, **cast.refused}
    hit = []
    for recipe in recipes:
        for actor in recipe.actors:
            reason = reasons.get(actor.identity, "there is no such pack any more")
            if reason is not None:
                hit.append((recipe, f"{actor.identity}: {reason}"))
    return hit


def pictures(path: Path, *, side: int = 256) -> tuple[Tensor, list[SheetRow]]:
    """A turntable of a pack, [time, 3, side, side], and rows of a contact sheet over a fixed set of motions.

    Raises:
        FileNotFoundError: If it is not there.
        PackError: If it is damaged.
    """
    person = PackedPerson(path)
    turntable = _over_grey(person, _turning(48), side)
    source, rows = Actions(), []
    for name in SHOWN:
        motion = source.load(Record(f"{name}/studio/0", Path(name), 0, "", "", 0.0, 3.0)).motion
        fitted = retarget(motion, mean_skeleton(), person.skeleton)
        fitted = replace(fitted, transl=fitted.transl * torch.tensor([0.0, 1.0, 0.0]))
        rows.append(SheetRow(name, (Strip("", _over_grey(person, fitted, side)),)))
    return turntable, rows


def _turning(frames: int) -> Motion:
    """Standing with the arms half down, once around."""
    pose = torch.zeros(frames, 55, 3)
    pose[:, JOINT["left_shoulder"], 2], pose[:, JOINT["right_shoulder"], 2] = -0.9, 0.9
    pose[:, 0, 1] = torch.arange(frames) / frames * 2 * torch.pi
    return Motion.from_pose(pose, torch.zeros(frames, 3), fps=16.0)


def _over_grey(person: PackedPerson, motion: Motion, side: int) -> Tensor:
    gaussians = person.pose(motion)
    centre = motion.transl.mean(0)
    distance = 2.4 * float(gaussians.means[:, 1].max() - gaussians.means[:, 1].min())
    viewmat = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, distance], [0, 0, 0, 1]])
    viewmat[:3, 3] += -viewmat[:3, :3] @ centre
    K = torch.tensor([[1.9 * side, 0, side / 2], [0, 1.9 * side, side / 2], [0, 0, 1]])
    frames = motion.num_frames
    camera = Camera(viewmat.repeat(frames, 1, 1), K.repeat(frames, 1, 1), side, side)
    drawn = CpuRenderer().render((gaussians,), camera)
    return (drawn.rgb.int() + (255 - drawn.alpha.int()) * 205 // 255).clamp(0, 255).to(torch.uint8)


def read_motion(path: Path, *, up: str = "y") -> Motion:
    """A motion of an SMPL-X npz file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none.
    """
    return read_smplx_npz(path, Axes(up=up))


def exported(path: Path, to: Path, *, motion: Motion | None = None, frame: int = 0) -> str:
    """Write a pack for viewers; returns what was written, in words.

    Args:
        path: The pack.
        to: .ply: INRIA's layout, canonical, or in one frame of the motion. .npz: all frames of the motion, as
            `means`, `covariances`, `opacities`, `rgbs` (viser's `add_gaussian_splats`) and `fps`.
        motion: None is the canonical pose.
        frame: Of the motion, for .ply.

    Raises:
        ValueError: If the ending is another, the frame does not exist, or the result would be too large.
        PackError: If the pack is damaged.
    """
    pack = read_pack(path)
    if motion is not None and not 0 <= frame < motion.num_frames:
        raise ValueError(f"frame {frame} was given; the motion has {motion.num_frames}. Choose 0 to its last.")
    if to.suffix == ".ply":
        write_ply(to, as_splats(pack, motion, frame))
        where = "the canonical pose" if motion is None else f"that frame{_faces(pack, motion)}"
        return f"{len(pack.levels[0].means):,} Gaussians in {where}"
    if to.suffix != ".npz" or motion is None:
        raise ValueError(f"'{to}' was given; .ply, or .npz with --motion, was wanted. Name the file so.")
    size = motion.num_frames * len(pack.levels[0].means) * 48
    if size > MAX_EXPORT_BYTES:
        raise ValueError(f"{size / 1e9:.1f} GB would be written; at most {MAX_EXPORT_BYTES / 1e9:.1f} were wanted. "
                         "Give a shorter motion.")  # fmt: skip
    posed = [pose_frame(performing(pack, motion, index), index) for index in range(motion.num_frames)]
    buffer = io.BytesIO()
    np.savez(
        buffer, allow_pickle=False, means=torch.stack([one.means for one in posed]).numpy(),
        covariances=torch.stack([one.covars for one in posed]).numpy(), opacities=pack.levels[0].opacities.numpy(),
        rgbs=pack.levels[0].colors.numpy(), fps=np.float32(motion.fps),
    )  # fmt: skip
    write_atomic(to, buffer.getvalue())
    return f"{motion.num_frames} frames of {len(pack.levels[0].means):,} Gaussians{_faces(pack, motion)}"


def _faces(pack: Pack, motion: Motion) -> str:
    """What was made of expressions, in words: coefficients of another basis would make grimaces."""
    if pack.extras.expression_dirs is None or not bool(motion.expression.any()):
        return ""
    basis = "FLAME 2020's" if pack.about.provenance.kind == "exavatar" else "the pack's own"
    return f", expressions read as coefficients of {basis} basis"


def performing(pack: Pack, motion: Motion, frame: int) -> Gaussians:
    """The finest level performing a motion, with what expressions and pose correctives add in this frame."""
    level, extras = pack.levels[0], pack.extras
    means = level.means
    if extras.expression_rows is not None and extras.expression_dirs is not None:
        count = min(motion.expression.shape[1], extras.expression_dirs.shape[2])
        moved = extras.expression_dirs[:, :, :count] @ motion.expression[frame, :count].to(means)
        means = means.index_add(0, extras.expression_rows.long(), moved)
    if extras.corrective_dirs is not None and extras.corrective_features is not None:
        means = means + extras.corrective_dirs @ (extras.corrective_features @ _pose_feature(motion, frame).to(means))
    return replace(level, means=means, T_world_rest=pack.rig.transforms(motion))


def _pose_feature(motion: Motion, frame: int) -> Float[Tensor, "486"]:
    return (axis_angle_to_matrix(motion.pose[frame, 1:]) - torch.eye(3)).flatten()


def as_splats(pack: Pack, motion: Motion | None, frame: int) -> Splats:
    """The finest level as a static splat: canonical, with its harmonics, or in one frame, without them."""
    level = pack.levels[0]
    none = np.zeros((len(level.means), 0, 3), np.float32)
    if motion is None:
        sh = none if pack.extras.sh is None else pack.extras.sh.numpy()
        return Splats(level.means.numpy(), level.quats.numpy(), level.scales.numpy(), level.opacities.numpy(),
                      level.colors.numpy(), sh)  # fmt: skip
    posed = pose_frame(performing(pack, motion, frame), frame)
    quats, scales = _orientations(posed.covars)
    return Splats(posed.means.numpy(), quats, scales, level.opacities.numpy(), level.colors.numpy(), none)


def _orientations(covars: Float[Tensor, "gaussian 3 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Quaternions and standard deviations whose covariances these are."""
    values, axes = torch.linalg.eigh(covars.double())
    axes[torch.linalg.det(axes) < 0, :, 0] *= -1
    return matrix_to_quat(axes).float().numpy(), values.clamp(min=1e-12).sqrt().float().numpy()


def relabelled(path: Path, papers: Path) -> None:
    """Give an existing pack other papers, in place: consent that was withdrawn, say.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If the papers cannot be used.
    """
    pack = read_pack(path)
    write_pack(path, with_about(pack, with_papers(pack.about, papers)))


def licences_of(root: Path) -> dict[str, Licence]:
    """Licence of every pack below a folder, by identity."""
    return {path.relative_to(root).as_posix().removesuffix(SUFFIX): read_header(path).about.licence
            for path in found([root])}  # fmt: skip
