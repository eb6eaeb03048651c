"""Extract motion from ordinary film: fit a body to mediapipe's landmarks of body, hands and face, find the camera.

Needs the extra `pose`, which is imported when the first film is read.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.body.skeleton import mean_skeleton
from synthaug.motions import MotionSource, UnusableClipError
from synthaug.motions.files.recognition import is_film
from synthaug.motions.fitting.company import check_company
from synthaug.motions.fitting.landmarks import Landmarks
from synthaug.motions.pose.camera_motion import Background, BackgroundFollower
from synthaug.motions.pose.crowd import boxes_of, choose_lead, track_people
from synthaug.motions.pose.fingers import Hands
from synthaug.motions.pose.mouth import FACE_POINTS, jaw_pose
from synthaug.motions.pose.network import HAND_POINTS, MediapipeNetwork, PersonLandmarks, Region, mediapipe_version
from synthaug.motions.pose.pacing import fill_hands, frames_between_looks
from synthaug.motions.pose.reconstruction import (
    FILM_BELIEFS,
    Gate,
    pixel_height,
    reconstruct_beside,
    reference_from_landmarks,
)
from synthaug.motions.pose.scenes import WatchedPerson
from synthaug.motions.pose.shots import Thumbnail, find_cuts, make_thumbnail, split_shots
from synthaug.progress import track
from synthaug.structures import Record, Reference
from synthaug.video import SUFFIXES, VideoInfo, indices_at, probe, stream_frames

_VERSION = 12
"""Raised whenever the same film would yield another motion."""

_BODY_ROWS = 480
"""Larger film is scaled to this number of rows; the network sees 256 x 256 anyway."""
_HAND_ROWS = 1080
"""The same for hands, which are a twentieth of a person's height."""
_MIN_HAND_STATURE = 180.0
"""Pixels of a person's height below which hands are too small to be detected."""
_FACE_SIDE = 0.155
"""Side of a square around the face, as a share of a person's height."""
_MIN_FACE_SIDE = 64.0
"""Pixels of that square below which lips are too small to be told apart."""
_SMALL_STATURE = 160.0
"""Pixels of a person's height, in film of `_BODY_ROWS` rows, below which larger film is looked at more closely."""


