"""Extract motion from film by a whole-body pose model in an ONNX file: RTMW, RTMPose or DWPose.

Needs the extra `onnx`, which is imported when the first film is read, and a model that the user brings.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float

from synthaug.files import digest_of
from synthaug.motions import MotionSource
from synthaug.motions.files.recordings import check_positive, reading
from synthaug.motions.fitting.company import check_company
from synthaug.motions.fitting.layouts import COCO_WHOLEBODY_133
from synthaug.motions.pose.following import Detection
from synthaug.motions.pose.keypoints import Choice, FilmFormat, lift_person, mask_missing
from synthaug.motions.pose.simcc import Box, BoxModel, Picture, WholebodyModel, overlap
from synthaug.progress import track
from synthaug.structures import Record, Reference
from synthaug.video import indices_at, probe, stream_frames

_VERSION = 1
_DEVICES = ("cpu", "cuda")
_SEARCH_SECONDS = 0.25
"""Seconds between searches for people; boxes are interpolated between."""
_MIN_KEYPOINT = 0.2
"""Keypoints of lower score are guesses at something hidden, as in files of such keypoints."""
_MIN_PERSON = 0.3
"""Smallest mean score of the 17 points of a body that is a person."""
_MIN_OVERLAP = 0.1
"""Smallest intersection over union of one person's boxes in two searches."""
_SAME_DISTANCE = 0.08
"""Largest median distance of the points of one person who was found in two boxes, in lengths of the box."""


