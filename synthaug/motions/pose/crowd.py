"""Detect all people in a film, each in a region of their own, and choose the acting person.

`following` joins the detections of neighbouring frames into one track for each person.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int16, UInt8
from numpy.typing import NDArray

from synthaug.motions.fitting.landmarks import LIMBS, Landmarks
from synthaug.motions.pose.camera_motion import Background, measure_camera
from synthaug.motions.pose.following import Detection, PersonTrack, follow
from synthaug.motions.pose.network import PersonLandmarks, PoseDetector, Region
from synthaug.motions.pose.pacing import (
    Box,
    body_box,
    frames_between_looks,
    has_changed,
    interpolate_sights,
    is_abrupt,
    is_fast,
    mark_last,
    region_box,
    shrink_frame,
)
from synthaug.motions.pose.searching import MAX_PEOPLE, drop_duplicates, find_newcomers
from synthaug.motions.pose.shots import colour_shares

_SEARCH_SECONDS = 0.25
"""Seconds between searches for new people."""
_SMALL_SEARCHES = 4
"""One search in so many looks for small people too, if nobody is known: it costs five times as much."""
_MIN_PRESENCE = 0.75
"""A performer is present for at least this share of the frames of the person who is present longest."""
_JITTER_FACTOR = 2.5
"""Multiple of the jitter's variance that is subtracted from a person's movement; waving at 3 Hz survives it."""
_LEAST_MOVEMENT = 1e-3
"""Smallest movement of a person, in squared heights."""
_MIN_VISIBILITY = 0.3
"""Landmarks of lower visibility do not locate a person."""
_TRUNK = (11, 12, 24, 23)


@dataclass(frozen=True, eq=False)
class TrackedPerson:
    """One person in one frame.

    Attributes:
        sight: The person's landmarks.
        name: Identity from the detector; it can be wrong after two people have met.
        look: Colours of the trunk, as `shots.colour_shares` returns them; empty where the trunk is not visible.
        looked: False in frames between two looks, where the landmarks are interpolated.
    """

    sight: PersonLandmarks
    name: str
    look: Float[np.ndarray, " bin"]
    looked: bool = True


def track_people(
    frames: Iterable[UInt8[np.ndarray, "height width 3"]], detector: PoseDetector, *, fps: float
) -> list[tuple[TrackedPerson, ...]]:
    """Detect the people in each of consecutive frames.

    A person is looked for where they were in the look before: 15 times a second, in every frame while somebody moves
    fast, and not while the picture there stays the same (`pacing`). New people are searched four times a second where
    the picture has changed beside the known people, or at once if nobody is left; then also in the picture turned on
    its side, since the detector finds only upright people and some have fallen, and now and then in parts of the
    picture, where small people look larger. Two regions that show one person are
    merged.

    Args:
        frames: sRGB.
        detector: Finds people, and their landmarks in a region.
        fps: Frames per second.
    """
    watch = _Watch(detector, fps)
    for number, (frame, last) in enumerate(mark_last(frames)):
        watch.see(number, frame, last=last)
    return watch.fill()


@dataclass(frozen=True, eq=False)
class _Followed:
    """Somebody who is followed: the last look, the picture and the number of its frame."""

    name: str
    sight: PersonLandmarks
    picture: Int16[np.ndarray, "row column 3"]
    number: int


class _Watch:
    """Sees one frame after the other, and looks closely at some of them."""

    def __init__(self, detector: PoseDetector, fps: float) -> None:
        self._detector = detector
        self._fps = fps
        self._pace, self._every = frames_between_looks(fps), max(1, round(_SEARCH_SECONDS * fps))
        self._followed: list[_Followed] = []
        self._born, self._searches = 0, 0
        self._fast = False
        self._due = 0
        self._searched: tuple[int, Int16[np.ndarray, "row column 3"]] | None = None
        self._before: Int16[np.ndarray, "row column 3"] | None = None
        self._cuts: list[int] = []
        self._result: list[tuple[TrackedPerson, ...]] = []

    def see(self, number: int, frame: UInt8[np.ndarray, "height width 3"], *, last: bool) -> None:
        """Look at the next frame if it is due."""
        picture = shrink_frame(frame)
        abrupt = self._before is not None and is_abrupt(self._before, picture)
        self._before = picture
        if abrupt:
            self._cuts.append(number)
        if self._fast or abrupt or last or number >= self._due:
            self._look(number, frame, picture, everybody=abrupt or last)
            self._due = number + self._pace
        fresh = [one for one in self._followed if one.number == number]
        self._result.append(
            tuple(TrackedPerson(one.sight, one.name, _trunk_colours(frame, one.sight)) for one in fresh)
        )

    def _look(
        self,
        number: int,
        frame: UInt8[np.ndarray, "height width 3"],
        picture: Int16[np.ndarray, "row column 3"],
        *,
        everybody: bool,
    ) -> None:
        before = {one.name: one for one in self._followed}
        looked = []
        for one in self._followed:
            late = number - one.number >= self._every
            if (
                everybody
                or late
                or has_changed(one.picture, picture, height=len(frame), inside=region_box(one.sight.region))
            ):
                looked.append((one.name, self._detector.look(frame, one.sight.region), one.sight))
            else:
                looked.append((one.name, one.sight, one.sight))
        there = drop_duplicates([(name, now, then) for name, now, then in looked if now is not None])
        self._fast = False
        followed = []
        for name, sight in there:
            one = before[name]
            if sight is not one.sight:
                seconds = (number - one.number) / self._fps
                self._fast = self._fast or is_fast(one.sight, sight, seconds=seconds)
                one = _Followed(name, sight, picture, number)
            followed.append(one)
        if self._is_search_due(number, picture, [body_box(one.sight) for one in followed], len(frame)):
            self._searched = number, picture
            small = self._searches % _SMALL_SEARCHES == 0
            self._searches += 1
            for sight in find_newcomers(frame, self._detector, [sight for _, sight in there], small=small):
                followed.append(_Followed(str(self._born), sight, picture, number))
                self._born += 1
        self._followed = followed[:MAX_PEOPLE]

    def _is_search_due(
        self, number: int, picture: Int16[np.ndarray, "row column 3"], known: Sequence[Box], height: int
    ) -> bool:
        if self._searched is None:
            return True
        then, before = self._searched
        late = number - then >= self._every
        if not known:
            return late or has_changed(before, picture, height=height)
        return late and len(known) < MAX_PEOPLE and has_changed(before, picture, height=height, outside=known)

    def fill(self) -> list[tuple[TrackedPerson, ...]]:
        """The people of every frame, interpolated where they were not looked at."""
        looks: dict[str, list[tuple[int, TrackedPerson]]] = {}
        for number, people in enumerate(self._result):
            for one in people:
                looks.setdefault(one.name, []).append((number, one))
        for seen in looks.values():
            for k, (first, one) in enumerate(seen):
                cut = next((cut for cut in self._cuts if cut > first), None)
                shown = max((early for early in self._cuts if early <= first), default=0)
                around = [
                    (at, look.sight)
                    for at, look in seen[max(0, k - 1) : k + 3]
                    if at >= shown and (cut is None or at < cut)
                ]
                between, sights = range(0), [one.sight] * self._every
                if around[-1][0] > first:
                    between = range(first + 1, seen[k + 1][0])
                    sights = interpolate_sights(around, between)
                elif cut is not None and cut - first <= self._every:
                    between = range(first + 1, cut)  # there until the cut; who is lost within a shot may leave at once
                for at, sight in zip(between, sights, strict=False):
                    self._result[at] += (replace(one, sight=sight, looked=False),)
        return self._result


def _trunk_colours(frame: UInt8[np.ndarray, "height width 3"], sight: PersonLandmarks) -> Float[np.ndarray, " bin"]:
    """Colours within the box around shoulders and hips, without its outer fifths."""
    corners = sight.pixels[list(_TRUNK)]
    low, high = corners.min(0), corners.max(0)
    inner = (high - low) * 0.2
    bounds = np.clip(np.stack([low + inner, high - inner]), 0, [[frame.shape[1], frame.shape[0]]]).round().astype(int)
    patch = frame[bounds[0, 1] : bounds[1, 1], bounds[0, 0] : bounds[1, 0]].reshape(-1, 3)
    return colour_shares(patch, bins=4) if len(patch) >= 16 else np.zeros(0, np.float32)


def join_tracks(
    people: Sequence[Sequence[TrackedPerson]], *, fps: float, background: Background | None = None
) -> list[PersonTrack]:
    """Join the people of one shot into one track each, sorted by `activity`, the acting person first.

    Args:
        people: People detected in each frame.
        fps: Frames per second.
        background: What the camera did in these frames, so that nobody moves because it does; None for a camera that
            stands still.
    """
    frames = [[_to_detection(person) for person in frame] for frame in people]
    there = follow(frames, fps=fps)
    most = max((one.present for one in there), default=0.0)
    moves = {
        id(one): activity(held, _was_looked_at(people, one))
        for one, held in zip(there, _hold_tracks(there, background), strict=True)
    }
    # People who are rarely present come last.
    return sorted(there, key=lambda one: (one.present < _MIN_PRESENCE * most, -moves[id(one)]))


def _hold_tracks(tracks: Sequence[PersonTrack], background: Background | None) -> Sequence[PersonTrack]:
    """The tracks as a camera that stands still would see them."""
    if background is None or not tracks:
        return tracks
    moved = measure_camera(background)
    if not moved.moves:
        return tracks
    moved = moved.between(0, len(moved.zooms))
    held = [moved.hold_points(torch.from_numpy(one.points), background.size).numpy() for one in tracks]
    return [replace(one, points=points) for one, points in zip(tracks, held, strict=True)]


def activity(one: PersonTrack, looked: Bool[np.ndarray, " time"]) -> float:
    """How much a person visibly moves, in squared pixels, so that people who are near and large count more.

    Sum of the joints' variances, without the variance of jitter: furniture that is detected as a person jitters but
    does not move. Of two people who stand still, the one who is larger and present longer acts more.

    Args:
        one: The person.
        looked: The frames whose points were detected and not interpolated, since interpolation hides jitter.
    """
    points = np.where(one.confidence[..., None] > 0, one.points, np.nan)[looked]
    bends = np.diff(points, 2, axis=0)
    known = np.isfinite(bends).all(-1).sum(0) > 1
    if not known.any():
        return 0.0
    moved, bent = (float(np.nanvar(values[:, known], axis=0).sum()) for values in (points, bends))
    # White noise of variance 1 has second differences of variance 6.
    still = _LEAST_MOVEMENT * one.height**2
    return (max(0.0, moved - _JITTER_FACTOR * bent / 6) + still) * one.present


def _was_looked_at(people: Sequence[Sequence[TrackedPerson]], one: PersonTrack) -> Bool[np.ndarray, " time"]:
    """The frames in which a person was detected, and not interpolated between two detections."""
    return np.array([at >= 0 and people[number][at].looked for number, at in enumerate(one.which.tolist())], dtype=bool)


def _to_detection(person: TrackedPerson) -> Detection:
    sight = person.sight
    visible = sight.visibility[list(LIMBS)]
    confidence = np.where(visible >= _MIN_VISIBILITY, visible, 0.0).astype(np.float64)
    return Detection(sight.pixels[list(LIMBS)].astype(np.float64), confidence, person.name, person.look)


def boxes_of(people: Sequence[Sequence[TrackedPerson]]) -> list[NDArray[np.float64]]:
    """Boxes around the people of each frame [person, 4], wider by a fifth: left, top, right, bottom."""
    boxes = []
    for frame in people:
        corners = [(one.sight.pixels.min(0), one.sight.pixels.max(0)) for one in frame]
        margins = [0.2 * float(np.linalg.norm(high - low)) / 2**0.5 for low, high in corners]
        boxes.append(
            np.array(
                [[*(low - m), *(high + m)] for (low, high), m in zip(corners, margins, strict=True)], np.float64
            ).reshape(-1, 4)
        )
    return boxes


def landmarks_of(people: Sequence[Sequence[TrackedPerson]], one: PersonTrack) -> Landmarks:
    """The landmarks of one track; nan in frames without the person."""
    time = len(people)
    world, pixels = np.full((time, 33, 3), np.nan, np.float32), np.full((time, 33, 2), np.nan, np.float32)
    visibility = np.zeros((time, 33), np.float32)
    for number, which in enumerate(one.which.tolist()):
        if which >= 0:
            sight = people[number][which].sight
            world[number], pixels[number], visibility[number] = sight.world, sight.pixels, sight.visibility
    return Landmarks(torch.from_numpy(world), torch.from_numpy(pixels), torch.from_numpy(visibility))


@dataclass(frozen=True, eq=False)
class LeadPerson:
    """The acting person of a film, in the shot that shows most of that person.

    Attributes:
        seen: The landmarks, one row for each frame of the shot.
        first: The shot's first frame.
        share: Share of the film's frames that lie in the shot.
        people: Number of people in the shot.
        regions: Where the person is in each frame; None where absent.
        beside: Landmarks of everybody else in the shot, those who move most first.
    """

    seen: Landmarks
    first: int
    share: float
    people: int
    regions: Sequence[Region | None] = ()
    beside: Sequence[Landmarks] = ()


def choose_lead(
    people: Sequence[Sequence[TrackedPerson]],
    shots: Sequence[tuple[int, int]],
    *,
    fps: float,
    person: int = 0,
    background: Background | None = None,
) -> LeadPerson:
    """Choose the acting person, in the shot with most frames of that person; all landmarks are nan if there is none.

    Landmarks go on with whoever comes into the picture after the acting person has left it.

    Args:
        people: People detected in each frame.
        shots: First and one past the last frame of each shot.
        fps: Frames per second.
        person: 0 selects the acting person, 1 the next.
        background: What the camera did in each frame; None for a camera that stands still.
    """
    best: LeadPerson | None = None
    for first, last in shots:
        inside = people[first:last]
        shown = None if background is None else background.between(first, last)
        there = join_tracks(inside, fps=fps, background=shown)
        one = _add_returns(there[person], there) if len(there) > person else None
        seen = _no_landmarks(last - first) if one is None else landmarks_of(inside, one)
        which = [-1] * (last - first) if one is None else one.which.tolist()
        regions = [people[first + k][n].sight.region if n >= 0 else None for k, n in enumerate(which)]
        others = [] if one is None else [track for track in there if not _is_part(track, one)]
        beside = [landmarks_of(inside, track) for track in others]
        candidate = LeadPerson(seen, first, (last - first) / max(len(people), 1), len(there), regions, beside)
        if best is None or int(seen.found.sum()) > int(best.seen.found.sum()):
            best = candidate
    return best if best is not None else LeadPerson(_no_landmarks(0), 0, 0.0, 0)


def _add_returns(acting: PersonTrack, everybody: Sequence[PersonTrack]) -> PersonTrack:
    """The acting person's track with those of everybody who is only there while the acting person is not.

    Somebody who was away for long comes back under another name. Those who were there together with the acting person
    are bystanders, whatever they do later.
    """
    which = acting.which.copy()
    names = list(acting.names)
    for other in everybody:
        if other is not acting and not ((acting.which >= 0) & (other.which >= 0)).any():
            free = (which < 0) & (other.which >= 0)
            if free.sum() == (other.which >= 0).sum():
                which[free] = other.which[free]
                names.extend(other.names)
    return replace(acting, which=which, names=tuple(names))


def _is_part(track: PersonTrack, acting: PersonTrack) -> bool:
    """Whether a track is the acting person's own, or became a part of it."""
    return bool(((acting.which == track.which) & (track.which >= 0)).any())


def _no_landmarks(time: int) -> Landmarks:
    gone = torch.full((time, 33, 3), torch.nan)
    return Landmarks(gone, gone[..., :2], torch.zeros(time, 33))
