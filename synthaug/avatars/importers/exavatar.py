"""ExAvatar checkpoints baked into packs: the base branch, which is what its official animation draws.

An importer for `synthaug.avatars.pack.format`. No real checkpoint could be opened when this was written; keys and
shapes come from the reference implementation's classes. `synthaug.testing.exavatar` is the slow specification.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import grid_sample, group_norm, linear, normalize, relu

from synthaug.avatars.importers.checkpoints import CheckpointError, content_digest, read_json, read_tensors
from synthaug.avatars.importers.smplx_body import (
    LIP_RING,
    Shape,
    SmplxBody,
    from_buffers,
    posed_body,
    read_smplx_npz,
    subdivided,
    with_cavity,
)
from synthaug.avatars.pack.about import About, Licence, Provenance
from synthaug.avatars.pack.format import MAX_INFLUENCES, Extras, Pack
from synthaug.avatars.pack.rig import Rig
from synthaug.avatars.procedural.figure import normals_of
from synthaug.structures import Gaussians

LICENCE = Licence(
    name="derived from SMPL-X and FLAME (MPI, non-commercial); terms of the weights not stated",
    terms="For your own non-commercial research. Do not redistribute: the body in it is SMPL-X's.",
    source="https://smpl-x.is.tue.mpg.de/modellicense.html",
)
PREFIX = "human_gaussian."
_ROWS = 16_384
"""Gaussians at a time through the networks, so that memory stays small."""
_STILL = 1e-6
"""Metres a coefficient, below which an expression leaves a Gaussian where it is."""
_MASKS = ("is_rhand", "is_lhand", "is_face", "is_face_expr", "is_cavity")
_BESIDE = ("smplx_layer.", "scene_gaussian.", "smplx_param_dict.", "lpips.", "smplx_layer", "face_mesh_renderer.")
"""Beginnings of keys beside the person: ExAvatar's training scene and losses."""


@dataclass(frozen=True, eq=False)
class Importing:
    """What an import may use beside the checkpoint.

    Attributes:
        identity: The subject's `smplx_optimized` folder, for face_offset.json; None bakes without, and notes it.
        body: The user's SMPLX_MALE.npz, for checkpoints without their buffers.
        hands: "exavatar" copies how ExAvatar turns fingers; "composed" turns them as SMPL-X does.
        ignore_unknown: Go on where the checkpoint has tensors that this importer does not know.
        lips: Ids of the ring of lip vertices.
    """

    identity: Path | None = None
    body: Path | None = None
    hands: str = "exavatar"
    ignore_unknown: bool = False
    lips: tuple[int, ...] = LIP_RING


def import_exavatar(path: Path, name: str, how: Importing = Importing()) -> Pack:
    """Bake a checkpoint of either branch (222 or 420 pose inputs).

    Args:
        path: snapshot_4.pth.
        name: Of the identity.
        how: What may be used beside.

    Returns:
        One level of isotropic Gaussians in ExAvatar's canonical pose; quality and notes hold the self-tests.

    Raises:
        FileNotFoundError: If a file is not there.
        CheckpointError: If the checkpoint is unsafe, damaged, or of something else.
    """
    network, notes = read_tensors(path), list[str]()
    try:
        state = _state(network, how, notes)
        body = _body(network, how, notes)
        faces = with_cavity(body.faces, how.lips)
        up, fine_faces = subdivided(faces, len(body.v_template), 2)
        state = _completed(state, body, up, notes)
        _check_shapes(state, up.shape[0])
        quality = _self_tests(state, body, up, notes)
        shape = _shape(state, body, how, notes)
        level, rig = _bake(state, body, shape, (up, fine_faces), how.hands)
        rows, dirs = _expressions(state, notes)
    except (ValueError, IndexError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"'{path}' is no ExAvatar checkpoint that can be imported: {error}. snapshot_4.pth as its training writes "
            "it was wanted. Was it made by another version, or cut short?"
        ) from error
    source = Provenance("exavatar", path.name, content_digest(path), f"synthaug {version('synthaug')}", tuple(notes))
    about = About(name, source, LICENCE, hands=how.hands, quality=quality)
    extras = Extras(betas=shape.betas.float(), expression_rows=rows, expression_dirs=dirs)
    return Pack(about, rig, (level,), extras)


