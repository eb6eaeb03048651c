"""Paint bare skin, eyes and mouth on the mean body."""

import functools

import numpy as np

from synthaug.avatars.procedural.figure import Floats, Ints, Points, nearest, normals_of, points, ramp, template
from synthaug.avatars.procedural.noise import grain, octaves
from synthaug.avatars.procedural.wardrobe import SKIN, ProceduralPerson
from synthaug.body.skeleton import JOINT

EYES = ("left_eye_smplhf", "right_eye_smplhf")
IRIS_RADIUS, PUPIL_RADIUS = 0.0061, 0.0027
"""Metres: an iris of 12 mm across and an indoor pupil."""


def skin_tone(person: ProceduralPerson) -> Floats:
    """The person's mean skin colour."""
    place = person.skin * (len(SKIN) - 1)
    return np.stack([np.interp(place, np.arange(len(SKIN)), SKIN[:, c]) for c in range(3)]).astype(np.float32)


@functools.cache
def _lid_distances() -> Floats:
    """Distance of every surface point from the edge of the eyelids on the mean body, metres, [P]."""
    body = template()
    edges = np.sort(np.concatenate([body.faces[:, [0, 1]], body.faces[:, [1, 2]], body.faces[:, [2, 0]]]), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    corners = np.unique(unique[counts == 1])
    skin = np.zeros(len(body.vertices), bool)
    skin[body.faces[body.parts == body.part_names.index("head")]] = True
    eyes = body.joints[[JOINT[name] for name in EYES]]
    lids = corners[skin[corners] & (nearest(eyes, body.vertices[corners])[0] < 0.03)]
    if not len(lids):
        return np.full(len(points().part), np.inf, np.float32)
    return nearest(body.vertices[lids], points().canonical)[0]


@functools.cache
def _upward_normals() -> Floats:
    """Vertical component of the mean body's normal at every surface point, [P]."""
    return points().on(normals_of(template().vertices, template().faces))[:, 1]


def paint_skin(person: ProceduralPerson, chosen: Points, index: Ints) -> Floats:
    """Colours [P, 3] of bare skin.

    Args:
        person: Whose skin.
        chosen: The points.
        index: Indices of the points among all surface points, by which a coarser person keeps its freckles.
    """
    base = skin_tone(person)
    place = chosen.canonical
    colors = np.broadcast_to(base, place.shape).astype(np.float32)
    blotch = octaves(place * 30, person.noise, 2)
    fine = grain(len(points().part), person.noise + 3)[index]
    colors = colors * (1 + 0.03 * blotch + 0.015 * fine)[:, None]
    red = 0.25 * octaves(place * 18, person.noise + 1, 2) + _redness(person, chosen, index)
    # Blood shows as less green and blue, and more on light skin.
    colors = colors * (1 - np.clip(red, -0.3, 1.5)[:, None] * np.array([0.02, 0.115, 0.12]) * (1.1 - 0.5 * person.skin))
    colors = _paint_hands(person, chosen, index, colors)
    head = chosen.part == template().part_names.index("head")
    if head.any():
        at = np.flatnonzero(head)
        colors[at] = _paint_face(person, chosen.take(at), index[at], colors[at])
    colors = _paint_eyes(person, chosen, colors)
    mouth = chosen.part == template().part_names.index("mouth")
    colors[mouth] = [0.26, 0.09, 0.09]
    return colors.astype(np.float32)


def _redness(person: ProceduralPerson, chosen: Points, index: Ints) -> Floats:
    x, y, z = chosen.canonical.T
    cheeks = np.exp(-(((np.abs(x) - 0.043) / 0.02) ** 2) - ((y - 0.585) / 0.022) ** 2) * (z > 0.08)
    nose = chosen.masks["nose"] * 0.8
    elbows = np.exp(-(((np.abs(x) - 0.44) / 0.03) ** 2)) * (z < 0.02) * (y > 0.3)
    knees = np.exp(-(((y + 0.49) / 0.04) ** 2)) * (z > 0.04)
    return np.asarray(
        person.ruddy * (cheeks + nose + 0.7 * chosen.masks["ear"] + 0.5 * elbows + 0.5 * knees), np.float32
    )


def _paint_hands(person: ProceduralPerson, chosen: Points, index: Ints, colors: Floats) -> Floats:
    """Knuckles darker and redder, palms lighter on dark skin, nails."""
    names = template().part_names
    hand = (chosen.part == names.index("left_hand")) | (chosen.part == names.index("right_hand"))
    at = np.flatnonzero(hand)
    if not len(at):
        return colors
    place, up = chosen.canonical[at], _upward_normals()[index[at]]
    joints = template().joints
    distance, _ = nearest(joints[25:], place)
    back = ramp(up, 0.0, 0.5)
    knuckle = back * np.exp(-((distance / 0.009) ** 2))
    tips = [JOINT[f"{side}_{f}3"] for side in ("left", "right") for f in ("index", "middle", "pinky", "ring")]
    reach, tip = nearest(joints[tips], place)
    along = np.abs(place[:, 0]) - np.abs(joints[tips][tip, 0])
    nail = (along > 0.011) & (up > 0.55) & (reach < 0.035)
    palm = ramp(up, -0.1, -0.6) * (0.25 + 0.75 * person.skin)
    colors[at] *= 1 - knuckle[:, None] * np.array([0.10, 0.22, 0.22])
    colors[at] += (np.minimum(skin_tone(person) * 1.25 + 0.10, 0.9) - colors[at]) * (0.55 * palm)[:, None]
    colors[at[nail]] = 0.55 * colors[at[nail]] + 0.45 * np.array([0.90, 0.72, 0.68])
    return colors


def _paint_face(person: ProceduralPerson, chosen: Points, index: Ints, colors: Floats) -> Floats:
    x, y, z = chosen.canonical.T
    ax = np.abs(x)
    eyes = template().joints[[JOINT[name] for name in EYES]]
    around = nearest(eyes, chosen.canonical)[0]
    hair = np.array(person.hair_color, np.float32)
    # Sockets and the rings under the eyes.
    socket = ramp(around, 0.034, 0.018)
    colors = colors * (1 - socket[:, None] * np.array([0.10, 0.13, 0.11]))
    colors = _paint_stubble(person, chosen, colors, hair)
    lips = np.maximum(chosen.masks["upper_lip"], chosen.masks["lower_lip"])
    lip = skin_tone(person) * np.array([0.93, 0.73, 0.73]) + np.array([0.02, -0.03, -0.02]) * person.female
    colors += (lip - colors) * (0.85 * ramp(lips, 0.10, 0.38))[:, None]
    line = np.exp(-(((y - 0.5525) / 0.0016) ** 2)) * ramp(ax, 0.030, 0.024) * (z > 0.13)
    colors = colors * (1 - 0.6 * line[:, None])
    arch = 0.6455 + 0.005 * np.sin(np.clip((ax - 0.012) / 0.043, 0, 1) * np.pi * 0.8) - 0.004 * ramp(ax, 0.040, 0.055)
    thick = (0.0042 - 0.0022 * ramp(ax, 0.030, 0.055)) * (0.8 + 0.5 * person.brow) * (1 - 0.25 * person.female)
    brow = ramp(np.abs(y - arch), thick * 1.35, thick * 0.6) * (ax > 0.011) * (ax < 0.056) * (z > 0.08)
    stroke = 0.75 + 0.25 * grain(len(points().part), person.noise + 5)[index]
    dark = np.minimum(hair * 0.75, 0.45)
    colors += (dark - colors) * (brow * stroke * (0.45 + 0.5 * person.brow))[:, None]
    eye_y = eyes[0, 1]
    rim = _lid_distances()[index]
    lash = ramp(rim, 0.0026, 0.0012) * np.where(y > eye_y - 0.001, 0.9, 0.45)
    return np.asarray(colors * (1 - lash[:, None] * 0.85), np.float32)


def _paint_stubble(person: ProceduralPerson, chosen: Points, colors: Floats, hair: Floats) -> Floats:
    share = beard_mask(chosen) * min(person.beard * 1.1, 0.55)
    cool = 0.5 * hair + 0.5 * skin_tone(person) * np.array([0.62, 0.62, 0.66])
    return np.asarray(colors + (cool - colors) * share[:, None], np.float32)


def beard_mask(chosen: Points) -> Floats:
    """Where a beard grows, 0..1, [P]."""
    x, y, z = chosen.canonical.T
    ax = np.abs(x)
    upper = 0.573 - 0.016 * ramp(ax, 0.020, 0.032) + 0.9 * np.maximum(ax - 0.032, 0)
    lips = np.maximum(chosen.masks["upper_lip"], chosen.masks["lower_lip"])
    inside = ramp(y, upper + 0.002, upper - 0.006) * ramp(y, 0.488, 0.503) * ramp(z, 0.066, 0.085)
    return np.asarray(inside * ramp(lips, 0.30, 0.15) * (1 - chosen.masks["ear"]), np.float32)


def _paint_eyes(person: ProceduralPerson, chosen: Points, colors: Floats) -> Floats:
    names = template().part_names
    for part, joint in (("left_eye", EYES[0]), ("right_eye", EYES[1])):
        at = np.flatnonzero(chosen.part == names.index(part))
        if not len(at):
            continue
        offset = chosen.canonical[at] - template().joints[JOINT[joint]]
        radius = np.hypot(offset[:, 0], offset[:, 1])
        white = np.array([0.80, 0.77, 0.74]) - 0.16 * ramp(radius, 0.008, 0.014)[:, None] * np.array([0.5, 1.0, 1.0])
        iris = np.array(person.iris) * (1.25 - 0.45 * ramp(radius, 0.0035, IRIS_RADIUS))[:, None]
        color = white + (iris - white) * ramp(radius, IRIS_RADIUS + 0.0005, IRIS_RADIUS - 0.0005)[:, None]
        color *= 1 - ramp(radius, PUPIL_RADIUS + 0.0005, PUPIL_RADIUS - 0.0005)[:, None] * 0.93
        glint = np.hypot(offset[:, 0] + 0.0022, offset[:, 1] - 0.0024) < 0.0013
        color[glint] = 0.95
        # The upper lid casts a shadow.
        color *= 1 - 0.45 * ramp(offset[:, 1], 0.001, 0.008)[:, None]
        colors[at] = color
    return colors
