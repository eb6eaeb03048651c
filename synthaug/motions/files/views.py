"""Make a plain camera for motions that come without film."""

import math

import torch

from synthaug.structures import Camera, Motion

CHEST_HEIGHT = 1.1
"""Height of the frontal camera, metres: lower than a face, so that feet and raised hands are both seen."""


def frontal_camera(
    frames: int,
    *,
    height: int = 224,
    width: int = 224,
    distance: float = 3.0,
    fov_deg: float = 60.0,
    at: tuple[float, float] = (0.0, 0.0),
) -> Camera:
    """A level camera at the height of the chest, in front of a place on the floor (towards +z) and looking at it.

    Args:
        frames: Number of frames, all with the same view.
        height: Pixels.
        width: Pixels.
        distance: Metres from the place.
        fov_deg: Angle of view across the shorter side.
        at: The place: x and z, metres.
    """
    focal = min(height, width) / 2 / math.tan(math.radians(fov_deg) / 2)
    x, z = at
    # It looks along -z with y down: half a turn about x.
    view = torch.tensor([[1.0, 0, 0, -x], [0, -1, 0, CHEST_HEIGHT], [0, 0, -1, distance + z], [0, 0, 0, 1]])
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Camera(viewmats=view.repeat(frames, 1, 1), Ks=K.repeat(frames, 1, 1), width=width, height=height)


def overlooking_camera(motion: Motion, *, height: int = 224, width: int = 224) -> Camera:
    """A frontal camera before the middle of a motion's path, far enough back to see the whole path."""
    floor = motion.transl[:, [0, 2]]
    low, high = floor.amin(dim=0), floor.amax(dim=0)
    middle, extent = (low + high) / 2, high - low
    # 60 degrees see 1.15 m across at each metre of distance; 0.9 m back for each metre of path leaves a margin.
    distance = 3.0 + max(0.9 * float(extent[0]), 0.0) + 0.5 * float(extent[1])
    return frontal_camera(
        motion.num_frames, height=height, width=width, distance=distance, at=(float(middle[0]), float(middle[1]))
    )
