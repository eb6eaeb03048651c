"""Many jobs done by processes that may die over one of them.

Beside what has files read by libraries that can crash.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

from synthaug.workers import single_threaded

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Work(Generic[Job, Result]):
    """What is done to each job, in a process that may die over it.

    Attributes:
        do: A function of a module.
        preload: Module that is imported once for all processes.
        limit: Seconds after which a job's process is ended; None waits for ever.
    """

    do: Callable[[Job], Result]
    preload: str
    limit: float | None = None


def spread(work: Work[Job, Result], jobs: Iterable[Job], *, workers: int) -> Iterator[tuple[Job, Result | None]]:
    """Do jobs in processes, in whatever order they end; None for those that end their process, or hold it too long.

    When a process dies nobody says over which film: all that were in work are done again one by one.

    Args:
        work: What is done to each.
        jobs: What to do.
        workers: Processes; 0 works in this one, which dies with them and knows no limit.
    """
    if workers == 0:
        yield from ((job, work.do(job)) for job in jobs)
        return
    waiting = deque(jobs)
    while waiting:
        suspects: list[Job] = []
        yield from _together(work, waiting, suspects, workers)
        if suspects:
            yield from _alone(work, suspects)


def _limited(work: Work[Job, Result], job: Job) -> Result:
    """The work, in a process that the alarm ends: even one that hangs in a library, which no exception reaches."""
    if work.limit is None or not hasattr(signal, "setitimer"):
        return work.do(job)
    signal.setitimer(signal.ITIMER_REAL, work.limit)
    try:
        return work.do(job)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _alone(work: Work[Job, Result], suspects: Sequence[Job]) -> Iterator[tuple[Job, Result | None]]:
    """One at a time, so that a process that dies says over which film."""
    pool = _pool(1, work.preload)
    try:
        for job in suspects:
            found = None
            try:
                found = pool.submit(_limited, work, job).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool = _pool(1, work.preload)
            yield job, found
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _together(
    work: Work[Job, Result], waiting: deque[Job], suspects: list[Job], workers: int
) -> Iterator[tuple[Job, Result]]:
    """Until nothing waits, or a process dies; then those in work are suspects."""
    pool = _pool(workers, work.preload)
    running: dict[Future[Result], Job] = {}
    try:
        while (waiting or running) and not suspects:
            # Few at a time: a hundred thousand futures, and as many suspects, help nobody.
            while waiting and len(running) < 2 * workers:
                running[pool.submit(_limited, work, waiting[0])] = waiting[0]
                waiting.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    yield job, future.result()
                except BrokenProcessPool:
                    suspects.append(job)
    except BrokenProcessPool:  # told while handing over
        pass
    finally:
        suspects += running.values()
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(workers: int, preload: str) -> ProcessPoolExecutor:
    """Fresh processes: forks of this one would inherit its threads' locks."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload([preload])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)


def _begin() -> None:
    # An interrupt is the parent's: it lets films in work come to their end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process
    single_threaded()
