"""Many jobs done by processes that may die over one of them.

Beside what has files read by libraries that can crash.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from synthaug.workers import single_threaded

Job = TypeVar("Job")
Result = TypeVar("Result")


def spread(
    work: Callable[[Job], Result], jobs: Iterable[Job], *, workers: int, preload: str
) -> Iterator[tuple[Job, Result | None]]:
    """Do jobs in processes, in whatever order they end; None for those that end their process.

    When a process dies nobody says over which film: all that were in work are done again one by one.

    Args:
        work: A function of a module.
        jobs: What to do.
        workers: Processes; 0 works in this one, which dies with them.
        preload: Module that is imported once for all of them.
    """
    if workers == 0:
        yield from ((job, work(job)) for job in jobs)
        return
    waiting = deque(jobs)
    while waiting:
        suspects: list[Job] = []
        yield from _together(work, waiting, suspects, workers, preload)
        if suspects:
            yield from _alone(work, suspects, preload)


def _alone(work: Callable[[Job], Result], suspects: Sequence[Job], preload: str) -> Iterator[tuple[Job, Result | None]]:
    """One at a time, so that a process that dies says over which film."""
    pool = _pool(1, preload)
    try:
        for job in suspects:
            found = None
            try:
                found = pool.submit(work, job).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool = _pool(1, preload)
            yield job, found
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _together(
    work: Callable[[Job], Result], waiting: deque[Job], suspects: list[Job], workers: int, preload: str
) -> Iterator[tuple[Job, Result]]:
    """Until nothing waits, or a process dies; then those in work are suspects."""
    pool = _pool(workers, preload)
    running: dict[Future[Result], Job] = {}
    try:
        while (waiting or running) and not suspects:
            # Few at a time: a hundred thousand futures, and as many suspects, help nobody.
            while waiting and len(running) < 2 * workers:
                running[pool.submit(work, waiting[0])] = waiting[0]
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
    single_threaded()
