"""Build a procedural person as Gaussians at rest: skin, layers of cloth, skirt, collar, hood and hair."""

from dataclasses import replace

import numpy as np

from synthaug.avatars.procedural import fabric, hair, tailoring
from synthaug.avatars.procedural.accessories import sew_additions
from synthaug.avatars.procedural.dyeing import BOTTOM, SHOE, SKIN, SOCK, TOP, color_points
from synthaug.avatars.procedural.figure import (
    Figure,
    Floats,
    Ints,
    Mask,
    Points,
    figure,
    hang_arms,
    nearest,
    neighbours,
    normals_of,
    points,
    ramp,
    template,
)
from synthaug.avatars.procedural.patches import (
    THIN,
    Patch,
    frames_of,
    join_patches,
    make_discs,
    sharpen,
    spacing_of,
    undo_hanging,
)
from synthaug.avatars.procedural.wardrobe import ProceduralPerson
from synthaug.body.skeleton import JOINT

OPACITY = np.float32(0.97)
UNDERLAP = 0.045
"""Metres by which an inner layer continues under the edge of an outer one, so that the gap is not seen."""


def dress(person: ProceduralPerson, count: int) -> tuple[Patch, Floats]:
    """The person as `count` Gaussians in the T-pose, and their 55 joints."""
    body = figure(person.betas)
    layers = _layer_meshes(body, person)
    outer = _outer_vertices(layers, person)
    obstacle = hair.build_obstacle(outer, normals_of(outer, template().faces))
    extras = [*_hair_patches(person, body, obstacle, count), *sew_additions(person, body, layers[TOP], count)]
    left = count - sum(len(patch.means) for patch in extras)
    surface = _build_surface(person, body, layers, left)
    return join_patches([surface, *extras]), body.joints


def _layer_meshes(body: Figure, person: ProceduralPerson) -> dict[int, Figure]:
    """Mesh of each layer, with its normals."""
    meshes = {
        SKIN: body.vertices,
        SOCK: tailoring.sock_vertices(body),
        SHOE: tailoring.shoe_vertices(body, person),
        BOTTOM: tailoring.bottom_vertices(body, person),
        TOP: tailoring.top_vertices(body, person),
    }
    meshes[TOP] = _push_over_bottom(meshes[TOP], meshes[BOTTOM], person)
    return {
        layer: Figure(mesh, tailoring.hung_normals(mesh, body.joints), body.joints) for layer, mesh in meshes.items()
    }


def _push_over_bottom(top: Floats, bottom: Floats, person: ProceduralPerson) -> Floats:
    """Push the top's mesh out where it hangs over the bottom's."""
    normals = normals_of(bottom, template().faces)
    y = template().vertices[:, 1]
    inside = 0.005 - np.einsum("vi,vi->v", top - bottom, normals)
    share = ramp(y, 0.09, 0.05) * ramp(y, -0.30, -0.22) * (not person.bottom.skirt)
    return top + (np.clip(inside, 0, 0.03) * share)[:, None] * normals


def _outer_vertices(layers: dict[int, Figure], person: ProceduralPerson) -> Floats:
    place = template().vertices
    trunk = (place[:, 1] > tailoring.hem_of_top(person)) & (place[:, 1] < 0.47) & (np.abs(place[:, 0]) < 0.62)
    return np.where(trunk[:, None], layers[TOP].vertices, layers[SKIN].vertices)


def _coverage(person: ProceduralPerson) -> dict[int, Mask]:
    everywhere = points()
    return {
        SKIN: np.ones(len(everywhere.part), bool),
        SOCK: tailoring.sock_mask(everywhere, person),
        SHOE: tailoring.shoe_mask(everywhere, person),
        BOTTOM: tailoring.bottom_mask(everywhere, person),
        TOP: tailoring.top_mask(everywhere, person),
    }


def _outermost_layers(coverage: dict[int, Mask], below: int) -> Ints:
    """Outermost layer below the layer `below` at each point."""
    layer = np.zeros(len(coverage[SKIN]), np.int64)
    for k in range(below):
        layer[coverage[k]] = k
    return layer


