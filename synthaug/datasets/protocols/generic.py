"""Divide any data set by subject, by camera, by random choice, or by name.

Every random choice depends on the seed, the class's name and the records' keys alone: not on the order of files, and
not on the other classes.
"""

import contextlib
import difflib
import fnmatch
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, final

from synthaug.datasets import Protocol, Split
from synthaug.datasets.indexing.arguments import require_list
from synthaug.datasets.indexing.keys import sort_by_key
from synthaug.datasets.protocols.choosing import ShotChoice, rng_of
from synthaug.files import normalize_name
from synthaug.structures import Record, Trait


@final
class CrossSubject(Protocol):
    """Tests on people who are not in the training clips, as NTU RGB+D and Toyota Smarthome do.

    Validation never uses test clips. Without `val_subjects` and with `val_fraction` 0 there is no validation part, and
    the last checkpoint is used. A fraction is chosen among each class's training clips; it shows the same people as
    training does, so its accuracy is too high.

    Args:
        test_subjects: Names (numbers are accepted) of the people to test on.
        val_subjects: Names of the people whose clips choose the checkpoint.
        train_subjects: Names of the people to train on; None takes all others.
        val_fraction: Share of each class's training clips to validate on, in place of `val_subjects`; 0 to below 1.
        n_shot: Training clips to keep of each class, chosen by `seed`; None keeps all. More shots include fewer ones.
        seed: Seed of the choices.

    Raises:
        ValueError: If a name is in two lists, there is no test subject, or a number is out of range.
    """

    def __init__(
        self,
        test_subjects: Sequence[str | int],
        val_subjects: Sequence[str | int] = (),
        *,
        train_subjects: Sequence[str | int] | None = None,
        val_fraction: float = 0.0,
        n_shot: int | None = None,
        seed: int = 0,
    ) -> None:
        self.names = _NameLists("subject", test_subjects, val_subjects, train_subjects)
        self.choice = ShotChoice(val_fraction, n_shot, seed)

    @property
    def separates(self) -> Trait:
        """Training and test share no subject."""
        return "subject"

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by subject."""
        return self.choice.apply(self.names.divide(records, lambda record: record.subject), classes)


@final
class CrossView(Protocol):
    """Tests on cameras that are not in the training clips; the same people are seen by both.

    Args:
        test_cameras: Names (numbers are accepted) of the cameras to test on.
        val_cameras: Names of the cameras whose clips choose the checkpoint.
        train_cameras: Names of the cameras to train on; None takes all others.
        val_fraction: Share of each class's training clips to validate on, in place of `val_cameras`; 0 to below 1.
        n_shot: Training clips to keep of each class, chosen by `seed`; None keeps all. More shots include fewer ones.
        seed: Seed of the choices.

    Raises:
        ValueError: If a name is in two lists, there is no test camera, or a number is out of range.
    """

    def __init__(
        self,
        test_cameras: Sequence[str | int],
        val_cameras: Sequence[str | int] = (),
        *,
        train_cameras: Sequence[str | int] | None = None,
        val_fraction: float = 0.0,
        n_shot: int | None = None,
        seed: int = 0,
    ) -> None:
        self.names = _NameLists("camera", test_cameras, val_cameras, train_cameras)
        self.choice = ShotChoice(val_fraction, n_shot, seed)

    @property
    def separates(self) -> Trait:
        """Training and test share no camera."""
        return "camera"

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by camera."""
        return self.choice.apply(self.names.divide(records, lambda record: record.camera), classes)


