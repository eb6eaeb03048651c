"""Synthetic clips of the support of a few-shot task, and of nothing else: rendered, or another generator's."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from synthaug.datamodule.guards import find_mirror_labels
from synthaug.datasets import ActionDataset, LeakError, Split
from synthaug.datasets.leaks import assert_strangers, find_held_out
from synthaug.fewshot.episodes import Task
from synthaug.files import user_cache
from synthaug.foreign import ForeignClips
from synthaug.foreign.gathering import Training, gather_clips
from synthaug.structures import Clip, ClipFormat, Record
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.synthesis.preparing import prepare_synthesis
from synthaug.synthesis.references import extract_references, filter_references
from synthaug.synthesis.strangers import add_strangers
from synthaug.video.copies import find_copies


class SupportSynthesis:
    """Makes synthetic clips of one task's support at a time.

    Args:
        synth: What to synthesise, with `per_class` clips for each class of a task.
        dataset: Where the records come from.
        clip: How clips are cut.
        seed: Decides every recipe.
        support: Records in the support of any task, whose motions are extracted here.
        num_workers: Number of processes that extract.
    """

    def __init__(
        self, synth: Synthesis, dataset: ActionDataset, clip: ClipFormat, *, seed: int, support: Sequence[Record],
        num_workers: int = 0,
    ) -> None:  # fmt: skip
        self.synth = synth.name_classes(dataset.classes)
        self.dataset = dataset
        self.clip = clip
        self.seed = seed
        self.mirror_labels = find_mirror_labels(dataset)
        self.references = extract_references(
            support, synth.motion, cache=user_cache() / "motions", num_workers=num_workers
        )

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


class ForeignSupport:
    """Takes another generator's clips of one task's support at a time.

    Args:
        foreign: Which folder, and what is asked of its clips.
        training: The data set, whose training clips are the records in the support of any task, and whose test clips
            are the queries of any task.
        per_class: Clips of each class of a task, at most.

    Raises:
        LeakError: If a clip is a copy of a film of the tasks.
    """

    def __init__(self, foreign: ForeignClips, training: Training, *, per_class: int) -> None:
        self.per_class = per_class
        support = Split(training.split.train, (), ())  # a query of one task may be in the support of another
        wanted = replace(foreign, per_class=None, identities=None)
        self.pack = gather_clips(wanted, replace(training, split=support))
        paths = {Path(str(row["path"])) for row in self.pack.rows}
        if copies := find_copies(paths, {record.path for record in training.split.test}):
            path, others = next(iter(copies.items()))
            raise LeakError(
                f"Expected another generator's clips, got '{path}', a copy of the tested '{others[0]}'. Remove it."
            )

    def render_clips(self, task: Task, number: int) -> list[Clip]:
        """The clips that re-enact a task's support, evenly over it; nothing is rendered.

        Args:
            task: The task.
            number: Number of the task, which changes nothing.

        Raises:
            LeakError: If a clip bears the name of somebody who is seen in the queries alone.
        """
        keys = {record.key for record in task.support}
        taken: dict[int, list[int]] = {}
        for place in range(len(self.pack.rows)):
            recipe = self.pack.recipe(place)
            if recipe.actors[0].motion in keys and recipe.label in task.classes:
                taken.setdefault(recipe.label, []).append(place)
        places = [place for found in taken.values() for place in found[: self.per_class]]
        recipes = [self.pack.recipe(place) for place in places]
        people = {recipe.actors[0].identity: recipe.actors[0].identity for recipe in recipes}
        assert_strangers(people, Split(tuple(task.support), (), tuple(task.query)))
        return [
            Clip(recipe.key, self.pack.read(place), recipe.fps, recipe.label, recipe.actors[0].identity, "synthetic",
                 recipe)
            for place, recipe in zip(places, recipes, strict=True)
        ]  # fmt: skip