def _assign_layers(person: ProceduralPerson) -> tuple[Ints, Ints, Ints, Floats]:
    """Assign points to layers: indices of points, their layer, the layer that covers them, and their light.

    Visible points occur once. Points under the edge of an outer layer occur again on the inner layer, in shade, so that
    nobody sees into a sleeve. All are in progressive order.
    """
    everywhere = points()
    coverage = _coverage(person)
    visible = _outermost_layers(coverage, TOP + 1)
    shown = np.ones(len(visible), bool)
    if person.bottom.skirt:
        # Above mid-thigh the skirt hides everything.
        y = everywhere.canonical[:, 1]
        covered = max(person.sizes["hem"], -0.3) + 0.1
        bare = (visible < BOTTOM) & (everywhere.part == 0) & (np.abs(everywhere.canonical[:, 0]) < 0.25)
        shown = ~(bare & (y < 0.05) & (y > min(covered, -0.12)))
    index, layer, light = [np.flatnonzero(shown)], [visible[shown]], [np.ones(int(shown.sum()), np.float32)]
    over = [visible[shown]]
    for outer in (TOP, BOTTOM, SHOE):
        hidden = np.flatnonzero((visible == outer) & shown)
        seen = np.flatnonzero((visible < outer) & shown)
        if not len(hidden) or not len(seen):
            continue
        distance = nearest(everywhere.canonical[seen], everywhere.canonical[hidden])[0]
        near = hidden[distance < UNDERLAP]
        index.append(near)
        layer.append(_outermost_layers(coverage, outer)[near])
        over.append(np.full(len(near), outer))
        light.append(ramp(distance[distance < UNDERLAP], UNDERLAP, -0.02).astype(np.float32) * 0.6 + 0.25)
    order = np.argsort(np.concatenate(index), kind="stable")
    chosen, laid, covering = (np.concatenate(values)[order] for values in (index, layer, over))
    return chosen, laid, covering, np.concatenate(light)[order]


def _build_surface(person: ProceduralPerson, body: Figure, layers: dict[int, Figure], count: int) -> Patch:
    """Skin and cloth on the mesh, and a lining under them that closes the gaps between the points."""
    lined = count // 9
    index, layer, outer, light = _assign_layers(person)
    index, layer, outer, light = (
        index[: count - lined], layer[: count - lined], outer[: count - lined], light[: count - lined],
    )  # fmt: skip
    chosen = points().take(index)
    means, normals = np.empty_like(chosen.canonical), np.empty_like(chosen.canonical)
    for k, mesh in layers.items():
        at = np.flatnonzero(layer == k)
        some = chosen.take(at)
        means[at], normals[at] = some.on(mesh.vertices), some.on(mesh.normals)
    shod = np.flatnonzero(layer == SHOE)
    means[shod], normals[shod] = tailoring.fit_shoe(chosen.take(shod), means[shod], normals[shod], body, person)
    for k in (SHOE, BOTTOM, TOP):
        at = np.flatnonzero((outer == k) & (layer < k))
        means[at] = _tuck_in(means[at], chosen.take(at), layers[k])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    colors = color_points(person, chosen, index, layer)
    means, lit, colors = _crease(person, chosen, layer, means, normals, colors)
    colors = colors * (_occlusion(chosen, layer) * light)[:, None]
    hung, turned, _ = hang_arms(means, body.joints, (chosen.joint_ids, chosen.weights))
    spacing = spacing_of(hung, layer)
    # Discs lie on the smooth surface; the slopes of creases only affect lighting.
    surface = make_discs(means, normals, colors, spacing, (chosen.joint_ids, chosen.weights))
    surface = sharpen(surface, hung, np.flatnonzero(light > 0.99))
    surface = undo_hanging(replace(surface, normals=lit), turned)
    bulk = np.flatnonzero((light > 0.99) & (chosen.part < template().part_names.index("left_eye")))[:lined]
    limit = np.array([0.011, 0.0045, 0.0035, 0.0035, 0.006, 0.006], np.float32)[chosen.part[bulk]]
    return join_patches([surface, _build_lining(surface, bulk, limit)])


def _tuck_in(means: Floats, chosen: Points, outer: Figure) -> Floats:
    """Keep points of an inner layer 5 mm inside the outer layer that covers them."""
    normal = chosen.on(outer.normals)
    depth = np.einsum("pi,pi->p", means - chosen.on(outer.vertices), normal)
    return np.asarray(means - np.maximum(depth + 0.005, 0)[:, None] * normal, np.float32)


def _build_lining(surface: Patch, bulk: Ints, limit: Floats) -> Patch:
    """Fewer, larger Gaussians under the surface, coloured like their neighbourhood, which close gaps."""
    near = neighbours(surface.means, surface.means[bulk], 6)[1]
    spacing = neighbours(surface.means[bulk], surface.means[bulk], 5)[0][:, 1:].mean(1)
    size = np.minimum(0.55 * spacing, limit)[:, None].astype(np.float32)
    axes = surface.axes[bulk]
    means = surface.means[bulk] - 0.8 * size * axes[:, 2]
    # The median does not mix the colours of two garments.
    colors = 0.92 * np.median(surface.colors[near], axis=1)
    scales = np.concatenate([size, size, THIN * size], axis=1)
    return Patch(
        means, surface.normals[bulk], axes, scales, colors.astype(np.float32), surface.joint_ids[bulk],
        surface.weights[bulk],
    )  # fmt: skip


