"""The protocols of NTU RGB+D's authors, as rules over the numbers in the names of clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, final

from synthaug.datasets import Protocol, Split
from synthaug.datasets.indexing.arguments import require_list
from synthaug.datasets.indexing.named_films import UnknownNameError
from synthaug.datasets.ntu.dataset import NOVEL, NtuName, parse_ntu_name
from synthaug.datasets.protocols.choosing import ShotChoice
from synthaug.datasets.protocols.published import count_missing
from synthaug.structures import Record, Trait

TRAINING_PERFORMERS_60 = frozenset(
    (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
)  # fmt: skip
TRAINING_PERFORMERS_120 = TRAINING_PERFORMERS_60 | {
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95,
    97, 98, 100, 103,
}  # fmt: skip
EXEMPLARS = frozenset(f"S{1 if action <= 60 else 18:03}C003P008R001A{action:03}" for action in NOVEL)
"""The one training clip of each novel action."""

LIMITS_60 = NtuName(setup=17, camera=3, performer=40, replication=2, action=60)
LIMITS_120 = NtuName(setup=32, camera=3, performer=106, replication=2, action=120)
"""The highest numbers of NTU RGB+D 60 and of NTU RGB+D 120."""


@dataclass(frozen=True)
class NtuRule:
    """Which clips train; all others test.

    Attributes:
        trains: Whether a clip is a training clip.
        by: The field of a record that training and test never share.
        limits: The highest numbers of the data set of the rule.
        sizes: Number of training and test clips of the whole data set, clips without skeleton included.
    """

    trains: Callable[[NtuName], bool]
    by: Literal["subject", "camera"]
    limits: NtuName
    sizes: tuple[int, int]


def _by_training_performer_60(name: NtuName) -> bool:
    return name.performer in TRAINING_PERFORMERS_60


def _by_training_performer_120(name: NtuName) -> bool:
    return name.performer in TRAINING_PERFORMERS_120


def _by_training_camera(name: NtuName) -> bool:
    return name.camera != 1


def _in_training_setup(name: NtuName) -> bool:
    return name.setup % 2 == 0


RULES = {
    "cross_subject_60": NtuRule(_by_training_performer_60, "subject", LIMITS_60, (40320, 16560)),
    "cross_view_60": NtuRule(_by_training_camera, "camera", LIMITS_60, (37920, 18960)),
    "cross_subject_120": NtuRule(_by_training_performer_120, "subject", LIMITS_120, (63360, 51120)),
    "cross_setup_120": NtuRule(_in_training_setup, "camera", LIMITS_120, (54720, 59760)),
}
"""XSub and XView of NTU RGB+D 60, XSub and XSet of NTU RGB+D 120."""


@final
class NtuSplit(Protocol):
    """Cross-subject, cross-view or cross-setup evaluation, as NTU RGB+D's authors divide it.

    There is no official validation part. Without `val_performers` the last checkpoint is used; otherwise the training
    clips of these performers choose the checkpoint and do not train. In the cross-view and cross-setup protocols the
    same performers are also in the test, as everybody is: the protocols allow it.

    A camera is a setup and a number. So training and test share no camera, except in the cross-subject protocols, where
    every camera is in both.

    If all actions are used, the notes count the clips that the data set should have and lacks. Clips without a skeleton
    are 229 / 73, 274 / 28, 334 / 201 and 252 / 283 of these (training / test, in the order of RULES).

    Args:
        rule: "cross_subject_60", "cross_view_60", "cross_subject_120" or "cross_setup_120".
        val_performers: Numbers of the performers whose training clips choose the checkpoint.
        n_shot: Training clips to keep of each class, chosen by `seed`; None keeps all. More shots include fewer ones.
        seed: Seed of the choice.

    Raises:
        ValueError: If the rule is unknown.

    Source:
        Shahroudy et al., CVPR 2016; Liu et al., TPAMI 2020; the lists are those of `shahroudy/NTURGB-D`.
    """

    def __init__(
        self, rule: str, *, val_performers: Sequence[int] = (), n_shot: int | None = None, seed: int = 0
    ) -> None:
        if rule not in RULES:
            raise ValueError(f"Expected protocol.rule to be one of {', '.join(RULES)}, got {rule!r}. Set one of them.")
        self.rule = rule
        self.val_performers = require_list(val_performers, "protocol.val_performers")
        self.choice = ShotChoice(0.0, n_shot, seed)

    @property
    def separates(self) -> Trait:
        """Training and test share no subject, or no camera."""
        return RULES[self.rule].by

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by the numbers in the keys.

        Raises:
            ValueError: If a key is not a clip name of the rule's data set, a validation performer has no training clip,
                or a class has no training clip.
        """
        rule = RULES[self.rule]
        names = {record.key: parse_record(record, rule.limits, self.rule) for record in records}
        train = tuple(record for record in records if rule.trains(names[record.key]))
        test = tuple(record for record in records if not rule.trains(names[record.key]))
        trained = {names[record.key].performer for record in train}
        for performer in self.val_performers:
            if performer not in trained:
                raise ValueError(
                    f"Expected protocol.val_performers to name training performers of {self.rule}, got {performer}. "
                    f"Choose from: {', '.join(map(str, sorted(trained)))}."
                )
        val = tuple(record for record in train if names[record.key].performer in self.val_performers)
        notes = (
            count_missing((train, (), test), (rule.sizes[0], 0, rule.sizes[1]))
            if _has_all_actions(classes, rule.limits)
            else {}
        )
        rest = tuple(record for record in train if names[record.key].performer not in self.val_performers)
        return self.choice.apply(Split(rest, val, test, notes), classes)


