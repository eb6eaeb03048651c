"""NTU RGB+D's own protocols, as rules over the numbers in its names: who, which camera, which setup, which exemplar."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, final

from synthaug.datasets import Protocol, Split
from synthaug.datasets.indexing.arguments import items
from synthaug.datasets.indexing.named import UnknownNameError, absent
from synthaug.datasets.ntu.dataset import NOVEL, NtuName, ntu_name
from synthaug.datasets.protocols.draws import Draws
from synthaug.structures import Record

TRAINING_PERFORMERS_60 = frozenset(
    (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
)  # fmt: skip
TRAINING_PERFORMERS_120 = TRAINING_PERFORMERS_60 | {
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95,
    97, 98, 100, 103,
}  # fmt: skip
EXEMPLARS = frozenset(f"S{1 if action <= 60 else 18:03}C003P008R001A{action:03}" for action in NOVEL)
"""The one clip of each novel action that is shown."""

LIMITS_60 = NtuName(setup=17, camera=3, performer=40, replication=2, action=60)
LIMITS_120 = NtuName(setup=32, camera=3, performer=106, replication=2, action=120)
"""The highest numbers of the first half and of the whole."""


@dataclass(frozen=True)
class Rule:
    """Which clips train; all others test.

    Attributes:
        trains: Whether a clip does.
        by: What training and test never share, as far as a record says it.
        limits: The highest numbers of the data set that the rule is for.
        sizes: Training and test clips of the whole data set, those without skeleton included.
    """

    trains: Callable[[NtuName], bool]
    by: Literal["subject", "camera"]
    limits: NtuName
    sizes: tuple[int, int]


def _known_60(name: NtuName) -> bool:
    return name.performer in TRAINING_PERFORMERS_60


def _known_120(name: NtuName) -> bool:
    return name.performer in TRAINING_PERFORMERS_120


def _other_views(name: NtuName) -> bool:
    return name.camera != 1


def _even_setups(name: NtuName) -> bool:
    return name.setup % 2 == 0


RULES = {
    "cross_subject_60": Rule(_known_60, "subject", LIMITS_60, (40320, 16560)),
    "cross_view_60": Rule(_other_views, "camera", LIMITS_60, (37920, 18960)),
    "cross_subject_120": Rule(_known_120, "subject", LIMITS_120, (63360, 51120)),
    "cross_setup_120": Rule(_even_setups, "camera", LIMITS_120, (54720, 59760)),
}
"""XSub and XView of NTU RGB+D 60, XSub and XSet of NTU RGB+D 120."""


@final
class NtuSplit(Protocol):
    """Cross-subject, cross-view and cross-setup evaluation, as the authors of NTU RGB+D divide it.

    There is no official validation part: without `val_performers` the last checkpoint is taken. Their training clips
    choose it otherwise, and are not learnt from. In the cross-view and cross-setup protocols they are also tested on,
    as everybody is: that is the protocol's own.

    Cameras are told apart by setup and number, so no view of the training is tested under any of these rules but the
    cross-subject ones, where every view is.

    Clips that the data set should have and lacks are counted in the notes, when all of its actions are used; of them
    229 / 73, 274 / 28, 334 / 201 and 252 / 283 (training / test, in the order of RULES) are those without skeleton.

    Args:
        rule: "cross_subject_60", "cross_view_60", "cross_subject_120" or "cross_setup_120".
        val_performers: Numbers of people whose training clips choose the checkpoint.
        n_shot: Training clips kept of each class, drawn by `seed`; None keeps all. More contain fewer.
        seed: Of the draw.

    Source:
        Shahroudy and others, CVPR 2016; Liu and others, TPAMI 2020; lists as in `shahroudy/NTURGB-D`.
    """

    def __init__(
        self, rule: str, *, val_performers: Sequence[int] = (), n_shot: int | None = None, seed: int = 0
    ) -> None:
        if rule not in RULES:
            raise ValueError(
                f"protocol.rule={rule!r} was given; one of {', '.join(RULES)} was wanted. Choose one of them."
            )
        self.rule = rule
        self.val_performers = items(val_performers, "protocol.val_performers")
        self.draws = Draws(0.0, n_shot, seed)

    @property
    def separates(self) -> Literal["subject", "camera", "path", "key"]:
        """People, or cameras as they stood in a setup."""
        return RULES[self.rule].by

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by the numbers in the keys.

        Raises:
            ValueError: If a key is no name of NTU RGB+D or beyond the rule's data set, a validation performer does not
                train, or a class has no training clip.
        """
        rule = RULES[self.rule]
        names = {record.key: named(record, rule.limits, self.rule) for record in records}
        train = tuple(record for record in records if rule.trains(names[record.key]))
        test = tuple(record for record in records if not rule.trains(names[record.key]))
        trained = {names[record.key].performer for record in train}
        for performer in self.val_performers:
            if performer not in trained:
                raise ValueError(
                    f"protocol.val_performers names {performer}, who does not train under {self.rule}. Training "
                    f"performers that the data have were wanted: {', '.join(map(str, sorted(trained)))}."
                )
        val = tuple(record for record in train if names[record.key].performer in self.val_performers)
        notes = absent((train, (), test), (rule.sizes[0], 0, rule.sizes[1])) if _whole(classes, rule.limits) else {}
        rest = tuple(record for record in train if names[record.key].performer not in self.val_performers)
        return self.draws.finish(Split(rest, val, test, notes), classes)


