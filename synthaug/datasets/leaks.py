"""Refuse test film in training: if training and test share anything, an error is raised before training starts."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from synthaug.datasets import LeakError, Split
from synthaug.files import normalize_name
from synthaug.structures import Plain, Record, Trait
from synthaug.video.copies import find_copies

_MAX_SHARED = 0.05
"""Seconds of film that training and test may share, as neighbours do whose annotations are rounded."""


def assert_disjoint(split: Split, by: Trait = "subject") -> None:
    """Refuse a split whose training or validation part shares a subject, a camera or a file with the test.

    No record may be in two parts, whatever `by` is. Training and validation may share people: validation accuracy is
    then too high, but nothing leaks. Names alone are compared; `assert_no_copies` opens the films.

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


def assert_no_copies(split: Split, by: Trait) -> None:
    """Refuse footage of the test that training or validation have under another name: by a link, or as a copy.

    Other parts of one film may be on both sides, unless the protocol separates by "path": footage is shared if
    intervals overlap.

    Args:
        split: The split to check.
        by: What must differ: the protocol's `separates`.

    Raises:
        LeakError: If there is any; the message names both files.
    """
    for part, records in (("training", split.train), ("validation", split.val)):
        ours: dict[Path, list[Record]] = {}
        for record in records:
            ours.setdefault(record.path, []).append(record)
        copies = find_copies({record.path for record in split.test}, ours)
        for record in split.test:
            for other in (other for path in copies.get(record.path, ()) for other in ours[path]):
                shared = min(record.end, other.end) - max(record.start, other.start)
                if by == "path" or shared > _MAX_SHARED:
                    raise LeakError(
                        f"Expected {part} and test to share no film, got one film under two names: "
                        f"{str(other.path)!r} ({part}, {other.key!r}) and {str(record.path)!r} (test, {record.key!r}) "
                        "have the same content. Remove one of them, or give both to the same part."
                    )


def check_split(split: Split, by: Trait, unnamed: Mapping[str, Collection[str]], *, published: bool = False) -> None:
    """Refuse a split whose parts share what the protocol separates, or that cannot be checked for it.

    Args:
        split: The split to check.
        by: What must differ: the protocol's `separates`.
        unnamed: Keys of clips that do not name it, by field: the data set's `unnamed`.
        published: Whether others divided and published the clips. Copies are then left to `find_overlaps`.

    Raises:
        LeakError: As `assert_named`, `assert_disjoint` and `assert_no_copies` say.
    """
    assert_named(split, by, unnamed)
    assert_disjoint(split, by)
    if not published:
        assert_no_copies(split, by)


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


def name_held_out_people(split: Split) -> set[str]:
    """Subjects of validation and test who are in no training clip, as `files.normalize_name` writes them."""
    trained = {_trait(record, "subject") for record in split.train}
    return {_trait(record, "subject") for record in (*split.val, *split.test)} - trained


def assert_strangers(subjects: Mapping[str, str], split: Split) -> None:
    """Refuse synthetic people whose likeness is that of a held-out subject.

    A subject who is also in the training clips, as in cross-view protocols, gives nothing away and is allowed.

    Args:
        subjects: The data set's subject that each identity looks like, by identity; empty if it looks like none.
        split: A split of the same data set.

    Raises:
        LeakError: If an identity looks like a held-out subject; the message names both.
    """
    held_out = name_held_out_people(split)
    for identity, subject in subjects.items():
        if subject and normalize_name(subject) in held_out:
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
            if by == "path":
                ours |= {str(path) for path in _copied(split.test, records)}
            shared = sorted(ours & {_trait(record, by) for record in split.test})
            if shared:
                clips = sum(_trait(record, by) in ours for record in split.test)
                names: list[Plain] = [Path(name).name if by == "path" else name for name in shared[:20]]
                found[f"{noun} of {part}"] = {"shared": len(shared), "test_clips": clips, "names": names}
    return found


def _copied(records: Iterable[Record], among: Iterable[Record]) -> Collection[Path]:
    """Films of the records that others have under another name."""
    return find_copies({record.path for record in records}, {record.path for record in among})


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
    if by in ("subject", "camera"):  # of any data set: one name in two forms of Unicode is one person
        return normalize_name(record.subject if by == "subject" else record.camera)
    return record.key if by == "key" else str(record.path)
