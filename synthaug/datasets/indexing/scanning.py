"""Read every film of a data set once from start to end: count its frames and test its random access.

This is `synthaug data scan`. Its findings are kept in the folder of the film index, and every data set uses them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from synthaug.datasets.indexing.findings import ScanFinding, ScanLog
from synthaug.datasets.indexing.index import readers
from synthaug.datasets.indexing.processes import Work, run_jobs
from synthaug.datasets.indexing.shrinking import MIN_SHORT_SIDE, link, link_rest, shrink
from synthaug.progress import track
from synthaug.video import (
    MENDED,
    FileKey,
    VideoError,
    VideoInfo,
    correct_timing,
    file_key,
    fill_size,
    frames_in_order,
    probe,
    probe_series,
    read_frames,
    stamp_of,
    to_picture,
)

_SINGLE_FRAMES = 8
"""Random frames to seek one at a time."""
_FRAMES_IN_A_ROW = 6
"""Frames to seek in a row, as clips are read: readers may get single frames right and rows wrong, or the reverse."""
_MAX_LOST = 0.1
"""Share of frames that may be missing at the end, or damaged, before a film counts as broken; the rule of `probe`."""
_UNTIMED = "pictures_without_a_time"
_MAX_SECONDS_PER_FILM = 3600.0
"""Reading and shrinking a film that takes longer is stuck: hours of film take minutes."""


def examine(path: Path) -> ScanFinding:
    """Read a film from the first frame to the last, then test its random access.

    Only frames that can be decoded count, not those that the container announces. Random frames, single and in a row,
    must have the same pixels by seeking as by reading in order. If decord's do not, the film is read in order from now
    on. The random frames depend on the file's size alone, so they are the same on every machine.

    Args:
        path: The film.

    Returns:
        What the film holds; or a fault, if it cannot be read or more than a tenth of its frames are missing or damaged.
    """
    try:
        key = file_key(path)
    except VideoError as error:
        return ScanFinding((str(path.absolute()), 0, 0), None, str(error))
    try:
        if path.is_dir():
            info = probe_series(path)  # which reads every picture; the data set states their rate
            return ScanFinding(key, info, notes=dict(info.notes))
        return _read_whole(path, key, probe(path))
    except VideoError as error:
        return ScanFinding(key, None, str(error))


def _read_whole(path: Path, key: FileKey, info: VideoInfo) -> ScanFinding:
    single, row = _choose_frames(info.num_frames, np.random.default_rng(key[1]))
    shown: dict[int, torch.Tensor] = {}
    stamps: list[float | None] = []
    damaged = failed = 0
    for frame in frames_in_order(path):
        if frame is None:
            failed += 1
            continue
        damaged += bool(frame.is_corrupt)
        if len(stamps) in single or len(stamps) in row:
            picture = fill_size(to_picture(frame, pixel_aspect=info.pixel_aspect), (info.height, info.width))
            shown[len(stamps)] = torch.from_numpy(picture).permute(2, 0, 1)
        stamps.append(stamp_of(frame))
        if len(stamps) == info.num_frames:
            break
    count = len(stamps)
    if count < (1 - _MAX_LOST) * info.num_frames or damaged > _MAX_LOST * count:
        raise VideoError(
            f"Expected {str(path)!r} to be a whole film, got {count} of its {info.num_frames} frames, {damaged} of "
            "them damaged. Copy or export it again, or leave it out."
        )
    # What `probe` has seen of the damage is no news; the rest lies where it did not look.
    missing = 0 if failed else info.num_frames - count
    info = correct_timing(info, stamps, failed=failed)
    notes = {"damaged_pictures": damaged, "pictures_missing": missing, _UNTIMED: _count_untimed(stamps), **info.notes}
    # decord conceals damage from whatever it has seen last, which is not what comes before.
    agrees = not damaged and all(_seeks_agree(path, info, shown, part) for part in (single, row))
    if info.reader == "decord" and not agrees:
        info = replace(info, seek_ok=False, reader="pyav")
        notes["random_access_wrong"] = 1
    return ScanFinding(key, info, notes={what: number for what, number in notes.items() if number})


def _count_untimed(stamps: Sequence[float | None]) -> int:
    """How many pictures have no timestamp, or none later than those before."""
    untimed, last = 0, -math.inf
    for stamp in stamps:
        untimed += stamp is None or stamp <= last
        last = last if stamp is None else stamp
    return untimed


def _choose_frames(num_frames: int, rng: np.random.Generator) -> tuple[set[int], set[int]]:
    """Choose the frames to seek: random single frames and the last one, and some frames in a row."""
    single = {int(index) for index in rng.integers(num_frames, size=_SINGLE_FRAMES)} | {num_frames - 1}
    begin = int(rng.integers(max(1, num_frames - _FRAMES_IN_A_ROW)))
    return single, set(range(begin, min(begin + _FRAMES_IN_A_ROW, num_frames)))


def _seeks_agree(path: Path, info: VideoInfo, shown: dict[int, torch.Tensor], part: set[int]) -> bool:
    indices = sorted(part & set(shown))
    try:
        sought = read_frames(path, indices, info=info)
    except VideoError:
        return False
    return torch.equal(sought, torch.stack([shown[index] for index in indices]))


@dataclass(frozen=True)
class Copies:
    """Where to put smaller copies of a data set's films, and how small.

    Attributes:
        root: Folder of the data set.
        to: Folder of the copies, which have the same paths below it.
        short_side: Short side of the copies in pixels; even.
    """

    root: Path
    to: Path
    short_side: int

    def __post_init__(self) -> None:
        if self.short_side < MIN_SHORT_SIDE or self.short_side % 2:
            raise ValueError(
                f"Expected --shrink to be an even number of pixels, at least {MIN_SHORT_SIDE}, got {self.short_side}. "
                "Use --shrink 270 to make NTU RGB+D's films 480 by 270."
            )
        inside = (self.to / "x").resolve(), (self.root / "x").resolve()
        if inside[0].is_relative_to(inside[1].parent) or inside[1].is_relative_to(inside[0].parent):
            raise ValueError(
                f"Expected --to and the folder of the films, {self.root}, to be apart, neither inside the other, got "
                f"--to {self.to}. Choose another folder."
            )

    def path_of(self, film: Path) -> Path:
        """The path of a film's copy."""
        return self.to / film.relative_to(self.root)


