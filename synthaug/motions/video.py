"""Motion out of ordinary film: mediapipe's landmarks of body and hands, fitted, placed before the camera that saw them.

Between film and re-enactment. Needs the extra `pose`, which is imported when the first film is looked at.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.body.skeleton import Skeleton, joint_positions, lowest, mean_skeleton
from synthaug.motions import MotionSource, UnusableClipError
from synthaug.motions.fitting.energy import project
from synthaug.motions.fitting.fit import Beliefs, fit
from synthaug.motions.fitting.landmarks import (
    LIMB_ENDS,
    LIMBS,
    USED,
    Landmarks,
    kinds,
    landmark_markers,
    levelled,
    shapes,
    trust,
)
from synthaug.motions.fitting.markers import NUM_BODY, Sighting, Track
from synthaug.motions.fitting.placement import floor_plane, intrinsics, level_camera, on_the_floor, placed
from synthaug.motions.fitting.quality import Quality, assess_filmed
from synthaug.motions.pose.crowd import everybody, lead
from synthaug.motions.pose.fingers import Hands, finger_poses, with_knuckles
from synthaug.motions.pose.network import HAND_POINTS, Network, mediapipe_version
from synthaug.motions.pose.scenes import Standpoint, Watched, standpoint
from synthaug.motions.pose.shots import Glance, cuts, glance, shots
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.video import VideoInfo, indices_at, probe, read_frames

_VERSION = 4
"""Raised whenever the same film would yield another motion."""

FILM_BELIEFS = Beliefs(least_noise=0.03, least_pixel_noise=0.01)
"""mediapipe is some 3 cm off in shape and 1 cm in the picture even where it does not jitter (gmdcsa24, intel_asl)."""

_CHUNK = 64
"""Frames decoded at once: 88 MB at 480 rows."""
_ROWS = 480
"""Larger film is shrunk to so many rows; the network looks at 256 x 256 anyway."""
_HAND_ROWS = 1080
"""The same for hands, a twentieth of a person each."""
_HAND_STATURE = 180.0
"""Pixels of a person's height below which no hand is large enough to be looked at."""
_STATURE = 1.7
"""Metres by which errors in pixels become shares of a person's height."""


@dataclass(frozen=True)
class Gate:
    """What a clip must show before its motion counts as usable.

    Attributes:
        shot: Least share of the interval that the shot with the person fills; 1 wants film without cuts.
        detection: Least share of the shot's frames in one run with a person.
        visibility: Least mean visibility of trunk and limbs, 0..1.
        limb_variation: Most that limb lengths may vary: standard deviation over mean, averaged over limbs.
        jump: Heights of a person per second, beyond which the tracker has jumped to somebody else.
        gap: Longest stretch without a person that is bridged, seconds.
        reprojection: Largest median distance between fitted and seen joints, as a share of the person's height.
    """

    shot: float = 0.4
    detection: float = 0.6
    visibility: float = 0.35
    limb_variation: float = 0.3
    jump: float = 5.0
    gap: float = 0.5
    reprojection: float = 0.05


