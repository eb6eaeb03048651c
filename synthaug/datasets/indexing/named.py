"""Collections whose file names say everything: listed by name, then looked into once.

Below the data sets that others publish under their own rules of naming.
"""

import difflib
import logging
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from synthaug.datasets import ActionDataset
from synthaug.datasets.indexing.arguments import items
from synthaug.datasets.indexing.index import VideoIndex
from synthaug.datasets.protocols.draws import by_key
from synthaug.files import user_cache
from synthaug.structures import Record
from synthaug.video import SUFFIXES, FileKey, VideoInfo, file_key, remember

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Named:
    """What a film's name says.

    Attributes:
        key: The name, without what all names share.
        path: The film.
        label: Index of its class.
        subject: Who is seen.
        camera: Which view.
    """

    key: str
    path: Path
    label: int
    subject: str
    camera: str


@dataclass(frozen=True)
class Listing:
    """What lies in a folder, by name alone: nothing has been opened.

    Attributes:
        films: Those to be used.
        faults: Why others are not, by their path in the folder.
        notes: How many were passed over, by reason.
    """

    films: tuple[Named, ...] = ()
    faults: dict[str, str] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    """A listing whose films were looked into.

    Attributes:
        records: One for each whole film that can be read, sorted by key.
        quarantine: The listing's faults, and why films cannot be read.
        notes: The listing's, and what looking gave.
        infos: What the films hold. Travels to workers, which then need not look again.
    """

    records: tuple[Record, ...]
    quarantine: dict[str, str]
    notes: dict[str, int]
    infos: dict[FileKey, VideoInfo]

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        remember(self.infos)


class UnknownNameError(ValueError):
    """A file's name does not follow the collection's rule, or says what the collection does not have."""


class OtherClassError(Exception):
    """A file's name is in order, but its class was not asked for; the argument is the note that counts it."""


class NamedFilms(ActionDataset):
    """A collection whose films say by their names what they show.

    Handedness means nothing in the collections that exist, so the mirror image of a class is the class.

    Args:
        root: The folder.
        films: What lies in it.
        title: Of the collection, for bars and logs.
        cache: Folder of the index of films; None is the user's cache.

    Raises:
        ValueError: If a clip is there twice.
    """

    def __init__(self, root: Path, films: Iterator[Path], *, title: str, cache: Path | str | None) -> None:
        self.root = root
        self.cache = Path(cache).expanduser() if cache else user_cache()
        self._title = title
        self._listing = listed(root, films, self._read)

    @property
    def films(self) -> tuple[Path, ...]:
        """Every film whose name is in order."""
        return tuple(sorted(film.path for film in self._listing.films))

    @property
    def records(self) -> tuple[Record, ...]:
        """Every whole clip of the classes, sorted by name."""
        return self._opened.records

    @property
    def quarantine(self) -> dict[str, str]:
        """Why films are not used: names that are none, and films that cannot be read."""
        return self._opened.quarantine

    @property
    def notes(self) -> dict[str, int]:
        """Clips of classes that were not asked for, and films shorter than they announce."""
        return self._opened.notes

    @property
    def mirrored_classes(self) -> dict[str, str | None]:
        """No class is another one in the mirror."""
        return {}

    def prepare(self) -> None:
        """Look into every film that the index does not know: hours, once, for a hundred thousand of 1920 x 1080."""
        assert self._opened.records

    @cached_property
    def _opened(self) -> Opened:
        return opened(self._listing, cache=self.cache, title=self._title)

    @abstractmethod
    def _read(self, path: Path) -> Named:
        """What a film's name says; raises UnknownNameError or OtherClassError."""


def films_below(root: Path) -> Iterator[Path]:
    """Every film below a folder, in order; hidden names are passed over."""
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(folder) / name


