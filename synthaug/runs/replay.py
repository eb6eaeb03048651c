"""Render recipes again, into the cache or into films that carry their recipe: whole, or one shard of many."""

from collections.abc import Sequence

from torch.utils.data import DataLoader, Dataset

from synthaug.datamodule.module import SynthAugDataModule
from synthaug.progress import track
from synthaug.runs.stores import Store
from synthaug.structures import Recipe
from synthaug.synthesis.synthesizer import Synthesizer
from synthaug.video import write_video
from synthaug.workers import use_single_thread


def replay(
    data: SynthAugDataModule, recipes: Sequence[Recipe], *, store: Store | None = None, num_workers: int = 0
) -> int:
    """Render recipes that are not there yet; returns how many were rendered.

    Args:
        data: The data module, set up with the configuration that the recipes were made with.
        recipes: The recipes to render.
        store: Where to keep `<class>/<digest>.mp4`, H.264 at crf 18 with the recipe in the file's `comment` tag. None
            fills the cache instead.
        num_workers: Number of processes.

    Raises:
        ValueError: If there is nothing to render with, or nowhere to keep it.
    """
    jobs = RecipeJobs.of(data, recipes, store)
    return run_jobs(jobs, len(jobs), "Rendering", num_workers=num_workers) if recipes else 0


def run_jobs(jobs: Dataset, count: int, description: str, *, num_workers: int = 0) -> int:
    """Do all jobs, in several processes, and report progress; returns for how many anything had to be done.

    Args:
        jobs: Each item does a job, and is whether anything had to be done.
        count: Number of jobs, at least one.
        description: What they do: "Rendering".
        num_workers: Number of processes; 0 and 1 work in this one.
    """
    done = int(jobs[0])  # here, so that compiled kernels are inherited
    rest = DataLoader(
        jobs, sampler=range(1, count), batch_size=None, num_workers=num_workers,
        multiprocessing_context="fork" if num_workers else None, worker_init_fn=use_single_thread,
    )  # fmt: skip
    return done + sum(int(one) for one in track(rest, description, count, done=1))


class RecipeJobs(Dataset):
    """Recipes to render, for a DataLoader's processes; an item is whether anything had to be done."""

    def __init__(
        self, synthesizer: Synthesizer, recipes: list[Recipe], store: Store | None, classes: Sequence[str]
    ) -> None:
        self._synthesizer, self._recipes, self._store, self._classes = synthesizer, recipes, store, classes

    @staticmethod
    def of(data: SynthAugDataModule, recipes: Sequence[Recipe], store: Store | None) -> "RecipeJobs":
        """The jobs of a data module; arguments and errors as for `replay`."""
        synthesizer = data.synthesizer
        if data.packed is not None:
            raise ValueError("Expected a run that rendered its clips, got finished ones that it read. Take those.")
        if synthesizer is None:
            raise ValueError("Expected recipes of a run with synthetic clips, got a run without. Give another run's.")
        if store is None and synthesizer.synthesis.cache is None:
            raise ValueError(
                "Expected --to DIR or a run with synth.cache, got neither. Add --to DIR to write films there."
            )
        return RecipeJobs(synthesizer, list(recipes), store, data.class_names)

    def index_by_digest(self) -> dict[str, int]:
        """Place of each recipe."""
        return {recipe.digest: place for place, recipe in enumerate(self._recipes)}

    def __len__(self) -> int:
        return len(self._recipes)

    def __getitem__(self, index: int) -> bool:
        recipe, synthesizer = self._recipes[index], self._synthesizer
        if self._store is None:
            job = synthesizer.stage(recipe)
            cache = synthesizer.synthesis.cache
            there = cache is not None and cache.read(job.key) is not None
            if not there:
                synthesizer.render_people(job)
            return not there
        name = f"{self._classes[recipe.label].replace('/', '-')}/{recipe.digest}.mp4"
        if self._store.has(name):
            return False
        clip, about = synthesizer.render(recipe), {"comment": recipe.to_json()}
        self._store.put(name, lambda path: write_video(path, clip.video, fps=clip.fps, metadata=about))
        return True
