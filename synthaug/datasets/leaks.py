"""Guards against test film in training; a violation is an error before anything is learnt."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from synthaug.datasets import LeakError, Split
from synthaug.structures import Plain, Record

Trait: TypeAlias = Literal["subject", "camera", "path", "key"]
"""Fields of a record that parts may be forbidden to share."""
TRAITS: tuple[Trait, ...] = get_args(Trait)


def assert_disjoint(split: Split, by: Trait = "subject") -> None:
    """Refuse a split in which training or validation shares a subject, a camera or a file with the test.

    Whatever `by` says, no record may stand in two parts. Training and validation may share people: validation then
    tells less, but nothing leaks.

    Args:
        split: To be checked.
        by: What must differ: a protocol's `separates`.

    Raises:
        LeakError: Naming what is shared and by which clips.
    """
    parts = {"training": split.train, "validation": split.val, "test": split.test}
    for one, other in (("training", "test"), ("validation", "test"), ("training", "validation")):
        _assert_apart(parts, one, other, by="key")
        if other == "test":
            _assert_apart(parts, one, other, by=by)


def assert_named(split: Split, by: Trait, unnamed: Mapping[str, Collection[str]]) -> None:
    """Refuse a split in which some clips say whose or which camera's they are and others do not: they may be the same.

    Where no clip says it, nothing is refused; the data set counts such clips in its notes.

    Args:
        split: To be checked.
        by: What must differ: a protocol's `separates`.
        unnamed: Keys of clips that do not say it, by what it is: a data set's `unnamed`.

    Raises:
        LeakError: Naming a clip.
    """
    lacking = unnamed.get(by, ())
    clips = [record.key for part in (split.train, split.val, split.test) for record in part]
    silent = [key for key in clips if key in lacking]
    if silent and len(silent) < len(clips):
        raise LeakError(
            f"{len(silent)} of {len(clips)} clips name no {by}, such as {silent[0]!r}, and may show the {by} of "
            f"others, on both sides of the test. A {by} for each clip was wanted, since the protocol separates by it. "
            f"Fill the {by} in (a table's column; for people also a folder of their own, or dataset.subject_pattern), "
            "or leave these clips out."
        )


def assert_strangers(subjects: Mapping[str, str], split: Split) -> None:
    """Refuse synthetic people whom the test is about.

    Whoever is filmed for training as well, as everybody is in cross-view protocols, gives nothing away.

    Args:
        subjects: Subject of the data set that each identity shows, by identity; empty where it shows none.
        split: Of the same data set.

    Raises:
        LeakError: Naming the identity and the subject.
    """
    trained = {record.subject for record in split.train}
    held_out = {record.subject for record in (*split.val, *split.test)} - trained
    for identity, subject in subjects.items():
        if subject and subject in held_out:
            raise LeakError(
                f"The avatar {identity!r} shows the subject {subject!r}, who is held out. People whom neither "
                "validation nor test is about were wanted. Move the avatar away, or correct `subject` in its pack."
            )


def overlaps(split: Split) -> dict[str, dict[str, Plain]]:
    """What training or validation share with the test although the protocol forbids no such thing.

    Of subjects, cameras and films that are known: how many are shared and which (twenty of them), and how many test
    clips show them. What is not shared is not named.
    """
    found: dict[str, dict[str, Plain]] = {}
    for part, records in (("training", split.train), ("validation", split.val)):
        for by, noun in (("subject", "subjects"), ("camera", "cameras"), ("path", "films")):
            ours = {_trait(record, by) for record in records} - {""}
            shared = sorted(ours & {_trait(record, by) for record in split.test})
            if shared:
                clips = sum(_trait(record, by) in ours for record in split.test)
                names: list[Plain] = [Path(name).name if by == "path" else name for name in shared[:20]]
                found[f"{noun} of {part}"] = {"shared": len(shared), "test_clips": clips, "names": names}
    return found


def _assert_apart(parts: dict[str, tuple[Record, ...]], one: str, other: str, *, by: str) -> None:
    ours = {_trait(record, by): record.key for record in parts[one]}
    for record in parts[other]:
        trait = _trait(record, by)
        if trait in ours:
            what = "clip" if by == "key" else f"{by} {trait!r}"
            raise LeakError(
                f"The {what} is in both {one} and {other} ({ours[trait]!r} and {record.key!r}). Parts that share none "
                "were wanted, or the result would measure memory. Change the protocol's lists, or leave the clips out."
            )


def _trait(record: Record, by: str) -> str:
    return {"key": record.key, "subject": record.subject, "camera": record.camera, "path": str(record.path)}[by]
