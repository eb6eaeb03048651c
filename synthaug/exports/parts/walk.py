"""Walk over the recipes of a run: render what is missing, then lay all clips out and give the folder its name.

A folder that is not finished has another name than the one asked for, so that nobody takes it for a whole one. Shards
need not communicate: whichever is last finds all clips and lays them out.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch.utils.data import DataLoader, Dataset

from synthaug.exports import CARD, MANIFEST, ROWS, ClipFiles, Export, ExportError, Papers
from synthaug.exports.parts.card import write_card
from synthaug.exports.parts.clips import read_row, write_clip
from synthaug.files import digest_of, write_atomic, write_lines
from synthaug.progress import say, track
from synthaug.structures import Plain, Recipe, Values
from synthaug.synthesis import Synthesizer
from synthaug.workers import use_single_thread

FORMAT = 1
"""Version of the files; raised when they change in a way that older readers would misread."""
UNFINISHED = ".unfinished"
"""What the name of a folder ends with before it is whole."""


@dataclass(frozen=True, eq=False)
class Handover:
    """What is exported.

    Attributes:
        synthesizer: Renders the clips.
        recipes: All clips, those of other shards too.
        classes: Names of the classes, by label.
        papers: Licences and consent; `people` names every identity of the recipes.
        maker: Program and version that makes the export.
        left_out: Number of the run's clips that are left out, by reason.
        own_use: Whether people are shown who do not agree to being handed on.
    """

    synthesizer: Synthesizer
    recipes: tuple[Recipe, ...]
    classes: tuple[str, ...]
    papers: Papers
    maker: str
    left_out: dict[str, int]
    own_use: bool = False

    @cached_property
    def plan(self) -> str:
        """Digest of what is to be made: two exports with the same plan hold the same clips."""
        papers = json.dumps([sorted(vars(one).items()) for _, one in sorted(self.papers.people.items())])
        keys = sorted(recipe.digest for recipe in self.recipes)
        renderer = self.synthesizer.synthesis.renderer.fingerprint
        return digest_of(f"export {FORMAT}", renderer, papers, json.dumps([*self.classes, self.own_use]), *keys)


@dataclass(frozen=True)
class Outcome:
    """What one call of `export` did.

    Attributes:
        rendered: Clips that it rendered.
        missing: Clips that shards have still to render; 0 if the export is whole.
        whole: Whether the folder is there.
    """

    rendered: int
    missing: int
    whole: bool


def export(
    handover: Handover, layout: Export, to: Path, *, recipes: Sequence[Recipe] | None = None, num_workers: int = 0
) -> Outcome:
    """Render the clips that are missing, and lay all of them out once none is.

    Started again after an end of any kind, it goes on. Until the export is whole, all files are in `<to>.unfinished`.

    Args:
        handover: What to export.
        layout: How.
        to: The folder to make.
        recipes: Those that this call renders, of one shard; None renders all.
        num_workers: Number of processes; 0 renders in this one.

    Raises:
        ExportError: If the folder holds something else, or clips of another run.
        ValueError: If the renderer cannot label parts.
    """
    if to.exists() and (to.is_file() or any(to.iterdir())):
        check_whole(to, plan=handover.plan)
        return Outcome(rendered=0, missing=0, whole=True)
    work = to.with_name(f"{to.name}{UNFINISHED}")
    _begin(work, handover.plan)
    every = [ClipFiles(recipe.digest, work / "clips" / recipe.digest[:2]) for recipe in handover.recipes]
    chosen = handover.recipes if recipes is None else recipes
    wanted = {recipe.digest: recipe for recipe in chosen}
    todo = [files for files in every if files.key in wanted and not files.row.exists()]
    _render(handover, [(files, wanted[files.key]) for files in todo], num_workers)
    if (to / MANIFEST).is_file():  # another shard found all clips meanwhile
        shutil.rmtree(work, ignore_errors=True)
        return Outcome(rendered=len(todo), missing=0, whole=True)
    missing = sum(not files.row.exists() for files in every)
    if missing == 0:
        _finish(handover, layout, to, work, every)
    return Outcome(rendered=len(todo), missing=missing, whole=missing == 0)


def check_whole(folder: Path, *, plan: str | None = None) -> Values:
    """The manifest of an export, after a look at whether all of its files are there.

    Args:
        folder: The export.
        plan: What it must have been made of; None takes any.

    Raises:
        ExportError: If it is no export, lacks files, or was made of something else.
    """
    about = read_manifest(folder)
    if plan is not None and about.get("plan") != plan:
        raise ExportError(
            f"Expected '{folder}' to be free or to hold these very clips, got an export of others. Choose another "
            "folder, or remove this one."
        )
    files, size = _measure(folder)
    if (files, size) != (about.get("files"), about.get("bytes")):
        raise ExportError(
            f"Expected {about.get('files')} files of {about.get('bytes')} bytes in '{folder}', got {files} of {size}: "
            "something was added, removed or changed. Remove the folder and export again, or put back what is missing."
        )
    return about


def read_manifest(folder: Path) -> Values:
    """What an export says of itself.

    Raises:
        ExportError: If the folder is no export.
    """
    try:
        about = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        hint = ""
        if folder.with_name(f"{folder.name}{UNFINISHED}").is_dir():
            hint = " An unfinished one lies beside it: start the same `synthaug export` again, and it goes on."
        raise ExportError(
            f"Expected '{folder}' to be a folder that `synthaug export` made, with {MANIFEST}, got none.{hint} Choose "
            "another folder."
        ) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ExportError(
            f"Expected an export of format {FORMAT} in '{folder}', got another. Use the synthaug that made it."
        )
    return about


def _begin(work: Path, plan: str) -> None:
    """Make the folder of work, or take up the one of an earlier call."""
    mark = work / "plan"
    if mark.is_file() and mark.read_text() != plan:
        raise ExportError(
            f"Expected '{work}' to hold part of these very clips, got clips of another run or of other papers. "
            "Remove it, or choose another folder."
        )
    if not mark.is_file() and work.exists() and any(work.iterdir()):
        raise ExportError(f"Expected '{work}' to be free, got other files. Remove it, or choose another folder.")
    write_atomic(mark, plan.encode())


def _render(handover: Handover, jobs: Sequence[tuple[ClipFiles, Recipe]], num_workers: int) -> None:
    if not jobs:
        return
    clips = _ClipJobs(handover, jobs)
    clips[0]  # here, so that compiled kernels are inherited
    rest = DataLoader(
        clips, sampler=range(1, len(clips)), batch_size=None, num_workers=num_workers,
        multiprocessing_context="fork" if num_workers else None, worker_init_fn=use_single_thread,
    )  # fmt: skip
    for _ in track(rest, "Rendering", len(clips), done=1):
        pass


class _ClipJobs(Dataset):
    """Clips to render, for a DataLoader's processes; an item is the number of clips rendered."""

    def __init__(self, handover: Handover, jobs: Sequence[tuple[ClipFiles, Recipe]]) -> None:
        self._handover, self._jobs = handover, jobs

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, index: int) -> int:
        (files, recipe), handover = self._jobs[index], self._handover
        name = handover.classes[recipe.label]
        write_clip(files, handover.synthesizer, recipe, name=name, papers=handover.papers)
        return 1


