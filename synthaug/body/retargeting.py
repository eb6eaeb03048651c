"""Re-enact a motion on another body with feet that neither slide nor sink. Pure functions.

`skeleton.retarget` transfers the angles; here the legs are corrected so that planted feet stay planted, by the compiled
loops in `footing`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.footing import LEGS, find_standing, plant_feet
from synthaug.body.skeleton import Skeleton
from synthaug.structures import Motion

_RELEASE_SECONDS = 0.2
"""Seconds in which a foot that left the ground returns to its own path: half a swing."""
_SETTLE_SECONDS = 0.2
"""Seconds in which a body that comes to rest on more than its feet settles."""


def find_contacts(joints: Float[Tensor, "time 55 3"], *, fps: float) -> Bool[Tensor, "time 2 2"]:
    """Find which soles stand on the floor at y = 0: for each frame and side, heel and ball.

    A point stands while it is low and slow, where the slower of the steps before and after counts. Use the source's own
    joints, since those of another body have been moved already.
    """
    feet = joints[:, torch.from_numpy(LEGS[:, 2:])].double().numpy()
    return torch.from_numpy(find_standing(feet, float(fps)))


@dataclass(frozen=True, eq=False)
class PathScaling:
    """How paths are scaled on the floor, so that people who meet still meet.

    Attributes:
        centre: Fixed point of the scaling, world frame; its height is ignored.
        size: Factor on distances from the centre.
    """

    centre: Float[Tensor, "3"]
    size: float


def reenact(motion: Motion, source: Skeleton, target: Skeleton, *, path_scaling: PathScaling | None = None) -> Motion:
    """Re-enact a motion on another skeleton, with feet that neither slide nor sink where the source's stood.

    Angles, path and clearance are first transferred as by `body.retarget`. Then each leg moves its foot by turning hip
    and knee while the foot keeps its orientation: a standing foot stays in one place, and a foot in the air returns to
    its own path within a fifth of a second. If a leg is too short, the pelvis sinks. If more than the feet touches the
    floor, as in sitting on it or lying, the whole body keeps the clearance of its lowest point. Arms and trunk keep
    their angles.

    Args:
        motion: On `source`, world frame with the floor at y = 0.
        source: The skeleton that the motion was made for.
        target: The skeleton that performs it.
        path_scaling: Scaling of the path; None scales it by leg length about its start.
    """
    size = target.leg / source.leg
    path, pose = motion.transl.detach().double().contiguous().numpy(), motion.pose.detach().contiguous()
    stride, fixed = size, path[0]
    if path_scaling is not None:
        stride, fixed = path_scaling.size, path_scaling.centre.detach().double().numpy()
    changed, moved = pose.clone(), torch.empty_like(motion.transl, memory_format=torch.contiguous_format)
    plant_feet(
        (pose.numpy(), path, fixed),
        (source.places, target.places),
        (size, stride, float(motion.fps)),
        _count_frames(motion.fps),
        (changed.numpy(), moved.detach().numpy()),
    )
    return Motion.from_pose(changed, moved, fps=motion.fps, expression=motion.expression, betas=motion.betas)


def _count_frames(fps: float) -> tuple[int, int, int]:
    """Frames of a foot's release, of a pelvis that sinks, and of a body that settles."""
    return max(1, round(_RELEASE_SECONDS * fps)), max(1, round(0.1 * fps)), max(1, round(_SETTLE_SECONDS * fps))
