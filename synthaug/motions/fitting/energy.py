"""Compute the energy of a moving body in plain, differentiable torch: the specification of `descent`.

It is minus twice the log posterior of one clip's motion, up to a constant. Used where speed does not matter.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.rotations import rotation_6d_to_matrix
from synthaug.body.skeleton import PARENTS, Skeleton
from synthaug.motions.fitting.descent import EnergyTerms
from synthaug.motions.fitting.markers import NUM_BODY
from synthaug.structures import Camera


def _levels() -> list[list[int]]:
    """Body joints by distance from the pelvis, so that each level is posed at once."""
    depth = [0] * NUM_BODY
    for joint in range(1, NUM_BODY):
        depth[joint] = depth[PARENTS[joint]] + 1
    return [[j for j in range(NUM_BODY) if depth[j] == d] for d in range(1, max(depth) + 1)]


_LEVELS = _levels()
_ORDER = [0, *(j for level in _LEVELS for j in level)]
_BACK = torch.tensor([_ORDER.index(j) for j in range(NUM_BODY)])
_MEMBERS = [torch.tensor(level) for level in _LEVELS]
_HOLDERS = [
    torch.tensor([above.index(PARENTS[j]) for j in level])
    for above, level in zip([[0], *_LEVELS], _LEVELS, strict=False)
]
"""For every level, the index of each joint's parent in the level above."""


def project(
    points: Float[Tensor, "time point 3"], camera: Camera
) -> tuple[Float[Tensor, "time point 2"], Float[Tensor, "time point"]]:
    """Pixel positions of world points, and their depths in metres; points behind the camera have negative depth."""
    return _pinhole(points, camera.viewmats.to(points), camera.Ks.to(points))


def body_kinematics(
    local: Float[Tensor, "time 22 3 3"], root: Float[Tensor, "time 3"], skeleton: Skeleton
) -> tuple[Float[Tensor, "time 22 3 3"], Float[Tensor, "time 22 3"]]:
    """World rotations and positions of the 22 body joints, a whole level of the tree at a time."""
    return _pose_joints(local, root, bones_of(skeleton).to(local))


def bones_of(skeleton: Skeleton) -> Float[Tensor, "22 3"]:
    """Offset from each body joint's parent to the joint, at rest."""
    return torch.stack([skeleton.joints[j] - skeleton.joints[max(PARENTS[j], 0)] for j in range(NUM_BODY)])


def unpack(rows: Float[Tensor, "time 135"]) -> tuple[Float[Tensor, "time 22 3 3"], Float[Tensor, "time 3"]]:
    """Unpack rows of unknowns, which hold the first two columns of each rotation, into rotations and root."""
    return rotation_6d_to_matrix(rows[:, :-3].unflatten(1, (NUM_BODY, 6))).mT, rows[:, -3:]


def pack(local: Float[Tensor, "time 22 3 3"], root: Float[Tensor, "time 3"]) -> Float[Tensor, "time 135"]:
    """Pack rotations and root into rows of unknowns. Columns of the matrices, so that they turn with the world."""
    return torch.cat([local[..., :2].mT.flatten(1), root], dim=1)


def energy_plain(rows: Float[Tensor, "time 135"], terms: EnergyTerms) -> Float[Tensor, ""]:
    """The energy of one clip; a test holds `descent.energy` to its value and gradient."""
    known = {name: torch.from_numpy(value) for name, value in terms._asdict().items()}
    local, root = unpack(rows)
    R, joints = _pose_joints(local, root, known["bones"].to(rows))
    turned = (R.index_select(1, known["frames"]) @ known["offsets"].to(rows)[..., None]).squeeze(-1)
    total = _data_term(_blend_weights(known).to(rows) @ joints + turned, known).sum()
    # |R - I|^2 is twice the squared angle for small angles.
    total = total + (known["stiffness"] * (3 - local.diagonal(dim1=-2, dim2=-1).sum(-1))).sum()
    alike = (known["goals"] * local).sum((-1, -2))
    total = total + (known["pulls"] * (3 - alike))[:, 1:].sum()
    total = total + known["tightness"][0] * _hinge_term(local, known)
    n = known["floor"].to(rows)
    height = (joints.index_select(1, known["supports"]) * n[:3]).sum(-1) + n[3] - known["flesh"]
    total = total + known["tightness"][1] * (torch.relu(-height) ** 2).sum()
    bend = joints[2:] - 2 * joints[1:-1] + joints[:-2]
    wring = local[2:] - 2 * local[1:-1] + local[:-2]
    going, turning = known["rates"]
    jerk = _charbonnier((bend**2).sum(-1) * going) + _charbonnier((wring**2).sum((-1, -2)) / 2 * turning)
    return total + jerk.sum()


