"""What to synthesise with, and how much of it."""

from dataclasses import dataclass, field

from synthaug.avatars import AvatarPool
from synthaug.backgrounds import Background
from synthaug.cameras import CameraPath
from synthaug.motions import MotionSource, MotionVariation
from synthaug.renderers import Renderer
from synthaug.sensors import Sensor
from synthaug.synthesis.caching import RenderCache


@dataclass(frozen=True, eq=False)
class Synthesis:
    """What to synthesise with, and how much of it.

    Attributes:
        motion: Extracts the motions of training clips.
        variation: Varies how they are performed.
        avatar: The people to choose from.
        camera: Chooses the views.
        background: Chooses the places.
        renderer: Renders the people.
        sensor: A camera's imperfections, added last; None adds none.
        identities: People who re-enact every reference. 0 is the real-only baseline, on the same code path.
        backgrounds: Places and views sampled for each reference and identity.
        per_class: Cap on synthetic clips of a class; None takes references x identities x backgrounds.
        min_quality: Motions graded lower are dropped and counted.
        crop: How far the middle of the action (half of all movement is done) may lie from the middle of a clip: share
            of half its length. 0 centres it, 1 allows any place within the clip, None takes any part of the motion, for
            long footage of one continuing activity.
        mirror: Share of mirror images, whose label is that of the class that the data set names for them. 0 for none.
        blend: Share of clips in which two similar performances of one class are blended into one.
        resample_every: Epochs after which all recipes are sampled again; 0 keeps the finite set.
        cache: Keeps rendered people, and places that take long to build; None renders every time.
    """

    motion: MotionSource
    variation: MotionVariation
    avatar: AvatarPool
    camera: CameraPath
    background: Background
    renderer: Renderer
    sensor: Sensor | None = None
    identities: int = 10
    backgrounds: int = 3
    per_class: int | None = None
    min_quality: float = 0.0
    crop: float | None = 0.8
    mirror: float = 0.0
    blend: float = 0.0
    resample_every: int = 0
    cache: RenderCache | None = field(default_factory=RenderCache)

    def __post_init__(self) -> None:
        for name in ("identities", "backgrounds", "resample_every"):
            if not _is_count(getattr(self, name)):
                raise ValueError(
                    f"Expected synth.{name} to be a whole number of 0 or more, got {getattr(self, name)!r}. Change it."
                )
        if self.per_class is not None and not _is_count(self.per_class):
            raise ValueError(
                f"Expected synth.per_class to be null or a whole number of 0 or more, got {self.per_class!r}."
            )
        for name in ("crop", "mirror", "blend"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
                raise ValueError(f"Expected synth.{name} to be a share from 0 to 1, got {value!r}. Set synth.{name}.")


def _is_count(value: object) -> bool:
    """Whether it is a whole number of 0 or more: configurations may hold anything."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
