"""Import ExAvatar checkpoints: bake the base branch, which is what ExAvatar's own animation renders.

No real checkpoint could be opened when this was written; keys and shapes come from the classes of the reference
implementation. `synthaug.testing.exavatar` is the slow specification.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import grid_sample, group_norm, linear, normalize, relu

from synthaug.avatars.importers import Importer
from synthaug.avatars.importers.files.checkpoints import CheckpointError, content_digest, read_tensors
from synthaug.avatars.importers.files.smplx_body import (
    LIP_RING,
    BodyShape,
    SmplxBody,
    from_buffers,
    pose_body,
    read_smplx_npz,
    sparse_weights,
    subdivided,
    with_cavity,
)
from synthaug.avatars.pack.about import About, Licence, Provenance, read_json
from synthaug.avatars.pack.format import Extras, Pack
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.avatars.procedural.figure import normals_of
from synthaug.structures import Gaussians

LICENCE = Licence(
    name="derived from SMPL-X and FLAME (MPI, non-commercial); terms of the weights not stated",
    terms="For your own non-commercial research. Do not redistribute: the body in it is SMPL-X's.",
    source="https://smpl-x.is.tue.mpg.de/modellicense.html",
)
PREFIX = "human_gaussian."
_ROWS = 16_384
"""Gaussians that pass through the networks at a time, so that memory stays small."""
_MIN_EXPRESSION_REACH = 1e-6
"""Metres per coefficient below which an expression leaves a Gaussian where it is."""
_MASKS = ("is_rhand", "is_lhand", "is_face", "is_face_expr", "is_cavity")
_NOT_THE_PERSON = (
    "smplx_layer.",
    "scene_gaussian.",
    "smplx_param_dict.",
    "lpips.",
    "smplx_layer",
    "face_mesh_renderer.",
)
"""Prefixes of keys that do not belong to the person: ExAvatar's training scene and losses."""


@final
@dataclass(frozen=True)
class ExAvatarImporter(Importer):
    """Bakes ExAvatar's snapshot_4.pth, of the main branch or of X-Humans (222 or 420 pose inputs).

    The pack has one level of isotropic Gaussians in ExAvatar's canonical pose; its quality figures and notes hold the
    results of the checkpoint's self-tests.

    Attributes:
        identity: The subject's smplx_optimized folder, which has face_offset.json; without it the face is generic.
        body: Your own SMPLX_MALE.npz, for checkpoints that lack the body's buffers.
        hands: How fingers turn: "exavatar" copies ExAvatar's animation, "composed" composes rotations as SMPL-X does.
        ignore_unknown: Leave out tensors that ExAvatar's classes do not have, instead of refusing the checkpoint.
        lips: Ids of the ring of eight lip vertices that ExAvatar closes.
    """

    identity: Path | None = None
    body: Path | None = None
    hands: Literal["exavatar", "composed"] = "exavatar"
    ignore_unknown: bool = False
    lips: tuple[int, ...] = LIP_RING

    def import_person(self, source: Path, name: str) -> Pack:
        """Bake one checkpoint.

        Raises:
            FileNotFoundError: If a file does not exist.
            CheckpointError: If the checkpoint is unsafe, damaged, or of another program.
        """
        network, notes = read_tensors(source), list[str]()
        try:
            state = _select_person(network, self.ignore_unknown, notes)
            body = _read_body(network, self.body, notes)
            faces = with_cavity(body.faces, self.lips)
            up, fine_faces = subdivided(faces, len(body.v_template), 2)
            state = _complete(state, body, up, notes)
            _check_shapes(state, up.shape[0])
            quality = _test_against_body(state, body, up, notes)
            shape = _shape_of(state, body, self.identity, notes)
            level, rig = _bake(state, body, shape, (up, fine_faces), self.hands)
            rows, dirs = _expressions(state, notes)
        except (ValueError, IndexError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"Expected '{source}' to be ExAvatar's snapshot_4.pth, but {error}. Check that it is complete and that "
                "a supported version of ExAvatar wrote it."
            ) from error
        tool = f"synthaug {version('synthaug')}"
        provenance = Provenance("exavatar", source.name, content_digest(source), tool, tuple(notes))
        about = About(name, provenance, LICENCE, hands=self.hands, quality=quality)
        extras = Extras(betas=shape.betas.float(), expression_rows=rows, expression_dirs=dirs)
        return Pack(about, rig, (level,), extras)


