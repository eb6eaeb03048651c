"""The interface of avatar importers: each file beside it is one foreign format, read into avatar packs."""

from abc import ABC, abstractmethod
from pathlib import Path

from synthaug.avatars.pack.format import Pack


class Importer(ABC):
    """Turns files of one foreign format into avatar packs.

    The constructor's parameters are the options of an import. `synthaug avatar import FORMAT` offers each of type
    `Path`, `str`, `float`, `int`, `bool` or `Literal` (or one of these and None) as a flag, and prints what the class
    docstring says of it under Attributes or Args. A parameter of another type needs a default and is set in Python.
    """

    def find_people(self, source: Path) -> dict[str, Path] | None:
        """Where the people of a collection are, by name; None if the source is one person, which is the default.

        Raises:
            FileNotFoundError: If the source has no person.
        """
        return None

    @abstractmethod
    def import_person(self, source: Path, name: str) -> Pack:
        """Read one person at full detail; the caller adds papers and levels of detail.

        `about.provenance.digest` is `synthaug.avatars.importers.files.checkpoints.content_digest(source)`. It tells
        whether a person of a collection was imported before, so that nobody is imported twice.

        Args:
            source: The foreign file or folder.
            name: Name of the new identity.

        Raises:
            FileNotFoundError: If a file does not exist.
            ValueError: If a file cannot be read as this format, or an option does not fit it; the message says how.
        """
