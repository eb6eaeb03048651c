"""Read what an export says of itself and of its clips, from a folder or an address."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from synthaug.exports import MANIFEST, ROWS, ExportError
from synthaug.exports.parts.clips import read_row
from synthaug.exports.parts.walk import FORMAT, check_whole
from synthaug.structures import Values


class Rows(Sequence[Values]):
    """Columns of many clips, kept as text, since parsed they would take ten times the memory.

    Args:
        text: Lines of JSON.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
        self._ends = np.concatenate([[-1], ends])

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> Values: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Values]: ...
    def __getitem__(self, place: int | slice) -> Values | Sequence[Values]:
        """Parse one line, or some."""
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(f"Expected a place below {len(self)}, got {place}.")
        place %= len(self)
        return read_row(self._text[self._ends[place] + 1 : self._ends[place + 1]])


def is_address(root: str) -> bool:
    """Whether a folder is not on a disk: s3://bucket/clips, or local:/clips, which litdata copies as if it were."""
    return "://" in root or root.startswith("local:")


def read_about(root: str) -> Values:
    """The manifest of an export; of a folder on a disk, after a look at whether all of its files are there.

    Raises:
        ExportError: If it is no export, or not whole.
    """
    if not is_address(root):
        return check_whole(Path(root).expanduser())
    try:
        about = json.loads(read_file(root, MANIFEST))
    except ValueError as error:
        if isinstance(error, ExportError):
            raise
        raise ExportError(
            f"Expected {MANIFEST} of an export at {root} to be JSON, but {error}. Copy the export again."
        ) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ExportError(
            f"Expected an export of format {FORMAT} at {root}, got another. Use the synthaug that made it."
        )
    return about


def read_layout(root: str, layout: str, option: str) -> Values:
    """The manifest of an export of one layout; arguments and errors as for `read_about`.

    Args:
        root: The folder, or its address.
        layout: Name of the class of the layout.
        option: What `synthaug export --to` calls it.
    """
    about = read_about(root)
    if about.get("layout") != layout:
        raise ExportError(
            f"Expected '{root}' to be an export for {option}, got {about.get('layout')}. Give another folder, or "
            f"export with --to {option}."
        )
    return about


def read_rows(root: str) -> Rows:
    """The columns of every clip of an export.

    Raises:
        ExportError: If they cannot be read.
    """
    return Rows(read_file(root, ROWS))


def read_file(root: str, name: str, *, start: int = 0, size: int | None = None) -> bytes:
    """A file of an export, or a part of it, of which no more is fetched.

    Args:
        root: The folder, or its address.
        name: Path of the file below it.
        start: First byte.
        size: Number of bytes; None reads to the end.

    Raises:
        ExportError: If it cannot be read, or is shorter.
    """
    import fsspec

    place = root.removeprefix("local:") if is_address(root) else str(Path(root).expanduser())
    try:
        files, path = fsspec.core.url_to_fs(f"{place.rstrip('/')}/{name}")
        content = bytes(files.cat_file(path, start=start or None, end=None if size is None else start + size))
        if size is not None and len(content) < size:
            raise ValueError(f"it ends {size - len(content)} bytes early")
        return content
    except (OSError, ValueError, ImportError) as error:
        raise ExportError(
            f"Expected {name} of an export at '{root}', but reading it failed: {error}. Check the address; `synthaug "
            "export` writes that file last."
        ) from error
