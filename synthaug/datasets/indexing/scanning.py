"""Every film of a data set read whole, once: what it holds is counted and its random access put to the proof.

What `synthaug data scan` does. Findings are kept beside the index of films and believed by every data set.
"""

import itertools
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from synthaug.datasets.indexing.findings import Finding, ScanLog
from synthaug.datasets.indexing.index import readers
from synthaug.datasets.indexing.processes import Work, spread
from synthaug.datasets.indexing.shrinking import SMALLEST, link, link_rest, shrink
from synthaug.video import FileKey, VideoError, VideoInfo, file_key, frames_in_order, probe, read_frames, upright

_SINGLE = 8
"""Frames sought alone, at random."""
_WINDOW = 6
"""Frames in a row from a random one on, as clips are read: readers may be right in one and wrong in the other."""
_LOST = 0.1
"""Share of pictures that may be missing at the end, or damaged, before a film counts as broken; `probe`'s rule."""
_UNTIMED = "pictures_without_a_time"
PATIENCE = 3600.0
"""Seconds after which reading and shrinking one film has got stuck: hours of film take minutes."""
_TOLD = 10
"""Times that a scan without a terminal says how far it is."""


# ---- One film ----


def examine(path: Path) -> Finding:
    """Read a film from the first frame to the last, then seek in it.

    Counted are the frames that come, not those announced. Frames sought at random, alone and in a row, must be the
    very pixels of reading in order; where decord's are not, the film is read in order from now on. The frames sought
    are drawn by the file's size: the same for everybody.

    Args:
        path: The film.

    Returns:
        What it holds; or a fault if it cannot be read, or more than a tenth of its pictures do not come or are damaged.
    """
    try:
        key = file_key(path)
    except VideoError as error:
        return Finding((str(path.absolute()), 0, 0), None, str(error))
    try:
        return _examined(path, key, probe(path))
    except VideoError as error:
        return Finding(key, None, str(error))


def _examined(path: Path, key: FileKey, info: VideoInfo) -> Finding:
    alone, row = _sought(info.num_frames, np.random.default_rng(key[1]))
    shown: dict[int, torch.Tensor] = {}
    count = damaged = untimed = 0
    last = -math.inf
    for index, frame in enumerate(itertools.islice(frames_in_order(path), info.num_frames)):
        count, damaged = index + 1, damaged + bool(frame.is_corrupt)
        untimed += frame.pts is None or frame.pts <= last
        last = last if frame.pts is None else frame.pts
        if index in alone or index in row:
            shown[index] = torch.from_numpy(upright(frame)).permute(2, 0, 1)
    if count < (1 - _LOST) * info.num_frames or damaged > _LOST * count:
        raise VideoError(
            f"{str(path)!r} is broken: {count} of {info.num_frames} pictures come, {damaged} of them damaged. A whole "
            "film was wanted. Copy or export it again, or leave it out."
        )
    notes = {"damaged_pictures": damaged, "pictures_missing": info.num_frames - count, _UNTIMED: untimed}
    info = replace(info, num_frames=count, times=info.times[:count])
    if info.reader == "decord" and not all(_agrees(path, info, shown, part) for part in (alone, row)):
        info = replace(info, seek_ok=False, reader="pyav")
        notes["random_access_wrong"] = 1
    return Finding(key, info, notes={what: number for what, number in notes.items() if number})


def _sought(num_frames: int, rng: np.random.Generator) -> tuple[set[int], set[int]]:
    """Frames to seek: some alone with the last, and a few in a row."""
    alone = {int(index) for index in rng.integers(num_frames, size=_SINGLE)} | {num_frames - 1}
    begin = int(rng.integers(max(1, num_frames - _WINDOW)))
    return alone, set(range(begin, min(begin + _WINDOW, num_frames)))


def _agrees(path: Path, info: VideoInfo, shown: dict[int, torch.Tensor], part: set[int]) -> bool:
    wanted = sorted(part & set(shown))
    try:
        sought = read_frames(path, wanted, info=info)
    except VideoError:
        return False
    return torch.equal(sought, torch.stack([shown[index] for index in wanted]))


# ---- Many films ----


