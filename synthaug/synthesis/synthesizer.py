"""The synthetic data set: recipes sampled, staged, rendered, cached and finished to clips."""

import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from jaxtyping import UInt8
from torch import Tensor

from synthaug.compositing.layers import darken, occlude, over
from synthaug.compositing.shadows import contact_shadow, seat_shadow
from synthaug.progress import track
from synthaug.structures import Clip, ClipFormat, Recipe, Rendering, Values
from synthaug.synthesis.covering import name_parts
from synthaug.synthesis.ground_truth import GroundTruth, ground_truth, mirror_truth
from synthaug.synthesis.performances import Performances, find_swapped
from synthaug.synthesis.recipes import Excluded, RecipeSampler, Shown
from synthaug.synthesis.references import References
from synthaug.synthesis.settings import Synthesis
from synthaug.synthesis.staging import RenderJob, Stager


def composite(
    job: RenderJob, rendering: Rendering
) -> tuple[UInt8[Tensor, "time 3 height width"], UInt8[Tensor, "time 1 height width"]]:
    """Rendered people over their place, with their shadows, before any sensor; and their coverage."""
    scene = job.scene
    if scene.depth is not None:
        rendering = occlude(rendering, scene.depth)
    frames = scene.frames
    if scene.spot is not None:
        shadows = [contact_shadow(joints, job.camera, scene.light, depth=scene.depth) for joints in job.joints]
        for seat in job.seats:
            shadows[0] = shadows[0] * seat_shadow(seat, job.camera, scene.light, depth=scene.depth)
        for kept in shadows:
            frames = darken(frames, kept)
    return over(rendering, frames), rendering.alpha


