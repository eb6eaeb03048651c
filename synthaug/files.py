"""Write files atomically, name content by its digest, compare names, and keep reference motions on disk."""

import hashlib
import io
import json
import os
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterable, Mapping, Sequence
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


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that other processes see it whole or not at all, even if several write it at once."""
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
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_REFERENCE_BYTES:
            raise ValueError(f"it unpacks to {size} bytes, more than {MAX_REFERENCE_BYTES}")
        with np.load(path, allow_pickle=False) as file:
            others = int(json.loads(str(file["about"])).get("others", 0))
            first, *rest = [_read_take(file, number) for number in range(1 + others)]
        return replace(first, others=tuple(rest))
    except (ValueError, KeyError, TypeError, OverflowError, zipfile.BadZipFile, EOFError) as error:
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
