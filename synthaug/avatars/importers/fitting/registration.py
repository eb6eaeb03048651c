"""Fit the procedural body to a cloud of points: shape, pose, clothes, position and scale by Gauss-Newton.

The only inputs are the cloud and the person's height, because a splat has no scale of its own. The result is the most
probable fit: the scan's evidence about the dressed surface, weighed against which bodies exist and how far clothes
stand off them (`synthaug.avatars.importers.fitting.attire`). Without that prior a skirt or a loose shirt would move the
hips.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from synthaug.avatars.importers.fitting.attire import MODES, Population, anyone, load_populations
from synthaug.avatars.importers.fitting.stance import (
    BETAS,
    CLOTH_COLUMNS,
    COLUMNS,
    FITTED_JOINTS,
    SHAPE_COLUMNS,
    Cloud,
    Doubles,
    Skin,
    Stance,
    apply_step,
    build_skin,
    chain,
    jacobian,
    pose_surface,
)
from synthaug.avatars.procedural.figure import Template, nearest, template
from synthaug.body.skeleton import JOINT, JOINT_NAMES

_OBSERVATIONS = 200.0
"""Number of independent observations that a scan counts as, half of them from body to scan and half back. Chosen on six
people of the studio family, as was _SOFTNESS; twice or half as much changes little."""
_TANGENTIAL = 0.1
"""Weight of a squared distance along the surface relative to one along the normal: points are not landmarks."""
_SOFTNESS = 0.05
"""Variance by which coefficients may differ from the sampled population of bodies."""
_HEIGHT = 0.002
"""Uncertainty of the user's height, metres, one standard deviation."""
_LOOSENESS: dict[str, tuple[float, float, float]] = {
    "pelvis": (9.0, 9.0, 9.0), "spine": (0.10, 0.06, 0.06), "neck": (0.2, 0.15, 0.1), "head": (0.2, 0.2, 0.1),
    "collar": (0.05, 0.1, 0.1), "shoulder": (0.3, 0.5, 0.8), "elbow": (0.3, 0.7, 0.1), "wrist": (0.2, 0.2, 0.3),
    "hip": (0.4, 0.12, 0.2), "knee": (0.4, 0.05, 0.05), "ankle": (0.2, 0.1, 0.1), "foot": (0.1, 0.03, 0.03),
}  # fmt: skip
"""How far a standing person's joints turn about x, y and z from the start of a fit, radians, one standard deviation."""


@dataclass(frozen=True)
class Effort:
    """How much work one fit does.

    Attributes:
        surface: Number of points of the body.
        cloud: Number of points of the scan.
        steps: Number of Gauss-Newton steps.
        start: Scale of Geman and McClure's robust cost at the first step, metres; longer distances count little.
        end: The same at the last step.
    """

    surface: int
    cloud: int
    steps: int
    start: float
    end: float


_COARSE = Effort(surface=500, cloud=800, steps=10, start=0.20, end=0.08)
_FINE = Effort(surface=2500, cloud=4000, steps=20, start=0.08, end=0.025)


def fit_body(cloud: Cloud, height: float) -> Stance:
    """Find the body that explains a cloud best, whichever axis is up and wherever the person faces.

    Every start (either end of the long axis up, four facing directions, arms out, half down and down) is fitted
    coarsely. The best two facing directions are then fitted finely, as a man and as a woman, and the best fit wins.

    Args:
        cloud: One standing person.
        height: Height of the bare person, metres.

    Returns:
        The stance in the scan's frame and scale.
    """
    centre = np.median(cloud.points, axis=0)
    unit = np.ptp(_principal_axes(cloud)[0] @ (cloud.points - centre).T, axis=1)[0] / height
    small = Cloud((cloud.points - centre) / unit, cloud.axes)
    unknown_sex = Prior(height, anyone(BETAS))
    coarse = sorted(
        (refine(small, start, unknown_sex, _COARSE) for start in propose_starts(small)), key=lambda s: s.cost
    )
    distinct: list[Stance] = []
    for stance in coarse:
        if all(_face_apart(stance, other) for other in distinct):
            distinct.append(stance)
    priors = [Prior(height, people) for people in load_populations(_SOFTNESS)]
    fine = (refine(small, *pair, _FINE) for pair in itertools.product(distinct[:2], priors))
    best = min(fine, key=lambda stance: stance.cost)
    return replace(best, transl=best.transl * unit + centre, scale=best.scale * unit)


