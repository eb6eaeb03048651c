"""Ways to divide any data set's records into training, validation and test.

Every draw depends on the seed, the class's name and the records' keys alone: not on the order of files, and not on
the other classes.
"""

import difflib
import fnmatch
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, final

from synthaug.datasets import Protocol, Split
from synthaug.datasets.indexing.arguments import items
from synthaug.datasets.protocols.draws import Draws, drawn_by
from synthaug.structures import Record


@final
class CrossSubject(Protocol):
    """Test people are never trained on: the protocol of NTU RGB+D and Toyota Smarthome.

    Validation never looks at test clips. Without `val_subjects` and with `val_fraction` 0 there is none, and the
    last checkpoint is taken; a fraction is drawn out of each class's training clips, so it shares their people and
    flatters.

    Args:
        test_subjects: Names (numbers will do) of those looked at last.
        val_subjects: Names of those who choose the checkpoint.
        train_subjects: Names of those learnt from; None means all others.
        val_fraction: Share of each class's training clips set aside instead of people, 0 to below 1.
        n_shot: Training clips kept of each class, drawn by `seed`; None keeps all. More contain fewer.
        seed: Of the draws.
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
        self.groups = _Groups("subject", test_subjects, val_subjects, train_subjects)
        self.draws = Draws(val_fraction, n_shot, seed)

    @property
    def separates(self) -> Literal["subject", "camera", "path", "key"]:
        """People."""
        return "subject"

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by who is seen."""
        return self.draws.finish(self.groups.divide(records, lambda record: record.subject), classes)


@final
class CrossView(Protocol):
    """Test cameras are never trained on; the same people are in front of both.

    Args:
        test_cameras: Names (numbers will do) of the views looked at last.
        val_cameras: Names of the views that choose the checkpoint.
        train_cameras: Names of the views learnt from; None means all others.
        val_fraction: Share of each class's training clips set aside instead of views, 0 to below 1.
        n_shot: Training clips kept of each class, drawn by `seed`; None keeps all.
        seed: Of the draws.
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
        self.groups = _Groups("camera", test_cameras, val_cameras, train_cameras)
        self.draws = Draws(val_fraction, n_shot, seed)

    @property
    def separates(self) -> Literal["subject", "camera", "path", "key"]:
        """Views."""
        return "camera"

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by which camera filmed."""
        return self.draws.finish(self.groups.divide(records, lambda record: record.camera), classes)


@final
class Holdout(Protocol):
    """A drawn share of the people, or of the files, is the test: for collections without a protocol of their own.

    Groups are drawn class by class, the rarest first, until each class has its share; every class keeps at least
    one group for training. Drawing files where people are known lets the same person into both parts.

    Args:
        test_fraction: Share of each class's clips to be looked at last, above 0 and below 1.
        by: What is kept whole: `subject`, or the file (`path`) with all of its intervals.
        val_fraction: Share of each class's training clips that chooses the checkpoint, 0 to below 1.
        n_shot: Training clips kept of each class; None keeps all.
        seed: Of the draws.
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
        if not 0 < test_fraction < 1 or by not in ("subject", "path"):
            raise ValueError(
                f"test_fraction={test_fraction} and by={by!r} were given; a share above 0 and below 1, and 'subject' "
                "or 'path', were wanted. Set protocol.test_fraction or protocol.by."
            )
        self.test_fraction = test_fraction
        self.by = by
        self.draws = Draws(val_fraction, n_shot, seed)

    @property
    def separates(self) -> Literal["subject", "camera", "path", "key"]:
        """People, or whole files."""
        return self.by

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by lot."""
        name: Callable[[Record], str] = (lambda r: r.subject) if self.by == "subject" else (lambda r: str(r.path))
        held = self._held(records, classes, name)
        train = tuple(record for record in records if name(record) not in held)
        test = tuple(record for record in records if name(record) in held)
        return self.draws.finish(Split(train, (), test), classes)

    def _held(self, records: Sequence[Record], classes: Sequence[str], name: Callable[[Record], str]) -> set[str]:
        members = {label: [r for r in records if r.label == label] for label in range(len(classes))}
        # Named by their first clip's key, not by an absolute path, which differs between machines.
        alias = {name(record): record.key for record in sorted(records, key=lambda r: r.key, reverse=True)}
        held: set[str] = set()
        kept: set[str] = set()
        for label in sorted(members, key=lambda label: (len(members[label]), classes[label])):
            groups = sorted({name(record) for record in members[label]}, key=lambda group: alias[group])
            rng = drawn_by(self.draws.seed, "holdout", classes[label])
            order = [groups[i] for i in rng.permutation(len(groups))]
            wanted = math.ceil(self.test_fraction * len(members[label]))
            for group in order:
                have = sum(name(record) in held for record in members[label])
                left = [other for other in order if other not in held and other != group]
                if group not in held | kept and have < wanted and left:
                    held.add(group)
            kept.update(group for group in order if group not in held)
        return held


