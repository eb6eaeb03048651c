"""Labelled film. The interface; the files beside it are the answers.

A data set does not know that it will be extended: nothing here imports synthesis.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from synthaug.structures import Record


class DatasetNotFoundError(FileNotFoundError):
    """The data set is not where it was looked for; the message says where, through which argument, and what to do."""


class LeakError(ValueError):
    """Something held out would reach training; the message names it."""


@dataclass(frozen=True)
class Split:
    """Which records train, which choose the checkpoint, and which are looked at last.

    Attributes:
        train: May be learnt from, re-enacted, and used as plates.
        val: Chooses the checkpoint. Never test clips; empty where the protocol has none, and then the last
            checkpoint is taken.
        test: Looked at once, at the end.
        notes: What was left out and why, by name, for the run's report.
    """

    train: tuple[Record, ...]
    val: tuple[Record, ...]
    test: tuple[Record, ...]
    notes: dict[str, int] = field(default_factory=dict)


class Protocol(ABC):
    """Divides records into training, validation and test."""

    @property
    @abstractmethod
    def separates(self) -> Literal["subject", "camera", "path", "key"]:
        """What training and test never share: a field of Record ("subject", "camera", or "key" for single clips)."""

    def stratum(self, record: Record) -> str:
        """What the report tells apart among test clips, such as the view of each; empty here: nothing."""
        return ""

    @abstractmethod
    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide; deterministic.

        Raises:
            ValueError: If a part that must not be empty would be, or a named subject does not exist.
        """


class ActionDataset(ABC):
    """An indexed collection of labelled film."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Class names; a record's label is an index into them."""

    @property
    @abstractmethod
    def records(self) -> tuple[Record, ...]:
        """Every usable labelled interval, sorted by key."""

    @property
    @abstractmethod
    def quarantine(self) -> dict[str, str]:
        """Why each unusable entry was left out, by key. Counted in every run's report."""

    @property
    @abstractmethod
    def notes(self) -> dict[str, int]:
        """What was trimmed, joined or otherwise changed while indexing, counted by name for the run's report."""

    @property
    def films(self) -> tuple[Path, ...]:
        """Every file that is opened for the records, broken ones among them, sorted; nothing is opened to tell.

        Here, of data sets that say nothing else: the records' own.
        """
        return tuple(sorted({record.path for record in self.records}))

    @property
    def fixed_cameras(self) -> bool:
        """Whether clips whose records name one camera were filmed by one that stood still, and so share up."""
        return True

    @property
    def unnamed(self) -> Mapping[str, frozenset[str]]:
        """Keys of records of which nobody says who is seen ("subject") or which camera filmed ("camera"), by field.

        Here: none.
        """
        return {}

    @property
    def mirrored_classes(self) -> Mapping[str, str | None] | None:
        """Which class the mirror image of a class shows, where that is another one, or None where it shows none.

        {"wave left": "wave right"}: either way round is enough. Classes not named are their own mirror images. None
        here: nothing is known of handedness, and nothing of this data set is mirrored.
        """
        return None

    @abstractmethod
    def prepare(self) -> None:
        """Bring the files into being or check them; called by one process before any other touches the data."""