@dataclass(frozen=True)
class ScanJob:
    """One film to read, and to copy if a copy is asked for.

    Attributes:
        film: The file.
        known: The finding of an earlier scan; None if the film must be read.
        copy: Path of the smaller copy; None makes none.
        short_side: Short side of the copy in pixels.
    """

    film: Path
    known: ScanFinding | None
    copy: Path | None = None
    short_side: int = 0


def scan(
    films: Sequence[Path], *, cache: Path, copies: Copies | None = None, workers: int = 0, log: ScanLog | None = None
) -> list[ScanFinding]:
    """Read films that no scan has read since they last changed, and make the copies that are missing.

    It may be stopped at any time: finished films are kept, and the same call does the rest.

    Args:
        films: The files; below `copies.root` if copies are made.
        cache: Folder of the findings: the data set's `cache`.
        copies: Smaller copies to make; all other files of the data set are linked beside them. None makes none.
        workers: Number of processes; 0 reads in this process.
        log: Keeps the findings in place of `cache`.

    Returns:
        The finding of each film; a copy's finding follows its original's.

    Raises:
        ValueError: If a film is outside the folder to copy.
    """
    log = log or ScanLog(cache, readers())
    known = log.findings()
    _lay_out(films, copies)
    jobs = [_make_job(film, known, copies) for film in films]
    done = {job.film: found for job in jobs if (found := _known_findings(job, known)) is not None}
    left = [job for job in jobs if job.film not in done]
    results = run_jobs(_WORK, left, workers=workers)
    for job, found in track(results, "Reading films", len(films), done=len(done)):
        result = found if found is not None else _report_crash(job)
        for finding in result:
            if finding.film[1]:  # an empty or missing file has no state to recognise it by
                log.add(finding)
        done[job.film] = result
    return [finding for film in films for finding in done[film]]


def list_unread(films: Sequence[Path], *, log: ScanLog, copies: Copies | None = None) -> list[Path]:
    """The films that no scan has read, or copied, since they last changed; links the data set's other files.

    Args:
        films: The files; below `copies.root` if copies are made.
        log: The findings.
        copies: As for `scan`.

    Raises:
        ValueError: If a film is outside the folder to copy.
    """
    known = log.findings()
    _lay_out(films, copies)
    return [film for film in films if _known_findings(_make_job(film, known, copies), known) is None]


