"""The protocols of Toyota Smarthome's authors, as rules. The nine published lists follow from them, name for name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from synthaug.datasets import Protocol, Split
from synthaug.datasets.protocols.choosing import ShotChoice
from synthaug.datasets.protocols.published import count_missing
from synthaug.datasets.toyota.dataset import CLASSES, CROSS_VIEW_CLASSES
from synthaug.structures import Record, Trait


@dataclass(frozen=True)
class ToyotaRule:
    """Which people, or which cameras, are for training, validation and test.

    Attributes:
        by: The field of a record that training and test never share.
        train: Numbers of the training people or cameras.
        val: Numbers of the validation people or cameras; may be empty.
        test: Numbers of the test people or cameras.
        classes: The classes of the rule.
        sizes: Number of clips in the three parts of the whole data set.
    """

    by: Literal["subject", "camera"]
    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    classes: tuple[str, ...]
    sizes: tuple[int, int, int]


_TRAINING_PEOPLE = (3, 4, 6, 7, 9, 12, 13, 15, 17)
_TEST_PEOPLE = (2, 10, 11, 14, 16, 18, 20)
RULES = {
    "CS": ToyotaRule("subject", _TRAINING_PEOPLE, (19, 25), _TEST_PEOPLE, CLASSES, (8829, 1853, 5433)),
    # Without validation, as UNIK and many later papers do.
    "CS11": ToyotaRule("subject", (*_TRAINING_PEOPLE, 19, 25), (), _TEST_PEOPLE, CLASSES, (10682, 0, 5433)),
    "CV1": ToyotaRule("camera", (1,), (5,), (2,), CROSS_VIEW_CLASSES, (1877, 3539, 1901)),
    "CV2": ToyotaRule("camera", (1, 3, 4, 6, 7), (5,), (2,), CROSS_VIEW_CLASSES, (7806, 3539, 1901)),
}
"""The rules by the authors' names, and CS11, a variant of later papers.

Sizes leave out the 14 clips of the unofficial class.
"""


@final
class ToyotaSplit(Protocol):
    """Cross-subject (CS) or cross-view (CV1: one training camera, CV2: five), as Toyota Smarthome's authors divide it.

    In the cross-view protocols training and test cameras see the same people; the protocols allow it, and `separates`
    is "camera". The validation part lacks some classes (CS has 28 of 31, CV has 17 of 19), so mean class accuracy is
    over those that occur.

    If all classes of the rule are used, the notes count the clips that the data set should have and lacks.

    Args:
        rule: "CS", "CV1", "CV2", or "CS11", which trains on the validation people too and uses the last checkpoint.
        n_shot: Training clips to keep of each class, chosen by `seed`; None keeps all. More shots include fewer ones.
        seed: Seed of the choice.

    Raises:
        ValueError: If the rule is unknown.

    Source:
        Das et al., ICCV 2019; the lists are those of `srijandas07/i3d_smarthome`.
    """

    def __init__(self, rule: str, *, n_shot: int | None = None, seed: int = 0) -> None:
        if rule not in RULES:
            raise ValueError(f"Expected protocol.rule to be one of {', '.join(RULES)}, got {rule!r}. Set one of them.")
        self.rule = rule
        self.choice = ShotChoice(0.0, n_shot, seed)

    @property
    def separates(self) -> Trait:
        """Training and test share no subject in CS, and no camera in CV."""
        return RULES[self.rule].by

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by the number in the name.

        Raises:
            ValueError: If the data set has a class that the cross-view protocols lack, or a class has no training clip.
        """
        rule = RULES[self.rule]
        if rule.classes is CROSS_VIEW_CLASSES:
            beyond = [name for name in classes if name not in CROSS_VIEW_CLASSES]
            if beyond:
                raise ValueError(
                    f"Expected the {len(CROSS_VIEW_CLASSES)} classes of protocol.rule={self.rule}, got also "
                    f"{beyond[0]!r}. Set dataset.classes=cv, or choose protocol.rule=CS."
                )
        numbers = (rule.train, rule.val, rule.test)
        train, val, test = (tuple(r for r in records if _number_of(r, rule.by) in part) for part in numbers)
        left_out = len(records) - len(train) - len(val) - len(test)
        notes = {"clips_in_no_part": left_out} if left_out else {}
        if set(classes) == set(rule.classes):
            notes |= count_missing((train, val, test), rule.sizes)
        return self.choice.apply(Split(train, val, test, notes), classes)


def _number_of(record: Record, by: str) -> int | None:
    name = record.subject if by == "subject" else record.camera
    return int(name) if name.isdecimal() else None
