"""Your own film: a folder with one sub-folder for each class, or a table of files, classes, people and seconds."""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import final

from synthaug.datasets import ActionDataset, DatasetNotFoundError
from synthaug.datasets.indexing.finding import search_films
from synthaug.datasets.indexing.index import VideoIndex
from synthaug.datasets.indexing.intervals import MAX_OVERLAP, Interval, join_intervals, trim_overlaps
from synthaug.datasets.indexing.keys import sort_by_key
from synthaug.datasets.indexing.named_films import advise, choose_classes, count_unusual
from synthaug.datasets.indexing.roots import find_root
from synthaug.datasets.indexing.tables import TableRow, read_table
from synthaug.files import find_in_any_form, normalize_name, user_cache
from synthaug.structures import Record
from synthaug.video import FileKey, VideoInfo, file_key, is_series, remember

logger = logging.getLogger(__name__)

_PART_FOLDERS = {"train", "val", "valid", "validation", "test"}  # above the classes in sets that are divided already
_MAX_LISTED = 5  # entries that a message lists before it counts the rest


@final
class Folder(ActionDataset):
    """Labelled film from a folder of your own.

    Dataset format:
        Either sub-folders, one for each class, which may be below `train/`, `val/` and `test/`:

            root/
              wave/                 class
                ann/1.mp4           subject, film (mp4, avi, mkv, mov, webm ...)
                bob/1.mp4
              bow/
                1.mp4               no subject: the film stands for its own

        or a table, `root/<csv>`, with a header. The columns file and label are required; subject, camera, start and end
        (in seconds, as players show them) are optional. `indexing.tables.ALIASES` lists other accepted names. Several
        rows may name one file:

            file,label,subject,camera,start,end
            kitchen/1.mp4,drink,ann,left,0.5,3.2
            kitchen/1.mp4,sit down,ann,left,3.2,5.0

        In the place of a file may stand a folder of numbered pictures (`wave/ann/1/000001.jpg` and so on), if `fps`, or
        a column fps of the table, states their rate. Their numbers are the clock: a missing number is a gap, and
        pictures that begin with number 60 begin 60 / fps seconds late, as the film does that they were taken from.

    Dataset classes:
        The sub-folders or the labels of the table, sorted; `classes` selects and orders them. Names that differ only in
        their form of Unicode (é as one letter, or as e and an accent) are one class, person, camera or file.

    Keys are paths relative to root, with `#start-end` where the interval is not the whole film. Links to folders are
    followed. Hidden files, empty folders, and what lies beside film (tables, skeletons, sound, pictures) are ignored.
    Each film is probed once; the film index in `cache` keeps what was found.

    Overlapping intervals:
        A clip has one label, so film in which two things happen is not usable. Among the chosen classes, intervals of
        one file that share label and subject are joined. Of other intervals that overlap by more than 0.05 s, each
        keeps the longest stretch that it has for itself; it is left out if that is shorter than `min_seconds`. The
        order of rows does not matter. Intervals end at the end of the film. `notes` counts all of this.

    Unknown subjects and cameras:
        Clips without a subject are counted in `notes`. If other clips do name their subject, protocols that separate
        subjects refuse the data set, since one person may be on both sides. The same is true of cameras.

    Unusable entries:
        Unreadable films, rows that cannot be parsed and intervals of which nothing is left go into `quarantine` with
        the reason; so do folders of numbered pictures without a rate, films with unknown suffixes, folders whose files
        are all of unknown kinds, and links that lead nowhere. A table that names a missing file is an error.

    Protocols:
        `CrossSubject` (the default, if subjects are known), `CrossView`, `Holdout`, `Predefined` (for folders that are
        divided already) and `ListSplit`, all in `synthaug.datasets.protocols`.

    Args:
        root: The folder, or its address in an object store (s3://bucket/films), of which films are fetched when they
            are read; SYNTHAUG_STORE_GB limits how many are kept.
        csv: Path of the table, relative to root; None uses sub-folders as classes.
        classes: Class names to use, in the order of their labels; None takes all, sorted.
        cache: Folder of the film index; None uses the user's cache.
        subject_pattern: Regular expression that is searched in the relative path; its first group is the subject
            (`_g([0-9]+)_` for UCF101). None takes the folder between class and film, or the table's column.
        mirrored_classes: The class that the mirror image of a class belongs to, or None for a class whose mirror image
            has none; {} if left and right mean nothing. None: handedness is unknown, and nothing is mirrored.
        min_seconds: Shortest remainder of an overlapping interval to keep; 0.25 s is eight frames at 30 fps.
        fps: Numbers a second in folders of numbered pictures; None reads no such folder but those whose rate the
            table states.

    Raises:
        DatasetNotFoundError: If root or the table is missing, or holds no labelled film.
        ValueError: If the table cannot be read, names files that are missing or outside root, or a class is unknown.
    """

    def __init__(  # noqa: PLR0913 - one argument for each choice of a user
        self,
        root: Path | str,
        *,
        csv: str | None = None,
        classes: Sequence[str] | None = None,
        cache: Path | str | None = None,
        subject_pattern: str | None = None,
        mirrored_classes: Mapping[str, str | None] | None = None,
        min_seconds: float = 0.25,
        fps: float | int | None = None,
    ) -> None:
        self.root = find_in_any_form(find_root(root))
        if fps is not None and not 0 < fps < float("inf"):
            raise ValueError(f"Expected dataset.fps to be a rate above 0, got {fps}. Give the rate of the pictures.")
        self.min_seconds = min_seconds
        self.fps = fps
        self._mirrored_classes = None if mirrored_classes is None else _normalize_pairs(mirrored_classes)
        self.cache = Path(cache).expanduser() if cache else user_cache()
        if not self.root.is_dir():
            raise DatasetNotFoundError(
                f"No such folder: dataset.root={str(root)!r}. Set dataset.root to a folder with one sub-folder for "
                "each class, or with the table that dataset.csv names; or try dataset=demo."
            )
        self._faults: dict[str, str] = {}
        if csv is None:
            rows, self._faults = _search_rows(self.root, fps)
        else:
            rows, self._faults = read_table(find_in_any_form(self.root / csv))
        if self._faults and not rows:
            raise ValueError(_explain_empty(self.root / csv if csv else self.root, self._faults))
        if not rows:
            raise DatasetNotFoundError(
                f"Expected labelled film in dataset.root={str(self.root)!r}, got none. Add <class>/<clip>.mp4 (or avi, "
                "mkv, mov, webm), or set dataset.csv to a table of the films."
            )
        self._classes = choose_classes(classes, {row.label for row in rows}, faults=self._faults)
        rows = _resolve_files(self.root, [row for row in rows if row.label in self._classes])
        self._rows = tuple(_fill_subject(row, subject_pattern) for row in rows)
        pairs = zip(rows, self._rows, strict=True)
        # Clips without a subject have the file's name in its place, which must not be taken for a person's name.
        self._anonymous = {
            (filled.file, filled.subject) for row, filled in pairs if not (row.subject or subject_pattern)
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a record's label is an index into them."""
        return self._classes

    @property
    def mirrored_classes(self) -> Mapping[str, str | None] | None:
        """The class that the mirror image of a class belongs to, as passed to the constructor."""
        return self._mirrored_classes

    @property
    def films(self) -> tuple[Path, ...]:
        """Every file that a row names, sorted."""
        return tuple(sorted({self.root / row.file for row in self._rows}))

    @property
    def records(self) -> tuple[Record, ...]:
        """Every usable labelled interval, sorted by key."""
        return self._contents.records

    @property
    def quarantine(self) -> dict[str, str]:
        """Why each unusable file, row or interval was left out, by its name."""
        return self._contents.quarantine

    @property
    def notes(self) -> dict[str, int]:
        """How many intervals were joined, trimmed or cut, and how many films are shorter than their headers announce.

        Also how many clips have an unknown subject, or an unknown camera where others name one.
        """
        return self._contents.notes

    @property
    def unnamed(self) -> Mapping[str, frozenset[str]]:
        """Keys of the clips whose subject or camera is stated by neither table, folder nor pattern."""
        return self._contents.unnamed

    def prepare(self) -> None:
        """Probe every film that the index does not hold."""
        logger.info("%d clips of %d classes in %s.", len(self.records), len(self.classes), self.root)

    def __setstate__(self, state: dict[str, object]) -> None:
        # A spawned worker has probed no film yet; what the parent found travels with the data set.
        self.__dict__.update(state)
        if "_contents" in state:
            remember(self._contents.infos)

    @cached_property
    def _contents(self) -> "_FolderContents":
        rows: dict[Path, list[TableRow]] = {}
        for row in self._rows:
            rows.setdefault(self.root / row.file, []).append(row)
        index = VideoIndex(self.cache)
        infos, faults = index.probe_all(sorted(rows), title="Probing films", rates=self._find_rates(rows))
        found = _FolderContents(
            quarantine=self._faults | {rows[path][0].file: reason for path, reason in faults.items()}
        )
        found.count("film_indices_ignored", index.ignored)
        for what, number in count_unusual(infos.values()).items():
            found.count(what, number)
        records = []
        for path, info in infos.items():
            found.infos[file_key(path)] = info
            records += self._make_records(path, info, rows[path], found)
        if not records:
            raise ValueError(_explain_empty(self.root, found.quarantine))
        found.records = sort_by_key(records)
        found.unnamed = self._find_unnamed(found.records)
        found.count("clips_of_unknown_subject", len(found.unnamed["subject"]))
        unseen = len(found.unnamed["camera"])
        # Most collections name no camera at all; that needs no note.
        found.count("clips_of_unknown_camera", unseen if unseen < len(records) else 0)
        if found.quarantine or found.notes:
            counts = ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in sorted(found.notes.items()))
            left_out = f"{len(found.quarantine)} entries left out{f', {counts}' if counts else ''}"
            logger.warning("%s: %d clips; %s.%s", self.root, len(records), left_out, advise(found.notes))
        return found

    def _find_rates(self, rows: Mapping[Path, Sequence[TableRow]]) -> dict[Path, float]:
        """Numbers a second of each folder of pictures."""
        rates: dict[Path, float] = {}
        for path, ours in rows.items():
            if is_series(path):
                stated = {row.fps for row in ours if row.fps is not None} or {self.fps} - {None}
                if len(stated) != 1:
                    raise ValueError(
                        f"Expected one rate of the numbered pictures in {ours[0].file!r} ({ours[0].place}), got "
                        f"{sorted(filter(None, stated)) or 'none'}. State it in the table's column fps, or set "
                        "dataset.fps."
                    )
                rates[path] = float(stated.pop() or 0)
        return rates

    def _find_unnamed(self, records: Sequence[Record]) -> dict[str, frozenset[str]]:
        anonymous = {(self.root / file, subject) for file, subject in self._anonymous}
        return {
            "subject": frozenset(record.key for record in records if (record.path, record.subject) in anonymous),
            "camera": frozenset(record.key for record in records if not record.camera),
        }

    def _make_records(
        self, path: Path, info: VideoInfo, rows: Sequence[TableRow], found: "_FolderContents"
    ) -> list[Record]:
        """Make one file's records, without overlaps."""
        cameras = {(row.label, row.subject): row.camera for row in reversed(rows)}
        given = [cut for row in rows if (cut := self._cut_to_film(row, info, found)) is not None]
        single = join_intervals(given)
        found.count("intervals_joined", len(given) - len(single))
        records = []
        for interval in single:
            rest = trim_overlaps(interval, [other for other in single if other is not interval])
            if rest is None or (rest != interval and rest.length < self.min_seconds):
                found.quarantine[_record_key(rows[0].file, interval, info)] = (
                    f"{self.classes[interval.label]}: other labelled intervals cover it; less than "
                    f"{self.min_seconds:g} s remain"
                )
                continue
            found.count("intervals_trimmed", int(rest != interval))
            name, camera = self.classes[rest.label], cameras[self.classes[rest.label], rest.subject]
            key = _record_key(rows[0].file, rest, info)
            records.append(Record(key, path, self.classes.index(name), rest.subject, camera, rest.start, rest.end))
        return records

    def _cut_to_film(self, row: TableRow, info: VideoInfo, found: "_FolderContents") -> Interval | None:
        """The row's interval within the film; None if nothing of it is in the film."""
        # A table counts from the start of the file, as players do; a record from its first picture.
        first, last = info.start, info.start + info.duration
        start, end = max(row.start, first), last if row.end is None else min(row.end, last)
        if end - start <= MAX_OVERLAP:
            which = f"whose picture begins at {first:.2f} s and" if first else "which"
            found.quarantine[f"{row.place}: {row.file}"] = (
                f"{row.label} from {row.start:g} to {row.end or end:g} s has no length within the film, {which} ends "
                f"at {last:.2f} s"
            )
            return None
        # Annotations are rounded to a tenth of a second; only a larger difference is counted.
        found.count("intervals_cut_at_the_end", int(row.end is not None and row.end > last + 0.1))
        found.count("intervals_cut_at_the_start", int(0 < row.start < first - 0.1))
        return Interval(self.classes.index(row.label), row.subject, start - first, end - first)


