"""The procedural body laid into a cloud of points: shape, pose, clothes, place and scale by Gauss-Newton.

Below the .ply importer. Needs nothing but the cloud and the person's height, because a splat has no scale of its own.
The fit is the most probable one: what the scan says of the dressed surface, weighed against which bodies there are and
how far clothes stand off them (`synthaug.avatars.importers.attire`). Without these a skirt or a loose shirt moves the
hips.
"""

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from synthaug.avatars.importers.attire import MODES, Population, anyone, attire, populations
from synthaug.avatars.procedural.figure import Template, figure, nearest, normals_of, points, template
from synthaug.body.skeleton import JOINT, JOINT_NAMES, PARENTS

Doubles: TypeAlias = NDArray[np.floating]
Ints: TypeAlias = NDArray[np.integer]
BETAS = 18
"""Coefficients of the body; those of the face are left at their mean."""
MOVED = tuple(range(22))
"""Joints that are fitted: the body's. Hands stay flat, jaw and eyes at rest."""
_SHAPE = slice(3 * len(MOVED), 3 * len(MOVED) + BETAS)
_CLOTH = slice(_SHAPE.stop, _SHAPE.stop + MODES)
_COLUMNS = _CLOTH.stop + 4
"""Unknowns: rotations, shape, clothes, translation, logarithm of the scale."""
_PLACES = 200.0
"""Places of a scan that err independently of each other, on either of the two ways. Chosen on six people of the studio
family, as was _SOFTNESS; a factor of two either way changes little."""
_NOISE = 0.002
"""Metres by which a scan errs where nothing is worn."""
_ACROSS = 0.1
"""Weight of a squared distance along the surface, where one along the normal weighs 1: points are no landmarks."""
_SOFTNESS = 0.05
"""Variance by which coefficients may leave the bodies that we drew."""
_HEIGHT = 0.002
"""Metres, one standard deviation, within which the given height is believed."""
_LOOSENESS: dict[str, tuple[float, float, float]] = {
    "pelvis": (9.0, 9.0, 9.0), "spine": (0.10, 0.06, 0.06), "neck": (0.2, 0.15, 0.1), "head": (0.2, 0.2, 0.1),
    "collar": (0.05, 0.1, 0.1), "shoulder": (0.3, 0.5, 0.8), "elbow": (0.3, 0.7, 0.1), "wrist": (0.2, 0.2, 0.3),
    "hip": (0.4, 0.12, 0.2), "knee": (0.4, 0.05, 0.05), "ankle": (0.2, 0.1, 0.1), "foot": (0.1, 0.03, 0.03),
}  # fmt: skip
"""Radians that a standing person's joints turn about x, y and z from the start of a fit, one standard deviation."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """What was scanned.

    Attributes:
        points: In the scan's own frame and scale, [P, 3].
        axes: Shortest axes of flat Gaussians, unit, of either sign; zero where a Gaussian has none.
    """

    points: Doubles
    axes: Doubles

    @cached_property
    def tree(self) -> "cKDTree":
        """For nearest points."""
        return cKDTree(self.points)

    def take(self, rows: Ints | NDArray[np.bool_]) -> "Cloud":
        """Some of the points."""
        return Cloud(self.points[rows], self.axes[rows])

    def scaled(self, factor: float) -> "Cloud":
        """The cloud times a factor."""
        return Cloud(self.points * factor, self.axes)


@dataclass(frozen=True, eq=False)
class Stance:
    """One body in a place.

    Attributes:
        R: Rotation of each joint against its parent, [55, 3, 3]; the pelvis's against the scan.
        betas: Of the body, [18].
        transl: Where the pelvis is, in the scan's frame and scale.
        scale: Scan units a metre.
        cloth: Amplitudes of the modes of `Attire`, standard deviations, [MODES].
        cost: Negative logarithm of the fit's probability, up to a constant; lower is better.
    """

    R: Doubles
    betas: Doubles
    transl: Doubles
    scale: float
    cloth: Doubles
    cost: float = np.inf

    @property
    def pose(self) -> Doubles:
        """Axis-angles, [55, 3]."""
        return Rotation.from_matrix(self.R).as_rotvec()

    @property
    def coefficients(self) -> Doubles:
        """All 32 coefficients of the template."""
        return np.concatenate([self.betas, np.zeros(template().shapedirs.shape[2] - BETAS)])


@dataclass(frozen=True, eq=False)
class Skin:
    """Sample points of the body's surface: what the fit moves.

    Attributes:
        rest: On the mean body, [S, 3].
        dirs: Displacement by shape, [S, 3, 18].
        normals: Of the mean body.
        joint_ids: Four joints.
        weights: Their shares.
        worn: Metres between skin and what is worn, on average.
        modes: How each mode of what is worn changes that, [S, MODES].
        trust: Inverse variance of a scan's distance from this, per square metre.
    """

    rest: Doubles
    dirs: Doubles
    normals: Doubles
    joint_ids: Ints
    weights: Doubles
    worn: Doubles
    modes: Doubles
    trust: Doubles


def skin(count: int) -> Skin:
    """The first sample points of the body in their progressive order, which covers it evenly at every count."""
    body, spread, dress = template(), points().take(np.arange(count)), attire(count)
    # Soles, mouth and eyes included: a scan may hold any of them.
    return Skin(
        rest=spread.canonical.astype(float),
        dirs=spread.on(body.shapedirs[:, :, :BETAS]).astype(float),
        normals=_unit(spread.on(normals_of(body.vertices, body.faces)).astype(float)),
        joint_ids=spread.joint_ids.astype(np.int64),
        weights=spread.weights.astype(float),
        worn=dress.mean,
        modes=dress.modes,
        trust=1 / (dress.spread**2 + _NOISE**2),
    )


def chain(stance: Stance) -> tuple[Doubles, Doubles, Doubles]:
    """Joints: rotations against the scan [55, 3, 3], positions about the pelvis [55, 3] and at rest, in metres."""
    body = template()
    rest = body.joints + body.joint_dirs[:, :, :BETAS] @ stance.betas
    rest = rest - rest[0]
    W, at = np.zeros((55, 3, 3)), np.zeros((55, 3))
    for joint, parent in enumerate(PARENTS):
        W[joint] = stance.R[joint] if parent < 0 else W[parent] @ stance.R[joint]
        at[joint] = 0 if parent < 0 else at[parent] + W[parent] @ (rest[joint] - rest[parent])
    return W, at, rest


def posed(stance: Stance, surface: Skin) -> tuple[Doubles, Doubles]:
    """Sample points of the dressed surface, and their normals, in the scan's frame and scale."""
    W, at, rest = chain(stance)
    shaped = surface.rest + surface.dirs @ stance.betas - (template().joint_dirs[0, :, :BETAS] @ stance.betas)
    local = shaped[:, None] - rest[surface.joint_ids]
    moved = np.einsum("skij,skj->ski", W[surface.joint_ids], local) + at[surface.joint_ids]
    blended = np.einsum("sk,skij->sij", surface.weights, W[surface.joint_ids])
    places = np.einsum("sk,ski->si", surface.weights, moved)
    normals = _unit(np.einsum("sij,sj->si", blended, surface.normals))
    dressed = places + (surface.worn + surface.modes @ stance.cloth)[:, None] * normals
    return stance.scale * dressed + stance.transl, normals


