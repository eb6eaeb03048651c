"""Report the progress of long work: with a bar on a terminal, and with lines at intervals elsewhere.

Where there is no terminal (a log file, a cluster job), work that takes longer than ten seconds reports its progress.
The lines go to the log, or to stderr where nobody has set logging up, so that results on stdout stay clean.
"""

import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Generic, TypeVar, final

logger = logging.getLogger(__name__)

_Item = TypeVar("_Item")
Clock = Callable[[], float]
"""Seconds since any moment; never runs backwards."""
PAUSES = (10.0, 20.0, 40.0, 60.0)
"""Seconds before the first line, the second one ...; the last pause is repeated."""
_BAR_AFTER = 2.0  # seconds; shorter work needs no bar
_bars = 0  # bars that this process shows: a terminal has room for one, work within other work reports in lines
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Variables by which launchers number the processes that work together; Lightning reads the same ones."""


def track(
    items: Iterable[_Item],
    description: str,
    total: int | None = None,
    *,
    done: int = 0,
    note: Callable[[_Item], str] | None = None,
    clock: Clock = time.monotonic,
) -> Iterator[_Item]:
    """Yield the items, and report meanwhile how many are done.

    Work within other work, such as the frames of one film among many films, reports too, once it takes long.

    Args:
        items: The items to work through.
        description: What happens to them: "Extracting motions".
        total: Number of items, with those that are done; None takes the length of `items`, where it has one.
        done: How many were done earlier; they do not count for the rate.
        note: What an item says of how the work goes, such as "27.3 dB".
        clock: Tells the time.
    """
    if total is None and isinstance(items, Sized):
        total = done + len(items)
    if not is_main_process():
        yield from items
    elif sys.stderr.isatty() and not _has_bar():
        yield from _track_with_bar(items, _Work(description, total, done, note), clock)
    else:
        yield from _track_with_lines(items, _Work(description, total, done, note), clock)


@dataclass(frozen=True)
class _Work(Generic[_Item]):
    """What `track` was told about the work."""

    description: str
    total: int | None
    done: int
    note: Callable[[_Item], str] | None

    def remark(self, item: _Item) -> str:
        """The item's note, as the end of a line."""
        return "" if self.note is None else f", {self.note(item)}"


def _has_bar() -> bool:
    """Whether another piece of work has the terminal's one bar: in this process, or in the one that started it."""
    return _bars > 0 or multiprocessing.parent_process() is not None


def _track_with_bar(items: Iterable[_Item], work: _Work[_Item], clock: Clock) -> Iterator[_Item]:
    global _bars
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(work.description, total=work.total, completed=work.done)
    start, shown = clock(), False
    try:
        for item in items:
            yield item
            bar.update(task, advance=1, description=f"{work.description}{work.remark(item)}")
            if not shown and clock() - start > _BAR_AFTER and not _has_bar():
                bar.start()
                shown, _bars = True, _bars + 1
    finally:
        bar.stop()
        _bars -= shown


def _track_with_lines(items: Iterable[_Item], work: _Work[_Item], clock: Clock) -> Iterator[_Item]:
    pace, count, remark, told = Pace(clock), work.done, "", False
    for item in items:
        yield item
        count, remark = count + 1, work.remark(item)
        if count != work.total and pace.is_due():
            far = describe_progress(count, work.total, pace.seconds, done=work.done)
            say(f"{work.description}: {far}{remark}")
            told = True
    if told:
        say(f"{work.description}: {describe_end(count, work.total, pace.seconds, done=work.done)}{remark}")


@final
class Pace:
    """Decides when the next line is due: after 10 s, 20 s later, 40 s later, and then every minute.

    Args:
        clock: Tells the time.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._lines = 0
        self._next = self._start + PAUSES[0]

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._start

    def is_due(self) -> bool:
        """Whether a line is due; if so, the next pause begins."""
        now = self._clock()
        if now < self._next:
            return False
        self._lines += 1
        self._next = now + PAUSES[min(self._lines, len(PAUSES) - 1)]
        return True


def describe_progress(count: int, total: int | None, seconds: float, *, done: int = 0) -> str:
    """How far work is: "37 of 215, 2.9 per second, 61 s left".

    Args:
        count: How many items are done.
        total: How many there are; None if that is not known.
        seconds: Seconds that the work has taken so far, more than 0.
        done: How many were done before.
    """
    rate = (count - done) / seconds
    left = "" if total is None or rate == 0 else f", {_describe_seconds((total - count) / rate)} left"
    return f"{_describe_count(count, total)}, {_describe_rate(rate)}{left}"


def describe_end(count: int, total: int | None, seconds: float, *, done: int = 0) -> str:
    """The last line about work: "215 of 215 in 74 s, 2.9 per second"; arguments as for `describe_progress`."""
    return (
        f"{_describe_count(count, total)} in {_describe_seconds(seconds)}, {_describe_rate((count - done) / seconds)}"
    )


def _describe_count(count: int, total: int | None) -> str:
    return str(count) if total is None else f"{count} of {total}"


def _describe_rate(rate: float) -> str:
    """The rate per the first unit of time in which there is at least one item, or per hour."""
    units = (("second", 1), ("minute", 60), ("hour", 3600))
    unit, seconds = next(((name, each) for name, each in units if rate * each >= 1), units[-1])
    return f"{rate * seconds:.{1 if rate * seconds < 10 else 0}f} per {unit}"


def _describe_seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def say(line: str) -> None:
    """Tell the user one line: in the log, or on stderr if logging is not set up. Only the main process does."""
    if not is_main_process():
        return
    if logger.hasHandlers():
        logger.info("%s", line)
    else:
        print(line, file=sys.stderr, flush=True)


def is_main_process() -> bool:
    """Whether this process is the first, or the only one, of those that work together."""
    if "torch.distributed" in sys.modules:
        distributed = sys.modules["torch.distributed"]
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank() == 0
    ranks = [os.environ[name] for name in _RANKS if name in os.environ]
    return not ranks or ranks[0] == "0"
