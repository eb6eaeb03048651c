"""The SMPL-X body: its tables, read from a checkpoint or the user's own file, and posing by our own code.

synthaug ships no part of SMPL-X. No other module knows its vertices.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, eye_array, vstack
from torch import Tensor

from synthaug.avatars.pack.format import MAX_INFLUENCES
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import PARENTS, Skeleton, joint_transforms

LIP_RING = (2844, 2855, 8977, 1740, 1730, 1789, 8953, 2892)
"""SMPL-X vertices around the mouth, which ExAvatar closes by six faces."""
_CAVITY = ((0, 1, 7), (1, 2, 7), (2, 3, 5), (3, 4, 5), (2, 5, 6), (2, 6, 7))
MAX_NPZ_BYTES = 2**30
MAX_VERTICES, MAX_BETAS = 20_000, 400
_ROWS = 16_384
"""Rows of weights that are sorted at a time."""


@dataclass(frozen=True, eq=False)
class SmplxBody:
    """The tables that posing needs, in double precision.

    Attributes:
        v_template: Vertices of the mean body, metres.
        shapedirs: Displacement for each shape coefficient.
        posedirs: Displacement for each of the 486 values of R - I.
        J_regressor: From vertices to joints.
        lbs_weights: Skinning weights.
        faces: Triangles.
        hands_mean: Axis-angles of the mean hands, left then right.
    """

    v_template: Float[Tensor, "vertex 3"]
    shapedirs: Float[Tensor, "vertex 3 beta"]
    posedirs: Float[Tensor, "feature coordinate"]
    J_regressor: Float[Tensor, "55 vertex"]
    lbs_weights: Float[Tensor, "vertex 55"]
    faces: NDArray[np.int64]
    hands_mean: Float[Tensor, "30 3"]


@dataclass(frozen=True, eq=False)
class BodyShape:
    """One identity: betas, and the offsets that ExAvatar adds to vertices and joints, in metres."""

    betas: Float[Tensor, " beta"]
    face_offset: Float[Tensor, "vertex 3"]
    joint_offset: Float[Tensor, "55 3"]


def pose_body(
    body: SmplxBody, shape: BodyShape, pose: Float[Tensor, "55 3"]
) -> tuple[Float[Tensor, "vertex 3"], Float[Tensor, "55 3"], Float[Tensor, "55 3"]]:
    """Vertices and joints of a pose without translation, and the joints at rest, in metres.

    Source:
        Pavlakos and others, "Expressive Body Capture", CVPR 2019; ExAvatar's change: joints are offset as well.
    """
    rest = body.v_template + shape.face_offset + displacement_of(body, shape.betas)
    joints = body.J_regressor @ rest + shape.joint_offset
    R = axis_angle_to_matrix(pose)
    feature = (R[1:] - torch.eye(3, dtype=R.dtype)).flatten()
    rest = rest + (feature @ body.posedirs).unflatten(0, (-1, 3))
    T = joint_transforms(R[None], joints[:1], Skeleton(joints))[0]
    shift = T[:, :3, 3] - torch.einsum("jik,jk->ji", T[:, :3, :3], joints)
    A = torch.einsum("vj,jik->vik", body.lbs_weights, T[:, :3, :3])
    return torch.einsum("vik,vk->vi", A, rest) + body.lbs_weights @ shift, T[:, :3, 3], joints


def displacement_of(body: SmplxBody, betas: Float[Tensor, " beta"]) -> Float[Tensor, "vertex 3"]:
    """Displacement of the vertices by shape, metres.

    Raises:
        ValueError: If there are more coefficients than directions.
    """
    if len(betas) > body.shapedirs.shape[2]:
        raise ValueError(
            f"Expected at most {body.shapedirs.shape[2]} shape coefficients for this body, got {len(betas)}. Use the "
            "body file that they were fitted with."
        )
    return body.shapedirs[:, :, : len(betas)] @ betas


def from_buffers(buffers: Mapping[str, Tensor]) -> SmplxBody:
    """The tables in the buffers of a `smplx_layer`, keys without that prefix.

    Raises:
        ValueError: If one is missing, of another shape, or not finite.
    """
    needed = ("v_template", "shapedirs", "posedirs", "J_regressor", "lbs_weights", "faces_tensor", "parents",
              "left_hand_mean", "right_hand_mean")  # fmt: skip
    missing = [name for name in needed if name not in buffers]
    if missing:
        raise ValueError(f"the body lacks {', '.join(missing)}")
    vertices, betas = len(buffers["v_template"]), buffers["shapedirs"].shape[-1]
    if not 100 <= vertices <= MAX_VERTICES or betas > MAX_BETAS or len(buffers["faces_tensor"]) > 4 * MAX_VERTICES:
        raise ValueError(f"the body has {vertices} vertices and {betas} betas; SMPL-X has 10475 and at most 400")
    shapes = {
        "v_template": (vertices, 3), "shapedirs": (vertices, 3, betas), "posedirs": (486, 3 * vertices),
        "J_regressor": (55, vertices), "lbs_weights": (vertices, 55), "left_hand_mean": (45,),
        "right_hand_mean": (45,), "parents": (55,),
    }  # fmt: skip
    for name, shape in shapes.items():
        if tuple(buffers[name].shape) != shape:
            raise ValueError(f"the body's {name} has shape {tuple(buffers[name].shape)} instead of {shape}")
        if not bool(torch.isfinite(buffers[name].float()).all()):
            raise ValueError(f"the body's {name} has values that are not finite")
    if tuple(buffers["parents"].tolist())[1:] != PARENTS[1:]:
        raise ValueError("the body's joints are not those of SMPL-X")
    faces = buffers["faces_tensor"].numpy().astype(np.int64)
    if faces.ndim != 2 or faces.shape[1] != 3 or not 0 <= faces.min() <= faces.max() < vertices:
        raise ValueError("the body's faces_tensor does not hold triangles of its vertices")
    hands = torch.cat([buffers["left_hand_mean"], buffers["right_hand_mean"]]).double().unflatten(0, (30, 3))
    tables = [buffers[name].double() for name in needed[:5]]
    return SmplxBody(tables[0], tables[1], tables[2], tables[3], tables[4], faces, hands)


def read_smplx_npz(path: Path) -> SmplxBody:
    """The tables of the user's own SMPLX_*.npz, read without pickle.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file, or its arrays are not those of SMPL-X.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"No such file: '{path}'. Give your own SMPLX_NEUTRAL.npz or SMPLX_MALE.npz; smpl-x.is.tue.mpg.de offers "
            "them under its licence."
        )
    names = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table", "hands_meanl",
             "hands_meanr")  # fmt: skip
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            found = {}
            for name in names:
                if sizes[f"{name}.npy"] > MAX_NPZ_BYTES:
                    raise ValueError(f"{name} unpacks to {sizes[f'{name}.npy']} bytes")
                found[name] = np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
        return from_buffers(_as_buffers(found))
    except (KeyError, ValueError, OSError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"Expected '{path}' to be a SMPLX_*.npz of version 1.1, but reading it failed: {error}. Download it again "
            "from smpl-x.is.tue.mpg.de."
        ) from error


