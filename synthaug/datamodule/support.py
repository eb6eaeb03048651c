"""Synthesises clips from the support of a few-shot task, and from nothing else."""

from collections.abc import Sequence

from synthaug.datamodule.guards import find_mirror_labels
from synthaug.datasets import ActionDataset, LeakError, Split
from synthaug.datasets.leaks import find_held_out
from synthaug.fewshot.episodes import Task
from synthaug.files import user_cache
from synthaug.structures import Clip, ClipFormat, Record
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.synthesis.preparing import prepare_synthesis
from synthaug.synthesis.references import extract_references, filter_references
from synthaug.synthesis.strangers import add_strangers


class SupportSynthesis:
    """Makes synthetic clips of one task's support at a time.

    Args:
        synth: What to synthesise, with `per_class` clips for each class of a task.
        dataset: Where the records come from.
        clip: How clips are cut.
        seed: Decides every recipe.
        support: Records in the support of any task, whose motions are extracted here.
    """

    def __init__(
        self, synth: Synthesis, dataset: ActionDataset, clip: ClipFormat, *, seed: int, support: Sequence[Record]
    ) -> None:
        self.synth = synth.name_classes(dataset.classes)
        self.dataset = dataset
        self.clip = clip
        self.seed = seed
        self.mirror_labels = find_mirror_labels(dataset)
        self.references = extract_references(support, synth.motion, cache=user_cache() / "motions")

    def render_clips(self, task: Task, number: int) -> list[Clip]:
        """Render the synthetic clips of a task; none for classes whose support gives no motion.

        Args:
            task: The task whose support is re-enacted.
            number: Number of the task; written into the recipes' lineage.

        Raises:
            LeakError: If a recipe shows anything but the support.
        """
        keys = {record.key for record in task.support}
        # Estimated from this support alone: a query of this task may be in the support of another one.
        references = filter_references(
            self.references.select(keys),
            min_quality=self.synth.min_quality,
            fixed_cameras=self.dataset.fixed_cameras,
        ).drop_glimpses(self.clip.seconds / 2)
        if not references.records:
            return []
        references = add_strangers(references, self.synth, self.dataset.classes, seed=self.seed)
        synth = prepare_synthesis(self.synth, references, self.clip, seed=self.seed, mirror_labels=self.mirror_labels)
        synthesizer = Synthesizer(
            synth, references, self.clip, seed=self.seed, lineage={"task": number}, mirror_labels=self.mirror_labels
        )
        recipes = [synthesizer.sample(index) for index in range(len(synthesizer))]
        recipes = [recipe for recipe in recipes if recipe.label in task.classes]
        performed = {references.clip_of(actor.motion) for recipe in recipes for actor in recipe.actors}
        support = Split(task.support, (), ())
        shown = sorted(performed.union(*(place.sources for place in synth.places)))
        if strangers := find_held_out(shown, support, "key"):
            raise LeakError(
                f"Expected synthetic clips of task {number} to show its support alone, got {strangers[0]!r}. Report "
                "this as a bug, since no setting should lead here."
            )
        return [synthesizer.render(recipe) for recipe in recipes]
