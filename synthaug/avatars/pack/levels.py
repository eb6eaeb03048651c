"""Levels of detail of a pack."""

from dataclasses import replace

from synthaug.avatars.pack.format import Pack
from synthaug.avatars.pack.rig import rehearsal
from synthaug.levels import Pyramid


def add_levels(pack: Pack, pyramid: Pyramid) -> Pack:
    """Add coarser levels after the finest, which look like it in many poses."""
    finest = replace(pack.levels[0], levels=())
    person = pyramid.add_levels(replace(finest, T_world_rest=pack.rig.transforms(rehearsal())))
    return replace(pack, levels=(finest, *(person.at(level) for level in person.levels)))
