"""Read motions that synthaug wrote beside their film: `clip.npz` beside `clip.mp4`."""

from pathlib import Path
from typing import ClassVar, final

from synthaug.files import read_reference
from synthaug.motions import MotionSource
from synthaug.motions.files.recognition import array_names, is_film_beside
from synthaug.structures import Record, Reference


@final
class Sidecar(MotionSource):
    """Reads the whole reference beside each film; film and motion begin together."""

    looks: ClassVar[str] = "an npz that synthaug wrote"

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether this is an npz of synthaug, or a film with an npz beside it."""
        return {"about", "viewmats", "Ks"} <= array_names(path) or is_film_beside(path, ".npz")

    @property
    def fingerprint(self) -> str:
        """Constant, since the file is read as it is."""
        return "sidecar-1"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The npz beside the film."""
        path = record.path.with_suffix(".npz")
        return (path,) if path.exists() else ()

    def load(self, record: Record) -> Reference:
        """The motion and camera beside the film.

        Raises:
            FileNotFoundError: If there is no npz beside the film.
            ValueError: If it is not a reference.
        """
        path = record.path.with_suffix(".npz")
        if not path.exists():
            raise FileNotFoundError(
                f"No such file: '{path}', the motion of '{record.key}'. "
                "Make it with `synthaug motion extract`, or choose another synth/motion."
            )
        return read_reference(path)
