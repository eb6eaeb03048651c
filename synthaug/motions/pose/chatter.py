"""Hide the lines that a C++ library prints about itself from the user, and pass on everything else.

Such libraries write to file descriptor 2, past `sys.stderr`. mediapipe's log levels (GLOG_minloglevel and
TF_CPP_MIN_LOG_LEVEL) do not reach the lines of TensorFlow Lite and absl within it, as of 0.10.21.
"""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_DESCRIPTOR = 2
_lock = threading.RLock()  # two redirections at once would undo each other in the wrong order


@contextmanager
def drop_stderr_lines(*phrases: str) -> Iterator[None]:
    """Drop the lines that contain one of the phrases from what is written to stderr meanwhile; pass on all others.

    They are passed on at the end, even if that is an exception. The redirection affects the whole process with all its
    threads, so the work inside it should be short. Where descriptor 2 is closed, nothing is redirected.

    Args:
        phrases: Parts of lines that do not help the user.
    """
    with _lock:
        try:
            original = os.dup(_DESCRIPTOR)
        except OSError:
            yield
            return
        try:
            with tempfile.TemporaryFile() as caught:
                _flush()
                os.dup2(caught.fileno(), _DESCRIPTOR)
                try:
                    yield
                finally:
                    _flush()
                    os.dup2(original, _DESCRIPTOR)
                    caught.seek(0)
                    marks = [phrase.encode() for phrase in phrases]
                    kept = [line for line in caught if not any(mark in line for mark in marks)]
                    _write_all(b"".join(kept))
        finally:
            os.close(original)


def _flush() -> None:
    # What Python has buffered belongs to the time before.
    if sys.stderr is not None and not sys.stderr.closed:
        sys.stderr.flush()


def _write_all(content: bytes) -> None:
    while content:
        content = content[os.write(_DESCRIPTOR, content) :]