def propose_starts(cloud: Cloud) -> list[Stance]:
    """The 24 stances from which a coarse fit starts."""
    axes, _ = _principal_axes(cloud)
    starts = []
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
        # The pelvis lies at about 56 % of the height.
        transl = middle + (low + 0.56 * (high - low) - middle @ up) * up
        starts.append(Stance(R, np.zeros(BETAS), transl, 1.0, np.zeros(MODES)))
    return starts


@dataclass(frozen=True)
class Prior:
    """What is known about a person before the scan: the height in metres, and the population."""

    height: float
    people: Population


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Quadratic approximation of the cost around a stance: value, gradient and curvature over the unknowns."""

    value: float
    gradient: Doubles
    curvature: Doubles

    def __add__(self, other: "Quadratic") -> "Quadratic":
        """The sum of two costs."""
        return Quadratic(self.value + other.value, self.gradient + other.gradient, self.curvature + other.curvature)

    @property
    def step(self) -> Doubles:
        """The step to the minimum."""
        ridge = np.diag(1e-6 * (1 + np.diag(self.curvature)))
        return cho_solve(cho_factor(self.curvature + ridge), -self.gradient)


def refine(cloud: Cloud, start: Stance, prior: Prior, effort: Effort) -> Stance:
    """Run robust Gauss-Newton from a start, body to scan and scan to body; the robust scale shrinks at every step."""
    surface, stance = build_skin(effort.surface), start
    rng = np.random.default_rng(0)
    thin = cloud.take(rng.permutation(len(cloud.points))[: effort.cloud])
    for step in range(effort.steps + 1):
        width = effort.start * (effort.end / effort.start) ** min(step / max(effort.steps - 1, 1), 1)
        local = _data_cost((cloud, thin), stance, surface, width) + _prior_cost(stance, start, prior)
        stance = replace(stance, cost=local.value)
        # The last iteration only evaluates the cost.
        stance = apply_step(stance, local.step) if step < effort.steps else stance
    return stance


def _data_cost(clouds: tuple[Cloud, Cloud], stance: Stance, surface: Skin, width: float) -> Quadratic:
    """Cost of the distances from body to scan and from scan to body, half each.

    Args:
        clouds: The whole cloud, and a thinned one for the distances from scan to body.
        stance: Where the body is.
        surface: Its points.
        width: Scale of the robust cost, metres.
    """
    cloud, thin = clouds
    places, normals = pose_surface(stance, surface)
    J = jacobian(stance, surface)
    _, there = cloud.tree.query(places)
    _, here = nearest(places, thin.points)
    model = np.concatenate([np.arange(len(places)), here])
    gap = places[model] - np.concatenate([cloud.points[there], thin.points])
    axes = np.concatenate([cloud.axes[there], thin.axes])
    share = np.concatenate([np.full(len(places), 1 / len(places)), np.full(len(here), 1 / len(here))])
    share = _OBSERVATIONS / 2 * share * surface.trust[model] * _alignment(normals[model], axes)
    far = (gap * gap).sum(1)
    metric = _TANGENTIAL * far + (1 - _TANGENTIAL) * (gap * normals[model]).sum(1) ** 2
    value = float((share * metric / (1 + far / width**2)).sum())
    weights = share * _robust_weights(far, width)
    # Distances at the same point of the body share its derivative, so they are summed first. The metric along and
    # across the normal is w (n n^T + tangential (I - n n^T)); M is its root.
    total = np.bincount(model, weights, minlength=len(places))
    pull = np.stack([np.bincount(model, weights * gap[:, i], minlength=len(places)) for i in range(3)], axis=1)
    root = np.sqrt(total)[:, None]
    M = (1 - np.sqrt(_TANGENTIAL)) * normals[:, :, None] * normals[:, None, :] + np.sqrt(_TANGENTIAL) * np.eye(3)
    rows = (root[..., None] * (M @ J)).reshape(-1, COLUMNS)
    residual = ((M @ pull[..., None])[..., 0] / np.maximum(root, 1e-12)).ravel()
    return Quadratic(value, rows.T @ residual, rows.T @ rows)


def _prior_cost(stance: Stance, start: Stance, prior: Prior) -> Quadratic:
    """Cost of the prior: people's shapes and clothes, how far joints turn, and this person's height."""
    people, A, b = prior.people, np.zeros((COLUMNS, COLUMNS)), np.zeros(COLUMNS)
    turned = Rotation.from_matrix(
        start.R[list(FITTED_JOINTS)].transpose(0, 2, 1) @ stance.R[list(FITTED_JOINTS)]
    ).as_rotvec()
    W, _, _ = chain(stance)
    value = people.rarity
    for column, joint in enumerate(FITTED_JOINTS):
        tightness = (W[joint] / _looseness(joint) ** 2) @ W[joint].T
        rows = slice(3 * column, 3 * column + 3)
        A[rows, rows] = tightness
        b[rows] = tightness @ (W[joint] @ turned[column])
        value += float((turned[column] / _looseness(joint)) @ (turned[column] / _looseness(joint)))
    odd = stance.betas - people.mean
    crown, sole = _ends(template())
    dirs = template().shapedirs[crown, 1, :BETAS] - template().shapedirs[sole, 1, :BETAS]
    taller = float(np.ptp(template().vertices[:, 1]) + dirs @ stance.betas) - prior.height
    A[SHAPE_COLUMNS, SHAPE_COLUMNS] = people.precision + np.outer(dirs, dirs) / _HEIGHT**2
    b[SHAPE_COLUMNS] = people.precision @ odd + dirs * taller / _HEIGHT**2
    A[CLOTH_COLUMNS, CLOTH_COLUMNS] = np.eye(MODES)
    b[CLOTH_COLUMNS] = stance.cloth
    value += float(odd @ people.precision @ odd + (taller / _HEIGHT) ** 2 + stance.cloth @ stance.cloth)
    return Quadratic(value, b, A)


def _robust_weights(far: Doubles, width: float) -> Doubles:
    """Geman and McClure's weights for squared distances."""
    return 1 / (1 + far / width**2) ** 2


