"""The people of the training film as identities, each made once out of their own training clips."""

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import final

import numpy as np

from synthaug.avatars import Avatar, AvatarPool
from synthaug.avatars.pack.about import About, Licence, Provenance
from synthaug.avatars.pack.format import SUFFIX, write_pack
from synthaug.avatars.pack.levels import add_levels
from synthaug.avatars.packs import PackedPerson
from synthaug.creation import CreationError, Feature
from synthaug.creation.creating import Plan, create_person
from synthaug.creation.cutting import Choice, cut_films
from synthaug.creation.features.silhouettes import Silhouettes
from synthaug.creation.rendering import splat_frame
from synthaug.files import digest_of, first_state, motion_digest, user_cache, write_atomic
from synthaug.levels import Pyramid
from synthaug.structures import Record, Reference
from synthaug.video import picture_notes

logger = logging.getLogger(__name__)
_VERSION = 2
"""Of how people are made: another one makes them again."""
_PREFIX = "filmed/"
"""What the names of filmed people begin with; the name of the data set's subject follows."""
_TERMS = Licence("that of the film", "A likeness of somebody in the training film: the terms of that film apply.")


@dataclass(frozen=True)
class _Person:
    """Somebody to be made: their clips, and where the result is kept."""

    subject: str
    films: tuple[tuple[Record, Reference], ...]
    path: Path

    @property
    def refusal(self) -> Path:
        """The file that says why there is no pack."""
        return self.path.with_name(self.path.name.removesuffix(SUFFIX) + ".refused")

    @property
    def learning(self) -> Path:
        """The file that a run which was stopped goes on from."""
        return self.path.with_name(self.path.name.removesuffix(SUFFIX) + ".learning.safetensors")


