"""The body that is fitted: shape, pose, clothes and place as one parameter vector, its surface, and the derivatives."""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from synthaug.avatars.importers.fitting.attire import MODES, load_attire
from synthaug.avatars.procedural.figure import figure, normals_of, points, template
from synthaug.body.skeleton import PARENTS

Doubles: TypeAlias = NDArray[np.floating]
Ints: TypeAlias = NDArray[np.integer]
BETAS = 18
"""Shape coefficients of the body; those of the face stay at their mean."""
FITTED_JOINTS = tuple(range(22))
"""Joints of the body. Hands stay flat, jaw and eyes at rest."""
SHAPE_COLUMNS = slice(3 * len(FITTED_JOINTS), 3 * len(FITTED_JOINTS) + BETAS)
CLOTH_COLUMNS = slice(SHAPE_COLUMNS.stop, SHAPE_COLUMNS.stop + MODES)
COLUMNS = CLOTH_COLUMNS.stop + 4
"""Unknowns: rotations, shape, clothes, translation, logarithm of the scale."""
SCAN_NOISE = 0.002
"""Error of a scan where nothing is worn, metres, one standard deviation."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """The scanned points.

    Attributes:
        points: In the scan's own frame and scale, [P, 3].
        axes: Unit shortest axes of flat Gaussians, of either sign, [P, 3]; zero where a Gaussian is not flat.
    """

    points: Doubles
    axes: Doubles

    @cached_property
    def tree(self) -> "cKDTree":
        """Index of the points for nearest-neighbour queries."""
        return cKDTree(self.points)

    def take(self, rows: Ints | NDArray[np.bool_]) -> "Cloud":
        """Some of the points."""
        return Cloud(self.points[rows], self.axes[rows])


@dataclass(frozen=True, eq=False)
class Stance:
    """A body of one shape, in one pose, at one place in the scan.

    Attributes:
        R: Rotation of each joint relative to its parent, [55, 3, 3]; of the pelvis relative to the scan.
        betas: Shape coefficients of the body, [18].
        transl: Position of the pelvis in the scan's frame and scale, [3].
        scale: Scan units per metre.
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
    """Points of the body's surface, which the fit moves.

    Attributes:
        rest: Positions on the mean body, [S, 3].
        dirs: Displacement for each shape coefficient, [S, 3, 18].
        normals: Normals of the mean body, [S, 3].
        joint_ids: Four joints of each point, [S, 4].
        weights: Their skinning weights, [S, 4].
        worn: Mean distance of clothes from the skin, metres, [S].
        modes: Change of that distance for each mode of `Attire`, [S, MODES].
        trust: Inverse variance of a scan's distance from the dressed surface, per square metre, [S].
    """

    rest: Doubles
    dirs: Doubles
    normals: Doubles
    joint_ids: Ints
    weights: Doubles
    worn: Doubles
    modes: Doubles
    trust: Doubles


def build_skin(count: int) -> Skin:
    """The body's first surface points in progressive order, which cover it evenly at every count."""
    body, spread, dress = template(), points().take(np.arange(count)), load_attire(count)
    # Including soles, mouth and eyes: a scan may show any of them.
    return Skin(
        rest=spread.canonical.astype(float),
        dirs=spread.on(body.shapedirs[:, :, :BETAS]).astype(float),
        normals=_unit(spread.on(normals_of(body.vertices, body.faces)).astype(float)),
        joint_ids=spread.joint_ids.astype(np.int64),
        weights=spread.weights.astype(float),
        worn=dress.mean,
        modes=dress.modes,
        trust=1 / (dress.spread**2 + SCAN_NOISE**2),
    )


def chain(stance: Stance) -> tuple[Doubles, Doubles, Doubles]:
    """Rotations of the joints relative to the scan [55, 3, 3], and positions relative to the pelvis, posed and at rest.

    Both kinds of positions are [55, 3], in metres.
    """
    body = template()
    rest = body.joints + body.joint_dirs[:, :, :BETAS] @ stance.betas
    rest = rest - rest[0]
    W, at = np.zeros((55, 3, 3)), np.zeros((55, 3))
    for joint, parent in enumerate(PARENTS):
        W[joint] = stance.R[joint] if parent < 0 else W[parent] @ stance.R[joint]
        at[joint] = 0 if parent < 0 else at[parent] + W[parent] @ (rest[joint] - rest[parent])
    return W, at, rest


def pose_surface(stance: Stance, surface: Skin) -> tuple[Doubles, Doubles]:
    """Points of the dressed surface and their normals, each [S, 3], in the scan's frame and scale."""
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
    """Derivative of `pose_surface`'s points, [S, 3, unknowns], without the rotation of clothes, which are thin."""
    W, at, rest = chain(stance)
    body, ids, weights = template(), surface.joint_ids, surface.weights
    origin = body.joint_dirs[0, :, :BETAS]
    shaped = surface.rest + surface.dirs @ stance.betas - origin @ stance.betas
    terms = weights[..., None] * (np.einsum("skij,skj->ski", W[ids], shaped[:, None] - rest[ids]) + at[ids])
    J = np.zeros((len(shaped), 3, COLUMNS))
    for column, joint in enumerate(FITTED_JOINTS):
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
    J[:, :, SHAPE_COLUMNS] = blended @ (surface.dirs - origin) + np.einsum("sk,skib->sib", weights, shift[ids])
    normals = _unit(np.einsum("sij,sj->si", blended, surface.normals))
    J[:, :, CLOTH_COLUMNS] = normals[:, :, None] * surface.modes[:, None, :]
    J *= stance.scale
    J[:, :, -4:-1] = np.eye(3)
    J[:, :, -1] = stance.scale * terms.sum(1)
    return J


def apply_step(stance: Stance, delta: Doubles) -> Stance:
    """The stance after a step, in which no joint turns by more than half a radian."""
    turns = delta[: 3 * len(FITTED_JOINTS)].reshape(-1, 3)
    length = np.linalg.norm(turns, axis=1, keepdims=True)
    turns = turns * np.minimum(1, 0.5 / np.maximum(length, 1e-12))
    W, _, _ = chain(stance)
    R = stance.R.copy()
    for joint, turn in zip(FITTED_JOINTS, turns, strict=True):
        parent = PARENTS[joint]
        world = np.eye(3) if parent < 0 else W[parent]
        R[joint] = world.T @ Rotation.from_rotvec(turn).as_matrix() @ world @ stance.R[joint]
    betas = stance.betas + np.clip(delta[SHAPE_COLUMNS], -0.7, 0.7)
    cloth = np.clip(stance.cloth + delta[CLOTH_COLUMNS], -4, 4)
    scale = stance.scale * np.exp(np.clip(delta[-1], -0.1, 0.1))
    return Stance(R, np.clip(betas, -4, 4), stance.transl + np.clip(delta[-4:-1], -0.3, 0.3), float(scale), cloth)


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
