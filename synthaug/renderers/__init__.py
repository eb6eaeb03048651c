"""The interface of renderers, which turn Gaussians into pictures.

`renderers/torch.py` is the specification; parity tests compare every other renderer with it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from synthaug.levels import PER_PIXEL
from synthaug.structures import Camera, Gaussians, Rendering


@dataclass(frozen=True)
class Splatting:
    """The image model, the same for every renderer; part of every cache key.

    Attributes:
        antialiased: Whether opacities are lowered to make up for `eps2d`, as gsplat's `rasterize_mode="antialiased"`
            does; False is gsplat's "classic", which enlarges silhouettes at low resolution.
        eps2d: Variance added to every footprint, in pixels squared. A box of one pixel has 1/12; 0.05 is the most
            accurate, since Gaussians have no edges to soften.
        max_alpha: Upper limit of one Gaussian's alpha (0.999 in gsplat 1.5.3, 0.99 in 1.6 and INRIA's rasteriser).
        near: Smallest camera depth that is rendered, metres.
        far: Largest camera depth that is rendered, metres.
        per_pixel: Gaussians of a person for each pixel of the silhouette. It chooses the level of detail of people who
            have levels (`synthaug.levels`); None renders all Gaussians.

    Raises:
        ValueError: If a value is out of range.
    """

    antialiased: bool = True
    eps2d: float = 0.05
    max_alpha: float = 0.99
    near: float = 0.01
    far: float = 1e10
    per_pixel: float | None = PER_PIXEL

    def __post_init__(self) -> None:
        rules = {
            "eps2d": (0 <= self.eps2d < math.inf, "0 or more, such as 0.05"),
            "max_alpha": (0 < self.max_alpha <= 1, "more than 0 and at most 1, such as 0.99"),
            "near": (0 < self.near < math.inf, "more than 0 metres, such as 0.01"),
            "far": (self.far >= self.near, f"at least near={self.near} metres"),
        }
        for name, (fits, rule) in rules.items():
            if not fits:
                value = getattr(self, name)
                raise ValueError(f"Expected {name} of Splatting to be {rule}, got {value}. Change it, or leave it out.")


class Renderer(ABC):
    """Renders people on a transparent background: colour premultiplied by alpha, OpenCV camera axes."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Name of the renderer and all its settings; part of every cache key."""

    @abstractmethod
    def render(
        self, people: Sequence[Gaussians], camera: Camera, *, depth: bool = False, labels: bool = False
    ) -> Rendering:
        """Render people together, sorted by depth as one set of Gaussians.

        Args:
            people: Each with as many frames as the camera. No people give a transparent picture.
            camera: One view for each frame.
            depth: Whether to return depth as well.
            labels: Whether to return the visible body part of each pixel as well.

        Raises:
            ValueError: If frame counts differ or a value is not finite.
        """


@dataclass(frozen=True, eq=False)
class Shot:
    """The input for one clip of a batch.

    Attributes:
        people: Each with as many frames as the camera; no people give a transparent picture.
        camera: One view for each frame.
        depth: Whether to return depth as well.
    """

    people: tuple[Gaussians, ...]
    camera: Camera
    depth: bool = False


class BatchRenderer(Renderer):
    """Renders many clips at once on a GPU, in the main process and never in DataLoader workers.

    The loader sends the clips of a whole batch to `render_clips`; `render` renders one clip, as in every renderer.
    """

    @abstractmethod
    def prepare(self) -> None:
        """Do what takes long the first time, such as compiling; called in one process of a node before training."""

    @abstractmethod
    def render_clips(self, shots: Sequence[Shot]) -> list[Rendering]:
        """Render clips, each as `render` does alone, whatever else is in the batch; results are in main memory.

        Raises:
            ValueError: As for `render`.
        """