@final
class OnnxWholebody(MotionSource):
    """Motion of the acting person of a film by a whole-body model with SimCC outputs (133 keypoints of COCO-WholeBody).

    People are found four times a second, by the detector, or without one by the pose model itself in the whole picture,
    which finds one person who fills much of it. Crops of several frames are seen at once if the model takes any number.
    The points are tracked and lifted to 3D as those of `CocoWholebody` are: one view leaves depth open, and the notes
    are the same. Fingers, jaw and eyes are at rest. Motions have the rate of the frames that were seen.

    Nothing is downloaded. The projects' code is under Apache-2.0; their weights were trained on data sets with terms of
    their own, which decide what may be done with motions out of them.

    Args:
        model: ONNX file of the pose model.
        detector: ONNX file of a YOLOX detector; None searches the whole picture with the pose model.
        device: cpu or cuda, which needs onnxruntime-gpu.
        rate: Frames per second that the models see, at most the film's own.
        person: 0 selects the person who moves most, 1 the next.
        present: Smallest share of the clip's frames that show the person.
        focal: Focal length over the longer side of the picture.
        companions: Who else is re-enacted: "never" nobody, "near" the group about the acting person, "all" bystanders
            too (`fitting.company`).
    """

    looks: ClassVar[str] = ""

    def __init__(  # noqa: PLR0913
        self,
        *,
        model: str,
        detector: str | None = None,
        device: str = "cpu",
        rate: float = 15.0,
        person: int = 0,
        present: float = 0.5,
        focal: float = 1.0,
        companions: str = "never",
    ) -> None:
        check_company(companions)
        check_positive("rate", rate)
        if device not in _DEVICES:
            raise ValueError(f"Expected device to be cpu or cuda, got {device!r}. Correct synth.motion.device.")
        self._model = Path(model).expanduser()
        self._detector = None if detector is None else Path(detector).expanduser()
        self._device = device
        self._rate = float(rate)
        self._companions = companions
        self._choice = Choice(person=person, present=float(present), focal=float(focal))

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Never: which of the networks reads a film is a user's choice."""
        return False

    @cached_property
    def fingerprint(self) -> str:
        """Version, settings, and the content of the models.

        Raises:
            FileNotFoundError: If a model is missing.
        """
        models = [_digest(path) for path in (self._model, self._detector) if path is not None]
        # Without companions as before there were any, so that what was extracted then is still found.
        company = () if self._companions == "never" else (self._companions,)
        return f"onnx_wholebody-{_VERSION}-{digest_of(*models, repr((self._rate, self._choice, *company)))}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """No files besides the film."""
        return ()

    def load(self, record: Record) -> Reference:
        """The motion of the acting person between the record's start and end, and the camera assumed to have seen it.

        Raises:
            FileNotFoundError: If film or models are missing.
            VideoError: If the film cannot be read.
            UnusableClipError: If too little of a person is seen.
            ImportError: If onnxruntime is not installed.
            ValueError: If a model has another signature.
        """
        if not record.path.exists():
            raise FileNotFoundError(
                f"No such file: {str(record.path)!r}, the film of {record.key!r}. Check the data set's root."
            )
        pose, finder = self._networks
        info = probe(record.path)
        step = max(1, round(info.fps / self._rate))
        fps = info.fps / step
        count = max(1, round((min(record.end, info.duration) - record.start) * fps))
        frames = stream_frames(record.path, indices_at(info, [record.start + k / fps for k in range(count)]), info=info)
        frames = track(frames, f"Looking for people in {record.path.name}, frames", count)
        found = list(_detect_people(frames, pose, finder, every=max(1, round(_SEARCH_SECONDS * fps))))
        with reading(record.path):
            film = FilmFormat(fps, info.height, info.width)
            return lift_person(found, COCO_WHOLEBODY_133, film, self._choice, company=self._companions)

    def __getstate__(self) -> dict[str, object]:
        # Open models cannot be sent to another process, which opens its own.
        return {name: value for name, value in vars(self).items() if name != "_networks"}

    @cached_property
    def _networks(self) -> tuple[WholebodyModel, BoxModel | None]:
        """Opened when the first film is read, in the process that reads it."""
        finder = None if self._detector is None else BoxModel(self._detector, device=self._device)
        return WholebodyModel(self._model, device=self._device), finder


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise FileNotFoundError(
            f"No such file: {str(path)!r} ({error.strerror}), an ONNX model. Correct synth.motion.model or "
            "synth.motion.detector; the documentation of onnx_wholebody says where such models are had."
        ) from error


def _detect_people(
    frames: Iterator[Picture], pose: WholebodyModel, finder: BoxModel | None, *, every: int
) -> Iterator[list[Detection]]:
    """The people of each frame. Between two searches, boxes move evenly from one to the next."""
    waiting: list[Picture] = []
    before: list[Box] = []
    for number, frame in enumerate(frames):
        if number % every == 0:
            now = _find_boxes(frame, pose, finder)
            yield from _look_at_chunk(waiting, before, now, pose)
            waiting, before = [], now
        waiting.append(frame)
    yield from _look_at_chunk(waiting, before, before, pose)


def _find_boxes(frame: Picture, pose: WholebodyModel, finder: BoxModel | None) -> list[Box]:
    """Boxes of people; without a detector, that of the points that are seen in the whole picture, or nearly all."""
    if finder is not None:
        return finder.find(frame)
    box = (0.0, 0.0, float(frame.shape[1]), float(frame.shape[0]))
    for _ in range(2):  # the second look is a close one, which finds the ends of the limbs
        points, scores = pose.look([(frame, box)])
        if scores[0, :17].mean() < _MIN_PERSON:
            return []
        seen = points[0][scores[0] >= _MIN_PERSON]
        (left, top), (right, bottom) = seen.min(0).tolist(), seen.max(0).tolist()
        box = (left, top, max(right, left + 1), max(bottom, top + 1))
    return [box]


def _look_at_chunk(
    frames: Sequence[Picture], before: Sequence[Box], after: Sequence[Box], pose: WholebodyModel
) -> Iterator[list[Detection]]:
    """The people in the frames from one search up to the next."""
    boxes = [_interpolate_boxes(before, after, k / max(len(frames), 1)) for k in range(len(frames))]
    jobs = [(frame, box) for frame, some in zip(frames, boxes, strict=True) for box in some]
    points, scores = pose.look(jobs)
    first = 0
    for some in boxes:
        last = first + len(some)
        yield _keep_people(points[first:last], scores[first:last])
        first = last


def _interpolate_boxes(before: Sequence[Box], after: Sequence[Box], share: float) -> list[Box]:
    """Boxes at a share of the time between two searches; who is in one of the two only stays in that box."""
    left = list(after)
    result = []
    for box in before:
        nearest = max(left, key=lambda other: overlap(box, other), default=None)
        if nearest is None or overlap(box, nearest) < _MIN_OVERLAP:
            result.append(box)
            continue
        left.remove(nearest)
        a, b = np.array(box), np.array(nearest)
        moved = ((1 - share) * a + share * b).tolist()
        result.append((moved[0], moved[1], moved[2], moved[3]))
    return result + left


def _keep_people(points: Float[np.ndarray, "box 133 2"], scores: Float[np.ndarray, "box 133"]) -> list[Detection]:
    """One detection for each person; of two boxes that show one person, the one with the higher scores."""
    kept: list[int] = []
    for k in np.argsort(-scores[:, :17].mean(1), kind="stable").tolist():
        if scores[k, :17].mean() < _MIN_PERSON:
            break
        tall = max(float(np.ptp(points[k, :17], axis=0).max()), 1e-6)
        apart = [float(np.median(np.linalg.norm(points[k, :17] - points[other, :17], axis=1))) for other in kept]
        if all(distance >= _SAME_DISTANCE * tall for distance in apart):
            kept.append(k)
    return [
        Detection(points[k], mask_missing(points[k], np.where(scores[k] < _MIN_KEYPOINT, 0.0, scores[k]))) for k in kept
    ]
