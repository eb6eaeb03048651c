"""Distinguish a user's mistake, which gets a plain message, from ours, which needs a traceback."""

import re
from pathlib import Path
from types import TracebackType

_PACKAGE = Path(__file__).parents[1]
_HANDED_OVER = re.compile(r"Original Traceback|terminated with the following error")
_FRAME = re.compile(r'^  File "(?P<file>.+)", line \d+', re.MULTILINE)
_RAISED = re.compile(r"^(?P<name>[A-Za-z_][\w.]*): (?P<words>.*)", re.MULTILINE | re.DOTALL)
_GO_ON = (
    "If memory ran out, start again with less loading.memory_mb or fewer loading.num_workers. ckpt_path=auto with the "
    "same hydra.run.dir goes on from the last state that was saved."
)
_DEATHS = (
    (re.compile(r"DataLoader worker \(pid\(?s?\)? [\d, ]+\) (is killed by signal|exited unexpectedly)"),
     f"Expected the processes that load clips to live as long as training, got one that was killed. {_GO_ON}"),
    (re.compile(r"process \d+ terminated with signal SIG(KILL|SEGV|BUS)"),
     f"Expected the processes that train together to live until the end, got one that was killed. {_GO_ON}"),
    (re.compile(r"Connection closed by peer|[Rr]emote (worker|process) (crashing|exited)|Connection reset by peer"),
     f"Expected the processes that train together to live until the end, got one that ended; what it said is above. "
     f"{_GO_ON}"),
)  # fmt: skip
"""What torch says when another process has died, and what it means."""
_OURS = (ValueError, FileNotFoundError, KeyError, ImportError, ChildProcessError)


def plain_words(error: BaseException) -> str | None:
    """The message for the user, or None if the error is not the user's mistake.

    An error that our own code raised on purpose is one of a few kinds, and its class or last frame is in this package;
    its message says all that the user needs. Causes are searched too, because Hydra wraps what constructors raise.
    """
    seen: BaseException | None = error
    while seen is not None:
        if (told := _told_by_process(str(seen))) is not None:
            return told
        if isinstance(seen, RuntimeError) or type(seen).__name__ == "ProcessExitedException":
            if (told := next((words for sign, words in _DEATHS if sign.search(str(seen))), None)) is not None:
                return told
        ours = type(seen).__module__.startswith("synthaug.") or _raised_by_us(seen.__traceback__)
        if isinstance(seen, _OURS) and ours:
            return str(seen.args[0]) if isinstance(seen, KeyError) and seen.args else str(seen)
        seen = seen.__cause__ or seen.__context__
    return None


def _told_by_process(text: str) -> str | None:
    """The message of an error in another process, which torch hands over as the text of its traceback, if it is ours.

    Loader workers say "Original Traceback", processes that train together "terminated with the following error".
    """
    if not _HANDED_OVER.search(text):
        return None
    frames = list(_FRAME.finditer(text))
    if not frames:
        return None
    last = _RAISED.search(text, frames[-1].end())
    if last is None:
        return None
    name, words = last["name"], last["words"].strip()
    kinds = tuple(kind.__name__ for kind in _OURS)
    ours = Path(frames[-1]["file"]).is_relative_to(_PACKAGE) and name in kinds
    return words if ours or name.startswith("synthaug.") else None


def _raised_by_us(traceback: TracebackType | None) -> bool:
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return Path(traceback.tb_frame.f_code.co_filename).is_relative_to(_PACKAGE)
