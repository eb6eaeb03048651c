"""Synthetic ExAvatar checkpoints with the right keys and shapes, and a transcription of ExAvatar's animation.

The transcription is the specification of `synthaug.avatars.importers.exavatar`: literal, slow and in double precision,
it shares no code with the importer. No real checkpoint could be opened; both follow the reference implementation.
"""

import json
import math
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from torch import Tensor

from synthaug.avatars.importers.files.smplx_body import LIP_RING, subdivided, with_cavity
from synthaug.body.skeleton import JOINT, PARENTS, mean_skeleton

Doubles: TypeAlias = NDArray[np.float64]
Network: TypeAlias = dict[str, Tensor]


def write_checkpoint(
    folder: Path, *, vertices: int = 10_475, lips: tuple[int, ...] = LIP_RING, inputs: int = 222, seed: int = 0
) -> Network:
    """Write snapshot_4.pth and face_offset.json of an egg-shaped person, and return the network's tensors.

    Args:
        folder: Where the files are written.
        vertices: Vertices of the body; 10,475 as in SMPL-X gives 167,390 Gaussians.
        lips: Ids of the lip ring, all below `vertices`.
        inputs: 222 for the main branch, 420 for X-Humans.
        seed: Seed of everything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    body, faces = _egg(vertices, lips, generator)
    network = {f"human_gaussian.{key}": value for key, value in _person(body, faces, lips, inputs, generator).items()}
    for prefix in ("smplx_layer.", "human_gaussian.smplx_layer."):
        network |= {f"{prefix}{key}": value for key, value in body.items()}
    if inputs == 222:
        network["scene_gaussian.mean"] = torch.randn(100, 3, generator=generator)
    torch.save(
        {"epoch": 4, "network": network, "optimizer": {"state": {}, "param_groups": []}}, folder / "snapshot_4.pth"
    )
    offset = 0.003 * torch.randn(vertices, 3, generator=generator)
    (folder / "face_offset.json").write_text(json.dumps(offset.tolist()))
    return network


def animate(network: Network, face_offset: Doubles, frame: dict[str, Doubles], lips: tuple[int, ...]) -> Doubles:
    """Means of one frame in camera space, [N, 3]: steps 1 to 10 of ExAvatar's base branch.

    Args:
        network: Tensors of the checkpoint.
        face_offset: Metres, [V, 3].
        frame: ExAvatar's own parameters: root_pose, body_pose, jaw_pose, leye_pose, reye_pose, lhand_pose, rhand_pose
            (relative to the mean hand), expr, trans.
        lips: Ids of the lip ring.
    """
    g = {key.removeprefix("human_gaussian."): value.double().numpy() for key, value in network.items()
         if key.startswith("human_gaussian.") and "pose_dirs" not in key}  # fmt: skip
    layer = {key.removeprefix("smplx_layer."): value for key, value in g.items() if key.startswith("smplx_layer.")}
    joint_offset = g["joint_offset"] * np.array([0.0] + [1.0] * 54)[:, None]
    # 1. The canonical mesh, hands given as zero, which is the mean hand.
    da = np.zeros((55, 3))
    da[1, 2], da[2, 2] = 1, -1
    coarse, joints_neutral, _ = smplx(layer, g["shape_param"], face_offset, joint_offset, da)
    mesh_neutral = upsample_mesh(layer["faces_tensor"].astype(int), coarse, lips)
    # 2. and 3. Its joints taken back to the zero pose, and the joints of the zero pose.
    back = chain_transforms(_rotations(-da), joints_neutral)
    _, joints_zero, _ = smplx(layer, g["shape_param"], face_offset, joint_offset, np.zeros((55, 3)))
    # 4. and 5. Features and what the networks make of them; 6. the base mean.
    mean = mesh_neutral + _mean_offset(g)
    # 8. The expression.
    mean = mean + g["expr_dirs"] @ frame["expr"]
    # 9. The skinning row of the nearest coarse vertex, or the point's own.
    own = (g["is_rhand"] + g["is_lhand"] + g["is_face"]) > 0
    rows = np.array([i if own[i] else _nearest(coarse, mean[i]) for i in range(len(mean))])
    weights = g["skinning_weight"][rows]
    # 10. The pose about the zero pose's joints, hands as they are stored.
    pose = np.concatenate(
        [frame["root_pose"].reshape(1, 3), frame["body_pose"].reshape(21, 3), frame["jaw_pose"].reshape(1, 3),
         frame["leye_pose"].reshape(1, 3), frame["reye_pose"].reshape(1, 3), frame["lhand_pose"].reshape(15, 3),
         frame["rhand_pose"].reshape(15, 3)]
    )  # fmt: skip
    there = chain_transforms(_rotations(pose), joints_zero)
    T = np.array([there[j] @ back[j] for j in range(55)])
    homogeneous = np.concatenate([mean, np.ones((len(mean), 1))], axis=1)
    return np.einsum("nj,jik,nk->ni", weights, T, homogeneous)[:, :3] + frame["trans"]


def smplx(
    layer: dict[str, Doubles], betas: Doubles, face_offset: Doubles, joint_offset: Doubles, pose: Doubles
) -> tuple[Doubles, Doubles, Doubles]:
    """ExAvatar's SMPL-X: vertices, posed joints, and rest joints; hand angles are added to the mean hand's."""
    shaped = layer["v_template"] + face_offset
    for k in range(len(betas)):
        shaped = shaped + layer["shapedirs"][:, :, k] * betas[k]
    joints = layer["J_regressor"] @ shaped + joint_offset
    full = pose.copy()
    full[25:40] += layer["left_hand_mean"].reshape(15, 3)
    full[40:55] += layer["right_hand_mean"].reshape(15, 3)
    R = _rotations(full)
    feature = np.concatenate([(R[j] - np.eye(3)).reshape(9) for j in range(1, 55)])
    shaped = shaped + (feature @ layer["posedirs"]).reshape(-1, 3)
    A = chain_transforms(R, joints)
    posed = np.array([A[j, :3, :3] @ joints[j] + A[j, :3, 3] for j in range(55)])
    blended = np.einsum("vj,jik->vik", layer["lbs_weights"], A)
    return np.einsum("vik,vk->vi", blended[:, :3, :3], shaped) + blended[:, :3, 3], posed, joints


def chain_transforms(R: Doubles, joints: Doubles) -> Doubles:
    """Rigid transforms of the kinematic chain relative to the pose of the given joints, [55, 4, 4]."""
    world = np.zeros((55, 4, 4))
    for j, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = R[j]
        local[:3, 3] = joints[j] - (joints[parent] if parent >= 0 else 0)
        world[j] = local if parent < 0 else world[parent] @ local
    for j in range(55):
        world[j, :3, 3] -= world[j, :3, :3] @ joints[j]
    return world


def upsample_mesh(faces: NDArray[np.int_], values: Doubles, lips: tuple[int, ...]) -> Doubles:
    """Vertex values on the mesh with a closed mouth, subdivided twice, by dictionaries of edges."""
    for triangle in ((0, 1, 7), (1, 2, 7), (2, 3, 5), (3, 4, 5), (2, 5, 6), (2, 6, 7)):
        faces = np.concatenate([faces, [[lips[i] for i in triangle]]])
    for _ in range(2):
        edges = sorted(
            {(min(a, b), max(a, b)) for f in faces.tolist() for a, b in ((f[1], f[2]), (f[2], f[0]), (f[0], f[1]))}
        )
        number = {edge: len(values) + i for i, edge in enumerate(edges)}
        values = np.concatenate([values, np.array([(values[a] + values[b]) / 2 for a, b in edges])])
        blocks: list[list[tuple[int, int, int]]] = [[], [], [], []]
        for v0, v1, v2 in faces.tolist():
            e0, e1, e2 = (number[min(a, b), max(a, b)] for a, b in ((v1, v2), (v2, v0), (v0, v1)))
            for block, face in zip(blocks, ((v0, e2, e1), (v1, e0, e2), (v2, e1, e0), (e0, e1, e2)), strict=True):
                block.append(face)
        faces = np.array([face for block in blocks for face in block])
    return values


def _mean_offset(g: dict[str, Doubles]) -> Doubles:
    places, face = g["pos_enc_mesh"], g["is_face"] > 0
    feature = _sample_triplanes(g["triplane"], places - places.mean(0))
    feature[face] = _sample_triplanes(g["triplane_face"], (places[face] - places[face].mean(0)) / 0.15)
    x = feature
    for layer in (0, 3, 6):
        x = x @ g[f"geo_net.{layer}.weight"].T + g[f"geo_net.{layer}.bias"]
        groups = x.reshape(len(x), 4, 32)
        deviation = np.sqrt(groups.var(axis=2, keepdims=True) + 1e-5)
        x = ((groups - groups.mean(axis=2, keepdims=True)) / deviation).reshape(len(x), 128)
        x = np.maximum(x * g[f"geo_net.{layer + 1}.weight"] + g[f"geo_net.{layer + 1}.bias"], 0)
    return x @ g["mean_offset_net.0.weight"].T + g["mean_offset_net.0.bias"]


def _sample_triplanes(planes: Doubles, places: Doubles) -> Doubles:
    """Bilinear samples at -1..1, corners not aligned, zero outside; the first coordinate is along the last axis."""
    found = []
    for plane, (a, b) in zip(planes, ((0, 1), (0, 2), (1, 2)), strict=True):
        side = plane.shape[-1]
        u, v = ((places[:, axis] + 1) * side / 2 - 0.5 for axis in (a, b))
        total = np.zeros((len(places), plane.shape[0]))
        for du in (0, 1):
            for dv in (0, 1):
                i, j = np.floor(u).astype(int) + du, np.floor(v).astype(int) + dv
                share = (1 - np.abs(u - i)) * (1 - np.abs(v - j)) * ((i >= 0) & (i < side) & (j >= 0) & (j < side))
                total += share[:, None] * plane[:, j.clip(0, side - 1), i.clip(0, side - 1)].T
        found.append(total)
    return np.concatenate(found, axis=1)


def _nearest(places: Doubles, point: Doubles) -> int:
    return int(((places - point) ** 2).sum(1).argmin())


def _rotations(pose: Doubles) -> Doubles:
    """Rodrigues' formula, one joint at a time."""
    found = []
    for vector in pose:
        angle = math.sqrt(float(vector @ vector))
        x, y, z = vector / angle if angle > 0 else vector
        K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        found.append(np.eye(3) + math.sin(angle) * K + (1 - math.cos(angle)) * K @ K)
    return np.array(found)


