"""Find out when each picture of a film is shown, also where a few of its timestamps are wrong."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_MAX_DRIFT = 0.25
"""Frames of drift from a constant rate above which every frame's time is kept."""
_MAX_BAD = 0.1
"""Share of wrong timestamps above which the film's clock is not believed at all; the rule of `probe` for pictures."""
_FAR = 10.0
"""A first or last picture that is this many times the whole rest of the film away from it has a wrong timestamp."""
_ALIKE = 1e-6
"""Share by which one gap must exceed another to be larger: timestamps are rounded."""
_ROUNDED = 1.1e-3
"""Seconds by which the steps of a constant rate differ: Matroska counts in milliseconds."""
_ALMOST = 1e-3
"""Share by which a measured rate may miss the announced one: that between 30 and 29.97."""
_FEW = 10
"""Pictures below which nothing is far away: slides may stand for minutes."""


@dataclass(frozen=True)
class Timing:
    """When the pictures of a film are shown.

    Attributes:
        fps: Mean frames per second.
        times: Seconds of each picture since the first; empty if `index / fps` gives the same.
        first: The first picture's timestamp in seconds, on the film's own clock; None if it has none.
        mended: Number of wrong timestamps that were replaced.
    """

    fps: float
    times: tuple[float, ...] = ()
    first: float | None = None
    mended: int = 0


def find_timing(stamps: Sequence[float | None], announced: float, *, gaps: bool = False) -> Timing:
    """Find the frame rate and, if they do not follow it, the seconds of each picture.

    Timestamps that are missing or do not rise are replaced, each by its neighbours' mean; all others are believed. A
    film with more of them than one in ten is timed by its announced rate alone.

    Args:
        stamps: The pictures' timestamps in seconds, in order of presentation; None stands for none.
        announced: Frames per second that the container announces; 0 if it announces none.
        gaps: Whether pictures are missing that could not be decoded. They change no rate.
    """
    seconds, mended = mend_stamps(stamps)
    count = len(seconds)
    first = float(seconds[0]) if count else None
    if count < 2:
        return Timing(announced or 25.0, first=first)  # any rate is as good; FFmpeg assumes 25 for images
    seconds = seconds - seconds[0]
    fps = (count - 1) / float(seconds[-1])
    if announced and abs(announced / fps - 1) * count < _MAX_DRIFT:
        fps = announced  # the same within rounding of the timestamps, and exact
    elif gaps:
        fps = _rate_between_gaps(seconds, announced) or fps
    drift = np.abs(seconds * fps - np.arange(count)).max()
    times = tuple(round(float(t), 6) for t in seconds) if drift > _MAX_DRIFT else ()
    return Timing(fps, times, first, mended)


def _rate_between_gaps(seconds: Float[np.ndarray, " picture"], announced: float) -> float:
    """The rate of film that has a constant one but for its gaps; 0 if it has none."""
    steps = np.diff(seconds)
    usual = steps[np.abs(steps - np.median(steps)) <= _ROUNDED]
    if len(usual) < (1 - _MAX_BAD) * len(steps):
        return 0.0
    rate = 1 / float(usual.mean())
    return announced if abs(announced / rate - 1) < _ALMOST else rate


def mend_stamps(stamps: Sequence[float | None]) -> tuple[Float[np.ndarray, " picture"], int]:
    """Replace the timestamps that are missing or out of order; returns all, and how many were replaced.

    As few as possible are replaced. Nothing is returned if these are more than a tenth.
    """
    given = np.array([np.nan if stamp is None else stamp for stamp in stamps], np.float64)
    _forget_far_ends(given)
    if np.isfinite(given).all() and (np.diff(given) > 0).all():
        return given, 0
    kept = _longest_rise(given)
    bad = len(given) - len(kept)
    if bad > max(_MAX_BAD * len(given), 1) or len(kept) < 2:
        return np.empty(0), 0
    kept = _choose_roomier(given, kept)
    places, known = np.arange(len(given)), given[kept]
    mended = np.interp(places, kept, known)
    step = float(np.median(np.diff(known) / np.diff(kept)))
    mended[: kept[0]] = known[0] - step * (kept[0] - places[: kept[0]])
    mended[kept[-1] + 1 :] = known[-1] + step * (places[kept[-1] + 1 :] - kept[-1])
    return mended, bad


def _forget_far_ends(given: Float[np.ndarray, " picture"]) -> None:
    """Set a first or last timestamp to nan that is much farther from its neighbour than the rest of the film lasts."""
    if len(given) < _FEW:
        return
    for end, inner, other in ((0, 1, -1), (-1, -2, 0)):
        if abs(given[end] - given[inner]) > _FAR * max(abs(given[other] - given[inner]), 1.0):
            given[end] = np.nan


def _longest_rise(given: Float[np.ndarray, " picture"]) -> Int[np.ndarray, " kept"]:
    """Places of the longest strictly rising part of a sequence; nan is in none (patience sorting)."""
    tops: list[float] = []
    top_places: list[int] = []
    before = np.full(len(given), -1)
    for place, value in enumerate(given.tolist()):
        if value != value:
            continue
        pile = bisect_left(tops, value)
        before[place] = top_places[pile - 1] if pile else -1
        tops[pile:], top_places[pile:] = [value, *tops[pile + 1 :]], [place, *top_places[pile + 1 :]]
    rise: list[int] = []
    place = top_places[-1] if top_places else -1
    while place >= 0:
        rise.append(place)
        place = int(before[place])
    return np.array(rise[::-1], np.int64)


def _choose_roomier(given: Float[np.ndarray, " picture"], kept: Int[np.ndarray, " kept"]) -> Int[np.ndarray, " kept"]:
    """Of two neighbours that contradict each other, mend the one for which the others leave more room.

    A repeated timestamp is wrong in one of two pictures. The true one has a neighbour at the film's usual distance; the
    wrong one has a gap in its place.
    """
    step = float(np.median(np.diff(given[kept]) / np.diff(kept)))
    # Beyond the ends: as if a gap of one and a half pictures followed, which a repeated end must beat.
    padded = np.concatenate([[given[0] - 1.5 * step], given, [given[-1] + 1.5 * step]])
    believed = {0, *(kept + 1).tolist(), len(given) + 1}
    for bad in sorted(set(range(1, len(given) + 1)).difference(believed)):
        for rival in (bad - 1, bad + 1):
            before, after = min(bad, rival) - 1, max(bad, rival) + 1
            if not {before, rival, after} <= believed or not padded[before] < padded[bad] < padded[after]:
                continue
            if padded[rival + 1] - padded[rival - 1] > (padded[bad + 1] - padded[bad - 1]) * (1 + _ALIKE):
                believed.remove(rival)
                believed.add(bad)
                break
    return np.array(sorted(believed)[1:-1], np.int64) - 1
