"""Write files atomically, read arrays safely, name content by its digest, and keep reference motions on disk."""

import errno
import hashlib
import io
import json
import lzma
import math
import os
import re
import tempfile
import tokenize
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from synthaug.structures import Camera, Motion, Reference

_Item = TypeVar("_Item")

_MOTION_FIELDS = (
    "global_orient",
    "transl",
    "body_pose",
    "left_hand_pose",
    "right_hand_pose",
    "jaw_pose",
    "leye_pose",
    "reye_pose",
    "expression",
    "betas",
)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
UNREADABLE_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, OSError)
"""What reading a damaged zip raises: RuntimeError for an encrypted one, OSError for an impossible position."""
MAX_REFERENCE_BYTES = 256 * 2**20
"""An hour of motion at 30 fps takes about 80 MB; a larger file is not a reference motion."""


def user_cache() -> Path:
    """The folder of caches: $SYNTHAUG_CACHE, else $XDG_CACHE_HOME/synthaug, else ~/.cache/synthaug."""
    chosen = os.environ.get("SYNTHAUG_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "synthaug"


def normalize_name(name: str) -> str:
    """A name in the form in which keyboards type it (Unicode's NFC): macOS stores é as e and an accent.

    Both forms look alike and are different strings, so names of classes, people and cameras are compared in this one.
    """
    return unicodedata.normalize("NFC", name)


def find_in_any_form(path: Path) -> Path:
    """The path as the disk has it, if its names are there in another form of Unicode; else the path as it is."""
    if path.exists() or path.parent == path or str(path).isascii():  # ASCII has one form
        return path
    folder = find_in_any_form(path.parent)
    wanted = normalize_name(path.name)
    if (folder / path.name).exists() or not folder.is_dir():
        return folder / path.name
    names = sorted(name for name in os.listdir(folder) if normalize_name(name) == wanted)
    return folder / names[0] if names else path


def walk_files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, through links to folders too, but not back to one that a link lies in.

    Folders that cannot be opened, and links that lead nowhere, hold none.
    """
    yield from _walk(folder, frozenset())


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    try:
        state = folder.stat()
        place = (state.st_dev, state.st_ino)
        entries = [] if place in above else sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry, above | {place})
        elif entry.is_file():
            yield entry


_STATE = re.compile(r"\d{1,20}:-?\d{1,20}")


class StorageError(OSError, ValueError):
    """A disk is full, or a folder cannot be written."""


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission into a StorageError that names what should have been written.

    Raises:
        StorageError: In their place.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise StorageError(
            f"Expected to write '{path}', got: {os.strerror(error.errno)}. Free some space or get permission there; or "
            "choose another folder, by SYNTHAUG_CACHE for what is kept between runs."
        ) from error


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that other processes see it whole or not at all, even if several write it at once.

    Raises:
        StorageError: If there is no room or no permission; nothing is left behind.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(aside, 0o644)
            os.replace(aside, path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise


def first_state(file: Path, folder: Path) -> str:
    """Size and time of change of the first file with this name and content that was asked about.

    What is kept under it is found again for copies, whose times of change are others: a cluster's jobs copy their data
    to disks of their own. A file is read only if its size or time of change were not met before.

    A folder, which holds a film's numbered pictures, is known by its files: its own time of change tells only that one
    came or went, which those of an object store do whenever they are read.

    Args:
        file: A file or folder that exists.
        folder: Remembers, in a small text for each state and each content. If it cannot be written, states are own.
    """
    own = state_of_files(list_visible(file)) if file.is_dir() else "{0.st_size}:{0.st_mtime_ns}".format(file.stat())
    met = folder / digest_of("state", file.name, own)
    if (known := _read_state(met)) is not None:
        return known
    content = _digest_content(file)
    if content is None:
        return own  # of an object store, which has its time of change and is not here yet
    same = folder / digest_of("content", file.name, content)
    first = _read_state(same)
    try:
        if first is None:
            write_atomic(same, own.encode())
        write_atomic(met, (first or own).encode())
    except OSError:
        return own
    return first or own


def list_visible(folder: Path) -> list[Path]:
    """The files in a folder, sorted; hidden ones, such as those that are being written, are left out."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())


def state_of_files(files: Iterable[Path]) -> str:
    """All bytes of some files, and a number made of their names, sizes and times of change; written like a state."""
    states = [(file.name, file.stat()) for file in files]
    text = repr([(name, state.st_size, state.st_mtime_ns) for name, state in states])
    number = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=7).digest(), "big")
    return f"{sum(state.st_size for _, state in states)}:{number}"


def _digest_content(path: Path) -> str | None:
    """Digest of the content of a file, or of the files of a folder and their names; None if not all of it is here."""
    digests = []
    for file in list_visible(path) if path.is_dir() else [path]:
        with file.open("rb") as content:
            state = os.fstat(content.fileno())
            if not state.st_blocks and (state.st_size or not path.is_dir()):
                return None
            digests.append(hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest())
        if path.is_dir():
            digests.append(file.name)
    return digest_of(*digests) if path.is_dir() else digests[0]