@final
class VideoMotion(MotionSource):
    """Motion of the acting person of an ordinary clip, by mediapipe 0.10.21 and a fit of our skeleton.

    All people in the film are tracked; the acting person is the one who moves most, in pixels. If the film has cuts,
    the shot that shows most of that person is used. The fit bridges gaps of up to `Gate.gap`; longer ones end the
    motion, and what comes after one of at least `Gate.least` seconds is another performance (`Reference.others`). The
    data module leaves out those shorter than half of its clips. Limbs that the network loses for less, and whose
    guesses leap, are bridged (`limbs`); fast limbs that are seen stay as they are. Who is upright and never
    seen down to the knees stands (`unseen`), whatever the network makes up for the legs. Fingers follow its hands
    where these are large enough in the picture, and are at rest otherwise. So does the jaw mediapipe's face, where that
    is 64 pixels large (a signer before a webcam, not somebody who is seen as a whole). Eyes and expression
    are zeros.

    The camera may pan, tilt, roll, zoom and shake about its place: this is measured on the background
    (`camera_motion`), taken out of the motion, and given back to `Reference.camera`. A camera that travels, or a
    background that moves by itself, lowers the part `camera` of the score. The rest is estimated from the body and the
    feet (`scenes.estimate_standpoint`): lens (pans tell it better where there are any), pitch, roll and height above
    the floor, each with its standard deviation. If the clip shows too little, as with seated people or feet out of
    view, the prior is used: level, 60 degrees of view. Positions in the picture are exact: a re-enactment seen through
    `Reference.camera` stands where the person stood, whatever the true lens was. The performer gets the mean body's
    size, so small people are placed farther away.

    Notes of the reference: the parts of the score as `part_*` (see `quality.Quality`); `detection` (share of the shot's
    frames), `visibility`, `limb_variation`, `inside` (share of limb landmarks within the picture), `grounding` (share
    of frames within 20 cm of the floor), `reprojection` (median, share of height), `filled` (share of bridged frames),
    `people` and `shots` (counts), `shot` (share of the interval), `hands` (share of frames and hands seen), `face`
    (share of the shot's looks that saw it), `offset` (seconds from the record's start to the first frame of the
    motion), `distance` (metres, median), and the camera's: `camera_turn_deg` (largest turn from the middle of the
    motion), `camera_zoom` (longest focal length over shortest), `focal` (longer sides), `pitch_deg` (positive looks
    down), `roll_deg`, `camera_height` (metres), the standard deviations `focal_sd`, `pitch_sd_deg`, `roll_sd_deg`,
    `camera_height_sd`, and `pitch_evidence` (share of frames with a standing person).

    Args:
        focal: Focal length over the longer side of the picture: 1.0 is a horizontal view of 53 degrees; phones, webcams
            and Kinects lie between 0.6 and 1.1. None estimates it.
        person: 0 selects the acting person, 1 the next.
        warm_up: Seconds of film before the interval in which the tracker may find the person.
        gate: What a usable clip must show.
        iterations: Descent steps of the fit.
        companions: Who else is re-enacted: "never" nobody, "near" the group about the acting person, "all" bystanders
            too; those who are seen in at least `gate.detection` of the motion's frames. Who is smaller in the picture
            is put farther away, whatever their stature; hands and faces are at rest.
    """

    looks: ClassVar[str] = f"a film ({', '.join(SUFFIXES[:4])}, ...)"

    def __init__(
        self,
        *,
        focal: float | None = None,
        person: int = 0,
        warm_up: float = 1.0,
        gate: Gate | None = None,
        iterations: int = 40,
        companions: str = "never",
    ) -> None:
        check_company(companions)
        if not (focal is None or 0.3 <= focal <= 10) or warm_up < 0 or iterations < 1 or person < 0:
            raise ValueError(
                "Expected focal between 0.3 and 10 longer sides or None, person from 0, warm_up of 0 s or more and at "
                f"least one of iterations, got focal={focal}, person={person}, warm_up={warm_up} and "
                f"iterations={iterations}. Correct the value."
            )
        self._focal = focal
        self._person = person
        self._warm_up = warm_up
        self._companions = companions
        self._gate = gate or Gate()
        self._beliefs = dataclasses.replace(FILM_BELIEFS, iterations=iterations)

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Whether this is a film."""
        return is_film(path)

    @property
    def fingerprint(self) -> str:
        """Settings, the fitted body, and mediapipe's version."""
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
        # Without companions as before there were any, so that what was extracted then is still found.
        company = {} if self._companions == "never" else {"companions": self._companions}
        return json.dumps(settings | company, sort_keys=True)

    def reads(self, record: Record) -> tuple[Path, ...]:
        """No files besides the film."""
        return ()

    def load(self, record: Record) -> Reference:
        """The motion of the acting person in the film's frame rate, resampled if that varies.

        Raises:
            FileNotFoundError: If the file is missing.
            VideoError: If it cannot be read as film.
            UnusableClipError: If too little of a person is visible for a re-enactment.
            ImportError: If mediapipe is not installed.
        """
        if not record.path.exists():
            raise FileNotFoundError(
                f"No such file: {str(record.path)!r}, the film of {record.key!r}. Check the data set's root."
            )
        info = probe(record.path)
        end = min(record.end, info.duration)
        count = max(1, round((end - record.start) * info.fps))
        before = min(round(self._warm_up * info.fps), int(record.start * info.fps))
        film = _FilmFrames(record.path, info, [record.start + k / info.fps for k in range(-before, count)])
        thumbnails: list[Thumbnail] = []
        follower = BackgroundFollower()
        with MediapipeNetwork() as network:
            frames = _watch(film.frames(_BODY_ROWS, doing="Looking for people in"), thumbnails, follower)
            everybody = track_people(frames, network, fps=info.fps)
            people = everybody[before:]
            spans = split_shots(find_cuts(thumbnails[before:]), len(people))
            background = Background(follower.links, boxes_of(everybody), follower.size).between(before, len(everybody))
            acting = choose_lead(people, spans, fps=info.fps, person=self._person, background=background)
            watched, *beside = (
                WatchedPerson(
                    _scale_pixels(seen, film.size, _shrink_size(film.size, _BODY_ROWS)), info.fps, film.size,
                    background.between(acting.first, acting.first + len(acting.seen.found)),
                )
                for seen in (acting.seen, *(acting.beside if self._companions != "never" else ()))
            )  # fmt: skip
            watched = _look_closer(network, film, watched, before + acting.first, acting.regions)
            details = _detect_details(network, film, watched, first=before + acting.first)
        self._check_shot(acting.share, len(spans), record.key)
        notes = {"people": float(acting.people), "shots": float(len(spans)), "shot": acting.share}
        found = reference_from_landmarks(
            watched, name=record.key, hands=details.hands, focal=self._focal, gate=self._gate, beliefs=self._beliefs,
            beside=beside,
        )  # fmt: skip
        step = frames_between_looks(info.fps)
        jaw = jaw_pose(details.face, step=step)
        notes["face"] = float(details.face[::step].isfinite().all(-1).all(-1).float().mean())
        takes = [
            dataclasses.replace(
                _open_mouth(take, jaw, info.fps),
                others=(),
                notes=notes | take.notes | {"offset": take.notes["offset"] + acting.first / info.fps},
            )
            for take in (
                reconstruct_beside(beside, one, self._companions, gate=self._gate, beliefs=self._beliefs)
                for one in (found, *found.others)
            )
        ]
        return dataclasses.replace(takes[0], others=tuple(takes[1:]))

    def _check_shot(self, share: float, shots: int, name: str) -> None:
        """Raise unless the shot with the person fills enough of the interval."""
        if share < self._gate.shot:
            raise UnusableClipError(
                f"Expected one shot to fill at least {self._gate.shot:.0%} of {name!r}, got {shots} shots, and the one "
                f"with most of the person fills {share:.0%}. Choose an interval without cuts, or lower gate.shot."
            )


