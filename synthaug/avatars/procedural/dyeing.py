"""Colours of skin, cloth and shoes at every point of a dressed person."""

import numpy as np

from synthaug.avatars.procedural import fabric, hair, tailoring
from synthaug.avatars.procedural.complexion import paint_skin
from synthaug.avatars.procedural.figure import Floats, Ints, Points, points, ramp
from synthaug.avatars.procedural.noise import grain
from synthaug.avatars.procedural.wardrobe import ProceduralPerson

SKIN, SOCK, SHOE, BOTTOM, TOP = range(5)
"""Layers, inner to outer."""


def color_points(person: ProceduralPerson, chosen: Points, index: Ints, layer: Ints) -> Floats:
    """Colour of every point on its layer, [P, 3]."""
    colors = np.empty_like(chosen.canonical)
    at = np.flatnonzero(layer == SKIN)
    skin = chosen.take(at)
    colors[at] = hair.tint_scalp(person, skin, paint_skin(person, skin, index[at]))
    at = np.flatnonzero(layer == SOCK)
    colors[at] = np.array(person.colors["sock"]) * (1 + 0.05 * grain(len(points().part), 5)[index[at]])[:, None]
    at = np.flatnonzero(layer == SHOE)
    place = chosen.canonical[at]
    colors[at] = _shoe_colors(person, place + tailoring.shoe_last(place)[0])
    at = np.flatnonzero(layer == BOTTOM)
    colors[at] = _bottom_colors(person, chosen.canonical[at])
    at = np.flatnonzero(layer == TOP)
    colors[at] = _top_colors(person, chosen.canonical[at])
    return colors


def _top_colors(person: ProceduralPerson, place: Floats) -> Floats:
    pair = (person.colors["top"], person.colors["top2"])
    size, seed = person.sizes["pattern"], person.noise
    colors = fabric.paint_soft_pattern(
        person.top_pattern, place, fabric.trunk_chart, colors=pair, scale=size, seed=seed
    )
    knit = "knit" if person.top.neck in ("hood", "turtle") else "plain"
    colors = colors * fabric.weave(knit, place, person.noise + 13)
    sewn, extra = fabric.seam_masks(person, place)
    colors = np.where(sewn[:, None], colors * 0.70, colors)
    bright = np.array([0.90, 0.89, 0.86]) if sum(pair[0]) < 1.5 else np.array([0.22, 0.22, 0.24])
    colors = np.where(extra[:, None], bright, colors)
    if person.top.neck == "zip":
        x, y, z = place.T
        inner = (z > 0.03) & (np.abs(x) < 0.05 * ramp(y, 0.22, 0.40)) & (y > 0.24)
        colors = np.where(inner[:, None], np.array(person.colors["under"]), colors)
    return np.clip(colors, 0.02, 0.97)


def _bottom_colors(person: ProceduralPerson, place: Floats) -> Floats:
    pair = (person.colors["bottom"], person.colors["bottom2"])
    size, seed = person.sizes["pattern"], person.noise + 1
    colors = fabric.paint_soft_pattern(
        person.bottom_pattern, place, fabric.leg_chart, colors=pair, scale=size, seed=seed
    )
    colors = colors * fabric.weave(person.bottom.cloth, place, person.noise + 17)
    x, y, z = place.T
    side = np.abs(np.abs(x) - 0.19) < 0.004
    pocket = (np.abs(y + 0.02 + 0.9 * (np.abs(x) - 0.10)) < 0.004) & (z > 0.02) & (np.abs(x) > 0.09)
    fly = (np.abs(x - 0.012) < 0.003) & (y > -0.10) & (z > 0.05)
    hem = np.abs(y - person.sizes["hem"] - 0.022) < 0.004
    sewn = side | pocket | fly | hem
    back = (z < -0.03) & (np.abs(np.abs(np.abs(x) - 0.075) - 0.045) < 0.003) & (np.abs(y + 0.07) < 0.055)
    colors = np.where((sewn | back)[:, None], colors * 0.72, colors)
    return np.clip(colors, 0.02, 0.97)


def _shoe_colors(person: ProceduralPerson, place: Floats) -> Floats:
    x, y, z = place.T
    side = np.sign(x)
    local = (x - side * 0.107) * side
    colors = np.broadcast_to(np.array(person.colors["shoe"], np.float32), place.shape)
    colors = colors * fabric.weave("plain", place, person.noise + 19)
    toe = (z > 0.150) & (y < -0.925)
    colors = np.where(toe[:, None], colors * 0.85, colors)
    if person.shoe.thickness > 0.007:
        laces = (np.abs(local) < 0.019) & (z > 0.050) & (z < 0.135) & (z * 42 % 1 < 0.5) & (y > -0.95)
        pale = np.array([0.85, 0.85, 0.83]) if sum(person.colors["shoe"]) < 1.8 else np.array([0.45, 0.46, 0.50])
        colors = np.where(laces[:, None], pale, colors)
        stripe = (np.abs(local) > 0.024) & (np.abs(z + 0.5 * y + 0.43) < 0.008) & (y < -0.90)
        mark = np.array(person.colors["top2"]) if person.noise % 2 else colors * 0.7
        colors = np.where(stripe[:, None], mark, colors)
    sole = y < tailoring.SOLE_Y + 0.014 + 0.010 * ramp(z, 0.02, -0.05)
    return np.where(sole[:, None], np.array(person.shoe.sole), colors)
