"""The interface of data sets and protocols: labelled film, and its division into training, validation and test.

A data set (`ActionDataset`) lists labelled intervals of film as records. A protocol (`Protocol`) divides the records
into a `Split`. The modules of this package are the data sets that a user can choose; `protocols` holds the protocols
that work with any of them.

Data sets know nothing of synthesis: nothing here imports it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synthaug.structures import Record, Trait


class DatasetNotFoundError(FileNotFoundError):
    """The files of a data set are missing; the message names the folder, the argument to set, and where to get them."""


class LeakError(ValueError):
    """Held-out film would reach training; the message names it."""


@dataclass(frozen=True)
class Split:
    """The records for training, for choosing the checkpoint, and for the test.

    Attributes:
        train: Clips to learn from; their motions and backgrounds may be used for synthesis.
        val: Clips that choose the checkpoint, never test clips. Empty where the protocol has no validation part; then
            the last checkpoint is used.
        test: Clips for the final evaluation.
        notes: How many clips were left out, by reason, for the run's report.
    """

    train: tuple[Record, ...]
    val: tuple[Record, ...]
    test: tuple[Record, ...]
    notes: dict[str, int] = field(default_factory=dict)


class Protocol(ABC):
    """Divides records into training, validation and test."""

    @property
    @abstractmethod
    def separates(self) -> Trait:
        """The field of a record that training and test never share: "subject", "camera", "path" (the file) or "key".

        "key" forbids only shared clips.
        """

    def stratum(self, record: Record) -> str:
        """Name the group of test clips that a record belongs to, such as its view; reports show each group apart.

        The default has no groups: "" for every record.
        """
        return ""

    @abstractmethod
    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide the records. Equal records in any order give equal splits.

        Args:
            records: The records of a data set.
            classes: The data set's class names; a record's label is an index into them.

        Raises:
            ValueError: If a part that must not be empty would be, or a named subject or camera does not exist.
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
        """Why each unusable entry was left out, by key. Every run's report counts them."""

    @property
    @abstractmethod
    def notes(self) -> dict[str, int]:
        """How many intervals were trimmed, joined or otherwise changed, by reason, for the run's report."""

    @property
    def films(self) -> tuple[Path, ...]:
        """Every film file of the data set, broken ones included, sorted. Listing them opens no file.

        The default lists the files of the records.
        """
        return tuple(sorted({record.path for record in self.records}))

    @property
    def fixed_cameras(self) -> bool:
        """Whether clips with the same camera name were filmed from one fixed position, and so share their up axis.

        The default is True.
        """
        return True

    @property
    def published(self) -> bool:
        """Whether others divided and published these clips as they are.

        What such a set holds twice is reported and not refused: nobody could repeat its published figures otherwise.
        The default is False.
        """
        return False

    @property
    def unnamed(self) -> Mapping[str, frozenset[str]]:
        """Keys of the records with an unknown subject ("subject") or camera ("camera"), by field.

        The default is empty: every record names both.
        """
        return {}

    @property
    def mirrored_classes(self) -> Mapping[str, str | None] | None:
        """The class that the mirror image of a class belongs to, or None for a class whose mirror image has none.

        {"wave left": "wave right"} covers both directions. A class that is not listed is its own mirror image. The
        default None means that handedness is unknown, and nothing of this data set is mirrored.
        """
        return None

    @abstractmethod
    def prepare(self) -> None:
        """Create or check the files. One process calls this before any other process reads the data."""