def jacobian(stance: Stance, surface: Skin) -> Doubles:
    """Derivative of `posed`'s points, [S, 3, unknowns], the turning of clothes left out: they are thin."""
    W, at, rest = chain(stance)
    body, ids, weights = template(), surface.joint_ids, surface.weights
    origin = body.joint_dirs[0, :, :BETAS]
    shaped = surface.rest + surface.dirs @ stance.betas - origin @ stance.betas
    terms = weights[..., None] * (np.einsum("skij,skj->ski", W[ids], shaped[:, None] - rest[ids]) + at[ids])
    J = np.zeros((len(shaped), 3, _COLUMNS))
    for column, joint in enumerate(MOVED):
        below = _BELOW[joint][ids]
        arm = (terms * below[..., None]).sum(1) - (weights * below).sum(1)[:, None] * at[joint]
        J[:, :, 3 * column : 3 * column + 3] = -_cross(arm)
    rest_dirs = body.joint_dirs[:, :, :BETAS] - origin
    place_dirs = np.zeros((55, 3, BETAS))
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            place_dirs[joint] = place_dirs[parent] + W[parent] @ (rest_dirs[joint] - rest_dirs[parent])
    blended = np.einsum("sk,skij->sij", weights, W[ids])
    shift = place_dirs - np.einsum("jik,jkb->jib", W, rest_dirs)
    J[:, :, _SHAPE] = blended @ (surface.dirs - origin) + np.einsum("sk,skib->sib", weights, shift[ids])
    normals = _unit(np.einsum("sij,sj->si", blended, surface.normals))
    J[:, :, _CLOTH] = normals[:, :, None] * surface.modes[:, None, :]
    J *= stance.scale
    J[:, :, -4:-1] = np.eye(3)
    J[:, :, -1] = stance.scale * terms.sum(1)
    return J


