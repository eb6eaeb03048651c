"""Anybody's film: a folder with one sub-folder for each class, or a table of files, labels, people and seconds."""

import difflib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import final

from synthaug.datasets import ActionDataset, DatasetNotFoundError
from synthaug.datasets.indexing.arguments import items
from synthaug.datasets.indexing.index import VideoIndex
from synthaug.datasets.indexing.intervals import TOUCH, Interval, alone, joined
from synthaug.datasets.indexing.named import films_below
from synthaug.datasets.indexing.tables import Row, read_table
from synthaug.files import user_cache
from synthaug.structures import Record
from synthaug.video import FileKey, VideoInfo, file_key, remember

logger = logging.getLogger(__name__)

_PARTS = {"train", "val", "valid", "validation", "test"}  # folders above the classes in sets that are divided already
_NAMED = 5  # offenders that a message lists before it counts


@final
class Folder(ActionDataset):
    """Labelled film from a folder.

    Dataset format:
        Either `root/<class>/**/*.mp4` (or avi, mkv, mov, webm ...), also below `root/{train,val,test}/`. The subject is
        the folder between class and file, `root/<class>/<subject>/x.mp4`, or else the file itself, for nothing is known
        of who is in it. Folders without film, hidden names and other kinds of files are passed over.
        Or a table, `root/<csv>`: a header and the columns file and label, and optionally subject, camera, start and
        end in seconds, under any of the names in `tables.ALIASES`. Several rows may share a file. Without a subject it
        is the file itself.

    Overlapping intervals:
        A clip has one label, so film in which two things happen teaches neither. Among the chosen classes, intervals of
        one file that share label and subject are joined; of others that overlap by more than 0.05 s each keeps the
        longest stretch that it has alone, and is left out where that is shorter than `min_seconds`. The order of rows
        does not matter. Intervals are cut at the end of the film. All of it is counted in `notes`.

    Clips of which nothing says who is seen are counted in `notes`. Where other clips do say it, protocols that separate
    people refuse them: the same person may be on both sides. So it is with cameras.

    A file that cannot be read as film, a row that cannot be understood, and an interval of which nothing is left
    are put into `quarantine` with the reason. A table that names a file that is not there is an error.

    Keys are paths relative to root, with `#start-end` where the interval is not the whole film. Films are looked into
    once (`video.probe`); what was found is kept in `cache`.

    Args:
        root: The folder.
        csv: The table's path within root; None takes sub-folders as classes.
        classes: Class names to use, in the order of their labels; None takes all, sorted.
        cache: Folder of the index of films; None is the user's cache.
        subject_pattern: Regular expression searched in the relative path; its first group is the subject
            (`_g([0-9]+)_` for UCF101). None as described above.
        mirrored_classes: Class that the mirror image of a class shows, or None for a class that has none; {} if left
            and right mean nothing in any. None: nothing is known, and nothing is mirrored.
        min_seconds: Shortest leftover of an overlapping interval worth keeping; 0.25 s is eight frames at 30 a second.

    Raises:
        DatasetNotFoundError: If root or the table is missing, or no film is in it.
        ValueError: If the table or the classes are not as wanted, or names files that do not exist or lie outside.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        csv: str | None = None,
        classes: Sequence[str] | None = None,
        cache: Path | str | None = None,
        subject_pattern: str | None = None,
        mirrored_classes: Mapping[str, str | None] | None = None,
        min_seconds: float = 0.25,
    ) -> None:
        self.root = Path(root).expanduser().absolute()
        self.min_seconds = min_seconds
        self._mirrored_classes = mirrored_classes
        self.cache = Path(cache).expanduser() if cache else user_cache()
        if not self.root.is_dir():
            raise DatasetNotFoundError(
                f"There is no folder at dataset.root={str(root)!r}; one with a sub-folder for each class, or with the "
                "table that dataset.csv names, was wanted. Set dataset.root, or try dataset=demo."
            )
        self._faults: dict[str, str] = {}
        if csv is None:
            rows = _listed(self.root)
        else:
            rows, self._faults = read_table(self.root / csv)
        if self._faults and not rows:
            raise ValueError(_nothing_left(self.root / csv if csv else self.root, self._faults))
        self._classes = _chosen(classes, sorted({row.label for row in rows}), empty=f"{str(self.root)!r}")
        rows = _known_files(self.root, [row for row in rows if row.label in self._classes])
        self._rows = tuple(_with_subject(row, subject_pattern) for row in rows)
        pairs = zip(rows, self._rows, strict=True)
        # Whoever is seen there stands under the file's name; protocols must not take that for a person.
        self._strangers = {(named.file, named.subject) for row, named in pairs if not (row.subject or subject_pattern)}

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a record's label is an index into them."""
        return self._classes

    @property
    def mirrored_classes(self) -> Mapping[str, str | None] | None:
        """Which class the mirror image of a class shows, as given."""
        return self._mirrored_classes

    @property
    def films(self) -> tuple[Path, ...]:
        """Every file that a row names."""
        return tuple(sorted({self.root / row.file for row in self._rows}))

    @property
    def records(self) -> tuple[Record, ...]:
        """Every usable labelled interval, sorted by key."""
        return self._found.records

    @property
    def quarantine(self) -> dict[str, str]:
        """Why each unusable file, row or interval was left out, by its name."""
        return self._found.quarantine

    @property
    def notes(self) -> dict[str, int]:
        """How many intervals were joined, trimmed or cut, how many films are shorter than they announce.

        And how many clips name no subject, or no camera where others do.
        """
        return self._found.notes

    @property
    def unnamed(self) -> Mapping[str, frozenset[str]]:
        """Keys of clips of which neither table nor folder nor pattern says who is seen, or which camera filmed."""
        return self._found.unnamed

    def prepare(self) -> None:
        """Look into every film that the index does not know."""
        logger.info("%d clips of %d classes in %s.", len(self.records), len(self.classes), self.root)

    def __setstate__(self, state: dict[str, object]) -> None:
        # A spawned worker knows no film yet; the parent's findings travel with the data set.
        self.__dict__.update(state)
        if "_found" in state:
            remember(self._found.infos)

    @cached_property
    def _found(self) -> "_Found":
        rows: dict[Path, list[Row]] = {}
        for row in self._rows:
            rows.setdefault(self.root / row.file, []).append(row)
        index = VideoIndex(self.cache)
        infos, faults = index.probe_all(sorted(rows), title="Looking into films")
        found = _Found(quarantine=self._faults | {rows[path][0].file: reason for path, reason in faults.items()})
        found.count("film_indices_ignored", index.ignored)
        records = []
        for path, info in infos.items():
            found.infos[file_key(path)] = info
            if info.duration < 0.9 * info.announced:
                found.count("films_shorter_than_announced")
            records += self._intervals(path, info, rows[path], found)
        if not records:
            raise ValueError(_nothing_left(self.root, found.quarantine))
        found.records = tuple(sorted(records, key=lambda record: record.key))
        found.unnamed = self._unnamed(found.records)
        found.count("clips_of_unknown_subject", len(found.unnamed["subject"]))
        unseen = len(found.unnamed["camera"])
        # Most collections name no camera at all, which is nothing to tell.
        found.count("clips_of_unknown_camera", unseen if unseen < len(records) else 0)
        if found.quarantine or found.notes:
            counts = ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in sorted(found.notes.items()))
            left_out = f"{len(found.quarantine)} entries left out{f', {counts}' if counts else ''}"
            logger.warning("%s: %d clips; %s.", self.root, len(records), left_out)
        return found

    def _unnamed(self, records: Sequence[Record]) -> dict[str, frozenset[str]]:
        strangers = {(self.root / file, subject) for file, subject in self._strangers}
        return {
            "subject": frozenset(record.key for record in records if (record.path, record.subject) in strangers),
            "camera": frozenset(record.key for record in records if not record.camera),
        }

    def _intervals(self, path: Path, info: VideoInfo, rows: Sequence[Row], found: "_Found") -> list[Record]:
        """One file's records, after the rule for overlaps."""
        cameras = {(row.label, row.subject): row.camera for row in reversed(rows)}
        given = [cut for row in rows if (cut := self._cut(row, info, found)) is not None]
        single = joined(given)
        found.count("intervals_joined", len(given) - len(single))
        records = []
        for interval in single:
            rest = alone(interval, [other for other in single if other is not interval])
            if rest is None or (rest != interval and rest.length < self.min_seconds):
                found.quarantine[_record_key(rows[0].file, interval, info)] = (
                    f"{self.classes[interval.label]}: other things are done all the while; less than "
                    f"{self.min_seconds:g} s are left alone"
                )
                continue
            found.count("intervals_trimmed", int(rest != interval))
            name, camera = self.classes[rest.label], cameras[self.classes[rest.label], rest.subject]
            key = _record_key(rows[0].file, rest, info)
            records.append(Record(key, path, self.classes.index(name), rest.subject, camera, rest.start, rest.end))
        return records

    def _cut(self, row: Row, info: VideoInfo, found: "_Found") -> Interval | None:
        """The row's interval within the film."""
        end = info.duration if row.end is None else min(row.end, info.duration)
        if end - row.start <= TOUCH:
            found.quarantine[f"{row.place}: {row.file}"] = (
                f"{row.label} from {row.start:g} to {row.end or end:g} s is over in no time; the film ends at "
                f"{info.duration:.2f} s"
            )
            return None
        # Annotations are rounded to a tenth of a second; only a difference beyond that is worth telling.
        found.count("intervals_cut_at_the_end", int(row.end is not None and row.end > info.duration + 0.1))
        return Interval(self.classes.index(row.label), row.subject, row.start, end)


