"""Distinguish a user's mistake, which gets a plain message, from ours, which needs a traceback."""

from pathlib import Path
from types import TracebackType

_OURS = (ValueError, FileNotFoundError, KeyError, ImportError, ChildProcessError)


def plain_words(error: BaseException) -> str | None:
    """The message for the user, or None if the error is not the user's mistake.

    An error that our own code raised on purpose is one of a few kinds, and its class or last frame is in this package;
    its message says all that the user needs. Causes are searched too, because Hydra wraps what constructors raise.
    """
    seen: BaseException | None = error
    while seen is not None:
        ours = type(seen).__module__.startswith("synthaug.") or _raised_by_us(seen.__traceback__)
        if isinstance(seen, _OURS) and ours:
            return str(seen.args[0]) if isinstance(seen, KeyError) and seen.args else str(seen)
        seen = seen.__cause__ or seen.__context__
    return None


def _raised_by_us(traceback: TracebackType | None) -> bool:
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return Path(traceback.tb_frame.f_code.co_filename).is_relative_to(Path(__file__).parents[1])