@dataclass(frozen=True)
class Effort:
    """How hard one fit tries.

    Attributes:
        surface: Sample points of the body.
        cloud: Points of the scan.
        steps: Gauss-Newton steps.
        start: Metres; distances beyond it count little at first (Geman and McClure's scale).
        end: The same at the last step.
    """

    surface: int
    cloud: int
    steps: int
    start: float
    end: float


_GLANCE = Effort(surface=500, cloud=800, steps=10, start=0.20, end=0.08)
_STUDY = Effort(surface=2500, cloud=4000, steps=20, start=0.08, end=0.025)


def fit_body(cloud: Cloud, height: float) -> Stance:
    """The body that explains a cloud best, from whichever way up it stands and whichever way it faces.

    Every start (which end of the long axis is up, four directions to face, arms out, half down and down) is fitted
    coarsely; the best two directions are fitted in earnest, as a man and as a woman, and the best of those is taken.

    Args:
        cloud: One standing person.
        height: Of the bare person, metres.

    Returns:
        The stance in the scan's frame and scale.
    """
    centre = np.median(cloud.points, axis=0)
    unit = np.ptp(_principal(cloud)[0] @ (cloud.points - centre).T, axis=1)[0] / height
    small = Cloud((cloud.points - centre) / unit, cloud.axes)
    whoever = Belief(height, anyone(BETAS))
    glances = sorted((refined(small, start, whoever, _GLANCE) for start in starts(small)), key=lambda s: s.cost)
    distinct: list[Stance] = []
    for stance in glances:
        if all(_apart(stance, other) for other in distinct):
            distinct.append(stance)
    believed = [Belief(height, people) for people in populations(_SOFTNESS)]
    studies = (refined(small, *pair, _STUDY) for pair in itertools.product(distinct[:2], believed))
    best = min(studies, key=lambda stance: stance.cost)
    return replace(best, transl=best.transl * unit + centre, scale=best.scale * unit)


def starts(cloud: Cloud) -> list[Stance]:
    """Where a fit may begin: 24 stances."""
    axes, _ = _principal(cloud)
    found = []
    for sign, quarter, arms in itertools.product((1, -1), range(4), (0.0, 0.8, 1.3)):
        up, side = sign * axes[0], axes[1]
        frame = np.stack([side, up, np.cross(side, up)], axis=1)
        R = np.tile(np.eye(3), (55, 1, 1))
        R[0] = frame @ Rotation.from_euler("y", quarter * np.pi / 2).as_matrix()
        R[JOINT["left_shoulder"]] = Rotation.from_euler("z", -arms).as_matrix()
        R[JOINT["right_shoulder"]] = Rotation.from_euler("z", arms).as_matrix()
        heights = cloud.points @ up
        low, high = np.percentile(heights, [0.5, 99.5])
        middle = np.median(cloud.points, axis=0)
        # The pelvis lies at some 56 % of the height.
        transl = middle + (low + 0.56 * (high - low) - middle @ up) * up
        found.append(Stance(R, np.zeros(BETAS), transl, 1.0, np.zeros(MODES)))
    return found


@dataclass(frozen=True)
class Belief:
    """What is known of a person before looking: height in metres, and whom they are like."""

    height: float
    people: Population


