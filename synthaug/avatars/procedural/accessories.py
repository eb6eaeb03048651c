"""Gaussians of cloth that does not follow the body's mesh: skirt, collar and hood."""

import numpy as np

from synthaug.avatars.procedural import fabric, tailoring
from synthaug.avatars.procedural.figure import Figure, Floats, nearest, ramp, template
from synthaug.avatars.procedural.noise import grain
from synthaug.avatars.procedural.patches import Patch, make_discs, spacing_of
from synthaug.avatars.procedural.wardrobe import ProceduralPerson
from synthaug.body.skeleton import JOINT


def sew_additions(person: ProceduralPerson, body: Figure, top: Figure, count: int) -> list[Patch]:
    """Skirt, collar and hood, if the person wears them; `top` is the garment to which collars and hoods are sewn."""
    patches = []
    if person.bottom.skirt:
        patches.append(_sew_skirt(person, body, count // 6))
    if person.top.neck in ("collar", "flap"):
        patches.append(_sew_collar(person, body, top, count // 36))
    if person.top.neck == "hood":
        patches.append(_sew_hood(person, body, top, count // 24))
    return patches


def _sew_skirt(person: ProceduralPerson, body: Figure, count: int) -> Patch:
    length = 0.07 - person.sizes["hem"]
    rings = max(int(round(np.sqrt(count * length / 1.15))), 4)
    columns = max(count // rings, 12)
    positions, normals, chart = tailoring.skirt_surface(body, person, (rings, columns))
    means, normals, chart = positions.reshape(-1, 3), normals.reshape(-1, 3), chart.reshape(-1, 2)
    x, z = np.sin(chart[:, 0]), np.cos(chart[:, 0])
    place = np.stack([x * 0.17, chart[:, 1], z * 0.15], axis=1).astype(np.float32)
    cloth = fabric.Cloth(chart[:, 0] * 0.17, chart[:, 1], place)
    pair = (person.colors["bottom"], person.colors["bottom2"])
    colors = fabric.paint_pattern(
        person.bottom_pattern, cloth, pair, scale=person.sizes["pattern"], seed=person.noise + 1
    )
    colors = colors * fabric.weave(person.bottom.cloth, place, person.noise + 17)
    across = np.gradient(np.linalg.norm(positions[..., [0, 2]], axis=2), axis=1)
    pleat = np.clip(1 + 14 * across, 0.75, 1.2).reshape(-1, 1)
    h = fabric.bottom_creases(place, person.noise + 422) * 0.5
    colors = colors * pleat * (1 + 0.16 * h[:, None]) * (0.92 + 0.08 * ramp(means[:, 1], -0.5, 0.0))[:, None]
    colors = np.where((np.abs(chart[:, 1] - person.sizes["hem"] - 0.015) < 0.004)[:, None], colors * 0.75, colors)
    skin = tailoring.skirt_weights(means, body.joints, person.sizes["hem"])
    spacing = spacing_of(means, np.zeros(len(means), np.int64))
    stretched = 1 + 0.6 * ramp(np.abs(means[:, 0]), 0.10, 0.0) * ramp(means[:, 1], -0.1, -0.4)
    return make_discs(means, normals, np.clip(colors, 0.02, 0.97), spacing * 1.1 * stretched, skin)


def _neck_ring(body: Figure, top: Figure) -> tuple[Floats, float]:
    """Centre and radius of the base of this person's neck."""
    place = template().vertices
    ring = (np.abs(place[:, 1] - 0.462) < 0.012) & (np.abs(place[:, 0]) < 0.085)
    around = top.vertices[ring]
    low, high = around.min(0), around.max(0)
    centre = np.array([0.0, float(around[:, 1].mean()), float(low[2] + high[2]) / 2], np.float32)
    return centre, float(high[2] - low[2]) / 2


def _sew_collar(person: ProceduralPerson, body: Figure, top: Figure, count: int) -> Patch:
    """A turned-down collar: a band around the neck, its points open at the front."""
    centre, radius = _neck_ring(body, top)
    rows = max(int(np.sqrt(count / 9)), 3)
    columns = max(count // rows, 12)
    angle, along = np.meshgrid(np.linspace(-np.pi, np.pi, columns), np.linspace(0, 1, rows))
    front = np.exp(-((angle / 0.75) ** 2))
    rise = 0.022 * (1 - along) - (0.018 + 0.032 * front) * along
    width = radius + 0.006 + 0.022 * along + 0.006 * front * along
    gap = np.where(np.abs(angle) < 0.16 + 0.25 * along, 0.0, 1.0).ravel() > 0
    lower = -0.030 * front
    x = width * 0.98 * np.sin(angle)
    means = np.stack([x, centre[1] + rise + lower, centre[2] + width * np.cos(angle)], axis=2)
    normals = np.stack([np.sin(angle), np.full_like(angle, 0.6), np.cos(angle)], axis=2)
    normals = (normals / np.linalg.norm(normals, axis=2, keepdims=True)).reshape(-1, 3)[gap].astype(np.float32)
    means = means.reshape(-1, 3)[gap].astype(np.float32)
    edge = 1 - 0.22 * (along.ravel()[gap] > 1 - 1.2 / rows)
    colors = np.array(person.colors["top"], np.float32) * (1.04 * edge)[:, None]
    return _sew_on(means, normals, colors, top)


def _sew_hood(person: ProceduralPerson, body: Figure, top: Figure, count: int) -> Patch:
    """A hood that lies on the back: a roll of cloth around the neck, thick behind, open in front."""
    centre, radius = _neck_ring(body, top)
    columns = max(int(np.sqrt(count * 3.2)), 10)
    rows = max(count // columns, 6)
    angle, round_ = np.meshgrid(np.linspace(0.30, 2 * np.pi - 0.30, columns), np.linspace(0, 2 * np.pi, rows, False))
    behind = (1 - np.cos(angle)) / 2
    thick = 0.012 + 0.030 * behind**1.5
    ring = radius + 0.012 + thick * 0.8 + thick * np.cos(round_)
    drop = -0.050 * (1 - behind) - 0.012 * behind
    height = centre[1] + drop + 0.012 + thick * np.sin(round_) * (1 + 0.5 * behind)
    means = np.stack([ring * np.sin(angle), height, centre[2] + ring * np.cos(angle)], axis=2).reshape(-1, 3)
    normals = np.stack(
        [np.cos(round_) * np.sin(angle), np.sin(round_), np.cos(round_) * np.cos(angle)], axis=2
    ).reshape(-1, 3)
    shade = 0.84 + 0.16 * np.sin(round_).ravel() + 0.05 * grain(angle.size, person.noise + 97)
    colors = np.array(person.colors["top"], np.float32) * shade[:, None]
    # A hood hangs on the back and lifts a little with the shoulders.
    left = ramp(means[:, 0], -0.09, 0.09)
    ids = np.tile([JOINT["spine3"], JOINT["left_collar"], JOINT["right_collar"], JOINT["neck"]], (len(means), 1))
    weights = np.stack([np.full_like(left, 0.6), 0.25 * left, 0.25 * (1 - left), np.full_like(left, 0.15)], axis=1)
    spacing = spacing_of(means.astype(np.float32), np.zeros(len(means), np.int64))
    return make_discs(means.astype(np.float32), normals.astype(np.float32), colors, 1.1 * spacing, (ids, weights))


def _sew_on(means: Floats, normals: Floats, colors: Floats, top: Figure) -> Patch:
    """A patch that moves like the garment under it."""
    trunk = np.flatnonzero((np.abs(template().vertices[:, 0]) < 0.2) & (template().vertices[:, 1] < 0.53))
    near = trunk[nearest(top.vertices[trunk], means)[1]]
    skin = (template().weight_ids[near], template().weights[near])
    return make_discs(
        means, normals, colors.astype(np.float32), spacing_of(means, np.zeros(len(means), np.int64)), skin
    )