def _egg(vertices: int, lips: tuple[int, ...], generator: torch.Generator) -> tuple[Network, NDArray[np.int64]]:
    """A body with SMPL-X's tables on an egg as large as a person, with an open mouth and SMPL-X's number of edges."""
    points = torch.nn.functional.normalize(torch.randn(vertices, 3, generator=generator, dtype=torch.float64), dim=1)
    faces = _cut_holes(ConvexHull(points.numpy()).simplices.astype(np.int64), lips, vertices)
    places = (points * points.new_tensor([0.85, 0.9, 0.25])).float()
    joints = mean_skeleton().joints
    near = torch.cdist(places, joints)
    distance, ids = near.topk(4, dim=1, largest=False)
    weights = torch.zeros(vertices, 55).scatter(1, ids, torch.softmax(-distance / 0.05, dim=1))
    _, around = near.topk(10, dim=0, largest=False)
    regressor = torch.zeros(55, vertices).scatter(1, around.mT, torch.full((55, 10), 0.1))

    def noise(scale: float, *shape: int) -> Tensor:
        return scale * torch.randn(*shape, generator=generator)

    face = torch.zeros(vertices, 1, 1)
    face[near[:, JOINT["head"]].topk(vertices // 20, largest=False).indices] = 1
    return {
        "v_template": places, "shapedirs": noise(0.002, vertices, 3, 100), "posedirs": noise(0.0005, 486, 3 * vertices),
        "expr_dirs": face * noise(0.001, vertices, 3, 50), "J_regressor": regressor, "lbs_weights": weights,
        "parents": torch.tensor(PARENTS), "faces_tensor": torch.from_numpy(faces), "pose_mean": torch.zeros(165),
        "left_hand_mean": noise(0.3, 45), "right_hand_mean": noise(0.3, 45),
    }, faces  # fmt: skip


def _cut_holes(faces: NDArray[np.int64], lips: tuple[int, ...], vertices: int) -> NDArray[np.int64]:
    """Cut an octagonal mouth between the lip vertices, and a slit and three holes elsewhere, into a closed mesh.

    They remove 38 faces and 33 edges, by which SMPL-X differs from a closed surface with its vertices.
    """
    beside: dict[tuple[int, int], list[int]] = {}
    for index, face in enumerate(faces.tolist()):
        for a, b in ((face[0], face[1]), (face[1], face[2]), (face[2], face[0])):
            beside.setdefault((min(a, b), max(a, b)), []).append(index)

    def across(index: int, a: int, b: int) -> tuple[int, int]:
        other = next(i for i in beside[min(a, b), max(a, b)] if i != index)
        return other, next(int(v) for v in faces[other] if v not in (a, b))

    for middle in range(vertices):
        ring = _ring(faces, middle)
        if len(ring) < 6:
            continue
        fan = [next(i for i in beside[min(middle, a), max(middle, a)] if b in faces[i])
               for a, b in zip(ring[:4], ring[1:5], strict=True)]  # fmt: skip
        first, v0 = across(fan[0], ring[0], ring[1])
        last, v4 = across(fan[3], ring[3], ring[4])
        octagon = [v0, ring[0], middle, ring[4], v4, ring[3], ring[2], ring[1]]
        if len(set(octagon)) == 8:
            break
    gone = {*fan, first, last}
    slit = _slit(faces, beside, gone, 29)
    gone |= set(slit)
    touched = {int(v) for index in gone for v in faces[index]}
    for index, face in enumerate(faces.tolist()):
        if len(gone) < 38 and not touched & set(face):
            gone.add(index)
            touched |= set(face)
    kept = np.array([face for index, face in enumerate(faces) if index not in gone])
    return _renumber(kept, dict(zip(octagon, lips, strict=True)), vertices)


def _ring(faces: NDArray[np.int64], middle: int) -> list[int]:
    """Neighbours of a vertex, in order around it."""
    pairs = [[int(v) for v in face if v != middle] for face in faces[(faces == middle).any(1)]]
    ring = list(pairs.pop())
    while pairs:
        index = next(i for i, pair in enumerate(pairs) if ring[-1] in pair)
        pair = pairs.pop(index)
        ring.append(pair[0] if pair[1] == ring[-1] else pair[1])
    return ring[:-1]


def _slit(faces: NDArray[np.int64], beside: dict[tuple[int, int], list[int]], gone: set[int], length: int) -> list[int]:
    """A strip of `length` faces, each sharing one edge with the one before and none with others, away from `gone`."""
    near = {int(v) for index in gone for v in faces[index]}
    for start in range(len(faces)):
        if near & set(faces[start].tolist()):
            continue
        strip, edges = [start], _edges(faces[start])
        while len(strip) < length:
            onward = [i for edge in sorted(_edges(faces[strip[-1]])) for i in beside[edge] if i not in strip]
            free = [i for i in onward if not near & set(faces[i].tolist()) and len(_edges(faces[i]) & edges) == 1]
            if not free:
                break
            strip.append(free[len(strip) % len(free)])
            edges |= _edges(faces[strip[-1]])
        else:
            return strip
    raise RuntimeError(f"Found no strip of {length} faces. Choose another seed, or more vertices.")


def _edges(face: NDArray[np.int64]) -> set[tuple[int, int]]:
    a, b, c = (int(v) for v in face)
    return {(min(x, y), max(x, y)) for x, y in ((a, b), (b, c), (c, a))}


def _renumber(faces: NDArray[np.int64], names: dict[int, int], vertices: int) -> NDArray[np.int64]:
    """Renumber vertices so that some get the given ids."""
    free = [v for v in range(vertices) if v not in names.values()]
    others = [v for v in range(vertices) if v not in names]
    table = np.zeros(vertices, np.int64)
    for old, new in [*names.items(), *zip(others, free, strict=True)]:
        table[old] = new
    return table[faces]


def _person(
    body: Network, faces: NDArray[np.int64], lips: tuple[int, ...], inputs: int, generator: torch.Generator
) -> Network:
    """Everything under `human_gaussian.` but the body; buffers follow from the body, the rest is random."""
    up, _ = subdivided(with_cavity(faces, lips), len(body["v_template"]), 2)
    count, template = up.shape[0], body["v_template"]

    def upsample(values: Tensor) -> Tensor:
        flat = up @ values.double().reshape(len(values), -1).numpy()
        return torch.from_numpy(flat).float().reshape(count, *values.shape[1:])

    def noise(scale: float, *shape: int) -> Tensor:
        return scale * torch.randn(*shape, generator=generator)

    joints = mean_skeleton().joints
    masks = {}
    for mask, joint in (("is_rhand", "right_wrist"), ("is_lhand", "left_wrist"), ("is_face", "head")):
        distance = (template - joints[JOINT[joint]]).norm(dim=1)
        inside = torch.zeros(len(template))
        inside[distance.topk(len(template) // 20, largest=False).indices] = 1
        masks[mask] = upsample(inside) > 0
    lip = torch.zeros(len(template))
    lip[list(lips)] = 1
    person = {
        **masks, "is_face_expr": masks["is_face"].clone(), "is_cavity": upsample(lip) > 0,
        "triplane": noise(1.0, 3, 32, 128, 128), "triplane_face": noise(1.0, 3, 32, 128, 128),
        "shape_param": noise(0.5, 100), "joint_offset": noise(0.01, 55, 3),
        "skinning_weight": upsample(body["lbs_weights"]),
        "pos_enc_mesh": _encoding(body, upsample), "expr_dirs": upsample(body["expr_dirs"]),
        "pose_dirs": upsample(body["posedirs"].mT.reshape(-1, 3, 486)).reshape(-1, 486).mT.contiguous(),
    }  # fmt: skip
    for net, width, layers in (
        ("geo_net", 96, 3),
        ("rgb_net", 96, 3),
        ("geo_offset_net", inputs, 3),
        ("rgb_offset_net", inputs + 3, 3),
    ):
        for layer in range(layers):
            inside_width = width if layer == 0 else 128
            person[f"{net}.{3 * layer}.weight"] = noise(inside_width**-0.5, 128, inside_width)
            person[f"{net}.{3 * layer}.bias"] = noise(0.1, 128)
            person[f"{net}.{3 * layer + 1}.weight"] = 1 + noise(0.1, 128)
            person[f"{net}.{3 * layer + 1}.bias"] = noise(0.1, 128)
    for head, width in (("mean_offset_net.0", 3), ("scale_net.0", 1), ("rgb_net.9", 3), ("mean_offset_offset_net.0", 3),
                        ("scale_offset_net.0", 1), ("rgb_offset_net.9", 3)):  # fmt: skip
        person[f"{head}.weight"], person[f"{head}.bias"] = noise(0.001, width, 128), noise(0.01, width)
    person["scale_net.0.bias"] -= 5
    return person


def _encoding(body: Network, upsample: object) -> Tensor:
    """Where the triplanes are sampled: mean shape, hips apart, mean hands, jaw open by 1/3 rad."""
    layer = {key: value.double().numpy() for key, value in body.items()}
    pose = np.zeros((55, 3))
    pose[1, 2], pose[2, 2], pose[22, 0] = 1, -1, 1 / 3
    nobody = np.zeros_like(layer["v_template"])
    vertices, _, _ = smplx(layer, np.zeros(1), nobody, np.zeros((55, 3)), pose)
    assert callable(upsample)
    return upsample(torch.from_numpy(vertices))