@final
class FilmedPeople(AvatarPool):
    """The people of the training film perform each other's motions; others fill up the number.

    Each person is made out of their own training clips, as `synthaug avatar create` makes one, when training is
    prepared: some minutes of one core for each. They are kept in the user's cache and named by what decides them: the
    clips, the motions found in them and the settings. Since only training clips are seen, nobody of the test lends
    their likeness; the data module checks the names once more. Whoever cannot be made well enough is left out, with a
    warning.

    Args:
        others: Who fills up where the film shows fewer people than `synth.identities`; None makes that an error.
        levels: Levels of detail; None keeps full detail alone.
        choice: Frames of each person, and their size.
        plan: Gaussians, and the course of learning.
        min_db: People whose held-out frames are met by less, poses refitted, are left out; dB in the person's box.
        features: What says where people are in frames; None takes the segmenter's silhouettes (extra `pose`).
        cache: Folder that keeps people; None is `filmed` in the user's cache.
    """

    def __init__(
        self,
        others: AvatarPool | None = None,
        *,
        levels: Pyramid | None,
        choice: Choice = Choice(frames=120, side=192),  # noqa: B008 - frozen
        plan: Plan = Plan(gaussians=8000),  # noqa: B008 - frozen
        min_db: float = 20.0,
        features: Sequence[Feature] | None = None,
        cache: str | Path | None = None,
    ) -> None:
        self.others = others
        self._levels = levels
        self._choice, self._plan, self._min_db = choice, plan, min_db
        self._features = None if features is None else tuple(features)
        self._cache = user_cache() / "filmed" if cache is None else Path(cache).expanduser()
        self.people: Mapping[str, Path] = {}
        self.refused: Mapping[str, str] = {}
        self._open: dict[str, PackedPerson] = {}

    def prepare(self, films: Sequence[tuple[Record, Reference]]) -> "FilmedPeople":
        """The pool with the people of these films, who are made where the cache lacks them.

        Raises:
            ValueError: If the films do not say who is in them.
        """
        people, refused = {}, {}
        for person in self._list_people(films):
            if not person.path.exists() and not person.refusal.exists():
                self._make(person)
            if person.path.exists():
                people[f"{_PREFIX}{person.subject}"] = person.path
            else:
                refused[person.subject] = person.refusal.read_text(encoding="utf-8")
        if refused:
            said = "; ".join(f"{subject}: {reason}" for subject, reason in refused.items())
            logger.warning("%d of %d filmed people are left out. %s", len(refused), len(refused) + len(people), said)
        prepared = copy.copy(self)
        prepared.people, prepared.refused, prepared._open = people, refused, {}
        return prepared

    def _list_people(self, films: Sequence[tuple[Record, Reference]]) -> Iterator[_Person]:
        by_subject: dict[str, list[tuple[Record, Reference]]] = {}
        for record, reference in sorted(films, key=lambda film: film[0].key):
            by_subject.setdefault(record.subject, []).append((record, reference))
        if "" in by_subject:
            raise ValueError(
                f"Expected to be told who is in every training clip, got none for {by_subject[''][0][0].key!r}. Give "
                "the data set people (a column `subject`), or choose synth/avatar=anny."
            )
        settings = (str(_VERSION), repr(self._levels), repr(self._choice), repr(self._plan), repr(self._min_db))
        for subject, own in sorted(by_subject.items()):
            facts = [part for record, reference in own for part in _facts(record, reference, self._cache / "states")]
            name = digest_of("filmed person", subject, *settings, *facts)
            yield _Person(subject, tuple(own), self._cache / name[:2] / f"{name}{SUFFIX}")

    def _make(self, person: _Person) -> None:
        """Write the pack of a person, or why there is none."""
        logger.info("Making the avatar of %s out of %d clips.", person.subject, len(person.films))
        features = self._features or (Silhouettes(),)
        try:
            cutouts = cut_films(person.films, self._choice)
            created = create_person(cutouts, features, splat_frame, plan=self._plan, keep=person.learning)
            found = created.heldout.psnr_refitted
            if found < self._min_db:
                raise CreationError(f"Expected held-out frames to be met by {self._min_db:g} dB, got {found:.1f}.")
        except CreationError as error:
            write_atomic(person.refusal, str(error).encode())
        else:
            pack = created.pack(_describe(person))
            write_pack(person.path, pack if self._levels is None else add_levels(pack, self._levels))
        person.learning.unlink(missing_ok=True)

    def sample(self, count: int, rng: np.random.Generator) -> tuple[str, ...]:
        """Sample different people: filmed ones as long as there are any, then others.

        Raises:
            ValueError: If there are fewer, or `prepare` has not seen the film.
        """
        names = list(self.people)
        if count > len(names) and self.others is None:
            raise ValueError(
                f"Expected at least {count} people who could be made out of the training film, got {len(names)} (and "
                f"{len(self.refused)} who could not). Lower synth.identities, or let other people fill up (others=...)."
            )
        chosen = tuple(names[index] for index in rng.permutation(len(names))[:count])
        more = count - len(chosen)
        return chosen + (self.others.sample(more, rng) if more and self.others is not None else ())

    def load(self, identity: str) -> Avatar:
        """The person with this name.

        Raises:
            KeyError: If nobody has this name.
        """
        others = self._pool_of(identity)
        if others is not None:
            return others.load(identity)
        if identity not in self._open:
            self._open[identity] = PackedPerson(self.people[identity])
        return self._open[identity]

    def subject(self, identity: str) -> str:
        """The subject of the data set who this is; of others, what their pool says.

        Raises:
            KeyError: If nobody has this name.
        """
        others = self._pool_of(identity)
        if others is not None:
            return others.subject(identity)
        return identity.removeprefix(_PREFIX)

    def __getstate__(self) -> dict[str, object]:
        """State without the open files: another process maps its own."""
        return {**self.__dict__, "_open": {}}

    def _pool_of(self, identity: str) -> AvatarPool | None:
        """The pool of somebody who fills up; None for a filmed person who is known."""
        if self.others is not None and not identity.startswith(_PREFIX):
            return self.others
        if identity not in self.people:
            known = ", ".join(list(self.people)[:3]) or "nobody"
            raise KeyError(
                f"Expected one of the {len(self.people)} filmed people ({known}), got {identity!r}. Recipes need the "
                "training film that they were made with."
            )
        return None


def _facts(record: Record, reference: Reference, states: Path) -> Iterator[str]:
    """What of a clip decides the person."""
    yield f"{record.path.name} {first_state(record.path, states)} {record.start!r} {record.end!r}"
    yield picture_notes(record.path)
    for one in (reference, *reference.others):
        yield motion_digest(one.motion)


def _describe(person: _Person) -> About:
    """The papers: nobody is asked here, so the pack may not be handed on."""
    names = ", ".join(dict.fromkeys(record.path.name for record, _ in person.films))
    provenance = Provenance(
        "film", names[:200], person.path.name.removesuffix(SUFFIX), f"synthaug {version('synthaug')}"
    )
    about = About(person.subject, provenance, licence=_TERMS, subject=person.subject)
    return replace(about, consent=replace(about.consent, redistribution=False))
