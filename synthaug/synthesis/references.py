"""Extract the motions of training clips: once, kept on disk, then filtered by quality and counted."""

import logging
import os
import tempfile
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from synthaug.files import read_reference, shuffle_per_process, write_atomic, write_reference
from synthaug.motions import MotionSource, UnusableClipError
from synthaug.progress import track
from synthaug.structures import Record, Reference
from synthaug.synthesis.gravity import align_gravity
from synthaug.synthesis.kept_motions import adopt_motion, forget_motion, is_kept, motion_path, offer_motion
from synthaug.workers import find_unforkable, work_in_processes

logger = logging.getLogger(__name__)

_MOST = 0.6
"""Share of a clip, as `Gate.detection`."""


@dataclass(frozen=True, eq=False)
class References:
    """Training clips whose motion can be re-enacted.

    Attributes:
        records: The clips, in the order given.
        by_key: Motion and camera found in each, by key.
        dropped: Why others were left out, by key.
        clips: Key of the clip, by key of a further performance that it shows. These have records of their own.
        strangers: Keys of performances that no film shows, at the place of those that one does; in `clips` too.
    """

    records: tuple[Record, ...]
    by_key: dict[str, Reference]
    dropped: dict[str, str]
    clips: dict[str, str] = field(default_factory=dict)
    strangers: frozenset[str] = frozenset()

    def clip_of(self, key: str) -> str:
        """Key of the clip that shows this performance."""
        return self.clips.get(key, key)

    def place_of(self, key: str) -> str:
        """Key of the filmed performance at whose place this one is: its own, unless it is a stranger's."""
        return key.rstrip("~").rpartition("~")[0] if key in self.strangers else key

    @property
    def films(self) -> list[tuple[Record, Reference]]:
        """Each clip once, with its first usable performance, which has the clip's further ones as `others`."""
        found: dict[str, tuple[Record, list[Reference]]] = {}
        for record in self.records:
            if record.key in self.strangers:
                continue
            clip = self.clip_of(record.key)
            found.setdefault(clip, (replace(record, key=clip), []))[1].append(self.by_key[record.key])
        return [(record, replace(first, others=tuple(rest))) for record, (first, *rest) in found.values()]

    def select(self, keys: Collection[str]) -> "References":
        """The references with these keys."""
        dropped = {key: reason for key, reason in self.dropped.items() if key in keys}
        clips = {key: clip for key, clip in self.clips.items() if key in keys}
        return self._keep(keys, dropped, clips)

    def drop_glimpses(self, seconds: float) -> "References":
        """Without performances shorter than this, unless they fill most of their clip.

        Somebody who crosses the picture of a long film for half a second shows no action of two.
        """
        short = {}
        for record in self.records:
            reference = self.by_key[record.key]
            share, length = reference.notes.get("detection", 1.0), reference.motion.duration
            if share < _MOST and length < seconds:
                short[record.key] = (
                    f"Expected a person in one run for at least {seconds:g} s, half of a clip, or in {_MOST:.0%} of "
                    f"the film, got {length:.1f} s and {share:.0%}. Choose an interval with one person in full view, "
                    "or shorter clips."
                )
        return self._keep(self.by_key.keys() - short.keys(), self.dropped | short, self.clips)

    def _keep(self, keys: Collection[str], dropped: dict[str, str], clips: dict[str, str]) -> "References":
        records = tuple(record for record in self.records if record.key in keys)
        by_key = {record.key: self.by_key[record.key] for record in records}
        return References(records, by_key, dropped, clips, frozenset(self.strangers.intersection(by_key)))

    def of_class(self, label: int) -> tuple[Record, ...]:
        """The records of one class."""
        return tuple(record for record in self.records if record.label == label)


@dataclass(frozen=True)
class Extraction:
    """Clips whose motions are extracted one by one, perhaps by many machines.

    Attributes:
        source: Extracts the motion of a record.
        records: The clips, by key.
        cache: Folder that keeps what was extracted, refusals too.
    """

    source: MotionSource
    records: Mapping[str, Record]
    cache: Path

    def list_missing(self) -> list[str]:
        """Keys of the clips of which neither a motion nor a refusal is kept."""
        return [key for key, record in self.records.items() if not is_kept(_path(record, self.source, self.cache))]

    def extract(self, key: str) -> str:
        """Extract one motion, unless it is kept; returns why there is none, or nothing.

        Raises:
            ValueError: If no clip has this key.
            FileNotFoundError: If there is nothing to extract it from.
        """
        if key not in self.records:
            raise ValueError(f"Expected the key of a training clip, got {key!r}. Start again with the same settings.")
        return extract_references([self.records[key]], self.source, cache=self.cache).dropped.get(key, "")


