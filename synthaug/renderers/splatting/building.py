"""What must be built once on a machine and never twice at a time: a command under a lock, with a limit on its time.

Below the renderers whose kernels are compiled at their first use.
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
"""Characters of a failed command's last words that are repeated."""


class BuildError(RuntimeError):
    """Something could not be built, or not in time."""


def build_once(
    command: Sequence[str], marker: Path, *, limit_s: float, environment: Mapping[str, str] | None = None
) -> None:
    """Run a command unless its marker says that it has succeeded here before.

    Of several processes at once one runs it, and the others wait.

    Args:
        command: Program and arguments.
        marker: Written when it has succeeded; a lock of its name lies beside it.
        limit_s: Seconds that it may take, and seconds that others wait for it.
        environment: Variables added to this process's own.

    Raises:
        BuildError: If it fails, takes too long, or another process does.
    """
    if marker.exists():
        return
    with _locked(marker.with_suffix(".lock"), limit_s):
        if not marker.exists():
            _run(command, {**os.environ, **(environment or {})}, limit_s)
            marker.touch()


@contextmanager
def _locked(path: Path, limit_s: float) -> Iterator[None]:
    """Alone among the processes of this machine; the system lets go of the lock when its holder dies."""
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
                        f"Another process has held '{path}' for {limit_s:.0f} s; a build that ends was wanted. "
                        "Look for it (nvcc, ninja) and end it, or wait and start again."
                    ) from None
                time.sleep(min(0.5, limit_s / 10))
        yield


def _run(command: Sequence[str], environment: Mapping[str, str], limit_s: float) -> None:
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        words, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        # The whole group, for compilers outlive the process that started them.
        os.killpg(process.pid, signal.SIGKILL)
        words, _ = process.communicate()
        raise BuildError(
            f"'{command[0]}' was stopped after {limit_s:.0f} s; it said:\n{words[-_TAIL:]}\nA build within that time "
            "was wanted. Allow more time, or more jobs at once (MAX_JOBS)."
        ) from None
    if process.returncode != 0:
        raise BuildError(
            f"'{command[0]}' ended with {process.returncode}; it said:\n{words[-_TAIL:]}\nA success was wanted."
        )
