"""Where people are in a picture, roughly, from their joints: capsules along the body. Pure functions."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from synthaug.body.skeleton import JOINT, PARENTS
from synthaug.structures import Camera

BONES = (*range(1, 22), *(JOINT[f"{side}_middle{number}"] for side in ("left", "right") for number in (1, 2, 3)))
"""Joints at the ends of the capsules: the body's and the middle fingers'."""
RADIUS = 0.07
"""Metres around an adult's limbs in clothes."""
_TRUNK = {"pelvis": 0.15, "spine1": 0.15, "spine2": 0.15, "spine3": 0.15, "neck": 0.1, "head": 0.12}
"""Metres around the trunk and the head."""
_NEAREST = 0.1
"""Metres before the camera within which nothing is shown."""
_SHIFT = 4
"""Binary digits after the point in OpenCV's coordinates."""


def mask_people(people: Sequence[Float[Tensor, "time 55 3"]], camera: Camera) -> Bool[np.ndarray, "time height width"]:
    """Where the people with these joints are seen, about a hand's width around their bones.

    Args:
        people: World positions of the joints of each person, metres.
        camera: The view, as many frames as the joints have.

    Returns:
        True near a person. All false without people.
    """
    frames = len(people[0]) if people else len(camera.viewmats)
    mask = np.zeros((frames, camera.height, camera.width), np.uint8)
    for joints in people:
        body = joints.to(camera.viewmats)
        seen = torch.einsum("tij,tkj->tki", camera.viewmats[:, :3, :3], body) + camera.viewmats[:, None, :3, 3]
        depth = seen[..., 2]
        pixels = torch.einsum("tij,tkj->tki", camera.Ks, seen / depth.clamp(min=_NEAREST)[..., None])[..., :2]
        scales = camera.Ks[:, :1, 0] / depth.clamp(min=_NEAREST)
        for t in range(frames):
            _paint(mask[t], pixels[t].double().numpy(), scales[t].double().numpy(), (depth[t] > _NEAREST).numpy())
    return mask.astype(np.bool_)


def _paint(
    mask: UInt8[np.ndarray, "height width"],
    pixels: Float[np.ndarray, "55 2"],
    scales: Float[np.ndarray, " 55"],
    shown: Bool[np.ndarray, " 55"],
) -> None:
    """One person of one frame."""
    # Far outside the picture whole numbers would overflow in OpenCV.
    far = 8 * max(mask.shape)
    points = np.clip(np.nan_to_num(pixels), -far, far)
    for joint in BONES:
        parent = PARENTS[joint]
        if not (shown[joint] and shown[parent]):
            continue
        radius = _RADII[joint] * float(scales[joint])
        ends = [tuple(int(x * 2**_SHIFT) for x in points[end]) for end in (joint, parent)]
        cv2.line(mask, ends[0], ends[1], (1,), thickness=max(1, min(round(2 * radius), 255)), shift=_SHIFT)
    head = JOINT["head"]
    if shown[head]:
        centre = tuple(int(x * 2**_SHIFT) for x in points[head])
        reach = min(float(scales[head]) * _TRUNK["head"], float(far))
        cv2.circle(mask, centre, int(reach * 2**_SHIFT), (1,), thickness=-1, shift=_SHIFT)


_RADII = np.full(len(PARENTS), RADIUS)
for _name, _radius in _TRUNK.items():
    _RADII[JOINT[_name]] = _radius
