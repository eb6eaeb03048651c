"""Tell from a motion whose floor is known how tall its performer was, and bring it onto the mean skeleton's legs."""

from dataclasses import replace

import torch

from synthaug.body.skeleton import joint_positions, lowest_heights, mean_skeleton
from synthaug.structures import Motion

_SIZES = (0.44, 1.3)
"""Sizes of performers against the mean adult: a child of one year, and somebody of 2.2 m."""
_UNITS = (1.0, 0.01, 0.001)
"""Metres, centimetres and millimetres."""
_AGREEMENT = 0.03
"""Share by which the frames in which somebody stands may differ from one size."""
_NO_CHANGE = 0.003
"""Sizes this close to 1 keep the motion: 3 mm at the soles."""


def resize_performer(motion: Motion) -> tuple[Motion, dict[str, float]]:
    """The motion with its path on the mean skeleton's scale, and notes.

    In every frame in which somebody touches the floor at 0, the height of the pelvis over the lowest point of the body
    in that pose is the performer's own, and its ratio to the mean skeleton's is the same for all poses. Where most
    frames agree on a human ratio, the path is divided by it about its start, so that soles are on the floor. Where they
    do not, because the floor is elsewhere or unknown, the motion stays and the size is 1.

    Args:
        motion: The performer's angles and pelvis, world frame, y up.

    Returns:
        The motion, and the notes `size` (of the performer against the mean adult) and `unit_m` (metres in a unit of the
        path: 1, or 0.01 or 0.001 where only these make the performer human).
    """
    low = lowest_heights(joint_positions(motion, mean_skeleton())) - motion.transl[:, 1]
    ratios = motion.transl[:, 1] / -low
    ratio = float(ratios.median())
    agree = float(((ratios / ratio - 1).abs() < _AGREEMENT).float().mean())
    unit = next((unit for unit in _UNITS if _SIZES[0] <= ratio * unit <= _SIZES[1]), None)
    if agree <= 0.5 or unit is None:
        return motion, {"size": 1.0, "unit_m": 1.0}
    notes = {"size": ratio * unit, "unit_m": unit}
    if abs(ratio - 1) < _NO_CHANGE:
        return motion, notes
    start = motion.transl[:1] * torch.tensor([unit, 0.0, unit])
    return replace(motion, transl=start + (motion.transl - start / unit) / ratio), notes
