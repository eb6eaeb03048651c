"""Mirror motions, for left-handed performers and as an augmentation. Pure functions."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import JOINT, JOINT_NAMES
from synthaug.structures import Motion


def _counterpart(name: str) -> str:
    """The joint on the other side; the joint itself where it has no side."""
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name


COUNTERPARTS: tuple[int, ...] = tuple(JOINT[_counterpart(name)] for name in JOINT_NAMES)
"""Index of each joint's counterpart on the other side of the body."""


def mirror(motion: Motion) -> Motion:
    """Mirror a motion in the plane x = 0: sides are swapped and the path is reflected.

    Expression and betas stay as they are, since their coefficients have no known mirror image.
    """
    # Under x -> -x a rotation vector, which is axial, keeps its x and changes the sign of y and z.
    pose = motion.pose[:, list(COUNTERPARTS)] * motion.transl.new_tensor([1.0, -1.0, -1.0])
    transl = motion.transl * motion.transl.new_tensor([-1.0, 1.0, 1.0])
    image = Motion.from_pose(pose, transl, fps=motion.fps)
    return replace(image, expression=motion.expression, betas=motion.betas)


def mirror_in_place(motion: Motion, path: Float[Tensor, "time 3"]) -> Motion:
    """Mirror a motion in the plane x = const through the middle of a path, so that it stays at its place.

    Args:
        motion: Frames of a performance.
        path: Path of the pelvis in the whole performance, metres.
    """
    image = mirror(motion)
    shift = torch.zeros_like(image.transl[0])
    shift[0] = path[:, 0].amin() + path[:, 0].amax()
    return replace(image, transl=image.transl + shift)


def mirror_joints(joints: Float[Tensor, "*batch 55 3"]) -> Float[Tensor, "*batch 55 3"]:
    """Mirror joint positions in the plane x = 0."""
    return joints[..., list(COUNTERPARTS), :] * joints.new_tensor([-1.0, 1.0, 1.0])
