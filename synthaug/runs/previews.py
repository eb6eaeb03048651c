"""Lay out references and their re-enactments: rows for contact sheets, strips for side-by-side films."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

import torch

from synthaug.body.skeleton import joint_positions, mean_skeleton, resample
from synthaug.datamodule.module import SynthAugDataModule
from synthaug.datamodule.packed import PackedClips
from synthaug.progress import track
from synthaug.runs.sheets import SheetRow, Strip, paint_skeleton
from synthaug.structures import Clip, ClipFormat, Recipe, Record, Reference
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.staging import camera_at
from synthaug.video import read_clip


def choose_references(synthesizer: Synthesizer, count: int) -> list[Record]:
    """References to show: one of each class in turn, then the second ones, up to `count`."""
    by_class: dict[int, list[Record]] = {}
    references = synthesizer.references
    for record in references.records:
        if record.key in references.strangers:
            continue
        by_class.setdefault(record.label, []).append(record)
    longest = max((len(records) for records in by_class.values()), default=0)
    turns = [records[turn] for turn in range(longest) for records in by_class.values() if turn < len(records)]
    return turns[:count]


def sample_recipes(synthesizer: Synthesizer, record: Record, count: int) -> list[Recipe]:
    """The first recipes that re-enact this reference, or show a stranger in its place, all from the same instant on."""
    references = synthesizer.references
    film = references.clip_of(record.key)
    strangers = {key for key in references.strangers if references.clip_of(key) == film}
    indices = [index for index in range(len(synthesizer)) if synthesizer.label(index) == record.label]
    recipes = (synthesizer.sample(index) for index in indices)
    found: list[Recipe] = []
    for recipe in recipes:
        if len(found) == count:
            break
        if recipe.actors[0].motion in {record.key, *strangers}:
            found.append(recipe if not found else replace(recipe, start=found[0].start))
    return found


def read_reference_clip(record: Record, recipe: Recipe, reference: Reference) -> Clip:
    """The filmed clip at the instants of a recipe."""
    # The motion begins where the person is first seen, which may be far into the clip.
    offset = (reference.notes.get("offset", 0.0) + recipe.start) % (record.end - record.start)
    return read_clip(record, offset=offset, fps=recipe.fps, num_frames=recipe.num_frames, size=recipe.size)


def make_strips(synthesizer: Synthesizer, record: Record, variants: int) -> tuple[Strip, ...]:
    """Reference, the motion found in it, and re-enactments, at the same instants.

    The first re-enactment keeps the reference's timing; the others show the variation that training sees.
    """
    recipes = sample_recipes(synthesizer, record, variants)
    if not recipes:
        return ()
    first = recipes[0]
    reference = synthesizer.references.by_key[record.key]
    film = read_reference_clip(record, first, reference)
    times = first.start + torch.arange(first.num_frames, dtype=torch.float64) / first.fps
    view, overlay = camera_at(reference, times, first.size), film.video
    for motion in reference.people:
        overlay = paint_skeleton(overlay, joint_positions(resample(motion, times), mean_skeleton()), view)
    faithful = replace(
        first,
        actors=tuple(replace(actor, variation={}, mirrored=False, partner="", share=0.0) for actor in first.actors),
    )
    shown = [synthesizer.render(recipe) for recipe in (faithful, *recipes[1:])]
    return (
        Strip("reference", film.video),
        Strip("motion found in it", overlay),
        *(Strip(_title(clip), clip.video) for clip in shown),
    )


def make_rows(data: SynthAugDataModule, *, count: int = 8, variants: int = 3) -> list[SheetRow]:
    """Rows of a contact sheet: of training's synthetic clips, or of filmed ones alone where nothing is synthetic."""
    synthesizer = data.synthesizer
    if data.packed is not None and len(data.packed):
        return _packed_rows(data, data.packed, count=count, variants=variants)
    if synthesizer is None or len(synthesizer) == 0:
        return _film_rows(data.split.train, data.clip, data.class_names, count)
    return [
        SheetRow(_caption(record, data.class_names), make_strips(synthesizer, record, variants))
        for record in track(choose_references(synthesizer, count), "Rendering previews")
    ]


def _packed_rows(data: SynthAugDataModule, packed: PackedClips, *, count: int, variants: int) -> list[SheetRow]:
    """Finished clips beside the training clip that they re-enact: one of each class in turn."""
    records = {record.key: record for record in data.split.train}
    of: dict[str, list[tuple[int, Recipe]]] = {}
    for place in range(len(packed)):
        recipe = packed.sample(place)
        key = recipe.actors[0].motion
        if (key if key in records else key.partition("#")[0]) in records:
            of.setdefault(key, []).append((place, recipe))
    turns: dict[int, list[str]] = {}
    for key, found in of.items():
        turns.setdefault(found[0][1].label, []).append(key)
    keys = [key for turn in zip_longest(*turns.values()) for key in turn if key is not None][:count]
    return [_packed_row(packed, records, of[key][:variants], data.class_names) for key in keys]


def _packed_row(
    packed: PackedClips, records: Mapping[str, Record], clips: Sequence[tuple[int, Recipe]], classes: Sequence[str]
) -> SheetRow:
    """A training clip at the time of the first finished clip, and the finished ones at their own times."""
    first = clips[0][1]
    key = first.actors[0].motion
    record = records[key] if key in records else records[key.partition("#")[0]]
    offset = first.start % (record.end - record.start)
    film = read_clip(record, offset=offset, fps=first.fps, num_frames=first.num_frames, size=first.size)
    strips = [Strip(f"reference, from {offset:.1f} s", film.video)]
    for place, recipe in clips:
        title = f"{recipe.actors[0].identity}, from {recipe.start:.1f} s"
        if isinstance(drift := packed.pack.rows[place].get("drift"), float):
            title += f", drift {drift:.0%}"
        strips.append(Strip(title, packed.render(recipe, place)))
    return SheetRow(_caption(record, classes), tuple(strips))


def _film_rows(records: Sequence[Record], clip: ClipFormat, classes: Sequence[str], count: int) -> list[SheetRow]:
    size, step = (clip.size, clip.size), max(1, len(records) // max(count, 1))
    return [
        SheetRow(
            _caption(record, classes),
            (
                Strip(
                    "filmed", read_clip(record, offset=0.0, fps=clip.fps, num_frames=clip.num_frames, size=size).video
                ),
            ),
        )
        for record in list(records)[::step][:count]
    ]


def _caption(record: Record, classes: Sequence[str]) -> str:
    return f"{classes[record.label]}   ({record.key}, subject {record.subject})"


def _title(clip: Clip) -> str:
    assert clip.recipe is not None
    place = clip.recipe.background.get("part", "")
    return f"{clip.subject}  {place}".strip()
