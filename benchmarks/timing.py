"""Time tasks that share a machine: interleaved rounds, each task in a process of its own."""

import multiprocessing
import multiprocessing.connection
import time
from collections.abc import Callable, Mapping

from synthaug.workers import use_single_thread

Task = Callable[[int], object]
_SETTLED = 5e-4
"""CPU seconds in `_PAUSE` below which nothing that the task started works any more."""
_PAUSE = 0.02
_MOST_PAUSES = 25


def interleave(tasks: Mapping[str, Task], *, rounds: int) -> dict[str, list[float]]:
    """CPU milliseconds of each task in each round; two earlier rounds, which compile and fill caches, do not count.

    A task has a process of its own, forked from this one, so that threads which it leaves running, as decoders of film
    do, are charged to no other; the next task begins when they are done.

    Args:
        tasks: Called with the number of the round, from 0 to 59 over and over.
        rounds: How many.
    """
    context = multiprocessing.get_context("fork")
    pipes: dict[str, multiprocessing.connection.Connection] = {}
    workers = []
    for name, task in tasks.items():
        pipes[name], theirs = context.Pipe()
        workers.append(context.Process(target=_serve, args=(task, theirs), daemon=True))
        workers[-1].start()
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(-2, rounds):
        for name, pipe in pipes.items():
            pipe.send(number % 60)
            spent = pipe.recv()
            if number >= 0:
                times[name].append(1e3 * spent)
    for pipe in pipes.values():
        pipe.send(None)
    for worker in workers:
        worker.join()
    return times


def _serve(task: Task, pipe: multiprocessing.connection.Connection) -> None:
    use_single_thread()
    while (number := pipe.recv()) is not None:
        start = time.process_time()
        task(number)
        pipe.send(_settle() - start)


def _settle() -> float:
    """This process's CPU time once its other threads rest; the pauses themselves cost next to nothing."""
    spent = time.process_time()
    for _ in range(_MOST_PAUSES):
        time.sleep(_PAUSE)
        now = time.process_time()
        if now - spent < _SETTLED:
            return spent
        spent = now
    return spent
