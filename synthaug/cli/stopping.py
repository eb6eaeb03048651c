"""Stop a training with everything that it started, when a signal says so or the command that started it has ended."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

LEADER = "SYNTHAUG_LEADER"
"""Variable with the number of the process that a launcher's workers end with."""


_place: str | None = None
"""The setting that leads a further start to what this command has written; None before it has written anything."""


class StoppedError(SystemExit):
    """A signal asked this process to stop; the exit status is that of a process that the signal ended.

    Attributes:
        signal: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


@contextlib.contextmanager
def stop_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind this process, so that launchers and loaders end their workers, as for Ctrl-C.

    By default they would end it at once, and the workers of a sweep would train on. Says how to go on.
    """
    global _place
    before, _place = {}, None
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _stop)
    leader = os.environ.get(LEADER)
    os.environ[LEADER] = str(os.getpid())
    try:
        yield
    except (StoppedError, KeyboardInterrupt) as stopped:
        what = stopped.signal.name if isinstance(stopped, StoppedError) else "Ctrl-C"
        advice = f"Give the same command with {_place} ckpt_path=auto to go on." if _place else "Nothing was written."
        print(f"synthaug: stopped by {what}. {advice}", file=sys.stderr)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.environ.pop(LEADER)
        if leader is not None:
            os.environ[LEADER] = leader


def remember_place(setting: str, folder: Path) -> None:
    """Keep where a run or a sweep writes, for the message of the one who stops it; a sweep's jobs change nothing.

    Args:
        setting: The setting that chooses the folder: `hydra.sweep.dir`.
        folder: The folder.
    """
    global _place
    _place = _place or f"{setting}={folder.absolute()}"


def end_with_leader() -> None:
    """Let a worker that a launcher started end with the command, even if that was killed; does nothing elsewhere.

    A launcher on a cluster starts its jobs on other machines or by other processes: these go on.
    """
    leader = int(os.environ.get(LEADER, "0"))
    if leader == os.getppid() and leader != os.getpid():
        from synthaug.workers import end_with_parent

        end_with_parent(leader)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise StoppedError(number)
