"""Who is who over time: people found frame by frame, joined into one track each, and the acting one chosen.

Between readers of skeletons and fitting. Works in metres or pixels alike: distances are in heights of the person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from synthaug.motions.files.recordings import FlawError
from synthaug.motions.pose.shots import hellinger

MAX_PEOPLE = 64
"""People in one frame: a crowd; Kinect knows six."""
_SLIP = 0.35
"""Heights that a tracker may slip between two looks without having gone over to somebody else."""
_SPEED = 5.0
"""Heights a second: faster than anybody runs indoors."""
_WALK = 1.5
"""Heights a second within which somebody under another name is the same person: walking, not the tracker's slip."""
_STRANGER = 0.25
"""Heights by which another name makes a person farther: names that change hands are found out, neighbours kept."""
_CLOTHES = 0.5
"""Heights by which wholly other colours make a person farther: two who meet are told apart by what they wear."""
_MIN_FRAMES = 12
"""Frames; CTR-GCN drops bodies of NTU that are seen in fewer."""


@dataclass(frozen=True, eq=False)
class Detection:
    """One person in one frame.

    Attributes:
        points: Metres or pixels; values of no confidence may be anything.
        confidence: 0 (not seen) to 1.
        name: The recording's own name of this person, as text; empty where it has none. Names may change hands.
        look: What the person wears, roots of the shares of colours (unit length); empty where that is not known.
    """

    points: Float[np.ndarray, "joint axis"]
    confidence: Float[np.ndarray, " joint"]
    name: str = ""
    look: Float[np.ndarray, " bin"] = field(default_factory=lambda: np.zeros(0))

    @property
    def seen(self) -> Float[np.ndarray, "seen axis"]:
        """The points of some confidence."""
        return self.points[(self.confidence > 0) & np.isfinite(self.points).all(axis=1)]


@dataclass(frozen=True, eq=False)
class PersonTrack:
    """One person over the whole recording; frames without them have no confidence.

    Attributes:
        points: Metres or pixels, nan where not seen.
        confidence: 0 to 1.
        names: The recording's names for this person, in the order of their appearance.
        which: Place of the person among those found in each frame; -1 where absent.
    """

    points: Float[np.ndarray, "time joint axis"]
    confidence: Float[np.ndarray, "time joint"]
    names: tuple[str, ...]
    which: Int[np.ndarray, " time"]

    @property
    def present(self) -> float:
        """Share of frames in which the person was found."""
        return float((self.confidence > 0).any(axis=1).mean())

    @property
    def height(self) -> float:
        """Extent of the person: median over frames of the box's diagonal."""
        extents = [_extent(points[mask > 0]) for points, mask in zip(self.points, self.confidence, strict=True)]
        return float(np.median([extent for extent in extents if extent > 0] or [0.0]))

    @property
    def energy(self) -> float:
        """How much the person moves: variances of all joints over time, in squared heights, by share of frames.

        Source:
            The rule of NTU RGB+D's own FAQ (largest sum of variances), made comparable between near and far people.
        """
        with_gaps = np.where(self.confidence[..., None] > 0, self.points, np.nan)
        seen = np.isfinite(with_gaps).all(axis=-1).sum(axis=0) > 1
        if not seen.any():
            return 0.0
        return float(np.nanvar(with_gaps[:, seen], axis=0).sum() / max(self.height, 1e-9) ** 2 * self.present)


def follow(frames: Sequence[Sequence[Detection]], *, fps: float, gap: float = 1.0) -> list[PersonTrack]:
    """Everybody in a recording, the one who moves most first.

    Names are believed until their bearer jumps; where one person's track ends and another begins near by within
    `gap`, both are one person. People without names are followed by nearness. The time line stays as it is.

    Args:
        frames: Who was found in each frame, in any order.
        fps: Frames a second.
        gap: Longest absence that is bridged, seconds.

    Returns:
        One entry a person; those seen in fewer than 12 frames only if nobody is seen longer.

    Raises:
        FlawError: If a frame is more crowded than can be.
    """
    for number, people in enumerate(frames):
        if len(people) > MAX_PEOPLE:
            raise FlawError(f"frame {number} has {len(people)} people; {MAX_PEOPLE} at most were wanted")
    pieces = _join_pieces(_split_pieces(frames, fps), fps, gap)
    everybody = [_assemble_track(piece, len(frames)) for piece in pieces]
    lasting = [one for one in everybody if (one.confidence > 0).any(axis=1).sum() >= _MIN_FRAMES]
    return sorted(lasting or everybody, key=lambda one: -one.energy)


@dataclass(eq=False)
class _Piece:
    """A stretch of one person: frame numbers, what was found in each, and its place among all that was found there."""

    frames: list[int]
    found: list[Detection]
    which: list[int]

    @cached_property
    def height(self) -> float:
        return float(np.median([_extent(one.seen) for one in self.found]))

    @cached_property
    def look(self) -> Float[np.ndarray, " bin"]:
        """Mean of all looks, of unit length: one in front of the other shows another's clothes for a while."""
        looks = [one.look for one in self.found if len(one.look)]
        total = np.sum(looks, axis=0) if looks else np.zeros(0)
        return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9))


def _extent(points: Float[np.ndarray, "seen axis"]) -> float:
    return float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) > 1 else 0.0


def _centre(found: Detection) -> Float[np.ndarray, " axis"]:
    return np.median(found.seen, axis=0)


