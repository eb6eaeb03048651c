"""The naked bodies of procedural people in motion: what things in hands and seats are measured against.

The body is the mesh, skinned as the avatars' surface is, and no joint: placing things knows joints alone.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from synthaug.avatars.procedural.figure import Figure, betas_of, figure, template
from synthaug.body.skeleton import JOINT, Skeleton, forward_kinematics, rest_to_world, skin
from synthaug.structures import Motion

STATURES = (1.5, 1.65, 1.8, 1.95)
"""Metres: nearly all adults."""
_MEAN = {
    "gender": 0.5, "age": 0.82, "muscle": 0.5, "weight": 0.5, "height": 0.4, "proportions": 0.5, "cupsize": 0.5,
    "firmness": 0.5, "african": 1 / 3, "asian": 1 / 3,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Body:
    """One body: its mesh in the T-pose and its skeleton."""

    figure: Figure
    skeleton: Skeleton

    def pose(self, motion: Motion, vertices: NDArray[np.integer]) -> Tensor:
        """World positions of these vertices, [time, vertex, 3]."""
        body = template()
        return skin(
            torch.from_numpy(self.figure.vertices[vertices]).double(),
            torch.from_numpy(body.weight_ids[vertices].astype(np.int64)),
            torch.from_numpy(body.weights[vertices]).double(),
            rest_to_world(motion, self.skeleton).double(),
        )

    def find_palm(self, motion: Motion, side: str) -> Tensor:
        """The skin in the middle of a palm, [time, 3]."""
        return self.pose(motion, _palm_vertices(side)).mean(dim=1)

    def find_pinch(self, motion: Motion, side: str) -> Tensor:
        """The middle between the tips of thumb and index, [time, 3]."""
        return self.pose(motion, _tip_vertices(side)).mean(dim=1)

    def find_seat(self, motion: Motion) -> Tensor:
        """Height of the lowest skin of hips and buttocks, [time]."""
        joints = forward_kinematics(motion, self.skeleton)[:, JOINT["pelvis"], :3, 3].double()
        points = self.pose(motion, _joint_vertices((0, 1, 2, 3)))
        near = (points - joints[:, None])[..., [0, 2]].norm(dim=-1) < 0.16
        return torch.where(near, points[..., 1], torch.inf).amin(dim=1)

    def find_depth(self, motion: Motion, points: Tensor) -> float:
        """How deep the deepest of points [time, point, 3] is inside the skin of the head, metres; 0 if none is."""
        vertices = _head_vertices()
        T = forward_kinematics(motion, self.skeleton)[:, JOINT["head"]].double()
        rest = self.figure.vertices[vertices] - self.skeleton.joints[JOINT["head"]].numpy()
        local = torch.einsum("tji,tpj->tpi", T[:, :3, :3], points - T[:, None, :3, 3]).reshape(-1, 3).numpy()
        near = local[np.linalg.norm(local - [0, 0.06, 0.01], axis=1) < 0.25]
        if not len(near):
            return 0.0
        _, found = cKDTree(rest).query(near)
        away = near - rest[found]
        inward = -np.einsum("pi,pi->p", away, self.figure.normals[vertices][found])
        # The way to the nearest skin is along its normal, except for points beyond the cut through the neck.
        inside = inward > 0.7 * np.linalg.norm(away, axis=1)
        return float(np.where(inside, inward, 0.0).max())


@functools.cache
def make_body(stature: float) -> Body:
    """The mean body with this height, metres: found by bisection, since proportions change with height."""
    low, high = 0.0, 1.0
    made = None
    for _ in range(18):
        height = (low + high) / 2
        betas = np.concatenate([betas_of({**_MEAN, "height": height}), np.zeros(14, np.float32)])
        made = figure(betas.astype(np.float32))
        low, high = (height, high) if float(np.ptp(made.vertices[:, 1])) < stature else (low, height)
    assert made is not None
    return Body(made, Skeleton(torch.from_numpy(made.joints)))


def _strongest() -> NDArray[np.integer]:
    body = template()
    return np.take_along_axis(body.weight_ids, body.weights.argmax(axis=1)[:, None], axis=1)[:, 0]


@functools.cache
def _joint_vertices(joints: tuple[int, ...]) -> NDArray[np.integer]:
    return np.flatnonzero(np.isin(_strongest(), joints))


@functools.cache
def _head_vertices() -> NDArray[np.integer]:
    """Vertices of the head's outer skin: without eyes and the inside of the mouth."""
    body = template()
    outer = np.unique(body.faces[body.parts == body.part_names.index("head")])
    return np.intersect1d(outer, _joint_vertices((JOINT["head"], JOINT["jaw"])))


@functools.cache
def _palm_vertices(side: str) -> NDArray[np.integer]:
    """Vertices of the lower side of the hand in the T-pose, about the middle between wrist and knuckles."""
    body = template()
    ends = [body.joints[JOINT[f"{side}_{name}"]] for name in ("index1", "middle1", "pinky1")]
    wrist = body.joints[JOINT[f"{side}_wrist"]]
    middle = wrist + 0.75 * (np.mean(ends, axis=0) - wrist)
    hand = _joint_vertices((JOINT[f"{side}_wrist"],))
    below = hand[body.vertices[hand, 1] < middle[1]]
    away = np.linalg.norm(body.vertices[below][:, [0, 2]] - middle[[0, 2]], axis=1)
    return below[np.argsort(away)[:12]]


@functools.cache
def _tip_vertices(side: str) -> NDArray[np.integer]:
    """The six outermost vertices of thumb and index each."""
    found = []
    for finger in ("thumb", "index"):
        own = _joint_vertices((JOINT[f"{side}_{finger}3"],))
        last, before = (template().joints[JOINT[f"{side}_{finger}{k}"]] for k in (3, 2))
        along = (template().vertices[own] - last) @ (last - before)
        found.append(own[np.argsort(-along)[:6]])
    return np.concatenate(found)