@final
class Predefined(Protocol):
    """Parts given as patterns over the records' keys: `train/*` for folders that are divided already.

    Args:
        train: Patterns (`*`, `?`, `[ab]`) of the clips learnt from.
        test: Patterns of the clips looked at last.
        val: Patterns of the clips that choose the checkpoint; none takes the last checkpoint.
        n_shot: Training clips kept of each class, drawn by `seed`; None keeps all.
        seed: Of the draw.
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
        given = {"train": train, "val": val, "test": test}
        self.patterns = {part: items(patterns, f"protocol.{part}") for part, patterns in given.items()}
        self.draws = Draws(0.0, n_shot, seed)

    @property
    def separates(self) -> Literal["subject", "camera", "path", "key"]:
        """Nothing but the clips themselves: whoever divided the folder answers for the people."""
        return "key"

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by name; clips that no pattern names are left out and counted."""
        parts: dict[str, list[Record]] = {"train": [], "val": [], "test": []}
        for record in records:
            hits = [part for part, patterns in self.patterns.items() if _matches(record.key, patterns)]
            if len(hits) > 1:
                raise ValueError(
                    f"The clip {record.key!r} is named by the patterns of {' and '.join(hits)}. Patterns that share no "
                    "clip were wanted. Narrow protocol.train, protocol.val or protocol.test."
                )
            if hits:
                parts[hits[0]].append(record)
        left_out = len(records) - sum(map(len, parts.values()))
        notes = {"clips_in_no_part": left_out} if left_out else {}
        split = Split(tuple(parts["train"]), tuple(parts["val"]), tuple(parts["test"]), notes)
        return self.draws.finish(split, classes)


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


@final
class _Groups:
    """Lists of names for the three parts, checked for sharing none."""

    def __init__(
        self,
        noun: str,
        test: Sequence[str | int],
        val: Sequence[str | int],
        train: Sequence[str | int] | None,
    ) -> None:
        self.noun = noun
        self.test = _names(test, f"protocol.test_{noun}s")
        self.val = _names(val, f"protocol.val_{noun}s")
        self.train = None if train is None else _names(train, f"protocol.train_{noun}s")
        parts = {"test": self.test, "val": self.val, "train": self.train or ()}
        for one, other in (("test", "val"), ("test", "train"), ("val", "train")):
            shared = sorted(set(parts[one]) & set(parts[other]))
            if shared:
                raise ValueError(
                    f"{noun} {shared[0]!r} is in both {one}_{noun}s and {other}_{noun}s. Lists that share nobody were "
                    f"wanted. Take it out of one of them."
                )
        if not self.test:
            raise ValueError(
                f"test_{noun}s is empty; at least one {noun} to test on was wanted. Set protocol.test_{noun}s=[...]."
            )

    def divide(self, records: Sequence[Record], name: Callable[[Record], str]) -> Split:
        """Records by list; those on none of them are left out and counted."""
        present = sorted({name(record) for record in records})
        for part, names in (("test", self.test), ("val", self.val), ("train", self.train or ())):
            for unknown in names:
                if unknown not in present:
                    raise ValueError(_unknown(unknown, present, f"{part}_{self.noun}s", self.noun))
        chosen = self.train
        if chosen is None:
            chosen = tuple(group for group in present if group not in self.test and group not in self.val)
        parts = [tuple(r for r in records if name(r) in names) for names in (chosen, self.val, self.test)]
        left_out = len(records) - sum(map(len, parts))
        notes = {f"clips_of_unlisted_{self.noun}s": left_out} if left_out else {}
        return Split(train=parts[0], val=parts[1], test=parts[2], notes=notes)


def _names(names: Iterable[str | int], argument: str) -> tuple[str, ...]:
    """As text: the command line reads `[4]` as a number, a CSV as a word."""
    return tuple(dict.fromkeys(str(name) for name in items(names, argument)))


def _unknown(name: str, present: Sequence[str], argument: str, noun: str) -> str:
    close = difflib.get_close_matches(name, present, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(map(repr, present[:30])) + (f" and {len(present) - 30} more" if len(present) > 30 else "")
    return f"protocol.{argument} names {noun} {name!r}, which is not in the data.{hint} Choose from: {shown}."
