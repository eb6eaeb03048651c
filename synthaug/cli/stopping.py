"""Stop a training with everything that it started, when a signal says so or the command that started it has ended."""

import contextlib
import os
import platform
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

LEADER = "SYNTHAUG_LEADER"
"""Variable that names the process with which a launcher's workers end: machine, cluster's job, number, and birth."""


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
    state = _state_of(os.getpid())
    os.environ[LEADER] = "/".join([*_where(), str(os.getpid()), "" if state is None else state[1]])
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
    """Let a worker that a launcher started on this machine end with the command, even if that was killed.

    It may have been killed before the worker came here. Elsewhere this does nothing: not in the command itself, and
    not in a job of a cluster, which goes on.
    """
    leader = os.environ.get(LEADER, "")
    machine, job, number, born = leader.split("/") if leader.count("/") == 3 else ("", "", "", "")
    if number and int(number) != os.getpid() and (machine, job) == _where():
        from synthaug.workers import end_when

        parent = os.getppid()
        end_when(lambda: _has_ended(int(number), born) or os.getppid() != parent)


def _where() -> tuple[str, str]:
    """This machine, and the cluster's job that this process belongs to; empty for none."""
    jobs = [os.environ.get(name, "") for name in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")]
    return platform.node().replace("/", "_"), "".join(jobs).replace("/", "_")


def _has_ended(number: int, born: str) -> bool:
    """Whether a process has ended; another one may have its number by now. Without /proc only its parent is known."""
    state = _state_of(number)
    return Path("/proc/self/stat").exists() and (state is None or state[0] in "ZX" or state[1] != born)


def _state_of(number: int) -> tuple[str, str] | None:
    """A process's state and when it was born; None if it does not exist."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise StoppedError(number)
