"""The interface of film makers, which render the embedded demo's film in place of film from people's homes."""

from abc import ABC, abstractmethod
from pathlib import Path

from synthaug.structures import Record


class FilmMaker(ABC):
    """Makes labelled film without any input, the same film every time."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the actions, by label."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A text that differs whenever the films would differ."""

    @abstractmethod
    def shoot(self, root: Path) -> list[Record]:
        """Make every film that is missing below `root`, and return the records of all."""