def _alignment(normals: Doubles, axes: Doubles) -> Doubles:
    """1 where a flat Gaussian is parallel to the surface, 0.1 where it is perpendicular, 0.5 where it is round."""
    aligned = np.abs((normals * axes).sum(1))
    flat = np.linalg.norm(axes, axis=1) > 0.5
    return np.where(flat, 0.1 + 0.9 * aligned**2, 0.5)


def _principal_axes(cloud: Cloud) -> tuple[Doubles, Doubles]:
    """Principal axes as rows, longest first, robust against a few stray points, and the variances along them."""
    centred = cloud.points - np.median(cloud.points, axis=0)
    radius = np.linalg.norm(centred, axis=1)
    inner = centred[radius <= np.percentile(radius, 98)]
    spreads, axes = np.linalg.eigh(inner.T @ inner / len(inner))
    return axes.T[::-1], spreads[::-1]


def _face_apart(a: Stance, b: Stance) -> bool:
    """Whether two stances face in directions more than 25 degrees apart."""
    return bool(np.degrees(Rotation.from_matrix(a.R[0] @ b.R[0].T).magnitude()) > 25)


def _looseness(joint: int) -> Doubles:
    name = JOINT_NAMES[joint]
    return np.array(next(value for part, value in _LOOSENESS.items() if part in name))


def _ends(body: Template) -> tuple[int, int]:
    """Vertices of the crown and the sole of the mean body."""
    return int(body.vertices[:, 1].argmax()), int(body.vertices[:, 1].argmin())