@final
class NtuOneShot(Protocol):
    """One-shot recognition on NTU RGB+D 120: one training clip of each of 20 novel actions, all their others test.

    The test has 19,060 clips in the whole data set. Clips of the other 100 actions train as well, if the data set has
    them: with `dataset.actions=ntu120` recognizers learn 120 classes, 20 of them from one clip each. With
    `dataset.actions=novel` they learn the 20 classes from the one clip each, and from what is synthesised from it.

    Training and test share subjects and cameras: the protocol allows it.

    Source:
        Liu et al., TPAMI 2020; the training clips of the novel actions are those of `shahroudy/NTURGB-D`.
    """

    @property
    def separates(self) -> Trait:
        """Training and test share no clip; they may share subjects and cameras."""
        return "key"

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by action and exemplar.

        Raises:
            ValueError: If a key is not a clip name of NTU RGB+D, or a novel action lacks its training clip.
        """
        names = {record.key: parse_record(record, LIMITS_120, "one-shot") for record in records}
        there = set(names)
        used = {key for key in EXEMPLARS if any(parse_ntu_name(key).action == name.action for name in names.values())}
        lacking = sorted(used - there)
        if lacking:
            more = f" and {len(lacking) - 1} others" if lacking[1:] else ""
            raise ValueError(
                f"Expected the one clip of each novel action that the one-shot protocol trains on, got no "
                f"{lacking[0]!r}{more}. Add the film, or leave the action out of dataset.actions."
            )
        train = tuple(r for r in records if r.key in EXEMPLARS or names[r.key].action not in NOVEL)
        test = tuple(r for r in records if r.key not in EXEMPLARS and names[r.key].action in NOVEL)
        notes = (
            count_missing((train, (), test), (95400 + 20, 0, 19060)) if _has_all_actions(classes, LIMITS_120) else {}
        )
        return ShotChoice(0.0, None, 0).apply(Split(train, (), test, notes), classes)


def _has_all_actions(classes: Sequence[str], limits: NtuName) -> bool:
    return len(classes) == limits.action


def parse_record(record: Record, limits: NtuName, rule: str) -> NtuName:
    """Parse a record's key as a clip name of the data set of a rule.

    Args:
        record: The record.
        limits: The highest numbers of the data set.
        rule: Name of the rule, for the message.

    Raises:
        ValueError: If it is not a clip name of NTU RGB+D, or a number is beyond the limits.
    """
    try:
        name = parse_ntu_name(record.key)
    except UnknownNameError as error:
        raise ValueError(
            f"Expected clips of NTU RGB+D such as S001C002P003R002A013 under {rule}, got {record.key!r}. Choose "
            "dataset=ntu60 or ntu120, or another protocol."
        ) from error
    beyond = [
        f"{field} {number} (at most {most})"
        for field, number, most in (
            ("setup", name.setup, limits.setup),
            ("performer", name.performer, limits.performer),
            ("action", name.action, limits.action),
        )
        if number > most
    ]
    if beyond:
        raise ValueError(
            f"Expected clips of NTU RGB+D 60 under {rule}, got {record.key!r} with {beyond[0]}. Choose a protocol of "
            "NTU RGB+D 120, or set dataset.actions=ntu60."
        )
    return name
