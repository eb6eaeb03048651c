"""A person as Gaussians at rest: skin, layers of cloth, skirt, collar, hood and hair. Below `synthaug.avatars.anny`."""

from dataclasses import dataclass, replace

import numpy as np

from synthaug.avatars import fabric, hair, tailoring
from synthaug.avatars.complexion import painted
from synthaug.avatars.figure import (
    Figure,
    Floats,
    Ints,
    Mask,
    Points,
    figure,
    hanging,
    nearest,
    neighbours,
    normals_of,
    points,
    ramp,
    template,
)
from synthaug.avatars.noise import grain
from synthaug.avatars.wardrobe import Person
from synthaug.body import JOINT

SKIN, SOCK, SHOE, BOTTOM, TOP = range(5)
"""Layers, inner to outer."""
OPAQUE = np.float32(0.97)
THIN = 0.15
"""Standard deviation along the normal, as a share of that along the surface."""
UNDERLAP = 0.045
"""Metres by which an inner layer goes on below the edge of an outer one, or one could look in."""


@dataclass(frozen=True, eq=False)
class Patch:
    """Gaussians at rest, before they become tensors.

    Attributes:
        means: Places.
        normals: Outward unit normals, for light.
        axes: Rows are the three unit axes of each Gaussian, [G, 3, 3].
        scales: Standard deviations along them.
        colors: 0..1.
        joint_ids: Four joints.
        weights: Their shares.
    """

    means: Floats
    normals: Floats
    axes: Floats
    scales: Floats
    colors: Floats
    joint_ids: Ints
    weights: Floats


def dressed(person: Person, count: int) -> tuple[Patch, Floats]:
    """The person as `count` Gaussians in the T-pose, and their 55 joints."""
    body = figure(person.betas)
    layers = _layer_meshes(body, person)
    outer = _outer_vertices(layers, person)
    obstacle = hair.obstacle(outer, normals_of(outer, template().faces))
    extras = [*_hair_patches(person, body, obstacle, count), *_additions(person, body, layers, count)]
    left = count - sum(len(patch.means) for patch in extras)
    surface = _surface(person, body, layers, left)
    return _together([surface, *extras]), body.joints


def _layer_meshes(body: Figure, person: Person) -> dict[int, Figure]:
    """The mesh of each layer, with its normals."""
    meshes = {
        SKIN: body.vertices,
        SOCK: tailoring.sock_vertices(body),
        SHOE: tailoring.shoe_vertices(body, person),
        BOTTOM: tailoring.bottom_vertices(body, person),
        TOP: tailoring.top_vertices(body, person),
    }
    meshes[TOP] = _over(meshes[TOP], meshes[BOTTOM], person)
    return {
        layer: Figure(mesh, tailoring.hung_normals(mesh, body.joints), body.joints) for layer, mesh in meshes.items()
    }


def _over(top: Floats, bottom: Floats, person: Person) -> Floats:
    """The top's mesh pushed out where it hangs over the bottom's."""
    normals = normals_of(bottom, template().faces)
    y = template().vertices[:, 1]
    inside = 0.005 - np.einsum("vi,vi->v", top - bottom, normals)
    share = ramp(y, 0.09, 0.05) * ramp(y, -0.30, -0.22) * (not person.bottom.skirt)
    return top + (np.clip(inside, 0, 0.03) * share)[:, None] * normals


def _outer_vertices(layers: dict[int, Figure], person: Person) -> Floats:
    place = template().vertices
    trunk = (place[:, 1] > tailoring.hem_of_top(person)) & (place[:, 1] < 0.47) & (np.abs(place[:, 0]) < 0.62)
    return np.where(trunk[:, None], layers[TOP].vertices, layers[SKIN].vertices)


def _coverage(person: Person) -> dict[int, Mask]:
    everywhere = points()
    return {
        SKIN: np.ones(len(everywhere.part), bool),
        SOCK: tailoring.wears_sock(everywhere, person),
        SHOE: tailoring.wears_shoe(everywhere, person),
        BOTTOM: tailoring.wears_bottom(everywhere, person),
        TOP: tailoring.wears_top(everywhere, person),
    }


def _outermost(coverage: dict[int, Mask], below: int) -> Ints:
    """The outermost layer under `below` at each point."""
    layer = np.zeros(len(coverage[SKIN]), np.int64)
    for k in range(below):
        layer[coverage[k]] = k
    return layer