@dataclass(frozen=True, eq=False)
class _FilmFrames:
    """Frames of a film at given times."""

    path: Path
    info: VideoInfo
    times: Sequence[float]

    @property
    def size(self) -> tuple[int, int]:
        return self.info.height, self.info.width

    def frames(
        self, rows: int, first: int = 0, last: int | None = None, step: int = 1, *, doing: str
    ) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        """Decode the frames one by one, scaled to at most this number of rows; say how far that is if it takes long."""
        indices = indices_at(self.info, self.times[first:last:step])
        frames = stream_frames(self.path, indices, info=self.info, size=_shrink_size(self.size, rows))
        return track(frames, f"{doing} {self.path.name}, frames", len(indices))


def _shrink_size(size: tuple[int, int], rows: int) -> tuple[int, int]:
    """Size with at most this number of rows and the same aspect within half a pixel."""
    height, width = size
    share = min(1.0, rows / height)
    return round(height * share), round(width * share)


def _scale_pixels(seen: Landmarks, size: tuple[int, int], looked: tuple[int, int]) -> Landmarks:
    """Scale landmarks from the size that the network saw to the size of the film."""
    share = torch.tensor([size[1] / looked[1], size[0] / looked[0]])
    return dataclasses.replace(seen, pixels=seen.pixels * share)


