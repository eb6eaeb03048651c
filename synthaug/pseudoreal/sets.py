"""Where and with whom pseudo-real film is shot, and which room goes with which action."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from synthaug.avatars import AvatarPool
from synthaug.backgrounds import Background
from synthaug.cameras import CameraPath
from synthaug.motions import MotionSource
from synthaug.props import PropPool
from synthaug.renderers import Renderer
from synthaug.sensors import Sensor


@dataclass(frozen=True)
class Pairing:
    """Pairs each action with one of a few rooms, so that the scene gives the action away.

    Action 0 is filmed in room 0, action 1 in room 1, and so on, starting again after the last room. A film's camera is
    named "paired", "unseen" or "swapped".

    Attributes:
        rooms: Number of rooms.
        unseen: Performers who are filmed in other rooms, a new one each time.
        swapped: Performers who do each action in the room of the next action.
    """

    rooms: int = 2
    unseen: Sequence[int] = ()
    swapped: Sequence[int] = ()

    def assign(self, label: int, performer: int) -> tuple[str, int | None]:
        """Name of a film's pairing, and the room it is shot in; None is a room of its own."""
        if performer in self.unseen:
            return "unseen", None
        if performer in self.swapped:
            return "swapped", (label + 1) % self.rooms
        return "paired", label % self.rooms


@dataclass(frozen=True, eq=False)
class FilmSet:
    """Where and with whom pseudo-real film is shot.

    Attributes:
        motion: Performs a record called `<action>/<family>/<seed>`.
        avatar: The performers.
        camera: The views.
        background: The rooms.
        renderer: Renders supersampled frames.
        sensor: Samples a camera's imperfections; `record_clip` applies them before the codec.
        views: Several cameras by name that all film every performance, instead of `camera`.
        pairing: Which actions go with which rooms; None films each in a room of its own.
        things: What performers hold and sit on, of another family than synthesis has; None for empty hands.
    """

    motion: MotionSource
    avatar: AvatarPool
    camera: CameraPath
    background: Background
    renderer: Renderer
    sensor: Sensor
    views: Mapping[str, CameraPath] = field(default_factory=dict)
    pairing: Pairing | None = None
    things: PropPool | None = None
