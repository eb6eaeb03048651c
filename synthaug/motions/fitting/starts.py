"""Solve joint rotations from marker positions in closed form, as the start of a fit.

A fit that starts from the rest pose ends in wrong minima.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from synthaug.body.skeleton import JOINT, PARENTS, Skeleton
from synthaug.motions.fitting.markers import NUM_BODY, Markers

PELVIS = tuple(JOINT[name] for name in ("pelvis", "left_hip", "right_hip", "spine1"))
CHEST = tuple(
    JOINT[name] for name in ("spine3", "neck", "left_collar", "right_collar", "left_shoulder", "right_shoulder")
)
HEAD = (JOINT["head"],)

HINGES: dict[str, tuple[float, float, float]] = {
    "left_knee": (1.0, 0.0, 0.0),
    "right_knee": (1.0, 0.0, 0.0),
    "left_elbow": (0.0, -1.0, 0.0),
    "right_elbow": (0.0, 1.0, 0.0),
}
"""Axis about which each hinge bends (positive angles flex), in the T-pose: heels to the back, hands to the front."""

LIMBS: tuple[tuple[str, str, str], ...] = tuple(
    (f"{side}_{upper}", f"{side}_{hinge}", f"{side}_{end}")
    for side in ("left", "right")
    for upper, hinge, end in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))
)

_AID = 0.1
"""Weight of the other end of the trunk when one end is turned; decides only what its own points leave open."""


def analytic_start(
    points: Float[Tensor, "time marker 3"], seen: Float[Tensor, "time marker"], markers: Markers, skeleton: Skeleton
) -> tuple[Float[Tensor, "time 22 3 3"], Float[Tensor, "time 3"]]:
    """Rotation of every body joint against its parent, and the position of the pelvis.

    Pelvis and chest by Kabsch, the spine shares their difference, limbs by swing and then twist from the plane of
    elbow or knee, head, hands and feet by Kabsch on what is fixed to them.

    Args:
        points: Smoothed, without gaps.
        seen: Confidence after smoothing; with 0 a part of the body stays at rest.
        markers: Positions of the points on the body.
        skeleton: The body's skeleton.
    """
    rest = markers.rest(skeleton).to(points)
    main = torch.where(markers.offsets.abs().amax(1) > 0, markers.frames, markers.weights.argmax(1))
    eye = torch.eye(3, dtype=points.dtype).expand(len(points), 3, 3)
    trunk = _is_among(main, PELVIS + CHEST) + _AID**2 * _is_among(main, HEAD)
    whole = kabsch(rest, points, seen * trunk, eye)
    world: dict[int, Tensor] = {}
    world[0] = kabsch(rest, points, seen * (_is_among(main, PELVIS) + _AID * _is_among(main, CHEST)), whole)
    chest = kabsch(rest, points, seen * (_is_among(main, CHEST) + _AID * _is_among(main, PELVIS)), whole)
    third = _power(world[0].mT @ chest, 1 / 3)
    for name in ("spine1", "spine2", "spine3"):
        world[JOINT[name]] = world[PARENTS[JOINT[name]]] @ third
    weight = seen * (_is_among(main, HEAD) + _AID * _is_among(main, CHEST))
    head = kabsch(rest, points, weight, chest)
    world[JOINT["neck"]] = chest @ _power(chest.mT @ head, 0.5)
    world[JOINT["head"]] = head
    for side in ("left", "right"):
        world[JOINT[f"{side}_collar"]] = chest
    direct = markers.direct
    for limb in LIMBS:
        _turn_limb(world, limb, points, seen, direct, skeleton)
    for limb in LIMBS:
        _turn_tip(world, JOINT[limb[2]], points, seen, markers, skeleton)
    R = torch.stack([world[j] for j in range(NUM_BODY)], dim=1)
    local = torch.stack([R[:, 0], *(R[:, PARENTS[j]].mT @ R[:, j] for j in range(1, NUM_BODY))], dim=1)
    return local, _place_root(R, points, seen, markers, skeleton)


def find_plausible(
    points: Float[Tensor, "time marker 3"], markers: Markers, skeleton: Skeleton
) -> Bool[Tensor, "time marker"]:
    """True where a point is plausible; False where a limb's joint is too far from its neighbours to belong to the body.

    A bone that differs from ours by more than a third (and 5 cm) is beyond any performer's proportions. Descent cannot
    detect this, since it finds a minimum close to a wrong point.
    """
    good = torch.ones(points.shape[:2], dtype=torch.bool)
    direct, joints = markers.direct, skeleton.joints
    for limb in LIMBS:
        upper, hinge, end = (JOINT[name] for name in limb)
        if not {upper, hinge, end} <= direct.keys():
            continue
        bad = []
        for a, b in ((upper, hinge), (hinge, end)):
            length = (joints[a] - joints[b]).norm()
            apart = (points[:, direct[a]] - points[:, direct[b]]).norm(dim=-1)
            bad.append((apart - length).abs() > length / 3 + 0.05)
        good[:, direct[hinge]] &= ~bad[0]
        good[:, direct[end]] &= ~(bad[1] & ~bad[0])
    return good


def kabsch(
    rest: Float[Tensor, "marker 3"],
    points: Float[Tensor, "time marker 3"],
    weights: Float[Tensor, "time marker"],
    prior: Float[Tensor, "time 3 3"],
) -> Float[Tensor, "time 3 3"]:
    """The rotation that best maps the rest positions to the points about their centres; the prior without any point.

    Source:
        Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976. The prior counts as three
        unit axes of weight 1e-4 (1 cm each), so that two points determine the rotation.
    """
    share = weights / weights.sum(1, keepdim=True).clamp(min=1e-9)
    a = rest[None] - torch.einsum("tm,mi->ti", share, rest)[:, None]
    b = points - torch.einsum("tm,tmi->ti", share, points)[:, None]
    H = torch.einsum("tm,tmi,tmj->tij", weights, b, a) + 1e-4 * prior
    left, _, right = torch.linalg.svd(H)
    sign = torch.ones_like(H[..., 0])
    sign[:, 2] = torch.linalg.det(left @ right).sign()
    return (left * sign[:, None]) @ right


def rotation_onto(a: Float[Tensor, "time 3"], b: Float[Tensor, "time 3"]) -> Float[Tensor, "time 3 3"]:
    """The smallest rotation from unit vectors a to b; for opposite ones, half a turn about a normal."""
    cross = torch.linalg.cross(a, b)
    dot = (a * b).sum(-1)
    x, y, z = cross.unbind(-1)
    zero = torch.zeros_like(x)
    K = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    R = torch.eye(3, dtype=a.dtype) + K + K @ K / (1 + dot).clamp(min=1e-6)[:, None, None]
    # Within 0.1 degrees of opposite the formula above is singular: turn about a normal of a instead.
    least = torch.nn.functional.one_hot(a.abs().argmin(-1), 3).to(a)
    normal = torch.nn.functional.normalize(torch.linalg.cross(a, least), dim=-1)
    half = 2 * normal[:, :, None] * normal[:, None, :] - torch.eye(3, dtype=a.dtype)
    return torch.where((dot < -1 + 2e-6)[:, None, None], half, R)


def _is_among(main: Tensor, joints: tuple[int, ...]) -> Tensor:
    return torch.isin(main, torch.tensor(joints)).float()


def _power(R: Float[Tensor, "time 3 3"], share: float) -> Float[Tensor, "time 3 3"]:
    return axis_angle_to_matrix(matrix_to_axis_angle(R) * share)


def _turn_limb(
    world: dict[int, Tensor],
    limb: tuple[str, str, str],
    points: Tensor,
    seen: Tensor,
    direct: dict[int, int],
    skeleton: Skeleton,
) -> None:
    """Add the rotations of one limb's upper and lower bone to `world`."""
    upper, hinge, end = (JOINT[name] for name in limb)
    parent = world[PARENTS[upper]]
    if upper not in direct or hinge not in direct:
        world[upper], world[hinge] = parent, parent
        return
    joints = skeleton.joints.to(points)
    d0 = torch.nn.functional.normalize(joints[hinge] - joints[upper], dim=-1)
    sight = _is_sighted(seen, direct, upper, hinge)
    swung = rotation_onto(parent @ d0, _direction(points, direct, upper, hinge, parent @ d0, sight)) @ parent
    if end not in direct:
        world[upper], world[hinge] = swung, swung
        return
    e0 = torch.nn.functional.normalize(joints[end] - joints[hinge], dim=-1)
    d = swung @ d0
    e = _direction(points, direct, hinge, end, swung @ e0, _is_sighted(seen, direct, hinge, end))
    axis0 = torch.tensor(HINGES[limb[1]], dtype=points.dtype)
    # The normal's length is the sine of the bend, so a straight limb keeps the twist of its swing.
    swing_normal = swung @ axis0
    normal = torch.linalg.cross(d, e)
    against = ((normal * swing_normal).sum(-1) < 0) & (normal.norm(dim=-1) < 0.3)
    normal = torch.where(against[:, None], torch.zeros_like(normal), normal) + 0.1 * swing_normal
    normal = torch.nn.functional.normalize(normal - (normal * d).sum(-1, keepdim=True) * d, dim=-1)
    rest_normal = torch.nn.functional.normalize(axis0 - (axis0 * d0).sum() * d0, dim=-1)
    frame = torch.stack([d, normal, torch.linalg.cross(d, normal)], dim=-1)
    frame0 = torch.stack([d0, rest_normal, torch.linalg.cross(d0, rest_normal)], dim=-1)
    world[upper] = frame @ frame0.mT
    world[hinge] = rotation_onto(world[upper] @ e0, e) @ world[upper]