@final
class Holdout(Protocol):
    """Tests on a random share of the people, or of the files: for collections without a protocol of their own.

    People (or files) are chosen class by class, the rarest class first, until each class has its share. Every class
    keeps at least one of them for training. If people are known, do not divide by file: the same person would be in
    both training and test.

    Args:
        test_fraction: Share of each class's clips to test on, above 0 and below 1.
        by: What stays whole: "subject", or "path", the file with all of its intervals.
        val_fraction: Share of each class's training clips that chooses the checkpoint, 0 to below 1.
        n_shot: Training clips to keep of each class, chosen by `seed`; None keeps all. More shots include fewer ones.
        seed: Seed of the choices.

    Raises:
        ValueError: If a share is out of range, or `by` is neither of the two.
    """

    def __init__(
        self,
        test_fraction: float = 0.3,
        *,
        by: Literal["subject", "path"] = "subject",
        val_fraction: float = 0.0,
        n_shot: int | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 < test_fraction < 1:
            raise ValueError(
                f"Expected protocol.test_fraction to be a share above 0 and below 1, got {test_fraction}. "
                "Set protocol.test_fraction=0.3, for example."
            )
        if by not in ("subject", "path"):
            raise ValueError(f"Expected protocol.by to be 'subject' or 'path', got {by!r}. Set one of them.")
        self.test_fraction = test_fraction
        self.by = by
        self.choice = ShotChoice(val_fraction, n_shot, seed)

    @property
    def separates(self) -> Trait:
        """Training and test share no subject, or no file."""
        return self.by

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by random choice."""
        name: Callable[[Record], str] = (lambda r: r.subject) if self.by == "subject" else (lambda r: str(r.path))
        held_out = self._choose_test(records, classes, name)
        train = tuple(record for record in records if name(record) not in held_out)
        test = tuple(record for record in records if name(record) in held_out)
        return self.choice.apply(Split(train, (), test), classes)

    def _choose_test(
        self, records: Sequence[Record], classes: Sequence[str], name: Callable[[Record], str]
    ) -> set[str]:
        """The names of the people or files to test on."""
        members = {label: [r for r in records if r.label == label] for label in range(len(classes))}
        # Files are ordered by their first clip's key, not by their absolute path, which differs between machines.
        alias = {name(record): record.key for record in reversed(sort_by_key(records))}
        held_out: set[str] = set()
        kept: set[str] = set()
        for label in sorted(members, key=lambda label: (len(members[label]), classes[label])):
            groups = sorted({name(record) for record in members[label]}, key=lambda group: alias[group])
            rng = rng_of(self.choice.seed, "holdout", classes[label])
            order = [groups[i] for i in rng.permutation(len(groups))]
            share = math.ceil(self.test_fraction * len(members[label]))
            for group in order:
                have = sum(name(record) in held_out for record in members[label])
                left = [other for other in order if other not in held_out and other != group]
                if group not in held_out | kept and have < share and left:
                    held_out.add(group)
            kept.update(group for group in order if group not in held_out)
        return held_out


@final
class Predefined(Protocol):
    """Divides by patterns over the records' keys, such as `train/*` for a folder that is divided already.

    Args:
        train: Patterns (`*`, `?`, `[ab]`) of the training clips.
        test: Patterns of the test clips.
        val: Patterns of the clips that choose the checkpoint; without any the last checkpoint is used.
        n_shot: Training clips to keep of each class, chosen by `seed`; None keeps all. More shots include fewer ones.
        seed: Seed of the choice.
    """

    def __init__(
        self,
        train: Sequence[str],
        test: Sequence[str],
        *,
        val: Sequence[str] = (),
        n_shot: int | None = None,
        seed: int = 0,
    ) -> None:
        parts = {"train": train, "val": val, "test": test}
        self.patterns = {part: require_list(patterns, f"protocol.{part}") for part, patterns in parts.items()}
        self.choice = ShotChoice(0.0, n_shot, seed)

    @property
    def separates(self) -> Trait:
        """Training and test share no clip. That they share no subject is up to the person who divided the folder."""
        return "key"

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by name. Clips that match no pattern are left out and counted.

        Raises:
            ValueError: If a clip matches the patterns of two parts.
        """
        parts: dict[str, list[Record]] = {"train": [], "val": [], "test": []}
        for record in records:
            hits = [part for part, patterns in self.patterns.items() if _matches(record.key, patterns)]
            if len(hits) > 1:
                raise ValueError(
                    f"Expected each clip to match the patterns of one part only, got {record.key!r} in "
                    f"{' and '.join(hits)}. Narrow protocol.train, protocol.val or protocol.test."
                )
            if hits:
                parts[hits[0]].append(record)
        left_out = len(records) - sum(map(len, parts.values()))
        notes = {"clips_in_no_part": left_out} if left_out else {}
        split = Split(tuple(parts["train"]), tuple(parts["val"]), tuple(parts["test"]), notes)
        return self.choice.apply(split, classes)


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(normalize_name(key), normalize_name(pattern)) for pattern in patterns)


