"""Foreign checkpoints read as data: nothing in them is run, and nothing is unpacked beyond what the file holds.

Below the importers.
"""

import pickle
import pickletools
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from synthaug.avatars.pack.about import strict_json
from synthaug.files import digest_of
from synthaug.structures import Plain

MAX_PICKLE_BYTES = 16 * 2**20
"""Of the index in a checkpoint; ExAvatar's has some thousand tensors of a hundred bytes each."""
MAX_MEMBERS = 100_000
MAX_JSON_BYTES = 16 * 2**20
_HARMLESS = {
    "collections OrderedDict", "collections defaultdict", "torch._utils _rebuild_tensor_v2", "torch Size",
    "torch._utils _rebuild_parameter", "torch device", "torch.storage UntypedStorage", "__builtin__ dict",
    "builtins dict",
}  # fmt: skip
_STORAGES = {f"torch {kind}Storage" for kind in (
    "Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool",
)}  # fmt: skip


class CheckpointError(ValueError):
    """A file is not the checkpoint that was wanted, or not a safe one."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The `network` of a checkpoint, mapped from the file: pages are read when they are used.

    The archive's directory is examined first (stored members that fit the file, no bomb), then the index is scanned
    without being run, then torch reads it with `weights_only=True`.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it is no checkpoint of `torch.save`, unsafe, damaged, or holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no '{path}'. A checkpoint (snapshot_4.pth) was wanted. Check the path.")
    try:
        _examine(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, ValueError, OSError, EOFError, KeyError,
            IndexError, TypeError, AttributeError, MemoryError, OverflowError, AssertionError) as error:  # fmt: skip
        raise _bad(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    network = content.get("network") if isinstance(content, dict) else None
    if not isinstance(network, dict):
        raise _bad(path, "it has no 'network'")
    for name, value in network.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise _bad(path, f"the entry {str(name)[:60]!r} of its network is no tensor")
    return dict(network)


def content_digest(path: Path) -> str:
    """Names a zip file's content by the checksums in its directory, without reading gigabytes; others by all bytes.

    Raises:
        OSError: If the file cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return digest_of(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        return digest_of(repr([(entry.filename, entry.file_size, entry.CRC) for entry in archive.infolist()]))


def read_json(path: Path) -> Plain:
    """A JSON file of reasonable size.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is too large, or no JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no '{path}'. A JSON file was wanted. Check the subject's folder.")
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise ValueError(
            f"'{path}' has {size} bytes; at most {MAX_JSON_BYTES} were wanted. It is not one of ExAvatar's files."
        )
    try:
        return strict_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"'{path}' is no JSON that could be read: {error}. The file that ExAvatar's fitting wrote was wanted. "
            "Bring it again."
        ) from error


def _examine(path: Path) -> None:
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
        _scan(archive.read(indexes[0]))


def _scan(index: bytes) -> None:
    """Refuse an index that names anything but tensors and their containers. Nothing is run."""
    for opcode, argument, _ in pickletools.genops(index):
        if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ", "NEWOBJ_EX"):
            raise ValueError(f"its index uses {opcode.name}, which no checkpoint of tensors needs")
        if opcode.name == "GLOBAL" and argument not in _HARMLESS | _STORAGES:
            raise ValueError(f"its index asks for {str(argument)[:80].replace(' ', '.')!r}, which is refused: "
                             "it may be an attack")  # fmt: skip


def _bad(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"'{path}' cannot be read as a checkpoint: {reason}. A file of tensors that torch.save wrote was wanted. "
        "Nothing in it was run. If you trust where it comes from, save it there again with a current torch."
    )