def _assignment(person: Person) -> tuple[Ints, Ints, Ints, Floats]:
    """Which points are drawn on which layer under which, in progressive order, and how lit each is under an edge.

    Visible points come once; those of an inner layer that lie just below the edge of an outer one come again, in its
    shade, so that nobody sees into a sleeve.
    """
    everywhere = points()
    coverage = _coverage(person)
    visible = _outermost(coverage, TOP + 1)
    shown = np.ones(len(visible), bool)
    if person.bottom.skirt:
        # Above the middle of the thigh the skirt hides everything.
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
        layer.append(_outermost(coverage, outer)[near])
        over.append(np.full(len(near), outer))
        light.append(ramp(distance[distance < UNDERLAP], UNDERLAP, -0.02).astype(np.float32) * 0.6 + 0.25)
    order = np.argsort(np.concatenate(index), kind="stable")
    chosen, laid, covering = (np.concatenate(values)[order] for values in (index, layer, over))
    return chosen, laid, covering, np.concatenate(light)[order]


def _sharpened(surface: Patch, places: Floats, shown: Ints) -> Patch:
    """Discs narrowed across edges of colour and lengthened along them, so that stripes and hems stay crisp."""
    colors = surface.colors[shown]
    near = neighbours(places[shown], places[shown], 11)[1][:, 1:]
    between = places[shown][near] - places[shown][:, None]
    between /= np.maximum(np.linalg.norm(between, axis=2, keepdims=True), 1e-6)
    # Contrast on one side only is an edge; on both it is a speckle.
    edge = (np.abs(colors[near] - colors[:, None]).sum(2)[..., None] * between).mean(1)
    strength = np.linalg.norm(edge, axis=1)
    turned = np.flatnonzero(strength > 0.06)
    # The direction is that of the neighbourhood (structure tensor), or single points would bristle.
    around = edge[near[turned]]
    direction = np.linalg.eigh(np.einsum("pki,pkj->pij", around, around))[1][:, :, 2]
    at = shown[turned]
    normal = surface.axes[at, 2]
    across = direction - np.einsum("pi,pi->p", direction, normal)[:, None] * normal
    length = np.linalg.norm(across, axis=1, keepdims=True)
    across = np.where(length > 0.3, across / np.maximum(length, 1e-6), surface.axes[at, 0])
    narrow = ramp(strength[turned], 0.06, 0.30) * (length[:, 0] > 0.3)
    axes, scales = surface.axes.copy(), surface.scales.copy()
    axes[at, 0], axes[at, 1] = across, np.cross(normal, across)
    scales[at, 0] *= 1 - 0.5 * narrow
    scales[at, 1] *= 1 + 0.15 * narrow
    return replace(surface, axes=axes, scales=scales)


def _unhung(patch: Patch, A: Floats) -> Patch:
    """Discs that have the patch's shape after A: round there, whatever that is in the T-pose."""
    stretched = np.flatnonzero(np.abs(np.linalg.det(A) - 1) > 0.02)
    inverse = np.linalg.inv(A[stretched])
    # The disc was laid along the rest surface; its widths count where the arms hang.
    axes = patch.axes[stretched]
    normal = np.einsum("pji,pj->pi", inverse, axes[:, 2])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    first = np.einsum("pij,pj->pi", A[stretched], axes[:, 0])
    first -= np.einsum("pi,pi->p", first, normal)[:, None] * normal
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    axes = np.stack([first, np.cross(normal, first), normal], axis=1)
    root = inverse @ (axes * patch.scales[stretched][:, :, None]).transpose(0, 2, 1)
    variances, vectors = np.linalg.eigh(root @ root.transpose(0, 2, 1))
    scales, all_axes = patch.scales.copy(), patch.axes.copy()
    scales[stretched] = np.sqrt(np.maximum(variances, 1e-8))[:, ::-1]
    all_axes[stretched] = vectors.transpose(0, 2, 1)[:, ::-1]
    return replace(patch, scales=scales, axes=all_axes)


def _surface(person: Person, body: Figure, layers: dict[int, Figure], count: int) -> Patch:
    """Skin and cloth on the mesh, and a lining below that closes the gaps between the points."""
    lined = count // 9
    index, layer, outer, light = _assignment(person)
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
    means[shod], normals[shod] = tailoring.in_shoe(chosen.take(shod), means[shod], normals[shod], body, person)
    for k in (SHOE, BOTTOM, TOP):
        at = np.flatnonzero((outer == k) & (layer < k))
        means[at] = _tucked(means[at], chosen.take(at), layers[k])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    colors = _colors(person, chosen, index, layer)
    means, lit, colors = _creased(person, chosen, layer, means, normals, colors)
    colors = colors * (_occluded(chosen, layer) * light)[:, None]
    hung, turned, _ = hanging(means, body.joints, (chosen.joint_ids, chosen.weights))
    spacing = _spacing(hung, layer)
    # Discs lie along the smooth surface; only light sees the creases' slopes.
    surface = _discs(means, normals, colors, spacing, (chosen.joint_ids, chosen.weights))
    surface = _sharpened(surface, hung, np.flatnonzero(light > 0.99))
    surface = _unhung(replace(surface, normals=lit), turned)
    bulk = np.flatnonzero((light > 0.99) & (chosen.part < template().part_names.index("left_eye")))[:lined]
    limit = np.array([0.011, 0.0045, 0.0035, 0.0035, 0.006, 0.006], np.float32)[chosen.part[bulk]]
    return _together([surface, _lining(surface, bulk, limit)])


