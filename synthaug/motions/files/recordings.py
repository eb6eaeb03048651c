"""Files that others recorded motions into: found beside a film, read within bounds, checked number by number.

Below every source that reads such files; their messages name file, field and rule.
"""

import io
import json
import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synthaug.motions import UnusableClipError
from synthaug.structures import Motion, Plain, Record

MAX_BYTES = 64 * 2**20
"""Largest text that is read: an hour of two people in JSON. Parsed, JSON takes some 20 times its size."""


class FlawError(ValueError):
    """What is wrong in a file: what was found, and what was wanted. `reading` adds the file's name and the remedy."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is understood into an UnusableClipError that names it.

    Raises:
        FileNotFoundError: If there is no such file.
        UnusableClipError: If it has a flaw or cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"There is no '{path}'. A file or folder with a recorded motion was wanted. Check the path, or bring it."
        )
    try:
        yield
    except FileNotFoundError:
        raise  # says which file, and is no fault of this one
    except (FlawError, OSError) as error:
        raise UnusableClipError(
            f"'{path}' holds no motion that could be read: {error}. Bring the file again, or leave the clip out."
        ) from error


def folders_of(root: str | Sequence[str] | None) -> tuple[Path, ...]:
    """The folders that a source's `root` names; none at all stands for the film's own."""
    if root is None:
        return ()
    return tuple(Path(folder).expanduser() for folder in ([root] if isinstance(root, str) else root))


def recording_of(record: Record, endings: Sequence[str], *, root: Path | Sequence[Path] | None = None) -> Path:
    """The file that holds a record's motion: the record's own, or one named like its film.

    A name is the film's without its suffix and without NTU's `_rgb`, followed by one of the endings.

    Args:
        record: Its path is such a file, or a film.
        endings: What such files end in, the preferred one first.
        root: Folder that holds them, flat or in sub-folders named like the films' own, or several, of which the first
            that has one is taken; None and no folder are beside the film.

    Raises:
        FileNotFoundError: If it is in none of these places, which are named.
    """
    if any(record.path.name.endswith(ending) for ending in endings):
        return record.path
    stem = record.path.stem.removesuffix("_rgb")
    roots = [root] if isinstance(root, Path) else list(root or ())
    folders = [place for folder in roots for place in (folder, folder / record.path.parent.name)]
    folders = folders or [record.path.parent]
    for ending in endings:
        for folder in folders:
            if (folder / f"{stem}{ending}").exists():
                return folder / f"{stem}{ending}"
    names = " or ".join(f"'{stem}{ending}'" for ending in endings)
    searched = ", ".join(f"'{folder}'" for folder in folders)
    raise FileNotFoundError(
        f"The motion of '{record.key}' is not there: no {names} in {searched}. A recording named like its film was "
        "wanted. Set root to the folder that holds the recordings, or leave the clip out."
    )


def found_recordings(
    record: Record, endings: Sequence[str], *, root: Path | Sequence[Path] | None = None
) -> tuple[Path, ...]:
    """What `recording_of` finds, or nothing."""
    try:
        return (recording_of(record, endings, root=root),)
    except FileNotFoundError:
        return ()


def read_text(path: Path) -> str:
    """A text file as a whole.

    Raises:
        FlawError: If it is larger than may be, empty, or no UTF-8.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise FlawError(f"it has {size} bytes; {MAX_BYTES} at most were wanted")
    with path.open("rb") as file:
        # One byte more than announced is too much: the file may be growing, or be no file.
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise FlawError(f"it goes on beyond {MAX_BYTES} bytes, which were the most wanted")
    if not content.strip():
        raise FlawError("it is empty; a recording was wanted")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FlawError(f"byte {error.start} is no text; UTF-8 was wanted") from error


