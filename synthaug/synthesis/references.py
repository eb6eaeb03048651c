"""The motions of training clips: extracted once, kept on disk, graded, counted.

Between a data set's records and the synthesizer.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from synthaug.files import digest_of, read_reference, shuffle_per_process, write_atomic, write_reference
from synthaug.motions import MotionSource, UnusableClipError
from synthaug.structures import Record, Reference
from synthaug.synthesis.gravity import together

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class References:
    """Training clips whose motion can be re-enacted.

    Attributes:
        records: The clips, in the order given.
        takes: What was seen in each, by key.
        dropped: Why others were left out, by key.
    """

    records: tuple[Record, ...]
    takes: dict[str, Reference]
    dropped: dict[str, str]

    def only(self, keys: Collection[str]) -> "References":
        """Those of these keys."""
        records = tuple(record for record in self.records if record.key in keys)
        dropped = {key: reason for key, reason in self.dropped.items() if key in keys}
        return References(records, {record.key: self.takes[record.key] for record in records}, dropped)

    def of_class(self, label: int) -> tuple[Record, ...]:
        """The records of one class."""
        return tuple(record for record in self.records if record.label == label)


def gather(
    records: Sequence[Record],
    source: MotionSource,
    *,
    cache: Path | None = None,
    min_quality: float = 0.0,
    fixed_cameras: bool = True,
) -> References:
    """Extract the motion of every record, or say why not.

    Args:
        records: Training clips.
        source: Takes a motion out of a record.
        cache: Folder that keeps what was extracted, refusals too; None extracts anew.
        min_quality: References graded lower are dropped. Known truth has no grade and stays.
        fixed_cameras: Clips whose records name one camera were filmed by one that stood still.

    Returns:
        The usable ones and the reasons for the rest: clips without a recording beside others that have one are
        counted, as published sets have such.

    Raises:
        FileNotFoundError: If no record has anything to take a motion out of; says so of the first.
    """
    return settled(extracted(records, source, cache=cache), min_quality=min_quality, fixed_cameras=fixed_cameras)


def extracted(records: Sequence[Record], source: MotionSource, *, cache: Path | None = None) -> References:
    """What each record says by itself; arguments and errors as for `gather`."""
    takes: dict[str, Reference] = {}
    dropped: dict[str, str] = {}
    missing = shuffle_per_process([record for record in records if not _kept(_path(record, source, cache))])
    absent: dict[str, FileNotFoundError] = {}
    for record in track(missing, description="Extracting motions", transient=True, disable=len(missing) < 4):
        if _kept(_path(record, source, cache)):
            continue  # another process was quicker
        try:
            _extract(record, source, cache, takes, dropped)
        except FileNotFoundError as error:
            # Not remembered: the file may be brought.
            dropped[record.key] = str(error)
            absent[record.key] = error
    if records and len(absent) == len(records):
        raise absent[records[0].key]
    for record in records:
        if record.key not in takes and record.key not in dropped:
            _read(record, source, cache, takes, dropped)
    return References(tuple(record for record in records if record.key in takes), takes, dropped)


def settled(found: References, *, min_quality: float = 0.0, fixed_cameras: bool = True) -> References:
    """The references, agreeing on which way is up where one camera filmed them (`gravity.together`), and graded.

    Anew for every choice of clips, since it depends on which there are: no clip that is not among them has a say.
    """
    takes = together(found.records, found.takes) if fixed_cameras else dict(found.takes)
    dropped = dict(found.dropped)
    for key, reference in list(takes.items()):
        if reference.quality is not None and reference.quality < min_quality:
            dropped[key] = f"quality {reference.quality:.2f} is below min_quality={min_quality}{_blamed(reference)}"
            del takes[key]
    return References(tuple(record for record in found.records if record.key in takes), takes, dropped)


def _blamed(reference: Reference) -> str:
    """The part of the score that is to blame, where the source says its parts."""
    parts = {name.removeprefix("part_"): value for name, value in reference.notes.items() if name.startswith("part_")}
    if not parts:
        return ""
    worst = min(parts, key=lambda name: parts[name])
    return f", mostly for its {worst} ({parts[worst]:.2f})"


def _path(record: Record, source: MotionSource, cache: Path | None) -> Path | None:
    """Where a record's motion is kept: named by source, interval, and the state of all files that it is read from."""
    if cache is None:
        return None
    states = [state for path in (record.path, *source.reads(record)) for state in _states(path)]
    name = digest_of(source.fingerprint, record.key, record.path.name, *states, repr((record.start, record.end)))
    return cache / name[:2] / f"{name}.npz"


def _states(path: Path) -> list[str]:
    """Size and time of change of a file, or of every file below a folder."""
    if path.is_dir():
        return [f"{file.relative_to(path)} {_state(file)}" for file in sorted(path.rglob("*")) if file.is_file()]
    return [_state(path)]


def _state(file: Path) -> str:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return "absent"
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _kept(path: Path | None) -> bool:
    return path is not None and (path.exists() or path.with_suffix(".refused").exists())


def _extract(
    record: Record, source: MotionSource, cache: Path | None, takes: dict[str, Reference], dropped: dict[str, str]
) -> None:
    path = _path(record, source, cache)
    try:
        takes[record.key] = source.load(record)
    except UnusableClipError as error:
        dropped[record.key] = str(error)
        if path is not None:
            write_atomic(path.with_suffix(".refused"), str(error).encode())
        return
    if path is not None:
        write_reference(path, takes[record.key])


def _read(
    record: Record, source: MotionSource, cache: Path | None, takes: dict[str, Reference], dropped: dict[str, str]
) -> None:
    path = _path(record, source, cache)
    assert path is not None
    refused = path.with_suffix(".refused")
    if refused.exists():
        dropped[record.key] = refused.read_text()
        return
    try:
        takes[record.key] = read_reference(path)
    except ValueError as error:
        logger.warning("%s", error)
        path.unlink(missing_ok=True)
        _extract(record, source, cache, takes, dropped)