def _as_buffers(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    shapedirs = arrays["shapedirs"]
    # Version 1.1 has 300 shape and 100 expression directions in one array, version 1.0 had 10 and 10.
    betas = 300 if shapedirs.shape[-1] >= 400 else 10
    plain = {
        "v_template": arrays["v_template"],
        "shapedirs": shapedirs[:, :, :betas],
        "posedirs": arrays["posedirs"].reshape(-1, arrays["posedirs"].shape[-1]).T,
        "J_regressor": arrays["J_regressor"],
        "lbs_weights": arrays["weights"],
        "faces_tensor": arrays["f"].astype(np.int64),
        "parents": np.array([-1, *arrays["kintree_table"][0, 1:].astype(np.int64)]),
        "left_hand_mean": arrays["hands_meanl"],
        "right_hand_mean": arrays["hands_meanr"],
    }
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in plain.items()}


def with_cavity(faces: NDArray[np.int64], lips: tuple[int, ...]) -> NDArray[np.int64]:
    """The faces, and six more that close the mouth inside a ring of eight lip vertices.

    Args:
        faces: Triangles, [F, 3].
        lips: Ids of the ring.

    Raises:
        ValueError: If the body has no such vertices.
    """
    ring = np.array(lips)
    if ring.max() > faces.max():
        raise ValueError(f"the body has {faces.max() + 1} vertices, and SMPL-X's lips reach to number {ring.max()}")
    return np.concatenate([faces, ring[np.array(_CAVITY)]])


def subdivided(faces: NDArray[np.int64], vertices: int, levels: int) -> tuple[csr_matrix, NDArray[np.int64]]:
    """Halve every edge and quarter every face: a sparse matrix from old to new vertices, and the new faces.

    Source:
        pytorch3d SubdivideMeshes, on whose order the checkpoints depend: new vertices follow the old ones in the
        lexicographic order of their edges; new faces come in four blocks, one for each corner and one for the middles.
    """
    up = csr_matrix(eye_array(vertices, format="csr"))
    for _ in range(levels):
        count = up.shape[0]
        ends = np.sort(np.stack([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]], axis=1), axis=2)
        codes, inverse = np.unique(ends.reshape(-1, 2) @ [count, 1], return_inverse=True)
        a, b, edges = codes // count, codes % count, count + inverse.reshape(-1, 3)
        half = np.full(2 * len(codes), 0.5)
        rows = np.repeat(np.arange(len(codes)), 2)
        middle = csr_matrix((half, (rows, np.stack([a, b], axis=1).ravel())), shape=(len(codes), count))
        up = csr_matrix(vstack([up, middle @ up]))
        (v0, v1, v2), (e0, e1, e2) = faces.T, edges.T
        quarters = [(v0, e2, e1), (v1, e0, e2), (v2, e1, e0), (e0, e1, e2)]
        faces = np.concatenate([np.stack(corners, axis=1) for corners in quarters])
    return up, faces


def sparse_weights(dense: Float[Tensor, "gaussian 55"]) -> tuple[Tensor, Tensor]:
    """The fewest joints per Gaussian that leave out less than a millionth of the weight, and renormalised weights.

    Rows are sorted in blocks, because a full-size person in double precision would take half a gigabyte at once.
    """
    blocks = [_strongest(block) for block in dense.split(_ROWS)]
    k = min(max(needed for _, _, needed in blocks), MAX_INFLUENCES)
    ids = torch.cat([joints[:, :k] for joints, _, _ in blocks])
    weights = torch.cat([shares[:, :k] for _, shares, _ in blocks])
    return ids, weights / weights.sum(1, keepdim=True)


def _strongest(dense: Float[Tensor, "gaussian 55"]) -> tuple[Tensor, Tensor, int]:
    """Joints and weights of the strongest influences, at most as many as a pack holds, and how many are needed."""
    weights, ids = dense.double().clamp(min=0).sort(dim=1, descending=True)
    weights = weights / weights.sum(1, keepdim=True)
    beyond = 1 - weights.cumsum(1)
    needed = int((beyond.amax(0) > 1e-6).sum()) + 1
    return ids[:, :MAX_INFLUENCES].to(torch.int16), weights[:, :MAX_INFLUENCES].clone(), needed