def classes_among(wanted: Sequence[str] | None, present: Iterable[str]) -> tuple[str, ...]:
    """The classes to use in the order of their labels: as wanted, or all that are there, sorted.

    Raises:
        ValueError: If one is wanted that is not there, or twice, or none at all.
    """
    there = sorted(set(present))
    if wanted is None:
        return tuple(there)
    wanted = items(wanted, "dataset.classes")
    unknown = [name for name in wanted if name not in there]
    if unknown or not wanted or len(set(wanted)) != len(wanted):
        close = difflib.get_close_matches(unknown[0], there, n=1) if unknown else []
        raise ValueError(
            f"dataset.classes={list(wanted)} was given; names of classes that have films, each once, were wanted"
            f"{f': {unknown[0]!r} is none' if unknown else ''}{f', did you mean {close[0]!r}?' if close else '.'} "
            f"Choose from: {', '.join(there)}."
        )
    return wanted


def listed(root: Path, paths: Iterator[Path], read: Callable[[Path], Named]) -> Listing:
    """Understand the names of films.

    Args:
        root: Faults are named from here.
        paths: The films.
        read: Understands one; raises UnknownNameError or OtherClassError.

    Raises:
        ValueError: If two films have one name.
    """
    films: dict[str, Named] = {}
    faults: dict[str, str] = {}
    notes: dict[str, int] = {}
    for path in paths:
        try:
            film = read(path)
        except UnknownNameError as error:
            faults[path.relative_to(root).as_posix()] = str(error)
            continue
        except OtherClassError as error:
            notes[str(error)] = notes.get(str(error), 0) + 1
            continue
        if film.key in films:
            raise ValueError(
                f"The clip {film.key!r} is there twice: {str(films[film.key].path)!r} and {str(path)!r}. One film a "
                "name was wanted. Point dataset.root at one of the copies."
            )
        films[film.key] = film
    return Listing(tuple(films[key] for key in sorted(films)), faults, notes)


def opened(listing: Listing, *, cache: Path, title: str) -> Opened:
    """Look into every film that the index does not know; a broken one goes into quarantine.

    Args:
        listing: What to look into.
        cache: Folder of the index.
        title: Of the collection, for the bar and the log.

    Raises:
        ValueError: If no film can be read.
    """
    index = VideoIndex(cache)
    infos, broken = index.probe_all([film.path for film in listing.films], title=f"Looking into {title}")
    names = {film.path: film.key for film in listing.films}
    quarantine = listing.faults | {names[path]: reason for path, reason in broken.items()}
    short = sum(info.duration < 0.9 * info.announced for info in infos.values())
    counts = {"film_indices_ignored": index.ignored, "films_shorter_than_announced": short}
    notes = listing.notes | {what: number for what, number in counts.items() if number}
    records = [
        Record(film.key, film.path, film.label, film.subject, film.camera, 0.0, infos[film.path].duration)
        for film in listing.films
        if film.path in infos
    ]
    if not records:
        first = "; ".join(f"{key}: {reason}" for key, reason in list(quarantine.items())[:3])
        raise ValueError(
            f"None of the {len(listing.films)} films of {title} can be used ({first}). At least one that opens was "
            "wanted. Mend the first of these, or bring the archives again."
        )
    left_out = ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in sorted(notes.items()))
    logger.info("%s: %d clips, %d in quarantine%s.", title, len(records), len(quarantine), left_out and f", {left_out}")
    return Opened(by_key(records), quarantine, notes, {file_key(path): info for path, info in infos.items()})


def absent(split: Sequence[Sequence[Record]], official: Sequence[int]) -> dict[str, int]:
    """How many clips each part lacks against its published number, for the run's report; nothing where all are there.

    Args:
        split: Training, validation and test.
        official: Their published sizes.
    """
    parts = zip(("training", "validation", "test"), split, official, strict=True)
    lacking = {f"official_{name}_clips_absent": number - len(part) for name, part, number in parts}
    return {what: number for what, number in lacking.items() if number > 0}
