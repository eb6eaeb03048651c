"""Compiles beside the first run: a second process calls what later stages need, while the first one shoots and loads.

numba compiles each kernel when it is first called, and keeps the machine code for later runs: a minute of one core in a
fresh installation, while the other cores wait. Later runs, and machines with one core, start no second process.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from synthaug.files import digest_of, user_cache

_PACKAGE = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def compile_beside() -> Iterator[None]:
    """Start the second process, once for each installation, and end it with the block, if it is not done by then."""
    process = _start() if _count_cores() > 1 and _claim() else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _start() -> "subprocess.Popen[bytes] | None":
    """The second process; None if the system starts none, and the first process compiles."""
    paths = [str(_PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    quiet = subprocess.DEVNULL
    with contextlib.suppress(OSError):
        return subprocess.Popen(
            [sys.executable, "-m", "synthaug.cli.warming"], stdin=quiet, stdout=quiet, stderr=quiet,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip
    return None


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _claim() -> bool:
    """Whether no process has compiled this very code yet; from now on, one has."""
    state = max(((path.stat().st_mtime_ns, path.stat().st_size) for path in _PACKAGE.rglob("*.py")), default=(0, 0))
    digest = digest_of(str(_PACKAGE), repr(state), sys.version, version("numba"))
    folder = Path(os.environ["NUMBA_CACHE_DIR"]) if os.environ.get("NUMBA_CACHE_DIR") else _PACKAGE / "__pycache__"
    for place in (folder, user_cache() / "compiled"):
        try:
            place.mkdir(parents=True, exist_ok=True)
            (place / f"compiled-{digest[:16]}").touch(exist_ok=False)
        except FileExistsError:
            return False
        except OSError:  # read-only: numba writes elsewhere too
            continue
        return True
    return False


def compile_kernels() -> None:
    """Call what a run calls between its films and its training; the first process compiles what films need."""
    from synthaug.cli.configs import build_data, compose_config
    from synthaug.motions.actions import Actions
    from synthaug.motions.estimated import EstimatedMotion
    from synthaug.structures import Record
    from synthaug.synthesis import Synthesizer
    from synthaug.synthesis.references import References
    from synthaug.workers import use_single_thread

    use_single_thread()
    record = Record("drink water/studio/0", Path(), 0, "", "", 0.0, 2.0)
    reference = EstimatedMotion(Actions()).load(record)
    words = ["synth/background=rooms", "synth.identities=1", "synth.backgrounds=1", "synth.per_class=2"]
    data = build_data(compose_config(words))
    assert data.synth is not None
    synthesizer = Synthesizer(data.synth, References((record,), {record.key: reference}, {}), data.clip, seed=0)
    for index in range(len(synthesizer)):
        synthesizer.render(synthesizer.sample(index))


def main() -> None:
    """Compile until done, or until the first process ends."""
    from synthaug.workers import end_when

    parent = os.getppid()
    end_when(lambda: os.getppid() != parent)
    with contextlib.suppress(Exception):  # the first process meets the same, and says it in its own words
        compile_kernels()


if __name__ == "__main__":
    main()
