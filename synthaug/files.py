"""Files that are whole or absent: atomic writes, and references on disk.

Below every station that keeps something; knows the nouns alone.
"""

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from synthaug.structures import Camera, Motion, Reference

_Item = TypeVar("_Item")

_MOTION = ("global_orient", "transl", "body_pose", "left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose",
           "reye_pose", "expression", "betas")  # fmt: skip
MAX_REFERENCE_BYTES = 256 * 2**20
"""An hour of motion at 30 frames per second takes some 80 MB; more is no reference."""


def user_cache() -> Path:
    """Where things are kept between runs: $SYNTHAUG_CACHE, else $XDG_CACHE_HOME/synthaug, else ~/.cache/synthaug."""
    chosen = os.environ.get("SYNTHAUG_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "synthaug"


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file that others see whole or not at all, whoever else writes it at the same time."""
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


def in_own_order(items: Sequence[_Item]) -> list[_Item]:
    """The items in an order of this process's own, which differs from run to run and must decide nothing.

    For work whose results are kept on disk: processes that begin it side by side, as jobs of a sweep do, then do
    different parts of it, if each looks again for what is there before it starts on an item. No lock is needed, and
    none is left behind by a process that is killed.
    """
    return [items[place] for place in np.random.default_rng().permutation(len(items))]


def digest_of(*parts: str | bytes | Tensor) -> str:
    """32 hexadecimal digits of blake2b over texts, bytes and tensors, each with its kind and length."""
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
    """Names the content of a motion."""
    return digest_of(*(getattr(motion, name) for name in _MOTION), repr(motion.fps))


def write_reference(path: Path, reference: Reference) -> None:
    """Keep a reference as an npz file without pickles, atomically."""
    arrays: dict[str, np.ndarray] = {
        f"{_prefix(person)}{name}": getattr(motion, name).numpy()
        for person, motion in enumerate(reference.people)
        for name in _MOTION
    }
    camera = reference.camera
    about = {
        "fps": reference.motion.fps, "width": camera.width, "height": camera.height,
        "quality": reference.quality, "notes": reference.notes, "companions": len(reference.companions),
    }  # fmt: skip
    arrays |= {"viewmats": camera.viewmats.numpy(), "Ks": camera.Ks.numpy(), "about": np.array(json.dumps(about))}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue())


def read_reference(path: Path) -> Reference:
    """Read what `write_reference` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else, damaged, or unreasonably large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_REFERENCE_BYTES:
            raise ValueError(f"it unpacks to {size} bytes, more than {MAX_REFERENCE_BYTES}")
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            # Files from before there were companions do not count them.
            motion, *companions = [
                _motion(file, about, person) for person in range(1 + int(about.get("companions", 0)))
            ]
            viewmats, Ks = (torch.from_numpy(file[name]) for name in ("viewmats", "Ks"))
        camera = Camera(viewmats, Ks, int(about["width"]), int(about["height"]))
        return Reference(motion, camera, about["quality"], about["notes"], tuple(companions))
    except (ValueError, KeyError, TypeError, OverflowError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(
            f"'{path}' is no reference motion ({error}). An npz that synthaug wrote was wanted. Delete it, and it is "
            "extracted again."
        ) from error


def _prefix(person: int) -> str:
    """What the names of a person's arrays begin with: nothing for the acting one."""
    return f"companion{person}_" if person else ""


def _motion(file: Mapping[str, np.ndarray], about: Mapping[str, float], person: int) -> Motion:
    arrays = {name: torch.from_numpy(file[f"{_prefix(person)}{name}"]) for name in _MOTION}
    return Motion(fps=float(about["fps"]), **arrays)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines of text atomically."""
    write_atomic(path, "".join(f"{line}\n" for line in lines).encode())
