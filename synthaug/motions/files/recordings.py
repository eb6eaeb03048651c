"""Find, read and check files with recorded motions: JSON, text and npz.

Sizes are bounded and every number is checked, since the files come from elsewhere. Errors name file, field and rule.
"""

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synthaug import files
from synthaug.files import find_in_any_form
from synthaug.motions import UnusableClipError
from synthaug.structures import Motion, Plain, Record

MAX_BYTES = 64 * 2**20
"""Largest text that is read: an hour of two people in JSON. Parsed JSON takes about 20 times its size."""


_MOST_ABOVE = 3
"""Folders above a film that may distinguish it: a part of the data set, its class, and a person."""


class FlawError(ValueError):
    """A flaw in a file, as a clause: "expected X, got Y". `reading` adds the file's name and what to do."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors while a file is parsed into an UnusableClipError that names the file.

    Raises:
        FileNotFoundError: If there is no such file.
        UnusableClipError: If it has a flaw or cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"No such file or folder: '{path}'. Check the path to the recorded motion.")
    try:
        yield
    except FileNotFoundError:
        raise  # it names its own file, and this one has no flaw
    except (FlawError, OSError) as error:
        raise UnusableClipError(
            f"Cannot read a motion from '{path}': {error}. Replace the file, or leave the clip out."
        ) from error


def folders_of(root: str | Sequence[str] | None) -> tuple[Path, ...]:
    """The folders that a source's `root` names; an empty tuple stands for the film's own folder."""
    if root is None:
        return ()
    return tuple(Path(folder).expanduser() for folder in ([root] if isinstance(root, str) else root))


def recording_of(record: Record, endings: Sequence[str], *, root: Path | Sequence[Path] | None = None) -> Path:
    """The file that holds a record's motion: the record's own, or one named like its film.

    A name is the film's without its suffix and without NTU's `_rgb`, followed by one of the endings.

    Args:
        record: Its path is such a file, or a film.
        endings: What the names of such files end in, the preferred one first.
        root: Folder that holds them, flat or in sub-folders named like the films' own (`places_below`). With several
            folders the first that has the file wins. None, or no folder, looks beside the film.

    Raises:
        FileNotFoundError: If it is in none of these places, which are named.
    """
    if any(record.path.name.endswith(ending) for ending in endings):
        return record.path
    stem = record.path.stem.removesuffix("_rgb")
    roots = [root] if isinstance(root, Path) else list(root or ())
    folders = [place for folder in roots for place in places_below(folder, record.path)]
    folders = folders or [record.path.parent]
    for ending in endings:
        for folder in folders:
            found = find_in_any_form(folder / f"{stem}{ending}")
            if found.exists():
                return found
    names = " or ".join(f"'{stem}{ending}'" for ending in endings)
    searched = ", ".join(f"'{folder}'" for folder in reversed(folders))
    raise FileNotFoundError(
        f"Expected the motion of '{record.key}' in a file named like its film, found no {names} in {searched}. "
        "Set root to the folder that holds the recordings, or leave the clip out."
    )


def places_below(root: Path, film: Path) -> list[Path]:
    """Folders in which a film's recording may lie: below root as the film lies below its data set, or in root itself.

    The deepest comes first, since films of several classes may have one name: `wave/ann/1.mp4` and `bow/ann/1.mp4`.
    """
    above = film.parent.parts[-_MOST_ABOVE:]
    return [root.joinpath(*above[number:]) for number in range(len(above) + 1) if "/" not in above[number:]]


def find_recordings(
    record: Record, endings: Sequence[str], *, root: Path | Sequence[Path] | None = None
) -> tuple[Path, ...]:
    """The file that `recording_of` finds, or no file."""
    try:
        return (recording_of(record, endings, root=root),)
    except FileNotFoundError:
        return ()


def read_text(path: Path) -> str:
    """A text file as a whole.

    Raises:
        FlawError: If it is too large, empty, or not UTF-8.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise FlawError(f"expected at most {MAX_BYTES} bytes, got {size}")
    with path.open("rb") as file:
        # One byte beyond the limit is too much: the file may be growing, or be a device.
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise FlawError(f"expected at most {MAX_BYTES} bytes, got more")
    if not content.strip():
        raise FlawError("expected a recording, got an empty file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FlawError(f"expected UTF-8 text, got another byte at position {error.start}") from error


def read_json(path: Path) -> Plain:
    """A JSON document.

    Raises:
        FlawError: If it is not JSON, or too large.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise FlawError(f"expected a complete JSON document, line {error.lineno} is not JSON ({error.msg})") from error
    except RecursionError as error:
        raise FlawError("expected a plain JSON document, got brackets nested thousands deep") from error


def parse_numbers(value: Plain, count: int, *, field: str) -> Float[np.ndarray, " number"]:
    """The numbers of a flat or nested list, in order; nan and inf are kept.

    Raises:
        FlawError: If their count differs, or a value is not a number.
    """
    array = _parse_array(value, field)
    if array.size != count:
        raise FlawError(f"expected {count} numbers in {field}, got {array.size}")
    return array.reshape(-1).astype(np.float64)


def parse_finite(value: Plain, count: int, *, field: str) -> Float[np.ndarray, " number"]:
    """The numbers of a flat or nested list, in order, all finite.

    Raises:
        FlawError: If their count differs, or a value is not a finite number.
    """
    array = parse_numbers(value, count, field=field)
    if not np.isfinite(array).all():
        raise FlawError(f"expected finite numbers in {field}, got {array[~np.isfinite(array)][0]}")
    return array


def _parse_array(value: Plain, field: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise FlawError(f"expected numbers in {field}, got a ragged list") from error
    if array.size and array.dtype.kind not in "fiu":
        raise FlawError(f"expected numbers in {field}, got {str(value)[:40]!r}")
    return array


def parse_object(value: Plain, *, field: str) -> dict[str, Plain]:
    """A JSON object.

    Raises:
        FlawError: If it is something else.
    """
    if not isinstance(value, dict):
        raise FlawError(f"expected {field} to be an object, got {_describe(value)}")
    return value


def parse_list(value: Plain, *, field: str) -> list[Plain]:
    """A JSON list.

    Raises:
        FlawError: If it is something else.
    """
    if not isinstance(value, list):
        raise FlawError(f"expected {field} to be a list, got {_describe(value)}")
    return value


def _describe(value: Plain) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "nothing"}
    return names.get(type(value), "a number")


_FRAME_NAME = re.compile(r"(?P<before>|.*\D)(?P<number>[0-9]{1,15})(?:_keypoints)?", re.DOTALL)
"""Names of frames: `12`, `frame_00012`, and OpenPose's `film_000000000012_keypoints`."""


def sort_by_frame(paths: Sequence[Path]) -> list[tuple[int, Path]]:
    """Files named by frame (`12.json`, `frame_00012.json`, OpenPose's `film_000000000012_keypoints.json`), in order.

    Where some names are numbers alone, these are the frames. Files without a number are ignored.

    Raises:
        FlawError: If two files belong to one frame, or the files are of several series.
    """
    series: dict[str, list[tuple[int, Path]]] = {}
    for path in paths:
        match = _FRAME_NAME.fullmatch(path.stem)
        if match:
            series.setdefault(match["before"], []).append((int(match["number"]), path))
    if "" not in series and len(series) > 1:
        names = [series[before][0][1].name for before in sorted(series)[:2]]
        raise FlawError(f"expected frames of one film in a folder, got {' and '.join(names)}")
    numbered = sorted(series.get("", []) if "" in series else next(iter(series.values()), []))
    for (first, path), (second, other) in pairwise(numbered):
        if first == second:
            raise FlawError(f"expected one file for each frame, got {path.name} and {other.name} for frame {first}")
    return numbered


def first_number(numbers: Sequence[int]) -> int:
    """The number that a film's first frame has: 1 where the numbers begin with 1, else 0."""
    return 1 if min(numbers) == 1 else 0


def find_stride(numbers: Sequence[int]) -> int:
    """How many of a film's frames lie between two of these sorted frames, where every n-th has a file; else 1."""
    steps = np.diff(np.array(numbers))
    if not len(steps):
        return 1
    stride = int(np.gcd.reduce(steps))
    return stride if stride == steps.min() else 1


def frames_between(record: Record, num_frames: int, fps: float, *, begin: float = 0.0) -> tuple[int, int]:
    """First and one past the last frame of a record's interval in a recording.

    Args:
        record: Its start and end are seconds of its film.
        num_frames: Frames of the recording.
        fps: Its rate.
        begin: Seconds of the film at which the recording begins.

    Raises:
        FlawError: If the interval ends before the recording begins, or begins after its end.
    """
    first = max(round((record.start - begin) * fps), 0)
    last = min(max(round((min(record.end, 1e7) - begin) * fps), first + 1), num_frames)
    if first >= last or record.end <= begin:
        span = f"lasts {num_frames / fps:g} s" if begin == 0 else f"is of {begin:g} to {begin + num_frames / fps:g} s"
        raise FlawError(
            f"expected the clip to lie inside the recording, got {record.start:g} to {record.end:g} s of a recording "
            f"that {span}"
        )
    return first, last


def cut_motion(motion: Motion, first: int, last: int) -> Motion:
    """Frames `first` to `last` - 1 of a motion."""
    part = Motion.from_pose(motion.pose[first:last], motion.transl[first:last], fps=motion.fps)
    return replace(part, betas=motion.betas, expression=motion.expression[first:last])


def check_positive(name: str, value: float | None) -> float | None:
    """Return an argument that is a positive finite number or None.

    Raises:
        ValueError: If it is neither.
    """
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"Expected {name} to be a positive number, got {value}. Correct synth.motion.{name}.")
    return value


def parse_npy(content: bytes, name: str) -> np.ndarray:
    """The numeric array in the bytes of an npy file; see `files.parse_npy`.

    Raises:
        FlawError: If it is not such an array, or its size differs from its header.
    """
    try:
        return files.parse_npy(content, kinds="fiu")
    except ValueError as error:
        raise FlawError(f"in {name} {error}") from error


def read_npz_member(archive: zipfile.ZipFile, name: str, *, most: int) -> np.ndarray | None:
    """One array of an npz by its name, unpacked only if it is small enough; None if the file lacks it.

    Raises:
        FlawError: If it is larger than `most` bytes, or not a numeric array.
    """
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError:
        return None
    if entry.file_size > most:
        raise FlawError(f"expected {name} to unpack to at most {most} bytes, got {entry.file_size}")
    with archive.open(entry) as member:
        # A damaged directory may understate the size: one byte beyond it is too much.
        return parse_npy(member.read(entry.file_size + 1), name)
