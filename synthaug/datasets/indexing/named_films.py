"""The base of data sets whose file names state class, subject and camera: list films by name, then probe each once."""

import difflib
import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from synthaug.datasets import ActionDataset
from synthaug.datasets.indexing.arguments import require_list
from synthaug.datasets.indexing.index import VideoIndex
from synthaug.datasets.indexing.keys import sort_by_key
from synthaug.files import normalize_name, user_cache
from synthaug.structures import Record
from synthaug.video import LOST, FileKey, VideoInfo, file_key, remember

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedFilm:
    """What a film's name states.

    Attributes:
        key: The record's key: the name without the parts that all names share.
        path: The film.
        label: Index of its class.
        subject: The person in it.
        camera: The camera; empty where the name states none.
    """

    key: str
    path: Path
    label: int
    subject: str
    camera: str


@dataclass(frozen=True)
class FilmListing:
    """The films of a folder, known by name alone: no file has been opened.

    Attributes:
        films: The usable films, sorted by key.
        faults: Why other films are not usable, by path relative to the folder.
        notes: How many films were left out, by reason.
    """

    films: tuple[NamedFilm, ...] = ()
    faults: dict[str, str] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbedFilms:
    """A listing after its films were probed.

    Attributes:
        records: One for each readable film, sorted by key.
        quarantine: The listing's faults, and why films cannot be read.
        notes: The listing's notes, and what probing counted.
        infos: What the films hold. Sent to worker processes, which then do not probe again.
    """

    records: tuple[Record, ...]
    quarantine: dict[str, str]
    notes: dict[str, int]
    infos: dict[FileKey, VideoInfo]

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        remember(self.infos)


class UnknownNameError(ValueError):
    """A file's name does not follow the data set's rule, or states a class or number that the data set lacks."""


class OtherClassError(Exception):
    """A file's name follows the rule, but its class is not used; the argument is the note that counts such files."""


class NamedFilms(ActionDataset):
    """A data set whose films state by their names what they show.

    A subclass implements `classes` and `_parse_name`. Each class is its own mirror image: handedness means nothing in
    the data sets that exist.

    Args:
        root: The folder of the data set.
        films: The films in it.
        title: Name of the data set, for progress bars and logs.
        cache: Folder of the film index; None uses the user's cache.
        faults: What may be film but cannot be read, as `search_films` found it.

    Raises:
        ValueError: If two films have the same key.
    """

    def __init__(
        self,
        root: Path,
        films: Iterator[Path],
        *,
        title: str,
        cache: Path | str | None,
        faults: Mapping[str, str] | None = None,
    ) -> None:
        self.root = root
        self.cache = Path(cache).expanduser() if cache else user_cache()
        self._title = title
        listing = list_films(root, films, self._parse_name)
        self._listing = replace(listing, faults=listing.faults | dict(faults or {}))

    @property
    def films(self) -> tuple[Path, ...]:
        """Every film whose name follows the rule and whose class is used, sorted."""
        return tuple(sorted(film.path for film in self._listing.films))

    @property
    def records(self) -> tuple[Record, ...]:
        """One record for each readable film of the classes, sorted by key."""
        return self._probed.records

    @property
    def quarantine(self) -> dict[str, str]:
        """Why films are not used: their names break the rule, or they cannot be read."""
        return self._probed.quarantine

    @property
    def notes(self) -> dict[str, int]:
        """How many films show other classes, and how many are shorter than their containers announce."""
        return self._probed.notes

    @property
    def mirrored_classes(self) -> dict[str, str | None]:
        """Empty: each class is its own mirror image."""
        return {}

    @property
    def published(self) -> bool:
        """True: all data sets whose names state this much are."""
        return True

    def prepare(self) -> None:
        """Probe every film that the index does not hold; a hundred thousand films of 1920 x 1080 take hours, once."""
        assert self._probed.records

    @cached_property
    def _probed(self) -> ProbedFilms:
        return probe_films(self._listing, cache=self.cache, title=self._title)

    @abstractmethod
    def _parse_name(self, path: Path) -> NamedFilm:
        """Return what a film's name states; raises UnknownNameError or OtherClassError."""


