"""Join the people detected frame by frame into one track for each person.

Works in metres and in pixels, since distances are measured in heights of the person.
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
"""Largest number of people in one frame; Kinect tracks six."""
_MAX_STEP = 0.35
"""Largest step of one person between two frames, in heights; a larger one is a jump to another person."""
_MAX_SPEED = 5.0
"""Heights per second: faster than people run indoors."""
_WALKING_SPEED = 1.5
"""Largest speed, in heights per second, at which a person under a new name is the same person: a walk."""
_NAME_PENALTY = 0.25
"""Penalty in heights for another name: finds names that were swapped, and keeps neighbours apart."""
_LOOK_PENALTY = 0.5
"""Penalty in heights for entirely different colours: clothes distinguish two people who meet."""
_MIN_FRAMES = 12
"""Smallest length of a track in frames; CTR-GCN drops shorter ones of NTU, too."""


@dataclass(frozen=True, eq=False)
class Detection:
    """One person in one frame.

    Attributes:
        points: Metres or pixels; arbitrary where the confidence is 0.
        confidence: 0 (not seen) to 1.
        name: The recording's own name of this person; empty if it has none. A name can move to another person.
        look: Colours of the person's clothes, roots of their shares (unit length); empty if unknown.
    """

    points: Float[np.ndarray, "joint axis"]
    confidence: Float[np.ndarray, " joint"]
    name: str = ""
    look: Float[np.ndarray, " bin"] = field(default_factory=lambda: np.zeros(0))

    @property
    def seen(self) -> Float[np.ndarray, "seen axis"]:
        """The finite points with confidence above 0."""
        return self.points[(self.confidence > 0) & np.isfinite(self.points).all(axis=1)]


@dataclass(frozen=True, eq=False)
class PersonTrack:
    """One person over the whole recording; frames without them have no confidence.

    Attributes:
        points: Metres or pixels, nan where not seen.
        confidence: 0 to 1.
        names: The recording's names for this person, in order of appearance.
        which: Index of the person among the detections of each frame; -1 where absent.
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
    """Track all people of a recording, the one who moves most first.

    A name identifies a person until it jumps in space. If one track ends and another begins close by within `gap`, both
    belong to one person. People without names are tracked by distance.

    Args:
        frames: Detections of each frame, in any order.
        fps: Frames per second.
        gap: Longest absence that is bridged, seconds.

    Returns:
        One track for each person, as long as the recording. Tracks seen in fewer than 12 frames are returned only if
        there is no longer one.

    Raises:
        FlawError: If a frame has more than `MAX_PEOPLE` people.
    """
    for number, people in enumerate(frames):
        if len(people) > MAX_PEOPLE:
            raise FlawError(f"expected at most {MAX_PEOPLE} people in frame {number}, got {len(people)}")
    pieces = _join_pieces(_split_pieces(frames, fps), fps, gap)
    everybody = [_assemble_track(piece, len(frames)) for piece in pieces]
    lasting = [one for one in everybody if (one.confidence > 0).any(axis=1).sum() >= _MIN_FRAMES]
    return sorted(lasting or everybody, key=lambda one: -one.energy)


@dataclass(eq=False)
class _Piece:
    """A run of one person: frame numbers, detections, and their indices among the detections of each frame."""

    frames: list[int]
    found: list[Detection]
    which: list[int]

    @cached_property
    def height(self) -> float:
        return float(np.median([_extent(one.seen) for one in self.found]))

    @cached_property
    def look(self) -> Float[np.ndarray, " bin"]:
        """Mean look of unit length, since a person in front hides another's clothes for a while."""
        looks = [one.look for one in self.found if len(one.look)]
        total = np.sum(looks, axis=0) if looks else np.zeros(0)
        return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9))


def _extent(points: Float[np.ndarray, "seen axis"]) -> float:
    return float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) > 1 else 0.0


def _centre(found: Detection) -> Float[np.ndarray, " axis"]:
    return np.median(found.seen, axis=0)


def _reach(one: Detection, last: Detection, steps: int, fps: float) -> float:
    """Largest distance at which a person may be found again after some frames.

    Under another name it is smaller and uses both sizes: a large person near the camera would otherwise match all small
    people far away.
    """
    heights = _extent(one.seen), _extent(last.seen)
    if one.name == last.name:
        return max(heights) * (_MAX_STEP + _MAX_SPEED * (steps - 1) / fps)
    return float(np.sqrt(heights[0] * heights[1])) * (_MAX_STEP + _WALKING_SPEED * (steps - 1) / fps)


def _split_pieces(frames: Sequence[Sequence[Detection]], fps: float) -> list[_Piece]:
    """Split detections into runs without jumps, by name and by distance from frame to frame."""
    closed: list[_Piece] = []
    open_: list[_Piece] = []
    for number, people in enumerate(frames):
        there = [(k, one) for k, one in enumerate(people) if len(one.seen)]
        # A run ends after a fifth of a second without a detection; `_join_pieces` bridges longer gaps.
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
    """The run that each person of a frame continues; None starts a new one."""
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
                strange = _NAME_PENALTY * (one.name != last.name) + _LOOK_PENALTY * _look_distance(one.look, last.look)
                cost[i, k] = distance + strange * height
    chosen: list[_Piece | None] = [None] * len(people)
    for i, k in zip(*linear_sum_assignment(cost), strict=True):
        if cost[i, k] < far:
            chosen[int(i)] = pieces[int(k)]
    return chosen


def _join_pieces(pieces: list[_Piece], fps: float, gap: float) -> list[_Piece]:
    """Join runs of one person: repeatedly the closest end and beginning, until none are close enough."""
    # Keep the longest runs; with hundreds of them the rest is noise.
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
    """Cost of joining the end of one run (row) to the beginning of another (column); infinite if impossible."""
    first = np.array([piece.frames[0] for piece in pieces])
    last = np.array([piece.frames[-1] for piece in pieces])
    heights = np.array([piece.height for piece in pieces])
    begin = np.stack([_centre(piece.found[0]) for piece in pieces])
    end = np.stack([_centre(piece.found[-1]) for piece in pieces])
    steps = first[None] - last[:, None]
    height = np.maximum(np.sqrt(heights[:, None] * heights[None]), 1e-9)
    distance = np.linalg.norm(end[:, None] - begin[None], axis=-1) / height
    fits = (steps > 0) & (steps <= gap * fps + 1) & (distance <= _MAX_STEP + _WALKING_SPEED * (steps - 1) / fps)
    return np.where(fits, distance + 0.5 * steps / fps + _LOOK_PENALTY * _look_distances(pieces), np.inf)


def _look_distances(pieces: list[_Piece]) -> Float[np.ndarray, "early late"]:
    """`_look_distance` of every two runs."""
    size = max(len(piece.look) for piece in pieces)
    looks = np.stack([piece.look if len(piece.look) else np.zeros(size) for piece in pieces])
    known = np.array([len(piece.look) > 0 for piece in pieces])
    return np.where(known[:, None] & known, np.sqrt(np.maximum(0.0, 1.0 - looks @ looks.T)), 0.0)


def _look_distance(one: Float[np.ndarray, " ours"], other: Float[np.ndarray, " theirs"]) -> float:
    """Hellinger distance of two looks, 0 to 1; 0 if one of them is unknown."""
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
