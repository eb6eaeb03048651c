"""Files that hold one thing for each frame of a film, in the order of their numbers, or else of their names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthaug.creation import CreationError, Cutouts
from synthaug.video import find_series, probe
from synthaug.video.series import parse_number


def list_by_frame(folder: Path, cutouts: Cutouts, suffixes: Sequence[str], what: str) -> list[Path]:
    """The files of a folder, one for each frame of the cutouts' film.

    Args:
        folder: The folder.
        cutouts: Of one film.
        suffixes: Endings of the files, in lower case.
        what: What a file is, for errors: "mask".

    Raises:
        CreationError: If there are several films, other files than the film has frames, or gaps in their numbers.
    """
    if len(cutouts.films) > 1:
        raise CreationError(
            f"Expected one film with a folder of {what}s, got {len(cutouts.films)}. Make the avatar from one film, "
            f"or leave the {what}s out."
        )
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [path for path in found if path.suffix.lower() in suffixes and path.name[0] != "."]
    frames = probe(cutouts.films[0]).num_frames
    if len(files) != frames:
        raise CreationError(
            f"Expected one {what} for each of the {frames} frames of '{cutouts.films[0].name}' in '{folder}', "
            f"got {len(files)}. Export all frames of this very film, or leave the {what}s out."
        )
    return _put_in_order(files, cutouts.films[0], what)


def _put_in_order(files: list[Path], film: Path, what: str) -> list[Path]:
    """Sort by number, since 10.png comes before 2.png by name. Where the film has no gap, a gap is a missing file.

    Raises:
        CreationError: If there is such a gap, or two files have one number.
    """
    parsed = [parse_number(file) for file in files]
    if len({one[0] for one in parsed if one is not None}) != 1 or None in parsed:
        return files
    ranked = sorted((one[1], file) for one, file in zip(parsed, files, strict=True) if one is not None)
    steps = np.diff([number for number, _ in ranked])
    like_film = film.is_dir() and np.array_equal(steps, np.diff(find_series(film).numbers))
    if len(steps) and not like_film and (steps.min() < 1 or steps.min() != steps.max()):
        worst = int(steps.argmin() if steps.min() < 1 else (steps != steps.min()).argmax())
        raise CreationError(
            f"Expected {what}s whose numbers have no gaps but the film's, got {ranked[worst][1].name} and then "
            f"{ranked[worst + 1][1].name} in '{ranked[worst][1].parent}'. Export one for each frame."
        )
    return [file for _, file in ranked]