class Synthesizer:
    """The synthetic data set: a finite list of recipes, and their clips.

    Args:
        synthesis: What to synthesise with.
        references: Training clips with their motions, and no others.
        clip: How clips are cut.
        seed: Decides every recipe.
        lineage: Entries that are written into each recipe in addition to our own.
        mirror_labels: Label of the mirror image, by label; a class that is not among them has none. None if the data
            set does not say.

    Raises:
        ValueError: If mirror images are asked for, and the data set does not say what they show.
    """

    def __init__(
        self,
        synthesis: Synthesis,
        references: References,
        clip: ClipFormat,
        *,
        seed: int,
        lineage: Values | None = None,
        mirror_labels: Mapping[int, int] | None = None,
    ) -> None:
        self.synthesis = synthesis
        self.references = references
        self.clip = clip
        self._performances = Performances(references, synthesis.variation)
        self._stager = Stager(synthesis, self._performances)
        self._sampler = RecipeSampler(
            synthesis,
            self._performances,
            clip,
            seed=seed,
            lineage=lineage,
            mirror_labels=mirror_labels,
            accepts=self._accepts,
        )

    @property
    def identities(self) -> tuple[str, ...]:
        """Names of the people who perform."""
        return self._sampler.identities

    def preload_avatars(self) -> None:
        """Load all people, several at a time: before workers fork, so that they share what was built or read."""
        if not self.references.records:
            return
        who, load = self.identities, self.synthesis.avatar.load
        with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
            for _ in track(pool.map(load, who), "Loading avatars", len(who)):
                pass

    def __len__(self) -> int:
        """Number of synthetic clips."""
        return len(self._sampler)

    @property
    def shown(self) -> dict[int, Shown]:
        """By class: how many clips were sampled again to show their action, and how many were left out."""
        return self._sampler.shown

    @property
    def excluded(self) -> Excluded:
        """What of `Synthesis.exclude` was found in the set."""
        return self._sampler.excluded

    def label(self, index: int) -> int:
        """Class of the clip at this index."""
        return self._sampler.label(index)

    def sample(self, index: int, *, generation: int = 0) -> Recipe:
        """Sample the recipe at this index. Depends on the seed, the index and the generation, and on nothing else.

        Args:
            index: 0 <= index < len(self).
            generation: How often the set has been sampled again.
        """
        return self._sampler.sample(index, generation=generation)

    def _accepts(self, recipe: Recipe) -> bool:
        return max(self.synthesis.min_shown, self.synthesis.min_shown_half_second) == 0 or (
            self._stager.shows_action(recipe)
        )

    def stage(self, recipe: Recipe) -> RenderJob:
        """Stage a recipe: who stands where, seen by which camera, in which place and light. Samples nothing."""
        return self._stager.stage(recipe)

    def with_people(self, recipe: Recipe, job: RenderJob) -> RenderJob:
        """Add the people to a job that came without them: processes send each other motions, not avatars."""
        return self._stager.with_people(recipe, job)

    def render(self, recipe: Recipe) -> Clip:
        """The clip that a recipe decides; samples nothing, and does not depend on what was rendered before."""
        job = self.stage(recipe)
        return self.finish(recipe, job, self.render_people(job))

    def render_people(self, job: RenderJob) -> Rendering:
        """The people of a job on a transparent background; from the cache if it has them."""
        rendering = self.read_cache(job)
        if rendering is None:
            rendering = self.synthesis.renderer.render(job.people, job.camera, depth=job.scene.depth is not None)
            self.write_cache(job, rendering)
        return rendering

    def render_ground_truth(self, recipe: Recipe) -> GroundTruth:
        """Exact masks, parts and joints of the clip that a recipe decides, before its sensor: always rendered.

        Raises:
            ValueError: If the renderer cannot label parts.
        """
        job = self.stage(recipe)
        return self.find_truth(recipe, job, self.render_labelled(job))

    def render_labelled(self, job: RenderJob) -> Rendering:
        """The people of a job with their parts: `finish` makes the clip of it, and `find_truth` the truth.

        Raises:
            ValueError: If the renderer cannot label parts.
        """
        depth = job.scene.depth is not None
        rendering = self.synthesis.renderer.render(job.people, job.camera, depth=depth, labels=True)
        if not job.placed or rendering.labels is None:
            return rendering
        return replace(rendering, labels=name_parts(rendering.labels, job.people, count=len(job.motions)))

    def find_truth(self, recipe: Recipe, job: RenderJob, rendering: Rendering) -> GroundTruth:
        """Exact masks, parts and joints of the finished picture of a job.

        Args:
            recipe: What the job was staged of.
            job: What was rendered.
            rendering: What `render_labelled` returned.
        """
        seen = rendering if job.scene.depth is None else occlude(rendering, job.scene.depth)
        truth = ground_truth(seen, job.joints, job.camera)
        return mirror_truth(truth) if is_flipped(recipe) else truth

    def read_cache(self, job: RenderJob) -> Rendering | None:
        """The rendered people of a job from the cache; None if it lacks them, or if there is no cache."""
        return None if self.synthesis.cache is None else self.synthesis.cache.read(job.key)

    def write_cache(self, job: RenderJob, rendering: Rendering) -> None:
        """Put the rendered people of a job into the cache, if there is one."""
        if self.synthesis.cache is not None:
            self.synthesis.cache.write(job.key, rendering)

    def finish(self, recipe: Recipe, job: RenderJob, rendering: Rendering) -> Clip:
        """Lay rendered people over their place, and record the picture with the sensor."""
        video, people = composite(job, rendering)
        if is_flipped(recipe):
            video, people = video.flip(-1), people.flip(-1)
        if self.synthesis.sensor is not None:
            video = self.synthesis.sensor.record(video, recipe.sensor, people=people, filmed=job.scene.filmed)
        duration = math.inf
        for actor in recipe.actors:
            duration = min(duration, self._performances.find(actor.motion).motion.duration)
        looped = max(0, recipe.num_frames - math.ceil((duration - recipe.start) * recipe.fps))
        return Clip(
            key=recipe.key,
            video=video,
            fps=recipe.fps,
            label=recipe.label,
            subject=recipe.actors[0].identity,
            camera="synthetic",
            recipe=recipe,
            looped=looped,
        )


def is_flipped(recipe: Recipe) -> bool:
    """Whether the finished picture is mirrored: in its own film, the place changes sides as the people do."""
    return find_swapped(recipe) is not None and recipe.actors[0].mirrored
