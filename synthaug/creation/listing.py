"""Files that hold one thing for each frame of a film, in the order of their names."""

from collections.abc import Sequence
from pathlib import Path

from synthaug.creation import CreationError, Cutouts
from synthaug.video import probe


def list_by_frame(folder: Path, cutouts: Cutouts, suffixes: Sequence[str], what: str) -> list[Path]:
    """The files of a folder, one for each frame of the cutouts' film.

    Args:
        folder: The folder.
        cutouts: Of one film.
        suffixes: Endings of the files, in lower case.
        what: What a file is, for errors: "mask".

    Raises:
        CreationError: If there are several films, or other files than the film has frames.
    """
    if len(cutouts.films) > 1:
        raise CreationError(
            f"Expected one film with a folder of {what}s, got {len(cutouts.films)}. Make the avatar from one film, "
            f"or leave the {what}s out."
        )
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [path for path in found if path.suffix.lower() in suffixes]
    frames = probe(cutouts.films[0]).num_frames
    if len(files) != frames:
        raise CreationError(
            f"Expected one {what} for each of the {frames} frames of '{cutouts.films[0].name}' in '{folder}', "
            f"got {len(files)}. Export all frames of this very film, or leave the {what}s out."
        )
    return files