@dataclass(frozen=True, eq=False)
class Quadratic:
    """What a step is worth around a stance: value, gradient and curvature over the unknowns."""

    value: float
    gradient: Doubles
    curvature: Doubles

    def __add__(self, other: "Quadratic") -> "Quadratic":
        """Both together."""
        return Quadratic(self.value + other.value, self.gradient + other.gradient, self.curvature + other.curvature)

    @property
    def step(self) -> Doubles:
        """To where it is least."""
        ridge = np.diag(1e-6 * (1 + np.diag(self.curvature)))
        return cho_solve(cho_factor(self.curvature + ridge), -self.gradient)


def refined(cloud: Cloud, start: Stance, belief: Belief, effort: Effort) -> Stance:
    """Gauss-Newton from a start: body to scan and scan to body, robust, the scale falling from step to step."""
    surface, stance = skin(effort.surface), start
    rng = np.random.default_rng(0)
    thin = cloud.take(rng.permutation(len(cloud.points))[: effort.cloud])
    for step in range(effort.steps + 1):
        width = effort.start * (effort.end / effort.start) ** min(step / max(effort.steps - 1, 1), 1)
        local = _seen((cloud, thin), stance, surface, width) + _believed(stance, start, belief)
        stance = replace(stance, cost=local.value)
        # The last turn of the loop only says what the fit is worth.
        stance = stepped(stance, local.step) if step < effort.steps else stance
    return stance


def stepped(stance: Stance, delta: Doubles) -> Stance:
    """The stance after a step, no joint turning further than half a radian at once."""
    turns = delta[: 3 * len(MOVED)].reshape(-1, 3)
    length = np.linalg.norm(turns, axis=1, keepdims=True)
    turns = turns * np.minimum(1, 0.5 / np.maximum(length, 1e-12))
    W, _, _ = chain(stance)
    R = stance.R.copy()
    for joint, turn in zip(MOVED, turns, strict=True):
        parent = PARENTS[joint]
        world = np.eye(3) if parent < 0 else W[parent]
        R[joint] = world.T @ Rotation.from_rotvec(turn).as_matrix() @ world @ stance.R[joint]
    betas = stance.betas + np.clip(delta[_SHAPE], -0.7, 0.7)
    cloth = np.clip(stance.cloth + delta[_CLOTH], -4, 4)
    scale = stance.scale * np.exp(np.clip(delta[-1], -0.1, 0.1))
    return Stance(R, np.clip(betas, -4, 4), stance.transl + np.clip(delta[-4:-1], -0.3, 0.3), float(scale), cloth)


def _seen(clouds: tuple[Cloud, Cloud], stance: Stance, surface: Skin, width: float) -> Quadratic:
    """What the scan says, a whole and a thinned cloud of it: half from the body's points, half from the scan's."""
    cloud, thin = clouds
    places, normals = posed(stance, surface)
    J = jacobian(stance, surface)
    _, there = cloud.tree.query(places)
    _, here = nearest(places, thin.points)
    model = np.concatenate([np.arange(len(places)), here])
    gap = places[model] - np.concatenate([cloud.points[there], thin.points])
    axes = np.concatenate([cloud.axes[there], thin.axes])
    share = np.concatenate([np.full(len(places), 1 / len(places)), np.full(len(here), 1 / len(here))])
    share = _PLACES / 2 * share * surface.trust[model] * _agreeing(normals[model], axes)
    far = (gap * gap).sum(1)
    metric = _ACROSS * far + (1 - _ACROSS) * (gap * normals[model]).sum(1) ** 2
    value = float((share * metric / (1 + far / width**2)).sum())
    weights = share * _robust(far, width)
    # All that meets one point of the body shares its derivative: sum it up first. The metric along and across the
    # normal is w (n n^T + across (I - n n^T)), of which M is the root.
    total = np.bincount(model, weights, minlength=len(places))
    pull = np.stack([np.bincount(model, weights * gap[:, i], minlength=len(places)) for i in range(3)], axis=1)
    root = np.sqrt(total)[:, None]
    M = (1 - np.sqrt(_ACROSS)) * normals[:, :, None] * normals[:, None, :] + np.sqrt(_ACROSS) * np.eye(3)
    rows = (root[..., None] * (M @ J)).reshape(-1, _COLUMNS)
    residual = ((M @ pull[..., None])[..., 0] / np.maximum(root, 1e-12)).ravel()
    return Quadratic(value, rows.T @ residual, rows.T @ rows)