def gather(
    records: Sequence[Record],
    source: MotionSource,
    *,
    cache: Path | None = None,
    min_quality: float = 0.0,
    fixed_cameras: bool = True,
    num_workers: int = 0,
) -> References:
    """Extract the motion of every record, or say why not.

    Args:
        records: Training clips.
        source: Extracts the motion of a record.
        cache: Folder that keeps what was extracted, refusals too; None extracts every time.
        min_quality: References graded lower are dropped. Ground truth has no grade and is kept.
        fixed_cameras: Whether clips whose records name the same camera were filmed by one camera that did not move.
        num_workers: Number of processes that extract, of one thread each; 0 and 1 extract in this one. The motions do
            not depend on it.

    Returns:
        The usable ones and the reasons for the rest. Clips whose recording is missing are among the rest, since
        published data sets lack some.

    Raises:
        FileNotFoundError: If no record has anything to extract a motion from; the message names the first.
        ValueError: If two films of different classes or people have one recording.
        ChildProcessError: If one of the processes was killed.
    """
    found = extract_references(records, source, cache=cache, num_workers=num_workers)
    return filter_references(found, min_quality=min_quality, fixed_cameras=fixed_cameras)


def extract_references(
    records: Sequence[Record], source: MotionSource, *, cache: Path | None = None, num_workers: int = 0
) -> References:
    """Motion and camera of each record by itself; arguments and errors as for `gather`."""
    refuse_shared_recordings(records, source)
    missing = shuffle_per_process([record for record in records if not is_kept(_path(record, source, cache))])
    processes = min(num_workers, len(missing))
    used = find_unforkable()
    if processes > 1 and used:
        logger.warning("Extracting motions in one process: forked ones cannot use %s, which this one has used.", used)
    if processes > 1 and not used:
        with tempfile.TemporaryDirectory(prefix="synthaug-motions-") as aside:
            # What several processes extract is handed over as files, whether or not it is to be kept.
            folder = cache or Path(aside)
            with closing(_extract_in_processes(missing, source, folder, processes)) as left:
                return _extract_here(records, left, source, folder)
    return _extract_here(records, track(missing, "Extracting motions"), source, cache)


def refuse_shared_recordings(records: Iterable[Record], source: MotionSource) -> None:
    """Refuse one recording for two films that show different classes or people: one of them would get a wrong motion.

    Two films of one person and one class may share a recording: cameras that saw the same take.

    Args:
        records: Clips of a data set, of all parts of a split: a recording of a test film must not be a training film's.
        source: Says which files each motion is read from.

    Raises:
        ValueError: If there is one; the message names the recording and both films.
    """
    claimed: dict[Path, Record] = {}
    for record in records:
        for file in source.reads(record):
            other = claimed.setdefault(file, record)
            if other.path == record.path or (other.label, other.subject) == (record.label, record.subject):
                continue
            below = os.path.commonpath([other.path.parent, record.path.parent])
            places = [os.path.relpath(one.path.parent, below) for one in (other, record)]
            advice = "Rename one of the films and its recording."
            if places[0] != places[1]:
                advice = (
                    f"Put their recordings into folders named like theirs ({places[0]}/ and {places[1]}/) below "
                    "synth.motion.root, or rename one of the films and its recording."
                )
            raise ValueError(
                f"Expected a recording for each film, got '{file}' for two that show different classes or people: "
                f"'{other.path}' and '{record.path}'. {advice}"
            )


def take_shard(records: Sequence[Record], number: int, count: int) -> list[Record]:
    """One of several parts of the records, which together are all of them: every `count`th, from `number` on.

    Args:
        records: In the same order wherever a part is taken.
        number: Number of the part, from 1.
        count: Number of parts.

    Raises:
        ValueError: If there is no such part.
    """
    if not 1 <= number <= count:
        raise ValueError(f"Expected a shard from 1/{count} to {count}/{count}, got {number}/{count}. Correct --shard.")
    return list(records[number - 1 :: count])


def _extract_in_processes(
    missing: Sequence[Record], source: MotionSource, cache: Path, processes: int
) -> Generator[Record, None, None]:
    """Fill the cache; yields the records for which a process met an error, which this process will meet again."""

    def extract(record: Record) -> None:
        if not is_kept(_path(record, source, cache)):
            _extract(record, source, cache, {}, {})

    try:
        with closing(work_in_processes(extract, missing, num_workers=processes)) as running:
            for record, done in track(running, "Extracting motions", len(missing)):
                if not done:
                    yield record
    except ChildProcessError as error:
        raise ChildProcessError(
            f"Expected {processes} processes to extract {len(missing)} motions, got one that was killed, perhaps "
            "because memory ran out. Start again, with loading.num_workers=1 if it happens again; motions that are in "
            "the cache are not extracted twice."
        ) from error


