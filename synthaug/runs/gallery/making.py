"""Make the gallery of a run: its films, in several processes, and its page."""

from collections.abc import Sequence
from pathlib import Path

from synthaug.datamodule.module import SynthAugDataModule
from synthaug.files import write_atomic
from synthaug.runs.gallery.entries import describe, pick_clips
from synthaug.runs.gallery.films import FilmJobs
from synthaug.runs.gallery.page import FILMS, Papers, build_page
from synthaug.runs.replay import run_jobs
from synthaug.structures import Recipe


def make_gallery(
    data: SynthAugDataModule,
    recipes: Sequence[Recipe],
    folder: Path,
    *,
    title: str,
    limit: int = 12,
    terms: Sequence[tuple[str, str, str, str]] = (),
    num_workers: int = 0,
) -> tuple[int, int]:
    """Write `index.html`, and in `clips/` a film and the recipe of each clip shown; films that are there are kept.

    The page is written last, so that a gallery that was broken off has none, or an older one whose films are there.

    Args:
        data: The data module, set up with the configuration that the recipes were made with.
        recipes: Those of the run.
        folder: Where they are written.
        title: Title of the page.
        limit: Clips of each class; 0 shows all.
        terms: Sources with their licence, and whether they may be shared and trained on.
        num_workers: Number of processes.

    Returns:
        How many clips the page shows, and how many films were made for it.

    Raises:
        ValueError: If there is nothing to show, or a recipe is of other data.
    """
    synthesizer = data.synthesizer
    if data.packed is not None:
        raise ValueError(
            "Expected a run that rendered its synthetic clips, got finished ones that it read. `synthaug preview` "
            "shows them beside their references."
        )
    if synthesizer is None or not recipes:
        raise ValueError("Expected a run with synthetic clips, got one without. Give another run's folder.")
    references = synthesizer.references
    foreign = next((one for one in recipes if one.actors[0].motion not in references.by_key), None)
    if foreign is not None:
        raise ValueError(
            f"Expected recipes of the run's own motions, got one of '{foreign.actors[0].motion}', which its data do "
            "not give. Check that its films and recordings are where they were."
        )
    picked = pick_clips(recipes, references, limit)
    made = run_jobs(FilmJobs(synthesizer, picked, folder / FILMS), len(picked), "Filming", num_workers=num_workers)
    papers = Papers(title, len(recipes), len(references.dropped), terms, synthesizer.synthesis.exclusions)
    page = build_page(describe(picked, references, data.class_names), papers)
    write_atomic(folder / "index.html", page.encode("utf-8", "replace"))
    return len(picked), made
