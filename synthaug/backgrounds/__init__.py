"""The interface of backgrounds, which show the place behind the people; each file beside it is one choice."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from synthaug.structures import Camera, Record, Reference, Scene, Values


class NoSceneError(ValueError):
    """A background has nothing to choose from: none of the training films gives what it shows."""


@dataclass(frozen=True, eq=False)
class Outline:
    """What of a scene decides where people stand and what hides them, without its picture.

    Attributes:
        camera: The camera that filmed it; None for a flat picture, which fits any camera.
        spot: As in `Scene`.
        depth_at: Camera depth in metres at these pixels, as `Scene.depth` has it there; None where unknown.
    """

    camera: Camera | None = None
    spot: tuple[float, float, float] | None = None
    depth_at: Callable[[Float[Tensor, "pixel 2"]], Float[Tensor, " pixel"]] | None = None

    @staticmethod
    def of(scene: Scene) -> "Outline":
        """The outline of a scene that is there already."""
        depth = scene.depth
        if depth is None:
            return Outline(scene.camera, scene.spot)
        height, width = depth.shape

        def depth_at(pixels: Float[Tensor, "pixel 2"]) -> Float[Tensor, " pixel"]:
            column, row = pixels.floor().long().unbind(-1)
            return depth[row.clamp(0, height - 1), column.clamp(0, width - 1)]

        return Outline(scene.camera, scene.spot, depth_at)


class Background(ABC):
    """A place, or a picture of one."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever the same values and camera would yield different pixels; part of every cache key."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Keys of the records whose pictures it shows, for the leak guard; none if it is not made of film."""
        return ()

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Values:
        """Sample plain values (which file, crop, start), which survive a trip through JSON."""

    @abstractmethod
    def scene(self, values: Values, camera: Camera) -> Scene:
        """The scene of sampled values; samples nothing.

        Args:
            values: What `sample` returned.
            camera: The view that the camera path chose, world frame (y up, floor at y = 0). It gives the number of
                frames and their size. A flat picture uses no more of it; a place built in 3D is seen through it and
                returns it as the scene's camera; a filmed place ignores the view, and returns the camera that filmed
                it together with a spot on its floor, so that the person is put there and turned.
        """

    def outline(self, values: Values, camera: Camera) -> Outline:
        """What of `scene` decides where people stand and what hides them.

        Recipes are judged by it, several for some clips. The default builds the scene: a background whose picture
        takes long should answer without it.
        """
        return Outline.of(self.scene(values, camera))

    def describe(self, values: Values) -> str:
        """Words for what the place is, such as "kitchen", by which places that fit a class are found; none if unknown.

        Args:
            values: What `sample` returned.
        """
        return ""

    def frame(self, values: Values, camera: Camera, points: Float[Tensor, "point 3"]) -> Values:
        """The same values, framed so that these points are in the picture, as far as it reaches.

        Args:
            values: What `sample` returned.
            camera: As for `scene`.
            points: World frame of the outline's camera, metres: where the people of the clip go.

        Returns:
            Values for `scene` and `outline`. The default, for places whose view is the camera's, changes nothing.
        """
        return values

    def show_film(self, key: str, span: tuple[float, float], *, at: float, fps: float) -> Values | None:
        """Values that show the film of one record, without its people, at its own times.

        Args:
            key: The record's.
            span: Seconds of the file, first and last, that are shown in a loop.
            at: Seconds into the span at which the clip begins.
            fps: Frames per second of the clip.

        Returns:
            Values for `scene` and `outline`; None where this cannot be shown, which is the default.
        """
        return None

    def cacheable(self, values: Values) -> bool:
        """Whether a scene takes so long to make that it is worth caching. Its camera must then be the one asked for.

        Places that are built and lit cost tens of milliseconds; pictures are read as fast as a cache is. The default
        is no.
        """
        return False

    def prepare(self, films: Sequence[tuple[Record, Reference]]) -> "Background":
        """The same background, ready for use and restricted to what these training films allow.

        Called once in the parent process, before workers fork: plates are extracted and cached here. The default
        returns the background itself, which suits all that are not made of film.

        Args:
            films: The training records of the protocol in use, each with the motion and camera found in it.

        Raises:
            NoSceneError: If nothing is left to choose from.
        """
        return self
