"""Run mediapipe's networks on single pictures: detect people, one person's landmarks, the hands and the face.

mediapipe's own solution tracks a single person. The graphs here connect the same parts so that any number of people can
be detected, each in a region of their own. Only the wheel of 0.10.21 contains the models; nothing is downloaded.
"""

import importlib.metadata
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, final

import numpy as np
from jaxtyping import Float, UInt8

from synthaug.motions.pose.chatter import drop_stderr_lines

_MISSING = (
    "Expected mediapipe 0.10.21 (the last version that contains its models) to extract motion from film, but mediapipe "
    "is not installed. Install the extra `pose` under Python 3.11 or 3.12: pip install 'synthaug[pose]'; or choose "
    "another synth/motion."
)
_FIND = """
input_stream: "image"
output_stream: "regions"
num_threads: 1
node { calculator: "PoseDetectionCpu" input_stream: "IMAGE:image" output_stream: "DETECTIONS:detections" }
node { calculator: "ImagePropertiesCalculator" input_stream: "IMAGE:image" output_stream: "SIZE:size" }
node {
  calculator: "BeginLoopDetectionCalculator"
  input_stream: "ITERABLE:detections" input_stream: "CLONE:size"
  output_stream: "ITEM:detection" output_stream: "CLONE:size_of_each" output_stream: "BATCH_END:end"
}
node {
  calculator: "PoseDetectionToRoi"
  input_stream: "DETECTION:detection" input_stream: "IMAGE_SIZE:size_of_each" output_stream: "ROI:region"
}
node {
  calculator: "EndLoopNormalizedRectCalculator"
  input_stream: "ITEM:region" input_stream: "BATCH_END:end" output_stream: "ITERABLE:regions"
}
"""
_LOOK = """
input_stream: "image"
input_stream: "region"
input_side_packet: "complexity"
output_stream: "landmarks"
output_stream: "world"
output_stream: "next"
num_threads: 1
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_side_packet: "MODEL_COMPLEXITY:complexity"
  input_stream: "IMAGE:image" input_stream: "ROI:region"
  output_stream: "LANDMARKS:landmarks" output_stream: "AUXILIARY_LANDMARKS:aids" output_stream: "WORLD_LANDMARKS:world"
}
node { calculator: "ImagePropertiesCalculator" input_stream: "IMAGE:image" output_stream: "SIZE:size" }
node {
  calculator: "PoseLandmarksToRoi"
  input_stream: "LANDMARKS:aids" input_stream: "IMAGE_SIZE:size" output_stream: "ROI:next"
}
"""
_GRASP = """
input_stream: "image"
input_stream: "landmarks"
output_stream: "left"
output_stream: "right"
num_threads: 1
node {
  calculator: "HandLandmarksLeftAndRightCpu"
  input_stream: "IMAGE:image" input_stream: "POSE_LANDMARKS:landmarks"
  output_stream: "LEFT_HAND_LANDMARKS:left" output_stream: "RIGHT_HAND_LANDMARKS:right"
}
"""
_FACE = """
input_stream: "image"
input_stream: "region"
input_side_packet: "attention"
output_stream: "landmarks"
num_threads: 1
node {
  calculator: "FaceLandmarkCpu"
  input_side_packet: "WITH_ATTENTION:attention"
  input_stream: "IMAGE:image" input_stream: "ROI:region"
  output_stream: "LANDMARKS:landmarks"
}
"""
_CHATTER = (
    "INFO: Created TensorFlow Lite XNNPACK delegate",
    "All log messages before absl::InitializeLog() is called",
    "Feedback manager requires a model with a single signature inference",
    "Using NORM_RECT without IMAGE_DIMENSIONS is only supported for the square ROI",  # and these regions are square
)
"""Lines that help nobody, among those that mediapipe writes to stderr while it loads its models and reads a picture."""
HAND_POINTS = 21
"""Wrist, then thumb, index, middle, ring and little finger, four each from the palm to the tip."""


@dataclass(frozen=True)
class Region:
    """A square of the picture in which a person is upright.

    Attributes:
        x: Position of the middle, pixels.
        y: Position of the middle, pixels.
        side: Pixels.
        turn: Radians; a person whose head points to the picture's right is in a region turned by pi / 2.
    """

    x: float
    y: float
    side: float
    turn: float


