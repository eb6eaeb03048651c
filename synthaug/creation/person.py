"""What is unknown about a filmed person, and the Gaussians that it makes of the canonical surface."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import rest_to_world
from synthaug.creation.surface import THICKNESS, WIDTH, Build, Surface
from synthaug.structures import Gaussians, Motion

_BODY = 22
"""Joints whose rotations are refined; fingers, jaw and eyes stay as they were found."""
_OPACITY = 0.95


@dataclass(eq=False)
class Unknowns:
    """What is learnt; changed in place by `Adam`.

    Attributes:
        betas: Shape.
        cloth: Clothes.
        offsets: Of each point along its tangents and normal, metres.
        log_scales: Logarithms of the discs' sizes along the two tangents, metres.
        colors: sRGB, 0..1.
        logits: Of opacities.
        turns: Rotation vectors that are added to each frame's joints.
        shifts: Metres that are added to each frame's position.
        gains: Brightness of each frame and channel, a factor minus 1.
    """

    betas: Float[Tensor, " beta"]
    cloth: Float[Tensor, " mode"]
    offsets: Float[Tensor, "point 3"]
    log_scales: Float[Tensor, "point 2"]
    colors: Float[Tensor, "point 3"]
    logits: Float[Tensor, " point"]
    turns: Float[Tensor, "frame 22 3"]
    shifts: Float[Tensor, "frame 3"]
    gains: Float[Tensor, "frame 3"]

    @staticmethod
    def start(surface: Surface, frames: int, *, build: Build | None = None) -> "Unknowns":
        """A grey person of this build (the mean one) in the poses that were found."""
        build, count = build or Build.mean(), len(surface)
        return Unknowns(
            betas=build.betas.clone(),
            cloth=build.cloth.clone(),
            offsets=torch.zeros(count, 3),
            log_scales=(WIDTH * surface.spacing).log()[:, None].repeat(1, 2),
            colors=torch.full((count, 3), 0.5),
            logits=torch.full((count,), math.log(_OPACITY / (1 - _OPACITY))),
            turns=torch.zeros(frames, _BODY, 3),
            shifts=torch.zeros(frames, 3),
            gains=torch.zeros(frames, 3),
        )

    @property
    def build(self) -> Build:
        """Body and clothes."""
        return Build(self.betas, self.cloth)

    def leaves(self) -> dict[str, Tensor]:
        """All tensors by name, as leaves of a new graph."""
        return {name: value.detach().requires_grad_() for name, value in vars(self).items()}


def pose_person(surface: Surface, unknowns: Unknowns, motion: Motion, frame: int) -> Gaussians:
    """The person in one frame of the film; differentiable in the unknowns."""
    row = slice(frame, frame + 1)
    pose = motion.pose[row]
    turned = torch.cat([pose[:, :_BODY] + unknowns.turns[row], pose[:, _BODY:]], dim=1)
    moved = Motion.from_pose(turned, motion.transl[row] + unknowns.shifts[row], fps=motion.fps)
    return dress_surface(surface, unknowns, moved)


def dress_surface(surface: Surface, unknowns: Unknowns, motion: Motion) -> Gaussians:
    """The person in a motion of their own proportions; differentiable in the unknowns."""
    skeleton = surface.skeleton(unknowns.build)
    wide = unknowns.log_scales.exp()
    thick = (THICKNESS * wide.detach().mean(1, keepdim=True)).clamp(min=5e-4)
    return Gaussians(
        means=surface.places(unknowns.build, unknowns.offsets),
        quats=surface.quats,
        scales=torch.cat([wide, thick], dim=1),
        opacities=torch.sigmoid(unknowns.logits),
        colors=unknowns.colors,
        joint_ids=surface.joint_ids,
        weights=surface.weights,
        T_world_rest=rest_to_world(motion, skeleton).float(),
        normals=surface.axes[:, 2],
    )
