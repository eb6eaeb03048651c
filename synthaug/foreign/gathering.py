"""Choose the clips of another generator that may be trained on: guarded, measured, counted, and cut to clips."""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from synthaug.datasets import LeakError, Split
from synthaug.datasets.leaks import find_held_out, name_held_out_people
from synthaug.files import normalize_name
from synthaug.foreign.drift import Drift, find_lag, measure_drift
from synthaug.foreign.listing import ForeignFilm, list_films
from synthaug.foreign.pack import ForeignPack
from synthaug.foreign.settings import ForeignClips
from synthaug.motions import MotionSource
from synthaug.structures import Actor, ClipFormat, Plain, Recipe, Record, Reference, Trait, Values
from synthaug.synthesis.references import References, extract_references
from synthaug.video import VideoError, probe
from synthaug.video.copies import find_copies

_STREAM = 51
"""Random stream of the people, the order and the times of clips."""


@dataclass(frozen=True)
class Training:
    """What is trained on, as far as the choice of clips depends on it.

    Attributes:
        records: All clips of the data set, of which names are understood.
        classes: Its classes.
        split: Its division.
        separates: What training and test may not share.
        clip: Format of the clips.
        seed: Decides which clips are taken, and at which time.
        motions: Folder that keeps extracted motions; None extracts every time.
        num_workers: Processes that extract.
    """

    records: tuple[Record, ...]
    classes: tuple[str, ...]
    split: Split
    separates: Trait
    clip: ClipFormat
    seed: int
    motions: Path | None = None
    num_workers: int = 0


@dataclass
class _Sorted:
    """What is left of a folder's films, and why others are left out: kind and words, by name."""

    films: list[ForeignFilm]
    left_out: dict[str, tuple[str, str]] = field(default_factory=dict)
    drifts: dict[str, Drift] = field(default_factory=dict)
    odd_lengths: list[str] = field(default_factory=list)

    def leave_out(self, kind: str, reasons: Mapping[str, str]) -> None:
        """Leave films out, for a reason of this kind."""
        self.left_out |= {name: (kind, words) for name, words in reasons.items()}
        self.films = [film for film in self.films if film.name not in reasons]


def gather_clips(foreign: ForeignClips, training: Training) -> ForeignPack:
    """The clips of another generator that may be trained on with this split.

    Films are left out, and counted, if it is unclear what they re-enact; if that is no training clip; if they cannot be
    read; if they are filmed ones under another name; and if their motion cannot be measured or has drifted.

    Args:
        foreign: Which folder, and what is asked of its films.
        training: What is trained on.

    Raises:
        FileNotFoundError: If the folder or its table is missing.
        ValueError: If nothing of it can be used.
        LeakError: If films show held-out clips or people, unless `ForeignClips.held_out` is "leave_out".
    """
    if foreign.empty:
        return ForeignPack(training.clip, (), {})
    films, unclear = list_films(foreign, training.records, training.classes)
    found = _Sorted(films, {name: ("unclear", words) for name, words in unclear.items()})
    _guard(found, foreign, training)
    _take_people(found, foreign.identities, training.seed)
    _check_films(found, foreign.tolerance)
    if foreign.max_drift is not None:
        _judge(found, foreign, foreign.max_drift, training)
    left_out = {name: words for name, (_, words) in found.left_out.items()}
    known: Values = {"report": _report(found, foreign), "left_out": left_out, "warnings": _warn(found, foreign)}
    return ForeignPack(training.clip, _plan(found, foreign, training), known)


def _guard(found: _Sorted, foreign: ForeignClips, training: Training) -> None:
    """Refuse or leave out what shows held-out clips or people; leave out what re-enacts no training clip."""
    split = training.split
    held_out = (*split.val, *split.test)
    trained = {record.key for record in split.train}
    parts = {record.key for record in held_out} | set(find_held_out(trained, split, training.separates))
    tested = {_trait(record, training.separates) for record in split.test}
    people = name_held_out_people(split)
    copied = find_copies({film.path for film in found.films}, {record.path for record in held_out})
    held = {}
    for film in found.films:
        record = film.reference
        if record.key in parts or _trait(record, training.separates) in tested:
            held[film.name] = f"{film.name} re-enacts {record.key!r}, which is held out"
        elif normalize_name(film.identity) in people:
            held[film.name] = f"{film.name} shows {film.identity!r}, the name of a held-out subject"
        elif film.path in copied:
            held[film.name] = f"{film.name} is a copy of the held-out film {copied[film.path][0].name!r}"
    if held and foreign.held_out == "refuse":
        raise LeakError(
            f"Expected another generator's clips of training clips, by people who are not tested, got {len(held)} of "
            f"{len(found.films)} that are held out. The first: {next(iter(held.values()))}. Take them out of "
            f"synth.root={foreign.root}, or set synth.held_out=leave_out to leave them out."
        )
    found.leave_out("held out", held)
    others = {film.name: f"{film.reference.key!r} is no training clip of this protocol" for film in found.films
              if film.reference.key not in trained}  # fmt: skip
    found.leave_out("not in training", others)
    filmed = find_copies({film.path for film in found.films}, {record.path for record in split.train})
    same = {film.name: f"it is a copy of the training film {filmed[film.path][0].name!r}, which nobody re-enacts"
            for film in found.films if film.path in filmed}  # fmt: skip
    found.leave_out("filmed", same)


