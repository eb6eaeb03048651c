"""Run whole-body pose models and person detectors that the user brings as ONNX files.

RTMW, RTMPose and DWPose as MMDeploy exports them: one crop of a person in, two distributions of each keypoint out,
along x and along y. YOLOX as MMDeploy or DWPose export it: a picture in, boxes out.

Source:
    Li and others, "SimCC: a Simple Coordinate Classification Perspective for Human Pose Estimation", ECCV 2022; Jiang
    and others, "RTMPose", 2023. Crop and normalisation are those of MMPose's configurations, in RGB.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from jaxtyping import Float, UInt8

POINTS = 133
"""Keypoints of COCO-WholeBody."""
_MEAN, _DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""ImageNet's mean and standard deviation of red, green and blue, of 255 levels."""
_PADDING = 1.25
"""Sides of the crop over those of the box."""
_BATCH = 16
"""Most crops at once, for models that take any number."""
_STRIDES = (8, 16, 32)
_LETTERBOX = 114
"""Grey that YOLOX fills the rest of its square with."""
_MIN_SCORE = 0.3
"""Smallest score of a person's box; the projects' own tools keep boxes above it."""
_MAX_OVERLAP = 0.45
"""Intersection over union beyond which two boxes show one person."""
_SOURCES = (
    "Such files are had from MMPose's projects RTMPose and RTMW (github.com/open-mmlab/mmpose, projects/rtmpose) and "
    "from DWPose (github.com/IDEA-Research/DWPose); look at the licence of the weights, since COCO-WholeBody and other "
    "sets that they were trained on are for research only."
)

Picture: TypeAlias = UInt8[np.ndarray, "height width 3"]
Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


class Crop(NamedTuple):
    """Where a crop lies in the picture: pixels, of the aspect ratio of the network's input."""

    x: float
    y: float
    width: float
    height: float


