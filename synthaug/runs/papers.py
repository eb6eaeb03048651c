"""Licences and consent of the clips of a run, from its configuration and its avatar packs, for exports."""

import datetime
from collections.abc import Iterable
from typing import Literal, TypeAlias

from synthaug.avatars import AvatarPool
from synthaug.avatars.anny import AnnyPeople
from synthaug.avatars.pack.about import About
from synthaug.avatars.pack.description import list_consent
from synthaug.avatars.packs import Packs
from synthaug.exports import ExportError, Papers, PersonPapers, SourceTerms
from synthaug.reports.licences import select_terms
from synthaug.structures import Plain, Recipe

Forbidden: TypeAlias = Literal["refuse", "leave-out", "own-use"]
"""What to do with people who must not be handed on."""
_PARTS = {"film": ("dataset",), "motion": ("synth", "motion"), "people": ("synth", "avatar"),
          "places": ("synth", "background")}  # fmt: skip
"""Where a configuration names what each part of a clip comes from."""


def gather_papers(pool: AvatarPool, identities: Iterable[str], config: Plain, *, today: datetime.date) -> Papers:
    """What is known of the people and the sources of clips.

    Args:
        pool: Where the people come from.
        identities: The people whom the clips show.
        config: The run's configuration, plain.
        today: Day on which consent must hold.

    Raises:
        PackError: If a pack is damaged.
    """
    sources = [
        SourceTerms(part, one.name, one.licence, one.share, one.train, one.source)
        for part, names in _PARTS.items()
        for one in select_terms(_take(config, names))
        if one.name != "synthaug"
    ]
    people = {identity: _find_person(pool, identity, today) for identity in sorted(set(identities))}
    return Papers(people, tuple(sources))


def choose_recipes(
    recipes: Iterable[Recipe], papers: Papers, forbidden: Forbidden
) -> tuple[list[Recipe], dict[str, int]]:
    """The recipes that may be exported, and the number of those left out, by reason.

    People who must not appear in training data at all are treated as those who must not be handed on, also for own use.

    Args:
        recipes: Those of a run.
        papers: Of all their people.
        forbidden: "refuse" refuses all, "leave-out" leaves their clips out, "own-use" keeps those who only must not be
            handed on.

    Raises:
        ExportError: If somebody must not be shown, and that is to be refused.
    """
    kept: list[Recipe] = []
    left_out: dict[str, int] = {}
    for recipe in recipes:
        reasons = [reason for actor in recipe.actors if (reason := _find_reason(papers, actor.identity, forbidden))]
        if not reasons:
            kept.append(recipe)
        else:
            left_out[reasons[0]] = left_out.get(reasons[0], 0) + 1
    if left_out and forbidden == "refuse":
        said = "; ".join(f"{reason} ({count} clips)" for reason, count in left_out.items())
        raise ExportError(
            f"Expected people who may be handed on, got {said}. Add --forbidden leave-out to leave their clips out, or "
            "--forbidden own-use if you will not pass the folder on (which keeps nobody who must not be trained on)."
        )
    return kept, left_out


def _find_reason(papers: Papers, identity: str, forbidden: Forbidden) -> str:
    person = papers.people[identity]
    reason = person.objection or ("" if forbidden == "own-use" else person.kept_back)
    return f"{identity}: {reason}" if reason else ""


def _find_person(pool: AvatarPool, identity: str, today: datetime.date) -> PersonPapers:
    if isinstance(pool, AnnyPeople):
        return PersonPapers("CC0-1.0 (assets), Apache-2.0 (code)", "may be passed on", "procedural: nobody is shown")
    if not isinstance(pool, Packs):
        return PersonPapers(subject=pool.subject(identity))
    header = pool.headers.get(identity)
    if header is None:
        return PersonPapers(objection="its pack does not exist any more")
    return _read_about(header.about, today)


def _read_about(about: About, today: datetime.date) -> PersonPapers:
    consent = about.consent
    kept_back = ""
    if consent.redistribution is False:
        kept_back = "redistribution was not consented to"
    elif consent.display is False:
        kept_back = "display was not consented to"
    return PersonPapers(
        licence=about.licence.name,
        terms=". ".join(part for part in (about.licence.terms, about.licence.source) if part),
        uses=", ".join(list_consent(consent)) or "not stated",
        objection=consent.objection(today) or "",
        kept_back=kept_back,
        subject=about.subject,
    )


def _take(config: Plain, names: Iterable[str]) -> Plain:
    """The part of a configuration at this path; None if there is none."""
    for name in names:
        config = config.get(name) if isinstance(config, dict) else None
    return config
