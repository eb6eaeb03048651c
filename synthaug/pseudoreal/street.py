"""The set on which the demo is filmed: streetwear, shops and halls, fixed cameras, a phone's sensor.

It is what `conf/dataset/demo.yaml` says under `dataset.films.stage`, in plain Python. Synthesis uses other people,
rooms, views and sensors, so that the demo's film is foreign to it.
"""

from synthaug.avatars.anny import SEEDS, AnnyPeople
from synthaug.backgrounds.rooms import Rooms
from synthaug.cameras.orbit import Orbit
from synthaug.motions.actions import Actions
from synthaug.pseudoreal.sets import FilmSet
from synthaug.renderers import Splatting
from synthaug.renderers.cpu import CpuRenderer
from synthaug.sensors.camera import CameraSensor

FAMILY = "street"
"""Family of the performers' clothes and of the rooms; synthetic clips use the family `studio`."""


def build_street() -> FilmSet:
    """Build the set of the demo. People are built when they are first needed."""
    return FilmSet(
        motion=Actions(),
        avatar=AnnyPeople(family=FAMILY, people=SEEDS, levels=None),
        # Fixed cameras, as in Toyota Smarthome and NTU RGB+D.
        camera=Orbit(azimuth_deg=(-40, 40), elevation_deg=(-2, 22), distance=(0.8, 1.05), focal=(1.25, 1.55)),
        background=Rooms(family=FAMILY),
        # Stock gsplat's image model, at twice the size; synthesis uses another.
        renderer=CpuRenderer(Splatting(antialiased=False, eps2d=0.3)),
        sensor=CameraSensor(
            resolution=(0.8, 1.0),
            blur=(0.1, 0.6),
            exposure=(-0.3, 0.3),
            balance=0.08,
            gamma=(0.85, 1.2),
            noise=(0.005, 0.02),
            quality=(60, 95),
        ),
    )