@dataclass(frozen=True)
class Copies:
    """Smaller copies of a data set's films.

    Attributes:
        root: The data set's folder.
        to: The copies' folder, with the same paths below it.
        short_side: Of the copies, pixels; even.
    """

    root: Path
    to: Path
    short_side: int

    def __post_init__(self) -> None:
        if self.short_side < SMALLEST or self.short_side % 2:
            raise ValueError(
                f"--shrink {self.short_side} was given; an even number of pixels from {SMALLEST} was wanted, for the "
                "short side. 270 makes NTU RGB+D's films 480 by 270."
            )
        inside = (self.to / "x").resolve(), (self.root / "x").resolve()
        if inside[0].is_relative_to(inside[1].parent) or inside[1].is_relative_to(inside[0].parent):
            raise ValueError(
                f"--to {self.to} was given, and the films are in {self.root}; a folder of its own was wanted, neither "
                "inside the other, since copies bear their films' names. Choose another."
            )

    def of(self, film: Path) -> Path:
        """Where a film's copy is."""
        return self.to / film.relative_to(self.root)


@dataclass(frozen=True)
class Job:
    """One film to be dealt with.

    Attributes:
        film: The file.
        known: What an earlier scan found; None if it is to be read.
        copy: Where a smaller copy is wanted; None for none.
        short_side: Of the copy, pixels.
    """

    film: Path
    known: Finding | None
    copy: Path | None = None
    short_side: int = 0


def scan(
    films: Sequence[Path], *, cache: Path, copies: Copies | None = None, workers: int = 0, log: ScanLog | None = None
) -> list[Finding]:
    """Read films that no scan has read since they changed, and make copies that are missing.

    Stop it at any time: what is done is kept, and the same call does the rest.

    Args:
        films: The files; below `copies.root`, if copies are wanted.
        cache: Folder of the findings: the data set's `cache`.
        copies: Smaller ones to make; everything else in the folder is linked beside them.
        workers: Processes; 0 works in this one.
        log: Where findings are kept instead.

    Returns:
        What is known of each film, and of each copy behind its original.

    Raises:
        ValueError: If a film lies outside the folder to copy.
    """
    log = log or ScanLog(cache, readers())
    known = log.findings()
    if copies:
        _assert_below(films, copies.root)
        link_rest(copies.root, copies.to, films)
        _assert_apart(films, copies)
    jobs = [_job(film, known, copies) for film in films]
    done = {job.film: found for job in jobs if (found := _finished(job, known)) is not None}
    left = [job for job in jobs if job.film not in done]
    for job, found in _progress(
        spread(Work(do, __name__, PATIENCE), left, workers=workers), total=len(films), before=len(done)
    ):
        result = found if found is not None else _crashed(job)
        for finding in result:
            if finding.film[1]:  # without bytes there is nothing to remember it by
                log.add(finding)
        done[job.film] = result
    return [finding for film in films for finding in done[film]]


def _assert_below(films: Sequence[Path], root: Path) -> None:
    outside = next((film for film in films if not film.is_relative_to(root)), None)
    if outside is not None:
        raise ValueError(
            f"The film {str(outside)!r} lies outside dataset.root={str(root)!r}; copies are made of what lies in it. "
            "Set dataset.root to the folder of the films."
        )


def _assert_apart(films: Sequence[Path], copies: Copies) -> None:
    """No copy is written through a link into the set itself."""
    root = copies.root.resolve()
    for folder in sorted({copies.of(film).parent for film in films}):
        if folder.resolve().is_relative_to(root):
            raise ValueError(
                f"{str(folder)!r} leads into dataset.root={str(copies.root)!r}, whose films would be overwritten. A "
                "folder of its own was wanted. Remove the link, or choose another --to."
            )


def _job(film: Path, known: dict[FileKey, Finding], copies: Copies | None) -> Job:
    try:
        found = known.get(file_key(film))
    except VideoError:
        found = None
    return Job(film, found, copies.of(film), copies.short_side) if copies else Job(film, found)


def _finished(job: Job, known: dict[FileKey, Finding]) -> tuple[Finding, ...] | None:
    """What is known already, if nothing is left to do."""
    if job.known is None or job.copy is None:
        return None if job.known is None else (job.known,)
    try:
        copy = known.get(file_key(job.copy))
    except VideoError:
        return None
    fresh = copy is not None and copy.made_from == job.known.film and copy.short_side == job.short_side
    return (job.known, copy) if copy is not None and fresh else None