def _trait(record: Record, by: Trait) -> str:
    return normalize_name(str(getattr(record, by)))


def _take_people(found: _Sorted, count: int | None, seed: int) -> None:
    """Leave out all but some of the people."""
    people = sorted({film.identity for film in found.films})
    if count is None or count >= len(people):
        return
    taken = {people[place] for place in np.random.default_rng([seed, _STREAM]).permutation(len(people))[:count]}
    reason = f"synth.identities={count} takes other people"
    found.leave_out("people", {film.name: reason for film in found.films if film.identity not in taken})


def _check_films(found: _Sorted, tolerance: float) -> None:
    """Leave out what cannot be read, give all others their end, and note those of another length than the reference."""
    broken, ended = {}, []
    for film in found.films:
        try:
            duration = probe(film.path).duration
        except VideoError as error:
            broken[film.name] = str(error)
            continue
        if film.start >= duration:
            broken[film.name] = f"Expected an interval within its {duration:.2f} s, got {film.start:g} s. Correct it."
            continue
        film = replace(film, end=min(film.end or duration, duration))
        ended.append(film)
        ours, theirs = film.reference.end - film.reference.start - film.ahead, _seconds(film)
        if abs(theirs - ours) > tolerance * ours:
            found.odd_lengths.append(film.name)
    found.films = [film for film in found.films if film.name in broken]
    found.leave_out("broken", broken)
    found.films = ended


def _seconds(film: ForeignFilm) -> float:
    assert film.end is not None
    return film.end - film.start


def _judge(found: _Sorted, foreign: ForeignClips, max_drift: float, training: Training) -> None:
    """Measure how far each film's motion has drifted, and leave out those beyond the bounds."""
    filmed = {film.reference.key: film.reference for film in found.films}
    records = [_record_of(film) for film in found.films]
    if not records:
        return
    ours = _extract([*filmed.values()], foreign.motion, training)
    theirs = _extract(records, foreign.judge, training)
    unmeasured, drifted = {}, {}
    for film, record in zip(found.films, records, strict=True):
        pair = theirs.by_key.get(record.key), ours.by_key.get(film.reference.key)
        if pair[1] is None:
            why = ours.dropped.get(film.reference.key, "no motion")
            unmeasured[film.name] = f"its reference {film.reference.key} gives no motion to compare with: {why}"
        elif pair[0] is None:
            unmeasured[film.name] = f"no motion is found in it: {theirs.dropped.get(record.key, 'nobody is seen')}"
        elif (drift := _compare(film, pair[0], pair[1])) is None:
            unmeasured[film.name] = "it shares too little with its reference that both pictures show"
        else:
            found.drifts[film.name] = drift
            if drift.pose > max_drift or drift.limb > foreign.max_limb:
                late = find_lag(pair[0], pair[1], ahead=film.ahead, same_view=not film.view)
                drifted[film.name] = _describe(drift, late, max_drift, foreign.max_limb, film)
    found.leave_out("not measured", unmeasured)
    found.leave_out("drift", drifted)


def _record_of(film: ForeignFilm) -> Record:
    assert film.end is not None
    view = film.view or film.reference.camera
    return Record(f"foreign/{film.name}", film.path, film.reference.label, film.identity, view, film.start, film.end)


def _extract(records: Sequence[Record], source: MotionSource, training: Training) -> References:
    return extract_references(records, source, cache=training.motions, num_workers=training.num_workers)


def _compare(film: ForeignFilm, theirs: Reference, ours: Reference) -> Drift | None:
    """The drift from the first performance of the reference that the film's own shares time with."""
    for one in (ours, *ours.others):
        if (drift := measure_drift(theirs, one, ahead=film.ahead, same_view=not film.view)) is not None:
            return drift
    return None


