"""Choose the clips that a gallery shows, and describe them and their motions in plain values for its page."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from synthaug.structures import Plain, Recipe, Record, Reference
from synthaug.synthesis.references import References

_PLACES = {
    "swapped": "own film",
    "plate": "plate of film",
    "place": "stock of places",
    "file": "picture",
    "color": "plain",
}
"""What a place is called, by a value that its recipes have."""


def pick_clips(recipes: Iterable[Recipe], references: References, limit: int) -> list[Recipe]:
    """Up to `limit` clips of each class; all if it is 0.

    The motions of a class take turns, those of the lowest grade first, so that as many motions as possible are seen.

    Args:
        recipes: Those of a run.
        references: The motions that they perform, with their grades.
        limit: Clips of a class.
    """
    by_class: dict[int, dict[str, list[Recipe]]] = {}
    for recipe in recipes:
        by_class.setdefault(recipe.label, {}).setdefault(recipe.actors[0].motion, []).append(recipe)
    picked: list[Recipe] = []
    for label in sorted(by_class):
        motions = sorted(by_class[label], key=lambda key: (grade_of(references.by_key.get(key)), key))
        turns = zip_longest(*(by_class[label][key] for key in motions))
        clips = [recipe for turn in turns for recipe in turn if recipe is not None]
        picked += clips[:limit] if limit else clips
    return picked


def grade_of(reference: Reference | None) -> float:
    """The grade of a motion; 1, as for a perfect one, where it has none since it is known."""
    return 1.0 if reference is None or reference.quality is None else reference.quality


def describe_motion(record: Record, reference: Reference, references: References) -> dict[str, Plain]:
    """A motion for the page: its key, class, person, camera, grade and its parts."""
    parts: dict[str, Plain] = {
        name.removeprefix("part_"): round(value, 3)
        for name, value in sorted(reference.notes.items())
        if name.startswith("part_")
    }
    return {
        "key": record.key, "class": record.label, "person": record.subject, "camera": record.camera,
        "quality": None if reference.quality is None else round(reference.quality, 3), "parts": parts,
        "stranger": record.key in references.strangers, "people": len(reference.people),
        "seconds": round(reference.motion.duration, 2),
    }  # fmt: skip


def describe_clip(recipe: Recipe, motion: int) -> dict[str, Plain]:
    """A clip for the page.

    Args:
        recipe: The clip.
        motion: Place of its motion among those of the page.
    """
    lead = recipe.actors[0]
    return {
        "id": recipe.digest, "motion": motion, "class": recipe.label, "place": name_place(recipe),
        "who": [actor.identity for actor in recipe.actors], "mirrored": lead.mirrored,
        "partner": lead.partner, "share": lead.share, "start": recipe.start,
        "fps": recipe.fps, "frames": recipe.num_frames,
    }  # fmt: skip


def name_place(recipe: Recipe) -> str:
    """What kind of place a clip shows: the part of a mixture by its name in conf/, else by what its recipe says."""
    values = recipe.background
    if isinstance(part := values.get("part"), str):
        return part
    return next((name for value, name in _PLACES.items() if value in values), "other")


def describe(recipes: Sequence[Recipe], references: References, classes: Sequence[str]) -> dict[str, Plain]:
    """All that the page shows of these clips and their motions."""
    records: Mapping[str, Record] = {record.key: record for record in references.records}
    keys = list(dict.fromkeys(recipe.actors[0].motion for recipe in recipes))
    place = {key: number for number, key in enumerate(keys)}
    return {
        "classes": list(classes),
        "motions": [describe_motion(records[key], references.by_key[key], references) for key in keys],
        "clips": [describe_clip(recipe, place[recipe.actors[0].motion]) for recipe in recipes],
    }