@final
class VideoMotion(MotionSource):
    """Motion of the acting person of an ordinary clip, by mediapipe 0.10.21 and a fit of our skeleton.

    Everybody in the film is followed; who moves most, and is large, acts. A film that was cut gives the shot that shows
    most of them. Gaps of up to `Gate.gap` are bridged by the fit, which knows how people move; longer ones end the
    motion. Fingers follow mediapipe's hands where these are large enough in the picture, and rest otherwise; jaw and
    eyes are zeros.

    The camera, taken to stand still, is estimated from the body and the feet of the clip (`scenes.standpoint`): lens,
    pitch, roll and height above the floor, each with its standard deviation. Where the clip tells nothing, as of
    seated people or with feet out of view, these are the prior's: level, 60 degrees of view. What is exact is where
    things land in the picture: a re-enactment seen through `Reference.camera` stands where the person stood, whatever
    the true lens was. The performer is given the mean body's size, so small people stand farther away.

    Notes of the reference: those of the score as `part_*` (see `quality.Quality`); `detection` (share of the shot's
    frames), `visibility`, `limb_variation`, `inside` (share of limb landmarks within the picture), `grounding` (share
    of frames within 20 cm of the floor), `reprojection` (median, share of height), `filled` (share of frames that were
    bridged), `people` and `shots` (how many), `shot` (share of the interval), `hands` (share of frames and hands
    seen), `offset` (seconds from the record's start to the first frame of the motion), `distance` (metres, median), and
    the camera's: `focal` (longer sides), `pitch_deg` (positive looks down), `roll_deg`, `camera_height` (metres), the
    standard deviations `focal_sd`, `pitch_sd_deg`, `roll_sd_deg`, `camera_height_sd`, and `pitch_evidence` (share of
    frames with somebody standing).

    Args:
        focal: Focal length over the longer side of the picture, where it is known: 1.0 is a horizontal view of 53
            degrees; phones, webcams and Kinects lie between 0.6 and 1.1. None estimates it.
        person: 0 takes who acts, 1 the next.
        warm_up: Seconds of film before the interval that the tracker may lock on in.
        gate: What a usable clip shows.
        iterations: Descent steps of the fit.
    """

    def __init__(
        self,
        *,
        focal: float | None = None,
        person: int = 0,
        warm_up: float = 1.0,
        gate: Gate | None = None,
        iterations: int = 40,
    ) -> None:
        if not (focal is None or 0.3 <= focal <= 10) or warm_up < 0 or iterations < 1 or person < 0:
            raise ValueError(
                f"focal={focal}, person={person}, warm_up={warm_up}, iterations={iterations} were given. A focal "
                "length of 0.3 to 10 longer sides, a person from 0, a warm-up of 0 s or more and at least one "
                "iteration were wanted. Correct the value."
            )
        self._focal = focal
        self._person = person
        self._warm_up = warm_up
        self._gate = gate or Gate()
        self._beliefs = dataclasses.replace(FILM_BELIEFS, iterations=iterations)

    @property
    def fingerprint(self) -> str:
        """Settings, the body fitted, and mediapipe's version."""
        settings = {
            "source": "video",
            "version": _VERSION,
            "mediapipe": mediapipe_version(),
            "focal": self._focal,
            "person": self._person,
            "warm_up": self._warm_up,
            "gate": dataclasses.asdict(self._gate),
            "beliefs": dataclasses.asdict(self._beliefs),
            "body": hashlib.blake2b(mean_skeleton().joints.numpy().tobytes(), digest_size=8).hexdigest(),
        }
        return json.dumps(settings, sort_keys=True)

    def reads(self, record: Record) -> tuple[Path, ...]:
        """Nothing but the film."""
        return ()

    def load(self, record: Record) -> Reference:
        """The motion of the acting person, in the film's frame rate, resampled if that varies.

        Raises:
            FileNotFoundError: If the file is not there.
            VideoError: If it cannot be read as film.
            UnusableClipError: If too little of a person is seen for a re-enactment.
            ImportError: If mediapipe is not installed.
        """
        if not record.path.exists():
            raise FileNotFoundError(
                f"{record.key!r} is to be read from {str(record.path)!r}, which is not there. The film of the record "
                "was wanted. Check the data set's root."
            )
        info = probe(record.path)
        end = min(record.end, info.duration)
        wanted = max(1, round((end - record.start) * info.fps))
        before = min(round(self._warm_up * info.fps), int(record.start * info.fps))
        film = _Film(record.path, info, [record.start + k / info.fps for k in range(-before, wanted)])
        glances: list[Glance] = []
        with Network() as network:
            people = everybody(_noted(film.frames(_ROWS), glances), network, fps=info.fps)[before:]
            takes = shots(cuts(glances[before:]), len(people))
            acting = lead(people, takes, fps=info.fps, person=self._person)
            watched = Watched(_scaled(acting.seen, film.size, _shrunk(film.size, _ROWS)), info.fps, film.size)
            hands = _hands(network, film, watched, first=before + acting.first)
        if acting.share < self._gate.shot:
            raise UnusableClipError(
                f"{record.key!r} is cut into {len(takes)} shots, of which the one with most of the person is "
                f"{acting.share:.0%} of it; at least {self._gate.shot:.0%} was wanted. Choose an interval without "
                "cuts, or lower gate.shot."
            )
        notes = {"people": float(acting.people), "shots": float(len(takes)), "shot": acting.share}
        found = take(
            watched, name=record.key, hands=hands, focal=self._focal, gate=self._gate, beliefs=self._beliefs
        )  # fmt: skip
        notes |= found.notes | {"offset": found.notes["offset"] + acting.first / info.fps}
        return dataclasses.replace(found, notes=notes)


