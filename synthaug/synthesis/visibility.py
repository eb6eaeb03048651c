"""Which joints of the acting person a clip shows, known without rendering it. Pure functions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.skeleton import PARENTS
from synthaug.structures import Camera

BODY = 22
"""The first joints of a skeleton: pelvis, legs, trunk, head and arms, without face and fingers."""
DEPTH_OF_FLESH = 0.08
"""Metres from the surface of a body to its joints, as seen by a camera: mean over the body."""
_RADII = (0.15, 0.12, 0.12, 0.15, 0.09, 0.09, 0.15, 0.05, 0.05, 0.15, 0.04, 0.04, 0.08, 0.13, 0.13, 0.11, 0.09, 0.09,
          0.05, 0.05, 0.04, 0.04)  # fmt: skip
"""Metres from the bone that ends in each joint to the skin around it: who stands in front hides as much."""


@dataclass(frozen=True)
class Threshold:
    """What a clip must show of its acting person.

    Attributes:
        clip: Least share of the joints over all frames.
        half_second: Least share over any half second.
    """

    clip: float = 0.7
    half_second: float = 0.5

    def accepts(self, visible: Bool[Tensor, "time joint"], fps: float) -> bool:
        """Whether a clip with these visible joints shows enough, frame after frame."""
        shares = visible.float().mean(dim=1)
        return bool(shares.mean() >= self.clip) and bool(windows(shares, fps).min() >= self.half_second)


def windows(shares: Float[Tensor, " time"], fps: float) -> Float[Tensor, " window"]:
    """The mean of each half second, or of the whole of a shorter clip."""
    length = min(max(round(fps / 2), 1), len(shares))
    return shares.unfold(0, length, 1).mean(dim=1)


def find_visible(
    joints: Sequence[Float[Tensor, "time 55 3"]],
    camera: Camera,
    depth_at: Callable[[Float[Tensor, "pixel 2"]], Float[Tensor, " pixel"]] | None = None,
) -> Bool[Tensor, "time 22"]:
    """Which body joints of the first person lie in the picture, hidden neither by the scene nor by other people.

    What the person's own body hides counts as shown: no view of an action is without it.

    Args:
        joints: World positions, metres; the acting person first.
        camera: One view a frame.
        depth_at: Camera depth of the scene at pixels; None where nothing stands in front.
    """
    local, pixels = _project(joints[0][:, :BODY], camera)
    size = pixels.new_tensor([camera.width, camera.height])
    shown = (local[..., 2] > 0) & ((pixels >= 0) & (pixels < size)).all(dim=-1)
    if depth_at is not None and bool(shown.any()):
        hidden = depth_at(pixels[shown]) < local[..., 2][shown] - DEPTH_OF_FLESH
        shown[shown.clone()] = ~hidden
    for other in joints[1:]:
        shown &= ~_find_hidden(local, other, camera)
    return shown


def find_filmed(joints: Float[Tensor, "time 55 3"], camera: Camera, *, least: float = 0.1) -> Bool[Tensor, " 22"]:
    """Body joints that a film shows in at least this share of its frames: the rest can only be guessed."""
    views = torch.arange(len(joints)).clamp(max=len(camera.viewmats) - 1)
    own = Camera(camera.viewmats[views], camera.Ks[views], camera.width, camera.height)
    return find_visible([joints], own).float().mean(dim=0) >= least


def _project(
    joints: Float[Tensor, "time joint 3"], camera: Camera
) -> tuple[Float[Tensor, "time joint 3"], Float[Tensor, "time joint 2"]]:
    """Joints in the camera's frame, and their pixels."""
    viewmats, Ks = camera.viewmats.to(joints), camera.Ks.to(joints)
    local = joints @ viewmats[:, :3, :3].mT + viewmats[:, None, :3, 3]
    pixels = local @ Ks.mT
    return local, pixels[..., :2] / local[..., 2:].clamp(min=1e-6)


def _find_hidden(
    local: Float[Tensor, "time 22 3"], other: Float[Tensor, "time 55 3"], camera: Camera
) -> Bool[Tensor, "time 22"]:
    """Whether the line of sight to each joint meets somebody else's limb before: a capsule about each bone."""
    theirs, _ = _project(other[:, :BODY], camera)
    starts, ends = theirs[:, list(PARENTS[1:BODY])], theirs[:, 1:]
    radii = local.new_tensor(_RADII[1:])
    distance, share = _nearest_on_lines(local, starts, ends)
    before = share * local.norm(dim=-1)[..., None] < local.norm(dim=-1)[..., None] - DEPTH_OF_FLESH
    return ((distance < radii) & before & (share > 0)).any(dim=-1)


def _nearest_on_lines(
    targets: Float[Tensor, "time joint 3"], starts: Float[Tensor, "time bone 3"], ends: Float[Tensor, "time bone 3"]
) -> tuple[Float[Tensor, "time joint bone"], Float[Tensor, "time joint bone"]]:
    """Distance between each line of sight (origin to target) and each bone, and where on the line: share of its length.

    Source:
        Ericson, "Real-Time Collision Detection", 2004, section 5.1.9 (closest points of two segments).
    """
    d1, d2, r = targets[:, :, None], (ends - starts)[:, None], -starts[:, None]
    a, e = (d1 * d1).sum(-1), (d2 * d2).sum(-1).clamp(min=1e-9)
    b, c, f = (d1 * d2).sum(-1), (d1 * r).sum(-1), (d2 * r).sum(-1)
    s = ((b * f - c * e) / (a * e - b * b).clamp(min=1e-9)).clamp(0, 1)
    t = ((b * s + f) / e).clamp(0, 1)
    s = ((b * t - c) / a.clamp(min=1e-9)).clamp(0, 1)
    return (s[..., None] * d1 - (starts[:, None] + t[..., None] * d2)).norm(dim=-1), s
