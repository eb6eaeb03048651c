"""Let a few people teach and test on all others, one group of people after the other: folds over people."""

from collections.abc import Sequence
from typing import final

from synthaug.datasets import Protocol, Split
from synthaug.datasets.indexing.keys import sort_naturally
from synthaug.datasets.protocols.choosing import ShotChoice
from synthaug.structures import Record, Trait


@final
class PeopleFolds(Protocol):
    """Trains on one group of people and tests on everybody else.

    People are sorted by name, with numbers by size, and divided into groups of `teach`; those left over never teach. No
    person teaches in two folds, so that figures over folds have an honest spread.

    Args:
        teach: Number of people in a group.
        fold: Which group teaches, from 0.
        val_fraction: Share of each class's training clips that chooses the checkpoint, 0 to below 1; it shows the same
            people as training does.
        n_shot: Training clips to keep of each class, chosen by `seed`; None keeps all. More shots include fewer ones.
        seed: Seed of the choices.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        teach: int = 2,
        fold: int = 0,
        *,
        val_fraction: float = 0.0,
        n_shot: int | None = None,
        seed: int = 0,
    ) -> None:
        if teach < 1 or fold < 0:
            raise ValueError(
                f"Expected protocol.teach of at least 1 and protocol.fold of 0 or more, got {teach} and {fold}. "
                "Correct them; protocol.teach=2 protocol.fold=0 lets the first two people teach."
            )
        self.teach = teach
        self.fold = fold
        self.choice = ShotChoice(val_fraction, n_shot, seed)

    @property
    def separates(self) -> Trait:
        """Training and test share no subject."""
        return "subject"

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by group.

        Raises:
            ValueError: If there are too few people for this fold.
        """
        people = sort_naturally({record.subject for record in records})
        folds = len(people) // self.teach
        if self.fold >= folds or len(people) == self.teach:
            raise ValueError(
                f"Expected protocol.fold below {folds} and somebody left to test on, got fold {self.fold} of "
                f"{len(people)} people in groups of {self.teach}. Lower protocol.fold or protocol.teach."
            )
        teachers = set(people[self.fold * self.teach : (self.fold + 1) * self.teach])
        train = tuple(record for record in records if record.subject in teachers)
        test = tuple(record for record in records if record.subject not in teachers)
        return self.choice.apply(Split(train, (), test), classes)