def _tucked(means: Floats, chosen: Points, outer: Figure) -> Floats:
    """Points of an inner layer kept 5 mm inside the outer one that covers them."""
    normal = chosen.on(outer.normals)
    depth = np.einsum("pi,pi->p", means - chosen.on(outer.vertices), normal)
    return np.asarray(means - np.maximum(depth + 0.005, 0)[:, None] * normal, np.float32)


def _lining(surface: Patch, bulk: Ints, limit: Floats) -> Patch:
    """Fewer, larger Gaussians below the surface, coloured like their neighbourhood, so that no gap is seen through."""
    near = neighbours(surface.means, surface.means[bulk], 6)[1]
    spacing = neighbours(surface.means[bulk], surface.means[bulk], 5)[0][:, 1:].mean(1)
    size = np.minimum(0.55 * spacing, limit)[:, None].astype(np.float32)
    axes = surface.axes[bulk]
    means = surface.means[bulk] - 0.8 * size * axes[:, 2]
    # A median does not mix a garment with its neighbour.
    colors = 0.92 * np.median(surface.colors[near], axis=1)
    scales = np.concatenate([size, size, THIN * size], axis=1)
    return Patch(
        means, surface.normals[bulk], axes, scales, colors.astype(np.float32), surface.joint_ids[bulk],
        surface.weights[bulk],
    )  # fmt: skip


def _spacing(means: Floats, layer: Ints) -> Floats:
    """Mean distance to the six nearest points of the same layer."""
    spacing = np.empty(len(means), np.float32)
    for k in np.unique(layer):
        at = np.flatnonzero(layer == k)
        count = min(7, len(at))
        if count < 2:
            spacing[at] = 0.01
            continue
        distance = neighbours(means[at], means[at], count)[0]
        spacing[at] = distance[:, 1:].mean(1)
    return np.clip(spacing, 0.0008, 0.03)


def _discs(means: Floats, normals: Floats, colors: Floats, spacing: Floats, skin: tuple[Ints, Floats]) -> Patch:
    """Round, thin Gaussians on a surface, as wide as their distance from each other asks."""
    size = (0.52 * spacing)[:, None]
    scales = np.concatenate([size, size, np.maximum(THIN * size, 0.0004)], axis=1).astype(np.float32)
    return Patch(means, normals, _frames(normals), scales, np.clip(colors, 0, 1), *skin)


def _frames(normals: Floats) -> Floats:
    """Orthonormal axes [G, 3, 3] whose last row is the normal."""
    across = np.where(np.abs(normals[:, :1]) < 0.8, np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]]))
    a = np.cross(across, normals)
    a /= np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-9)
    return np.stack([a, np.cross(normals, a), normals], axis=1).astype(np.float32)


def _colors(person: Person, chosen: Points, index: Ints, layer: Ints) -> Floats:
    """Colour of every point, whatever it lies on."""
    colors = np.empty_like(chosen.canonical)
    at = np.flatnonzero(layer == SKIN)
    skin = chosen.take(at)
    colors[at] = hair.tinted(person, skin, painted(person, skin, index[at]))
    at = np.flatnonzero(layer == SOCK)
    colors[at] = np.array(person.colors["sock"]) * (1 + 0.05 * grain(len(points().part), 5)[index[at]])[:, None]
    at = np.flatnonzero(layer == SHOE)
    place = chosen.canonical[at]
    colors[at] = _shoe_colors(person, place + tailoring.last(place)[0])
    at = np.flatnonzero(layer == BOTTOM)
    colors[at] = _bottom_colors(person, chosen.canonical[at])
    at = np.flatnonzero(layer == TOP)
    colors[at] = _top_colors(person, chosen.canonical[at])
    return colors


