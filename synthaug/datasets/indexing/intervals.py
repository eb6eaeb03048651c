"""Trim labelled intervals that overlap, since a clip has one label only."""

from collections.abc import Sequence
from dataclasses import dataclass

MAX_OVERLAP = 0.05
"""Seconds that neighbours may share: annotations are rounded, and a frame or two of another action does no harm."""


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
        """Seconds shared with another interval; negative where there is a gap between them."""
        return min(self.end, other.end) - max(self.start, other.start)


def join_intervals(intervals: Sequence[Interval]) -> list[Interval]:
    """Join the overlapping intervals that share label and subject; return all, sorted by start."""
    kept: list[Interval] = []
    for new in sorted(intervals, key=lambda i: (i.label, i.subject, i.start, i.end)):
        last = kept[-1] if kept else None
        if last and (last.label, last.subject) == (new.label, new.subject) and last.overlap(new) > MAX_OVERLAP:
            kept[-1] = Interval(last.label, last.subject, last.start, max(last.end, new.end))
        else:
            kept.append(new)
    return sorted(kept, key=lambda i: (i.start, i.end, i.label))


def trim_overlaps(interval: Interval, others: Sequence[Interval]) -> Interval | None:
    """Return the longest stretch that no other interval shares by more than `MAX_OVERLAP`; None if nothing is left.

    Of two intervals that overlap, neither gets the part in which both things happen, whatever their order.

    Args:
        interval: The interval to trim.
        others: The file's other intervals.
    """
    pieces = [interval]
    for other in others:
        if interval.overlap(other) > MAX_OVERLAP:
            pieces = [part for piece in pieces for part in _subtract(piece, other)]
    return max(pieces, key=lambda piece: (piece.length, -piece.start), default=None)


def _subtract(piece: Interval, other: Interval) -> list[Interval]:
    """The parts of a piece before and after another interval."""
    before = (piece.start, min(piece.end, other.start))
    after = (max(piece.start, other.end), piece.end)
    return [Interval(piece.label, piece.subject, start, end) for start, end in (before, after) if end > start]