def _extract_here(
    records: Sequence[Record], missing: Iterable[Record], source: MotionSource, cache: Path | None
) -> References:
    """Extract what is missing in this process, and read all else from the cache."""
    by_key: dict[str, Reference] = {}
    dropped: dict[str, str] = {}
    absent: dict[str, FileNotFoundError] = {}
    for record in missing:
        if is_kept(_path(record, source, cache)):
            continue  # another process extracted it meanwhile
        try:
            _extract(record, source, cache, by_key, dropped)
        except FileNotFoundError as error:
            # Not written to the cache: the file may be added later.
            dropped[record.key] = str(error)
            absent[record.key] = error
    if records and len(absent) == len(records):
        raise absent[records[0].key]
    for record in records:
        if record.key not in by_key and record.key not in dropped:
            _read(record, source, cache, by_key, dropped)
    return References(tuple(record for record in records if record.key in by_key), by_key, dropped)


def filter_references(found: References, *, min_quality: float = 0.0, fixed_cameras: bool = True) -> References:
    """Give each performance a record, align gravity between those of one camera, and drop those of low quality.

    A clip's first performance keeps its record's key; further ones (`Reference.others`) are called `<key>#2` and so on.
    Recomputed for each selection of clips: only the selected clips influence the estimate.
    """
    found = _part_performances(found)
    by_key = align_gravity(found.records, found.by_key) if fixed_cameras else dict(found.by_key)
    dropped = dict(found.dropped)
    for key, reference in list(by_key.items()):
        if reference.quality is not None and reference.quality < min_quality:
            why = _describe_worst_part(reference)
            dropped[key] = f"quality {reference.quality:.2f} is below min_quality={min_quality}{why}"
            del by_key[key]
    return References(tuple(record for record in found.records if record.key in by_key), by_key, dropped, found.clips)


def _part_performances(found: References) -> References:
    """One record for each performance, those of one clip behind one another."""
    records: list[Record] = []
    by_key: dict[str, Reference] = {}
    clips = dict(found.clips)
    taken = {record.key for record in found.records} | set(found.dropped)
    for record in found.records:
        reference = found.by_key[record.key]
        records.append(record)
        by_key[record.key] = replace(reference, others=())
        number = 1
        for other in reference.others:
            number += 1
            while f"{record.key}#{number}" in taken:
                number += 1
            part = replace(record, key=f"{record.key}#{number}")
            records.append(part)
            by_key[part.key], clips[part.key] = other, found.clip_of(record.key)
    return References(tuple(records), by_key, found.dropped, clips)


def _describe_worst_part(reference: Reference) -> str:
    """The part of the score that lowers it most, where the source notes its parts."""
    parts = {name.removeprefix("part_"): value for name, value in reference.notes.items() if name.startswith("part_")}
    if not parts:
        return ""
    worst = min(parts, key=lambda name: parts[name])
    return f", mostly for its {worst} ({parts[worst]:.2f})"


def _path(record: Record, source: MotionSource, cache: Path | None) -> Path | None:
    return None if cache is None else motion_path(record, source, cache)


def _extract(
    record: Record, source: MotionSource, cache: Path | None, by_key: dict[str, Reference], dropped: dict[str, str]
) -> None:
    if cache is not None and adopt_motion(record, source, cache):
        return  # `_read` reads it
    path = _path(record, source, cache)
    try:
        by_key[record.key] = source.load(record)
    except UnusableClipError as error:
        dropped[record.key] = str(error)
        if path is not None:
            write_atomic(path.with_suffix(".refused"), str(error).encode())
    else:
        if path is not None:
            write_reference(path, by_key[record.key])
    if cache is not None:
        offer_motion(record, source, cache)


def _read(
    record: Record, source: MotionSource, cache: Path | None, by_key: dict[str, Reference], dropped: dict[str, str]
) -> None:
    path = _path(record, source, cache)
    assert path is not None
    refused = path.with_suffix(".refused")
    if refused.exists():
        dropped[record.key] = refused.read_text()
        return
    try:
        by_key[record.key] = read_reference(path)
    except ValueError as error:
        logger.warning("%s", error)
        assert cache is not None
        forget_motion(record, source, cache)
        _extract(record, source, cache, by_key, dropped)