def _top_colors(person: Person, place: Floats) -> Floats:
    pair = (person.colors["top"], person.colors["top2"])
    size, seed = person.sizes["pattern"], person.noise
    colors = fabric.soft(person.top_pattern, place, fabric.trunk_chart, colors=pair, scale=size, seed=seed)
    knit = "knit" if person.top.neck in ("hood", "turtle") else "plain"
    colors = colors * fabric.weave(knit, place, person.noise + 13)
    sewn, extra = fabric.seams(person, place)
    colors = np.where(sewn[:, None], colors * 0.70, colors)
    bright = np.array([0.90, 0.89, 0.86]) if sum(pair[0]) < 1.5 else np.array([0.22, 0.22, 0.24])
    colors = np.where(extra[:, None], bright, colors)
    if person.top.neck == "zip":
        x, y, z = place.T
        inner = (z > 0.03) & (np.abs(x) < 0.05 * ramp(y, 0.22, 0.40)) & (y > 0.24)
        colors = np.where(inner[:, None], np.array(person.colors["under"]), colors)
    return np.clip(colors, 0.02, 0.97)


def _bottom_colors(person: Person, place: Floats) -> Floats:
    pair = (person.colors["bottom"], person.colors["bottom2"])
    size, seed = person.sizes["pattern"], person.noise + 1
    colors = fabric.soft(person.bottom_pattern, place, fabric.leg_chart, colors=pair, scale=size, seed=seed)
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


def _shoe_colors(person: Person, place: Floats) -> Floats:
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


def _creased(
    person: Person, chosen: Points, layer: Ints, means: Floats, normals: Floats, colors: Floats
) -> tuple[Floats, Floats, Floats]:
    """Cloth with its creases: raised, tilted towards the light, darker in the valleys."""
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
        means[at], normals[at], factor = relieved(means[at], normals[at], h, slope * (1.5 * relief / step), relief)
        colors[at] *= factor[:, None]
    return means, normals, colors


def relieved(
    means: Floats, normals: Floats, height: Floats, slope: Floats, relief: float
) -> tuple[Floats, Floats, Floats]:
    """Points displaced by creases: places, tilted normals, and a factor on the colours.

    The factor is the light of a sky above and in front, relative to the smooth cloth, and dim valleys; it is what
    a person shows of form when nobody relights it.
    """
    across = slope - np.einsum("pi,pi->p", slope, normals)[:, None] * normals
    tilted = normals - np.clip(across, -1.2, 1.2)
    tilted /= np.maximum(np.linalg.norm(tilted, axis=1, keepdims=True), 1e-9)
    sky = np.array([0.0, 0.80, 0.60], np.float32)
    # Arms hang in most pictures: what is outward there at rest faces up, so x counts as much as y.
    lit = (tilted - normals) @ sky
    factor = np.clip(1 + 0.36 * lit + 0.32 * np.clip(height, -0.5, 0.6), 0.5, 1.3)
    return means + (relief * height)[:, None] * normals, tilted.astype(np.float32), factor.astype(np.float32)


def _occluded(chosen: Points, layer: Ints) -> Floats:
    """Ambient light that arrives at each point: its own view of the sky, and arms that hang by the trunk."""
    x, y, _ = chosen.canonical.T
    seen = 0.50 + 0.50 * chosen.occlusion**0.9
    flank = np.exp(-(((np.abs(x) - 0.17) / 0.035) ** 2)) * ramp(y, 0.36, 0.28) * ramp(y, -0.12, 0.0)
    under_arm = ramp(np.abs(x), 0.17, 0.22) * ramp(y, 0.385, 0.345) * ramp(np.abs(x), 0.66, 0.45)
    between = ramp(np.abs(x), 0.075, 0.02) * ramp(y, -0.10, -0.16) * ramp(y, -0.9, -0.4)
    chin = ramp(y, 0.515, 0.495) * ramp(y, 0.40, 0.46) * (np.abs(x) < 0.09)
    shade = 1 - 0.16 * flank - 0.12 * under_arm - 0.22 * between - 0.22 * chin
    seen = np.where(layer == SHOE, 0.92, np.where(layer >= BOTTOM, 0.3 + 0.7 * seen, seen))
    return np.asarray(seen * shade, np.float32)