@final
class NtuOneShot(Protocol):
    """One clip of each of 20 novel actions is shown; all their others are the test (19,060 in the whole data set).

    All clips of the other 100 actions are training clips as well, where the data set has them: with
    `dataset.actions=ntu120` recognizers learn 120 classes of which 20 have one clip, and with `dataset.actions=novel`
    they learn the 20 from the exemplars alone, and from what is synthesised out of these.

    People and views are shared between training and test: that is the protocol's own.

    Source:
        Liu and others, TPAMI 2020; exemplars as in `shahroudy/NTURGB-D`.
    """

    @property
    def separates(self) -> Literal["subject", "camera", "path", "key"]:
        """Nothing but the clips."""
        return "key"

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by action and exemplar.

        Raises:
            ValueError: If a key is no name of NTU RGB+D, or the exemplar of a novel action in use is not there.
        """
        names = {record.key: named(record, LIMITS_120, "one-shot") for record in records}
        there = set(names)
        wanted = {key for key in EXEMPLARS if any(ntu_name(key).action == name.action for name in names.values())}
        lacking = sorted(wanted - there)
        if lacking:
            more = f", nor are {len(lacking) - 1} others" if lacking[1:] else ""
            raise ValueError(
                f"The exemplar {lacking[0]!r} is not there{more}; the one-shot protocol fixes one clip of each novel "
                "action. Bring it, or leave the action out of dataset.actions."
            )
        train = tuple(r for r in records if r.key in EXEMPLARS or names[r.key].action not in NOVEL)
        test = tuple(r for r in records if r.key not in EXEMPLARS and names[r.key].action in NOVEL)
        notes = absent((train, (), test), (95400 + 20, 0, 19060)) if _whole(classes, LIMITS_120) else {}
        return Draws(0.0, None, 0).finish(Split(train, (), test, notes), classes)


def _whole(classes: Sequence[str], limits: NtuName) -> bool:
    return len(classes) == limits.action


def named(record: Record, limits: NtuName, rule: str) -> NtuName:
    """What a record's key says, within the numbers that a rule is for.

    Raises:
        ValueError: If it is no name of NTU RGB+D, or beyond them.
    """
    try:
        name = ntu_name(record.key)
    except UnknownNameError as error:
        raise ValueError(
            f"The clip {record.key!r} is none of NTU RGB+D's; names such as S001C002P003R002A013 were wanted under "
            f"{rule}. Choose dataset=ntu60 or ntu120, or another protocol."
        ) from error
    beyond = [
        f"{field} {number}, of at most {most}"
        for field, number, most in (
            ("setup", name.setup, limits.setup),
            ("performer", name.performer, limits.performer),
            ("action", name.action, limits.action),
        )
        if number > most
    ]
    if beyond:
        raise ValueError(
            f"The clip {record.key!r} has {beyond[0]}, under {rule}. Clips of NTU RGB+D 60 were wanted. Choose a "
            "protocol of NTU RGB+D 120, or set dataset.actions=ntu60."
        )
    return name
