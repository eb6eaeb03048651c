"""Motion out of ordinary film: mediapipe's landmarks, fitted, placed before the camera that saw them.

Between film and re-enactment. Needs the extra `pose`, which is imported when the first film is looked at.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.body import Skeleton, joint_positions, lowest, mean_skeleton
from synthaug.motions import MotionSource, UnusableClipError
from synthaug.motions.energy import project
from synthaug.motions.fitting import Beliefs, fit
from synthaug.motions.landmarks import (
    LIMB_ENDS,
    LIMBS,
    USED,
    Landmarks,
    detect_any_way_up,
    kinds,
    landmark_markers,
    mediapipe_version,
    shapes,
    trust,
)
from synthaug.motions.markers import NUM_BODY, Sighting, Track
from synthaug.motions.placement import floor_plane, intrinsics, level_camera, on_the_floor, placed
from synthaug.motions.scenes import Standpoint, Watched, standpoint
from synthaug.structures import Camera, Motion, Record, Reference
from synthaug.video import indices_at, probe, read_frames

_VERSION = 3
"""Raised whenever the same film would yield another motion."""

FILM_BELIEFS = Beliefs(least_noise=0.03, least_pixel_noise=0.01)
"""mediapipe is some 3 cm off in shape and 1 cm in the picture even where it does not jitter (gmdcsa24, intel_asl)."""

_CHUNK = 64
"""Frames decoded at once: 88 MB at 480 rows."""
_ROWS = 480
"""Larger film is shrunk to so many rows; the network looks at 256 x 256 anyway."""
_STATURE = 1.7
"""Metres by which errors in pixels become shares of a person's height."""
_PARTS = ("detection", "visibility", "steadiness", "inside", "landing", "grounding")
"""Notes whose geometric mean is the quality."""


@dataclass(frozen=True)
class Gate:
    """What a clip must show before its motion counts as usable.

    Attributes:
        detection: Least share of the interval's frames in one run with a person.
        visibility: Least mean visibility of trunk and limbs, 0..1.
        limb_variation: Most that limb lengths may vary: standard deviation over mean, averaged over limbs.
        jump: Heights of a person per second, beyond which the tracker has jumped to somebody else.
        gap: Longest stretch without a person that is bridged, seconds.
        reprojection: Largest median distance between fitted and seen joints, as a share of the person's height.
    """

    detection: float = 0.6
    visibility: float = 0.35
    limb_variation: float = 0.3
    jump: float = 5.0
    gap: float = 0.5
    reprojection: float = 0.05