def _state(network: Mapping[str, Tensor], how: Importing, notes: list[str]) -> dict[str, Tensor]:
    """The person's tensors, prefix taken off; unknown ones are an error, or ignored by name."""
    state = {key.removeprefix(PREFIX): value for key, value in network.items() if key.startswith(PREFIX)}
    beside = [key for key in network if not key.startswith((PREFIX, *_BESIDE))]
    known = {*_wanted(0, 0), *_wanted(0, 222), "pose_dirs", "expr_dirs"}
    unknown = [key for key in state if key not in known and not key.startswith("smplx_layer.")]
    if not state:
        raise ValueError(f"no key begins with {PREFIX!r}")
    if (beside or unknown) and not how.ignore_unknown:
        raise ValueError(
            f"it has tensors that are not ExAvatar's: {', '.join((unknown + beside)[:5])[:200]}. With --ignore-unknown "
            "they are left out"
        )
    if beside or unknown:
        notes.append(f"ignored {len(beside) + len(unknown)} unknown tensors: {', '.join((unknown + beside)[:5])}"[:900])
    return {key: value for key, value in state.items() if key in known}


def _wanted(count: int, inputs: int) -> dict[str, tuple[int, ...]]:
    """Shapes by key; `inputs` 0 is the base branch alone."""
    shapes: dict[str, tuple[int, ...]] = {
        "triplane": (3, 32, 128, 128), "triplane_face": (3, 32, 128, 128), "shape_param": (100,),
        "joint_offset": (55, 3), "pos_enc_mesh": (count, 3), "skinning_weight": (count, 55),
        **{mask: (count,) for mask in _MASKS},
    }  # fmt: skip
    nets = {"geo_net": (96, 3), "rgb_net": (96, 3)} | ({
        "geo_offset_net": (inputs, 3), "rgb_offset_net": (inputs + 3, 3),
    } if inputs else {})  # fmt: skip
    for net, (width, layers) in nets.items():
        for layer in range(layers):
            shapes[f"{net}.{3 * layer}.weight"] = (128, width if layer == 0 else 128)
            for name in (f"{net}.{3 * layer}.bias", f"{net}.{3 * layer + 1}.weight", f"{net}.{3 * layer + 1}.bias"):
                shapes[name] = (128,)
    heads = {"mean_offset_net.0": 3, "scale_net.0": 1, "rgb_net.9": 3}
    heads |= {"mean_offset_offset_net.0": 3, "scale_offset_net.0": 1, "rgb_offset_net.9": 3} if inputs else {}
    for head, width in heads.items():
        shapes |= {f"{head}.weight": (width, 128), f"{head}.bias": (width,)}
    return shapes


def _check_shapes(state: Mapping[str, Tensor], count: int) -> None:
    inputs = state["geo_offset_net.0.weight"].shape[-1] if "geo_offset_net.0.weight" in state else 222
    if inputs not in (222, 420):
        raise ValueError(f"geo_offset_net takes {inputs} inputs; 222 (main branch) or 420 (X-Humans) was wanted")
    base, known = _wanted(count, 0), _wanted(count, inputs)
    missing = [key for key in base if key not in state]
    if missing:
        raise ValueError(f"it lacks {', '.join(PREFIX + key for key in missing[:5])}")
    known |= {"pose_dirs": (486, 3 * count), "expr_dirs": (count, 3, 50)}
    for key, value in state.items():
        if tuple(value.shape) != known[key]:
            raise ValueError(f"{PREFIX}{key} has shape {tuple(value.shape)}; {known[key]} was wanted")
        # A gigabyte that belongs to the refined branch; a bake never reads it.
        if key != "pose_dirs" and not bool(torch.isfinite(value.float().sum())):
            raise ValueError(f"{PREFIX}{key} has values that are no numbers")


def _body(network: Mapping[str, Tensor], how: Importing, notes: list[str]) -> SmplxBody:
    for prefix in (f"{PREFIX}smplx_layer.", "smplx_layer."):
        buffers = {key.removeprefix(prefix): value for key, value in network.items() if key.startswith(prefix)}
        if "v_template" in buffers:
            return from_buffers(buffers)
    if how.body is None:
        raise ValueError("it has no smplx_layer buffers; give your own SMPLX_MALE.npz with --body")
    notes.append(f"body tables from {how.body.name}, since the checkpoint has none")
    return read_smplx_npz(how.body)


def _completed(state: dict[str, Tensor], body: SmplxBody, up: csr_matrix, notes: list[str]) -> dict[str, Tensor]:
    """With the buffers that older files lack and that follow from the body."""
    if "skinning_weight" not in state:
        notes.append("skinning_weight computed from the body, since the checkpoint has none")
        state = {**state, "skinning_weight": torch.from_numpy(up @ body.lbs_weights.numpy()).float()}
    if "pos_enc_mesh" not in state:
        notes.append("pos_enc_mesh computed from the body, since the checkpoint has none")
        state = {**state, "pos_enc_mesh": torch.from_numpy(up @ _encoding_mesh(body).numpy()).float()}
    return state


