"""Find which pixels of a frame show one person, whose place is known.

The network is the one of mediapipe that also finds landmarks: its mask has whole arms where the smaller selfie network
of the same wheel loses forearms and takes chairs along. Needs the extra `pose`, imported when the first frame is seen.
"""

import importlib.util
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, final

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from synthaug.backgrounds.plate.removal import Uncovered, mask_people
from synthaug.body.skeleton import JOINT

MARGIN = 1.35
"""Side of the region that is looked at, in lengths of the person in it: flesh, and the error of an estimated pose."""
NEAR = 0.5
"""Metres around each bone within which the network is believed, where what it found holds on to the bones: hair, wide
clothes, and limbs of people who lie or move faster than their estimate."""
CORE = 0.045
"""Metres around each bone that belong to the person whatever the network says: less than any limb is wide."""
LIKELY = 0.3
"""What the network must give a pixel of a person: a missed one leaves a ghost, one too many shows the empty scene."""
LOST = 0.55
"""Share of the core that the network must find; with less it, or the estimated pose, is wrong about the person."""
VISIBLE = 0.001
"""Share of a frame that a person covers at least."""
EDGE = 0.025
"""Metres by which silhouettes are widened: the edges of the film and of the network's coarse mask are soft."""
HELD = 0.35
"""Metres from the person within which something that differs from the empty scene is the person's: what is held."""
SHADE = 1.0
"""The same for shadows."""
MIN_CHANGE = 26.0
"""Grey levels by which a blurred pixel differs at least from the empty scene where something else is seen."""
LIGHT_SHADE, DEEP_SHADE = 0.92, 0.3
"""Light that is left in shadows, from the faintest that is seen to the deepest."""
HUE = 0.12
"""How much more of one colour than of another a shadow may take."""
MIN_FREE, MAX_FREE = 200, 4000
"""Pixels beside the people from which exposures are compared, at least and about at most."""
_GRAPH = """
input_stream: "image"
input_stream: "region"
input_side_packet: "complexity"
input_side_packet: "segment"
output_stream: "mask"
num_threads: 1
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_side_packet: "MODEL_COMPLEXITY:complexity" input_side_packet: "ENABLE_SEGMENTATION:segment"
  input_stream: "IMAGE:image" input_stream: "ROI:region"
  output_stream: "LANDMARKS:landmarks" output_stream: "SEGMENTATION_MASK:image_mask"
}
node { calculator: "FromImageCalculator" input_stream: "IMAGE:image_mask" output_stream: "IMAGE_CPU:mask" }
"""


@dataclass(frozen=True, eq=False)
class Body:
    """One person in one frame.

    Attributes:
        pixels: The joints in the picture.
        scales: Pixels per metre at each joint; not positive behind the camera.
    """

    pixels: Float[np.ndarray, "55 2"]
    scales: Float[np.ndarray, "55"]

    @property
    def scale(self) -> float:
        """Pixels per metre at the pelvis; at least 1."""
        return max(float(self.scales[0]), 1.0)

    def mask(self, size: tuple[int, int], reach: float) -> Bool[np.ndarray, "height width"]:
        """All within `reach` metres of the bones, in a picture of this height and width."""
        return mask_people(self.pixels[None], self.scales[None], height=size[0], width=size[1], reach=reach)[0]


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


def find_region(pixels: Float[np.ndarray, "joint 2"]) -> Region:
    """The region around a person with these joints in the picture, turned so that pelvis to neck points up."""
    up = pixels[JOINT["neck"]] - pixels[JOINT["pelvis"]]
    turn = math.atan2(float(up[0]), -float(up[1])) if float(np.hypot(*up)) > 1 else 0.0
    cos, sin = math.cos(turn), math.sin(turn)
    axes = np.array([[cos, sin], [-sin, cos]])
    along = pixels @ axes.T
    low, high = along.min(axis=0), along.max(axis=0)
    x, y = (low + high) / 2 @ axes
    return Region(float(x), float(y), max(float((high - low).max()) * MARGIN, 8.0), turn)


