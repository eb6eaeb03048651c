"""What is left of labelled intervals that overlap, where a clip may have one label only.

Pure; below the data sets whose annotations overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

TOUCH = 0.05
"""Seconds that neighbours may share: annotations are rounded, and a frame or two of the other hurts nobody."""


@dataclass(frozen=True)
class Interval:
    """A stretch of one file in which one person does one thing; seconds."""

    label: int
    subject: str
    start: float
    end: float

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.start

    def overlap(self, other: "Interval") -> float:
        """Seconds shared with another; negative where a gap lies between."""
        return min(self.end, other.end) - max(self.start, other.start)


def joined(intervals: Sequence[Interval]) -> list[Interval]:
    """Intervals of which those of one label and one subject that overlap have become one."""
    kept: list[Interval] = []
    for new in sorted(intervals, key=lambda i: (i.label, i.subject, i.start, i.end)):
        last = kept[-1] if kept else None
        if last and (last.label, last.subject) == (new.label, new.subject) and last.overlap(new) > TOUCH:
            kept[-1] = Interval(last.label, last.subject, last.start, max(last.end, new.end))
        else:
            kept.append(new)
    return sorted(kept, key=lambda i: (i.start, i.end, i.label))


def alone(interval: Interval, others: Sequence[Interval]) -> Interval | None:
    """The longest stretch that no other interval shares by more than `TOUCH`; None if nothing is left.

    Symmetric: of two that overlap, neither gets the part in which both things happen, whatever their order.

    Args:
        interval: To be trimmed.
        others: The file's other intervals.
    """
    pieces = [interval]
    for other in others:
        if interval.overlap(other) > TOUCH:
            pieces = [part for piece in pieces for part in _without(piece, other)]
    return max(pieces, key=lambda piece: (piece.length, -piece.start), default=None)


def _without(piece: Interval, other: Interval) -> list[Interval]:
    """What of a piece lies before and after another interval."""
    before = (piece.start, min(piece.end, other.start))
    after = (max(piece.start, other.end), piece.end)
    return [Interval(piece.label, piece.subject, start, end) for start, end in (before, after) if end > start]