def _encoding_mesh(body: SmplxBody) -> Float[Tensor, "vertex 3"]:
    """The mesh that triplanes are asked at: canonical pose, nobody's shape, the jaw open by a third of a radian."""
    pose = canonical_pose(body)
    pose[22, 0] = 1 / 3
    return posed_body(body, _nobody(body), pose)[0]


def _nobody(body: SmplxBody) -> Shape:
    zeros = torch.zeros(55, 3, dtype=torch.float64)
    return Shape(torch.zeros(1, dtype=torch.float64), torch.zeros_like(body.v_template), zeros)


def canonical_pose(body: SmplxBody) -> Float[Tensor, "55 3"]:
    """ExAvatar's "da" pose against the flat-handed T-pose: hips one radian apart each, mean hands."""
    pose = torch.zeros(55, 3, dtype=torch.float64)
    pose[1, 2], pose[2, 2] = 1.0, -1.0
    pose[25:] = body.hands_mean
    return pose


def _self_tests(state: Mapping[str, Tensor], body: SmplxBody, up: csr_matrix, notes: list[str]) -> dict[str, float]:
    """Compare what the checkpoint stores with what follows from its body; a wrong order of vertices is an error."""
    skinning = float(np.abs(up @ body.lbs_weights.numpy() - state["skinning_weight"].numpy()).max())
    if skinning > 1e-3:
        raise ValueError(
            f"its skinning_weight differs by {skinning:.2g} from its own body subdivided: the order of vertices is "
            "another one, and the bake would be scrambled"
        )
    encoding = float(np.abs(up @ _encoding_mesh(body).numpy() - state["pos_enc_mesh"].numpy()).max())
    if encoding > 1e-4:
        notes.append(
            f"pos_enc_mesh is up to {encoding:.2g} m from the one that the body gives; the stored one was used"
        )
    return {"gaussians": float(up.shape[0]), "skinning_difference": skinning, "encoding_difference_m": encoding}


def _shape(state: Mapping[str, Tensor], body: SmplxBody, how: Importing, notes: list[str]) -> Shape:
    joint_offset = state["joint_offset"].double().clone()
    joint_offset[0] = 0  # ExAvatar multiplies the root's row by zero at use
    if how.identity is None:
        notes.append("WARNING: no face_offset.json was given, so the face is not this person's")
        face_offset = torch.zeros_like(body.v_template)
    else:
        face_offset = _offsets(how.identity / "face_offset.json", len(body.v_template))
    return Shape(state["shape_param"].double(), face_offset, joint_offset)


def _offsets(path: Path, count: int) -> Float[Tensor, "vertex 3"]:
    plain = read_json(path)
    try:
        values = torch.tensor(plain, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"'{path}' holds no table of numbers ({str(error).splitlines()[0]})") from error
    if values.shape != (count, 3) or not bool(torch.isfinite(values).all()) or float(values.abs().max()) > 1:
        raise ValueError(f"'{path}' has shape {tuple(values.shape)}; finite metres of {(count, 3)} were wanted")
    return values


def _bake(
    state: Mapping[str, Tensor], body: SmplxBody, shape: Shape, mesh: tuple[csr_matrix, np.ndarray], hands: str
) -> tuple[Gaussians, Rig]:
    """The base branch in the canonical pose, moved so that the pelvis is the origin."""
    up, faces = mesh
    pose = canonical_pose(body)
    coarse, _, joints = posed_body(body, shape, pose)
    offsets, scales, colors = _decoded(state)
    means = torch.from_numpy(up @ coarse.numpy()) + offsets
    rows = torch.from_numpy(cKDTree(coarse.numpy()).query(means.numpy())[1])
    own = state["is_rhand"].bool() | state["is_lhand"].bool() | state["is_face"].bool()
    rows = torch.where(own, torch.arange(len(rows)), rows)
    joint_ids, weights = sparse_weights(state["skinning_weight"][rows])
    count = len(means)
    normals = torch.from_numpy(normals_of(means.numpy(), faces)).float()
    normals[normals.norm(dim=1) < 0.5] = torch.tensor([0.0, 0.0, 1.0])
    level = Gaussians(
        means=(means - joints[0]).float(),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(count, 4),
        scales=scales.clamp(1e-6, 1.0).expand(count, 3),
        opacities=torch.ones(count),
        colors=colors.clamp(0, 1),
        joint_ids=joint_ids,
        weights=weights.float(),
        T_world_rest=torch.eye(4).expand(1, 55, 4, 4),
        normals=normalize(torch.where(state["is_cavity"].bool()[:, None], -normals, normals), dim=1),
    )
    return level, Rig((joints - joints[0]).float(), pose.float(), hands=hands)


