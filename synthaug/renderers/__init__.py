"""How Gaussians become pictures. The interface; the files beside it are the answers.

`renderers/torch.py` is the specification; every other renderer is held to it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from synthaug.levels import PER_PIXEL
from synthaug.structures import Camera, Gaussians, Rendering


@dataclass(frozen=True)
class Splatting:
    """The image model, the same words for every renderer; part of every cache key.

    Attributes:
        antialiased: Scale opacities by what the dilation added, as `rasterize_mode="antialiased"` does; False is
            gsplat's "classic", which swells silhouettes at low resolution.
        eps2d: Variance added to every footprint, pixels squared. A pixel's own box has 1/12; 0.05 is nearest to the
            truth, since Gaussians have no edges to soften.
        max_alpha: Cap on one Gaussian's coverage (0.999 in gsplat 1.5.3, 0.99 in 1.6 and INRIA's rasteriser).
        near: Nearest camera depth that is drawn, metres.
        far: Farthest, metres.
        per_pixel: Gaussians of a person for each pixel of the silhouette, by which a coarser level is chosen where the
            person has some (`synthaug.levels`); None draws all.

    Raises:
        ValueError: If no camera and no covariance are like that.
    """

    antialiased: bool = True
    eps2d: float = 0.05
    max_alpha: float = 0.99
    near: float = 0.01
    far: float = 1e10
    per_pixel: float | None = PER_PIXEL

    def __post_init__(self) -> None:
        wanted = {
            "eps2d": (0 <= self.eps2d < math.inf, "0 or more, such as 0.05"),
            "max_alpha": (0 < self.max_alpha <= 1, "more than 0 and at most 1, such as 0.99"),
            "near": (0 < self.near < math.inf, "more than 0 metres, such as 0.01"),
            "far": (self.far >= self.near, f"no less than near={self.near} metres"),
        }
        for name, (fits, rule) in wanted.items():
            if not fits:
                raise ValueError(
                    f"Splatting has {name}={getattr(self, name)}; {rule}, was wanted. Set it, or leave it out."
                )


class Renderer(ABC):
    """Draws people over nothing: premultiplied by alpha, OpenCV axes, never a background."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Names the renderer and all its settings; part of every cache key."""

    @abstractmethod
    def render(
        self, people: Sequence[Gaussians], camera: Camera, *, depth: bool = False, labels: bool = False
    ) -> Rendering:
        """Draw people together, depth-sorted as one.

        Args:
            people: All with as many frames as the camera. None at all gives a transparent picture.
            camera: One view for each frame.
            depth: Also return depth.
            labels: Also return whose part is seen in each pixel.

        Raises:
            ValueError: If frame counts differ or a value is not finite.
        """


@dataclass(frozen=True, eq=False)
class Shot:
    """What is drawn of one clip.

    Attributes:
        people: All with as many frames as the camera; nobody gives a transparent picture.
        camera: One view for each frame.
        depth: Whether depth is wanted too.
    """

    people: tuple[Gaussians, ...]
    camera: Camera
    depth: bool = False


class BatchRenderer(Renderer):
    """Draws many clips at once, in the main process and never in a loader's workers: what GPUs are for.

    Whoever loads batches sends it the clips of a whole batch; `render` draws one, as every renderer does.
    """

    @abstractmethod
    def prepare(self) -> None:
        """Whatever takes long the first time, such as compiling: called in one process of a node before it trains."""

    @abstractmethod
    def render_clips(self, shots: Sequence[Shot]) -> list[Rendering]:
        """Draw clips, each as `render` would draw it alone, whatever else is in the batch. In main memory.

        Raises:
            ValueError: As for `render`.
        """
