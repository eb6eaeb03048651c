"""Toyota Smarthome's own protocols, as rules: each of the nine published lists follows from them, name for name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from synthaug.datasets import Protocol, Split
from synthaug.datasets.indexing.named import absent
from synthaug.datasets.protocols.draws import Draws
from synthaug.datasets.toyota.dataset import CLASSES, CROSS_VIEW_CLASSES
from synthaug.structures import Record


@dataclass(frozen=True)
class Rule:
    """Who, or which cameras, train, choose the checkpoint, and test.

    Attributes:
        by: What is never shared.
        train: Numbers of people or cameras.
        val: Likewise; may be empty.
        test: Likewise.
        classes: That the rule is for.
        sizes: Clips in the three parts of the whole data set.
    """

    by: Literal["subject", "camera"]
    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    classes: tuple[str, ...]
    sizes: tuple[int, int, int]


_NINE = (3, 4, 6, 7, 9, 12, 13, 15, 17)
_TESTED = (2, 10, 11, 14, 16, 18, 20)
RULES = {
    "CS": Rule("subject", _NINE, (19, 25), _TESTED, CLASSES, (8829, 1853, 5433)),
    # Without validation, as many papers have it (UNIK and those after it).
    "CS11": Rule("subject", (*_NINE, 19, 25), (), _TESTED, CLASSES, (10682, 0, 5433)),
    "CV1": Rule("camera", (1,), (5,), (2,), CROSS_VIEW_CLASSES, (1877, 3539, 1901)),
    "CV2": Rule("camera", (1, 3, 4, 6, 7), (5,), (2,), CROSS_VIEW_CLASSES, (7806, 3539, 1901)),
}
"""By the authors' names; CS11 is a variant of others. Sizes without the 14 clips of the unofficial class."""


@final
class ToyotaSplit(Protocol):
    """Cross-subject (CS) or cross-view (CV1: one training camera, CV2: five), as Toyota Smarthome's authors divide it.

    In the cross-view protocols the same people are before the training and the test cameras: that is the protocol's
    own, and `separates` says so. Its validation lacks classes (CS: 28 of 31, CV: 17 of 19 occur), so means over
    classes are over those that occur.

    Clips that the data set should have and lacks are counted in the notes, when all of the rule's classes are used.

    Args:
        rule: "CS", "CV1", "CV2", or "CS11", which trains on the validation people too and takes the last checkpoint.
        n_shot: Training clips kept of each class, drawn by `seed`; None keeps all. More contain fewer.
        seed: Of the draw.

    Source:
        Das and others, ICCV 2019; the lists are those of `srijandas07/i3d_smarthome`.
    """

    def __init__(self, rule: str, *, n_shot: int | None = None, seed: int = 0) -> None:
        if rule not in RULES:
            raise ValueError(
                f"protocol.rule={rule!r} was given; one of {', '.join(RULES)} was wanted. Choose one of them."
            )
        self.rule = rule
        self.draws = Draws(0.0, n_shot, seed)

    @property
    def separates(self) -> Literal["subject", "camera", "path", "key"]:
        """People in CS, cameras in CV."""
        return RULES[self.rule].by

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by the number in the name.

        Raises:
            ValueError: If a class is used that the cross-view protocols do not have, or a class has no training clip.
        """
        rule = RULES[self.rule]
        if rule.classes is CROSS_VIEW_CLASSES:
            beyond = [name for name in classes if name not in CROSS_VIEW_CLASSES]
            if beyond:
                raise ValueError(
                    f"protocol.rule={self.rule!r} is defined over {len(CROSS_VIEW_CLASSES)} classes; {beyond[0]!r} is "
                    f"not one of them. Set dataset.classes=cv, or choose protocol.rule=CS."
                )
        wanted = (rule.train, rule.val, rule.test)
        train, val, test = (tuple(r for r in records if _group(r, rule.by) in part) for part in wanted)
        left_out = len(records) - len(train) - len(val) - len(test)
        notes = {"clips_in_no_part": left_out} if left_out else {}
        if set(classes) == set(rule.classes):
            notes |= absent((train, val, test), rule.sizes)
        return self.draws.finish(Split(train, val, test, notes), classes)


def _group(record: Record, by: str) -> int | None:
    name = record.subject if by == "subject" else record.camera
    return int(name) if name.isdecimal() else None
