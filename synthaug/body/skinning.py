"""Linear blend skinning of Gaussians, with light on them: one frame of a person as gsplat takes it."""

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.rotations import quat_to_matrix
from synthaug.structures import Gaussians, Light, PosedGaussians


def pose_frame(person: Gaussians, frame: int) -> PosedGaussians:
    """One frame of a person by linear blend skinning, in the world frame.

    Covariances go through the blended matrix A as A S A^T, shear included, so that a renderer that fuses skinning into
    projection and this function agree exactly. Colours are multiplied by `shade` of the posed normals where the person
    has both a light and normals.

    Args:
        person: Rest Gaussians, skinning and joint transforms.
        frame: Index into `person.T_world_rest`.
    """
    A = torch.einsum("gk,gkij->gij", person.weights, person.T_world_rest[frame][person.joint_ids.long()])
    means = torch.einsum("gij,gj->gi", A[:, :3, :3], person.means) + A[:, :3, 3]
    M = A[:, :3, :3] @ (quat_to_matrix(person.quats) * person.scales[:, None, :])
    colors = person.colors
    if person.light is not None and person.normals is not None:
        colors = colors * shade(person.light, (A[:, :3, :3] @ person.normals[:, :, None])[..., 0])
    return PosedGaussians(means=means, covars=M @ M.mT, opacities=person.opacities, colors=colors)


def shade(light: Light, normals: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Factors in [0, Light.BRIGHTEST] on display-referred colours of surfaces with these normals.

    Ambient light depends on how far a normal points up (hemisphere light), the distant light on a Lambert term that is
    wrapped around the terminator. Nothing casts shadows. Avatars' colours already contain the light of their own
    photographs, so these factors are gentle and relative to it.

    Args:
        light: The light.
        normals: World frame, of any length.

    Source:
        Green, "Real-Time Approximations to Subsurface Scattering", GPU Gems, 2004 (wrapped diffuse).
    """
    n = torch.nn.functional.normalize(normals, dim=-1)
    direction, key, sky, ground = (n.new_tensor(part) for part in (light.direction, light.key, light.sky, light.ground))
    direction = torch.nn.functional.normalize(direction, dim=-1, eps=1e-6)
    lambert = ((n @ direction + light.WRAP) / (1 + light.WRAP)).clamp(min=0)
    ambient = ground + (sky - ground) * (0.5 + 0.5 * n[..., 1:2])
    return (ambient + key * lambert[..., None]).clamp(0, light.BRIGHTEST)