def _expressions(state: Mapping[str, Tensor], notes: list[str]) -> tuple[Tensor | None, Tensor | None]:
    """Gaussians that expressions move, and by how much for each of the 50 coefficients; those of the face."""
    if "expr_dirs" not in state:
        notes.append("no expressions, since the checkpoint has no expr_dirs")
        return None, None
    reach = torch.cat([block.abs().amax(dim=(1, 2)) for block in state["expr_dirs"].split(_ROWS)])
    rows = torch.nonzero(reach > _STILL)[:, 0]
    return rows.to(torch.int32), state["expr_dirs"][rows].float()


def sparse_weights(dense: Float[Tensor, "gaussian 55"]) -> tuple[Tensor, Tensor]:
    """As few joints a Gaussian as leave out less than a millionth, and their renormalised weights.

    Sorted a block of rows at a time: a full-size person in double precision would take half a gigabyte at once.
    """
    found = [_strongest(block) for block in dense.split(_ROWS)]
    k = min(max(needed for _, _, needed in found), MAX_INFLUENCES)
    ids = torch.cat([joints[:, :k] for joints, _, _ in found])
    weights = torch.cat([shares[:, :k] for _, shares, _ in found])
    return ids, weights / weights.sum(1, keepdim=True)


def _strongest(dense: Float[Tensor, "gaussian 55"]) -> tuple[Tensor, Tensor, int]:
    """The most influences that a pack holds, strongest first: joints and shares; and how many rows really need."""
    weights, ids = dense.double().clamp(min=0).sort(dim=1, descending=True)
    weights = weights / weights.sum(1, keepdim=True)
    beyond = 1 - weights.cumsum(1)
    needed = int((beyond.amax(0) > 1e-6).sum()) + 1
    return ids[:, :MAX_INFLUENCES].to(torch.int16), weights[:, :MAX_INFLUENCES].clone(), needed


def _decoded(state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets [N, 3] (double, so that nearest neighbours are decided as exactly as can be), scales [N, 1], colours."""
    is_face = state["is_face"].bool()
    places = state["pos_enc_mesh"].double()
    body_places, face_places = places - places.mean(0), (places - places[is_face].mean(0)) / 0.15
    found = []
    for start in range(0, len(places), _ROWS):
        part = slice(start, start + _ROWS)
        feature = torch.where(
            is_face[part, None],
            _sampled(state["triplane_face"].double(), face_places[part]),
            _sampled(state["triplane"].double(), body_places[part]),
        )
        geometry = _layers(state, "geo_net", feature)
        offset, scale = _head(state, "mean_offset_net.0", geometry), _head(state, "scale_net.0", geometry)
        color = (_head(state, "rgb_net.9", _layers(state, "rgb_net", feature)).tanh() + 1) / 2
        found.append((offset, scale.clamp(max=math.log(10.0)).exp().float(), color.float()))
    offsets, scales, colors = (torch.cat(column) for column in zip(*found, strict=True))
    return offsets, scales, colors


def _sampled(
    planes: Float[Tensor, "3 32 128 128"], places: Float[Tensor, "gaussian 3"]
) -> Float[Tensor, "gaussian 96"]:
    """Features of the planes xy, xz and yz, one behind the other; nothing outside of them."""
    parts = []
    for plane, axes in zip(planes, ((0, 1), (0, 2), (1, 2)), strict=True):
        grid = places[:, axes][None, :, None]
        sampled = grid_sample(plane[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        parts.append(sampled[0, :, :, 0].mT)
    return torch.cat(parts, dim=1)


def _layers(
    state: Mapping[str, Tensor], net: str, x: Float[Tensor, "gaussian inside"]
) -> Float[Tensor, "gaussian 128"]:
    for layer in (0, 3, 6):
        x = _head(state, f"{net}.{layer}", x)
        gain, shift = (state[f"{net}.{layer + 1}.{kind}"].to(x) for kind in ("weight", "bias"))
        x = relu(group_norm(x, 4, gain, shift))
    return x


def _head(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return linear(x, state[f"{name}.weight"].to(x), state[f"{name}.bias"].to(x))