@dataclass
class _Found:
    """What looking into the films gave."""

    records: tuple[Record, ...] = ()
    quarantine: dict[str, str] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    infos: dict[FileKey, VideoInfo] = field(default_factory=dict)
    unnamed: dict[str, frozenset[str]] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        """Add to the notes what happened at all."""
        if number:
            self.notes[what] = self.notes.get(what, 0) + number


def _record_key(file: str, interval: Interval, info: VideoInfo) -> str:
    whole = interval.start == 0 and interval.end >= info.duration
    return file if whole else f"{file}#{interval.start:.2f}-{interval.end:.2f}"


def _listed(root: Path) -> list[Row]:
    """Film in sub-folders, each with its class and subject."""
    files = [path.relative_to(root) for path in films_below(root)]
    skipped = 1 if _divided(root, {file.parts[0] for file in files if len(file.parts) > 1}) else 0
    rows = []
    for file in files:
        below = file.parts[skipped:-1]
        if below:
            rows.append(Row(file.as_posix(), file.as_posix(), below[0], "/".join(below[1:]), ""))
    return rows


def _divided(root: Path, tops: set[str]) -> bool:
    """Whether the folders that hold film are parts, each with the classes inside; else they are the classes."""
    parts = sorted(top for top in tops if top.lower() in _PARTS)
    others = sorted(tops.difference(parts))
    if parts and others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        raise ValueError(
            f"Film is in {parts} and in {others[:_NAMED]}{more} of dataset.root={str(root)!r}; either the parts of a "
            "divided set or the folders of classes were wanted, not both. Move the ones or the others out of it, or "
            "name each film's class in a table (dataset.csv)."
        )
    return bool(parts)