def _describe(drift: Drift, late: tuple[float, float], max_drift: float, max_limb: float, film: ForeignFilm) -> str:
    lag, there = late
    words = (
        f"Expected a pose within {max_drift:.0%} of the person's height of its reference's, and each limb within "
        f"{max_limb:.0%}, got {drift.pose:.1%} and {drift.limb:.1%}."
    )
    if lag and there < 0.75 * drift.limb:
        words += f" It fits best {abs(lag):.1f} s {'later' if lag > 0 else 'earlier'} ({there:.1%})."
    if abs(_seconds(film) - (ours := film.reference.end - film.reference.start - film.ahead)) > 0.1 * ours:
        words += f" It lasts {_seconds(film):.1f} s, its reference {ours:.1f} s: perhaps it has another frame rate."
    return words


def _warn(found: _Sorted, foreign: ForeignClips) -> list[str]:
    """What is left out, and which lengths differ, in words."""
    first: dict[str, str] = {}
    for name, (kind, words) in found.left_out.items():
        first.setdefault(kind, f"{name}: {words}")
    counts = Counter(kind for kind, _ in found.left_out.values())
    told = [f"{count} clips of {foreign.generator} are left out ({kind}). The first: {first[kind]}"
            for kind, count in counts.items()]  # fmt: skip
    if found.odd_lengths:
        told.append(
            f"{len(found.odd_lengths)} clips of {foreign.generator} are longer or shorter than their reference by more "
            f"than {foreign.tolerance:.0%}. The first: {found.odd_lengths[0]}"
        )
    if not found.films:
        told.append(f"No clip of {foreign.generator} is left: training sees film alone.")
    return told


def _plan(found: _Sorted, foreign: ForeignClips, training: Training) -> Iterable[Values]:
    """Columns of each clip: by class, evenly over references, no more than asked for."""
    by_class: dict[int, list[ForeignFilm]] = {}
    for film in found.films:
        by_class.setdefault(film.reference.label, []).append(film)
    for label in sorted(by_class):
        order = _spread(by_class[label], np.random.default_rng([training.seed, _STREAM, label]))
        cuts = [
            (film, window)
            for window in range(foreign.windows)
            for film in order
            # Windows that differ by less than a frame would show the same frames.
            if window == 0 or (_seconds(film) - training.clip.seconds) * training.clip.fps >= 1
        ]
        for film, window in cuts[: foreign.per_class]:
            yield _make_row(film, window, found.drifts.get(film.name), foreign, training)


def _spread(films: Sequence[ForeignFilm], rng: np.random.Generator) -> list[ForeignFilm]:
    """The films in random order, each reference once before any occurs twice."""
    shuffled = [films[place] for place in rng.permutation(len(films))]
    turns: Counter[str] = Counter()
    ranked = []
    for film in shuffled:
        ranked.append((turns[film.reference.key], film))
        turns[film.reference.key] += 1
    return [film for _, film in sorted(ranked, key=lambda pair: pair[0])]


def _make_row(film: ForeignFilm, window: int, drift: Drift | None, foreign: ForeignClips, training: Training) -> Values:
    clip, record = training.clip, film.reference
    # Of the name and not of a number: what else is in the folder changes nothing.
    rng = np.random.default_rng([training.seed, _STREAM, zlib.crc32(film.name.encode()), window])
    offset = round(float(rng.uniform()) * max(_seconds(film) - clip.seconds, 0.0), 4)
    lineage: Values = {
        "generator": foreign.generator, "file": film.name, "offset": offset, "licence": foreign.licence,
        "consent": foreign.consent, "synthaug": version("synthaug"), "seed": training.seed,
    }  # fmt: skip
    recipe = Recipe(
        label=record.label, actors=(Actor(record.key, film.identity),), camera={"view": film.view} if film.view else {},
        background={}, sensor={}, start=round(film.ahead + offset, 4), fps=clip.fps, num_frames=clip.num_frames,
        size=(clip.size, clip.size), lineage=lineage,
    )  # fmt: skip
    return {
        "class_name": training.classes[record.label], "sources": [record.key], "identities": [film.identity],
        "subjects": [film.identity], "recipe": recipe.to_json(), "file": film.name, "path": str(film.path),
        "from": film.start, "to": film.end, "offset": offset, "drift": None if drift is None else round(drift.pose, 4),
    }  # fmt: skip


def _report(found: _Sorted, foreign: ForeignClips) -> Values:
    """What metrics.json says of them."""
    poses = [drift.pose for drift in found.drifts.values()]
    limbs = [drift.limb for drift in found.drifts.values()]
    kinds: dict[str, Plain] = dict(sorted(Counter(kind for kind, _ in found.left_out.values()).items()))
    return {
        "generator": foreign.generator, "licence": foreign.licence, "consent": foreign.consent,
        "films": len(found.films) + len(found.left_out), "used": len(found.films), "left_out": kinds,
        "lengths_differ": len(found.odd_lengths), "measured": len(poses),
        "median_drift": round(float(np.median(poses)), 4) if poses else None,
        "median_limb_drift": round(float(np.median(limbs)), 4) if limbs else None,
    }  # fmt: skip
