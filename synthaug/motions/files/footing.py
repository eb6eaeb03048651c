"""Tell from a motion whose floor is known how tall its performer was, and bring it onto the mean skeleton's legs."""

from dataclasses import replace

import torch

from synthaug.body.skeleton import joint_positions, lowest_heights, mean_skeleton
from synthaug.structures import Motion

_SIZES = (0.44, 1.3)
"""Sizes of performers against the mean adult: a child of one year, and somebody of 2.2 m."""
_AGREEMENT = 0.03
"""Share by which the frames in which somebody stands may differ from one size."""
_NO_CHANGE = 0.003
"""Sizes this close to 1 keep the motion: 3 mm at the soles."""


def resize_performer(motion: Motion) -> tuple[Motion, float]:
    """The motion with its path on the mean skeleton's scale, and the performer's size against the mean adult.

    In every frame in which somebody touches the floor at 0, the height of the pelvis over the lowest point of the body
    in that pose is the performer's own, and its ratio to the mean skeleton's is the same for all poses. Where most
    frames agree on a human ratio, the path is divided by it about its start, so that soles are on the floor. Where they
    do not, because the floor is elsewhere or unknown, the motion stays and the size is 1.

    Args:
        motion: The performer's angles and pelvis, world frame, y up.
    """
    low = lowest_heights(joint_positions(motion, mean_skeleton())) - motion.transl[:, 1]
    ratio = motion.transl[:, 1] / -low
    size = float(ratio.median())
    agree = float(((ratio - size).abs() < _AGREEMENT).float().mean())
    if agree <= 0.5 or not _SIZES[0] <= size <= _SIZES[1] or abs(size - 1) < _NO_CHANGE:
        return motion, 1.0
    start = motion.transl[:1] * torch.tensor([1.0, 0.0, 1.0])
    return replace(motion, transl=start + (motion.transl - start) / size), size
