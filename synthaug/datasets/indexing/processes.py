"""A process pool that survives workers killed by decoder crashes."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

from synthaug.workers import use_single_thread

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Work(Generic[Job, Result]):
    """The function to call on each job, in a process that the job may kill.

    Attributes:
        run: A function at the top level of a module.
        preload: Module to import once for all processes.
        time_limit: Seconds after which the process of a job is killed; None waits for ever.
    """

    run: Callable[[Job], Result]
    preload: str
    time_limit: float | None = None


def run_jobs(work: Work[Job, Result], jobs: Iterable[Job], *, workers: int) -> Iterator[tuple[Job, Result | None]]:
    """Run jobs in processes; yield each job with its result as it ends, or with None if it killed its process.

    A dead process does not tell which job killed it. So all jobs that were running are run again, one at a time.

    Args:
        work: The function to call.
        jobs: Its arguments.
        workers: Number of processes; 0 runs the jobs in this process, without time limit or protection.
    """
    if workers == 0:
        yield from ((job, work.run(job)) for job in jobs)
        return
    waiting = deque(jobs)
    while waiting:
        suspects: list[Job] = []
        yield from _run_in_parallel(work, waiting, suspects, workers)
        if suspects:
            yield from _run_one_by_one(work, suspects)


def _run_limited(work: Work[Job, Result], job: Job) -> Result:
    """Run one job under an alarm that kills the process, even one that hangs in a library deaf to exceptions."""
    if work.time_limit is None or not hasattr(signal, "setitimer"):
        return work.run(job)
    signal.setitimer(signal.ITIMER_REAL, work.time_limit)
    try:
        return work.run(job)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _run_one_by_one(work: Work[Job, Result], suspects: Sequence[Job]) -> Iterator[tuple[Job, Result | None]]:
    """Run one job at a time, so that a dead process shows which job killed it."""
    pool = _start_pool(1, work.preload)
    try:
        for job in suspects:
            found = None
            try:
                found = pool.submit(_run_limited, work, job).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool = _start_pool(1, work.preload)
            yield job, found
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_in_parallel(
    work: Work[Job, Result], waiting: deque[Job], suspects: list[Job], workers: int
) -> Iterator[tuple[Job, Result]]:
    """Run jobs until none waits or a process dies; then the running jobs become suspects."""
    pool = _start_pool(workers, work.preload)
    running: dict[Future[Result], Job] = {}
    try:
        while (waiting or running) and not suspects:
            # Submit few at a time: all that are submitted become suspects when a process dies.
            while waiting and len(running) < 2 * workers:
                running[pool.submit(_run_limited, work, waiting[0])] = waiting[0]
                waiting.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    yield job, future.result()
                except BrokenProcessPool:
                    suspects.append(job)
    except BrokenProcessPool:  # raised by submit
        pass
    finally:
        suspects += running.values()
        pool.shutdown(wait=True, cancel_futures=True)


def _start_pool(workers: int, preload: str) -> ProcessPoolExecutor:
    """Start fresh processes, since forks of this one would inherit its threads' locks."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload([preload])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_initialize)


def _initialize() -> None:
    # Only the parent handles an interrupt; it lets running jobs end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the default kills the process
    use_single_thread()
