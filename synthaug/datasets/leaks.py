"""Refuse test film in training: if training and test share anything, an error is raised before training starts."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from synthaug.datasets import LeakError, Split
from synthaug.structures import Plain, Record, Trait


def assert_disjoint(split: Split, by: Trait = "subject") -> None:
    """Refuse a split whose training or validation part shares a subject, a camera or a file with the test.

    No record may be in two parts, whatever `by` is. Training and validation may share people: validation accuracy is
    then too high, but nothing leaks.

    Args:
        split: The split to check.
        by: What must differ: the protocol's `separates`.

    Raises:
        LeakError: If something is shared; the message names it and two clips that share it.
    """
    parts = {"training": split.train, "validation": split.val, "test": split.test}
    for one, other in (("training", "test"), ("validation", "test"), ("training", "validation")):
        _assert_apart(parts, one, other, by="key")
        if other == "test":
            _assert_apart(parts, one, other, by=by)


def assert_named(split: Split, by: Trait, unnamed: Mapping[str, Collection[str]]) -> None:
    """Refuse a split in which some clips name their subject (or camera) and others do not: they may be the same.

    If no clip names it, nothing is refused; the data set counts such clips in its notes.

    Args:
        split: The split to check.
        by: What must differ: the protocol's `separates`.
        unnamed: Keys of clips that do not name it, by field: the data set's `unnamed`.

    Raises:
        LeakError: If some clips do not name it; the message names one of them.
    """
    lacking = unnamed.get(by, ())
    clips = [record.key for part in (split.train, split.val, split.test) for record in part]
    silent = [key for key in clips if key in lacking]
    if silent and len(silent) < len(clips):
        raise LeakError(
            f"Expected a {by} for each clip, since the protocol separates by it, got none for {len(silent)} of "
            f"{len(clips)} clips, such as {silent[0]!r}: they may share it with clips on both sides of the test. Fill "
            f"the {by} in (a table's column; for people also a folder each, or dataset.subject_pattern), or leave "
            "these clips out."
        )


def check_split(split: Split, by: Trait, unnamed: Mapping[str, Collection[str]]) -> None:
    """Refuse a split whose parts share what the protocol separates, or that cannot be checked for it.

    Args:
        split: The split to check.
        by: What must differ: the protocol's `separates`.
        unnamed: Keys of clips that do not name it, by field: the data set's `unnamed`.

    Raises:
        LeakError: As `assert_named` and `assert_disjoint` say.
    """
    assert_named(split, by, unnamed)
    assert_disjoint(split, by)


def assert_from_training(keys: Iterable[str], split: Split, by: Trait, *, noun: str) -> None:
    """Refuse what comes from clips that are not training clips, or whose subject (camera) is in the test part.

    Args:
        keys: Keys of the clips that it comes from.
        split: The split that is trained on.
        by: What training and test may not share: the protocol's `separates`.
        noun: What comes from the clips, for the message: "motion".

    Raises:
        LeakError: If a clip is held out; the message names the first, in the order of `keys`.
    """
    if offenders := find_held_out(keys, split, by):
        raise LeakError(
            f"Expected each {noun} to come from a training clip whose {by} is not tested, got the {noun} of "
            f"{offenders[0]!r}, which is held out. Correct the protocol's lists."
        )


def find_held_out(keys: Iterable[str], split: Split, by: Trait) -> list[str]:
    """Keys, in order, of the clips that are not training clips, or whose subject (camera) is in the test part."""
    traits = {record.key: _trait(record, by) for record in split.train}
    tested = {_trait(record, by) for record in split.test}
    return [key for key in keys if key not in traits or traits[key] in tested]


def assert_strangers(subjects: Mapping[str, str], split: Split) -> None:
    """Refuse synthetic people whose likeness is that of a held-out subject.

    A subject who is also in the training clips, as in cross-view protocols, gives nothing away and is allowed.

    Args:
        subjects: The data set's subject that each identity looks like, by identity; empty if it looks like none.
        split: A split of the same data set.

    Raises:
        LeakError: If an identity looks like a held-out subject; the message names both.
    """
    trained = {record.subject for record in split.train}
    held_out = {record.subject for record in (*split.val, *split.test)} - trained
    for identity, subject in subjects.items():
        if subject and subject in held_out:
            raise LeakError(
                f"Expected avatars of people outside validation and test, got {identity!r}, which shows the subject "
                f"{subject!r}. Move the avatar away, or correct `subject` in its pack."
            )


def find_overlaps(split: Split) -> dict[str, dict[str, Plain]]:
    """Find what training or validation share with the test although the protocol does not forbid it.

    Returns:
        For each kind that is shared ("subjects of training", "cameras of validation", "films of training" ...): how
        many (`shared`), how many test clips show them (`test_clips`), and the first twenty names (`names`).
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
            noun = "clip" if by == "key" else by
            what = noun if by == "key" else f"{by} {trait!r}"
            raise LeakError(
                f"Expected {one} and {other} to share no {noun}, got the {what} in both ({ours[trait]!r} and "
                f"{record.key!r}). Change the protocol's lists, or leave the clips out."
            )


def _trait(record: Record, by: str) -> str:
    return {"key": record.key, "subject": record.subject, "camera": record.camera, "path": str(record.path)}[by]
