"""The mirror image of a motion.

Beside `actions`, where it makes left-handed people, and `variation`.
"""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from synthaug.body import JOINT, JOINT_NAMES
from synthaug.structures import Motion


def _twin(name: str) -> str:
    """The joint on the other side; the joint itself where it has no side."""
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name


TWIN: tuple[int, ...] = tuple(JOINT[_twin(name)] for name in JOINT_NAMES)
"""Index of each joint's counterpart on the other side of the body."""


def mirrored(motion: Motion) -> Motion:
    """The motion seen in a mirror that stands in the plane x = 0: left hand for right, path reflected.

    Expression and betas stay as they are, since their coefficients have no known mirror image.
    """
    # Under x -> -x a rotation vector, being axial, keeps its x and turns round in y and z.
    pose = motion.pose[:, list(TWIN)] * motion.transl.new_tensor([1.0, -1.0, -1.0])
    transl = motion.transl * motion.transl.new_tensor([-1.0, 1.0, 1.0])
    reflected = Motion.from_pose(pose, transl, fps=motion.fps)
    return replace(reflected, expression=motion.expression, betas=motion.betas)


def mirrored_joints(joints: Float[Tensor, "*batch 55 3"]) -> Float[Tensor, "*batch 55 3"]:
    """Joint positions seen in the same mirror."""
    return joints[..., list(TWIN), :] * joints.new_tensor([-1.0, 1.0, 1.0])