def choose_classes(
    classes: Sequence[str] | None, present: Iterable[str], *, faults: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the class names to use, in Unicode's composed form and in the order of their labels.

    Args:
        classes: The names that the user chose; None takes all that are present, sorted.
        present: Class names that have films.
        faults: What may be film but cannot be read, as `search_films` found it; it may explain why a class has none.

    Raises:
        ValueError: If a chosen class has no film or is named twice, or none is chosen.
    """
    there = sorted({normalize_name(name) for name in present})
    if classes is None:
        return tuple(there)
    names = tuple(normalize_name(str(name)) for name in require_list(classes, "dataset.classes"))
    unknown = next((name for name in names if name not in there), None)
    if unknown is not None:
        close = difflib.get_close_matches(unknown, there, n=1)
        lost = next((why for path, why in (faults or {}).items() if unknown in normalize_name(path).split("/")), None)
        if lost is not None:
            raise ValueError(f"Expected dataset.classes to name classes that have films, got {unknown!r}. {lost}")
        raise ValueError(
            f"Expected dataset.classes to name classes that have films, got {unknown!r}."
            f"{f' Did you mean {close[0]!r}?' if close else ''} Choose from: {', '.join(there)}."
        )
    if not names or len(set(names)) != len(names):
        raise ValueError(
            f"Expected dataset.classes to name at least one class, and each once, got {list(names)}. "
            f"Choose from: {', '.join(there)}."
        )
    return names


def list_films(root: Path, paths: Iterator[Path], parse_name: Callable[[Path], NamedFilm]) -> FilmListing:
    """List films by what their names state. One in a folder `replacement...` takes the place of its namesake.

    Args:
        root: Faults are named by path relative to this folder.
        paths: The films.
        parse_name: Reads one name; raises UnknownNameError or OtherClassError.

    Raises:
        ValueError: If two films have the same key.
    """
    films: dict[str, NamedFilm] = {}
    faults: dict[str, str] = {}
    notes: dict[str, int] = {}
    for path in paths:
        try:
            film = parse_name(path)
        except UnknownNameError as error:
            faults[path.relative_to(root).as_posix()] = str(error)
            continue
        except OtherClassError as error:
            notes[str(error)] = notes.get(str(error), 0) + 1
            continue
        if film.key in films:
            replaced = [one for one in (films[film.key], film) if not _is_replacement(one.path, root)]
            if len(replaced) == 1:
                notes["films_replaced"] = notes.get("films_replaced", 0) + 1
                films[film.key] = film if replaced[0] is films[film.key] else films[film.key]
                continue
            raise ValueError(
                f"Expected one film of the clip {film.key!r}, got two: {str(films[film.key].path)!r} and "
                f"{str(path)!r}. Move one of them out of dataset.root: the broken one, if the other replaces it."
            )
        films[film.key] = film
    return FilmListing(tuple(films[key] for key in sorted(films)), faults, notes)


def count_unusual(infos: Iterable[VideoInfo]) -> dict[str, int]:
    """How many films are shorter than announced, and how many have each of `VideoInfo.notes`, by the data set's notes.

    A count of 0 is left out.
    """
    counts: dict[str, int] = {}
    for info in infos:
        for what in (*(["shorter_than_announced"] * info.cut_short), *(f"with_{name}" for name in info.notes)):
            counts[f"films_{what}"] = counts.get(f"films_{what}", 0) + 1
    return counts


def advise(notes: Mapping[str, int]) -> str:
    """A sentence for the log about film that is damaged and used nevertheless; empty if none is."""
    damaged = f"films_with_{LOST}" in notes
    return " Run `synthaug data scan` for the names of the films with lost pictures." if damaged else ""


def _is_replacement(path: Path, root: Path) -> bool:
    """Whether a film lies in a folder of replacements, as Kinetics publishes for its damaged films."""
    return any(part.lower().startswith("replacement") for part in path.relative_to(root).parts[:-1])


def probe_films(listing: FilmListing, *, cache: Path, title: str) -> ProbedFilms:
    """Probe every film that the index does not hold; unreadable films go into quarantine.

    Args:
        listing: The films.
        cache: Folder of the film index.
        title: Name of the data set, for the progress bar and the log.

    Raises:
        ValueError: If no film can be read.
    """
    index = VideoIndex(cache)
    infos, broken = index.probe_all([film.path for film in listing.films], title=f"Probing the films of {title}")
    names = {film.path: film.key for film in listing.films}
    quarantine = listing.faults | {names[path]: reason for path, reason in broken.items()}
    counts = {"film_indices_ignored": index.ignored, **count_unusual(infos.values())}
    notes = listing.notes | {what: number for what, number in counts.items() if number}
    records = [
        Record(
            film.key,
            film.path,
            film.label,
            normalize_name(film.subject),
            normalize_name(film.camera),
            0.0,
            infos[film.path].duration,
        )  # fmt: skip
        for film in listing.films
        if film.path in infos
    ]
    if not records:
        first = "; ".join(f"{key}: {reason}" for key, reason in list(quarantine.items())[:3])
        raise ValueError(
            f"Expected at least one readable film of {title}, got {len(listing.films)} broken ones ({first}). Repair "
            "the first of these, or unpack the archives again."
        )
    left_out = ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in sorted(notes.items()))
    said = f"{f', {left_out}' if left_out else ''}.{advise(notes)}"
    logger.info("%s: %d clips, %d in quarantine%s", title, len(records), len(quarantine), said)
    return ProbedFilms(sort_by_key(records), quarantine, notes, {file_key(path): info for path, info in infos.items()})