@dataclass
class _FolderContents:
    """What the films of a folder hold."""

    records: tuple[Record, ...] = ()
    quarantine: dict[str, str] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    infos: dict[FileKey, VideoInfo] = field(default_factory=dict)
    unnamed: dict[str, frozenset[str]] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        """Add to a note; a note of 0 is not kept."""
        if number:
            self.notes[what] = self.notes.get(what, 0) + number


def _normalize_pairs(pairs: Mapping[str, str | None]) -> dict[str, str | None]:
    return {normalize_name(one): None if other is None else normalize_name(other) for one, other in pairs.items()}


def _record_key(file: str, interval: Interval, info: VideoInfo) -> str:
    whole = interval.start == 0 and interval.end >= info.duration
    return file if whole else f"{file}#{info.start + interval.start:.2f}-{info.start + interval.end:.2f}"


def _search_rows(root: Path, fps: float | int | None) -> tuple[list[TableRow], dict[str, str]]:
    """The films, and folders of pictures if their rate is known, in folders of classes; and what cannot be read."""
    found = search_films(root)
    films, faults = list(found.films), dict(found.faults)
    for name in found.series:
        if len(PurePosixPath(name).parts) < 2:
            faults[name] += " Or put its pictures into a folder in the folder of their class, and set dataset.fps."
        elif fps is None:
            faults[name] += " Or set dataset.fps to that rate, such as dataset.fps=30, to read it as it is."
        else:
            films.append(root / name)
            del faults[name]
    return _list_rows(root, films), faults


