"""Everybody in a film: found, each followed in a region of their own, kept apart where they meet.

Between mediapipe's networks and `following`, which joins what is found here into one track a person.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from synthaug.motions.fitting.landmarks import LIMBS, Landmarks
from synthaug.motions.pose.following import Detection, PersonTrack, follow
from synthaug.motions.pose.network import PersonLandmarks, PoseDetector, Region, turn_back
from synthaug.motions.pose.shots import colour_shares

MAX_PEOPLE = 6
"""People looked at in a frame: each costs as much as one alone."""
_NEWCOMERS = 0.25
"""Seconds between searches for people who are not followed yet."""
_SAME = 0.08
"""Heights by which two sights of one person differ at most: less than people who embrace (half a metre apart)."""
_COVERED = 0.1
"""Share of a region's side within which another region's middle shows the same person."""
_LASTING = 0.75
"""Share of the frames of who is there longest below which nobody is taken for the performer."""
_FLICKER = 2.5
"""How often the noise that neighbouring frames show is taken off a person's movement; waving at 3 Hz survives it."""
_STILL = 1e-3
"""Squared heights that everybody moves."""
_VISIBLE = 0.3
"""Visibility below which a landmark says nothing of where a person is."""
_TRUNK = (11, 12, 24, 23)


@dataclass(frozen=True, eq=False)
class TrackedPerson:
    """One person in one frame.

    Attributes:
        sight: Landmarks.
        name: Which of the tracker's people this is; it can be wrong after two have met.
        look: Colours of the trunk, as `shots.colour_shares` gives them; empty where it cannot be seen.
    """

    sight: PersonLandmarks
    name: str
    look: Float[np.ndarray, " bin"]


def track_everybody(
    frames: Iterable[UInt8[np.ndarray, "height width 3"]], eyes: PoseDetector, *, fps: float
) -> list[tuple[TrackedPerson, ...]]:
    """Who is in each of consecutive frames.

    Where people were in one frame they are looked for in the next; who is new is searched for four times a second, and
    where nobody is left at once, also with the picture on its side: the detector knows upright people, and some have
    fallen. Two regions that have come to show one person become one.

    Args:
        frames: sRGB.
        eyes: Find people and look at them.
        fps: Frames per second.
    """
    every = max(1, round(_NEWCOMERS * fps))
    followed: list[tuple[str, PersonLandmarks]] = []
    born, result = 0, []
    for number, frame in enumerate(frames):
        looked = [(name, eyes.look(frame, sight.region), sight) for name, sight in followed]
        there = _drop_duplicates([(name, now, before) for name, now, before in looked if now is not None])
        if not there or (number % every == 0 and len(there) < MAX_PEOPLE):
            for sight in _find_newcomers(frame, eyes, [sight for _, sight in there]):
                there.append((str(born), sight))
                born += 1
        followed = there[:MAX_PEOPLE]
        result.append(tuple(TrackedPerson(sight, name, _trunk_colours(frame, sight)) for name, sight in followed))
    return result


def _drop_duplicates(
    there: Sequence[tuple[str, PersonLandmarks, PersonLandmarks]],
) -> list[tuple[str, PersonLandmarks]]:
    """Who was there, with what is seen of them now; where two show the same person, who was nearer before stays.

    The same person is who has the same limbs, or the same middle and size: somebody who falls is for a moment seen
    upright and lying.
    """
    kept: list[tuple[str, PersonLandmarks, float]] = []
    for name, now, before in there:
        moved = _distance(now, before)
        rivals = [
            k for k, (_, other, _) in enumerate(kept)
            if _distance(now, other) < _SAME or _covers(now.region, other.region)
        ]  # fmt: skip
        if not rivals:
            kept.append((name, now, moved))
        elif moved < kept[rivals[0]][2]:
            kept[rivals[0]] = (name, now, moved)
    return [(name, now) for name, now, _ in kept]


def _find_newcomers(
    frame: UInt8[np.ndarray, "height width 3"], eyes: PoseDetector, known: Sequence[PersonLandmarks]
) -> list[PersonLandmarks]:
    """People in the picture who are not among those known."""
    found = _look_for_unknown(frame, eyes, known, _find_upright(frame, eyes))
    if found or known:
        return found
    # Who lies is searched for where nobody else is.
    for turns in (1, 3):
        height, width = frame.shape[:2]
        regions = [turn_back(region, turns, width=width, height=height) for region in eyes.find(np.rot90(frame, turns))]
        found = _look_for_unknown(frame, eyes, known, regions)
        if found:
            break
    return found