def read_json(path: Path) -> Plain:
    """A JSON document.

    Raises:
        FlawError: If it is none, or too large.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise FlawError(f"line {error.lineno} is no JSON ({error.msg}); a whole document was wanted") from error
    except RecursionError as error:
        raise FlawError("its brackets are nested thousands deep; a plain document was wanted") from error


def numbers(value: Plain, count: int, *, field: str) -> Float[np.ndarray, " number"]:
    """Numbers out of a flat or nested list, in their order; nan and inf stay.

    Raises:
        FlawError: If they are not as many, or no numbers.
    """
    array = _array(value, field)
    if array.size != count:
        raise FlawError(f"{field} has {array.size} numbers; {count} were wanted")
    return array.reshape(-1).astype(np.float64)


def finite(value: Plain, count: int, *, field: str) -> Float[np.ndarray, " number"]:
    """Numbers as above, all finite.

    Raises:
        FlawError: If they are not as many, no numbers, or not finite.
    """
    array = numbers(value, count, field=field)
    if not np.isfinite(array).all():
        raise FlawError(f"{field} holds {array[~np.isfinite(array)][0]}; finite numbers were wanted")
    return array


def _array(value: Plain, field: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise FlawError(f"{field} is a ragged list; numbers were wanted") from error
    if array.size and array.dtype.kind not in "fiu":
        raise FlawError(f"{field} holds {str(value)[:40]!r}; numbers were wanted")
    return array


def mapping(value: Plain, *, field: str) -> dict[str, Plain]:
    """A JSON object.

    Raises:
        FlawError: If it is something else.
    """
    if not isinstance(value, dict):
        raise FlawError(f"{field} is {_kind(value)}; an object was wanted")
    return value


def sequence(value: Plain, *, field: str) -> list[Plain]:
    """A JSON list.

    Raises:
        FlawError: If it is something else.
    """
    if not isinstance(value, list):
        raise FlawError(f"{field} is {_kind(value)}; a list was wanted")
    return value


def _kind(value: Plain) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "missing"}
    return names.get(type(value), "a number")


def frame_numbers(paths: Sequence[Path]) -> list[tuple[int, Path]]:
    """Files named by frame (`12.json`, `00012.json`), in the order of their numbers; others are passed over.

    Raises:
        FlawError: If two files are of one frame.
    """
    numbered = sorted((int(path.stem), path) for path in paths if path.stem.isascii() and path.stem.isdigit())
    for (first, one), (second, other) in zip(numbered, numbered[1:], strict=False):
        if first == second:
            raise FlawError(
                f"frame {first} is there twice, as {one.name} and {other.name}; one file a frame was wanted"
            )
    return numbered


def frames_between(record: Record, num_frames: int, fps: float) -> tuple[int, int]:
    """First and one past the last frame of a record's interval in a recording.

    Raises:
        FlawError: If the recording has ended before the interval begins.
    """
    first = max(round(record.start * fps), 0)
    last = min(max(round(min(record.end, 1e7) * fps), first + 1), num_frames)
    if first >= last:
        raise FlawError(
            f"the clip is from {record.start:g} to {record.end:g} s, and the recording lasts {num_frames / fps:g} s; "
            "an interval inside it was wanted"
        )
    return first, last


def cut(motion: Motion, first: int, last: int) -> Motion:
    """Frames of a motion, from `first` to before `last`."""
    part = Motion.from_pose(motion.pose[first:last], motion.transl[first:last], fps=motion.fps)
    return replace(part, betas=motion.betas, expression=motion.expression[first:last])


def positive(name: str, value: float | None) -> float | None:
    """A positive finite argument, or None.

    Raises:
        ValueError: If it is neither.
    """
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"{name}={value} was given; a positive number was wanted. Correct it.")
    return value


def npy(content: bytes, name: str) -> np.ndarray:
    """An npy array of numbers out of its bytes; never a pickle, never larger than its bytes.

    Raises:
        FlawError: If it holds something else, or another amount than it announces.
    """
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except ValueError as error:
        raise FlawError(f"{name} is no npy array ({error}); one was wanted") from error
    if dtype.kind not in "fiu":
        raise FlawError(f"{name} holds {dtype} and not numbers; numbers were wanted")
    body = content[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(body):
        raise FlawError(f"{name} says that it is {shape} of {dtype} but has {len(body)} bytes; all of it was wanted")
    return np.frombuffer(body, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def npz_member(archive: zipfile.ZipFile, name: str, *, most: int) -> np.ndarray | None:
    """One array of an npz by its name, unpacked only if it is no larger than may be; None if it is not there.

    Raises:
        FlawError: If it is larger than `most` bytes, or no array of numbers.
    """
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError:
        return None
    if entry.file_size > most:
        raise FlawError(f"{name} unpacks to {entry.file_size} bytes; {most} at most were wanted")
    with archive.open(entry) as member:
        # A damaged directory may promise less than there is: one byte more than promised is too much.
        return npy(member.read(entry.file_size + 1), name)