@dataclass(frozen=True, eq=False)
class PersonLandmarks:
    """One person in one picture.

    Attributes:
        world: Metres about the middle of the hips, mediapipe's axes (y down, z away from the viewer).
        pixels: Positions in the picture; may lie outside it, where mediapipe extrapolates.
        visibility: 0..1.
        region: Where to look for this person in the next picture.
    """

    world: Float[np.ndarray, "33 3"]
    pixels: Float[np.ndarray, "33 2"]
    visibility: Float[np.ndarray, "33"]
    region: Region


class PoseDetector(ABC):
    """Detects people in pictures: the network, or a fake in tests."""

    @abstractmethod
    def find(self, frame: UInt8[np.ndarray, "height width 3"]) -> list[Region]:
        """Regions of people who are upright within about 45 degrees, the most confident first."""

    @abstractmethod
    def look(self, frame: UInt8[np.ndarray, "height width 3"], region: Region) -> PersonLandmarks | None:
        """The landmarks of the person in a region; None if there is no person."""


def mediapipe_version() -> str:
    """Version of the installed mediapipe, without importing it.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        return importlib.metadata.version("mediapipe")
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(_MISSING) from error


@final
class MediapipeNetwork(PoseDetector):
    """mediapipe's networks, as a context manager that frees them. All methods take sRGB pictures.

    `find` and `look` depend only on their arguments. `hands` searches first where the hands were in the picture before,
    so call it with the pictures of one person in order. Equal calls in equal order give equal bits.

    Raises:
        ImportError: If mediapipe is not installed.
    """

    def __init__(self) -> None:
        try:
            import mediapipe
            from mediapipe.python._framework_bindings import resource_util
        except ImportError as error:
            raise ImportError(_MISSING) from error
        # Where the graphs look for their models, as mediapipe's own solutions set it.
        resource_util.set_resource_dir(str(Path(mediapipe.__file__).parents[1]))
        self._graphs: dict[str, _Graph] = {}

    def __enter__(self) -> "MediapipeNetwork":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for graph in self._graphs.values():
            graph.close()
        self._graphs.clear()

    def find(self, frame: UInt8[np.ndarray, "height width 3"]) -> list[Region]:
        """Regions of people who are upright within about 45 degrees, the most confident first."""
        from mediapipe.python import packet_getter

        found = self._graph(_FIND)(image=_to_image(frame)).get("regions")
        rects = [] if found is None else packet_getter.get_proto_list(found)
        height, width = frame.shape[:2]
        return [_parse_region(rect, width, height) for rect in rects]

    def look(self, frame: UInt8[np.ndarray, "height width 3"], region: Region) -> PersonLandmarks | None:
        """The landmarks of the person in a region; None if there is no person."""
        from mediapipe.python import packet_getter

        height, width = frame.shape[:2]
        found = self._graph(_LOOK)(image=_to_image(frame), region=_to_rect(region, width, height))
        if not {"landmarks", "world", "next"} <= found.keys():
            return None
        points = packet_getter.get_proto(found["landmarks"]).landmark
        world = packet_getter.get_proto(found["world"]).landmark
        after = _parse_region(packet_getter.get_proto(found["next"]), width, height)
        return PersonLandmarks(
            np.array([[p.x, p.y, p.z] for p in world], np.float32),
            np.array([[p.x * width, p.y * height] for p in points], np.float32),
            np.array([p.visibility for p in points], np.float32),
            after,
        )

    def hands(
        self,
        frame: UInt8[np.ndarray, "height width 3"],
        pixels: Float[np.ndarray, "33 2"],
        visibility: Float[np.ndarray, "33"],
    ) -> Float[np.ndarray, "2 21 3"]:
        """Points of the left and right hand of a person: pixels and depth in pixels, nan where unseen.

        Axes are mediapipe's: x right, y down, z away from the viewer, 0 at the wrist.
        """
        from mediapipe.framework.formats import landmark_pb2
        from mediapipe.python import packet_creator, packet_getter

        height, width = frame.shape[:2]
        known = landmark_pb2.NormalizedLandmarkList(
            landmark=[
                landmark_pb2.NormalizedLandmark(x=x / width, y=y / height, visibility=v, presence=v)
                for (x, y), v in zip(pixels.tolist(), visibility.tolist(), strict=True)
            ]
        )
        found = self._graph(_GRASP)(image=_to_image(frame), landmarks=packet_creator.create_proto(known))
        result = np.full((2, HAND_POINTS, 3), np.nan, np.float32)
        for side, name in enumerate(("left", "right")):
            if name in found:
                points = packet_getter.get_proto(found[name]).landmark
                result[side] = [[p.x * width, p.y * height, p.z * width] for p in points]
        return result

    def face(self, frame: UInt8[np.ndarray, "height width 3"], region: Region) -> Float[np.ndarray, "468 3"] | None:
        """Points of the face in a region, a little larger than the head: pixels and depth in pixels; None if unseen."""
        from mediapipe.python import packet_getter

        height, width = frame.shape[:2]
        found = self._graph(_FACE)(image=_to_image(frame), region=_to_rect(region, width, height))
        if "landmarks" not in found:
            return None
        points = packet_getter.get_proto(found["landmarks"]).landmark
        return np.array([[p.x * width, p.y * height, p.z * width] for p in points], np.float32)

    def _graph(self, text: str) -> "_Graph":
        if text not in self._graphs:
            self._graphs[text] = _Graph(text)
        return self._graphs[text]


class _Graph:
    """One of mediapipe's graphs, fed packet by packet."""

    def __init__(self, text: str) -> None:
        from mediapipe.python import packet_creator
        from mediapipe.python._framework_bindings import calculator_graph

        self._graph = calculator_graph.CalculatorGraph(graph_config=text)
        self._found: dict[str, Any] = {}
        for line in text.splitlines():
            if line.startswith("output_stream:"):
                self._graph.observe_output_stream(line.split('"')[1], self._found.__setitem__, False)
        # 1, the full model, is the only one in the wheel. The face's other model finds the irises too.
        sides = {"complexity": packet_creator.create_int(1), "attention": packet_creator.create_bool(False)}
        self._sides = {name: packet for name, packet in sides.items() if f'input_side_packet: "{name}"' in text}
        self._time = 0

    def __call__(self, **packets: Any) -> Mapping[str, Any]:
        """The graph's outputs for these packets, by stream; streams without output are left out."""
        if self._time == 0:
            # The models are loaded in threads of mediapipe's own, which are done when the first packet is.
            with drop_stderr_lines(*_CHATTER):
                self._graph.start_run(self._sides)
                return self._run(packets)
        return self._run(packets)

    def _run(self, packets: Mapping[str, Any]) -> Mapping[str, Any]:
        self._found.clear()
        self._time += 1
        for name, packet in packets.items():
            self._graph.add_packet_to_input_stream(name, packet.at(self._time))
        self._graph.wait_until_idle()
        return dict(self._found)

    def close(self) -> None:
        if self._time:  # a graph that never started cannot be closed
            self._graph.close()