def _chosen(wanted: Sequence[str] | None, present: Sequence[str], *, empty: str) -> tuple[str, ...]:
    """The classes in their order, each of which some entry has."""
    if not present:
        raise DatasetNotFoundError(
            f"No labelled film is in dataset.root={empty}; <class>/<clip>.mp4 (avi, mkv, mov, webm) or rows of a table "
            "were wanted. Bring the film, or name the table in dataset.csv."
        )
    names = tuple(present) if wanted is None else tuple(map(str, items(wanted, "dataset.classes")))
    for name in names:
        if name not in present:
            close = difflib.get_close_matches(name, present, n=1)
            raise ValueError(
                f"dataset.classes names {name!r}, which no entry has.{f' Did you mean {close[0]!r}?' if close else ''} "
                f"Choose from: {', '.join(present)}."
            )
    if not names or len(set(names)) != len(names):
        raise ValueError(f"dataset.classes is {list(names)}; each class once, and at least one, was wanted. Mend it.")
    return names


def _with_subject(row: Row, pattern: str | None) -> Row:
    if pattern is None:
        stem = str(PurePosixPath(row.file).with_suffix(""))
        return replace(row, subject=row.subject or stem)
    try:
        match = re.search(pattern, row.file)
        subject = match.group(1) if match else None
    except (re.error, IndexError) as error:
        raise ValueError(
            f"dataset.subject_pattern={pattern!r} cannot be used ({error}). A regular expression with one group was "
            "wanted, such as '_g(\\d+)_'."
        ) from error
    if not subject:
        raise ValueError(
            f"dataset.subject_pattern={pattern!r} finds nobody in {row.file!r}. A pattern that names the subject of "
            "every file was wanted. Widen it, or leave it out."
        )
    return replace(row, subject=subject)


def _known_files(root: Path, rows: Sequence[Row]) -> list[Row]:
    """Rows with tidy paths; files outside the root, which no table has business with, or missing ones are refused."""
    base = os.path.abspath(root)
    files = {row.file: os.path.abspath(root / row.file) for row in rows}
    outside = [row for row in rows if not files[row.file].startswith(os.path.join(base, ""))]
    missing = [row for row in rows if not outside and not os.path.exists(files[row.file])]
    for wrong, what in ((outside, "lie outside dataset.root"), (missing, "do not exist")):
        if wrong:
            named = list(dict.fromkeys(f"{row.file!r} ({row.place})" for row in wrong))
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            raise ValueError(
                f"{len(named)} rows name files that {what}: {', '.join(named[:_NAMED])}{more}. Paths of film within "
                f"{str(root)!r} were wanted. Correct the rows, or bring the files."
            )
    tidy = {file: Path(os.path.relpath(path, base)).as_posix() for file, path in files.items()}
    return [replace(row, file=tidy[row.file]) for row in rows]


def _nothing_left(root: Path, quarantine: dict[str, str]) -> str:
    reasons = "; ".join(f"{key}: {reason}" for key, reason in list(quarantine.items())[:_NAMED])
    return (
        f"Nothing in {str(root)!r} can be used: {len(quarantine)} entries were left out ({reasons}). At least one film "
        "was wanted. Mend the first of these."
    )
