"""A skeleton with a canonical pose, which moves Gaussians from the pose in which they are stored into another."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import JOINT, Skeleton, forward_kinematics, rest_to_world
from synthaug.structures import Motion

_HANDS = slice(25, 55)


@dataclass(frozen=True, eq=False)
class AvatarRig:
    """The joints of a person, and the pose in which the Gaussians are stored.

    Attributes:
        joints: Rest positions in the T-pose with flat hands, metres, pelvis at the origin, facing +z.
        canonical_pose: Axis-angles of the stored Gaussians relative to that T-pose.
        hands: "composed": fingers rotate as in SMPL-X, from the flat hand. "exavatar": the angles minus those of the
            canonical hand rotate about the canonical hand's joints, as in ExAvatar's animation. Both agree if the hand
            is as in the canonical pose.
    """

    joints: Float[Tensor, "55 3"]
    canonical_pose: Float[Tensor, "55 3"]
    hands: str = "composed"

    @property
    def skeleton(self) -> Skeleton:
        """The person's proportions."""
        return Skeleton(self.joints)

    @cached_property
    def joints_canonical(self) -> Float[Tensor, "55 3"]:
        """Positions of the joints in the canonical pose, metres, pelvis at the origin."""
        return forward_kinematics(_one_frame(self.canonical_pose), self.skeleton)[0, :, :3, 3].contiguous()

    def transforms(self, motion: Motion) -> Float[Tensor, "time 55 4 4"]:
        """Transforms from canonical to world, for each frame and joint."""
        if self.hands == "exavatar":
            curl = torch.zeros_like(self.canonical_pose)
            curl[_HANDS] = self.canonical_pose[_HANDS]
            motion = replace(
                motion,
                left_hand_pose=motion.left_hand_pose - curl[25:40].to(motion.transl),
                right_hand_pose=motion.right_hand_pose - curl[40:55].to(motion.transl),
            )
            curled = AvatarRig(self.joints, curl).joints_canonical
            return AvatarRig(curled, self.canonical_pose - curl).transforms(motion)
        T = rest_to_world(motion, self.skeleton).float()
        if not bool(self.canonical_pose.any()):
            return T  # exactly as for a person in the T-pose that was never stored in a pack
        return T @ _invert(rest_to_world(_one_frame(self.canonical_pose.double()), self.skeleton)).to(T)


def _one_frame(pose: Float[Tensor, "55 3"]) -> Motion:
    """One frame in this pose at the origin."""
    return Motion.from_pose(pose[None], pose.new_zeros(1, 3), fps=1.0)


def _invert(T: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Inverses of rigid transforms."""
    R = T[..., :3, :3].mT
    inverse = T.clone()
    inverse[..., :3, :3] = R
    inverse[..., :3, 3] = -torch.einsum("...ij,...j->...i", R, T[..., :3, 3])
    return inverse


def rehearsal(count: int = 24) -> Motion:
    """Poses to which levels of detail are fitted: standing, arms from down to raised, all joints of the body bent."""
    generator = torch.Generator().manual_seed(0)
    pose = torch.zeros(count, 55, 3)
    pose[:, 1:22] = 0.3 * torch.randn(count, 21, 3, generator=generator)
    lowered = 1.3 - 1.8 * torch.rand(count, 2, generator=generator)
    pose[:, JOINT["left_shoulder"], 2] -= lowered[:, 0]
    pose[:, JOINT["right_shoulder"], 2] += lowered[:, 1]
    return Motion.from_pose(pose, torch.zeros(count, 3), fps=1.0)