def _reach(one: Detection, last: Detection, steps: int, fps: float) -> float:
    """How far from where they were last seen a person may be found again.

    Under another name not as far, and by the size of both: whoever is large and near would else be within reach of all
    that is small and far.
    """
    heights = _extent(one.seen), _extent(last.seen)
    if one.name == last.name:
        return max(heights) * (_SLIP + _SPEED * (steps - 1) / fps)
    return float(np.sqrt(heights[0] * heights[1])) * (_SLIP + _WALK * (steps - 1) / fps)


def _split_pieces(frames: Sequence[Sequence[Detection]], fps: float) -> list[_Piece]:
    """Stretches without jumps: by name where there is one, else by nearness from frame to frame."""
    closed: list[_Piece] = []
    open_: list[_Piece] = []
    for number, people in enumerate(frames):
        there = [(k, one) for k, one in enumerate(people) if len(one.seen)]
        # A name that is silent is forgotten after a fifth of a second; joining looks further.
        closed += [piece for piece in open_ if number - piece.frames[-1] > 0.2 * fps + 1]
        open_ = [piece for piece in open_ if number - piece.frames[-1] <= 0.2 * fps + 1]
        for (k, one), piece in zip(there, _match_people([one for _, one in there], open_, number, fps), strict=True):
            if piece is None:
                open_.append(_Piece([number], [one], [k]))
            else:
                piece.frames.append(number)
                piece.found.append(one)
                piece.which.append(k)
    return closed + open_


def _match_people(people: list[Detection], pieces: list[_Piece], number: int, fps: float) -> list[_Piece | None]:
    """The stretch that each person of a frame goes on with; None begins another."""
    if not people or not pieces:
        return [None] * len(people)
    far = 1e9
    cost = np.full((len(people), len(pieces)), far)
    for i, one in enumerate(people):
        for k, piece in enumerate(pieces):
            last = piece.found[-1]
            height = max(_extent(one.seen), _extent(last.seen))
            distance = float(np.linalg.norm(_centre(one) - _centre(last)))
            if distance <= _reach(one, last, number - piece.frames[-1], fps):
                strange = _STRANGER * (one.name != last.name) + _CLOTHES * _look_distance(one.look, last.look)
                cost[i, k] = distance + strange * height
    chosen: list[_Piece | None] = [None] * len(people)
    for i, k in zip(*linear_sum_assignment(cost), strict=True):
        if cost[i, k] < far:
            chosen[int(i)] = pieces[int(k)]
    return chosen


def _join_pieces(pieces: list[_Piece], fps: float, gap: float) -> list[_Piece]:
    """Stretches of one person made one: again and again the nearest end and beginning, while any are near enough."""
    # The longest come first and the rest is noise: hundreds of stretches would be no recording of people.
    pieces = sorted(pieces, key=lambda piece: -len(piece.frames))[: 4 * MAX_PEOPLE]
    pieces.sort(key=lambda piece: (piece.frames[0], piece.found[0].name))
    while len(pieces) > 1:
        rank = _rank_joins(pieces, fps, gap)
        a, b = (int(k) for k in np.unravel_index(rank.argmin(), rank.shape))
        if not np.isfinite(rank[a, b]):
            break
        first, second = pieces[a], pieces[b]
        whole = _Piece(first.frames + second.frames, first.found + second.found, first.which + second.which)
        pieces = [piece for k, piece in enumerate(pieces) if k not in (a, b)] + [whole]
    return pieces


def _rank_joins(pieces: list[_Piece], fps: float, gap: float) -> Float[np.ndarray, "early late"]:
    """How badly the beginning of a stretch (column) fits the end of another (row); infinite where not at all."""
    first = np.array([piece.frames[0] for piece in pieces])
    last = np.array([piece.frames[-1] for piece in pieces])
    heights = np.array([piece.height for piece in pieces])
    begin = np.stack([_centre(piece.found[0]) for piece in pieces])
    end = np.stack([_centre(piece.found[-1]) for piece in pieces])
    steps = first[None] - last[:, None]
    height = np.maximum(np.sqrt(heights[:, None] * heights[None]), 1e-9)
    distance = np.linalg.norm(end[:, None] - begin[None], axis=-1) / height
    fits = (steps > 0) & (steps <= gap * fps + 1) & (distance <= _SLIP + _WALK * (steps - 1) / fps)
    return np.where(fits, distance + 0.5 * steps / fps + _CLOTHES * _look_distances(pieces), np.inf)


def _look_distances(pieces: list[_Piece]) -> Float[np.ndarray, "early late"]:
    """`_look_distance` of every two stretches."""
    size = max(len(piece.look) for piece in pieces)
    looks = np.stack([piece.look if len(piece.look) else np.zeros(size) for piece in pieces])
    known = np.array([len(piece.look) > 0 for piece in pieces])
    return np.where(known[:, None] & known, np.sqrt(np.maximum(0.0, 1.0 - looks @ looks.T)), 0.0)


def _look_distance(one: Float[np.ndarray, " ours"], other: Float[np.ndarray, " theirs"]) -> float:
    """Hellinger's distance of two looks, 0 to 1; 0 where one of them is not known."""
    return hellinger(one, other) if len(one) and len(other) else 0.0


def _assemble_track(piece: _Piece, num_frames: int) -> PersonTrack:
    joints, axes = piece.found[0].points.shape
    points = np.full((num_frames, joints, axes), np.nan)
    confidence = np.zeros((num_frames, joints))
    for number, one in zip(piece.frames, piece.found, strict=True):
        known = (one.confidence > 0) & np.isfinite(one.points).all(axis=1)
        points[number, known], confidence[number, known] = one.points[known], one.confidence[known]
    names = tuple(dict.fromkeys(one.name for one in piece.found if one.name))
    which = np.full(num_frames, -1)
    which[piece.frames] = piece.which
    return PersonTrack(points, confidence, names, which)