def _select_person(network: Mapping[str, Tensor], ignore_unknown: bool, notes: list[str]) -> dict[str, Tensor]:
    """The person's tensors without their prefix; unknown tensors are an error, or are left out and noted."""
    state = {key.removeprefix(PREFIX): value for key, value in network.items() if key.startswith(PREFIX)}
    beside = [key for key in network if not key.startswith((PREFIX, *_NOT_THE_PERSON))]
    known = {*_expected_shapes(0, 0), *_expected_shapes(0, 222), "pose_dirs", "expr_dirs"}
    unknown = [key for key in state if key not in known and not key.startswith("smplx_layer.")]
    if not state:
        raise ValueError(f"no key begins with {PREFIX!r}")
    if (beside or unknown) and not ignore_unknown:
        raise ValueError(
            f"it has tensors that are not ExAvatar's: {', '.join((unknown + beside)[:5])[:200]} (--ignore-unknown "
            "leaves them out)"
        )
    if beside or unknown:
        notes.append(f"ignored {len(beside) + len(unknown)} unknown tensors: {', '.join((unknown + beside)[:5])}"[:900])
    return {key: value for key, value in state.items() if key in known}


def _expected_shapes(count: int, inputs: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor by key; `inputs` 0 gives the base branch alone."""
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
        raise ValueError(f"its geo_offset_net takes {inputs} inputs instead of 222 (main branch) or 420 (X-Humans)")
    base, known = _expected_shapes(count, 0), _expected_shapes(count, inputs)
    missing = [key for key in base if key not in state]
    if missing:
        raise ValueError(f"it lacks {', '.join(PREFIX + key for key in missing[:5])}")
    known |= {"pose_dirs": (486, 3 * count), "expr_dirs": (count, 3, 50)}
    for key, value in state.items():
        if tuple(value.shape) != known[key]:
            raise ValueError(f"{PREFIX}{key} has shape {tuple(value.shape)} instead of {known[key]}")
        # pose_dirs is a gigabyte that belongs to the refined branch; the bake never reads it.
        if key != "pose_dirs" and not bool(torch.isfinite(value.float().sum())):
            raise ValueError(f"{PREFIX}{key} has values that are not finite")


def _read_body(network: Mapping[str, Tensor], body_file: Path | None, notes: list[str]) -> SmplxBody:
    """The body's tables: from the checkpoint if it has them, otherwise from the user's file."""
    for prefix in (f"{PREFIX}smplx_layer.", "smplx_layer."):
        buffers = {key.removeprefix(prefix): value for key, value in network.items() if key.startswith(prefix)}
        if "v_template" in buffers:
            return from_buffers(buffers)
    if body_file is None:
        raise ValueError("it has no smplx_layer buffers (give your own SMPLX_MALE.npz with --body)")
    notes.append(f"body tables from {body_file.name}, since the checkpoint has none")
    return read_smplx_npz(body_file)


def _complete(state: dict[str, Tensor], body: SmplxBody, up: csr_matrix, notes: list[str]) -> dict[str, Tensor]:
    """Add the buffers that older checkpoints lack and that follow from the body."""
    if "skinning_weight" not in state:
        notes.append("skinning_weight computed from the body, since the checkpoint has none")
        state = {**state, "skinning_weight": torch.from_numpy(up @ body.lbs_weights.numpy()).float()}
    if "pos_enc_mesh" not in state:
        notes.append("pos_enc_mesh computed from the body, since the checkpoint has none")
        state = {**state, "pos_enc_mesh": torch.from_numpy(up @ _encoding_mesh(body).numpy()).float()}
    return state


def _encoding_mesh(body: SmplxBody) -> Float[Tensor, "vertex 3"]:
    """Where the triplanes are sampled: the mean body in the canonical pose, its jaw open by a third of a radian."""
    pose = canonical_pose(body)
    pose[22, 0] = 1 / 3
    return pose_body(body, _mean_shape(body), pose)[0]


def _mean_shape(body: SmplxBody) -> BodyShape:
    zeros = torch.zeros(55, 3, dtype=torch.float64)
    return BodyShape(torch.zeros(1, dtype=torch.float64), torch.zeros_like(body.v_template), zeros)


def canonical_pose(body: SmplxBody) -> Float[Tensor, "55 3"]:
    """ExAvatar's "da" pose relative to the T-pose with flat hands: each hip out by one radian, mean hands."""
    pose = torch.zeros(55, 3, dtype=torch.float64)
    pose[1, 2], pose[2, 2] = 1.0, -1.0
    pose[25:] = body.hands_mean
    return pose


def _test_against_body(
    state: Mapping[str, Tensor], body: SmplxBody, up: csr_matrix, notes: list[str]
) -> dict[str, float]:
    """Compare what the checkpoint stores with what follows from its body.

    Raises:
        ValueError: If its vertices are in another order.
    """
    skinning = float(np.abs(up @ body.lbs_weights.numpy() - state["skinning_weight"].numpy()).max())
    if skinning > 1e-3:
        raise ValueError(
            f"its skinning_weight differs by {skinning:.2g} from its own body subdivided: its vertices are in another "
            "order, and the baked person would be scrambled"
        )
    encoding = float(np.abs(up @ _encoding_mesh(body).numpy() - state["pos_enc_mesh"].numpy()).max())
    if encoding > 1e-4:
        notes.append(
            f"pos_enc_mesh is up to {encoding:.2g} m from the one that the body gives; the stored one was used"
        )
    return {"gaussians": float(up.shape[0]), "skinning_difference": skinning, "encoding_difference_m": encoding}


def _shape_of(state: Mapping[str, Tensor], body: SmplxBody, identity: Path | None, notes: list[str]) -> BodyShape:
    joint_offset = state["joint_offset"].double().clone()
    joint_offset[0] = 0  # ExAvatar multiplies the root's row by zero at use
    if identity is None:
        notes.append("WARNING: imported without face_offset.json, so the face is not this person's")
        face_offset = torch.zeros_like(body.v_template)
    else:
        face_offset = _read_offsets(identity / "face_offset.json", len(body.v_template))
    return BodyShape(state["shape_param"].double(), face_offset, joint_offset)


def _read_offsets(path: Path, count: int) -> Float[Tensor, "vertex 3"]:
    plain = read_json(path)
    try:
        values = torch.tensor(plain, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"'{path}' is not a table of numbers ({str(error).splitlines()[0]})") from error
    if values.shape != (count, 3) or not bool(torch.isfinite(values).all()) or float(values.abs().max()) > 1:
        raise ValueError(
            f"'{path}' has shape {tuple(values.shape)} or values of more than a metre, instead of finite metres of "
            f"shape {(count, 3)}"
        )
    return values


def _bake(
    state: Mapping[str, Tensor], body: SmplxBody, shape: BodyShape, mesh: tuple[csr_matrix, np.ndarray], hands: str
) -> tuple[Gaussians, AvatarRig]:
    """Bake the base branch in the canonical pose, shifted so that the pelvis is the origin."""
    up, faces = mesh
    pose = canonical_pose(body)
    coarse, _, joints = pose_body(body, shape, pose)
    offsets, scales, colors = _decode(state)
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
    return level, AvatarRig((joints - joints[0]).float(), pose.float(), hands=hands)


def _expressions(state: Mapping[str, Tensor], notes: list[str]) -> tuple[Tensor | None, Tensor | None]:
    """Rows of the Gaussians that expressions move, and their displacement for each of the 50 coefficients."""
    if "expr_dirs" not in state:
        notes.append("no expressions, since the checkpoint has no expr_dirs")
        return None, None
    reach = torch.cat([block.abs().amax(dim=(1, 2)) for block in state["expr_dirs"].split(_ROWS)])
    rows = torch.nonzero(reach > _MIN_EXPRESSION_REACH)[:, 0]
    return rows.to(torch.int32), state["expr_dirs"][rows].float()


def _decode(state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets [N, 3] (double, because nearest neighbours are decided on them), scales [N, 1] and colours [N, 3]."""
    is_face = state["is_face"].bool()
    places = state["pos_enc_mesh"].double()
    body_places, face_places = places - places.mean(0), (places - places[is_face].mean(0)) / 0.15
    found = []
    for start in range(0, len(places), _ROWS):
        part = slice(start, start + _ROWS)
        feature = torch.where(
            is_face[part, None],
            _sample_planes(state["triplane_face"].double(), face_places[part]),
            _sample_planes(state["triplane"].double(), body_places[part]),
        )
        geometry = _run_layers(state, "geo_net", feature)
        offset, scale = _linear(state, "mean_offset_net.0", geometry), _linear(state, "scale_net.0", geometry)
        color = (_linear(state, "rgb_net.9", _run_layers(state, "rgb_net", feature)).tanh() + 1) / 2
        found.append((offset, scale.clamp(max=math.log(10.0)).exp().float(), color.float()))
    offsets, scales, colors = (torch.cat(column) for column in zip(*found, strict=True))
    return offsets, scales, colors


def _sample_planes(
    planes: Float[Tensor, "3 32 128 128"], places: Float[Tensor, "gaussian 3"]
) -> Float[Tensor, "gaussian 96"]:
    """Features of the planes xy, xz and yz, concatenated; zero outside the planes."""
    parts = []
    for plane, axes in zip(planes, ((0, 1), (0, 2), (1, 2)), strict=True):
        grid = places[:, axes][None, :, None]
        sampled = grid_sample(plane[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        parts.append(sampled[0, :, :, 0].mT)
    return torch.cat(parts, dim=1)


def _run_layers(
    state: Mapping[str, Tensor], net: str, x: Float[Tensor, "gaussian inside"]
) -> Float[Tensor, "gaussian 128"]:
    for layer in (0, 3, 6):
        x = _linear(state, f"{net}.{layer}", x)
        gain, shift = (state[f"{net}.{layer + 1}.{kind}"].to(x) for kind in ("weight", "bias"))
        x = relu(group_norm(x, 4, gain, shift))
    return x


def _linear(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return linear(x, state[f"{name}.weight"].to(x), state[f"{name}.bias"].to(x))