class Segmenter(ABC):
    """Segments one person in a picture: the network, or a fake in tests."""

    @abstractmethod
    def segment(self, frame: UInt8[np.ndarray, "height width 3"], region: Region) -> Float[np.ndarray, "height width"]:
        """How likely each pixel shows the person in a region, 0 to 1; all 0 where there is nobody.

        Args:
            frame: sRGB.
            region: Where the person is.
        """


def has_network() -> bool:
    """Whether the library that holds the network is installed; does not import it."""
    return importlib.util.find_spec("mediapipe") is not None


@final
class MediapipeSegmenter(Segmenter):
    """mediapipe's landmark network with its mask, as a context manager that frees it.

    The network is loaded for the first picture.

    Raises:
        ImportError: If mediapipe is not installed.
    """

    def __init__(self) -> None:
        if not has_network():
            raise ImportError(
                "Expected mediapipe 0.10.21 to find silhouettes, but it is not installed. Install the extra `pose` "
                "under Python 3.11 or 3.12: pip install 'synthaug[pose]'; or set silhouettes=tubes."
            )
        self._graph: Any = None
        self._found: dict[str, Any] = {}
        self._time = 0

    def __enter__(self) -> "MediapipeSegmenter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._graph is not None:
            self._graph.close()

    def _start(self) -> None:
        import mediapipe
        from mediapipe.python import packet_creator
        from mediapipe.python._framework_bindings import calculator_graph, resource_util

        # Where the graph looks for its model, as mediapipe's own solutions set it.
        resource_util.set_resource_dir(str(Path(mediapipe.__file__).parents[1]))
        self._graph = calculator_graph.CalculatorGraph(graph_config=_GRAPH)
        self._graph.observe_output_stream("mask", self._found.__setitem__, False)
        # 1, the full model, is the only one in the wheel.
        self._graph.start_run({"complexity": packet_creator.create_int(1), "segment": packet_creator.create_bool(True)})

    def segment(self, frame: UInt8[np.ndarray, "height width 3"], region: Region) -> Float[np.ndarray, "height width"]:
        """As `Segmenter.segment`. Depends on its arguments alone."""
        from mediapipe import ImageFormat
        from mediapipe.framework.formats import rect_pb2
        from mediapipe.python import packet_creator, packet_getter

        if self._graph is None:
            self._start()
        height, width = frame.shape[:2]
        rect = rect_pb2.NormalizedRect(
            x_center=region.x / width, y_center=region.y / height, width=region.side / width,
            height=region.side / height, rotation=region.turn,
        )  # fmt: skip
        image = packet_creator.create_image_frame(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(frame))
        self._found.clear()
        self._time += 1
        for name, packet in (("image", image), ("region", packet_creator.create_proto(rect))):
            self._graph.add_packet_to_input_stream(name, packet.at(self._time))
        self._graph.wait_until_idle()
        if "mask" not in self._found:
            return np.zeros((height, width), np.float32)
        mask = packet_getter.get_image_frame(self._found["mask"]).numpy_view()
        return np.array(mask, np.float32).reshape(height, width)


def outline_people(
    frame: UInt8[np.ndarray, "height width 3"], bodies: Sequence[Body], segmenter: Segmenter
) -> tuple[Bool[np.ndarray, "height width"], bool]:
    """The pixels of these people: what the network finds near their bones, and the bones' own flesh in any case.

    Where the network misses somebody, all near the bones counts too: a scene that is uncovered elsewhere does no harm
    there, while a part of a person who lies otherwise than estimated would stay for good.

    Returns:
        The pixels, and whether the network found all people where their bones are.
    """
    size = (frame.shape[0], frame.shape[1])
    people, confirmed = np.zeros(size, np.bool_), True
    for body in bodies:
        core = body.mask(size, CORE)
        if not core.any():
            continue
        found = segmenter.segment(frame, find_region(body.pixels[: JOINT["jaw"]])) > LIKELY
        lost = found[core].mean() < LOST
        if lost:
            found |= (segmenter.segment(frame, _whole(size)) > LIKELY) | body.mask(size, NEAR)
            confirmed = False
        shape = _join(found | core, core) & body.mask(size, NEAR)
        people |= widen(shape | core, max(round(EDGE * body.scale), 1))
    return people, confirmed