def _find_upright(frame: UInt8[np.ndarray, "height width 3"], eyes: PoseDetector) -> list[Region]:
    """Upright people in the whole picture and in its halves.

    The detector looks at 224 x 224 pixels and misses people of a third of the picture's height where there are two;
    in a half of the picture they are as large again.
    """
    width = frame.shape[1]
    half = (width + 1) // 2
    windows = [(0, width), (0, half), ((width - half) // 2, (width + half) // 2), (width - half, width)]
    return [
        replace(region, x=region.x + first)
        for first, last in windows
        for region in eyes.find(np.ascontiguousarray(frame[:, first:last]))
    ]


def _look_for_unknown(
    frame: UInt8[np.ndarray, "height width 3"],
    eyes: PoseDetector,
    known: Sequence[PersonLandmarks],
    regions: Sequence[Region],
) -> list[PersonLandmarks]:
    """What is to be seen in those regions that show nobody who is known, or has been seen in another of them."""
    found: list[PersonLandmarks] = []
    for region in regions:
        there = [*known, *found]
        if len(there) >= MAX_PEOPLE or any(_covers(sight.region, region) for sight in there):
            continue
        sight = eyes.look(frame, region)
        if sight is not None and all(_distance(sight, other) >= _SAME for other in there):
            found.append(sight)
    return found


def _covers(one: Region, other: Region) -> bool:
    side = min(one.side, other.side)
    return math.hypot(one.x - other.x, one.y - other.y) < _COVERED * side and max(one.side, other.side) < 1.5 * side


def _distance(one: PersonLandmarks, other: PersonLandmarks) -> float:
    """Median distance of the limbs' joints, in heights of the larger."""
    a, b = one.pixels[list(LIMBS)], other.pixels[list(LIMBS)]
    tall = max(float(np.linalg.norm(np.ptp(points, axis=0))) for points in (a, b))
    return float(np.median(np.linalg.norm(a - b, axis=1))) / max(tall, 1e-6)


def _trunk_colours(frame: UInt8[np.ndarray, "height width 3"], sight: PersonLandmarks) -> Float[np.ndarray, " bin"]:
    """Colours within the box about shoulders and hips, its outer fifths left out."""
    corners = sight.pixels[list(_TRUNK)]
    low, high = corners.min(0), corners.max(0)
    inner = (high - low) * 0.2
    bounds = np.clip(np.stack([low + inner, high - inner]), 0, [[frame.shape[1], frame.shape[0]]]).round().astype(int)
    patch = frame[bounds[0, 1] : bounds[1, 1], bounds[0, 0] : bounds[1, 0]].reshape(-1, 3)
    return colour_shares(patch, bins=4) if len(patch) >= 16 else np.zeros(0, np.float32)


def join_tracks(people: Sequence[Sequence[TrackedPerson]], *, fps: float) -> list[PersonTrack]:
    """Everybody in one shot, each as one track over its frames, the one who acts first: see `activity`."""
    frames = [[_to_detection(person) for person in frame] for frame in people]
    there = follow(frames, fps=fps)
    most = max((one.present for one in there), default=0.0)
    # Who is seldom there comes last.
    return sorted(there, key=lambda one: (one.present < _LASTING * most, -activity(one)))


def activity(one: PersonTrack) -> float:
    """How much somebody moves where it can be seen, in squared pixels: who is near and large counts more.

    Variances of the joints, less what flicker explains: furniture that is taken for somebody is found a little
    elsewhere in each frame, which is no movement. Of two who stand still the larger and more lasting acts more.
    """
    points = np.where(one.confidence[..., None] > 0, one.points, np.nan)
    bends = np.diff(points, 2, axis=0)
    known = np.isfinite(bends).all(-1).sum(0) > 1
    if not known.any():
        return 0.0
    moved, bent = (float(np.nanvar(values[:, known], axis=0).sum()) for values in (points, bends))
    # White noise of variance 1 has second differences of variance 6.
    still = _STILL * one.height**2
    return (max(0.0, moved - _FLICKER * bent / 6) + still) * one.present


def _to_detection(person: TrackedPerson) -> Detection:
    sight = person.sight
    visible = sight.visibility[list(LIMBS)]
    confidence = np.where(visible >= _VISIBLE, visible, 0.0).astype(np.float64)
    return Detection(sight.pixels[list(LIMBS)].astype(np.float64), confidence, person.name, person.look)


def landmarks_of(people: Sequence[Sequence[TrackedPerson]], one: PersonTrack) -> Landmarks:
    """The landmarks of one track, nan in frames without the person."""
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
    """Who acts in a film, in the shot that shows most of them.

    Attributes:
        seen: The landmarks, one row for each frame of the shot.
        first: The shot's first frame.
        share: Of the film's frames that lie in the shot.
        people: In the shot.
    """

    seen: Landmarks
    first: int
    share: float
    people: int


def choose_lead(
    people: Sequence[Sequence[TrackedPerson]], shots: Sequence[tuple[int, int]], *, fps: float, person: int = 0
) -> LeadPerson:
    """The acting person, in the shot with most frames of them; nobody's landmarks where a shot has too few people.

    Args:
        people: Found in each frame.
        shots: First and one past the last frame of each.
        fps: Frames per second.
        person: 0 takes who acts, 1 the next.
    """
    best: LeadPerson | None = None
    for first, last in shots:
        inside = people[first:last]
        there = join_tracks(inside, fps=fps)
        one = there[person] if len(there) > person else None
        seen = _no_landmarks(last - first) if one is None else landmarks_of(inside, one)
        candidate = LeadPerson(seen, first, (last - first) / max(len(people), 1), len(there))
        if best is None or int(seen.found.sum()) > int(best.seen.found.sum()):
            best = candidate
    return best if best is not None else LeadPerson(_no_landmarks(0), 0, 0.0, 0)


def _no_landmarks(time: int) -> Landmarks:
    gone = torch.full((time, 33, 3), torch.nan)
    return Landmarks(gone, gone[..., :2], torch.zeros(time, 33))
