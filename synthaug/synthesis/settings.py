"""What to synthesise with, and how much of it."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from synthaug.avatars import AvatarPool
from synthaug.backgrounds import Background
from synthaug.cameras import CameraPath
from synthaug.motions import MotionPrior, MotionSource, MotionVariation
from synthaug.props import PropPool
from synthaug.renderers import Renderer
from synthaug.sensors import Sensor
from synthaug.structures import Record, Reference
from synthaug.synthesis.caching import RenderCache
from synthaug.synthesis.exclusions import Exclusions, read_exclusions
from synthaug.synthesis.fitting import PlaceFit
from synthaug.synthesis.visibility import Threshold


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
        swap: Share of clips that stay in the film, place and view that the motion is from: the filmed person is taken
            out and another one acts there. Clips whose film does not allow it are shown as all others are, and counted.
        film: Takes people out of films; None where no clip is swapped.
        prior: Performs actions that no film shows; None where no strangers perform.
        strangers: People who perform beside each filmed one, as `prior` has it, in classes that it knows: 1 makes half
            of the clips theirs. Their motions are invented; places and views are the film's.
        props: Things in people's hands, by class, and seats under those who sit; None shows none.
        blend: Share of clips in which two similar performances of one class are blended into one.
        resample_every: Epochs after which all recipes are sampled again; 0 keeps the finite set.
        min_shown: Least share of the acting person's joints (22, of the body) that a clip shows: in the picture, and
            hidden by neither place, things nor other people. Recipes below are sampled again; 0 takes them all.
        min_shown_half_second: The same for any half second of a clip.
        max_tries: How often a recipe is sampled before its clip is left out.
        fit: Takes places that fit the class; None takes any.
        exclude: File that names motions and clips to leave out, as `synthaug gallery` saves it; None leaves out none.
            No recipe performs a motion that it names; a clip that it names is sampled again. All other recipes stay as
            they are. A cap (`per_class`) is filled up with clips that it had left out.
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
    swap: float = 0.0
    film: Background | None = None
    prior: MotionPrior | None = None
    strangers: int = 0
    props: PropPool | None = None
    blend: float = 0.0
    resample_every: int = 0
    min_shown: float = 0.7
    min_shown_half_second: float = 0.5
    max_tries: int = 20
    fit: PlaceFit | None = None
    exclude: str | None = None
    cache: RenderCache | None = field(default_factory=RenderCache)

    def __post_init__(self) -> None:
        for name in ("identities", "backgrounds", "strangers", "resample_every"):
            if not _is_count(getattr(self, name)):
                raise ValueError(
                    f"Expected synth.{name} to be a whole number of 0 or more, got {getattr(self, name)!r}. Change it."
                )
        if self.per_class is not None and not _is_count(self.per_class):
            raise ValueError(
                f"Expected synth.per_class to be null or a whole number of 0 or more, got {self.per_class!r}."
            )
        if not _is_count(self.max_tries) or self.max_tries == 0:
            raise ValueError(
                f"Expected synth.max_tries to be a whole number of 1 or more, got {self.max_tries!r}. Change it."
            )
        for name in ("crop", "mirror", "swap", "blend", "min_shown", "min_shown_half_second"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
                raise ValueError(f"Expected synth.{name} to be a share from 0 to 1, got {value!r}. Set synth.{name}.")

        if self.exclude is not None and (not isinstance(self.exclude, str) or not self.exclude):
            raise ValueError(
                f"Expected synth.exclude to be null or the name of a file, got {self.exclude!r}. Write "
                f"synth.exclude=./{self.exclude}, or the whole path."
            )
        _ = self.exclusions  # read now: a list that cannot be read is told before anything else is done

        if self.swap > 0 and self.film is None:
            raise ValueError(
                f"Expected synth.film to take people out of films, since synth.swap is {self.swap}, got none. Choose "
                "synth/film=emptied, or set synth.swap=0."
            )

        if self.strangers > 0 and self.prior is None:
            raise ValueError(
                f"Expected synth.prior to perform, since synth.strangers is {self.strangers}, got none. Choose "
                "synth/prior=actions, or set synth.strangers=0."
            )

    @functools.cached_property
    def exclusions(self) -> Exclusions:
        """What `exclude` names."""
        return Exclusions() if self.exclude is None else read_exclusions(Path(self.exclude).expanduser())

    def prepare(self, films: Sequence[tuple[Record, Reference]]) -> "Synthesis":
        """The same with places and people of these films, which are training film and no other.

        Raises:
            NoSceneError: If they give no place, or no film for swapped clips.
        """
        film = self.film if self.film is None or self.swap == 0 else self.film.prepare(films)
        avatar = self.avatar.prepare(films)
        return replace(self, background=self.background.prepare(films), avatar=avatar, film=film)

    def name_classes(self, classes: Sequence[str]) -> "Synthesis":
        """The same with what depends on the names of the classes, by label: fitting places, and things in hands.

        Raises:
            ValueError: If the user's table of things names a class that is not among them.
        """
        fit = None if self.fit is None else self.fit.assign(classes)
        props = None if self.props is None else self.props.assign(classes)
        return replace(self, fit=fit, props=props)

    @property
    def places(self) -> tuple[Background, ...]:
        """All places that clips may show."""
        return (self.background,) if self.film is None or self.swap == 0 else (self.background, self.film)

    @property
    def threshold(self) -> Threshold:
        """What a clip must show of its acting person."""
        return Threshold(self.min_shown, self.min_shown_half_second)


def _is_count(value: object) -> bool:
    """Whether it is a whole number of 0 or more: configurations may hold anything."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
