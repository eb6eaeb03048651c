"""Exact ground truth of synthetic clips: where each person and each part is, and which joints can be seen.

For training or measuring pose and segmentation. Nothing is detected: all of it is rendered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int16
from torch import Tensor

from synthaug.body.skeleton import JOINT_NAMES, PARENTS
from synthaug.structures import Camera, Rendering

JOINTS = len(PARENTS)
_SIDES = {"left": "right", "right": "left"}
_MIRRORED = [JOINT_NAMES.index("_".join(_SIDES.get(part, part) for part in name.split("_"))) for name in JOINT_NAMES]
"""The joint on the other side of the body."""
COVERED = 128
"""Alpha from which a pixel counts as the person's."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Masks, parts and joints of a rendered clip.

    Attributes:
        mask: Pixels that people cover by half or more; things that they hold or sit on are not among them.
        labels: Which part of which person is seen, as in `Rendering.labels`: 1 + joint + 55 x person; 0 off the mask.
        joints_3d: Camera frame (x right, y down, z forward), metres.
        joints_2d: Pixels; meaningless where the joint is behind the camera.
        visible: Whether the joint lies in the picture, and what is seen there is its own part or one that it links.
        camera: The camera of this picture; of a mirrored picture, the mirror image of the camera that it was made with.
    """

    mask: Bool[Tensor, "time 1 height width"]
    labels: Int16[Tensor, "time 1 height width"]
    joints_3d: Float[Tensor, "person time 55 3"]
    joints_2d: Float[Tensor, "person time 55 2"]
    visible: Bool[Tensor, "person time 55"]
    camera: Camera

    @property
    def joints_world(self) -> Float[Tensor, "person time 55 3"]:
        """The joints in the world of `camera` (y up, floor at 0), metres; a mirrored picture has a mirrored world."""
        R, t = self.camera.viewmats[:, :3, :3], self.camera.viewmats[:, :3, 3]
        return torch.einsum("tij,ptki->ptkj", R, self.joints_3d.to(R) - t[:, None])


def ground_truth(rendering: Rendering, joints: Sequence[Float[Tensor, "time 55 3"]], camera: Camera) -> GroundTruth:
    """The ground truth of people rendered with labels.

    Args:
        rendering: The people, with labels; where the scene hides people, after `synthaug.compositing.layers.occlude`.
        joints: World positions of each person's joints, in the order in which they were rendered.
        camera: The camera that they were rendered with.

    Raises:
        ValueError: If the rendering has no labels, or frame counts differ.
    """
    if rendering.labels is None:
        raise ValueError(
            "Expected a rendering with labels, to tell what is seen, got one without. Render with labels=True."
        )
    times = len(camera.viewmats)
    if any(len(one) != times for one in joints) or len(rendering.alpha) != times:
        raise ValueError(
            f"Expected {times} frames, as the camera has, got a rendering of {len(rendering.alpha)} and joints of "
            f"{[len(one) for one in joints]}. Give what was rendered together."
        )
    # Things are rendered behind the people in the list, so that their labels are higher.
    mask = (rendering.alpha >= COVERED) & (rendering.labels <= JOINTS * len(joints))
    labels = torch.where(mask, rendering.labels, torch.zeros_like(rendering.labels))
    world = torch.stack(list(joints)) if joints else camera.viewmats.new_zeros(0, times, JOINTS, 3)
    R, t = camera.viewmats[:, :3, :3], camera.viewmats[:, :3, 3]
    local = torch.einsum("tij,ptkj->ptki", R, world.to(R)) + t[:, None]
    depth = local[..., 2:].clamp(min=1e-6)
    pixels = torch.einsum("tij,ptkj->ptki", camera.Ks[:, :2, :2], local[..., :2] / depth) + camera.Ks[:, None, :2, 2]
    return GroundTruth(mask, labels, local, pixels, _find_visible(labels[:, 0], local, pixels), camera)


def mirror_truth(truth: GroundTruth) -> GroundTruth:
    """The ground truth of the mirrored picture: what was left is right, in the picture and on the body."""
    width = truth.mask.shape[-1]
    joints = truth.joints_3d[:, :, _MIRRORED] * truth.joints_3d.new_tensor([-1.0, 1.0, 1.0])
    pixels = truth.joints_2d[:, :, _MIRRORED] * truth.joints_2d.new_tensor([-1.0, 1.0])
    pixels[..., 0] += width
    part, person = (truth.labels - 1) % JOINTS, (truth.labels - 1) // JOINTS
    named = 1 + torch.tensor(_MIRRORED)[part.long()] + JOINTS * person
    labels = torch.where(truth.labels > 0, named, torch.zeros_like(named)).to(truth.labels.dtype)
    visible = truth.visible[:, :, _MIRRORED]
    return GroundTruth(truth.mask.flip(-1), labels.flip(-1), joints, pixels, visible, _mirror_camera(truth.camera))


def _mirror_camera(camera: Camera) -> Camera:
    """The camera that sees the mirrored world as this one sees the world, mirrored: x changes sign in both."""
    M = torch.diag(camera.viewmats.new_tensor([-1.0, 1.0, 1.0, 1.0]))
    Ks = camera.Ks.clone()
    Ks[:, 0, 2] = camera.width - Ks[:, 0, 2]
    return replace(camera, viewmats=M @ camera.viewmats @ M, Ks=Ks)


def _find_visible(
    labels: Int16[Tensor, "time height width"],
    local: Float[Tensor, "person time 55 3"],
    pixels: Float[Tensor, "person time 55 2"],
) -> Bool[Tensor, "person time 55"]:
    people, times = pixels.shape[:2]
    height, width = labels.shape[1:]
    column, row = pixels.floor().long().unbind(-1)
    inside = (local[..., 2] > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    frame = torch.arange(times)[:, None].expand(times, JOINTS)
    seen = labels[frame, row.clamp(0, height - 1), column.clamp(0, width - 1)].long() - 1
    own = seen - JOINTS * torch.arange(people)[:, None, None]
    theirs = (own >= 0) & (own < JOINTS)
    linked = _LINKED[torch.arange(JOINTS).expand_as(own), own.clamp(0, JOINTS - 1)]
    return inside & theirs & linked


def _link_parts() -> Bool[Tensor, "55 55"]:
    """Which parts meet at each joint: its own, its parent's and its children's."""
    linked = torch.eye(JOINTS, dtype=torch.bool)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            linked[joint, parent] = linked[parent, joint] = True
    return linked


_LINKED = _link_parts()
