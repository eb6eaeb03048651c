"""The demo's film with things: they change its films and their names, and nothing where there are none."""

import torch
from fakes import BeadPeople

from synthaug.backgrounds.rooms import Rooms
from synthaug.cameras.orbit import Orbit
from synthaug.motions.actions import Actions
from synthaug.props.things import Things
from synthaug.pseudoreal.film import FilmJob, Footage, PseudoReal
from synthaug.pseudoreal.sets import FilmSet
from synthaug.renderers.cpu import CpuRenderer
from synthaug.sensors.camera import CameraSensor


def film_maker(things, *, classes=("read", "walk")):
    stage = FilmSet(
        motion=Actions(), avatar=BeadPeople(), camera=Orbit(), background=Rooms("street"), renderer=CpuRenderer(),
        sensor=CameraSensor(), things=things,
    )  # fmt: skip
    footage = Footage(size=48, fps=6.0, seconds=2.0, supersampling=1)
    return PseudoReal(stage, classes=classes, performers=1, footage=footage, num_workers=0)


def test_things_change_the_films_of_those_who_hold_some_and_no_others():
    plain, held = film_maker(None), film_maker(Things("street"))
    assert plain.fingerprint != held.fingerprint != film_maker(Things("studio")).fingerprint
    films = [[maker._perform(FilmJob(label, 0, ""))[1] for maker in (plain, held)] for label in range(2)]
    assert [torch.equal(*both) for both in films] == [False, True]