@dataclass(frozen=True, eq=False)
class _Film:
    """The moments of a film that are looked at."""

    path: Path
    info: VideoInfo
    times: Sequence[float]

    @property
    def size(self) -> tuple[int, int]:
        return self.info.height, self.info.width

    def frames(
        self, rows: int, first: int = 0, last: int | None = None
    ) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        """The pictures of these moments one by one, at most so many rows high."""
        indices, small = indices_at(self.info, self.times[first:last]), _shrunk(self.size, rows)
        for start in range(0, len(indices), _CHUNK):
            chunk = read_frames(self.path, indices[start : start + _CHUNK], info=self.info, size=small)
            yield from chunk.permute(0, 2, 3, 1).numpy()


def _shrunk(size: tuple[int, int], rows: int) -> tuple[int, int]:
    """Size in which film is looked at: the same aspect within half a pixel, at most so many rows."""
    height, width = size
    share = min(1.0, rows / height)
    return round(height * share), round(width * share)


def _scaled(seen: Landmarks, size: tuple[int, int], looked: tuple[int, int]) -> Landmarks:
    """Landmarks of a picture of this size that was looked at in another one."""
    share = torch.tensor([size[1] / looked[1], size[0] / looked[0]])
    return dataclasses.replace(seen, pixels=seen.pixels * share)


