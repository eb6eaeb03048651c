"""What is known of a film, and what is raised where it cannot be."""

from dataclasses import dataclass, field
from typing import TypeAlias

FileKey: TypeAlias = tuple[str, int, int]
"""Absolute path, size in bytes and time of change in ns: identify a file's content without reading it.

Of a folder of numbered pictures, all bytes, and a number made of the names, sizes and times of change of its pictures.
"""
LOST, MENDED = "lost_pictures", "mended_timestamps"
"""Names of notes."""


class VideoError(ValueError):
    """A file cannot be read or written as film; the message names the file, what is wrong, and what to do."""


@dataclass(frozen=True)
class VideoInfo:
    """What a film holds, as found by decoding, not as its container announces.

    Attributes:
        width: Pixels as shown: upright, and square whatever the stored ones are.
        height: Pixels as shown.
        fps: Mean frames per second.
        num_frames: Frames that can be decoded. Some containers announce one too many, or even a third too many.
        seek_ok: Whether decord's random access gives the same pixels as decoding in order.
        reader: What reads the film: `decord` if `seek_ok`, else `pyav`, forwards from the first frame; `pictures` for a
            folder of numbered pictures.
        times: Seconds of each frame since the first; empty if `index / fps` gives the same.
        announced: Duration in seconds that the container announces; 0 if it announces none.
        start: Seconds from the start of the file, where sound may begin, to the first picture. Players count from
            there, and so do tables made with them; all else counts from the first picture.
        pixel_aspect: Width of a stored pixel over its height, upright; 1 if they are square.
        notes: What makes the film unusual, by name, and how often: `lost_pictures`, `mended_timestamps`,
            `mirrored_pictures`, `oblong_pixels`, `hdr_light`.
        first_number: Number of the first picture of a folder of numbered pictures.
        stride: Numbers from one of its pictures to the next, where none is missing.
    """

    width: int
    height: int
    fps: float
    num_frames: int
    seek_ok: bool
    reader: str
    times: tuple[float, ...] = field(default=(), repr=False)
    announced: float = 0.0
    start: float = 0.0
    pixel_aspect: float = 1.0
    notes: dict[str, int] = field(default_factory=dict)
    first_number: int = 0
    stride: int = 1

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return self.times[-1] + 1 / self.fps if self.times else self.num_frames / self.fps

    @property
    def cut_short(self) -> bool:
        """Whether the film ends well before the end that its container announces."""
        return self.start + self.duration < 0.9 * self.announced
