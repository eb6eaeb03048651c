"""The interface of exports: synthetic clips laid out in a folder for another library, and read back as training clips.

Every layout holds the same clips with the same columns. `synthaug.exports.parts` renders and collects them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from synthaug.structures import Recipe, Values

MANIFEST = "export.json"
"""The file that makes a folder an export: it is written last of all."""
CARD = "README.md"
"""The file that tells people what is in the folder."""
ROWS = "rows.jsonl"
"""One line of columns for each clip, in the order of the export."""


class ExportError(ValueError):
    """An export cannot be made, or is none; the message says why."""


@dataclass(frozen=True)
class PersonPapers:
    """What is known of the person that an avatar shows.

    Attributes:
        licence: Name of the terms of the avatar.
        terms: What they mean, in a sentence.
        uses: What the person agreed to and did not, in words.
        objection: Why the person must not appear in training data; empty if nothing is known against it.
        kept_back: Why clips of the person must not be handed on; empty if nothing is known against it.
        subject: The person's name in a data set of which they are a subject; empty otherwise.
    """

    licence: str = "not stated"
    terms: str = ""
    uses: str = "not stated"
    objection: str = ""
    kept_back: str = ""
    subject: str = ""


@dataclass(frozen=True)
class SourceTerms:
    """The terms of a source that clips are made of, as far as the package knows them.

    Attributes:
        part: What comes from it: "film", "motion", "people" or "places".
        name: Name of the source.
        licence: Name of its licence.
        share: What may be passed on.
        train: What may be trained on it.
        where: Where the terms can be read.
    """

    part: str
    name: str
    licence: str
    share: str
    train: str
    where: str


@dataclass(frozen=True)
class Papers:
    """Licences and consent that go with clips.

    Attributes:
        people: By identity.
        sources: Of film, motions, people and places.
    """

    people: dict[str, PersonPapers] = field(default_factory=dict)
    sources: tuple[SourceTerms, ...] = ()

    def licence(self, part: str) -> str:
        """Names of the licences of one part, "not stated" if none is known."""
        return "; ".join(dict.fromkeys(one.licence for one in self.sources if one.part == part)) or "not stated"


@dataclass(frozen=True)
class ClipFiles:
    """A finished clip on disk, before it is laid out.

    Attributes:
        key: Digest of its recipe.
        folder: Where its files are, all named after the key.
    """

    key: str
    folder: Path

    @property
    def film(self) -> Path:
        """H.264, sRGB."""
        return self.folder / f"{self.key}.mp4"

    @property
    def mask(self) -> Path:
        """H.264 without loss: 255 where people cover the pixel by half or more, else 0."""
        return self.folder / f"{self.key}.mask.mp4"

    @property
    def joints(self) -> Path:
        """Arrays as `synthaug.exports.parts.clips.ARRAYS` describes them."""
        return self.folder / f"{self.key}.joints.npz"

    @property
    def row(self) -> Path:
        """Columns, as `synthaug.exports.parts.columns.COLUMNS` describes them; it is written last."""
        return self.folder / f"{self.key}.json"


class Export(ABC):
    """A layout of finished clips that another library reads."""

    manual: str
    """How the library opens it: Markdown for the card, in which FOLDER stands for the folder."""

    @abstractmethod
    def lay_out(self, clips: Iterator[ClipFiles], folder: Path) -> None:
        """Lay clips out in an empty folder that nobody reads yet.

        Args:
            clips: In the order in which they are to be read.
            folder: Exists, and is empty.

        Raises:
            ExportError: If a library is needed that is not installed.
        """


class Pack(ABC):
    """A finished export, read clip by clip."""

    @property
    @abstractmethod
    def rows(self) -> Sequence[Values]:
        """Columns of every clip, in the order of the export."""

    @property
    @abstractmethod
    def about(self) -> Values:
        """What the manifest says: classes, places, and how the clips were made."""

    @abstractmethod
    def read(self, place: int) -> UInt8[Tensor, "time 3 height width"]:
        """Frames of the clip at this place of `rows`, sRGB.

        Raises:
            ExportError: If they cannot be read.
        """

    def recipe(self, place: int) -> Recipe:
        """The recipe of the clip at this place of `rows`."""
        return Recipe.from_json(str(self.rows[place]["recipe"]))