@final
class _NameLists:
    """The subjects or cameras of the three parts; no name is in two of them."""

    def __init__(
        self,
        noun: str,
        test: Sequence[str | int],
        val: Sequence[str | int],
        train: Sequence[str | int] | None,
    ) -> None:
        self.noun = noun
        self.test = _read_names(test, f"protocol.test_{noun}s")
        self.val = _read_names(val, f"protocol.val_{noun}s")
        self.train = None if train is None else _read_names(train, f"protocol.train_{noun}s")
        self.numbers = {one for names in (test, val, train or ()) for one in names if isinstance(one, int | float)}
        parts = {"test": self.test, "val": self.val, "train": self.train or ()}
        for one, other in (("test", "val"), ("test", "train"), ("val", "train")):
            shared = sorted(set(parts[one]) & set(parts[other]))
            if shared:
                raise ValueError(
                    f"Expected protocol.{one}_{noun}s and protocol.{other}_{noun}s to share no name, got {shared[0]!r} "
                    "in both. Remove it from one of them."
                )
        if not self.test:
            raise ValueError(
                f"Expected protocol.test_{noun}s to name at least one {noun}, got []. Set protocol.test_{noun}s=[...]."
            )

    def divide(self, records: Sequence[Record], name: Callable[[Record], str]) -> Split:
        """Divide records by the lists; those on no list are left out and counted."""
        name_of, name = name, lambda record: normalize_name(name_of(record))
        present = sorted({name(record) for record in records})
        self._refuse_ambiguous(present)
        for part, names in (("test", self.test), ("val", self.val), ("train", self.train or ())):
            for unknown in names:
                if unknown not in present:
                    raise ValueError(_explain_unknown(unknown, present, f"{part}_{self.noun}s", self.noun))
        trained = self.train
        if trained is None:
            trained = tuple(group for group in present if group not in self.test and group not in self.val)
        parts = [tuple(r for r in records if name(r) in names) for names in (trained, self.val, self.test)]
        left_out = len(records) - sum(map(len, parts))
        notes = {f"clips_of_unlisted_{self.noun}s": left_out} if left_out else {}
        return Split(train=parts[0], val=parts[1], test=parts[2], notes=notes)

    def _refuse_ambiguous(self, present: Sequence[str]) -> None:
        """Refuse a number that a file of options may have made of another name: YAML reads 1_2 as 12, and 010 as 8."""
        for number in sorted(self.numbers):
            read = {one: _number_of(one) for one in present if one != str(number)}
            alike = [one for one in present if read.get(one) == number and type(read[one]) is type(number)]
            if alike:
                also = [str(number)] if str(number) in present else []
                raise ValueError(
                    f"Expected protocol.test_{self.noun}s, val_{self.noun}s or train_{self.noun}s to name {self.noun}s "
                    f"of the data, got the number {number}, which may stand for "
                    f"{' or '.join(map(repr, also + alike))}. Write the name in quotes, such as ['{alike[0]}']; on a "
                    f"command line with others around the word: \"protocol.test_{self.noun}s=['{alike[0]}']\"."
                )


def _number_of(name: str) -> int | float | None:
    """The number that YAML or Hydra may make of a name: a leading 0 means octal, and _ nothing."""
    octal = name.lstrip("+-").startswith("0") and name.isdecimal()
    for read in (lambda text: int(text, 8 if octal else 0), float):
        with contextlib.suppress(ValueError):
            return read(name)
    return None


def _read_names(names: Iterable[str | int], argument: str) -> tuple[str, ...]:
    """The names as text, since the command line reads `[4]` as a number, and a table as a word."""
    listed = require_list(names, argument)
    if odd := [name for name in listed if isinstance(name, bool) or not isinstance(name, str | int | float)]:
        word = {None: "null", True: "true", False: "false"}.get(odd[0], odd[0])
        raise ValueError(
            f"Expected {argument} to be names, got {word}. Write the name of somebody in quotes, with others around "
            f"the word for the shell: \"{argument}=['{word}']\"."
        )
    return tuple(dict.fromkeys(normalize_name(str(name)) for name in listed))


def _explain_unknown(name: str, present: Sequence[str], argument: str, noun: str) -> str:
    close = difflib.get_close_matches(name, present, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(map(repr, present[:30])) + (f" and {len(present) - 30} more" if len(present) > 30 else "")
    return f"Expected protocol.{argument} to name {noun}s of the data, got {name!r}.{hint} Choose from: {shown}."