@final
class VideoMotion(MotionSource):
    """Motion of the most visible person of an ordinary clip, by mediapipe 0.10.21 and a fit of our skeleton.

    The camera, taken to stand still, is estimated from the body and the feet of the clip (`scenes.standpoint`): lens,
    pitch, roll and height above the floor, each with its standard deviation. Where the clip tells nothing, as of
    seated people or with feet out of view, these are the prior's: level, 60 degrees of view. What is exact is where
    things land in the picture: a re-enactment seen through `Reference.camera` stands where the person stood, whatever
    the true lens was. The performer is given the mean body's size, so small people stand farther away. Hands, jaw and
    eyes are zeros.

    Notes of the reference: `detection`, `visibility`, `limb_variation`, `inside` (share of limb landmarks within the
    picture), `grounding` (share of frames within 20 cm of the floor), `reprojection` (median, share of height),
    `steadiness` and `landing` (1 is best), `offset` (seconds from the record's start to the first frame of the
    motion, where a bad beginning was cut off), `distance` (metres, median), and the camera's: `focal` (longer sides),
    `pitch_deg` (positive looks down), `roll_deg`, `camera_height` (metres), the standard deviations `focal_sd`,
    `pitch_sd_deg`, `roll_sd_deg`, `camera_height_sd`, and `pitch_evidence` (share of frames with somebody standing).

    Args:
        focal: Focal length over the longer side of the picture, where it is known: 1.0 is a horizontal view of 53
            degrees; phones, webcams and Kinects lie between 0.6 and 1.1. None estimates it.
        warm_up: Seconds of film before the interval that the tracker may lock on in.
        gate: What a usable clip shows.
        iterations: Descent steps of the fit.
    """

    def __init__(
        self, *, focal: float | None = None, warm_up: float = 1.0, gate: Gate | None = None, iterations: int = 40
    ) -> None:
        if not (focal is None or 0.3 <= focal <= 10) or warm_up < 0 or iterations < 1:
            raise ValueError(
                f"focal={focal}, warm_up={warm_up}, iterations={iterations} were given. A focal length of 0.3 to 10 "
                "longer sides, a warm-up of 0 s or more and at least one iteration were wanted. Correct the value."
            )
        self._focal = focal
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
        """The motion of the most visible person, in the film's frame rate, resampled if that varies.

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
        times = [record.start + k / info.fps for k in range(-before, wanted)]
        indices, size = indices_at(info, times), (info.height, info.width)
        found = detect_any_way_up(lambda: _frames(record, indices, size))
        scale = torch.tensor([size[1], size[0]]) / torch.tensor([_shrunk(size)[1], _shrunk(size)[0]])
        seen = Landmarks(found.world, found.pixels * scale, found.visibility).between(before, before + wanted)
        return take(
            seen, fps=info.fps, size=size, name=record.key, focal=self._focal,
            gate=self._gate, beliefs=self._beliefs,
        )  # fmt: skip


def _shrunk(size: tuple[int, int]) -> tuple[int, int]:
    """Size in which film is looked at: the same aspect within half a pixel, at most 480 rows."""
    height, width = size
    share = min(1.0, _ROWS / height)
    return round(height * share), round(width * share)


def _frames(record: Record, indices: list[int], size: tuple[int, int]) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    small = _shrunk(size)
    for first in range(0, len(indices), _CHUNK):
        chunk = read_frames(record.path, indices[first : first + _CHUNK], size=small)
        yield from chunk.permute(0, 2, 3, 1).numpy()


def take(  # noqa: PLR0913 - a clip's rate, size and name belong to it, not to a noun of their own
    seen: Landmarks,
    *,
    fps: float,
    size: tuple[int, int],
    name: str,
    focal: float | None = None,
    gate: Gate | None = None,
    beliefs: Beliefs = FILM_BELIEFS,
) -> Reference:
    """The motion and camera of a clip whose landmarks are known.

    Args:
        seen: One row for each frame of the interval.
        fps: Frames per second.
        size: Height and width of the picture.
        name: Of the clip, for messages.
        focal: Focal length in longer sides of the picture; None estimates it.
        gate: What must be seen.
        beliefs: Weights of the fit.

    Raises:
        UnusableClipError: If the gate stays shut.
    """
    gate = gate or Gate()
    first, last = longest_run(seen, fps=fps, gate=gate)
    notes = _seen_notes(seen, first, last, size)
    _check(notes, gate, name)
    run = seen.between(first, last)
    skeleton = mean_skeleton()
    watched = Watched(run, fps, size)
    motion, camera, more = _placed_motion(
        watched, standpoint([watched], skeleton, focal=focal), skeleton=skeleton, beliefs=beliefs
    )
    notes |= more | {"offset": first / fps}
    notes["reprojection"] = reprojection(motion, camera, run, skeleton)
    notes["landing"] = max(0.0, 1 - notes["reprojection"] / 0.05)
    heights = lowest(joint_positions(motion, skeleton))
    # Never 0, for whole clips are spent on chairs with hidden feet.
    notes["grounding"] = max(0.1, float((heights.abs() < 0.2).float().mean()))
    if notes["reprojection"] > gate.reprojection:
        raise UnusableClipError(
            f"The body fitted to {name!r} lands {notes['reprojection']:.0%} of a person's height beside the film; at "
            f"most {gate.reprojection:.0%} was wanted. The landmarks make no body, as with several people or cuts: "
            "leave the clip out, or raise gate.reprojection."
        )
    quality = float(np.prod([notes[part] for part in _PARTS]) ** (1 / len(_PARTS)))
    return Reference(motion=motion, camera=camera, quality=quality, notes=notes)


def _placed_motion(
    watched: Watched, stand: Standpoint, *, skeleton: Skeleton, beliefs: Beliefs
) -> tuple[Motion, Camera, dict[str, float]]:
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
    motion = fit(dataclasses.replace(track, floor=floor), markers, skeleton, beliefs=beliefs)
    # The body as fitted knows better than its landmarks how far below the camera its soles are.
    notes = stand.notes() | {"camera_height": float(floor[3]), "distance": float(-motion.transl[:, 2].median())}
    return *on_the_floor(motion, camera, floor, pitch_deg=stand.pitch_deg, roll_deg=stand.roll_deg), notes


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
    notes |= {"inside": 0.0, "steadiness": 0.0}
    if not found.any():
        return notes
    world, pixels = run.world[found], run.pixels[found]
    lengths = torch.stack([(world[:, a] - world[:, b]).norm(dim=-1) for a, b in LIMB_ENDS])
    spread = lengths.std(dim=1, correction=0) / lengths.mean(dim=1).clamp(min=1e-6)
    limbs = pixels[:, list(LIMBS)]
    within = (limbs >= 0).all(-1) & (limbs < torch.tensor([size[1], size[0]])).all(-1)
    notes["visibility"] = float(run.visibility[found][:, list(LIMBS)].mean())
    notes["limb_variation"] = float(spread.mean())
    notes["steadiness"] = max(0.0, 1 - notes["limb_variation"] / 0.4)
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
