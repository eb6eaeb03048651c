"""Prepare what depends on the training films, once, before anything is sampled: the places, then the sensor."""

import math
from collections.abc import Mapping
from dataclasses import replace

from synthaug.compositing.silhouettes import mask_people
from synthaug.sensors import Unrecorded
from synthaug.structures import ClipFormat, Recipe
from synthaug.synthesis.references import References
from synthaug.synthesis.settings import Synthesis
from synthaug.synthesis.synthesizer import Synthesizer, composite

TRIALS = 48
"""Synthetic clips that a sensor may look at, about."""
TRIAL_PEOPLE = 10
"""People in them."""


def prepare_synthesis(
    synthesis: Synthesis,
    references: References,
    clip: ClipFormat,
    *,
    seed: int,
    mirror_labels: Mapping[int, int] | None = None,
) -> Synthesis:
    """The synthesis with the places that these references' films allow, and a sensor that is fitted to them.

    Args:
        synthesis: What to synthesise with.
        references: Training clips with their motions, and no others.
        clip: How clips are cut.
        seed: Decides the clips that the sensor looks at.
        mirror_labels: As for `Synthesizer`.
    """
    films = references.films
    if not films:
        return synthesis
    placed = synthesis.prepare(films)
    sensor = synthesis.sensor
    if sensor is None:
        return placed

    def render() -> list[Unrecorded]:
        return render_trials(placed, references, clip, seed=seed, mirror_labels=mirror_labels)

    return replace(placed, sensor=sensor.prepare(films, clip, render))


def render_trials(
    synthesis: Synthesis,
    references: References,
    clip: ClipFormat,
    *,
    seed: int,
    mirror_labels: Mapping[int, int] | None = None,
) -> list[Unrecorded]:
    """Render some clips of the set, evenly over its classes, before their sensor."""
    classes = len({record.label for record in references.records})
    few = replace(
        synthesis,
        sensor=None,
        exclude=None,  # so that a list changes neither the look of the clips that stay nor their recipes
        identities=min(synthesis.identities, TRIAL_PEOPLE),
        backgrounds=min(synthesis.backgrounds, 2),
        per_class=max(1, math.ceil(TRIALS / classes)),
    )
    synthesizer = Synthesizer(few, references, clip, seed=seed, mirror_labels=mirror_labels)
    count = len(synthesizer)
    places = sorted({round((k + 0.5) * count / TRIALS - 0.5) for k in range(TRIALS)} & set(range(count)))
    return [render_trial(synthesizer, synthesizer.sample(place)) for place in places]


def render_trial(synthesizer: Synthesizer, recipe: Recipe) -> Unrecorded:
    """The clip of a recipe before its sensor."""
    job = synthesizer.stage(recipe)
    # Not from the cache, nor into it: these clips are no part of the set.
    rendering = synthesizer.synthesis.renderer.render(job.people, job.camera, depth=job.scene.depth is not None)
    video, people = composite(job, rendering)
    return Unrecorded(video, people, mask_people(job.joints, job.camera), job.scene.filmed)
