"""Read motions that synthaug wrote beside their film: `clip.npz` beside `clip.mp4`."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, final

from synthaug.files import read_reference
from synthaug.motions import MotionSource, UnusableClipError
from synthaug.motions.files.recognition import array_names, is_film_beside
from synthaug.motions.files.recordings import FlawError, cut_motion, frames_between
from synthaug.structures import Record, Reference

_NEAR = 0.1
"""Seconds by which a film's interval and a motion may differ at an end without being taken for different ones."""


@final
class Sidecar(MotionSource):
    """Reads the reference beside each film; film and motion begin together, or as the note `offset` says.

    Of a film of several clips each gets the part of its own interval.
    """

    looks: ClassVar[str] = "an npz that synthaug wrote"

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether this is an npz of synthaug, or a film with an npz beside it."""
        return {"about", "viewmats", "Ks"} <= array_names(path) or is_film_beside(path, ".npz")

    @property
    def fingerprint(self) -> str:
        """Constant, since nothing is estimated."""
        return "sidecar-2"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """The npz beside the film."""
        path = record.path.with_suffix(".npz")
        return (path,) if path.exists() else ()

    def load(self, record: Record) -> Reference:
        """The motion and camera beside the film.

        Raises:
            FileNotFoundError: If there is no npz beside the film.
            ValueError: If it is not a reference.
            UnusableClipError: If it shows nothing of the clip's interval.
        """
        path = record.path.with_suffix(".npz")
        if not path.exists():
            raise FileNotFoundError(
                f"No such file: '{path}', the motion of '{record.key}'. "
                "Make it with `synthaug motion extract`, or choose another synth/motion."
            )
        return cut_to_interval(read_reference(path), record, path)


def cut_to_interval(reference: Reference, record: Record, path: Path) -> Reference:
    """What a film's reference shows in a clip's interval; the whole one as it is if that is all of it.

    Args:
        reference: Of the whole film, with other performances.
        record: The clip.
        path: File of the reference, for the message.

    Raises:
        UnusableClipError: If that is nothing.
    """
    takes, why = [], ""
    for take in (replace(reference, others=()), *reference.others):
        try:
            takes.append(_cut_take(take, record))
        except FlawError as error:
            why = why or str(error)
    if not takes:
        raise UnusableClipError(f"Cannot use '{path}' for {record.key!r}: {why}. Correct the interval, or the file.")
    return replace(takes[0], others=tuple(takes[1:]))


def _cut_take(take: Reference, record: Record) -> Reference:
    motion, begin = take.motion, take.notes.get("offset", 0.0)
    if record.start <= begin + _NEAR and record.end >= begin + motion.duration - _NEAR:
        return take
    first, last = frames_between(record, motion.num_frames, motion.fps, begin=begin)
    camera = take.camera
    if len(camera.viewmats) > 1:
        camera = replace(camera, viewmats=camera.viewmats[first:last], Ks=camera.Ks[first:last])
    return replace(
        take,
        motion=cut_motion(motion, first, last),
        camera=camera,
        companions=tuple(cut_motion(one, first, min(last, one.num_frames)) for one in take.companions),
        notes={**take.notes, "offset": begin + first / motion.fps - record.start},
    )