def _noted(
    frames: Iterator[UInt8[np.ndarray, "height width 3"]], glances: list[Glance]
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """The frames as they pass by, a glance at each being kept."""
    for frame in frames:
        glances.append(glance(frame))
        yield frame


def _hands(network: Network, film: _Film, watched: Watched, *, first: int) -> Hands:
    """The hands of the person, where the person is large enough in the picture for hands to be more than a blot."""
    seen, looked = watched.seen, _shrunk(film.size, _HAND_ROWS)
    points = torch.full((len(seen.found), 2, HAND_POINTS, 3), torch.nan)
    share = looked[0] / film.size[0]
    if seen.found.any() and float(_pixel_height(seen)) * share >= _HAND_STATURE:
        small = _scaled(seen, looked, film.size)
        for k, frame in enumerate(film.frames(_HAND_ROWS, first, first + len(seen.found))):
            if seen.found[k]:
                found = network.hands(frame, small.pixels[k].numpy(), small.visibility[k].numpy())
                points[k] = torch.from_numpy(found)
    # Pixels of both axes and of depth are the film's.
    return Hands(points / share)


def take(
    watched: Watched,
    *,
    name: str,
    hands: Hands | None = None,
    focal: float | None = None,
    gate: Gate | None = None,
    beliefs: Beliefs = FILM_BELIEFS,
) -> Reference:
    """The motion and camera of a clip whose landmarks are known.

    Args:
        watched: One row of landmarks for each frame.
        name: Of the clip, for messages.
        hands: What was seen of the hands in the same frames; None saw nothing.
        focal: Focal length in longer sides of the picture; None estimates it.
        gate: What must be seen.
        beliefs: Weights of the fit.

    Raises:
        UnusableClipError: If the gate stays shut.
    """
    gate = gate or Gate()
    first, last = longest_run(watched.seen, fps=watched.fps, gate=gate)
    notes = _seen_notes(watched.seen, first, last, watched.size)
    _check(notes, gate, name)
    skeleton = mean_skeleton()
    run = Watched(watched.seen.between(first, last), watched.fps, watched.size)
    stand = standpoint([run], skeleton, focal=focal)
    grasp = Hands(
        torch.full((last - first, 2, HAND_POINTS, 3), torch.nan) if hands is None else hands.points[first:last]
    )
    told = dataclasses.replace(run, seen=with_knuckles(run.seen, grasp, skeleton))
    fitted = _fitted(told, stand, skeleton=skeleton, beliefs=beliefs)
    motion, camera = on_the_floor(
        fitted.motion, fitted.camera, fitted.floor, pitch_deg=stand.pitch_deg, roll_deg=stand.roll_deg
    )
    left, right = finger_poses(grasp, skeleton, fps=watched.fps)
    motion = dataclasses.replace(motion, left_hand_pose=left, right_hand_pose=right)
    # The body as fitted knows better than its landmarks how far below the camera its soles are.
    notes |= stand.notes() | {"camera_height": float(fitted.floor[3]), "offset": first / watched.fps}
    notes["distance"] = float(-fitted.motion.transl[:, 2].median())
    notes["filled"] = float((~run.seen.found).float().mean())
    notes["hands"] = float(grasp.seen.mean())
    notes["reprojection"] = reprojection(motion, camera, run.seen, skeleton)
    if notes["reprojection"] > gate.reprojection:
        raise UnusableClipError(
            f"The body fitted to {name!r} lands {notes['reprojection']:.0%} of a person's height beside the film; at "
            f"most {gate.reprojection:.0%} was wanted. The landmarks make no body, as with several people or cuts: "
            "leave the clip out, or raise gate.reprojection."
        )
    notes["grounding"] = float((lowest(joint_positions(motion, skeleton)).abs() < 0.2).float().mean())
    quality = _quality(fitted, run, notes, skeleton)
    return Reference(motion=motion, camera=camera, quality=quality.score, notes=notes | quality.notes())


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A body before a level camera: what it was fitted to, where its hips were put first, and the floor below."""

    motion: Motion
    camera: Camera
    track: Track
    root: Float[Tensor, "time 3"]
    floor: Float[Tensor, "4"]


def _fitted(watched: Watched, stand: Standpoint, *, skeleton: Skeleton, beliefs: Beliefs) -> _Fitted:
    """Fit twice: freely, to learn where the floor is, then above it."""
    run, fps, (height, width) = watched.seen, watched.fps, watched.size
    K, markers = intrinsics(width, height, stand.focal), landmark_markers()
    seen = trust(run, width=width, height=height)
    confidence = seen * kinds()
    shape, pixels = shapes(run, K, skeleton), run.pixels[:, list(USED)]
    # A quarter second: people come and go no faster, while guessed distances shake.
    root = placed(shape, pixels, confidence, K, smoothing=0.25 * fps)
    camera = level_camera(K, width, height, len(shape))
    track = Track(shape + root[:, None], confidence, fps, Sighting(pixels, confidence, camera))
    rough = dataclasses.replace(beliefs, iterations=(beliefs.iterations + 1) // 2)
    motion = fit(track, markers, skeleton, beliefs=rough)
    floor = floor_plane(motion, seen, markers, skeleton, pitch_deg=stand.pitch_deg, roll_deg=stand.roll_deg)
    track = dataclasses.replace(track, floor=floor)
    return _Fitted(fit(track, markers, skeleton, beliefs=beliefs), camera, track, root, floor)


def _quality(fitted: _Fitted, run: Watched, notes: dict[str, float], skeleton: Skeleton) -> Quality:
    """The score that every source has, and that the body stays on the floor."""
    track, used = fitted.track, list(USED)
    sight = track.sighting
    assert sight is not None, "film is fitted to pictures"
    visible = torch.where(run.seen.found[:, None], run.seen.visibility[:, used], 0)
    # What it doubts it invents: a limb that is not seen has no length and no side.
    sure = torch.where(visible >= 0.5, visible, 0)
    raw = levelled(run.seen, sight.camera.Ks[0])[:, used] + fitted.root[:, None]
    measured = Track(raw, sure, run.fps, dataclasses.replace(sight, confidence=visible))
    found = assess_filmed(
        measured, track, fitted.motion, landmark_markers(), skeleton, reprojection=notes["reprojection"]
    )
    # Never 0, for whole clips are spent on chairs with hidden feet.
    return Quality({**found.parts, "grounding": max(0.25, notes["grounding"])})


def longest_run(seen: Landmarks, *, fps: float, gate: Gate) -> tuple[int, int]:
    """First and one past the last frame of the longest stretch with one person, gaps and jumps considered."""
    at = seen.found.nonzero().squeeze(1).tolist()
    if not at:
        return 0, 0
    trunk = seen.pixels[:, [11, 12, 23, 24]].mean(1)
    heights = _pixel_height(seen)
    runs = [[at[0], at[0]]]
    for previous, current in zip(at, at[1:], strict=False):
        seconds = (current - previous) / fps
        speed = float((trunk[current] - trunk[previous]).norm() / heights.clamp(min=1) / seconds)
        # Between neighbouring frames any slip of the tracker is fast; a third of a height is no other person yet.
        jumped = speed > gate.jump and speed * seconds > 0.35
        if seconds > gate.gap + 1 / fps or jumped:
            runs.append([current, current])
        runs[-1][1] = current
    first, last = max(runs, key=lambda run: run[1] - run[0])
    return first, last + 1


def _pixel_height(seen: Landmarks) -> Float[Tensor, ""]:
    """A person's height in pixels, by the longest bones in sight: shoulder to hip, hip to knee, knee to ankle."""
    p = seen.pixels[seen.found]
    trunk = (p[:, 11:13].mean(1) - p[:, 23:25].mean(1)).norm(dim=-1)
    legs = [(p[:, a] - p[:, b]).norm(dim=-1) for a, b in LIMB_ENDS[4:]]
    # Trunk, thigh and shin are 0.29, 0.245 and 0.246 of a person's height (Drillis and Contini 1966).
    guesses = torch.stack([trunk / 0.29, *(leg / 0.245 for leg in legs)], dim=-1)
    return guesses.amax(dim=-1).median()


def _seen_notes(seen: Landmarks, first: int, last: int, size: tuple[int, int]) -> dict[str, float]:
    """The parts of the score that need no fit; shares count over the whole interval."""
    run = seen.between(first, last)
    found = run.found
    notes = {"detection": float(found.sum()) / max(1, len(seen.found)), "visibility": 0.0, "limb_variation": 1.0}
    notes["inside"] = 0.0
    if not found.any():
        return notes
    world, pixels = run.world[found], run.pixels[found]
    lengths = torch.stack([(world[:, a] - world[:, b]).norm(dim=-1) for a, b in LIMB_ENDS])
    spread = lengths.std(dim=1, correction=0) / lengths.mean(dim=1).clamp(min=1e-6)
    limbs = pixels[:, list(LIMBS)]
    within = (limbs >= 0).all(-1) & (limbs < torch.tensor([size[1], size[0]])).all(-1)
    notes["visibility"] = float(run.visibility[found][:, list(LIMBS)].mean())
    notes["limb_variation"] = float(spread.mean())
    notes["inside"] = float(within.float().mean())
    return notes


def _check(notes: dict[str, float], gate: Gate, name: str) -> None:
    if notes["detection"] < gate.detection:
        raise UnusableClipError(
            f"No person could be followed in {1 - notes['detection']:.0%} of the frames of {name!r}; a person in one "
            f"run of at least {gate.detection:.0%} was wanted. Choose an interval in which one person is in full "
            "view, or lower gate.detection."
        )
    if notes["visibility"] < gate.visibility:
        raise UnusableClipError(
            f"Trunk and limbs of {name!r} are {notes['visibility']:.0%} visible on average; at least "
            f"{gate.visibility:.0%} was wanted. Choose film that shows more of the body, or lower gate.visibility."
        )
    if notes["limb_variation"] > gate.limb_variation:
        raise UnusableClipError(
            f"Limbs in {name!r} change their length by {notes['limb_variation']:.0%}; at most "
            f"{gate.limb_variation:.0%} was wanted, for bones do not. Is it one person without cuts? Leave the clip "
            "out, or raise gate.limb_variation."
        )


def reprojection(motion: Motion, camera: Camera, seen: Landmarks, skeleton: Skeleton) -> float:
    """Median distance in the picture between fitted joints and visible landmarks, as a share of a person's height."""
    markers = landmark_markers()
    limbs = [marker for marker, landmark in enumerate(USED) if landmark in LIMBS]
    joints = joint_positions(motion, skeleton)[:, :NUM_BODY]
    pixels, depth = project(joints[:, markers.frames[limbs]], camera)
    landmarks = [USED[marker] for marker in limbs]
    visible = (seen.visibility[:, landmarks] > 0.5) & seen.found[:, None] & (depth > 0)
    if not visible.any():
        return 1.0
    height = _STATURE * camera.Ks[:, 1, 1, None] / depth.mean(1, keepdim=True).clamp(min=0.1)
    error = (pixels - seen.pixels[:, landmarks]).norm(dim=-1) / height
    return float(error[visible].median())
