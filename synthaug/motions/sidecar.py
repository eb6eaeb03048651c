"""Motions that lie beside their film as synthaug's own npz: `clip.mp4` and `clip.npz`."""

from pathlib import Path
from typing import final

from synthaug.files import read_reference
from synthaug.motions import MotionSource
from synthaug.structures import Record, Reference


@final
class Sidecar(MotionSource):
    """Reads the reference beside each film, whole: the film and the motion begin together."""

    @property
    def fingerprint(self) -> str:
        """Always the same: what is read is what lies there."""
        return "sidecar-1"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The reference beside the film."""
        path = record.path.with_suffix(".npz")
        return (path,) if path.exists() else ()

    def load(self, record: Record) -> Reference:
        """The motion and camera beside the film.

        Raises:
            FileNotFoundError: If nothing lies there.
            ValueError: If it is no reference.
        """
        path = record.path.with_suffix(".npz")
        if not path.exists():
            raise FileNotFoundError(
                f"There is no '{path.name}' beside the film of '{record.key}'. A motion of synthaug's was wanted. "
                "Make it with `synthaug motion extract`, or choose another synth/motion."
            )
        return read_reference(path)
