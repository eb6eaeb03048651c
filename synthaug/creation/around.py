"""Where in a cutout nothing of the person can be."""

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation

from synthaug.body.skeleton import joint_positions, mean_skeleton
from synthaug.creation import Cutouts
from synthaug.creation.cutting import MARGIN, project

_ROOM = 1.5
"""Margins about the body beyond which nothing of it is, hair and wide clothes included."""


def find_joints(cutouts: Cutouts) -> tuple[Float[np.ndarray, "frame 22 2"], Float[np.ndarray, "frame 22"]]:
    """Pixels of the body's joints in each cutout, and their depth in metres."""
    joints = joint_positions(cutouts.motion, mean_skeleton())[:, :22]
    pixels, depth = project(joints, cutouts.camera.viewmats, cutouts.camera.Ks)
    return pixels.double().numpy(), depth.double().numpy()


def mark_far(cutouts: Cutouts, frame: int, joints: Float[np.ndarray, "22 2"], depth: float) -> Bool[np.ndarray, "s s"]:
    """Pixels of the film's picture that nothing of the person reaches.

    Args:
        cutouts: The cutouts.
        frame: Which.
        joints: Pixels of the joints.
        depth: Metres from the camera to the pelvis.
    """
    reach = MARGIN * float(cutouts.camera.Ks[frame, 0, 0]) / max(depth, 0.1)
    body = np.zeros((cutouts.side, cutouts.side), np.uint8)
    corners = np.clip(joints, 0, cutouts.side - 1).round().astype(np.int32)
    cv2.fillConvexPoly(body, np.asarray(cv2.convexHull(corners), np.int32), [1])
    near = binary_dilation(body > 0, iterations=max(1, round(_ROOM * reach)))
    return np.asarray(~near & cutouts.inside[frame].numpy())