def _finish(handover: Handover, layout: Export, to: Path, work: Path, every: Sequence[ClipFiles]) -> None:
    """Lay all clips out, and give the folder its name in one step; several shards may do so at once, one is first."""
    # Digests are as good as random: whoever reads from the front on sees all classes mixed.
    ordered = sorted(every, key=lambda files: files.key)
    folder = work / f"whole-{uuid.uuid4().hex}"
    try:
        folder.mkdir()
        layout.lay_out(iter(track(ordered, "Laying out")), folder)
        write_lines(folder / ROWS, (files.row.read_text("utf-8").strip() for files in ordered))
        write_atomic(folder / CARD, write_card(_rows(ordered), handover, layout).encode())
        files, size = _measure(folder)
        about = {**describe(handover), "layout": type(layout).__name__, "files": files, "bytes": size}
        write_atomic(folder / MANIFEST, (json.dumps(about, indent=1, sort_keys=True) + "\n").encode())
        if to.is_dir():
            to.rmdir()  # it is empty
        os.rename(folder, to)
    except OSError as error:
        if not (to / MANIFEST).is_file():
            raise
        say(f"Another shard has laid '{to}' out already ({type(error).__name__}).")
    shutil.rmtree(work, ignore_errors=True)


def describe(handover: Handover) -> dict[str, Plain]:
    """What a manifest says of an export, its files apart."""
    synthesis, clip = handover.synthesizer.synthesis, handover.synthesizer.clip
    return {
        "format": FORMAT,
        "made_by": handover.maker,
        "plan": handover.plan,
        "clips": len(handover.recipes),
        "classes": list(handover.classes),
        "num_frames": clip.num_frames,
        "fps": clip.fps,
        "size": clip.size,
        "renderer": synthesis.renderer.fingerprint,
        "places": sorted({key for place in synthesis.places for key in place.sources}),
        "left_out": dict(handover.left_out),
        "own_use": handover.own_use,
        "terms": [vars(one) for one in handover.papers.sources],
    }


def _is_passing(name: str) -> bool:
    return name in (MANIFEST, CARD) or name.startswith(".") or name.endswith((".cnt", ".lock"))


def _rows(ordered: Sequence[ClipFiles]) -> Iterator[Values]:
    return (read_row(files.row.read_text("utf-8")) for files in ordered)


def _measure(folder: Path) -> tuple[int, int]:
    """Number and size of all files but the manifest, the card, which people edit, and what readers leave."""
    files = [path for path in folder.rglob("*") if path.is_file() and not _is_passing(path.name)]
    return len(files), sum(path.stat().st_size for path in files)