def _hair_patches(person: Person, body: Figure, obstacle: hair.Obstacle, count: int) -> list[Patch]:
    style = hair.STYLES[person.hair]
    patches = []
    if style is not None:
        strands = hair.grown(person, body, obstacle, int(style.share * count))
        if strands is not None:
            patches.append(_strand_patch(strands, hair.hair_weights(strands.middles, body.joints)))
    beard = hair.beard(person, body, obstacle, count // 24)
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
    normal[lost] = _frames(first[lost])[:, 0]
    axes = np.stack([first, np.cross(normal, first), normal], axis=1).astype(np.float32)
    scales = np.stack([strands.lengths, strands.thickness, 0.6 * strands.thickness], axis=1)
    return Patch(strands.middles, strands.outward, axes, scales.astype(np.float32), strands.colors, *skin)


def _additions(person: Person, body: Figure, layers: dict[int, Figure], count: int) -> list[Patch]:
    """Surfaces that the body's mesh does not have: skirt, collar, hood."""
    patches = []
    if person.bottom.skirt:
        patches.append(_skirt(person, body, count // 6))
    if person.top.neck in ("collar", "flap"):
        patches.append(_collar(person, body, layers[TOP], count // 36))
    if person.top.neck == "hood":
        patches.append(_hood(person, body, layers[TOP], count // 24))
    return patches


def _skirt(person: Person, body: Figure, count: int) -> Patch:
    length = 0.07 - person.sizes["hem"]
    rings = max(int(round(np.sqrt(count * length / 1.15))), 4)
    columns = max(count // rings, 12)
    positions, normals, chart = tailoring.skirt_surface(body, person, (rings, columns))
    means, normals, chart = positions.reshape(-1, 3), normals.reshape(-1, 3), chart.reshape(-1, 2)
    x, z = np.sin(chart[:, 0]), np.cos(chart[:, 0])
    place = np.stack([x * 0.17, chart[:, 1], z * 0.15], axis=1).astype(np.float32)
    cloth = fabric.Cloth(chart[:, 0] * 0.17, chart[:, 1], place)
    pair = (person.colors["bottom"], person.colors["bottom2"])
    colors = fabric.patterned(person.bottom_pattern, cloth, pair, scale=person.sizes["pattern"], seed=person.noise + 1)
    colors = colors * fabric.weave(person.bottom.cloth, place, person.noise + 17)
    across = np.gradient(np.linalg.norm(positions[..., [0, 2]], axis=2), axis=1)
    pleat = np.clip(1 + 14 * across, 0.75, 1.2).reshape(-1, 1)
    h = fabric.bottom_creases(place, person.noise + 422) * 0.5
    colors = colors * pleat * (1 + 0.16 * h[:, None]) * (0.92 + 0.08 * ramp(means[:, 1], -0.5, 0.0))[:, None]
    colors = np.where((np.abs(chart[:, 1] - person.sizes["hem"] - 0.015) < 0.004)[:, None], colors * 0.75, colors)
    skin = tailoring.skirt_weights(means, body.joints, person.sizes["hem"])
    spacing = _spacing(means, np.zeros(len(means), np.int64))
    stretched = 1 + 0.6 * ramp(np.abs(means[:, 0]), 0.10, 0.0) * ramp(means[:, 1], -0.1, -0.4)
    return _discs(means, normals, np.clip(colors, 0.02, 0.97), spacing * 1.1 * stretched, skin)


def _neck_ring(body: Figure, top: Figure) -> tuple[Floats, float]:
    """Centre and radius of the root of the neck in this person."""
    place = template().vertices
    ring = (np.abs(place[:, 1] - 0.462) < 0.012) & (np.abs(place[:, 0]) < 0.085)
    around = top.vertices[ring]
    low, high = around.min(0), around.max(0)
    centre = np.array([0.0, float(around[:, 1].mean()), float(low[2] + high[2]) / 2], np.float32)
    return centre, float(high[2] - low[2]) / 2


def _collar(person: Person, body: Figure, top: Figure, count: int) -> Patch:
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
    return _sewn_on(means, normals, colors, top)


def _hood(person: Person, body: Figure, top: Figure, count: int) -> Patch:
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
    spacing = _spacing(means.astype(np.float32), np.zeros(len(means), np.int64))
    return _discs(means.astype(np.float32), normals.astype(np.float32), colors, 1.1 * spacing, (ids, weights))


def _sewn_on(means: Floats, normals: Floats, colors: Floats, top: Figure) -> Patch:
    """A patch that moves like the garment beneath it."""
    trunk = np.flatnonzero((np.abs(template().vertices[:, 0]) < 0.2) & (template().vertices[:, 1] < 0.53))
    near = trunk[nearest(top.vertices[trunk], means)[1]]
    skin = (template().weight_ids[near], template().weights[near])
    return _discs(means, normals, colors.astype(np.float32), _spacing(means, np.zeros(len(means), np.int64)), skin)


def _together(patches: list[Patch]) -> Patch:
    return Patch(
        *(
            np.concatenate([getattr(patch, name) for patch in patches])
            for name in ("means", "normals", "axes", "scales", "colors", "joint_ids", "weights")
        )
    )