def do(job: Job) -> tuple[Finding, ...]:
    """Read a film unless it is known, and make its copy if one is wanted; returns what is found of each."""
    found = job.known or examine(job.film)
    if job.copy is None or not found.film[1]:
        return (found,)
    info = found.info
    if info is None or min(info.width, info.height) <= job.short_side:
        return found, _linked(job, found)
    try:
        shrink(job.film, job.copy, info=info, short_side=job.short_side, timed=_UNTIMED not in found.notes)
    except VideoError as error:
        # Not usable as a copy, but the film itself is: a link, so that tables find it, and the reason in quarantine.
        return found, replace(_linked(job, found), info=None, fault=str(error))
    return found, replace(examine(job.copy), made_from=found.film, short_side=job.short_side)


def _linked(job: Job, found: Finding) -> Finding:
    """A link in the place of a copy: of a film that is small already, or that is broken and stays in quarantine."""
    assert job.copy is not None
    job.copy.unlink(missing_ok=True)
    link(job.film, job.copy)
    return replace(found, film=file_key(job.copy), made_from=found.film, short_side=job.short_side)


def _crashed(job: Job) -> tuple[Finding, ...]:
    reason = (
        f"{str(job.film)!r} ends the process that reads it, or holds it for {PATIENCE / 60:.0f} minutes. A film was "
        "wanted. Export it again, or leave it out."
    )
    return (Finding(file_key(job.film), None, reason),)


# ---- Telling ----


def _progress(
    results: Iterator[tuple[Job, tuple[Finding, ...] | None]], *, total: int, before: int
) -> Iterator[tuple[Job, tuple[Finding, ...] | None]]:
    """The results, with a bar on a terminal and a line now and then elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    shown = sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("Reading films", total=total, completed=before)
        for number, result in enumerate(results, start=before + 1):
            bar.advance(task)
            if not shown and number * _TOLD // total > (number - 1) * _TOLD // total:
                print(f"{number} of {total} films read.", file=sys.stderr)
            yield result


# ---- What it came to ----


@dataclass(frozen=True)
class Summary:
    """Findings, counted.

    Attributes:
        rows: What, and how many or how much, in the order of telling.
        broken: Films that must not be used, by reason.
    """

    rows: tuple[tuple[str, str], ...]
    broken: dict[str, int]


def summary(findings: Sequence[Finding]) -> Summary:
    """Count films, hours, frames, bytes, sizes, rates, readers, oddities and faults; copies apart from originals."""
    rows: list[tuple[str, str]] = []
    broken: dict[str, int] = {}
    for name, part in (
        ("", [one for one in findings if one.made_from is None]),
        ("copies: ", [one for one in findings if one.made_from is not None]),
    ):
        if part:
            rows += [(name + what, value) for what, value in _figures(part)]
        for one in part:
            if one.fault:
                reason = name + kind_of(one)
                broken[reason] = broken.get(reason, 0) + 1
    return Summary(tuple(rows), dict(sorted(broken.items(), key=lambda item: -item[1])))


def _figures(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    infos = [finding.info for finding in findings if finding.info]
    hours = sum(info.duration for info in infos) / 3600
    yield "films", f"{len(infos):,} sound, {len(findings) - len(infos):,} broken"
    yield "hours", f"{hours:,.2f} in {sum(info.num_frames for info in infos):,} frames"
    yield "bytes", f"{sum(finding.film[1] for finding in findings) / 1e9:,.3f} GB"
    yield "size", _tally(f"{info.width} x {info.height}" for info in infos)
    yield "rate", _tally(f"{info.fps:.4g} a second" for info in infos)
    yield "read by", _tally(info.reader for info in infos)
    shorter = sum(info.duration < 0.9 * info.announced for info in infos)
    yield from (("shorter than announced", f"{shorter:,}"),) if shorter else ()
    for what in sorted({what for finding in findings for what in finding.notes}):
        having = [finding.notes[what] for finding in findings if what in finding.notes]
        yield what.replace("_", " "), f"{sum(having):,} in {len(having):,} films"


def _tally(words: Iterable[str]) -> str:
    """The commonest first, the rest counted."""
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(number for _, number in ranked[6:])
    return ", ".join(f"{word}: {number:,}" for word, number in ranked[:6]) + (f", others: {rest:,}" if rest else "")


def kind_of(finding: Finding) -> str:
    """A fault without the film's name and numbers, so that alike ones are counted together."""
    words = re.sub(r"'[^']*'|\"[^\"]*\"", "the film", finding.fault.split(". ")[0])
    return re.sub(r"\d[\d.]*", "n", words)