def _believed(stance: Stance, start: Stance, belief: Belief) -> Quadratic:
    """What is known beforehand: people's shapes and clothes, how far joints turn, and this person's height."""
    people, A, b = belief.people, np.zeros((_COLUMNS, _COLUMNS)), np.zeros(_COLUMNS)
    turned = Rotation.from_matrix(start.R[list(MOVED)].transpose(0, 2, 1) @ stance.R[list(MOVED)]).as_rotvec()
    W, _, _ = chain(stance)
    value = people.rarity
    for column, joint in enumerate(MOVED):
        tightness = (W[joint] / _looseness(joint) ** 2) @ W[joint].T
        rows = slice(3 * column, 3 * column + 3)
        A[rows, rows] = tightness
        b[rows] = tightness @ (W[joint] @ turned[column])
        value += float((turned[column] / _looseness(joint)) @ (turned[column] / _looseness(joint)))
    odd = stance.betas - people.mean
    crown, sole = _ends(template())
    dirs = template().shapedirs[crown, 1, :BETAS] - template().shapedirs[sole, 1, :BETAS]
    taller = float(np.ptp(template().vertices[:, 1]) + dirs @ stance.betas) - belief.height
    A[_SHAPE, _SHAPE] = people.precision + np.outer(dirs, dirs) / _HEIGHT**2
    b[_SHAPE] = people.precision @ odd + dirs * taller / _HEIGHT**2
    A[_CLOTH, _CLOTH] = np.eye(MODES)
    b[_CLOTH] = stance.cloth
    value += float(odd @ people.precision @ odd + (taller / _HEIGHT) ** 2 + stance.cloth @ stance.cloth)
    return Quadratic(value, b, A)


def _robust(far: Doubles, width: float) -> Doubles:
    """Geman and McClure's weights of squared distances."""
    return 1 / (1 + far / width**2) ** 2


def _agreeing(normals: Doubles, axes: Doubles) -> Doubles:
    """1 where a flat Gaussian lies along the surface, a tenth where it stands on it; 0.5 where it is round."""
    aligned = np.abs((normals * axes).sum(1))
    flat = np.linalg.norm(axes, axis=1) > 0.5
    return np.where(flat, 0.1 + 0.9 * aligned**2, 0.5)


def _principal(cloud: Cloud) -> tuple[Doubles, Doubles]:
    """Principal axes as rows, longest first, robust against a few stray points; and the spreads."""
    centred = cloud.points - np.median(cloud.points, axis=0)
    radius = np.linalg.norm(centred, axis=1)
    inner = centred[radius <= np.percentile(radius, 98)]
    spreads, axes = np.linalg.eigh(inner.T @ inner / len(inner))
    return axes.T[::-1], spreads[::-1]


def _apart(a: Stance, b: Stance) -> bool:
    """Whether two stances face in different directions."""
    return bool(np.degrees(Rotation.from_matrix(a.R[0] @ b.R[0].T).magnitude()) > 25)


def _looseness(joint: int) -> Doubles:
    name = JOINT_NAMES[joint]
    return np.array(next(value for part, value in _LOOSENESS.items() if part in name))


def _ends(body: Template) -> tuple[int, int]:
    """Crown and sole of the mean body."""
    return int(body.vertices[:, 1].argmax()), int(body.vertices[:, 1].argmin())


def stature(betas: Doubles) -> float:
    """Height of the bare body in the T-pose, metres."""
    return float(np.ptp(figure(np.asarray(betas, np.float32)).vertices[:, 1]))


def _cross(v: Doubles) -> Doubles:
    """Matrices of the cross product."""
    zero = np.zeros(len(v))
    x, y, z = v.T
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)


def _unit(v: Doubles) -> Doubles:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def _descendants() -> NDArray[np.bool_]:
    """[joint, other]: whether the other moves when the joint turns."""
    below = np.eye(55, dtype=bool)
    for joint in range(1, 55):
        below[:, joint] |= below[:, PARENTS[joint]]
    return below


_BELOW = _descendants()
