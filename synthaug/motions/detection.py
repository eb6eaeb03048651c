"""Recognize which motion source reads a file or folder, by asking every source."""

from collections.abc import Mapping
from pathlib import Path

from synthaug.motions import MotionSource
from synthaug.motions.files.recordings import FlawError, reading


def recognize(path: Path, sources: Mapping[str, type[MotionSource]]) -> str:
    """The name of the only source that recognizes a file or folder.

    Args:
        path: A recording, a folder of one, or a film.
        sources: Classes to ask, by the name that a user types.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        UnusableClipError: If it is damaged, so that no source recognizes it.
        ValueError: If no source recognizes it, or several do; the message says what their files look like.
    """
    names, flaws = [], []
    with reading(path):
        for name, source in sources.items():
            try:
                names += [name] if source.recognizes(path) else []
            except FlawError as error:
                flaws.append(error)
        if not names and flaws:
            raise flaws[0]
    if len(names) == 1:
        return names[0]
    known = {name: source.looks for name, source in sources.items() if source.looks and (name in names or not names)}
    listed = "; ".join(f"{name} ({looks})" for name, looks in known.items())
    problem = f"Expected one kind of motion, got {' and '.join(names)}" if names else "Expected a known kind of motion"
    raise ValueError(f"{problem}: '{path}'. Choose one with --kind: {listed}.")