def _read_state(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if _STATE.fullmatch(text) else None


def shuffle_per_process(items: Sequence[_Item]) -> list[_Item]:
    """Return the items in random order, different in each process and run; no result may depend on it.

    It divides work whose results are kept on disk. Processes that start it at the same time, such as the jobs of a
    sweep, then do different parts of it, if each checks what exists before it starts on an item. This needs no lock,
    which a killed process would leave behind.
    """
    return [items[place] for place in np.random.default_rng().permutation(len(items))]


def digest_of(*parts: str | bytes | Tensor) -> str:
    """The digest of texts, bytes and tensors, each with its type and length: 32 hexadecimal digits of blake2b."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Tensor):
            array = part.detach().cpu().contiguous().numpy()
            header, body = f"{array.dtype.str}{array.shape}", array.tobytes()
        else:
            header, body = type(part).__name__, part.encode() if isinstance(part, str) else part
        state.update(f"{header}:{len(body)};".encode())
        state.update(body)
    return state.hexdigest()


def parse_npy(content: bytes, *, kinds: str = "fiub") -> np.ndarray:
    """The array in the bytes of an npy file; never a pickle, never larger than its bytes.

    Args:
        content: The whole file.
        kinds: numpy's letters for the types that are allowed.

    Raises:
        ValueError: If it is not such an array, or its size differs from its header; a clause, without the file's name.
    """
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError) as error:  # the header is a Python literal
        raise ValueError(f"expected an npy array ({error})") from error
    if dtype.kind not in kinds or not dtype.itemsize or any(side < 0 for side in shape):
        raise ValueError(f"expected numbers, got {shape} of {dtype}")
    body = content[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(body):
        raise ValueError(f"expected {shape} of {dtype} as its header says, got {len(body)} bytes")
    return np.frombuffer(bytearray(body), dtype=dtype).reshape(shape, order="F" if fortran else "C")


def read_npz(path: Path, *, most: int) -> dict[str, np.ndarray]:
    """All arrays of an npz of numbers and words, by name.

    Args:
        path: The file.
        most: Bytes that its arrays may take together.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no npz, damaged, or larger; a clause, without the file's name.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if size > most:
                raise ValueError(f"expected arrays that unpack to at most {most} bytes, got {size}")
            for entry in entries:
                with archive.open(entry) as member:
                    # A damaged directory may understate the size: one byte beyond it is too much.
                    content = member.read(entry.file_size + 1)
                arrays[entry.filename.removesuffix(".npy")] = parse_npy(content, kinds="fiubU")
    except FileNotFoundError:
        raise
    except UNREADABLE_ZIP as error:
        raise ValueError(f"expected an npz, a zip of arrays ({error})") from error
    return arrays


def motion_digest(motion: Motion) -> str:
    """The digest of a motion's content."""
    return digest_of(*(getattr(motion, name) for name in _MOTION_FIELDS), repr(motion.fps))


def write_reference(path: Path, reference: Reference) -> None:
    """Write a reference motion, and the clip's other performances, as an npz file without pickles, atomically."""
    arrays = {name: value for take, one in enumerate([reference, *reference.others])
              for name, value in _arrays_of(one, _take(take)).items()}  # fmt: skip
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue())


def _take(number: int) -> str:
    """The prefix of the names of a performance's arrays: empty for the clip's first one."""
    return f"other{number}_" if number else ""


def _arrays_of(reference: Reference, take: str) -> dict[str, np.ndarray]:
    """The arrays of one performance."""
    arrays: dict[str, np.ndarray] = {
        f"{take}{_prefix(person)}{name}": getattr(motion, name).numpy()
        for person, motion in enumerate(reference.people)
        for name in _MOTION_FIELDS
    }
    camera = reference.camera
    about = {
        "fps": reference.motion.fps, "width": camera.width, "height": camera.height,
        "quality": reference.quality, "notes": reference.notes, "companions": len(reference.companions),
    }  # fmt: skip
    if reference.others:
        about["others"] = len(reference.others)
    return arrays | {
        f"{take}viewmats": camera.viewmats.numpy(),
        f"{take}Ks": camera.Ks.numpy(),
        f"{take}about": np.array(json.dumps(about)),
    }


def _read_take(file: Mapping[str, np.ndarray], number: int) -> Reference:
    """One performance, without the others."""
    take = _take(number)
    about = json.loads(str(file[f"{take}about"]))
    # Older files have no companions and no count of them.
    motion, *companions = [
        _read_motion(file, about, f"{take}{_prefix(person)}") for person in range(1 + int(about.get("companions", 0)))
    ]
    viewmats, Ks = (torch.from_numpy(file[f"{take}{name}"]) for name in ("viewmats", "Ks"))
    camera = Camera(viewmats, Ks, int(about["width"]), int(about["height"]))
    return Reference(motion, camera, about["quality"], about["notes"], tuple(companions))


def read_reference(path: Path) -> Reference:
    """Read a reference motion that `write_reference` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is something else, damaged, or larger than `MAX_REFERENCE_BYTES`.
    """
    try:
        file = read_npz(path, most=MAX_REFERENCE_BYTES)
        others = int(json.loads(str(file["about"])).get("others", 0))
        first, *rest = [_read_take(file, number) for number in range(1 + others)]
        return replace(first, others=tuple(rest))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"Expected '{path}' to be a reference motion that synthaug wrote, got another file ({error}). Delete it, "
            "and the motion is extracted again."
        ) from error


def _prefix(person: int) -> str:
    """The prefix of the names of a person's arrays: empty for the acting person."""
    return f"companion{person}_" if person else ""


def _read_motion(file: Mapping[str, np.ndarray], about: Mapping[str, float], prefix: str) -> Motion:
    arrays = {name: torch.from_numpy(file[f"{prefix}{name}"]) for name in _MOTION_FIELDS}
    return Motion(fps=float(about["fps"]), **arrays)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines of text atomically."""
    write_atomic(path, "".join(f"{line}\n" for line in lines).encode())


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, whose folder is made if need be, by one write.

    Several processes of one machine may so share the file. A line that a killed writer left unfinished is ended first.

    Raises:
        StorageError: If it cannot be written.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            file.seek(0, os.SEEK_END)
            torn = file.tell() and _read_last(file) != b"\n"
            file.write(f"{chr(10) if torn else ''}{line}\n".encode())


def _read_last(file: io.FileIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)