def _pinhole(points: Tensor, viewmats: Tensor, Ks: Tensor) -> tuple[Tensor, Tensor]:
    inside = points @ viewmats[:, :3, :3].mT + viewmats[:, None, :3, 3]
    depth = inside[..., 2]
    safe = torch.where(depth.abs() < 1e-6, torch.full_like(depth, 1e-6), depth)
    return (inside / safe[..., None]) @ Ks[:, :2].mT, depth


def _pose_joints(local: Tensor, root: Tensor, bones: Tensor) -> tuple[Tensor, Tensor]:
    rotations, positions = [local[:, :1]], [root[:, None]]
    for members, holders in zip(_MEMBERS, _HOLDERS, strict=True):
        R = rotations[-1].index_select(1, holders)
        step = (R @ bones[members, :, None]).squeeze(-1)
        positions.append(positions[-1].index_select(1, holders) + step)
        rotations.append(R @ local.index_select(1, members))
    return torch.cat(rotations, dim=1).index_select(1, _BACK), torch.cat(positions, dim=1).index_select(1, _BACK)


def _blend_weights(known: dict[str, Tensor]) -> Tensor:
    """The markers' shares of the joints as a dense matrix."""
    owner = torch.arange(len(known["frames"])).repeat_interleave(known["starts"].diff())
    weights = known["shares"].new_zeros(len(known["frames"]), NUM_BODY)
    return weights.index_put_((owner, known["holders"]), known["shares"], accumulate=True)


def _charbonnier(squares: Tensor) -> Tensor:
    """Quadratic for usual accelerations, linear for those of impacts and landings."""
    return 2 * ((1 + squares).sqrt() - 1)


def _data_term(placed: Tensor, known: dict[str, Tensor]) -> Tensor:
    error = placed - known["points"]
    weights, limits = known["weights"], known["limits"][:, None]
    if not len(known["pixels"]):
        return _robust((error**2).sum(-1), weights, limits)
    share = weights / weights.sum(1, keepdim=True).clamp(min=1e-9)
    error = error - torch.einsum("fm,fmi->fi", share, error)[:, None]
    shape = _robust((error**2).sum(-1), weights, limits)
    pixels, depth = _pinhole(placed, known["viewmats"].to(placed), known["Ks"].to(placed))
    aside = (pixels - known["pixels"]) * known["metres_per_pixel"][:, None, None]
    seen = torch.where(depth > 0.05, known["pixel_weights"], 0.0)
    return shape + _robust((aside**2).sum(-1), seen, known["pixel_limits"][:, None])


def _robust(squares: Tensor, weights: Tensor, scale: Tensor) -> Tensor:
    """Geman and McClure's error, summed over the markers of a frame; quadratic far below the scale."""
    return (weights * squares / (1 + squares / scale**2)).sum(1)


def _hinge_term(local: Tensor, known: dict[str, Tensor]) -> Tensor:
    """Energy of hinges that leave their plane or bend backwards, and of knees that twist."""
    hinges, axes = known["hinges"], known["hinge_axes"].to(local)
    turned = torch.einsum("fhij,hj->fhi", local.index_select(1, hinges), known["hinge_bones"].to(local))
    aside = (turned * axes).sum(-1)
    # 0.05: most people's hinges extend a few degrees beyond straight.
    backward = torch.relu(-0.05 - (turned * known["hinge_bends"].to(local)).sum(-1))
    twist = torch.einsum("fhij,hj->fhi", local.index_select(1, hinges[:2]), axes[:2]) - axes[:2]
    return (aside**2 + 4 * backward**2).sum() + (twist**2).sum()
