"""The person before film is seen: Gaussians on a dressed body, which shape, clothes and offsets move."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from synthaug.avatars.importers.fitting.attire import MODES, load_attire
from synthaug.avatars.procedural.figure import hang_arms, neighbours, normals_of, points, template
from synthaug.avatars.procedural.patches import frames_of, spacing_of
from synthaug.body.rotations import matrix_to_quat
from synthaug.body.skeleton import Skeleton

BETAS = 18
"""Shape coefficients of the body; those of the face stay at their mean."""
NEIGHBOURS = 4
"""Neighbours along the surface with which each Gaussian is compared."""
WIDTH = 0.6
"""Standard deviation of a disc along the surface, as a share of the spacing: neighbours overlap without a gap."""
THICKNESS = 0.3
"""Standard deviation along the normal, as a share of that along the surface."""


@dataclass(frozen=True, eq=False)
class Build:
    """How one person's body and clothes differ from the mean.

    Attributes:
        betas: Shape coefficients, standard deviations.
        cloth: Amplitudes of the modes in which clothes and hair vary, standard deviations.
    """

    betas: Float[Tensor, " beta"]
    cloth: Float[Tensor, " mode"]

    @staticmethod
    def mean() -> "Build":
        """Of the mean person."""
        return Build(torch.zeros(BETAS), torch.zeros(MODES))


@dataclass(frozen=True, eq=False)
class Surface:
    """Points spread evenly over the dressed mean body in the T-pose, and how they follow a `Build`.

    Attributes:
        rest: On the mean body's skin, metres, pelvis at the origin.
        dirs: Displacement for each shape coefficient.
        worn: Mean distance of clothes, shoes and hair from the skin, metres.
        modes: Its change for each mode.
        axes: Rows are two tangents and the outward normal.
        spacing: Mean distance to the nearest points with the arms hanging, metres.
        joints: Joints of the mean body.
        joint_dirs: Their displacement for each shape coefficient.
        joint_ids: Joints that move each point.
        weights: Their skinning weights.
        twins: The nearest point of the mirror image.
    """

    rest: Float[Tensor, "point 3"]
    dirs: Float[Tensor, "point 3 beta"]
    worn: Float[Tensor, " point"]
    modes: Float[Tensor, "point mode"]
    axes: Float[Tensor, "point 3 3"]
    spacing: Float[Tensor, " point"]
    joints: Float[Tensor, "55 3"]
    joint_dirs: Float[Tensor, "55 3 beta"]
    joint_ids: Int[Tensor, "point k"]
    weights: Float[Tensor, "point k"]
    twins: Int[Tensor, " point"]

    def __len__(self) -> int:
        return len(self.rest)

    def skeleton(self, build: Build) -> Skeleton:
        """Joints of a build, pelvis at the origin; differentiable."""
        joints = self.joints + self.joint_dirs @ build.betas
        return Skeleton(joints - joints[:1])

    def places(self, build: Build, offsets: Float[Tensor, "point 3"]) -> Float[Tensor, "point 3"]:
        """Positions in the T-pose; differentiable.

        Args:
            build: Body and clothes.
            offsets: Of each point along its two tangents and its normal, metres.
        """
        origin = (self.joints[0] + self.joint_dirs[0] @ build.betas)[None]
        skin = self.rest + self.dirs @ build.betas - origin
        off = self.worn + self.modes @ build.cloth
        along = torch.cat([offsets[:, :2], (offsets[:, 2] + off)[:, None]], dim=1)
        return skin + torch.einsum("pk,pki->pi", along, self.axes)

    @cached_property
    def quats(self) -> Float[Tensor, "point 4"]:
        """Rotations whose axes are the tangents and the normal."""
        return torch.nn.functional.normalize(matrix_to_quat(self.axes.mT), dim=-1)

    @cached_property
    def around(self) -> Int[Tensor, "point neighbour"]:
        """Nearest points in the T-pose, in which no part touches another."""
        places = self.rest + self.worn[:, None] * self.axes[:, 2]
        return torch.from_numpy(neighbours(places.numpy(), places.numpy(), NEIGHBOURS + 1)[1][:, 1:])


def build_surface(count: int) -> Surface:
    """The first `count` points of the body's surface, in progressive order: every count covers it evenly.

    Raises:
        ValueError: If there are not as many points.
    """
    everywhere = points()
    if not 500 <= count <= len(everywhere.part):
        raise ValueError(
            f"Expected 500 to {len(everywhere.part)} Gaussians, got {count}. Give 16000: more are finer than a person "
            "of 224 pixels shows."
        )
    body, chosen, attire = template(), everywhere.take(np.arange(count)), load_attire(count)
    normals = chosen.on(normals_of(body.vertices, body.faces))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    skin = (chosen.joint_ids, chosen.weights)
    hung, _, _ = hang_arms(chosen.canonical + attire.mean[:, None].astype(np.float32) * normals, body.joints, skin)
    mirrored = chosen.canonical * np.array([-1, 1, 1], np.float32)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32))

    return Surface(
        rest=tensor(chosen.canonical),
        dirs=tensor(chosen.on(body.shapedirs[:, :, :BETAS])),
        worn=tensor(attire.mean),
        modes=tensor(attire.modes),
        axes=tensor(frames_of(normals)),
        spacing=tensor(spacing_of(hung, np.zeros(count, np.int64))),
        joints=tensor(body.joints),
        joint_dirs=tensor(body.joint_dirs[:, :, :BETAS]),
        joint_ids=torch.from_numpy(chosen.joint_ids.astype(np.int64)),
        weights=tensor(chosen.weights),
        twins=torch.from_numpy(neighbours(chosen.canonical, mirrored, 1)[1].reshape(-1)),
    )