def _list_rows(root: Path, films: Sequence[Path]) -> list[TableRow]:
    """List the films in sub-folders, each with its class and subject."""
    files = [path.relative_to(root) for path in films]
    skipped = 1 if _is_divided(root, {file.parts[0] for file in files if len(file.parts) > 1}) else 0
    rows = []
    for file in files:
        below = file.parts[skipped:-1]
        if below:
            label, *person = map(normalize_name, below)
            rows.append(TableRow(file.as_posix(), file.as_posix(), label, "/".join(person), ""))
    return rows


def _is_divided(root: Path, tops: set[str]) -> bool:
    """Whether the folders that hold film are parts with the classes inside; otherwise they are the classes."""
    parts = sorted(top for top in tops if top.lower() in _PART_FOLDERS)
    others = sorted(tops.difference(parts))
    if parts and others:
        more = f" and {len(others) - _MAX_LISTED} more" if len(others) > _MAX_LISTED else ""
        raise ValueError(
            f"Expected film either in parts ({', '.join(parts)}) or in folders of classes, got both in "
            f"dataset.root={str(root)!r}: {parts} and {others[:_MAX_LISTED]}{more}. Move one kind elsewhere, or set "
            "dataset.csv to a table with each film's class."
        )
    return bool(parts)


def _fill_subject(row: TableRow, pattern: str | None) -> TableRow:
    """The row with its subject: by the pattern, as stated, or else the file's name without suffix."""
    if pattern is None:
        stem = normalize_name(str(PurePosixPath(row.file).with_suffix("")))
        return replace(row, subject=row.subject or stem)
    try:
        match = re.search(normalize_name(pattern), normalize_name(row.file))
        subject = match.group(1) if match else None
    except (re.error, IndexError) as error:
        raise ValueError(
            f"Expected dataset.subject_pattern to be a regular expression with one group, got {pattern!r} ({error}). "
            "Write for example '_g(\\d+)_'."
        ) from error
    if not subject:
        raise ValueError(
            f"Expected dataset.subject_pattern={pattern!r} to find the subject of every film, got none in "
            f"{row.file!r}. Widen the pattern, or leave it out."
        )
    return replace(row, subject=subject)


