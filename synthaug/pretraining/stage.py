"""Where pretraining clips are filmed by default: any side, near and far, in rooms and before pictures of rooms."""

from synthaug.backgrounds.flat import Flat
from synthaug.backgrounds.mixture import Mixture
from synthaug.backgrounds.places import Places
from synthaug.backgrounds.rooms import Rooms
from synthaug.cameras.orbit import Orbit
from synthaug.defaults import default_avatars
from synthaug.motions.actions import Actions
from synthaug.motions.variation import Unvaried
from synthaug.renderers.auto import best_renderer
from synthaug.sensors.camera import CameraSensor
from synthaug.synthesis import Synthesis


def pretraining_synthesis(*, people: int = 40, places: int = 1000, seed: int = 0) -> Synthesis:
    """Settings for `PretrainingClips`: procedural people of the studio family in procedural rooms.

    People, rooms and styles of the "street" family are left out: the demo is tested on them.

    Args:
        people: How many people perform.
        places: How many rooms, each seen from one view; building one takes some 60 ms.
        seed: Decides the rooms.
    """
    around = Orbit((-180.0, 180.0), (-10.0, 30.0), (0.75, 1.8), (0.7, 1.6))
    stock = Places(Rooms(), Orbit((-180.0, 180.0), (-5.0, 25.0), (0.75, 1.8), (0.7, 1.4)), number=places, seed=seed)
    flat = Flat(Places(Rooms(), Orbit((-180.0, 180.0)), number=places, seed=seed + 1))
    return Synthesis(
        motion=Actions(),
        variation=Unvaried(),
        avatar=default_avatars(people=people),
        camera=around,
        background=Mixture({"places": stock, "flat": flat}, {"places": 0.6, "flat": 0.4}),
        renderer=best_renderer(),
        sensor=CameraSensor(resolution=(0.4, 1.0), blur=(0.0, 0.9)),
        identities=people,
        backgrounds=1,
        cache=None,
    )
