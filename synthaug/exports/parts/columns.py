"""The columns of an exported clip: what it shows, where it comes from, and what may be done with it."""

import functools
import json
from collections.abc import Iterable

from synthaug.exports import Papers
from synthaug.structures import Clip, Values
from synthaug.synthesis import RenderJob
from synthaug.synthesis.references import References

COLUMNS = {
    "key": "digest of the recipe: 32 hexadecimal digits",
    "class_name": "the action",
    "label": "its number, as in `classes` of export.json",
    "source": "key of the training clip whose motion is performed",
    "source_subject": "who performs in that clip, in the data set's names",
    "sources": "keys of all training clips that motions are taken from",
    "invented": "whether no film shows the motion: a stranger performs beside those of the source",
    "identities": "the people who are seen, the acting one first",
    "camera": "values of the view, JSON; the view itself is in the arrays `viewmats` and `Ks`",
    "background": "values of the place, JSON",
    "filmed": "what of the training film the picture shows: nothing (empty), a still picture of it, or moving frames",
    "fps": "frames per second",
    "frames": "number of frames",
    "height": "pixels",
    "width": "pixels; players may show one more where this is odd",
    "looped": "frames that repeat earlier ones, because the motion ended",
    "quality": "of the motion that was found in the source: 0 useless, 1 exact or ground truth",
    "recipe": "everything that chance decided, JSON: a line of recipes.jsonl",
    "licence_people": "terms of the avatars",
    "licence_film": "terms of the data set that the source belongs to",
    "licence_motion": "terms of what the motion was found with",
    "licence_places": "terms of the backgrounds",
    "consent": "what the people agreed to, in words",
    "subjects": "whom of the data set each person looks like, empty for nobody",
}
"""What each column means."""


def make_row(clip: Clip, job: RenderJob, references: References, *, name: str, papers: Papers) -> Values:
    """The columns of a synthetic clip.

    Args:
        clip: The finished clip.
        job: What it was made of.
        references: Where its motions come from.
        name: Name of its class.
        papers: Licences and consent.
    """
    recipe = clip.recipe
    assert recipe is not None
    lead = recipe.actors[0]
    quality, performer = references.by_key[lead.motion].quality, _find_performer(references, lead.motion)
    motions = [key for actor in recipe.actors for key in (actor.motion, actor.partner) if key]
    people = [papers.people[identity] for identity in dict.fromkeys(actor.identity for actor in recipe.actors)]
    return {
        "key": recipe.digest,
        "class_name": name,
        "label": clip.label,
        "source": references.clip_of(lead.motion),
        "source_subject": performer,
        "sources": list(dict.fromkeys(references.clip_of(key) for key in motions)),
        "invented": lead.motion in references.strangers,
        "identities": [actor.identity for actor in recipe.actors],
        "camera": json.dumps(recipe.camera, sort_keys=True),
        "background": json.dumps(recipe.background, sort_keys=True),
        "filmed": job.scene.filmed,
        "fps": float(clip.fps),
        "frames": len(clip.video),
        "height": clip.video.shape[2],
        "width": clip.video.shape[3],
        "looped": clip.looped,
        "quality": 1.0 if quality is None else float(quality),
        "recipe": recipe.to_json(),
        "licence_people": _join(one.licence for one in people),
        "licence_film": papers.licence("film"),
        "licence_motion": papers.licence("motion"),
        "licence_places": papers.licence("places"),
        "consent": _join(one.uses for one in people),
        "subjects": [papers.people[actor.identity].subject for actor in recipe.actors],
    }


def _join(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words))


def _find_performer(references: References, key: str) -> str:
    """Who is seen in the clip of a performance."""
    return _performers(references).get(key, "")


@functools.lru_cache(maxsize=2)
def _performers(references: References) -> dict[str, str]:
    return {record.key: record.subject for record in references.records}