def _to_image(frame: UInt8[np.ndarray, "height width 3"]) -> Any:
    from mediapipe import ImageFormat
    from mediapipe.python import packet_creator

    return packet_creator.create_image_frame(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(frame))


def _to_rect(region: Region, width: int, height: int) -> Any:
    from mediapipe.framework.formats import rect_pb2
    from mediapipe.python import packet_creator

    rect = rect_pb2.NormalizedRect(
        x_center=region.x / width, y_center=region.y / height, width=region.side / width, height=region.side / height,
        rotation=region.turn,
    )  # fmt: skip
    return packet_creator.create_proto(rect)


def _parse_region(rect: Any, width: int, height: int) -> Region:
    return Region(rect.x_center * width, rect.y_center * height, rect.width * width, rect.rotation)


def turn_back(region: Region, turns: int, *, width: int, height: int) -> Region:
    """Map a region of a picture that was turned counter-clockwise back to the original picture.

    Args:
        region: Region in the turned picture.
        turns: Number of quarter turns, as in `numpy.rot90`.
        width: Width of the original picture, pixels.
        height: Height of the original picture, pixels.
    """
    x, y, angle = region.x, region.y, region.turn + turns * math.pi / 2
    places = {0: (x, y), 1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    x, y = places[turns % 4]
    return Region(x, y, region.side, math.remainder(angle, 2 * math.pi))