def _watch(
    frames: Iterator[UInt8[np.ndarray, "height width 3"]], thumbnails: list[Thumbnail], follower: BackgroundFollower
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Pass frames through, append a thumbnail of each to the list, and follow their background."""
    for frame in frames:
        thumbnails.append(make_thumbnail(frame))
        follower.add(frame)
        yield frame


def _look_closer(
    network: MediapipeNetwork, film: _FilmFrames, watched: WatchedPerson, first: int, regions: Sequence[Region | None]
) -> WatchedPerson:
    """Look at a small person again, in the film at its own size or `_HAND_ROWS` rows; film that is no larger stays.

    From frame to frame, since a region that was found in a small picture is rough.
    """
    seen, size, small = watched.seen, _shrink_size(film.size, _HAND_ROWS), _shrink_size(film.size, _BODY_ROWS)
    share = size[0] / small[0]
    if share == 1 or not seen.found.any() or float(pixel_height(seen)) * small[0] / film.size[0] >= _SMALL_STATURE:
        return watched
    world, pixels, visibility = seen.world.clone(), seen.pixels.clone(), seen.visibility.clone()
    near: PersonLandmarks | None = None
    for k, frame in enumerate(film.frames(_HAND_ROWS, first, first + len(regions), doing="Looking closer at")):
        rough = regions[k]
        if rough is None:
            near = None
            continue
        region = Region(rough.x * share, rough.y * share, rough.side * share, rough.turn)
        kept = near is not None and math.hypot(near.region.x - region.x, near.region.y - region.y) < 0.2 * region.side
        near = network.look(frame, near.region if near is not None and kept else region)
        if near is not None:
            world[k], visibility[k] = torch.from_numpy(near.world), torch.from_numpy(near.visibility)
            pixels[k] = torch.from_numpy(near.pixels) * (film.size[0] / size[0])
    return dataclasses.replace(watched, seen=Landmarks(world, pixels, visibility))


@dataclass(frozen=True, eq=False)
class _Details:
    """What is looked at closely: hands, and the landmarks of the face, nan where it was not seen."""

    hands: Hands
    face: Float[Tensor, "time point 3"]


def _detect_details(network: MediapipeNetwork, film: _FilmFrames, watched: WatchedPerson, *, first: int) -> _Details:
    """Detect the person's hands and face, unless the person is too small in the picture."""
    seen, looked = watched.seen, _shrink_size(film.size, _HAND_ROWS)
    hands = torch.full((len(seen.found), 2, HAND_POINTS, 3), torch.nan)
    face = torch.full((len(seen.found), FACE_POINTS, 3), torch.nan)
    share = looked[0] / film.size[0]
    stature = float(pixel_height(seen)) * share if seen.found.any() else 0.0
    if stature >= _MIN_HAND_STATURE:
        small = _scale_pixels(seen, looked, film.size)
        step = frames_between_looks(watched.fps)
        held = True
        for k, frame in enumerate(
            film.frames(_HAND_ROWS, first, first + len(seen.found), step, doing="Looking at hands in")
        ):
            at = k * step
            if not seen.found[at]:
                continue
            # Hands that are not in view are looked for half as often.
            if held or k % 2 == 0:
                found = network.hands(frame, small.pixels[at].numpy(), small.visibility[at].numpy())
                hands[at] = torch.from_numpy(found)
                held = bool(np.isfinite(found).any())
            if _FACE_SIDE * stature >= _MIN_FACE_SIDE:
                points = network.face(frame, _face_region(small.pixels[at].numpy(), _FACE_SIDE * stature))
                if points is not None:
                    face[at] = torch.from_numpy(points)
        hands = fill_hands(hands, step=step)
    # Back to the film's pixels, along both axes and in depth.
    return _Details(Hands(hands / share), face / share)


def _face_region(pixels: Float[np.ndarray, "33 2"], side: float) -> Region:
    """A square around nose, eyes and mouth, upright in the face."""
    right, left = pixels[4:7].mean(0), pixels[1:4].mean(0)
    x, y = pixels[:11].mean(0).tolist()
    across = left - right
    return Region(x, y, side, math.atan2(float(across[1]), float(across[0])) if across[0] > 0 else 0.0)


def _open_mouth(take: Reference, jaw: Float[Tensor, "time 3"], fps: float) -> Reference:
    """Add the jaw's rotation to a motion that begins at its note `offset`."""
    first = round(take.notes["offset"] * fps)
    opened = jaw[first : first + take.motion.num_frames]
    return dataclasses.replace(take, motion=dataclasses.replace(take.motion, jaw_pose=opened.to(take.motion.transl)))
