"""Read foreign checkpoints as data: no code in them is run, and nothing larger than the file is unpacked."""

import pickle
import pickletools
import struct
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from synthaug.files import digest_of

MAX_PICKLE_BYTES = 16 * 2**20
"""Limit of a checkpoint's index; ExAvatar's has some thousand tensors of a hundred bytes each."""
MAX_MEMBERS = 100_000
_HARMLESS = {
    "collections OrderedDict", "collections defaultdict", "torch._utils _rebuild_tensor_v2", "torch Size",
    "torch._utils _rebuild_parameter", "torch device", "torch.storage UntypedStorage", "__builtin__ dict",
    "builtins dict",
}  # fmt: skip
_STORAGES = {f"torch {kind}Storage" for kind in (
    "Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool",
)}  # fmt: skip


class CheckpointError(ValueError):
    """A file is not the expected checkpoint, or is not safe to read."""


UNREADABLE = (
    zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, ValueError, OSError, EOFError, LookupError, TypeError,
    AttributeError, MemoryError, OverflowError, AssertionError, struct.error,
)  # fmt: skip
"""What torch raises where the index of a file was damaged."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The `network` of a checkpoint, memory-mapped: pages are read when they are used.

    First the archive's directory is checked (uncompressed members that fit the file, hence no zip bomb), then the
    index is scanned without being run, then torch reads it with `weights_only=True`.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If `torch.save` did not write it, or if it is unsafe, damaged, or holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No such file: '{path}'. Give the path of a checkpoint, such as snapshot_4.pth.")
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UNREADABLE as error:
        raise _unreadable(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    network = content.get("network") if isinstance(content, dict) else None
    if not isinstance(network, dict):
        raise _unreadable(path, "it has no 'network'")
    for name, value in network.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise _unreadable(path, f"the entry {str(name)[:60]!r} of its network is not a tensor")
    return dict(network)


def content_digest(path: Path) -> str:
    """A digest of a file's content: of the checksums in a zip's directory (fast for gigabytes), else of all bytes.

    Raises:
        OSError: If the file cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return digest_of(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        return digest_of(repr([(entry.filename, entry.file_size, entry.CRC) for entry in archive.infolist()]))


def _check_archive(path: Path) -> None:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_MEMBERS:
            raise ValueError(f"its archive has {len(entries)} members, more than {MAX_MEMBERS}")
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise ValueError("its archive is compressed or encrypted, which torch.save never does: it may be a bomb")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its members overlap or claim more bytes than the file has: it is a bomb or cut short")
        indexes = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(indexes) != 1 or indexes[0].file_size > MAX_PICKLE_BYTES:
            raise ValueError("it has no index, or one of unreasonable size")
        _scan_index(archive.read(indexes[0]))


def _scan_index(index: bytes) -> None:
    """Refuse an index that names anything but tensors and their containers, without running it."""
    for opcode, argument, _ in pickletools.genops(index):
        if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ", "NEWOBJ_EX"):
            raise ValueError(f"its index uses {opcode.name}, which no checkpoint of tensors needs")
        if opcode.name == "GLOBAL" and argument not in _HARMLESS | _STORAGES:
            name = str(argument)[:80].replace(" ", ".")
            raise ValueError(f"its index calls {name!r}, which is refused because it may be an attack")


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"'{path}' cannot be read as a checkpoint: {reason}. Expected tensors written by torch.save. No code in it was "
        "run. If you trust its source, save it there again with a current torch."
    )
