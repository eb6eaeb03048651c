"""Strangers perform the actions of filmed people: performances of a prior, at the places of filmed ones."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synthaug.body.blending import align
from synthaug.body.skeleton import move_motion
from synthaug.files import digest_of
from synthaug.structures import Motion
from synthaug.synthesis.references import References
from synthaug.synthesis.settings import Synthesis

logger = logging.getLogger(__name__)

_STRANGERS = 7
"""Random stream of how strangers perform."""


def add_strangers(references: References, synthesis: Synthesis, classes: Sequence[str], *, seed: int) -> References:
    """Let strangers perform beside each filmed person whose class the prior knows.

    A stranger's performance is as long as the filmed one, and takes place where that did, facing the same way; hand,
    height, speed, repetitions and posture are the stranger's. Its record is called `<key>~1` and so on, and counts as
    the film's wherever it is asked which clips are shown. Pairs stay by themselves.

    Args:
        references: Performances of training clips.
        synthesis: Its `prior` and its number of `strangers`, 0 for none.
        classes: Names of the classes.
        seed: Decides how they perform.
    """
    prior, count = synthesis.prior, synthesis.strangers
    if prior is None or count == 0:
        return references
    known = {label: name for label, name in enumerate(classes) if prior.knows(name)}
    if not known:
        logger.warning(
            "The prior knows none of the classes %s, so that no strangers perform. Give a class the name of a "
            "procedural action (synthaug.motions.actions.ACTIONS), or set synth.strangers=0.",
            ", ".join(classes[:5]),
        )
    records, by_key, clips = list(references.records), dict(references.by_key), dict(references.clips)
    for record in references.records:
        reference = references.by_key[record.key]
        if record.label not in known or reference.companions:
            continue
        for number in range(1, count + 1):
            key, lead = f"{record.key}~{number}", reference.motion
            while key in by_key:  # a film's own
                key += "~"
            rng = np.random.default_rng([seed, _STRANGERS, int(digest_of(record.key)[:8], 16), number])
            made = prior.perform(known[record.label], fps=lead.fps, seconds=lead.duration, rng=rng)
            records.append(replace(record, key=key))
            by_key[key] = replace(reference, motion=move_beside(lead, made), quality=None)
            clips[key] = references.clip_of(record.key)
    strangers = by_key.keys() - references.by_key.keys()
    return References(tuple(records), by_key, references.dropped, clips, references.strangers | strangers)


def move_beside(lead: Motion, other: Motion) -> Motion:
    """A performance moved to where another one is, facing as it does, with the body of that one."""
    alignment = align(lead, other)
    return replace(move_motion(other, alignment.R, alignment.shift), betas=lead.betas)