def _crease(
    person: ProceduralPerson, chosen: Points, layer: Ints, means: Floats, normals: Floats, colors: Floats
) -> tuple[Floats, Floats, Floats]:
    """Add creases to cloth: displaced points, tilted normals, and darker valleys."""
    normals = normals.copy()
    for which, height, relief in (
        (TOP, fabric.top_creases, person.top.folds),
        (BOTTOM, fabric.bottom_creases, person.bottom.folds),
    ):
        at = np.flatnonzero(layer == which)
        if not len(at):
            continue
        place, seed = chosen.canonical[at], person.noise + 211 * which
        step = np.float32(0.004)
        h = height(place, seed)
        slope = np.stack([height(place + step * np.eye(3, dtype=np.float32)[k], seed) - h for k in range(3)], axis=1)
        means[at], normals[at], factor = apply_relief(means[at], normals[at], h, slope * (1.5 * relief / step), relief)
        colors[at] *= factor[:, None]
    return means, normals, colors


def apply_relief(
    means: Floats, normals: Floats, height: Floats, slope: Floats, relief: float
) -> tuple[Floats, Floats, Floats]:
    """Displace points by creases: places, tilted normals, and a factor on the colours.

    The factor is the light of a sky above and in front, relative to smooth cloth, and darkens valleys. It makes form
    visible in renderings that are not relit.
    """
    across = slope - np.einsum("pi,pi->p", slope, normals)[:, None] * normals
    tilted = normals - np.clip(across, -1.2, 1.2)
    tilted /= np.maximum(np.linalg.norm(tilted, axis=1, keepdims=True), 1e-9)
    sky = np.array([0.0, 0.80, 0.60], np.float32)
    # Arms hang in most pictures, where the outward side at rest faces up, so x counts as much as y.
    lit = (tilted - normals) @ sky
    factor = np.clip(1 + 0.36 * lit + 0.32 * np.clip(height, -0.5, 0.6), 0.5, 1.3)
    return means + (relief * height)[:, None] * normals, tilted.astype(np.float32), factor.astype(np.float32)


def _occlusion(chosen: Points, layer: Ints) -> Floats:
    """Share of ambient light that reaches each point, shaded by the body itself and by arms hanging at the trunk."""
    x, y, _ = chosen.canonical.T
    seen = 0.50 + 0.50 * chosen.occlusion**0.9
    flank = np.exp(-(((np.abs(x) - 0.17) / 0.035) ** 2)) * ramp(y, 0.36, 0.28) * ramp(y, -0.12, 0.0)
    under_arm = ramp(np.abs(x), 0.17, 0.22) * ramp(y, 0.385, 0.345) * ramp(np.abs(x), 0.66, 0.45)
    between = ramp(np.abs(x), 0.075, 0.02) * ramp(y, -0.10, -0.16) * ramp(y, -0.9, -0.4)
    chin = ramp(y, 0.515, 0.495) * ramp(y, 0.40, 0.46) * (np.abs(x) < 0.09)
    shade = 1 - 0.16 * flank - 0.12 * under_arm - 0.22 * between - 0.22 * chin
    seen = np.where(layer == SHOE, 0.92, np.where(layer >= BOTTOM, 0.3 + 0.7 * seen, seen))
    return np.asarray(seen * shade, np.float32)


def _hair_patches(person: ProceduralPerson, body: Figure, obstacle: hair.Obstacle, count: int) -> list[Patch]:
    style = hair.STYLES[person.hair]
    patches = []
    if style is not None:
        strands = hair.grow_hair(person, body, obstacle, int(style.share * count))
        if strands is not None:
            patches.append(_strand_patch(strands, hair.hair_weights(strands.middles, body.joints)))
    beard = hair.grow_beard(person, body, obstacle, count // 24)
    if beard is not None:
        ids, weights = hair.hair_weights(beard.middles, body.joints)
        ids[:, 3] = JOINT["jaw"]
        jaw = ramp(
            beard.middles[:, 1], float(body.joints[JOINT["jaw"], 1]) - 0.025, 0.92 * body.joints[JOINT["jaw"], 1]
        )
        weights = weights * (1 - jaw[:, None])
        weights[:, 3] += jaw
        patches.append(_strand_patch(beard, (ids, weights)))
    return patches


def _strand_patch(strands: hair.Strands, skin: tuple[Ints, Floats]) -> Patch:
    first = strands.directions
    normal = strands.outward - np.einsum("pi,pi->p", strands.outward, first)[:, None] * first
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    lost = np.linalg.norm(normal, axis=1) < 0.5
    normal[lost] = frames_of(first[lost])[:, 0]
    axes = np.stack([first, np.cross(normal, first), normal], axis=1).astype(np.float32)
    scales = np.stack([strands.lengths, strands.thickness, 0.6 * strands.thickness], axis=1)
    return Patch(strands.middles, strands.outward, axes, scales.astype(np.float32), strands.colors, *skin)
