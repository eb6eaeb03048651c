"""Linear blend skinning of Gaussians, light included: one frame of a person as gsplat takes it."""

import torch

from synthaug.body.rotations import quat_to_matrix
from synthaug.structures import Gaussians, PosedGaussians


def pose_frame(person: Gaussians, frame: int) -> PosedGaussians:
    """One frame of a person by linear blend skinning, in the world frame.

    Covariances go through the blended matrix A as A S A^T, shear included, so that a renderer that fuses skinning into
    projection and this function agree exactly. Colours are multiplied by `Light.shade` of the turned normals where the
    person has both a light and normals.

    Args:
        person: Rest Gaussians, skinning and joint transforms.
        frame: Index into `person.T_world_rest`.
    """
    A = torch.einsum("gk,gkij->gij", person.weights, person.T_world_rest[frame][person.joint_ids.long()])
    means = torch.einsum("gij,gj->gi", A[:, :3, :3], person.means) + A[:, :3, 3]
    M = A[:, :3, :3] @ (quat_to_matrix(person.quats) * person.scales[:, None, :])
    colors = person.colors
    if person.light is not None and person.normals is not None:
        colors = colors * person.light.shade((A[:, :3, :3] @ person.normals[:, :, None])[..., 0])
    return PosedGaussians(means=means, covars=M @ M.mT, opacities=person.opacities, colors=colors)
