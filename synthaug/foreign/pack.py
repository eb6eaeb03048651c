"""Clips of another generator, read as those of an export are: cut from their films, and never rendered."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from synthaug.exports import Pack
from synthaug.structures import ClipFormat, Record, Values
from synthaug.video import read_clip


class ForeignPack(Pack):
    """Chosen clips of another generator, in the order in which they are trained on.

    Args:
        clip: Their format.
        rows: Columns of each clip, as `gathering.gather_clips` plans them.
        known: What is known of all of them: `report` for metrics.json, `left_out` (why, by the film's name) and
            `warnings`.
    """

    def __init__(self, clip: ClipFormat, rows: Iterable[Values], known: Values) -> None:
        self._clip = clip
        self._rows = tuple(rows)
        self._known = known

    @property
    def rows(self) -> Sequence[Values]:
        """See `Pack.rows`."""
        return self._rows

    @property
    def about(self) -> Values:
        """See `Pack.about`."""
        clip = self._clip
        return {"num_frames": clip.num_frames, "fps": clip.fps, "size": clip.size, "places": [], **self._known}

    def read(self, place: int) -> UInt8[Tensor, "time 3 height width"]:
        """See `Pack.read`: frames by their seconds, whatever the film's own rate; a short film is looped."""
        row, recipe = self._rows[place], self.recipe(place)
        start, end, offset = (float(str(row[name])) for name in ("from", "to", "offset"))
        record = Record(recipe.key, Path(str(row["path"])), recipe.label, recipe.actors[0].identity, "", start, end)
        return read_clip(record, offset=offset, fps=recipe.fps, num_frames=recipe.num_frames, size=recipe.size).video
