"""The interface of things: what people hold, wear and sit on, as Gaussians; `things` is the answer, the others kinds.

Chance decides in `PropPool.sample`, once for each recipe; `fit` and `place` apply what it decided, without chance.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import Skeleton
from synthaug.structures import Camera, Gaussians, Level, Light, Motion, Values

Triple: TypeAlias = tuple[float | int, float | int, float | int]
Carrier: TypeAlias = Literal["hand", "hands", "head"]
"""What carries a thing: one palm, both palms, or the head."""


@dataclass(frozen=True)
class Dome:
    """What a hat is in place of: all of a head that is above a plane and outside of an ellipsoid, in the hat's frame.

    Attributes:
        rim: Height of the plane, metres.
        middle: Of the ellipsoid.
        axes: Its half axes, metres.
    """

    rim: float
    middle: Triple
    axes: Triple


@dataclass(frozen=True)
class Hold:
    """How a thing lies in a hand, between both hands, or on the head.

    Directions of a hand are (towards the thumb, out of the palm, along the fingers); those of both hands and of the
    head are (to the person's left, up, forward).

    Attributes:
        carrier: What carries it.
        side: The hand that must hold it, "left" or "right"; empty for either.
        up: Direction of the thing's y axis.
        front: Direction of the thing's z axis.
        grip: The point of the thing that touches the palm, or the brow, in its own frame, metres.
        shape: Shape of the hands that hold it, one of `synthaug.body.hands.SHAPES`.
        place: The place on the hand that holds it: the palm, or the pinch of thumb and index.
        tilt_deg: Most degrees between its y axis and the vertical, so that a cup is not poured out; None for any.
        spread: Least and most metres between the palms, for things that both hands hold.
        stretch: Whether such a thing is made as wide as the palms are apart.
        floor: Length of a stick whose end is on the floor, metres: hands slide along it. 0 for none.
        dome: What of a head, hair mostly, is not there while it is worn; None takes nothing away.
    """

    carrier: Carrier = "hand"
    side: Literal["", "left", "right"] = ""
    up: Triple = (1.0, 0.0, 0.0)
    front: Triple = (0.0, 1.0, 0.0)
    grip: Triple = (0.0, 0.0, 0.0)
    shape: str = "hold"
    place: Literal["palm", "pinch"] = "palm"
    tilt_deg: float | None = None
    spread: tuple[float, float] = (0.0, 0.0)
    stretch: bool = False
    floor: float = 0.0
    dome: Dome | None = None


class Prop(ABC):
    """One kind of thing: y up and z to the front in its own frame, metres."""

    near: ClassVar[str] = ""
    """Where its hand goes, "mouth", "ear", "eyes" or "crown"; empty for the busier hand."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """Sample shape and colours: plain values that survive a trip through JSON.

        Args:
            rng: Decides.
            family: "studio" or "street": two families share no shape or colour.
        """

    @abstractmethod
    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """How a thing with these values is held by this carrier; kinds that know one way only answer with that."""

    @abstractmethod
    def build(self, values: Values, *, spacing: float) -> Level:
        """The Gaussians of a thing with these values; samples nothing.

        Args:
            values: What `sample` returned.
            spacing: Metres between neighbouring Gaussians, about; small things have finer ones.
        """


@dataclass(frozen=True, eq=False)
class Performer:
    """One person of a clip, as fitted to his or her body.

    Attributes:
        motion: World frame, floor at y = 0.
        skeleton: The person's proportions.
        moments: Share of the performance, 0 to 1, that each frame shows.
        mirrored: Whether the motion is the mirror image of the one that the values were sampled for.
    """

    motion: Motion
    skeleton: Skeleton
    moments: Float[Tensor, " time"]
    mirrored: bool = False


@dataclass(frozen=True, eq=False)
class Stage:
    """Where things are put.

    Attributes:
        camera: The view; it decides how fine things are built.
        light: Light of the place; None leaves colours as they are.
        seats: Whether seats are built; not where a film shows the seat that the filmed person sat on.
        centre: x and z of the middle of the free floor, and its radius, metres; None where all floor is free.
    """

    camera: Camera
    light: Light | None = None
    seats: bool = True
    centre: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Placed:
    """A thing in its place.

    Attributes:
        kind: Name of its kind.
        gaussians: Rigid: its single joint is the thing itself.
        person: Index of the performer who holds it or sits on it.
        hands: The hands that hold it; empty for what is worn or sat on.
        shown: Frames in which it is there.
        grips: World positions of its grip points, one for each of `hands`.
        top: Height of the surface of a seat above the floor, metres; None for what is held.
        frames: Frames in which somebody rests on a seat.
        dome: What of the person's head is not there while it is worn, in its own frame; None for nothing.
    """

    kind: str
    gaussians: Gaussians
    person: int
    hands: tuple[str, ...]
    shown: Sequence[bool]
    grips: Float[Tensor, "hand time 3"]
    top: float | None = None
    frames: Sequence[bool] = field(default_factory=tuple)
    dome: Dome | None = None


class PropPool(ABC):
    """Things to choose from, by the class of a clip."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever the same values would give other Gaussians; part of every cache key."""

    @abstractmethod
    def assign(self, classes: Sequence[str]) -> "PropPool":
        """The same pool with the things that these classes hold, by label.

        Raises:
            ValueError: If the user's table names a class that is not among them.
        """

    @abstractmethod
    def sample(self, label: int, people: Sequence[Motion], rng: np.random.Generator) -> Values:
        """Sample the things of a clip of this class, and how seats look; empty if there are none.

        Args:
            label: The class, an index into what `assign` was given.
            people: The performances of which the clip shows a part, on the mean skeleton: which hand, and when.
            rng: Decides.
        """

    @abstractmethod
    def fit(self, values: Values, performers: Sequence[Performer], *, seats: bool = True) -> list[Motion]:
        """The performers' motions, fitted to their things.

        Fingers close around what a hand holds, where its own were flat, and who lies on the floor lies on a mat.

        Args:
            values: What `sample` returned.
            performers: As they move without things.
            seats: As in `Stage`.
        """

    @abstractmethod
    def place(self, values: Values, performers: Sequence[Performer], stage: Stage) -> list[Placed]:
        """Everything that these values decide, in its place. Samples nothing.

        Raises:
            ValueError: If the values name a kind that is not here.
        """