def _is_sighted(seen: Tensor, direct: dict[int, int], a: int, b: int) -> Tensor:
    return torch.minimum(seen[:, direct[a]], seen[:, direct[b]]) > 0


def _direction(points: Tensor, direct: dict[int, int], a: int, b: int, otherwise: Tensor, sight: Tensor) -> Tensor:
    """Direction from joint a to joint b where both are seen, else `otherwise`."""
    bone = points[:, direct[b]] - points[:, direct[a]]
    length = bone.norm(dim=-1, keepdim=True)
    return torch.where(sight[:, None] & (length > 1e-6), bone / length.clamp(min=1e-6), otherwise)


def _turn_tip(
    world: dict[int, Tensor], joint: int, points: Tensor, seen: Tensor, markers: Markers, skeleton: Skeleton
) -> None:
    """Add the rotation of a hand or foot, which turns with its limb if no point on it is seen."""
    parent = world[PARENTS[joint]]
    child = joint + 3 if joint in (JOINT["left_ankle"], JOINT["right_ankle"]) else joint
    own = (markers.weights[:, [joint, child]].sum(1) == 1) & torch.isin(markers.frames, torch.tensor([joint, child]))
    weights = seen * own.to(seen) * 0.1
    world[joint] = kabsch(markers.rest(skeleton).to(points), points, weights, parent)
    if child != joint:
        world[child] = world[joint]


def _place_root(R: Tensor, points: Tensor, seen: Tensor, markers: Markers, skeleton: Skeleton) -> Tensor:
    """Pelvis positions that centre the posed markers on the points; trunk markers count most."""
    joints = skeleton.joints.to(points)
    chain = [torch.zeros_like(points[:, 0])]
    for j in range(1, NUM_BODY):
        chain.append(chain[PARENTS[j]] + R[:, PARENTS[j]] @ (joints[j] - joints[PARENTS[j]]))
    placed = markers.place(R, torch.stack(chain, dim=1))
    weight = seen * (0.05 + _is_among(markers.weights.argmax(1), PELVIS + CHEST))
    total = weight.sum(1, keepdim=True)
    shift = (weight[..., None] * (points - placed)).sum(1) / total.clamp(min=1e-9)
    return shift