def scan_alone(film: Path, *, known: dict[FileKey, ScanFinding], copies: Copies | None = None) -> list[ScanFinding]:
    """Read, and copy, one film in a process of its own, which it may kill; nothing is written but the copy.

    Args:
        film: The file.
        known: Findings of earlier scans (`ScanLog.findings`).
        copies: As for `scan`.

    Returns:
        What `ScanLog.add` takes: the film's finding, and that of its copy. None of an empty film, which has no state
        to recognise it by.
    """
    job = _make_job(film, known, copies)
    ((_, found),) = run_jobs(_WORK, [job], workers=1)
    return [one for one in (_report_crash(job) if found is None else found) if one.film[1]]


def _lay_out(films: Sequence[Path], copies: Copies | None) -> None:
    """Link the files that are not copied, once the copies' folder is known to be fit for them."""
    if copies:
        _assert_below(films, copies.root)
        link_rest(copies.root, copies.to, films)
        _assert_apart(films, copies)


def _assert_below(films: Sequence[Path], root: Path) -> None:
    outside = next((film for film in films if not film.is_relative_to(root)), None)
    if outside is not None:
        raise ValueError(
            f"Expected all films to be in dataset.root={str(root)!r}, got {str(outside)!r}. Set dataset.root to the "
            "folder of the films."
        )


def _assert_apart(films: Sequence[Path], copies: Copies) -> None:
    """Refuse to write copies through a link into the data set itself."""
    root = copies.root.resolve()
    for folder in sorted({copies.path_of(film).parent for film in films}):
        if folder.resolve().is_relative_to(root):
            raise ValueError(
                f"Expected the folder of the copies to be outside dataset.root={str(copies.root)!r}, got a link into "
                f"it: {str(folder)!r}. Remove the link, or choose another --to."
            )


def _make_job(film: Path, known: dict[FileKey, ScanFinding], copies: Copies | None) -> ScanJob:
    try:
        found = known.get(file_key(film))
    except VideoError:
        found = None
    return ScanJob(film, found, copies.path_of(film), copies.short_side) if copies else ScanJob(film, found)


def _known_findings(job: ScanJob, known: dict[FileKey, ScanFinding]) -> tuple[ScanFinding, ...] | None:
    """The findings of a finished job; None if something is left to do."""
    if job.known is None or job.copy is None:
        return None if job.known is None else (job.known,)
    try:
        copy = known.get(file_key(job.copy))
    except VideoError:
        return None
    fresh = copy is not None and copy.made_from == job.known.film and copy.short_side == job.short_side
    return (job.known, copy) if copy is not None and fresh else None


def scan_film(job: ScanJob) -> tuple[ScanFinding, ...]:
    """Read a film unless it is known, and make its copy if the job asks for one; return the finding of each."""
    found = job.known or examine(job.film)
    if job.copy is None or not found.film[1]:
        return (found,)
    info = found.info
    if info is None or min(info.width, info.height) <= job.short_side or job.film.is_dir():
        return found, _link_original(job, found)
    try:
        timed = not {_UNTIMED, MENDED} & found.notes.keys()
        shrink(job.film, job.copy, info=info, short_side=job.short_side, timed=timed)
    except VideoError as error:
        # The film has no usable copy. A link in its place lets tables find the file; quarantine gives the reason.
        return found, replace(_link_original(job, found), info=None, fault=str(error))
    return found, replace(examine(job.copy), made_from=found.film, short_side=job.short_side)


def _link_original(job: ScanJob, found: ScanFinding) -> ScanFinding:
    """Link to the original in place of a copy: small already, numbered pictures, or broken: it stays in quarantine."""
    assert job.copy is not None
    job.copy.unlink(missing_ok=True)
    link(job.film, job.copy)
    return replace(found, film=file_key(job.copy), made_from=found.film, short_side=job.short_side)


def _report_crash(job: ScanJob) -> tuple[ScanFinding, ...]:
    reason = (
        f"Expected {str(job.film)!r} to be a readable film, got a crash of the process that reads it, or no end within "
        f"{_MAX_SECONDS_PER_FILM / 60:.0f} minutes. Export it again, or leave it out."
    )
    return (ScanFinding(file_key(job.film), None, reason),)


_WORK = Work(scan_film, __name__, _MAX_SECONDS_PER_FILM)
