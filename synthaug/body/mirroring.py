"""The mirror image of a motion.

For `motions.choreography`, where it makes left-handed people, and for synthesis. Pure.
"""

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
    """The motion seen in a mirror that stands in the plane x = 0: left hand for right, path reflected.

    Expression and betas stay as they are, since their coefficients have no known mirror image.
    """
    # Under x -> -x a rotation vector, being axial, keeps its x and turns round in y and z.
    pose = motion.pose[:, list(COUNTERPARTS)] * motion.transl.new_tensor([1.0, -1.0, -1.0])
    transl = motion.transl * motion.transl.new_tensor([-1.0, 1.0, 1.0])
    reflected = Motion.from_pose(pose, transl, fps=motion.fps)
    return replace(reflected, expression=motion.expression, betas=motion.betas)


def mirror_in_place(motion: Motion, path: Float[Tensor, "time 3"]) -> Motion:
    """The mirror image in the upright plane through the middle of a path along x: it stays where it was.

    Args:
        motion: Frames of a performance.
        path: Of the pelvis in the whole of it, metres.
    """
    image = mirror(motion)
    shift = torch.zeros_like(image.transl[0])
    shift[0] = path[:, 0].amin() + path[:, 0].amax()
    return replace(image, transl=image.transl + shift)


def mirror_joints(joints: Float[Tensor, "*batch 55 3"]) -> Float[Tensor, "*batch 55 3"]:
    """Joint positions seen in the same mirror."""
    return joints[..., list(COUNTERPARTS), :] * joints.new_tensor([-1.0, 1.0, 1.0])