def _resolve_files(root: Path, rows: Sequence[TableRow]) -> list[TableRow]:
    """The rows with normalised paths; raises if a file is missing or outside root."""
    base = os.path.abspath(root)
    files = {row.file: os.path.abspath(find_in_any_form(root / row.file)) for row in rows}
    outside = [row for row in rows if not files[row.file].startswith(os.path.join(base, ""))]
    missing = [row for row in rows if not outside and not os.path.exists(files[row.file])]
    for wrong, what in ((outside, "outside it"), (missing, "that do not exist")):
        if wrong:
            named = list(dict.fromkeys(f"{row.file!r} ({row.place})" for row in wrong))
            more = f" and {len(named) - _MAX_LISTED} more" if len(named) > _MAX_LISTED else ""
            raise ValueError(
                f"Expected files in dataset.root={str(root)!r}, got {len(named)} rows with files {what}: "
                f"{', '.join(named[:_MAX_LISTED])}{more}. Correct the rows, or add the files."
            )
    tidy = {file: Path(os.path.relpath(path, base)).as_posix() for file, path in files.items()}
    return [replace(row, file=tidy[row.file]) for row in rows]


def _explain_empty(root: Path, quarantine: dict[str, str]) -> str:
    reasons = "; ".join(f"{key}: {reason}" for key, reason in list(quarantine.items())[:_MAX_LISTED])
    return (
        f"Expected at least one usable film in {str(root)!r}, got {len(quarantine)} unusable entries ({reasons}). "
        "Repair the first of these."
    )
