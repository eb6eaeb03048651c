"""Distinguish a user's mistake, which gets a plain message, from ours, which needs a traceback."""

import ast
import re
import traceback
from pathlib import Path
from types import TracebackType

_PACKAGE = Path(__file__).parents[1]
_HANDED_OVER = re.compile(r"Original Traceback|terminated with the following error")
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<name>\S+))?', re.MULTILINE)
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
            return _explain_key(seen) if isinstance(seen, KeyError) else str(seen)
        seen = seen.__cause__ or seen.__context__
    return None


def _explain_key(error: KeyError) -> str:
    """The message of a KeyError: its own words; of a bare name that was looked up, where that was."""
    frames = traceback.extract_tb(error.__traceback__)
    place = frames[-1] if frames else None
    key = error.args[0] if error.args else ""
    return _describe_key(key, place.filename, place.lineno, place.name) if place else str(key)


def _describe_key(key: object, file: str, line: int | str | None, name: str | None) -> str:
    if isinstance(key, str) and len(key.split()) > 2:
        return key  # words that were meant for people
    inside = Path(file).is_relative_to(_PACKAGE)
    place = Path(file).relative_to(_PACKAGE.parent).as_posix() if inside else Path(file).name
    return (
        f"Expected {key!r} among the names that {place}, line {line}{f' ({name})' if name else ''} looks up, got none "
        "of that name. If they come from a file (a table, an export, a cache), it is damaged or of another version: "
        "make it anew. Else this is a fault of synthaug: please report it with these words."
    )


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
    if ours and name == KeyError.__name__:  # Python shows its words as a literal
        try:
            key = ast.literal_eval(words)
        except (ValueError, SyntaxError):
            key = words
        return _describe_key(key, frames[-1]["file"], frames[-1]["line"], frames[-1]["name"])
    return words if ours or name.startswith("synthaug.") else None


def _raised_by_us(traceback: TracebackType | None) -> bool:
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return Path(traceback.tb_frame.f_code.co_filename).is_relative_to(_PACKAGE)