def _join(
    mask: Bool[np.ndarray, "height width"], seed: Bool[np.ndarray, "height width"]
) -> Bool[np.ndarray, "height width"]:
    """The connected parts of a mask that hold some of the seed."""
    count, names = cv2.connectedComponents(mask.astype(np.uint8))
    joined = np.zeros(count, np.bool_)
    joined[names[seed & mask]] = True
    joined[0] = False
    return joined[names]


def _whole(size: tuple[int, int]) -> Region:
    return Region(size[1] / 2, size[0] / 2, float(max(size)), 0.0)


def shows_anybody(frame: UInt8[np.ndarray, "height width 3"], bodies: Sequence[Body], segmenter: Segmenter) -> bool:
    """Whether the network finds a person in a frame: in the whole of it, or where these people were last."""
    regions = [find_region(body.pixels[: JOINT["jaw"]]) for body in bodies]
    regions.append(_whole((frame.shape[0], frame.shape[1])))
    return any((segmenter.segment(frame, region) > LIKELY).mean() > VISIBLE for region in regions)


def add_changes(
    frame: UInt8[np.ndarray, "height width 3"],
    people: Bool[np.ndarray, "height width"],
    bodies: Sequence[Body],
    scene: Uncovered,
) -> Bool[np.ndarray, "height width"]:
    """The people with what they hold and the shadows that they cast: what differs from the empty scene beside them.

    Args:
        frame: One frame of the film.
        people: As `outline_people` found them.
        bodies: The same people.
        scene: The empty scene; in its hole nothing can be told.
    """
    if not people.any():
        return people
    scale = max(body.scale for body in bodies)
    away = cv2.distanceTransform((~people).astype(np.uint8), cv2.DIST_L2, 3)
    known = ~scene.hole
    free = np.flatnonzero(known & (away > SHADE * scale))
    if len(free) < MIN_FREE:
        free = np.flatnonzero(known & ~people)
    if len(free) < MIN_FREE:
        return people
    free = free[:: max(len(free) // MAX_FREE, 1)]
    pair = [picture.reshape(-1, 3)[free] for picture in (scene.picture, frame)]
    gain = np.clip(np.median(pair[0], 0) / np.maximum(np.median(pair[1], 0), 1), 0.5, 2)
    level = cv2.GaussianBlur(frame.astype(np.float32) * gain.astype(np.float32), (0, 0), 1.0)
    picture = cv2.GaussianBlur(scene.picture.astype(np.float32), (0, 0), 1.0)
    differs = np.maximum.reduce(cv2.split(cv2.absdiff(level, picture)))
    changed = (differs > max(MIN_CHANGE, 5 * float(np.median(differs.flat[free])))) & (away <= HELD * scale)
    ratios = [(one + 4) / (other + 4) for one, other in zip(cv2.split(level), cv2.split(picture), strict=True)]
    left, even = sum(ratios) / 3, np.maximum.reduce(ratios) - np.minimum.reduce(ratios) < HUE
    shaded = (left < LIGHT_SHADE) & (left > DEEP_SHADE) & even & (away <= SHADE * scale)
    change = cv2.morphologyEx(((changed | shaded) & known).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    joined = _join((change > 0) | people, people)
    return people | widen(joined & ~people, 2)


def widen(mask: Bool[np.ndarray, "height width"], pixels: int) -> Bool[np.ndarray, "height width"]:
    """The mask and all within this distance of it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0
