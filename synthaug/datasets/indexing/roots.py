"""The folder of a data set: one of this machine, or the mirror of one in an object store."""

from pathlib import Path, PurePosixPath

from synthaug.datasets import DatasetNotFoundError
from synthaug.remote import RemoteError, open_root
from synthaug.video import PICTURES, SUFFIXES


def find_root(root: Path | str) -> Path:
    """The absolute path of `dataset.root`, which may be an address such as s3://bucket/films.

    Of an object store, tables, skeletons and all else but film and pictures is fetched at once; films are when they are
    read.

    Raises:
        DatasetNotFoundError: If a store cannot be read, or has nothing there.
    """
    try:
        return open_root(root, lazy=lambda name: PurePosixPath(name).suffix.lower() in (*SUFFIXES, *PICTURES))
    except RemoteError as error:
        raise DatasetNotFoundError(str(error)) from error
