"""Run a build command once on a machine, under a lock and with a time limit.

For kernels that are compiled when they are first used: of several processes one compiles, and the others wait.
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)
_TAIL = 1500
"""Characters of a failed command's output that the error repeats."""


class BuildError(RuntimeError):
    """A build failed, or took too long."""


def build_once(
    command: Sequence[str], marker: Path, *, limit_s: float, environment: Mapping[str, str] | None = None
) -> None:
    """Run a command unless its marker file says that it succeeded before.

    Of several processes at once one runs it, and the others wait.

    Args:
        command: Program and arguments.
        marker: File that is written when the command succeeds; the lock file lies beside it.
        limit_s: Seconds that the command may take, and that other processes wait for it.
        environment: Environment variables, added to this process's own.

    Raises:
        BuildError: If the command fails or takes too long, here or in another process.
    """
    if marker.exists():
        return
    with _lock(marker.with_suffix(".lock"), limit_s):
        if not marker.exists():
            _run(command, {**os.environ, **(environment or {})}, limit_s)
            marker.touch()


@contextmanager
def _lock(path: Path, limit_s: float) -> Iterator[None]:
    """Hold a lock among the processes of this machine; the system releases it when its holder dies."""
    import fcntl  # not on Windows, where nothing here is called

    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + limit_s
    with open(path, "w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BuildError(
                        f"Expected the build that holds '{path}' to end within {limit_s:.0f} s, but it did not. "
                        "Find it (nvcc, ninja) and end it, or wait and start again."
                    ) from None
                time.sleep(min(0.5, limit_s / 10))
        yield


def _run(command: Sequence[str], environment: Mapping[str, str], limit_s: float) -> None:
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        # The whole group, since compilers outlive the process that started them.
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise BuildError(
            f"Expected '{command[0]}' to end within {limit_s:.0f} s, but it was still running and was stopped. "
            f"Allow more jobs at once (MAX_JOBS). Its last output:\n{output[-_TAIL:]}"
        ) from None
    if process.returncode != 0:
        raise BuildError(
            f"Expected '{command[0]}' to succeed, got exit code {process.returncode}. Its last output:\n"
            f"{output[-_TAIL:]}"
        )
