"""Limits each loader process to one thread, because clips are already processed in parallel; divides work over them.

A library that starts threads of its own in each worker takes cores from the other workers. numpy's OpenBLAS, for
example, wakes its thread pool to invert a 3x3 matrix, and the pool then spins for milliseconds.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

UNFORKABLE = ("mediapipe", "onnxruntime")
"""Libraries that do not work in a process whose parent has used them: their threads are not there after a fork."""
_LOOK_EVERY = 0.5  # seconds between two looks at another process
_Item = TypeVar("_Item")
_work: Callable[[Any], object] | None = None
"""What a process of `work_in_processes` does; None in all others."""


def use_single_thread(worker: int = 0) -> None:
    """Limit torch and the BLAS libraries of this process to one thread, permanently; a `worker_init_fn`.

    OpenCV keeps its threads: `cv2.setNumThreads` in a forked process waits forever for the parent's threads.

    Args:
        worker: Number of the loader process; not used.
    """
    torch.set_num_threads(1)
    threadpool_limits(1)


def find_unforkable() -> str | None:
    """Name of a library that this process has imported and its forked children cannot use; None if there is none."""
    return next((name for name in UNFORKABLE if name in sys.modules), None)


def end_when(ended: Callable[[], bool]) -> None:
    """End this process, and those that it started, within a second of another's end, even if that was killed.

    Otherwise it would work on, or wait for ever for work. A thread looks; the system has no other way that works for
    every process.

    Args:
        ended: Whether the other process has ended.
    """

    def watch() -> None:
        while not ended():
            time.sleep(_LOOK_EVERY)
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, name="end when another ends", daemon=True).start()


def work_in_processes(
    work: Callable[[_Item], object], items: Sequence[_Item], *, num_workers: int
) -> Generator[tuple[_Item, bool], None, None]:
    """Do work whose results are kept on disk in several processes of one thread each; yield items as they are done.

    The processes are forked, so that `work` need not be pickled. If the iteration is given up, by Ctrl-C too, they are
    ended at once.

    Args:
        work: Done for each item; what it returns is dropped.
        items: Pickled on their way to a process.
        num_workers: Number of processes, at least 1.

    Yields:
        Each item in the order in which they end, and whether `work` ended without an exception.

    Raises:
        ChildProcessError: If a process was killed.
    """
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        num_workers, mp_context=multiprocessing.get_context("fork"), initializer=partial(_begin_work, work, os.getpid())
    )
    ended = False
    try:
        waiting: dict[Future[bool], _Item] = {pool.submit(_do_work, item): item for item in items}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
        ended = True
    except BrokenProcessPool as error:
        raise ChildProcessError(
            f"Expected {num_workers} processes to work until all {len(items)} items were done, got one that was "
            "killed. If memory ran out, start again with fewer."
        ) from error
    finally:
        if not ended:
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_work(work: Callable[[Any], object], parent: int) -> None:
    global _work
    _work = work
    # The terminal sends Ctrl-C to all processes: these end without a traceback, the first one says why.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    end_when(lambda: os.getppid() != parent)
    use_single_thread()


def _do_work(item: object) -> bool:
    assert _work is not None
    try:
        _work(item)
    except Exception:
        return False
    return True