def open_session(path: Path, *, device: str) -> Any:
    """Open an ONNX file with onnxruntime, on one thread.

    Args:
        path: The file.
        device: cpu or cuda.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If onnxruntime is not installed.
        ValueError: If the file is no ONNX model, or onnxruntime was built without CUDA.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No such file: {str(path)!r}, the ONNX model. Correct synth.motion.model. {_SOURCES}")
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "Expected onnxruntime to run an ONNX pose model, but it is not installed. Install the extra `onnx`: pip "
            "install 'synthaug[onnx]' (onnxruntime-gpu for CUDA); or choose another synth/motion."
        ) from error
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
    if provider not in onnxruntime.get_available_providers():
        raise ValueError(
            f"Expected onnxruntime with CUDA for synth.motion.device=cuda, got {onnxruntime.get_available_providers()}."
            " Install onnxruntime-gpu in place of onnxruntime, or set synth.motion.device=cpu."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # onnxruntime's own kinds of errors have no common base
        reason = str(error).strip().splitlines()[0][:160]
        raise ValueError(
            f"Expected {str(path)!r} to be an ONNX model, got an error of onnxruntime: {reason}. Copy it again. "
            f"{_SOURCES}"
        ) from error


class WholebodyModel:
    """A pose model of 133 keypoints with SimCC outputs.

    Args:
        path: The ONNX file: input [batch 3 height width], outputs simcc_x [batch 133 k * width] and simcc_y.
        device: cpu or cuda.

    Raises:
        ValueError: If the model has another signature; the message says which.
    """

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        self._session = open_session(path, device=device)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape
        names = [one.name for one in outputs]
        self._outputs = ["simcc_x", "simcc_y"] if {"simcc_x", "simcc_y"} <= set(names) else names
        shapes = [one.shape for one in outputs if one.name in self._outputs]
        if (
            len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or not all(isinstance(side, int) for side in shape[2:])
            or len(self._outputs) != 2 or any(len(one) != 3 for one in shapes)
            or any(isinstance(one[1], int) and one[1] != POINTS for one in shapes)
        ):  # fmt: skip
            told = ", ".join(f"{one.name} {one.shape}" for one in [*inputs, *outputs])
            raise ValueError(
                f"Expected {str(path)!r} to be a whole-body pose model, with an input [batch 3 height width] and the "
                f"outputs simcc_x and simcc_y of {POINTS} keypoints, got {told}. {_SOURCES}"
            )
        self._input = inputs[0].name
        self.size: tuple[int, int] = (int(shape[2]), int(shape[3]))
        self._batch = _BATCH if not isinstance(shape[0], int) else int(shape[0])

    def look(
        self, jobs: Sequence[tuple[Picture, Box]]
    ) -> tuple[Float[np.ndarray, "job 133 2"], Float[np.ndarray, "job 133"]]:
        """Pixels and scores of the keypoints of the person in each box.

        Scores are peaks of the distributions, about 0 to 1 and not clipped. Pixel centres lie at half-integers.
        """
        points, scores = np.zeros((len(jobs), POINTS, 2)), np.zeros((len(jobs), POINTS))
        for first in range(0, len(jobs), self._batch):
            some = jobs[first : first + self._batch]
            crops = [place_crop(box, self.size) for _, box in some]
            planes = np.stack([cut_crop(frame, crop, self.size) for (frame, _), crop in zip(some, crops, strict=True)])
            # A model of a fixed number of crops gets empty ones besides.
            missing = self._batch - len(some) if self._is_fixed else 0
            planes = np.concatenate([planes, np.zeros((missing, *planes.shape[1:]), np.float32)])
            x, y = self._session.run(self._outputs, {self._input: planes})
            for k, crop in enumerate(crops):
                points[first + k], scores[first + k] = decode_simcc(x[k], y[k], crop)
        return points, scores

    @property
    def _is_fixed(self) -> bool:
        return isinstance(self._session.get_inputs()[0].shape[0], int)


def place_crop(box: Box, size: tuple[int, int]) -> Crop:
    """The crop about a box: padded by a quarter, and as wide or as tall as the network's input asks.

    Args:
        box: In pixels.
        size: Height and width of the input.
    """
    width, height = _PADDING * (box[2] - box[0]), _PADDING * (box[3] - box[1])
    aspect = size[1] / size[0]
    width, height = max(width, height * aspect), max(height, width / aspect)
    return Crop((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, width, height)


def cut_crop(frame: Picture, crop: Crop, size: tuple[int, int]) -> Float[np.ndarray, "3 rows columns"]:
    """Cut a crop out of an sRGB picture, scaled and normalised as the networks were trained; black beyond the edge."""
    rows, columns = size
    scale = columns / crop.width
    # OpenCV counts pixel centres from 0, and the networks put the crop's middle at half their width.
    warp = np.array(
        [
            [scale, 0, columns / 2 - scale * (crop.x - 0.5)],
            [0, scale, rows / 2 - scale * (crop.y - 0.5)],
        ]
    )
    cut = cv2.warpAffine(np.ascontiguousarray(frame), warp, (columns, rows), flags=cv2.INTER_LINEAR)
    plain = (cut.astype(np.float32) - np.array(_MEAN, np.float32)) / np.array(_DEVIATION, np.float32)
    return np.ascontiguousarray(plain.transpose(2, 0, 1))


def decode_simcc(
    x: Float[np.ndarray, "point columns"], y: Float[np.ndarray, "point rows"], crop: Crop
) -> tuple[Float[np.ndarray, "point 2"], Float[np.ndarray, " point"]]:
    """Positions in the picture and scores of keypoints: the distributions' peaks, and the smaller of the two heights.

    A keypoint without a positive peak has score 0. The bins divide the crop evenly, however many there are.
    """
    at = np.stack([x.argmax(1) / x.shape[1], y.argmax(1) / y.shape[1]], axis=1)
    score = np.maximum(np.minimum(x.max(1), y.max(1)), 0.0)
    corner = np.array([crop.x - crop.width / 2, crop.y - crop.height / 2])
    return corner + at * [crop.width, crop.height], score.astype(np.float64)


class BoxModel:
    """A detector of people: YOLOX, with or without its own suppression of duplicates.

    Args:
        path: The ONNX file: input [1 3 height width]; output [1 boxes 5] (left, top, right, bottom, score) with labels
            [1 boxes] beside it, or the grid's [1 boxes 5 + classes].
        device: cpu or cuda.

    Raises:
        ValueError: If the model has another signature.
    """

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        self._session = open_session(path, device=device)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape
        if (
            len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or len(outputs[0].shape) != 3
            or not all(isinstance(side, int) and side % _STRIDES[-1] == 0 for side in shape[2:])
        ):  # fmt: skip
            told = ", ".join(f"{one.name} {one.shape}" for one in [*inputs, *outputs])
            raise ValueError(
                f"Expected {str(path)!r} to be a YOLOX detector, with an input [1 3 height width] of multiples of 32 "
                f"and an output [1 boxes numbers], got {told}. Correct synth.motion.detector, or leave it out."
            )
        self._input = inputs[0].name
        self._size = (int(shape[2]), int(shape[3]))

    def find(self, frame: Picture) -> list[Box]:
        """Boxes of the people in an sRGB picture, the most certain first."""
        share = min(self._size[0] / frame.shape[0], self._size[1] / frame.shape[1])
        rows, columns = int(frame.shape[0] * share), int(frame.shape[1] * share)
        filled = np.full((*self._size, 3), _LETTERBOX, np.uint8)
        filled[:rows, :columns] = cv2.resize(np.ascontiguousarray(frame), (columns, rows))
        # YOLOX was trained on blue, green and red of 255 levels.
        planes = np.ascontiguousarray(filled[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32))
        outputs = self._session.run(None, {self._input: planes})
        boxes, scores = read_boxes(outputs, self._size)
        kept = suppress_duplicates(boxes, scores)
        return [tuple((boxes[k] / share).tolist()) for k in kept]


def read_boxes(
    outputs: Sequence[np.ndarray], size: tuple[int, int]
) -> tuple[Float[np.ndarray, "box 4"], Float[np.ndarray, " box"]]:
    """Boxes (left, top, right, bottom) and scores of people, class 0, from a YOLOX model's outputs.

    Source:
        Ge and others, "YOLOX: Exceeding YOLO Series in 2021": centres are offsets from the cells of three grids, sides
        are exponents, scores are those of an object times those of the class.
    """
    found = outputs[0][0].astype(np.float64)
    if found.shape[1] == 5:
        person = outputs[1][0] == 0 if len(outputs) > 1 else np.ones(len(found), bool)
        return found[person, :4], found[person, 4]
    cells = [
        np.stack([*np.meshgrid(np.arange(size[1] // step), np.arange(size[0] // step))], axis=-1).reshape(-1, 2)
        for step in _STRIDES
    ]
    steps = np.concatenate([np.full((len(cell), 1), step) for cell, step in zip(cells, _STRIDES, strict=True)])
    middle = (found[:, :2] + np.concatenate(cells)) * steps
    half = np.exp(found[:, 2:4]) * steps / 2
    return np.concatenate([middle - half, middle + half], axis=1), found[:, 4] * found[:, 5]


def suppress_duplicates(boxes: Float[np.ndarray, "box 4"], scores: Float[np.ndarray, " box"]) -> list[int]:
    """Indices of the boxes that are certain enough and overlap no better one, the best first."""
    kept: list[int] = []
    for k in np.argsort(-scores, kind="stable").tolist():
        if scores[k] < _MIN_SCORE:
            break
        if all(overlap(tuple(boxes[k]), tuple(boxes[other])) <= _MAX_OVERLAP for other in kept):
            kept.append(k)
    return kept


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)
