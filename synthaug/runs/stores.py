"""Where finished files go: a folder, or an object store that fsspec knows, such as s3://bucket/clips."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MARK = "://"
"""What tells an address from a folder."""


class StoreError(OSError, ValueError):
    """A store cannot be read or written; the message says why."""


class Store(ABC):
    """Files by name, each of which is there whole or not at all. Subclasses are frozen dataclasses of plain values."""

    @abstractmethod
    def list_sizes(self) -> dict[str, int]:
        """Bytes of every file, by its path below the store."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is a file of this path."""

    @abstractmethod
    def put(self, name: str, make: Callable[[Path], object]) -> None:
        """Keep what `make` writes to the path that it is given, under this name.

        Raises:
            OSError: If it cannot be kept.
        """


@final
@dataclass(frozen=True)
class Folder(Store):
    """A folder of this machine, or of a file system that machines share.

    Attributes:
        path: The folder, made when first written to.
    """

    path: Path

    def list_sizes(self) -> dict[str, int]:
        """Bytes of every file, by its path below the folder."""
        files = (file for file in self.path.rglob("*") if file.is_file())
        return {file.relative_to(self.path).as_posix(): file.stat().st_size for file in files}

    def has(self, name: str) -> bool:
        """Whether there is a file of this path."""
        return (self.path / name).exists()

    def put(self, name: str, make: Callable[[Path], object]) -> None:
        """Let `make` write to its place; it must not leave half a file."""
        make(self.path / name)


@final
@dataclass(frozen=True)
class Bucket(Store):
    """An object store: whatever fsspec has a package for (s3fs, gcsfs, adlfs ...), with that package's credentials.

    Attributes:
        url: Address of the folder, such as s3://bucket/clips.
    """

    url: str

    def list_sizes(self) -> dict[str, int]:
        """Bytes of every object, by its path below the address."""
        with self._reach() as (files, root):
            files.invalidate_cache()
            found = files.find(root, detail=True)
        return {name.removeprefix(f"{root}/"): int(about["size"]) for name, about in found.items()}

    def has(self, name: str) -> bool:
        """Whether there is an object of this path."""
        with self._reach() as (files, root):
            files.invalidate_cache()
            return bool(files.exists(f"{root}/{name}"))

    def put(self, name: str, make: Callable[[Path], object]) -> None:
        """Let `make` write a file of this machine, and send it: objects appear whole."""
        with tempfile.TemporaryDirectory(prefix="synthaug-") as folder:
            file = Path(folder) / Path(name).name
            make(file)
            self.send(file, name)

    def send(self, file: Path, name: str) -> None:
        """Send a file of this machine.

        Raises:
            StoreError: If the store does not take it.
        """
        with self._reach() as (files, root):
            # No folders are made before: object stores have none, and s3fs would make a bucket out of a mistyped name.
            files.put_file(str(file), f"{root}/{name}")

    @contextmanager
    def _reach(self) -> "Iterator[tuple[AbstractFileSystem, str]]":
        from fsspec.core import url_to_fs

        try:
            files, root = url_to_fs(self.url)
            yield files, root.rstrip("/")
        except Exception as error:  # every package behind fsspec has errors of its own
            raise StoreError(
                f"Expected to read and write {self.url}, got {type(error).__name__}: {str(error) or 'no reason'}. "
                "Check the address, the package that fsspec needs for it (pip install s3fs for s3://), and your "
                "credentials."
            ) from error


def open_store(place: str) -> Store:
    """The store at an address or in a folder."""
    return Bucket(place.rstrip("/")) if MARK in place else Folder(Path(place).expanduser().absolute())


def send_folder(folder: Path, bucket: Bucket, *, last: str) -> int:
    """Send all files of a folder that the bucket lacks, or has in another size; returns how many.

    Args:
        folder: The folder.
        bucket: Where they go.
        last: Path of the file that makes the others whole, such as a manifest: sent once all others are there.
    """
    there, sent = bucket.list_sizes(), 0
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    for name in [*(name for name in files if name != last), last]:
        if there.get(name) != files[name].stat().st_size or name == last:
            bucket.send(files[name], name)
            sent += 1
    return sent
